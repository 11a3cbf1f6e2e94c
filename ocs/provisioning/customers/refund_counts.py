"""What an operator's refund takes out of limits, caps and bounds of buckets (K-218).

As a gateway's refund does: what went back was not used, in the periods that counted it. An amount
of money stands for its share of the units that it was charged for. Called by accounts.refund, in
the transaction of the posting.
"""

from collections.abc import Sequence

from ocs.amounts import MONEY, Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Period
from ocs.charging.counts import bucket_caps, limits
from ocs.charging.model.messages import ChargingRecord
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.errors import NotFoundError, RefusedError, UsageError
from ocs.ledger.account import Bucket, Contra, Movement
from ocs.provisioning.desk import Desk, find_subscriber
from ocs.store.ledger_reports import LedgerLine


def subscriber_of(desk: Desk, line: LedgerLine) -> int:
    """Return the member whose usage a line was for; 0 where that is not known any more."""
    try:
        found = find_subscriber(desk, line.request.record.identity)
    except (NotFoundError, RefusedError, UsageError):
        return 0
    return found.subscriber_id if found.account_id == line.movement.account_id else 0


def take_back(
    working_set: WorkingSet, state: AccountState, index: CatalogIndex, line: LedgerLine,
    siblings: Sequence[Movement], bucket: Bucket, amount: int, subscriber_id: int,
) -> None:
    """Count what was given back of a line as not used; ``siblings`` are all lines of its request.

    Nothing happens for what the catalogue or the plan of today does not know.
    """
    moved = line.movement
    plan = index.catalog.plans.get(state.account.plan)
    service = index.catalog.services.get(moved.service)
    if plan is None or service is None:
        return
    at_ns = _counted_ns(line.request.record, moved.service)
    is_money = bucket.unit == MONEY
    if not is_money and bucket.name in plan.bucket_caps:
        period = Period(plan.bucket_caps[bucket.name].period)
        period_ns, _ = index.periods.around(at_ns, period)
        bucket_caps.take_back(working_set, state.account, bucket.name, period_ns, amount)
    units = _units_of(moved, siblings, amount) if is_money else amount
    limits.give_back(
        working_set, state.account, plan, index.periods, service, subscriber_id, units,
        amount if is_money else 0, at_ns,
    )


def _counted_ns(record: ChargingRecord, service: str) -> int:
    """Return an instant (ns UTC) of the periods in which a charge was counted."""
    for one in record.charged:
        if one.service == service and one.counted_ns:
            return one.counted_ns
    return record.event_ns


def _units_of(moved: Movement, siblings: Sequence[Movement], amount_micro: int) -> int:
    """Return the units that an amount of a charge stands for, rounded down."""
    paid = -sum(
        one.amount for one in siblings
        if one.unit == Unit.MONEY and one.contra in (Contra.REVENUE, Contra.TAX)
        and (one.service, one.rule, one.zone, one.slot_ns, one.units_before, one.units_after)
        == (moved.service, moved.rule, moved.zone, moved.slot_ns, moved.units_before,
            moved.units_after)
    )  # fmt: skip
    units = moved.units_after - moved.units_before
    return units * min(amount_micro, paid) // paid if paid > 0 and units > 0 else 0
