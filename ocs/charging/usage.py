"""Debits of reported usage: buckets first, then money, by charge context (C-005, M-002..M-012).

Called by serving for each service of an update, a termination or a late report.
"""

from __future__ import annotations

from ocs.amounts import EVENTS, OCTETS, SECONDS, Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import PRICED, Price, Service, ServiceTerms, TariffSlot
from ocs.charging.decision import NS_PER_SECOND, Decision, Part
from ocs.charging.messages import INITIAL, ChargedLine, TariffSide, Units
from ocs.charging.session import ChargeContext, QuotaState
from ocs.charging.working_set import ReviewItem
from ocs.ledger import entries
from ocs.ledger.account import AccountFlag
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


def settle(decision: Decision, part: Part, already: int = 0) -> ChargedLine:
    """Release what the quota holds and debit what was used, in full (M-006, M-008).

    ``already`` are the units that another part of this request reported for the same quota.
    Returns what it came to, as the request's record tells it.
    """
    quota, service = part.quota, part.service
    if quota.holds:
        part.released, quota.holds = quota.holds, []
        part.released_units = entries.release(
            decision.working_set, decision.state, part.released
        )
    line = ChargedLine(service.code, part.asked.rating_group, service.unit, 0, 0, 0, 0, 0, [])
    before, after = _by_side(decision, part)
    if before:
        _debit_possible(decision, part, before, already, line, after=False)
    if after:
        _debit_possible(decision, part, after, already + line.used, line, after=True)
    for used in part.asked.used:
        money_micro = used.units.money_micro
        if money_micro:
            decision.posting.about(service.code)
            _take_money(decision, part, money_micro, line)
    quota.used_units += line.used
    quota.bucket_units += line.from_buckets
    if decision.session is not None:
        decision.session.charged_micro += line.charged_micro
    return line


def keep_orphans(decision: Decision) -> None:
    """Keep usage of a session that is not open for a person to look at (D11, G06)."""
    request, index = decision.request, decision.index
    for asked in request.services:
        service = decision.match(asked)
        if service is None:
            continue
        units = sum(units_of(used.units, service.unit) or 0 for used in asked.used)
        if not units:
            continue
        amount, rule, zone, slot_ns = 0, "", "", 0
        terms = decision.plan.terms.get(service.code) if decision.plan else None
        if terms is not None and index is not None:
            zone = decision.zone_for(service)
            slot = index.tariff_at(terms, zone, request.event_ns)
            if slot.rule is not None and terms.mode is PRICED:
                rule, slot_ns = slot.rule.code, slot.start_ns
                amount = pricing.cost_micro(slot.rule.price, units)
        _review(
            decision, "orphan-usage", "usage was reported for a session that is not open",
            service, units, amount, rule, zone, slot_ns,
        )


def price_context(decision: Decision, part: Part, after: bool) -> tuple[str, str, int]:
    """Return (rule, zone, slot_ns) that usage on this side of a tariff switch belongs to."""
    quota, index = part.quota, decision.index
    if after and index is not None:
        slot = index.tariff_at(part.terms, quota.zone, quota.tariff_change_ns)
        return slot.rule.code if slot.rule else "", quota.zone, slot.start_ns
    if part.service.unit is SECONDS:
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
    if unit is not SECONDS:
        return pricing.cost_micro(price, units)

    def tariff_at(instant_ns: int) -> TariffSlot:
        return index.tariff_at(terms, zone, instant_ns)

    return timeline.cost_micro(tariff_at, slot_ns, units)


def _by_side(decision: Decision, part: Part) -> tuple[int, int]:
    """Return the units reported as used (before, after) a tariff switch (C-061)."""
    # Only a quota that carried Tariff-Time-Change has an "after"; else all is before.
    switches, unit = part.quota.tariff_change_ns != 0, part.service.unit
    before = after = 0
    for report in part.asked.used:
        units = units_of(report.units, unit) or 0
        if switches and (
            report.side == TariffSide.AFTER
            or (
                report.side == TariffSide.INDETERMINATE
                and not decision.context.policy.indeterminate_before
            )
        ):
            after += units
        else:
            before += units
    return before, after


def _debit_possible(
    decision: Decision, part: Part, units: int, already: int, line: ChargedLine, *, after: bool
) -> None:
    """Debit what can be true of the reported usage; the rest waits for a person (D05)."""
    possible = _bound(decision, part, units, already)
    if possible:
        _debit_units(decision, part, possible, line, after=after)
    if possible < units:
        _park(decision, part, units - possible, after)


