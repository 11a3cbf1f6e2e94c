"""decide(): one credit-control request against the state of its account (RFC 8506 table 6).

    state   request                          action                                      next
    Idle    INITIAL processed                reserve, start Tcc                          Open
    Idle    INITIAL not processed            answer the error, nothing reserved          Idle
    Open    INITIAL, not a duplicate         UNABLE_TO_COMPLY, session untouched (D04)   Open
    Open    UPDATE processed                 debit, release, reserve, restart Tcc        Open
    Open    UPDATE not processed             debit, release everything, the error        Idle
    Open    UPDATE of an aborted session     as not processed: END_USER_SERVICE_DENIED   Idle
    Open    TERMINATION                      debit, release everything                   Idle
    Idle    UPDATE within the tombstone time debit, no grant (D11)                       Idle
    Idle    UPDATE, TERMINATION else         UNKNOWN_SESSION, orphan usage recorded      Idle
    Idle    EVENT                            debit, credit or inquire (events.py)        Idle

Pure: everything it reads and changes is in the working set; every answer it gives is stored there
too, so that a duplicate is answered with the same words and moves nothing. Called by the service
for each request of a batch, in order of arrival, inside one transaction.
"""

from __future__ import annotations

from ocs.charging.accounts import account_life, duties, notices, purses
from ocs.charging.advice import advise
from ocs.charging.counts import counters
from ocs.charging.debits import events, parking, refunds
from ocs.charging.model import circumstances
from ocs.charging.model.decision import (
    NS_PER_SECOND,
    WITH_RESERVATIONS,
    Decision,
    DecisionContext,
    DecisionPolicy,
)
from ocs.charging.model.messages import (
    EVENT,
    INITIAL,
    SUCCESS,
    TERMINATION,
    UPDATE,
    ChargingRecord,
    ChargingReply,
    ChargingRequest,
    EventAction,
    Outcome,
    ServiceReply,
)
from ocs.charging.model.session import OPEN, Session, SessionState, make_event_key
from ocs.charging.model.working_set import NewRecord, RequestKey, WorkingSet
from ocs.charging.serving import serve
from ocs.ledger import entries
from ocs.ledger.account import CLOSED, REMOVED

__all__ = ["DecisionContext", "DecisionPolicy", "decide", "key_of", "keys_of"]


def key_of(request: ChargingRequest) -> RequestKey:
    """Return what the request is known by in the store."""
    return RequestKey(request.account_id, request.session_key, request.kind, request.number)


def keys_of(request: ChargingRequest) -> list[RequestKey]:
    """Return everything that must be loaded to decide the request; its own key first."""
    keys = [key_of(request)]
    if request.refund_reference:
        keys += refunds.keys_of(request.account_id, request.refund_reference)
    return keys


def decide(
    request: ChargingRequest, working_set: WorkingSet, context: DecisionContext
) -> ChargingReply:
    """Decide one request: change the working set and return the reply, stored or new.

    Raises IntegrityError when stored state contradicts itself; anything it raises leaves the
    working set unusable, so the caller rolls back.
    """
    state = working_set.accounts.get(request.account_id)
    key = key_of(request)
    stored = working_set.answers.get(key)
    if stored is not None:
        if stored.content_hash == request.content_hash:
            return stored.record.reply
        return ChargingReply(
            Outcome.UNABLE_TO_COMPLY,
            reason=f"request number {request.number} was answered before with other content",
        )
    if state is None or state.account.status == REMOVED:
        if request.kind in (INITIAL, EVENT):
            return ChargingReply(Outcome.USER_UNKNOWN, reason="no such subscriber")
        return ChargingReply(Outcome.UNKNOWN_SESSION, reason="no such session")
    if 0 < state.account.due_ns <= context.now_ns:
        # What was due before this request is done before it, also when nobody was there.
        duties.catch_up(working_set, request.account_id, context)
    # An event belongs to no session, not even to one whose Session-Id it has.
    is_event = request.kind == EVENT
    session = None if is_event else working_set.sessions.get(request.session_key)
    decision = Decision(request, working_set, context, state, session)
    current, own_micro = context.catalogues.get(context.current_version), None
    if current is not None and current.keeps_purses:
        own_micro = purses.look(state, current, context.now_ns)
    if is_event:
        reply = events.decide_event(decision)
        entry = make_event_key(request.session_key, request.number, request.content_hash)
        working_set.new_entries[entry] = request.account_id
    elif request.kind == INITIAL:
        reply = _initial(decision)
    elif session is None:
        reply = _unknown_session(decision)
    elif session.state == OPEN:
        reply = _open(decision, session)
    else:
        reply = _closed(decision, session)
    if own_micro is not None:
        purses.bring_in(working_set, state, decision.posting, own_micro)
    if request.advice and reply.outcome == SUCCESS:
        advise(decision, reply)
    plan = decision.plan
    if plan is not None and plan.notify is not None:
        notices.decided(decision, plan)
    _store(decision, key, reply)
    return reply


