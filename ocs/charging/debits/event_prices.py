"""What each service of a one-time event costs: found before anything of it is taken (TS 32.274).

Called by events, which asks for the price, checks or debits.
"""

from __future__ import annotations

from ocs.amounts import Unit
from ocs.catalog.model import ChargeMode, PriceRule, Service, ServiceTerms
from ocs.charging.counts import counters, prices
from ocs.charging.model.decision import Decision
from ocs.charging.model.messages import (
    Counted,
    Outcome,
    ServiceReply,
    ServiceRequest,
    Sponsored,
    Units,
)
from ocs.charging.quotas import together
from ocs.charging.quotas.contexts import units_of
from ocs.ledger.account import Counter
from ocs.rating import pricing


class Event:
    """One service of an event with its price."""

    __slots__ = ("asked", "cost_micro", "counted", "counter", "follows", "limited", "mode", "money",
                 "reply", "rule", "service", "slot_ns", "sponsored", "stopped_by", "tax_micro",
                 "units", "zone")  # fmt: skip

    def __init__(
        self, asked: ServiceRequest, service: Service | None, reply: ServiceReply | None = None
    ) -> None:
        self.asked, self.service = asked, service
        self.follows = reply is not None
        """It is the other unit or destination of the event before it, and shares its reply."""
        self.reply = reply or ServiceReply(
            asked.rating_group, asked.service_identifiers, command_level=asked.command_level
        )
        self.mode = ChargeMode.PRICED
        self.rule: PriceRule | None = None
        self.zone, self.slot_ns = "", 0
        self.units = self.cost_micro = self.tax_micro = 0
        self.limited: tuple[int, int] | None = None
        """Units and money that were counted of it for limits."""
        self.stopped_by = ""
        """The limit or cap that it would pass."""
        self.counter: Counter | None = None
        self.counted: list[Counted] = []
        """What was counted of it beyond this event, and where."""
        self.sponsored: list[Sponsored] = []
        """What a sponsor pays for it."""
        self.money = False

    def refuse(self, outcome: Outcome, reason: str) -> Event:
        """Mark the event as refused and return it."""
        self.reply.outcome, self.reply.reason = outcome, reason
        return self


def rate(decision: Decision, asked: ServiceRequest) -> list[Event]:
    """Return the event with its price, and beside it what the same request says in another unit."""
    service, index, plan = decision.match(asked), decision.index, decision.plan
    other = index.catalog.services.get(service.together_with) if service and index else None
    if service is None or other is None or plan is None or other.code not in plan.terms:
        return _by_recipient(decision, _rate_one(decision, Event(asked, service)))
    second = together.in_unit(asked, other.unit)
    requested = asked.requested or Units()
    if requested == Units() or requested.money_micro is not None or second.requested == Units():
        return [_rate_one(decision, Event(asked, service))]
    first = together.in_unit(asked, service.unit)
    if first.requested == Units():
        return [_rate_one(decision, Event(second, other))]
    event = _rate_one(decision, Event(first, service))
    return [event, _rate_one(decision, Event(second, other, event.reply))]


def _by_recipient(decision: Decision, event: Event) -> list[Event]:
    """Return a message to several recipients as one event for each destination (TS 32.274)."""
    service, index, plan = event.service, decision.index, decision.plan
    recipients = decision.request.attributes.recipients
    if len(recipients) < 2 or event.rule is None or event.units != len(recipients):
        return [event]
    assert service is not None
    assert index is not None
    assert plan is not None
    by_zone: dict[str, list[str]] = {}
    terms = plan.terms[service.code]
    for number in recipients:
        if terms.related:
            zone = decision.context_key(service, terms, event.asked, number)
        else:
            zone = decision.zone_for(service, number)
        by_zone.setdefault(zone, []).append(number)
    if len(by_zone) == 1:
        return [event]
    events: list[Event] = []
    for numbers in by_zone.values():
        one = Event(event.asked, service, event.reply if events else None)
        one.reply, one.units = event.reply, len(numbers)
        _find_price(decision, one, service, terms, numbers[0])
        events.append(one)
    return events


def _rate_one(decision: Decision, event: Event) -> Event:
    asked, service, plan, index = event.asked, event.service, decision.plan, decision.index
    if asked.invalid:
        return event.refuse(Outcome.INVALID_VALUE, asked.invalid)
    if service is None or plan is None or index is None:
        return event.refuse(Outcome.RATING_FAILED, "the catalogue has no service for this event")
    terms = plan.terms.get(service.code)
    if terms is None:
        return event.refuse(
            Outcome.NOT_ENTITLED, f"plan '{plan.code}' does not include '{service.code}'"
        )
    event.mode = decision.mode_of(service, terms, asked)
    if event.mode is ChargeMode.UNCONTROLLED:
        return event.refuse(Outcome.NOT_APPLICABLE, "the service needs no credit control")
    requested = asked.requested or Units()
    if requested.money_micro is not None:
        return _rate_money(decision, event, requested)
    units = units_of(requested, service.unit)
    if units is None and requested != Units():
        return event.refuse(
            Outcome.RATING_FAILED, f"'{service.code}' is charged in {service.counted_in.label} only"
        )
    event.units = units if units is not None else _events(decision, service)
    if event.mode is ChargeMode.PRICED:
        _find_price(decision, event, service, terms)
    return event


def _events(decision: Decision, service: Service) -> int:
    """Return how many units are meant where the client leaves it to the server: of messages as
    many as it says it sends, else one for each recipient (TS 32.274).
    """
    said = decision.request.attributes
    if service.unit is not Unit.EVENTS:
        return 1
    return said.messages or len(said.recipients) or 1


def _find_price(
    decision: Decision, event: Event, service: Service, terms: ServiceTerms, number: str = ""
) -> None:
    index = decision.index
    assert index is not None
    event.zone = decision.context_key(service, terms, event.asked, number)
    slot = index.tariff_at(terms, event.zone, decision.request.event_ns)
    if slot.rule is None:
        event.refuse(Outcome.RATING_FAILED, f"the plan has no price for '{service.code}' now")
        return
    event.rule, event.slot_ns = slot.rule, slot.start_ns
    if slot.rule.sponsor:
        return
    if slot.rule.price.counted:
        bounds_ns = index.periods.around(slot.start_ns, slot.rule.price.counted)
        if counters.is_closed(bounds_ns, decision.context.now_ns):
            event.refuse(
                Outcome.RATING_FAILED,
                f"it comes too late: what '{service.code}' cost in its period is counted no more; "
                "an operator books it with `ocs account adjust`",
            )
            return
        event.cost_micro = prices.next_cost_micro(
            decision, service.code, slot.rule, slot.start_ns, event.units
        )
    else:
        event.cost_micro = pricing.cost_micro(slot.rule.price, event.units)


def _rate_money(decision: Decision, event: Event, requested: Units) -> Event:
    currency = decision.state.account.currency
    if requested.money_currency not in ("", currency):
        return event.refuse(
            Outcome.RATING_FAILED,
            f"the account is kept in {currency}, not {requested.money_currency}",
        )
    event.money = True
    event.cost_micro = requested.money_micro or 0
    if event.cost_micro < 0:
        return event.refuse(Outcome.INVALID_VALUE, "the amount is negative")
    return event
