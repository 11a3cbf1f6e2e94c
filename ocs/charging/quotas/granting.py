"""How much a client may use next: size, holds, thresholds, validity, final units.

Rules D12 to D18, C-040 to C-050, M-004, M-005, M-012 to M-015. Called by serving after all usage
of the request was debited.
"""

from __future__ import annotations

from ocs.amounts import EVENTS, OCTETS, SECONDS, Unit
from ocs.catalog.model import PRICED, FinalUnitAction, FinalUnitPolicy, QuotaPolicy
from ocs.charging.counts import limits
from ocs.charging.model.decision import NS_PER_SECOND, Decision, Part
from ocs.charging.model.messages import FinalUnit, Outcome, ServiceReply, Units
from ocs.charging.model.size import Size
from ocs.charging.quotas import dual_tariff, pools
from ocs.charging.quotas.contexts import units_of
from ocs.charging.quotas.metering import told
from ocs.charging.quotas.sizing import judge, note_expiry, open_quota, size_priced, unhold
from ocs.ledger import entries

_SERVER_CHOOSES = Units()
THRESHOLD_MAX_OCTETS = (1 << 32) - 1
"""Volume-Quota-Threshold is an Unsigned32 while grants are 64-bit (section 3.4)."""


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
    profile = decision.request.profile
    pooled = bool(service.pool) and profile.pools
    ceiling = wanted + outstanding
    if decision.limited:
        ceiling = limits.look(decision, part, ceiling)
        pooled = pooled and part.room is None
    if part.mode is not PRICED:
        size = Size(ceiling)
        open_quota(part, "", "", 0, size.units)
        if part.room is not None and ceiling <= outstanding:
            refuse(decision, part, policy, size)
            return Size()
    else:
        if pooled or profile.dual_tariff_quota:
            part.one_tariff = pooled or dual_tariff.is_possible(decision, part)
        two_quotas = part.one_tariff and not pooled
        cap_micro = part.room.micro if part.room is not None else None
        size = size_priced(decision, part, policy, ceiling, cap_micro)
        useful = wanted if wanted < policy.minimum_useful else policy.minimum_useful
        if part.room is not None and not part.room.stops:
            useful = min(useful, max(1, ceiling - outstanding))
        if two_quotas and size.switch_ns:
            dual_tariff.add_second(decision, part, size, useful)
        if size.payer is not None:
            judge(decision, part, size, size.holds)
        if part.room is not None:
            limits.judge(part, size)
        if size.units < outstanding + useful or size.units <= outstanding:
            unhold(decision, part, size)
            refuse(decision, part, policy, size)
            return _keep(decision, part, policy) if outstanding and not pooled else size
    if part.room is not None:
        limits.claim(decision, part, size)
    write_grant(decision, part, policy, size, requested)
    if size.after_units:
        _write_second(decision, part, policy, size, requested)
    elif pooled and part.mode is PRICED:
        pools.share(decision, part, size)
    return size


def _keep(decision: Decision, part: Part, policy: QuotaPolicy) -> Size:
    """Hold what a client has left that adds grants up, when it gets nothing more."""
    left = size_priced(decision, part, policy, part.kept)
    if part.room is not None:
        limits.claim(decision, part, left)
    part.quota.granted, part.quota.granted_ns = left.units, decision.request.event_ns
    return left


def _write_second(
    decision: Decision, part: Part, policy: QuotaPolicy, size: Size, requested: Units
) -> None:
    """Say the quota behind a tariff switch in a service reply of its own (C-063)."""
    unit = part.service.unit
    second = dual_tariff.second_reply(
        part.reply, _in_asked_kinds(unit, size.after_units, requested)
    )
    if second.final_unit is None:
        _write_threshold(second, unit, policy, size.after_units)
    decision.second_replies.append((part.reply, second))
    size.units += size.after_units
    part.quota.granted = size.units


