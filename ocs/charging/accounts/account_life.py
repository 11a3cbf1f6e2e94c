"""The life of an account: pre-active, active, grace, barred, closed, and what each state refuses.

    state        begins                          ends
    pre-active   opened by a plan that starts    with its first use: active
                 with the first use
    active       opened, used, or topped up      when its validity is over: grace, else barred
    grace        validity over                   top-up: active; else barred
    barred       grace over                      top-up: active; else closed, or never
    closed       barred for long enough          by an operator alone

K-240 to K-246. Each step is taken at its instant, late or not, by the agenda of the account; a
request that comes first takes it before it is decided. Called by engine, events, serving, duties
and provisioning. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import PRICED, Plan
from ocs.catalog.offers import LifeCycle
from ocs.charging.accounts import agenda, notices, recurring
from ocs.charging.accounts.allowances import grant_allowances
from ocs.charging.model.decision import NS_PER_SECOND, Decision, DecisionContext, Part
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Outcome,
    RatingAttributes,
    RequestKind,
    ServiceReply,
)
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import AccountState, NewRecord, RequestKey, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import (
    ACTIVE,
    BARRED,
    BLOCKED,
    CLOSED,
    GRACE,
    NEVER_NS,
    PRE_ACTIVE,
    REMOVED,
    Account,
    AccountFlag,
    AccountStatus,
)
from ocs.ledger.details import Life


class Admission(NamedTuple):
    """What an account in some state may do."""

    uses: bool
    """Services, whether they cost something or not."""
    pays: bool
    """Services that cost something."""
    gets: bool
    """Top-ups, vouchers, transfers from others."""
    gives: bool
    """Transfers to others."""
    words: str = ""
    """Why something is refused."""


ADMISSIONS: dict[int, Admission] = {
    ACTIVE: Admission(True, True, True, True),
    PRE_ACTIVE: Admission(True, True, True, False, "it was never used yet"),
    GRACE: Admission(True, False, True, False, "its validity is over"),
    BARRED: Admission(False, False, True, False, "it is barred until it is topped up"),
    BLOCKED: Admission(False, False, True, False, "the account is blocked by the operator"),
    CLOSED: Admission(False, False, False, False, "it is closed"),
    REMOVED: Admission(False, False, False, False, "it was removed"),
}
"""By status: the one table of what each state refuses (K-241). Usage that has happened is always
debited, refunds and corrections are always possible but for a removed account."""

NEXT = {
    ACTIVE: (PRE_ACTIVE, GRACE, BARRED, CLOSED),
    BARRED: (ACTIVE, GRACE, PRE_ACTIVE),
    CLOSED: (ACTIVE, GRACE, BARRED, PRE_ACTIVE),
}
"""What an operator may make of an account, and out of what."""


# ------------------------------------------------------------------------------ requests


def refuse_use(decision: Decision) -> ChargingReply | None:
    """Return the refusal of a request that wants to use something now, None to go on.

    Called when the account is not simply active, or has a flag.
    """
    account = decision.state.account
    admission = ADMISSIONS[account.status]
    if account.flags & AccountFlag.UNPAID:
        return ChargingReply(
            Outcome.END_USER_SERVICE_DENIED, reason="a recurring fee of its plan is unpaid"
        )
    if admission.uses:
        return None
    return ChargingReply(Outcome.END_USER_SERVICE_DENIED, reason=admission.words)


def refuse_price(decision: Decision, part: Part) -> bool:
    """Refuse a service that costs something, where the account's state does; tell whether."""
    admission = ADMISSIONS[decision.state.account.status]
    if admission.pays or part.mode is not PRICED:
        return False
    part.refuse(Outcome.END_USER_SERVICE_DENIED, admission.words)
    return True


def refuse_costs(decision: Decision, modes: Iterable[int]) -> str:
    """Return why an event of these charge modes is refused; empty when it is not."""
    admission = ADMISSIONS[decision.state.account.status]
    costs = any(mode == PRICED for mode in modes)
    return admission.words if costs and not admission.pays else ""


