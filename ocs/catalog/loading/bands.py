"""Time bands of a catalogue file, and the calendars of public holidays they may name.

Called by loading.document.
"""

import re
from collections.abc import Mapping as AbstractMapping
from dataclasses import replace
from datetime import date

from ocs.catalog.calendar import DAY_MINUTES, day_of, week_of
from ocs.catalog.loading.values import check_code
from ocs.catalog.model import BandSpan, TimeBand
from ocs.marked import Mapping, Scalar, unknown_word

MAX_BANDS = 50
MAX_HOLIDAYS = 2_000
EVERY_CALENDAR = "holidays"
"""The word for the days of all calendars together."""
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Calendars = AbstractMapping[str, frozenset[int]]


def read_holidays(root: Mapping) -> dict[str, frozenset[int]]:
    """Return the days (since 1 January 1970) of every calendar of the file by name."""
    calendars: dict[str, frozenset[int]] = {}
    group = root.mapping("holidays")
    given = 0
    for key, _ in group.members():
        name = check_code(key, "calendar")
        if name in (*_WEEKDAYS, EVERY_CALENDAR):
            key.problem(f"'{name}' has a meaning of its own in days; give another name")
        days: dict[int, Scalar] = {}
        for scalar in group.scalars(key.text):
            day = scalar.parsed(_day, None)
            given += 1
            if given > MAX_HOLIDAYS:
                scalar.problem(f"there are more than {MAX_HOLIDAYS} holidays")
                return calendars
            if day is not None and (first := days.setdefault(day, scalar)) is not scalar:
                scalar.problem(
                    f"{scalar.describe()} is given twice; the first is in line {first.line}"
                )
        if not group.sequence(key.text):
            key.problem(f"calendar '{name}' has no days")
        calendars[name] = frozenset(days)
    return calendars


def _day(text: str) -> int | None:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError(text)
        return day_of(date.fromisoformat(text))
    except ValueError as error:
        raise ValueError(f"'{text}' is no day such as 2026-12-25") from error


def read_bands(root: Mapping) -> tuple[TimeBand, ...]:
    """Return the time bands in their order, their days resolved; without spans after a problem,
    so that nothing follows from times that nobody meant.
    """
    calendars = read_holidays(root)
    named: set[str] = set()
    bands: list[TimeBand] = []
    group = root.mapping("time_bands")
    for key, _ in group.members():
        name = check_code(key, "time band")
        if len(bands) >= MAX_BANDS:
            key.problem(f"there are more than {MAX_BANDS} time bands")
            break
        read = [_read_span(span, calendars, named) for span in group.mappings(key.text)]
        spans = tuple(span for span in read if span is not None)
        if not group.sequence(key.text):
            key.problem(f"time band '{name}' has no times")
        bands.append(TimeBand(name, spans if len(spans) == len(read) else ()))
    _warn_of_overlaps(group, bands)
    for name, key in root.mapping("holidays").keys.items():
        if all(band.spans for band in bands) and not named & {name, EVERY_CALENDAR}:
            key.problem(f"calendar '{name}' is used by no time band")
    return tuple(bands)


def _warn_of_overlaps(group: Mapping, bands: list[TimeBand]) -> None:
    """Warn of two bands of which neither is a part of the other: the first has what both cover.

    A band that covers all of another is what holds elsewhere, and holidays go before weekdays: both
    are meant so.
    """
    weeks = [_minutes(band) for band in bands]
    for later, week in enumerate(weeks):
        for earlier in range(later):
            both = week & weeks[earlier]
            if both and both != weeks[earlier] and both != week:
                key = group.keys[bands[later].name]
                key.warn(
                    f"time band '{key.text}' covers {_when(both)} too, which "
                    f"'{bands[earlier].name}' has because it stands before it"
                )


def _minutes(band: TimeBand) -> frozenset[int]:
    """Return the minutes of a week that a band covers by its weekdays."""
    weekly = TimeBand(band.name, tuple(replace(span, dates=frozenset()) for span in band.spans))
    return frozenset(minute for minute, name in enumerate(week_of((weekly,))) if name)


def _when(minutes: frozenset[int]) -> str:
    """Return the first stretch of some minutes of a week, such as ``mon 19:00-20:00``."""
    first = last = min(minutes)
    while last + 1 in minutes and (last + 1) % DAY_MINUTES:
        last += 1
    day, start = divmod(first, DAY_MINUTES)
    end = last - day * DAY_MINUTES + 1
    return f"{_WEEKDAYS[day]} {start // 60:02d}:{start % 60:02d}-{end // 60:02d}:{end % 60:02d}"


def _read_span(group: Mapping, calendars: Calendars, named: set[str]) -> BandSpan | None:
    """Return a span; None where its days or times are none."""
    weekdays: set[int] = set()
    dates: set[int] = set()
    sound = True
    for scalar in group.scalars("days"):
        named.add(scalar.text)
        if scalar.text in calendars:
            dates |= calendars[scalar.text]
        elif scalar.text == EVERY_CALENDAR and calendars:
            dates.update(*calendars.values())
        else:
            found = _weekdays(scalar, calendars)
            sound = sound and bool(found)
            weekdays.update(found)
    start = group.parsed("from", _minute, 0 if group.get("from") is None else None)
    end = group.parsed("to", _minute, DAY_MINUTES if group.get("to") is None else None)
    if start == DAY_MINUTES:
        group.problem("'from' is the end of the day; write 00:00 and the next day")
    elif start == end and start is not None:
        group.problem("'from' and 'to' are the same; write 00:00 and 24:00 for whole days")
    group.finish()
    given = group.get("days") is not None
    if given and not (sound and (weekdays or dates)):
        return None
    if start is None or end is None or start in (end, DAY_MINUTES):
        return None
    return BandSpan(frozenset(weekdays if given else range(7)), start, end, frozenset(dates))


def _weekdays(scalar: Scalar, calendars: Calendars) -> list[int]:
    """Return the weekdays of a name such as ``sat`` or of a range such as ``mon-fri``."""
    if _DATE.fullmatch(scalar.text):
        scalar.problem(
            f"{scalar.text} is a day and in no calendar that is named here; put it into one under "
            "holidays, and give the calendar's name"
        )
        return []
    first, dash, last = scalar.text.lower().partition("-")
    for word in (first, last) if dash else (first,):
        if word not in _WEEKDAYS:
            what = "no weekday, and no calendar under holidays"
            known = {*_WEEKDAYS, *calendars} | ({EVERY_CALENDAR} if calendars else set())
            scalar.problem(unknown_word(word, what, known))
            return []
    start, end = _WEEKDAYS.index(first), _WEEKDAYS.index(last if dash else first)
    return [(start + offset) % 7 for offset in range((end - start) % 7 + 1)]


def _minute(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no time of day from 00:00 to 24:00")
    return DAY_MINUTES if match[1] is None else int(match[1]) * 60 + int(match[2])
