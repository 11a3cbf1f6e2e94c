"""The hot statements of PostgreSQL: whole columns as arrays, one write statement per transaction.

``UPDATE ... FROM unnest`` applies one match per row, so every row must come once, with its final
values; hot.collect sees to that. Used by sql.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from ocs.charging.model.working_set import RequestKey
from ocs.store.arrays import Packed, bytea_array, int8_array, text_array
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

_PACK: dict[str, tuple[str, Callable[[Sequence[Any]], Packed]]] = {
    "i": ("bigint[]", int8_array),
    "b": ("bytea[]", bytea_array),
    "t": ("text[]", text_array),
}

_ACCOUNTS = (
    f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE account_id = ANY(%s) "
    "ORDER BY account_id FOR UPDATE"
)
_BUCKETS = f"SELECT {BUCKET_COLUMNS} FROM bucket WHERE account_id = ANY(%s)"


def _unnest(kinds: str, names: str) -> str:
    """Return a table of parameters: one array per column."""
    arrays = ", ".join(f"%s::{_PACK[kind][0]}" for kind in kinds)
    return f"unnest({arrays}) AS k ({names})"


def _prefixed(columns: str) -> str:
    return ", ".join(f"t.{name}" for name in columns.split(", "))


_SESSIONS = (
    f"SELECT {_prefixed(SESSION_COLUMNS)} FROM {_unnest('ib', 'a, s')} "
    "JOIN session t ON t.account_id = k.a AND t.session_key = k.s"
)
_ANSWERS = (
    f"SELECT {_prefixed(ANSWER_COLUMNS)} FROM {_unnest('ibii', 'a, s, c, n')} JOIN request t "
    "ON t.account_id = k.a AND t.session_key = k.s AND t.kind = k.c AND t.number = k.n"
)
_IDENTIFIERS = (
    "SELECT t.kind, t.value, t.account_id, t.subscriber_id "
    f"FROM {_unnest('tt', 'c, v')} JOIN identifier t ON t.kind = k.c AND t.value = k.v"
)
_DIRECTORY = (
    "SELECT session_key, account_id FROM session_directory WHERE session_key = ANY(%s::bytea[])"
)


class _Part(NamedTuple):
    """One member of the write statement."""

    what: str
    kinds: str
    """Kind of each column of the rows: i, b or t."""
    sql: str


_PARTS = (
    _Part(
        "sessions", "bibi",
        f"UPDATE session t SET body = k.b, version = t.version + 1 "
        f"FROM {_unnest('bibi', 'b, a, s, v')} "
        "WHERE t.account_id = k.a AND t.session_key = k.s AND t.version = k.v",
    ),
    _Part(
        "sessions", "iitbibi",
        "UPDATE session t SET state = k.z, due_ns = k.d, origin_host = k.o, body = k.b, "
        f"version = t.version + 1 FROM {_unnest('iitbibi', 'z, d, o, b, a, s, v')} "
        "WHERE t.account_id = k.a AND t.session_key = k.s AND t.version = k.v",
    ),
    _Part(
        "new sessions", "ibiiitb",
        f"INSERT INTO session ({SESSION_COLUMNS}) SELECT * "
        f"FROM {_unnest('ibiiitb', SESSION_COLUMNS)}",
    ),
    _Part(
        "accounts", "bii",
        "UPDATE account t SET counters = k.c, version = t.version + 1 "
        f"FROM {_unnest('bii', 'c, a, v')} WHERE t.account_id = k.a AND t.version = k.v",
    ),
    _Part(
        "buckets", "iiiii",
        "UPDATE bucket t SET available = k.x, held = k.h, version = t.version + 1 "
        f"FROM {_unnest('iiiii', 'x, h, a, i, v')} "
        "WHERE t.account_id = k.a AND t.bucket_id = k.i AND t.version = k.v",
    ),
    _Part(
        "requests", "ibiiiiiiib",
        f"INSERT INTO request ({REQUEST_COLUMNS}) SELECT * "
        f"FROM {_unnest('ibiiiiiiib', REQUEST_COLUMNS)}",
    ),
    _Part(
        "movements", "iiiiiiiitttiiii",
        f"INSERT INTO movement ({MOVEMENT_COLUMNS}) SELECT * "
        f"FROM {_unnest('iiiiiiiitttiiii', MOVEMENT_COLUMNS)}",
    ),
    _Part(
        "directory entries", "bi",
        "INSERT INTO session_directory (session_key, account_id) "
        f"SELECT * FROM {_unnest('bi', 'session_key, account_id')}",
    ),
)  # fmt: skip


@cache
def _write_statement(parts: tuple[_Part, ...]) -> str:
    """Return one statement that does the parts and returns how many rows each has written."""
    members = ", ".join(f"w{i} AS ({part.sql} RETURNING 1)" for i, part in enumerate(parts))
    counts = ", ".join(f"(SELECT count(*) FROM w{i})" for i in range(len(parts)))
    return f"WITH {members} SELECT {counts}"


def _packed(kinds: str, rows: Rows) -> tuple[Packed, ...]:
    columns = zip(*rows, strict=True)
    return tuple(_PACK[kind][1](column) for kind, column in zip(kinds, columns, strict=True))


def _fetch(connection: Connection, statement: str, parameters: tuple[Packed, ...]) -> Rows:
    result = connection.exec_driver_sql(statement, parameters)
    assert result.cursor is not None
    rows: Rows = result.cursor.fetchall()  # type: ignore[assignment]
    result.close()
    return rows


class PostgresStatements:
    """hot.Statements for PostgreSQL; connections must come from ``open_engine(role="hot")``."""

    def accounts(self, connection: Connection, ids: list[int]) -> Rows:
        """See hot.Statements."""
        return _fetch(connection, _ACCOUNTS, (int8_array(ids),))

    def buckets(self, connection: Connection, ids: list[int]) -> Rows:
        """See hot.Statements."""
        return _fetch(connection, _BUCKETS, (int8_array(ids),))

    def sessions(self, connection: Connection, names: list[tuple[int, bytes]]) -> Rows:
        """See hot.Statements."""
        return _fetch(connection, _SESSIONS, _packed("ib", [*names]))

    def answers(self, connection: Connection, keys: list[RequestKey]) -> Rows:
        """See hot.Statements."""
        return _fetch(connection, _ANSWERS, _packed("ibii", [*keys]))

    def identifiers(self, connection: Connection, names: list[tuple[str, str]]) -> Rows:
        """See hot.Statements."""
        return _fetch(connection, _IDENTIFIERS, _packed("tt", [*names]))

    def directory(self, connection: Connection, session_keys: list[bytes]) -> Rows:
        """See hot.Statements."""
        return _fetch(connection, _DIRECTORY, (bytea_array(session_keys),))

    def write(self, connection: Connection, changes: Changes) -> None:
        """See hot.Statements."""
        work = [(part, rows) for part, rows in zip(_PARTS, changes, strict=True) if rows]
        if not work:
            return
        statement = _write_statement(tuple(part for part, _ in work))
        parameters = tuple(array for part, rows in work for array in _packed(part.kinds, rows))
        counts = _fetch(connection, statement, parameters)[0]
        for (part, rows), count in zip(work, counts, strict=True):
            expect(part.what, count, rows)
