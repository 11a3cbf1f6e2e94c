"""Captures and packets made by hand, field by field, for the tests of what reads them."""

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from protocol.credit_control import (
    CreditControlAnswer,
    CreditControlRequest,
    MultipleServices,
    ServiceUnits,
    SubscriptionId,
)
from protocol.credit_control_writer import write_cca, write_ccr

CLIENT4, SERVER4 = bytes((10, 1, 2, 3)), bytes((10, 9, 8, 7))
CLIENT6, SERVER6 = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
CLIENT_PORT, SERVER_PORT = 41_000, 3868
SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
SYN, ACK, FIN = 2, 16, 1


class Made(NamedTuple):
    """A packet to be written: when, and its octets; `cut` of them are left out."""

    at_ns: int
    data: bytes
    cut: int = 0


# ------------------------------------------------------------------------------------ packets


def tcp(
    data: bytes, sequence: int = 1, flags: int = ACK, *, back: bool = False,
    ports: tuple[int, int] = (CLIENT_PORT, SERVER_PORT), options: bytes = b"",
) -> bytes:  # fmt: skip
    """A TCP header with options and its data; `back` is from the server."""
    source, target = reversed(ports) if back else ports
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack(">HHIIBBHHH", source, target, sequence, 1, offset, flags, 65_535, 0, 0)
    return head + options + data


def ipv4(
    payload: bytes, *, back: bool = False, protocol: int = 6, fragment: int = 0x4000,
    options: bytes = b"", total: int | None = None,
) -> bytes:  # fmt: skip
    """An IPv4 packet."""
    source, target = (SERVER4, CLIENT4) if back else (CLIENT4, SERVER4)
    size = 20 + len(options) + len(payload) if total is None else total
    first = 0x40 | (20 + len(options)) // 4
    head = struct.pack(
        ">BBHHHBBH4s4s", first, 0, size, 7, fragment, 64, protocol, 0, source, target
    )
    return head + options + payload


def ipv6(payload: bytes, *, back: bool = False, protocol: int = 6, before: bytes = b"") -> bytes:
    """An IPv6 packet; `before` are extension headers, the first of which `protocol` names."""
    source, target = (SERVER6, CLIENT6) if back else (CLIENT6, SERVER6)
    size = len(before) + len(payload)
    return struct.pack(">IHBB", 6 << 28, size, protocol, 64) + source + target + before + payload


def fragments4(packet: bytes, size: int, name: int = 7) -> list[bytes]:
    """An IPv4 packet without options in fragments of so many octets, a multiple of 8."""
    payload, protocol, back = packet[20:], packet[9], packet[12:16] == SERVER4
    made = []
    for offset in range(0, len(payload), size):
        more = 0x2000 if offset + size < len(payload) else 0
        part = ipv4(
            payload[offset : offset + size],
            back=back, protocol=protocol, fragment=more | offset // 8,
        )  # fmt: skip
        made.append(part[:4] + struct.pack(">H", name) + part[6:])
    return made


def fragments6(packet: bytes, size: int, name: int = 7) -> list[bytes]:
    """An IPv6 packet in fragments of so many octets, a multiple of 8; all after the IPv6 header."""
    payload, protocol, back = packet[40:], packet[6], packet[8:24] == SERVER6
    made = []
    for offset in range(0, len(payload), size):
        more = 1 if offset + size < len(payload) else 0
        head = struct.pack(">BBHI", protocol, 0, offset | more, name)
        part = payload[offset : offset + size]
        made.append(ipv6(part, back=back, protocol=44, before=head))
    return made


def ethernet(packet: bytes, *tags: int) -> bytes:
    """An Ethernet frame with VLAN tags of these types."""
    frame = bytes(12)
    for tag in tags:
        frame += struct.pack(">HH", tag, 42)
    return frame + struct.pack(">H", _ether_type(packet)) + packet


def _ether_type(packet: bytes) -> int:
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD


def cooked(packet: bytes) -> bytes:
    """Linux cooked capture, version 1."""
    return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), _ether_type(packet)) + packet


def cooked_2(packet: bytes) -> bytes:
    """Linux cooked capture, version 2."""
    return struct.pack(">HHIHBB8s", _ether_type(packet), 0, 3, 1, 0, 6, bytes(8)) + packet


def null(order: str) -> Callable[[bytes], bytes]:
    """BSD loopback; the family is in the order of the capturing machine."""
    return lambda packet: struct.pack(f"{order}I", 2 if packet[0] >> 4 == 4 else 30) + packet


def ppp(packet: bytes) -> bytes:
    """PPP in HDLC-like framing."""
    protocol = 0x0021 if packet[0] >> 4 == 4 else 0x0057
    return b"\xff\x03" + struct.pack(">H", protocol) + packet


def as_is(packet: bytes) -> bytes:
    """Bare IP."""
    return packet


LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "ethernet": (1, ethernet),
    "vlan": (1, lambda packet: ethernet(packet, 0x8100)),
    "two vlans": (1, lambda packet: ethernet(packet, 0x88A8, 0x8100)),
    "padded ethernet": (1, lambda packet: ethernet(packet) + bytes(9)),
    "cooked": (113, cooked),
    "cooked 2": (276, cooked_2),
    "raw 101": (101, as_is),
    "raw 12": (12, as_is),
    "null, little endian": (0, null("<")),
    "null, big endian": (0, null(">")),
    "loop": (108, null(">")),
    "ppp": (9, ppp),
}


