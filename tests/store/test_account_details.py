"""What an account counts and keeps, and what its customer is to be told, come back as written."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from ocs.amounts import Unit
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger.account import Account, Bucket, Counter
from ocs.ledger.notification import Notification
from ocs.store import dialects, schema
from ocs.store.interface import Store
from tests.support.ledger_rows import add_account, key_of

ACCOUNT = 77
COUNTED = Counter("calls", 5, 1_700_000_000, units=12, charged_micro=340, told=80)


def _account(store: Store) -> Account:
    def look(working_set: WorkingSet) -> Account:
        return working_set.accounts[ACCOUNT].account

    return store.transact([key_of(ACCOUNT)], look)


def _change(store: Store, change: Callable[[WorkingSet], None]) -> None:
    store.transact([key_of(ACCOUNT)], change)


def test_counters_come_back_as_they_were_counted(store: Store) -> None:
    add_account(store, ACCOUNT)
    before = _account(store)

    def count(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        account.counters.append(COUNTED)
        working_set.mark_counters(account)

    _change(store, count)
    after = _account(store)
    assert after.counters == [COUNTED]
    assert after.version == before.version + 1


def test_what_is_due_is_written_with_the_account(store: Store) -> None:
    add_account(store, ACCOUNT)

    def wait(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        account.due_ns = 9_000
        account.counters.append(COUNTED)
        working_set.mark_counters(account)
        working_set.mark_account(account)

    _change(store, wait)
    after = _account(store)
    assert (after.due_ns, after.counters) == (9_000, [COUNTED])


def test_a_bucket_knows_its_measure_and_its_start(store: Store) -> None:
    add_account(store, ACCOUNT)

    def add(working_set: WorkingSet) -> None:
        working_set.add_bucket(
            Bucket(ACCOUNT, 900, Unit.EVENTS, "energy", 5, measure="kWh", starts_ns=70)
        )

    _change(store, add)

    def spend(working_set: WorkingSet) -> None:
        bucket = next(b for b in working_set.accounts[ACCOUNT].buckets if b.bucket_id == 900)
        bucket.available -= 1
        working_set.mark_bucket(bucket)

    _change(store, spend)

    def look(working_set: WorkingSet) -> list[Bucket]:
        return [b for b in working_set.accounts[ACCOUNT].buckets if b.bucket_id == 900]

    found = store.transact([key_of(ACCOUNT)], look)
    assert [(b.available, b.measure, b.starts_ns) for b in found] == [(4, "kWh", 70)]


def test_a_notification_is_a_row_of_the_same_transaction(sql_url: str, sql_store: Store) -> None:
    add_account(sql_store, ACCOUNT)
    told = Notification(ACCOUNT, 4, 10, "low-balance", 5, "main", 80, {"balance_micro": 3})
    _change(sql_store, lambda working_set: working_set.notifications.append(told))

    def fail(working_set: WorkingSet) -> None:
        working_set.notifications.append(Notification(ACCOUNT, 5, 11, "low-balance"))
        raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError):
        _change(sql_store, fail)
    engine = dialects.open_engine(sql_url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(select(schema.notification))]
    engine.dispose()
    assert rows == [(ACCOUNT, 4, 10, "low-balance", 5, "main", 80, '{"balance_micro": 3}')]
