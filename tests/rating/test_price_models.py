"""Every price model against a reference that goes unit by unit: cost, hold and inverse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.catalog.model import Price, PriceRule, TariffSlot, Tier
from ocs.rating import pricing, timeline
from tests.support import slow_rating

LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=4)
MOST_UNITS = 60


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Any price of any model, with tiers that need not be whole increments."""
    tiers: list[Tier] = []
    if draw(st.booleans()):
        end = 0
        for length in [*draw(LENGTHS), 0]:
            end += length
            tiers.append(
                Tier(
                    end if length else 0,
                    draw(st.integers(0, 50_000)),
                    draw(st.integers(1, 12)),
                    draw(st.sampled_from([0, 0, 7_000, 90_000])),
                )
            )
    volume = bool(tiers) and draw(st.booleans())
    setup = draw(st.integers(0, 60_000))
    return Price(
        rate_micro=draw(st.integers(0, 50_000)),
        per=draw(st.integers(1, 12)),
        increment=draw(st.integers(1, 17)),
        minimum=draw(st.integers(0, 30)),
        setup_micro=setup,
        tiers=tuple(tiers),
        volume=volume,
        maximum_micro=draw(st.none() | st.integers(setup, 1_500_000)),
    )


def costs_of(price: Price) -> list[int]:
    return [slow_rating.cost(price, units) for units in range(MOST_UNITS + 1)]


BEFORE = st.integers(0, MOST_UNITS // 2)
BUDGETS = st.integers(0, 2_000_000)


@pytest.mark.rule("K-001", "K-002", "K-003", "K-004", "K-006")
@settings(max_examples=120, deadline=None)
@given(prices())
def test_every_cost_is_that_of_the_reference(price: Price) -> None:
    assert [pricing.cost_micro(price, units) for units in range(MOST_UNITS + 1)] == costs_of(price)


@pytest.mark.rule("K-007", "M-004", "M-005")
@settings(max_examples=120, deadline=None)
@given(prices(), st.lists(st.tuples(BEFORE, BUDGETS, BEFORE), min_size=1, max_size=8))
def test_a_grant_is_the_largest_whose_hold_fits(
    price: Price, asked: list[tuple[int, int, int]]
) -> None:
    costs = costs_of(price)
    for before, budget, wanted in asked:
        units, held = pricing.fit_budget(price, before, costs[before], budget, wanted)
        assert units == slow_rating.most(costs, before, budget, wanted)
        assert held == slow_rating.hold(costs, before, units)
        assert held == pricing.peak_charge_micro(price, before, costs[before], units)
        assert units == pricing.affordable_units(price, before, budget, wanted)


@pytest.mark.rule("K-007")
@settings(max_examples=100, deadline=None)
@given(prices(), BEFORE)
def test_any_budget_on_the_edge_is_decided_exactly(price: Price, before: int) -> None:
    costs = costs_of(price)
    wanted = MOST_UNITS // 2
    for units in range(1, wanted + 1, 7):
        edge = slow_rating.hold(costs, before, units)
        for budget in (edge - 1, edge):
            if budget >= 0:
                granted, _ = pricing.fit_budget(price, before, costs[before], budget, wanted)
                assert granted == slow_rating.most(costs, before, budget, wanted)


@pytest.mark.rule("M-003", "I-004")
@settings(max_examples=100, deadline=None)
@given(prices(), st.lists(st.integers(0, 12), max_size=5))
def test_charges_do_not_depend_on_the_split(price: Price, reports: list[int]) -> None:
    before = total = 0
    for units in reports:
        total += pricing.charge_micro(price, before, units)
        before += units
    assert total == pricing.cost_micro(price, sum(reports))


@pytest.mark.rule("K-007", "C-040")
@settings(max_examples=100, deadline=None)
@given(prices(), st.integers(1, MOST_UNITS // 2))
def test_another_unit_never_costs_more_than_said(price: Price, before: int) -> None:
    assert pricing.charge_micro(price, before, 1) <= pricing.increment_cost_max_micro(price)


@pytest.mark.rule("K-005")
@settings(max_examples=60, deadline=None)
@given(prices(), st.integers(0, MOST_UNITS), BUDGETS, BEFORE, BEFORE)
def test_seconds_that_no_band_cuts_have_the_same_price(
    price: Price, seconds: int, budget: int, before: int, wanted: int
) -> None:
    slot = TariffSlot(PriceRule("call", price), 0, 0)
    assert timeline.cost_micro(lambda _: slot, 0, seconds) == slow_rating.cost(price, seconds)
    assert timeline.affordable_seconds(
        lambda _: slot, 0, before, budget, wanted
    ) == pricing.affordable_units(price, before, budget, wanted)


STEPPED = Price(
    50_000, 10, tiers=(Tier(100, 50_000, 10), Tier(200, 30_000, 10, 1_000_000), Tier(0, 10_000, 3))
)
VOLUME = Price(
    50_000, increment=10, tiers=(Tier(100, 50_000), Tier(0, 20_000)), volume=True
)


@pytest.mark.rule("K-002")
@pytest.mark.parametrize(
    ("units", "micro"),
    [(1, 5_000), (100, 500_000), (101, 1_503_000), (200, 1_800_000), (201, 1_803_333),
     (203, 1_810_000)],
)
def test_stepped_prices_charge_each_unit_in_its_own_tier(units: int, micro: int) -> None:
    assert pricing.cost_micro(STEPPED, units) == micro


@pytest.mark.rule("K-003", "K-007", "M-004")
def test_a_volume_tier_can_make_the_whole_cheaper() -> None:
    costs = [pricing.cost_micro(VOLUME, units) for units in (1, 100, 101, 240, 250, 260)]
    assert costs == [500_000, 5_000_000, 2_200_000, 4_800_000, 5_000_000, 5_200_000]
    assert pricing.charge_micro(VOLUME, 100, 1) == -2_800_000
    # A hundred and ten cost less than a hundred, but on the way there a hundred are owed.
    assert pricing.fit_budget(VOLUME, 0, 0, 10_000_000, 110) == (110, 5_000_000)
    assert pricing.fit_budget(VOLUME, 0, 0, 4_999_999, 110) == (90, 4_500_000)
    # After a hundred nothing up to 250 in all is more than what is paid already.
    assert pricing.fit_budget(VOLUME, 100, 5_000_000, 0, 1_000) == (150, 0)


@pytest.mark.rule("K-006")
def test_the_maximum_bounds_the_whole_cost() -> None:
    capped = Price(100_000, setup_micro=50_000, maximum_micro=1_000_000)
    assert [pricing.cost_micro(capped, units) for units in (1, 9, 10, 10**15)] == [
        150_000, 950_000, 1_000_000, 1_000_000
    ]
    assert pricing.fit_budget(capped, 0, 0, 1_000_000, 10**12) == (10**12, 1_000_000)
    assert pricing.fit_budget(capped, 0, 0, 999_999, 10**12) == (9, 950_000)
    assert pricing.fit_budget(capped, 10, 1_000_000, 0, 10**12) == (10**12, 0)


@pytest.mark.rule("K-001")
def test_large_tiers_stay_exact() -> None:
    price = Price(
        1, 3, tiers=(Tier(10**15, 999_999_999, 3), Tier(0, 7, 10**12)), maximum_micro=None
    )
    units = 10**15 + 5 * 10**12
    budget = pricing.cost_micro(price, units)
    assert budget == 333_333_333 * 10**15 + 35
    assert pricing.affordable_units(price, 0, budget - 1, 2 * units) < units
    assert pricing.affordable_units(price, 0, budget, 2 * units) >= units
