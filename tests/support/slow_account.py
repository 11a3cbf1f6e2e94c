"""An account charged as the document says, with no thought of speed, quotas or databases.

What the engine debits is compared with this. It asks the wall clock minute by minute, adds prices
up unit by unit (slow_rating), and knows nothing of grants: a report is charged at the price that
held when its quota was granted, seconds second by second from the first one that is paid. Nothing
is shared with the server but the values of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from ocs.amounts import Unit
from ocs.catalog.limits import Rollover
from ocs.catalog.model import Catalog, Period, PriceRule, TimeBand
from tests.support import slow_rating

MINUTE = 60
SLOT_MINUTES_MAX = 9 * 24 * 60
"""A rule that has held for so long is taken as one that always did."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)


@dataclass
class Heap:
    """Free units of one member, who has one session in the unit at a time: what is held for
    others is nobody's question here.
    """

    name: str
    unit: Unit
    amount: int
    priority: int
    member: int


@dataclass
class SlowQuota:
    """What one session has used of one service."""

    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    """Paid units by rule and the slot that they were granted in."""
    first_second: int | None = None
    """When the first paid second was."""
    paid_seconds: int = 0


class SlowAccount:
    """Money and free units; what is used costs what the catalogue says."""

    def __init__(self, catalog: Catalog, plan: str, heaps: list[Heap]) -> None:
        self.catalog = catalog
        self.plan = catalog.plans[plan]
        self.heaps = sorted(heaps, key=lambda heap: heap.priority)
        self.spent_micro = 0
        self.tax_micro = 0
        """How much of what was spent is tax."""
        self.limited: dict[tuple[str, int, date], int] = {}
        """What was used or spent of each limit, by member and period."""
        self._counts: dict[tuple[str, str, int, date], int] = {}
        self._zone = ZoneInfo(catalog.time_zone)

    def use(
        self, quota: SlowQuota, service: str, units: int, granted_s: int, reported_s: int,
        member: int,
    ) -> None:  # fmt: skip
        """Charge what one report says: free units first, the rest by its price."""
        spent = self.spent_micro
        self._use(quota, service, units, granted_s, reported_s, member)
        for limit in self.plan.limits:
            money = limit.unit is Unit.MONEY
            if (service in limit.services or not limit.services) and (
                money or limit.unit is self.catalog.services[service].unit
            ):
                day = self.period_of(Period(limit.period), granted_s)
                key = (limit.code, member if limit.by_member else 0, day)
                more = self.spent_micro - spent if money else units
                self.limited[key] = self.limited.get(key, 0) + more

    def _use(
        self, quota: SlowQuota, service: str, units: int, granted_s: int, reported_s: int,
        member: int,
    ) -> None:  # fmt: skip
        sold = self.catalog.services[service]
        free = self._take_free(sold.unit, member, units)
        paid = units - free
        terms = self.plan.terms[service]
        counted = any(rule.price.counted for rule in terms.rules)
        if sold.unit is Unit.SECONDS and not counted:
            if quota.first_second is None:
                # The call has run in one piece up to this report; the free seconds came first.
                quota.first_second = reported_s - units
            if not quota.paid_seconds:
                quota.first_second += free
            if paid:
                before = self._clocked(service, quota.first_second, quota.paid_seconds)
                quota.paid_seconds += paid
                after = self._clocked(service, quota.first_second, quota.paid_seconds)
                self._spend(service, before, after)
        elif paid:
            self._pay(quota, service, paid, granted_s, member)

    def event(self, service: str, units: int, at_s: int, member: int) -> None:
        """Charge an event, which is a session of its own."""
        self.use(SlowQuota(), service, units, at_s, at_s, member)

    def _take_free(self, unit: Unit, member: int, units: int) -> int:
        taken = 0
        for heap in self.heaps:
            if heap.unit is unit and heap.member == member:
                part = min(heap.amount, units - taken)
                heap.amount -= part
                taken += part
        return taken

    def _pay(
        self, quota: SlowQuota, service: str, units: int, granted_s: int, member: int
    ) -> None:
        rule = self.rule_at(service, granted_s)
        price = rule.price
        if price.counted:
            of = member if price.by_member else 0
            key = (service, rule.code, of, self.period_of(price.counted, granted_s))
            before = self._counts.get(key, 0)
            self._counts[key] = before + units
        else:
            slot = (rule.code, self.slot_of(service, granted_s))
            before = quota.counts.get(slot, 0)
            quota.counts[slot] = before + units
        cost = slow_rating.cost
        self._spend(service, cost(price, before), cost(price, before + units))

    def _spend(self, service: str, before_micro: int, after_micro: int) -> None:
        """Pay what a total rises by, and the tax of the total less that of the total before."""
        self.spent_micro += after_micro - before_micro
        tax = self.plan.terms[service].tax
        if tax is not None:
            rate = Fraction(tax.numerator, tax.denominator)
            parts = [Fraction(one) * rate / (1 + rate) for one in (before_micro, after_micro)]
            before, after = (one + Fraction(1, 2) for one in parts)
            self.tax_micro += after.numerator // after.denominator
            self.tax_micro -= before.numerator // before.denominator

    def _clocked(self, service: str, first_second: int, seconds: int) -> int:
        """Each increment costs the price of its first second; the first second's has setup and
        minimum (M-011).
        """
        if not seconds:
            return 0
        first = self.rule_at(service, first_second).price
        only = {rule.code for rule in self.plan.terms[service].rules}
        if len(only) == 1:
            return slow_rating.cost(first, seconds)
        total, billed_until = Fraction(0), 0
        for second in range(max(seconds, first.minimum)):
            if second < billed_until:
                continue
            price = self.rule_at(service, first_second + second).price
            billed = price.increment
            if second >= seconds:
                billed = min(billed, first.minimum - second)
            total += Fraction(billed * price.rate_micro, price.per)
            billed_until = second + billed
        exact = total + Fraction(1, 2)
        return first.setup_micro + exact.numerator // exact.denominator

    # ------------------------------------------------------------------------------ the clock

    def rule_at(self, service: str, second: int) -> PriceRule:
        """Return the price of a service at an instant (s since 1970)."""
        rules = self.plan.terms[service].rules
        band = self.band_at(second)
        named = [rule for rule in rules if rule.band == band and band]
        return (named or [rule for rule in rules if not rule.band])[0]

    def slot_of(self, service: str, second: int) -> int:
        """Return the minute in which the price began to hold, looking back minute by minute."""
        minute = second - second % MINUTE
        code = self.rule_at(service, second).code
        for back in range(SLOT_MINUTES_MAX):
            if self.rule_at(service, minute - back * MINUTE).code != code:
                return minute - (back - 1) * MINUTE
        return 0

    def band_at(self, second: int) -> str:
        """Return the first band that covers an instant."""
        return _band(self.catalog.bands, self._zone, second - second % MINUTE)

    def period_of(self, period: Period, second: int) -> date:
        """Return the first day of a day, week or month."""
        day = _local(self._zone, second).date()
        if period is Period.MONTH:
            return day.replace(day=1)
        return day - timedelta(days=day.weekday()) if period is Period.WEEK else day


