"""Public holidays in time bands, against a reference that looks at every minute's wall clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.catalog.calendar import NS_PER_SECOND, Calendar, bands_that_hold, day_of
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import BandSpan, TimeBand
from ocs.errors import DocumentError

ZONES = ["Europe/Madrid", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NIGHT = TimeBand("night", (BandSpan(frozenset(range(7)), 22 * 60, 6 * 60),))
LEAP_DAY, SPRING, AUTUMN = date(2024, 2, 29), date(2024, 3, 31), date(2024, 10, 27)
NEW_YEAR = date(2025, 1, 1)


def ns(instant):
    return int((instant - EPOCH) / timedelta(seconds=1)) * NS_PER_SECOND


def at(text, zone="UTC"):
    return ns(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def is_day(span, day):
    return day.weekday() in span.weekdays or (day - EPOCH.date()).days in span.dates


def reference_band(bands, zone, instant):
    """The band by the definition of a span, on the wall clock of one instant."""
    local = instant.astimezone(ZoneInfo(zone))
    today, yesterday = local.date(), local.date() - timedelta(days=1)
    minute = local.hour * 60 + local.minute
    for band in bands:
        for span in band.spans:
            over_midnight = span.end_minute <= span.start_minute
            if is_day(span, today) and minute >= span.start_minute and (
                over_midnight or minute < span.end_minute
            ):
                return band.name
            if over_midnight and is_day(span, yesterday) and minute < span.end_minute:
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


days = st.sampled_from([LEAP_DAY, SPRING, AUTUMN, NEW_YEAR]).flatmap(
    lambda day: st.integers(-8, 8).map(lambda offset: day + timedelta(days=offset))
)
minutes = st.integers(0, 47).map(lambda half_hour: half_hour * 30)
holiday_spans = st.builds(
    lambda dates, start, end: BandSpan(frozenset(), start, end, frozenset(map(day_of, dates))),
    st.frozensets(days, min_size=1, max_size=4),
    minutes,
    minutes,
)
instants = st.builds(
    lambda day, seconds: datetime(day.year, day.month, day.day, tzinfo=UTC)
    + timedelta(seconds=seconds),
    days,
    st.integers(0, 86_399),
)


def span_of(day, start=0, end=1440):
    return BandSpan(frozenset(), start, end, frozenset({day_of(day)}))


@pytest.mark.rule("K-010", "M-011")
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), instants, holiday_spans, holiday_spans)
@example("Europe/Madrid", datetime(2024, 3, 31, 0, 30, tzinfo=UTC), span_of(SPRING),
         span_of(LEAP_DAY))
@example("Europe/Madrid", datetime(2024, 10, 27, 12, tzinfo=UTC), span_of(AUTUMN, 1200, 1200),
         span_of(LEAP_DAY))
@example("Asia/Kolkata", datetime(2024, 2, 29, 3, tzinfo=UTC), span_of(LEAP_DAY),
         span_of(date(2024, 3, 1)))
def test_a_slot_is_what_the_wall_clock_says(zone, instant, first, second):
    bands = (TimeBand("first", (first,)), NIGHT, TimeBand("second", (second,)))
    assert Calendar(bands, zone).band_at(ns(instant)) == reference_slot(bands, zone, instant)


@pytest.mark.rule("K-010")
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), instants, holiday_spans)
def test_a_band_of_holidays_alone_is_right_too(zone, instant, span):
    bands = (TimeBand("holiday", (span,)),)
    name, start, end = Calendar(bands, zone).band_at(ns(instant))
    assert name == reference_band(bands, zone, instant)
    second = timedelta(seconds=1)
    for border, inside, outside in (
        (start, timedelta(0), -second), (end, -second, timedelta(0))
    ):
        if border:
            there = EPOCH + timedelta(seconds=border // NS_PER_SECOND)
            assert reference_band(bands, zone, there + inside) == name
            assert reference_band(bands, zone, there + outside) != name
        else:
            assert name == ""


@pytest.mark.rule("K-010")
def test_the_days_of_a_clock_change_are_shorter_and_longer():
    bands = (TimeBand("holiday", (span_of(SPRING), span_of(AUTUMN))),)
    calendar = Calendar(bands, "Europe/Madrid")
    lengths = [
        (end - start) // NS_PER_SECOND // 3600
        for name, start, end in map(
            calendar.band_at,
            (at("2024-03-31T12:00", "Europe/Madrid"), at("2024-10-27T12:00", "Europe/Madrid")),
        )
        if name == "holiday"
    ]
    assert lengths == [23, 25]


@pytest.mark.rule("K-010")
def test_before_the_first_and_after_the_last_holiday_nothing_changes():
    calendar = Calendar((TimeBand("holiday", (span_of(LEAP_DAY), span_of(NEW_YEAR))),), "UTC")
    assert calendar.band_at(at("1999-06-01T00:00")) == ("", 0, at("2024-02-29T00:00"))
    assert calendar.band_at(at("2024-07-01T00:00")) == (
        "", at("2024-03-01T00:00"), at("2025-01-01T00:00"),
    )
    assert calendar.band_at(at("2090-01-01T00:00")) == ("", at("2025-01-02T00:00"), 0)


@pytest.mark.rule("K-010")
def test_a_holiday_on_another_clock():
    calendar = Calendar((TimeBand("holiday", (span_of(LEAP_DAY),)),), "Europe/Madrid")
    _, start, end = calendar.on_clock("-05:00").at(at("2024-02-29T12:00"))
    assert (start, end) == (at("2024-02-29T05:00"), at("2024-03-01T05:00"))


TEXT = """\
name: Test
currency: EUR
time_zone: Europe/Madrid
holidays:
  national: [2026-01-01, 2026-12-25]
  local: [2026-01-02]
