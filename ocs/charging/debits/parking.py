"""Usage that was reported and is not debited: kept for a person, so nothing is lost (D05, D11).

Three kinds of review item: ``parked-usage`` is more than can have happened, ``orphan-usage`` was
reported for a session that is not open, ``unrated-usage`` has no price or cannot be a quantity.
Called by engine, serving and usage; an item is written in the transaction of its request.
"""

from __future__ import annotations

from ocs.amounts import INT64_MAX, MONEY, Unit, format_amount
from ocs.catalog.model import PRICED, Service
from ocs.charging.counts import prices
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import ServiceRequest
from ocs.charging.model.working_set import ReviewItem
from ocs.charging.quotas.contexts import find_context, price_context, units_of
from ocs.ledger.account import AccountFlag
from ocs.rating import pricing

PARKED, ORPHAN, UNRATED = "parked-usage", "orphan-usage", "unrated-usage"
KINDS = (PARKED, ORPHAN, UNRATED)
"""The kinds; they are stored."""
NO_PRICE = "the plan has no price for it there and then"


def park_impossible(decision: Decision, part: Part, units: int, after: bool) -> None:
    """Keep usage beyond what can have happened since the last report (D05)."""
    index, plan = decision.index, decision.plan
    rule, zone, slot_ns = price_context(decision, part, after)
    context = find_context(part.quota, rule, zone, slot_ns)
    before = context.paid_units if context else 0
    amount = 0
    if index is not None and plan is not None and rule:
        found = index.rule(plan.code, part.service.code, rule)
        price = found.price
        if price.counted:
            counter = prices.of_price(decision, part.service.code, found, slot_ns)
            before = counter.units if counter is not None else 0
        amount = pricing.charge_micro(price, before, units)
    _flag(decision)
    _review(
        decision, PARKED, "more usage was reported than can have happened since the last report",
        part.service, units, amount, rule, zone, slot_ns, before,
    )


def park_unpriced(decision: Decision, part: Part, units: int, reason: str = NO_PRICE) -> None:
    """Keep usage of a service that is sold, but has no price that can be charged."""
    _flag(decision)
    if units > INT64_MAX:
        reason += f" ({units} {part.service.unit.label})"
    _review(decision, UNRATED, reason, part.service, units)


def park_money(decision: Decision, part: Part, amount_micro: int) -> None:
    """Keep an amount that would leave what an account can be in debt."""
    _flag(decision)
    _review(
        decision, UNRATED, "it costs more than the account can be in debt", part.service,
        amount_micro, amount_micro, unit=MONEY,
    )


def park_unrated(
    decision: Decision, asked: ServiceRequest, service: Service | None, reason: str
) -> None:
    """Keep everything that a refused part of a request reported, each kind of unit by itself."""
    found = False
    for unit, amount in _reported(asked):
        found = True
        _review(
            decision, UNRATED, reason + _remark(asked, unit, amount), service, amount, unit=unit
        )
    if not found and asked.used and asked.invalid:
        # What was reported is no number; the record of the request has the words for it.
        _review(decision, UNRATED, reason, service, 0, unit=MONEY)
        found = True
    if found:
        _flag(decision)


def park_orphans(decision: Decision) -> None:
    """Keep usage of a session that is not open (D11, G06)."""
    for asked in decision.request.services:
        if not asked.used:
            continue
        service = decision.match(asked)
        units = sum(units_of(used.units, service.unit) or 0 for used in asked.used) if (
            service is not None and not asked.invalid
        ) else 0
        if service is None or not units:
            park_unrated(
                decision, asked, service,
                "usage was reported for a session that is not open, and has no price",
            )
            continue
        rule, zone, slot_ns, amount = _orphan_price(decision, asked, service, units)
        _review(
            decision, ORPHAN, "usage was reported for a session that is not open",
            service, units, amount, rule, zone, slot_ns,
        )


def _orphan_price(
    decision: Decision, asked: ServiceRequest, service: Service, units: int
) -> tuple[str, str, int, int]:
    index = decision.index
    terms = decision.plan.terms.get(service.code) if decision.plan else None
    if terms is None or index is None:
        return "", "", 0, 0
    zone = decision.context_key(service, terms, asked)
    slot = index.tariff_at(terms, zone, decision.request.event_ns)
    if slot.rule is None or terms.mode is not PRICED:
        return "", zone, 0, 0
    amount = pricing.cost_micro(slot.rule.price, units)
    return slot.rule.code, zone, slot.start_ns, amount


def _reported(asked: ServiceRequest) -> list[tuple[Unit, int]]:
    """Return what was reported, summed by kind of unit, without zeros."""
    sums = {
        unit: sum(units_of(used.units, unit) or 0 for used in asked.used) for unit in Unit
    }
    return [(unit, amount) for unit, amount in sums.items() if amount]


def _remark(asked: ServiceRequest, unit: Unit, amount: int) -> str:
    if unit is MONEY:
        codes = {used.units.money_currency for used in asked.used if used.units.money_micro}
        return f" ({format_amount(amount)} {' '.join(sorted(codes))})".replace(" )", ")")
    return f" ({amount} {unit.label})" if amount > INT64_MAX else ""


def _flag(decision: Decision) -> None:
    account = decision.state.account
    if not account.flags & AccountFlag.PARKED_USAGE:
        account.flags |= AccountFlag.PARKED_USAGE
        decision.working_set.mark_account(account)


def _review(
    decision: Decision, kind: str, reason: str, service: Service | None, units: int,
    amount_micro: int = 0, rule: str = "", zone: str = "", slot_ns: int = 0,
    units_before: int = 0, *, unit: Unit | None = None,
) -> None:
    if unit is None:
        unit = service.unit if service is not None else MONEY
    decision.working_set.reviews.append(
        ReviewItem(
            review_id=decision.working_set.new_request_id(),
            account_id=decision.state.account.account_id,
            request_id=decision.request_id,
            kind=kind,
            service=service.code if service is not None else "",
            units=min(units, INT64_MAX),
            unit=unit,
            amount_micro=min(amount_micro, INT64_MAX),
            reason=reason,
            rule=rule,
            zone=zone,
            slot_ns=slot_ns,
            units_before=units_before,
            catalogue_version=decision.posting.catalogue_version,
            event_ns=decision.request.event_ns,
            session_id=decision.request.session_id,
        )
    )
