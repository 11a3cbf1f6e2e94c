"""Requests to clients in an SQL database: what is due, taken by one server, spread, finished.

SQLAlchemy Core, the same on every engine. Called by sql.SqlStore; new rows are written by cold
in the transaction of what made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    insert,
    select,
    text,
    tuple_,
    update,
)

from ocs.charging.model.server_requests import (
    FINISHED,
    OpenSessions,
    RequestState,
    ServerRequest,
    Trigger,
)
from ocs.charging.model.session import Session, SessionState
from ocs.ledger.account import Account
from ocs.store import records, schema

SCANNED_SESSIONS = 1000
"""Sessions, open and closed, that are looked through for one page."""
_INSERT_ROWS = 500

_request = schema.server_request.c
_session = schema.session.c
_account = schema.account.c
_COLUMNS = [_request[name] for name in ServerRequest.__struct_fields__]
_ACCOUNT_COLUMNS = [_account[name] for name in Account.__struct_fields__]
_FIXED = ("account_id", "server_request_id", "session_key", "command", "trigger", "created_ns")

_PENDING = _request.state == text(str(int(RequestState.PENDING)))
# Written as text, not as parameters, so that they match the conditions of the partial indexes.
_DUE = (
    select(*_COLUMNS)
    .where(_request.due_ns > text("0"), _request.due_ns <= bindparam("now_ns"))
    .where(
        tuple_(_request.due_ns, _request.server_request_id)
        > tuple_(bindparam("after_ns"), bindparam("after_id"))
    )
    .order_by(_request.due_ns, _request.server_request_id)
    .limit(bindparam("count"))
)
_WAITING_FOR = (
    select(_request.account_id, _request.server_request_id)
    .where(_request.due_ns > text("0"), _request.due_ns > bindparam("now_ns"), _PENDING)
    .where((_request.origin_host == bindparam("host")) | (_request.peer == bindparam("host")))
    .limit(bindparam("count"))
)
_WAKE = (
    update(schema.server_request)
    .where(tuple_(_request.account_id, _request.server_request_id).in_(_WAITING_FOR))
    .values(due_ns=bindparam("due"), version=_request.version + 1)
)
_THIS = and_(
    _request.account_id == bindparam("k_account_id"),
    _request.server_request_id == bindparam("k_server_request_id"),
    _request.version == bindparam("k_version"),
)
# No condition on the state: planners would sort all open sessions for each page. Closed ones are
# passed over without their blobs.
_SESSIONS = (
    select(
        _session.account_id,
        _session.session_key,
        case((_session.state == text(str(int(SessionState.OPEN))), _session.body)),
    )
    .where(
        tuple_(_session.account_id, _session.session_key)
        > tuple_(bindparam("after_account"), bindparam("after_key"))
    )
    .order_by(_session.account_id, _session.session_key)
    .limit(SCANNED_SESSIONS)
)
_TARGET = (
    select(*_ACCOUNT_COLUMNS, _session.body)
    .select_from(
        schema.account.outerjoin(
            schema.session,
            (_session.account_id == _account.account_id)
            & (_session.session_key == bindparam("session_key")),
        )
    )
    .where(_account.account_id == bindparam("account_id"))
)


def due(
    connection: Connection, now_ns: int, limit: int, after: tuple[int, int]
) -> list[ServerRequest]:
    """Return the next requests that are due."""
    values = {"now_ns": now_ns, "count": limit, "after_ns": after[0], "after_id": after[1]}
    return [ServerRequest(*row) for row in connection.execute(_DUE, values)]


def write(
    connection: Connection, request: ServerRequest, spread: Sequence[ServerRequest]
) -> bool:
    """Write a changed request and what it was spread into; False when it lost the race."""
    keys = {
        "k_account_id": request.account_id,
        "k_server_request_id": request.server_request_id,
        "k_version": request.version,
    }
    if request.state in FINISHED and not request.session_key and not request.spread:
        # It concerned nobody, and most do: nothing is left to be told.
        return connection.execute(delete(schema.server_request).where(_THIS), keys).rowcount == 1
    values = msgspec.structs.asdict(request)
    for name in _FIXED:
        del values[name]
    values["version"] += 1
    statement = update(schema.server_request).where(_THIS).values(values)
    if connection.execute(statement, keys).rowcount != 1:
        return False
    insert_all(connection, spread)
    return True


def write_all(connection: Connection, requests: Sequence[ServerRequest]) -> list[bool]:
    """Write changed requests; tell of each whether it won its race."""
    written = [False] * len(requests)
    # Always in the same order, so that two servers do not wait for each other.
    for index in sorted(range(len(requests)), key=lambda i: requests[i].server_request_id):
        written[index] = write(connection, requests[index], ())
    return written


def insert_all(connection: Connection, requests: Sequence[ServerRequest]) -> None:
    """Write new requests."""
    rows = [*map(msgspec.structs.asdict, requests)]
    for start in range(0, len(rows), _INSERT_ROWS):
        connection.execute(insert(schema.server_request), rows[start : start + _INSERT_ROWS])


def target(
    connection: Connection, account_id: int, session_key: bytes
) -> tuple[Account, Session | None] | None:
    """Return an account and one session of it."""
    names = {"account_id": account_id, "session_key": session_key}
    row = connection.execute(_TARGET, names).one_or_none()
    if row is None:
        return None
    *columns, body = row
    session = records.decode_session(body, account_id, session_key) if body else None
    return records.account_of(columns), session


def open_sessions(
    connection: Connection, account_id: int, after: tuple[int, bytes], limit: int
) -> OpenSessions:
    """Return the next open sessions of an account, or of all."""
    statement: Select[int, str, Any] = _SESSIONS
    if account_id:
        statement = statement.where(_session.account_id == account_id)
    values = {"after_account": after[0], "after_key": after[1]}
    rows = connection.execute(statement, values).all()
    found: list[tuple[bytes, Session]] = []
    for owner, name, body in rows:
        if len(found) == limit:
            return OpenSessions(found, after, last=False)
        key = bytes(name)
        after = (owner, key)
        if body is not None:
            found.append((key, records.decode_session(body, owner, key)))
    return OpenSessions(found, after, last=len(rows) < SCANNED_SESSIONS)


def waiting(connection: Connection, names: Sequence[tuple[int, bytes]]) -> set[tuple[bytes, int]]:
    """Return (session key, command) of requests to these sessions that were never sent."""
    statement = select(_request.session_key, _request.command).where(
        _PENDING,
        _request.sent_ns == 0,
        _request.trigger != Trigger.CATALOGUE,
        _request.account_id.in_(sorted({account_id for account_id, _ in names})),
        _request.session_key.in_([key for _, key in names]),
    )
    return {(bytes(key), command) for key, command in connection.execute(statement)}


def wake(connection: Connection, host: str, now_ns: int, limit: int) -> int:
    """Make due what waits for a peer to come back; return how many rows that were."""
    values = {"now_ns": now_ns, "host": host, "count": limit, "due": now_ns}
    return connection.execute(_WAKE, values).rowcount
