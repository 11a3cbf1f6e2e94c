"""Prices: exact, independent of the split, and with an inverse that fits the budget."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import NamedUnit, Unit, round_half_up
from ocs.catalog.model import Price
from ocs.rating import pricing
from ocs.rating.explain import price_text
from tests.support.tariffs import T_306, T_6060, T_DATA, T_FINE, T_SEC, T_SETUP

PRICES = st.builds(
    Price,
    rate_micro=st.integers(0, 500_000),
    per=st.integers(1, 2_000),
    increment=st.integers(1, 90),
    minimum=st.integers(0, 200),
    setup_micro=st.integers(0, 60_000),
)
UNITS = st.integers(0, 2_000)
BUDGETS = st.integers(0, 3_000_000)


def slow_cost(price: Price, units: int) -> int:
    """The rule word by word, with fractions."""
    if units == 0:
        return 0
    billed = 0
    while billed < units:
        billed += price.increment
    billed = max(billed, price.minimum)
    exact = Fraction(billed * price.rate_micro, price.per) + Fraction(1, 2)
    return price.setup_micro + exact.numerator // exact.denominator


@pytest.mark.rule("M-001", "M-002", "D07")
@settings(deadline=None)
@given(PRICES, UNITS)
def test_cost_is_the_rule_word_by_word(price: Price, units: int) -> None:
    assert pricing.cost_micro(price, units) == slow_cost(price, units)


@pytest.mark.rule("M-002")
@settings(deadline=None)
@given(PRICES, UNITS, UNITS)
def test_cost_never_falls(price: Price, units: int, more: int) -> None:
    assert pricing.cost_micro(price, units + more) >= pricing.cost_micro(price, units)


@pytest.mark.rule("M-003", "I-004")
@settings(deadline=None)
@given(PRICES, st.lists(st.integers(0, 400), max_size=12))
def test_charges_do_not_depend_on_the_split(price: Price, reports: list[int]) -> None:
    before = total = 0
    for units in reports:
        total += pricing.charge_micro(price, before, units)
        before += units
    assert total == pricing.cost_micro(price, sum(reports))


@pytest.mark.rule("M-004", "M-005")
@settings(deadline=None)
@given(PRICES, UNITS, BUDGETS, UNITS)
def test_what_is_affordable_is_the_most_that_fits(
    price: Price, before: int, budget: int, wanted: int
) -> None:
    units = pricing.affordable_units(price, before, budget, wanted)
    assert 0 <= units <= wanted
    assert pricing.charge_micro(price, before, units) <= budget
    if units < wanted:
        assert pricing.charge_micro(price, before, units + 1) > budget


@pytest.mark.rule("M-005", "D12")
@settings(deadline=None)
@given(PRICES, UNITS, BUDGETS, UNITS)
def test_a_grant_that_money_limits_ends_on_an_increment(
    price: Price, before: int, budget: int, wanted: int
) -> None:
    units = pricing.affordable_units(price, before, budget, wanted)
    if 0 < units < wanted:
        assert (before + units) % price.increment == 0


@pytest.mark.rule("M-004")
@settings(deadline=None)
@given(PRICES, UNITS, BUDGETS, UNITS)
def test_the_budget_knows_its_charge(price: Price, before: int, budget: int, wanted: int) -> None:
    paid = pricing.cost_micro(price, before)
    units, charge = pricing.fit_budget(price, before, paid, budget, wanted)
    assert charge == pricing.charge_micro(price, before, units)


@pytest.mark.rule("C-040")
@settings(deadline=None)
@given(PRICES, st.integers(1, 2_000))
def test_another_increment_never_costs_more_than_said(price: Price, before: int) -> None:
    assert pricing.charge_micro(price, before, 1) <= pricing.increment_cost_max_micro(price)


@pytest.mark.rule("M-009")
@pytest.mark.parametrize("price", [T_DATA, T_SEC, T_6060, T_306, T_SETUP, T_FINE])
def test_nothing_used_costs_nothing(price: Price) -> None:
    assert pricing.cost_micro(price, 0) == 0
    assert pricing.billed_units(price, 0) == 0
    assert pricing.affordable_units(price, 0, -1, 100) == 0


@pytest.mark.rule("M-005")
def test_a_minimum_that_is_no_whole_increment() -> None:
    price = Price(1_000, increment=7, minimum=30)
    assert [pricing.cost_micro(price, units) for units in (1, 28, 29, 35, 36)] == [
        30_000, 30_000, 35_000, 35_000, 42_000
    ]
    assert pricing.affordable_units(price, 0, 34_999, 100) == 28
    assert pricing.affordable_units(price, 5, 0, 100) == 23


@pytest.mark.rule("D07")
def test_halves_are_rounded_up() -> None:
    assert [round_half_up(value, 2) for value in (-3, -1, 0, 1, 3)] == [-1, 0, 0, 1, 2]


@pytest.mark.rule("M-001")
def test_large_amounts_stay_exact() -> None:
    price = Price(999_999_999_999, per=3, increment=1)
    units = 10**15 + 1
    assert pricing.cost_micro(price, units) == round_half_up(units * 999_999_999_999, 3)
    budget = pricing.cost_micro(price, units)
    assert pricing.affordable_units(price, 0, budget, 10**18) == units


@pytest.mark.parametrize(
    "price,unit,words",
    [
        (Price(rate_micro=2, per=10), Unit.EVENTS, "0.0000002 EUR per 1 events"),
        (Price(rate_micro=1234567, per=10**9), NamedUnit("kWh", 3), "0.000001234567 EUR per 1 kWh"),
        (Price(rate_micro=315, per=10_000), NamedUnit("kWh", 3), "0.0000315 EUR per 1 kWh"),
        (Price(rate_micro=50_000, per=10), Unit.EVENTS, "0.05 EUR per 10 events"),
        (Price(rate_micro=5, per=10), Unit.OCTETS, "0.000005 EUR per 10 octets"),
    ],
)
def test_prices_finer_than_a_micro_unit_are_said_for_one_unit(price, unit, words):
    assert price_text(price, unit, "EUR") == words
