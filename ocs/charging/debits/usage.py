"""Debits of reported usage: buckets first, then money, by charge context (C-005, M-002..M-012).

Called by serving for each service of an update, a termination or a late report.
"""

from __future__ import annotations

from ocs.amounts import AMOUNT_MAX_MICRO, INT64_MAX, OCTETS, SECONDS
from ocs.catalog.model import PriceRule
from ocs.charging.counts import bucket_caps, counters, limits, prices
from ocs.charging.debits import parking, sponsors
from ocs.charging.model.decision import NS_PER_SECOND, Decision, Part
from ocs.charging.model.messages import INITIAL, ChargedLine, Counted, TariffSide
from ocs.charging.model.session import ChargeContext
from ocs.charging.quotas import pools
from ocs.charging.quotas.contexts import cost_in_context, find_context, price_context, units_of
from ocs.ledger import entries
from ocs.rating import pricing

COUNTED_MAX = 1 << 62
"""Units of one quota that are counted in all, so that the count can be stored."""
SECONDS_COUNTED_MAX = 1 << 32
"""The same of seconds, as much as one report can say: they are instants on the clock too."""
_OWED_UNASKED_MICRO = 10**9
"""A debit up to this size, a thousand currency units, is too little to ask what can be owed."""


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
    if quota.pool:
        pools.enter(decision, part, sum(entry.amount for entry in part.released))
    promised = prices.release(decision, part) if quota.claims else ()
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
            _take_reported_money(decision, part, money_micro, line)
    if not (before or after or line.charged_micro or part.beside) and part.asked.used:
        _notice_other_units(decision, part)
    if promised:
        prices.hold_again(decision, part, promised)
    if part.claimed:
        line.counted_ns = quota.granted_ns
    if decision.limited:
        limits.count(decision, part, 0, line.charged_micro)
        line.subscriber_id = limits.member_of(decision)
    quota.used_units += line.used
    quota.bucket_units += line.from_buckets
    if decision.session is not None:
        decision.session.charged_micro += line.charged_micro
    return line


def _by_side(decision: Decision, part: Part) -> tuple[int, int]:
    """Return the units reported as used (before, after) a tariff switch (C-061)."""
    # Only a quota that carried Tariff-Time-Change has an "after"; else all is before.
    switches, unit, reports = part.quota.tariff_change_ns != 0, part.service.unit, part.asked.used
    if len(reports) == 1 and not switches:
        return units_of(reports[0].units, unit) or 0, 0
    before = after = 0
    for report in reports:
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
    """Debit what can be true of the reported usage and can be counted; the rest waits for a
    person (D05, D26).
    """
    tolerance = decision.request.profile.usage_tolerance_octets
    if part.service.unit is OCTETS and units + already <= tolerance:
        # At every rate, and in no time; and too little to matter to what can be counted.
        _debit_units(decision, part, units, line, after=after)
        return
    possible = counted = _bound(decision, part, units, already)
    most = SECONDS_COUNTED_MAX if part.service.unit is SECONDS else COUNTED_MAX
    room = most - part.quota.used_units - line.used
    if counted > room:
        counted = max(0, room)
        parking.park_unpriced(
            decision, part, possible - counted, "more was used than can be counted in a session"
        )
    if counted:
        _debit_units(decision, part, counted, line, after=after)
    if possible < units:
        parking.park_impossible(decision, part, units - possible, after)


def _bound(decision: Decision, part: Part, units: int, already: int) -> int:
    """Return how much of the reported usage can be true, after ``already`` more of it (D05)."""
    request, session, unit = decision.request, decision.session, part.service.unit
    profile, since_ns = request.profile, part.quota.reported_ns
    if not since_ns and session is not None and request.kind != INITIAL:
        since_ns = session.started_ns
    if not profile.bound_usage or not since_ns:
        return units
    elapsed_ns = request.received_ns - since_ns
    elapsed = elapsed_ns // NS_PER_SECOND + 1 if elapsed_ns > 0 else 1
    if unit is SECONDS:
        possible = elapsed + profile.usage_tolerance_seconds
    elif unit is OCTETS and (rate := _rate(decision, part)):
        possible = elapsed * rate + profile.usage_tolerance_octets
    else:
        return units
    return max(0, min(units, possible - already))


