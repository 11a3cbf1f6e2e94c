"""Time bands on the clock: which band holds at an instant, and from when to when (rule M-011).

The clock is the wall clock of the catalogue's time zone with its daylight saving; instants and
durations are elapsed UTC. A wall-clock time that a spring change skips does not happen, one that
an autumn change repeats happens twice. Called by catalog.matching and, for offers, by reports.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from ocs.catalog.model import ALWAYS, TimeBand

Label = TypeVar("Label")

NS_PER_SECOND = 1_000_000_000
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
_HOUR = 3600
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_MONDAY = 3 * _DAY
"""Seconds from the Monday before 1 January 1970, a Thursday, to that day."""
_DAYS_REMEMBERED = 1024


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
    """A label for every minute of the week, repeated for ever on one wall clock."""

    __slots__ = ("_clock", "_labels", "_starts")

    def __init__(self, minutes: Iterable[tuple[int, Label]], clock: LocalClock) -> None:
        """Take (minute of the week, label from there on) pairs, ascending, the first at 0."""
        self._starts: list[int] = []
        self._labels: list[Label] = []
        self._clock = clock
        for minute, label in minutes:
            if not self._labels or self._labels[-1] != label:
                self._starts.append(minute * 60)
                self._labels.append(label)

    @property
    def constant(self) -> bool:
        """Whether the label never changes."""
        return len(self._labels) == 1

    def at(self, instant_ns: int) -> tuple[Label, int, int]:
        """Return the label at an instant and the whole time (ns, end exclusive) it holds around
        it; (label, 0, 0) when it never changes.
        """
        if len(self._labels) == 1:
            return self._labels[0], 0, 0
        second = instant_ns // NS_PER_SECOND
        label, start, end = self._piece(second)
        while True:
            before, earlier, _ = self._piece(start - 1)
            if before != label:
                break
            start = earlier
        while True:
            after, _, later = self._piece(end)
            if after != label:
                break
            end = later
        return label, start * NS_PER_SECOND, end * NS_PER_SECOND

    def relabel(self, labels: Mapping[Label, "Label2"]) -> "Timeline[Label2]":
        """Return the same week with other labels; neighbours that become equal become one."""
        pairs = zip(self._starts, self._labels, strict=True)
        return Timeline(((start // 60, labels[label]) for start, label in pairs), self._clock)

    def on(self, clock: LocalClock) -> "Timeline[Label]":
        """Return the same week on another clock."""
        pairs = zip(self._starts, self._labels, strict=True)
        return Timeline(((start // 60, label) for start, label in pairs), clock)

    def _piece(self, second: int) -> tuple[Label, int, int]:
        """Return label, start and end (s) of a time around ``second`` in which neither the label
        nor the clock's offset changes.
        """
        begin, finish, offset = self._clock.stretch(second)
        in_week = (second + offset + _MONDAY) % _WEEK
        index = bisect_right(self._starts, in_week) - 1
        ends = self._starts[index + 1] if index + 1 < len(self._starts) else _WEEK
        start = max(begin, second - in_week + self._starts[index])
        return self._labels[index], start, min(finish, second - in_week + ends)


Label2 = TypeVar("Label2")


class Calendar:
    """The time bands of a catalogue on the wall clock of its time zone."""

    __slots__ = ("_clocks", "timeline")

    def __init__(self, bands: Sequence[TimeBand], time_zone: str) -> None:
        """Raises ``zoneinfo.ZoneInfoNotFoundError`` when the zone does not exist."""
        clock = LocalClock(ZoneInfo(time_zone) if bands else UTC)
        self.timeline: Timeline[str] = Timeline(enumerate(week_of(bands)), clock)
        self._clocks: dict[str, Timeline[str]] = {}

    def band_at(self, instant_ns: int) -> tuple[str, int, int]:
        """Return (band name or "", start, end) in ns UTC, end exclusive.

        Start and end are 0 when the band never changes, so also when there are no bands.
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


def week_of(bands: Sequence[TimeBand]) -> list[str]:
    """Return the name of the band that holds in each minute of a week from Monday 00:00, "" where
    none does. The first band that covers a minute has it.
    """
    week = [ALWAYS] * WEEK_MINUTES
    for band in reversed(bands):
        for span in band.spans:
            length = (span.end_minute - span.start_minute) % DAY_MINUTES or DAY_MINUTES
            for weekday in span.weekdays:
                first = weekday * DAY_MINUTES + span.start_minute
                for minute in range(first, first + length):
                    week[minute % WEEK_MINUTES] = band.name
    return week
