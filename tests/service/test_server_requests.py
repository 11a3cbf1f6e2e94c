"""RAR and ASR out, RAA and ASA in: what goes over the wire, by which way, and what follows."""

import pytest

from ocs.charging.model.server_requests import Command, RequestState
from ocs.charging.model.session import SessionState
from ocs.service.asking.dispatcher import AskLimits
from protocol.base import DeviceWatchdogAnswer
from protocol.codec import FLAG_PROXIABLE, FLAG_REQUEST, FLAG_RETRANSMIT
from protocol.session_commands import SessionCommand
from tests.support.asking import (
    P2,
    P3,
    RELAY,
    SESSION,
    ask,
    asked,
    asked_once,
    come_back,
    open_session,
    reply,
    rows,
    running,
    states,
)
from tests.support.connection_pair import DPR, DWR
from tests.support.service import HOST, P1, REALM, ccr, mscc

PENDING, SENT, ANSWERED, DONE, GIVEN_UP = RequestState
ABORT = Command.ABORT_SESSION


def counts(harness, command="re-auth"):
    return {
        event: count
        for (one, event), count in harness.server.metrics.asked.items()
        if one == command and count
    }


@pytest.fixture
def harness():
    return running()


@pytest.fixture
def wire(harness):
    """P1 with one open session."""
    wire = harness.open()
    open_session(wire)
    return wire


# ------------------------------------------------------------------------------ the message


@pytest.mark.rule("B-026", "B-027", "B-151", "T227")
def test_a_re_auth_request(harness, wire):
    ask(harness)
    harness.pass_time(1)
    header, request = asked_once(wire)
    assert header.flags == FLAG_REQUEST | FLAG_PROXIABLE
    assert (header.command_code, header.application_id) == (258, 4)
    assert (request.session_id, request.auth_application_id) == (SESSION, 4)
    assert (request.origin_host, request.origin_realm) == (HOST, REALM)
    assert (request.destination_host, request.destination_realm) == (P1, "net.example")
    assert request.origin_state_id == harness.server.origin_state_id
    assert request.re_auth_request_type == 0
    assert (request.sub_session_id, request.rating_group) == (None, None)
    assert (request.service_identifier, request.pool_identifier) == (None, None)
    assert states(harness) == [SENT]


@pytest.mark.rule("B-151")
def test_an_abort_session_request(harness, wire):
    ask(harness, command=ABORT)
    harness.pass_time(1)
    header, request = asked_once(wire)
    assert header.command_code == SessionCommand.ABORT_SESSION
    assert header.flags == FLAG_REQUEST | FLAG_PROXIABLE
    assert (request.session_id, request.re_auth_request_type) == (SESSION, None)


@pytest.mark.rule("T238")
def test_an_abort_is_about_all_sub_sessions(harness, wire):
    open_session(wire, sub_session_id=7)
    ask(harness, sub=7, command=ABORT)
    harness.pass_time(1)
    one = asked_once(wire)
    assert one[1].sub_session_id is None
    reply(wire, one, 5002)
    assert {found.state for found in harness.store.sessions_of(1001)} == {SessionState.LOST}


@pytest.mark.rule("B-151", "T233")
def test_what_is_named_is_said(harness, wire):
    open_session(wire, sub_session_id=7)
    ask(harness, sub=7, rating_group=100, service_identifier=5)
    harness.pass_time(1)
    _, request = asked_once(wire)
    assert (request.sub_session_id, request.rating_group, request.service_identifier) == (7, 100, 5)


@pytest.mark.rule("B-026")
def test_end_to_end_ids_differ_and_begin_with_the_time(harness, wire):
    for _ in range(2):
        ask(harness)
    harness.pass_time(1)
    first, second = (header for header, _ in asked(wire))
    assert first.end_to_end != second.end_to_end
    assert first.hop_by_hop != second.hop_by_hop
    seconds = harness.clock.now_ns() // 10**9
    assert (seconds - (first.end_to_end >> 20)) & 0xFFF < 5


# -------------------------------------------------------------------------- what is answered