def _initial(decision: Decision) -> ChargingReply:
    request, context = decision.request, decision.context
    if decision.session is not None:
        parking.park_orphans(decision)
        return ChargingReply(
            Outcome.UNABLE_TO_COMPLY, reason="a session of this Session-Id exists already"
        )
    refusal = _refuse_account(decision) or _refuse_context(decision)
    if refusal is not None:
        parking.park_orphans(decision)
        return refusal
    session = Session(
        session_id=request.session_id,
        sub_session_id=request.sub_session_id,
        account_id=request.account_id,
        subscriber_id=request.subscriber_id,
        identity=_identity(request),
        service_context=request.service_context,
        origin_host=request.origin_host,
        origin_realm=request.origin_realm,
        peer=request.peer,
        node=context.node,
        origin_state_id=request.origin_state_id,
        plan=decision.state.account.plan,
        catalogue_version=context.current_version,
        state=OPEN,
        started_ns=request.received_ns,
        last_request_ns=request.received_ns,
        deadline_ns=0,
        seen=[request.number, request.number],
        profile=request.profile.name,
    )
    decision.session = session
    _remember(decision, session)
    services = _serve(decision, session, may_grant=True)
    promoted = _promote(decision, services)
    if promoted is not None:
        return promoted
    _restart_tcc(decision, session)
    decision.working_set.add_session(request.session_key, session)
    return ChargingReply(SUCCESS, services)


def _open(decision: Decision, session: Session) -> ChargingReply:
    request = decision.request
    _touch(decision, session)
    if request.kind == TERMINATION:
        services = serve(decision, session, may_grant=False)
        close(decision.working_set, decision.state, session, SessionState.CLOSED,
              "terminated by the client", decision.context)
        return ChargingReply(
            SUCCESS, services, cost_micro=session.charged_micro,
            currency=decision.state.account.currency,
            refund_reference=refunds.reference_of_session(decision),
        )
    refusal = _refuse_account(decision) or _refuse_context(decision)
    services = _serve(decision, session, may_grant=refusal is None)
    if refusal is None:
        refusal = _promote(decision, services)
    if refusal is not None:
        close(decision.working_set, decision.state, session, SessionState.FAILED,
              refusal.reason, decision.context)
        return refusal
    _restart_tcc(decision, session)
    return ChargingReply(SUCCESS, services)


def _serve(decision: Decision, session: Session, *, may_grant: bool) -> list[ServiceReply]:
    """Serve, and let the first use of an account make it active (K-242)."""
    first_use = None
    if decision.state.account.status and may_grant:
        first_use = account_life.first_use(decision)
    services = serve(decision, session, may_grant=may_grant)
    if first_use is not None:
        first_use.settle(services)
    return services


def _closed(decision: Decision, session: Session) -> ChargingReply:
    """Late requests of a session that is over: D11."""
    request = decision.request
    _touch(decision, session)
    in_time = request.received_ns < session.deadline_ns
    late_update = request.kind == UPDATE and session.state == SessionState.CLOSED
    late_end = request.kind == TERMINATION and session.state == SessionState.FAILED
    if in_time and (late_update or late_end):
        services = serve(decision, session, may_grant=False)
        if late_end:
            session.state = SessionState.CLOSED
        return ChargingReply(SUCCESS, services)
    return _unknown_session(decision)


def _unknown_session(decision: Decision) -> ChargingReply:
    """Answer 5002 and keep what was reported for a person to look at."""
    parking.park_orphans(decision)
    return ChargingReply(Outcome.UNKNOWN_SESSION, reason="no such session is open")


def _refuse_account(decision: Decision) -> ChargingReply | None:
    account = decision.state.account
    if account.status or account.flags:
        refusal = account_life.refuse_use(decision)
        if refusal is not None:
            return refusal
    if decision.session is not None and decision.session.aborted:
        return ChargingReply(
            Outcome.END_USER_SERVICE_DENIED, reason="the session was ended by the operator"
        )
    return None


