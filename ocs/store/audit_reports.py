"""What the audit reads: accounts in pages with everything that must agree, from one snapshot.

A page holds PAGE_ACCOUNTS accounts with their buckets and sums; sessions and usage lines are
streamed, so memory is bounded by the largest account's open sessions. Called by
provisioning.proof.audit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, case, func, or_, select

from ocs.charging.model.messages import ChargingRecord
from ocs.charging.model.server_requests import FINISHED
from ocs.charging.model.session import Session
from ocs.ledger.account import Account, Bucket, Contra, Movement
from ocs.store.reading import stream, values_of
from ocs.store.records import decode_record, decode_session
from ocs.store.reports import account_of, bucket_of
from ocs.store.schema import account, bucket, movement, request, server_request, session

PAGE_ACCOUNTS = 500


class Side(NamedTuple):
    """One side of an account's ledger: everything that moved between a bucket and a contra."""

    bucket_id: int
    unit: int
    contra: int
    carried: str
    """For carried-forward movements the side they were carried from."""
    amount: int
    movements: int


class UsageLine(NamedTuple):
    """A debit for usage with the request that made it."""

    movement: Movement
    session_key: bytes
    record: ChargingRecord


@dataclass(slots=True)
class AuditedAccount:
    """One account as the audit sees it, without its usage lines."""

    account: Account
    buckets: list[Bucket] = field(default_factory=list)
    sides: list[Side] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    requests: int = 0
    orphan_movements: list[str] = field(default_factory=list)
    """Entries (REQUEST_ID.LINE) whose request is not stored."""
    repeated_answers: int = 0


class AuditReports:
    """The audit's view of one database; everything comes from the snapshot it is made with."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def pages(self) -> Iterator[list[AuditedAccount]]:
        """Yield all accounts, removed ones too, in pages by id."""
        last = -1
        while True:
            rows = self._rows(
                select(account)
                .where(account.c.account_id > last)
                .order_by(account.c.account_id)
                .limit(PAGE_ACCOUNTS)
            )
            if not rows:
                return
            page = {row.account_id: AuditedAccount(account_of(row)) for row in rows}
            first, last = rows[0].account_id, rows[-1].account_id
            self._add_buckets(page, first, last)
            self._add_sides(page, first, last)
            self._add_sessions(page, first, last)
            self._add_requests(page, first, last)
            yield list(page.values())

    def usage_lines(self, first: int, last: int) -> Iterator[UsageLine]:
        """Yield the movements for usage, of recurring fees and of exchanges, of the accounts
        first..last by account and time, streamed.
        """
        statement = (
            select(movement, request.c.session_key, request.c.body)
            .join_from(movement, request, _SAME_REQUEST)
            .where(
                movement.c.account_id.between(first, last),
                or_(
                    and_(movement.c.contra == Contra.REVENUE, movement.c.service != ""),
                    movement.c.contra.in_(
                        (Contra.FEE, Contra.TAX, Contra.SPONSOR, Contra.EXCHANGE)
                    ),
                ),
            )
            .order_by(movement.c.account_id, movement.c.request_id, movement.c.line)
        )
        for row in stream(self._connection, statement):
            values = values_of(row)
            body, key = values.pop("body"), bytes(values.pop("session_key"))
            yield UsageLine(Movement(**values), key, decode_record(body, values["request_id"]))

    def strangers(self) -> dict[str, int]:
        """Return how many rows there are of accounts that do not exist, by table."""
        found = {}
        for table in (bucket, movement, session, request, server_request):
            # A request to clients of account 0 is one to those of all accounts.
            everybody = 0 if table is server_request else None
            statement = (
                select(func.count())
                .select_from(table)
                .where(
                    table.c.account_id.is_distinct_from(everybody),
                    ~select(account.c.account_id)
                    .where(account.c.account_id == table.c.account_id)
                    .exists(),
                )
            )
            count = int(self._connection.execute(statement).scalar_one())
            if count:
                found[table.name] = count
        return found

    def forgotten_requests(self) -> list[tuple[int, int]]:
        """Return (account_id, server_request_id) of requests to clients that are finished and due
        at once, or neither.
        """
        is_due = case((server_request.c.due_ns > 0, 1), else_=0)
        is_finished = case((server_request.c.state.in_(FINISHED), 1), else_=0)
        statement = (
            select(server_request.c.account_id, server_request.c.server_request_id)
            .where(is_due == is_finished)
            .order_by(server_request.c.server_request_id)
        )
        return [(row[0], row[1]) for row in self._rows(statement)]

    def _add_buckets(self, page: dict[int, AuditedAccount], first: int, last: int) -> None:
        for row in self._rows(select(bucket).where(bucket.c.account_id.between(first, last))):
            if row.account_id in page:
                page[row.account_id].buckets.append(bucket_of(row))

    def _add_sides(self, page: dict[int, AuditedAccount], first: int, last: int) -> None:
        carried = case((movement.c.contra == Contra.CARRIED_FORWARD, movement.c.rule), else_="")
        keys = (
            movement.c.account_id,
            movement.c.bucket_id,
            movement.c.unit,
            movement.c.contra,
            carried,
        )
        statement = (
            select(*keys, func.sum(movement.c.amount), func.count())
            .where(movement.c.account_id.between(first, last))
            .group_by(*keys)
        )
        for row in self._rows(statement):
            owner, bucket_id, unit, contra, side, amount, count = row
            if owner in page:
                page[owner].sides.append(
                    Side(bucket_id, unit, contra, side, int(amount), int(count))
                )

    def _add_sessions(self, page: dict[int, AuditedAccount], first: int, last: int) -> None:
        statement = select(session.c.account_id, session.c.session_key, session.c.body).where(
            session.c.account_id.between(first, last)
        )
        for row in stream(self._connection, statement):
            if row.account_id in page:
                page[row.account_id].sessions.append(
                    decode_session(row.body, row.account_id, row.session_key)
                )

    def _add_requests(self, page: dict[int, AuditedAccount], first: int, last: int) -> None:
        here = request.c.account_id.between(first, last)
        counts = select(request.c.account_id, func.count()).where(here)
        for owner, count in self._rows(counts.group_by(request.c.account_id)):
            if owner in page:
                page[owner].requests = int(count)
        key = (
            request.c.account_id, request.c.session_key, request.c.kind, request.c.number,
        )  # fmt: skip
        repeated = select(request.c.account_id).where(here).group_by(*key)
        for row in self._rows(repeated.having(func.count() > 1)):
            if row.account_id in page:
                page[row.account_id].repeated_answers += 1
        orphans = (
            select(movement.c.account_id, movement.c.request_id, movement.c.line)
            .join_from(movement, request, _SAME_REQUEST, isouter=True)
            .where(movement.c.account_id.between(first, last), request.c.request_id.is_(None))
        )
        for row in stream(self._connection, orphans):
            if row.account_id in page:
                page[row.account_id].orphan_movements.append(f"{row.request_id}.{row.line}")

    def _rows(self, statement: Any) -> list[Any]:
        return list(self._connection.execute(statement))


_SAME_REQUEST = (request.c.account_id == movement.c.account_id) & (
    request.c.request_id == movement.c.request_id
)