@pytest.mark.rule("C-092", "R-2002", "T206")
def test_a_report_that_was_announced_is_waited_for(harness, wire):
    ask(harness)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 2002)
    assert states(harness) == [ANSWERED]
    harness.pass_time(5)
    assert wire.ccr(ccr(2, 1, mscc(used=1_000_000))).result_code == 2001
    harness.pass_time(20)
    assert states(harness) == [DONE]
    assert asked(wire) == []
    assert counts(harness) == {"sent": 1, "agreed": 1}


@pytest.mark.rule("C-092")
def test_a_report_that_was_announced_and_did_not_come_is_asked_for_once_more(harness, wire):
    ask(harness)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 2002)
    harness.pass_time(9)
    assert asked(wire) == []
    harness.pass_time(2)
    header, _ = asked_once(wire)
    assert not header.is_retransmitted
    reply(wire, (header, _), 2002)
    harness.pass_time(20)
    assert asked(wire) == []
    assert states(harness) == [GIVEN_UP]
    assert [one.state for one in harness.store.sessions_of(1001)] == [SessionState.OPEN]
    assert counts(harness) == {"sent": 2, "agreed": 2, "given-up": 1}


@pytest.mark.rule("C-092", "T229")
def test_a_client_that_is_reporting_already_is_not_asked_again(harness, wire):
    ask(harness)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 2001)
    assert states(harness) == [DONE]
    harness.pass_time(30)
    assert asked(wire) == []


@pytest.mark.rule("C-093", "S-12", "T230", "T238")
@pytest.mark.parametrize("command", list(Command))
def test_a_session_that_the_client_does_not_know_is_released(harness, wire, command, capsys):
    ask(harness, command=command)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 5002)
    assert states(harness) == [DONE]
    (session,) = harness.store.sessions_of(1001)
    assert session.state == SessionState.LOST
    assert harness.money() == (10_000_000, 0)
    assert capsys.readouterr().out.count("request to a client came to nothing") == 1
    harness.pass_time(30)
    assert asked(wire) == []


@pytest.mark.rule("C-093", "T230", "T238")
@pytest.mark.parametrize(("command", "state"), [(Command.RE_AUTH, DONE), (ABORT, PENDING)])
def test_a_session_that_spoke_since_it_was_asked_for_is_not_lost(harness, wire, command, state):
    ask(harness, command=command)
    harness.pass_time(1)
    request = asked_once(wire)
    harness.pass_time(1)
    assert wire.ccr(ccr(2, 1, mscc(used=1_000_000))).result_code == 2001
    reply(wire, request, 5002)
    assert states(harness) == [state]
    (session,) = harness.store.sessions_of(1001)
    assert session.state == SessionState.OPEN
    assert harness.money()[1] > 0


@pytest.mark.rule("B-155", "C-093", "T232")
@pytest.mark.parametrize("code", [3002, 3004, 4002])
def test_a_client_that_cannot_be_reached_keeps_its_session_and_is_asked_again(
    harness, wire, code
):
    held = harness.money()
    ask(harness)
    harness.pass_time(1)
    reply(wire, asked_once(wire), code)
    assert states(harness) == [PENDING]
    assert harness.money() == held
    harness.pass_time(14)
    assert asked(wire) == []
    harness.pass_time(2)
    assert not asked_once(wire)[0].is_retransmitted
    assert counts(harness) == {"sent": 2, "undelivered": 1}


@pytest.mark.rule("C-093")
def test_asking_in_vain_ends(harness):
    wire = harness.open()
    open_session(wire, long=True)
    row = ask(harness)
    sent = 0
    for _ in range(60):
        harness.pass_time(1)
        for one in asked(wire):
            sent += 1
            reply(wire, one, 3004)
    assert (sent, states(harness)) == (4, [GIVEN_UP])
    assert [one.state for one in harness.store.sessions_of(1001)] == [SessionState.OPEN]
    assert row.server_request_id not in harness.server.server_requests._open


@pytest.mark.rule("C-094", "T239")
def test_a_refusal_is_final(harness, wire):
    ask(harness, command=ABORT)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 5012)
    assert states(harness) == [GIVEN_UP]
    harness.pass_time(30)
    assert asked(wire) == []
    assert counts(harness, "abort") == {"sent": 1, "refused": 1, "given-up": 1}


