"""What customers are told: which notifications a transaction leaves in the outbox. Pure.

They are rows written with what made them happen (ledger.notification), so a repeated request or a
batch decided again tells nothing twice. A threshold is told once a period: what was told is kept
with the account, and of several thresholds passed at once only the last is told. Called by engine
for plans with ``notify``, and by whatever else moves money, renews, or changes an account's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ocs.amounts import MONEY, Unit
from ocs.catalog.conditions import HOME, YES
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Plan
from ocs.charging.accounts import agenda, purses
from ocs.charging.model.decision import NS_PER_SECOND, Decision, DecisionContext
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.clock import first_id_at
from ocs.ledger.account import NEVER_NS, Account, Bucket, Contra, Counter
from ocs.ledger.details import Told, Visit
from ocs.ledger.notification import Notification

BUCKET_USED, LOW_BALANCE, EXPIRY_NEAR = "bucket-used", "low-balance", "expiry-near"
ROAMING, CAP_REACHED = "roaming", "cap-reached"
RENEWED, RENEWAL_FAILED, LIFE_CYCLE = "renewed", "renewal-failed", "life-cycle"
KINDS = (
    BUCKET_USED, LOW_BALANCE, EXPIRY_NEAR, ROAMING, CAP_REACHED, RENEWED, RENEWAL_FAILED,
    LIFE_CYCLE,
)
REMEMBERED_MAX = 64
"""Buckets, and foreign countries, of which one account remembers what was told."""
WELCOME_NS = 86_400 * NS_PER_SECOND
"""Who comes back to a country within this time is not told again."""


def wants(plan: Plan | None, kind: str) -> bool:
    """Tell whether customers of a plan are told of a kind at all."""
    policy = plan.notify if plan is not None else None
    if policy is None:
        return False
    if kind == BUCKET_USED:
        return bool(policy.used)
    if kind == LOW_BALANCE:
        return bool(policy.low_balance)
    if kind == EXPIRY_NEAR:
        return bool(policy.expiry)
    if kind == CAP_REACHED:
        return bool(policy.caps)
    if kind in (RENEWED, RENEWAL_FAILED):
        return policy.renewal
    return policy.life_cycle if kind == LIFE_CYCLE else policy.roaming


def notify(
    working_set: WorkingSet, account: Account, plan: Plan | None, kind: str, now_ns: int, *,
    subject: str = "", subscriber_id: int = 0, percent: int = 0, **facts: int | str,
) -> None:
    """Leave a notification, where the plan wants its kind; see ledger.notification.

    It is told whenever this is called, so the caller knows that it was not told before. ``facts``
    are amounts with their units in the names, such as ``balance_micro``.
    """
    if wants(plan, kind):
        working_set.notifications.append(
            Notification(
                account.account_id, working_set.new_request_id(), now_ns, kind, subscriber_id,
                subject, percent, facts,
            )
        )


def passed(thresholds: Sequence[int], told: int, used: int, full: int) -> int:
    """Return the highest of these percents that ``used`` of ``full`` reaches, if it is above
    ``told``; else 0.
    """
    share = 100 * used
    reached = [percent for percent in thresholds if told < percent and percent * full <= share]
    return max(reached, default=0) if full > 0 else 0


def count(
    working_set: WorkingSet, account: Account, plan: Plan | None, counter: Counter, used: int,
    limit: int, now_ns: int, *, subject: str, **facts: int | str,
) -> None:  # fmt: skip
    """Tell of a cap, a fair-use or spending limit that a counter comes near to or reaches.

    ``used`` and ``limit`` are its units or its charge, ``subject`` names the limit. The caller
    marks the account's counters; a new period is a new counter and tells again.
    """
    if plan is None or plan.notify is None:
        return
    percent = passed(plan.notify.caps, counter.told, used, limit)
    if percent:
        counter.told = percent
        notify(
            working_set, account, plan, CAP_REACHED, now_ns, subject=subject,
            subscriber_id=counter.subscriber_id, percent=percent, used=used, limit=limit, **facts,
        )


def moved(
    working_set: WorkingSet, state: AccountState, plan: Plan | None, request_id: int, now_ns: int
) -> None:
    """Tell of thresholds that the movements of one request or posting have passed.

    They are the last ones of the working set. Call it when all of them are made.
    """
    if plan is None or plan.notify is None:
        return
    account_id = state.account.account_id
    amounts: dict[int, int] = {}
    used: dict[int, int] = {}
    for line in reversed(working_set.movements):
        if line.request_id != request_id:
            break
        if line.account_id == account_id:
            bucket_id = line.bucket_id
            amounts[bucket_id] = amounts.get(bucket_id, 0) + line.amount
            if line.contra == Contra.REVENUE and line.unit != MONEY:
                used[bucket_id] = used.get(bucket_id, 0) - line.amount
    if amounts and plan.notify.low_balance:
        _look_at_balance(working_set, state, plan, amounts, now_ns)
    if used and plan.notify.used:
        for bucket in state.buckets:
            if used.get(bucket.bucket_id, 0) > 0:
                _look_at_bucket(
                    working_set, state, plan, bucket, used[bucket.bucket_id], now_ns
                )


def _look_at_balance(
    working_set: WorkingSet, state: AccountState, plan: Plan, amounts: dict[int, int], now_ns: int
) -> None:
    assert plan.notify is not None
    balance = change = 0
    for bucket in state.buckets:
        if bucket.unit == MONEY and not bucket.measure:
            balance += bucket.available + bucket.held
            change += amounts.get(bucket.bucket_id, 0)
    if state.rates:
        # What waits in other currencies is money that the customer has.
        worth_micro = purses.worth_micro(state, now_ns)
        balance += worth_micro
        change += worth_micro - purses.worth_before(state, amounts, now_ns)
    levels = [one for one in plan.notify.low_balance if balance <= one < balance - change]
    if levels:
        notify(
            working_set, state.account, plan, LOW_BALANCE, now_ns, level_micro=min(levels),
            balance_micro=balance, currency=state.account.currency,
        )


def _look_at_bucket(
    working_set: WorkingSet, state: AccountState, plan: Plan, bucket: Bucket, used: int,
    now_ns: int,
) -> None:  # fmt: skip
    assert plan.notify is not None
    account = state.account
    left = bucket.available + bucket.held
    whole = next((one.amount for one in plan.allowances if one.code == bucket.name), 0)
    known = account.details.told
    told = next((one for one in known if one.bucket_id == bucket.bucket_id), None)
    before = left + used
    changed = told is None and before > whole
    if told is None:
        told = Told(bucket.bucket_id, bucket.expires_ns, max(before, whole))
    elif _is_filled_anew(told, bucket, before):
        told.full, told.percent, changed = max(before, whole), 0, True
    percent = passed(plan.notify.used, told.percent, told.full - left, told.full)
    if percent:
        told.percent, changed = percent, True
        notify(
            working_set, account, plan, BUCKET_USED, now_ns, subject=bucket.name,
            subscriber_id=bucket.subscriber_id, percent=percent, left=max(0, left),
            full=told.full, unit=Unit(bucket.unit).label, measure=bucket.measure,
            expires_ns=bucket.expires_ns,
        )
    if changed:
        told.expires_ns = bucket.expires_ns
        if all(one is not told for one in known):
            _add_told(state, told)
        working_set.mark_account(account)


def _is_filled_anew(told: Told, bucket: Bucket, before: int) -> bool:
    """Tell whether a bucket that held ``before`` was filled since something was told of it.

    A later end alone is none, nor is a refund: both leave it below what was told.
    """
    if before > told.full:
        return True
    above = not told.percent or before * 100 > (100 - told.percent) * told.full
    return told.expires_ns != bucket.expires_ns and above


def _add_told(state: AccountState, told: Told) -> None:
    """Remember what was told; buckets that are gone make room, then the oldest."""
    alive = {bucket.bucket_id for bucket in state.buckets}
    known = [one for one in state.account.details.told if one.bucket_id in alive]
    state.account.details.told = [*known, told][-REMEMBERED_MAX:]


def refilled(working_set: WorkingSet, account: Account, bucket: Bucket) -> None:
    """Forget what was told of a bucket, because a renewal fills it for another period."""
    details = account.details
    left = [one for one in details.told if one.bucket_id != bucket.bucket_id]
    if len(left) != len(details.told):
        details.told = left
        working_set.mark_account(account)


def where(
    working_set: WorkingSet, account: Account, plan: Plan, index: CatalogIndex, network: str,
    subscriber_id: int, now_ns: int,
) -> None:
    """Tell a subscriber who has come into a foreign network (MCC and MNC digits).

    Another country is told at once, the same one again after WELCOME_NS elsewhere. Networks of
    our own country are none, and without a network named ``home`` nothing is foreign.
    """
    country = network[:3]
    homes = index.catalog.networks.get(HOME, ())
    if index.places.roaming(network) != YES or any(one[:3] == country for one in homes):
        country = ""
    visits, there = account.details.visits, None
    for visit in visits:
        if visit.subscriber_id == subscriber_id:
            if visit.country == country:
                there = visit
            elif visit.here:
                visit.here = False
                working_set.mark_account(account)
    if not country or (there is not None and there.here):
        return
    working_set.mark_account(account)
    if there is not None and now_ns - there.told_ns < WELCOME_NS:
        there.here = True
        return
    rest = [one for one in visits if one is not there]
    account.details.visits = [*rest, Visit(subscriber_id, country, now_ns)][-REMEMBERED_MAX:]
    notify(
        working_set, account, plan, ROAMING, now_ns, subject=index.places.network_zone(network),
        subscriber_id=subscriber_id, network=network,
    )


def decided(decision: Decision, plan: Plan) -> None:
    """Tell what a request has brought about; called last, for plans with ``notify`` only."""
    assert plan.notify is not None
    request, state = decision.request, decision.state
    if plan.notify.expiry:
        schedule(decision.working_set, state, plan)
    moved(decision.working_set, state, plan, decision.request_id, decision.context.now_ns)
    network = request.attributes.visited_network
    if plan.notify.roaming and network and decision.index is not None:
        said = decision.session or request
        where(
            decision.working_set, state.account, plan, decision.index, network,
            said.subscriber_id, decision.context.now_ns,
        )


def expiry_due_ns(state: AccountState, plan: Plan | None) -> int:
    """Return when the next notice of a coming expiry is due (ns UTC); 0 = never."""
    return min((due_ns for due_ns, _, _ in _expiries(state, plan)), default=NEVER_NS)


def schedule(working_set: WorkingSet, state: AccountState, plan: Plan | None) -> None:
    """Enter in the account's agenda when the next notice of a coming expiry is due.

    Every request of the account does this too; it is for those who make or change buckets.
    """
    due_ns = expiry_due_ns(state, plan)
    agenda.enter(working_set, state.account, agenda.EXPIRY_NOTICES, due_ns)


def warn_now(
    working_set: WorkingSet, state: AccountState, _at_ns: int, context: DecisionContext
) -> None:
    """Tell what is due, by the catalogue in force; the handler of agenda.EXPIRY_NOTICES."""
    index = context.catalogues.get(context.current_version)
    plan = index.catalog.plans.get(state.account.plan) if index is not None else None
    warn(working_set, state, plan, context.now_ns)
    schedule(working_set, state, plan)


def warn(
    working_set: WorkingSet, state: AccountState, plan: Plan | None, now_ns: int
) -> None:
    """Tell of buckets that expire soon, each once for each time that is left.

    After a downtime only the nearest of several due ones is told.
    """
    account = state.account
    due: dict[int, tuple[int, Bucket]] = {}
    for due_ns, seconds, bucket in _expiries(state, plan):
        if due_ns <= now_ns:
            nearest, _ = due.get(bucket.bucket_id, (seconds, bucket))
            due[bucket.bucket_id] = min(nearest, seconds), bucket
    if not due:
        return
    account.details.warned_ns = now_ns
    working_set.mark_account(account)
    for seconds, bucket in due.values():
        if bucket.expires_ns > now_ns:
            notify(
                working_set, account, plan, EXPIRY_NEAR, now_ns, subject=bucket.name,
                subscriber_id=bucket.subscriber_id, seconds=seconds,
                left=bucket.available + bucket.held, unit=Unit(bucket.unit).label,
                measure=bucket.measure, expires_ns=bucket.expires_ns,
            )


def _expiries(state: AccountState, plan: Plan | None) -> Iterator[tuple[int, int, Bucket]]:
    """Yield what is to be told still: when, how many seconds before the end, of which bucket.

    What would have been due before a bucket was made is not told.
    """
    if plan is None or plan.notify is None:
        return
    for bucket in state.buckets:
        if bucket.expires_ns == NEVER_NS or bucket.available + bucket.held <= 0:
            continue
        for seconds in plan.notify.expiry:
            due_ns = bucket.expires_ns - seconds * NS_PER_SECOND
            if due_ns > state.account.details.warned_ns and bucket.bucket_id < first_id_at(due_ns):
                yield due_ns, seconds, bucket
