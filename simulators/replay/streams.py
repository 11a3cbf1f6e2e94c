"""One direction of a TCP connection put together again from captured segments (RFC 9293).

Segments may come twice, overlap, come out of order or be missing; what was seen first counts. Pure,
and bounded: what waits for a missing piece has a limit, beyond which the piece is given up. Used by
`exchanges`.
"""

import heapq
from typing import NamedTuple

AHEAD_OCTETS_MAX = 256 << 10
AHEAD_SEGMENTS_MAX = 256
_HALF, _MODULUS = 1 << 31, 1 << 32
_LATE_SYN = 1 << 20
"""A SYN that is captured after what follows it names a number so little before."""


class Piece(NamedTuple):
    """The next octets of a stream, and the packet they came in; `gap` octets before are missing."""

    data: bytes
    at_ns: int
    number: int
    gap: int = 0


class _Ahead(NamedTuple):
    """What came too early; ordered by position and then by arrival."""

    position: int
    order: int
    data: bytes
    at_ns: int
    number: int
    lost: int


class Stream:
    """Turns segments into pieces in order; positions count octets since the first one seen."""

    def __init__(self) -> None:
        self.from_start = False
        """Whether its beginning was captured."""
        self.retransmissions = 0
        self.gaps = 0
        self._expected: int | None = None
        self._position = 0
        self._first: int | None = None
        self._begin = 0
        self._ahead: list[_Ahead] = []
        self._ahead_octets = 0
        self._arrivals = 0
        self._missing = 0

    def synchronise(self, sequence: int) -> bool:
        """A SYN: false if it begins another connection than the one this stream is of."""
        if self._expected is None:
            self._first = sequence
            self._expected = (sequence + 1) % _MODULUS
            self.from_start = True
        elif self._first is None and (self._begin - sequence) % _MODULUS <= _LATE_SYN:
            self._first = sequence
        return sequence == self._first

    def add(
        self, sequence: int, data: bytes, at_ns: int, number: int, lost: int = 0
    ) -> list[Piece]:
        """What a segment completes; `lost` octets behind its data were never captured."""
        if not data and not lost:
            return []
        if self._expected is None:
            self._expected = self._begin = sequence
        distance = (sequence - self._expected) % _MODULUS
        if distance >= _HALF:
            distance -= _MODULUS
        if distance + len(data) + lost <= 0:
            # Also keep-alives, whose one octet is behind everything.
            self.retransmissions += 1
            return []
        self._arrivals += 1
        entry = _Ahead(self._position + distance, self._arrivals, data, at_ns, number, lost)
        heapq.heappush(self._ahead, entry)
        self._ahead_octets += len(data)
        pieces = self._drain()
        while self._ahead_octets > AHEAD_OCTETS_MAX or len(self._ahead) > AHEAD_SEGMENTS_MAX:
            pieces += self._skip()
        return pieces

    def finish(self) -> list[Piece]:
        """Everything that still waits: what it waited for will not come."""
        pieces: list[Piece] = []
        while self._ahead:
            pieces += self._skip()
        return pieces

    def _drain(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._ahead and self._ahead[0].position <= self._position:
            entry = heapq.heappop(self._ahead)
            self._ahead_octets -= len(entry.data)
            known = self._position - entry.position
            if known > 0:
                self.retransmissions += 1
            fresh = entry.data[known:]
            if fresh:
                pieces.append(Piece(fresh, entry.at_ns, entry.number, self._missing))
                self._missing = 0
                self._advance(len(fresh))
            beyond = entry.position + len(entry.data) + entry.lost - self._position
            if entry.lost and beyond > 0:
                self._give_up(beyond)
        return pieces

    def _skip(self) -> list[Piece]:
        """Go on behind the missing octets."""
        self._give_up(self._ahead[0].position - self._position)
        return self._drain()

    def _give_up(self, octets: int) -> None:
        self.gaps += 1
        self._missing += octets
        self._advance(octets)

    def _advance(self, octets: int) -> None:
        self._position += octets
        assert self._expected is not None
        self._expected = (self._expected + octets) % _MODULUS