def _bound(decision: Decision, part: Part, units: int, already: int) -> int:
    """Return how much of the reported usage can be true, after ``already`` more of it (D05)."""
    request, unit = decision.request, part.service.unit
    profile, since_ns = request.profile, part.quota.reported_ns
    if not since_ns and decision.session is not None and request.kind != INITIAL:
        since_ns = decision.session.started_ns
    if not profile.bound_usage or not since_ns:
        return units
    elapsed_ns = request.received_ns - since_ns
    elapsed = elapsed_ns // NS_PER_SECOND + 1 if elapsed_ns > 0 else 1
    if unit is SECONDS:
        possible = elapsed + profile.usage_tolerance_seconds
    elif unit is OCTETS and part.asked.rate_octets_per_second:
        possible = elapsed * part.asked.rate_octets_per_second + profile.usage_tolerance_octets
    else:
        return units
    return max(0, min(units, possible - already))


def _park(decision: Decision, part: Part, units: int, after: bool) -> None:
    index, plan = decision.index, decision.plan
    quota, service = part.quota, part.service
    rule, zone, slot_ns = price_context(decision, part, after)
    context = find_context(quota, rule, zone, slot_ns)
    before = context.paid_units if context else 0
    amount = 0
    if index is not None and plan is not None and rule:
        price = index.rule(plan.code, service.code, rule).price
        amount = pricing.charge_micro(price, before, units)
    _review(
        decision, "parked-usage",
        "more usage was reported than can have happened since the last report",
        service, units, amount, rule, zone, slot_ns, before,
    )
    account = decision.state.account
    if not account.flags & AccountFlag.PARKED_USAGE:
        account.flags |= AccountFlag.PARKED_USAGE
        decision.working_set.mark_account(account)


def _review(
    decision: Decision, kind: str, reason: str, service: Service, units: int, amount_micro: int,
    rule: str, zone: str, slot_ns: int, units_before: int = 0,
) -> None:
    """Keep usage that was not debited for a person to accept or dismiss."""
    decision.working_set.reviews.append(
        ReviewItem(
            review_id=decision.working_set.new_request_id(),
            account_id=decision.state.account.account_id,
            request_id=decision.request_id,
            kind=kind,
            service=service.code,
            units=units,
            unit=service.unit,
            amount_micro=amount_micro,
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


def _debit_units(
    decision: Decision, part: Part, units: int, line: ChargedLine, *, after: bool
) -> None:
    line.used += units
    if part.mode is not PRICED:
        return
    quota, seconds = part.quota, part.service.unit is SECONDS
    if seconds and not quota.started_ns:
        quota.started_ns = decision.request.event_ns - units * NS_PER_SECOND
    if part.units or part.released_units:
        free = _take_units(decision, part, units, line)
        units -= free
        if seconds and not quota.contexts:
            # Paid seconds begin where the free ones ended (M-011, M-012).
            quota.started_ns += free * NS_PER_SECOND
    if units:
        _debit_paid(decision, part, units, line, after=after)


def _take_units(
    decision: Decision, part: Part, units: int, line: ChargedLine
) -> int:
    decision.posting.about(part.service.code)
    taken = entries.take_units(
        decision.working_set, decision.state, part.units, part.released_units, units,
        decision.posting,
    )
    if not taken:
        return 0
    free = sum([entry.amount for entry in taken])
    line.taken += taken
    line.from_buckets += free
    return free


def _debit_paid(
    decision: Decision, part: Part, units: int, line: ChargedLine, *, after: bool
) -> None:
    index, plan, quota, service = decision.index, decision.plan, part.quota, part.service
    assert index is not None
    assert plan is not None
    rule, zone, slot_ns = price_context(decision, part, after)
    if not rule:
        return
    price = index.rule(plan.code, service.code, rule).price
    context = find_context(quota, rule, zone, slot_ns)
    if context is None:
        context = ChargeContext(rule, slot_ns, zone)
        quota.contexts.append(context)
    before = context.paid_units
    cost = cost_in_context(index, part.terms, service.unit, price, zone, slot_ns, before + units)
    # A band without a price can only be met by usage far beyond the grant; it costs nothing.
    amount = cost - context.charged_micro if cost is not None else 0
    context.paid_units = before + units
    if not amount:
        return
    context.charged_micro += amount
    decision.posting.about(service.code, rule, zone, slot_ns, before, before + units)
    _take_money(decision, part, amount, line)


def _take_money(
    decision: Decision, part: Part, amount_micro: int, line: ChargedLine
) -> None:
    line.taken += entries.take_money(
        decision.working_set, decision.state, part.money, amount_micro, decision.posting,
        part.released,
    )
    line.charged_micro += amount_micro
