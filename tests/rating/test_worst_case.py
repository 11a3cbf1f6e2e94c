"""What units of a count cost at most, wherever in it they are used, against trying it all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.catalog.model import Price, Tier
from ocs.rating import pricing
from tests.support import slow_rating

FAR = 90
"""Units after which no price below changes any more."""


@st.composite
def price_of(draw: st.DrawFn) -> Price:
    number = st.integers(0, 30)
    ends = sorted(draw(st.sets(st.integers(1, 40), max_size=3)))
    tiers = tuple(
        Tier(end, draw(number), draw(st.integers(1, 3)), draw(number)) for end in [*ends, 0]
    )
    if not ends and draw(st.sampled_from([True, False])):
        tiers = ()
    return Price(
        tiers[0].rate_micro if tiers else draw(number), per=tiers[0].per if tiers else 3,
        increment=draw(st.integers(1, 7)), minimum=draw(st.integers(0, 12)),
        setup_micro=draw(number), tiers=tiers,
        volume=bool(tiers) and draw(st.sampled_from([True, False])),
        maximum_micro=draw(st.none() | st.integers(50, 400)),
    )


@pytest.mark.rule("K-219")
@settings(max_examples=400, deadline=None)
@given(price=price_of(), before=st.integers(0, 50), units=st.integers(0, 25))
def test_nothing_costs_more_than_the_worst_case(price: Price, before: int, units: int) -> None:
    costs = [slow_rating.cost(price, count) for count in range(FAR + units + 1)]
    worst = max(
        costs[start + used] - costs[start]
        for start in range(before, FAR) for used in range(units + 1)
    )
    assert pricing.dearest_charge_micro(price, before, units) >= worst


@pytest.mark.rule("K-219")
@settings(max_examples=200, deadline=None)
@given(
    price=price_of(), before=st.integers(0, 50), budget=st.integers(0, 500),
    wanted=st.integers(0, 60),
)
def test_the_most_units_within_a_budget(
    price: Price, before: int, budget: int, wanted: int
) -> None:
    units = pricing.dearest_units(price, before, budget, wanted)
    assert 0 <= units <= wanted
    assert not units or pricing.dearest_charge_micro(price, before, units) <= budget
    if units < wanted:
        assert pricing.dearest_charge_micro(price, before, units + 1) > budget


@pytest.mark.rule("K-219")
@pytest.mark.parametrize(
    ("price", "before", "worst"),
    [
        (Price(5), 0, 50), (Price(5), 70, 50),
        (Price(5, increment=4), 70, 60),
        (Price(0, setup_micro=200), 0, 200), (Price(0, setup_micro=200), 1, 0),
        (Price(1, tiers=(Tier(40, 1), Tier(0, 3))), 0, 30),
        (Price(3, tiers=(Tier(40, 3), Tier(0, 1))), 0, 30),
        (Price(3, tiers=(Tier(40, 3), Tier(0, 1))), 40, 10),
        (Price(1, tiers=(Tier(40, 1), Tier(80, 1, 1, 50), Tier(0, 1, 1, 70))), 0, 80),
        (Price(1, maximum_micro=45), 40, 5),
    ],
)  # fmt: skip
def test_ten_units_of(price: Price, before: int, worst: int) -> None:
    assert pricing.dearest_charge_micro(price, before, 10) == worst
