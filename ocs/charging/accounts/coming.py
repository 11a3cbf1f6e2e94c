"""What will recur for an account if nothing changes: its next fees and renewals (K-264). Pure.

Called by provisioning.customers.schedules; what is due is done by recurring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.recurring import Recurring, share_of
from ocs.ledger.account import Account
from ocs.ledger.details import Recurrence


class Coming(NamedTuple):
    """Something that will be done for an account."""

    at_ns: int
    code: str
    fee_micro: int
    allowances: tuple[str, ...]
    until_ns: int
    """Where the period ends that it is for."""
    retry: bool
    """Whether it was due before and the balance was short."""


def coming(
    account: Account, index: CatalogIndex, count: int, then: Callable[[int], CatalogIndex | None]
) -> list[Coming]:
    """Return the next ``count`` things that recur for an account, if nothing changes.

    ``then`` is the catalogue of an instant of the past: what is tried again costs and brings what
    that of its period's beginning says, where it has the plan and the item (K-271).
    """
    found: list[Coming] = []
    zone = ZoneInfo(index.catalog.time_zone)
    for one in account.details.recurring:
        now = _item_of(index, account, one.code)
        if one.retry_ns:
            old = then(one.start_ns)
            due = _item_of(old, account, one.code) or now
            if due is not None:
                where = ZoneInfo(old.catalog.time_zone) if old is not None else zone
                found.append(_again(due, one, where))
        if now is not None:
            found += _coming(now, one, zone, count)
    return sorted(found, key=lambda one: one.at_ns)[:count]


def _item_of(index: CatalogIndex | None, account: Account, code: str) -> Recurring | None:
    plan = index.catalog.plans.get(account.details.recurring_plan) if index is not None else None
    items = plan.recurring if plan is not None else ()
    return next((item for item in items if item.code == code), None)


def _again(item: Recurring, one: Recurrence, zone: ZoneInfo) -> Coming:
    share = share_of(item, one.start_ns, one.anchor_ns, zone)
    fee_micro = share.of_money(item.fee_micro)
    return Coming(one.retry_ns, item.code, fee_micro, item.allowances, one.end_ns, retry=True)


def _coming(
    item: Recurring, one: Recurrence, zone: ZoneInfo, count: int
) -> Iterator[Coming]:
    start_ns = one.end_ns
    for _ in range(count):
        share = share_of(item, start_ns, one.anchor_ns, zone)
        end_ns = share.period.end_ns
        yield Coming(
            start_ns, item.code, share.of_money(item.fee_micro), item.allowances, end_ns,
            retry=False,
        )
        start_ns = end_ns
