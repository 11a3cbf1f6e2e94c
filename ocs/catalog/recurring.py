"""Fees and renewals that come back, and the periods they come back in (K-261 to K-263). Pure.

A period begins and ends at a time of the wall clock in the catalogue's time zone. A time that a
spring change skips is as much later as was skipped, of one that an autumn change repeats the first
is meant; a day that a month does not have is its last. Called by the loader,
charging.accounts.recurring and what shows schedules.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import IntEnum
from typing import NamedTuple

from ocs.amounts import round_half_up
from ocs.catalog.taxes import Tax

NS_PER_SECOND = 1_000_000_000
DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = 12
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Every(IntEnum):
    """What a period is counted in."""

    DAY = 0
    WEEK = 1
    MONTH = 2
    YEAR = 3


class Period(NamedTuple):
    """From when to when, end exclusive (ns UTC); and how many days it has on the wall clock."""

    start_ns: int
    end_ns: int
    days: int


@dataclass(frozen=True, slots=True)
class Cycle:
    """Periods of ``count`` days, weeks, months or years, one after the other.

    ``on`` None counts them from the instant something began, its anniversaries; else they are the
    calendar's: ``on`` is the weekday (0 = Monday), the day of the month, ``100 * month + day``, or
    0 for days, and they begin at ``minute`` of that day.
    """

    every: Every
    count: int = 1
    on: int | None = None
    minute: int = 0

    def period_at(self, instant_ns: int, anchor_ns: int, zone: tzinfo) -> Period:
        """Return the period that an instant is in.

        ``anchor_ns`` is where anniversaries are counted from; the calendar's do not look at it.
        """
        anchor = local_of(anchor_ns, zone)
        number = self._guess(local_of(instant_ns, zone), anchor)
        while self._begin_ns(number, anchor, zone) > instant_ns:
            number -= 1
        while self._begin_ns(number + 1, anchor, zone) <= instant_ns:
            number += 1
        start, end = self._begin(number, anchor), self._begin(number + 1, anchor)
        return Period(_ns_of(start, zone), _ns_of(end, zone), (end.date() - start.date()).days)

    def _guess(self, local: datetime, anchor: datetime) -> int:
        """Return the number of a period not far from ``local``."""
        origin = anchor.date() if self.on is None else date.min
        if self.every in (Every.DAY, Every.WEEK):
            days = (local.date() - origin).days
            return days // (self.count * (7 if self.every is Every.WEEK else 1))
        months = (local.year - origin.year) * _MONTHS + local.month - origin.month
        return months // self._months

    @property
    def _months(self) -> int:
        return self.count * (_MONTHS if self.every is Every.YEAR else 1)

    def _begin(self, number: int, anchor: datetime) -> datetime:
        """Return when a period begins on the wall clock; number 0 is the one of the origin."""
        if self.on is None:
            if self.every is Every.DAY:
                return anchor + number * self.count * DAY
            if self.every is Every.WEEK:
                return anchor + number * self.count * 7 * DAY
            month = anchor.year * _MONTHS + anchor.month - 1 + number * self._months
            return datetime.combine(_day_in(month, anchor.day), anchor.time())
        if self.every is Every.DAY:
            day = date.min + number * self.count * DAY
        elif self.every is Every.WEEK:
            # The first of January of the year 1 was a Monday.
            day = date.min + (7 * number * self.count + self.on) * DAY
        elif self.every is Every.MONTH:
            day = _day_in(_MONTHS + number * self.count, self.on)
        else:
            month, in_month = divmod(self.on, 100)
            day = _day_in((1 + number * self.count) * _MONTHS + month - 1, in_month)
        return datetime.combine(day, time(self.minute // 60, self.minute % 60))

    def _begin_ns(self, number: int, anchor: datetime, zone: tzinfo) -> int:
        return _ns_of(self._begin(number, anchor), zone)


class Unpaid(IntEnum):
    """What an account whose fee is unpaid may do meanwhile. The numbers are stored nowhere."""

    CONTINUE = 0
    """Whatever it can pay for without what the fee would have brought."""
    BAR = 1
    """Nothing that costs something."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """A fee, and the allowances that are renewed with it, at the beginning of each period."""

    code: str
    cycle: Cycle
    fee_micro: int = 0
    allowances: tuple[str, ...] = ()
    prorate: bool = False
    """Of a period that is cut short fee and allowances are as much as its days are."""
    retry_seconds: tuple[int, ...] = ()
    """When the fee is tried again, each after the time before."""
    unpaid: Unpaid = Unpaid.CONTINUE
    tax: Tax | None = None
    """A part of the fee."""


class Share(NamedTuple):
    """The part of a period that something is for."""

    period: Period
    days: int

    def of_money(self, fee_micro: int) -> int:
        """Return this part of a fee, rounded half up to a micro unit (K-263)."""
        return round_half_up(fee_micro * self.days, self.period.days)

    def of_units(self, amount: int) -> int:
        """Return this part of an allowance, rounded down."""
        return amount * self.days // self.period.days


def share_of(item: Recurring, start_ns: int, anchor_ns: int, zone: tzinfo) -> Share:
    """Return the part that is left at ``start_ns`` of the period it is in."""
    period = item.cycle.period_at(start_ns, anchor_ns, zone)
    days = days_left(start_ns, period, zone) if item.prorate else period.days
    return Share(period, days)


def cycle_text(cycle: Cycle) -> str:
    """Return a cycle in words."""
    name = cycle.every.name.lower()
    words = name if cycle.count == 1 else f"{cycle.count} {name}s"
    if cycle.on is None:
        return f"{words} from the first day"
    clock = f"at {cycle.minute // 60:02}:{cycle.minute % 60:02}"
    if cycle.every is Every.DAY:
        return f"{words} {clock}"
    if cycle.every is Every.WEEK:
        return f"{words} on {WEEKDAYS[cycle.on]} {clock}"
    if cycle.every is Every.MONTH:
        return f"{words} on day {cycle.on} {clock}"
    return f"{words} on {cycle.on // 100:02}-{cycle.on % 100:02} {clock}"


def local_of(instant_ns: int, zone: tzinfo) -> datetime:
    """Return what the wall clock shows at an instant, in whole seconds and without its zone."""
    instant = _EPOCH + timedelta(seconds=instant_ns // NS_PER_SECOND)
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def days_left(instant_ns: int, period: Period, zone: tzinfo) -> int:
    """Return how many days of a period are not over at an instant in it, a begun one counted."""
    end = local_of(period.end_ns, zone) - local_of(instant_ns, zone)
    return max(1, min(-(-end // DAY), period.days))


def days_unused(instant_ns: int, end_ns: int, zone: tzinfo) -> int:
    """Return how many whole days are left until the end of a period; 0 when it is over."""
    return max(0, (local_of(end_ns, zone) - local_of(instant_ns, zone)) // DAY)


def _day_in(month: int, day: int) -> date:
    """Return a day of a month (months since the year 0), the last where it has no such day."""
    year, index = divmod(month, _MONTHS)
    return date(year, index + 1, min(day, monthrange(year, index + 1)[1]))


def _ns_of(local: datetime, zone: tzinfo) -> int:
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    return (instant - _EPOCH) // timedelta(seconds=1) * NS_PER_SECOND
