"""Time and identifiers for everything that is not pure: the Clock protocol and time-ordered ids.

The pure core never imports this module's clocks; instants and ids come to it as arguments.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
NS_PER_MILLISECOND = 1_000_000
ID_EPOCH_MS = 1_735_689_600_000
"""2025-01-01T00:00:00Z, the zero of the time part of ids, in milliseconds since 1970."""

_NODE_BITS = 8
_SEQUENCE_BITS = 14
NODE_MAX = (1 << _NODE_BITS) - 1


class Clock(Protocol):
    """Where instants come from."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970-01-01T00:00:00Z."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never steps back, for timeouts and ages."""


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        """Return the wall clock in nanoseconds UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return the monotonic clock in nanoseconds."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands still until it is moved; for tests and dry runs."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Return the instant the clock was set to."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Return how far the clock was advanced so far."""
        return self._monotonic_ns

    def advance(self, seconds: int) -> None:
        """Move both clocks forward by ``seconds`` (>= 0)."""
        self._now_ns += seconds * NS_PER_SECOND
        self._monotonic_ns += seconds * NS_PER_SECOND


class FileClock:
    """The system clock shifted by the whole seconds written in a file, for black-box tests.

    The file is read again at most every 50 ms; an unreadable file keeps the last offset.
    """

    _REREAD_NS = 50 * NS_PER_MILLISECOND

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_ns = 0
        self._read_at_ns = -self._REREAD_NS
        self._read()

    def now_ns(self) -> int:
        """Return the wall clock plus the offset in the file."""
        self._read()
        return time.time_ns() + self._offset_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic clock; the offset does not move it."""
        return time.monotonic_ns()

    def _read(self) -> None:
        now = time.monotonic_ns()
        if now - self._read_at_ns < self._REREAD_NS:
            return
        self._read_at_ns = now
        try:
            self._offset_ns = int(self._path.read_text(encoding="ascii").strip()) * NS_PER_SECOND
        except (OSError, ValueError):
            return


class IdSource:
    """Time-ordered 63-bit ids: 41 bits of milliseconds, 8 bits of node, 14 bits of sequence.

    Ids of one source rise strictly, also when the clock steps back; when more than 16,384 are
    taken within a millisecond the time part runs ahead of the clock. Safe to share by threads.
    """

    def __init__(self, clock: Clock, node: int) -> None:
        if not 0 <= node <= NODE_MAX:
            raise ValueError(f"node must be 0..{NODE_MAX}, not {node}")
        self._clock = clock
        self._node = node << _SEQUENCE_BITS
        self._last_ms = -1
        self._sequence = 0
        self._lock = threading.Lock()

    def next_id(self) -> int:
        """Return an id greater than every id this source returned before."""
        with self._lock:
            now_ms = self._clock.now_ns() // NS_PER_MILLISECOND - ID_EPOCH_MS
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._sequence = 0
            else:
                self._sequence += 1
                if self._sequence >> _SEQUENCE_BITS:
                    self._last_ms += 1
                    self._sequence = 0
            return (self._last_ms << (_NODE_BITS + _SEQUENCE_BITS)) | self._node | self._sequence


def first_id_at(instant_ns: int) -> int:
    """Return the smallest id that could have been made at ``instant_ns`` or later."""
    elapsed_ms = max(0, -(-instant_ns // NS_PER_MILLISECOND) - ID_EPOCH_MS)
    return elapsed_ms << (_NODE_BITS + _SEQUENCE_BITS)


def made_ns(row_id: int) -> int:
    """Return when an id was made (ns UTC, to the millisecond); see IdSource."""
    return ((row_id >> (_NODE_BITS + _SEQUENCE_BITS)) + ID_EPOCH_MS) * NS_PER_MILLISECOND
