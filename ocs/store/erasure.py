"""Erasing a person: names and personal values of stored rows replaced, the ledger left as it is.

Works page by page, each one transaction under the account's lock, over an account as a whole or
over one of its subscribers (K-255, K-256). What is replaced by what is here and nowhere else;
docs/security.md says what remains. Called by provisioning.customers.erasure.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, delete, select, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from ocs.charging.accounts.agenda import due_ns_of
from ocs.charging.model.messages import ChargingRecord, RatingAttributes, ServiceRequest
from ocs.charging.model.session import SessionState
from ocs.ledger.details import AccountDetails
from ocs.store.failures import Again, fault_of
from ocs.store.reading import Reader
from ocs.store.records import (
    account_of,
    decode_record,
    decode_session,
    encode_details,
    encode_record,
)
from ocs.store.schema import (
    account,
    notification,
    operator_action,
    request,
    review,
    server_request,
    session,
    session_directory,
)

ERASED = "erased"
"""What stands where a name stood."""
PAGE_ROWS = 200
_KEPT_OF_ACTIONS = frozenset({
    "about", "after", "allowances", "amount", "available", "balance", "before", "bucket", "entry",
    "fee", "forfeited", "plan", "pool", "rating_group", "request_id", "service_identifier",
    "state", "units", "until",
})  # fmt: skip
"""Members of an action's details that say what was done and nothing of whom."""
_PROVING_NOTE = re.compile(r"refund of [0-9a-f.t]+")
"""Notes by which a second refund of one charge is refused."""

_UPDATE_REQUEST = (
    update(request)
    .where(request.c.account_id == bindparam("k_account_id"))
    .where(request.c.session_key == bindparam("k_session_key"))
    .where(request.c.kind == bindparam("k_kind"))
    .where(request.c.number == bindparam("k_number"))
    .values(body=bindparam("k_body"))
)


@dataclass(frozen=True, slots=True)
class Person:
    """Whose rows are erased: those of an account, or of one subscriber of it."""

    account_id: int
    subscriber_id: int = 0
    """0 is the account as a whole."""
    names: frozenset[str] = frozenset()
    """The subscriber's identities as ``kind:value``; not looked at for a whole account."""

    def is_in(self, text: str) -> bool:
        """Tell whether a text has one of the names; of a whole account every text has."""
        return not self.subscriber_id or any(name in text for name in self.names)


@dataclass(slots=True)
class Erased:
    """How many rows were changed."""

    records: int = 0
    sessions: int = 0
    actions: int = 0
    reviews: int = 0
    server_requests: int = 0
    notifications: int = 0


