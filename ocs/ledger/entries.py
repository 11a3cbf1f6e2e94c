"""The ledger's verbs: hold, release, take, credit, expire (rules M-006 to M-014). Pure.

Each changes the buckets of one account inside a working set and appends the movements that say
so. Holds move nothing between the two sides, so they leave no movement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from ocs.amounts import MONEY, Unit
from ocs.catalog.taxes import Tax
from ocs.errors import IntegrityError
from ocs.ledger.account import (
    NEVER_NS,
    Account,
    AccountFlag,
    Bucket,
    Contra,
    Hold,
    Movement,
)

MAIN_BUCKET = "main"
"""Name of the money bucket that every account has; the only one that may go below zero."""
TRANSFER_FEE = "transfer-fee"
"""``rule`` of the movement that a transfer costs; it has no service."""
_LAST_NS = 1 << 63


class AccountLike(Protocol):
    """An account with its buckets: working_set.AccountState."""

    account: Account
    buckets: list[Bucket]
    purses_micro: int


class Journal(Protocol):
    """What of a working set the verbs need: charging.model.working_set.WorkingSet."""

    movements: list[Movement]

    def mark_bucket(self, bucket: Bucket) -> None:
        """Say that the bucket was changed."""

    def mark_account(self, account: Account) -> None:
        """Say that the account was changed."""


@dataclass(slots=True)
class Posting:
    """What the movements of one request have in common, and their line counter."""

    request_id: int
    event_ns: int
    now_ns: int
    contra: Contra = Contra.REVENUE
    service: str = ""
    rule: str = ""
    zone: str = ""
    slot_ns: int = 0
    units_before: int = 0
    units_after: int = 0
    catalogue_version: int = 0
    lines: int = 0

    def about(
        self, service: str, rule: str = "", zone: str = "", slot_ns: int = 0,
        units_before: int = 0, units_after: int = 0,
    ) -> None:
        """Say what the next movements pay for."""
        self.service, self.rule, self.zone, self.slot_ns = service, rule, zone, slot_ns
        self.units_before, self.units_after = units_before, units_after


def main_bucket(state: AccountLike) -> Bucket:
    """Return the account's main money bucket. Raises IntegrityError when it is missing."""
    for bucket in state.buckets:
        if bucket.unit == MONEY and bucket.name == MAIN_BUCKET:
            return bucket
    raise IntegrityError(f"account {state.account.account_id} has no main bucket")


def spendable(
    state: AccountLike, unit: Unit, service: str, subscriber_id: int, now_ns: int
) -> list[Bucket]:
    """Return the live buckets that may pay for ``service``, in spending order (M-012)."""
    units, money = payers(state, unit, service, subscriber_id, now_ns)
    return money if unit == MONEY else units


def payers(
    state: AccountLike, unit: Unit, service: str, subscriber_id: int, now_ns: int,
    measure: str = "",
) -> tuple[list[Bucket], list[Bucket]]:
    """Return what may pay for ``service``: buckets of its ``unit`` and ``measure``, and of money
    (M-012, K-302).

    Both are in spending order; expired buckets are left out.
    """
    units: list[Bucket] = []
    money: list[Bucket] = []
    for bucket in state.buckets:
        expires_ns = bucket.expires_ns
        if (
            (expires_ns != NEVER_NS and expires_ns <= now_ns)
            or (bucket.services and service not in bucket.services)
            or (bucket.subscriber_id and bucket.subscriber_id != subscriber_id)
        ):
            continue
        if bucket.unit == MONEY:
            money.append(bucket)
        elif bucket.unit == unit and bucket.measure == measure:
            units.append(bucket)
    if len(units) > 1:
        units.sort(key=_spending_order)
    if len(money) > 1:
        money.sort(key=_spending_order)
    return units, money


def _spending_order(bucket: Bucket) -> tuple[bool, int, int, int]:
    # The main bucket is last of all: only it may go below zero.
    last = bucket.unit == MONEY and bucket.name == MAIN_BUCKET
    return last, bucket.priority, bucket.expires_ns or _LAST_NS, bucket.bucket_id


