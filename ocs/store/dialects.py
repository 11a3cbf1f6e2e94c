"""What differs between SQLite and PostgreSQL outside the hot statements: how a database is
opened, how a transaction begins, and whether it is as durable as answers need. Used by sql,
migrations and everyone who reads the tables.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psycopg
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from ocs.errors import UsageError
from ocs.store import arrays

CONNECT_SECONDS = 5
POOL_SECONDS = 5
"""How long a call waits for a connection that other calls are using."""
CACHE_KIB = 131_072
"""Pages of an SQLite database that the writing connection keeps in memory."""
BUSY_MS = 1_000
"""How long SQLite waits for the writer before it says so; tried again RETRIES_MAX times."""
LOCK_MS = 3_000
"""How long PostgreSQL waits for a row that another transaction keeps locked."""
IDLE_TRANSACTION_MS = 30_000
"""A server that stands still in the middle of a transaction loses its locks after this."""

Role = Literal["hot", "look-up", "plain", "create"]
"""What an engine is for: transactions that charge; single statements beside them; reports and
tools; making the database."""
_AUTOCOMMIT = ("hot", "look-up")

# Plans of the hot statements must not depend on statistics: a plan made while a table was small
# may live long, so they are held to the primary keys.
_HOT_POSTGRES = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "lock_timeout": str(LOCK_MS),
    "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_MS),
}


def parse_url(text: str) -> URL:
    """Return the checked URL of a database; UsageError says what is wrong with it.

    ``sqlite:///relative.db``, ``sqlite:////absolute.db`` and ``postgresql://user@host/name``
    (with any option of libpq after ``?``) are understood.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise UsageError(f"{text!r} is not a database URL such as sqlite:///ocs.db") from error
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:" or url.query:
            raise UsageError(f"{text!r} must name a file, such as sqlite:///ocs.db")
        return url.set(drivername="sqlite+pysqlite")
    if backend in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    raise UsageError(f"{backend} is not supported: use sqlite or postgresql")


def sqlite_path(url: URL) -> Path | None:
    """Return the file of an SQLite database, None for another engine."""
    return Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None


def open_engine(text: str, role: Role = "plain", connections: int = 4) -> Engine:
    """Return an engine for a database; nothing is connected yet.

    Statements are committed one by one unless the caller sends BEGIN and COMMIT (``hot`` and
    ``look-up``); with ``plain`` and ``create`` SQLAlchemy does that. Only ``create`` makes a file.
    """
    url = parse_url(text)
    options: dict[str, Any] = {
        "pool_size": connections,
        "max_overflow": 4,
        "pool_timeout": POOL_SECONDS,
        "pool_use_lifo": True,
        # Errors are logged with their statement; its values are subscribers' data.
        "hide_parameters": True,
    }
    if role in _AUTOCOMMIT:
        options["isolation_level"] = "AUTOCOMMIT"
    path = sqlite_path(url)
    if path is not None:
        if role == "hot":
            # SQLite has one writer, and what it has cached is thrown away when another
            # connection writes: so all transactions share one connection.
            options |= {"pool_size": 1, "max_overflow": 0}
        engine = create_engine(
            "sqlite+pysqlite://", creator=_opener(path, role), poolclass=QueuePool, **options
        )
        if role not in _AUTOCOMMIT:
            event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(url, connect_args=_libpq(url, role), use_native_hstore=False, **options)
    if role in _AUTOCOMMIT:
        event.listen(engine, "connect", _prepare_psycopg)
    return engine


def make_private(path: Path) -> None:
    """Make a new empty file that nobody else may read: it is to hold what subscribers did.

    Raises OSError, also when something of this name exists.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _opener(path: Path, role: Role) -> Callable[[], sqlite3.Connection]:
    mode = "rwc" if role == "create" else "rw"
    name = f"file:{quote(str(path))}?mode={mode}"

    def connect() -> sqlite3.Connection:
        if role == "create":
            with suppress(OSError):  # SQLite says what is wrong.
                make_private(path)
        connection = sqlite3.connect(
            name,
            uri=True,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if role in _AUTOCOMMIT:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        if role == "hot":
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return connection

    return connect


def _begin_sqlite(connection: Connection) -> None:
    """Begin for SQLAlchemy: the driver, told to leave transactions to us, does not."""
    connection.exec_driver_sql("BEGIN")


def _libpq(url: URL, role: Role) -> dict[str, str]:
    """Return the connection options that the URL does not set itself."""
    options = {
        "application_name": "ocs",
        "connect_timeout": str(CONNECT_SECONDS),
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
    }
    kept = {name: value for name, value in options.items() if name not in url.query}
    if role in _AUTOCOMMIT:
        settings = " ".join(f"-c {name}={value}" for name, value in _HOT_POSTGRES.items())
        kept["options"] = f"{settings} {url.query.get('options', '')}".strip()
    return kept


class _BinaryCursor(psycopg.Cursor[Any]):
    """A cursor whose results come in binary form: octet strings at half the size."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = psycopg.pq.Format.BINARY


def _prepare_psycopg(connection: psycopg.Connection[Any], _record: object) -> None:
    connection.cursor_factory = _BinaryCursor
    arrays.register(connection)


def begin_statement(engine: Engine) -> str:
    """Return what begins a transaction that will write."""
    return "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "BEGIN"


def durability_problems(connection: Connection) -> list[str]:
    """Return why a committed transaction could be lost in this database; empty is good."""
    if connection.dialect.name == "sqlite":
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        problems = [] if mode == "wal" else [f"journal_mode is {mode}, not wal"]
        return problems if level >= 2 else [*problems, f"synchronous is {level}, not FULL"]
    rows = connection.exec_driver_sql(
        "SELECT name, setting FROM pg_settings WHERE setting = 'off' AND "
        "name IN ('fsync', 'synchronous_commit', 'full_page_writes') ORDER BY name"
    )
    return [f"{name} is {setting}" for name, setting in rows]
