"""A batch on the store's thread: look-ups, faults of one request, faults of the store."""

from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from ocs.charging import engine
from ocs.charging.model.messages import (
    ChargingRequest,
    Identity,
    Outcome,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey
from ocs.clock import IdSource, ManualClock
from ocs.errors import IntegrityError, StoreUnavailableError, UnknownCommitError
from ocs.ledger.account import Identifier
from ocs.store.memory import MemoryStore
from tests.support.service import IMSI, MSISDN, NOON_NS, Harness, add_account, publish


class Bench(Harness):
    """The decider alone, with a store whose transactions can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.decider = self.server.decider
        self.server.supervisor.work()

    def decide(self, *requests: ChargingRequest):
        return [reply.outcome for reply in self.decider.decide(list(requests))]


def request(kind=1, number=0, session="s1", identities=(("msisdn", MSISDN),), **changes: Any):
    made = ChargingRequest(
        session,
        make_session_key(session, None),
        kind,
        number,
        NOON_NS,
        1 << 62,
        hash((session, kind, number)) & 0xFFFF,
        "32251@3gpp.org",
        tuple(Identity(*one) for one in identities),
        (ServiceRequest(100, requested=Units()),),
        event_ns=NOON_NS,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_known_and_unknown_subscribers_in_one_batch_keep_their_order():
    bench = Bench()
    stranger = (("msisdn", "19990001"),)
    outcomes = bench.decide(
        request(session="a", identities=stranger),
        request(session="b"),
        request(kind=2, session="c", identities=stranger),
        request(kind=4, session="d", identities=stranger),
    )
    assert outcomes == [
        Outcome.USER_UNKNOWN,
        Outcome.SUCCESS,
        Outcome.UNKNOWN_SESSION,
        Outcome.USER_UNKNOWN,
    ]
    assert bench.money() == (10_000_000, 500_000)


def test_an_unknown_subscriber_is_found_as_soon_as_it_is_added():
    bench = Bench()
    late = (("msisdn", "15550002"),)
    assert bench.decide(request(identities=late)) == [Outcome.USER_UNKNOWN]
    add_account(bench.store, bench.ids, 1002, identities=late)
    assert bench.decide(request(identities=late)) == [Outcome.SUCCESS]


def test_a_number_that_moved_to_another_account_is_charged_there():
    bench = Bench()
    assert bench.decide(request(session="a")) == [Outcome.SUCCESS]
    add_account(bench.store, bench.ids, 1002, identities=())

    def move(working_set):
        working_set.removed_identifiers.append(Identifier("msisdn", MSISDN, 1001))

    def arrive(working_set):
        working_set.new_identifiers.append(Identifier("msisdn", MSISDN, 1002))

    for account_id, change in ((1001, move), (1002, arrive)):
        key = RequestKey(account_id, b"x" * 16, 10, account_id)
        bench.store.transact([key], change)
    assert bench.decide(request(session="b")) == [Outcome.SUCCESS]
    assert bench.money(1001) == bench.money(1002) == (10_000_000, 500_000)


@pytest.mark.rule("C-001")
def test_the_session_decides_about_updates_whatever_their_identities():
    bench = Bench()
    add_account(bench.store, bench.ids, 1002, identities=(("msisdn", "15550002"),))
    assert bench.decide(request()) == [Outcome.SUCCESS]
    update = request(kind=3, number=1, identities=(("msisdn", "15550002"),), services=())
    assert bench.decide(update) == [Outcome.SUCCESS]
    assert bench.money(1001) == (10_000_000, 0)


@pytest.mark.rule("C-001")
@pytest.mark.parametrize("identities", [(), (("msisdn", "15550002"),), (("msisdn", "19990001"),)])
def test_an_update_in_the_batch_of_its_initial_request_follows_the_session(identities):
    bench = Bench()
    add_account(bench.store, bench.ids, 1002, identities=(("msisdn", "15550002"),))
    used = (ServiceRequest(100, used=(UsedUnits(Units(octets=1_000_000)),)),)
    outcomes = bench.decide(
        request(),
        request(kind=2, number=1, identities=identities, services=used),
        request(kind=3, number=2, identities=identities, services=used),
    )
    assert outcomes == [Outcome.SUCCESS] * 3
    assert bench.money(1001) == (9_900_000, 0)
    assert bench.money(1002) == (10_000_000, 0)


@pytest.mark.rule("C-001")
def test_identities_of_two_accounts_go_by_priority_and_are_noted(capsys):
    bench = Bench()
    add_account(bench.store, bench.ids, 1002, identities=(("imsi", "001010000000002"),))
    asked = request(identities=(("imsi", "001010000000002"), ("msisdn", MSISDN)))
    assert bench.decide(asked) == [Outcome.SUCCESS]
    assert bench.money(1001) == (10_000_000, 500_000)
    assert bench.money(1002) == (10_000_000, 0)
    record = bench.store.stored_records(1001)[-1].record
    assert record.identity == f"msisdn:{MSISDN}"
    assert "1002" in record.anomaly
    logged = capsys.readouterr().out
    assert "different accounts" in logged
    assert MSISDN not in logged
    assert "001010000000002" not in logged


def test_two_identities_of_one_account_are_no_anomaly():
    bench = Bench()
    bench.decide(request(identities=(("imsi", IMSI), ("msisdn", MSISDN))))
    assert bench.store.stored_records(1001)[-1].record.anomaly == ""


def test_usage_of_a_session_nobody_knows_is_kept_for_review():
    bench = Bench()
    used = (ServiceRequest(100, used=(UsedUnits(Units(octets=3_000_000)),)),)
    assert bench.decide(request(kind=2, services=used)) == [Outcome.UNKNOWN_SESSION]
    assert [item.kind for item in bench.store.reviews()] == ["orphan-usage"]


@pytest.mark.rule("B-145")
def test_twins_in_one_batch_and_in_two_are_charged_once():
    bench = Bench()
    first, twin, later = request(), request(), request(retransmitted=True)
    replies = bench.decider.decide([first, twin])
    (third,) = bench.decider.decide([later])
    assert replies[0] == replies[1] == third
    assert bench.money() == (10_000_000, 500_000)
    assert len([r for r in bench.store.stored_records(1001) if r.key.kind == 1]) == 1


def test_a_request_that_cannot_be_decided_is_alone_with_its_fault(monkeypatch):
    bench = Bench()
    real = engine.decide

    def decide(one, working_set, context):
        if one.session_id == "s5":
            raise IntegrityError("stored state contradicts itself")
        return real(one, working_set, context)

    monkeypatch.setattr("ocs.service.batches.charging.decide", decide)
    with capture_logs() as said:  # not drawn with every local variable, which takes seconds
        outcomes = bench.decide(*(request(session=f"s{number}") for number in range(9)))
    assert outcomes == [
        Outcome.UNABLE_TO_COMPLY if number == 5 else Outcome.SUCCESS for number in range(9)
    ]
    assert bench.money() == (10_000_000, 8 * 500_000)
    (line,) = said
    assert (line["event"], line["exc_info"]) == ("a request could not be decided", True)
    assert (line["kind"], line["origin_host"]) == ("INITIAL", request().origin_host)


@dataclass
class Failing:
    """A store whose next transactions fail, before or after they are written."""

    store: MemoryStore
    before: list[Exception]
    after: list[Exception]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def transact(self, keys, decide, description=""):
        if self.before:
            raise self.before.pop(0)
        result = self.store.transact(keys, decide, description)
        if self.after:
            raise self.after.pop(0)
        return result


def failing(before=(), after=()):
    clock = ManualClock(NOON_NS)
    ids = IdSource(clock, 1)
    store = Failing(MemoryStore(ids), [], [])
    publish(store, ids)
    add_account(store, ids, 1001)
    harness = Harness(store=store)
    store.before, store.after = list(before), list(after)
    return harness


@pytest.mark.rule("D25")
def test_without_the_database_everything_is_too_busy_and_then_recovers(capsys):
    harness = failing(before=[StoreUnavailableError("gone"), StoreUnavailableError("gone")])
    decider = harness.server.decider
    for _ in range(2):
        assert decider.decide([request()])[0].outcome == Outcome.TOO_BUSY
    assert decider.decide([request()])[0].outcome == Outcome.SUCCESS
    logged = capsys.readouterr().out
    assert logged.count("the store cannot be used") == 1
    assert logged.count("the store can be used again") == 1


def test_an_unknown_commit_that_happened_is_answered_from_what_was_stored():
    harness = failing(after=[UnknownCommitError("connection lost")])
    (reply,) = harness.server.decider.decide([request()])
    assert reply.outcome == Outcome.SUCCESS
    assert harness.money() == (10_000_000, 500_000)
    assert len(harness.store.stored_records(1001)) == 1


def test_an_unknown_commit_that_did_not_happen_is_decided_anew():
    harness = failing(before=[UnknownCommitError("connection lost")])
    (reply,) = harness.server.decider.decide([request()])
    assert reply.outcome == Outcome.SUCCESS
    assert harness.money() == (10_000_000, 500_000)


def test_a_commit_that_stays_unknown_is_too_busy():
    harness = failing(before=[UnknownCommitError("lost")] * 3)
    (reply,) = harness.server.decider.decide([request()])
    assert reply.outcome == Outcome.TOO_BUSY
    assert harness.money() == (10_000_000, 0)


def test_a_new_catalogue_is_used_for_new_sessions_and_the_old_for_old_ones():
    bench = Bench()
    assert bench.decide(request(session="old")) == [Outcome.SUCCESS]
    publish(bench.store, bench.ids, "second")
    bench.decider.decide([request(session="new")])
    versions = {s.session_id: s.catalogue_version for s in bench.store.sessions_of(1001)}
    assert versions == {"old": 1, "new": 2}


def test_an_old_version_is_loaded_when_a_session_of_it_comes_up_after_a_restart():
    bench = Bench()
    assert bench.decide(request(session="old")) == [Outcome.SUCCESS]
    publish(bench.store, bench.ids, "second")
    restarted = Harness(store=bench.store)
    decider = restarted.server.decider
    reply = decider.decide([request(kind=3, number=1, session="old")])[0]
    assert reply.outcome == Outcome.SUCCESS
    assert set(restarted.server.catalogues) == {1, 2}


def test_without_a_catalogue_nothing_can_be_rated():
    clock = ManualClock(NOON_NS)
    ids = IdSource(clock, 1)
    store = MemoryStore(ids)
    add_account(store, ids, 1001)
    harness = Harness(store=store)
    (reply,) = harness.server.decider.decide([request()])
    assert reply.outcome == Outcome.RATING_FAILED


@pytest.mark.rule("D05", "D26")
def test_what_is_left_to_a_person_is_counted_once():
    bench = Bench()
    used = (UsedUnits(Units(octets=5)),)
    services = (ServiceRequest(999, used=used), ServiceRequest(100, used=used))
    lost = request(2, 1, "nobody", services=services)
    assert bench.decide(lost) == [Outcome.UNKNOWN_SESSION]
    assert bench.decide(lost) == [Outcome.UNKNOWN_SESSION], "answered from what is stored"
    assert bench.decider.parked == {"parked-usage": 0, "orphan-usage": 1, "unrated-usage": 1}
    shown = bench.server.metrics.exposition().decode()
    assert 'ocs_parked_usage_total{kind="unrated-usage"} 1.0' in shown


@pytest.mark.rule("K-380", "K-382")
def test_notifications_are_counted_when_they_are_stored():
    bench = Bench()
    publish(bench.store, bench.ids, "telling")
    used = (UsedUnits(Units(octets=5_000_000)),)
    bench.decide(request())
    late = request(2, 1, services=(ServiceRequest(100, used=used),))
    assert bench.decide(late, late) == [Outcome.SUCCESS] * 2
    assert bench.decide(late) == [Outcome.SUCCESS], "answered from what is stored"
    assert [one.kind for one in bench.store.notifications()] == ["low-balance"]
    shown = bench.server.metrics.exposition().decode()
    assert 'ocs_notifications_total{kind="low-balance"} 1.0' in shown
    assert 'ocs_notifications_total{kind="renewed"} 0.0' in shown