def available_micro(state: AccountLike, buckets: list[Bucket]) -> int:
    """Return Av of section 0: available money of these buckets, what purses can bring in, and the
    credit limit (M-013, K-329).
    """
    total = state.account.credit_limit_micro + state.purses_micro
    for bucket in buckets:
        available = bucket.available
        if available > 0 or bucket.name == MAIN_BUCKET:
            total += available
    return total


def money_balance(state: AccountLike) -> tuple[int, int]:
    """Return (balance, held) of all money of the account, in micro units (B and R)."""
    balance = held = 0
    for bucket in state.buckets:
        if bucket.unit == MONEY:
            balance += bucket.available + bucket.held
            held += bucket.held
    return balance, held


def hold(journal: Journal, buckets: list[Bucket], amount: int) -> list[Hold]:
    """Hold ``amount`` over ``buckets`` in order; the last one takes what is left.

    The caller has checked that the amount is affordable.
    """
    if len(buckets) == 1 and amount:
        bucket = buckets[0]
        bucket.available -= amount
        bucket.held += amount
        journal.mark_bucket(bucket)
        return [Hold(bucket.bucket_id, amount)]
    holds: list[Hold] = []
    last = len(buckets) - 1
    for index, bucket in enumerate(buckets):
        part = amount if index == last else max(0, min(amount, bucket.available))
        if part:
            bucket.available -= part
            bucket.held += part
            journal.mark_bucket(bucket)
            holds.append(Hold(bucket.bucket_id, part))
            amount -= part
        if not amount:
            break
    return holds


def release(journal: Journal, state: AccountLike, holds: Iterable[Hold]) -> list[Hold]:
    """Give held amounts back to what is available (M-007). Never moves money.

    Returns those of free units.
    """
    units: list[Hold] = []
    for entry in holds:
        bucket, amount = _bucket(state, entry.bucket_id), entry.amount
        if bucket.held < amount:
            raise IntegrityError(f"bucket {bucket.bucket_id} holds less than its session says")
        bucket.held -= amount
        bucket.available += amount
        journal.mark_bucket(bucket)
        if bucket.unit != MONEY:
            units.append(entry)
    return units


def release_some(
    journal: Journal, state: AccountLike, holds: list[Hold], amount: int
) -> int:
    """Give back up to ``amount`` of what ``holds`` promise, last ones first; return how much.

    The holds are made smaller in place, those that promise nothing any more leave the list.
    """
    released = 0
    while holds and released < amount:
        last = holds[-1]
        part = min(last.amount, amount - released)
        release(journal, state, [Hold(last.bucket_id, part)])
        released += part
        last.amount -= part
        if not last.amount:
            holds.pop()
    return released


def take_units(
    journal: Journal, state: AccountLike, buckets: list[Bucket], released: Iterable[Hold],
    units: int, posting: Posting,
) -> list[Hold]:
    """Take up to ``units`` of free units: first what the session held, then what is available.

    ``released`` are the units given back just before, spent first and even from a bucket that
    expired meanwhile; what is taken of them is subtracted from them. Returns what was taken; the
    rest is to be paid with money.
    """
    taken: list[Hold] = []
    for entry in released:
        if units:
            bucket = _bucket(state, entry.bucket_id)
            units -= _take_held(journal, bucket, entry, units, posting, taken)
    for bucket in buckets:
        if not units:
            break
        units -= _take(journal, bucket, min(units, bucket.available), posting, taken)
    return taken


def take_money(
    journal: Journal, state: AccountLike, buckets: list[Bucket], amount_micro: int,
    posting: Posting, released: Iterable[Hold] = (),
) -> list[Hold]:
    """Debit ``amount_micro`` (>= 0) in full; the main bucket carries what others cannot (M-008).

    Bonus money among the holds that were ``released`` just before is spent although it expired.
    Flags the account when this leaves it beyond its credit limit (D05). A negative amount, from a
    price whose cumulative cost falls, is credited to the main bucket.
    """
    taken: list[Hold] = []
    if amount_micro < 0:
        _take(journal, main_bucket(state), amount_micro, posting, taken)
        return taken
    for entry in released:
        bucket = _bucket(state, entry.bucket_id)
        if bucket.unit == MONEY and bucket.name != MAIN_BUCKET and amount_micro:
            amount_micro -= _take_held(journal, bucket, entry, amount_micro, posting, taken)
    for bucket in buckets:
        if not amount_micro:
            return taken
        if bucket.name != MAIN_BUCKET and bucket.available > 0:
            amount_micro -= _take(
                journal, bucket, min(amount_micro, bucket.available), posting, taken
            )
    if amount_micro:
        bucket = main_bucket(state)
        _take(journal, bucket, amount_micro, posting, taken)
        account = state.account
        if (
            bucket.available + account.credit_limit_micro + state.purses_micro < 0
            and not account.flags & AccountFlag.OVER_USAGE
        ):
            account.flags |= AccountFlag.OVER_USAGE
            journal.mark_account(account)
    return taken