class FirstUse:
    """The activation of a pre-active account by the request that is being decided (K-242)."""

    def __init__(self, decision: Decision) -> None:
        """Make the account active, and give what its plan gives."""
        self._decision = decision
        working_set, state = decision.working_set, decision.state
        self._lists: list[tuple[list[Any], int]] = [
            (one, len(one))
            for one in (
                working_set.movements, working_set.records, working_set.notifications,
                working_set.server_requests, working_set.new_buckets, state.buckets,
            )
        ]  # fmt: skip
        self._lines = decision.posting.lines
        self._flags, self._details = state.account.flags, deepcopy(state.account.details)
        self._amounts = [(bucket, bucket.available) for bucket in state.buckets]
        context, contra = decision.context, decision.posting.contra
        index = context.catalogues.get(context.current_version)
        activate(working_set, state, index, decision.posting, context.now_ns)
        decision.posting.contra = contra

    def settle(self, replies: list[ServiceReply]) -> None:
        """Keep it if any of these services is served or anything was charged; else take it back."""
        served = any(reply.outcome == Outcome.SUCCESS for reply in replies)
        if not served and not any(line.used for line in self._decision.charged):
            self.undo()

    def undo(self) -> None:
        """Take it back: a request that is refused is no use."""
        decision = self._decision
        working_set, account = decision.working_set, decision.state.account
        for record in working_set.records[self._lists[1][1] :]:
            working_set.answers.pop(record.key, None)
        for bucket in working_set.new_buckets[self._lists[4][1] :]:
            working_set.changed_buckets.pop((bucket.account_id, bucket.bucket_id), None)
        for values, length in self._lists:
            del values[length:]
        decision.posting.lines = self._lines
        for bucket, available in self._amounts:
            bucket.available = available
        account.status, account.flags = PRE_ACTIVE, self._flags
        account.details = self._details
        account.due_ns = agenda.due_ns_of(account)


def first_use(decision: Decision) -> FirstUse | None:
    """Activate a pre-active account for the request that is being decided."""
    if decision.state.account.status != PRE_ACTIVE:
        return None
    return FirstUse(decision)


# ------------------------------------------------------------------------------ beginnings


def activate(
    working_set: WorkingSet, state: AccountState, index: CatalogIndex | None,
    posting: entries.Posting, now_ns: int,
) -> None:  # fmt: skip
    """Make a pre-active account active: it gets its allowances, and what recurs begins."""
    account = state.account
    plan = index.catalog.plans.get(account.plan) if index is not None else None
    _become_active(working_set, account, plan, now_ns)
    if index is not None and plan is not None:
        grant_allowances(
            working_set, account.account_id, plan.given_once, posting,
            working_set.new_request_id,
        )
        recurring.begin(working_set, state, index, now_ns)


def begin(working_set: WorkingSet, account: Account, plan: Plan, now_ns: int) -> bool:
    """Begin the life of a new account; tell whether it is active from the start."""
    terms = plan.life_cycle
    if terms is not None and terms.first_use:
        account.status, account.details.life = PRE_ACTIVE, Life(since_ns=now_ns)
        working_set.mark_account(account)
        return False
    if terms is not None:
        _become_active(working_set, account, plan, now_ns, tell=False)
    return True


def change_terms(working_set: WorkingSet, account: Account, plan: Plan, now_ns: int) -> None:
    """Give an account the life cycle of its new plan.

    A validity it has stays; without one it begins now. A plan without life cycle makes all of them
    active without end that were not closed.
    """
    terms, life = plan.life_cycle, account.details.life
    status = state_of(account)
    if terms is None:
        if life is not None and status in (ACTIVE, GRACE, BARRED):
            _enter(working_set, account, ACTIVE, now_ns, NEVER_NS)
    elif status == ACTIVE and (life is None or not life.until_ns):
        _become_active(working_set, account, plan, now_ns, tell=False)


def top_up(
    working_set: WorkingSet, account: Account, plan: Plan | None, amount_micro: int, now_ns: int
) -> int:
    """Make an account valid for what a top-up of this amount brings; return until when (ns UTC).

    A validity that ends later stays; grace and barring end. 0: the top-up changes nothing.
    """
    terms = plan.life_cycle if plan is not None else None
    life, status = account.details.life, state_of(account)
    if terms is None or life is None or status not in (ACTIVE, GRACE, BARRED):
        return 0
    seconds = terms.extension_seconds(amount_micro)
    if not seconds or (status == ACTIVE and not life.until_ns):
        return 0
    until_ns = now_ns + seconds * NS_PER_SECOND
    if status == ACTIVE:
        if until_ns <= life.until_ns:
            return 0
        _enter(working_set, account, ACTIVE, life.since_ns, until_ns)
    else:
        _enter(working_set, account, ACTIVE, now_ns, until_ns)
        _tell(working_set, account, plan, now_ns)
        recurring.try_again(working_set, account, now_ns)
    return until_ns


