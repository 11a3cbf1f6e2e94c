"""Price of cumulative usage and its inverse (rules M-002 to M-005). Called by charging and audit.

All functions are exact: integers in, integers out, one rounding per cost (half up to a micro
unit). ``units`` are cumulative paid units of one charge context, in the service's unit.
"""

from __future__ import annotations

from bisect import bisect_right

from ocs.amounts import INT64_MAX
from ocs.catalog.model import Price, Steps
from ocs.rating import steps


def billed_units(price: Price, units: int) -> int:
    """Return the units that are paid for when ``units`` (>= 0) were used."""
    if units <= 0:
        return 0
    increment = price.increment
    return max(price.minimum, -(-units // increment) * increment)


def cost_micro(price: Price, units: int) -> int:
    """Return what ``units`` cumulative units cost, setup fee included once they start (M-002)."""
    if units <= 0:
        return 0
    # billed_units and round_half_up in place: every request asks several times.
    increment = price.increment
    billed = -(-units // increment) * increment
    if billed < price.minimum:
        billed = price.minimum
    if price.steps is None:
        return price.setup_micro + (billed * price.twice_rate + price.per) // price.twice_per
    return steps.cost_micro(price, price.steps, billed)


def charge_micro(price: Price, before: int, units: int) -> int:
    """Return the debit for ``units`` more after ``before`` (M-003): never depends on the split.

    It is negative where a volume tier makes the whole cheaper (K-003).
    """
    return cost_micro(price, before + units) - cost_micro(price, before)


def peak_charge_micro(
    price: Price, before: int, cost_before_micro: int, units: int
) -> int:
    """Return the most that anything up to ``units`` more after ``before`` can come to (M-004)."""
    if not price.volume or price.steps is None or units <= 0:
        return cost_micro(price, before + units) - cost_before_micro
    low, high = billed_units(price, before), billed_units(price, before + units)
    return max(0, steps.peak_micro(price, price.steps, low, high) - cost_before_micro)


def dearest_charge_micro(price: Price, before: int, units: int) -> int:
    """Return a sum that up to ``units`` more never cost more than, however many others are used
    first, after ``before`` (K-219).
    """
    if units <= 0:
        return 0
    span = -(-units // price.increment) * price.increment
    if price.steps is not None:
        return steps.dearest_micro(price, price.steps, billed_units(price, before), span)
    return max(-(-span * price.rate_micro // price.per), charge_micro(price, before, units))


def dearest_units(price: Price, before: int, budget_micro: int, wanted: int) -> int:
    """Return the most units, at most ``wanted``, that surely cost no more than the budget so."""

    def cost(units: int) -> int:
        return dearest_charge_micro(price, before, units)

    if wanted <= 0 or cost(wanted) <= budget_micro:
        return max(0, wanted)
    return bisect_right(range(1, wanted), budget_micro, key=cost)


def affordable_units(price: Price, before: int, budget_micro: int, wanted: int) -> int:
    """Return the most units, at most ``wanted``, whose charge after ``before`` fits the budget."""
    return fit_budget(price, before, cost_micro(price, before), budget_micro, wanted)[0]


def fit_budget(
    price: Price, before: int, cost_before_micro: int, budget_micro: int, wanted: int
) -> tuple[int, int]:
    """Return (units, hold in micro) of the largest grant after ``before`` within the budget.

    The hold is the charge of the grant, or that of a part of it where the cost falls on the way
    (M-004). Where money is the limit the result ends on an increment (M-005); units left inside
    an increment that is paid already are granted for nothing. ``cost_before_micro`` is the cost
    of ``before``, which every caller knows already.
    """
    if wanted <= 0:
        return 0, 0
    if price.steps is not None:
        return _fit_steps(price, price.steps, before, cost_before_micro, budget_micro, wanted)
    charge = cost_micro(price, before + wanted) - cost_before_micro
    if charge <= budget_micro:
        return wanted, charge
    # A minimum need not be whole increments: only the whole ones in it can be used without more.
    limit = billed_units(price, before) // price.increment * price.increment
    rest_micro = cost_before_micro + budget_micro - price.setup_micro
    if rest_micro >= 0 and price.rate_micro > 0:
        # round_half_up(billed * rate, per) <= rest  <=>  2 * billed * rate < per * (2 * rest + 1)
        payable = (price.per * (2 * rest_micro + 1) - 1) // price.twice_rate
        if payable >= price.minimum:
            limit = max(limit, payable // price.increment * price.increment)
    units = max(0, min(wanted, limit - before))
    return units, cost_micro(price, before + units) - cost_before_micro


def _fit_steps(
    price: Price, tiers: Steps, before: int, cost_before_micro: int, budget_micro: int, wanted: int
) -> tuple[int, int]:
    hold = peak_charge_micro(price, before, cost_before_micro, wanted)
    if hold <= budget_micro:
        return wanted, hold
    billed, target = billed_units(price, before), billed_units(price, before + wanted)
    limit = steps.fit(price, tiers, billed, target, cost_before_micro + budget_micro)
    units = max(0, min(wanted, limit - before))
    return units, peak_charge_micro(price, before, cost_before_micro, units)


def increment_cost_max_micro(price: Price) -> int:
    """Return a sum that certainly pays one more increment once the first unit is paid.

    With tiers the next one may cost anything: no sum is certain.
    """
    if price.tiers:
        return INT64_MAX
    return price.increment * price.rate_micro // price.per + 1
