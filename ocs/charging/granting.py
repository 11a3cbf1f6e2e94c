"""How much a client may use next: size, holds, thresholds, validity, final units.

Rules D12 to D18, C-040 to C-050, M-004, M-005, M-012 to M-015. Called by engine after all usage
of the request was debited.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ocs.amounts import Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import (
    ChargeMode,
    FinalUnitAction,
    FinalUnitPolicy,
    QuotaPolicy,
    Service,
    ServiceTerms,
    TariffSlot,
)
from ocs.charging.decision import NS_PER_SECOND, Decision
from ocs.charging.messages import FinalUnit, Outcome, ServiceReply, ServiceRequest, Units
from ocs.charging.session import QuotaState
from ocs.charging.usage import cost_in_context, find_context, units_of
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Hold
from ocs.rating import pricing, timeline

_LAST_NS = 1 << 63
THRESHOLD_MAX_OCTETS = (1 << 32) - 1
"""Volume-Quota-Threshold is an Unsigned32 while grants are 64-bit (section 3.4)."""


@dataclass(slots=True)
class Size:
    """A grant before it is told to the client."""

    units: int = 0
    holds: list[Hold] = field(default_factory=list)
    reserved_micro: int = 0
    final: bool = False
    """Nothing more can be paid after it."""
    short_of_others: bool = False
    """The shortage is due to other reservations only (D16)."""
    bucket_expiry_ns: int = 0
    switch_ns: int = 0
    """Where the tariff changes inside the validity time; 0 = nowhere."""


def grant(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
    asked: ServiceRequest, reply: ServiceReply, outstanding: int = 0,
) -> Size:
    """Size and hold a grant for one quota and write it into ``reply``.

    ``outstanding`` are units that the client keeps because grants add up for it; they are held
    again together with the new ones. The quota holds nothing when this is called.
    """
    policy = decision.quota_policy(service, terms)
    requested = asked.requested or Units()
    if requested.money_micro is not None:
        return _grant_money(decision, quota, service, policy, requested, reply)
    wanted = units_of(requested, service.unit)
    if wanted is None and requested != Units():
        reply.outcome = Outcome.RATING_FAILED
        reply.reason = f"service '{service.code}' is charged in {service.unit.label} only"
        return Size()
    wanted = min(wanted or policy.slice, policy.maximum)
    if decision.mode_of(terms) is not ChargeMode.PRICED:
        size = Size(units=wanted + outstanding)
        _open_quota(quota, service, "", "", 0, size)
    else:
        size = _size_priced(decision, quota, service, terms, policy, wanted + outstanding)
        floor = outstanding + min(wanted, policy.minimum_useful)
        if size.units < floor or size.units <= outstanding:
            entries.release(decision.working_set, decision.state, size.holds)
            quota.holds = []
            _refuse(decision, quota, service, terms, policy, size, reply)
            return size
    _write_grant(decision, quota, service, terms, policy, size, outstanding, requested, reply)
    return size


def _size_priced(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
    policy: QuotaPolicy, wanted: int,
) -> Size:
    """Take units from buckets first, then from money; hold both (M-004, M-005, M-012)."""
    index = decision.index
    assert index is not None
    event_ns = decision.request.event_ns
    zone = decision.zone_for(service) or quota.zone
    slot = index.tariff_at(terms, zone, event_ns)
    size = Size()
    if slot.rule is None:
        return size
    unit_buckets = decision.spendable(service.unit, service.code)
    _hold_units(decision, unit_buckets, wanted, size)
    money = decision.spendable(Unit.MONEY, service.code)
    _open_quota(quota, service, slot.rule.code, zone, slot.start_ns, size)
    until_ns = event_ns + policy.validity_seconds * NS_PER_SECOND
    if service.unit is not Unit.SECONDS and slot.end_ns and slot.end_ns < until_ns:
        size.switch_ns = slot.end_ns
    paid_wanted = wanted - size.units
    budget = entries.available_micro(decision.state, money)
    payer = _Payer(decision, quota, service, terms, index, slot, size)
    paid = 0
    if budget >= 0:
        paid, size.reserved_micro = payer.most(budget, paid_wanted)
    if size.reserved_micro:
        held = entries.hold(decision.working_set, money, size.reserved_micro)
        size.holds += held
        if len(money) > 1:
            _note_expiry(money, held, size)
    size.units += paid
    left = budget - size.reserved_micro
    if not payer.surely_more(paid, left) and not _can_go_on(payer, unit_buckets, paid, left):
        _judge_shortage(unit_buckets, money, payer, size, paid, left)
    quota.holds = size.holds
    return size


def _can_go_on(payer: _Payer, unit_buckets: list[Bucket], paid: int, left: int) -> bool:
    """Tell whether another increment could still be paid (C-040)."""
    if any(bucket.available > 0 for bucket in unit_buckets):
        return True
    return left >= 0 and payer.affordable(paid, left, 1) > 0


class _Payer:
    """Price of more units of one quota: the dearer side where the tariff switches (C-060)."""

    __slots__ = ("_before", "_before_micro", "_index", "_next", "_price", "_quota", "_seconds",
                 "_start_ns", "_terms")

    def __init__(
        self, decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
        index: CatalogIndex, slot: TariffSlot, size: Size,
    ) -> None:
        assert slot.rule is not None
        self._quota, self._terms, self._index = quota, terms, index
        self._price = slot.rule.price
        self._seconds = service.unit is Unit.SECONDS
        self._start_ns = quota.started_ns or decision.request.event_ns
        slot_ns = quota.started_ns if self._seconds else quota.slot_ns
        context = find_context(quota, quota.rule, quota.zone, slot_ns)
        self._before = context.paid_units if context else 0
        self._before_micro = context.charged_micro if context else 0
        if self._seconds and not quota.contexts:
            # Paid seconds begin where the free ones end (M-011, M-012).
            self._start_ns += size.units * NS_PER_SECOND
        self._next = None
        if size.switch_ns and decision.request.profile.tariff_change:
            self._next = index.tariff_at(terms, quota.zone, size.switch_ns).rule

    def _tariff_at(self, instant_ns: int) -> TariffSlot:
        return self._index.tariff_at(self._terms, self._quota.zone, instant_ns)

    def affordable(self, already: int, budget_micro: int, wanted: int) -> int:
        """Return the units after ``already`` new ones that the budget pays, at most ``wanted``."""
        before = self._before + already
        if self._seconds:
            return timeline.affordable_seconds(
                self._tariff_at, self._start_ns, before, budget_micro, wanted
            )
        units = pricing.affordable_units(self._price, before, budget_micro, wanted)
        if self._next is not None:
            units = pricing.affordable_units(self._next.price, already, budget_micro, units)
        return units

    def most(self, budget_micro: int, wanted: int) -> tuple[int, int]:
        """Return (units, what they can cost at most in micro units) within the budget (M-004)."""
        if not self._seconds and self._next is None:
            return pricing.fit_budget(
                self._price, self._before, self._before_micro, budget_micro, wanted
            )
        units = self.affordable(0, budget_micro, wanted)
        return units, self._charge(units)

    def surely_more(self, paid: int, left_micro: int) -> bool:
        """Tell cheaply that one more increment is affordable; False means: look closer."""
        return (
            self._next is None
            and (paid > 0 or self._before > 0)
            and not self._seconds
            and left_micro >= pricing.increment_cost_max_micro(self._price)
        )

    def _charge(self, units: int) -> int:
        if self._seconds:
            after = cost_in_context(
                self._index, self._terms, Unit.SECONDS, self._price, self._quota.zone,
                self._start_ns, self._before + units,
            )
            return (after or 0) - self._before_micro
        charge = pricing.cost_micro(self._price, self._before + units) - self._before_micro
        if self._next is not None:
            charge = max(charge, pricing.charge_micro(self._next.price, 0, units))
        return charge


def _hold_units(decision: Decision, buckets: list[Bucket], wanted: int, size: Size) -> None:
    for bucket in buckets:
        part = min(bucket.available, wanted - size.units)
        if part <= 0:
            continue
        held = entries.hold(decision.working_set, [bucket], part)
        size.holds += held
        size.units += part
        _note_expiry([bucket], held, size)


def _note_expiry(buckets: list[Bucket], held: list[Hold], size: Size) -> None:
    """Remember when the first of the buckets that the grant draws on expires (M-012)."""
    used = {entry.bucket_id for entry in held}
    for bucket in buckets:
        if bucket.bucket_id in used and bucket.expires_ns:
            size.bucket_expiry_ns = min(size.bucket_expiry_ns or _LAST_NS, bucket.expires_ns)


def _judge_shortage(
    unit_buckets: list[Bucket], money: list[Bucket], payer: _Payer, size: Size, paid: int,
    left: int,
) -> None:
    """Tell the end of the account from a shortage that other sessions' holds make (C-040, D16)."""
    own = {entry.bucket_id: entry.amount for entry in size.holds}
    others_units = sum(bucket.held - own.get(bucket.bucket_id, 0) for bucket in unit_buckets)
    others_micro = sum(bucket.held - own.get(bucket.bucket_id, 0) for bucket in money)
    if others_units > 0:
        size.short_of_others = True
    elif others_micro > 0 and left + others_micro >= 0:
        size.short_of_others = bool(payer.affordable(paid, left + others_micro, 1))
    size.final = not size.short_of_others


