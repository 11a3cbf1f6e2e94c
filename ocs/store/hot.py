"""The hot path between rows and values: what a transaction loaded, what it has to write.

sql.py fills a Loaded from the rows that the engine's statements (postgres, sqlite) return, and
hands them back Changes: rows as tuples, one list for each statement. Column orders are theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import Session
from ocs.charging.model.working_set import AccountState, RequestKey, StoredAnswer, WorkingSet
from ocs.errors import StoreConflictError
from ocs.ledger.account import Bucket
from ocs.store import records

Rows = list[tuple[Any, ...]]

ACCOUNT_COLUMNS = (
    "account_id, currency, plan, status, credit_limit_micro, flags, version, due_ns, counters, "
    "details"
)
BUCKET_COLUMNS = (
    "account_id, bucket_id, unit, name, available, held, priority, expires_ns, services, "
    "subscriber_id, version, due_ns, measure, starts_ns"
)
SESSION_COLUMNS = "account_id, session_key, version, state, due_ns, origin_host, body"
REQUEST_COLUMNS = (
    "account_id, session_key, kind, number, request_id, received_ns, event_ns, content_hash, "
    "outcome, body"
)
ANSWER_COLUMNS = "account_id, session_key, kind, number, request_id, content_hash, body"
MOVEMENT_COLUMNS = (
    "account_id, request_id, line, bucket_id, unit, contra, amount, event_ns, service, rule, "
    "zone, slot_ns, units_before, units_after, catalogue_version"
)


class Changes(NamedTuple):
    """Rows to write; where they replace something, the version that was loaded comes last."""

    session_bodies: Rows
    """body, account_id, session_key, version: updates that touch no index."""
    session_updates: Rows
    """state, due_ns, origin_host, body, account_id, session_key, version."""
    new_sessions: Rows
    """SESSION_COLUMNS."""
    account_counters: Rows
    """counters, account_id, version."""
    bucket_amounts: Rows
    """available, held, account_id, bucket_id, version."""
    requests: Rows
    """REQUEST_COLUMNS."""
    movements: Rows
    """MOVEMENT_COLUMNS."""
    entries: Rows
    """session_key, account_id of the directory: new sessions, answered events."""


class Statements(Protocol):
    """The hot statements of one engine; the connection is inside a transaction."""

    def accounts(self, connection: Connection, ids: list[int]) -> Rows:
        """Lock and return the accounts of these rising ids."""

    def buckets(self, connection: Connection, ids: list[int]) -> Rows:
        """Return all buckets of these accounts."""

    def sessions(self, connection: Connection, names: list[tuple[int, bytes]]) -> Rows:
        """Return the sessions of these (account_id, session_key)."""

    def answers(self, connection: Connection, keys: list[RequestKey]) -> Rows:
        """Return the stored requests of these keys as ANSWER_COLUMNS."""

    def identifiers(self, connection: Connection, names: list[tuple[str, str]]) -> Rows:
        """Return kind, value, account_id, subscriber_id of these names."""

    def directory(self, connection: Connection, session_keys: list[bytes]) -> Rows:
        """Return session_key, account_id of these sessions."""

    def write(self, connection: Connection, changes: Changes) -> None:
        """Write the rows; StoreConflictError when one of them was changed meanwhile."""


class Loaded:
    """A working set and what its rows said when they were read."""

    __slots__ = ("buckets", "exact", "sessions", "working_set")

    def __init__(
        self,
        working_set: WorkingSet,
        buckets: dict[tuple[int, int], tuple[Any, ...]],
        sessions: dict[bytes, records.LoadedSession],
    ) -> None:
        self.working_set = working_set
        self.buckets = buckets
        """BUCKET_COLUMNS as they were read."""
        self.sessions = sessions
        self.exact: set[bytes] = set()
        """Sessions whose ``due_ns`` must be written as their deadline."""


_NUMBERED = (RequestKind.UPDATE, RequestKind.TERMINATION)
"""Kinds whose numbers a session remembers without fail."""


def load(
    statements: Statements,
    connection: Connection,
    keys: Sequence[RequestKey],
    all_answers: bool,
    new_request_id: Callable[[], int],
) -> Loaded:
    """Read what the keys name; ``all_answers`` looks for every key's stored answer.

    Otherwise only those are looked for that the sessions do not rule out. A race that this
    misses ends as a violated primary key, after which everything is loaded again.
    """
    ids = sorted({key.account_id for key in keys if key.account_id})
    accounts: dict[int, AccountState] = {}
    rows: dict[tuple[int, int], tuple[Any, ...]] = {}
    for row in statements.accounts(connection, ids) if ids else ():
        accounts[row[0]] = AccountState(records.account_of(row), [])
    if accounts:
        for row in statements.buckets(connection, ids):
            _add_bucket(accounts, rows, row)
    sessions: dict[bytes, Session] = {}
    loaded: dict[bytes, records.LoadedSession] = {}
    names = sorted({(key.account_id, key.session_key) for key in keys if key.account_id})
    for account_id, key, *columns, body in (
        statements.sessions(connection, names) if accounts else ()
    ):
        sessions[key] = records.decode_session(body, account_id, key)
        loaded[key] = records.LoadedSession(*columns)
    answers: dict[RequestKey, StoredAnswer] = {}
    wanted = [*dict.fromkeys(keys if all_answers else _maybe_answered(keys, sessions))]
    for *name, request_id, content_hash, body in (
        statements.answers(connection, wanted) if wanted else ()
    ):
        record = records.decode_record(body, request_id)
        answers[RequestKey(*name)] = StoredAnswer(content_hash, record, request_id)
    working_set = WorkingSet(accounts, sessions, answers, new_request_id)
    return Loaded(working_set, rows, loaded)


def _add_bucket(
    accounts: dict[int, AccountState],
    rows: dict[tuple[int, int], tuple[Any, ...]],
    row: tuple[Any, ...],
) -> None:
    state = accounts.get(row[0])
    if state is not None:
        _, bucket_id, unit, name, available, held, priority, expires_ns, services = row[:9]
        state.buckets.append(
            Bucket(
                row[0], bucket_id, unit, name, available, held, priority, expires_ns,
                _codes(services), row[9], row[10],
                expires_ns > 0 and records.was_asked(available, held, expires_ns, row[11]),
                row[12], row[13],
            )
        )  # fmt: skip
        rows[row[0], row[1]] = row


@lru_cache(maxsize=4096)
def _codes(services: str) -> tuple[str, ...]:
    return tuple(services.split())


def _only_amounts_differ(bucket: Bucket, row: tuple[Any, ...] | None) -> bool:
    """Tell whether nothing but ``available`` and ``held`` of a loaded bucket is to be written."""
    if row is None:
        return False
    _, _, unit, name, _, _, priority, expires_ns, services, subscriber_id, _, due_ns = row[:12]
    return (
        bucket.expires_ns == expires_ns
        and (not expires_ns or records.bucket_due_ns(bucket) == due_ns)
        and bucket.priority == priority
        and bucket.unit == unit
        and bucket.name == name
        and bucket.subscriber_id == subscriber_id
        and bucket.services == _codes(services)
        and (bucket.measure, bucket.starts_ns) == row[12:]
    )


def _maybe_answered(
    keys: Iterable[RequestKey], sessions: dict[bytes, Session]
) -> Iterator[RequestKey]:
    """Yield the keys that may have been answered before."""
    for key in keys:
        session = sessions.get(key.session_key)
        if session is None or key.kind not in _NUMBERED or session.has_seen(key.number):
            yield key


def collect(loaded: Loaded) -> tuple[Changes, list[Bucket]]:
    """Return the rows to write, and the buckets of which more than the amounts was changed."""
    working_set = loaded.working_set
    bodies: Rows = []
    updates: Rows = []
    for key, session in working_set.changed_sessions.items():
        row = loaded.sessions.get(key)
        if row is None:
            raise StoreConflictError(f"session {session.session_id} was not loaded")
        body = records.encode_session(session)
        due_ns = records.session_due_ns(session, row, key in loaded.exact)
        stored = (row.state, row.due_ns, row.origin_host)
        indexed = (session.state, due_ns, session.origin_host)
        if indexed == stored:
            bodies.append((body, session.account_id, key, row.version))
        else:
            updates.append((*indexed, body, session.account_id, key, row.version))
    amounts: Rows = []
    others: list[Bucket] = []
    new = {(bucket.account_id, bucket.bucket_id) for bucket in working_set.new_buckets}
    for name, bucket in working_set.changed_buckets.items():
        if name in new:
            continue
        if _only_amounts_differ(bucket, loaded.buckets.get(name)):
            amounts.append((bucket.available, bucket.held, *name, bucket.version))
        else:
            others.append(bucket)
    sessions = working_set.new_sessions.items()
    return Changes(
        bodies,
        updates,
        [_new_session(key, session) for key, session in sessions],
        [
            (records.encode_counters(one.counters), one.account_id, one.version)
            for one in working_set.changed_counters.values()
            if one.account_id not in working_set.changed_accounts
        ],
        amounts,
        [_request(record) for record in working_set.records],
        [
            (
                line.account_id, line.request_id, line.line, line.bucket_id, line.unit,
                line.contra, line.amount, line.event_ns, line.service, line.rule, line.zone,
                line.slot_ns, line.units_before, line.units_after, line.catalogue_version,
            )
            for line in working_set.movements
        ],
        [(key, session.account_id) for key, session in sessions]
        + [*working_set.new_entries.items()],
    ), others  # fmt: skip


def _new_session(key: bytes, session: Session) -> tuple[Any, ...]:
    body = records.encode_session(session)
    return (
        session.account_id, key, 1, session.state, session.deadline_ns, session.origin_host, body,
    )  # fmt: skip


def _request(new: Any) -> tuple[Any, ...]:
    record = new.record
    return (
        *new.key, new.request_id, new.received_ns, record.event_ns, new.content_hash,
        record.reply.outcome, records.encode_record(record),
    )  # fmt: skip


def expect(what: str, written: int, rows: Sequence[object]) -> None:
    """Raise StoreConflictError unless every row met the version it was loaded with."""
    if written != len(rows):
        raise StoreConflictError(f"{len(rows) - written} of {len(rows)} {what} were changed")
