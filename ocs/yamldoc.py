"""YAML for people who make mistakes: a parser that gives marked values and takes no surprises.

Called wherever a file of an operator is read. On top of PyYAML's events: scalars stay text, so the
oddities of YAML 1.1 (``no``, ``08:00``, ``010``, ``1e3``) do not happen. Duplicate keys, anchors,
merge keys, tags and further documents are refused; size, depth and number of values are bounded.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ocs.errors import DocumentError, Problem
from ocs.marked import Document, Mapping, Node, Scalar, Sequence, shortened

MAX_OCTETS = 4 << 20
MAX_NODES = 500_000
MAX_DEPTH = 32

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read_text(path: Path) -> str:
    """Return the text of a file. Raises DocumentError when it cannot be read, is no UTF-8 or is
    larger than ``MAX_OCTETS``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_OCTETS + 1)
        if len(content) <= MAX_OCTETS:
            return content.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise DocumentError((Problem(f"cannot be read: {reason}", str(path)),)) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise DocumentError((Problem("is not UTF-8 text", str(path), line, column),)) from error
    raise DocumentError((Problem(f"is larger than {MAX_OCTETS} octets", str(path)),))


def parse(text: str, source: str) -> Document:
    """Return the document in ``text``, whose root is a group of keys.

    ``source`` is the name that problems give it. Raises DocumentError when the text is no YAML or
    too much of it; mistakes that leave the rest readable wait in the document for ``check``.
    """
    text = text.removeprefix("\ufeff")
    document = Document(text, source)
    if len(text) > MAX_OCTETS or len(text.encode("utf-8", "replace")) > MAX_OCTETS:
        raise DocumentError((Problem(f"is larger than {MAX_OCTETS} octets", source),))
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        line, column = _place(text, unprintable.start())
        code = f"U+{ord(unprintable[0]):04X}"
        raise DocumentError((Problem(f"holds the character {code}", source, line, column),))
    try:
        _Composer(document).compose()
    except yaml.YAMLError as error:
        document.note(*_explain(text, error))
        document.check()
    return document


class _Composer:
    """Builds the nodes of a document out of the parser's events."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._events = yaml.parse(document.text, Loader=_LOADER)
        self._nodes = 0

    def compose(self) -> None:
        """Set the root; a root that is no group of keys, or a second document, is a problem."""
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "a second document begins here; only one is read")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 1)
                if isinstance(root, Mapping):
                    self._document.root = root
                elif not (isinstance(root, Scalar) and root.is_null):
                    root.problem(f"the document is {root.describe()}, not a group of keys")

    def _node(self, event: Any, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"there are more than {MAX_NODES} values")
        if depth > MAX_DEPTH:
            self._stop(event, f"values are nested deeper than {MAX_DEPTH} levels")
        place = (self._document, event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            self._note(event, "anchors (&) and aliases (*) are not used here; write the value out")
        if getattr(event, "tag", None) is not None:
            self._note(event, f"tags such as {shortened(event.tag)} are not used here")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(Sequence(*place), depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(Mapping(*place), depth)
        if isinstance(event, yaml.ScalarEvent):
            if _UNPRINTABLE.search(event.value):
                self._note(event, "the text holds a control character")
            return Scalar(*place, event.value, plain=not event.style)
        return Scalar(*place, "", plain=True)

    def _sequence(self, sequence: Sequence, depth: int) -> Sequence:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            node = self._node(event, depth + 1)
            node.parent, node.step = sequence, len(sequence.items)
            sequence.items.append(node)
        return sequence

    def _mapping(self, mapping: Mapping, depth: int) -> Mapping:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar) or key.is_null:
                key.problem("a key must be a name")
                continue
            key.parent = value.parent = mapping
            key.step = value.step = key.text
            if key.text == "<<" and key.plain:
                key.problem("merge keys (<<) are not used here; write the values out")
            elif key.text in mapping.entries:
                first = mapping.keys[key.text].line
                key.problem(f"'{shortened(key.text)}' is given twice; the first is in line {first}")
            else:
                mapping.keys[key.text] = key
                mapping.entries[key.text] = value
        return mapping

    def _note(self, event: Any, message: str) -> None:
        mark = event.start_mark
        self._document.note(message, mark.line + 1, mark.column + 1)

    def _stop(self, event: Any, message: str) -> None:
        self._note(event, message)
        self._document.check()


def _explain(text: str, error: yaml.YAMLError) -> tuple[str, int, int]:
    """Return message, line and column of what the YAML parser complains about."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or str(error)
    if mark is None:
        return f"is no YAML: {shortened(said)}", 1, 1
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line; indent with spaces", mark.line + 1, line.index("\t") + 1
    context = getattr(error, "context", None)
    before = f"{context}: " if context else ""
    message = f"is no YAML: {before}{said}"
    if "mapping values are not allowed" in said:
        message += "; a text that contains ': ' needs quotes"
    elif "could not find expected ':'" in said or "did not find expected key" in said:
        message += "; look for a missing colon, quote or space here or in the line above"
    return message, mark.line + 1, mark.column + 1


def _place(text: str, position: int) -> tuple[int, int]:
    """Return line and column, from 1, of a position in a text."""
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
