"""When sessions begin: each process at the rates that the scenario says."""

import itertools
import random
from collections import Counter
from typing import Any

import pytest

from protocol.credit_control import CreditControlAnswer
from simulators.scenarios.arrivals import Burst, Constant, Daily, Poisson, Ramp, instants
from simulators.scenarios.document import DocumentError
from simulators.scenarios.model import parse_scenario
from simulators.traffic.schedule import Schedule

SCENARIO = """\
name: arrivals
seed: 5
speed_up: 10
load: LOAD
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example, window: 5000}
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""


def until(process: Any, seconds: float, speed_up: float = 1.0, seed: int = 1) -> list[float]:
    found = instants(process, speed_up, random.Random(seed))
    return list(itertools.takewhile(lambda real: real < seconds, found))


def within(found: list[float], begin: float, end: float) -> int:
    return sum(begin <= real < end for real in found)


@pytest.mark.rule("X-009")
def test_constant_arrivals_are_evenly_spaced():
    found = until(Constant(process="constant", per_second=4), 10)
    assert found == [number / 4 for number in range(40)]


@pytest.mark.rule("X-009")
def test_poisson_arrivals_have_the_rate_and_gaps_of_chance():
    found = until(Poisson(process="poisson", per_second=50), 200)
    assert len(found) == pytest.approx(10_000, rel=0.05)
    gaps = [after - before for before, after in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.05)


@pytest.mark.rule("X-009")
def test_a_day_follows_its_curve_in_simulated_time():
    curve = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    day = Daily(process="daily", per_second=100, curve=curve, start_hour=12)
    # A day in 86.4 seconds; it begins at noon.
    found = until(day, 86.4, speed_up=1000)
    assert len(found) == pytest.approx(8640, rel=0.05)
    night = within(found, 28.8, 57.6)  # from 20:00 to 04:00
    assert night < 10
    assert day.rate(0, 0) == day.highest == 300


@pytest.mark.rule("X-009")
def test_a_usual_day_is_quiet_before_dawn():
    day = Daily(process="daily", per_second=10)
    rates = [day.rate(0, hour * 3600) for hour in range(24)]
    assert sum(rates) / 24 == pytest.approx(10, rel=0.01)
    assert rates.index(min(rates)) in {3, 4}
    assert max(rates) <= day.highest


@pytest.mark.rule("X-009")
def test_bursts_come_every_so_often():
    burst = Burst(
        process="burst", per_second=10, burst_per_second=200, every_seconds=30, burst_seconds=5
    )
    found = until(burst, 90)
    assert within(found, 0, 30) == pytest.approx(300, rel=0.2)
    assert within(found, 30, 35) == pytest.approx(1000, rel=0.15)
    assert within(found, 35, 60) == pytest.approx(250, rel=0.25)
    assert within(found, 60, 65) == pytest.approx(1000, rel=0.15)


@pytest.mark.rule("X-009")
def test_a_ramp_goes_up_in_steps():
    ramp = Ramp(process="ramp", from_per_second=100, to_per_second=400, steps=4, step_seconds=10)
    found = until(ramp, ramp.seconds)
    counts = [within(found, step * 10, step * 10 + 10) for step in range(4)]
    assert counts == [pytest.approx(1000 * (step + 1), rel=0.1) for step in range(4)]
    assert ramp.rate(1e9, 0) == 400


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        ("{arrivals: {process: poison, per_second: 1}, sessions: 1}",
         "load.arrivals: process should be constant, poisson, daily, burst or ramp"),
        ("{arrivals: {per_second: 1}, sessions: 1}",
         "load.arrivals: process is missing: constant, poisson, daily, burst or ramp"),
        ("{arrivals: {process: daily, per_second: 1, curve: [0, 0]}, sessions: 1}",
         "a curve of zeros lets nothing happen"),
        (("{arrivals: {process: burst, per_second: 1, burst_per_second: 9, every_seconds: 5,"
          " burst_seconds: 5}, sessions: 1}"), "burst_seconds must be less than every_seconds"),
        ("{arrivals: {process: ramp, from_per_second: 9, to_per_second: 9}}",
         "to_per_second must be more than from_per_second"),
        ("{arrivals: {process: constant, per_second: 1}, concurrency: 3, sessions: 1}",
         "give exactly one of concurrency, arrivals and arrivals_per_second"),
        ("{arrivals: {process: constant, per_second: 1}}", "or it would never end"),
        ("{arrivals_per_second: 1, sessions: 1, think_seconds: 3}",
         "think_seconds is for concurrency"),
        ("{arrivals: {process: constant, per_second: 1, curve: [1]}, sessions: 1}",
         "load.arrivals.curve: unknown key"),
    ],
)  # fmt: skip
@pytest.mark.rule("X-002")
def test_arrivals_that_cannot_be_are_refused(load, problem):
    with pytest.raises(DocumentError) as caught:
        parse_scenario(SCENARIO.replace("LOAD", load), "s.yaml")
    [found] = caught.value.problems
    assert problem in str(found)
    assert found.line == 4


def starts(load: str, seconds: float, takes: float = 0.0) -> list[float]:
    """Real instants at which sessions begin, when each answer takes so long."""
    schedule = Schedule(parse_scenario(SCENARIO.replace("LOAD", load), "s.yaml"), 1, Counter())
    schedule.lanes[0].open = True
    begun: list[float] = []
    answers: list[tuple[float, Any]] = []
    now = 0.0
    while now < seconds and not schedule.finished:
        for due in schedule.take_due(now):
            begun.append(now)
            answers.append((now + takes, due))
        upcoming = [schedule.next_real(now), *(at for at, _ in answers)]
        now = max(now, min(upcoming))
        for at, due in [one for one in answers if one[0] <= now]:
            answers.remove((at, due))
            answer = CreditControlAnswer(due.session.session_id, 2001, "ocs.example", "example")
            schedule.answered(due.lane, due.session, answer, now)
    return begun


@pytest.mark.rule("X-009")
def test_arrivals_do_not_wait_for_answers():
    load = "{arrivals: {process: constant, per_second: 10}, duration_seconds: 5}"
    assert starts(load, 4.95) == starts(load, 4.95, takes=30) == [n / 10 for n in range(50)]


@pytest.mark.rule("X-011")
@pytest.mark.parametrize(("think_time", "pause"), [("simulated", 0.5), ("real", 5.0)])
def test_subscribers_think_between_two_sessions(think_time, pause):
    think = f"think_seconds: 5, think_time: {think_time}"
    load = f"{{concurrency: 1, duration_seconds: 100, {think}}}"
    begun = starts(load, 60, takes=0.25)
    gaps = {round(after - before, 6) for before, after in itertools.pairwise(begun)}
    assert gaps == {pause + 0.25}


def test_so_many_sessions_are_open_at_once():
    load = "{concurrency: 8, sessions: 20, duration_seconds: 100}"
    begun = starts(load, 90, takes=2)
    assert len(begun) == 20
    assert within(begun, 0, 1) == 8
