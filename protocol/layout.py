"""Learns where everything is in octets that the walk accepted, to read the like without a walk.

Two messages whose AVP headers are equal at the same places have the same layout (RFC 6733
section 4.1): only values differ. `Outline` walks one message, notes which octets must be equal
and where the values are, and generates a function that builds the value of such a message.
`credit_control_layout` says what the groups mean, `layout_cache` keeps the results.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from protocol import datatypes, dictionary
from protocol.members import (
    MANY,
    MANY_TUPLE,
    NUMBER_FORMATS,
    TEXT,
    Reading,
    Table,
    read_many_u32,
    read_octets,
    read_text,
    unpack_time,
)

MAX_VALUES = 250  # in one message; one with more is left to the walk

_HEAD = struct.Struct(">II").unpack_from
_U32 = struct.Struct(">I").unpack_from


class NotLearnableError(Exception):
    """These octets have something that only the walk can read."""


class Layout:
    """One layout: which octets must be equal, and the function that reads the others.

    `build` returns None, or raises UnicodeDecodeError or RemoteProtocolError, where the walk has
    to decide; it is None itself until the layout was seen often enough. `hits` ages.
    """

    __slots__ = ("build", "expected", "first", "hits", "last", "mask", "outline", "sightings")

    def __init__(self, outline: "Outline") -> None:
        covered = bytes(outline.mask)
        self.first = len(covered) - len(covered.lstrip(b"\0"))
        self.last = len(covered.rstrip(b"\0"))
        self.mask = int.from_bytes(covered[self.first : self.last], "big")
        self.expected = self.of(outline.data) & self.mask
        self.outline: Outline | None = outline
        self.build: Callable[[bytes], Any] | None = None
        self.sightings = 1
        self.hits = 0

    def of(self, data: bytes) -> int:
        """The octets that are compared, as a number."""
        return int.from_bytes(data[self.first : self.last], "big")

    def fits(self, data: bytes) -> bool:
        """Whether `data`, of the same length, has this layout."""
        return self.of(data) & self.mask == self.expected

    def compile(self) -> None:
        """Generate `build`; afterwards the outline is not needed any more."""
        if self.outline is not None:
            self.build = self.outline.compile()
            self.outline = None


Shape = Callable[["Outline", int, int, int], "str | None"]
"""What a reader of `members` means: (outline, AVP start, payload start, payload end) to the
expression of the value, or None for a reader that stores nothing."""


class Outline:
    """What is where in `data`, written down while it is walked along the readers' tables.

    The walk must have accepted `data` with the same rules. Values are Python expressions over the
    names of what was unpacked. Names and numbers are all that gets into the generated source:
    never an octet of a message.
    """

    def __init__(
        self,
        data: bytes,
        shapes: Mapping[Any, Shape],
        new_reading: Callable[[bytes], Reading],
    ) -> None:
        self.data = data
        self.mask = bytearray(len(data))
        self.namespace: dict[str, Any] = {"new_reading": new_reading}
        self.result = "None"
        self.skipped: list[tuple[int, int]] = []  # spans outside the content hash
        self.copied: list[str] = []  # expressions of AVPs kept octet by octet
        self._shapes = shapes
        self._pieces: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self._misses: list[str] = []
        self._reads_dynamically = False

    # ------------------------------------------------------------------------------- octets

    def pin(self, start: int, stop: int) -> None:
        """These octets must be equal in every message of the layout."""
        self.mask[start:stop] = b"\xff" * (stop - start)

    def value(self, start: int, code: str) -> str:
        """The name of a value to unpack; `code` is one format of `struct`."""
        if len(self._pieces) >= MAX_VALUES:
            raise NotLearnableError("too many values")
        self._pieces.append((start, code))
        return f"v{start}"

    def miss_unless(self, condition: str) -> None:
        """Leave a message to the walk where this is false."""
        self._misses.append(f"not ({condition})")

    def text(self, start: int, stop: int) -> str:
        """A text, checked like `read_text` does."""
        raw, name = self.value(start, f"{stop - start}s"), f"t{start}"
        self._lines.append(f"{name} = {raw}.decode()")
        self._misses.append(f'"\\0" in {name}')
        return name

    def named(self, name: str, thing: object) -> str:
        """Make something known to the generated code."""
        self.namespace[name] = thing
        return name

    def dynamic(self, read: Any, position: int, start: int, stop: int) -> str:
        """A value that its own reader reads each time, because it is rare."""
        self._reads_dynamically = True
        reader, name = self.named(f"read{start}", read), f"d{start}"
        self._lines.append(f"{name} = {reader}(reading, {position}, {start}, {stop})")
        self._misses.append(f"{name} is None")
        return name

    # --------------------------------------------------------------------------------- AVPs

    def members(
        self, start: int, stop: int, table: Table, pinned: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """Expressions of the members of a group by attribute, like `read_members`.

        Numbers named in `pinned` become part of what must be equal.
        """
        values: dict[str, str] = {}
        many: dict[str, list[str]] = {}
        position = start
        while position < stop:
            key, value_start, value_stop, is_mandatory = self._header(position)
            member = table.get(key)
            if member is None:
                if is_mandatory:
                    self._unread(key, value_start, value_stop)
            else:
                size, attribute, read = member
                if attribute in pinned and attribute not in values:
                    values[attribute] = self._pinned(read, value_start, value_stop)
                else:
                    expression = self._read(size, read, position, value_start, value_stop)
                    if expression is not None and size <= MANY:
                        many.setdefault(attribute, []).append(expression)
                        values[attribute] = _sequence(many[attribute], size)
                    elif expression is not None:
                        values.setdefault(attribute, expression)  # the walk let it be repeated
            position = (value_stop + 3) & -4
        return values

    def _header(self, position: int) -> tuple[int, int, int, bool]:
        key, word = _HEAD(self.data, position)
        value_start = position + 8
        if word > 0x7FFFFFFF:
            key |= _U32(self.data, value_start)[0] << 32
            value_start += 4
        self.pin(position, value_start)
        return key, value_start, position + (word & 0xFFFFFF), bool(word & 0x40000000)

    def _unread(self, key: int, start: int, stop: int) -> None:
        """The M rule looks into known groups, so their headers decide too."""
        known = dictionary.lookup(key >> 32, key & 0xFFFFFFFF)
        if known is not None and known.type is dictionary.AvpType.GROUPED:
            position = start
            while position < stop:
                inner, value_start, value_stop, is_mandatory = self._header(position)
                if is_mandatory:
                    self._unread(inner, value_start, value_stop)
                position = (value_stop + 3) & -4

    def _pinned(self, read: Any, start: int, stop: int) -> str:
        self.pin(start, stop)
        return str(int(read(self.data, start)[0]))

    def _read(self, size: int, read: Any, position: int, start: int, stop: int) -> str | None:
        if size > TEXT:
            code = NUMBER_FORMATS.get(read)
            if code is not None:
                return self.value(start, code)
            if read is not unpack_time:
                raise NotLearnableError("a number of an unknown format")
            self.namespace["to_ns"] = datatypes.seconds_to_unix_ns
            return f"to_ns({self.value(start, 'I')})"
        if size == TEXT or read is read_text:
            return self.text(start, stop)
        if read is read_octets:
            return self.value(start, f"{stop - start}s")
        if read is read_many_u32:
            return self.value(start, "I")
        shape = self._shapes.get(read)
        if shape is None:
            return self.dynamic(read, position, start, stop)
        return shape(self, position, start, stop)

    # --------------------------------------------------------------------------- the result

    def make(self, kind: type, values: Mapping[str, str]) -> str:
        """The expression that makes a dataclass; absent members get their defaults."""
        name = self.named(kind.__name__, kind)
        arguments = []
        for member in fields(kind):
            if member.name in values:
                arguments.append(values[member.name])
            elif member.default_factory is list:
                arguments.append("[]")
            elif member.default is not MISSING:
                arguments.append(repr(member.default))
            else:
                raise NotLearnableError(f"{member.name} is missing")
        return f"{name}({', '.join(arguments)})"

    def compile(self) -> Callable[[bytes], Any]:
        """The function from octets of this layout to their value."""
        pieces = sorted(set(self._pieces))
        source = ["def build(data):"]
        if pieces:
            names = "".join(f"v{start}, " for start, _ in pieces)
            source.append(f" {names}= unpack(data)")
            self.namespace["unpack"] = struct.Struct(_format(pieces)).unpack_from
        if self._reads_dynamically:
            source.append(" reading = new_reading(data)")
            self._misses.append("reading.problems")
        source += [f" {line}" for line in self._lines]
        if self._misses:
            source.append(f" if {' or '.join(self._misses)}: return None")
        source.append(f" return {self.result}")
        exec(compile("\n".join(source), "<layout>", "exec"), self.namespace)  # noqa: S102
        build: Callable[[bytes], Any] = self.namespace["build"]
        return build


def _sequence(expressions: list[str], size: int) -> str:
    inner = ", ".join(expressions)
    return f"({inner},)" if size == MANY_TUPLE else f"[{inner}]"


def _format(pieces: list[tuple[int, str]]) -> str:
    codes, position = [">"], 0
    for start, code in pieces:
        codes.append(f"{start - position}x{code}")
        position = start + struct.calcsize(f">{code}")
    return "".join(codes)
