"""A run made into a capture that `ocs simulate replay`, tshark and Wireshark read.

Each message becomes a TCP segment of a connection to port 3868, nanoseconds included, in the
classic pcap format with bare IP packets: what was exchanged is real, the packets around it are not.
`Recorder` is an observer of `traffic`; `CaptureWriter` takes messages from anybody.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from protocol.credit_control import CreditControlAnswer
from simulators.traffic.observer import Observer
from simulators.traffic.subscriber import Demand, Session

SEGMENT_OCTETS_MAX = 60_000

_MAGIC_NS, _RAW_IP, _SNAP_LENGTH = 0xA1B23C4D, 101, 1 << 18
_SERVER_PORT, _FIRST_CLIENT_PORT, _CLIENT_PORTS = 3868, 40_000, 20_000
_SERVER_ADDRESS = bytes((192, 0, 2, 1))
_CLIENT_NETWORK = bytes((198, 51))
"""Addresses for documentation: nobody has them (RFC 5737); the clients' last octets count."""
_FIN, _SYN, _PUSH, _ACK = 0x01, 0x02, 0x08, 0x10
_NS = 1_000_000_000


class CaptureWriter:
    """Writes a capture packet by packet, so that what is there is readable whenever a run ends."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        header = struct.pack(">IHHiIII", _MAGIC_NS, 2, 4, 0, 0, _SNAP_LENGTH, _RAW_IP)
        self._file.write(header)
        self._flows: dict[str, _Flow] = {}
        self._last_ns = 0
        self.messages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def add(self, at_ns: int, client: str, message: bytes, *, from_client: bool) -> None:
        """One message between a client and the server; instants never go back."""
        self._last_ns = max(at_ns, self._last_ns)
        flow = self._flows.get(client)
        if flow is None:
            flow = self._flows[client] = _Flow(len(self._flows))
            for packet in flow.opening():
                self._packet(packet)
        for start in range(0, len(message), SEGMENT_OCTETS_MAX):
            part = message[start : start + SEGMENT_OCTETS_MAX]
            self._packet(flow.segment(_PUSH | _ACK, part, from_client=from_client))
        self.messages += 1

    def close(self) -> None:
        """End the connections and the file."""
        for flow in self._flows.values():
            for packet in flow.closing():
                self._packet(packet)
        self._flows.clear()
        self._file.close()

    def _packet(self, packet: bytes) -> None:
        seconds, fraction = divmod(self._last_ns, _NS)
        size = len(packet)
        self._file.write(struct.pack(">IIII", seconds, fraction, size, size) + packet)


class _Flow:
    """One TCP connection: its two ends with their sequence numbers, the client's first."""

    def __init__(self, ordinal: int) -> None:
        high, low = divmod(ordinal, 250)
        client = _CLIENT_NETWORK + bytes((100 + high % 100, 1 + low))
        port = _FIRST_CLIENT_PORT + ordinal % _CLIENT_PORTS
        self._ends = ((client, port), (_SERVER_ADDRESS, _SERVER_PORT))
        self._next = [1000, 2000]

    def opening(self) -> list[bytes]:
        """The handshake."""
        return [
            self.segment(_SYN, b"", from_client=True),
            self.segment(_SYN | _ACK, b"", from_client=False),
            self.segment(_ACK, b"", from_client=True),
        ]

    def closing(self) -> list[bytes]:
        """Both say that they have finished."""
        return [self.segment(_FIN | _ACK, b"", from_client=one) for one in (True, False)]

    def segment(self, flags: int, data: bytes, *, from_client: bool) -> bytes:
        """An IPv4 packet with correct checksums."""
        source, target = (0, 1) if from_client else (1, 0)
        (source_ip, source_port), (target_ip, target_port) = self._ends[source], self._ends[target]
        acknowledged = self._next[target] if flags & _ACK else 0
        head = struct.pack(
            ">HHIIBBHHH", source_port, target_port, self._next[source], acknowledged, 5 << 4,
            flags, 65_535, 0, 0,
        )  # fmt: skip
        self._next[source] += len(data) + bool(flags & (_SYN | _FIN))
        self._next[source] &= 0xFFFFFFFF
        pseudo = source_ip + target_ip + struct.pack(">HH", 6, len(head) + len(data))
        checksum = _checksum(pseudo + head + data)
        tcp = head[:16] + checksum + head[18:] + data
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, source_ip, target_ip
        )
        return ip[:10] + _checksum(ip) + ip[12:] + tcp


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) & 1)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


class Recorder(Observer):
    """Records the requests and answers of a run, each gateway's as one connection."""

    def __init__(self, writer: CaptureWriter) -> None:
        self._writer = writer

    def request_sent(
        self,
        at_ns: int,
        gateway: str,
        session: Session,  # noqa: ARG002 - the message says it all
        demand: Demand,  # noqa: ARG002
        message: bytes,
    ) -> None:
        """Write it down."""
        self._writer.add(at_ns, gateway, _numbered(message), from_client=True)

    def answer_received(
        self,
        at_ns: int,
        gateway: str,
        session: Session,  # noqa: ARG002
        demand: Demand,  # noqa: ARG002
        answer: CreditControlAnswer,  # noqa: ARG002
        message: bytes,
        latency_us: int,  # noqa: ARG002
    ) -> None:
        """Write it down."""
        self._writer.add(at_ns, gateway, _numbered(message), from_client=False)

    def unanswered(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        """Nothing was on the wire."""

    def fault(self, at_ns: int, kind: str, detail: str) -> None:
        """A capture has no place for it."""

    def server_asked(
        self,
        at_ns: int,
        gateway: str,
        session_id: str,  # noqa: ARG002
        message: bytes,
        answer: bytes,
    ) -> None:
        """Write both down."""
        self._writer.add(at_ns, gateway, message, from_client=False)
        self._writer.add(at_ns, gateway, answer, from_client=True)


def _numbered(message: bytes) -> bytes:
    """The message with its End-to-End as Hop-by-Hop identifier.

    An observer sees requests before the connection has numbered them; requests and answers find
    each other in the capture because both are renumbered.
    """
    return message[:12] + message[16:20] + message[16:]
