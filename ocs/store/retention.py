"""Pruning: old requests go, their movements are carried forward, so that every sum stays.

An account's pruned movements are replaced by one per (bucket, contra side) under one record with
the id of the youngest request that went, so the ledger keeps its order and the audit its sums.
Works account by account in bounded steps, each one transaction under the account's lock. Called
by provisioning.maintenance.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy import Connection, case, delete, func, insert, select, text, tuple_, update
from sqlalchemy.exc import SQLAlchemyError

from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
)
from ocs.charging.model.session import SessionState, make_event_key
from ocs.clock import first_id_at
from ocs.ledger.account import Contra, Movement
from ocs.store.failures import Again, fault_of
from ocs.store.reading import Reader
from ocs.store.records import decode_record, encode_record
from ocs.store.schema import (
    SETTING_PRUNED_BEFORE,
    account,
    movement,
    notification,
    request,
    review,
    server_request,
    session,
    session_directory,
    setting,
)

STEP_SESSION_KEYS = 100
"""Sessions (or events) that one transaction prunes at most: the server waits no longer."""
STEP_SESSIONS = 500
STEP_VOUCHERS = 500
"""Vouchers that one transaction removes at most."""
ACCOUNTS_PAGE = 500
_REFUND_OF = re.compile(r"refund of (?:([0-9a-f]{32})\.([0-9]+)(?:\.t)?|([0-9]+)\.[0-9]+)")
"""The note of a record that keeps a charge from being refunded twice: its debit, or its entry."""
CARRIED_KEY = blake2b(b"carried-forward", digest_size=16).digest()
"""Session key of the records that stand for what was pruned."""


@dataclass(slots=True)
class Pruned:
    """How much went."""

    requests: int = 0
    movements: int = 0
    carried: int = 0
    sessions: int = 0
    reviews: int = 0
    server_requests: int = 0
    notifications: int = 0
    vouchers: int = 0

    def add(self, other: "Pruned") -> None:
        """Add another step's counts."""
        self.requests += other.requests
        self.movements += other.movements
        self.carried += other.carried
        self.sessions += other.sessions
        self.reviews += other.reviews
        self.server_requests += other.server_requests
        self.notifications += other.notifications
        self.vouchers += other.vouchers


