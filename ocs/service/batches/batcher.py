"""Group commit without a timer: what arrives while one batch is being decided forms the next.

``submit`` is called on the reactor's thread by the Diameter edge for each request. With nothing
in flight, everything queued in this turn goes to the store's thread at once, so an idle server
answers a lone request without waiting. Every request gets exactly one reply, at the latest at its
deadline (D20).

As long as all that waits fits into one batch, nobody can be in another's way and the queue is a
list. Only beyond that are requests sorted by connection and taken in turns (``fairness``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from ocs.charging.model.messages import ChargingReply, ChargingRequest, Outcome
from ocs.clock import NS_PER_MILLISECOND, NS_PER_SECOND, Clock
from ocs.service.batches.fairness import FairLanes
from ocs.service.batches.worker import DelayedCall, Loop, Worker
from ocs.service.watching.masking import mask_session_id

SWEEP_SECONDS = 0.1
"""How late a reply to a request past its deadline may be."""
FORESIGHT_MAX_NS = 500 * NS_PER_MILLISECOND
"""The longest that the next batch is expected to take, whatever the last one took."""

_log = structlog.get_logger(__name__)

Callback = Callable[[ChargingReply, bool], None]
"""Called with the reply and whether it comes after the deadline."""
DecideBatch = Callable[[list[ChargingRequest]], Sequence[ChargingReply]]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``max_batch`` requests are decided in one transaction, ``max_queue`` may wait.

    In a full queue a connection has its share: ``max_queue`` divided by the connections that wait.
    """

    max_batch: int = 256
    max_queue: int = 20_000


class BatchObserver(Protocol):
    """Counts for the metrics; called once per batch, never per request."""

    def batch_done(
        self,
        requests: Sequence[ChargingRequest],
        replies: Sequence[ChargingReply],
        seconds: float,
        now_ns: int,
    ) -> None:
        """A batch was decided in ``seconds``; ``now_ns`` is the monotonic clock."""

    def refused(self, reason: str, count: int) -> None:
        """Requests were answered undecided: ``queue-full``, ``too-old``, ``late``, ``stopping``."""


class Job:
    """One request on its way; ``callback`` is None once it was answered."""

    __slots__ = ("callback", "request")

    def __init__(self, request: ChargingRequest, callback: Callback) -> None:
        self.request = request
        self.callback: Callback | None = callback

    def answer(self, reply: ChargingReply, late: bool) -> None:
        """Call back once; a fault in what the caller does with it stays there."""
        callback, self.callback = self.callback, None
        if callback is None:
            return
        try:
            callback(reply, late)
        except Exception:  # noqa: BLE001 -- one answer must not stop the others
            _log.exception(
                "sending an answer failed", session_id=mask_session_id(self.request.session_id)
            )


