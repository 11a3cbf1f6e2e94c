"""What must always add up for one account (section 5.2); used by the audit and by tests. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from ocs.amounts import Unit
from ocs.ledger.account import Account, AccountFlag, Bucket, Hold


def check_account(
    account: Account, buckets: Iterable[Bucket], moved: Mapping[int, int], holds: Iterable[Hold]
) -> list[str]:
    """Return every violation found, in words; empty when all is well.

    ``moved`` is the sum of movements by bucket id, ``holds`` those of the account's open sessions;
    what is held for their grants at counted prices is with the account's counters.
    """
    held: dict[int, int] = {}
    counted = (entry for counter in account.counters for entry in counter.holds)
    for entry in chain(holds, counted):
        held[entry.bucket_id] = held.get(entry.bucket_id, 0) + entry.amount
    problems = []
    money_available = 0
    known = set()
    for bucket in buckets:
        known.add(bucket.bucket_id)
        name = f"account {account.account_id} bucket {bucket.bucket_id} '{bucket.name}'"
        expected = moved.get(bucket.bucket_id, 0)
        if bucket.balance != expected:
            problems.append(f"{name}: balance {bucket.balance}, its movements sum to {expected}")
        sessions_hold = held.get(bucket.bucket_id, 0)
        if bucket.held != sessions_hold:
            problems.append(f"{name}: {bucket.held} held, its open sessions hold {sessions_hold}")
        if bucket.unit == Unit.MONEY:
            money_available += bucket.available
        elif bucket.available < 0:
            problems.append(f"{name}: {bucket.available} available, below zero")
    problems += [
        f"account {account.account_id}: bucket {bucket_id} does not exist"
        for bucket_id in sorted((moved.keys() | held.keys()) - known)
    ]
    if (
        money_available + account.credit_limit_micro < 0
        and not account.flags & AccountFlag.OVER_USAGE
    ):
        problems.append(
            f"account {account.account_id}: available money {money_available} is beyond the "
            f"credit limit {account.credit_limit_micro} without reported over-usage"
        )
    return problems
