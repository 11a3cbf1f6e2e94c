"""Batching without a timer: who goes together, who is refused, that everybody gets one reply."""

from typing import Any

import pytest

from ocs.charging.model.messages import ChargingReply, ChargingRequest, Outcome
from ocs.charging.model.profile import PROFILES
from ocs.clock import NS_PER_SECOND, ManualClock
from ocs.service.batches.batcher import Batcher, BatchLimits
from ocs.service.batches.worker import StoreWorker
from ocs.service.watching.metrics import Metrics
from tests.support.service import HeldWorker, StillLoop


def request(number, deadline_s=2.0, profile="generic", peer="pgw1.net.example"):
    return ChargingRequest(
        "s", b"k" * 16, 2, number, 0, int(deadline_s * NS_PER_SECOND), number, "c",
        profile=PROFILES[profile], peer=peer,
    )  # fmt: skip


def broken(*_: object) -> Any:
    raise ZeroDivisionError


class Bench:
    """A batcher over a worker that waits for the test."""

    def __init__(self, **limits: int) -> None:
        self.loop, self.worker, self.clock = StillLoop(), HeldWorker(), ManualClock(0)
        self.batches: list[list[int]] = []
        self.batch_seconds = 0
        """What deciding a batch takes."""
        self.replies: dict[int, list[tuple[ChargingReply, bool]]] = {}
        self.metrics = Metrics()
        self.batcher = Batcher(
            self.loop, self.worker, self.decide, self.clock, self.metrics, BatchLimits(**limits)
        )

    def decide(self, requests):
        self.batches.append([one.number for one in requests])
        self.clock.advance(self.batch_seconds)
        return [ChargingReply(Outcome.SUCCESS, reason=str(one.number)) for one in requests]

    def submit(self, *numbers: int, **kwargs: Any):
        for number in numbers:
            self.batcher.submit(request(number, **kwargs), self.noting(number))

    def noting(self, number):
        def note(reply, late):
            self.replies.setdefault(number, []).append((reply, late))

        return note

    def outcomes(self):
        return {
            number: (replies[0][0].outcome, replies[0][1])
            for number, replies in self.replies.items()
            if len(replies) == 1
        }


def test_a_lone_request_is_handed_over_in_the_next_turn():
    bench = Bench()
    bench.submit(1)
    assert not bench.worker.held
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.outcomes() == {1: (Outcome.SUCCESS, False)}


def test_what_arrives_while_a_batch_is_decided_forms_the_next_in_order():
    bench = Bench()
    bench.submit(1)
    bench.loop.advance(0)
    bench.submit(2, 3, 4)
    bench.loop.advance(0)
    assert len(bench.worker.held) == 1
    bench.worker.run()
    bench.worker.run()
    assert bench.batches == [[1], [2, 3, 4]]
    assert sorted(bench.outcomes()) == [1, 2, 3, 4]


@pytest.mark.parametrize("max_batch", [1, 3])
def test_no_batch_is_larger_than_its_limit(max_batch):
    bench = Bench(max_batch=max_batch)
    bench.submit(*range(7))
    bench.loop.advance(0)
    while bench.worker.held:
        bench.worker.run()
    assert [number for batch in bench.batches for number in batch] == list(range(7))
    assert max(map(len, bench.batches)) == max_batch
    assert len(bench.outcomes()) == 7


def test_a_full_queue_refuses_at_once():
    bench = Bench(max_queue=2)
    bench.submit(1, 2, 3)
    assert bench.outcomes() == {3: (Outcome.TOO_BUSY, False)}
    assert bench.metrics.refusals["queue-full"] == 1


@pytest.mark.rule("D20")
def test_a_request_past_its_deadline_is_not_decided():
    bench = Bench()
    bench.submit(1, deadline_s=1.0)
    bench.submit(2, deadline_s=5.0)
    bench.clock.advance(2)
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.batches == [[2]]
    assert bench.outcomes() == {1: (Outcome.TOO_BUSY, True), 2: (Outcome.SUCCESS, False)}


