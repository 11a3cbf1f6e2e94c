"""Sessions ended without a CCR-T: by STR with all sub-sessions, repeats answered alike."""

import pytest

from ocs.charging.model.messages import Outcome, RequestKind
from ocs.charging.model.session import SessionState, make_session_key
from ocs.service.timers.endings import (
    BY_STR,
    FAMILY_MAX,
    STEP,
    UNKNOWN_TO_CLIENT,
    Ending,
    SessionEndings,
)
from protocol.credit_control import RequestType
from protocol.session_commands import (
    SessionCommand,
    SessionRequest,
    read_session_answer,
    write_session_request,
)
from tests.support.service import P1, REALM, Harness, ccr, mscc

SESSION = "pgw1.net.example;1;s1"
INITIAL, UPDATE = RequestType.INITIAL, RequestType.UPDATE


def terminate(wire, session=SESSION, cause=4):
    request = SessionRequest(
        SessionCommand.SESSION_TERMINATION, session, P1, "net.example", REALM,
        termination_cause=cause,
    )  # fmt: skip
    return read_session_answer(wire.ask(write_session_request(request, 5, 6))[1])


def states(harness):
    return {one.sub_session_id: one.state for one in harness.store.sessions_of(1001)}


def endings(harness):
    return SessionEndings(harness.store, harness.server.decider.context)


@pytest.mark.rule("B-154", "S-13", "T241", "T242")
def test_an_str_releases_everything_and_debits_nothing():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    answer = terminate(wire)
    assert (answer.result_code, answer.session_id) == (2001, SESSION)
    assert harness.money() == (10_000_000, 0)
    assert states(harness) == {None: SessionState.CLOSED}
    assert terminate(wire, "nobody").result_code == 5002
    (ended,) = [
        one for one in harness.store.stored_records(1001) if one.key.kind == RequestKind.TIMER
    ]
    assert (ended.record.note, ended.record.termination_cause) == (BY_STR, 4)
    assert ended.record.session_id == SESSION


@pytest.mark.rule("B-154", "T241")
def test_a_repeated_str_is_answered_alike_within_the_tombstone_time():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    assert [terminate(wire).result_code for _ in range(3)] == [2001] * 3
    assert len(harness.store.stored_records(1001)) == 2
    harness.set_clock(harness.server.decider.context().policy.tombstone_seconds + 1)
    assert terminate(wire).result_code == 5002


def test_a_session_that_ended_otherwise_is_unknown_to_an_str():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    wire.ccr(ccr(RequestType.TERMINATION, 1))
    assert terminate(wire).result_code == 5002


@pytest.mark.rule("B-154", "C-008", "T241")
@pytest.mark.parametrize("with_main", [True, False])
def test_an_str_ends_the_sub_sessions_too(with_main):
    harness = Harness()
    wire = harness.open()
    if with_main:
        wire.ccr(ccr(INITIAL, 0, mscc()))
    for sub in (1, 2):
        wire.ccr(ccr(INITIAL, 0, mscc(), sub_session_id=sub))
    wire.ccr(ccr(INITIAL, 0, mscc(), session="pgw1.net.example;1;s2"))
    assert terminate(wire).result_code == 2001
    held = [one for one in harness.store.sessions_of(1001) if one.state == SessionState.OPEN]
    assert [one.session_id for one in held] == ["pgw1.net.example;1;s2"]
    assert harness.money()[1] == sum(hold.amount for hold in held[0].quotas[0].holds)


@pytest.mark.rule("T241")
def test_more_sub_sessions_than_one_transaction_takes():
    harness = Harness()
    wire = harness.open()
    for sub in range(STEP + 3):
        wire.ccr(ccr(INITIAL, 0, sub_session_id=sub))
    assert terminate(wire).result_code == 2001
    assert set(states(harness).values()) == {SessionState.CLOSED}
    assert STEP + 3 < FAMILY_MAX


@pytest.mark.rule("D11")
def test_usage_that_comes_after_an_str_is_debited():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    terminate(wire)
    late = wire.ccr(ccr(UPDATE, 1, mscc(used=1_000_000)))
    assert late.result_code == 2001
    assert late.services[0].granted is None
    assert harness.money() == (9_950_000, 0)


@pytest.mark.rule("T230")
def test_a_session_that_its_client_lost_is_released_once():
    harness = Harness()
    wire = harness.open()
    wire.ccr(ccr(INITIAL, 0, mscc()))
    key = make_session_key(SESSION, None)
    now_ns = harness.clock.now_ns()
    assert endings(harness).lose(1001, key, now_ns)
    assert not endings(harness).lose(1001, key, now_ns)
    (session,) = harness.store.sessions_of(1001)
    assert (session.state, session.close_reason) == (SessionState.LOST, UNKNOWN_TO_CLIENT)
    assert harness.money() == (10_000_000, 0)


@pytest.mark.rule("T238")
def test_a_session_is_lost_with_its_sub_sessions():
    harness = Harness()
    wire = harness.open()
    for sub in (None, 1, 2):
        wire.ccr(ccr(INITIAL, 0, mscc(), sub_session_id=sub))
    now_ns = harness.clock.now_ns()
    assert endings(harness).lose_all(SESSION, now_ns)
    assert not endings(harness).lose_all(SESSION, now_ns)
    assert set(states(harness).values()) == {SessionState.LOST}
    assert harness.money() == (10_000_000, 0)


@pytest.mark.rule("C-093")
def test_what_was_heard_from_since_its_client_was_asked_is_kept():
    harness = Harness()
    wire = harness.open()
    for sub in (None, 1):
        wire.ccr(ccr(INITIAL, 0, mscc(), sub_session_id=sub))
    asked_ns = harness.clock.now_ns()
    harness.clock.advance(1)
    wire.ccr(ccr(UPDATE, 1, mscc()))
    assert not endings(harness).lose(1001, make_session_key(SESSION, None), asked_ns)
    assert endings(harness).lose_all(SESSION, asked_ns)
    assert states(harness) == {None: SessionState.OPEN, 1: SessionState.LOST}


def test_nobodys_session_is_unknown():
    ending = Ending("nobody", "pgw1.net.example", 1)
    assert endings(Harness()).terminate(ending) == Outcome.UNKNOWN_SESSION


@pytest.mark.rule("B-156")
def test_a_session_is_not_ended_by_another_client_than_its_own():
    harness = Harness()
    harness.open().ccr(ccr(INITIAL, 0, mscc()))
    stranger = Ending(SESSION, "pgw2.net.example", 1)
    assert endings(harness).terminate(stranger) == Outcome.UNKNOWN_SESSION
    assert set(states(harness).values()) == {SessionState.OPEN}
    own = Ending(SESSION, "PGW1.net.example", 1)
    assert endings(harness).terminate(own) == Outcome.SUCCESS
