"""Debits of reported usage: buckets first, then money, by charge context (C-005, M-002..M-012).

Called by engine for each service of an update, a termination or a late report.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ocs.amounts import Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import ChargeMode, Price, Service, ServiceTerms, TariffSlot
from ocs.charging.decision import NS_PER_SECOND, Decision
from ocs.charging.messages import RequestKind, ServiceRequest, TariffSide, Units, UsedUnits
from ocs.charging.session import ChargeContext, QuotaState
from ocs.charging.working_set import ReviewItem
from ocs.ledger import entries
from ocs.ledger.account import AccountFlag, Hold
from ocs.rating import pricing, timeline


@dataclass(slots=True)
class Debit:
    """What one report came to."""

    units: int = 0
    from_buckets: int = 0
    charged_micro: int = 0
    taken: list[Hold] = field(default_factory=list)


def units_of(units: Units, unit: Unit) -> int | None:
    """Return the dimension of ``units`` that a service of ``unit`` charges (G-001, G-002)."""
    if unit is Unit.OCTETS:
        if units.octets is not None:
            return units.octets
        if units.input_octets is None and units.output_octets is None:
            return None
        return (units.input_octets or 0) + (units.output_octets or 0)
    if unit is Unit.SECONDS:
        return units.seconds
    if unit is Unit.EVENTS:
        return units.events
    return units.money_micro


def settle(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
    asked: ServiceRequest, already: int = 0,
) -> Debit:
    """Release what the quota holds and debit what was used, in full (M-006, M-008).

    ``already`` are the units that another part of this request reported for the same quota.
    """
    released, quota.holds = quota.holds, []
    if released:
        entries.release(decision.working_set, decision.state, released)
    debit = Debit()
    for after, units in _by_side(decision, quota, service, asked.used):
        possible = _bound(decision, quota, service, asked, units, already + debit.units)
        if possible:
            _debit_units(decision, quota, service, terms, possible, after, released, debit)
        if possible < units:
            _park(decision, quota, service, terms, units - possible, after)
    for used in asked.used:
        if used.units.money_micro:
            _debit_money(decision, service, used.units.money_micro, released, debit)
    quota.used_units += debit.units
    quota.bucket_units += debit.from_buckets
    if decision.session is not None:
        decision.session.charged_micro += debit.charged_micro
    return debit


def names_foreign_money(decision: Decision, asked: ServiceRequest) -> bool:
    """Tell whether money was reported in another currency than the account's."""
    known = ("", decision.state.account.currency)
    return any(used.units.money_currency not in known for used in asked.used)


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
            if slot.rule is not None and terms.mode is ChargeMode.PRICED:
                rule, slot_ns = slot.rule.code, slot.start_ns
                amount = pricing.cost_micro(slot.rule.price, units)
        decision.working_set.reviews.append(
            ReviewItem(
                review_id=decision.working_set.new_request_id(),
                account_id=request.account_id,
                request_id=decision.request_id,
                kind="orphan-usage",
                service=service.code,
                units=units,
                unit=service.unit,
                amount_micro=amount,
                reason="usage was reported for a session that is not open",
                rule=rule,
                zone=zone,
                slot_ns=slot_ns,
                catalogue_version=decision.posting.catalogue_version,
                event_ns=request.event_ns,
                session_id=request.session_id,
            )
        )


def price_context(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms, after: bool
) -> tuple[str, str, int]:
    """Return (rule, zone, slot_ns) that usage on this side of a tariff switch belongs to."""
    index = decision.index
    if after and index is not None:
        slot = index.tariff_at(terms, quota.zone, quota.tariff_change_ns)
        return slot.rule.code if slot.rule else "", quota.zone, slot.start_ns
    if service.unit is Unit.SECONDS:
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
    if unit is not Unit.SECONDS:
        return pricing.cost_micro(price, units)

    def tariff_at(instant_ns: int) -> TariffSlot:
        return index.tariff_at(terms, zone, instant_ns)

    return timeline.cost_micro(tariff_at, slot_ns, units)


def _by_side(
    decision: Decision, quota: QuotaState, service: Service, used: tuple[UsedUnits, ...]
) -> list[tuple[bool, int]]:
    # C-061: only a quota that carried Tariff-Time-Change has an "after"; else all is before.
    before = after = 0
    for report in used:
        units = units_of(report.units, service.unit) or 0
        late = report.side == TariffSide.AFTER or (
            report.side == TariffSide.INDETERMINATE
            and not decision.context.policy.indeterminate_before
        )
        if late and quota.tariff_change_ns:
            after += units
        else:
            before += units
    sides = []
    if before:
        sides.append((False, before))
    if after:
        sides.append((True, after))
    return sides


