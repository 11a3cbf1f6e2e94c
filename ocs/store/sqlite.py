"""The hot statements of SQLite, and the thread that empties its write-ahead log. Used by sql.py.

SQLite has no arrays: rows are looked up through VALUES lists of a few fixed lengths, so that the
driver's cache of prepared statements hits, and written by executemany. An ordinary checkpoint
inside a commit would stall everybody for as long as it takes, so it is done beside the commits.
"""

from __future__ import annotations

import logging
import threading
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ocs.charging.model.working_set import RequestKey
from ocs.store.hot import (
    ACCOUNT_COLUMNS,
    ANSWER_COLUMNS,
    BUCKET_COLUMNS,
    MOVEMENT_COLUMNS,
    REQUEST_COLUMNS,
    SESSION_COLUMNS,
    Changes,
    Rows,
    expect,
)

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 2.0
LOG_PAGES_MAX = 32_768
"""A log longer than this (128 MiB) is started over, for which one commit takes longer."""
REST_PAGES = 1_024
"""How many pages may be left to copy for that commit; more are copied beside commits first."""
PASSES_MAX = 5

_LENGTHS = (1, 4, 16, 64, 256)


def _prefixed(columns: str) -> str:
    return ", ".join(f"t.{name}" for name in columns.split(", "))


@cache
def _lookup(table: str, columns: str, names: tuple[str, ...], length: int) -> str:
    """Return a statement that finds rows by ``length`` keys of these columns."""
    row = f"({', '.join('?' * len(names))})"
    aliases = ", ".join(f"k{i}" for i in range(len(names)))
    match = " AND ".join(f"t.{name} = k.k{i}" for i, name in enumerate(names))
    return (
        f"WITH k ({aliases}) AS (VALUES {', '.join([row] * length)}) "
        f"SELECT {_prefixed(columns)} FROM k CROSS JOIN {table} t ON {match}"
    )


def _find(
    connection: Connection,
    table: str,
    columns: str,
    names: tuple[str, ...],
    keys: list[tuple[Any, ...]],
) -> Rows:
    """Return the rows of all keys, in pieces whose lengths are those of prepared statements."""
    found: Rows = []
    for start in range(0, len(keys), _LENGTHS[-1]):
        piece = keys[start : start + _LENGTHS[-1]]
        length = next(size for size in _LENGTHS if size >= len(piece))
        # A key of nulls equals nothing.
        piece += [(None,) * len(names)] * (length - len(piece))
        result = connection.exec_driver_sql(
            _lookup(table, columns, names, length), tuple(chain.from_iterable(piece))
        )
        assert result.cursor is not None
        found += result.cursor.fetchall()
        result.close()
    return found


def _insert(table: str, columns: str) -> str:
    places = ", ".join("?" * len(columns.split(", ")))
    return f"INSERT INTO {table} ({columns}) VALUES ({places})"


_SESSION_KEY = "account_id = ? AND session_key = ? AND version = ?"
_UPDATE_BODY = f"UPDATE session SET body = ?, version = version + 1 WHERE {_SESSION_KEY}"
_UPDATE_SESSION = (
    "UPDATE session SET state = ?, due_ns = ?, origin_host = ?, body = ?, "
    f"version = version + 1 WHERE {_SESSION_KEY}"
)
_INSERT_SESSION = _insert("session", SESSION_COLUMNS)
_INSERT_ENTRY = _insert("session_directory", "session_key, account_id")
_UPDATE_COUNTERS = (
    "UPDATE account SET counters = ?, version = version + 1 WHERE account_id = ? AND version = ?"
)
_UPDATE_BUCKET = (
    "UPDATE bucket SET available = ?, held = ?, version = version + 1 "
    "WHERE account_id = ? AND bucket_id = ? AND version = ?"
)
_INSERT_REQUEST = _insert("request", REQUEST_COLUMNS)
_INSERT_MOVEMENT = _insert("movement", MOVEMENT_COLUMNS)


