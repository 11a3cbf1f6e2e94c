"""Lists and look-ups for people: subscribers, accounts, sessions, reviews, operator actions.

Every list is read in pages by key, so it takes bounded memory however long it is. Called by
ocs.provisioning; ledger lines and records are in ledger_reports, the audit's in audit_reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, case, func, select

from ocs.amounts import Unit
from ocs.charging.model.server_requests import ServerRequest
from ocs.charging.model.session import Session, SessionState, make_session_key
from ocs.charging.model.working_set import ReviewItem
from ocs.ledger.account import Account, AccountStatus, Bucket, Identifier, OperatorAction
from ocs.store import records
from ocs.store.reading import Reader, values_of
from ocs.store.records import decode_session, was_asked
from ocs.store.schema import (
    account,
    bucket,
    identifier,
    operator_action,
    review,
    server_request,
    session,
    session_directory,
)

PAGE_ROWS = 500
"""Rows that a page of a list has at most."""


@dataclass(frozen=True, slots=True)
class SubscriberRow:
    """One account in a list, with its names and its money."""

    account: Account
    identifiers: tuple[Identifier, ...]
    available_micro: int
    held_micro: int


class Reports:
    """What the use cases ask about one database."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def account(self, account_id: int) -> Account | None:
        """Return one account."""
        rows = self.reader.rows(_ACCOUNTS.where(account.c.account_id == account_id))
        return account_of(rows[0]) if rows else None

    def buckets(self, account_id: int) -> list[Bucket]:
        """Return the buckets of an account, the main one first, then in spending order."""
        statement = (
            select(bucket)
            .where(bucket.c.account_id == account_id)
            .order_by(bucket.c.unit, bucket.c.priority.desc(), bucket.c.bucket_id)
        )
        return [bucket_of(row) for row in self.reader.rows(statement)]

    def identifiers(self, account_ids: Sequence[int]) -> dict[int, tuple[Identifier, ...]]:
        """Return the names of each of these accounts (at most a page of them)."""
        statement = (
            select(identifier)
            .where(identifier.c.account_id.in_(account_ids))
            .order_by(identifier.c.account_id, identifier.c.kind, identifier.c.value)
        )
        found: dict[int, tuple[Identifier, ...]] = {}
        for row in self.reader.rows(statement):
            name = Identifier(row.kind, row.value, row.account_id, row.subscriber_id)
            found[row.account_id] = (*found.get(row.account_id, ()), name)
        return found

    def subscribers(
        self, after_account_id: int, limit: int, *,
        plan: str = "", status: AccountStatus | None = None, flagged: bool = False,
    ) -> list[SubscriberRow]:  # fmt: skip
        """Return the next page of accounts by id; removed ones only when asked for."""
        wanted = _ACCOUNTS.where(account.c.account_id > after_account_id)
        if plan:
            wanted = wanted.where(account.c.plan == plan)
        if status is None:
            wanted = wanted.where(account.c.status != AccountStatus.REMOVED)
        else:
            wanted = wanted.where(account.c.status == status)
        if flagged:
            wanted = wanted.where(account.c.flags != 0)
        statement = wanted.order_by(account.c.account_id).limit(min(limit, PAGE_ROWS))
        accounts = [account_of(row) for row in self.reader.rows(statement)]
        ids = [one.account_id for one in accounts]
        names = self.identifiers(ids)
        money = self._money(ids)
        return [
            SubscriberRow(one, names.get(one.account_id, ()), *money.get(one.account_id, (0, 0)))
            for one in accounts
        ]

    def sessions(
        self, after: tuple[int, bytes], limit: int, *,
        account_id: int = 0, state: SessionState | None = None,
    ) -> list[tuple[bytes, Session]]:  # fmt: skip
        """Return the next page of sessions by (account, key)."""
        after_account, after_key = after
        statement = select(session.c.account_id, session.c.session_key, session.c.body).where(
            (session.c.account_id > after_account)
            | ((session.c.account_id == after_account) & (session.c.session_key > after_key))
        )
        if account_id:
            statement = statement.where(session.c.account_id == account_id)
        if state is not None:
            statement = statement.where(session.c.state == state)
        statement = statement.order_by(session.c.account_id, session.c.session_key)
        rows = self.reader.rows(statement.limit(min(limit, PAGE_ROWS)))
        return [
            (bytes(row.session_key), decode_session(row.body, row.account_id, row.session_key))
            for row in rows
        ]

    def session(self, session_id: str, sub_session_id: int | None) -> Session | None:
        """Return the session of this Session-Id while it is kept."""
        key = make_session_key(session_id, sub_session_id)
        statement = (
            select(session.c.account_id, session.c.body)
            .join(
                session_directory,
                (session_directory.c.session_key == session.c.session_key)
                & (session_directory.c.account_id == session.c.account_id),
            )
            .where(session_directory.c.session_key == key)
        )
        rows = self.reader.rows(statement)
        return decode_session(rows[0].body, rows[0].account_id, key) if rows else None

    def reviews(self, after_review_id: int, limit: int, state: str) -> list[ReviewItem]:
        """Return the next page of what waits for a person, oldest first; empty state means all."""
        statement = select(review).where(review.c.review_id > after_review_id)
        if state:
            statement = statement.where(review.c.state == state)
        statement = statement.order_by(review.c.review_id).limit(min(limit, PAGE_ROWS))
        return [ReviewItem(**values_of(row)) for row in self.reader.rows(statement)]

    def review(self, review_id: int) -> ReviewItem | None:
        """Return one item parked for a person."""
        rows = self.reader.rows(select(review).where(review.c.review_id == review_id))
        return ReviewItem(**values_of(rows[0])) if rows else None

    def actions(
        self, since_ns: int, limit: int, *, account_id: int = 0, operator: str = ""
    ) -> list[OperatorAction]:
        """Return what operators did since an instant, newest first."""
        statement = select(operator_action).where(operator_action.c.at_ns >= since_ns)
        if account_id:
            statement = statement.where(operator_action.c.account_id == account_id)
        if operator:
            statement = statement.where(operator_action.c.operator == operator)
        statement = statement.order_by(operator_action.c.action_id.desc())
        rows = self.reader.rows(statement.limit(min(limit, PAGE_ROWS)))
        return [OperatorAction(**values_of(row)) for row in rows]

    def server_requests(
        self, before_id: int, limit: int, *,
        account_id: int = 0, session_key: bytes = b"", unfinished: bool = False,
    ) -> list[ServerRequest]:  # fmt: skip
        """Return the next page of what clients are asked, newest first; ``before_id`` 0 begins.

        ``account_id`` 0 means of all, ``session_key`` empty of any session.
        """
        columns = [server_request.c[name] for name in ServerRequest.__struct_fields__]
        statement = select(*columns)
        if before_id:
            statement = statement.where(server_request.c.server_request_id < before_id)
        if account_id:
            statement = statement.where(server_request.c.account_id == account_id)
        if session_key:
            statement = statement.where(server_request.c.session_key == session_key)
        if unfinished:
            statement = statement.where(server_request.c.due_ns > 0)
        statement = statement.order_by(server_request.c.server_request_id.desc())
        rows = self.reader.rows(statement.limit(min(limit, PAGE_ROWS)))
        return [ServerRequest(*row) for row in rows]

    def server_request(self, account_id: int, server_request_id: int) -> ServerRequest | None:
        """Return one request to a client."""
        columns = [server_request.c[name] for name in ServerRequest.__struct_fields__]
        rows = self.reader.rows(
            select(*columns).where(
                server_request.c.account_id == account_id,
                server_request.c.server_request_id == server_request_id,
            )
        )
        return ServerRequest(*rows[0]) if rows else None

    def plans_in_use(self) -> dict[tuple[str, str], int]:
        """Return how many accounts there are of each (plan, currency), removed ones left out."""
        statement = (
            select(account.c.plan, account.c.currency, func.count())
            .where(account.c.status != AccountStatus.REMOVED)
            .group_by(account.c.plan, account.c.currency)
            .order_by(account.c.plan, account.c.currency)
        )
        rows = self.reader.rows(statement)
        return {(plan, currency): int(count) for plan, currency, count in rows}

    def purses_in_use(self) -> dict[str, int]:
        """Return how many buckets of each named unit or currency have something in them, by
        measure.
        """
        statement = (
            select(bucket.c.measure, func.count())
            .where(bucket.c.measure != "", bucket.c.available + bucket.c.held != 0)
            .group_by(bucket.c.measure)
            .order_by(bucket.c.measure)
        )
        return {measure: int(count) for measure, count in self.reader.rows(statement)}

    def _money(self, account_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        money = bucket.c.unit == Unit.MONEY
        statement = (
            select(
                bucket.c.account_id,
                func.sum(case((money, bucket.c.available), else_=0)),
                func.sum(case((money, bucket.c.held), else_=0)),
            )
            .where(bucket.c.account_id.in_(account_ids))
            .group_by(bucket.c.account_id)
        )
        rows = self.reader.rows(statement)
        return {owner: (int(available), int(held)) for owner, available, held in rows}


_ACCOUNTS: Select[Any] = select(account)


def account_of(row: Row[Any]) -> Account:
    """Return the account of a row of the account table."""
    values = values_of(row)
    return records.account_of([values[name] for name in Account.__struct_fields__])


def bucket_of(row: Row[Any]) -> Bucket:
    """Return the bucket of a row of the bucket table."""
    values = values_of(row)
    due_ns = values.pop("due_ns")
    values["asked"] = was_asked(row.available, row.held, row.expires_ns, due_ns)
    values["services"] = tuple(values["services"].split())
    return Bucket(**values)