def sponsor(
    journal: Journal, state: AccountLike, amount_micro: int, posting: Posting, name: str
) -> None:
    """Have a sponsor pay a charge: his money enters the main bucket and leaves it at once (K-216).

    What an account has is the same before and after; a negative amount goes back to him.
    """
    bucket = main_bucket(state)
    contra, rule = posting.contra, posting.rule
    posting.contra, posting.rule = Contra.SPONSOR, name
    _take(journal, bucket, -amount_micro, posting, [])
    posting.contra, posting.rule = contra, rule
    _take(journal, bucket, amount_micro, posting, [])


def split_tax(
    journal: Journal, mark: int, posting: Posting, tax: Tax, before_micro: int, after_micro: int
) -> int:
    """Give the tax in the money moved since ``mark`` (a length of the journal) lines of its own.

    ``before_micro`` and ``after_micro`` are the cumulative charge around it (K-281). Returns it.
    """
    part_micro = tax.part_of(after_micro) - tax.part_of(before_micro)
    left = -part_micro
    for line in reversed(journal.movements[mark:]):
        if not left:
            break
        part = max(left, line.amount) if left < 0 else min(left, line.amount)
        left -= part
        if part == line.amount:
            line.contra = Contra.TAX
            continue
        line.amount -= part
        journal.movements.append(
            replace(line, line=posting.lines, contra=Contra.TAX, amount=part)
        )
        posting.lines += 1
    return part_micro


def credit(journal: Journal, bucket: Bucket, amount: int, posting: Posting) -> None:
    """Move ``amount`` from the posting's contra side into the bucket (negative: out of it)."""
    _take(journal, bucket, -amount, posting, [])


def expire(journal: Journal, bucket: Bucket, posting: Posting) -> int:
    """Take what is available in an expired bucket to the expiry side; held parts stay held."""
    amount = max(0, bucket.available)
    if amount:
        posting.contra = Contra.EXPIRY
        _take(journal, bucket, amount, posting, [])
    return amount


def undo(journal: Journal, state: AccountLike, mark: int) -> None:
    """Take back the movements of this request made since ``mark`` (a length of the journal)."""
    for movement in journal.movements[mark:]:
        _bucket(state, movement.bucket_id).available -= movement.amount
    del journal.movements[mark:]


def _take_held(
    journal: Journal, bucket: Bucket, entry: Hold, amount: int, posting: Posting,
    taken: list[Hold],
) -> int:
    part = _take(journal, bucket, min(amount, entry.amount), posting, taken)
    entry.amount -= part
    return part


def _take(
    journal: Journal, bucket: Bucket, amount: int, posting: Posting, taken: list[Hold]
) -> int:
    if not amount:
        return 0
    bucket.available -= amount
    journal.mark_bucket(bucket)
    journal.movements.append(
        Movement(
            bucket.account_id, posting.request_id, posting.lines, bucket.bucket_id, bucket.unit,
            posting.contra, -amount, posting.event_ns, posting.service, posting.rule,
            posting.zone, posting.slot_ns, posting.units_before, posting.units_after,
            posting.catalogue_version,
        )
    )
    posting.lines += 1
    taken.append(Hold(bucket.bucket_id, amount))
    return amount


def _bucket(state: AccountLike, bucket_id: int) -> Bucket:
    for bucket in state.buckets:
        if bucket.bucket_id == bucket_id:
            return bucket
    raise IntegrityError(
        f"account {state.account.account_id} has no bucket {bucket_id} although it is held"
    )
