"""Credit-control requests and their answers out of captured segments, in the order they were sent.

Each TCP connection or SCTP association is put together and cut into messages; answers are matched
by connection, Hop-by-Hop and End-to-End identifier. A request that was sent again, or that was
captured on both sides of an agent, counts once. Used by `loading`.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from protocol import codec
from protocol.codec import HEADER_SIZE, Header, read_header
from protocol.credit_control import CREDIT_CONTROL_APPLICATION, CREDIT_CONTROL_COMMAND
from protocol.credit_control_reader import partial_ccr_fields
from protocol.errors import RemoteProtocolError
from simulators.replay.cutter import Cut, MessageCutter
from simulators.replay.findings import Findings
from simulators.replay.packets import FIN, RST, SYN, Chunk, Endpoint, Segment, endpoint_text
from simulators.replay.streams import Piece, Stream

CONNECTIONS_MAX = 1000
EXCHANGES_MAX = 1_000_000
REMEMBERED_OCTETS_MAX = 512 << 20
CHUNKED_OCTETS_MAX = 1 << 20

_ORIGIN_HOST = 264


@dataclass(slots=True)
class Exchange:
    """A CCR and what it was answered; `number` is its packet, `origin_host` its client."""

    at_ns: int
    number: int
    request: bytes
    session_id: bytes
    origin_host: str
    request_type: int | None
    answer: bytes | None = None


class Full(Exception):  # noqa: N818 - it is no error of anybody
    """There is more in a capture than is remembered."""


class _Key(NamedTuple):
    """What an answer has in common with its request; `from_first` says who sent the request."""

    connection: int
    from_first: bool
    hop_by_hop: int
    end_to_end: int


class _Direction:
    """One side of a connection that sends: its octets in order, and its messages."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.cutter: MessageCutter | None = None

    def cut(self, pieces: list[Piece]) -> list[Cut]:
        if self.cutter is None:
            self.cutter = MessageCutter(from_start=self.stream.from_start)
        return [cut for piece in pieces for cut in self.cutter.feed(piece)]


class _Association:
    """One direction of SCTP: messages in pieces, by stream; chunks that come twice are known."""

    def __init__(self) -> None:
        self.seen: OrderedDict[int, None] = OrderedDict()
        self.parts: dict[int, list[Chunk]] = {}

    def add(self, chunk: Chunk) -> Cut | None:
        if chunk.sequence in self.seen:
            return None
        self.seen[chunk.sequence] = None
        if len(self.seen) > 1024:
            self.seen.popitem(last=False)
        parts = self.parts.setdefault(chunk.stream, []) if len(self.parts) < 256 else []
        if chunk.begins:
            parts.clear()
        parts.append(chunk)
        if sum(len(one.data) for one in parts) > CHUNKED_OCTETS_MAX:
            parts.clear()
        if not chunk.ends or not parts:
            return None
        whole = parts[0].begins and all(
            (before.sequence + 1) & 0xFFFFFFFF == after.sequence
            for before, after in pairwise(parts)
        )
        message = b"".join(one.data for one in parts)
        parts.clear()
        return Cut(message, chunk.at_ns, chunk.number) if whole else None


@dataclass(slots=True)
class _Connection:
    """Two endpoints that talk; `first` is the lower of them."""

    number: int
    first: Endpoint
    second: Endpoint
    directions: tuple[_Direction, _Direction] = field(
        default_factory=lambda: (_Direction(), _Direction())
    )
    associations: tuple[_Association, _Association] = field(
        default_factory=lambda: (_Association(), _Association())
    )
    messages: int = 0

    @property
    def name(self) -> str:
        return f"{endpoint_text(self.first)} - {endpoint_text(self.second)}"


