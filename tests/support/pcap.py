"""Captures of messages that were really exchanged, written without the right to capture packets.

Each message becomes one TCP segment of a synthetic IPv4 connection, so that every frame of the file
holds one message, and no frame but the octets in it is made up. The file format is the classic
libpcap one with bare IP packets.
"""

import struct
from pathlib import Path
from typing import NamedTuple

MAGIC, LINK_TYPE_RAW_IP, SNAP_LENGTH = 0xA1B2C3D4, 101, 1 << 18
LOOPBACK = bytes([127, 0, 0, 1])
FIRST_CLIENT_PORT = 40_000
MAX_SEGMENT = 60_000
FIN, SYN, PUSH, ACK = 0x01, 0x02, 0x08, 0x10


class _Sent(NamedTuple):
    connection: int
    from_client: bool
    data: bytes


class Capture:
    """Messages between clients and one server."""

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self._sent: list[_Sent] = []
        self._connections = 0

    def connection(self) -> int:
        """Return the number of a new connection."""
        self._connections += 1
        return self._connections - 1

    def add(self, connection: int, data: bytes, *, from_client: bool) -> int:
        """Remember a message and return its place among all; at most 60,000 octets."""
        assert 0 < len(data) <= MAX_SEGMENT
        self._sent.append(_Sent(connection, from_client, data))
        return len(self._sent) - 1

    def write(self, path: Path) -> list[int]:
        """Write the file and return the frame number of each message; frames count from 1."""
        frames: list[bytes] = []
        numbers: list[int] = []
        flows: dict[int, _Flow] = {}
        for connection, from_client, data in self._sent:
            flow = flows.get(connection)
            if flow is None:
                flow = flows[connection] = _Flow(FIRST_CLIENT_PORT + connection, self.server_port)
                frames += flow.opening()
            frames.append(flow.segment(from_client, PUSH | ACK, data))
            numbers.append(len(frames))
        for flow in flows.values():
            frames += flow.closing()
        header = struct.pack(">IHHiIII", MAGIC, 2, 4, 0, 0, SNAP_LENGTH, LINK_TYPE_RAW_IP)
        records = (
            struct.pack(">IIII", 0, microseconds, len(frame), len(frame)) + frame
            for microseconds, frame in enumerate(frames)
        )
        path.write_bytes(header + b"".join(records))
        return numbers


class _Flow:
    """One TCP connection: ports and sequence numbers of its two sides, the client's first."""

    def __init__(self, client_port: int, server_port: int) -> None:
        self.ports = client_port, server_port
        self.next = [1000, 2000]

    def opening(self) -> list[bytes]:
        syn = self.segment(True, SYN, b"")
        syn_ack = self.segment(False, SYN | ACK, b"")
        return [syn, syn_ack, self.segment(True, ACK, b"")]

    def closing(self) -> list[bytes]:
        return [self.segment(from_client, FIN | ACK, b"") for from_client in (True, False)]

    def segment(self, from_client: bool, flags: int, data: bytes) -> bytes:
        source, target = (0, 1) if from_client else (1, 0)
        head = struct.pack(
            ">HHIIBBHHH",
            self.ports[source],
            self.ports[target],
            self.next[source],
            self.next[target] if flags & ACK else 0,
            5 << 4,
            flags,
            65535,
            0,
            0,
        )
        self.next[source] += len(data) + bool(flags & (SYN | FIN))
        pseudo = LOOPBACK + LOOPBACK + struct.pack(">HH", 6, len(head) + len(data))
        checksum = _checksum(pseudo + head + data)
        tcp = head[:16] + struct.pack(">H", checksum) + head[18:] + data
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, LOOPBACK, LOOPBACK
        )
        return ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:] + tcp


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