class Batcher:
    """The queue between the reactor and the store's thread."""

    def __init__(
        self,
        loop: Loop,
        worker: Worker,
        decide: DecideBatch,
        clock: Clock,
        observer: BatchObserver,
        limits: BatchLimits = BatchLimits(),
    ) -> None:
        self._loop = loop
        self._worker = worker
        self._decide = decide
        self._clock = clock
        self._observer = observer
        self._limits = limits
        self._queue: list[Job] = []
        """What has come since the last batch was taken, in order of arrival."""
        self._lanes: FairLanes[Job] = FairLanes()
        """What the last batch had no room for."""
        self._room = limits.max_queue
        """What ``_queue`` may hold beside ``_lanes``."""
        self._batch_ns = 0
        """What the last batch took."""
        self._in_flight: list[Job] = []
        self._hand_over_call: DelayedCall | None = None
        self._sweep_call: DelayedCall | None = None
        self._when_idle: list[Callable[[], None]] = []

    @property
    def queued(self) -> int:
        """Requests that wait for a batch."""
        return len(self._queue) + self._lanes.size

    @property
    def in_flight(self) -> int:
        """Requests in the batch that is being decided."""
        return len(self._in_flight)

    def submit(self, request: ChargingRequest, callback: Callback) -> None:
        """Queue a request; ``callback`` may be called before this returns when it is refused.

        A repetition of a request that still waits needs no care here: batches are decided one
        after the other, so it finds the stored answer, or its twin in the same batch.
        """
        job = Job(request, callback)
        if len(self._queue) >= self._room:
            self._submit_to_full(job)
            return
        self._queue.append(job)
        if not self._in_flight and self._hand_over_call is None:
            self._hand_over_call = self._loop.callLater(0, self._hand_over)
        if self._sweep_call is None:
            self._sweep_call = self._loop.callLater(SWEEP_SECONDS, self._sweep)

    def when_idle(self, done: Callable[[], None]) -> None:
        """Call ``done`` as soon as nothing is queued or in flight, perhaps at once."""
        if self.queued or self._in_flight:
            self._when_idle.append(done)
        else:
            done()

    def refuse_queued(self) -> None:
        """Answer TOO_BUSY to everything not yet in flight: the end of a bounded stop."""
        self._sort_queue()
        jobs = self._lanes.take_if(lambda _: True)
        self._room = self._limits.max_queue
        self._refuse(jobs, "stopping", "the server is stopping")

    def _submit_to_full(self, job: Job) -> None:
        """Refuse a request, or in its place the newest of a connection beyond its share."""
        self._sort_queue()
        victim = self._lanes.add_within(job, self._limits.max_queue)
        if victim is not None:
            self._refuse([victim], "queue-full", "too many requests are waiting")

    def _sort_queue(self) -> None:
        """Move what waits into the lanes of its connections."""
        queue, self._queue = self._queue, []
        self._lanes.add(queue)
        self._room = self._limits.max_queue - self._lanes.size

    def _refuse(self, jobs: Sequence[Job], reason: str, text: str) -> None:
        if jobs:
            self._observer.refused(reason, len(jobs))
        for job in jobs:
            job.answer(_busy(text), late=False)

    def _hand_over(self) -> None:
        self._hand_over_call = None
        if self._in_flight:
            return
        now = self._clock.monotonic_ns()
        queue = self._queue
        if self._lanes.size or len(queue) > self._limits.max_batch:
            batch = self._take_turns(now)
        else:
            self._queue = []
            batch = [job for job in queue if job.request.deadline_ns >= now]
            if len(batch) != len(queue):
                self._answer_late([job for job in queue if job.request.deadline_ns < now])
        if not batch:
            self._tell_idle()
            return
        self._in_flight = batch
        requests = [job.request for job in batch]
        self._worker.submit(
            lambda: self._decide_timed(requests),
            lambda result, error: self._decided(batch, result, error),
        )

    def _take_turns(self, now: int) -> list[Job]:
        """Return the next batch when more waits than fits, without what would be late by its end.

        Under overload the oldest requests are the ones nobody waits for any more: deciding them
        would make those behind them late too.
        """
        self._sort_queue()
        worth_ns = now + min(self._batch_ns, FORESIGHT_MAX_NS)
        batch, old = self._lanes.take(self._limits.max_batch, worth_ns)
        self._room = self._limits.max_queue - self._lanes.size
        self._answer_late([job for job in old if job.request.deadline_ns < now])
        in_time = [job for job in old if job.request.deadline_ns >= now]
        self._refuse(in_time, "too-old", "not to be decided in time")
        return batch

    def _decide_timed(self, requests: list[ChargingRequest]) -> tuple[Sequence[ChargingReply], int]:
        started = self._clock.monotonic_ns()
        replies = self._decide(requests)
        return replies, self._clock.monotonic_ns() - started

    def _decided(
        self,
        batch: list[Job],
        result: tuple[Sequence[ChargingReply], int] | None,
        error: BaseException | None,
    ) -> None:
        self._in_flight = []
        if result is not None:
            self._batch_ns = result[1]
        # The next batch starts before these answers are written, so that its wait for the disk
        # and the writing of answers overlap.
        if self._queue or self._lanes.size:
            self._hand_over()
        requests = [job.request for job in batch]
        if result is None:
            _log.error("deciding a batch failed", requests=len(batch), exc_info=error)
            failed = ChargingReply(Outcome.UNABLE_TO_COMPLY, reason="internal error")
            result = [failed] * len(batch), 0
        replies, elapsed_ns = result
        now = self._clock.monotonic_ns()
        for job, reply in zip(batch, replies, strict=True):
            if job.callback is not None:
                job.answer(reply, late=job.request.deadline_ns < now)
        self._observer.batch_done(requests, replies, elapsed_ns / NS_PER_SECOND, now)
        self._tell_idle()

    def _sweep(self) -> None:
        """Answer what is past its deadline, also while a batch hangs in the database.

        The batch in flight goes on: what it commits is found by the client's retransmission.
        """
        now = self._clock.monotonic_ns()
        late = [
            job
            for job in self._in_flight
            if job.callback is not None and job.request.deadline_ns < now
        ]
        old = [job for job in self._queue if job.request.deadline_ns < now]
        if old:
            self._queue = [job for job in self._queue if job.request.deadline_ns >= now]
        if self._lanes.size:
            old += self._lanes.take_if(lambda job: job.request.deadline_ns < now)
            self._room = self._limits.max_queue - self._lanes.size
        self._answer_late(late + old)
        self._sweep_call = None
        if self.queued or self._in_flight:
            self._sweep_call = self._loop.callLater(SWEEP_SECONDS, self._sweep)
        self._tell_idle()

    def _answer_late(self, jobs: Iterable[Job]) -> None:
        count = 0
        for job in jobs:
            job.answer(_busy("not decided in time"), late=True)
            count += 1
        if count:
            self._observer.refused("late", count)

    def _tell_idle(self) -> None:
        if self._when_idle and not self.queued and not self._in_flight:
            waiting, self._when_idle = self._when_idle, []
            for done in waiting:
                done()


def _busy(reason: str) -> ChargingReply:
    return ChargingReply(Outcome.TOO_BUSY, reason=reason)
