"""Money in another currency becomes the account's own: two movements at an exact rate (K-323).

What comes in goes into a purse, a bucket of that currency, and out of it into the main bucket: at
once, or when it is needed (charging.accounts.purses). So every currency balances by itself. Called
by purses, provisioning.customers.accounts and provisioning.customers.vouchers. Pure.
"""

from __future__ import annotations

from ocs.catalog.exchange import Exchange, Rate, purse_currency, rate_of
from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Account, Bucket, Contra, Movement


def rate_for(account: Account, index: CatalogIndex | None, currency: str) -> Rate | None:
    """Return the rate at which the account's plan takes money in another currency, if it does."""
    plan = index.catalog.plans.get(account.plan) if index is not None else None
    if index is None or plan is None or plan.exchange is Exchange.NEVER:
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


def exchange(
    working_set: WorkingSet, state: AccountState, purse: Bucket, rate: Rate, amount_micro: int,
    posting: entries.Posting,
) -> int:
    """Move an amount out of the purse, and what it is worth into the main bucket; return that.

    Both lines name the rate, the second one says in ``units_after`` what was given for it.
    """
    own_micro = rate.exchanged(amount_micro)
    line = entries.Posting(
        posting.request_id, posting.event_ns, posting.now_ns, contra=Contra.EXCHANGE,
        rule=f"{rate.currency} {rate.text()}", lines=posting.lines,
    )  # fmt: skip
    entries.credit(working_set, purse, -amount_micro, line)
    line.units_after = amount_micro
    entries.credit(working_set, entries.main_bucket(state), own_micro, line)
    posting.lines = line.lines
    return own_micro


def problem_of(moved: list[Movement]) -> str:
    """Return what is wrong with the lines of a request's exchanges, two for each in their order;
    empty when they are right (K-326).
    """
    if len(moved) % 2:
        return f"an exchange has {len(moved)} lines, not one out of a purse and one for it"
    problems = (_pair_problem(*moved[at : at + 2]) for at in range(0, len(moved), 2))
    return next(filter(None, problems), "")


def _pair_problem(given: Movement, taken: Movement) -> str:
    if given.amount >= 0 or taken.amount <= 0 or given.rule != taken.rule:
        return "an exchange has 2 lines, not one out of a purse and one for it"
    try:
        own_micro = rate_of(taken.rule).exchanged(-given.amount)
    except ValueError:
        return f"an exchange was made at '{taken.rule}', which is no rate"
    if (taken.amount, taken.units_after) != (own_micro, -given.amount):
        return f"an exchange brought {taken.amount}, its rate {taken.rule} makes {own_micro}"
    return ""
