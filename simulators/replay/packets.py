"""TCP segments and SCTP chunks out of captured packets: the link's header, IPv4 or IPv6, TCP.

Link types are those of the tcpdump group's list; VLAN tags (802.1Q, 802.1ad), IPv4 options and IPv6
extension headers are stepped over, fragments put together. Pure; called by `loading` for each
packet.
"""

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from simulators.replay.capture_file import Packet
from simulators.replay.fragments import Fragment, Fragments

Endpoint = tuple[bytes, int]
"""Address (4 or 16 octets) and port."""

FIN, SYN, RST = 0x01, 0x02, 0x04

_IPV4, _IPV6 = 0x0800, 0x86DD
_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_TAGS_DEEP = 4
_TCP, _SCTP, _FRAGMENT, _NO_NEXT_HEADER = 6, 132, 44, 59
_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})
"""Extension headers with a length of their own: hop-by-hop, routing, destination, mobility."""
_AUTHENTICATION = 51
_OFFSET, _MORE = 0x1FFF, 0x2000
"""In the third pair of octets of an IPv4 header, the offset in units of eight octets."""
_FAMILIES = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
"""What systems call IPv4 and IPv6 in the header of a loopback interface."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment; `lost` octets of its data were not captured."""

    number: int
    at_ns: int
    source: Endpoint
    target: Endpoint
    sequence: int
    flags: int
    data: bytes
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One SCTP DATA chunk; `begins` and `ends` tell the pieces of a message apart."""

    number: int
    at_ns: int
    source: Endpoint
    target: Endpoint
    sequence: int
    stream: int
    begins: bool
    ends: bool
    data: bytes


class UnknownLinkError(Exception):
    """Packets of a link type that is not read here."""

    def __init__(self, link_type: int) -> None:
        super().__init__(f"link type {link_type}")
        self.link_type = link_type


class _MalformedError(Exception):
    """A packet that says what cannot be."""


def endpoint_text(endpoint: Endpoint) -> str:
    """An endpoint for people."""
    address, port = endpoint
    text = str(ip_address(address))
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def parts_of(
    packet: Packet, counts: Counter[str], fragments: Fragments | None = None
) -> list[Segment | Chunk]:
    """The TCP segment or the SCTP chunks in a packet; none in others, which are counted.

    `fragments` are those of the packets before; what a packet completes counts as in it. Raises
    UnknownLinkError.
    """
    if fragments is None:
        fragments = Fragments()
    unwrap = _LINKS.get(packet.link_type)
    if unwrap is None:
        raise UnknownLinkError(packet.link_type)
    try:
        protocol, start = unwrap(packet.data)
        if protocol == _IPV4:
            return _ipv4(packet, start, counts, fragments)
        if protocol == _IPV6:
            return _ipv6(packet, start, counts, fragments)
    except (struct.error, IndexError, _MalformedError):
        counts["packets that are cut short or malformed"] += 1
        return []
    counts["packets that are not IP"] += 1
    return []


# --------------------------------------------------------------------------------------- links


def _after_tags(data: bytes, protocol: int, start: int) -> tuple[int, int]:
    for _ in range(_TAGS_DEEP):
        if protocol not in _TAGS:
            break
        (protocol,) = struct.unpack_from(">H", data, start + 2)
        start += 4
    return protocol, start


def _ethernet(data: bytes) -> tuple[int, int]:
    return _after_tags(data, struct.unpack_from(">H", data, 12)[0], 14)


def _cooked(data: bytes) -> tuple[int, int]:
    return _after_tags(data, struct.unpack_from(">H", data, 14)[0], 16)


def _cooked_2(data: bytes) -> tuple[int, int]:
    return _after_tags(data, struct.unpack_from(">H", data, 0)[0], 20)


def _null(data: bytes) -> tuple[int, int]:
    """The family is in the order of the octets of the machine that captured."""
    family = min(struct.unpack_from(">I", data)[0], struct.unpack_from("<I", data)[0])
    return _FAMILIES.get(family, 0), 4


def _raw(data: bytes) -> tuple[int, int]:
    return {4: _IPV4, 6: _IPV6}.get(data[0] >> 4, 0), 0


def _ppp(data: bytes) -> tuple[int, int]:
    start = 2 if data[:2] == b"\xff\x03" else 0
    (protocol,) = struct.unpack_from(">H", data, start)
    return {0x0021: _IPV4, 0x0057: _IPV6}.get(protocol, 0), start + 2


_LINKS: dict[int, Callable[[bytes], tuple[int, int]]] = {
    0: _null,
    1: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _null,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}


# ------------------------------------------------------------------------------------------ IP


def _ipv4(
    packet: Packet, start: int, counts: Counter[str], fragments: Fragments
) -> list[Segment | Chunk]:
    data = packet.data
    first, total, name, fragment, protocol = struct.unpack_from(">BxHHHxB", data, start)
    head = (first & 15) * 4
    if first >> 4 != 4 or head < 20:
        raise _MalformedError
    source, target = data[start + 12 : start + 16], data[start + 16 : start + 20]
    # Segmentation by the network card leaves 0; octets behind the total are the link's padding.
    end = start + total if total else len(data) + packet.lost
    if not fragment & (_OFFSET | _MORE):
        return _transport(packet, protocol, (source, target), start + head, end, counts)
    offset, last = (fragment & _OFFSET) * 8, not fragment & _MORE
    part = _fragment(packet, start + head, end, offset, last, protocol)
    found = fragments.add((source, target, name, protocol), part, counts)
    if found is None:
        return []
    whole = replace(packet, data=found[1], lost=0)
    return _transport(whole, protocol, (source, target), 0, len(found[1]), counts)


def _fragment(
    packet: Packet, start: int, end: int, offset: int, is_last: bool, protocol: int
) -> Fragment:
    if end > len(packet.data):
        raise _MalformedError  # not all of it was captured
    return Fragment(packet.at_ns, offset, is_last, protocol, packet.data[start:end])


def _ipv6(
    packet: Packet, start: int, counts: Counter[str], fragments: Fragments
) -> list[Segment | Chunk]:
    data = packet.data
    first, length, protocol = struct.unpack_from(">B3xHB", data, start)
    if first >> 4 != 6:
        raise _MalformedError
    addresses = data[start + 8 : start + 24], data[start + 24 : start + 40]
    position = start + 40
    end = position + length if length else len(data) + packet.lost
    protocol, position = _behind_extensions(data, protocol, position)
    if protocol == _FRAGMENT:
        protocol, flags, name = struct.unpack_from(">BxHI", data, position)
        part = _fragment(packet, position + 8, end, flags & ~7, not flags & 1, protocol)
        found = fragments.add((*addresses, name), part, counts)
        if found is None:
            return []
        packet, end = replace(packet, data=found[1], lost=0), len(found[1])
        protocol, position = _behind_extensions(found[1], found[0], 0)
    if protocol == _NO_NEXT_HEADER:
        return []
    return _transport(packet, protocol, addresses, position, end, counts)


def _behind_extensions(data: bytes, protocol: int, position: int) -> tuple[int, int]:
    while protocol in _EXTENSIONS or protocol == _AUTHENTICATION:
        following, size = data[position], data[position + 1]
        position += (size + 2) * 4 if protocol == _AUTHENTICATION else (size + 1) * 8
        protocol = following
    return protocol, position


def _transport(
    packet: Packet,
    protocol: int,
    addresses: tuple[bytes, bytes],
    start: int,
    end: int,
    counts: Counter[str],
) -> list[Segment | Chunk]:
    if protocol == _TCP:
        return [_tcp(packet, addresses, start, end)]
    if protocol == _SCTP:
        return list(_sctp(packet, addresses, start, min(end, len(packet.data))))
    counts["packets that are neither TCP nor SCTP"] += 1
    return []


def _tcp(packet: Packet, addresses: tuple[bytes, bytes], start: int, end: int) -> Segment:
    source_port, target_port, sequence, offset, flags = struct.unpack_from(
        ">HHI4xBB", packet.data, start
    )
    begin = start + (offset >> 4) * 4
    if begin < start + 20 or begin > end:
        raise _MalformedError
    data = packet.data[begin:end]
    return Segment(
        packet.number,
        packet.at_ns,
        (addresses[0], source_port),
        (addresses[1], target_port),
        sequence,
        flags,
        data,
        end - begin - len(data),
    )


def _sctp(
    packet: Packet, addresses: tuple[bytes, bytes], start: int, end: int
) -> list[Segment | Chunk]:
    source_port, target_port = struct.unpack_from(">HH", packet.data, start)
    found: list[Segment | Chunk] = []
    position = start + 12
    while position + 4 <= end:
        kind, flags, length = struct.unpack_from(">BBH", packet.data, position)
        if length < 4 or position + length > end:
            raise _MalformedError
        if kind == 0 and length >= 16:
            sequence, stream = struct.unpack_from(">IH", packet.data, position + 4)
            found.append(
                Chunk(
                    packet.number,
                    packet.at_ns,
                    (addresses[0], source_port),
                    (addresses[1], target_port),
                    sequence,
                    stream,
                    bool(flags & 2),
                    bool(flags & 1),
                    packet.data[position + 16 : position + length],
                )
            )
        position += length + 3 & -4
    return found
