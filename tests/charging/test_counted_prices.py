"""Prices that count over days, weeks and months: totals, grants that share a count, late usage."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.model import (
    Catalog,
    ChargeMode,
    Period,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    Tier,
)
from ocs.charging.counts import counters
from ocs.charging.model.session import Claim
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import COUNTERS_MAX, Account, AccountFlag, Counter
from tests.support import slow_rating
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.ledger_rows import make_session
from tests.support.tariffs import PS

DAY = 86_400
RISING = Price(
    0, counted=Period.DAY, tiers=(Tier(100, 0), Tier(0, 10_000)), increment=10
)
"""The first 100 of a day cost nothing."""
FALLING = Price(
    50_000, counted=Period.MONTH, increment=10, setup_micro=300_000,
    tiers=(Tier(100, 50_000), Tier(0, 20_000, flat_micro=70_000)), maximum_micro=12_000_000,
)
VOLUME = Price(
    50_000, counted=Period.WEEK, increment=10, tiers=(Tier(100, 50_000), Tier(0, 20_000)),
    volume=True,
)
FINE = Price(1, per=7, counted=Period.DAY)
"""A seventh of a micro unit for each unit."""
DAY_PASS = Price(0, setup_micro=2_000_000, counted=Period.DAY)


def make_catalog(
    price: Price, unit: Unit = Unit.OCTETS, time_zone: str = "UTC", slice_units: int = 100,
    validity: int = 3600,
) -> Catalog:
    quota = QuotaPolicy(slice_units, 1_000, validity_seconds=validity)
    service = Service("data", (PS,), unit, quota, frozenset({100, 101}))
    terms = {"data": ServiceTerms("data", ChargeMode.PRICED, (PriceRule("data", price),))}
    return Catalog(
        "counted", "EUR", time_zone, {"data": service}, {"basic": Plan("basic", "Basic", terms)}
    )


def play(text: str, price: Price, unit: Unit = Unit.OCTETS, **account: object) -> Scenario:
    scenario = Scenario(make_catalog(price, unit), unit=unit, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def counter_of(scenario: Scenario, index: int = 0) -> Counter:
    return scenario.load()[0].counters[index]


@pytest.mark.rule("K-200", "M-003")
@pytest.mark.parametrize("unit", [Unit.OCTETS, Unit.SECONDS, Unit.EVENTS])
def test_a_count_goes_on_in_the_next_session(unit: Unit) -> None:
    scenario = play(
        """
        I 0 @a 100 rsu=60         => 100 ok 60 | B=1.00 R=0
        T 1 @a 100 used=60        => 100 ok    | B=1.00 R=0
        I 0 @b 100 rsu=60         => 100 ok 60 | B=1.00 R=0.20
        T 1 @b 100 used=55        => 100 ok    | B=0.80 R=0
        wait 43200
        I 0 @c 100 rsu=60         => 100 ok 60 | B=0.80 R=0
        T 1 @c 100 used=60        => 100 ok    | B=0.80 R=0
        """,
        RISING, unit, balance="1.00",
    )
    first, second = scenario.load()[0].counters
    assert (first.code, first.units, first.charged_micro) == ("basic/data/data", 115, 200_000)
    assert (second.units, second.charged_micro, second.granted) == (60, 0, 0)
    assert second.period_ns == first.ends_ns == NOON_NS + DAY // 2 * NS_PER_SECOND


@pytest.mark.rule("K-200")
def test_a_day_pass_is_paid_once_a_day() -> None:
    play(
        """
        I 0 @a 100 rsu=60         => 100 ok 60 | B=5.00 R=2.00
        U 1 @a 100 used=60 rsu=60 => 100 ok 60 | B=3.00 R=0
        T 2 @a 100 used=60        => 100 ok    | B=3.00 R=0
        I 0 @b 100 rsu=60         => 100 ok 60 | B=3.00 R=0
        T 1 @b 100 used=60        => 100 ok    | B=3.00 R=0
        wait 43200
        I 0 @c 100 rsu=60         => 100 ok 60 | B=3.00 R=2.00
        T 1 @c 100 used=60        => 100 ok    | B=1.00 R=0
        wait 86400
        I 0 @d 100 rsu=60         => 100 4012  | B=1.00 R=0
        """,
        DAY_PASS, balance="5.00",
    )


@pytest.mark.rule("K-204", "M-004")
def test_sessions_that_share_a_count_hold_what_both_can_cost() -> None:
    scenario = play(
        """
        I 0 @a 100 rsu=100          => 100 ok 100 | B=2.00 R=0
        I 0 @b 100 rsu=100          => 100 ok 100 | B=2.00 R=1.00
        # The free units are for who reports first; what is held moves to the other.
        U 1 @b 100 used=100 rsu=100 => 100 ok 100 | B=2.00 R=2.00
        I 0 @c 100 rsu=10           => 100 4012   | B=2.00 R=2.00
        U 1 @a 100 used=100         => 100 ok     | B=1.00 R=1.00
        T 2 @b 100 used=100         => 100 ok     | B=0 R=0
        T 2 @a                      => 2001       | B=0 R=0
        """,
        RISING, balance="2.00",
    )
    assert counter_of(scenario).units == 300
    assert not scenario.load()[0].flags & AccountFlag.OVER_USAGE


@pytest.mark.rule("K-204", "C-040")
def test_the_end_of_the_money_is_told_from_what_others_hold() -> None:
    play(
        """
        I 0 @a 100 rsu=200 => 100 ok 150 fui=terminate | B=0.50 R=0.50
        I 0 @b 100 rsu=10  => 100 4012                 | B=0.50 R=0.50
        T 1 @a             => 2001                     | B=0.50 R=0
        I 0 @d 100 rsu=150 => 100 ok 150 fui=terminate | B=0.50 R=0.50
        """,
        RISING, balance="0.50",
    )


@pytest.mark.rule("K-204", "C-007")
def test_a_lost_session_gives_its_claim_back() -> None:
    scenario = play(
        """
        I 0 @a 100 rsu=200 => 100 ok 200 | B=2.00 R=1.00
        wait 7300
        I 0 @b 100 rsu=100 => 100 ok 100 | B=2.00 R=0
        """,
        RISING, balance="2.00",
    )
    assert counter_of(scenario).granted == 100


@pytest.mark.rule("K-203")
@pytest.mark.parametrize("profile", ["generic", "rfc"])
def test_a_quota_ends_with_the_period_and_late_usage_belongs_to_it(profile: str) -> None:
    scenario = Scenario(make_catalog(RISING, validity=86_400), balance="5.00")
    scenario.play(f"""
        wait 43000
        I 0 @a profile={profile} 100 rsu=200         => 100 ok 200 | B=5.00 R=1.00
    """)
    assert scenario.reply.services[0].validity_seconds == 200
    assert not scenario.reply.services[0].tariff_change_ns
    scenario.play(f"""
        wait 205
        U 1 @a profile={profile} 100 used=150 rsu=50 => 100 ok 50 | B=4.50 R=0
        T 2 @a profile={profile} 100 used=20         => 100 ok    | B=4.50 R=0
        U 3 @a profile={profile} 100 used=30         => 100 ok    | B=4.50 R=0
    """)
    first, second = scenario.load()[0].counters
    assert (first.units, first.charged_micro, second.units) == (150, 500_000, 50)


@pytest.mark.rule("K-200", "M-003")
def test_tiny_prices_add_up_over_events() -> None:
    scenario = Scenario(make_catalog(FINE, Unit.EVENTS), unit=Unit.EVENTS)
    for number in range(10):
        scenario.play(f"E {number} @e{number} action=0 100 rsu=1 => 100 ok 1")
    assert 10_000_000 - scenario.money()[0] == 1
    assert counter_of(scenario).units == 10


@pytest.mark.rule("K-200", "M-014")
def test_enquiries_count_nothing() -> None:
    scenario = Scenario(make_catalog(RISING, Unit.EVENTS), unit=Unit.EVENTS, balance="0.50")
    scenario.play("""
        E 0 @a action=0 100 rsu=95              => 100 ok 95 | B=0.50
        E 0 @b action=3 100 rsu=10; 101 rsu=10  => 2001 cost=0.20
        E 0 @c action=2 100 rsu=100             => 2001
        E 0 @d action=0 100 rsu=50; 101 rsu=10  => 100 4012 ; 101 4012 | B=0.50
        E 0 @e action=0 100 rsu=50; 101 rsu=5   => 100 ok 50 ; 101 ok 5 | B=0
    """.replace("100 4012 ; 101 4012", "4012"))
    assert counter_of(scenario).units == 150


@pytest.mark.rule("K-205", "M-014")
def test_a_refund_gives_back_what_the_total_falls_by() -> None:
    scenario = Scenario(make_catalog(replace(RISING, increment=1), Unit.EVENTS), unit=Unit.EVENTS)
    scenario.play("E 0 @a action=0 100 rsu=98 => 100 ok 98 | B=10.00")
    scenario.play("E 0 @b action=0 100 rsu=2  => 100 ok 2  | B=10.00")
    free = scenario.reply.refund_reference
    scenario.play("E 0 @c action=0 100 rsu=5  => 100 ok 5  | B=9.95")
    late = scenario.reply.refund_reference
    scenario.play(f"E 0 @r action=1 refund={free} 100 rsu=2 => 2001 cost=-0.02 | B=9.97")
    assert (counter_of(scenario).units, counter_of(scenario).charged_micro) == (103, 30_000)
    # Next day it goes back to the day before; today's count is its own.
    scenario.play(f"""
        wait 86400
        E 0 @d action=0 100 rsu=101 => 100 ok 101 | B=9.96
        E 0 @s action=1 refund={late} 100 rsu=4 => 2001 cost=-0.03 | B=9.99
    """)
    first, second = scenario.load()[0].counters
    assert (first.units, first.charged_micro, second.units) == (99, 0, 101)


@pytest.mark.rule("K-201")
@pytest.mark.parametrize(
    ("period", "instant", "start", "end"),
    [
        (Period.DAY, "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        (Period.DAY, "2026-10-25T02:30", "2026-10-25T00:00", "2026-10-26T00:00"),
        (Period.WEEK, "2026-03-29T23:59", "2026-03-23T00:00", "2026-03-30T00:00"),
        (Period.MONTH, "2028-02-29T00:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        (Period.MONTH, "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_periods_are_those_of_the_catalogues_clock(
    period: Period, instant: str, start: str, end: str
) -> None:
    zone = ZoneInfo("Europe/Madrid")

    def ns(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 10**9

    scenario = Scenario(make_catalog(replace(RISING, counted=period), time_zone="Europe/Madrid"))
    terms = scenario.index.catalog.plans["basic"].terms["data"]
    slot = scenario.index.tariff_at(terms, "", ns(instant))
    assert (slot.start_ns, slot.end_ns) == (ns(start), ns(end))
    assert scenario.index.tariff_at(terms, "", ns(end) - 1) == slot
    assert scenario.index.tariff_at(terms, "", ns(end)).start_ns == ns(end)


@pytest.mark.rule("K-201")
def test_a_midnight_that_is_skipped_begins_with_the_change() -> None:
    # Clocks in Beirut go from 00:00 to 01:00.
    scenario = Scenario(make_catalog(RISING, time_zone="Asia/Beirut"))
    terms = scenario.index.catalog.plans["basic"].terms["data"]
    change = int(datetime.fromisoformat("2026-03-28T22:00+00:00").timestamp()) * 10**9
    assert scenario.index.tariff_at(terms, "", change).start_ns == change
    assert scenario.index.tariff_at(terms, "", change - 1).end_ns == change


@pytest.mark.rule("K-202")
def test_an_account_counts_a_bounded_number_of_things() -> None:
    scenario = Scenario(make_catalog(RISING), balance="5.00")

    def fill(ends_ns: int) -> None:
        def decide(working_set: object) -> None:
            account = working_set.accounts[ACCOUNT].account  # type: ignore[attr-defined]
            account.counters = []
            for number in range(COUNTERS_MAX):
                account.add_counter(Counter(f"other/{number}/x", 0, 1, ends_ns=ends_ns))
            working_set.mark_counters(account)  # type: ignore[attr-defined]

        scenario.store.transact([scenario._operator_key()], decide)

    fill(NOON_NS * 2)
    scenario.play("""
        I 0 @a 100 rsu=10         => 100 4012 | B=5.00
        U 1 @a 100 used=200       => 100 ok   | B=5.00 P=1
    """)
    fill(NOON_NS - 1)
    scenario.play("I 0 @b 100 rsu=10 => 100 ok 10 | B=5.00")
    assert len(scenario.load()[0].counters) == COUNTERS_MAX


@pytest.mark.rule("K-206")
def test_another_price_goes_on_from_what_was_used() -> None:
    scenario = play(
        """
        I 0 @a 100 rsu=100 => 100 ok 100 | B=5.00 R=0
        T 1 @a 100 used=90 => 100 ok     | B=5.00
        """,
        RISING, balance="5.00",
    )
    dearer = replace(RISING, tiers=(Tier(100, 0), Tier(0, 20_000)))
    scenario.publish(make_catalog(dearer))
    scenario.play("""
        I 0 @b 100 rsu=20  => 100 ok 20 | B=5.00 R=0.20
        T 1 @b 100 used=20 => 100 ok    | B=4.80 R=0
    """)


PRICES = st.sampled_from([RISING, FALLING, VOLUME, FINE, DAY_PASS])


@pytest.mark.rule("K-200", "K-203", "K-204", "M-003", "M-004", "M-008")
@settings(max_examples=120, deadline=None)
@given(
    price=PRICES, balance=st.integers(0, 1500),
    steps=st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(1, 160), st.integers(0, 100),
            st.sampled_from(["go", "go", "go", "end", "event", "night"]),
        ),
        min_size=1, max_size=14,
    ),
)
def test_any_interleaving_costs_what_the_periods_come_to(
    price: Price, balance: int, steps: list[tuple[int, int, int, str]]
) -> None:
    amount = f"{balance // 100}.{balance % 100:02}"
    scenario = Scenario(make_catalog(price, validity=10**6), balance=amount)
    scenario.policy = replace(scenario.policy, tcc_default_seconds=10**7)
    granted: dict[str, int] = {}
    numbers: dict[str, int] = {}
    names: dict[str, str] = {}
    started = 0
    for which, asked, share, what in steps:
        if what == "night":
            scenario.clock.advance(DAY)
            continue
        name = f"s{which}"
        if what == "event":
            started += 1
            scenario.send(scenario.request(f"E 0 @e{started} action=0 100 rsu={asked}"))
        elif name not in granted:
            started += 1
            numbers[name], names[name] = 0, f"@{name}x{started}"
            scenario.send(scenario.request(f"I 0 {names[name]} 100 rsu={asked}"))
            granted[name] = _granted(scenario)
        else:
            numbers[name] += 1
            used = granted[name] * share // 100
            kind, more = ("T", "") if what == "end" else ("U", f"rsu={asked}")
            scenario.send(
                scenario.request(f"{kind} {numbers[name]} {names[name]} 100 used={used} {more}")
            )
            granted[name] = _granted(scenario)
            if what == "end":
                del granted[name]
        scenario.check(what)
        account, buckets, _ = scenario.load()
        assert buckets[0].available >= 0
        assert not account.flags & AccountFlag.OVER_USAGE
    account, _, _ = scenario.load()
    # Counts of days long ago are not kept; what cost nothing left no movement.
    counted = {
        one.slot_ns: one.units_after for one in scenario.store.movements(ACCOUNT) if one.rule
    }
    total = sum(slow_rating.cost(price, units) for units in counted.values())
    assert balance * 10_000 - scenario.money()[0] == total
    assert sum(counter.granted for counter in account.counters) == sum(granted.values())


def _granted(scenario: Scenario) -> int:
    services = scenario.reply.services
    units = services[0].granted if services else None
    return (units.octets or 0) if units else 0


@pytest.mark.rule("K-202")
def test_a_claim_of_nothing_may_outlive_its_counter() -> None:
    session = make_session(ACCOUNT)
    account = Account(ACCOUNT, "EUR", "basic")
    session.quotas[0].claims = [Claim("limit/all", 0, 1)]
    assert counters.check(account, [session]) == []
    session.quotas[0].claims = [Claim("limit/all", 0, 1, micro=1)]
    assert len(counters.check(account, [session])) == 1
