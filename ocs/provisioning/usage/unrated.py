"""What usage without a price costs by the catalogue of today, once an operator has mended it.

Usage of a service that nobody had configured, or that the plan did not sell, waits as
``unrated-usage``; accepted, it stands alone at the price of the instant it was reported at. Called
by reviews.
"""

import msgspec

from ocs.amounts import AMOUNT_MAX_MICRO, Unit, format_quantity
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import PRICED, Service
from ocs.charging.model.messages import ChargingRecord, ServiceRequest
from ocs.charging.model.working_set import ReviewItem
from ocs.charging.quotas.contexts import units_of
from ocs.errors import RefusedError
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.desk import Desk
from ocs.rating import pricing
from ocs.store.ledger_reports import StoredRequest


def priced_today(
    desk: Desk, catalogues: Catalogues, item: ReviewItem
) -> tuple[ReviewItem, CatalogIndex, str]:
    """Return the item as it is rated now, with the catalogue and the plan that rate it.

    Raises RefusedError where there is no price for it still.
    """
    stored, account = desk.ledger.request(item.request_id), desk.reports.account(item.account_id)
    index = catalogues.current()
    plan = index.catalog.plans.get(account.plan) if account else None
    if stored is None or plan is None or item.unit == Unit.MONEY:
        raise _without_price(item, "it is no quantity of a service")
    found = _service(index, stored, item)
    if found is None:
        raise _without_price(item, "the catalogue in force has no service that counts it")
    service, asked = found
    terms = plan.terms.get(service.code)
    if terms is None:
        raise _without_price(item, f"plan '{plan.code}' does not include '{service.code}'")
    rated = msgspec.structs.replace(
        item, service=service.code, catalogue_version=index.catalog.version, units_before=0
    )
    if terms.mode is not PRICED:
        return rated, index, plan.code
    rated.zone = _context_key(index, stored.record, service, plan.code, asked)
    rule = index.tariff_at(terms, rated.zone, item.event_ns).rule
    if rule is None:
        raise _without_price(item, f"plan '{plan.code}' has no price for '{service.code}' then")
    if pricing.cost_micro(rule.price, item.units) > AMOUNT_MAX_MICRO:
        raise _without_price(item, "it would cost more than the largest amount kept")
    rated.rule = rule.code
    return rated, index, plan.code


def _service(
    index: CatalogIndex, stored: StoredRequest, item: ReviewItem
) -> tuple[Service, ServiceRequest] | None:
    """Return the service of the part of the request that the item is about, and that part."""
    unit = Unit(item.unit)
    for asked in stored.record.services:
        reported = sum(units_of(used.units, unit) or 0 for used in asked.used)
        service = index.match_service(
            stored.record.service_context, asked.rating_group, asked.service_identifiers
        )
        if reported != item.units or service is None:
            continue
        other = index.catalog.services.get(service.together_with)
        for candidate in (service, other):
            if candidate is not None and candidate.unit is unit:
                return candidate, asked
    return None


def _context_key(
    index: CatalogIndex, record: ChargingRecord, service: Service, plan: str,
    asked: ServiceRequest,
) -> str:  # fmt: skip
    said = record.attributes
    number = said.called_party or next(iter(said.recipients), "")
    zone = index.zone_of(number) if service.destination_rated and number else ""
    if asked.details is not None and asked.details.rat_type >= 0:
        said = msgspec.structs.replace(said, rat_type=asked.details.rat_type)
    terms = index.catalog.plans[plan].terms[service.code]
    return index.context_key(terms, zone, said) if terms.conditional else zone


def _without_price(item: ReviewItem, why: str) -> RefusedError:
    amount = format_quantity(item.units, Unit(item.unit))
    return RefusedError(
        f"the {amount} of review {item.review_id} cannot be priced: {why}; publish a catalogue "
        "that does, or dismiss it and use `ocs account adjust`"
    )
