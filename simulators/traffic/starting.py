"""New sessions: the dice that decide what a subscriber does. Used by `schedule`."""

import random
from collections import Counter

from protocol.credit_control import RequestedAction
from simulators.scenarios.services import (
    BalanceCheck,
    DataService,
    EventService,
    MessageService,
    PriceEnquiry,
    Service,
    VoiceService,
)
from simulators.scenarios.values import pick_number
from simulators.traffic.events import Errand, EventSession, ReservedEventSession
from simulators.traffic.quota import NEVER, Manners, Quota, ServiceReport, Unit
from simulators.traffic.subscriber import Identities, QuotaSession, Session
from simulators.traffic.timeline import Timeline


def start_session(
    service: Service,
    session_id: str,
    identities: Identities,
    manners: Manners,
    now: float,
    dice: random.Random,
    tally: Counter[str],
    abandon: float = 0.0,
    timeline: Timeline | None = None,
) -> Session:
    """A new session of a service at `now`; `abandon` is its chance to go silent."""
    tally[f"{service.kind} sessions"] += 1
    if not isinstance(service, DataService | VoiceService):
        return _event(service, session_id, identities, now, dice, tally)
    lasts = service.duration_seconds.sample(dice)
    abandons_at = now + dice.random() * lasts if dice.random() < abandon else NEVER
    if isinstance(service, VoiceService):
        return _call(
            service, session_id, identities, manners, now, lasts, abandons_at, dice, tally, timeline
        )
    moves = sorted(
        ((now + move.after_seconds.sample(dice), move) for move in service.moves),
        key=lambda one: one[0],
    )
    return QuotaSession(
        session_id,
        service,
        identities,
        tally,
        quotas=[_data_quota(service, i, manners, now, dice) for i in range(_width(service))],
        starts_at=now,
        ends_at=now + lasts,
        abandons_at=abandons_at,
        dice=dice,
        place=service.place,
        moves=tuple(moves),
        timeline=timeline,
    )


def _call(
    service: VoiceService,
    session_id: str,
    identities: Identities,
    manners: Manners,
    now: float,
    lasts: float,
    abandons_at: float,
    dice: random.Random,
    tally: Counter[str],
    timeline: Timeline | None,
) -> Session:
    rings = service.ring_seconds.sample(dice)
    taken = dice.random() < service.answered_probability
    quota = Quota(
        Unit.SECONDS,
        1.0,
        manners,
        service.rating_group,
        service.service_identifier,
        service.requested_seconds,
        now,
    )
    return QuotaSession(
        session_id,
        service,
        identities,
        tally,
        quotas=[quota],
        starts_at=now,
        ends_at=now + rings + (lasts if taken else 0),
        answers_at=now + rings if taken else NEVER,
        abandons_at=abandons_at,
        destination=pick_number(service.destinations, dice),
        dice=dice,
        reports_answer=manners.reports_answer,
        unanswered_cause=dice.choice(service.unanswered_causes),
        timeline=timeline,
    )


def _event(
    service: EventService,
    session_id: str,
    identities: Identities,
    now: float,
    dice: random.Random,
    tally: Counter[str],
) -> Session:
    number = pick_number(service.destinations, dice) if service.destinations else ""
    kind: type[EventSession | ReservedEventSession] = EventSession
    if isinstance(service, BalanceCheck | PriceEnquiry):
        checks = isinstance(service, BalanceCheck)
        errand = Errand(
            _report(service, Unit(service.unit), service.amount.sample(dice)),
            now,
            RequestedAction.CHECK_BALANCE if checks else RequestedAction.PRICE_ENQUIRY,
        )
    else:
        errand = _message(service, now, dice)
        kind = EventSession if service.manner == "iec" else ReservedEventSession
    return kind(session_id, service, identities, tally, number, errand, dice)


def _message(service: MessageService, now: float, dice: random.Random) -> Errand:
    report = _report(service, Unit.EVENTS, service.messages.sample(dice))
    lasts = service.delivery_seconds.sample(dice)
    delivered = dice.random() < service.delivered_probability
    refunded = dice.random() < service.refunded_probability
    return Errand(
        report,
        now,
        refund_after=service.refund_after_seconds.sample(dice) if refunded else None,
        delivery_seconds=lasts,
        delivered=delivered,
    )


def _report(
    service: MessageService | BalanceCheck | PriceEnquiry, unit: Unit, amount: float
) -> ServiceReport:
    wanted = max(round(amount), 1)
    return ServiceReport(service.rating_group, service.service_identifier, unit, wanted)


def _width(service: DataService) -> int:
    return len(service.rating_groups)


def _data_quota(
    service: DataService, index: int, manners: Manners, now: float, dice: random.Random
) -> Quota:
    use = service.rating_groups[index]
    quota = Quota(
        Unit.OCTETS,
        use.octets_per_second.sample(dice),
        manners,
        use.rating_group,
        use.service_identifier,
        use.requested_octets,
        now + use.start_after_seconds.sample(dice),
    )
    if use.active_seconds is not None:
        quota.switches_at = quota.starts_at + use.active_seconds.sample(dice)
    return quota
