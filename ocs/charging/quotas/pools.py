"""Credit pools: quotas of one session that are drawn on together (RFC 8506 5.1.2, 8.30; G16).

Every member holds the money of its own quota, so that the pool's total is held once. A member that
used more than its quota has drawn on the others: what they hold pays for it. A member that leaves
takes only what it used; its rest stays held for those that remain. Called by usage when a member
reports, by serving when all have, and by granting for a new grant.
"""

from __future__ import annotations

from collections.abc import Iterator

from ocs.catalog.pools import multiplier
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import PoolShare
from ocs.charging.model.session import QuotaState, Session
from ocs.charging.model.size import Size
from ocs.ledger import entries
from ocs.ledger.account import Bucket


def share(decision: Decision, part: Part, size: Size) -> None:
    """Put a grant into the pool of its service.

    One that free units pay for, or money that is for some services only, stays outside: nobody
    else could draw on it.
    """
    index, plan, quota = decision.index, decision.plan, part.quota
    assert index is not None
    assert plan is not None
    pool = index.catalog.pools.get(part.service.pool)
    common = {bucket.bucket_id for bucket in _common(part.money)}
    if pool is None or any(one.bucket_id not in common for one in size.holds):
        return
    price = index.rule(plan.code, part.service.code, quota.rule).price
    found = multiplier(pool, price)
    if found is not None:
        quota.pool = pool.number
        part.reply.pools += (PoolShare(pool.number, part.service.unit, *found),)


def enter(decision: Decision, part: Part, released_micro: int) -> None:
    """Note a member's report; its quota held ``released_micro`` until now."""
    part.pool, part.quota.pool = part.quota.pool, 0
    part.pool_left = released_micro
    decision.pooled.append(part)


def cover(decision: Decision, part: Part, amount_micro: int) -> None:
    """Before a member's usage is debited: let the others' shares pay for what exceeds its own."""
    missing = amount_micro - part.pool_left
    part.pool_left = max(0, -missing)
    for other in decision.pooled:
        if missing <= 0:
            return
        if other.pool == part.pool and other is not part:
            # It has reported in this request too, so its rest is free already.
            drawn = min(missing, other.pool_left)
            other.pool_left -= drawn
            missing -= drawn
    for quota in _members(decision.session, part.pool):
        if missing <= 0:
            return
        missing -= entries.release_some(
            decision.working_set, decision.state, quota.holds, missing
        )


def keep_rest(decision: Decision) -> None:
    """After all reports: hold what members that leave have not used for those that remain."""
    for part in decision.pooled:
        stays = part.asked.requested is not None and not part.ends
        if stays or not part.pool_left:
            continue
        heir = next(_members(decision.session, part.pool), None)
        if heir is None:
            continue
        money = _common(part.money)
        amount = min(part.pool_left, entries.available_micro(decision.state, money))
        if amount > 0:
            heir.holds = [*heir.holds, *entries.hold(decision.working_set, money, amount)]


def _members(session: Session | None, pool: int) -> Iterator[QuotaState]:
    """Yield the quotas that are in the pool still."""
    for quota in session.quotas if session is not None else ():
        if quota.pool == pool:
            yield quota


def _common(money: list[Bucket]) -> list[Bucket]:
    """Return the buckets that may pay for every service and member."""
    return [bucket for bucket in money if not bucket.services]