def _local(zone: ZoneInfo, second: int) -> datetime:
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone)


@cache
def _band(bands: tuple[TimeBand, ...], zone: ZoneInfo, second: int) -> str:
    local = _local(zone, second)
    minute, today = local.hour * 60 + local.minute, local.date()
    for band in bands:
        for span in band.spans:
            over_midnight = span.end_minute <= span.start_minute
            days = [(today, span.start_minute, 1440 if over_midnight else span.end_minute)]
            if over_midnight:
                days.append((today - timedelta(days=1), 0, span.end_minute))
            for day, start, end in days:
                named = day.weekday() in span.weekdays or (day - _EPOCH_DAY).days in span.dates
                if named and start <= minute < end:
                    return band.name
    return ""


@dataclass
class Item:
    """A fee that comes back, and the heaps that it fills; ``days`` None: from the first day on."""

    every: str
    count: int
    day: int | None
    """Weekday from Monday = 0, or day of the month; 0 for days."""
    minute: int
    fee_micro: int
    fills: dict[str, int]
    keeps: dict[str, Rollover]
    """What is carried over of each; nothing of those that are not here."""
    unpaid: bool = False
    next_s: int = 0


class SlowPlan:
    """What recurring items do to money and heaps, by looking at every day of the calendar."""

    DAYS = 800

    def __init__(self, items: list[Item], time_zone: str, start_s: int, money_micro: int) -> None:
        self.items = items
        self.money_micro = money_micro
        self.heaps: dict[str, list[list[int]]] = {}
        """What is left of each period, the oldest first, and how often it was carried over."""
        self._zone = ZoneInfo(time_zone)
        self._first_s = start_s
        self.now_s = start_s
        for item in items:
            item.next_s = next(one for one in self._starts(item) if one > start_s)
            self._run(item)

    def go_to(self, second: int) -> None:
        """Run every period that begins until then, in order of time, then of the plan."""
        while True:
            due = min(self.items, key=lambda one: one.next_s)
            if due.next_s > second:
                break
            self.now_s = due.next_s
            due.next_s = next(one for one in self._starts(due) if one > self.now_s)
            self._run(due)
        self.now_s = second

    def pay_in(self, amount_micro: int) -> None:
        """Top up, which makes up for what could not be paid, in the plan's order."""
        self.money_micro += amount_micro
        for item in self.items:
            if item.unpaid:
                self._run(item, again=True)

    def _run(self, item: Item, *, again: bool = False) -> None:
        before = {name: self.heaps.get(name, []) for name in item.fills}
        for name in item.fills:
            # What is left of the period before is gone with it, unless it is carried over now.
            self.heaps[name] = []
        item.unpaid = item.fee_micro > 0 and self.money_micro < item.fee_micro
        if item.unpaid:
            return
        self.money_micro -= item.fee_micro
        for name, amount in item.fills.items():
            rule = item.keeps.get(name)
            kept: list[list[int]] = []
            if rule is not None and not again:
                kept = self._carry(rule, amount, before[name])
            self.heaps[name] = [*kept, [amount, 0]]

    @staticmethod
    def _carry(rule: Rollover, amount: int, left: list[list[int]]) -> list[list[int]]:
        kept, room = [], rule.maximum
        for units, times in reversed(left):
            if times >= rule.periods:
                continue
            part = min(units, amount * rule.percent // 100) if times == 0 else units
            if room is not None:
                part = min(part, room)
                room -= part
            if part:
                kept.append([part, times + 1])
        return kept[::-1]

    def take(self, name: str, units: int) -> int:
        """Use up to ``units`` of an allowance: what was carried over first; return how many."""
        taken = 0
        for heap in self.heaps.get(name, []):
            part = min(heap[0], units - taken)
            heap[0] -= part
            taken += part
        return taken

    def left(self, name: str) -> int:
        """Return what is left of an allowance."""
        return sum(units for units, _ in self.heaps.get(name, []))

    def _starts(self, item: Item) -> list[int]:
        return _starts(
            item.every, item.count, item.day, item.minute, self._first_s, self._zone, self.DAYS
        )


@cache
def _starts(
    every: str, count: int, day: int | None, minute: int, first_s: int, zone: ZoneInfo, days: int
) -> list[int]:
    first = _local(zone, first_s)
    found = []
    for number in range(-40, days):
        today = first.date() + timedelta(days=number)
        last = (today.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        months = (today.year - first.year) * 12 + today.month - first.month
        if day is None:
            begins = {
                "day": number >= 0 and number % count == 0,
                "week": number >= 0 and number % (7 * count) == 0,
                "month": months >= 0 and months % count == 0
                and today.day == min(first.day, last.day),
            }[every]
            at = first.time()
        else:
            begins = {
                "day": True, "week": today.weekday() == day,
                "month": today.day == min(day, last.day) and (today.month - 1) % count == 0,
            }[every]  # fmt: skip
            at = time(minute // 60, minute % 60)
        if begins:
            # A time that spring leaves out is read with the offset before: as much later.
            moment = datetime.combine(today, at.replace(fold=0), zone)
            found.append(int(moment.timestamp()))
    return found
