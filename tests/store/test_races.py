"""Two stores on one database: lost races are run again, and nothing is ever written over."""

import multiprocessing
import sqlite3
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from sqlalchemy import event, text

from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import WorkingSet
from ocs.clock import IdSource, SystemClock
from ocs.errors import ConflictError, StoreConflictError, StoreUnavailableError
from ocs.ledger.account import Identifier
from ocs.store.interface import RETRIES_MAX
from ocs.store.sql import SqlStore
from tests.support.ledger_rows import (
    add_account,
    add_session,
    available,
    charge,
    debit,
    key_of,
    make_session,
    read_session,
)
from tests.support.tables import make_tables


def count(store: SqlStore, table: str) -> int:
    with store.engine.connect() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    return found


@pytest.mark.rule("T184")
def test_parallel_debits_of_one_account_add_up(sql_url, open_store) -> None:
    stores = [open_store(sql_url) for _ in range(3)]
    add_account(stores[0], 5)
    add_session(stores[0], 5)
    problems: list[BaseException] = []

    def work(index: int) -> None:
        try:
            for number in range(1, 21):
                event_key = key_of(5, 100 * index + number, RequestKind.EVENT)
                update_key = key_of(5, 100 * index + number)
                assert charge(stores[index], event_key)
                assert charge(stores[index], update_key)
        except BaseException as problem:  # noqa: BLE001 - shown by the assertion below
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert available(stores[0], 5) == 1_000_000 - 120
    assert count(stores[0], "request") == count(stores[0], "movement") == 120


@pytest.mark.rule("I-006")
def test_one_request_decided_by_two_servers_at_once_is_charged_once(sql_url, open_store) -> None:
    stores = [open_store(sql_url) for _ in range(2)]
    add_account(stores[0], 5)
    add_session(stores[0], 5)
    keys = [key_of(5, number, RequestKind.EVENT) for number in range(25)]
    charged: list[bool] = []

    def work(store: SqlStore) -> None:
        charged.extend(charge(store, key) for key in keys)

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(charged) == [False] * 25 + [True] * 25
    assert available(stores[0], 5) == 1_000_000 - 25


def _write_between(store: SqlStore, statement: str, times: int) -> list[int]:
    """Run a statement in each transaction of the store, just before its own writes.

    It stands for a writer that does not take the account's lock.
    """
    calls: list[int] = []

    def decided() -> None:
        calls.append(len(calls))

    @event.listens_for(store.engine, "before_cursor_execute")
    def before(connection, cursor, sql, parameters, context, executemany) -> None:
        writes = sql.startswith(("WITH w0", "UPDATE session SET", "UPDATE bucket SET"))
        if writes and len(calls) < times and not connection.info.get("inside"):
            decided()
            connection.info["inside"] = True
            connection.exec_driver_sql(statement)
            connection.info["inside"] = False

    return calls


@pytest.mark.parametrize("table", ["session", "bucket"])
def test_a_row_that_was_changed_meanwhile_is_loaded_and_decided_again(sql_store, table) -> None:
    add_account(sql_store, 5)
    add_session(sql_store, 5)
    key = key_of(5, 1)
    calls = _write_between(sql_store, f"UPDATE {table} SET version = version + 1", times=1)
    decided: list[int] = []

    def decide(working_set: WorkingSet) -> None:
        decided.append(1)
        debit(working_set, key, 100)

    sql_store.transact([key], decide)
    assert (len(calls), len(decided)) == (1, 2)
    assert available(sql_store, 5) == 999_900
    assert count(sql_store, "movement") == 1


def test_a_row_that_always_changes_is_given_up(sql_store) -> None:
    add_account(sql_store, 5)
    key = key_of(5, 1, RequestKind.EVENT)
    calls = _write_between(sql_store, "UPDATE bucket SET version = version + 1", times=100)
    with pytest.raises(StoreConflictError, match="1 of 1 buckets"):
        charge(sql_store, key)
    assert len(calls) == RETRIES_MAX + 1
    assert available(sql_store, 5) == 1_000_000


def test_a_decision_may_say_itself_that_it_lost_a_race(sql_store) -> None:
    tried: list[int] = []

    def decide(_: WorkingSet) -> int:
        tried.append(1)
        if len(tried) < 3:
            raise StoreConflictError
        return len(tried)

    assert sql_store.transact([], decide) == 3


