"""When sessions begin and when a run is over, on simulated time alone."""

from collections import Counter

import pytest

from protocol.credit_control import CreditControlAnswer
from simulators.scenarios.model import parse_scenario
from simulators.traffic.schedule import Schedule

SCENARIO = """\
name: quiet
seed: 5
load: {arrivals_per_second: 1, duration_seconds: 60}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example}
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""


def open_schedule(text):
    made = Schedule(parse_scenario(text, "quiet.yaml"), 1_000_000, Counter())
    for lane in made.lanes:
        lane.open = True
    return made


@pytest.fixture
def schedule():
    return open_schedule(SCENARIO)


def refuse(schedule, due, real):
    for one in due:
        answer = CreditControlAnswer(one.session.session_id, 5030, "ocs.example", "example")
        schedule.answered(one.lane, one.session, answer, real)


def test_a_run_with_a_duration_goes_on_while_no_session_is_open(schedule):
    now, begun, idle = 0.0, 0, 0
    while now < 60:
        due = schedule.take_due(now)
        begun += len(due)
        refuse(schedule, due, now)
        idle += schedule.active == 0
        assert not schedule.finished
        now = schedule.next_real(now)
    assert 30 < begun < 120
    assert idle > 10
    schedule.take_due(now)
    assert schedule.finished


def test_a_run_with_a_number_of_sessions_ends_with_the_last():
    schedule = open_schedule(SCENARIO.replace("duration_seconds: 60", "sessions: 3"))
    now, begun = 0.0, 0
    while not schedule.finished:
        due = schedule.take_due(now)
        begun += len(due)
        refuse(schedule, due, now)
        now = schedule.next_real(now)
    assert begun == 3
