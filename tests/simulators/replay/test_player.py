"""The order and the times of what is played."""

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.replay.conversations import recorded_sessions
from simulators.replay.exchanges import Exchange
from simulators.replay.findings import Findings
from simulators.replay.player import Pace, Player
from tests.support.captures import ccr

SECOND = 1_000_000_000


def exchange(at, session, number, host="pgw1", subscriber="49"):
    kind = 1 if number == 0 else 2
    request = ccr(session, kind, number, host=host, msisdn=subscriber)
    return Exchange(at * SECOND, at, request, session.encode(), host, kind)


def player(exchanges, speed=1.0):
    sessions = recorded_sessions(exchanges, Findings(), partial=True)
    return Player(sessions, Pace(speed), lambda host: host)


def names(due):
    return [one.step.where for one in due]


@pytest.mark.rule("X-058")
@pytest.mark.parametrize("speed, scale", [(1.0, 1.0), (10.0, 0.1), (0.5, 2.0)])
def test_times_are_kept_or_scaled(speed, scale):
    play = player([exchange(100, "a", 0), exchange(103, "b", 0)], speed)
    assert play.next_ns() == 0
    assert names(play.take("pgw1", 0, 9)) == ["packet 100"]
    assert play.next_ns() == 3 * SECOND * scale
    assert names(play.take("pgw1", int(2.9 * SECOND * scale), 9)) == []
    assert names(play.take("pgw1", int(3 * SECOND * scale), 9)) == ["packet 103"]
    assert play.next_ns() is None


@pytest.mark.rule("X-058")
def test_a_session_waits_for_its_answer():
    play = player([exchange(1, "a", 0), exchange(2, "a", 1), exchange(3, "b", 0)])
    [first] = play.take("pgw1", 0, 9)
    assert names(play.take("pgw1", 60 * SECOND, 9)) == ["packet 3"]
    play.answered(first.lane, b"")
    assert names(play.take("pgw1", 60 * SECOND, 9)) == ["packet 2"]


@pytest.mark.rule("X-058")
def test_a_client_is_asked_for_no_more_than_it_has_room_for():
    first = [exchange(at, f"session {at}", 0, subscriber=f"49{at}") for at in (1, 2)]
    play = player([*first, exchange(3, "c", 0, host="pgw2")], 0.0)
    assert names(play.take("pgw1", 0, 1)) == ["packet 1"]
    assert names(play.take("pgw2", 0, 1)) == ["packet 3"]
    assert names(play.take("pgw1", 0, 1)) == ["packet 2"]
    assert play.clients == ["pgw1", "pgw2"]


@pytest.mark.rule("X-058")
@settings(deadline=None)
@given(
    made=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=30
    ),
    seed=st.integers(0, 1000),
)
def test_as_fast_as_answers_come_requests_about_a_subscriber_keep_their_order(made, seed):
    at = 0
    exchanges: list[Exchange] = []
    for session, subscriber, pause in made:
        at += pause
        name = f"{session} of {subscriber}"
        exchanges.append(exchange(at, name, len(exchanges), subscriber=f"49{subscriber}"))
        exchanges[-1].number = len(exchanges)
    play = player(exchanges, 0.0)
    dice, waiting, asked = random.Random(seed), [], []
    while True:
        due = play.take("pgw1", 0, dice.randint(1, 4))
        asked += due
        waiting += due
        if not waiting:
            break
        play.answered(waiting.pop(dice.randrange(len(waiting))).lane, b"")
    assert len(asked) == len(exchanges)
    order = defaultdict(list)
    for one in asked:
        order[one.conversation.subscriber].append(one.step)
    for steps in order.values():
        assert [step.at_ns for step in steps] == sorted(step.at_ns for step in steps)


@pytest.mark.rule("X-058")
def test_sessions_that_began_before_the_capture_are_left_out_unless_wanted():
    exchanges = [exchange(1, "old", 4), exchange(2, "new", 0), exchange(3, "old", 5)]
    findings = Findings()
    [kept] = recorded_sessions(exchanges, findings, partial=False)
    assert kept.session_id == "new"
    assert findings.notes == {"sessions that began before the capture, left out": 1}
    assert len(recorded_sessions(exchanges, findings, partial=True)) == 2
