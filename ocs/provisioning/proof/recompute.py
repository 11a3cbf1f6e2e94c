"""What a stored charge should have cost: computed again from its catalogue and its units.

The price function is that of the decision (M-002, M-011). Called by why and by the audit.
"""

from ocs.amounts import Unit, round_half_up
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import TariffSlot
from ocs.catalog.taxes import Tax
from ocs.charging.model.messages import RequestKind
from ocs.errors import NotFoundError
from ocs.ledger.account import Movement
from ocs.rating import pricing, timeline


def is_timed(index: CatalogIndex, plan: str, kind: int, movement: Movement) -> bool:
    """Tell whether the charge is part of a timeline of seconds, not of a plain count (M-011)."""
    service = index.catalog.services.get(movement.service)
    return bool(
        service is not None
        and service.unit is Unit.SECONDS
        and kind != RequestKind.EVENT
        and movement.slot_ns
        and not index.catalog.plans[plan].terms[service.code].counted
    )


def cumulative_micro(
    index: CatalogIndex, plan: str, kind: int, movement: Movement, units: int
) -> int | None:
    """Return what ``units`` cumulative units cost in the charge context of a movement.

    None where the plan has no price for a part of them. Raises NotFoundError when the catalogue
    has no such rule.
    """
    rule = index.rule(plan, movement.service, movement.rule)
    if not is_timed(index, plan, kind, movement):
        return pricing.cost_micro(rule.price, units)
    terms = index.catalog.plans[plan].terms[movement.service]

    def tariff_at(instant_ns: int) -> TariffSlot:
        return index.tariff_at(terms, movement.zone, instant_ns)

    return timeline.cost_micro(tariff_at, movement.slot_ns, units)


def fee_micro(index: CatalogIndex, plan_code: str, movement: Movement) -> int | None:
    """Return what a recurring fee comes to for the days that a movement pays for (K-263).

    None for one that gives back. Raises NotFoundError when the catalogue has no such fee.
    """
    plan = index.catalog.plans.get(plan_code)
    for item in plan.recurring if plan is not None else ():
        if item.code == movement.rule:
            days = movement.units_after - movement.units_before
            if days <= 0:
                return None
            return round_half_up(item.fee_micro * days, movement.units_after)
    raise NotFoundError(f"plan '{plan_code}' has no recurring fee '{movement.rule}'")


def fee_tax(index: CatalogIndex, plan_code: str, movement: Movement) -> Tax | None:
    """Return the tax in a recurring fee."""
    plan = index.catalog.plans.get(plan_code)
    items = plan.recurring if plan is not None else ()
    return next((item.tax for item in items if item.code == movement.rule), None)
