"""The database goes away, comes back, fills up, or cuts the line in the middle of a COMMIT."""

import signal
import threading
from pathlib import Path

import pytest
from sqlalchemy import event, text

from ocs.charging.model.messages import RequestKind
from ocs.errors import IntegrityError, StoreUnavailableError, StoreUnusableError, UnknownCommitError
from ocs.store import dialects, migrations
from ocs.store.sql import SqlStore
from tests.support.ledger_rows import add_account, available, charge, debit, key_of
from tests.support.postgres import PostgresServer

EVENT = RequestKind.EVENT


def _debit(store: SqlStore, number: int) -> bool:
    return charge(store, key_of(5, number, EVENT))


@pytest.fixture
def postgres_store(postgres_tables_url, open_store) -> SqlStore:
    store: SqlStore = open_store(postgres_tables_url)
    add_account(store, 5)
    return store


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_the_store_recovers_by_itself_when_the_server_is_back(
    private_postgres: PostgresServer, open_store, how
) -> None:
    url = private_postgres.url(private_postgres.create_database())
    migrations.upgrade(url)
    store = open_store(url)
    add_account(store, 5)
    _debit(store, 1)
    private_postgres.stop(how)
    for number in (2, 3):
        with pytest.raises(StoreUnavailableError) as caught:
            _debit(store, number)
        assert not isinstance(caught.value, UnknownCommitError)
    with pytest.raises(StoreUnavailableError):
        store.generations()
    with pytest.raises(StoreUnavailableError):
        store.check()
    private_postgres.start()
    assert store.has_answer(key_of(5, 1, EVENT))
    assert not store.has_answer(key_of(5, 2, EVENT))
    assert _debit(store, 2)
    assert available(store, 5) == 999_998


@pytest.mark.postgres
def test_a_restart_between_two_batches_is_not_noticed(
    private_postgres: PostgresServer, open_store
) -> None:
    url = private_postgres.url(private_postgres.create_database())
    migrations.upgrade(url)
    store = open_store(url)
    add_account(store, 5)
    private_postgres.stop()
    private_postgres.start()
    assert _debit(store, 1)
    private_postgres.stop()
    private_postgres.start()
    assert store.generations().identifiers == 0


def _kill_backend(store: SqlStore, connection) -> None:
    """End the server process of a connection, as a crash would, and wait until it is gone."""
    pid = connection.connection.driver_connection.info.backend_pid
    with store.engine.connect() as other:
        other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 10000)")


def _at(store: SqlStore, statement: str, action) -> None:
    """Do something just before the store sends a statement, once."""
    done: list[bool] = []

    def before(connection, cursor, sql, parameters, context, executemany) -> None:
        if sql.startswith(statement) and not done:
            done.append(True)
            action(connection, cursor)

    event.listen(store.engine, "before_cursor_execute", before)


@pytest.mark.postgres
@pytest.mark.rule("T187")
def test_a_connection_lost_before_commit_changed_nothing(postgres_store) -> None:
    _at(postgres_store, "WITH w0", lambda connection, _: _kill_backend(postgres_store, connection))
    with pytest.raises(StoreUnavailableError) as caught:
        _debit(postgres_store, 1)
    assert not isinstance(caught.value, UnknownCommitError)
    assert not postgres_store.has_answer(key_of(5, 1, EVENT))
    assert _debit(postgres_store, 1)
    assert available(postgres_store, 5) == 999_999


@pytest.mark.postgres
def test_a_connection_lost_before_the_commit_arrived_is_an_unknown_commit(postgres_store) -> None:
    _at(postgres_store, "COMMIT", lambda connection, _: _kill_backend(postgres_store, connection))
    with pytest.raises(UnknownCommitError, match="a batch"):
        _debit(postgres_store, 1)
    assert not postgres_store.has_answer(key_of(5, 1, EVENT))
    assert available(postgres_store, 5) == 1_000_000


@pytest.mark.postgres
def test_a_connection_lost_after_the_commit_is_an_unknown_commit_that_happened(
    postgres_store,
) -> None:
    def commit_and_kill(connection, cursor) -> None:
        cursor.execute("COMMIT")
        _kill_backend(postgres_store, connection)

    _at(postgres_store, "COMMIT", commit_and_kill)
    with pytest.raises(UnknownCommitError):
        _debit(postgres_store, 1)
    assert postgres_store.has_answer(key_of(5, 1, EVENT))
    assert not _debit(postgres_store, 1)
    assert available(postgres_store, 5) == 999_999


@pytest.mark.postgres
def test_nobody_listens_at_the_address(open_store, tmp_path: Path) -> None:
    store = open_store(f"postgresql://ocs@/none?host={tmp_path}")
    for call in (store.check, store.generations, lambda: _debit(store, 1)):
        with pytest.raises(StoreUnavailableError, match="connection"):
            call()


@pytest.mark.postgres
def test_an_account_that_somebody_keeps_locked_makes_the_store_unavailable(
    postgres_tables_url, open_store, monkeypatch
) -> None:
    monkeypatch.setitem(dialects._HOT_POSTGRES, "lock_timeout", "50")
    store = open_store(postgres_tables_url)
    add_account(store, 5)
    with store.engine.connect() as other:
        other.exec_driver_sql("BEGIN")
        other.exec_driver_sql("SELECT 1 FROM account FOR UPDATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            _debit(store, 1)
        other.exec_driver_sql("ROLLBACK")
    assert _debit(store, 1)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ocs.db'}"
    migrations.upgrade(url)
    return url


def test_a_full_disk_is_said_and_nothing_is_half_done(sqlite_url, open_store) -> None:
    store = open_store(sqlite_url)
    add_account(store, 5)

    def limit(dbapi_connection, _record, _proxy) -> None:
        pages = dbapi_connection.execute("PRAGMA page_count").fetchone()[0]
        dbapi_connection.execute(f"PRAGMA max_page_count = {pages + 3}")

    event.listen(store.engine, "checkout", limit)
    keys = [key_of(5, number, EVENT) for number in range(400)]
    with pytest.raises(StoreUnavailableError, match="disk of the database is full"):
        store.transact(keys, lambda working_set: [debit(working_set, key, 1) for key in keys])
    event.remove(store.engine, "checkout", limit)
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert available(store, 5) == 1_000_000
    assert store.transact(keys, lambda working_set: debit(working_set, keys[0], 1))


def test_a_database_file_that_is_not_there_is_not_made_by_accident(
    tmp_path: Path, open_store
) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'typo.db'}")
    for call in (store.check, store.generations, lambda: _debit(store, 1)):
        with pytest.raises(StoreUnusableError, match=r"typo\.db; to make it: ocs db upgrade"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path, open_store) -> None:
    path = tmp_path / "ocs.db"
    path.write_bytes(b"hello world, this is not a database" * 100)
    with pytest.raises(StoreUnusableError, match="no database"):
        open_store(f"sqlite:///{path}").check()


def test_a_record_that_cannot_be_read_is_named(sql_store) -> None:
    add_account(sql_store, 5)
    _debit(sql_store, 1)
    with sql_store.engine.connect() as connection:
        connection.execute(text("UPDATE request SET body = :body"), {"body": b"\x07junk"})
        request_id = connection.execute(text("SELECT request_id FROM request")).scalar_one()
    with pytest.raises(IntegrityError, match=f"request {request_id} cannot be read: its format"):
        _debit(sql_store, 1)


def test_calls_from_many_threads(sql_store) -> None:
    add_account(sql_store, 5)
    answers: list[int] = []

    def ask() -> None:
        answers.extend(sql_store.generations().identifiers for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 160
