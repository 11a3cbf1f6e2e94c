"""Marked values: what a document says and where, with readers that collect every mistake.

Made by ocs.yamldoc, read by the settings and the catalogue loader. A scalar is the text that was
written until a reader asks for something else, so a decimal keeps its digits and ``no`` is a word.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as AbstractMapping
from typing import Any, Final, TypeVar

from ocs.errors import DocumentError, Problem

Value = TypeVar("Value")

MAX_PROBLEMS = 500
"""More mistakes than these are counted, not listed."""

MAX_WORD = 2048
"""The longest text that is parsed as a number, quantity, address or the like."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_PASSWORD = re.compile(r"(://[^\s:/@]*):\S*@")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30})")


class _Required:
    """The type of the mark for a key that must be there."""


REQUIRED: Final = _Required()


class Node:
    """A value in a document: where it stands and how it is called from the root."""

    __slots__ = ("column", "document", "line", "parent", "step")

    def __init__(self, document: "Document", line: int, column: int) -> None:
        self.document = document
        self.line = line
        self.column = column
        self.parent: Node | None = None
        self.step: str | int = ""

    @property
    def path(self) -> str:
        """The keys and positions that lead here, such as ``plans.basic.allowances[0]``."""
        if self.parent is None:
            return ""
        above = self.parent.path
        if isinstance(self.step, int):
            return f"{above}[{self.step}]"
        step = shortened(self.step)
        return f"{above}.{step}" if above else step

    def problem(self, message: str) -> None:
        """Note a mistake in this value."""
        self.document.note(message, self.line, self.column, self.path)

    def warn(self, message: str) -> None:
        """Note something about this value to look at, which refuses nothing."""
        self.document.warn(message, self.line, self.column, self.path)

    def describe(self) -> str:
        """Return what kind of value this is, for messages."""
        return "a value"


class Scalar(Node):
    """A text as it was written. ``plain`` tells that it stood without quotes."""

    __slots__ = ("plain", "text")

    def __init__(
        self, document: "Document", line: int, column: int, text: str, plain: bool
    ) -> None:
        super().__init__(document, line, column)
        self.text = text
        self.plain = plain

    @property
    def is_null(self) -> bool:
        """Whether nothing was given: empty, ``~`` or ``null``."""
        return self.plain and self.text in _NULLS

    def describe(self) -> str:
        """Return the value itself, or what kind it is."""
        return f"'{shortened(self.text)}'"

    def parsed(self, parse: Callable[[str], Value], default: Value) -> Value:
        """Return ``parse(text)``; after its ValueError, noted as a problem, ``default``."""
        if len(self.text) > MAX_WORD:
            self.problem(f"{self.describe()} is longer than {MAX_WORD} characters")
            return default
        try:
            return parse(self.text)
        except ValueError as error:
            self.problem(str(error))
            return default

    def integer(self, minimum: int, maximum: int, default: int = 0) -> int:
        """Return a whole number within bounds, else note a problem and return ``default``."""
        if not self.plain or not _INTEGER.fullmatch(self.text):
            quoted = "" if self.plain else " in quotes"
            self.problem(f"{self.describe()}{quoted} is not a whole number such as 100")
            return default
        value = int(self.text.replace("_", ""))
        if not minimum <= value <= maximum:
            self.problem(f"{value} is out of range: {minimum} to {maximum}")
            return default
        return value

    def boolean(self, default: bool) -> bool:
        """Return true or false, else note a problem and return ``default``."""
        value = _BOOLEANS.get(self.text) if self.plain else None
        if value is None:
            self.problem(f"{self.describe()} is neither true nor false; write true or false")
            return default
        return value


class Sequence(Node):
    """A list of values."""

    __slots__ = ("items",)

    def __init__(self, document: "Document", line: int, column: int) -> None:
        super().__init__(document, line, column)
        self.items: list[Node] = []

    def describe(self) -> str:
        """Return the value itself, or what kind it is."""
        return "a list"


class Mapping(Node):
    """Keys and values. Readers take what they know by name; ``finish`` refuses the rest.

    A key whose value is empty counts as absent. A reader that finds a mistake notes it and goes on
    with the default, or with an empty value where the key is required: ``Document.check`` makes
    sure that such a value is never used.
    """

    __slots__ = ("_known", "entries", "keys")

    def __init__(self, document: "Document", line: int, column: int) -> None:
        super().__init__(document, line, column)
        self.entries: dict[str, Node] = {}
        self.keys: dict[str, Scalar] = {}
        self._known: set[str] = set()

    def describe(self) -> str:
        """Return the value itself, or what kind it is."""
        return "a group of keys"

    @property
    def title(self) -> Node:
        """The key that names this group, or the group itself where none does."""
        if isinstance(self.parent, Mapping) and isinstance(self.step, str):
            return self.parent.keys.get(self.step, self)
        return self

    def has(self, key: str) -> bool:
        """Whether a value was given for ``key``."""
        return self.get(key) is not None

    def get(self, key: str) -> Node | None:
        """Return the value of ``key`` as it stands, None when absent or empty."""
        self._known.add(key)
        node = self.entries.get(key)
        return None if isinstance(node, Scalar) and node.is_null else node

    def scalar(self, key: str, required: bool = False) -> Scalar | None:
        """Return the single value of ``key``; a list or group there is a problem."""
        node = self.get(key)
        if isinstance(node, Scalar):
            return node
        if node is not None:
            node.problem(f"'{key}' is {node.describe()}, but a single value is needed")
        elif required:
            self.missing(key)
        return None

    def text(self, key: str, default: str | _Required = REQUIRED) -> str:
        """Return a text, "" after a problem."""
        node = self.scalar(key, required=default is REQUIRED)
        fallback = default if isinstance(default, str) else ""
        return fallback if node is None else node.text

    def integer(
        self, key: str, default: int | _Required = REQUIRED, *, minimum: int, maximum: int
    ) -> int:
        """Return a whole number within bounds, ``minimum`` after a problem."""
        node = self.scalar(key, required=default is REQUIRED)
        fallback = default if isinstance(default, int) else minimum
        return fallback if node is None else node.integer(minimum, maximum, fallback)

    def boolean(self, key: str, default: bool) -> bool:
        """Return true or false."""
        node = self.scalar(key)
        return default if node is None else node.boolean(default)

    def choice(
        self, key: str, choices: AbstractMapping[str, Value], default: Value | _Required = REQUIRED
    ) -> Value:
        """Return the value that belongs to the word given, the first of all after a problem."""
        node = self.scalar(key, required=default is REQUIRED)
        fallback = next(iter(choices.values())) if isinstance(default, _Required) else default
        if node is None:
            return fallback
        if node.text in choices:
            return choices[node.text]
        node.problem(unknown_word(node.text, f"no {key.replace('_', ' ')}", choices))
        return fallback

    def parsed(
        self, key: str, parse: Callable[[str], Value], default: Value, *, required: bool = False
    ) -> Value:
        """Return ``parse`` of the text given; its ValueError becomes a problem."""
        node = self.scalar(key, required=required)
        return default if node is None else node.parsed(parse, default)

    def mapping(self, key: str, required: bool = False) -> "Mapping":
        """Return a group of keys; an empty one when absent or after a problem."""
        node = self.get(key)
        if isinstance(node, Mapping):
            return node
        if node is not None:
            node.problem(f"'{key}' is {node.describe()}, but a group of keys is needed")
        elif required:
            self.missing(key)
        return self._empty(key)

    def sequence(self, key: str) -> list[Node]:
        """Return the members of a list; a single value counts as a list of one."""
        node = self.get(key)
        if isinstance(node, Sequence):
            return node.items
        return [] if node is None else [node]

    def scalars(self, key: str) -> list[Scalar]:
        """Return the members of a list of single values; others are problems and left out."""
        found = []
        for node in self.sequence(key):
            if isinstance(node, Scalar) and not node.is_null:
                found.append(node)
            else:
                node.problem(f"'{key}' is a list of single values")
        return found

    def mappings(self, key: str) -> list["Mapping"]:
        """Return the members of a list of groups; others are problems and left out."""
        found = []
        for node in self.sequence(key):
            if isinstance(node, Mapping):
                found.append(node)
            else:
                node.problem(f"'{key}' is a list of groups of keys, and this is {node.describe()}")
        return found

    def members(self) -> Iterator[tuple[Scalar, Node]]:
        """Yield every key with its value, for groups whose keys are names."""
        self._known.update(self.entries)
        for key, node in self.entries.items():
            yield self.keys[key], node

    def missing(self, key: str, hint: str = "") -> None:
        """Note that ``key`` is needed and not there, at the key that names this group."""
        place = self.title
        message = f"'{key}' is missing; {hint}" if hint else f"'{key}' is missing"
        self.document.note(message, place.line, place.column, self.path)

    def finish(self) -> None:
        """Note every key that no reader has asked for."""
        for key, node in self.keys.items():
            if key not in self._known:
                node.problem(_unknown_key(key, self._known))

    def _empty(self, key: str) -> "Mapping":
        place = self.keys.get(key, self)
        empty = Mapping(self.document, place.line, place.column)
        empty.parent, empty.step = self, key
        return empty


class Document:
    """One parsed document and the mistakes found in it so far."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.root = Mapping(self, 1, 1)
        self._problems: list[Problem] = []
        self._unlisted = 0
        self.warnings: list[Problem] = []
        """What is allowed and yet may not be meant; at most MAX_PROBLEMS."""

    def warn(self, message: str, line: int, column: int, path: str = "") -> None:
        """Keep something to look at, which refuses nothing."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(Problem(message, self.source, line, column, path))

    def note(
        self, message: str, line: int, column: int, path: str = "", *, source: str = ""
    ) -> None:
        """Keep a mistake; equal ones are kept once, and too many are only counted.

        ``source`` is the file it is in, where that is not the document itself.
        """
        problem = Problem(message, source or self.source, line, column, path)
        if problem in self._problems[-8:]:
            return
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._unlisted += 1

    def check(self) -> None:
        """Raise DocumentError with every mistake, in the order of the text, if there is any."""
        if not self._problems:
            return
        problems = sorted(
            self._problems, key=lambda one: (one.source != self.source, one.line, one.column)
        )
        if self._unlisted:
            problems.append(Problem(f"and {self._unlisted} more mistakes", self.source))
        raise DocumentError(tuple(problems))


def shortened(text: str) -> str:
    """Return a text fit for a message: one line, at most 60 characters, no password of a URL."""
    line = _PASSWORD.sub(r"\1:***@", " ".join(text[:4096].split()))
    return line if len(line) <= 60 else f"{line[:57]}..."


def _unknown_key(key: str, known: set[str]) -> str:
    """Return the message for a key that no reader has asked for."""
    if key.isdecimal():
        hint = f"write decimals with a point, such as 0.{shortened(key)}"
        return f"'{shortened(key)}' is no key that is known here; {hint}"
    return unknown_word(key, "no key that is known here", known)


def unknown_word(word: str, what: str, known: AbstractMapping[str, Any] | set[str]) -> str:
    """Return the message for a word that is not among the known ones, with the nearest of them."""
    near = difflib.get_close_matches(word[:60], known, n=1, cutoff=0.6)
    near = [one for one in known if one.lower() == word.lower()] or near
    if near:
        hint = f"; did you mean '{near[0]}'?"
    elif known and len(known) <= 40:
        hint = f"; known: {', '.join(sorted(known))}"
    else:
        hint = "" if known else "; there are none"
    return f"'{shortened(word)}' is {what}{hint}"