@pytest.mark.rule("C-094")
def test_an_abort_that_was_agreed_to_is_over_with_the_session(harness, wire):
    ask(harness, command=ABORT)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 2001)
    assert states(harness) == [ANSWERED]
    assert wire.ccr(ccr(3, 1, mscc(used=1_000_000, ask=False))).result_code == 2001
    harness.pass_time(12)
    assert states(harness) == [DONE]
    assert counts(harness, "abort") == {"sent": 1, "agreed": 1}


def test_an_answer_that_cannot_be_read_is_a_refusal(harness, wire):
    ask(harness)
    harness.pass_time(1)
    (received,) = [one for one in wire.received() if one[0].application_id]
    head = received[1][:20]
    wire.send(head[:1] + (20).to_bytes(3, "big") + b"\x40" + head[5:])
    assert states(harness) == [GIVEN_UP]


def test_answers_to_nothing_are_passed_over(harness, wire):
    ask(harness)
    harness.pass_time(1)
    one = asked_once(wire)
    reply(wire, one, 2002)
    reply(wire, one, 5002)
    assert states(harness) == [ANSWERED]


# --------------------------------------------------------------------------- other ways


@pytest.mark.rule("B-061", "B-153", "T232")
def test_silence_is_asked_again_by_another_way_with_the_t_flag(harness, wire):
    agent = harness.open(P2, **RELAY)
    ask(harness)
    harness.pass_time(1)
    first, _ = asked_once(wire)
    harness.pass_time(9)
    assert asked(agent) == []
    harness.pass_time(1)
    second, request = asked_once(agent)
    assert second.flags == FLAG_REQUEST | FLAG_PROXIABLE | FLAG_RETRANSMIT
    assert second.end_to_end == first.end_to_end
    assert request.destination_host == P1
    assert asked(wire) == []
    reply(agent, (second, request), 2001)
    assert states(harness) == [DONE]
    assert counts(harness) == {"sent": 1, "sent-again": 1, "agreed": 1}


@pytest.mark.rule("B-153")
def test_the_first_way_is_still_listened_to(harness, wire):
    agent = harness.open(P2, **RELAY)
    ask(harness)
    harness.pass_time(1)
    one = asked_once(wire)
    harness.pass_time(10)
    assert len(asked(agent)) == 1
    reply(wire, one, 2001)
    assert states(harness) == [DONE]


@pytest.mark.rule("B-153")
def test_silence_without_another_way_is_not_asked_again_at_once(harness, wire):
    ask(harness)
    harness.pass_time(12)
    assert len(asked(wire)) == 1
    (row,) = rows(harness)
    assert (row.state, row.attempts) == (PENDING, 1)
    harness.pass_time(15)
    assert len(asked(wire)) == 1
    assert counts(harness) == {"sent": 2, "unanswered": 1}


def test_who_cannot_deliver_is_gone_round_without_the_t_flag(harness, wire):
    agent = harness.open(P2, **RELAY)
    ask(harness)
    harness.pass_time(1)
    first = asked_once(wire)
    reply(wire, first, 3002)
    second, request = asked_once(agent)
    assert not second.is_retransmitted
    assert second.end_to_end == first[0].end_to_end
    reply(agent, (second, request), 3002)
    assert states(harness) == [PENDING]
    assert asked(wire) == asked(agent) == []


@pytest.mark.rule("B-152", "T235")
def test_a_client_behind_an_agent_is_asked_by_the_agent_it_was_last_heard_by(harness):
    harness.open(P3, **RELAY)
    agent = harness.open(P2, **RELAY)
    open_session(agent, origin_host="pgw9.net.example")
    ask(harness)
    harness.pass_time(1)
    _, request = asked_once(agent)
    assert (request.destination_host, request.destination_realm) == (
        "pgw9.net.example",
        "net.example",
    )


@pytest.mark.rule("B-152")
def test_the_clients_own_connection_goes_before_the_agent(harness):
    agent = harness.open(P2, **RELAY)
    open_session(agent)
    own = harness.open()
    ask(harness)
    harness.pass_time(1)
    assert len(asked(own)) == 1
    assert asked(agent) == []


