"""The dry run of a price: what a quantity would cost, step by step. Nothing is stored.

Called by `ocs price`, over the published catalogue or one in a file.
"""

import re
from dataclasses import dataclass
from typing import Any

from ocs.amounts import Measured, Unit, format_amount, format_quantity, parse_quantity
from ocs.catalog.conditions import CLOCK, HOME, NO, RAT, ROAMING, ROLE, YES
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import (
    RELATION,
    TERMINATING,
    Catalog,
    ChargeMode,
    Plan,
    Service,
    ServiceTerms,
    TariffSlot,
)
from ocs.charging.quotas.contexts import cost_in_context
from ocs.errors import NotFoundError, RefusedError, UsageError
from ocs.marked import unknown_word
from ocs.provisioning.catalogues import choices
from ocs.provisioning.customers.subscribers import find_plan
from ocs.provisioning.instants import format_instant
from ocs.provisioning.views import money
from ocs.rating.explain import explain_seconds, explain_units, price_text


@dataclass(frozen=True, slots=True)
class Question:
    """What a price is asked for. Quantities are texts such as ``10 MB``; empty means nothing."""

    service: str
    plan: str
    quantity: str
    before: str = ""
    """Used in the same session before."""
    destination: str = ""
    """The called number, where the service is rated by destination."""
    at_ns: int = 0
    when: tuple[str, ...] = ()
    """Conditions that are fulfilled, such as ``visited=eu``."""


def quote(index: CatalogIndex, question: Question) -> dict[str, Any]:
    """Return the price of a quantity of a service under a plan, with its steps.

    Raises NotFoundError, UsageError, RefusedError when the plan does not sell it.
    """
    catalog = index.catalog
    service = _find_service(index, question.service)
    plan = find_plan(index, question.plan)
    terms = plan.terms.get(service.code)
    if terms is None:
        raise RefusedError(f"plan '{plan.code}' does not include service '{service.code}'")
    units = _units(question.quantity, service.counted_in)
    before = _units(question.before, service.counted_in) if question.before else 0
    zone = _zone(index, service, question.destination)
    labels = _labels(index, question.when)
    _add_roaming(index, labels)
    _add_relation(index, labels, question.destination)
    key = index.price_list(terms).key_of(zone, labels, labels.get(CLOCK, ""))
    view = {
        **_asked(catalog, plan, terms, service),
        "units": units,
        "units_text": format_quantity(units, service.counted_in),
        "units_before": before,
        "units_before_text": format_quantity(before, service.counted_in),
        "zone": zone,
        "conditions": key.removeprefix(zone).strip(),
        "at": format_instant(question.at_ns),
        "currency": catalog.currency,
    }
    nothing = {"rule": "", "price": "", **money("cost", 0)}
    if terms.mode is not ChargeMode.PRICED:
        words = "free" if terms.mode is ChargeMode.FREE else "not controlled"
        steps = [f"plan '{plan.code}' makes '{service.code}' {words}: it costs nothing"]
        return {**view, **nothing, "steps": steps, **choices.none()}
    slot = index.tariff_at(terms, key, question.at_ns)
    if slot.rule is None and labels.get(ROLE) == TERMINATING:
        steps = ["a terminating call is free, because no price says otherwise"]
        return {**view, **nothing, "steps": steps, **choices.none()}
    if slot.rule is None:
        raise RefusedError(
            f"plan '{plan.code}' has no price for '{service.code}'"
            + (f" to zone '{zone}'" if zone else "")
            + f" at {format_instant(question.at_ns)}"
        )
    cost, steps = _cost(index, terms, service, key, slot, before, units, question.at_ns)
    cost = _of_account(slot.rule.sponsor, cost, steps)
    return {
        **view,
        "rule": slot.rule.code,
        "price": price_text(slot.rule.price, service.counted_in, catalog.currency),
        **money("cost", cost),
        "steps": steps,
        **choices.of_question(index, terms, slot.rule, zone, labels, question.at_ns),
    }


def _asked(
    catalog: Catalog, plan: Plan, terms: ServiceTerms, service: Service
) -> dict[str, Any]:
    return {
        "catalogue": catalog.name,
        "catalogue_version": catalog.version,
        "plan": plan.code,
        "service": service.code,
        "mode": terms.mode.name.lower(),
        "unit": service.counted_in.label,
    }


