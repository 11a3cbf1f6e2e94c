"""Time bands on the clock: which band holds at an instant, and from when to when (rule M-011).

The clock is the wall clock of the catalogue's time zone with its daylight saving; instants and
durations are elapsed UTC. A wall-clock time that a spring change skips does not happen, one that
an autumn change repeats happens twice. Called by catalog.matching and, for offers, by reports.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import chain
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from ocs.catalog.model import ALWAYS, TimeBand

Label = TypeVar("Label")
Label2 = TypeVar("Label2")

NS_PER_SECOND = 1_000_000_000
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
_HOUR = 3600
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_MONDAY = 3 * _DAY
"""Seconds from the Monday before 1 January 1970, a Thursday, to that day."""
_DAYS_REMEMBERED = 1024
NO_WEEKS: Mapping[int, Any] = MappingProxyType({})
_EPOCH = date(1970, 1, 1)


class LocalClock:
    """The offset of a time zone's wall clock from UTC, second by second.

    The offset is looked up once an hour and searched exactly where it changed in between; no zone
    has ever changed twice within one hour. Days are remembered, a bounded number of them.
    """

    __slots__ = ("_days", "_zone")

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._days: dict[int, tuple[tuple[int, int, int], ...]] = {}

    def stretch(self, second: int) -> tuple[int, int, int]:
        """Return (start, end, offset): the part of the UTC day around ``second`` (s since 1970)
        in which the wall clock shows UTC + ``offset`` seconds; ``end`` is exclusive.
        """
        day = second // _DAY
        stretches = self._days.get(day)
        if stretches is None:
            stretches = self._stretches(day * _DAY)
            if len(self._days) >= _DAYS_REMEMBERED:
                self._days.clear()
            self._days[day] = stretches
        for stretch in stretches:
            if second < stretch[1]:
                return stretch
        raise AssertionError("the stretches of a day cover it")  # pragma: no cover

    def _stretches(self, start: int) -> tuple[tuple[int, int, int], ...]:
        found = []
        begin, offset = start, self._offset(start)
        for hour in range(start + _HOUR, start + _DAY + 1, _HOUR):
            if hour < start + _DAY and (following := self._offset(hour)) != offset:
                change = self._change(hour - _HOUR, hour, offset)
                found.append((begin, change, offset))
                begin, offset = change, following
        found.append((begin, start + _DAY, offset))
        return tuple(found)

    def _change(self, low: int, high: int, offset: int) -> int:
        """Return the first second after ``low`` at which the offset is not ``offset``."""
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high

    def _offset(self, second: int) -> int:
        # An addition instead of fromtimestamp: instants before 1970 work on every platform.
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
        offset = instant.astimezone(self._zone).utcoffset()
        return offset // timedelta(seconds=1) if offset is not None else 0


class Timeline(Generic[Label]):
    """A label for every minute of the week, repeated for ever on one wall clock, but for weeks
    with public holidays, which have labels of their own.
    """

    __slots__ = ("_clock", "_labels", "_numbers", "_starts", "_weeks")

    def __init__(
        self,
        minutes: Iterable[tuple[int, Label]],
        clock: LocalClock,
        weeks: Mapping[int, Iterable[tuple[int, Label]]] = NO_WEEKS,
    ) -> None:
        """Take (minute of the week, label from there on) pairs, ascending, the first at 0.

        ``weeks`` has the same for single weeks; number 0 is the one of 1 January 1970.
        """
        self._starts, self._labels = _pieces(minutes)
        ordinary = self._starts, self._labels
        own = {number: _pieces(pairs) for number, pairs in weeks.items()}
        self._weeks = {number: week for number, week in own.items() if week != ordinary}
        self._numbers = sorted(self._weeks)
        self._clock = clock

    @property
    def constant(self) -> bool:
        """Whether the label never changes."""
        return len(self._labels) == 1 and not self._weeks

    def at(self, instant_ns: int) -> tuple[Label, int, int]:
        """Return the label at an instant and the whole time (ns, end exclusive) it holds around
        it; a start of 0 means since ever, an end of 0 for ever.
        """
        if len(self._labels) == 1 and not self._weeks:
            return self._labels[0], 0, 0
        second = instant_ns // NS_PER_SECOND
        label, start, end = self._piece(second)
        while start is not None:
            before, earlier, _ = self._piece(start - 1)
            if before != label:
                break
            start = earlier
        while end is not None:
            after, _, later = self._piece(end)
            if after != label:
                break
            end = later
        return label, (start or 0) * NS_PER_SECOND, (end or 0) * NS_PER_SECOND

    def relabel(self, labels: Mapping[Label, "Label2"]) -> "Timeline[Label2]":
        """Return the same weeks with other labels; neighbours that become equal become one."""
        return Timeline(
            _renamed(self._starts, self._labels, labels),
            self._clock,
            {number: _renamed(*week, labels) for number, week in self._weeks.items()},
        )

    def on(self, clock: LocalClock) -> "Timeline[Label]":
        """Return the same weeks on another clock."""
        same = {
            label: label
            for labels in (self._labels, *(own for _, own in self._weeks.values()))
            for label in labels
        }
        return Timeline(
            _renamed(self._starts, self._labels, same),
            clock,
            {number: _renamed(*week, same) for number, week in self._weeks.items()},
        )

    def _piece(self, second: int) -> tuple[Label, int | None, int | None]:
        """Return label, start and end (s) of a time around ``second`` in which neither the label
        nor the clock's offset changes. None: there is no start, or no end.
        """
        if len(self._labels) == 1 and (gap := self._gap(second)) is not None:
            return self._labels[0], *gap
        begin, finish, offset = self._clock.stretch(second)
        number, in_week = divmod(second + offset + _MONDAY, _WEEK)
        starts, labels = self._weeks.get(number) or (self._starts, self._labels)
        index = bisect_right(starts, in_week) - 1
        ends = starts[index + 1] if index + 1 < len(starts) else _WEEK
        start = max(begin, second - in_week + starts[index])
        return labels[index], start, min(finish, second - in_week + ends)

    def _gap(self, second: int) -> tuple[int | None, int | None] | None:
        """Return a time around ``second`` that is far from any week of its own on every clock, so
        that nobody walks over years of the same week; None where one is near.
        """
        index = bisect_right(self._numbers, (second + _MONDAY) // _WEEK)
        start = end = None
        if index:
            start = (self._numbers[index - 1] + 1) * _WEEK - _MONDAY + 2 * _DAY
        if index < len(self._numbers):
            end = self._numbers[index] * _WEEK - _MONDAY - 2 * _DAY
        if (start is None or start <= second) and (end is None or second < end):
            return start, end
        return None


def _pieces(minutes: Iterable[tuple[int, Label]]) -> tuple[list[int], list[Label]]:
    """Return where each label begins, in seconds of the week, and the labels."""
    starts: list[int] = []
    labels: list[Label] = []
    for minute, label in minutes:
        if not labels or labels[-1] != label:
            starts.append(minute * 60)
            labels.append(label)
    return starts, labels


def _renamed(
    starts: list[int], labels: list[Label], names: Mapping[Label, "Label2"]
) -> list[tuple[int, "Label2"]]:
    pairs = zip(starts, labels, strict=True)
    return [(start // 60, names[label]) for start, label in pairs]


class Calendar:
    """The time bands of a catalogue on the wall clock of its time zone."""

    __slots__ = ("_clocks", "timeline")

    def __init__(self, bands: Sequence[TimeBand], time_zone: str) -> None:
        """Raises ``zoneinfo.ZoneInfoNotFoundError`` when the zone does not exist."""
        clock = LocalClock(ZoneInfo(time_zone) if bands else UTC)
        self.timeline: Timeline[str] = Timeline(
            enumerate(week_of(bands)),
            clock,
            {number: enumerate(labels) for number, labels in weeks_of(bands).items()},
        )
        self._clocks: dict[str, Timeline[str]] = {}

    def band_at(self, instant_ns: int) -> tuple[str, int, int]:
        """Return (band name or "", start, end) in ns UTC, end exclusive.

        The start is 0 where the band has held since ever, the end where it does for ever; both
        are when there are no bands.
        """
        return self.timeline.at(instant_ns)

    def on_clock(self, offset: str) -> Timeline[str]:
        """Return the bands on a clock that is always ``offset`` ahead of UTC, such as +02:00."""
        timeline = self._clocks.get(offset)
        if timeline is None:
            hours, _, minutes = offset[1:].partition(":")
            ahead = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-ahead if offset[0] == "-" else ahead)
            timeline = self._clocks[offset] = self.timeline.on(LocalClock(zone))
        return timeline


def week_of(bands: Sequence[TimeBand], number: int | None = None) -> list[str]:
    """Return the name of the band that holds in each minute of a week from Monday 00:00, "" where
    none does. The first band that covers a minute has it.

    Without ``number`` it is the week without public holidays, else the week of that number.
    """
    week = [ALWAYS] * WEEK_MINUTES
    monday = 0 if number is None else number * 7 - _MONDAY // _DAY
    for band in reversed(bands):
        for span in band.spans:
            length = (span.end_minute - span.start_minute) % DAY_MINUTES or DAY_MINUTES
            for weekday in span.weekdays:
                first = weekday * DAY_MINUTES + span.start_minute
                _fill(week, first, first + length, band.name)
                _fill(week, first - WEEK_MINUTES, first + length - WEEK_MINUTES, band.name)
            # A span of the Sunday before may run over into this Monday.
            for day in () if number is None else range(-1, 7):
                if monday + day in span.dates:
                    first = day * DAY_MINUTES + span.start_minute
                    _fill(week, first, first + length, band.name)
    return week


def _fill(week: list[str], first: int, last: int, name: str) -> None:
    """Set the minutes from ``first`` up to ``last`` that are inside the week."""
    first, last = max(first, 0), min(last, WEEK_MINUTES)
    if first < last:
        week[first:last] = [name] * (last - first)


def weeks_of(bands: Sequence[TimeBand]) -> dict[int, list[str]]:
    """Return the same for every week that a public holiday touches, by its number."""
    days = set(chain.from_iterable(span.dates for band in bands for span in band.spans))
    numbers = {(day + after + _MONDAY // _DAY) // 7 for day in days for after in (0, 1)}
    return {number: week_of(bands, number) for number in sorted(numbers)}


def bands_that_hold(bands: Sequence[TimeBand]) -> set[str]:
    """Return the bands that ever hold, "" among them when there are times without one."""
    return set(week_of(bands)).union(*weeks_of(bands).values())


def day_of(day: date) -> int:
    """Return a day as what BandSpan.dates counts: days since 1 January 1970."""
    return (day - _EPOCH).days
