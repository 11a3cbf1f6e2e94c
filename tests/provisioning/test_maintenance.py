"""Pruning, backup and restore: less data, the same sums."""

import itertools
import sqlite3

import pytest

from ocs.charging.model.messages import (
    ChargingReply,
    EventAction,
    Outcome,
    RequestKind,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.server_requests import Command, RequestState, ServerRequest, Trigger
from ocs.errors import NotFoundError, RefusedError, UsageError
from ocs.ledger.notification import Notification
from ocs.provisioning import maintenance, sessions
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import find_subscriber
from ocs.store import backup, migrations
from ocs.store.outbox import Outbox
from tests.support.desks import NUMBER, SMS, open_office, wants

DAY = maintenance.NS_PER_DAY


def found(office):
    return find_subscriber(office.desk, f"+{NUMBER}")


def sides(office):
    return {name: dict(totals.sides) for name, totals in office.audited().totals.items()}


def fill(office):
    """Old traffic, then a day, then young traffic; an old session stays open."""
    account_id = office.open_account(balance=20_000_000)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="pgw1;open")
    for number in range(5):
        office.data_session(account_id, f"pgw1;old;{number}", (1_400_000, 400_000, 7_000_000))
        office.message(account_id, session=f"smsc;old;{number}")
    office.clock.advance(86_400)
    office.data_session(account_id, "pgw1;young")
    return account_id