@pytest.mark.postgres
def test_a_session_key_that_is_taken_while_we_decide_is_tried_again(
    postgres_tables_url, open_store
) -> None:
    here, there = open_store(postgres_tables_url), open_store(postgres_tables_url)
    add_account(here, 5)
    key = key_of(5, 0, RequestKind.INITIAL)
    attempts: list[int] = []

    def decide(working_set: WorkingSet) -> None:
        attempts.append(1)
        with there.engine.connect() as connection:
            if len(attempts) == 1:
                connection.exec_driver_sql(
                    "INSERT INTO session_directory VALUES (%s, 6)", (key.session_key,)
                )
            else:
                connection.exec_driver_sql("DELETE FROM session_directory")
        working_set.add_session(key.session_key, make_session(5))

    here.transact([key], decide)
    assert len(attempts) == 2
    assert read_session(here, key) is not None
    assert here.find_sessions([key.session_key]) == {key.session_key: 5}


@pytest.mark.postgres
def test_an_identifier_taken_while_we_decided_is_refused_by_name(
    postgres_tables_url, open_store
) -> None:
    here, there = open_store(postgres_tables_url), open_store(postgres_tables_url)

    taken: list[bool] = []

    @event.listens_for(here.engine, "before_cursor_execute")
    def take_it(connection, cursor, sql, parameters, context, executemany) -> None:
        if sql.startswith("INSERT INTO identifier") and not taken:
            taken.append(True)
            there.transact([], _naming(Identifier("msisdn", "491701", 6)))

    with pytest.raises(ConflictError, match="msisdn 491701 belongs"):
        here.transact([], _naming(Identifier("msisdn", "491701", 5)))
    assert count(here, "identifier") == 1


def _naming(identifier: Identifier):
    return lambda working_set: working_set.new_identifiers.append(identifier)


@pytest.mark.postgres
def test_a_deadlock_is_run_again(postgres_tables_url, open_store, caplog) -> None:
    store, other = open_store(postgres_tables_url), open_store(postgres_tables_url)
    add_account(store, 5)
    add_account(store, 6)
    locked = threading.Event()
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    def lock_the_wrong_way_round() -> None:
        with other.engine.connect() as connection, other.engine.connect() as watcher:
            connection.exec_driver_sql("SET deadlock_timeout = '60s'")
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT 1 FROM account WHERE account_id = 6 FOR UPDATE")
            locked.set()
            while not watcher.execute(waiting).scalar_one():
                pass
            connection.exec_driver_sql("SELECT 1 FROM account WHERE account_id = 5 FOR UPDATE")
            connection.exec_driver_sql("COMMIT")

    thread = threading.Thread(target=lock_the_wrong_way_round)
    keys = [key_of(5, 1, RequestKind.EVENT), key_of(6, 1, RequestKind.EVENT)]
    thread.start()
    locked.wait()
    with caplog.at_level("INFO", "ocs.store"):
        store.transact(keys, lambda working_set: [debit(working_set, key, 1) for key in keys])
    thread.join()
    assert "deadlock detected" in caplog.text
    assert (available(store, 5), available(store, 6)) == (999_999, 999_999)


def _hold_the_lock(path: str, held: Event, release: Event) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    held.set()
    release.wait()
    connection.execute("ROLLBACK")
    connection.close()


def _debit_often(path: str, node: int, times: int) -> None:
    store = SqlStore(f"sqlite:///{path}", IdSource(SystemClock(), node))
    for number in range(1000 * node, 1000 * node + times):
        key = key_of(5, number, RequestKind.EVENT)
        charge(store, key)
    store.close()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "ocs.db"
    make_tables(f"sqlite:///{path}")
    return path


def test_an_sqlite_that_another_process_keeps_locked_is_unavailable_until_it_is_free(
    sqlite_file, open_store, monkeypatch
) -> None:
    monkeypatch.setattr("ocs.store.dialects.BUSY_MS", 20)
    store = open_store(f"sqlite:///{sqlite_file}")
    add_account(store, 5)
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_hold_the_lock, args=(str(sqlite_file), held, release))
    process.start()
    held.wait()
    key = key_of(5, 1, RequestKind.EVENT)
    with pytest.raises(StoreUnavailableError, match="locked"):
        charge(store, key)
    assert store.generations().identifiers == 0
    release.set()
    process.join()
    assert charge(store, key)


def test_two_processes_share_an_sqlite(sqlite_file, open_store) -> None:
    store = open_store(f"sqlite:///{sqlite_file}")
    add_account(store, 5)
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_debit_often, args=(str(sqlite_file), node, 40)) for node in (1, 2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert available(store, 5) == 1_000_000 - 80