time_bands:
  holiday: {days: DAYS}
  night: {days: mon-fri, from: 22:00, to: 06:00}
services:
  call:
    contexts: 32260@3gpp.org
    default: true
    unit: seconds
    quota: {slice: 60 s}
plans:
  basic:
    services:
      call:
        prices:
          - {time_band: holiday, price: 1, per: 60, increment: 1}
          - {time_band: night, price: 2, per: 60, increment: 1}
          - {price: 3, per: 60, increment: 1}
"""


def load(text):
    return load_catalog(yamldoc.parse(text, "test.yaml"))


@pytest.mark.rule("K-010")
@pytest.mark.parametrize(
    "days,expected",
    [
        ("holidays", "hhhh-"),
        ("[local, national]", "hhhh-"),
        ("local", "nnhh-"),
        ("[national, tue]", "hhnn-"),
    ],
)
def test_days_name_calendars(days, expected):
    text = TEXT.replace("DAYS", days)
    for name in {"local", "national"} - set(days.strip("[]").replace(",", "").split()):
        if days != "holidays":
            text = "".join(line for line in text.splitlines(True) if f"  {name}:" not in line)
    index = CatalogIndex(load(text))
    terms = index.catalog.plans["basic"].terms["call"]
    said = ""
    for instant in ("01-01T00:30", "01-01T23:00", "01-02T00:30", "01-02T23:59", "01-04T12:00"):
        rule = index.tariff_at(terms, "", at(f"2026-{instant}", "Europe/Madrid")).rule
        assert rule is not None
        said += {"call.holiday": "h", "call.night": "n", "call": "-"}[rule.code]
    assert said == expected


@pytest.mark.rule("K-010")
def test_the_time_after_the_last_holiday_is_not_taken_for_all_times():
    night = "  night: {days: mon-fri, from: 22:00, to: 06:00}\n"
    price = "          - {time_band: night, price: 2, per: 60, increment: 1}\n"
    text = TEXT.replace("DAYS", "holidays").replace(night, "").replace(price, "")
    index = CatalogIndex(load(text))
    terms = index.catalog.plans["basic"].terms["call"]
    last = at("2026-12-26T00:00", "Europe/Madrid")
    for instant, code, end in (
        ("2027-05-01T12:00", "call", 0),
        ("2026-12-25T12:00", "call.holiday", last),
        ("2030-05-01T12:00", "call", 0),
        ("2025-05-01T12:00", "call", at("2026-01-01T00:00", "Europe/Madrid")),
    ):
        slot = index.tariff_at(terms, "", at(instant, "Europe/Madrid"))
        assert slot.rule is not None
        assert (slot.rule.code, slot.end_ns) == (code, end)


@pytest.mark.rule("K-010")
def test_a_plan_with_one_price_never_sees_a_switch():
    catalog = load(TEXT.replace("DAYS", "holidays"))
    timeline = Calendar(catalog.bands, "Europe/Madrid").timeline
    same = timeline.relabel(dict.fromkeys(bands_that_hold(catalog.bands), 7))
    assert same.constant
    assert same.at(at("2026-01-01T12:00")) == (7, 0, 0)


@pytest.mark.rule("K-011")
@pytest.mark.parametrize(
    "old,new,place,words",
    [
        ("DAYS", "easter", (8, 19), "no calendar under holidays"),
        ("DAYS", "national", (6, 3), "calendar 'local' is used by no time band"),
        ("2026-01-02", "2026-02-29", (6, 11), "is no day such as 2026-12-25"),
        ("2026-01-02", "02/01/2026", (6, 11), "is no day such as 2026-12-25"),
        ("2026-12-25", "2026-01-01", (5, 26), "is given twice"),
        ("  local: [2026-01-02]", "  mon: [2026-01-02]", (6, 3), "a meaning of its own"),
        ("  local: [2026-01-02]", "  local: []", (6, 3), "has no days"),
        ("  national: [2026-01-01, 2026-12-25]\n  local: [2026-01-02]", "", (7, 19),
         "no weekday"),
    ],
)
def test_every_mistake_has_its_place(old, new, place, words):
    text = TEXT.replace(old, new)
    with pytest.raises(DocumentError) as refusal:
        load(text.replace("DAYS", "holidays"))
    found = [(one.line, one.column, one.message) for one in refusal.value.problems]
    assert any((line, column) == place and words in message for line, column, message in found), (
        found
    )
