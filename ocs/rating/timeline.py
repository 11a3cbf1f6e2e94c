"""Seconds that run through time bands: each increment costs the price in force at its first
second (M-011). Called by charging for time quotas and by the explanations.

A timeline begins at the first second measured. Its cost is a function of cumulative seconds
alone, so it does not depend on how usage was cut into reports either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ocs.amounts import round_half_up
from ocs.catalog.model import Price, TariffSlot
from ocs.rating import pricing

NS_PER_SECOND = 1_000_000_000
SPANS_MAX = 4096
"""Longest walk over band borders; a month of hourly bands needs 720."""


@dataclass(frozen=True, slots=True)
class BilledSpan:
    """``billed`` seconds of a timeline that cost ``price``, from ``start_second`` on."""

    start_second: int
    billed: int
    price: Price
    rule: str


def billed_spans(
    tariff_at: Callable[[int], TariffSlot], start_ns: int, seconds: int
) -> list[BilledSpan] | None:
    """Cut ``seconds`` (> 0) into spans of one price each; None where the plan has no price."""
    spans: list[BilledSpan] = []
    position = minimum = 0
    while position < max(seconds, minimum):
        slot = tariff_at(start_ns + position * NS_PER_SECOND)
        if slot.rule is None or len(spans) >= SPANS_MAX:
            return None
        price = slot.rule.price
        if position == 0:
            minimum = price.minimum
        increments = -(-(max(seconds, minimum) - position) // price.increment)
        if slot.end_ns:
            inside_ns = slot.end_ns - start_ns - position * NS_PER_SECOND
            increments = min(increments, -(-inside_ns // (price.increment * NS_PER_SECOND)))
        billed = increments * price.increment
        if position + billed - price.increment >= seconds and position + billed > minimum:
            # The last increment only fills up the minimum, so it ends there.
            billed = minimum - position
        spans.append(BilledSpan(position, billed, price, slot.rule.code))
        position += billed
    return spans


def cost_micro(
    tariff_at: Callable[[int], TariffSlot], start_ns: int, seconds: int
) -> int | None:
    """Return what the first ``seconds`` of the timeline cost; None where there is no price."""
    if seconds <= 0:
        return 0
    first = tariff_at(start_ns)
    if first.rule is not None and (
        not first.end_ns or start_ns + _reach(first.rule.price, seconds) <= first.end_ns
    ):
        return pricing.cost_micro(first.rule.price, seconds)
    spans = billed_spans(tariff_at, start_ns, seconds)
    if spans is None:
        return None
    total = sum(
        (Fraction(span.billed * span.price.rate_micro, span.price.per) for span in spans),
        Fraction(0),
    )
    return spans[0].price.setup_micro + round_half_up(total.numerator, total.denominator)


def affordable_seconds(
    tariff_at: Callable[[int], TariffSlot], start_ns: int, before: int, budget_micro: int,
    wanted: int,
) -> int:
    """Return the most seconds after ``before``, at most ``wanted``, that the budget pays.

    Where money is the limit the result ends on an increment, found by halving: the cost never
    falls as seconds grow.
    """
    first = tariff_at(start_ns)
    if first.rule is None:
        return 0
    if not first.end_ns or (
        start_ns + _reach(first.rule.price, before + wanted) <= first.end_ns
    ):
        return pricing.affordable_units(first.rule.price, before, budget_micro, wanted)
    paid = cost_micro(tariff_at, start_ns, before)
    if paid is None:
        return 0
    low, high = 0, wanted
    while low < high:
        middle = (low + high + 1) // 2
        cost = cost_micro(tariff_at, start_ns, before + middle)
        if cost is not None and cost - paid <= budget_micro:
            low = middle
        else:
            high = middle - 1
    return low


def _reach(price: Price, seconds: int) -> int:
    """Return how far, in ns, the start of the last increment of ``seconds`` can be."""
    return max(seconds, price.minimum) * NS_PER_SECOND
