"""Money in another currency becomes the account's own: two movements at an exact rate (K-323).

What comes in goes into a purse, a bucket of that currency, and out of it into the main bucket in
the same transaction; so every currency balances by itself, and a purse is empty between
transactions. Called by provisioning.customers.accounts and provisioning.customers.vouchers. Pure.
"""

from __future__ import annotations

from ocs.amounts import EVENTS
from ocs.catalog.exchange import Exchange, Rate, purse_currency, purse_unit, rate_of
from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Account, Bucket, Contra, Movement

LINE_IN = 2
"""The line of a top-up's request that says what came into the main bucket."""


def rate_for(account: Account, index: CatalogIndex | None, currency: str) -> Rate | None:
    """Return the rate at which the account's plan takes money in another currency, if it does."""
    plan = index.catalog.plans.get(account.plan) if index is not None else None
    if index is None or plan is None or plan.exchange is not Exchange.AT_TOP_UP:
        return None
    if index.catalog.currency != account.currency:
        return None
    return index.catalog.currencies.get(currency)


def refusal(account: Account, index: CatalogIndex | None, currency: str) -> str:
    """Return why the account takes no money in another currency; empty when it does."""
    if rate_for(account, index, currency) is not None:
        return ""
    kept = f"account {account.account_id} is kept in {account.currency}, and its plan"
    return f"{kept} '{account.plan}' takes no {currency}"


def is_purse(bucket: Bucket) -> bool:
    """Tell whether a bucket keeps money in another currency."""
    return bool(bucket.name) and purse_currency(bucket.measure) == bucket.name


def purse_of(working_set: WorkingSet, state: AccountState, currency: str) -> Bucket:
    """Return the account's purse of a currency; the first time it is made."""
    for bucket in state.buckets:
        if bucket.name == currency and is_purse(bucket):
            return bucket
    bucket = Bucket(
        state.account.account_id, working_set.new_request_id(), EVENTS, currency,
        measure=purse_unit(currency).measure,
    )  # fmt: skip
    working_set.add_bucket(bucket)
    return bucket


def exchange(
    working_set: WorkingSet, state: AccountState, purse: Bucket, rate: Rate, amount_micro: int,
    posting: entries.Posting,
) -> int:
    """Move an amount out of the purse, and what it is worth into the main bucket; return that.

    Both lines name the rate, the second one says in ``units_after`` what was given for it.
    """
    own_micro = rate.exchanged(amount_micro)
    contra, rule, given = posting.contra, posting.rule, posting.units_after
    posting.contra = Contra.EXCHANGE
    posting.rule = f"{rate.currency} {rate.text()}"
    entries.credit(working_set, purse, -amount_micro, posting)
    posting.units_after = amount_micro
    entries.credit(working_set, entries.main_bucket(state), own_micro, posting)
    posting.contra, posting.rule, posting.units_after = contra, rule, given
    return own_micro


def problem_of(moved: list[Movement]) -> str:
    """Return what is wrong with the two lines of an exchange; empty when they are right (K-326)."""
    given = [one for one in moved if one.amount < 0]
    taken = [one for one in moved if one.amount > 0]
    if len(given) != 1 or len(taken) != 1 or given[0].rule != taken[0].rule:
        return f"an exchange has {len(moved)} lines, not one out of a purse and one for it"
    try:
        own_micro = rate_of(taken[0].rule).exchanged(-given[0].amount)
    except ValueError:
        return f"an exchange was made at '{taken[0].rule}', which is no rate"
    if (taken[0].amount, taken[0].units_after) != (own_micro, -given[0].amount):
        return f"an exchange brought {taken[0].amount}, its rate {taken[0].rule} makes {own_micro}"
    return ""