def test_finished_requests_to_clients_go_and_others_stay(office):
    office.open_account()
    now_ns = office.clock.now_ns()
    rows = [
        ServerRequest(
            office.desk.ids.next_id(), 0, b"", Command.RE_AUTH, Trigger.CATALOGUE, now_ns,
            due_ns, state=state, finished_ns=finished_ns,
        )
        for due_ns, state, finished_ns in (
            (0, RequestState.DONE, now_ns), (0, RequestState.GIVEN_UP, now_ns),
            (0, RequestState.DONE, now_ns + DAY), (now_ns, RequestState.PENDING, 0),
        )
    ]  # fmt: skip
    office.desk.store.transact([], lambda loaded: loaded.server_requests.extend(rows))
    office.clock.advance(86_400)
    result = maintenance.prune(office.desk, DAY, DAY // 2)
    assert result.view()["server_requests"] == 2
    kept = [row.server_request_id for row in office.desk.reports.server_requests(0, 10)]
    assert kept == [rows[3].server_request_id, rows[2].server_request_id]


@pytest.mark.rule("I-001")
def test_pruning_keeps_every_sum(office):
    account_id = fill(office)
    before, shown = sides(office), accounts.show(office.desk, account_id)
    result = maintenance.prune(office.desk, DAY // 2, 0)
    assert result.pruned.requests > 20
    assert result.pruned.sessions >= 5
    office.must_be_clean()
    assert sides(office) == before
    assert accounts.show(office.desk, account_id) == shown
    lines = accounts.ledger(office.desk, account_id, 1000, 0)
    carried = [line for line in lines if line["side"] == "carried-forward"]
    assert {(line["bucket"], line["rule"]) for line in carried} == {
        ("main", "top-up"),
        ("main", "revenue"),
    }
    assert lines[: len(carried)] == carried, "the carried sums come first"


def test_pruning_again_changes_nothing_and_later_merges(office):
    account_id = fill(office)
    maintenance.prune(office.desk, DAY // 2, 0)
    again = maintenance.prune(office.desk, DAY // 2, 0)
    assert (again.pruned.requests, again.pruned.sessions) == (0, 0)
    before = sides(office)
    office.clock.advance(86_400 * 2)
    assert maintenance.prune(office.desk, DAY // 2, 0).pruned.requests > 0
    office.must_be_clean()
    assert sides(office) == before
    lines = accounts.ledger(office.desk, account_id, 1000, 0)
    assert len([line for line in lines if line["side"] == "carried-forward"]) == 2


def test_open_sessions_and_their_requests_stay(office):
    account_id = fill(office)
    maintenance.prune(office.desk, 0, 0)
    kept = sessions.find(office.desk, "pgw1;open", None)
    assert kept.account_id == account_id
    assert office.ask(account_id, RequestKind.UPDATE, 1, wants(100, 500), session="pgw1;open")
    office.must_be_clean()


def test_closed_sessions_stay_for_their_time(office):
    account_id = office.open_account()
    office.data_session(account_id)
    maintenance.prune(office.desk, 0, 0)
    assert sessions.find(office.desk, "pgw1;1;1", None), "the tombstone time is not over"
    office.clock.advance(office.desk.policy.tombstone_seconds + 1)
    maintenance.prune(office.desk, 0, DAY)
    assert sessions.find(office.desk, "pgw1;1;1", None)
    maintenance.prune(office.desk, 0, 0)
    with pytest.raises(NotFoundError):
        sessions.find(office.desk, "pgw1;1;1", None)
    office.must_be_clean()


@pytest.mark.rule("M-014")
def test_a_refund_stays_as_long_as_its_charge(office):
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="pgw1;open")
    office.clock.advance(5)
    office.ask(account_id, RequestKind.UPDATE, 1, wants(100, 900_000), session="pgw1;open")
    entry = accounts.ledger(office.desk, account_id, 1, 0)[0]["entry"]
    accounts.refund(office.desk, entry)
    office.clock.advance(10)
    maintenance.prune(office.desk, 0, 0)
    with pytest.raises(RefusedError, match="refunded completely"):
        accounts.refund(office.desk, entry)
    office.must_be_clean()


@pytest.mark.rule("M-014")
@pytest.mark.parametrize("by_operator", [False, True])
def test_what_guards_against_a_second_refund_stays_as_long_as_its_event(office, by_operator):
    account_id = office.open_account()
    token = office.message(account_id, session="smsc;1", number=0).refund_reference

    def refund(session: str) -> int:
        one = ServiceRequest(1, (), requested=Units(events=1))
        reply: ChargingReply = office.ask(
            account_id, RequestKind.EVENT, 0, one, session=session, context=SMS,
            action=EventAction.REFUND_ACCOUNT, reference=token,
        )  # fmt: skip
        return reply.outcome

    office.clock.advance(10)
    if by_operator:
        accounts.refund(office.desk, accounts.ledger(office.desk, account_id, 1, 0)[0]["entry"])
    else:
        assert refund("smsc;refund;1") == Outcome.SUCCESS
    office.clock.advance(2 * 86_400)
    office.message(account_id, session="smsc;1", number=1)
    assert maintenance.prune(office.desk, DAY, 0).pruned.requests
    assert refund("smsc;refund;2") == Outcome.UNABLE_TO_COMPLY
    office.must_be_clean()
    office.clock.advance(2 * 86_400)
    maintenance.prune(office.desk, DAY, 0)
    assert refund("smsc;refund;3") == Outcome.INVALID_VALUE, "now nothing is left to refund"
    office.must_be_clean()


@pytest.mark.rule("M-014")
def test_what_guards_against_a_second_refund_stays_as_long_as_its_session(office):
    account_id = office.open_account()
    wanted = ServiceRequest(1, (), requested=Units(events=3))
    used = ServiceRequest(1, (), used=(UsedUnits(Units(events=3)),))
    office.ask(account_id, RequestKind.INITIAL, 0, wanted, session="smsc;1", context=SMS)
    ended = office.ask(account_id, RequestKind.TERMINATION, 1, used, session="smsc;1", context=SMS)

    def refund(session: str) -> int:
        one = ServiceRequest(1, (), requested=Units(events=1))
        reply: ChargingReply = office.ask(
            account_id, RequestKind.EVENT, 0, one, session=session, context=SMS,
            action=EventAction.REFUND_ACCOUNT, reference=ended.refund_reference,
        )  # fmt: skip
        return reply.outcome

    assert refund("smsc;refund;1") == Outcome.SUCCESS
    office.clock.advance(2 * 86_400)
    # The name of the session is still in use, so its records stay, and so does the guard.
    office.message(account_id, session="smsc;1", number=7)
    maintenance.prune(office.desk, DAY, 0)
    assert refund("smsc;refund;2") == Outcome.UNABLE_TO_COMPLY
    office.must_be_clean()


@pytest.mark.rule("C-183", "D21")
def test_events_stay_as_long_as_they_may_be_repeated(office):
    account_id = office.open_account()

    def send() -> ChargingReply:
        office.hashes = itertools.count(1000)
        reply: ChargingReply = office.message(account_id)
        return reply

    first = send()
    accounts.top_up(office.desk, found(office), "1.00", reference="till 7")
    office.clock.advance(86_000)
    maintenance.prune(office.desk, 0, 0)
    assert send() == first
    assert accounts.top_up(office.desk, found(office), "1.00", reference="till 7").repeated
    office.clock.advance(500)
    maintenance.prune(office.desk, 0, 0)
    lines = accounts.ledger(office.desk, account_id, 10, 0)
    assert {line["side"] for line in lines} == {"carried-forward"}
    assert send().cost_micro == 70_000, "nothing is left of it: it is another event now"
    assert len(accounts.ledger(office.desk, account_id, 10, 0)) == len(lines) + 1
    office.must_be_clean()


def test_a_session_id_used_again_after_pruning_ends_like_any_other(office):
    account_id = office.open_account()
    for number in range(3):
        office.ask(account_id, RequestKind.INITIAL, number, wants(100), session="pgw1;again")
        office.clock.advance(100_000)
        office.expire_sessions()
        assert accounts.show(office.desk, account_id)["held"] == "0.00"
        office.clock.advance(100_000)
        maintenance.prune(office.desk, 30 * DAY, 0)
    office.must_be_clean()


@pytest.mark.rule("K-390")
def test_notifications_go_when_their_time_is_over(office, monkeypatch):
    monkeypatch.setattr("ocs.store.retention.STEP_SESSIONS", 2)
    account_id = office.open_account()
    for number in range(5):
        row = Notification(account_id, office.desk.ids.next_id(), office.clock.now_ns(), "renewed",
                           subject=str(number))  # fmt: skip
        office.desk.store.transact([], lambda loaded, row=row: loaded.notifications.append(row))
        office.clock.advance(86_400)
    assert maintenance.prune(office.desk, 30 * DAY, 0).pruned.notifications == 0
    pruned = maintenance.prune(office.desk, 30 * DAY, 0, 2 * DAY).pruned
    left = [one.subject for one in Outbox(office.desk.reader).after(0)]
    assert (pruned.notifications, left) == (3, ["3", "4"])
    assert maintenance.prune(office.desk, 30 * DAY, 0, 0).pruned.notifications == 2
    with pytest.raises(UsageError):
        maintenance.prune(office.desk, 30 * DAY, 0, -1)


def test_small_steps_give_the_same_result(office, monkeypatch):
    monkeypatch.setattr("ocs.store.retention.STEP_SESSION_KEYS", 2)
    monkeypatch.setattr("ocs.store.retention.STEP_SESSIONS", 2)
    fill(office)
    before = sides(office)
    maintenance.prune(office.desk, DAY // 2, 0)
    office.must_be_clean()
    assert sides(office) == before


def test_backup_is_whole_and_restores(office, tmp_path):
    account_id = fill(office)
    copy = tmp_path / "copy.db"
    document = maintenance.backup(office.desk, office.url, copy)
    assert document["octets"] == copy.stat().st_size
    assert not list(tmp_path.glob("*.part"))
    shown = accounts.show(office.desk, account_id)
    url = f"sqlite:///{tmp_path}/other.db"
    maintenance.restore(url, copy, replace=False)
    with open_office(url, publish=False) as other:
        assert accounts.show(other.desk, account_id) == shown
        other.must_be_clean()
    assert not [*tmp_path.glob("copy.db-*")], "a copy is one file, and restoring changes nothing"


def test_nobody_else_may_read_a_database_or_its_copy(tmp_path):
    url, copy = f"sqlite:///{tmp_path / 'ocs.db'}", tmp_path / "copy.db"
    migrations.upgrade(url)
    with open_office(url) as office:
        maintenance.backup(office.desk, office.url, copy)
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.glob("*")}
    assert modes == {
        "ocs.db": "0o600", "ocs.db-wal": "0o600", "ocs.db-shm": "0o600", "copy.db": "0o600",
    }  # fmt: skip
    other = tmp_path / "other.db"
    with open_office(f"sqlite:///{other}"):
        other.chmod(0o640)
    maintenance.restore(f"sqlite:///{other}", copy, replace=True)
    assert oct(other.stat().st_mode & 0o777) == "0o640", "as the operator had it"


@pytest.mark.parametrize("name", ["what?.db", "50%41.db", "no#1.db"])
def test_a_copy_may_have_any_name(office, tmp_path, name):
    office.open_account()
    maintenance.backup(office.desk, office.url, tmp_path / name)
    maintenance.restore(f"sqlite:///{tmp_path}/other.db", tmp_path / name, replace=False)
    with open_office(f"sqlite:///{tmp_path}/other.db", publish=False) as other:
        assert found(other)


def test_backup_never_overwrites(office, tmp_path):
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    with pytest.raises(RefusedError, match="exists already"):
        maintenance.backup(office.desk, office.url, copy)
    assert copy.read_text() == "precious"


def test_restore_asks_before_it_replaces(office, tmp_path):
    office.open_account()
    copy = tmp_path / "copy.db"
    maintenance.backup(office.desk, office.url, copy)
    url = f"sqlite:///{tmp_path}/other.db"
    with open_office(url) as other:
        other.open_account("491777", 1_000_000)
    with pytest.raises(RefusedError, match="not empty"):
        maintenance.restore(url, copy, replace=False)
    with open_office(url, publish=False) as other:
        assert find_subscriber(other.desk, "491777")
        with pytest.raises(RefusedError, match="in use"):
            maintenance.restore(url, copy, replace=True)
    maintenance.restore(url, copy, replace=True)
    with open_office(url, publish=False) as other:
        assert found(other)
        with pytest.raises(NotFoundError):
            find_subscriber(other.desk, "491777")
        other.must_be_clean()


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\x00" + b"x" * 4096])
def test_restore_refuses_what_is_no_copy(tmp_path, content):
    source = tmp_path / "copy.db"
    source.write_bytes(content)
    url = f"sqlite:///{tmp_path}/ocs.db"
    with pytest.raises(Exception) as caught:
        maintenance.restore(url, source, replace=False)
    assert caught.type.__module__ == "ocs.errors"
    assert not (tmp_path / "ocs.db").exists()
    assert not list(tmp_path.glob("*.restoring*"))


def test_restore_refuses_another_programs_database(tmp_path):
    source = tmp_path / "copy.db"
    connection = sqlite3.connect(source)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    with pytest.raises(Exception, match="no tables yet"):
        maintenance.restore(f"sqlite:///{tmp_path}/ocs.db", source, replace=False)


def test_postgres_tools_missing_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RefusedError, match="apt install postgresql-client"):
        backup.backup("postgresql://nobody@localhost/none", tmp_path / "copy")
    assert not list(tmp_path.iterdir())
