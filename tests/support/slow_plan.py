"""Fees and renewals of a plan, found by walking through the calendar day by day: slow, obvious.

What the server debits and gives at each period is compared with this. Nothing is shared with the
server but the values of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from ocs.catalog.limits import Rollover
from tests.support.slow_clock import local_time


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
    prorate: bool = False
    """A first period that the calendar cuts short costs and brings as much as its days are."""
    unpaid: bool = False
    next_s: int = 0
    began_s: int = 0
    """When the period began that was run last, for this account."""
    paid_micro: int = 0
    before: dict[str, list[list[int]]] = field(default_factory=dict)
    """What was left of each when the period began, paid late or not."""


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
            item.began_s = start_s
            item.next_s = next(one for one in self._starts(item) if one > start_s)
            self._run(item)

    def go_to(self, second: int) -> None:
        """Run every period that begins until then, in order of time, then of the plan."""
        while True:
            due = min(self.items, key=lambda one: one.next_s)
            if due.next_s > second:
                break
            self.now_s = due.next_s
            due.began_s = self.now_s
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
        if not again:
            item.before = {name: self.heaps.get(name, []) for name in item.fills}
        for name in item.fills:
            # What is left of the period before is gone with it, unless it is carried over now.
            self.heaps[name] = []
        left, whole = self._days(item)
        fee_micro = (2 * item.fee_micro * left + whole) // (2 * whole)
        item.unpaid, item.paid_micro = fee_micro > 0 and self.money_micro < fee_micro, 0
        if item.unpaid:
            return
        self.money_micro -= fee_micro
        item.paid_micro = fee_micro
        for name, full in item.fills.items():
            rule = item.keeps.get(name)
            kept: list[list[int]] = []
            if rule is not None:
                kept = self._carry(rule, full, item.before[name])
            self.heaps[name] = [*kept, [full * left // whole, 0]]

    def leave(self) -> None:
        """Leave the plan: prorated fees give back what they paid for days that do not begin."""
        for item in self.items:
            if item.prorate and item.paid_micro:
                unused = self._walk(self.now_s, item.next_s, whole=True)
                days, _ = self._days(item)
                self.money_micro += item.paid_micro * min(unused, days) // days

    def _days(self, item: Item) -> tuple[int, int]:
        """Return how many days a period has from where it began for the account, and in all."""
        first_s = max(one for one in self._starts(item) if one <= item.began_s)
        # An hour that spring leaves out makes no period longer by a day.
        first, end = (local_time(self._zone, one).date() for one in (first_s, item.next_s))
        whole = (end - first).days
        left = self._walk(item.began_s, item.next_s) if item.prorate else whole
        return max(1, min(left, whole)), whole

    def _walk(self, from_s: int, until_s: int, *, whole: bool = False) -> int:
        """Count the days, by the clock on the wall, that begin before an instant, or are over."""
        here, end = (
            local_time(self._zone, one).replace(tzinfo=None) for one in (from_s, until_s)
        )
        day, days = timedelta(days=1), 0
        while here + day <= end:
            here, days = here + day, days + 1
        return days if whole or here == end else days + 1

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
    first = local_time(zone, first_s)
    found = []
    for number in range(-100, days):
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