def write_grant(
    decision: Decision, part: Part, policy: QuotaPolicy, size: Size, requested: Units
) -> None:
    """Tell the client of a grant that is held, and note it in the quota."""
    request, quota, reply, unit = decision.request, part.quota, part.reply, part.service.unit
    new_units = size.units - part.kept
    granted = reply.granted = _in_asked_kinds(unit, new_units, requested)
    reply.quota_holding_seconds = policy.quota_holding_seconds
    if policy.metering is not None:
        reply.metering = told(decision, part, policy.metering)
    validity = policy.validity_seconds
    if size.final:
        if request.profile.announces_final_units:
            reply.final_unit = _final_unit(decision, part)
    elif size.short_of_others:
        validity = min(validity, policy.short_validity_seconds)
    else:
        _write_threshold(reply, unit, policy, new_units)
    if size.near_end:
        validity = min(validity, request.profile.final_validity_seconds)
    if size.bucket_expiry_ns:
        validity = min(validity, _seconds_until(decision, size.bucket_expiry_ns))
    if size.switch_ns:
        if size.after_units or (request.profile.tariff_change and not part.one_tariff):
            reply.tariff_change_ns = quota.tariff_change_ns = size.switch_ns
        else:
            validity = min(validity, _seconds_until(decision, size.switch_ns))
    _set_validity(decision, part, validity if validity > 0 else 1)
    quota.granted = size.units
    quota.granted_ns = request.event_ns
    quota.final = size.final
    quota.limited = (granted.octets if unit is SECONDS else granted.seconds) is not None
    if not quota.reported_ns:
        quota.reported_ns = request.received_ns


def _write_threshold(
    reply: ServiceReply, unit: Unit, policy: QuotaPolicy, granted: int
) -> None:
    threshold = granted * policy.threshold_percent // 100
    if 0 < policy.threshold_maximum < threshold:
        threshold = policy.threshold_maximum
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
        policy.qos and decision.request.profile.qos_final_unit,
    )


def refuse(decision: Decision, part: Part, policy: QuotaPolicy, size: Size) -> None:
    """Say that nothing can be granted: 4012, or the way to the portal (C-045 to C-047)."""
    quota, service, reply = part.quota, part.service, part.reply
    quota.granted = 0
    profile = decision.request.profile
    final = decision.final_unit_policy(part.terms)
    if not size.units and part.mode is PRICED and not _has_tariff(decision, part):
        part.refuse(
            Outcome.RATING_FAILED, f"plan has no price for service '{service.code}' here and now"
        )
        return
    quota.refused = True
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
    why = "the account cannot pay for another increment"
    if part.room is not None and limits.is_full(part.room):
        why = f"limit '{part.room.limit}' is reached"
    part.refuse(Outcome.CREDIT_LIMIT_REACHED, why)


def _zero_grant(final: FinalUnitPolicy) -> bool:
    return final.zero_grant and final.action is FinalUnitAction.TERMINATE


def _has_tariff(decision: Decision, part: Part) -> bool:
    assert decision.index is not None
    zone = decision.context_key(part.service, part.terms, part.asked)
    if not part.terms.conditional:
        zone = zone or part.quota.zone
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
    if decision.limited:
        limits.look(decision, part, 0)
    most = part.room.micro if part.room is not None else None
    if (
        amount <= 0
        or amount > entries.available_micro(state, part.money)
        or (most is not None and amount > most)
    ):
        quota.refused = True
        part.refuse(Outcome.CREDIT_LIMIT_REACHED, "the account cannot cover this amount")
        return Size()
    quota.holds = entries.hold(decision.working_set, part.money, amount)
    quota.granted = 0
    quota.refused = False
    part.reply.granted = Units(money_micro=amount, money_currency=currency)
    size = Size(0, quota.holds, amount)
    note_expiry(part.money, quota.holds, size)
    if part.room is not None:
        limits.claim(decision, part, size)
    validity = policy.validity_seconds
    if size.bucket_expiry_ns:
        validity = min(validity, _seconds_until(decision, size.bucket_expiry_ns))
    _set_validity(decision, part, validity if validity > 0 else 1)
    return size


def _set_validity(decision: Decision, part: Part, seconds: int) -> None:
    part.reply.validity_seconds = seconds
    part.quota.expires_ns = decision.request.received_ns + seconds * NS_PER_SECOND
    session = decision.session
    if session is not None and seconds > session.longest_validity_seconds:
        session.longest_validity_seconds = seconds


def _seconds_until(decision: Decision, instant_ns: int) -> int:
    return (instant_ns - decision.request.received_ns) // NS_PER_SECOND