def _refuse_context(decision: Decision) -> ChargingReply | None:
    request, index = decision.request, decision.index
    if index is None:
        return ChargingReply(Outcome.RATING_FAILED, reason="no catalogue is published")
    if decision.session is None and not index.knows_context(request.service_context):
        return ChargingReply(
            Outcome.RATING_FAILED,
            reason=f"the catalogue has no service for '{request.service_context}'",
            failed="service-context-id",
        )
    return None


def _promote(decision: Decision, services: list[ServiceReply]) -> ChargingReply | None:
    """Say the refusal of every service for the whole command, where the client wants it (D01).

    What was asked outside any service is the command itself: refused, there is no session.
    """
    if not services:
        return None
    if not decision.request.profile.refuse_at_command_level and not services[0].command_level:
        return None
    if any(service.outcome == SUCCESS for service in services):
        return None
    first = services[0]
    return ChargingReply(first.outcome, services, reason=first.reason)


def _touch(decision: Decision, session: Session) -> None:
    request = decision.request
    session.note_seen(request.number)
    session.last_request_ns = request.received_ns
    session.peer = request.peer
    session.origin_host, session.origin_realm = request.origin_host, request.origin_realm
    session.node = decision.context.node
    _remember(decision, session)
    decision.working_set.mark_session(request.session_key)


def _remember(decision: Decision, session: Session) -> None:
    said = decision.request.attributes
    if said.role_of_node >= 0:
        session.role_of_node = said.role_of_node
    session.emergency = session.emergency or said.emergency
    session.called_party = said.called_party or session.called_party
    if said.rate_octets_per_second > session.rate_octets_per_second:
        session.rate_octets_per_second = said.rate_octets_per_second
    plan = decision.plan
    if plan is not None and plan.conditional:
        session.said = circumstances.remembered(session.said, said)


def _restart_tcc(decision: Decision, session: Session) -> None:
    # Tcc is twice the longest Validity-Time granted in the session (RFC 8506 13).
    seconds = (
        2 * session.longest_validity_seconds or decision.context.policy.tcc_default_seconds
    )
    session.deadline_ns = decision.request.received_ns + seconds * NS_PER_SECOND


def close(
    working_set: WorkingSet, state: entries.AccountLike, session: Session, new_state: SessionState,
    reason: str, context: DecisionContext,
) -> None:
    """Release everything an open session holds and leave a tombstone of it (C-007, M-007)."""
    for quota in session.quotas:
        entries.release(working_set, state, quota.holds)
        quota.holds = []
        quota.granted = 0
        if quota.claims:
            counters.give_back(working_set, state, quota)
    if state.account.status == CLOSED:
        account_life.session_ended(working_set, session.account_id, session.session_id, context)
    session.state = new_state
    session.closed_ns = context.now_ns
    session.close_reason = reason
    session.deadline_ns = context.now_ns + context.policy.tombstone_seconds * NS_PER_SECOND


def _store(decision: Decision, key: RequestKey, reply: ChargingReply) -> None:
    request = decision.request
    balance, held = entries.money_balance(decision.state)
    worth = decision.state.purses_micro
    low_micro = decision.plan.low_balance_micro if decision.plan else None
    if low_micro is not None and reply.outcome == SUCCESS:
        reply.low_balance = balance + worth < low_micro
    remaining = decision.context.policy.remaining_balance
    if remaining and reply.outcome == SUCCESS and request.action != EventAction.PRICE_ENQUIRY:
        own = balance if remaining == WITH_RESERVATIONS else balance - held
        reply.remaining_micro = own + worth
        reply.currency = decision.state.account.currency
    record = ChargingRecord(
        session_id=request.session_id,
        sub_session_id=request.sub_session_id,
        kind=request.kind,
        number=request.number,
        identity=decision.session.identity if decision.session else _identity(request),
        service_context=request.service_context,
        origin_host=request.origin_host,
        peer=request.peer,
        end_to_end=request.end_to_end,
        event_ns=request.event_ns,
        action=request.action,
        services=request.services,
        attributes=request.attributes,
        reply=reply,
        charged=decision.charged,
        balance_micro=balance,
        held_micro=held,
        catalogue_version=decision.posting.catalogue_version,
        plan=decision.plan_code,
        termination_cause=request.termination_cause,
        anomaly=request.anomaly,
        equipment=request.equipment,
    )
    decision.working_set.add_record(
        NewRecord(key, decision.request_id, request.received_ns, request.content_hash, record)
    )


def _identity(request: ChargingRequest) -> str:
    if not request.identities:
        return ""
    first = request.identities[0]
    return f"{first.kind}:{first.value}"
