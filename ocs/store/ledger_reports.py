"""Ledger lines and request records for people: an account's ledger, one entry, the export.

Called by ocs.provisioning. An entry is known as REQUEST_ID.LINE. Records are read by request id,
which is the order of time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Row, Select, func, select

from ocs.charging.model.messages import ChargingRecord
from ocs.ledger.account import Contra, Movement
from ocs.store.reading import Reader, stream, values_of
from ocs.store.records import decode_record
from ocs.store.schema import account, movement, request

_KEYS = 500
"""Sessions that one statement asks for."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """One request record with its key in the store."""

    account_id: int
    request_id: int
    session_key: bytes
    kind: int
    number: int
    received_ns: int
    record: ChargingRecord


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One movement with the request that made it."""

    movement: Movement
    request: StoredRequest


@dataclass(frozen=True, slots=True)
class SponsoredRow:
    """What a sponsor paid for the usage of one service, in so many ledger lines."""

    sponsor: str
    service: str
    currency: str
    amount_micro: int
    lines: int


class LedgerReports:
    """What the use cases ask about movements and records."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def ledger(
        self, account_id: int, limit: int, *, since_ns: int = 0, before: tuple[int, int] = (0, 0)
    ) -> list[LedgerLine]:
        """Return an account's lines, newest first; ``before`` (request id, line) pages back."""
        statement = _LINES.where(
            movement.c.account_id == account_id, request.c.received_ns >= since_ns
        )
        if before != (0, 0):
            request_id, line = before
            statement = statement.where(
                (movement.c.request_id < request_id)
                | ((movement.c.request_id == request_id) & (movement.c.line < line))
            )
        statement = statement.order_by(movement.c.request_id.desc(), movement.c.line.desc())
        return [_line(row) for row in self.reader.rows(statement.limit(limit))]

    def entries(self, request_id: int, line: int) -> list[LedgerLine]:
        """Return the ledger lines named REQUEST_ID.LINE.

        There is at most one, unless servers ran that were configured to make the same ids.
        """
        rows = self.reader.rows(
            _LINES.where(request.c.request_id == request_id, movement.c.line == line)
        )
        return [_line(row) for row in rows]

    def lines_of(self, account_id: int, request_id: int) -> list[Movement]:
        """Return every line of one request."""
        statement = (
            select(movement)
            .where(movement.c.account_id == account_id, movement.c.request_id == request_id)
            .order_by(movement.c.line)
        )
        return [Movement(**values_of(row)) for row in self.reader.rows(statement)]

    def last_charges(
        self, account_id: int, session_key: bytes, service: str, rule: str, zone: str, limit: int
    ) -> list[Movement]:
        """Return the charges of a session under one price rule, the youngest first."""
        statement = (
            select(movement)
            .join_from(movement, request, _SAME_REQUEST)
            .where(
                request.c.account_id == account_id,
                request.c.session_key == session_key,
                movement.c.service == service,
                movement.c.rule == rule,
                movement.c.zone == zone,
            )
            .order_by(movement.c.request_id.desc(), movement.c.line.desc())
            .limit(limit)
        )
        return [Movement(**values_of(row)) for row in self.reader.rows(statement)]

    def request(self, request_id: int) -> StoredRequest | None:
        """Return one request record."""
        rows = self.reader.rows(_REQUESTS.where(request.c.request_id == request_id))
        return _request(rows[0]) if rows else None

    def refunds_of(self, account_id: int, entry: str) -> list[Movement]:
        """Return the refunds already given for the line named ``entry``, oldest first."""
        statement = (
            select(movement)
            .where(
                movement.c.account_id == account_id,
                movement.c.contra == Contra.REFUND,
                movement.c.rule == entry,
            )
            .order_by(movement.c.request_id, movement.c.line)
        )
        return [Movement(**values_of(row)) for row in self.reader.rows(statement)]

    def of_sessions(
        self, account_id: int, session_keys: Sequence[bytes]
    ) -> list[tuple[StoredRequest, list[Movement]]]:
        """Return the requests of some sessions and events of an account, in order of time, each
        with its lines.
        """
        requests: dict[int, tuple[StoredRequest, list[Movement]]] = {}
        for first in range(0, len(session_keys), _KEYS):
            here = (
                request.c.account_id == account_id,
                request.c.session_key.in_(session_keys[first : first + _KEYS]),
            )
            for row in self.reader.rows(_REQUESTS.where(*here)):
                requests[row.request_id] = _request(row), []
            moved = select(movement).join_from(movement, request, _SAME_REQUEST).where(*here)
            for row in self.reader.rows(moved.order_by(movement.c.request_id, movement.c.line)):
                requests[row.request_id][1].append(Movement(**values_of(row)))
        return [requests[request_id] for request_id in sorted(requests)]

    def moved(self, account_id: int) -> dict[int, int]:
        """Return the sum of everything that ever moved each bucket of an account, by bucket."""
        statement = (
            select(movement.c.bucket_id, func.sum(movement.c.amount))
            .where(movement.c.account_id == account_id)
            .group_by(movement.c.bucket_id)
        )
        return {row[0]: int(row[1]) for row in self.reader.rows(statement)}

    def sponsored(self, since_ns: int, until_ns: int) -> list[SponsoredRow]:
        """Return what sponsors paid for usage in a time, end exclusive, less what went back."""
        keys = (account.c.currency, movement.c.rule, movement.c.service)
        statement = (
            select(*keys, func.sum(movement.c.amount), func.count())
            .join_from(movement, account, account.c.account_id == movement.c.account_id)
            .where(
                movement.c.contra == Contra.SPONSOR,
                movement.c.event_ns >= since_ns,
                movement.c.event_ns < until_ns,
            )
            .group_by(*keys)
            .order_by(movement.c.rule, movement.c.service, account.c.currency)
        )
        return [
            SponsoredRow(row[1], row[2], row[0], int(row[3]), int(row[4]))
            for row in self.reader.rows(statement)
        ]

    def requests_after(
        self, after_request_id: int, before_request_id: int, *,
        account_id: int = 0, limit: int = 0,
    ) -> Iterator[StoredRequest]:  # fmt: skip
        """Yield records with ids between the two (both exclusive), in order of time, streaming."""
        statement = _REQUESTS.where(
            request.c.request_id > after_request_id, request.c.request_id < before_request_id
        ).order_by(request.c.request_id)
        if account_id:
            statement = statement.where(request.c.account_id == account_id)
        if limit:
            statement = statement.limit(limit)
        with self.reader.snapshot() as connection:
            for row in stream(connection, statement):
                yield _request(row)


