"""Timers with a still clock: Tcc, expiry, restarted clients, downtime, several servers."""

from typing import Any

import pytest

from ocs.amounts import Unit
from ocs.charging import lifecycle
from ocs.clock import NS_PER_SECOND
from ocs.errors import IntegrityError, StoreUnavailableError
from ocs.ledger.account import Bucket
from ocs.service.timers import supervisor as module
from ocs.service.timers.supervisor import DOWNTIME_MIN_SECONDS, HEARTBEAT_NAME
from ocs.store.interface import PeerEntry
from tests.support.service import (
    NOON_NS,
    P1,
    Harness,
    add_account,
    ccr,
    identity,
    mscc,
    publish,
)

TCC = 60
"""Twice the validity time of the golden data quota."""


def running(**kwargs: Any):
    harness = Harness(**kwargs)
    harness.server.supervisor.start()
    harness.pass_time(1)
    return harness


def states(harness, account_id=1001):
    return {s.session_id: s.state for s in harness.store.sessions_of(account_id)}


def test_tcc_gives_back_what_a_lost_session_held_and_debits_nothing():
    harness = running()
    harness.open().ccr(ccr(1, 0, mscc()))
    harness.pass_time(TCC - 2)
    assert harness.money() == (10_000_000, 500_000)
    harness.pass_time(4)
    assert harness.money() == (10_000_000, 0)
    assert harness.server.metrics.sessions_expired == 1


def test_an_update_restarts_tcc():
    harness = running()
    wire = harness.open()
    wire.ccr(ccr(1, 0, mscc()))
    harness.pass_time(20)
    wire.ccr(ccr(2, 1, mscc(used=1000)))
    harness.pass_time(TCC - 5)
    assert harness.money()[1] == 500_000
    harness.pass_time(8)
    assert harness.money()[1] == 0


def test_more_due_sessions_than_one_step_are_all_done_soon():
    harness = running(balance="1000.00")
    wire = harness.open()
    for number in range(2 * module.STEP + 7):
        wire.ccr(ccr(1, 0, mscc(), session=f"s{number}"))
    harness.set_clock(TCC + 1)
    harness.loop.pump([1.0, 0.03, 0.03, 0.03])
    assert harness.money()[1] == 0
    assert harness.server.metrics.sessions_expired == 2 * module.STEP + 7


def test_two_servers_on_one_store_expire_a_session_once():
    one = running()
    one.open().ccr(ccr(1, 0, mscc()))
    two = Harness(store=one.store)
    for harness in (one, two):
        harness.server.supervisor.work()
        harness.set_clock(TCC + 5)
    due = one.store.due_sessions(one.clock.now_ns(), 10)
    assert len(due) == 1
    total = [harness.server.supervisor.work().sessions_expired for harness in (one, two)]
    assert total == [1, 0]


def test_an_expired_bucket_is_emptied_once():
    bucket = Bucket(1001, 7, Unit.OCTETS, "bonus", 5_000, expires_ns=NOON_NS + 3 * NS_PER_SECOND)
    harness = running(buckets=(bucket,))
    harness.pass_time(10)
    (state,) = [b for b in harness.store.account_state(1001).buckets if b.name == "bonus"]
    assert (state.available, state.held) == (0, 0)
    assert harness.server.metrics.buckets_expired == 1
    assert [m.amount for m in harness.store.movements(1001) if m.bucket_id == 7] == [5_000, -5_000]


@pytest.mark.rule("K-383")
def test_a_coming_expiry_is_told_once_by_two_servers():
    bucket = Bucket(1001, 7, Unit.OCTETS, "bonus", 5_000, expires_ns=NOON_NS + 2 * 3600 * 10**9)
    one = running(buckets=(bucket,))
    publish(one.store, one.ids, "telling")
    one.open().ccr(ccr(1, 0, mscc()))
    two = Harness(store=one.store)
    assert one.store.notifications() == []
    for harness in (one, two):
        harness.server.supervisor.work()
        harness.set_clock(3600)
    told = [harness.server.supervisor.work().notified for harness in (one, two)]
    assert told == [["expiry-near"], []]
    assert [row.subject for row in one.store.notifications()] == ["bonus"]