class SqliteStatements:
    """hot.Statements for SQLite."""

    def accounts(self, connection: Connection, ids: list[int]) -> Rows:
        """See hot.Statements; the whole database is locked already."""
        keys: list[tuple[Any, ...]] = [(account_id,) for account_id in ids]
        return _find(connection, "account", ACCOUNT_COLUMNS, ("account_id",), keys)

    def buckets(self, connection: Connection, ids: list[int]) -> Rows:
        """See hot.Statements."""
        keys: list[tuple[Any, ...]] = [(account_id,) for account_id in ids]
        return _find(connection, "bucket", BUCKET_COLUMNS, ("account_id",), keys)

    def sessions(self, connection: Connection, names: list[tuple[int, bytes]]) -> Rows:
        """See hot.Statements."""
        columns = ("account_id", "session_key")
        return _find(connection, "session", SESSION_COLUMNS, columns, [*names])

    def answers(self, connection: Connection, keys: list[RequestKey]) -> Rows:
        """See hot.Statements."""
        columns = ("account_id", "session_key", "kind", "number")
        return _find(connection, "request", ANSWER_COLUMNS, columns, [*keys])

    def identifiers(self, connection: Connection, names: list[tuple[str, str]]) -> Rows:
        """See hot.Statements."""
        columns = "kind, value, account_id, subscriber_id"
        return _find(connection, "identifier", columns, ("kind", "value"), [*names])

    def directory(self, connection: Connection, session_keys: list[bytes]) -> Rows:
        """See hot.Statements."""
        keys: list[tuple[Any, ...]] = [(key,) for key in session_keys]
        columns = "session_key, account_id"
        return _find(connection, "session_directory", columns, ("session_key",), keys)

    def write(self, connection: Connection, changes: Changes) -> None:
        """See hot.Statements."""
        for what, statement, rows in (
            ("sessions", _UPDATE_BODY, changes.session_bodies),
            ("sessions", _UPDATE_SESSION, changes.session_updates),
            ("new sessions", _INSERT_SESSION, changes.new_sessions),
            ("directory entries", _INSERT_ENTRY, changes.entries),
            ("accounts", _UPDATE_COUNTERS, changes.account_counters),
            ("buckets", _UPDATE_BUCKET, changes.bucket_amounts),
            ("requests", _INSERT_REQUEST, changes.requests),
            ("movements", _INSERT_MOVEMENT, changes.movements),
        ):
            if rows:
                expect(what, connection.exec_driver_sql(statement, rows).rowcount, rows)


class Checkpointer:
    """A thread that copies the write-ahead log into the database beside the commits.

    The log is started over by itself when everything in it has been copied, which never happens
    while commits follow each other. So when it has grown too long the thread copies until little
    is left, and ``after_commit`` copies the rest while no transaction runs. The file is never
    cut: writing over it is cheaper for the file system than letting it grow again.
    """

    def __init__(self, reader: Engine, writer: Engine) -> None:
        """``reader`` gives the thread its connections, ``writer`` is what transactions use."""
        self._reader = reader
        self._writer = writer
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._commits = 0
        self._rest_wanted = False

    def after_commit(self) -> None:
        """Count a commit; start the thread at the first, copy the rest when it is time."""
        self._commits += 1
        if self._thread is None:
            self._start()
        if self._rest_wanted:
            self._rest_wanted = False
            self._copy(self._writer)

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping.set()
        with self._starting:
            if self._thread is not None:
                self._thread.join()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(
                    target=self._run, name="ocs-checkpoint", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        seen = 0
        while not self._stopping.wait(CHECKPOINT_SECONDS):
            if seen == self._commits:
                continue
            seen = self._commits
            for _ in range(PASSES_MAX):
                pages, copied = self._copy(self._reader)
                if pages <= LOG_PAGES_MAX or pages - copied <= REST_PAGES:
                    break
            self._rest_wanted = pages > LOG_PAGES_MAX

    @staticmethod
    def _copy(engine: Engine) -> tuple[int, int]:
        """Copy what can be copied without waiting; return pages in the log, pages copied."""
        try:
            with engine.connect() as connection:
                result = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
                busy, pages, copied = result.one()
        except SQLAlchemyError as error:
            logger.warning("checkpoint failed, the log grows: %s", error)
            return 0, 0
        return (0, 0) if busy else (pages, copied)