@pytest.mark.rule("B-009")
def test_a_greedy_connection_makes_nobody_else_wait():
    bench = Bench(max_batch=4)
    bench.submit(*range(100), peer="greedy.net.example")
    bench.submit(200, 201, peer="modest.net.example")
    bench.submit(300, peer="other.net.example")
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.batches == [[0, 200, 300, 1]]
    bench.worker.run()
    assert bench.batches[1] == [201, 2, 3, 4]
    while bench.worker.held:
        bench.worker.run()
    decided = [number for batch in bench.batches for number in batch]
    assert [number for number in decided if number < 100] == list(range(100)), "its own order"
    assert len(bench.outcomes()) == 103


@pytest.mark.rule("B-009")
def test_more_connections_than_a_batch_holds_take_turns():
    bench = Bench(max_batch=3)
    for number in range(10):
        bench.submit(number, number + 10, peer=f"pgw{number}.net.example")
    bench.loop.advance(0)
    while bench.worker.held:
        bench.worker.run()
    decided = [number for batch in bench.batches for number in batch]
    assert sorted(decided[:10]) == list(range(10)), "everybody once before anybody twice"
    assert decided == [*range(10), *range(10, 20)]


@pytest.mark.rule("B-009")
def test_those_who_come_to_a_long_queue_are_served_in_the_next_batch():
    bench = Bench(max_batch=8)
    bench.submit(*range(50), peer="greedy.net.example")
    bench.loop.advance(0)
    bench.submit(100, 101, peer="modest.net.example")
    bench.worker.run()
    bench.worker.run()
    assert {100, 101} <= set(bench.batches[1])


@pytest.mark.rule("B-009", "B-076")
def test_in_a_full_queue_the_one_with_more_than_its_share_is_refused():
    bench = Bench(max_queue=10, max_batch=2)
    bench.submit(*range(10), peer="greedy.net.example")
    bench.submit(100, 101, 102, peer="modest.net.example")
    bench.submit(10, peer="greedy.net.example")
    assert bench.batcher.queued == 10
    refused = {number for number, (outcome, _) in bench.outcomes().items()}
    assert refused == {7, 8, 9, 10}, "the newest of the greedy one, oldest kept"
    assert {outcome for outcome, _ in bench.outcomes().values()} == {Outcome.TOO_BUSY}
    bench.loop.advance(0)
    while bench.worker.held:
        bench.worker.run()
    assert len(bench.outcomes()) == 14
    assert bench.metrics.refusals["queue-full"] == 4


def test_room_comes_back_after_a_full_queue():
    bench = Bench(max_queue=4, max_batch=2)
    bench.submit(*range(5))
    bench.loop.advance(0)
    while bench.worker.held:
        bench.worker.run()
    bench.submit(*range(10, 14))
    bench.loop.advance(0)
    while bench.worker.held:
        bench.worker.run()
    assert bench.metrics.refusals["queue-full"] == 1
    assert bench.batcher.queued == bench.batcher.in_flight == 0
    assert len(bench.outcomes()) == 9


@pytest.mark.rule("D20")
def test_under_overload_what_would_be_late_by_the_end_of_the_batch_is_refused_in_time():
    bench = Bench(max_batch=2)
    bench.batch_seconds = 1
    bench.submit(1, 2, deadline_s=9.0)
    bench.submit(3, 4, 5, deadline_s=1.3)
    bench.submit(6, deadline_s=9.0)
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.outcomes()[3] == (Outcome.TOO_BUSY, False)
    assert bench.metrics.refusals["too-old"] == 3
    bench.worker.run()
    assert bench.batches == [[1, 2], [6]]


@pytest.mark.rule("D20")
def test_without_overload_a_slow_batch_before_is_no_reason_to_refuse():
    bench = Bench()
    bench.batch_seconds = 5
    bench.submit(1, deadline_s=9.0)
    bench.loop.advance(0)
    bench.worker.run()
    bench.submit(2, deadline_s=5.1)
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.batches == [[1], [2]]


