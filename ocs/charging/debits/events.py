"""CCR-E: direct debiting, refund, balance check and price enquiry (RFC 8506 6, M-014).

Called by engine.decide. A direct debit is all or nothing: what it took is taken back when a part
of it cannot be paid. Events leave no session.
"""

from __future__ import annotations

from ocs.amounts import Unit
from ocs.catalog.model import ChargeMode, PriceRule, Service
from ocs.charging.accounts import account_life
from ocs.charging.counts import bucket_caps, counters, limits, prices
from ocs.charging.debits import refunds, sponsors
from ocs.charging.debits.event_prices import Event, rate
from ocs.charging.model.decision import Decision
from ocs.charging.model.messages import (
    ChargedLine,
    ChargingReply,
    Counted,
    EventAction,
    Outcome,
    RequestKind,
    ServiceReply,
    Units,
)
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Contra, Hold
from ocs.rating import pricing


def decide_event(decision: Decision) -> ChargingReply:
    """Decide a one-time event by its Requested-Action."""
    action = decision.request.action
    if action == EventAction.REFUND_ACCOUNT:
        if decision.request.refund_reference:
            return refunds.refund(decision)
        return _refund_freely(decision)
    account = decision.state.account
    if account.status or account.flags:
        refusal = account_life.refuse_use(decision)
        if refusal is not None:
            return refusal
    index, context = decision.index, decision.request.service_context
    if index is None or not (
        index.knows_context(context) or any(asked.service for asked in decision.request.services)
    ):
        return ChargingReply(
            Outcome.RATING_FAILED,
            reason=f"the catalogue has no service for '{context}'",
            failed="service-context-id",
        )
    parts = [part for asked in decision.request.services for part in rate(decision, asked)]
    if not parts:
        return ChargingReply(
            Outcome.RATING_FAILED, reason="the request names no service and no units"
        )
    for part in parts:
        if part.reply.outcome != Outcome.SUCCESS:
            return _refused(parts, part.reply.outcome, part.reply.reason)
    if action == EventAction.PRICE_ENQUIRY:
        return _priced(decision, parts)
    return _use(decision, parts, action)


def _use(decision: Decision, parts: list[Event], action: int) -> ChargingReply:
    """Debit, or tell whether it could be paid; as the state of the account allows (K-241)."""
    first_use = None
    if decision.state.account.status:
        refusal = account_life.refuse_costs(decision, [part.mode for part in parts])
        if refusal:
            return _refused(parts, Outcome.END_USER_SERVICE_DENIED, refusal)
        first_use = account_life.first_use(decision)
    if action == EventAction.CHECK_BALANCE:
        reply = _checked(decision, parts)
    else:
        reply = _debit(decision, parts)
    if first_use is not None and (
        action == EventAction.CHECK_BALANCE or reply.outcome != Outcome.SUCCESS
    ):
        first_use.undo()
    return reply


def _refused(parts: list[Event], outcome: int, reason: str) -> ChargingReply:
    return ChargingReply(outcome, _replies(parts), reason=reason)


def _replies(parts: list[Event]) -> list[ServiceReply]:
    return [part.reply for part in parts if not part.follows]


def _priced(decision: Decision, parts: list[Event]) -> ChargingReply:
    cost = 0
    ahead: dict[tuple[str, int], int] = {}
    for part in parts:
        if part.rule is not None and part.rule.price.counted and part.service is not None:
            key = part.rule.code, part.slot_ns
            part.cost_micro = prices.next_cost_micro(
                decision, part.service.code, part.rule, part.slot_ns, part.units, ahead.get(key, 0)
            )
            ahead[key] = ahead.get(key, 0) + part.units
        cost += part.cost_micro
    return ChargingReply(
        Outcome.SUCCESS, cost_micro=cost, currency=decision.state.account.currency
    )


def _checked(decision: Decision, parts: list[Event]) -> ChargingReply:
    mark = len(decision.working_set.movements)
    lines = decision.posting.lines
    enough = all(_pay(decision, part) is not None for part in parts)
    _undo(decision, parts, mark)
    decision.posting.lines = lines
    return ChargingReply(Outcome.SUCCESS, enough_credit=enough)


