"""Sessions that clients end with an STR, one after the other and in turns between connections.

Fed by ``diameter``. The store's thread gets one at a time, so that a batch of requests waits for
one at most, however many STRs somebody sends; what waits too long or is too many gets TOO_BUSY.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ocs.charging.model.messages import Outcome
from ocs.clock import Clock
from ocs.errors import StoreUnavailableError
from ocs.service.batches.fairness import FairLanes
from ocs.service.batches.worker import Worker
from ocs.service.timers.endings import Ending

Done = Callable[[Outcome], None]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Termination:
    """One STR; ``peer`` is the connection it came by, ``deadline_ns`` by the monotonic clock."""

    peer: str
    deadline_ns: int
    ending: Ending
    done: Done

    @property
    def request(self) -> Termination:
        """What waits: itself."""
        return self


class Terminations:
    """What waits to be ended; used on the reactor's thread."""

    def __init__(
        self,
        worker: Worker,
        clock: Clock,
        terminate: Callable[[Ending], Outcome],
        refused: Callable[[str, int], None],
        *,
        waiting_max: int,
        within_ns: int,
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._terminate = terminate
        self._refused = refused
        self._waiting_max = waiting_max
        self._within_ns = within_ns
        self._lanes: FairLanes[Termination] = FairLanes()
        self._busy = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._lanes.size

    def submit(self, peer: str, ending: Ending, done: Done) -> None:
        """End a session; ``done`` is called with the outcome, perhaps before this returns."""
        deadline_ns = self._clock.monotonic_ns() + self._within_ns
        new = Termination(peer, deadline_ns, ending, done)
        victim = self._lanes.add_within(new, self._waiting_max)
        if victim is not None:
            self._refuse(victim, "queue-full")
        self._next()

    def _next(self) -> None:
        if self._busy:
            return
        batch, old = self._lanes.take(1, self._clock.monotonic_ns())
        for late in old:
            self._refuse(late, "late")
        if batch:
            (one,) = batch
            self._busy = True
            self._worker.submit(
                lambda: self._terminate(one.ending),
                lambda outcome, error: self._finished(one, outcome, error),
            )

    def _refuse(self, one: Termination, reason: str) -> None:
        self._refused(reason, 1)
        one.done(Outcome.TOO_BUSY)

    def _finished(
        self, one: Termination, outcome: Outcome | None, error: BaseException | None
    ) -> None:
        self._busy = False
        if isinstance(error, StoreUnavailableError):
            outcome = Outcome.TOO_BUSY
        elif error is not None or outcome is None:
            _log.error("ending a session failed", exc_info=error)
            outcome = Outcome.UNABLE_TO_COMPLY
        self._next()
        one.done(outcome)
