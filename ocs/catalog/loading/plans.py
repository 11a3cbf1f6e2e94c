"""Plans of a catalogue file: the terms of their services, and their allowances.

Called by loading.document, which has read time bands, destinations and services before.
"""

from dataclasses import replace

from ocs.amounts import Measured, Unit, parse_amount
from ocs.catalog.loading.exchange import read_exchange
from ocs.catalog.loading.limits import (
    check_rollovers,
    check_used,
    read_bucket_cap,
    read_limits,
    read_rollover,
)
from ocs.catalog.loading.models import MODELS, check_clocked, check_price, check_recorded
from ocs.catalog.loading.notify import read_notify
from ocs.catalog.loading.offers import BonusReader, read_life_cycle, read_transfers
from ocs.catalog.loading.pools import check_pooled
from ocs.catalog.loading.prices import Offer, PriceListReader
from ocs.catalog.loading.quota import read_quota
from ocs.catalog.loading.recurring import read_recurring
from ocs.catalog.loading.taxes import with_tax
from ocs.catalog.loading.units import split_unit
from ocs.catalog.loading.values import (
    amount_from_zero,
    check_code,
    more_than_zero,
    read_final_unit,
    seconds_up_to,
)
from ocs.catalog.model import (
    Allowance,
    ChargeMode,
    FinalUnitPolicy,
    Plan,
    PriceRule,
    Service,
    ServiceTerms,
)
from ocs.marked import Mapping, Node, Scalar, unknown_word

MAX_PLANS = 10_000
MAX_ALLOWANCES = 100
MAX_FRIENDS = 50
MAX_EXPIRY_SECONDS = 20 * 365 * 86400
_MODES = {"free": ChargeMode.FREE, "uncontrolled": ChargeMode.UNCONTROLLED}
_ALLOWANCE_UNITS: dict[str, Measured] = {
    unit.label: unit for unit in (Unit.OCTETS, Unit.SECONDS, Unit.EVENTS, Unit.MONEY)
}
_CLOCKS = {"catalogue": False, "subscriber": True}
_ON_PLAN_CHANGE = {"keep": False, "end": True}
_OPEN_SESSIONS = {"change": False, "keep": True}


def read_plans(root: Mapping, offer: Offer) -> dict[str, Plan]:
    """Return every plan of the file; there must be one at least."""
    group = root.mapping("plans", required=True)
    plans: dict[str, Plan] = {}
    for key, node in group.members():
        if len(plans) >= MAX_PLANS:
            key.problem(f"there are more than {MAX_PLANS} plans")
            break
        code = check_code(key, "plan")
        if isinstance(node, Mapping):
            plans[code] = _read_plan(code, node, offer)
        else:
            node.problem(f"plan '{code}' needs a group of keys")
    if root.has("plans") and not group.entries:
        group.problem("there is no plan")
    return plans


def _read_plan(code: str, group: Mapping, offer: Offer) -> Plan:
    offer.taxes.enter_plan(group)
    limits = read_limits(
        group, offer.services, {**_ALLOWANCE_UNITS, **offer.units},
        group.mapping("services").keys,
    )  # fmt: skip
    offer.limits = {one.code: one for one in limits if one.changes_price}
    plan = Plan(
        code=code,
        name=group.text("name", code),
        terms=_read_terms_of_plan(code, group, offer),
        final_unit=read_final_unit(group, "final_unit", FinalUnitPolicy()),
        credit_limit_micro=group.parsed("credit_limit", amount_from_zero, 0),
        low_balance_micro=(
            group.parsed("low_balance", parse_amount, 0) if group.has("low_balance") else None
        ),
        keeps_version=group.choice("open_sessions", _OPEN_SESSIONS, default=False),
        notify=read_notify(group, offer.names.networks, offer.notify),
        limits=limits,
        friends=group.integer("friends", 0, minimum=0, maximum=MAX_FRIENDS),
    )
    check_used(group, limits, plan.terms.values())
    if plan.notify is not None and plan.notify.roaming:
        offer.used.update(("network", zone) for zone in offer.names.networks)
    plan = replace(plan, allowances=_read_allowances(group, plan, offer))
    plan = replace(plan, recurring=read_recurring(group, plan, offer.taxes))
    check_rollovers(group, plan)
    bonuses = BonusReader(plan, offer.services, offer.promotions, offer.used)
    plan = replace(
        plan,
        life_cycle=read_life_cycle(group),
        top_up_bonus=bonuses.read(group),
        transfers=read_transfers(group),
        exchange=read_exchange(group, offer.currencies),
    )
    group.finish()
    return plan


def _read_terms_of_plan(plan: str, group: Mapping, offer: Offer) -> dict[str, ServiceTerms]:
    services = group.mapping("services", required=True)
    if group.has("services") and not services.entries:
        services.problem(f"plan '{plan}' sells no service")
    terms: dict[str, ServiceTerms] = {}
    codes: dict[str, Node] = {}
    for key, node in services.members():
        service = offer.services.get(key.text)
        if service is None:
            key.problem(unknown_word(key.text, "no service of this catalogue", offer.services))
            continue
        offer.used.add(("service", service.code))
        if service.named is not None:
            offer.used.add(("unit", service.named.name))
        terms[service.code] = _read_terms(service, node, offer, codes)
    return terms


