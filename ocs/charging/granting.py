"""How much a client may use next: size, holds, thresholds, validity, final units.

Rules D12 to D18, C-040 to C-050, M-004, M-005, M-012 to M-015. Called by serving after all usage
of the request was debited.
"""

from __future__ import annotations

import msgspec

from ocs.amounts import EVENTS, OCTETS, SECONDS, Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import (
    PRICED,
    FinalUnitAction,
    FinalUnitPolicy,
    Price,
    PriceRule,
    QuotaPolicy,
    TariffSlot,
)
from ocs.charging.decision import NS_PER_SECOND, Decision, Part
from ocs.charging.messages import FinalUnit, Outcome, Units
from ocs.charging.usage import cost_in_context, find_context, units_of
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Hold
from ocs.rating import pricing, timeline

_LAST_NS = 1 << 63
_SERVER_CHOOSES = Units()
THRESHOLD_MAX_OCTETS = (1 << 32) - 1
"""Volume-Quota-Threshold is an Unsigned32 while grants are 64-bit (section 3.4)."""


class Size(msgspec.Struct):
    """A grant before it is told to the client."""

    units: int = 0
    holds: list[Hold] = []
    reserved_micro: int = 0
    final: bool = False
    """Nothing more can be paid after it."""
    short_of_others: bool = False
    """The shortage is due to other reservations only (D16)."""
    bucket_expiry_ns: int = 0
    switch_ns: int = 0
    """Where the tariff changes inside the validity time; 0 = nowhere."""


def grant(decision: Decision, part: Part) -> Size:
    """Size and hold a grant for one quota and write it into the reply.

    Units that the client keeps because grants add up for it are held again together with the new
    ones. The quota holds nothing when this is called.
    """
    service, outstanding = part.service, part.kept
    requested = part.asked.requested or _SERVER_CHOOSES
    policy = part.terms.quota or service.quota
    if requested.money_micro is not None:
        return _grant_money(decision, part, policy, requested)
    wanted = units_of(requested, service.unit)
    if wanted is None and requested != _SERVER_CHOOSES:
        part.refuse(
            Outcome.RATING_FAILED,
            f"service '{service.code}' is charged in {service.unit.label} only",
        )
        return Size()
    wanted = wanted or policy.slice
    wanted = wanted if wanted < policy.maximum else policy.maximum
    if part.mode is not PRICED:
        size = Size(wanted + outstanding)
        _open_quota(part, "", "", 0, size.units)
    else:
        size = _size_priced(decision, part, policy, wanted + outstanding)
        useful = wanted if wanted < policy.minimum_useful else policy.minimum_useful
        if size.units < outstanding + useful or size.units <= outstanding:
            entries.release(decision.working_set, decision.state, size.holds)
            part.quota.holds = []
            _refuse(decision, part, policy, size)
            return size
    _write_grant(decision, part, policy, size, requested)
    return size


def _size_priced(decision: Decision, part: Part, policy: QuotaPolicy, wanted: int) -> Size:
    """Take units from buckets first, then from money; hold both (M-004, M-005, M-012)."""
    index = decision.index
    assert index is not None
    service, quota, money = part.service, part.quota, part.money
    event_ns = decision.request.event_ns
    zone = (decision.zone_for(service) if service.destination_rated else "") or quota.zone
    slot = index.tariff_at(part.terms, zone, event_ns)
    size = Size()
    if slot.rule is None:
        return size
    if part.units:
        _hold_units(decision, part.units, wanted, size)
    _open_quota(part, slot.rule.code, zone, slot.start_ns, size.units)
    if slot.end_ns and service.unit is not SECONDS:
        until_ns = event_ns + policy.validity_seconds * NS_PER_SECOND
        size.switch_ns = slot.end_ns if slot.end_ns < until_ns else 0
    budget = entries.available_micro(decision.state, money)
    payer = _Payer(decision, part, index, slot.rule.price, size)
    paid = reserved = 0
    if budget >= 0:
        paid, reserved = payer.most(budget, wanted - size.units)
    if reserved:
        held = entries.hold(decision.working_set, money, reserved)
        size.holds += held
        size.reserved_micro = reserved
        if len(money) > 1:
            _note_expiry(money, held, size)
    size.units += paid
    left = budget - reserved
    if not payer.surely_more(paid, left) and not _can_go_on(payer, part.units, paid, left):
        _judge_shortage(part, payer, size, paid, left)
    quota.holds = size.holds
    return size


def _can_go_on(payer: _Payer, unit_buckets: list[Bucket], paid: int, left: int) -> bool:
    """Tell whether another increment could still be paid (C-040)."""
    if any(bucket.available > 0 for bucket in unit_buckets):
        return True
    return left >= 0 and payer.affordable(paid, left, 1) > 0


