"""Seconds through time bands, against a walk that looks at every single second."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.catalog.model import Price, PriceRule, TariffSlot
from ocs.rating import pricing, timeline

NS = timeline.NS_PER_SECOND
START_NS = 1_767_614_400 * NS

PRICES = st.builds(
    Price,
    rate_micro=st.integers(0, 200_000),
    per=st.sampled_from([1, 7, 60]),
    increment=st.integers(1, 40),
    minimum=st.integers(0, 80),
    setup_micro=st.integers(0, 30_000),
)


class Bands:
    """Prices that follow each other, the last one for ever."""

    def __init__(self, lengths: list[int], prices: list[Price]) -> None:
        self.slots: list[TariffSlot] = []
        begin = START_NS - NS
        for number, price in enumerate(prices):
            end = begin + lengths[number] * NS if number < len(lengths) else 0
            self.slots.append(TariffSlot(PriceRule(f"r{number}", price), begin, end))
            begin = end

    def at(self, instant_ns: int) -> TariffSlot:
        return next(slot for slot in self.slots if not slot.end_ns or instant_ns < slot.end_ns)

    def price_at(self, second: int, start_ns: int) -> Price:
        rule = self.at(start_ns + second * NS).rule
        assert rule is not None
        return rule.price


@st.composite
def bands(draw: st.DrawFn) -> Bands:
    lengths = draw(st.lists(st.integers(1, 60), max_size=5))
    prices = draw(st.lists(PRICES, min_size=len(lengths) + 1, max_size=len(lengths) + 1))
    return Bands(lengths, prices)


def slow_cost(tariff: Bands, start_ns: int, seconds: int) -> int:
    """Second by second: at each increment's first second its price is looked up."""
    if not seconds:
        return 0
    first = tariff.price_at(0, start_ns)
    total, paid_until = Fraction(0), 0
    for second in range(max(seconds, first.minimum)):
        if second < paid_until:
            continue
        price = tariff.price_at(second, start_ns)
        billed = price.increment
        if second >= seconds:
            billed = min(billed, first.minimum - second)
        total += Fraction(billed * price.rate_micro, price.per)
        paid_until = second + billed
    exact = total + Fraction(1, 2)
    return first.setup_micro + exact.numerator // exact.denominator


OFFSETS = st.integers(0, 2 * NS)
SECONDS = st.integers(0, 400)


@pytest.mark.rule("M-011")
@settings(max_examples=300, deadline=None)
@given(bands(), OFFSETS, SECONDS)
def test_cost_is_that_of_a_walk_over_every_second(
    tariff: Bands, offset: int, seconds: int
) -> None:
    start = START_NS + offset
    assert timeline.cost_micro(tariff.at, start, seconds) == slow_cost(tariff, start, seconds)


@pytest.mark.rule("M-011", "M-002")
@settings(deadline=None)
@given(PRICES, SECONDS)
def test_one_band_costs_what_its_price_says(price: Price, seconds: int) -> None:
    tariff = Bands([], [price])
    assert timeline.cost_micro(tariff.at, START_NS, seconds) == pricing.cost_micro(price, seconds)
    same = Bands([17, 23], [price, price, price])
    shortcut = timeline.cost_micro(tariff.at, START_NS, seconds)
    walked = timeline.cost_micro(same.at, START_NS, seconds)
    assert walked == shortcut


@pytest.mark.rule("M-011")
@settings(deadline=None)
@given(bands(), OFFSETS, SECONDS, SECONDS)
def test_cost_never_falls(tariff: Bands, offset: int, seconds: int, more: int) -> None:
    cost = timeline.cost_micro(tariff.at, START_NS + offset, seconds)
    later = timeline.cost_micro(tariff.at, START_NS + offset, seconds + more)
    assert cost is not None
    assert later is not None
    assert later >= cost


@pytest.mark.rule("M-004", "M-005", "M-011")
@settings(deadline=None)
@given(bands(), OFFSETS, SECONDS, st.integers(0, 3_000_000), SECONDS)
def test_what_is_affordable_is_the_most_that_fits(
    tariff: Bands, offset: int, before: int, budget: int, wanted: int
) -> None:
    start = START_NS + offset

    def charge(seconds: int) -> int:
        after = timeline.cost_micro(tariff.at, start, before + seconds)
        paid = timeline.cost_micro(tariff.at, start, before)
        assert after is not None
        assert paid is not None
        return after - paid

    seconds = timeline.affordable_seconds(tariff.at, start, before, budget, wanted)
    assert 0 <= seconds <= wanted
    assert charge(seconds) <= budget
    if seconds < wanted:
        assert charge(seconds + 1) > budget


@pytest.mark.rule("M-011")
def test_times_without_a_price() -> None:
    gap = TariffSlot(None, START_NS + 60 * NS, 0)
    priced = TariffSlot(PriceRule("day", Price(1_000)), START_NS, START_NS + 60 * NS)

    def tariff_at(instant_ns: int) -> TariffSlot:
        return priced if instant_ns < priced.end_ns else gap

    assert timeline.cost_micro(tariff_at, START_NS, 60) == 60_000
    assert timeline.cost_micro(tariff_at, START_NS, 61) is None
    assert timeline.affordable_seconds(tariff_at, START_NS, 0, 10**9, 90) == 60
    assert timeline.affordable_seconds(tariff_at, START_NS + 60 * NS, 0, 10**9, 90) == 0
    assert timeline.affordable_seconds(tariff_at, START_NS, 61, 10**9, 90) == 0
