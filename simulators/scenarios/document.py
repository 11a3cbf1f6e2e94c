"""YAML as plain values that remember where they stood, for `scenario`.

Sequences become tuples, plain scalars become numbers, true, false, null or text and nothing else
(`yes`, `on`, `0o17` and `12:30` stay text). Duplicate keys, aliases and several documents are
refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

SIZE_MAX = 1 << 20
"""Longest accepted text, in characters."""

Path = tuple[str | int, ...]
Value = str | int | float | bool | None | dict[str, "Value"] | tuple["Value", ...]

_INTEGER = re.compile(r"-?(0|[1-9][0-9_]*)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9_]*)?\.?[0-9]+([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: line and column count from 1, `path` leads from the top to the value."""

    source: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.source}:{self.line}:{self.column}: {where}{self.message}"


class DocumentError(Exception):
    """A file that cannot be used, with every problem that was found in it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def path_text(path: Path) -> str:
    """A path as people write it: ``services[0].weight``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(slots=True)
class Document:
    """The values of one file and the place of each."""

    source: str
    value: Value = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, message: str) -> None:
        """Remember a mistake at a path; one that does not exist is shown at what would hold it."""
        known = path
        while known not in self.places and known:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        self.problems.append(Problem(self.source, line, column, path_text(path), message))

    def check(self) -> None:
        """Raise DocumentError if there was any mistake, in the order of the lines."""
        if self.problems:
            raise DocumentError(sorted(self.problems, key=lambda one: (one.line, one.column)))


def read_document(text: str, source: str) -> Document:
    """Parse one YAML document; raises DocumentError when the text is no usable YAML at all."""
    document = Document(source)
    if len(text) > SIZE_MAX:
        document.add((), f"longer than {SIZE_MAX} characters")
        document.check()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                document.places[()] = _place(event.start_mark)
                document.add((), "aliases are not allowed; write the value again")
                document.check()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        document.places[()] = _place(error.problem_mark or error.context_mark)
        document.add((), f"not readable as YAML: {error.problem or error.context}")
        document.check()
    except (yaml.YAMLError, RecursionError) as error:
        document.add((), f"not readable as YAML: {error}")
        document.check()
        return document
    if node is None:
        document.add((), "the file is empty")
        document.check()
        return document
    document.value = _value(document, node, ())
    return document


def _place(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _value(document: Document, node: yaml.Node, path: Path) -> Value:
    document.places.setdefault(path, _place(node.start_mark))
    if isinstance(node, yaml.MappingNode):
        return dict(_members(document, node, path))
    if isinstance(node, yaml.SequenceNode):
        return tuple(_value(document, item, (*path, i)) for i, item in enumerate(node.value))
    return _scalar(str(node.value), plain=getattr(node, "style", None) is None)


def _members(
    document: Document, node: yaml.MappingNode, path: Path
) -> Iterator[tuple[str, Value]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        here = (*path, key)
        if key in seen:
            document.places[here] = _place(key_node.start_mark)
            document.add(here, "this key occurs twice")
            continue
        seen.add(key)
        document.places[here] = _place(key_node.start_mark)
        yield key, _value(document, value_node, here)


def _scalar(text: str, *, plain: bool) -> Value:
    if not plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
