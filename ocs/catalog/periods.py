"""Days, weeks and months on the wall clock of a catalogue: where a count begins and ends (K-201).

A period begins at local midnight; where a clock change skips it, with the first instant of the
day. Weeks begin on Monday. Called by catalog.tariffs for counted prices and by charging.counts.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from ocs.catalog.model import Period

NS_PER_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Periods:
    """The periods of one time zone."""

    __slots__ = ("_zone",)

    def __init__(self, time_zone: str) -> None:
        """Raises ``zoneinfo.ZoneInfoNotFoundError`` when the zone does not exist."""
        self._zone = ZoneInfo(time_zone)

    def around(self, instant_ns: int, period: Period) -> tuple[int, int]:
        """Return (start, end) of the period around an instant, in ns UTC, end exclusive.

        A session has no such bounds: 0, 0.
        """
        if not period:
            return 0, 0
        local = (_EPOCH + timedelta(seconds=instant_ns // NS_PER_SECOND)).astimezone(self._zone)
        return _bounds(self._zone, local.date(), period)


@lru_cache(maxsize=4096)
def _bounds(zone: ZoneInfo, day: date, period: Period) -> tuple[int, int]:
    if period is Period.DAY:
        first, following = day, day + timedelta(days=1)
    elif period is Period.WEEK:
        first = day - timedelta(days=day.weekday())
        following = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    return _midnight(zone, first), _midnight(zone, following)


def _midnight(zone: ZoneInfo, day: date) -> int:
    # A midnight that is skipped is read with the offset before the change: the change itself.
    # One that happens twice is read as the first.
    instant = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (instant - _EPOCH) // timedelta(seconds=1) * NS_PER_SECOND
