"""The records of a time, account by account: what is charged again under another catalogue.

Streamed, so that memory holds some rows and not an account; called by
provisioning.catalogues.whatif. Records are bounded by request ids, which are in the order of
time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import func, select

from ocs.charging.rerating import Recorded
from ocs.store.reading import Reader, stream
from ocs.store.records import decode_record
from ocs.store.schema import account, identifier, request


class Span(NamedTuple):
    """Records with ids between the two, both exclusive."""

    after_id: int
    before_id: int


class AccountRange(NamedTuple):
    """Neighbouring accounts, both ends included, and how many records they have in a span."""

    first: int
    last: int
    records: int


class OwnedRecord(NamedTuple):
    """One record with its account and id."""

    account_id: int
    request_id: int
    recorded: Recorded


class RecordedUsage:
    """The view of one database that re-rating has."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def ranges(self, span: Span, records: int) -> Iterator[AccountRange]:
        """Yield all accounts with records in a span, in ranges of about so many ``records``."""
        statement = (
            select(request.c.account_id, func.count())
            .where(request.c.request_id > span.after_id, request.c.request_id < span.before_id)
            .group_by(request.c.account_id)
            .order_by(request.c.account_id)
        )
        first = last = found = 0
        with self._reader.snapshot() as connection:
            counts: Iterator[Any] = stream(connection, statement)
            for account_id, count in counts:
                if not found:
                    first = account_id
                last, found = account_id, found + count
                if found >= records:
                    yield AccountRange(first, last, found)
                    found = 0
        if found:
            yield AccountRange(first, last, found)

    def records(self, accounts: AccountRange, span: Span) -> Iterator[OwnedRecord]:
        """Yield the records of a range of accounts in a span, by account and time."""
        # An expression, so that it is looked up by account and not by time: the rows of a few
        # accounts are sorted, not those of the whole span.
        request_id = request.c.request_id + 0
        statement = (
            select(*_COLUMNS)
            .where(
                request.c.account_id.between(accounts.first, accounts.last),
                request_id > span.after_id,
                request_id < span.before_id,
            )
            .order_by(request.c.account_id, request_id)
        )
        with self._reader.snapshot() as connection:
            rows: Iterator[Any] = stream(connection, statement)
            for owner, own_id, key, kind, number, received_ns, body in rows:
                record = decode_record(body, own_id)
                recorded = Recorded(bytes(key), kind, number, received_ns, record)
                yield OwnedRecord(owner, own_id, recorded)

    def of_session(self, account_id: int, session_key: bytes, before_id: int) -> list[Recorded]:
        """Return what is stored of a session from before a record, in the order of time."""
        statement = (
            select(*_COLUMNS)
            .where(
                request.c.account_id == account_id,
                request.c.session_key == session_key,
                request.c.request_id + 0 < before_id,
            )
            .order_by(request.c.request_id + 0)
        )
        return [
            Recorded(bytes(key), kind, number, received_ns, decode_record(body, request_id))
            for _, request_id, key, kind, number, received_ns, body in self._reader.rows(statement)
        ]

    def members(self, accounts: AccountRange) -> dict[int, dict[str, int]]:
        """Return the subscriber of each identity, ``kind:value``, by account."""
        statement = (
            select(
                identifier.c.account_id, identifier.c.kind, identifier.c.value,
                identifier.c.subscriber_id,
            )
            .where(identifier.c.account_id.between(accounts.first, accounts.last))
            .order_by(identifier.c.account_id, identifier.c.kind.desc(), identifier.c.value)
        )  # fmt: skip
        found: dict[int, dict[str, int]] = {}
        with self._reader.snapshot() as connection:
            rows: Iterator[Any] = stream(connection, statement)
            for account_id, kind, value, subscriber_id in rows:
                found.setdefault(account_id, {})[f"{kind}:{value}"] = subscriber_id
        return found

    def currencies(self) -> list[str]:
        """Return the currencies that accounts are kept in."""
        statement = select(account.c.currency).distinct().order_by(account.c.currency)
        return [currency for (currency,) in self._reader.rows(statement)]


_COLUMNS = (
    request.c.account_id,
    request.c.request_id,
    request.c.session_key,
    request.c.kind,
    request.c.number,
    request.c.received_ns,
    request.c.body,
)
