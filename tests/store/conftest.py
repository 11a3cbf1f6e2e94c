"""Every kind of store, empty: `store` is each of them in turn, `sql_url` each SQL database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocs.store.interface import Store
from ocs.store.memory import MemoryStore
from ocs.store.sql import SqlStore
from tests.support.ledger_rows import new_ids
from tests.support.tables import with_tables

SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]

OpenStore = Callable[[str], SqlStore]


@pytest.fixture
def open_store() -> Iterator[OpenStore]:
    """Open as many stores on a URL as a test likes; they are closed at its end."""
    opened: list[SqlStore] = []

    def open_one(url: str) -> SqlStore:
        opened.append(SqlStore(url, new_ids()))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture(params=SQL)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ocs.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=SQL)
def sql_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database with its tables."""
    return with_tables(request.param, tmp_path, request.getfixturevalue)


@pytest.fixture
def sql_store(sql_url: str, open_store: OpenStore) -> SqlStore:
    """A store on each SQL database."""
    return open_store(sql_url)


@pytest.fixture(params=["memory", *SQL])
def store(request: pytest.FixtureRequest, tmp_path: Path, open_store: OpenStore) -> Store:
    """Each store there is."""
    if request.param == "memory":
        return MemoryStore(new_ids())
    return open_store(with_tables(request.param, tmp_path, request.getfixturevalue))