def _rate(decision: Decision, part: Part) -> int:
    """Return the highest rate that the bearer is known to have had; 0 = unknown."""
    session, rate = decision.session, part.asked.rate_octets_per_second
    return max(rate, session.rate_octets_per_second) if session is not None else rate


def _notice_other_units(decision: Decision, part: Part) -> None:
    """Keep a report that has nothing of what the service is charged in (C-027).

    A dimension that was granted as a limit costs nothing (M-015).
    """
    service, quota = part.service, part.quota
    if quota.limited or not part.charges or any(
        units_of(used.units, service.unit) is not None or used.units.money_micro is not None
        for used in part.asked.used
    ):
        return
    parking.park_unrated(
        decision, part.asked, service, f"service '{service.code}' is charged in "
        f"{service.unit.label} only",
    )


def _debit_units(
    decision: Decision, part: Part, units: int, line: ChargedLine, *, after: bool
) -> None:
    """Debit units, and count them for limits; where one is reached, go on at its price (K-208)."""
    if not decision.limited or not limits.applies(decision, part):
        _debit_as_granted(decision, part, units, line, after=after)
        return
    while units:
        if part.clocked and not part.quota.started_ns:
            # The seconds of this report end now, however many prices they have.
            part.quota.started_ns = decision.request.event_ns - units * NS_PER_SECOND
        step = units
        if part.terms.limited and part.charges:
            ahead = limits.until_change(decision, part)
            step = units if ahead is None or ahead > units else ahead
        before = line.used
        _debit_as_granted(decision, part, step, line, after=after)
        limits.count(decision, part, line.used - before, 0)
        units -= step
        if units:
            _change_price(decision, part)


def _change_price(decision: Decision, part: Part) -> None:
    """Rate what comes next by the price that held when it was granted, behind the limit."""
    quota, index = part.quota, decision.index
    assert index is not None
    at_ns = (quota.granted_ns if part.claimed else 0) or decision.request.event_ns
    zone = decision.context_key(part.service, part.terms, part.asked, at_ns=at_ns)
    slot = index.tariff_at(part.terms, zone, at_ns)
    quota.zone, quota.started_ns = zone, 0
    quota.rule = slot.rule.code if slot.rule is not None else ""
    quota.slot_ns = slot.start_ns


def _debit_as_granted(
    decision: Decision, part: Part, units: int, line: ChargedLine, *, after: bool
) -> None:
    line.used += units
    if not part.charges:
        return
    quota, seconds = part.quota, part.clocked
    if seconds and not quota.started_ns:
        quota.started_ns = decision.request.event_ns - units * NS_PER_SECOND
    if (part.units or part.released_units) and not (
        part.terms.sponsored and _is_sponsored(decision, part)
    ):
        free = _take_units(decision, part, units, line)
        units -= free
        if seconds and not find_context(quota, quota.rule, quota.zone, quota.started_ns):
            # Paid seconds begin where the free ones ended (M-011, M-012).
            quota.started_ns += free * NS_PER_SECOND
    if units:
        _debit_paid(decision, part, units, line, after=after)


def _is_sponsored(decision: Decision, part: Part) -> bool:
    """Tell whether a sponsor pays for what the quota was granted: free units are kept then."""
    index, plan, rule = decision.index, decision.plan, part.quota.rule
    assert index is not None
    assert plan is not None
    return bool(rule and index.rule(plan.code, part.service.code, rule).sponsor)