_SAME_REQUEST = (request.c.account_id == movement.c.account_id) & (
    request.c.request_id == movement.c.request_id
)
_REQUESTS: Select[Any] = select(
    request.c.account_id,
    request.c.request_id,
    request.c.session_key,
    request.c.kind,
    request.c.number,
    request.c.received_ns,
    request.c.body,
)
_REQUEST_FIELDS = ("account_id", "request_id", "session_key", "kind", "number", "received_ns")
_LINES: Select[Any] = select(
    *(column.label(f"movement_{column.name}") for column in movement.c),
    request.c.account_id,
    request.c.request_id,
    request.c.session_key,
    request.c.kind,
    request.c.number,
    request.c.received_ns,
    request.c.body,
).join_from(
    movement,
    request,
    _SAME_REQUEST,
)


def _request(row: Row[Any]) -> StoredRequest:
    values = values_of(row)
    return StoredRequest(
        **{name: values[name] for name in _REQUEST_FIELDS} | {
            "session_key": bytes(values["session_key"]),
            "record": decode_record(values["body"], values["request_id"]),
        }
    )  # fmt: skip


def _line(row: Row[Any]) -> LedgerLine:
    values = values_of(row)
    made = Movement(**{name: values[f"movement_{name}"] for name in msgspec.structs.asdict(_BLANK)})
    return LedgerLine(made, _request(row))


_BLANK = Movement(0, 0, 0, 0, 0, 0, 0, 0)
