"""Random catalogues, free units, caps and lives for races of the engine with its references.

They begin near clock changes, leap days and the ends of months. Used by race and its tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.limits import BucketCap, Limit
from ocs.catalog.model import (
    LIMIT,
    Allowance,
    BandSpan,
    Catalog,
    ChargeMode,
    Condition,
    Period,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    Tier,
    TimeBand,
)
from ocs.catalog.taxes import Tax
from ocs.ledger.details import Cap
from tests.support.slow_account import Heap
from tests.support.tariffs import IMS, PS, SMS

DAYS = {
    "Europe/Madrid": ((2026, 3, 29), (2026, 10, 25), (2028, 2, 29)),
    "America/Santiago": ((2026, 4, 4), (2026, 9, 6), (2026, 12, 31)),
    "Australia/Lord_Howe": ((2026, 4, 5), (2026, 10, 4), (2028, 2, 28)),
    "Africa/Casablanca": ((2026, 2, 15), (2026, 3, 22), (2026, 2, 28)),
    "Africa/Cairo": ((2026, 4, 24), (2026, 10, 29), (2026, 4, 30)),
    "America/Havana": ((2026, 3, 8), (2026, 11, 1), (2027, 2, 28)),
    "Asia/Kathmandu": ((2026, 12, 31), (2028, 2, 29), (2026, 6, 15)),
    "UTC": ((2028, 2, 29), (2026, 12, 31), (2026, 6, 15)),
}
"""Days on which a clock changes, some at midnight, and leap days and last days of months."""
MEMBERS = (11, 12)
PERIODS = (Period.DAY, Period.WEEK, Period.MONTH)
SOLD = (("data", Unit.OCTETS, PS), ("call", Unit.SECONDS, IMS), ("sms", Unit.EVENTS, SMS))
UNITS = [unit for _, unit, _ in SOLD]
HEAP_NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Step:
    """A client's next words, in one of its sessions."""

    session: int
    pause_s: int
    share: int
    """Percent of what it was granted that it has used."""
    wants: int
    ends: bool = False
    again: bool = False
    """The request comes twice."""


def plain_prices() -> st.SearchStrategy[Price]:
    """Return prices of one rate."""
    return st.builds(
        Price,
        rate_micro=st.integers(0, 30_000),
        per=st.sampled_from([1, 3, 7, 60]),
        increment=st.integers(1, 40),
        minimum=st.integers(0, 60),
        setup_micro=st.sampled_from([0, 0, 1, 150_000]),
    )


@st.composite
def tiered_prices(draw: st.DrawFn) -> Price:
    """Draw a price with tiers, or one with a maximum."""
    price = draw(plain_prices())
    ends = sorted(draw(st.sets(st.integers(1, 300), max_size=2)))
    tiers = tuple(
        Tier(end, draw(st.integers(0, 30_000)), draw(st.sampled_from([1, 7])),
             draw(st.sampled_from([0, 0, 90_000])))
        for end in [*ends, 0]
    )  # fmt: skip
    maximum = draw(st.sampled_from([None, None, 0, 400_000, 2_000_000]))
    if len(tiers) == 1:
        return replace(price, maximum_micro=maximum)
    return replace(
        price, rate_micro=tiers[0].rate_micro, per=tiers[0].per, tiers=tiers,
        volume=draw(st.booleans()), maximum_micro=maximum,
    )


@st.composite
def spans(draw: st.DrawFn, around: tuple[int, int, int]) -> BandSpan:
    """Draw a part of some weekdays, or of days around a special one."""
    days = (date(*around) - date(1970, 1, 1)).days
    minutes = st.one_of(st.integers(0, 23).map(lambda hour: hour * 60), st.integers(0, 1439))
    return BandSpan(
        frozenset(draw(st.sets(st.integers(0, 6), max_size=7))),
        draw(minutes), draw(minutes),
        frozenset(draw(st.sets(st.integers(days - 1, days + 1), max_size=2))),
    )


@st.composite
def limits(draw: st.DrawFn, code: str) -> Limit:
    """Draw a limit that ends usage or changes its price."""
    unit = draw(st.sampled_from([Unit.MONEY, *UNITS, Unit.OCTETS]))
    names = [name for name, own, _ in SOLD if unit in (Unit.MONEY, own)]
    services = draw(st.sets(st.sampled_from(names)))
    most = 1_500_000 if unit is Unit.MONEY else 500
    return Limit(
        code, unit, draw(st.integers(1, most)), draw(st.sampled_from(PERIODS)),
        tuple(sorted(services)), by_member=draw(st.booleans()),
        changes_price=unit is not Unit.MONEY and draw(st.booleans()),
    )


