"""What a top-up brings besides its money: bonuses, promotions, and a longer life (K-220 to K-222).

All of it is in the transaction of the top-up, so it is given once with it. Called by
provisioning.customers.accounts and provisioning.customers.vouchers. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocs.amounts import Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.offers import Bonus
from ocs.charging.accounts import account_life, notices
from ocs.charging.model.decision import NS_PER_SECOND
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Contra


@dataclass(frozen=True, slots=True)
class Given:
    """One bonus of a top-up."""

    code: str
    unit: Unit
    amount: int
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Brought:
    """What a top-up brought besides its money."""

    given: tuple[Given, ...] = ()
    until_ns: int = 0
    """Until when it made the account valid; 0 = it changed nothing."""


def bring(
    working_set: WorkingSet, state: AccountState, index: CatalogIndex | None, amount_micro: int,
    posting: entries.Posting,
) -> Brought:
    """Give what the account's plan promises for a top-up that was credited by ``posting``."""
    account = state.account
    plan = index.catalog.plans.get(account.plan) if index is not None else None
    if index is None or plan is None or amount_micro <= 0:
        return Brought()
    now_ns = posting.now_ns
    given = []
    for bonus in plan.top_up_bonus:
        amount = bonus.given_for(amount_micro)
        if amount and _may_have(working_set, state, index, bonus, now_ns):
            given.append(_give(working_set, state, bonus, amount, posting))
    if any(one.expires_ns for one in given):
        notices.schedule(working_set, state, plan)
    until_ns = account_life.top_up(working_set, account, plan, amount_micro, now_ns)
    return Brought(tuple(given), until_ns)


def _may_have(
    working_set: WorkingSet, state: AccountState, index: CatalogIndex, bonus: Bonus, now_ns: int
) -> bool:
    """Tell whether a bonus may be given now, and count it where its promotion does."""
    if not bonus.promotion:
        return True
    promotions = index.catalog.promotions
    promotion = promotions.get(bonus.promotion)
    if promotion is None or not promotion.holds_at(now_ns):
        return False
    if not promotion.times:
        return True
    had = state.account.details.promotions
    name = f"{promotion.code}/{bonus.code}"
    if had.get(name, 0) >= promotion.times:
        return False
    # What the catalogue does not know any more is forgotten, so this does not grow.
    kept = {one: times for one, times in had.items() if one.partition("/")[0] in promotions}
    kept[name] = kept.get(name, 0) + 1
    state.account.details.promotions = kept
    working_set.mark_account(state.account)
    return True


def _give(
    working_set: WorkingSet, state: AccountState, bonus: Bonus, amount: int,
    posting: entries.Posting,
) -> Given:  # fmt: skip
    expires_ns = 0
    if bonus.expires_after_seconds:
        expires_ns = posting.now_ns + bonus.expires_after_seconds * NS_PER_SECOND
    bucket = Bucket(
        state.account.account_id, working_set.new_request_id(), bonus.unit, bonus.code,
        priority=bonus.priority, expires_ns=expires_ns, services=bonus.services,
    )  # fmt: skip
    working_set.add_bucket(bucket)
    contra, rule = posting.contra, posting.rule
    posting.contra, posting.rule = Contra.BONUS, bonus.code
    entries.credit(working_set, bucket, amount, posting)
    posting.contra, posting.rule = contra, rule
    return Given(bonus.code, bonus.unit, amount, expires_ns)