def _bound(
    decision: Decision, quota: QuotaState, service: Service, asked: ServiceRequest, units: int,
    already: int,
) -> int:
    """Return how much of the reported usage can be true, after ``already`` more of it (D05)."""
    request, session = decision.request, decision.session
    profile, since_ns = request.profile, quota.reported_ns
    if not since_ns and session is not None and request.kind != RequestKind.INITIAL:
        since_ns = session.started_ns
    if not profile.bound_usage or not since_ns:
        return units
    elapsed = max(0, request.received_ns - since_ns) // NS_PER_SECOND + 1
    if service.unit is Unit.SECONDS:
        return max(0, min(units, elapsed + profile.usage_tolerance_seconds - already))
    if service.unit is Unit.OCTETS and asked.rate_octets_per_second:
        possible = elapsed * asked.rate_octets_per_second + profile.usage_tolerance_octets
        return max(0, min(units, possible - already))
    return units


def _park(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms, units: int,
    after: bool,
) -> None:
    request, index, plan = decision.request, decision.index, decision.plan
    rule, zone, slot_ns = price_context(decision, quota, service, terms, after)
    context = find_context(quota, rule, zone, slot_ns)
    before = context.paid_units if context else 0
    amount = 0
    if index is not None and plan is not None:
        price = _price(index, plan.code, service.code, rule)
        if price is not None:
            amount = pricing.charge_micro(price, before, units)
    decision.working_set.reviews.append(
        ReviewItem(
            review_id=decision.working_set.new_request_id(),
            account_id=decision.state.account.account_id,
            request_id=decision.request_id,
            kind="parked-usage",
            service=service.code,
            units=units,
            unit=service.unit,
            amount_micro=amount,
            reason="more usage was reported than can have happened since the last report",
            rule=rule,
            zone=zone,
            slot_ns=slot_ns,
            units_before=before,
            catalogue_version=decision.posting.catalogue_version,
            event_ns=request.event_ns,
            session_id=request.session_id,
        )
    )
    account = decision.state.account
    if not account.flags & AccountFlag.PARKED_USAGE:
        account.flags |= AccountFlag.PARKED_USAGE
        decision.working_set.mark_account(account)


def _debit_units(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms, units: int,
    after: bool, released: list[Hold], debit: Debit,
) -> None:
    debit.units += units
    if decision.mode_of(terms) is not ChargeMode.PRICED or decision.index is None:
        return
    state, working_set, posting = decision.state, decision.working_set, decision.posting
    posting.service, posting.rule, posting.zone = service.code, "", ""
    posting.slot_ns = posting.units_before = posting.units_after = 0
    if service.unit is Unit.SECONDS and not quota.started_ns:
        quota.started_ns = decision.request.event_ns - units * NS_PER_SECOND
    buckets = decision.spendable(service.unit, service.code)
    if buckets or released:
        taken = entries.take_units(working_set, state, buckets, released, units, posting)
        from_buckets = sum(entry.amount for entry in taken)
        debit.taken += taken
        debit.from_buckets += from_buckets
        units -= from_buckets
        if service.unit is Unit.SECONDS and not quota.contexts:
            # Paid seconds begin where the free ones ended (M-011, M-012).
            quota.started_ns += from_buckets * NS_PER_SECOND
    if units:
        _debit_paid(decision, quota, service, terms, units, after, released, debit)


def _debit_paid(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms, units: int,
    after: bool, released: list[Hold], debit: Debit,
) -> None:
    index, posting = decision.index, decision.posting
    assert index is not None
    assert decision.plan is not None
    rule, zone, slot_ns = price_context(decision, quota, service, terms, after)
    price = _price(index, decision.plan.code, service.code, rule)
    if price is None:
        return
    context = find_context(quota, rule, zone, slot_ns)
    if context is None:
        context = ChargeContext(rule, slot_ns, zone)
        quota.contexts.append(context)
    before = context.paid_units
    cost = cost_in_context(index, terms, service.unit, price, zone, slot_ns, before + units)
    # A band without a price can only be met by usage far beyond the grant; it costs nothing.
    amount = cost - context.charged_micro if cost is not None else 0
    context.paid_units = before + units
    context.charged_micro += amount
    if not amount:
        return
    posting.rule, posting.zone, posting.slot_ns = rule, zone, slot_ns
    posting.units_before, posting.units_after = before, before + units
    _take_money(decision, service, amount, released, debit)


def _debit_money(
    decision: Decision, service: Service, amount_micro: int, released: list[Hold], debit: Debit
) -> None:
    posting = decision.posting
    posting.service, posting.rule, posting.zone = service.code, "", ""
    posting.slot_ns = posting.units_before = posting.units_after = 0
    _take_money(decision, service, amount_micro, released, debit)


def _take_money(
    decision: Decision, service: Service, amount_micro: int, released: list[Hold], debit: Debit
) -> None:
    debit.taken += entries.take_money(
        decision.working_set, decision.state, decision.spendable(Unit.MONEY, service.code),
        amount_micro, decision.posting, released,
    )
    debit.charged_micro += amount_micro


def _price(index: CatalogIndex, plan: str, service: str, rule: str) -> Price | None:
    return index.rule(plan, service, rule).price if rule else None