class Pruner:
    """Removes what is older than an instant, step by step.

    Events and operators' postings stay until ``repeatable_ns`` has passed them too: until then
    they may be repeated, and their records are what answers the repetition (D21).
    """

    def __init__(self, reader: Reader, cutoff_ns: int, repeatable_ns: int) -> None:
        self._reader = reader
        self._engine = reader.engine
        self._cutoff_ns = cutoff_ns
        self._repeatable_ns = min(cutoff_ns, repeatable_ns)

    def sessions(self, before_ns: int) -> Pruned:
        """Remove one step of closed sessions whose tombstone time was over before an instant."""
        with self._writing() as connection:
            rows = connection.execute(
                select(session.c.account_id, session.c.session_key)
                .where(session.c.state != SessionState.OPEN, session.c.due_ns < before_ns)
                .order_by(session.c.due_ns)
                .limit(STEP_SESSIONS)
            ).all()
            if rows:
                keys = [(row.account_id, row.session_key) for row in rows]
                connection.execute(
                    delete(session).where(
                        tuple_(session.c.account_id, session.c.session_key).in_(keys),
                        session.c.state != SessionState.OPEN,
                    )
                )
                connection.execute(
                    delete(session_directory).where(
                        session_directory.c.session_key.in_([key for _, key in keys])
                    )
                )
        return Pruned(sessions=len(rows))

    def server_requests(self, before_ns: int) -> Pruned:
        """Remove one step of requests to clients that were finished before an instant."""
        with self._writing() as connection:
            rows = connection.execute(
                select(server_request.c.account_id, server_request.c.server_request_id)
                .where(
                    server_request.c.finished_ns > text("0"),
                    server_request.c.finished_ns < before_ns,
                )
                .order_by(server_request.c.finished_ns)
                .limit(STEP_SESSIONS)
            ).all()
            if rows:
                columns = (server_request.c.account_id, server_request.c.server_request_id)
                connection.execute(
                    delete(server_request).where(
                        tuple_(*columns).in_([tuple(row) for row in rows]),
                        server_request.c.finished_ns > text("0"),
                    )
                )
        return Pruned(server_requests=len(rows))

    def notifications(self, before_ns: int) -> Pruned:
        """Remove one step of notifications that were written before an instant."""
        with self._writing() as connection:
            ids = list(
                connection.scalars(
                    select(notification.c.notification_id)
                    .where(notification.c.notification_id < first_id_at(before_ns))
                    .order_by(notification.c.notification_id)
                    .limit(STEP_SESSIONS)
                )
            )
            if ids:
                connection.execute(
                    delete(notification).where(notification.c.notification_id.in_(ids))
                )
        return Pruned(notifications=len(ids))

    def accounts_after(self, account_id: int) -> list[int]:
        """Return the next page of accounts."""
        rows = self._reader.rows(
            select(account.c.account_id)
            .where(account.c.account_id > account_id)
            .order_by(account.c.account_id)
            .limit(ACCOUNTS_PAGE)
        )
        return [row.account_id for row in rows]

    def account(self, account_id: int) -> Pruned:
        """Carry one step of an account's old requests forward; counts 0 when none are left."""
        if not self._reader.rows(self._old_sessions(account_id, 1)):
            return Pruned()
        with self._writing(account_id) as connection:
            keys = [
                bytes(row.session_key)
                for row in connection.execute(self._old_sessions(account_id, STEP_SESSION_KEYS))
            ]
            rows = self._requests_of(connection, account_id, keys)
            rows = self._without_live_refunds(connection, account_id, rows)
            if not rows or all(bytes(row.session_key) == CARRIED_KEY for row in rows):
                return Pruned()
            return self._carry_forward(connection, account_id, rows)

    def reviews(self) -> Pruned:
        """Remove decided reviews of requests that are older than the cutoff."""
        with self._writing() as connection:
            result = connection.execute(
                delete(review).where(
                    review.c.state != "open", review.c.review_id < first_id_at(self._cutoff_ns)
                )
            )
        return Pruned(reviews=result.rowcount)

    def remember(self) -> None:
        """Note in the database up to when it is pruned; what was pruned further before stays so.

        To be called before records go: nobody may take what is forgotten for what never was.
        """
        mine = setting.c.name == SETTING_PRUNED_BEFORE
        with self._writing() as connection:
            known = connection.execute(select(setting.c.value).where(mine)).scalar_one_or_none()
            value = str(max(self._cutoff_ns, int(known or 0)))
            connection.execute(delete(setting).where(mine))
            connection.execute(insert(setting).values(name=SETTING_PRUNED_BEFORE, value=value))

    @contextmanager
    def _writing(self, account_id: int = 0) -> Iterator[Connection]:
        """Yield a transaction that holds the lock of an account, on SQLite of the database.

        The lock is taken by a write that changes nothing: reading first and writing later would
        lose to every writer in between.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    update(account)
                    .where(account.c.account_id == account_id)
                    .values(flags=account.c.flags)
                )
                yield connection
        except SQLAlchemyError as error:
            fault = fault_of(error, "pruning", committing=False)
            raise (fault.fault if isinstance(fault, Again) else fault) from error

    def _old_sessions(self, account_id: int, limit: int) -> Any:
        """Select the session keys of which nothing is young, open or waiting for a person.

        Sessions go whole, so that those that stay can still be priced again from their start.
        An account's carried-forward record counts when something else can join it.
        """
        kept = (
            select(session.c.session_key)
            .where(
                session.c.account_id == account_id,
                session.c.session_key == request.c.session_key,
            )
            .exists()
        )
        repeatable = request.c.kind.in_((RequestKind.EVENT, RequestKind.OPERATOR))
        waiting = select(review.c.request_id).where(
            review.c.account_id == account_id, review.c.state == "open"
        )
        return (
            select(request.c.session_key)
            .where(request.c.account_id == account_id, ~kept)
            .group_by(request.c.session_key)
            .having(
                func.max(request.c.received_ns) < self._cutoff_ns,
                func.max(case((repeatable, request.c.received_ns), else_=0))
                < self._repeatable_ns,
                func.sum(case((request.c.request_id.in_(waiting), 1), else_=0)) == 0,
            )
            .order_by(func.min(request.c.request_id))
            .limit(limit)
        )

    @staticmethod
    def _requests_of(connection: Connection, account_id: int, keys: list[bytes]) -> list[Any]:
        return list(
            connection.execute(
                select(request)
                .where(request.c.account_id == account_id, request.c.session_key.in_(keys))
                .order_by(request.c.request_id)
            )
        )

    def _without_live_refunds(
        self, connection: Connection, account_id: int, rows: list[Any]
    ) -> list[Any]:
        """Keep refunds, and the records that guard against a second one, as long as the charge."""
        ids = [row.request_id for row in rows]
        refunds = connection.execute(
            select(movement.c.request_id, movement.c.rule).where(
                movement.c.account_id == account_id,
                movement.c.request_id.in_(ids),
                movement.c.contra == Contra.REFUND,
                movement.c.rule != "",
            )
        ).all()
        originals = {
            row.request_id: int(row.rule.partition(".")[0])
            for row in refunds
            if row.rule.partition(".")[0].isdecimal()
        }
        events: dict[int, tuple[bytes, int]] = {}
        for row in rows:
            if row.kind != RequestKind.OPERATOR:
                continue
            said = _REFUND_OF.fullmatch(decode_record(row.body, row.request_id).note)
            if said and said[1]:
                events[row.request_id] = (bytes.fromhex(said[1]), int(said[2]))
            elif said:
                originals[row.request_id] = int(said[3])
        alive_events = self._events_outside(connection, account_id, events.values(), ids)
        outside = set(originals.values()) - set(ids)
        alive = set(
            connection.scalars(
                select(request.c.request_id).where(
                    request.c.account_id == account_id, request.c.request_id.in_(outside)
                )
            )
        )
        staying = {
            bytes(row.session_key)
            for row in rows
            if originals.get(row.request_id) in alive
            or events.get(row.request_id) in alive_events
        }
        return [row for row in rows if bytes(row.session_key) not in staying]

    @staticmethod
    def _events_outside(
        connection: Connection, account_id: int, keys: Iterable[tuple[bytes, int]], ids: list[int]
    ) -> set[tuple[bytes, int]]:
        """Return which of these debits (session key, number) are stored and not among ``ids``."""
        wanted = set(keys)
        if not wanted:
            return set()
        found = connection.execute(
            select(request.c.session_key, request.c.number).where(
                request.c.account_id == account_id,
                request.c.kind.in_((RequestKind.EVENT, RequestKind.TERMINATION)),
                request.c.session_key.in_([key for key, _ in wanted]),
                request.c.request_id.not_in(ids),
            )
        )
        return wanted & {(bytes(row.session_key), row.number) for row in found}

    def _carry_forward(self, connection: Connection, account_id: int, rows: list[Any]) -> Pruned:
        ids = [row.request_id for row in rows]
        last = rows[-1]
        lines, gone = self._sums(connection, account_id, ids)
        connection.execute(
            delete(movement).where(
                movement.c.account_id == account_id, movement.c.request_id.in_(ids)
            )
        )
        connection.execute(
            delete(request).where(
                request.c.account_id == account_id, request.c.request_id.in_(ids)
            )
        )
        events = [
            make_event_key(bytes(row.session_key), row.number, row.content_hash)
            for row in rows
            if row.kind == RequestKind.EVENT
        ]
        connection.execute(
            delete(session_directory).where(session_directory.c.session_key.in_(events))
        )
        if lines:
            connection.execute(insert(request).values(**_carrier(last, len(rows))))
            connection.execute(
                insert(movement),
                [
                    msgspec.structs.asdict(
                        Movement(
                            account_id=account_id,
                            request_id=last.request_id,
                            line=number,
                            bucket_id=bucket_id,
                            unit=unit,
                            contra=Contra.CARRIED_FORWARD,
                            amount=amount,
                            event_ns=last.event_ns,
                            rule=side,
                        )
                    )
                    for number, ((bucket_id, unit, side), amount) in enumerate(lines)
                ],
            )
        return Pruned(requests=len(rows), movements=gone, carried=len(lines))

    @staticmethod
    def _sums(
        connection: Connection, account_id: int, ids: list[int]
    ) -> tuple[list[tuple[tuple[int, int, str], int]], int]:
        """Return the sum per (bucket, unit, side) of these requests, and how many lines it was."""
        columns = (movement.c.bucket_id, movement.c.unit, movement.c.contra)
        side = case((movement.c.contra == Contra.CARRIED_FORWARD, movement.c.rule), else_="")
        statement = (
            select(*columns, side, func.sum(movement.c.amount), func.count())
            .where(movement.c.account_id == account_id, movement.c.request_id.in_(ids))
            .group_by(*columns, side)
        )
        sums: dict[tuple[int, int, str], int] = {}
        count = 0
        for bucket_id, unit, contra, carried_side, amount, lines in connection.execute(statement):
            name = carried_side or Contra(contra).name.lower().replace("_", "-")
            key = (bucket_id, unit, name)
            sums[key] = sums.get(key, 0) + int(amount)
            count += int(lines)
        return [(key, amount) for key, amount in sorted(sums.items()) if amount], count


def _carrier(last: Any, requests: int) -> dict[str, Any]:
    """Return the row of the record that stands for pruned requests, made from the youngest."""
    old = decode_record(last.body, last.request_id)
    record = ChargingRecord(
        session_id="carried-forward",
        sub_session_id=None,
        kind=RequestKind.TIMER,
        number=last.request_id,
        identity="",
        service_context="",
        origin_host="",
        peer="",
        end_to_end=0,
        event_ns=last.event_ns,
        action=-1,
        services=(),
        attributes=RatingAttributes(),
        reply=ChargingReply(Outcome.SUCCESS),
        charged=[],
        balance_micro=old.balance_micro,
        held_micro=old.held_micro,
        catalogue_version=0,
        plan=old.plan,
        note=f"sum of {requests} older requests that were pruned",
    )
    return {
        "account_id": last.account_id,
        "session_key": CARRIED_KEY,
        "kind": int(RequestKind.TIMER),
        "number": last.request_id,
        "request_id": last.request_id,
        "received_ns": last.received_ns,
        "event_ns": last.event_ns,
        "content_hash": 0,
        "outcome": int(Outcome.SUCCESS),
        "body": encode_record(record),
    }
