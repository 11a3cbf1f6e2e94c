"""The ledger's verbs on the buckets of one account."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.errors import IntegrityError
from ocs.ledger import entries
from ocs.ledger.account import Account, AccountFlag, Bucket, Contra, Hold

AMOUNTS = st.integers(0, 1_000)


def account(*buckets: Bucket, limit: int = 0) -> tuple[WorkingSet, AccountState]:
    state = AccountState(Account(1, "EUR", "basic", credit_limit_micro=limit), list(buckets))
    return WorkingSet({1: state}, {}, {}, lambda: 1), state


def main(available: int) -> Bucket:
    return Bucket(1, 1, Unit.MONEY, entries.MAIN_BUCKET, available)


def bonus(available: int, bucket_id: int = 2, **more: object) -> Bucket:
    return Bucket(1, bucket_id, Unit.MONEY, "bonus", available, **more)  # type: ignore[arg-type]


def free(available: int, bucket_id: int = 3, **more: object) -> Bucket:
    return Bucket(1, bucket_id, Unit.OCTETS, "free", available, **more)  # type: ignore[arg-type]


def posting(contra: Contra = Contra.REVENUE) -> entries.Posting:
    return entries.Posting(7, 100, 200, contra)


def amounts(journal: WorkingSet) -> list[tuple[int, int, int]]:
    return [(line.line, line.bucket_id, line.amount) for line in journal.movements]


@pytest.mark.rule("M-007", "I-002")
def test_hold_and_release_move_nothing() -> None:
    purse = main(500)
    journal, state = account(purse, limit=100)
    holds = entries.hold(journal, [purse], 560)
    assert (purse.available, purse.held, purse.balance) == (-60, 560, 500)
    entries.release(journal, state, holds)
    assert (purse.available, purse.held) == (500, 0)
    assert journal.movements == []
    assert list(journal.changed_buckets) == [(1, 1)]


@pytest.mark.rule("M-012")
def test_a_hold_goes_through_the_buckets_in_order() -> None:
    gift, purse = bonus(30), main(50)
    journal, _ = account(purse, gift)
    assert entries.hold(journal, [gift, purse], 70) == [Hold(2, 30), Hold(1, 40)]
    assert entries.hold(journal, [gift, purse], 10) == [Hold(1, 10)]
    assert entries.hold(journal, [gift, purse], 0) == []


@pytest.mark.rule("I-002")
def test_more_than_is_held_cannot_be_released() -> None:
    journal, state = account(main(10))
    with pytest.raises(IntegrityError, match="holds less"):
        entries.release(journal, state, [Hold(1, 1)])
    with pytest.raises(IntegrityError, match="no bucket 9"):
        entries.release(journal, state, [Hold(9, 1)])


@pytest.mark.rule("M-012")
def test_spending_order() -> None:
    buckets = [
        main(1), bonus(1, 2, priority=5), bonus(1, 3, priority=5, expires_ns=900),
        bonus(1, 4, priority=1), bonus(1, 5, expires_ns=500), bonus(1, 6, services=("sms",)),
        bonus(1, 7, subscriber_id=8), bonus(1, 8, expires_ns=100), free(1, 9),
        bonus(1, 10, services=("data",), priority=9_000),
    ]
    _, state = account(*buckets)
    found = entries.spendable(state, Unit.MONEY, "data", 0, 100)
    assert [one.bucket_id for one in found] == [4, 3, 2, 5, 10, 1]
    found = entries.spendable(state, Unit.MONEY, "sms", 8, 100)
    assert [one.bucket_id for one in found] == [4, 3, 2, 5, 6, 7, 1]


@pytest.mark.rule("M-013")
def test_available_money() -> None:
    gift, purse = bonus(30), main(-20)
    _, state = account(purse, gift, limit=50)
    assert entries.available_micro(state, [gift, purse]) == 60
    assert entries.available_micro(state, [purse]) == 30
    gift.held, purse.held = 5, 7
    assert entries.money_balance(state) == (22, 12)


@pytest.mark.rule("M-008", "D05")
def test_a_debit_is_full_and_flags_what_is_beyond_the_limit() -> None:
    gift, purse = bonus(30), main(50)
    journal, state = account(purse, gift, limit=20)
    taken = entries.take_money(journal, state, [gift, purse], 100, posting())
    assert taken == [Hold(2, 30), Hold(1, 70)]
    assert amounts(journal) == [(0, 2, -30), (1, 1, -70)]
    assert (purse.available, state.account.flags, journal.changed_accounts) == (-20, 0, {})
    entries.take_money(journal, state, [gift, purse], 1, posting())
    assert (purse.available, state.account.flags) == (-21, AccountFlag.OVER_USAGE)
    assert list(journal.changed_accounts) == [1]
    assert entries.take_money(journal, state, [gift, purse], 0, posting()) == []


@pytest.mark.rule("M-004")
def test_a_falling_cost_is_credited_to_the_main_bucket() -> None:
    gift, purse = bonus(30), main(50)
    journal, state = account(purse, gift)
    entries.take_money(journal, state, [gift, purse], -5, posting())
    assert amounts(journal) == [(0, 1, 5)]
    assert purse.available == 55


@pytest.mark.rule("M-012", "M-010")
def test_units_held_are_taken_once_even_from_an_expired_bucket() -> None:
    gone, fresh = free(10, 3, expires_ns=50), free(4, 4)
    journal, state = account(main(0), gone, fresh)
    released = [Hold(3, 6)]
    assert entries.take_units(journal, state, [fresh], released, 5, posting()) == [Hold(3, 5)]
    taken = entries.take_units(journal, state, [fresh], released, 9, posting())
    assert taken == [Hold(3, 1), Hold(4, 4)]
    assert (gone.available, fresh.available) == (4, 0)
    assert released == [Hold(3, 0)]


@pytest.mark.rule("M-012")
def test_money_held_of_an_expired_bucket_is_taken_first() -> None:
    gone, purse = bonus(10, expires_ns=50), main(20)
    journal, state = account(purse, gone)
    released = [Hold(2, 6), Hold(1, 9)]
    taken = entries.take_money(journal, state, [purse], 8, posting(), released)
    assert taken == [Hold(2, 6), Hold(1, 2)]
    assert (gone.available, purse.available) == (4, 18)


@pytest.mark.rule("I-001")
def test_credit_and_expiry_name_the_other_side() -> None:
    gift = bonus(0, expires_ns=50)
    journal, _ = account(main(0), gift)
    entries.credit(journal, gift, 30, posting(Contra.TOP_UP))
    entries.credit(journal, gift, -10, posting(Contra.ADJUSTMENT))
    entries.hold(journal, [gift], 5)
    assert entries.expire(journal, gift, posting()) == 15
    assert entries.expire(journal, gift, posting()) == 0
    assert (gift.available, gift.held) == (0, 5)
    assert [(line.contra, line.amount) for line in journal.movements] == [
        (Contra.TOP_UP, 30), (Contra.ADJUSTMENT, -10), (Contra.EXPIRY, -15)
    ]


@pytest.mark.rule("M-014")
def test_undo_takes_back_what_came_after_the_mark() -> None:
    gift, purse = bonus(30), main(50)
    journal, state = account(purse, gift)
    entries.take_money(journal, state, [gift, purse], 10, posting())
    entries.take_money(journal, state, [gift, purse], 40, posting())
    entries.undo(journal, state, 1)
    assert (gift.available, purse.available) == (20, 50)
    assert amounts(journal) == [(0, 2, -10)]


def test_an_account_without_its_main_bucket_is_damaged() -> None:
    _, state = account(bonus(10))
    with pytest.raises(IntegrityError, match="no main bucket"):
        entries.main_bucket(state)


@pytest.mark.rule("I-001", "M-008")
@settings(deadline=None)
@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_taken_is_what_was_asked(
    purse_has: int, gift_has: int, held: int, amount: int
) -> None:
    gift, purse = bonus(gift_has), main(purse_has)
    journal, state = account(purse, gift)
    holds = entries.hold(journal, [gift, purse], held)
    before = purse.balance + gift.balance
    entries.release(journal, state, holds)
    taken = entries.take_money(journal, state, [gift, purse], amount, posting(), holds)
    assert sum(entry.amount for entry in taken) == amount
    assert purse.balance + gift.balance == before - amount
    assert sum(line.amount for line in journal.movements) == -amount
    assert gift.available >= 0
    assert (gift.held, purse.held) == (0, 0)
