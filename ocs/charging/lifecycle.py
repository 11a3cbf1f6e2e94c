"""What happens without a request: lost sessions, operators' releases, expired buckets.

Called by the service's supervisor and by provisioning, inside Store.transact. Pure; everything
is decided again from the loaded state, so several servers and a late start do each thing once.
"""

from __future__ import annotations

from ocs.catalog.model import Plan
from ocs.charging.accounts import rollover
from ocs.charging.engine import close
from ocs.charging.model.decision import NS_PER_SECOND, DecisionContext
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
)
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import Session, SessionState, make_session_key
from ocs.charging.model.working_set import NewRecord, RequestKey, WorkingSet
from ocs.ledger import entries

TCC_EXPIRED = "supervision timer Tcc ran out"


def expire_session(
    working_set: WorkingSet, session_key: bytes, context: DecisionContext
) -> bool:
    """Release a session whose supervision time is over (table 6: Tcc expires).

    Nothing unreported is debited. Returns False when it was closed or heard from meanwhile.
    """
    session = working_set.sessions.get(session_key)
    if session is None or session.state != SessionState.OPEN:
        return False
    if session.deadline_ns > context.now_ns:
        # Marked all the same: the store then moves its due time to the true deadline.
        working_set.mark_session(session_key)
        return False
    return release_session(working_set, session_key, context, SessionState.LOST, TCC_EXPIRED)


def extend_session(
    working_set: WorkingSet, session_key: bytes, seconds: int, context: DecisionContext
) -> bool:
    """Give an open session ``seconds`` more, because the server was down that long."""
    session = working_set.sessions.get(session_key)
    if session is None or session.state != SessionState.OPEN:
        return False
    session.deadline_ns = max(session.deadline_ns, context.now_ns) + seconds * NS_PER_SECOND
    working_set.mark_session(session_key)
    return True


def release_session(
    working_set: WorkingSet, session_key: bytes, context: DecisionContext,
    new_state: SessionState, reason: str, operator: str = "", termination_cause: int = -1,
) -> bool:
    """Close an open session and give back what it holds; record why. No money moves.

    ``termination_cause`` is what a client said that ended it without a CCR-T (RFC 6733 8.15).
    """
    session = working_set.sessions.get(session_key)
    if session is None or session.state != SessionState.OPEN:
        return False
    state = working_set.accounts.get(session.account_id)
    if state is None:
        return False
    close(working_set, state, session, new_state, reason, context)
    working_set.mark_session(session_key)
    kind = RequestKind.OPERATOR if operator else RequestKind.TIMER
    key = RequestKey(session.account_id, session_key, kind, 0)
    if key in working_set.answers:
        # An earlier session of this name ended like this and was pruned before its records.
        key = key._replace(number=session.started_ns)
    _record(
        working_set, context, key, reason, session=session, operator=operator,
        termination_cause=termination_cause,
    )
    return True


def expire_bucket(
    working_set: WorkingSet, account_id: int, bucket_id: int, context: DecisionContext
) -> int:
    """Move what is left in an expired bucket to the expiry side; return how much it was.

    Grants that draw on it are valid until then at most, so their clients report by themselves;
    those that do not are asked to, once, be the bucket held in part or to its last unit.
    """
    state = working_set.accounts.get(account_id)
    if state is None:
        return 0
    for bucket in state.buckets:
        if bucket.bucket_id != bucket_id:
            continue
        if not bucket.expires_ns or bucket.expires_ns > context.now_ns:
            return 0
        if bucket.held and not bucket.asked:
            bucket.asked = True
            working_set.mark_bucket(bucket)
            working_set.ask_sessions(account_id, Trigger.BUCKET_EXPIRY, context.now_ns)
        if bucket.available <= 0:
            return 0
        key = RequestKey(
            account_id, make_session_key(f"expiry\x00{bucket_id}", None), RequestKind.TIMER,
            bucket.version,
        )
        request_id = _record(working_set, context, key, f"bucket '{bucket.name}' expired")
        posting = entries.Posting(request_id, bucket.expires_ns, context.now_ns)
        amount = entries.expire(working_set, bucket, posting)
        rollover.remember_lapsed(working_set, state.account, bucket, amount)
        return amount
    return 0


def end_allowances(
    working_set: WorkingSet, account_id: int, plan: Plan, context: DecisionContext
) -> None:
    """End what the account has left of allowances that do not outlast the plan it leaves (K-273).

    What sessions hold of them stays with them; what they give back expires then.
    """
    ending = {
        (one.code, one.unit, one.named.measure if one.named else "")
        for one in plan.allowances if one.ends_with_plan
    }  # fmt: skip
    for bucket in list(working_set.accounts[account_id].buckets):
        if (
            (bucket.name, bucket.unit, bucket.measure) in ending
            and bucket.balance
            and not 0 < bucket.expires_ns <= context.now_ns
        ):
            bucket.expires_ns, bucket.asked = context.now_ns, False
            working_set.mark_bucket(bucket)
            expire_bucket(working_set, account_id, bucket.bucket_id, context)


def _record(
    working_set: WorkingSet, context: DecisionContext, key: RequestKey, note: str, *,
    session: Session | None = None, operator: str = "", termination_cause: int = -1,
) -> int:
    request_id = working_set.new_request_id()
    state = working_set.accounts[key.account_id]
    balance, held = entries.money_balance(state)
    record = ChargingRecord(
        session_id=session.session_id if session else "",
        sub_session_id=session.sub_session_id if session else None,
        kind=key.kind,
        number=key.number,
        identity=session.identity if session else "",
        service_context=session.service_context if session else "",
        origin_host=session.origin_host if session else "",
        peer=session.peer if session else "",
        end_to_end=0,
        event_ns=context.now_ns,
        action=-1,
        services=(),
        attributes=RatingAttributes(),
        reply=ChargingReply(Outcome.SUCCESS),
        charged=[],
        balance_micro=balance,
        held_micro=held,
        catalogue_version=session.catalogue_version if session else context.current_version,
        plan=session.plan if session else state.account.plan,
        termination_cause=termination_cause,
        note=note,
        operator=operator,
    )
    working_set.add_record(NewRecord(key, request_id, context.now_ns, 0, record))
    return request_id