def set_state(
    working_set: WorkingSet, account: Account, status: AccountStatus, plan: Plan | None,
    now_ns: int, until_ns: int = NEVER_NS,
) -> None:
    """Put an account into a state by hand; ``until_ns`` is when it ends, else as the plan says.

    What follows is as if the account had come there by itself. The caller has asked ``NEXT``.
    """
    terms = plan.life_cycle if plan is not None else None
    if not until_ns and terms is not None:
        seconds = terms.validity_seconds if status == ACTIVE else terms.barred_seconds
        until_ns = now_ns + seconds * NS_PER_SECOND if seconds and status != CLOSED else NEVER_NS
    _enter(working_set, account, status, now_ns, until_ns)
    _tell(working_set, account, plan, now_ns)
    _ask_clients(working_set, account, now_ns)


def block(working_set: WorkingSet, account: Account, now_ns: int, *, blocked: bool) -> None:
    """Block an account, or let it go on with its life where the clock has brought it."""
    life = account.details.life
    if blocked:
        if account.status != ACTIVE:
            life = account.details.life = life or Life()
            life.blocked = account.status
        account.status = BLOCKED
        agenda.enter(working_set, account, agenda.LIFE, NEVER_NS)
    else:
        account.status = life.blocked if life is not None else ACTIVE
        if life is not None:
            life.blocked = ACTIVE
            agenda.enter(working_set, account, agenda.LIFE, life.until_ns)
        recurring.try_again(working_set, account, now_ns)
    working_set.mark_account(account)


# ------------------------------------------------------------------------------ steps


def step(
    working_set: WorkingSet, state: AccountState, at_ns: int, context: DecisionContext
) -> None:
    """Take the step that was due at ``at_ns``; the handler of agenda.LIFE (see duties)."""
    account = state.account
    life = account.details.life
    if life is None or account.status not in (ACTIVE, GRACE, BARRED):
        agenda.enter(working_set, account, agenda.LIFE, NEVER_NS)
        return
    plan = _plan_of(account, context)
    terms = plan.life_cycle if plan is not None else None
    before = AccountStatus(account.status)
    if terms is None:
        # The plan has no life cycle any more: nothing ends.
        status, until_ns = ACTIVE, NEVER_NS
    else:
        status, until_ns = _next(before, terms, at_ns)
    _enter(working_set, account, status, at_ns, until_ns)
    posting = entries.Posting(working_set.new_request_id(), at_ns, context.now_ns)
    if status == CLOSED:
        forfeit(working_set, state, plan, posting)
    if status != before:
        key = f"life\x00{name_of(before)}", at_ns
        note = f"{name_of(before)} is over: {name_of(account.status)}"
        _record(working_set, state, key, note, posting, context)
        _tell(working_set, account, plan, context.now_ns)
        _ask_clients(working_set, account, context.now_ns)


def forfeit(
    working_set: WorkingSet, state: AccountState, plan: Plan | None, posting: entries.Posting
) -> bool:
    """Expire what is left of an account that is closed, if its plan says so; tell whether anything
    was. What sessions hold follows when they end.
    """
    terms = plan.life_cycle if plan is not None else None
    if terms is None or not terms.forfeits:
        return False
    return sum(entries.expire(working_set, bucket, posting) for bucket in state.buckets) > 0


def session_ended(
    working_set: WorkingSet, account_id: int, session_id: str, context: DecisionContext
) -> None:
    """Expire what a session held of an account that was closed meanwhile (K-244)."""
    state = working_set.accounts[account_id]
    if not any(bucket.available > 0 for bucket in state.buckets):
        return
    posting = entries.Posting(working_set.new_request_id(), context.now_ns, context.now_ns)
    if forfeit(working_set, state, _plan_of(state.account, context), posting):
        key = f"forfeited\x00{session_id}", posting.request_id
        _record(working_set, state, key, "closed: what was held expired", posting, context)


