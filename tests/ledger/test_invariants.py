"""The audit of one account finds each way its books can be wrong, and nothing else."""

from __future__ import annotations

import pytest

from ocs.amounts import Unit
from ocs.ledger.account import Account, AccountFlag, Bucket, Hold
from ocs.ledger.invariants import check_account


def books() -> tuple[Account, list[Bucket], dict[int, int], list[Hold]]:
    account = Account(1, "EUR", "basic", credit_limit_micro=50)
    buckets = [
        Bucket(1, 1, Unit.MONEY, "main", available=-20, held=70),
        Bucket(1, 2, Unit.OCTETS, "free", available=3, held=4),
    ]
    return account, buckets, {1: 50, 2: 7}, [Hold(1, 30), Hold(1, 40), Hold(2, 4)]


def problem(*books: object) -> str:
    (found,) = check_account(*books)  # type: ignore[arg-type]
    return found


@pytest.mark.rule("I-001", "I-002", "I-003")
def test_sound_books() -> None:
    assert check_account(*books()) == []
    assert check_account(Account(1, "EUR", "basic"), [], {}, []) == []


@pytest.mark.rule("I-001")
def test_a_balance_that_its_movements_do_not_explain() -> None:
    account, buckets, moved, holds = books()
    assert "balance 50, its movements sum to 49" in problem(
        account, buckets, {**moved, 1: 49}, holds
    )
    assert "balance 7, its movements sum to 0" in problem(account, buckets, {1: 50}, holds)


@pytest.mark.rule("I-002", "I-007")
def test_holds_that_no_open_session_has() -> None:
    account, buckets, moved, holds = books()
    assert "70 held, its open sessions hold 40" in problem(account, buckets, moved, holds[1:])
    more = [*holds, Hold(2, 1)]
    assert "4 held, its open sessions hold 5" in problem(account, buckets, moved, more)


@pytest.mark.rule("I-001", "I-002")
@pytest.mark.parametrize(("moved", "holds"), [({9: 1}, []), ({}, [Hold(9, 1)])])
def test_a_bucket_that_does_not_exist(moved: dict[int, int], holds: list[Hold]) -> None:
    account, buckets, known, held = books()
    assert "bucket 9 does not exist" in problem(
        account, buckets, {**known, **moved}, [*held, *holds]
    )


@pytest.mark.rule("I-003", "D05")
def test_money_beyond_the_limit_needs_a_reported_over_usage() -> None:
    account, buckets, moved, holds = books()
    account.credit_limit_micro = 19
    assert "beyond the credit limit" in problem(account, buckets, moved, holds)
    account.flags = AccountFlag.OVER_USAGE
    assert check_account(account, buckets, moved, holds) == []


@pytest.mark.rule("I-004")
def test_free_units_below_zero() -> None:
    account, buckets, moved, holds = books()
    buckets[1].available, moved[2] = -1, 3
    assert "below zero" in problem(account, buckets, moved, holds)
