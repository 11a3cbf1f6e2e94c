"""What a database error means for a transaction: run it again, give up, or nobody knows.

Read by sql.py after every error of a driver; the sentences are for operators.
"""

from __future__ import annotations

import sqlite3
from enum import Enum

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ocs.errors import (
    FaultError,
    IntegrityError,
    StoreConflictError,
    StoreUnavailableError,
    StoreUnusableError,
    UnknownCommitError,
)


class Failure(Enum):
    """Kinds of database errors."""

    RACE = "another transaction was first"
    LOCKED = "another process keeps the database locked"
    UNREACHABLE = "the database cannot be reached; start its server, or correct the database's URL"
    LOST = "the connection was lost"
    DISK = "the disk refuses to read or write the database; look at its space, limits and health"
    FULL = "the disk of the database is full; make room"
    PERMISSION = "the database file cannot be opened or written; check its directory and owner"
    REFUSED = "the database refuses work"
    CONSTRAINT = "a constraint was violated"
    SCHEMA = "its tables are not those of this program; to make them so: ocs db upgrade"
    DAMAGED = "the database file is damaged or is no database"


class Again(Exception):  # noqa: N818 - says what to do, not what is wrong
    """The transaction was rolled back and may be run again; ``fault`` is raised when it may not."""

    def __init__(self, fault: FaultError) -> None:
        super().__init__(str(fault))
        self.fault = fault


_POSTGRES = {
    "40001": Failure.RACE,  # serialization_failure
    "40P01": Failure.RACE,  # deadlock_detected
    "23505": Failure.RACE,  # unique_violation: the row was inserted by another process
    "55P03": Failure.LOCKED,  # lock_not_available, after lock_timeout
    "53100": Failure.FULL,  # disk_full
    "23514": Failure.CONSTRAINT,  # check_violation
    "23502": Failure.CONSTRAINT,  # not_null_violation
    "42P01": Failure.SCHEMA,  # undefined_table
    "42703": Failure.SCHEMA,  # undefined_column
    "XX001": Failure.DAMAGED,  # data_corrupted
    "XX002": Failure.DAMAGED,  # index_corrupted
}
_LOST_STATES = ("08", "57P")
"""Connection exceptions, and the server ending sessions (57P01 to 57P05)."""
_VALUE_STATES = ("22", "54")
"""Values that cannot be stored, and rows that are too large for a page or an index."""

_SQLITE = {
    sqlite3.SQLITE_BUSY: Failure.LOCKED,
    sqlite3.SQLITE_LOCKED: Failure.LOCKED,
    sqlite3.SQLITE_FULL: Failure.FULL,
    sqlite3.SQLITE_IOERR: Failure.DISK,
    sqlite3.SQLITE_CANTOPEN: Failure.PERMISSION,
    sqlite3.SQLITE_READONLY: Failure.PERMISSION,
    sqlite3.SQLITE_PERM: Failure.PERMISSION,
    sqlite3.SQLITE_CORRUPT: Failure.DAMAGED,
    sqlite3.SQLITE_NOTADB: Failure.DAMAGED,
    sqlite3.SQLITE_TOOBIG: Failure.CONSTRAINT,
}
_SQLITE_DUPLICATES = (
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
)
_UNKNOWN_COMMIT = (Failure.LOST, Failure.DISK)
"""After these nobody knows whether a COMMIT happened."""


def classify(error: SQLAlchemyError) -> Failure:
    """Return the kind of an error that came through SQLAlchemy."""
    orig = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(orig, psycopg.Error):
        state = orig.sqlstate or ""
        if state.startswith(_LOST_STATES):
            return Failure.LOST
        if state in _POSTGRES:
            return _POSTGRES[state]
        if state.startswith(_VALUE_STATES):
            return Failure.CONSTRAINT
        if not state and isinstance(error, DBAPIError) and error.statement is None:
            return Failure.UNREACHABLE  # no statement yet: it happened while connecting
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return Failure.LOST if lost or not state else Failure.REFUSED
    if isinstance(orig, sqlite3.Error):
        return _classify_sqlite(orig)
    if isinstance(orig, OverflowError):
        return Failure.CONSTRAINT
    return Failure.REFUSED


def _classify_sqlite(error: sqlite3.Error) -> Failure:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return Failure.REFUSED
    if code in _SQLITE_DUPLICATES:
        return Failure.RACE
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return Failure.CONSTRAINT
    if primary == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return Failure.SCHEMA
    return _SQLITE.get(primary, Failure.REFUSED)


def fault_of(error: SQLAlchemyError, description: str, committing: bool) -> FaultError | Again:
    """Return what to raise instead of a driver's error.

    ``committing`` says that COMMIT was on its way: then a lost connection leaves open whether it
    happened. Again is returned for what another attempt may cure.
    """
    failure = classify(error)
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = str(cause).strip().partition("\n")[0]
    what = f"{description}: " if description else ""
    sentence = f"{what}{failure.value} ({said})"
    if failure is Failure.RACE:
        return Again(StoreConflictError(sentence))
    if failure is Failure.LOCKED:
        return Again(StoreUnavailableError(sentence))
    if failure in _UNKNOWN_COMMIT and committing:
        return UnknownCommitError(sentence)
    if failure is Failure.CONSTRAINT:
        return IntegrityError(sentence)
    if failure in {Failure.SCHEMA, Failure.DAMAGED}:
        return StoreUnusableError(sentence)
    return StoreUnavailableError(sentence)
