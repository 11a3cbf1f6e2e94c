"""STRs wait in turns, one at a time, and not for ever."""

from typing import Any

import pytest

from ocs.charging.model.messages import Outcome
from ocs.clock import NS_PER_SECOND, ManualClock
from ocs.errors import StoreUnavailableError
from ocs.service.timers.endings import Ending
from ocs.service.timers.terminations import Terminations
from tests.support.service import HeldWorker

A, B = "pgw1.net.example", "pgw2.net.example"


class Bench:
    """Terminations over a worker that waits for the test."""

    def __init__(self, waiting_max: int = 100) -> None:
        self.worker, self.clock = HeldWorker(), ManualClock(0)
        self.ended: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.refused: list[str] = []
        self.error: Exception | None = None
        self.queue = Terminations(
            self.worker,
            self.clock,
            self.end,
            lambda reason, _count: self.refused.append(reason),
            waiting_max=waiting_max,
            within_ns=2 * NS_PER_SECOND,
        )

    def end(self, ending: Ending) -> Outcome:
        self.ended.append(ending.session_id)
        if self.error is not None:
            raise self.error
        return Outcome.SUCCESS

    def submit(self, peer: str, *sessions: str) -> None:
        for session in sessions:
            self.queue.submit(peer, Ending(session, peer, 1), self.note(session))

    def note(self, session: str) -> Any:
        def done(outcome: Outcome) -> None:
            assert session not in self.outcomes
            self.outcomes[session] = outcome

        return done

    def run(self) -> None:
        while self.worker.held:
            assert len(self.worker.held) == 1
            self.worker.run()


@pytest.mark.rule("B-009")
def test_the_store_has_one_at_a_time_and_connections_take_turns():
    bench = Bench()
    bench.submit(A, "a1", "a2", "a3")
    bench.submit(B, "b1")
    bench.run()
    assert bench.ended == ["a1", "a2", "b1", "a3"]
    assert set(bench.outcomes.values()) == {Outcome.SUCCESS}
    assert bench.queue.waiting == 0


@pytest.mark.rule("B-009", "B-076")
def test_too_many_are_refused_those_of_who_has_most_first():
    bench = Bench(waiting_max=4)
    bench.submit(A, *(f"a{number}" for number in range(6)))
    assert bench.outcomes == {"a5": Outcome.TOO_BUSY}
    bench.submit(B, "b1")
    assert bench.outcomes == {"a5": Outcome.TOO_BUSY, "a4": Outcome.TOO_BUSY}
    bench.run()
    assert bench.outcomes["b1"] == Outcome.SUCCESS
    assert bench.refused == ["queue-full", "queue-full"]


@pytest.mark.rule("D20")
def test_what_has_waited_too_long_is_refused_without_the_store():
    bench = Bench()
    bench.submit(A, "a1", "a2")
    bench.clock.advance(3)
    bench.run()
    assert bench.ended == ["a1"]
    assert bench.outcomes == {"a1": Outcome.SUCCESS, "a2": Outcome.TOO_BUSY}
    assert bench.refused == ["late"]


@pytest.mark.parametrize(
    "error,outcome",
    [
        (StoreUnavailableError("gone"), Outcome.TOO_BUSY),
        (ZeroDivisionError(), Outcome.UNABLE_TO_COMPLY),
    ],
)
def test_a_failure_is_answered_and_the_next_is_tried(error, outcome):
    bench = Bench()
    bench.error = error
    bench.submit(A, "a1", "a2")
    bench.run()
    assert bench.outcomes == {"a1": outcome, "a2": outcome}
