"""Which units a service charges, and the charge context that they are counted in (M-002, M-010).

Called by usage, sizing, granting, events and parking, and by the reviews of provisioning.
"""

from __future__ import annotations

from ocs.amounts import EVENTS, OCTETS, SECONDS, Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Price, ServiceTerms, TariffSlot
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import Units
from ocs.charging.model.session import ChargeContext, QuotaState
from ocs.rating import pricing, timeline


def units_of(units: Units, unit: Unit) -> int | None:
    """Return the dimension of ``units`` that a service of ``unit`` charges (G-001, G-002)."""
    if unit is OCTETS:
        octets = units.octets
        if octets is not None:
            return octets
        if units.input_octets is None and units.output_octets is None:
            return None
        return (units.input_octets or 0) + (units.output_octets or 0)
    if unit is SECONDS:
        return units.seconds
    if unit is EVENTS:
        return units.events
    return units.money_micro


def price_context(decision: Decision, part: Part, after: bool) -> tuple[str, str, int]:
    """Return (rule, zone, slot_ns) that usage on this side of a tariff switch belongs to."""
    quota, index = part.quota, decision.index
    if after and index is not None:
        slot = index.tariff_at(part.terms, quota.zone, quota.tariff_change_ns)
        return slot.rule.code if slot.rule else "", quota.zone, slot.start_ns
    if part.clocked:
        return quota.rule, quota.zone, quota.started_ns
    return quota.rule, quota.zone, quota.slot_ns


def find_context(quota: QuotaState, rule: str, zone: str, slot_ns: int) -> ChargeContext | None:
    """Return the charge context of these conditions, if anything was charged in it."""
    for context in quota.contexts:
        if context.rule == rule and context.zone == zone and context.slot_ns == slot_ns:
            return context
    return None


def cost_in_context(
    index: CatalogIndex, terms: ServiceTerms, unit: Unit, price: Price, zone: str, slot_ns: int,
    units: int,
) -> int | None:
    """Return the cost of cumulative units in one context: by clock for time, else by price."""
    if unit is not SECONDS or terms.counted:
        return pricing.cost_micro(price, units)

    def tariff_at(instant_ns: int) -> TariffSlot:
        return index.tariff_at(terms, zone, instant_ns)

    return timeline.cost_micro(tariff_at, slot_ns, units)
