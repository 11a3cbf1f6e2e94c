"""The order and the times in which conversations are played.

Requests of a session never overtake each other; as fast as answers come, requests about the same
subscriber do not either, so that balances change in the recorded order. Pure; run by `carrier`.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simulators.replay.conversations import Conversation, Step


class Due(NamedTuple):
    """A request to send now, and the lane that waits for its answer."""

    lane: "Lane"
    conversation: Conversation
    ordinal: int
    step: Step


class _Entry(NamedTuple):
    """A conversation in its lane, or a lane in the player, ordered by what is due first."""

    at_ns: int
    ordinal: int


class Lane:
    """Conversations of which one at a time may wait for an answer."""

    def __init__(self) -> None:
        self.members: dict[int, Conversation] = {}
        self.waiting: list[_Entry] = []
        self.current: int | None = None

    def add(self, ordinal: int, conversation: Conversation) -> None:
        """One more conversation; `ordinal` counts those of the run."""
        self.members[ordinal] = conversation
        self._queue(ordinal)

    def _queue(self, ordinal: int) -> None:
        at_ns = self.members[ordinal].next_ns()
        if at_ns is None:
            del self.members[ordinal]
        else:
            heapq.heappush(self.waiting, _Entry(at_ns, ordinal))

    def peek(self) -> _Entry | None:
        """What is due first; None when all is over."""
        return self.waiting[0] if self.waiting else None

    def ask(self) -> Due:
        """The request that is due first; the lane waits for its answer then."""
        entry = heapq.heappop(self.waiting)
        self.current = entry.ordinal
        conversation = self.members[entry.ordinal]
        return Due(self, conversation, entry.ordinal, conversation.ask())

    def answered(self, message: bytes | None) -> None:
        """Hand the answer over; the lane may ask again."""
        assert self.current is not None
        ordinal, self.current = self.current, None
        self.members[ordinal].answered(message)
        self._queue(ordinal)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast recorded time passes; 0 is as fast as answers come."""

    speed: float = 1.0

    @property
    def is_unpaced(self) -> bool:
        """Whether instants do not matter, only order."""
        return self.speed <= 0

    def elapsed_ns(self, recorded_ns: int) -> int:
        """When something is due that was so long after the beginning."""
        return 0 if self.is_unpaced else int(recorded_ns / self.speed)


class Player:
    """All conversations of a run; `client_of` tells who carries the requests of a recorded host."""

    def __init__(
        self,
        conversations: Sequence[Conversation],
        pace: Pace,
        client_of: Callable[[str], str],
    ) -> None:
        self.pace = pace
        self._client_of = client_of
        self._due: dict[str, list[tuple[int, int, Lane]]] = {}
        """What may ask, for each client, first things first."""
        lanes: dict[str, Lane] = {}
        for ordinal, conversation in enumerate(conversations):
            key = f"session {conversation.session_id}"
            if pace.is_unpaced and conversation.subscriber:
                key = conversation.subscriber
            lanes.setdefault(key, Lane()).add(ordinal, conversation)
        for lane in lanes.values():
            self._queue(lane)
        self.begins_ns = min((due[0][0] for due in self._due.values() if due), default=0)

    def _queue(self, lane: Lane) -> None:
        entry = lane.peek()
        if entry is not None:
            client = self._client_of(lane.members[entry.ordinal].origin_host)
            heapq.heappush(self._due.setdefault(client, []), (entry.at_ns, entry.ordinal, lane))

    @property
    def clients(self) -> list[str]:
        """Everybody who has something to ask first."""
        return sorted(self._due)

    def next_ns(self) -> int | None:
        """Nanoseconds after the start at which something is due; None while nothing is."""
        firsts = [due[0][0] for due in self._due.values() if due]
        return self.pace.elapsed_ns(min(firsts) - self.begins_ns) if firsts else None

    def take(self, client: str, elapsed_ns: int, room: int) -> list[Due]:
        """At most `room` requests of a client that are due."""
        due = self._due.get(client, [])
        taken: list[Due] = []
        while due and len(taken) < room:
            if self.pace.elapsed_ns(due[0][0] - self.begins_ns) > elapsed_ns:
                break
            taken.append(heapq.heappop(due)[2].ask())
        return taken

    def answered(self, lane: Lane, message: bytes | None) -> None:
        """The answer to what this lane asked; None when there is none."""
        lane.answered(message)
        self._queue(lane)