@pytest.mark.rule("B-126", "B-153")
def test_a_lost_connection_is_gone_round_with_the_t_flag(harness, wire):
    agent = harness.open(P2, **RELAY)
    ask(harness)
    harness.pass_time(1)
    first, _ = asked_once(wire)
    wire.protocol.connectionLost()
    second, _ = asked_once(agent)
    assert second.is_retransmitted
    assert second.end_to_end == first.end_to_end


@pytest.mark.rule("B-010", "B-155", "T236")
def test_a_client_that_comes_back_is_asked_then(harness, wire):
    held = harness.money()
    wire.protocol.connectionLost()
    ask(harness)
    harness.pass_time(25)
    assert states(harness) == [PENDING]
    assert harness.money() == held
    _, again = come_back(harness)
    assert len(again) == 1
    assert counts(harness) == {"put-off": 2, "sent": 1}


@pytest.mark.rule("B-155")
def test_a_connection_lost_while_asking_is_asked_again_when_it_is_back(harness, wire):
    ask(harness)
    harness.pass_time(1)
    asked_once(wire)
    wire.protocol.connectionLost()
    assert states(harness) == [PENDING]
    _, again = come_back(harness)
    assert len(again) == 1


def alive(harness, seconds, wire):
    """Time in which one peer keeps its connection alive and the others are silent."""
    for _ in range(seconds):
        harness.pass_time(1)
        wire.send(DWR)


@pytest.fixture
def patient():
    """A server that waits longer for an answer than the watchdog does."""
    return running({"asking": AskLimits(answer_seconds=100.0)})


@pytest.mark.rule("B-061", "B-063", "B-153", "T055")
def test_a_suspected_peer_is_sent_nothing_more_and_what_it_has_goes_another_way(patient):
    wire, agent = patient.open(), patient.open(P2, **RELAY)
    open_session(wire, long=True)
    alive(patient, 50, agent)
    ask(patient)
    alive(patient, 1, agent)
    first, _ = asked_once(wire)
    alive(patient, 15, agent)
    assert not wire.protocol.can_send_requests
    second, request = asked_once(agent)
    assert (second.end_to_end, second.is_retransmitted) == (first.end_to_end, True)
    ask(patient)
    alive(patient, 5, agent)
    assert asked(wire) == []
    assert [one[0].is_retransmitted for one in asked(agent)] == [False]
    # It is only slow: what it answers now counts.
    reply(wire, (first, request), 2001)
    assert states(patient)[0] == DONE


def test_a_suspected_peer_without_another_way_is_waited_for(patient):
    wire = patient.open()
    open_session(wire, long=True)
    patient.pass_time(50)
    ask(patient)
    patient.pass_time(1)
    one = asked_once(wire)
    patient.pass_time(15)
    assert not wire.protocol.can_send_requests
    assert states(patient) == [SENT]
    reply(wire, one, 2001)
    assert states(patient) == [DONE]


@pytest.mark.rule("B-155")
def test_what_waits_goes_out_when_the_peer_is_trusted_again(patient):
    wire = patient.open()
    open_session(wire, long=True)
    patient.pass_time(66)
    asked(wire)
    ask(patient)
    patient.pass_time(5)
    assert states(patient) == [PENDING]
    wire.send(DWR)
    assert len(asked(wire)) == 1


@pytest.mark.rule("B-062", "B-155")
def test_a_peer_that_had_died_is_asked_when_it_has_proved_itself(patient):
    wire = patient.open()
    open_session(wire, long=True)
    patient.pass_time(100)
    assert wire.transport.disconnecting
    wire.protocol.connectionLost()
    ask(patient)
    again, at_once = come_back(patient, listen=False)
    for _ in range(3):
        assert at_once == []
        at_once = prove(patient, again)
    assert len(at_once) == 1


def prove(harness, wire):
    """Answer the next watchdog within its time; return what is asked then."""
    for _ in range(40):
        for header, _ in wire.received():
            assert header.command_code == 280
            wire.send(DeviceWatchdogAnswer(2001, P1, "net.example").write(header))
            return asked(wire)
        harness.pass_time(1)
    raise AssertionError("no watchdog came")


def test_a_peer_that_says_goodbye_is_sent_nothing_more(harness, wire):
    wire.send(DPR)
    ask(harness)
    harness.pass_time(3)
    assert asked(wire) == []
