"""Requests to clients with several servers on one store, servers that die, and stores that fail."""

from typing import Any

import pytest

from ocs.charging.model.server_requests import RequestState, Trigger
from ocs.errors import IntegrityError, StoreUnavailableError
from ocs.service.asking.dispatcher import AskLimits
from protocol.credit_control import ServiceUnits
from tests.support.asking import (
    P2,
    RELAY,
    SESSION,
    ask,
    ask_all,
    asked,
    asked_once,
    come_back,
    end_soon,
    named,
    open_session,
    reply,
    rows,
    running,
    second_server,
    states,
)
from tests.support.service import ccr, mscc

PENDING, SENT, ANSWERED, DONE, GIVEN_UP = RequestState

# ---------------------------------------------------------------------- several servers


def test_the_server_with_the_connection_asks():
    first = running()
    second = second_server(first)
    wire = second.open()
    open_session(wire)
    agent = first.open(P2, **RELAY)
    ask(first)
    first.pass_time(2)
    assert len(asked(wire)) == 1
    assert asked(agent) == []
    (row,) = rows(first)
    assert row.node == 2


def test_a_server_without_a_way_leaves_it_to_one_with_an_agent():
    first = running()
    second = second_server(first)
    wire, agent = first.open(), second.open(P2, **RELAY)
    open_session(wire)
    wire.protocol.connectionLost()
    ask(first)
    first.pass_time(4)
    assert len(asked(agent)) == 1
    assert first.server.metrics.asked["re-auth", "put-off"] == 0


@pytest.mark.rule("C-095")
def test_two_servers_with_a_way_ask_once():
    first = running()
    second = second_server(first)
    wires = [first.open(), second.open()]
    open_session(wires[0])
    ask(first)
    first.pass_time(5)
    assert sorted(len(asked(wire)) for wire in wires) == [0, 1]


@pytest.mark.rule("C-095")
def test_another_server_goes_on_with_what_a_dead_one_had_taken():
    first = running()
    second = second_server(first)
    wire = first.open()
    open_session(wire)
    ask(first)
    first.pass_time(1)
    assert len(asked(wire)) == 1
    # The first server is gone: its timers run no more, the client connects to the other one.
    first.server.supervisor.stop()
    first.server.server_requests.stop()
    calls: Any = first.loop.getDelayedCalls()
    for call in calls:
        if getattr(call.func, "__self__", None) is first.server.server_requests:
            call.cancel()
    other, at_once = come_back(second)
    assert at_once == []
    second.pass_time(int(AskLimits().claim_seconds) + 3)
    again = asked(other)
    assert len(again) == 1
    assert not again[0][0].is_retransmitted
    (row,) = rows(second)
    assert (row.node, row.attempts) == (2, 2)


def test_an_answer_that_comes_when_another_server_has_taken_over_changes_nothing():
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness)
    harness.pass_time(1)
    one = asked_once(wire)
    (row,) = rows(harness)
    stored = harness.store.due_server_requests(row.due_ns, 1)[0]
    stored.node, stored.due_ns = 2, row.due_ns + 10**12
    assert harness.store.update_server_request(stored)
    reply(wire, one, 5012)
    assert states(harness) == [SENT]
    assert harness.server.server_requests.in_flight == 0


# ------------------------------------------------------------------------------ hard times


class Outage:
    """Makes one method of a store fail."""

    def __init__(self, monkeypatch, store, name, error) -> None:
        def fail(*_args: object, **_kwargs: object) -> None:
            raise error

        monkeypatch.setattr(store, name, fail)


def test_an_answer_that_cannot_be_written_is_asked_for_again(monkeypatch, capsys):
    harness = running()
    wire = harness.open()
    open_session(wire, long=True)
    ask(harness)
    harness.pass_time(1)
    one = asked_once(wire)
    with monkeypatch.context() as patch:
        Outage(patch, harness.store, "update_server_requests", StoreUnavailableError("gone"))
        reply(wire, one, 2001)
    assert "could not be written down" in capsys.readouterr().out
    assert (states(harness), harness.server.server_requests.in_flight) == ([SENT], 0)
    harness.pass_time(int(AskLimits().claim_seconds) + 1)
    reply(wire, asked_once(wire), 2001)
    assert states(harness) == [DONE]