def _of_account(sponsor: str, cost_micro: int, steps: list[str]) -> int:
    """Return what the account itself pays: nothing where there is a sponsor (K-216)."""
    if not sponsor:
        return cost_micro
    steps.append(f"sponsor '{sponsor}' pays the {format_amount(cost_micro)}, the account nothing")
    return 0


def _cost(
    index: CatalogIndex, terms: ServiceTerms, service: Service, key: str, slot: TariffSlot,
    before: int, units: int, at_ns: int,
) -> tuple[int, list[str]]:  # fmt: skip
    assert slot.rule is not None
    price, currency, unit = slot.rule.price, index.catalog.currency, service.unit
    first = cost_in_context(index, terms, unit, price, key, at_ns, before)
    last = cost_in_context(index, terms, unit, price, key, at_ns, before + units)
    if first is None or last is None:
        raise RefusedError("the plan has no price for a part of this time")
    if unit is Unit.SECONDS and slot.end_ns:
        steps = explain_seconds(
            lambda instant_ns: index.tariff_at(terms, key, instant_ns),
            at_ns, currency, before, before + units,
        )  # fmt: skip
    else:
        steps = explain_units(slot.rule, service.counted_in, currency, before, before + units)
    if terms.tax is not None:
        part = format_amount(terms.tax.part_of(last) - terms.tax.part_of(first))
        steps.append(f"{part} of it is tax: {terms.tax.text()}")
    return last - first, steps


def _find_service(index: CatalogIndex, code: str) -> Service:
    service = index.catalog.services.get(code)
    if service is None:
        known = ", ".join(sorted(index.catalog.services))
        raise NotFoundError(f"the catalogue has no service '{code}'; it has {known}")
    return service


def _units(text: str, unit: Measured) -> int:
    try:
        return parse_quantity(text, unit)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _labels(index: CatalogIndex, when: tuple[str, ...]) -> dict[str, str]:
    """Return labels by dimension; raises UsageError for a word that is no condition."""
    labels: dict[str, str] = {}
    known = {dimension.name for dimension in index.places.dimensions} | {CLOCK}
    for word in when:
        name, given, label = word.partition("=")
        if name not in known or not given or not label:
            raise UsageError(
                f"'{word}' is no condition such as visited=eu; conditions are about "
                f"{', '.join(sorted(known))}"
            )
        labels[name] = _label(index, name, label)
    if CLOCK in labels and not re.fullmatch(r"[-+](?:0[0-9]|1[0-9]):[0-5][0-9]", labels[CLOCK]):
        raise UsageError(f"'{labels[CLOCK]}' is no clock such as +02:00")
    return labels


def _label(index: CatalogIndex, name: str, label: str) -> str:
    """Return what is said of a dimension; raises UsageError for a value that it never has."""
    if name == ROAMING:
        label = {"true": YES, "false": NO}.get(label, label)
    known = index.places.labels_of(name)
    if known and label not in known and not (name == RAT and label.isdecimal()):
        raise UsageError(unknown_word(label, f"no value of the condition '{name}'", known))
    return label


def _add_relation(index: CatalogIndex, labels: dict[str, str], destination: str) -> None:
    """Say of a called number whether it is in the own network, as a request would."""
    if destination and index.catalog.own_numbers and labels.get(ROLE) != TERMINATING:
        number = _digits(destination)
        labels.setdefault(RELATION, index.places.relation(number, "", ()))


def _add_roaming(index: CatalogIndex, labels: dict[str, str]) -> None:
    """Say of a visited network whether it is foreign, as a request from there would."""
    if "visited" not in labels or HOME not in index.catalog.networks:
        return
    roaming = NO if labels["visited"] == HOME else YES
    if labels.setdefault("roaming", roaming) != roaming:
        raise UsageError(
            f"visited={labels['visited']} is {'roaming' if roaming == YES else 'not roaming'}"
        )


def _zone(index: CatalogIndex, service: Service, destination: str) -> str:
    if not destination:
        return ""
    if not service.destination_rated:
        raise UsageError(f"service '{service.code}' is not rated by destination; leave --to out")
    return index.zone_of(_digits(destination))


def _digits(destination: str) -> str:
    digits = destination.strip().removeprefix("+")
    if not digits.isdecimal():
        raise UsageError(f"'{destination}' is no number in international format")
    return digits
