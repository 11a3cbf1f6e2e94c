"""Time bands against a slow, obvious reference: every minute's wall clock is looked up."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocs.catalog.calendar import NS_PER_SECOND, Calendar, LocalClock, week_of
from ocs.catalog.model import BandSpan, TimeBand

ALL_WEEK = frozenset(range(7))
WORKDAYS = frozenset(range(5))
PEAK = TimeBand("peak", (BandSpan(WORKDAYS, 8 * 60, 20 * 60),))
NIGHT = TimeBand("night", (BandSpan(ALL_WEEK, 22 * 60, 6 * 60),))
SMALL_HOURS = TimeBand("small-hours", (BandSpan(ALL_WEEK, 150, 210),))
ZONES = ["Europe/Madrid", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
SPECIAL_DAYS = [
    datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2024, 3, 31, tzinfo=UTC),
    datetime(2024, 10, 27, tzinfo=UTC),
    datetime(2025, 3, 9, tzinfo=UTC),
    datetime(2025, 11, 2, tzinfo=UTC),
    datetime(2025, 4, 5, tzinfo=UTC),
    datetime(2024, 12, 31, tzinfo=UTC),
]


def ns(instant):
    return int((instant - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)) * NS_PER_SECOND


def at(text, zone="UTC", fold=0):
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return ns(local.astimezone(UTC))


def reference_band(bands, zone, instant):
    """The band by the definition of a span, on the wall clock of one instant."""
    local = instant.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    for band in bands:
        for span in band.spans:
            same_day = local.weekday() in span.weekdays
            day_before = (local.weekday() - 1) % 7 in span.weekdays
            if span.start_minute < span.end_minute:
                if same_day and span.start_minute <= minute < span.end_minute:
                    return band.name
            elif (same_day and minute >= span.start_minute) or (
                day_before and minute < span.end_minute
            ):
                return band.name
    return ""


def reference_slot(bands, zone, instant):
    name = reference_band(bands, zone, instant)
    start = instant.replace(second=0, microsecond=0)
    while reference_band(bands, zone, start - timedelta(minutes=1)) == name:
        start -= timedelta(minutes=1)
    end = instant.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while reference_band(bands, zone, end) == name:
        end += timedelta(minutes=1)
    return name, ns(start), ns(end)


instants = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds),
    st.sampled_from(SPECIAL_DAYS)
    | st.integers(0, 9000).map(
        lambda days: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days)
    ),
    st.integers(0, 86_399),
)
spans = st.builds(
    BandSpan,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 47).map(lambda half_hour: half_hour * 30),
    st.integers(0, 47).map(lambda half_hour: half_hour * 30),
)


@pytest.mark.rule("M-011")
@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), instant=instants, first=spans, second=spans)
@example("Europe/Madrid", datetime(2024, 10, 27, 0, 59, 59, tzinfo=UTC), *SMALL_HOURS.spans * 2)
@example("Europe/Madrid", datetime(2024, 3, 31, 1, 0, tzinfo=UTC), *SMALL_HOURS.spans * 2)
@example("America/New_York", datetime(2025, 11, 2, 6, 0, tzinfo=UTC), *NIGHT.spans, *PEAK.spans)
def test_slot_is_what_the_wall_clock_says(zone, instant, first, second):
    bands = (TimeBand("first", (first,)), TimeBand("second", (second,)))
    calendar = Calendar(bands, zone)
    if calendar.timeline.constant:
        expected = (reference_band(bands, zone, instant), 0, 0)
    else:
        expected = reference_slot(bands, zone, instant)
    assert calendar.band_at(ns(instant)) == expected


@pytest.mark.rule("M-011")
def test_night_of_the_spring_change_is_an_hour_shorter():
    name, start, end = Calendar((NIGHT,), "Europe/Madrid").band_at(
        at("2024-03-31T00:30", "Europe/Madrid")
    )
    assert name == "night"
    assert (end - start) // NS_PER_SECOND == 7 * 3600


@pytest.mark.rule("M-011")
def test_night_of_the_autumn_change_is_an_hour_longer():
    name, start, end = Calendar((NIGHT,), "America/New_York").band_at(
        at("2025-11-02T01:30", "America/New_York", fold=1)
    )
    assert name == "night"
    assert (end - start) // NS_PER_SECOND == 9 * 3600


@pytest.mark.rule("M-011")
def test_band_inside_the_repeated_hour_happens_twice():
    band = TimeBand("half", (BandSpan(frozenset({6}), 120, 150),))
    calendar = Calendar((band,), "Europe/Madrid")
    slots = [calendar.band_at(at("2024-10-27T02:10", "Europe/Madrid", fold)) for fold in (0, 1)]
    assert slots == [
        ("half", at("2024-10-27T00:00"), at("2024-10-27T00:30")),
        ("half", at("2024-10-27T01:00"), at("2024-10-27T01:30")),
    ]


@pytest.mark.rule("M-011")
def test_band_inside_the_skipped_hour_waits_a_week():
    band = TimeBand("half", (BandSpan(frozenset({6}), 120, 180),))
    calendar = Calendar((band,), "Europe/Madrid")
    assert calendar.band_at(at("2024-03-30T12:00")) == (
        "",
        at("2024-03-24T02:00"),
        at("2024-04-07T00:00"),
    )


def test_leap_day_is_a_day_like_others():
    calendar = Calendar((PEAK,), "Europe/Madrid")
    assert calendar.band_at(at("2024-02-29T12:00")) == (
        "peak",
        at("2024-02-29T07:00"),
        at("2024-02-29T19:00"),
    )


def test_end_is_exclusive_and_start_is_not():
    calendar = Calendar((PEAK,), "UTC")
    start, end = at("2024-01-01T08:00"), at("2024-01-01T20:00")
    assert [calendar.band_at(instant)[0] for instant in (start - 1, start, end - 1, end)] == [
        "",
        "peak",
        "peak",
        "",
    ]


def test_weekend_without_a_band_is_one_slot():
    calendar = Calendar((PEAK,), "UTC")
    assert calendar.band_at(at("2024-01-06T03:00")) == (
        "",
        at("2024-01-05T20:00"),
        at("2024-01-08T08:00"),
    )


def test_first_band_that_covers_an_instant_wins():
    assert week_of((PEAK, NIGHT))[8 * 60] == "peak"
    both = TimeBand("always", (BandSpan(ALL_WEEK, 0, 0),))
    assert set(week_of((PEAK, both))) == {"peak", "always"}
    assert set(week_of((both, PEAK))) == {"always"}


@pytest.mark.parametrize("bands", [(), (TimeBand("all", (BandSpan(ALL_WEEK, 0, 0),)),)])
def test_no_change_ever_gives_no_ends(bands):
    assert Calendar(bands, "UTC").band_at(at("2024-01-01T00:00"))[1:] == (0, 0)


def test_span_over_midnight_belongs_to_the_day_it_starts_on():
    band = TimeBand("friday-night", (BandSpan(frozenset({4}), 22 * 60, 6 * 60),))
    calendar = Calendar((band,), "UTC")
    assert calendar.band_at(at("2024-01-06T05:59"))[0] == "friday-night"
    assert calendar.band_at(at("2024-01-05T05:59"))[0] == ""


def test_sunday_night_runs_into_monday():
    band = TimeBand("late", (BandSpan(frozenset({6}), 23 * 60, 60),))
    assert Calendar((band,), "UTC").band_at(at("2024-01-08T00:30")) == (
        "late",
        at("2024-01-07T23:00"),
        at("2024-01-08T01:00"),
    )


@pytest.mark.parametrize("zone", ZONES)
def test_clock_agrees_with_the_time_zone_around_every_change_of_a_year(zone):
    clock, info = LocalClock(ZoneInfo(zone)), ZoneInfo(zone)
    for hour in range(366 * 24):
        instant = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=-1)
        second = ns(instant) // NS_PER_SECOND
        start, end, offset = clock.stretch(second)
        assert start <= second < end
        assert timedelta(seconds=offset) == instant.astimezone(info).utcoffset()