class _Payer:
    """Price of more units of one quota: the dearer side where the tariff switches (C-060)."""

    __slots__ = (
        "_before", "_before_micro", "_index", "_next", "_part", "_price", "_seconds", "_start_ns",
    )

    def __init__(
        self, decision: Decision, part: Part, index: CatalogIndex, price: Price, size: Size
    ) -> None:
        quota, seconds = part.quota, part.service.unit is SECONDS
        self._part, self._index, self._price, self._seconds = part, index, price, seconds
        self._start_ns = 0
        if seconds:
            self._start_ns = quota.started_ns or decision.request.event_ns
            if not quota.contexts:
                # Paid seconds begin where the free ones end (M-011, M-012).
                self._start_ns += size.units * NS_PER_SECOND
        slot_ns = quota.started_ns if seconds else quota.slot_ns
        context = find_context(quota, quota.rule, quota.zone, slot_ns)
        if context is None:
            self._before = self._before_micro = 0
        else:
            self._before, self._before_micro = context.paid_units, context.charged_micro
        self._next: PriceRule | None = None
        if size.switch_ns and decision.request.profile.tariff_change:
            self._next = index.tariff_at(part.terms, quota.zone, size.switch_ns).rule

    def _tariff_at(self, instant_ns: int) -> TariffSlot:
        return self._index.tariff_at(self._part.terms, self._part.quota.zone, instant_ns)

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
                self._index, self._part.terms, SECONDS, self._price, self._part.quota.zone,
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


def _judge_shortage(part: Part, payer: _Payer, size: Size, paid: int, left: int) -> None:
    """Tell the end of the account from a shortage that other sessions' holds make (C-040, D16)."""
    own = {entry.bucket_id: entry.amount for entry in size.holds}
    others_units = sum(bucket.held - own.get(bucket.bucket_id, 0) for bucket in part.units)
    others_micro = sum(bucket.held - own.get(bucket.bucket_id, 0) for bucket in part.money)
    if others_units > 0:
        size.short_of_others = True
    elif others_micro > 0 and left + others_micro >= 0:
        size.short_of_others = bool(payer.affordable(paid, left + others_micro, 1))
    size.final = not size.short_of_others


def _open_quota(part: Part, rule: str, zone: str, slot_ns: int, units: int) -> None:
    quota = part.quota
    # Time quotas keep one context per measurement: their switches are inside the timeline.
    if part.service.unit is SECONDS and quota.rule:
        if zone == quota.zone:
            rule, slot_ns = quota.rule, quota.slot_ns
        else:
            quota.started_ns = 0
    quota.rule, quota.zone, quota.slot_ns = rule, zone, slot_ns
    quota.tariff_change_ns = 0
    quota.granted = units
    quota.restricted = False


def _write_grant(
    decision: Decision, part: Part, policy: QuotaPolicy, size: Size, requested: Units
) -> None:
    request, quota, reply = decision.request, part.quota, part.reply
    new_units = size.units - part.kept
    reply.granted = _in_asked_kinds(part.service.unit, new_units, requested)
    reply.quota_holding_seconds = policy.quota_holding_seconds
    validity = policy.validity_seconds
    if size.final:
        reply.final_unit = _final_unit(decision, part)
        validity = request.profile.final_validity_seconds or validity
    elif size.short_of_others:
        validity = min(validity, policy.short_validity_seconds)
    else:
        _write_threshold(part, policy, new_units)
    if size.bucket_expiry_ns:
        validity = min(validity, _seconds_until(decision, size.bucket_expiry_ns))
    if size.switch_ns:
        if request.profile.tariff_change:
            reply.tariff_change_ns = quota.tariff_change_ns = size.switch_ns
        else:
            validity = min(validity, _seconds_until(decision, size.switch_ns))
    _set_validity(decision, part, validity if validity > 0 else 1)
    quota.granted = size.units
    quota.granted_ns = request.received_ns
    quota.final = size.final
    if not quota.reported_ns:
        quota.reported_ns = request.received_ns


def _write_threshold(part: Part, policy: QuotaPolicy, granted: int) -> None:
    unit, reply = part.service.unit, part.reply
    threshold = granted * policy.threshold_percent // 100
    if not 0 < threshold < granted:
        return
    if unit is OCTETS:
        reply.volume_threshold_octets = (
            threshold if threshold < THRESHOLD_MAX_OCTETS else THRESHOLD_MAX_OCTETS
        )
    elif unit is SECONDS:
        reply.time_threshold_seconds = threshold
    else:
        reply.unit_threshold_events = threshold


