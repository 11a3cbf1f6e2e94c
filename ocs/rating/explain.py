"""A price in steps that a person can follow; for `ocs price` and `ocs why`. Pure text."""

from __future__ import annotations

from collections.abc import Callable

from ocs.amounts import Measured, NamedUnit, Unit, format_amount, format_quantity
from ocs.catalog.model import Price, PriceRule, TariffSlot, Tier
from ocs.rating import pricing, timeline


def price_text(price: Price, unit: Measured, currency: str) -> str:
    """Return one price in words, such as ``0.05 EUR per 1000000 octets``."""
    if price.tiers:
        words = "; ".join(_tier_text(tier, unit, currency) for tier in price.tiers)
        words = f"{'volume' if price.volume else 'stepped'}: {words}"
    else:
        words = _rate_text(price.rate_micro, price.per, unit, currency)
    if price.increment > 1:
        words += f", in steps of {_count(price.increment, unit)}"
    if price.minimum:
        words += f", at least {_count(price.minimum, unit)}"
    if price.setup_micro:
        words += f", setup {format_amount(price.setup_micro)} {currency}"
    if price.maximum_micro is not None:
        words += f", at most {format_amount(price.maximum_micro)} {currency}"
    if price.counted:
        words += f", counted over a {price.counted.name.lower()}"
        words += " for each member" if price.by_member else ""
    return words


def _count(units: int, unit: Measured) -> str:
    """Return a quantity beside another one that says the unit already."""
    return format_quantity(units, unit) if isinstance(unit, NamedUnit) else str(units)


def _rate_text(rate_micro: int, per: int, unit: Measured, currency: str) -> str:
    amount = format_amount(rate_micro)
    if rate_micro % 10 and unit not in (Unit.OCTETS, Unit.SECONDS):
        # A price finer than a micro unit is kept for more units: say it for as few as can be.
        least, finer = unit.one if isinstance(unit, NamedUnit) else 1, 0
        while per % 10 == 0 and per // 10 >= least:
            per, finer = per // 10, finer + 1
        if finer:
            digits = str(rate_micro).rjust(7 + finer, "0")
            amount = f"{digits[: -6 - finer]}.{digits[-6 - finer :]}"
    return f"{amount} {currency} per {format_quantity(per, unit)}"


def _tier_text(tier: Tier, unit: Measured, currency: str) -> str:
    words = _rate_text(tier.rate_micro, tier.per, unit, currency)
    if tier.flat_micro:
        words += f" and {format_amount(tier.flat_micro)} {currency} once"
    return f"{words} up to {_count(tier.up_to, unit)}" if tier.up_to else f"{words} beyond"


def explain_units(
    rule: PriceRule, unit: Measured, currency: str, before: int, after: int
) -> list[str]:
    """Explain the charge for cumulative units ``before`` -> ``after`` under one rule."""
    price = rule.price
    lines = [f"rule '{rule.code}': {price_text(price, unit, currency)}"]
    for label, units in (("before", before), ("after", after)):
        lines.append(
            f"{label}: {format_quantity(units, unit)} used and paid with money, "
            f"{_count(pricing.billed_units(price, units), unit)} billed, "
            f"cost {format_amount(pricing.cost_micro(price, units))} {currency}"
        )
    charge = pricing.cost_micro(price, after) - pricing.cost_micro(price, before)
    lines.append(f"charge: {format_amount(charge)} {currency} (after minus before)")
    return lines


def explain_seconds(
    tariff_at: Callable[[int], TariffSlot], start_ns: int, currency: str, before: int, after: int
) -> list[str]:
    """Explain the charge for cumulative seconds of a timeline, span by span."""
    lines = [
        f"from second {span.start_second}: {span.billed} seconds billed by rule "
        f"'{span.rule}': {price_text(span.price, Unit.SECONDS, currency)}"
        for span in timeline.billed_spans(tariff_at, start_ns, after) or []
    ]
    cost_after = timeline.cost_micro(tariff_at, start_ns, after) or 0
    cost_before = timeline.cost_micro(tariff_at, start_ns, before) or 0
    lines.append(f"cost of {after} seconds: {format_amount(cost_after)} {currency}")
    if before:
        lines.append(f"cost of the {before} before: {format_amount(cost_before)} {currency}")
    lines.append(f"charge: {format_amount(cost_after - cost_before)} {currency}")
    return lines
