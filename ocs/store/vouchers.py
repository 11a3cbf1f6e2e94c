"""Vouchers on an SQL database, and the count of wrong codes. The part of sql.SqlStore about them.

A voucher is redeemed by a guarded write in the transaction of its top-up (cold.write), so of
several at once one writes it and the others are rolled back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from ocs.errors import ConflictError
from ocs.ledger.account import OperatorAction
from ocs.ledger.voucher import Voucher, VoucherBatch, VoucherState
from ocs.store import schema
from ocs.store.interface import Tries
from ocs.store.transactions import Transactions

INSERT_ROWS = 1000

_batch = schema.voucher_batch.c
_voucher = schema.voucher.c
_pruned = schema.voucher_pruned.c
_try = schema.voucher_try.c
_setting = schema.setting.c

_REDEEM = (
    update(schema.voucher)
    .where(_voucher.code_hash == bindparam("k_code_hash"))
    .where(_voucher.state == int(VoucherState.UNUSED))
)


class SqlVouchers:
    """What sql.SqlStore inherits; it has the transactions."""

    _transactions: Transactions

    def voucher_salt(self, fresh: str) -> str:
        """See interface.Store.voucher_salt."""
        name = schema.SETTING_VOUCHER_SALT

        def work(connection: Connection, _attempt: int) -> str:
            statement = select(_setting.value).where(_setting.name == name)
            known: str | None = connection.execute(statement).scalar_one_or_none()
            if known is None:
                connection.execute(insert(schema.setting).values(name=name, value=fresh))
            return known or fresh

        return self._transactions.run(work, "the salt of voucher codes")

    def add_vouchers(
        self, batch: VoucherBatch, hashes: Sequence[bytes], action: OperatorAction
    ) -> None:
        """See interface.Store.add_vouchers."""

        def work(connection: Connection, _attempt: int) -> None:
            connection.execute(insert(schema.voucher_batch), [msgspec.structs.asdict(batch)])
            for start in range(0, len(hashes), INSERT_ROWS):
                page = hashes[start : start + INSERT_ROWS]
                rows = [
                    msgspec.structs.asdict(Voucher(one, batch.batch_id, serial))
                    for serial, one in enumerate(page, start + 1)
                ]
                connection.execute(insert(schema.voucher), rows)
            connection.execute(insert(schema.operator_action), [msgspec.structs.asdict(action)])

        self._transactions.run(work, "making vouchers")

    def find_voucher(self, code_hash: bytes) -> tuple[Voucher, VoucherBatch] | None:
        """See interface.Store.find_voucher."""
        statement = (
            select(schema.voucher, schema.voucher_batch)
            .join_from(
                schema.voucher, schema.voucher_batch, _voucher.batch_id == _batch.batch_id
            )
            .where(_voucher.code_hash == code_hash)
        )
        row = self._transactions.read(
            lambda connection: connection.execute(statement).first(), "a voucher"
        )
        if row is None:
            return None
        size = len(schema.voucher.columns)
        return Voucher(bytes(row[0]), *row[1:size]), VoucherBatch(*row[size:])

    def void_vouchers(
        self, batch_id: int, serials: Sequence[int], action: OperatorAction
    ) -> int:
        """See interface.Store.void_vouchers."""
        unused = [_voucher.batch_id == batch_id, _voucher.state == int(VoucherState.UNUSED)]
        if serials:
            unused.append(_voucher.serial.in_(list(serials)))

        def work(connection: Connection, _attempt: int) -> int:
            changed = connection.execute(
                update(schema.voucher)
                .where(*unused)
                .values(state=int(VoucherState.VOID), used_ns=action.at_ns)
            ).rowcount
            if changed:
                connection.execute(
                    insert(schema.operator_action), [msgspec.structs.asdict(action)]
                )
            return changed

        return self._transactions.run(work, "making vouchers void")

    def prune_vouchers(
        self, batch_id: int, after: int, before_ns: int, limit: int
    ) -> tuple[int, int]:
        """See interface.Store.prune_vouchers."""
        expired = (
            select(_batch.batch_id)
            .where(_batch.batch_id == batch_id, _batch.expires_ns.between(1, before_ns - 1))
            .exists()
        )
        unused = _voucher.state == int(VoucherState.UNUSED)
        old = or_(and_(~unused, _voucher.used_ns < before_ns), and_(unused, expired))
        statement = (
            select(_voucher.code_hash, _voucher.serial, _voucher.state)
            .where(_voucher.batch_id == batch_id, _voucher.serial > after, old)
            .order_by(_voucher.serial)
            .limit(limit)
            .with_for_update()
        )

        def work(connection: Connection, _attempt: int) -> tuple[int, int]:
            rows = connection.execute(statement).all()
            if not rows:
                return 0, after
            hashes = [row.code_hash for row in rows]
            connection.execute(delete(schema.voucher).where(_voucher.code_hash.in_(hashes)))
            for state, count in sorted(Counter(row.state for row in rows).items()):
                _count_pruned(connection, batch_id, state, count)
            return len(rows), rows[-1].serial

        return self._transactions.run(work, "pruning vouchers")

    def take_tries(
        self, maxima: Mapping[str, int], now_ns: int, window_ns: int
    ) -> Tries | None:
        """See interface.Store.take_tries."""

        def work(connection: Connection, _attempt: int) -> Tries | None:
            # Locked in one order, so that two which share subjects cannot wait for each other.
            statement = (
                select(_try.subject, _try.window_ns, _try.tries)
                .where(_try.subject.in_(sorted(maxima)))
                .order_by(_try.subject)
                .with_for_update()
            )
            rows = connection.execute(statement)
            known = {subject: (since_ns, tries) for subject, since_ns, tries in rows}
            counts: dict[str, tuple[int, int]] = {}
            for subject, maximum in sorted(maxima.items()):
                since_ns, tries = known.get(subject, (now_ns, 0))
                if since_ns + window_ns <= now_ns:
                    since_ns, tries = now_ns, 0
                if tries >= maximum:
                    return Tries(subject, maximum, since_ns + window_ns)
                counts[subject] = since_ns, tries + 1
            for subject, (since_ns, tries) in counts.items():
                values = {"window_ns": since_ns, "tries": tries}
                if subject in known:
                    connection.execute(
                        update(schema.voucher_try).where(_try.subject == subject).values(values)
                    )
                else:
                    connection.execute(
                        insert(schema.voucher_try).values(subject=subject, **values)
                    )
            connection.execute(
                delete(schema.voucher_try).where(_try.window_ns <= now_ns - 2 * window_ns)
            )
            return None

        return self._transactions.run(work, "counting tries of vouchers")

    def give_back_tries(self, subjects: Sequence[str]) -> None:
        """See interface.Store.give_back_tries."""

        def work(connection: Connection, _attempt: int) -> None:
            for subject in sorted(subjects):
                connection.execute(
                    update(schema.voucher_try)
                    .where(_try.subject == subject, _try.tries > 0)
                    .values(tries=_try.tries - 1)
                )

        self._transactions.run(work, "counting tries of vouchers")

    def voucher_batches(self) -> list[tuple[VoucherBatch, dict[int, int]]]:
        """See interface.Store.voucher_batches."""
        counts = (
            select(_voucher.batch_id, _voucher.state, func.count())
            .group_by(_voucher.batch_id, _voucher.state)
        )  # fmt: skip
        pruned = select(_pruned.batch_id, _pruned.state, _pruned["count"])
        batches = select(schema.voucher_batch).order_by(_batch.batch_id.desc())

        def work(connection: Connection) -> list[tuple[VoucherBatch, dict[int, int]]]:
            by_batch: dict[int, dict[int, int]] = {}
            for batch_id, state, count in connection.execute(union_all(counts, pruned)):
                known = by_batch.setdefault(batch_id, {})
                known[state] = known.get(state, 0) + count
            return [
                (VoucherBatch(*row), by_batch.get(row[0], {}))
                for row in connection.execute(batches)
            ]

        return self._transactions.read(work, "batches of vouchers")

    def vouchers_of(self, batch_id: int, after: int, limit: int) -> list[Voucher]:
        """See interface.Store.vouchers_of."""
        statement = (
            select(schema.voucher)
            .where(_voucher.batch_id == batch_id, _voucher.serial > after)
            .order_by(_voucher.serial)
            .limit(limit)
        )
        rows = self._transactions.read(
            lambda connection: connection.execute(statement).all(), "vouchers"
        )
        return [Voucher(bytes(row[0]), *row[1:]) for row in rows]


def _count_pruned(connection: Connection, batch_id: int, state: int, count: int) -> None:
    mine = (_pruned.batch_id == batch_id, _pruned.state == state)
    changed = connection.execute(
        update(schema.voucher_pruned).where(*mine).values(count=_pruned["count"] + count)
    )
    if not changed.rowcount:
        connection.execute(
            insert(schema.voucher_pruned).values(batch_id=batch_id, state=state, count=count)
        )


def redeem(connection: Connection, vouchers: Sequence[Voucher]) -> None:
    """Write redeemed vouchers in the transaction of their top-up.

    ConflictError when one is not unused any more.
    """
    for voucher in vouchers:
        values = {
            "k_code_hash": voucher.code_hash, "state": int(voucher.state),
            "account_id": voucher.account_id, "used_ns": voucher.used_ns,
        }  # fmt: skip
        if connection.execute(_REDEEM, values).rowcount != 1:
            raise ConflictError("the voucher was redeemed or made void meanwhile")