def _debit(decision: Decision, parts: list[Event]) -> ChargingReply:
    """Debit every part or nothing (M-014)."""
    mark = len(decision.working_set.movements)
    total = 0
    for part in parts:
        taken = _pay(decision, part)
        if taken is None:
            _undo(decision, parts, mark)
            decision.charged.clear()
            for other in parts:
                other.reply.granted = None
            part.refuse(
                Outcome.CREDIT_LIMIT_REACHED,
                f"limit '{part.stopped_by}' leaves less than the whole event" if part.stopped_by
                else "the account cannot cover the whole event",
            )
            return _refused(parts, Outcome.CREDIT_LIMIT_REACHED, part.reply.reason)
        total += _note(decision, part, taken)
    for part in parts:
        if part.limited is not None and part.service is not None:
            limits.tell(decision, part.service, decision.request.event_ns)
    return ChargingReply(
        Outcome.SUCCESS,
        _replies(parts),
        cost_micro=total,
        currency=decision.state.account.currency,
        refund_reference=refunds.make_reference(
            decision.request.session_key, RequestKind.EVENT, decision.request.number
        ),
    )


def _pay(decision: Decision, event: Event) -> list[Hold] | None:
    """Take what an event costs; None when the account cannot cover it or a limit is passed."""
    service = event.service
    assert service is not None
    is_free = event.mode is ChargeMode.FREE
    taken = [] if is_free else _take(decision, event, service)
    if taken is None or not decision.limited or (
        is_free and not limits.applies_to_free(decision, service)
    ):
        return taken
    money = {one.bucket_id for one in decision.state.buckets if one.unit == Unit.MONEY}
    charged = sum(entry.amount for entry in taken if entry.bucket_id in money)
    if not decision.request.overdraw:
        event.stopped_by = limits.passed(decision, service, event.units, charged)
    event.limited = event.units, charged
    limits.count_event(
        decision, service, event.units, charged, decision.request.event_ns
    )
    return None if event.stopped_by else taken


def _take(decision: Decision, event: Event, service: Service) -> list[Hold] | None:
    """Take units from buckets, then money; None when the account cannot cover it."""
    state, working_set, posting = decision.state, decision.working_set, decision.posting
    posting.about(service.code)
    if event.rule is not None and event.rule.sponsor and not event.money:
        posting.about(service.code, event.rule.code, event.zone, event.slot_ns, 0, event.units)
        event.sponsored = sponsors.pay_event(decision, service, event.rule, event.units)
        return []
    units, money = decision.payers(service)
    taken: list[Hold] = []
    cost = event.cost_micro
    if not event.money and event.rule is not None:
        if units and decision.bounded:
            taken = bucket_caps.take_units(decision, units, (), event.units)
        else:
            taken = entries.take_units(working_set, state, units, [], event.units, posting)
        paid = event.units - sum(entry.amount for entry in taken)
        if event.rule.price.counted:
            more = _pay_counted(decision, event, event.rule, money, paid)
            return None if more is None else taken + more
        cost = pricing.cost_micro(event.rule.price, paid)
        posting.rule, posting.zone, posting.slot_ns = event.rule.code, event.zone, event.slot_ns
        posting.units_after = paid
    if cost > entries.available_micro(state, money) and cost and not decision.request.overdraw:
        return None
    mark = len(working_set.movements)
    taken = taken + entries.take_money(working_set, state, money, cost, posting)
    if event.rule is not None and not event.money:
        _split_tax(decision, event, mark, 0, cost)
    return taken


def _split_tax(
    decision: Decision, event: Event, mark: int, before_micro: int, after_micro: int
) -> None:
    """Give the tax in what was taken since ``mark`` lines of its own (K-281)."""
    code = event.service.code if event.service is not None else ""
    terms = decision.plan.terms.get(code) if decision.plan is not None else None
    if terms is not None and terms.tax is not None:
        event.tax_micro = entries.split_tax(
            decision.working_set, mark, decision.posting, terms.tax, before_micro, after_micro
        )


def _pay_counted(
    decision: Decision, event: Event, rule: PriceRule, money: list[Bucket], paid: int
) -> list[Hold] | None:
    """Take what units cost that belong to a count of the account (K-200)."""
    posting, service = decision.posting, event.service
    assert service is not None
    counter = prices.of_price(decision, service.code, rule, event.slot_ns)
    if counter is None or counter.units + paid > counters.UNITS_MAX or not (
        decision.request.overdraw
        or prices.affordable_with(decision, money, counter, rule.price, paid)
    ):
        return None
    before = counter.units
    cost = pricing.charge_micro(rule.price, before, paid)
    posting.about(
        service.code, rule.code, event.zone, event.slot_ns, before, before + paid
    )
    working_set, state = decision.working_set, decision.state
    counters.count(working_set, state.account, counter, paid, cost)
    event.counter = counter
    event.counted = [Counted(rule.code, counter.subscriber_id, event.slot_ns, paid, cost)]
    # What is held for sessions may be what pays: who has the cheaper units, time tells.
    holds = counters.take_holds(working_set, state, counter)
    mark = len(working_set.movements)
    taken = entries.take_money(working_set, state, money, cost, posting)
    before_micro = pricing.cost_micro(rule.price, before)
    _split_tax(decision, event, mark, before_micro, before_micro + cost)
    prices.hold_for_others(working_set, state, money, counter, rule.price, holds)
    return taken


