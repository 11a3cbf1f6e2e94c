"""Who goes into the next batch when more requests wait than fit: each connection its fair share.

Used by ``batcher`` under overload only. Requests of one connection stay in their order; between
connections they are taken in turns, so a gateway with thousands of requests in work makes itself
wait and nobody else (B-009). Adding and taking a request cost the same however many wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar


class HasPeer(Protocol):
    """A request as far as its place in the queue depends on it."""

    @property
    def peer(self) -> str:
        """Who sent it, by the name of the connection."""

    @property
    def deadline_ns(self) -> int:
        """The monotonic instant after which it is not decided any more."""


class Waits(Protocol):
    """A job as this module needs it."""

    @property
    def request(self) -> HasPeer:
        """What waits."""


J = TypeVar("J", bound=Waits)


class _Lane(deque[J], Generic[J]):
    """The waiting jobs of one connection, oldest first."""

    __slots__ = ("peer",)

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.peer = peer


class FairLanes(Generic[J]):
    """The jobs that wait, by connection; ``size`` is how many."""

    def __init__(self) -> None:
        self.size = 0
        self._lanes: dict[str, _Lane[J]] = {}
        self._turn: deque[_Lane[J]] = deque()
        """The lanes that are not empty; the first has waited longest for its turn."""

    @property
    def peers(self) -> int:
        """How many connections have jobs here."""
        return len(self._turn)

    def waiting_of(self, peer: str) -> int:
        """Return how many jobs of one connection are here."""
        lane = self._lanes.get(peer)
        return len(lane) if lane is not None else 0

    def add(self, jobs: Iterable[J]) -> None:
        """Put jobs behind those of their connections."""
        lanes, count = self._lanes, 0
        for job in jobs:
            peer = job.request.peer
            lane = lanes.get(peer)
            if lane is None:
                lane = lanes[peer] = _Lane(peer)
                self._turn.append(lane)
            lane.append(job)
            count += 1
        self.size += count

    def add_within(self, job: J, most: int) -> J | None:
        """Put a job where ``most`` may be here; returns the one that has no room, perhaps itself.

        In full lanes a connection has its share, ``most`` divided by the connections that wait:
        who has more gives up its newest job for one of somebody who has less.
        """
        if self.size >= most:
            own = self.waiting_of(job.request.peer)
            share = most // (self.peers + (not own))
            victim = None if own >= share else self.take_newest_beyond(share)
            if victim is None:
                return job
            self.add((job,))
            return victim
        self.add((job,))
        return None

    def take(self, room: int, worth_ns: int) -> tuple[list[J], list[J]]:
        """Take up to ``room`` jobs in turns; also those met whose deadline is before ``worth_ns``.

        Returns (jobs to be decided, jobs too old), both no longer here.
        """
        batch: list[J] = []
        old: list[J] = []
        turn = self._turn
        while turn and len(batch) < room:
            share = max(1, (room - len(batch)) // len(turn))
            for _ in range(min(len(turn), room - len(batch))):
                lane = turn.popleft()
                taken = 0
                while lane and taken < share:
                    job = lane.popleft()
                    if job.request.deadline_ns < worth_ns:
                        old.append(job)
                    else:
                        batch.append(job)
                        taken += 1
                self._again_or_gone(lane)
        self.size -= len(batch) + len(old)
        return batch, old

    def take_newest_beyond(self, share: int) -> J | None:
        """Take the newest job of a connection that has more than ``share`` here."""
        turn = self._turn
        for _ in range(len(turn)):
            if len(turn[0]) > share:
                self.size -= 1
                lane = turn[0]
                job = lane.pop()
                if not lane:
                    self._again_or_gone(turn.popleft())
                return job
            turn.rotate(-1)
        return None

    def take_if(self, unwanted: Callable[[J], bool]) -> list[J]:
        """Take every job of which ``unwanted`` is true."""
        taken: list[J] = []
        for _ in range(len(self._turn)):
            lane = self._turn.popleft()
            kept = _Lane[J](lane.peer)
            for job in lane:
                (taken if unwanted(job) else kept).append(job)
            self._lanes[lane.peer] = kept
            self._again_or_gone(kept)
        self.size -= len(taken)
        return taken

    def _again_or_gone(self, lane: _Lane[J]) -> None:
        if lane:
            self._turn.append(lane)
        else:
            del self._lanes[lane.peer]
