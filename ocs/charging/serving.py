"""The services of one request: what each means, the debit of its usage, then its next quota.

C-005, C-021, C-022 and D01, D18, D24. Called by engine for every request of a session.
"""

from __future__ import annotations

from ocs.catalog.model import PRICED, UNCONTROLLED, Service, ServiceTerms
from ocs.charging import adoption
from ocs.charging.accounts import account_life
from ocs.charging.debits import parking, usage
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import (
    ChargedLine,
    Outcome,
    ReportingReason,
    ServiceReply,
    ServiceRequest,
)
from ocs.charging.model.session import QUOTAS_MAX, QuotaState, Session
from ocs.charging.model.size import Size
from ocs.charging.quotas import granting, pools, together

_NO_NEW_QUOTA = (
    ReportingReason.FINAL,
    ReportingReason.QUOTA_HOLDING_TIME,
    ReportingReason.UNUSED_QUOTA_TIMER,
)


def serve(decision: Decision, session: Session, *, may_grant: bool) -> list[ServiceReply]:
    """Debit all usage of the request first, then grant, service by service (C-005, C-022)."""
    replies: list[ServiceReply] = []
    parts: list[Part] = []
    for asked in decision.request.services:
        reply = ServiceReply(
            asked.rating_group, asked.service_identifiers, command_level=asked.command_level
        )
        replies.append(reply)
        part = _recognise(decision, session, asked, reply)
        if part is not None:
            parts.append(part)
    reported: dict[int, int] = {}
    for part in parts:
        _settle(decision, part, reported)
        if part.beside is not None:
            _settle(decision, part.beside, reported)
    if may_grant and adoption.is_outdated(decision, session):
        parts = adoption.adopt(decision, session, parts, _find_quota, _join)
    if decision.pooled and may_grant:
        pools.keep_rest(decision)
    granted: set[int] = set()
    received_ns = decision.request.received_ns
    for part in parts:
        asked, quota = part.asked, part.quota
        if asked.used:
            quota.reported_ns = received_ns
            if part.beside is not None:
                part.beside.quota.reported_ns = received_ns
        if asked.rate_octets_per_second > session.rate_octets_per_second:
            session.rate_octets_per_second = asked.rate_octets_per_second
        if may_grant:
            _answer(decision, part, first=id(quota) not in granted)
        if asked.requested is not None:
            granted.add(id(quota))
    for first, second in decision.second_replies:
        place = next(index for index, reply in enumerate(replies) if reply is first)
        replies.insert(place + 1, second)
    return replies


def _recognise(
    decision: Decision, session: Session, asked: ServiceRequest, reply: ServiceReply
) -> Part | None:
    """Return what is needed to charge a service, or None after saying why it is refused."""
    known = ("", decision.state.account.currency)
    ends, foreign = asked.reason in _NO_NEW_QUOTA, False
    for used in asked.used:
        ends = ends or used.reason in _NO_NEW_QUOTA
        foreign = foreign or used.units.money_currency not in known
    service, plan = decision.match(asked), decision.plan
    terms = plan.terms.get(service.code) if plan is not None and service is not None else None
    if service is None or terms is None or asked.invalid or foreign:
        reply.outcome, reply.reason = _refusal(decision, session, asked, service, foreign=foreign)
        if asked.used:
            parking.park_unrated(decision, asked, service, reply.reason)
        return None
    quota = _find_quota(decision, session, asked, service, terms)
    if quota is None:
        reply.outcome = Outcome.RESOURCES_EXCEEDED
        reply.reason = f"a session has at most {QUOTAS_MAX} quotas"
        return None
    part = Part(decision, asked, reply, service, terms, quota, ends=ends)
    if service.together_with:
        _join(decision, session, part)
    return part


def _join(decision: Decision, session: Session, part: Part) -> None:
    """Put the service that this one is granted together with beside it, where the plan sells it."""
    index, plan, code = decision.index, decision.plan, part.service.together_with
    other = index.catalog.services.get(code) if index is not None else None
    terms = plan.terms.get(code) if plan is not None else None
    part.beside, part.one_tariff = None, False
    if other is None or terms is None:
        return
    asked = together.in_unit(part.asked, other.unit)
    quota = _find_quota(decision, session, asked, other, terms)
    if quota is not None:
        together.join(decision, part, quota)


