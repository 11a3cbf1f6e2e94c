"""How much the buckets of one allowance pay in a day, a week or a month (K-217).

Beyond it the next bucket pays, or money, until the period is over. What is paid is counted in the
account's counters, and what is granted still is claimed there, so that sessions at a time do not
pass it together. Called by sizing, usage, events and refunds, where the plan has such allowances
(``Decision.bounded``), and by refunds of operators.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ocs.amounts import MONEY
from ocs.charging.counts import counters
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.limit_counts import counter_at
from ocs.charging.model.session import Claim
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import Account, Bucket, Counter, Hold

_PREFIX = "bucket:"


def _counter(decision: Decision, name: str, at_ns: int) -> Counter | None:
    """Return what counts the allowance ``name`` in the period of an instant; None: no room."""
    plan = decision.plan
    assert plan is not None
    period = plan.bucket_caps[name].period
    return counters.of_period(decision, _PREFIX + name, 0, period, at_ns)


def room(decision: Decision, bucket: Bucket, at_ns: int) -> int:
    """Return how much of what is available in a bucket it may pay, without what is granted."""
    plan, available = decision.plan, max(0, bucket.available)
    cap = plan.bucket_caps.get(bucket.name) if plan is not None else None
    if cap is None or bucket.unit == MONEY:
        return available
    counter = _counter(decision, bucket.name, at_ns)
    if counter is None:
        return 0
    return max(0, min(available, cap.amount - counter.units - counter.granted))


def claim(decision: Decision, part: Part, bucket: Bucket, units: int) -> int:
    """Count units that are granted as what a bucket may pay still; return the period's end, 0
    where there is no bound.
    """
    plan = decision.plan
    if plan is None or bucket.name not in plan.bucket_caps:
        return 0
    counter = _counter(decision, bucket.name, decision.request.event_ns)
    if counter is None:
        return 0
    counters.claim(decision, part.quota, counter, units)
    return counter.ends_ns


def payable(decision: Decision, buckets: list[Bucket]) -> list[Bucket]:
    """Return the buckets that may pay more now."""
    at_ns = decision.request.event_ns
    return [one for one in buckets if one.available > 0 and room(decision, one, at_ns)]


def is_shared(decision: Decision, part: Part) -> bool:
    """Tell whether other sessions may give back what their grants took of a bound."""
    own = {claim.code: claim.units for claim in part.quota.claims}
    bounded = {_PREFIX + bucket.name for bucket in part.units if bucket.available > 0}
    return any(
        counter.code in bounded and counter.granted > own.get(counter.code, 0)
        for counter in decision.state.account.counters
    )


def take_units(
    decision: Decision, buckets: list[Bucket], released: Sequence[Hold], units: int,
    claimed: Sequence[Claim] = (), granted_ns: int = 0,
) -> list[Hold]:  # fmt: skip
    """Take up to ``units`` as entries.take_units does, from each bucket what it may pay.

    They are counted in the periods of ``granted_ns``, in which they were granted, where such
    buckets were among those that ``claimed`` says.
    """
    working_set, state, posting = decision.working_set, decision.state, decision.posting
    at_ns = decision.request.event_ns
    if any(one.code.startswith(_PREFIX) for one in claimed):
        at_ns = granted_ns or at_ns
    taken = entries.take_units(working_set, state, [], released, units, posting)
    _count(decision, taken, at_ns)
    left = units - sum(entry.amount for entry in taken)
    for bucket in buckets:
        if not left:
            break
        some = min(left, room(decision, bucket, at_ns))
        more = entries.take_units(working_set, state, [bucket], (), some, posting)
        _count(decision, more, at_ns)
        left -= sum(entry.amount for entry in more)
        taken += more
    return taken


def _count(decision: Decision, taken: Iterable[Hold], at_ns: int) -> None:
    for name, units in _bounded(decision, taken):
        counter = _counter(decision, name, at_ns)
        if counter is not None:
            counters.count(decision.working_set, decision.state.account, counter, units, 0)


def count_back(decision: Decision, given: Iterable[Hold], at_ns: int) -> None:
    """Count what was put back into buckets as not paid in the period of an instant."""
    plan, index, account = decision.plan, decision.index, decision.state.account
    assert plan is not None
    assert index is not None
    for name, units in _bounded(decision, given):
        period = plan.bucket_caps[name].period
        counter = counter_at(account, index.periods, _PREFIX + name, 0, period, at_ns)
        counters.take_back(decision.working_set, account, counter, units)


def _bounded(decision: Decision, taken: Iterable[Hold]) -> Iterator[tuple[str, int]]:
    """Yield which bounded allowances, and how much of them, buckets paid or got."""
    plan = decision.plan
    assert plan is not None
    names = {
        bucket.bucket_id: bucket.name for bucket in decision.state.buckets
        if bucket.unit != MONEY and bucket.name in plan.bucket_caps
    }  # fmt: skip
    for entry in taken:
        if entry.bucket_id in names:
            yield names[entry.bucket_id], entry.amount


def take_back(
    working_set: WorkingSet, account: Account, name: str, period_ns: int, units: int
) -> None:
    """Count fewer units of an allowance as used in a period, if it is counted still."""
    counter = account.counter(_PREFIX + name, 0, period_ns)
    counters.take_back(working_set, account, counter, units)


def undo(decision: Decision, mark: int) -> None:
    """Before movements since ``mark`` are taken back: take what they paid out of the counts."""
    if decision.bounded:
        paid = [
            Hold(line.bucket_id, -line.amount)
            for line in decision.working_set.movements[mark:] if line.amount < 0
        ]
        count_back(decision, paid, decision.request.event_ns)
