"""Stepped, volume, flat and bounded prices through the whole engine: holds, credits, switches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.model import (
    Catalog,
    ChargeMode,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    Tier,
)
from ocs.ledger.account import Bucket
from tests.support import slow_rating
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import PS, T_DATA, make_banded_catalog

VOLUME = Price(50_000, increment=10, tiers=(Tier(100, 50_000), Tier(0, 20_000)), volume=True)
STEPPED = Price(
    50_000, increment=10, tiers=(Tier(100, 50_000), Tier(0, 10_000, flat_micro=500_000))
)
DATA_STEPS = replace(
    T_DATA, tiers=(Tier(5_000_000, 50_000, 1_000_000), Tier(0, 30_000, 1_000_000))
)


def make_catalog(price: Price, unit: Unit = Unit.OCTETS, slice_units: int = 110) -> Catalog:
    service = Service("data", (PS,), unit, QuotaPolicy(slice_units, 1_000), frozenset({100}))
    terms = {"data": ServiceTerms("data", ChargeMode.PRICED, (PriceRule("data", price),))}
    return Catalog(
        "models", "EUR", "UTC", {"data": service}, {"basic": Plan("basic", "Basic", terms)}
    )


def play(text: str, price: Price, unit: Unit = Unit.OCTETS, **account: object) -> Scenario:
    scenario = Scenario(make_catalog(price, unit), unit=unit, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("K-003", "K-007", "M-004")
@pytest.mark.parametrize("unit", [Unit.OCTETS, Unit.SECONDS])
def test_a_volume_price_holds_its_peak_and_credits_its_fall(unit: Unit) -> None:
    play(
        """
        I 0 100 rsu            => 100 ok 110 | B=10.00 R=5.00
        U 1 100 used=100 rsu   => 100 ok 110 | B=5.00 R=0
        U 2 100 used=10 rsu=20 => 100 ok 20  | B=7.80 R=0.40
        T 3 100 used=20        => 100 ok     | B=7.40 R=0
        """,
        VOLUME, unit,
    )


@pytest.mark.rule("K-003", "M-003")
def test_the_fall_is_a_line_of_the_ledger() -> None:
    scenario = play(
        """
        I 0 100 rsu      => 100 ok 110 | B=10.00 R=5.00
        U 1 100 used=100 => 100 ok     | B=5.00 R=0
        T 2 100 used=10  => 100 ok     | B=7.80 R=0
        """,
        VOLUME,
    )
    used = [one for one in scenario.store.movements(ACCOUNT) if one.service == "data"]
    assert [(one.amount, one.units_before, one.units_after) for one in used] == [
        (-5_000_000, 0, 100), (2_800_000, 100, 110)
    ]


@pytest.mark.rule("K-007", "C-040")
def test_money_that_cannot_pay_the_way_to_the_cheaper_tier() -> None:
    play(
        """
        I 0 100 rsu     => 100 ok 90 fui=terminate | B=4.60 R=4.50
        T 1 100 used=90 => 100 ok                  | B=0.10 R=0
        """,
        VOLUME, balance="4.60",
    )


@pytest.mark.rule("K-002", "K-007", "C-040")
def test_a_stepped_price_over_its_border() -> None:
    play(
        """
        I 0 100 rsu=90       => 100 ok 90                | B=6.05 R=4.50
        U 1 100 used=90 rsu  => 100 ok 60 fui=terminate  | B=1.55 R=1.50
        T 2 100 used=41      => 100 ok                   | B=0.15 R=0
        """,
        STEPPED, balance="6.05",
    )


@pytest.mark.rule("K-006", "K-007")
def test_after_the_maximum_nothing_is_held_any_more() -> None:
    play(
        """
        I 0 100 rsu           => 100 ok 110 | B=2.00 R=1.00
        U 1 100 used=110 rsu  => 100 ok 110 | B=1.00 R=0
        U 2 100 used=1000 rsu => 100 ok 110 | B=1.00 R=0
        T 3 100 used=7        => 100 ok     | B=1.00 R=0
        """,
        Price(20_000, maximum_micro=1_000_000), balance="2.00",
    )


@pytest.mark.rule("K-008", "M-009")
def test_a_flat_price_is_due_with_the_first_unit() -> None:
    flat = Price(0, setup_micro=500_000)
    play(
        """
        I 0 100 rsu          => 100 ok 110 | B=0.70 R=0.50
        U 1 100 used=110 rsu => 100 ok 110 | B=0.20 R=0
        T 2 100 used=110     => 100 ok     | B=0.20 R=0
        """,
        flat, balance="0.70",
    )
    play(
        """
        I 0 100 rsu => 100 ok 110 | B=0.70 R=0.50
        T 1         => 2001       | B=0.70 R=0
        """,
        flat, balance="0.70",
    )
    play("I 0 100 rsu => 100 4012 | B=0.49 R=0", flat, balance="0.49")


@pytest.mark.rule("K-009", "M-004", "C-060")
@pytest.mark.parametrize("profile", ["generic", "rfc"])
@pytest.mark.parametrize(
    "prices", [(DATA_STEPS, T_DATA), (T_DATA, DATA_STEPS), (DATA_STEPS, DATA_STEPS)]
)
def test_tiers_end_a_quota_at_the_tariff_switch(
    profile: str, prices: tuple[Price, Price]
) -> None:
    scenario = Scenario(make_banded_catalog(*prices))
    scenario.send(scenario.request(f"I 0 profile={profile} 100 rsu"))
    first = scenario.reply.services[0]
    if profile == "rfc":
        # A client that takes two quotas gets one for each side, each at its own price.
        assert len(scenario.reply.services) == 2
    else:
        assert first.tariff_change_ns == 0
        assert first.validity_seconds == 600
    scenario.check("after the grant")


@pytest.mark.rule("K-001", "K-002", "K-003", "K-007", "M-004", "M-008")
@settings(max_examples=60, deadline=None)
@given(
    price=st.sampled_from([VOLUME, STEPPED, replace(STEPPED, maximum_micro=4_700_000)]),
    balance=st.integers(0, 900),
    free=st.integers(0, 60),
    steps=st.lists(
        st.tuples(st.integers(1, 130), st.integers(0, 100)), min_size=1, max_size=6
    ),
)
def test_a_life_costs_what_the_reference_says_and_never_more_than_was_held(
    price: Price, balance: int, free: int, steps: list[tuple[int, int]]
) -> None:
    buckets = [Bucket(ACCOUNT, 7, Unit.OCTETS, "free", free)] if free else []
    amount = f"{balance // 100}.{balance % 100:02}"
    scenario = Scenario(make_catalog(price), balance=amount, buckets=buckets)
    granted = used_in_all = 0
    kind, number = "I", 0
    for asked, share in steps:
        used = granted * share // 100
        used_in_all += used
        words = f"used={used} rsu={asked}" if number else f"rsu={asked}"
        scenario.send(scenario.request(f"{kind} {number} 100 {words}"))
        scenario.check(f"step {number}")
        assert scenario.money()[0] >= 0
        (reply,) = scenario.reply.services
        granted = (reply.granted.octets or 0) if reply.granted else 0
        kind, number = "U", number + 1
        if not granted and not used:
            break
    used_in_all += granted
    scenario.send(scenario.request(f"T {number} 100 used={granted}"))
    scenario.check("the end")
    paid = max(0, used_in_all - free)
    assert balance * 10_000 - scenario.money()[0] == slow_rating.cost(price, paid)