# -------------------------------------------------------------------------------------- files


def pcap(
    packets: Iterable[Made], link_type: int = 101, *, order: str = "<", nanoseconds: bool = False
) -> bytes:
    """A file in the classic format."""
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    made = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262_144, link_type)]
    for one in packets:
        seconds, rest = divmod(one.at_ns, SECOND)
        kept = one.data[: len(one.data) - one.cut]
        made.append(struct.pack(f"{order}IIII", seconds, rest // unit, len(kept), len(one.data)))
        made.append(kept)
    return b"".join(made)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """One pcapng block."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    """A section header."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int, order: str = "<", *, resolution: int = 6, offset: int = 0) -> bytes:
    """An interface description: 10**-resolution seconds, or with bit 7 a power of two."""
    options = struct.pack(f"{order}HHB3x", 9, 1, resolution)
    options += struct.pack(f"{order}HHq", 14, 8, offset) + struct.pack(f"{order}HH", 0, 0)
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 262_144) + options, order)


def packet_block(units: int, data: bytes, number: int = 0, order: str = "<") -> bytes:
    """An enhanced packet block."""
    head = struct.pack(
        f"{order}IIIII", number, units >> 32, units & 0xFFFFFFFF, len(data), len(data)
    )
    return block(6, head + data, order)


# ----------------------------------------------------------------------------------- messages


def ccr(
    session: str = "pgw1.epc.example;1;1", kind: int = 1, number: int = 0, *, host: str = "",
    end_to_end: int = 0, hop_by_hop: int = 0, msisdn: str = "4915112345678", **values: object,
) -> bytes:  # fmt: skip
    """A request of a client of epc.example."""
    request = CreditControlRequest(
        session,
        host or "pgw1.epc.example",
        "epc.example",
        "32251@3gpp.org",
        kind,
        number,
        destination_realm="old.example",
        auth_application_id=4,
        subscription_ids=[SubscriptionId(0, msisdn)],
        services=[MultipleServices(requested=ServiceUnits(), rating_group=100)],
    )
    for name, value in values.items():
        setattr(request, name, value)
    ids = (hop_by_hop or 100 + number, end_to_end or 7000 + number)
    return write_ccr(request, *ids)


def cca(request: bytes, result_code: int = 2001, **values: object) -> bytes:
    """An answer to it; without other `services`, a megabyte for an hour."""
    part = MultipleServices(
        rating_group=100, result_code=2001, granted=ServiceUnits(total_octets=1_000_000),
        validity_time=3600,
    )  # fmt: skip
    answer = CreditControlAnswer(
        "pgw1.epc.example;1;1", result_code, "ocs.old.example", "old.example", 1, 0,
        services=[part],
    )  # fmt: skip
    for name, value in values.items():
        setattr(answer, name, value)
    hop_by_hop, end_to_end = struct.unpack_from(">II", request, 12)
    return write_cca(answer, hop_by_hop, end_to_end, True)


class Talk:
    """A TCP connection as packets of a bare IPv4 link, segment by segment."""

    def __init__(
        self, ports: tuple[int, int] = (CLIENT_PORT, SERVER_PORT), first: int = 1000
    ) -> None:
        self.packets: list[Made] = []
        self.at_ns = START_NS
        self._ports = ports
        self._next = {False: first, True: first + 5_000_000}

    def open(self) -> "Talk":
        """The handshake."""
        self.send(b"", flags=SYN)
        self.send(b"", flags=SYN | ACK, back=True)
        return self

    def send(self, data: bytes, *, flags: int = ACK, back: bool = False) -> "Talk":
        """One segment, a millisecond later than the last."""
        self.at_ns += 1_000_000
        part = tcp(data, self._next[back] & 0xFFFFFFFF, flags, back=back, ports=self._ports)
        self.packets.append(Made(self.at_ns, ipv4(part, back=back)))
        self._next[back] += len(data) + bool(flags & (SYN | FIN))
        return self

    def exchange_all(self, messages: Iterable[tuple[bytes, bytes | None]]) -> "Talk":
        """Requests with their answers, one after the other."""
        for request, answer in messages:
            self.exchange(request, answer)
        return self

    def exchange(self, request: bytes, answer: bytes | None) -> "Talk":
        """A request and its answer."""
        self.send(request)
        return self if answer is None else self.send(answer, back=True)


def session(ordinal: int = 1, updates: int = 1, **values: object) -> list[tuple[bytes, bytes]]:
    """Requests and answers of a session from CCR-I to CCR-T."""
    made = []
    for number in range(updates + 2):
        kind = 1 if number == 0 else 3 if number == updates + 1 else 2
        ids = ordinal * 1000 + number
        request = ccr(
            f"pgw1.epc.example;1;{ordinal}", kind, number, end_to_end=ids, hop_by_hop=ids,
            **values,  # type: ignore[arg-type]
        )  # fmt: skip
        made.append((request, cca(request)))
    return made
