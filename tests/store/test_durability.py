"""Committed means safe: what is set on every connection, and databases that are refused."""

import threading
from pathlib import Path

import pytest

from ocs.charging.model.messages import RequestKind
from ocs.errors import StoreUnusableError
from ocs.store import migrations, sqlite
from ocs.store.sql import SqlStore
from tests.support.ledger_rows import add_account, available, charge, key_of, new_ids
from tests.support.postgres import running_postgres


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ocs.db'}"
    migrations.upgrade(url)
    return url


def _pragma(store: SqlStore, name: str) -> object:
    with store.engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def test_sqlite_writes_ahead_and_syncs_every_commit(sqlite_url, open_store) -> None:
    store = open_store(sqlite_url)
    assert _pragma(store, "journal_mode") == "wal"
    assert _pragma(store, "synchronous") == 2
    assert _pragma(store, "wal_autocheckpoint") == 0


def test_the_log_is_written_over_while_commits_follow_each_other(
    sqlite_url, open_store, monkeypatch
) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_SECONDS", 0.001)
    monkeypatch.setattr(sqlite, "LOG_PAGES_MAX", 50)
    monkeypatch.setattr(sqlite, "REST_PAGES", 10)
    store = open_store(sqlite_url)
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    add_account(store, 5)
    commits = size = steady = 0
    # A commit writes at least three pages: 200 of them do not fit into a log that does not grow.
    while steady < 200 and commits < 20_000:
        steady = steady + 1 if log.stat().st_size == size else 0
        size = log.stat().st_size
        charge(store, key_of(5, commits, RequestKind.EVENT))
        commits += 1
    assert steady == 200
    assert size < 4096 * 3 * commits
    assert available(store, 5) == 1_000_000 - commits


def test_closing_a_store_ends_its_thread(sqlite_url) -> None:
    before = set(threading.enumerate())
    store = SqlStore(sqlite_url, new_ids())
    add_account(store, 5)
    own = set(threading.enumerate()) - before
    assert [thread.name for thread in own] == ["ocs-checkpoint"]
    store.close()
    assert not own & set(threading.enumerate())


@pytest.mark.rule("T188")
def test_what_was_committed_is_there_for_the_next_process(sql_url, open_store) -> None:
    first = open_store(sql_url)
    add_account(first, 5)
    key = key_of(5, 1, RequestKind.EVENT)
    assert charge(first, key)
    assert first.own_state_id(77) == 77
    first.close()
    second = open_store(sql_url)
    assert available(second, 5) == 999_999
    assert second.has_answer(key)
    assert second.own_state_id(88) == 77


@pytest.mark.postgres
@pytest.mark.parametrize("setting", ["fsync", "synchronous_commit", "full_page_writes"])
def test_a_postgresql_that_may_lose_commits_is_refused(setting: str) -> None:
    with running_postgres(**{setting: "off"}) as server:
        url = server.url(server.create_database())
        migrations.upgrade(url)
        store = SqlStore(url, new_ids())
        with pytest.raises(StoreUnusableError, match=f"{setting} is off"):
            store.check()
        store.close()
        told = SqlStore(url, new_ids(), allow_unsafe=True)
        told.check()
        told.close()


@pytest.mark.postgres
def test_a_role_that_does_not_wait_for_the_disk_is_refused(postgres_url, open_store) -> None:
    migrations.upgrade(postgres_url)
    store = open_store(postgres_url)
    with store.engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    store.engine.dispose()
    with pytest.raises(StoreUnusableError, match="synchronous_commit is off"):
        store.check()