@pytest.mark.rule("D19", "T049")
def test_a_restarted_client_loses_its_old_sessions_and_keeps_the_new(capsys):
    harness = running()
    first = harness.open(origin_state_id=100)
    first.ccr(ccr(1, 0, mscc(), session="old", origin_state_id=100))
    first.ccr(ccr(1, 0, mscc(), session="old-silent"))
    first.protocol.connectionLost()
    harness.pass_time(1)
    second = harness.open(origin_state_id=101)
    second.ccr(ccr(1, 0, mscc(), session="new", origin_state_id=101))
    harness.pass_time(3)
    assert states(harness) == {"old": 4, "old-silent": 4, "new": 1}
    assert harness.money() == (10_000_000, 500_000)
    assert harness.server.metrics.sessions_lost == 2
    assert "restarted" in capsys.readouterr().out


def test_a_client_that_restarts_again_and_again_waits_once():
    harness = Harness(options={"peers": tuple(PeerEntry(f"pgw{n}.net.example") for n in (1, 2))})
    for state_id in range(100, 120):
        for number in (1, 2):
            wire = harness.open(f"pgw{number}.net.example", origin_state_id=state_id)
            wire.protocol.connectionLost()
    waiting = harness.server.supervisor._restarted
    assert len(waiting) <= 3
    assert waiting[-1].origin_state_id == 119


def test_a_client_that_changes_its_state_all_the_time_costs_little():
    harness = Harness()
    wire = harness.open()
    seen = []
    harness.server.diameter._client_connected = lambda _host, state_id: seen.append(state_id)
    for number in range(20):
        wire.ccr(ccr(1, 0, mscc(), session=f"s{number}", origin_state_id=100 + number))
    assert seen == [100]
    harness.clock.advance(1)
    wire.ccr(ccr(1, 0, mscc(), session="last", origin_state_id=120))
    assert seen == [100, 120]


@pytest.mark.rule("D19", "T050")
@pytest.mark.parametrize("state_id", [100, 99, 0, None])
def test_no_other_origin_state_id_means_a_restart(state_id):
    harness = running()
    first = harness.open(origin_state_id=100)
    first.ccr(ccr(1, 0, mscc(), session="old", origin_state_id=100))
    first.protocol.connectionLost()
    harness.pass_time(1)
    harness.open(origin_state_id=state_id)
    harness.pass_time(3)
    assert states(harness) == {"old": 1}
    assert harness.store.client_state(P1, 0) == 100


@pytest.mark.rule("D19", "T049")
def test_a_client_that_says_it_in_its_requests_only_has_restarted_too():
    harness = running()
    client = harness.open(origin_state_id=None)
    client.ccr(ccr(1, 0, mscc(), session="old", origin_state_id=100))
    client.ccr(ccr(2, 1, mscc(), session="old", origin_state_id=100))
    harness.pass_time(1)
    assert states(harness) == {"old": 1}
    client.ccr(ccr(1, 0, mscc(), session="new", origin_state_id=101))
    client.ccr(ccr(2, 1, mscc(), session="new", origin_state_id=101))
    harness.pass_time(3)
    assert states(harness) == {"old": 4, "new": 1}
    client.ccr(ccr(1, 0, mscc(), session="newer", origin_state_id=100))
    harness.pass_time(3)
    assert states(harness) == {"old": 4, "new": 1, "newer": 1}, "a lower one means nothing"


@pytest.mark.rule("D19")
def test_a_state_that_is_said_with_every_request_costs_one_look_at_the_store(monkeypatch):
    harness = running()
    asked: list[tuple[str, int]] = []
    remember = harness.server.supervisor.client_connected
    service = harness.server.diameter

    def look(origin_host: str, origin_state_id: int) -> None:
        asked.append((origin_host, origin_state_id))
        remember(origin_host, origin_state_id)

    monkeypatch.setattr(service, "_client_connected", look)
    client = harness.open(origin_state_id=None)
    for number in range(4):
        client.ccr(ccr(2 if number else 1, number, mscc(), origin_state_id=7))
    client.ccr(ccr(1, 0, mscc(), session="x", origin_host="other.net.example", origin_state_id=9))
    assert asked == [(P1, 0), (P1, 7)]


