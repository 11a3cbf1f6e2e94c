"""Reads packets out of pcap and pcapng files, also gzipped, in constant memory.

The formats are those of draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. A file that ends early
or is damaged gives every packet before that, and a problem. Used by `loading`.
"""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from simulators.replay.findings import Findings, UnusableError

PACKET_OCTETS_MAX = 1 << 20
BLOCK_OCTETS_MAX = 16 << 20
INTERFACES_MAX = 1000

_PCAP = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
"""Order of octets and nanoseconds in a unit of time, by the first four octets."""
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_GZIP = b"\x1f\x8b"
_BYTE_ORDER = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Packet:
    """One captured packet; `number` counts from 1 as in Wireshark, `lost` octets were cut off."""

    number: int
    at_ns: int
    link_type: int
    data: bytes
    lost: int = 0


class _EndOfFileError(Exception):
    """The file is over: whole after `got` = 0 octets of `wanted`, else in the middle."""

    def __init__(self, wanted: int, got: int) -> None:
        super().__init__(wanted, got)
        self.wanted = wanted
        self.got = got


class _DamagedError(Exception):
    """What comes next cannot be; its text says what it is."""


class _Source:
    """A file read from its beginning, piece by piece."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def take(self, octets: int) -> bytes:
        """Exactly so many octets."""
        try:
            data = self._file.read(octets)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _DamagedError(f"its compression is damaged ({error})") from None
        if len(data) < octets:
            raise _EndOfFileError(octets, len(data))
        self.position += octets
        return data


def is_capture(head: bytes) -> bool:
    """Whether a file that begins with these octets may be a capture."""
    return head[:4] in _PCAP or head[:4] == _PCAPNG or head[:2] == _GZIP


def read_packets(path: Path, findings: Findings) -> Iterator[Packet]:
    """The packets of a file, in its order.

    Raises UnusableError for a file that is no capture at all, OSError if it cannot be read. What
    is wrong further on is a problem among the findings, and the end.
    """
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        if head != _GZIP:
            yield from _read(_Source(file), path, findings)
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _read(_Source(unpacked), path, findings)  # type: ignore[arg-type]


def _read(source: _Source, path: Path, findings: Findings) -> Iterator[Packet]:
    try:
        magic = source.take(4)
    except (_EndOfFileError, _DamagedError):
        raise UnusableError(f"{path} is too short for a capture") from None
    reader: Callable[[_Source], Iterator[Packet]]
    if magic in _PCAP:
        order, unit_ns = _PCAP[magic]
        reader = _Pcap(order, unit_ns).packets
    elif magic == _PCAPNG:
        reader = _Pcapng().packets
    else:
        raise UnusableError(
            f"{path} is neither pcap nor pcapng (it begins with 0x{magic.hex()});"
            " other formats can be converted: editcap -F pcapng FILE OUTPUT"
        )
    number = 0
    try:
        for packet in reader(source):
            number = packet.number
            yield packet
    except _EndOfFileError as end:
        findings.problem(
            f"{path} is cut off after packet {number}: {end.got} of {end.wanted} octets are left"
            f" at octet {source.position}"
        )
    except _DamagedError as fault:
        findings.problem(
            f"{path} is damaged after packet {number}, at octet {source.position}: {fault}"
        )


class _Pcap:
    """The classic format: one kind of link, one unit of time."""

    def __init__(self, order: str, unit_ns: int) -> None:
        self._header = struct.Struct(f"{order}HHiIII")
        self._record = struct.Struct(f"{order}IIII")
        self._unit_ns = unit_ns

    def packets(self, source: _Source) -> Iterator[Packet]:
        """Every packet; _EndOfFileError if the last one is not whole."""
        link_type = self._header.unpack(source.take(self._header.size))[5] & 0xFFFF
        number = 0
        while True:
            try:
                record = source.take(self._record.size)
            except _EndOfFileError as end:
                if not end.got:
                    return
                raise
            seconds, fraction, length, original = self._record.unpack(record)
            number += 1
            _check_length(number, length)
            data = source.take(length)
            at_ns = seconds * _NS + fraction * self._unit_ns
            yield Packet(number, at_ns, link_type, data, max(original - length, 0))


@dataclass(frozen=True, slots=True)
class _Interface:
    """What an Interface Description Block says that matters for packets."""

    link_type: int
    snap_length: int
    units_per_second: int = 1_000_000
    offset_ns: int = 0


class _Pcapng:
    """The format of blocks: several interfaces, each with its own clock, in several sections."""

    def __init__(self) -> None:
        self._order = ">"
        self._interfaces: list[_Interface] = []
        self._number = 0
        self._last_ns = 0

    def packets(self, source: _Source) -> Iterator[Packet]:
        """Every packet; the block type of the first section header is read already."""
        self._begin_section(source)
        while True:
            try:
                kind_octets = source.take(4)
            except _EndOfFileError as end:
                if not end.got:
                    return
                raise
            if kind_octets == _PCAPNG:
                self._begin_section(source)
                continue
            body = self._body(source)
            packet = self._packet(struct.unpack(f"{self._order}I", kind_octets)[0], body)
            if packet is not None:
                yield packet

    def _begin_section(self, source: _Source) -> None:
        length_octets, magic = source.take(4), source.take(4)
        if magic not in _BYTE_ORDER:
            raise _DamagedError(f"0x{magic.hex()} is no order of octets")
        self._order = _BYTE_ORDER[magic]
        self._interfaces = []
        length = self._length(length_octets)
        if length < 28:
            raise _DamagedError(f"a section header of {length} octets")
        source.take(length - 12)

    def _length(self, octets: bytes) -> int:
        length: int = struct.unpack(f"{self._order}I", octets)[0]
        if length < 12 or length % 4 or length > BLOCK_OCTETS_MAX:
            raise _DamagedError(f"a block of {length} octets cannot be")
        return length

    def _body(self, source: _Source) -> bytes:
        length = self._length(source.take(4))
        body = source.take(length - 12)
        if self._length(source.take(4)) != length:
            raise _DamagedError("a block says two lengths")
        return body

    def _packet(self, kind: int, body: bytes) -> Packet | None:
        if kind == _INTERFACE:
            self._add_interface(body)
            return None
        if kind not in {_PACKET, _OLD_PACKET, _SIMPLE_PACKET}:
            return None
        self._number += 1
        try:
            return self._read_packet(kind, body)
        except struct.error:
            raise _DamagedError("a packet block that is too short") from None

    def _read_packet(self, kind: int, body: bytes) -> Packet:
        order = self._order
        if kind == _SIMPLE_PACKET:
            (original,) = struct.unpack_from(f"{order}I", body)
            interface = self._interface(0)
            length = min(original, interface.snap_length or original, len(body) - 4)
            return self._made(interface, self._last_ns, body, 4, length, original)
        form = f"{order}IIIII" if kind == _PACKET else f"{order}HxxIIII"
        number, high, low, length, original = struct.unpack_from(form, body)
        interface = self._interface(number)
        units = high << 32 | low
        at_ns = units * _NS // interface.units_per_second + interface.offset_ns
        self._last_ns = at_ns
        return self._made(interface, at_ns, body, 20, length, original)

    def _made(
        self, interface: _Interface, at_ns: int, body: bytes, start: int, length: int, whole: int
    ) -> Packet:
        _check_length(self._number, length)
        if start + length > len(body):
            raise _DamagedError(f"packet {self._number} is longer than its block")
        data = body[start : start + length]
        return Packet(self._number, at_ns, interface.link_type, data, max(whole - length, 0))

    def _interface(self, number: int) -> _Interface:
        if number >= len(self._interfaces):
            raise _DamagedError(f"packet {self._number} is of interface {number}, which is unknown")
        return self._interfaces[number]

    def _add_interface(self, body: bytes) -> None:
        if len(self._interfaces) >= INTERFACES_MAX:
            raise _DamagedError(f"more than {INTERFACES_MAX} interfaces")
        if len(body) < 8:
            raise _DamagedError("an interface description that is too short")
        link_type, snap_length = struct.unpack_from(f"{self._order}HxxI", body)
        units, offset_ns, position = 1_000_000, 0, 8
        while position + 4 <= len(body):
            code, length = struct.unpack_from(f"{self._order}HH", body, position)
            value = body[position + 4 : position + 4 + length]
            if code == _IF_TSRESOL and len(value) == 1:
                power = value[0] & 0x7F
                units = 2**power if value[0] & 0x80 else 10 ** min(power, 30)
            elif code == _IF_TSOFFSET and len(value) == 8:
                offset_ns = struct.unpack(f"{self._order}q", value)[0] * _NS
            position += 4 + (length + 3 & -4)
        self._interfaces.append(_Interface(link_type, snap_length, units, offset_ns))


def _check_length(number: int, length: int) -> None:
    if length > PACKET_OCTETS_MAX:
        raise _DamagedError(f"packet {number} would have {length} octets")
