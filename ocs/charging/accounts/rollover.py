"""What is left of an allowance when it is renewed: what carries over, how much and for how long.

Called by charging.accounts.recurring for each renewal (K-212, K-213). What is carried over stays in
the bucket it was in, which it only prolongs, so that no movement is needed for it; what is not
expires there. Of a renewal that is paid late the buckets may have expired: what did is remembered
with the unpaid period, and comes back with it (K-272).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ocs.catalog.limits import Rollover
from ocs.catalog.model import Allowance
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Account, Bucket, Contra
from ocs.ledger.details import Lapsed, Recurrence

LAPSED_MAX = 32
"""Expiries that an unpaid period remembers."""


class Left(NamedTuple):
    """A bucket of an earlier period with something in it."""

    bucket_id: int
    available: int
    """What nobody holds."""
    held: int = 0
    """What sessions may use still; it is never cut."""
    periods: int = 0
    """How often it was carried over before."""
    since: int = 0
    """The larger, the newer."""


class Carried(NamedTuple):
    """What becomes of such a bucket."""

    bucket_id: int
    kept: int
    """Of what is available; held units are kept besides."""
    expired: int
    periods: int
    """How often it was carried over now."""


def carry_over(rule: Rollover | None, amount: int, left: Iterable[Left]) -> list[Carried]:
    """Return what is kept of earlier periods when ``amount`` is given for a new one.

    The newest is kept first, up to the share of each bucket and the ceiling of all; what was
    carried over as often as the rule allows expires. Without a rule everything does. Held units
    count towards the ceiling.
    """
    ordered = sorted(left, key=lambda one: (-one.since, one.bucket_id))
    if rule is None:
        return [Carried(one.bucket_id, 0, one.available, one.periods) for one in ordered]
    room = None if rule.maximum is None else rule.maximum - sum(one.held for one in ordered)
    carried = []
    for one in ordered:
        kept = one.available if one.periods < rule.periods else 0
        if one.periods == 0:
            # Once carried over, all that is left of it has passed the share already.
            kept = min(kept, max(0, amount * rule.percent // 100 - one.held))
        if room is not None:
            kept = max(0, min(kept, room))
            room -= kept
        carried.append(
            Carried(one.bucket_id, kept, one.available - kept, one.periods + 1)
        )
    return carried


def remember_lapsed(working_set: WorkingSet, account: Account, bucket: Bucket, amount: int) -> None:
    """Remember what has just expired in a bucket that an unpaid renewal would have carried over."""
    for one in account.details.recurring:
        if (
            bucket.name in one.awaits
            and bucket.expires_ns == one.start_ns
            and len(one.lapsed) < LAPSED_MAX
        ):
            one.lapsed.append(Lapsed(bucket.bucket_id, bucket.name, amount))
            working_set.mark_account(account)


def carry(
    working_set: WorkingSet, state: AccountState, allowance: Allowance, one: Recurrence,
    end_ns: int, posting: entries.Posting,
) -> None:
    """Carry over what is left of an allowance where the period of its renewal begins.

    What is kept is good until ``end_ns``, and is spent before what the new period brings. Only what
    was good until this period began is left: a missed period carries nothing past itself (K-272).
    """
    measure = allowance.named.measure if allowance.named else ""
    lapsed: dict[int, int] = {}
    for gone in one.lapsed:
        if gone.name == allowance.code:
            lapsed[gone.bucket_id] = lapsed.get(gone.bucket_id, 0) + gone.amount
    buckets = {
        bucket.bucket_id: bucket for bucket in state.buckets
        if bucket.name == allowance.code
        and (bucket.unit, bucket.measure) == (allowance.unit, measure)
        and bucket.expires_ns == one.start_ns
        and (bucket.balance > 0 or bucket.bucket_id in lapsed)
    }  # fmt: skip
    account, known = state.account, state.account.details.carried
    left = [
        Left(number, bucket.available + lapsed.get(number, 0), bucket.held, times, -times)
        for number, bucket in buckets.items()
        for times in [known.get(number, 0)]
    ]
    for carried in carry_over(allowance.rollover, allowance.amount, left):
        bucket = buckets[carried.bucket_id]
        if change := carried.kept - bucket.available:
            posting.contra = Contra.EXPIRY
            entries.credit(working_set, bucket, change, posting)
        if carried.kept:
            bucket.expires_ns, bucket.asked = end_ns, False
            # The oldest first, whatever its bucket's number: it is the next to expire.
            bucket.priority = max(0, allowance.priority - carried.periods)
            working_set.mark_bucket(bucket)
    alive = {bucket.bucket_id for bucket in state.buckets if bucket.balance > 0}
    account.details.carried = {
        number: periods for number, periods in known.items()
        if number in alive and number not in buckets
    } | {
        was.bucket_id: known.get(was.bucket_id, 0) + 1
        for was in left if buckets[was.bucket_id].balance > 0
    }  # fmt: skip
    working_set.mark_account(account)