@pytest.mark.rule("D20")
def test_the_late_ones_of_a_long_queue_are_answered_while_the_database_hangs():
    bench = Bench(max_batch=2)
    bench.submit(*range(4), deadline_s=1.0)
    bench.loop.advance(0)
    bench.submit(4, 5, deadline_s=5.0)
    bench.clock.advance(2)
    bench.loop.advance(0.2)
    assert sorted(bench.outcomes()) == [0, 1, 2, 3]
    assert bench.batcher.queued == 2
    bench.worker.run()
    bench.worker.run()
    assert bench.batches == [[0, 1], [4, 5]]


@pytest.mark.rule("D20")
def test_a_hanging_database_delays_no_answer_beyond_the_deadline():
    bench = Bench()
    bench.submit(1, deadline_s=1.0)
    bench.loop.advance(0)
    bench.submit(2, deadline_s=1.0)
    bench.clock.advance(2)
    bench.loop.advance(0.2)
    assert bench.outcomes() == {1: (Outcome.TOO_BUSY, True), 2: (Outcome.TOO_BUSY, True)}
    bench.worker.run()
    assert bench.batches == [[1]]
    assert len(bench.replies[1]) == 1
    assert bench.batcher.in_flight == bench.batcher.queued == 0


@pytest.mark.rule("D20")
def test_a_decision_that_took_too_long_is_reported_as_late():
    bench = Bench()
    bench.submit(1, deadline_s=1.0)
    bench.loop.advance(0)
    bench.clock.advance(2)
    bench.worker.run()
    assert bench.outcomes() == {1: (Outcome.SUCCESS, True)}


def test_a_failing_decider_fails_its_batch_only():
    bench = Bench()
    decide = bench.decide
    bench.batcher._decide = broken
    bench.submit(1)
    bench.loop.advance(0)
    bench.worker.run()
    bench.batcher._decide = decide
    bench.submit(2)
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.outcomes() == {
        1: (Outcome.UNABLE_TO_COMPLY, False),
        2: (Outcome.SUCCESS, False),
    }


def test_a_callback_that_fails_does_not_stop_the_others():
    bench = Bench()
    bench.batcher.submit(request(1), broken)
    bench.submit(2)
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.outcomes() == {2: (Outcome.SUCCESS, False)}


def test_idle_is_told_after_the_last_reply():
    bench = Bench()
    told: list[Any] = []
    bench.batcher.when_idle(lambda: told.append("empty"))
    assert told == ["empty"]
    bench.submit(1, 2)
    bench.batcher.when_idle(lambda: told.append(sorted(bench.replies)))
    bench.loop.advance(0)
    assert len(told) == 1
    bench.worker.run()
    assert told[1:] == [[1, 2]]


def test_stopping_refuses_what_is_still_queued():
    bench = Bench(max_batch=1)
    bench.submit(1, 2)
    bench.loop.advance(0)
    bench.batcher.refuse_queued()
    assert bench.outcomes() == {2: (Outcome.TOO_BUSY, False)}


def test_metrics_are_counted_once_per_batch():
    bench = Bench()
    bench.submit(1, 2, 3)
    bench.loop.advance(0)
    bench.worker.run()
    assert bench.metrics.batch_size.counts[2] == 1
    assert bench.metrics.decided == {(2, Outcome.SUCCESS): 3}


def test_the_thread_does_things_in_order_and_hands_back_results_and_errors():
    loop = StillLoop()
    worker = StoreWorker(loop)
    worker.start()
    got: list[Any] = []
    worker.submit(lambda: 1, lambda result, error: got.append((result, error)))
    worker.submit(lambda: 1 / 0, lambda result, error: got.append((result, type(error))))
    worker.submit(lambda: 3, lambda result, error: got.append((result, error)))
    assert worker.stop(10.0)
    assert got == [(1, None), (None, ZeroDivisionError), (3, None)]