@st.composite
def rules(
    draw: st.DrawFn, code: str, bands: tuple[TimeBand, ...], labels: list[str]
) -> tuple[PriceRule, ...]:
    """Draw the price list of a service: by band, and once more behind each of some limits."""
    counted = draw(st.sampled_from([Period.SESSION, Period.SESSION, *Period]))
    # Seconds that run through bands have plain prices (K-005), and free minutes no others.
    clocked = code == "call" and not counted and bands
    prices = plain_prices() if clocked else st.one_of(plain_prices(), tiered_prices())
    by_member = bool(counted) and draw(st.booleans())
    sponsors = ["", "", "", "shop"] if not (clocked or counted) else [""]
    behind = [one for one in labels if draw(st.booleans())]
    return tuple(
        PriceRule(
            f"{code}{band}{label}", replace(draw(prices), counted=counted, by_member=by_member),
            band=band, when=(Condition(LIMIT, (label,)),) if label else (),
            sponsor=draw(st.sampled_from(sponsors)),
        )
        for label in ["", *behind]
        for band in ["", *(one.name for one in bands)]
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Catalog, int]:
    """Draw a catalogue, and when it is looked at: near the border of a day special in it."""
    zone = draw(st.sampled_from(sorted(DAYS)))
    around = draw(st.sampled_from(DAYS[zone]))
    bands = tuple(
        TimeBand(name, tuple(draw(st.lists(spans(around), min_size=1, max_size=2))))
        for name in draw(st.sampled_from([(), ("a",), ("a", "b")]))
    )
    codes = draw(st.sampled_from([(), ("l1",), ("l1", "l2")]))
    bounds = tuple(draw(limits(code)) for code in codes)
    services, terms = {}, {}
    for code, unit, context in SOLD:
        quota = QuotaPolicy(
            draw(st.integers(20, 200)), 400,
            validity_seconds=draw(st.sampled_from([60, 900, 7200])),
        )
        services[code] = Service(code, (context,), unit, quota, frozenset({1}))
        if draw(st.integers(0, 9)) == 9:
            terms[code] = ServiceTerms(code, ChargeMode.FREE)
            continue
        labels = [one.code for one in bounds if one.changes_price and one.unit is unit]
        tax = draw(st.sampled_from([None, Tax("vat", 21, 100), Tax("odd", 1, 3)]))
        found = draw(rules(code, bands, labels))
        terms[code] = ServiceTerms(code, ChargeMode.PRICED, found, tax=tax)
    allowances = tuple(
        Allowance(name, Unit.OCTETS, 1, at_most=BucketCap(
            draw(st.integers(1, 200)), draw(st.sampled_from(PERIODS))))
        for name in draw(st.sets(st.sampled_from(HEAP_NAMES)))
    )  # fmt: skip
    plan = Plan("basic", "Basic", terms, allowances, limits=bounds)
    catalog = Catalog("random", "EUR", zone, services, {"basic": plan}, bands=bands)
    local = datetime(*around, draw(st.integers(0, 23)), draw(st.integers(0, 59)),
                     tzinfo=ZoneInfo(zone))  # fmt: skip
    return catalog, int(local.timestamp()) + draw(st.integers(0, 59))


def steps(*, most: int = 100) -> st.SearchStrategy[list[Step]]:
    """Return lives; ``most``: percent of a grant that is used at most."""
    return st.lists(
        st.builds(
            Step,
            st.integers(0, 4),
            st.one_of(st.integers(0, 200), st.integers(0, 7200), st.just(86_400)),
            st.integers(0, most), st.integers(1, 400),
            st.sampled_from([False, False, False, True]),
            st.sampled_from([False, False, False, True]),
        ),
        min_size=1, max_size=14,
    )


def heaps() -> st.SearchStrategy[list[Heap]]:
    """Return free units of members or of all, some of one name."""
    heap = st.builds(
        Heap, st.sampled_from(HEAP_NAMES), st.sampled_from(UNITS),
        st.integers(1, 300), st.integers(0, 999), st.sampled_from([0, *MEMBERS]),
    )  # fmt: skip
    return st.lists(heap, max_size=4, unique_by=lambda one: one.priority)


def caps() -> st.SearchStrategy[tuple[Cap, ...]]:
    """Return what customers want to spend at most."""
    cap = st.builds(
        Cap, st.sampled_from(["one", "two"]), st.integers(1, 1_500_000),
        st.sampled_from([int(one) for one in PERIODS]),
        st.sets(st.sampled_from(["data", "call", "sms"])).map(lambda names: tuple(sorted(names))),
        st.sampled_from([0, *MEMBERS]),
    )  # fmt: skip
    return st.lists(cap, max_size=2, unique_by=lambda one: one.code).map(tuple)
