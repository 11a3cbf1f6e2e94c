"""Prices with tiers or a maximum: cost, peak, worst case and inverse over billed units (K-001..6).

Called by pricing alone, for prices that have steps. A cost may fall where a volume tier is
cheaper than the one before it, so what is held and what fits look at the peak on the way (M-004).
"""

from __future__ import annotations

from bisect import bisect_left

from ocs.catalog.model import Price, Steps


def cost_micro(price: Price, steps: Steps, billed: int) -> int:
    """Return what ``billed`` (> 0) units cost, setup fee included and never above the maximum."""
    step = bisect_left(steps.ends, billed)
    exact = steps.offsets[step] + billed * steps.slopes[step]
    cost = price.setup_micro + (2 * exact + steps.divisor) // (2 * steps.divisor)
    maximum = steps.maximum_micro
    return cost if maximum is None or cost < maximum else maximum


def peak_micro(price: Price, steps: Steps, low: int, high: int) -> int:
    """Return the largest cost of anything billed from ``low`` up to ``high`` (> 0), both included.

    Both must be quantities that can be billed.
    """
    peak = cost_micro(price, steps, high)
    if price.volume:
        for end in steps.ends[bisect_left(steps.ends, max(low, 1)) :]:
            last = _floor(price, steps, min(end, high))
            if last >= low and last > 0:
                peak = max(peak, cost_micro(price, steps, last))
            if end >= high:
                break
    return peak


def dearest_micro(price: Price, steps: Steps, low: int, span: int) -> int:
    """Return a sum that ``span`` billed units never exceed, wherever after ``low`` they are used.

    They are taken for as dear as the dearest step ahead, with as many rises of the cost as they can
    pass: fees of tiers, and where another tier makes the whole dearer.
    """
    span = max(span, steps.lowest) if not low else span
    rises = [] if low else [(0, steps.offsets[0] + price.setup_micro * steps.divisor)]
    for step in range(bisect_left(steps.ends, low), len(steps.ends)):
        end = steps.ends[step]
        rise = steps.offsets[step + 1] - steps.offsets[step]
        rise += end * (steps.slopes[step + 1] - steps.slopes[step])
        if rise > 0:
            rises.append((end, rise))
    most = max(
        (sum(rise for end, rise in rises if start <= end < start + span) for start, _ in rises),
        default=0,
    )
    slope = max(steps.slopes[bisect_left(steps.ends, low + 1) :])
    cost = -(-(most + span * slope) // steps.divisor)
    if steps.maximum_micro is None:
        return cost
    spent = cost_micro(price, steps, low) if low and not price.volume else 0
    return min(cost, steps.maximum_micro - spent)


def fit(price: Price, steps: Steps, billed: int, target: int, most_micro: int) -> int:
    """Return how far units can be used, at most until ``target`` are billed, so that the cost is
    never above ``most_micro`` on the way. ``billed`` units are paid for already.
    """
    maximum = steps.maximum_micro
    if maximum is not None and maximum <= most_micro:
        return target
    # round_half_up(exact, divisor) <= rest  <=>  2 * exact < divisor * (2 * rest + 1)
    rest_micro = most_micro - price.setup_micro
    limit_exact = (steps.divisor * (2 * rest_micro + 1) - 1) // 2
    reached = billed
    for step in range(bisect_left(steps.ends, billed + 1), len(steps.slopes)):
        end = steps.ends[step] if step < len(steps.ends) else target
        last = _floor(price, steps, min(end, target))
        if last > reached:
            slope = steps.slopes[step]
            room = limit_exact - steps.offsets[step]
            if room < last * slope:
                payable = _floor(price, steps, room // slope) if slope and room > 0 else 0
                reached = max(reached, payable) if payable > _start(steps, step) else reached
                break
            reached = last
        if end >= target:
            break
    return reached // price.increment * price.increment


def _start(steps: Steps, step: int) -> int:
    return steps.ends[step - 1] if step else 0


def _floor(price: Price, steps: Steps, billed: int) -> int:
    """Return the most that can be billed up to ``billed``; 0 when nothing can be."""
    if billed < steps.lowest:
        return 0
    return max(billed // price.increment * price.increment, steps.lowest)