class Eraser:
    """Erases one person, page by page."""

    def __init__(self, reader: Reader, person: Person) -> None:
        self._engine = reader.engine
        self._person = person
        self.erased = Erased()

    def run(self) -> Iterator[Erased]:
        """Erase everything; yields what was done so far after each page."""
        after: tuple[Any, ...] | None = (b"", 0, 0)
        while after is not None:
            after = self._records(after)
            yield self.erased
        action_id: int | None = 0
        while action_id is not None:
            action_id = self._actions(action_id)
            yield self.erased
        more = True
        while more:
            more = self._sessions()
            yield self.erased
        self._rest()
        yield self.erased

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Yield a transaction that holds the account's lock (see retention.Pruner)."""
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    update(account)
                    .where(account.c.account_id == self._person.account_id)
                    .values(flags=account.c.flags)
                )
                yield connection
        except SQLAlchemyError as error:
            fault = fault_of(error, "erasing a person", committing=False)
            raise (fault.fault if isinstance(fault, Again) else fault) from error

    def _records(self, after: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Erase a page of records behind a key, and what hangs on them; return where it ended."""
        key = (request.c.session_key, request.c.kind, request.c.number)
        statement = (
            select(*key, request.c.request_id, request.c.body)
            .where(request.c.account_id == self._person.account_id, tuple_(*key) > tuple_(*after))
            .order_by(*key)
            .limit(PAGE_ROWS)
        )
        with self._writing() as connection:
            rows = connection.execute(statement).all()
            changed = []
            for row in rows:
                record = decode_record(row.body, row.request_id)
                if self._person.subscriber_id and record.identity not in self._person.names:
                    continue
                clean = erased_record(record)
                if clean != record:
                    changed.append((row, encode_record(clean)))
            if changed:
                connection.execute(_UPDATE_REQUEST, [self._row(*one) for one in changed])
                self.erased.records += len(changed)
                self._of_records(connection, [row for row, _ in changed])
        last = rows[-1] if len(rows) == PAGE_ROWS else None
        return (bytes(last.session_key), last.kind, last.number) if last is not None else None

    def _row(self, row: Any, body: bytes) -> dict[str, Any]:
        return {
            "k_account_id": self._person.account_id, "k_session_key": row.session_key,
            "k_kind": row.kind, "k_number": row.number, "k_body": body,
        }  # fmt: skip

    def _of_records(self, connection: Connection, rows: Sequence[Any]) -> None:
        """Erase reviews of these requests, and requests to the clients of their sessions."""
        account_id = self._person.account_id
        self.erased.reviews += connection.execute(
            update(review)
            .where(
                review.c.account_id == account_id,
                review.c.request_id.in_([row.request_id for row in rows]),
            )
            .values(session_id=ERASED)
        ).rowcount
        self.erased.server_requests += connection.execute(
            update(server_request)
            .where(
                server_request.c.account_id == account_id,
                server_request.c.session_key.in_({row.session_key for row in rows}),
            )
            .values(session_id=ERASED, note="")
        ).rowcount

    def _actions(self, after: int) -> int | None:
        """Erase a page of what operators did; return where it ended."""
        columns = operator_action.c
        statement = (
            select(columns.action_id, columns.action, columns.target, columns.reason,
                   columns.details)
            .where(columns.account_id == self._person.account_id, columns.action_id > after)
            .order_by(columns.action_id)
            .limit(PAGE_ROWS)
        )  # fmt: skip
        with self._writing() as connection:
            rows = connection.execute(statement).all()
            for row in rows:
                said = f"{row.target} {row.reason} {row.details}"
                if row.action == "subscriber erase" or not self._person.is_in(said):
                    continue
                values = {
                    "target": f"account:{self._person.account_id}", "reason": "",
                    "details": erased_details(row.details),
                }  # fmt: skip
                if values != {name: getattr(row, name) for name in values}:
                    connection.execute(
                        update(operator_action)
                        .where(columns.action_id == row.action_id)
                        .values(values)
                    )
                    self.erased.actions += 1
        return rows[-1].action_id if len(rows) == PAGE_ROWS else None

    def _sessions(self) -> bool:
        """Remove a page of sessions that are over; tell whether there may be more."""
        statement = (
            select(session.c.session_key, session.c.body)
            .where(
                session.c.account_id == self._person.account_id,
                session.c.state != SessionState.OPEN,
            )
            .order_by(session.c.session_key)
        )
        with self._writing() as connection:
            keys = []
            for row in connection.execute(statement):
                found = decode_session(row.body, self._person.account_id, row.session_key)
                if self._person.subscriber_id in (0, found.subscriber_id):
                    keys.append(row.session_key)
                if len(keys) == PAGE_ROWS:
                    break
            if keys:
                connection.execute(
                    delete(session).where(
                        session.c.account_id == self._person.account_id,
                        session.c.session_key.in_(keys),
                    )
                )
                connection.execute(
                    delete(session_directory).where(session_directory.c.session_key.in_(keys))
                )
                self.erased.sessions += len(keys)
        return len(keys) == PAGE_ROWS

    def _rest(self) -> None:
        """Remove what customers were to be told, and what the account remembers of them."""
        person = self._person
        mine = [notification.c.account_id == person.account_id]
        if person.subscriber_id:
            mine.append(notification.c.subscriber_id == person.subscriber_id)
        with self._writing() as connection:
            self.erased.notifications += connection.execute(
                delete(notification).where(*mine)
            ).rowcount
            row = connection.execute(
                select(account).where(account.c.account_id == person.account_id)
            ).one()
            names = list(account.c.keys())
            order = ("account_id", "currency", "plan", "status", "credit_limit_micro", "flags",
                     "version", "due_ns", "counters", "details")  # fmt: skip
            stored = account_of([row[names.index(name)] for name in order])
            if person.subscriber_id:
                details = without(stored.details, person.subscriber_id)
                details.friends = [
                    one for one in details.friends if one.subscriber_id != person.subscriber_id
                ]
            else:
                details = AccountDetails(life=stored.details.life)
            stored.details = details
            connection.execute(
                update(account)
                .where(account.c.account_id == person.account_id)
                .values(
                    details=encode_details(details), due_ns=due_ns_of(stored),
                    version=account.c.version + 1,
                )
            )


def without(details: AccountDetails, subscriber_id: int) -> AccountDetails:
    """Return what is kept of an account without what is about one of its subscribers."""
    changed = {
        name: [one for one in value if getattr(one, "subscriber_id", 0) != subscriber_id]
        for name in details.__struct_fields__
        if isinstance(value := getattr(details, name), list)
    }
    return replace(details, **changed)


def erased_record(record: ChargingRecord) -> ChargingRecord:
    """Return a record without names and personal values; what was charged stays as it is."""
    said = record.attributes
    kept = RatingAttributes(
        role_of_node=said.role_of_node, cause_code=said.cause_code, rat_type=said.rat_type,
        emergency=said.emergency, answered=said.answered, media=said.media,
        recipient_type=said.recipient_type, messages=said.messages or len(said.recipients),
        limit=said.limit,
    )  # fmt: skip
    note = record.note
    if record.operator and not _PROVING_NOTE.fullmatch(note):
        note = ""
    return replace(
        record,
        session_id=ERASED if record.session_id else "",
        identity=ERASED if record.identity else "",
        services=tuple(_erased_service(one) for one in record.services),
        attributes=kept,
        anomaly=ERASED if record.anomaly else "",
        note=note,
        equipment="",
    )


def _erased_service(asked: ServiceRequest) -> ServiceRequest:
    return replace(asked, details=None) if asked.details is not None else asked


def erased_details(text: str) -> str:
    """Return an action's details with those members alone that say nothing of whom."""
    if not text:
        return ""
    details = json.loads(text)
    kept = {name: value for name, value in details.items() if name in _KEPT_OF_ACTIONS}
    return json.dumps(kept, sort_keys=True) if kept else ""
