"""Periods that come back: month ends, leap days, clock changes, anniversaries."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.catalog.recurring import Cycle, Every, days_left, local_of

NS = 1_000_000_000
MADRID = ZoneInfo("Europe/Madrid")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC", "Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
        "Asia/Kathmandu", "Africa/Casablanca",
    )
]  # fmt: skip


def ns(text: str, zone: ZoneInfo = MADRID) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * NS


def begins(cycle: Cycle, first: str, count: int, zone: ZoneInfo = MADRID) -> list[str]:
    """The beginnings of the periods after an instant, which is the anchor too."""
    anchor = at = ns(first, zone)
    found = []
    for _ in range(count):
        at = cycle.period_at(at, anchor, zone).end_ns
        found.append(datetime.fromtimestamp(at // NS, zone).isoformat(timespec="minutes"))
    return found


@pytest.mark.rule("K-261")
@pytest.mark.parametrize(
    ("cycle", "first", "expected"),
    [
        (Cycle(Every.MONTH, on=31), "2024-01-10T12:00",
         ["2024-01-31T00:00+01:00", "2024-02-29T00:00+01:00", "2024-03-31T00:00+01:00",
          "2024-04-30T00:00+02:00"]),
        (Cycle(Every.MONTH, 3, on=1), "2025-01-10T12:00",
         ["2025-04-01T00:00+02:00", "2025-07-01T00:00+02:00", "2025-10-01T00:00+02:00"]),
        (Cycle(Every.WEEK, on=6, minute=150), "2025-03-26T00:00",
         ["2025-03-30T03:30+02:00", "2025-04-06T02:30+02:00"]),
        (Cycle(Every.WEEK, on=6, minute=150), "2025-10-20T00:00",
         ["2025-10-26T02:30+02:00", "2025-11-02T02:30+01:00"]),
        (Cycle(Every.DAY, on=0, minute=360), "2025-03-29T05:00",
         ["2025-03-29T06:00+01:00", "2025-03-30T06:00+02:00"]),
        (Cycle(Every.YEAR, on=229), "2023-06-01T00:00",
         ["2024-02-29T00:00+01:00", "2025-02-28T00:00+01:00", "2026-02-28T00:00+01:00"]),
    ],
)  # fmt: skip
def test_periods_of_the_calendar(cycle: Cycle, first: str, expected: list[str]) -> None:
    assert begins(cycle, first, len(expected)) == expected


@pytest.mark.rule("K-262")
@pytest.mark.parametrize(
    ("cycle", "first", "expected"),
    [
        (Cycle(Every.MONTH), "2025-01-31T10:15",
         ["2025-02-28T10:15+01:00", "2025-03-31T10:15+02:00", "2025-04-30T10:15+02:00"]),
        (Cycle(Every.YEAR), "2024-02-29T10:15",
         ["2025-02-28T10:15+01:00", "2026-02-28T10:15+01:00", "2027-02-28T10:15+01:00",
          "2028-02-29T10:15+01:00"]),
        (Cycle(Every.DAY, 30), "2025-03-15T10:15",
         ["2025-04-14T10:15+02:00", "2025-05-14T10:15+02:00"]),
        (Cycle(Every.WEEK, 2), "2025-03-20T23:59",
         ["2025-04-03T23:59+02:00", "2025-04-17T23:59+02:00"]),
        (Cycle(Every.MONTH, 2), "2024-12-31T00:00",
         ["2025-02-28T00:00+01:00", "2025-04-30T00:00+02:00"]),
    ],
)  # fmt: skip
def test_anniversaries_are_counted_from_the_first_day_and_do_not_drift(
    cycle: Cycle, first: str, expected: list[str]
) -> None:
    assert begins(cycle, first, len(expected)) == expected


def test_a_day_that_a_zone_left_out_begins_no_period_of_its_own() -> None:
    # Samoa had no 30 December 2011.
    apia = ZoneInfo("Pacific/Apia")
    found = begins(Cycle(Every.DAY, on=0), "2011-12-28T12:00", 3, apia)
    assert found == ["2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00"]


CYCLES = st.one_of(
    st.builds(Cycle, st.sampled_from(Every), st.integers(1, 40)),
    st.builds(Cycle, st.just(Every.DAY), st.just(1), st.just(0), st.integers(0, 1439)),
    st.builds(Cycle, st.just(Every.WEEK), st.just(1), st.integers(0, 6), st.integers(0, 1439)),
    st.builds(
        Cycle, st.just(Every.MONTH), st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(1, 31),
        st.integers(0, 1439),
    ),
    st.builds(
        Cycle, st.just(Every.YEAR), st.just(1), st.sampled_from([101, 229, 331, 1231]),
        st.integers(0, 1439),
    ),
)  # fmt: skip
SECONDS = st.integers(1_262_304_000, 2_524_608_000)


@pytest.mark.rule("K-261", "K-262")
@settings(max_examples=300, deadline=None)
@given(CYCLES, SECONDS, st.integers(0, 400 * 86_400), st.sampled_from(ZONES))
def test_every_instant_is_in_exactly_one_period(
    cycle: Cycle, anchor_s: int, later_s: int, zone: ZoneInfo
) -> None:
    anchor_ns, at_ns = anchor_s * NS, (anchor_s + later_s) * NS
    period = cycle.period_at(at_ns, anchor_ns, zone)
    assert period.start_ns <= at_ns < period.end_ns
    assert cycle.period_at(period.start_ns, anchor_ns, zone) == period
    assert cycle.period_at(period.end_ns - 1, anchor_ns, zone) == period
    following = cycle.period_at(period.end_ns, anchor_ns, zone)
    assert following.start_ns == period.end_ns
    assert 1 <= days_left(at_ns, period, zone) <= period.days
    assert days_left(period.start_ns, period, zone) == period.days


def slow_month_begins(on: int, zone: ZoneInfo, after_ns: int) -> int:
    """Look at every day until one is the day, or the last of its month before it."""
    day = local_of(after_ns, zone).date()
    while True:
        following = day + timedelta(days=1)
        if day.day == on or (day.day < on and following.month != day.month):
            midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
            if int(midnight.timestamp()) * NS > after_ns:
                return int(midnight.timestamp()) * NS
        day = following


@pytest.mark.rule("K-261")
@settings(max_examples=200, deadline=None)
@given(st.integers(1, 31), SECONDS, st.sampled_from(ZONES))
def test_months_begin_where_a_person_with_a_calendar_would_say(
    on: int, at_s: int, zone: ZoneInfo
) -> None:
    period = Cycle(Every.MONTH, on=on).period_at(at_s * NS, 0, zone)
    assert period.end_ns == slow_month_begins(on, zone, at_s * NS)


@pytest.mark.rule("K-263")
def test_a_begun_day_counts_whole() -> None:
    cycle = Cycle(Every.MONTH, on=1)
    march = cycle.period_at(ns("2025-03-01T00:00"), 0, MADRID)
    assert march.days == (date(2025, 4, 1) - date(2025, 3, 1)).days
    for text, left in (
        ("2025-03-01T00:00", 31), ("2025-03-01T23:59", 31), ("2025-03-02T00:00", 30),
        ("2025-03-30T01:30", 2), ("2025-03-30T23:00", 2), ("2025-03-31T23:59", 1),
    ):  # fmt: skip
        assert days_left(ns(text), march, MADRID) == left, text