def _take_units(
    decision: Decision, part: Part, units: int, line: ChargedLine
) -> int:
    decision.posting.about(part.service.code)
    if decision.bounded:
        taken = bucket_caps.take_units(
            decision, part.units, part.released_units, units, part.claimed,
            part.quota.granted_ns,
        )
    else:
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
    if after or part.clocked:
        rule, zone, slot_ns = price_context(decision, part, after)
    else:
        rule, zone, slot_ns = quota.rule, quota.zone, quota.slot_ns
    if not rule:
        _leave(decision, part, units, line, parking.NO_PRICE)
        return
    found = index.rule(plan.code, service.code, rule)
    price = found.price
    if price.counted:
        _debit_counted(decision, part, found, zone, slot_ns, units, line)
        return
    context = find_context(quota, rule, zone, slot_ns) or ChargeContext(rule, slot_ns, zone)
    before = context.paid_units
    if part.clocked:
        cost = cost_in_context(index, part.terms, SECONDS, price, zone, slot_ns, before + units)
    else:
        cost = pricing.cost_micro(price, before + units)
    if cost is None:
        _leave(decision, part, units, line, parking.NO_PRICE)
        return
    amount = cost - context.charged_micro
    if not _is_payable(decision, part, amount, units, line):
        return
    if not before:
        quota.contexts.append(context)
    context.paid_units = before + units
    if not amount and not found.sponsor:
        return
    context.charged_micro += amount
    decision.posting.about(service.code, rule, zone, slot_ns, before, before + units)
    if found.sponsor:
        sponsors.pay(decision, part.terms, found.sponsor, units, amount, cost, line.sponsored)
        return
    _take_money(decision, part, amount, line, cost)


def _debit_counted(
    decision: Decision, part: Part, rule: PriceRule, zone: str, period_ns: int, units: int,
    line: ChargedLine,
) -> None:
    """Debit units that are counted with all of their account in the period (K-200).

    It is that in which they were granted, however late they are reported (K-203).
    """
    service, price = part.service.code, rule.price
    counter = prices.of_price(decision, service, rule, period_ns)
    if counter is None or counter.units + units > counters.UNITS_MAX:
        _leave(decision, part, units, line, counters.NO_ROOM)
        return
    before = counter.units
    amount = pricing.charge_micro(price, before, units)
    if not _is_payable(decision, part, amount, units, line):
        return
    counters.count(
        decision.working_set, decision.state.account, counter, units, amount
    )
    line.counted += [Counted(rule.code, counter.subscriber_id, period_ns, units, amount)]
    if amount:
        decision.posting.about(service, rule.code, zone, period_ns, before, before + units)
        taxed = part.terms.tax is not None
        after_micro = pricing.cost_micro(price, before + units) if taxed else None
        _take_money(decision, part, amount, line, after_micro)


def _is_payable(
    decision: Decision, part: Part, amount: int, units: int, line: ChargedLine
) -> bool:
    """Tell whether an amount can be debited; units that cost too much are left to a person."""
    if amount > AMOUNT_MAX_MICRO:
        _leave(decision, part, units, line, "it costs more than the largest amount kept")
        return False
    if amount > _OWED_UNASKED_MICRO and not _can_owe(decision, amount):
        _leave(decision, part, units, line, "it costs more than the account can be in debt")
        return False
    return True


def _leave(
    decision: Decision, part: Part, units: int, line: ChargedLine, reason: str
) -> None:
    """Leave units that cannot be paid for to a person."""
    line.used -= units
    parking.park_unpriced(decision, part, units, reason)


def _take_reported_money(
    decision: Decision, part: Part, amount_micro: int, line: ChargedLine
) -> None:
    """Debit an amount that the client has rated itself, unless it would leave what can be kept."""
    if not _can_owe(decision, amount_micro):
        parking.park_money(decision, part, amount_micro)
        return
    _take_money(decision, part, amount_micro, line)


def _can_owe(decision: Decision, amount_micro: int) -> bool:
    """Tell whether the account can be debited so much more and still be stored."""
    return entries.main_bucket(decision.state).available - amount_micro >= -INT64_MAX // 2


def _take_money(
    decision: Decision, part: Part, amount_micro: int, line: ChargedLine,
    after_micro: int | None = None,
) -> None:
    """Debit an amount, after which ``after_micro`` is charged in all by the same price."""
    if part.pool:
        pools.cover(decision, part, amount_micro)
    mark = len(decision.working_set.movements)
    line.taken += entries.take_money(
        decision.working_set, decision.state, part.money, amount_micro, decision.posting,
        part.released,
    )
    tax = part.terms.tax
    if tax is not None and after_micro is not None:
        line.tax_micro += entries.split_tax(
            decision.working_set, mark, decision.posting, tax, after_micro - amount_micro,
            after_micro,
        )
    line.charged_micro += amount_micro
