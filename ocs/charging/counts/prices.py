"""Prices of all that is used in a day, a week or a month, whichever session reports it (K-200).

A charge is the cost of the count after it minus that before it. Several sessions may hold grants of
one count at a time, and what a unit costs depends on who reports first. So the money for all of
them is held with the counter and not with a quota: as much as everything granted can come to, in
whatever order (K-204). Called by sizing, usage, events, refunds and parking, and by the reviews of
provisioning.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocs.amounts import Unit, round_half_up
from ocs.catalog.model import Price, PriceRule
from ocs.charging.counts import counters
from ocs.charging.model.decision import Decision, Part
from ocs.charging.model.messages import Counted
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import NotFoundError
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Counter, Hold
from ocs.ledger.entries import AccountLike
from ocs.rating import pricing


def price_code(plan: str, service: str, rule: str) -> str:
    """Return what the count of a price is known by in its account."""
    return f"{plan}/{service}/{rule}"


def of_price(
    decision: Decision, service: str, rule: PriceRule, period_ns: int
) -> Counter | None:
    """Return the counter of a price in the period that began at ``period_ns``; None: no room."""
    name = _name(decision, service, rule)
    return counters.of_period(decision, *name, rule.price.counted, period_ns)


def _name(decision: Decision, service: str, rule: PriceRule) -> tuple[str, int]:
    """Return code and subscriber of a price's counter."""
    plan = decision.plan
    assert plan is not None
    said = decision.session or decision.request
    subscriber_id = said.subscriber_id if rule.price.by_member else 0
    return price_code(plan.code, service, rule.code), subscriber_id


def promised_micro(price: Price, counter: Counter, more: int = 0) -> int:
    """Return the most that everything granted, and ``more``, can come to in any order."""
    return pricing.peak_charge_micro(
        price, counter.units, pricing.cost_micro(price, counter.units), counter.granted + more
    )


def promise(
    decision: Decision, part: Part, counter: Counter, units: int, hold_micro: int
) -> None:
    """Grant ``units`` of a counter to a quota and hold ``hold_micro`` more for them."""
    if hold_micro > 0:
        counter.holds = [
            *counter.holds, *entries.hold(decision.working_set, part.money, hold_micro)
        ]
    counters.claim(decision, part.quota, counter, units)


def release(decision: Decision, part: Part) -> list[tuple[Counter, list[Hold]]]:
    """Before a quota's usage is debited: end its claims and give back all that their counters
    hold. Returns both, for ``hold_again``.
    """
    working_set, state = decision.working_set, decision.state
    released = []
    part.claimed = part.quota.claims
    for counter in counters.end_claims(working_set, state.account, part.quota):
        holds = counters.take_holds(working_set, state, counter)
        released.append((counter, holds))
        part.released = [*part.released, *counters.copies(holds)]
    return released


def hold_again(
    decision: Decision, part: Part, released: Iterable[tuple[Counter, list[Hold]]]
) -> None:
    """After the debit: hold what is granted to other quotas still."""
    for counter, holds in released:
        if counter.granted and counters.is_of_price(counter) and decision.index is not None:
            price = decision.index.rule(*counter.code.split("/")).price
            hold_for_others(
                decision.working_set, decision.state, part.money, counter, price, holds
            )


def next_cost_micro(
    decision: Decision, service: str, rule: PriceRule, period_ns: int, units: int, ahead: int = 0
) -> int:
    """Return what so many units would cost next, after ``ahead`` others; nothing is counted."""
    counter = decision.state.account.counter(*_name(decision, service, rule), period_ns)
    before = ahead + (counter.units if counter is not None else 0)
    return pricing.charge_micro(rule.price, before, units)


def take_back(
    decision: Decision, plan: str, version: int, service: str, counted: Counted, units: int
) -> int:
    """Count fewer units in the period they were used in; return what its total falls by (K-205).

    A total that would rise stays as it is. Where count or price are not kept any more, what the
    units cost goes back, in proportion.
    """
    share = round_half_up(counted.charged_micro * units, counted.units) if counted.units else 0
    found = _counter_of(decision, plan, version, service, counted)
    if found is None or found[0].units < units:
        return max(0, share)
    counter, price = found
    back = pricing.charge_micro(price, counter.units - units, units)
    if back < 0:
        return 0
    counters.count(decision.working_set, decision.state.account, counter, -units, -back)
    return back


def hold_anew(
    decision: Decision, plan: str, version: int, service: str, counted: Counted
) -> None:
    """After a refund: hold for sessions what they can come to from where the count is now."""
    found = _counter_of(decision, plan, version, service, counted)
    if found is None or not found[0].granted:
        return
    counter, price = found
    _, money = entries.payers(
        decision.state, Unit.EVENTS, service, counted.subscriber_id, decision.context.now_ns
    )
    working_set, state = decision.working_set, decision.state
    holds = counters.take_holds(working_set, state, counter)
    hold_for_others(working_set, state, money, counter, price, holds)


def _counter_of(
    decision: Decision, plan: str, version: int, service: str, counted: Counted
) -> tuple[Counter, Price] | None:
    index = decision.context.catalogues.get(version) or decision.index
    code = price_code(plan, service, counted.rule)
    counter = decision.state.account.counter(code, counted.subscriber_id, counted.period_ns)
    if counter is None or index is None:
        return None
    try:
        return counter, index.rule(plan, service, counted.rule).price
    except NotFoundError:
        return None


def affordable_with(
    decision: Decision, money: list[Bucket], counter: Counter, price: Price, units: int
) -> bool:
    """Tell whether units can be paid at once, and all that is granted to sessions after them."""
    cost = pricing.charge_micro(price, counter.units, units)
    if not counter.granted:
        # Only what costs something needs money: a free unit is had in debt too.
        return not cost or cost <= entries.available_micro(decision.state, money)
    need = promised_micro(price, counter, units)
    held = sum(entry.amount for entry in counter.holds)
    return need <= held or need - held <= entries.available_micro(decision.state, money)


def hold_for_others(
    working_set: WorkingSet, state: AccountLike, money: list[Bucket], counter: Counter,
    price: Price, holds: list[Hold],
) -> None:
    """Hold what everything granted of a count can come to, first where ``holds`` were, which are
    given back.
    """
    if not counter.granted:
        return
    buckets = _holders(state, money, holds)
    amount = min(promised_micro(price, counter), max(0, entries.available_micro(state, buckets)))
    counter.holds = entries.hold(working_set, buckets, amount) if amount else []


def _holders(state: AccountLike, money: list[Bucket], holds: list[Hold]) -> list[Bucket]:
    """Return the buckets to hold in for others: those that did, then those that all may use."""
    before = {entry.bucket_id for entry in holds}
    chosen = [
        bucket for bucket in state.buckets
        if bucket.bucket_id in before and bucket.name != entries.MAIN_BUCKET
    ]  # fmt: skip
    known = {bucket.bucket_id for bucket in chosen}
    chosen += [
        bucket for bucket in money
        if bucket.bucket_id not in known and not bucket.subscriber_id
    ]  # fmt: skip
    return chosen
