"""What is due to be asked of clients: spread over sessions, bounded, done by one server alone."""


import pytest

from ocs.charging.model.server_requests import RequestState, ServerRequest, Trigger
from ocs.charging.model.session import SessionState
from ocs.ledger.account import AccountStatus
from ocs.service.asking import rows as module
from ocs.service.asking.dispatcher import AskLimits
from ocs.store.interface import PeerEntry
from tests.support.asking import (
    P2,
    RELAY,
    SESSION,
    ask,
    ask_all,
    asked,
    asked_once,
    change_account,
    change_session,
    come_back,
    end_soon,
    insert,
    named,
    open_session,
    reply,
    rows,
    running,
    states,
)
from tests.support.service import P1, ccr, mscc, publish

PENDING, SENT, ANSWERED, DONE, GIVEN_UP = RequestState


# ------------------------------------------------------------------------------- spreading


@pytest.mark.rule("C-048", "C-090", "D17")
def test_a_top_up_asks_the_sessions_that_would_end_and_no_others():
    harness = running()
    wire = harness.open()
    for number in range(3):
        open_session(wire, named(number))
    end_soon(harness, named(1))
    parent = ask_all(harness, Trigger.TOP_UP)
    harness.pass_time(2)
    _, request = asked_once(wire)
    assert request.session_id == named(1)
    assert harness.store._server_requests[parent.server_request_id].state == DONE
    assert states(harness) == [SENT]


@pytest.mark.rule("C-090")
def test_a_block_aborts_every_session():
    harness = running()
    wire = harness.open()
    for number in range(3):
        open_session(wire, named(number))
    change_account(harness, status=AccountStatus.BLOCKED)
    ask_all(harness, Trigger.BLOCK)
    harness.pass_time(2)
    aborted = asked(wire)
    assert {header.command_code for header, _ in aborted} == {274}
    assert {request.session_id for _, request in aborted} == {named(n) for n in range(3)}


def test_sessions_are_looked_at_page_by_page(monkeypatch):
    monkeypatch.setattr(module, "PAGE", 4)
    harness = running()
    wire = harness.open()
    for number in range(10):
        open_session(wire, named(number))
    ask_all(harness, Trigger.PLAN_CHANGE)
    change_account(harness, plan="other")
    harness.loop.advance(1)
    first = len(rows(harness))
    assert first == 4
    harness.loop.pump([0.03] * 20)
    assert len(rows(harness)) == 10
    assert len(asked(wire)) == 10


def test_a_new_catalogue_asks_only_so_many_a_second(monkeypatch):
    monkeypatch.setattr(module, "PAGE", 4)
    harness = running({"asking": AskLimits(sessions_per_second=4)})
    wire = harness.open()
    for number in range(12):
        open_session(wire, named(number))
    publish(harness.store, harness.ids, "dearer")
    ask_all(harness, Trigger.CATALOGUE, account_id=0)
    per_second = []
    for _ in range(9):
        harness.clock.advance(1)
        harness.loop.pump([0.1] * 10)
        per_second.append(len(asked(wire)))
    assert sum(per_second) == 12
    assert max(per_second) <= 5


@pytest.mark.rule("C-090")
def test_a_new_catalogue_that_costs_the_same_asks_nobody():
    harness = running()
    wire = harness.open()
    open_session(wire)
    publish(harness.store, harness.ids)
    ask_all(harness, Trigger.CATALOGUE, account_id=0)
    harness.pass_time(10)
    assert asked(wire) == []
    assert rows(harness) == []


def test_a_session_that_waits_to_be_asked_is_not_asked_twice():
    harness = running()
    wire = harness.open()
    open_session(wire)
    end_soon(harness)
    wire.protocol.connectionLost()
    for _ in range(3):
        ask_all(harness, Trigger.TOP_UP)
        harness.pass_time(1)
    assert len(rows(harness)) == 1


@pytest.mark.rule("C-048", "C-090", "D17")
def test_a_top_up_is_told_although_the_client_reported_after_an_earlier_one_was_sent():
    harness = running()
    wire = harness.open()
    open_session(wire)
    end_soon(harness)
    ask_all(harness, Trigger.TOP_UP)
    harness.pass_time(2)
    asked_once(wire)  # its answer is lost
    harness.pass_time(4)
    wire.ccr(ccr(2, 1, mscc(used=1_000)))
    end_soon(harness)
    harness.pass_time(7)
    assert (states(harness), asked(wire)) == ([PENDING], [])
    ask_all(harness, Trigger.TOP_UP)
    harness.pass_time(2)
    _, request = asked_once(wire)
    assert request.session_id == SESSION
    harness.pass_time(15)
    assert states(harness)[0] == DONE


def test_what_is_not_needed_any_more_is_not_asked():
    harness = running()
    wire = harness.open()
    open_session(wire)
    end_soon(harness)
    wire.protocol.connectionLost()
    ask_all(harness, Trigger.TOP_UP)
    harness.pass_time(5)

    def enough_again(session) -> None:
        session.quotas[0].final = False

    change_session(harness, enough_again)
    wire, again = come_back(harness)
    harness.pass_time(1)
    assert again + asked(wire) == []
    assert states(harness) == [DONE]