@pytest.mark.rule("D19")
def test_a_restarted_relay_says_nothing_about_its_clients():
    harness = running(options={"peers": (PeerEntry("dra1.net.example", relay=True),)})
    first = harness.open("dra1.net.example", origin_state_id=1)
    first.ccr(ccr(1, 0, mscc(), origin_host="dra1.net.example"))
    first.protocol.connectionLost()
    harness.pass_time(1)
    harness.open("dra1.net.example", origin_state_id=2)
    harness.pass_time(3)
    assert set(states(harness).values()) == {1}


def restarted_after(harness, seconds):
    """A new server on the same store, after nobody was there for a while."""
    later = Harness(store=harness.store)
    later.clock.advance((harness.clock.now_ns() - NOON_NS) // NS_PER_SECOND + seconds)
    later.server.supervisor.start()
    later.pass_time(1)
    return later


def test_after_downtime_the_sessions_have_as_much_longer():
    harness = running()
    harness.open().ccr(ccr(1, 0, mscc()))
    later = restarted_after(harness, 3 * TCC)
    later.pass_time(2 * TCC)
    assert later.money()[1] == 500_000
    later.pass_time(2 * TCC)
    assert later.money()[1] == 0


def test_a_quick_restart_extends_nothing():
    harness = running()
    harness.open().ccr(ccr(1, 0, mscc()))
    later = restarted_after(harness, DOWNTIME_MIN_SECONDS // 3)
    later.pass_time(TCC)
    assert later.money()[1] == 0


def test_a_clock_that_is_set_forward_is_no_downtime():
    harness = running()
    harness.open().ccr(ccr(1, 0, mscc()))
    harness.set_clock(TCC + 1)
    harness.pass_time(2)
    assert harness.money()[1] == 0


def test_time_without_the_database_is_downtime(monkeypatch):
    harness = running()
    harness.open().ccr(ccr(1, 0, mscc()))

    def gone():
        raise StoreUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(harness.store, "generations", gone)
        harness.pass_time(2 * TCC)
        assert harness.server.not_ready_because()
    harness.pass_time(TCC)
    assert harness.server.not_ready_because() == ""
    assert harness.money()[1] == 500_000
    harness.pass_time(2 * TCC)
    assert harness.money()[1] == 0


def test_the_heartbeat_is_kept_in_the_store():
    harness = running()
    harness.pass_time(30)
    alive = harness.store.client_state(HEARTBEAT_NAME, 0)
    assert 0 <= harness.clock.now_ns() // NS_PER_SECOND - alive <= 6


def test_one_session_that_cannot_be_expired_does_not_keep_the_others(monkeypatch, capsys):
    harness = running()
    add_account(harness.store, harness.ids, 1002, identities=[(identity().kind, "15550002")])
    wire = harness.open()
    for number in range(5):
        wire.ccr(ccr(1, 0, mscc(), session=f"s{number}"))
    real = lifecycle.expire_session

    def expire(working_set, key, context):
        if working_set.sessions[key].session_id == "s3":
            raise IntegrityError("does not add up")
        return real(working_set, key, context)

    monkeypatch.setattr(lifecycle, "expire_session", expire)
    harness.pass_time(TCC + 10)
    assert sorted(states(harness).values()) == [1, 4, 4, 4, 4]
    assert capsys.readouterr().out.count("not tried again") == 1


def test_a_stopped_supervisor_does_nothing_more():
    harness = running()
    harness.open().ccr(ccr(1, 0, mscc()))
    harness.server.supervisor.stop()
    harness.pass_time(2 * TCC)
    assert harness.money()[1] == 500_000


def test_two_servers_with_the_same_node_are_noticed(capsys):
    first = Harness()
    first.server.supervisor.work()
    first.clock.advance(module.HEARTBEAT_SECONDS)
    first.server.supervisor.work()
    assert "process.node" not in capsys.readouterr().out
    second = Harness(store=first.store)
    second.server.supervisor.work()
    third = Harness(store=first.store, options={"node": 2})
    third.server.supervisor.work()
    first.clock.advance(module.HEARTBEAT_SECONDS)
    first.server.supervisor.work()
    assert "process.node" in capsys.readouterr().out
