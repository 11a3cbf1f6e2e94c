"""The wall clock of a time zone, asked minute by minute: bands and periods for slow references."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from ocs.catalog.model import Period, TimeBand

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)


def local_time(zone: ZoneInfo, second: int) -> datetime:
    """Return what the clocks of a zone show at an instant (s since 1970)."""
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone)


def band_at(bands: tuple[TimeBand, ...], zone: ZoneInfo, second: int) -> str:
    """Return the first band that covers a minute; "" where none does."""
    local = local_time(zone, second)
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


def period_of(zone: ZoneInfo, period: Period, second: int) -> date:
    """Return the first day of the day, week or month that an instant (s since 1970) is in."""
    day = local_time(zone, second).date()
    if period is Period.MONTH:
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if period is Period.WEEK else day