def test_a_row_of_an_account_that_is_gone_is_finished():
    harness = running()
    insert(harness, ServerRequest(1, 999, b"", 258, Trigger.TOP_UP, 1, 1))
    harness.pass_time(1)
    assert harness.store._server_requests == {}


# ------------------------------------------------------------------------------ one session


def test_a_session_that_is_over_is_not_asked():
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness)
    wire.ccr(ccr(3, 1))
    harness.pass_time(1)
    assert asked(wire) == []
    assert states(harness) == [DONE]


def test_a_session_that_moved_to_another_agent_is_asked_there():
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness, origin_host="pgw2.net.example", peer="pgw2.net.example")
    harness.pass_time(1)
    assert asked(wire) == []
    harness.pass_time(3)
    assert len(asked(wire)) == 1
    (row,) = rows(harness)
    assert (row.origin_host, row.peer) == (P1, P1)


@pytest.mark.rule("B-152")
def test_any_agent_is_used_after_a_moment_of_grace():
    harness = running()
    wire = harness.open()
    open_session(wire)
    wire.protocol.connectionLost()
    agent = harness.open(P2, **RELAY)
    ask(harness)
    harness.pass_time(1)
    assert asked(agent) == []
    harness.pass_time(3)
    assert asked_once(agent)[1].destination_host == P1


@pytest.mark.rule("B-155")
def test_a_peer_that_is_declared_an_agent_while_it_is_connected_is_one():
    harness = running()
    wire = harness.open()
    open_session(wire)
    wire.protocol.connectionLost()
    peer = harness.open("pgw2.net.example")
    ask(harness)
    harness.pass_time(4)
    assert asked(peer) == []
    harness.server.directory._configured.pop("pgw2.net.example")
    harness.server.diameter.peers_changed([PeerEntry("pgw2.net.example", relay=True)])
    harness.pass_time(20)
    assert len(asked(peer)) == 1


def test_who_cannot_be_reached_is_looked_at_less_and_less_often():
    harness = running()
    wire = harness.open()
    open_session(wire, long=True)
    wire.protocol.connectionLost()
    ask(harness)
    harness.pass_time(600)
    (row,) = rows(harness)
    assert (row.state, row.attempts, row.note) == (PENDING, 0, module.NOBODY_THERE)
    assert harness.server.metrics.asked["re-auth", "put-off"] in range(5, 9)
    (session,) = harness.store.sessions_of(1001)
    assert session.state == SessionState.OPEN


def test_the_end_of_the_session_ends_the_waiting():
    harness = running()
    wire = harness.open()
    open_session(wire)
    wire.protocol.connectionLost()
    ask(harness)
    harness.pass_time(150)
    assert states(harness) == [DONE]


# ---------------------------------------------------------------------------------- limits


def test_only_so_many_wait_for_one_peer():
    limits = AskLimits(max_in_flight_per_peer=3)
    harness = running({"asking": limits})
    wire = harness.open()
    for number in range(7):
        open_session(wire, named(number))
        ask(harness, named(number))
    harness.pass_time(2)
    first = asked(wire)
    assert len(first) == 3
    for one in first:
        reply(wire, one, 2001)
    harness.loop.pump([0.03] * 5)
    assert len(asked(wire)) == 3
    assert harness.server.server_requests.in_flight == 3


def test_only_so_many_wait_for_all_peers_together():
    harness = running({"asking": AskLimits(max_in_flight=2)})
    wire, other = harness.open(), harness.open("pgw2.net.example")
    for number, gateway in enumerate((wire, wire, other, other)):
        host = "pgw2.net.example" if gateway is other else P1
        open_session(gateway, named(number), origin_host=host)
        ask(harness, named(number))
    harness.pass_time(2)
    sent = [(gateway, one) for gateway in (wire, other) for one in asked(gateway)]
    assert len(sent) == 2
    for gateway, one in sent:
        reply(gateway, one, 2001)
    harness.loop.pump([0.03] * 5)
    assert len(asked(wire) + asked(other)) == 2


def test_a_peer_that_is_full_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr(module, "PAGE", 2)
    harness = running({"asking": AskLimits(max_in_flight_per_peer=1)})
    wire, other = harness.open(), harness.open("pgw2.net.example")
    for number in range(6):
        open_session(wire, named(number))
        ask(harness, named(number))
    open_session(other, "other", origin_host="pgw2.net.example")
    ask(harness, "other")
    harness.loop.pump([1.0] + [0.03] * 10)
    assert len(asked(wire)) == 1
    assert len(asked(other)) == 1


def test_one_piece_of_work_is_bounded():
    harness = running()
    wire = harness.open()
    for number in range(module.WRITES_MAX + 5):
        open_session(wire, named(number))
        ask(harness, named(number))
    harness.loop.advance(1)
    assert len(asked(wire)) == module.WRITES_MAX
    harness.loop.pump([0.03] * 3)
    assert len(asked(wire)) == 5