class Collector:
    """Takes segments and chunks in; `finish` gives the exchanges. Raises Full beyond its limits."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.messages = 0
        self.connections = 0
        self.encrypted = 0
        """Connections that speak TLS, which cannot be read."""
        self._open: OrderedDict[tuple[bool, Endpoint, Endpoint], _Connection] = OrderedDict()
        self._exchanges: list[Exchange] = []
        self._waiting: dict[_Key, list[Exchange]] = {}
        self._answers: dict[_Key, list[bytes]] = {}
        self._first: dict[tuple[str, bytes, int], Exchange] = {}
        self._octets = 0

    def add(self, part: Segment | Chunk) -> None:
        """One more part of what was captured."""
        swapped = part.source > part.target
        low, high = (part.target, part.source) if swapped else (part.source, part.target)
        key = (isinstance(part, Chunk), low, high)
        connection = self._open.get(key)
        if isinstance(part, Chunk):
            connection = connection or self._opened(key)
            cut = connection.associations[swapped].add(part)
            self._take(connection, swapped, [cut] if cut else [])
            return
        if part.flags & SYN and connection is not None:
            stream = connection.directions[swapped].stream
            if not stream.synchronise(part.sequence):
                self._close(key)
                connection = None
        if connection is None:
            if not part.data and not part.flags & SYN:
                return
            connection = self._opened(key)
        direction = connection.directions[swapped]
        first = part.sequence
        if part.flags & SYN:
            direction.stream.synchronise(part.sequence)
            first = (part.sequence + 1) & 0xFFFFFFFF
        pieces = direction.stream.add(first, part.data, part.at_ns, part.number, part.lost)
        self._take(connection, swapped, direction.cut(pieces))
        if part.flags & (FIN | RST):
            self._open.move_to_end(key, last=False)  # the first to go when there are too many

    def finish(self) -> list[Exchange]:
        """Everything that was found, sorted by the time it was sent."""
        for key in list(self._open):
            self._close(key)
        for answer_key, answers in self._answers.items():
            for exchange, answer in zip(self._waiting.get(answer_key, ()), answers, strict=False):
                exchange.answer = exchange.answer or answer
        left = sum(len(one) for one in self._answers.values())
        matched = sum(
            min(len(one), len(self._waiting.get(key, ()))) for key, one in self._answers.items()
        )
        if left > matched:
            self.findings.notes["answers without a request in the capture"] += left - matched
        self._answers.clear()
        self._waiting.clear()
        kept = [one for one in self._exchanges if self._first[_identity(one)] is one]
        for one in self._exchanges:
            first = self._first[_identity(one)]
            first.answer = first.answer or one.answer
        again = len(self._exchanges) - len(kept)
        if again:
            self.findings.notes["requests that were sent again, left out"] += again
        silent = sum(one.answer is None for one in kept)
        if silent:
            self.findings.notes["requests without an answer in the capture"] += silent
        return sorted(kept, key=lambda one: (one.at_ns, one.number))

    # ------------------------------------------------------------------------- connections

    def _opened(self, key: tuple[bool, Endpoint, Endpoint]) -> _Connection:
        if len(self._open) >= CONNECTIONS_MAX:
            self._close(next(iter(self._open)))
        self.connections += 1
        connection = _Connection(self.connections, key[1], key[2])
        self._open[key] = connection
        return connection

    def _close(self, key: tuple[bool, Endpoint, Endpoint]) -> None:
        connection = self._open.pop(key)
        for swapped, direction in enumerate(connection.directions):
            self._take(connection, bool(swapped), direction.cut(direction.stream.finish()))
        if not connection.messages:
            self.encrypted += any(
                one.cutter is not None and one.cutter.encrypted for one in connection.directions
            )
            return
        for direction in connection.directions:
            cutter, stream = direction.cutter, direction.stream
            if stream.retransmissions:
                self.findings.notes["TCP segments that came again"] += stream.retransmissions
            if stream.gaps:
                self.findings.problem(
                    f"octets are missing in {stream.gaps} places of the connection"
                    f" {connection.name}: messages there are lost"
                )
            elif cutter is not None and cutter.skipped_octets and stream.from_start:
                self.findings.problem(
                    f"{cutter.skipped_octets} octets of the connection {connection.name} are no"
                    " whole Diameter messages"
                )

    # ---------------------------------------------------------------------------- messages

    def _take(self, connection: _Connection, swapped: bool, cuts: list[Cut]) -> None:
        for cut in cuts:
            if len(cut.message) < HEADER_SIZE:
                continue
            header = read_header(cut.message)
            if header.version != 1 or header.length != len(cut.message):
                continue  # SCTP carries other things too
            connection.messages += 1
            self.messages += 1
            application, command = header.application_id, header.command_code
            if (application, command) == (CREDIT_CONTROL_APPLICATION, CREDIT_CONTROL_COMMAND):
                self._credit_control(connection, swapped, header, cut)
            elif header.is_request and application:
                self.findings.notes["requests of other commands, left out"] += 1

    def _credit_control(
        self, connection: _Connection, swapped: bool, header: Header, cut: Cut
    ) -> None:
        from_first = swapped != header.is_request
        key = _Key(connection.number, from_first, header.hop_by_hop, header.end_to_end)
        self._octets += len(cut.message)
        if self._octets > REMEMBERED_OCTETS_MAX or len(self._exchanges) >= EXCHANGES_MAX:
            raise Full
        if not header.is_request:
            self._answers.setdefault(key, []).append(cut.message)
            return
        exchange = _exchange_of(cut)
        if exchange is None:
            self.findings.notes["requests without Session-Id or Origin-Host, left out"] += 1
            return
        self._exchanges.append(exchange)
        self._first.setdefault(_identity(exchange), exchange)
        self._waiting.setdefault(key, []).append(exchange)


def _identity(exchange: Exchange) -> tuple[str, bytes, int]:
    """What all copies of a request have in common (RFC 6733 section 3)."""
    end_to_end = int.from_bytes(exchange.request[16:20], "big")
    return exchange.origin_host, exchange.session_id, end_to_end


def _exchange_of(cut: Cut) -> Exchange | None:
    session_id, request_type, _, _ = partial_ccr_fields(cut.message)
    try:
        host = codec.find_avp(cut.message, HEADER_SIZE, len(cut.message), _ORIGIN_HOST)
    except RemoteProtocolError:
        host = None
    if session_id is None or host is None:
        return None
    length = int.from_bytes(host[5:8], "big")
    try:
        origin_host = host[8:length].decode("ascii")
    except UnicodeDecodeError:
        return None
    return Exchange(cut.at_ns, cut.number, cut.message, session_id, origin_host, request_type)