def _in_asked_kinds(unit: Unit, granted: int, requested: Units) -> Units:
    """Return the grant in the kinds that were asked for (G-003).

    Time asked for beside volume, or volume beside time, is a limit that costs nothing: it is
    granted as it was asked (G-001, M-015).
    """
    if unit is SECONDS:
        return Units(seconds=granted, octets=requested.octets or None)
    if unit is EVENTS:
        return Units(events=granted)
    seconds = requested.seconds or None
    if requested.octets is not None:
        return Units(seconds, granted)
    up, down = requested.input_octets, requested.output_octets
    if up is None and down is None:
        return Units(seconds, granted)
    if down is None:
        return Units(seconds, None, granted)
    if up is None:
        return Units(seconds, None, None, granted)
    return Units(seconds, None, granted // 2, granted - granted // 2)


def _final_unit(decision: Decision, part: Part) -> FinalUnit:
    policy = decision.final_unit_policy(part.terms)
    if policy.action is FinalUnitAction.TERMINATE or decision.request.profile.only_terminate:
        return FinalUnit(FinalUnitAction.TERMINATE)
    return FinalUnit(
        policy.action,
        policy.redirect_address_type,
        policy.redirect_address,
        policy.restriction_filter_rules,
        policy.filter_ids,
    )


def _refuse(decision: Decision, part: Part, policy: QuotaPolicy, size: Size) -> None:
    """Say that nothing can be granted: 4012, or the way to the portal (C-045 to C-047)."""
    quota, service, reply = part.quota, part.service, part.reply
    quota.granted = 0
    profile = decision.request.profile
    final = decision.final_unit_policy(part.terms)
    if not size.units and not _has_tariff(decision, part):
        part.refuse(
            Outcome.RATING_FAILED, f"plan has no price for service '{service.code}' here and now"
        )
        return
    stays = not (profile.grant_or_refuse or profile.only_terminate) and not size.short_of_others
    if stays and final.action is not FinalUnitAction.TERMINATE:
        quota.restricted = True
        reply.final_unit = _final_unit(decision, part)
        _set_validity(decision, part, policy.short_validity_seconds)
        return
    if stays and _zero_grant(final):
        reply.granted = _in_asked_kinds(service.unit, 0, _SERVER_CHOOSES)
        reply.final_unit = FinalUnit(FinalUnitAction.TERMINATE)
        return
    part.refuse(Outcome.CREDIT_LIMIT_REACHED, "the account cannot pay for another increment")


def _zero_grant(final: FinalUnitPolicy) -> bool:
    return final.zero_grant and final.action is FinalUnitAction.TERMINATE


def _has_tariff(decision: Decision, part: Part) -> bool:
    assert decision.index is not None
    zone = decision.zone_for(part.service) or part.quota.zone
    slot = decision.index.tariff_at(part.terms, zone, decision.request.event_ns)
    return slot.rule is not None


def keep_restricted(decision: Decision, part: Part) -> None:
    """Answer a report of a restricted client: no units, but a Validity-Time (C-044)."""
    policy = part.terms.quota or part.service.quota
    part.quota.restricted = True
    part.reply.final_unit = _final_unit(decision, part)
    _set_validity(decision, part, policy.short_validity_seconds)


def _grant_money(
    decision: Decision, part: Part, policy: QuotaPolicy, requested: Units
) -> Size:
    """Reserve an amount that the client has rated itself (C-004, G19)."""
    state, quota, amount = decision.state, part.quota, requested.money_micro or 0
    currency = state.account.currency
    if requested.money_currency not in ("", currency):
        part.refuse(
            Outcome.RATING_FAILED,
            f"the account is kept in {currency}, not {requested.money_currency}",
        )
        return Size()
    if amount <= 0 or amount > entries.available_micro(state, part.money):
        part.refuse(Outcome.CREDIT_LIMIT_REACHED, "the account cannot cover this amount")
        return Size()
    quota.holds = entries.hold(decision.working_set, part.money, amount)
    quota.granted = 0
    part.reply.granted = Units(money_micro=amount, money_currency=currency)
    _set_validity(decision, part, policy.validity_seconds)
    return Size(0, quota.holds, amount)


def _set_validity(decision: Decision, part: Part, seconds: int) -> None:
    part.reply.validity_seconds = seconds
    part.quota.expires_ns = decision.request.received_ns + seconds * NS_PER_SECOND
    session = decision.session
    if session is not None and seconds > session.longest_validity_seconds:
        session.longest_validity_seconds = seconds


def _seconds_until(decision: Decision, instant_ns: int) -> int:
    return (instant_ns - decision.request.received_ns) // NS_PER_SECOND
