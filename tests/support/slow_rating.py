"""Rating as the rules are written, unit by unit and second by second: slow, obvious, exact.

What the server computes in a few steps is compared with this. Nothing here is shared with it but
the values of the catalogue.
"""

from __future__ import annotations

from fractions import Fraction

from ocs.catalog.model import Price, Tier


def billed(price: Price, units: int) -> int:
    """Whole increments, one after the other, until everything used is inside, or the minimum."""
    if units == 0:
        return 0
    total = 0
    while total < units:
        total += price.increment
    return max(total, price.minimum)


def tier_of(price: Price, unit: int) -> Tier:
    """The tier that the ``unit``-th billed unit is in."""
    return next(tier for tier in price.tiers if not tier.up_to or unit <= tier.up_to)


def cost(price: Price, units: int) -> int:
    """What cumulative units cost, in micro units, added up unit by unit."""
    if units == 0:
        return 0
    quantity = billed(price, units)
    exact = Fraction(0)
    if not price.tiers:
        for _ in range(quantity):
            exact += Fraction(price.rate_micro, price.per)
    elif price.volume:
        reached = tier_of(price, quantity)
        exact += reached.flat_micro
        for _ in range(quantity):
            exact += Fraction(reached.rate_micro, reached.per)
    else:
        entered: list[Tier] = []
        for unit in range(1, quantity + 1):
            tier = tier_of(price, unit)
            if tier not in entered:
                entered.append(tier)
                exact += tier.flat_micro
            exact += Fraction(tier.rate_micro, tier.per)
    half_up = exact + Fraction(1, 2)
    total = price.setup_micro + half_up.numerator // half_up.denominator
    return total if price.maximum_micro is None else min(total, price.maximum_micro)


def hold(costs: list[int], before: int, units: int) -> int:
    """The most that anything used of ``units`` after ``before`` can come to (M-004)."""
    return max(costs[before + used] - costs[before] for used in range(units + 1))


def most(costs: list[int], before: int, budget_micro: int, wanted: int) -> int:
    """The largest grant whose hold the budget covers, by trying each."""
    return max(
        units
        for units in range(wanted + 1)
        if units == 0 or hold(costs, before, units) <= budget_micro
    )
