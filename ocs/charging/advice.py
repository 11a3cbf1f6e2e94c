"""Advice of charge: what a client that asks is told of costs and tariffs (G-011, TS 32.280).

Called by engine for requests that carry an AoC-Request-Type, after they were decided.
"""

from __future__ import annotations

from ocs.amounts import Unit
from ocs.catalog.model import PRICED, UNCONTROLLED
from ocs.charging.model.decision import Decision
from ocs.charging.model.messages import TERMINATION, UPDATE, Advice, ChargingReply, RatePart

FULL, COST_ONLY, TARIFF_ONLY = 1, 2, 3
"""AoC-Request-Type (TS 32.299 7.2.18)."""
PARTS_MAX = 20


def advise(decision: Decision, reply: ChargingReply) -> None:
    """Put into a reply what the request asks for.

    Costs are those of the session so far, without reservations, or of the event; in an update they
    are said as Cost-Information too. At the end of a session there is no tariff any more.
    """
    request, session = decision.request, decision.session
    advice = Advice()
    if request.advice in (FULL, COST_ONLY):
        if session is not None:
            advice.accumulated_micro = session.charged_micro
            advice.incremental_micro = sum(line.charged_micro for line in decision.charged)
            if request.kind == UPDATE:
                reply.cost_micro = session.charged_micro
        else:
            advice.accumulated_micro = reply.cost_micro
    if request.advice in (FULL, TARIFF_ONLY) and request.kind != TERMINATION:
        advice.tariff, end_ns = _tariff(decision, request.event_ns)
        if end_ns:
            advice.change_ns = end_ns
            advice.next_tariff, _ = _tariff(decision, end_ns)
    reply.currency = decision.state.account.currency
    reply.advice = advice


def _tariff(decision: Decision, instant_ns: int) -> tuple[tuple[RatePart, ...] | None, int]:
    """Return the prices of the services asked for at an instant, and when the first changes."""
    parts: list[RatePart] = []
    ends: list[int] = []
    index, plan = decision.index, decision.plan
    for asked in decision.request.services:
        service = decision.match(asked)
        terms = plan.terms.get(service.code) if plan is not None and service is not None else None
        if service is None or terms is None or index is None:
            continue
        mode = decision.mode_of(service, terms, asked)
        if mode is UNCONTROLLED:
            continue
        if mode is not PRICED:
            parts.append(RatePart(service.unit, 0, 1))
            continue
        key = decision.context_key(service, terms, asked)
        slot = index.tariff_at(terms, key, instant_ns)
        if slot.rule is None:
            continue
        price = slot.rule.price
        if price.setup_micro:
            parts.append(RatePart(Unit.MONEY, price.setup_micro))
        parts.append(RatePart(service.unit, price.rate_micro, price.per))
        if slot.end_ns:
            ends.append(slot.end_ns)
    different = [part for number, part in enumerate(parts) if part not in parts[:number]]
    return tuple(different[:PARTS_MAX]) or None, min(ends, default=0)