def _read_terms(service: Service, node: Node, offer: Offer, codes: dict[str, Node]) -> ServiceTerms:
    if isinstance(node, Scalar):
        if node.text not in _MODES:
            words = "free, uncontrolled, or a group with price or prices"
            node.problem(f"{node.describe()} is no charge; give {words}")
        return ServiceTerms(service.code, _MODES.get(node.text, ChargeMode.FREE))
    if not isinstance(node, Mapping):
        node.problem("a service is free, uncontrolled, or a group with price or prices")
        return ServiceTerms(service.code, ChargeMode.FREE)
    ways = [way for way in ("charge", "prices", *MODELS) if node.has(way)]
    if len(ways) != 1 and ways[:1] not in ([model] for model in MODELS):
        node.problem(
            "give exactly one of price, flat, stepped, volume, prices and charge (free or "
            "uncontrolled)"
        )
    if not ways:
        for key in node.keys:
            node.get(key)
    quota_group = node.mapping("quota")
    quota = (
        read_quota(quota_group, service.counted_in, service.quota) if node.has("quota") else None
    )
    for key in ("quota", "final_unit"):
        if node.has(key) and not service.contexts:
            node.keys[key].problem(
                f"'{key}' is about requests of gateways, and service '{service.code}' has no "
                "contexts"
            )
    final_unit = (
        read_final_unit(node, "final_unit", FinalUnitPolicy()) if node.has("final_unit") else None
    )
    tax = offer.taxes.of_service(service.code)
    mode = ChargeMode.PRICED
    rules: tuple[PriceRule, ...] = ()
    if ways[:1] == ["charge"]:
        mode = node.choice("charge", _MODES)
    elif ways:
        price_list = PriceListReader(service, offer, codes)
        rules = with_tax(price_list.read(node, ways[0]), tax)
        check_clocked(rules, service.unit, price_list.places)
        for rule, place in zip(rules, price_list.places, strict=True):
            if service.contexts:
                check_price(rule.price, service.counted_in, quota or service.quota, place)
            else:
                check_recorded(rule.price, service.counted_in, place)
            if service.pool:
                check_pooled(offer.pools[service.pool], rule, place)
    clock = node.choice("clock", _CLOCKS, default=False)
    if clock and not any(rule.band for rule in rules):
        node.entries["clock"].problem("'clock' is for prices with time bands, and there are none")
    node.finish()
    return ServiceTerms(
        service.code, mode, rules, quota, final_unit, clock, tax if rules else None
    )


def _read_allowances(group: Mapping, plan: Plan, offer: Offer) -> tuple[Allowance, ...]:
    allowances: list[Allowance] = []
    for key, node in group.mapping("allowances").members():
        code = check_code(key, "allowance")
        if not isinstance(node, Mapping):
            node.problem(f"allowance '{code}' needs a group of keys")
        elif len(allowances) >= MAX_ALLOWANCES:
            key.problem(f"there are more than {MAX_ALLOWANCES} allowances")
            break
        else:
            allowances.append(_read_allowance(code, node, plan, offer))
    return tuple(allowances)


def _read_allowance(code: str, group: Mapping, plan: Plan, offer: Offer) -> Allowance:
    counted = group.choice("unit", {**_ALLOWANCE_UNITS, **offer.units})
    unit, named = split_unit(counted)
    amount = group.parsed("amount", more_than_zero(counted), 1, required=True)
    services = tuple(
        key.text for key in group.scalars("services") if _pays(key, counted, plan, offer)
    )
    if not group.has("services") and not any(
        terms.mode is ChargeMode.PRICED
        and counted in (Unit.MONEY, offer.services[name].counted_in)
        for name, terms in plan.terms.items()
    ):
        group.title.problem(f"no service with a price in plan '{plan.code}' can use this allowance")
    allowance = Allowance(
        code=code,
        unit=unit,
        amount=amount,
        services=services,
        priority=group.integer("priority", 100, minimum=0, maximum=1000),
        expires_after_seconds=group.parsed(
            "expires_after", seconds_up_to(MAX_EXPIRY_SECONDS, minimum=0), 0
        ),
        named=named,
        rollover=read_rollover(group, more_than_zero(counted)),
        at_most=read_bucket_cap(group, counted, more_than_zero(counted)),
        ends_with_plan=group.choice("on_plan_change", _ON_PLAN_CHANGE, default=False),
    )
    if allowance.at_most is not None and any(offer.services[name].pool for name in plan.terms):
        group.keys["at_most"].problem(
            "'at_most' does not go with pools, whose quotas are drawn on in any order"
        )
    group.finish()
    return allowance


def _pays(key: Scalar, unit: Measured, plan: Plan, offer: Offer) -> bool:
    """Whether an allowance of ``unit`` can pay for the service named; if not, note why."""
    service, terms = offer.services.get(key.text), plan.terms.get(key.text)
    if service is None:
        key.problem(unknown_word(key.text, "no service of this catalogue", offer.services))
    elif terms is None:
        key.problem(f"plan '{plan.code}' does not sell service '{key.text}'")
    elif terms.mode is not ChargeMode.PRICED:
        key.problem(f"service '{key.text}' costs nothing in plan '{plan.code}'")
    elif unit not in (Unit.MONEY, service.counted_in):
        key.problem(
            f"service '{key.text}' is counted in {service.counted_in.label}, this allowance in "
            f"{unit.label}"
        )
    else:
        return True
    return False