def _open_quota(
    quota: QuotaState, service: Service, rule: str, zone: str, slot_ns: int, size: Size
) -> None:
    # Time quotas keep one context per measurement: their switches are inside the timeline.
    if service.unit is Unit.SECONDS and quota.rule and zone == quota.zone:
        rule, slot_ns = quota.rule, quota.slot_ns
    elif service.unit is Unit.SECONDS and quota.rule:
        quota.started_ns = 0
    quota.rule, quota.zone, quota.slot_ns = rule, zone, slot_ns
    quota.tariff_change_ns = 0
    quota.granted = size.units
    quota.restricted = False


def _write_grant(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
    policy: QuotaPolicy, size: Size, outstanding: int, requested: Units, reply: ServiceReply,
) -> None:
    request, profile = decision.request, decision.request.profile
    new_units = size.units - outstanding
    reply.outcome = Outcome.SUCCESS
    reply.granted = _in_asked_kinds(service.unit, new_units, requested)
    reply.quota_holding_seconds = policy.quota_holding_seconds
    validity = policy.validity_seconds
    if size.final:
        reply.final_unit = _final_unit(decision, terms)
        validity = profile.final_validity_seconds or validity
    elif size.short_of_others:
        validity = min(validity, policy.short_validity_seconds)
    else:
        _write_threshold(service.unit, policy, new_units, reply)
    if size.bucket_expiry_ns:
        validity = min(validity, _seconds_until(decision, size.bucket_expiry_ns))
    if size.switch_ns:
        if profile.tariff_change:
            reply.tariff_change_ns = quota.tariff_change_ns = size.switch_ns
        else:
            validity = min(validity, _seconds_until(decision, size.switch_ns))
    _set_validity(decision, quota, max(1, validity), reply)
    quota.granted = size.units
    quota.granted_ns = request.received_ns
    quota.final = size.final
    if not quota.reported_ns:
        quota.reported_ns = request.received_ns