def _next(status: AccountStatus, terms: LifeCycle, at_ns: int) -> tuple[AccountStatus, int]:
    """Return the state that follows at an instant, and when it ends."""
    if status == ACTIVE and terms.grace_seconds:
        return GRACE, at_ns + terms.grace_seconds * NS_PER_SECOND
    if status != BARRED and terms.barred_seconds is None:
        return BARRED, NEVER_NS
    if status != BARRED and terms.barred_seconds:
        return BARRED, at_ns + terms.barred_seconds * NS_PER_SECOND
    return CLOSED, NEVER_NS


def state_of(account: Account) -> int:
    """Return the state of its life, also while it is blocked."""
    life = account.details.life
    if account.status != BLOCKED:
        return account.status
    return life.blocked if life is not None else ACTIVE


def _become_active(
    working_set: WorkingSet, account: Account, plan: Plan | None, now_ns: int, *, tell: bool = True
) -> None:
    terms = plan.life_cycle if plan is not None else None
    seconds = terms.validity_seconds if terms is not None else 0
    until_ns = now_ns + seconds * NS_PER_SECOND if seconds else NEVER_NS
    account.details.life = Life(
        now_ns, blocked=account.details.life.blocked if account.details.life else 0
    )
    _enter(working_set, account, ACTIVE, now_ns, until_ns)
    if tell:
        _tell(working_set, account, plan, now_ns)


def _enter(
    working_set: WorkingSet, account: Account, status: int, since_ns: int, until_ns: int
) -> None:
    life = account.details.life
    life = account.details.life = (
        Life() if life is None else Life(life.activated_ns, blocked=life.blocked)
    )
    life.since_ns, life.until_ns = since_ns, until_ns
    if account.status == BLOCKED:
        life.blocked = status
        until_ns = NEVER_NS
    else:
        if status == ACTIVE != account.status:
            recurring.try_again(working_set, account, since_ns)
        account.status = status
    agenda.enter(working_set, account, agenda.LIFE, until_ns)
    working_set.mark_account(account)


def _ask_clients(working_set: WorkingSet, account: Account, now_ns: int) -> None:
    """Have the clients of open sessions hear of a state that refuses them something."""
    if account.status == GRACE:
        working_set.ask_sessions(account.account_id, Trigger.LIFE_CYCLE, now_ns)
    elif account.status in (BARRED, CLOSED):
        working_set.ask_sessions(account.account_id, Trigger.BLOCK, now_ns)


def _tell(
    working_set: WorkingSet, account: Account, plan: Plan | None, now_ns: int
) -> None:
    life = account.details.life
    notices.notify(
        working_set, account, plan, notices.LIFE_CYCLE, now_ns,
        subject=name_of(account.status), until_ns=life.until_ns if life is not None else 0,
    )


def name_of(status: int) -> str:
    """Return a state as people write it."""
    return AccountStatus(status).name.lower().replace("_", "-")


def _plan_of(account: Account, context: DecisionContext) -> Plan | None:
    index = context.catalogues.get(context.current_version)
    return index.catalog.plans.get(account.plan) if index is not None else None


def _record(
    working_set: WorkingSet, state: AccountState, name: tuple[str, int], note: str,
    posting: entries.Posting, context: DecisionContext,
) -> None:
    account = state.account
    balance_micro, held_micro = entries.money_balance(state)
    at_ns = posting.event_ns
    key = RequestKey(
        account.account_id, make_session_key(name[0], None), RequestKind.TIMER, name[1]
    )
    record = ChargingRecord(
        session_id="", sub_session_id=None, kind=RequestKind.TIMER, number=name[1], identity="",
        service_context="", origin_host="", peer="", end_to_end=0, event_ns=at_ns, action=-1,
        services=(), attributes=RatingAttributes(), reply=ChargingReply(Outcome.SUCCESS),
        charged=[], balance_micro=balance_micro, held_micro=held_micro,
        catalogue_version=context.current_version, plan=account.plan,
        note=note,
    )  # fmt: skip
    working_set.add_record(NewRecord(key, posting.request_id, context.now_ns, 0, record))
