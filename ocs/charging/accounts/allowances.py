"""The free units and bonus money of a plan, put into an account. Pure.

Called when an account is opened or first used, when it gets another plan, and by renewals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocs.catalog.model import Allowance
from ocs.charging.model.decision import NS_PER_SECOND
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Contra


def grant_allowances(
    working_set: WorkingSet, account_id: int, allowances: Sequence[Allowance],
    posting: entries.Posting, new_id: Callable[[], int],
) -> list[Bucket]:
    """Give an account the free units of its plan: one bucket and one movement each."""
    posting.contra = Contra.ALLOWANCE
    buckets = []
    for allowance in allowances:
        expires_ns = 0
        if allowance.expires_after_seconds:
            expires_ns = posting.now_ns + allowance.expires_after_seconds * NS_PER_SECOND
        bucket = Bucket(
            account_id, new_id(), allowance.unit, allowance.code,
            priority=allowance.priority, expires_ns=expires_ns, services=allowance.services,
            measure=allowance.named.measure if allowance.named else "",
        )
        working_set.add_bucket(bucket)
        entries.credit(working_set, bucket, allowance.amount, posting)
        buckets.append(bucket)
    return buckets