def _refusal(
    decision: Decision, session: Session, asked: ServiceRequest, service: Service | None, *,
    foreign: bool,
) -> tuple[Outcome, str]:
    """Return why a service cannot be charged."""
    if asked.invalid:
        return Outcome.INVALID_VALUE, asked.invalid
    if service is None:
        return Outcome.RATING_FAILED, _unrated(asked)
    if decision.plan is None:
        return Outcome.RATING_FAILED, f"the catalogue has no plan '{session.plan}'"
    if foreign:
        return Outcome.RATING_FAILED, "usage in another currency than the account's"
    return (
        Outcome.NOT_ENTITLED,
        f"plan '{session.plan}' does not include service '{service.code}'",
    )


def _unrated(asked: ServiceRequest) -> str:
    if asked.service_identifiers:
        what = f"service identifier {asked.service_identifiers[0]}"
    elif asked.rating_group is not None:
        what = f"rating group {asked.rating_group}"
    else:
        return "the catalogue has no default service for requests without a rating group"
    return f"the catalogue has no service for {what}"


def _find_quota(
    decision: Decision, session: Session, asked: ServiceRequest, service: Service,
    terms: ServiceTerms,
) -> QuotaState | None:
    group, identifiers = asked.rating_group, asked.service_identifiers
    quota = session.quota_for(service.code, group, identifiers)
    if quota is None and len(session.quotas) >= QUOTAS_MAX:
        if not asked.used:
            return None
        # What was used is debited all the same, in one quota of the service.
        group, identifiers = None, ()
        quota = session.quota_for(service.code, group, identifiers)
    if quota is None:
        quota = QuotaState(service.code, group, identifiers)
        session.quotas.append(quota)
    if not quota.rule and asked.used and decision.index is not None and not quota.free:
        quota.zone = decision.context_key(service, terms, asked)
        slot = decision.index.tariff_at(terms, quota.zone, decision.request.event_ns)
        if slot.rule is not None and terms.mode is PRICED:
            quota.rule, quota.slot_ns = slot.rule.code, slot.start_ns
    return quota


def _settle(decision: Decision, part: Part, reported: dict[int, int]) -> None:
    """Debit what was used; give back holds of a quota that is reported or asked again.

    ``reported`` are the units of this request so far, by the identity of their quota.
    """
    asked, quota = part.asked, part.quota
    if not asked.used and asked.requested is None and not part.ends:
        return
    outstanding, already = quota.granted, reported.get(id(quota), 0)
    line = usage.settle(decision, part, already)
    reported[id(quota)] = already + line.used
    quota.granted = 0
    if decision.request.profile.grant_adds and not part.ends:
        part.kept = max(0, outstanding - line.used)
    decision.charged.append(line)


def _answer(decision: Decision, part: Part, *, first: bool) -> None:
    """Grant what is asked, or say why not. ``first``: no earlier part has the same quota."""
    asked = part.asked
    if part.mode is UNCONTROLLED:
        part.refuse(Outcome.NOT_APPLICABLE, "the service needs no credit control")
    elif asked.requested is None:
        if not part.ends:
            _answer_without_request(decision, part)
    elif first and (not part.ends or decision.request.profile.grant_or_refuse):
        _grant(decision, part)
    elif not first and decision.request.profile.grant_or_refuse:
        # The grant is in the earlier part; success without units would be read as no limit (D24).
        part.refuse(Outcome.CREDIT_LIMIT_REACHED, "this quota was granted earlier in the request")


def _answer_without_request(decision: Decision, part: Part) -> None:
    quota = part.quota
    if part.asked.used:
        # Final units of a redirect or restriction are reported without asking (C-044).
        if quota.restricted or (quota.final and _stays(decision, part)):
            granting.keep_restricted(decision, part)
    elif quota.restricted:
        # The validity time of a restricted client is over: it may be able to pay now (C-045).
        _grant(decision, part)


def _stays(decision: Decision, part: Part) -> bool:
    action = decision.final_unit_policy(part.terms).action
    return bool(action) and not decision.request.profile.only_terminate


def _grant(decision: Decision, part: Part) -> None:
    if decision.state.account.status and account_life.refuse_price(decision, part):
        return
    other, requested = part.beside, part.asked.requested
    if other is None or (requested is not None and requested.money_micro is not None):
        _note_grant(decision, part, granting.grant(decision, part))
        return
    for one, size in together.grant(decision, part, other):
        _note_grant(decision, one, size)


def _note_grant(decision: Decision, part: Part, size: Size) -> None:
    """Put a grant into the record of the request."""
    if not size.units and not size.reserved_micro:
        return
    service, rating_group = part.service.code, part.asked.rating_group
    for line in decision.charged:
        if line.service == service and line.rating_group == rating_group:
            line.granted, line.reserved_micro = size.units, size.reserved_micro
            return
    decision.charged.append(
        ChargedLine(
            service, rating_group, part.service.unit, 0, 0, 0, size.units, size.reserved_micro
        )
    )