def _undo(decision: Decision, parts: list[Event], mark: int) -> None:
    """Take back what was debited and counted so far."""
    working_set, state = decision.working_set, decision.state
    bucket_caps.undo(decision, mark)
    entries.undo(working_set, state, mark)
    for part in parts:
        if part.limited is not None and part.service is not None:
            units, charged = part.limited
            limits.count_event(
                decision, part.service, -units, -charged, decision.request.event_ns
            )
            part.limited = None
        counter, rule = part.counter, part.rule
        if counter is None or rule is None:
            continue
        for one in part.counted:
            counters.count(
                working_set, state.account, counter, -one.units, -one.charged_micro
            )
        part.counter, part.counted = None, []
        if counter.granted and part.service is not None:
            _, money = decision.payers(part.service)
            holds = counters.take_holds(working_set, state, counter)
            prices.hold_for_others(working_set, state, money, counter, rule.price, holds)


def _note(decision: Decision, event: Event, taken: list[Hold]) -> int:
    """Put a debit into the reply and the record; return what it cost in money."""
    service = event.service
    assert service is not None
    money_ids = {
        bucket.bucket_id for bucket in decision.state.buckets if bucket.unit == Unit.MONEY
    }
    charged = sum(entry.amount for entry in taken if entry.bucket_id in money_ids)
    from_buckets = sum(entry.amount for entry in taken if entry.bucket_id not in money_ids)
    if event.money:
        event.reply.granted = Units(
            money_micro=event.cost_micro, money_currency=decision.state.account.currency
        )
    else:
        event.reply.granted = _added(event.reply.granted, service.unit, event.units)
    line = ChargedLine(
        service.code, event.asked.rating_group, service.unit, event.units, from_buckets,
        charged, event.units, 0, taken, service.measure, event.counted, event.tax_micro,
        event.sponsored, limits.member_of(decision) if event.limited is not None else 0,
    )
    last = decision.charged[-1] if event.follows else None
    if last is not None and last.service == line.service:
        # Destinations of one message are one line, so that it is refunded as one.
        last.used, last.granted = last.used + line.used, last.granted + line.granted
        last.from_buckets += from_buckets
        last.charged_micro += charged
        last.tax_micro += event.tax_micro
        last.taken = last.taken + taken
        last.counted = last.counted + event.counted
        last.sponsored = last.sponsored + event.sponsored
    else:
        decision.charged.append(line)
    return charged


def _added(granted: Units | None, unit: Unit, amount: int) -> Units:
    """Return units with more of one kind: one reply may stand for several events."""
    units = granted or Units()
    if unit is Unit.OCTETS:
        units.octets = (units.octets or 0) + amount
    elif unit is Unit.SECONDS:
        units.seconds = (units.seconds or 0) + amount
    else:
        units.events = (units.events or 0) + amount
    return units


def _refund_freely(decision: Decision) -> ChargingReply:
    cap = decision.request.profile.refund_without_reference_micro
    total = 0
    lines = []
    for event in [one for asked in decision.request.services for one in rate(decision, asked)]:
        if event.reply.outcome != Outcome.SUCCESS:
            return _refused([event], event.reply.outcome, event.reply.reason)
        assert event.service is not None
        total += event.cost_micro
        lines.append(
            ChargedLine(event.service.code, event.asked.rating_group, event.service.unit,
                        event.units, 0, event.cost_micro, 0, 0)
        )
    if not total or total > cap:
        return ChargingReply(
            Outcome.INVALID_VALUE,
            reason="a refund must name its debit (Refund-Information)",
            failed="refund-information",
        )
    decision.posting.contra = Contra.REFUND
    decision.posting.service = lines[0].service
    bucket = entries.main_bucket(decision.state)
    entries.credit(decision.working_set, bucket, total, decision.posting)
    return refunds.answer(decision, total, lines)