def _write_threshold(
    unit: Unit, policy: QuotaPolicy, granted: int, reply: ServiceReply
) -> None:
    threshold = granted * policy.threshold_percent // 100
    if not 0 < threshold < granted:
        return
    if unit is Unit.OCTETS:
        reply.volume_threshold_octets = min(threshold, THRESHOLD_MAX_OCTETS)
    elif unit is Unit.SECONDS:
        reply.time_threshold_seconds = threshold
    else:
        reply.unit_threshold_events = threshold


def _in_asked_kinds(unit: Unit, granted: int, requested: Units) -> Units:
    """Return the grant in the kinds that were asked for (G-003).

    Time asked for beside volume, or volume beside time, is a limit that costs nothing: it is
    granted as it was asked (G-001, M-015).
    """
    if unit is Unit.SECONDS:
        return Units(seconds=granted, octets=requested.octets or None)
    if unit is Unit.EVENTS:
        return Units(events=granted)
    units = _in_asked_directions(granted, requested)
    units.seconds = requested.seconds or None
    return units


def _in_asked_directions(granted: int, requested: Units) -> Units:
    if requested.octets is not None or (
        requested.input_octets is None and requested.output_octets is None
    ):
        return Units(octets=granted)
    if requested.output_octets is None:
        return Units(input_octets=granted)
    if requested.input_octets is None:
        return Units(output_octets=granted)
    return Units(input_octets=granted // 2, output_octets=granted - granted // 2)


def _final_unit(decision: Decision, terms: ServiceTerms) -> FinalUnit:
    policy = decision.final_unit_policy(terms)
    if policy.action is FinalUnitAction.TERMINATE or decision.request.profile.only_terminate:
        return FinalUnit(FinalUnitAction.TERMINATE)
    return FinalUnit(
        policy.action,
        policy.redirect_address_type,
        policy.redirect_address,
        policy.restriction_filter_rules,
        policy.filter_ids,
    )


def _refuse(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
    policy: QuotaPolicy, size: Size, reply: ServiceReply,
) -> None:
    """Say that nothing can be granted: 4012, or the way to the portal (C-045 to C-047)."""
    quota.granted = 0
    profile = decision.request.profile
    final = decision.final_unit_policy(terms)
    if not size.units and not _has_tariff(decision, quota, service, terms):
        reply.outcome = Outcome.RATING_FAILED
        reply.reason = f"plan has no price for service '{service.code}' here and now"
        return
    stays = not (profile.grant_or_refuse or profile.only_terminate) and not size.short_of_others
    if stays and final.action is not FinalUnitAction.TERMINATE:
        quota.restricted = True
        reply.final_unit = _final_unit(decision, terms)
        _set_validity(decision, quota, policy.short_validity_seconds, reply)
        return
    if stays and _zero_grant(final):
        reply.granted = _in_asked_kinds(service.unit, 0, Units())
        reply.final_unit = FinalUnit(FinalUnitAction.TERMINATE)
        return
    reply.outcome = Outcome.CREDIT_LIMIT_REACHED
    reply.reason = "the account cannot pay for another increment"


def _zero_grant(final: FinalUnitPolicy) -> bool:
    return final.zero_grant and final.action is FinalUnitAction.TERMINATE


def _has_tariff(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms
) -> bool:
    assert decision.index is not None
    zone = decision.zone_for(service) or quota.zone
    slot = decision.index.tariff_at(terms, zone, decision.request.event_ns)
    return slot.rule is not None


def keep_restricted(
    decision: Decision, quota: QuotaState, service: Service, terms: ServiceTerms,
    reply: ServiceReply,
) -> None:
    """Answer a report of a restricted client: no units, but a Validity-Time (C-044)."""
    policy = decision.quota_policy(service, terms)
    quota.restricted = True
    reply.final_unit = _final_unit(decision, terms)
    _set_validity(decision, quota, policy.short_validity_seconds, reply)


def _grant_money(
    decision: Decision, quota: QuotaState, service: Service, policy: QuotaPolicy,
    requested: Units, reply: ServiceReply,
) -> Size:
    """Reserve an amount that the client has rated itself (C-004, G19)."""
    state = decision.state
    amount = requested.money_micro or 0
    size = Size()
    if requested.money_currency not in ("", state.account.currency):
        reply.outcome = Outcome.RATING_FAILED
        reply.reason = (
            f"the account is kept in {state.account.currency}, not {requested.money_currency}"
        )
        return size
    money = decision.spendable(Unit.MONEY, service.code)
    if amount <= 0 or amount > entries.available_micro(state, money):
        reply.outcome = Outcome.CREDIT_LIMIT_REACHED
        reply.reason = "the account cannot cover this amount"
        return size
    size.holds = quota.holds = entries.hold(decision.working_set, money, amount)
    size.reserved_micro = amount
    quota.granted = 0
    reply.granted = Units(money_micro=amount, money_currency=state.account.currency)
    _set_validity(decision, quota, policy.validity_seconds, reply)
    return size


def _set_validity(
    decision: Decision, quota: QuotaState, seconds: int, reply: ServiceReply
) -> None:
    reply.validity_seconds = seconds
    quota.expires_ns = decision.request.received_ns + seconds * NS_PER_SECOND
    session = decision.session
    if session is not None:
        session.longest_validity_seconds = max(session.longest_validity_seconds, seconds)


def _seconds_until(decision: Decision, instant_ns: int) -> int:
    return (instant_ns - decision.request.received_ns) // NS_PER_SECOND
