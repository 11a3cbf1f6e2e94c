"""Which limits hold for a service, where they are counted, and what is left of them (K-207).

Below decision, which asks for the limit that a price may look at, and limits, which does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

from ocs.amounts import MONEY
from ocs.catalog.limits import Limit
from ocs.catalog.model import Period, Plan, Service
from ocs.catalog.periods import Periods
from ocs.ledger.account import Account, Counter

Counted = tuple[Limit, str, int]
"""A limit, with code and subscriber of its counter."""


def of_service(
    plan: Plan | None, account: Account, service: Service, subscriber_id: int
) -> Iterator[Counted]:
    """Yield the plan's limits of a service, then the customer's own."""
    for limit in plan.limits if plan is not None else ():
        if _counts(limit, service):
            yield limit, f"limit:{limit.code}", subscriber_id if limit.by_member else 0
    for cap in account.details.caps_for(subscriber_id) if account.details.caps else ():
        if not cap.services or service.code in cap.services:
            limit = Limit(cap.code, MONEY, cap.amount_micro, cap.period, cap.services)
            yield limit, f"cap:{cap.code}", cap.subscriber_id


def _counts(limit: Limit, service: Service) -> bool:
    if limit.services and service.code not in limit.services:
        return False
    return limit.unit is MONEY or (
        limit.unit is service.unit and limit.measure == service.measure
    )


def counter_at(
    account: Account, periods: Periods, code: str, subscriber_id: int, period: int, at_ns: int
) -> Counter | None:
    """Return what the account has counted in the period around an instant, if it has."""
    period_ns, _ = periods.around(at_ns, Period(period))
    return account.counter(code, subscriber_id, period_ns)


def left(limit: Limit, counter: Counter | None) -> int:
    """Return what may be granted still, without what is granted to others."""
    if counter is None:
        return limit.amount
    if limit.unit is MONEY:
        return limit.amount - counter.charged_micro - counter.reserved_micro
    return limit.amount - counter.units - counter.granted


def covers(limit: Limit, counter: Counter, price: Counter) -> bool:
    """Tell whether all that is granted at a counted price is part of what a limit counts.

    A limit of one member with a price that counts all of them together is not such a case: what
    his units cost depends on what the others report first, so each grant claims what it costs at
    most wherever in the count it is used (K-219).
    Where a period of the price began before that of the limit, what was granted in the one before
    counts too until it is reported, which it is when the limit's period ends.
    """
    if counter.subscriber_id not in (0, price.subscriber_id):
        return False
    if limit.services and price.code.split("/")[1] not in limit.services:
        return False
    return (not counter.ends_ns or price.period_ns < counter.ends_ns) and (
        not price.ends_ns or counter.period_ns < price.ends_ns
    )


def reached(
    plan: Plan | None, account: Account, periods: Periods, service: Service, subscriber_id: int,
    at_ns: int,
) -> str:
    """Return the last of the plan's limits that is used up or granted, and changes prices."""
    found = ""
    for limit, code, member in of_service(plan, account, service, subscriber_id):
        if limit.changes_price:
            counter = counter_at(account, periods, code, member, limit.period, at_ns)
            if left(limit, counter) <= 0:
                found = limit.code
    return found
