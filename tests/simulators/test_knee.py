"""A ramp of arrivals: what each step measures, and where the server is said to be full."""

import json
from typing import Any

import pytest

from protocol.credit_control import CreditControlAnswer, RequestType
from simulators.reports.knee import RampMeter
from simulators.reports.report import LatencyBins
from simulators.scenarios.arrivals import Knee, Ramp
from simulators.traffic.subscriber import Demand
from simulators.traffic.timeline import Timeline
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, answer_to, grant_all

NS = 1_000_000_000
DEMAND = Demand(RequestType.EVENT, 0)
FIRST, AGAIN = bytes(20), bytes([0, 0, 0, 0, 0x10]) + bytes(15)


class At:
    """Stands where a session would: all that is looked at is when its request was due."""

    def __init__(self, clock: float) -> None:
        self.clock = clock


def meter(**knee: Any) -> RampMeter:
    ramp = Ramp(
        process="ramp", from_per_second=10, to_per_second=30, steps=3, step_seconds=10,
        knee=Knee(**knee),
    )  # fmt: skip
    return RampMeter(ramp, Timeline(1.0, 1000 * NS))


def ask(made: RampMeter, due: float, after_ms: float | None, code: int = 2001) -> None:
    """A request that is due then, sent half a second late, and answered so long after that."""
    session: Any = At(due)
    due_ns = 1000 * NS + int(due * NS)
    made.request_sent(due_ns + NS // 2, "g", session, DEMAND, FIRST)
    made.request_sent(due_ns + NS // 2, "g", session, DEMAND, AGAIN)
    if after_ms is not None:
        answer = CreditControlAnswer("s", code, "ocs", "example")
        at_ns = due_ns + int(after_ms * 1_000_000)
        made.answer_received(at_ns, "g", session, DEMAND, answer, b"", 1)


@pytest.mark.rule("X-010")
def test_a_step_is_too_much_when_it_is_too_slow_counted_from_when_requests_were_due():
    made = meter(latency_ms=600)
    for step, after_ms in enumerate((510, 590, 900)):
        for number in range(10):
            ask(made, step * 10 + number, after_ms)
    result = made.result(30)
    assert [one.full for one in result.steps] == [False, False, True]
    assert [one.sessions_per_second for one in result.steps] == [10, 20, 30]
    assert [one.requests for one in result.steps] == [10, 10, 10]
    assert result.steps[2].p99_ms == pytest.approx(900, rel=0.01)
    assert result.knee_per_second == 20


@pytest.mark.rule("X-010")
@pytest.mark.parametrize("lost", [(None, 2001), (5, 3004)])
def test_a_step_is_too_much_when_too_little_of_it_is_answered(lost):
    made = meter(answered=0.9, latency_ms=1e9)
    for number in range(10):
        ask(made, number, 510)
        ask(made, 10 + number, *(lost if number < 2 else (510, 2001)))
    assert not made.is_full(19.9)
    assert made.is_full(2e9)
    assert made.result(20).knee_per_second == 10
    assert [one.answers for one in made.result(20).steps] == [10, 8]


def test_a_step_that_is_not_over_says_nothing():
    made = meter()
    ask(made, 1, None)
    assert made.result(9).steps == []
    assert made.result(9).knee_per_second is None
    assert not made.is_full(10.5)


def test_a_run_without_a_knee_shows_all_its_steps():
    made = meter(latency_ms=1000)
    for step in range(3):
        ask(made, step * 10, 700)
    result = made.result(30)
    assert len(result.steps) == 3
    assert result.knee_per_second is None
    assert result.lines()[-1].split() == ["knee", "not", "reached"]


SCENARIO = """\
name: to-the-knee
seed: 3
load:
  arrivals:
    process: ramp
    from_per_second: 20
    to_per_second: 110
    steps: 4
    step_seconds: 1
    knee: {latency_ms: 5000}
gateways:
  - {origin_host: smsc1.net.example, origin_realm: net.example, window: 500, retransmissions_max: 0}
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""


@pytest.mark.rule("X-010")
def test_a_run_ends_where_the_server_is_full(tmp_path):
    def busy_after_a_hundred(responder, header, request):
        if len(responder.requests) > 100:
            return answer_to(request, result_code=3004)
        return grant_all(responder, header, request)

    path = tmp_path / "ramp.yaml"
    path.write_text(SCENARIO)
    with Responder(busy_after_a_hundred) as responder:
        done = run_ocs("simulate", "run", path, "--json", "--port", str(responder.port))
    assert done.returncode == 0, done.stderr
    ramp = json.loads(done.stdout)["ramp"]
    # About 20, 50 and 80 sessions: the hundredth is in the third step.
    assert [one["full"] for one in ramp["steps"]] == [False, False, True]
    assert ramp["knee_per_second"] == 50


def test_steps_that_are_over_are_summed_up_once(monkeypatch):
    made = meter()
    for step in range(3):
        ask(made, step * 10, 50)
    summed = []
    histogram = LatencyBins.histogram

    def counted(bins):
        summed.append(bins)
        return histogram(bins)

    monkeypatch.setattr(LatencyBins, "histogram", counted)
    first = made.result(30)
    assert len(summed) == 3
    assert made.result(30) == first
    made.is_full(40)
    assert len(summed) == 3
    ask(made, 21, 90)
    assert made.result(30).steps[2].p99_ms == pytest.approx(90, rel=0.01)
    assert len(summed) == 4
