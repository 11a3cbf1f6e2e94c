"""The stores a server is measured on, filled with subscribers once and copied for each set-up."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from benchmarks import catalogues
from config import sample_catalogue_path
from ocs.amounts import MICRO
from ocs.charging.model.messages import Identity
from ocs.charging.model.working_set import WorkingSet
from ocs.clock import IdSource, SystemClock
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers.subscribers import NewSubscriber, open_account
from ocs.provisioning.desk import Desk
from ocs.store import migrations
from ocs.store.interface import Store
from ocs.store.sql import SqlStore
from tests.support.postgres import PostgresMissingError, PostgresServer, find_binaries

PLAN = "basic"
BALANCE_MICRO = 1_000_000 * MICRO
MSISDN, IMSI = "34600######", "21401########"
"""How the subscribers are known; ``#`` is the digits of their number, counted from 0."""
_NODE = 250
_ROWS = 2_000


def fill(store: Store, ids: IdSource, count: int, *, large: bool = False) -> None:
    """Publish the sample catalogue, or what it is grown to, and add the subscribers, many in one
    transaction.
    """
    # Reports are not needed to add anything, and a store in memory has none.
    desk = Desk(store, cast(Any, None), SystemClock(), ids, "benchmark", "benchmark")
    text = catalogues.text(large=large)
    catalog = catalogs.check(text, sample_catalogue_path().name)
    store.publish_catalogue(text, catalog.name, desk.action("catalog publish", catalog.name))
    catalogue = catalogs.Catalogues(store).current()
    plan = catalogue.catalog.plans[PLAN]
    for start in range(0, count, _ROWS):

        def decide(working_set: WorkingSet, start: int = start) -> None:
            for number in range(start, min(start + _ROWS, count)):
                new = NewSubscriber(
                    (
                        Identity("msisdn", f"34600{number:06d}"),
                        Identity("imsi", f"21401{number:08d}"),
                    ),
                    PLAN,
                    BALANCE_MICRO,
                )
                open_account(desk, working_set, ids.next_id(), new, plan, catalogue)

        store.transact([], decide, "fill")


def _make(url: str, count: int, *, large: bool) -> None:
    migrations.upgrade(url)
    ids = IdSource(SystemClock(), _NODE)
    store = SqlStore(url, ids)
    try:
        fill(store, ids, count, large=large)
    finally:
        store.close()


class SqliteFiles:
    """One file for each number of subscribers, and a fresh copy for each set-up."""

    processes: tuple[int, ...] = ()

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[tuple[int, bool], Path] = {}
        self._copies = 0

    def fresh(self, count: int, *, large: bool = False) -> tuple[str, Callable[[], None]]:
        """The URL of a database with so many subscribers, and what removes it."""
        if (count, large) not in self._made:
            path = self._directory / f"subscribers-{count}{'-large' if large else ''}.db"
            self._make(path, count, large=large)
            self._made[count, large] = path
        self._copies += 1
        copy = self._directory / f"copy-{self._copies}.db"
        shutil.copyfile(self._made[count, large], copy)
        return f"sqlite:///{copy}", lambda: _remove(copy)

    def _make(self, path: Path, count: int, *, large: bool) -> None:
        _make(f"sqlite:///{path}", count, large=large)

    def close(self) -> None:
        """The directory is its maker's to remove."""


class CheckoutFiles(SqliteFiles):
    """The same, made by the commands of another checkout, whose tables may be others."""

    def __init__(self, directory: Path, checkout: Path) -> None:
        super().__init__(directory)
        self._checkout = checkout

    def _make(self, path: Path, count: int, *, large: bool) -> None:
        assert not large, "another checkout may not know number plans"
        rows = path.with_suffix(".csv")
        with rows.open("w", encoding="utf-8") as file:
            file.write("msisdn,imsi,plan,balance\n")
            for number in range(count):
                known = f"34600{number:06d},21401{number:08d}"
                file.write(f"{known},{PLAN},{BALANCE_MICRO // MICRO}\n")
        catalogue = self._checkout / "config" / "catalogues" / sample_catalogue_path().name
        for command in (
            ["db", "upgrade"],
            ["catalog", "publish", str(catalogue), "--reason", "benchmark"],
            ["subscriber", "import", str(rows), "--reason", "benchmark"],
        ):
            subprocess.run(
                [sys.executable, "-m", "ocs.cli.main", *command, "--database", f"sqlite:///{path}"],
                cwd=self._checkout,
                stdout=subprocess.DEVNULL,
                check=True,
            )


def _remove(path: Path) -> None:
    for one in path.parent.glob(path.name + "*"):
        one.unlink()


class PostgresCluster:
    """A private cluster with a template database for each number of subscribers.

    Raises PostgresMissingError where there is no PostgreSQL.
    """

    def __init__(self) -> None:
        self._server = PostgresServer(
            find_binaries(), shared_buffers="512MB", max_wal_size="4GB", jit="off"
        )
        self._made: dict[tuple[int, bool], str] = {}
        self._copies = 0
        try:
            self._server.start()
        except BaseException:
            self._server.remove()
            raise

    @property
    def processes(self) -> tuple[int, ...]:
        """The process whose family is the server."""
        pid = (self._server.data / "postmaster.pid").read_text().split()[0]
        return (int(pid),)

    def fresh(self, count: int, *, large: bool = False) -> tuple[str, Callable[[], None]]:
        """The URL of a database with so many subscribers, and what removes it."""
        if (count, large) not in self._made:
            name = self._server.create_database()
            _make(self._server.url(name), count, large=large)
            # Its statistics are what a database that has lived for a while has.
            self._server.execute("VACUUM ANALYZE", name)
            self._made[count, large] = name
        self._copies += 1
        name = f"copy_{self._copies}"
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {self._made[count, large]}")
        self._server.execute("CHECKPOINT")
        return self._server.url(name), lambda: self._server.drop_database(name)

    def close(self) -> None:
        """Stop the server and delete everything it had."""
        self._server.remove()


class NoStore:
    """Nothing: the server keeps everything in memory and fills itself."""

    processes: tuple[int, ...] = ()

    def fresh(
        self, count: int, *, large: bool = False  # noqa: ARG002
    ) -> tuple[str, Callable[[], None]]:
        """No URL, and nothing to remove."""
        return "", lambda: None

    def close(self) -> None:
        """There is nothing to close."""


Databases = SqliteFiles | PostgresCluster | NoStore
__all__ = [
    "CheckoutFiles",
    "Databases",
    "NoStore",
    "PostgresCluster",
    "PostgresMissingError",
    "SqliteFiles",
    "fill",
]