def fail_for(monkeypatch, store, name, is_bad):
    """Let a method of the store find rubbish for some of its calls."""
    plain = getattr(store, name)

    def method(*args: Any) -> Any:
        if is_bad(*args):
            raise IntegrityError("rubbish")
        return plain(*args)

    monkeypatch.setattr(store, name, method)


def test_a_session_that_cannot_be_read_holds_up_no_other(monkeypatch, capsys):
    harness = running()
    wire = harness.open()
    for number in range(3):
        open_session(wire, named(number))
        ask(harness, named(number))
    bad = rows(harness)[0].session_key
    fail_for(monkeypatch, harness.store, "server_request_target", lambda _, key: key == bad)
    harness.pass_time(1)
    assert len(asked(wire)) == 2
    assert states(harness) == [GIVEN_UP, SENT, SENT]
    assert capsys.readouterr().out.count("cannot be handled; it is given up") == 1
    assert harness.server.metrics.asked["re-auth", "given-up"] == 1


def test_sessions_that_cannot_be_read_end_the_spreading(monkeypatch):
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness)
    parent = ask_all(harness, Trigger.PLAN_CHANGE)
    fail_for(monkeypatch, harness.store, "open_sessions_of", lambda *_: True)
    harness.pass_time(1)
    assert len(asked(wire)) == 1
    assert parent.server_request_id not in harness.store._server_requests


def test_a_session_that_cannot_be_released_holds_up_no_other(monkeypatch):
    harness = running()
    wire = harness.open()
    for number in range(2):
        open_session(wire, named(number))
        ask(harness, named(number))
    harness.pass_time(1)
    bad, good = asked(wire)
    fail_for(monkeypatch, harness.store, "transact", lambda *_: True)
    reply(wire, bad, 5002)
    reply(wire, good, 2001)
    by_name = {row.session_id: RequestState(row.state) for row in rows(harness)}
    assert by_name == {bad[1].session_id: GIVEN_UP, good[1].session_id: DONE}


def test_a_store_that_cannot_be_read_is_asked_again_with_the_next_tick(monkeypatch):
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness)
    with monkeypatch.context() as patch:
        Outage(patch, harness.store, "due_server_requests", StoreUnavailableError("gone"))
        harness.pass_time(3)
        assert asked(wire) == []
    harness.pass_time(1)
    assert len(asked(wire)) == 1


def test_stopping_gives_back_what_is_on_its_way():
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness)
    harness.pass_time(1)
    asked_once(wire)
    harness.server.supervisor.stop()
    harness.server.server_requests.stop()
    ask(harness)
    wire.protocol.connectionLost()
    harness.pass_time(5)
    assert states(harness) == [PENDING, PENDING]
    assert harness.server.server_requests.in_flight == 0


@pytest.mark.rule("D17")
def test_what_a_transaction_of_this_server_asks_for_goes_out_at_once():
    """A refund that another client asked for; not one second passes."""
    harness = running()
    wire, other = harness.open(), harness.open("pgw2.net.example")
    open_session(wire)
    end_soon(harness)
    message = mscc(1, requested=ServiceUnits(service_specific=1))
    said: dict[str, Any] = {
        "origin_host": "pgw2.net.example", "service_context_id": "12.32274@3gpp.org",
    }  # fmt: skip
    debit = other.ccr(ccr(4, 0, message, session="e1", requested_action=0, **said))
    said["refund_information"] = debit.services[0].refund_information or debit.refund_information
    refund = other.ccr(ccr(4, 0, session="e2", requested_action=1, **said))
    assert refund.result_code == 2001
    harness.loop.pump([0.03] * 3)
    assert asked_once(wire)[1].session_id == SESSION
