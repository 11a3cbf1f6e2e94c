"""What an account counts over days, weeks and months, and what open sessions may use still of it.

A counted price is the price of all that is used at it in a period (K-200): a charge is the cost
of the count after it minus that before it, whichever session reports. Several sessions may hold
grants of one count at a time, and what a unit costs depends on who reports first. So the money
for all of them is held with the counter and not with a quota: as much as everything granted can
come to, in whatever order (K-204). A quota only has a claim, which its next report, or its end,
gives back. Called by sizing, usage, events, refunds and engine.
"""

from __future__ import annotations

from collections.abc import Iterable

from ocs.amounts import Unit, round_half_up
from ocs.catalog.model import Price, PriceRule
from ocs.charging.model.decision import NS_PER_SECOND, Decision, Part
from ocs.charging.model.limit_counts import find
from ocs.charging.model.messages import Counted
from ocs.charging.model.session import Claim, QuotaState, Session, SessionState
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import NotFoundError
from ocs.ledger import entries
from ocs.ledger.account import COUNTERS_MAX, Account, Bucket, Counter, Hold
from ocs.ledger.entries import AccountLike
from ocs.rating import pricing

LATE_NS = 2 * 86_400 * NS_PER_SECOND
"""A counter is kept so long after its period, for usage that is reported late, and as long as the
period itself if that is longer."""
UNITS_MAX = 1 << 62
"""The most that one counter counts, so that it can be stored."""
NO_ROOM = "more is counted for the account than can be kept"


def price_code(plan: str, service: str, rule: str) -> str:
    """Return what the count of a price is known by in its account."""
    return f"{plan}/{service}/{rule}"


def is_of_price(counter: Counter) -> bool:
    """Tell whether it counts for a price, and not for a limit."""
    return "/" in counter.code


def provide(
    account: Account, code: str, subscriber_id: int, bounds_ns: tuple[int, int], now_ns: int
) -> Counter | None:
    """Return a counter, begun with nothing if need be; None where there is no room for it.

    ``bounds_ns`` are start and end of its period. Counters of periods that are over make room;
    what is in use, or goes on, is never dropped. A period that is closed gets no new count: what
    was counted in it may be forgotten.
    """
    counter = find(account, code, subscriber_id, bounds_ns[0])
    if counter is not None:
        # A limit may go on with a longer or a shorter period, which began at the same instant.
        counter.ends_ns = bounds_ns[1]
        return counter
    if is_closed(bounds_ns, now_ns):
        return None
    account.counters = [
        one for one in account.counters
        if is_claimed(one) or not is_closed((one.period_ns, one.ends_ns), now_ns)
    ]  # fmt: skip
    if len(account.counters) >= COUNTERS_MAX:
        over = [
            one for one in account.counters if not is_claimed(one) and 0 < one.ends_ns <= now_ns
        ]
        if not over:
            return None
        account.counters.remove(min(over, key=lambda one: one.ends_ns))
    counter = Counter(code, subscriber_id, bounds_ns[0], ends_ns=bounds_ns[1])
    account.counters.append(counter)
    return counter


def is_closed(bounds_ns: tuple[int, int], now_ns: int) -> bool:
    """Tell whether a period is over for so long that nothing is counted in it any more (K-321)."""
    start_ns, end_ns = bounds_ns
    return 0 < end_ns <= now_ns - max(LATE_NS, end_ns - start_ns)


def is_claimed(counter: Counter) -> bool:
    """Tell whether open sessions may use more of it."""
    return bool(counter.granted or counter.reserved_micro or counter.holds)


def of_price(
    decision: Decision, service: str, rule: PriceRule, period_ns: int
) -> Counter | None:
    """Return the counter of a price in the period that began at ``period_ns``; None: no room."""
    index, plan = decision.index, decision.plan
    assert index is not None
    assert plan is not None
    said = decision.session or decision.request
    subscriber_id = said.subscriber_id if rule.price.by_member else 0
    return provide(
        decision.state.account, price_code(plan.code, service, rule.code),
        subscriber_id, index.periods.around(period_ns, rule.price.counted),
        decision.context.now_ns,
    )


def promised_micro(price: Price, counter: Counter, more: int = 0) -> int:
    """Return the most that everything granted, and ``more``, can come to in any order."""
    return pricing.peak_charge_micro(
        price, counter.units, pricing.cost_micro(price, counter.units), counter.granted + more
    )


def promise(
    decision: Decision, part: Part, counter: Counter, units: int, hold_micro: int
) -> None:
    """Grant ``units`` of a counter to a quota and hold ``hold_micro`` more for them."""
    counter.granted += units
    if hold_micro > 0:
        counter.holds = [
            *counter.holds, *entries.hold(decision.working_set, part.money, hold_micro)
        ]
    part.quota.claims = [
        *part.quota.claims,
        Claim(counter.code, counter.subscriber_id, counter.period_ns, units),
    ]
    decision.working_set.mark_counters(decision.state.account)


def give_back(
    working_set: WorkingSet, state: AccountLike, quota: QuotaState, hold_micro: int = 0
) -> None:
    """End the claims of a quota whose grant is not used, such as at the end of its session.

    Of what is held, ``hold_micro`` were for it alone; the last claim frees everything.
    """
    for counter in _end_claims(working_set, state, quota):
        if not counter.granted:
            entries.release(working_set, state, counter.holds)
            counter.holds = []
        elif hold_micro and counter.holds:
            counter.holds = _copies(counter.holds)
            entries.release_some(working_set, state, counter.holds, hold_micro)


def release(decision: Decision, part: Part) -> list[tuple[Counter, list[Hold]]]:
    """Before a quota's usage is debited: end its claims and give back all that their counters
    hold. Returns both, for ``hold_again``.
    """
    working_set, state = decision.working_set, decision.state
    released = []
    part.claimed = part.quota.claims
    for counter in _end_claims(working_set, state, part.quota):
        holds = take_holds(decision.working_set, decision.state, counter)
        released.append((counter, holds))
        part.released = [*part.released, *_copies(holds)]
    return released


def hold_again(
    decision: Decision, part: Part, released: Iterable[tuple[Counter, list[Hold]]]
) -> None:
    """After the debit: hold what is granted to other quotas still."""
    for counter, holds in released:
        if counter.granted and is_of_price(counter) and decision.index is not None:
            price = decision.index.rule(*counter.code.split("/")).price
            hold_for_others(
                decision.working_set, decision.state, part.money, counter, price, holds
            )


def next_cost_micro(
    decision: Decision, service: str, rule: PriceRule, period_ns: int, units: int, ahead: int = 0
) -> int:
    """Return what so many units would cost next, after ``ahead`` others; nothing is counted."""
    said, plan = decision.session or decision.request, decision.plan
    assert plan is not None
    subscriber_id = said.subscriber_id if rule.price.by_member else 0
    code = price_code(plan.code, service, rule.code)
    counter = find(decision.state.account, code, subscriber_id, period_ns)
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
    count(decision.working_set, decision.state.account, counter, -units, -back)
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
    holds = take_holds(working_set, state, counter)
    hold_for_others(working_set, state, money, counter, price, holds)


def _counter_of(
    decision: Decision, plan: str, version: int, service: str, counted: Counted
) -> tuple[Counter, Price] | None:
    index = decision.context.catalogues.get(version) or decision.index
    code = price_code(plan, service, counted.rule)
    counter = find(decision.state.account, code, counted.subscriber_id, counted.period_ns)
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
    need = pricing.peak_charge_micro(
        price, counter.units, pricing.cost_micro(price, counter.units), counter.granted + units
    )
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


def take_holds(working_set: WorkingSet, state: AccountLike, counter: Counter) -> list[Hold]:
    """Give back what a counter holds, for ``hold_for_others``; return what it was."""
    holds, counter.holds = counter.holds, []
    entries.release(working_set, state, holds)
    return holds


def count(
    working_set: WorkingSet, account: Account, counter: Counter, units: int, charged_micro: int
) -> None:
    """Count usage, or with negative amounts a refund of it."""
    counter.units += units
    counter.charged_micro += charged_micro
    working_set.mark_counters(account)


def check(account: Account, sessions: Iterable[Session]) -> list[str]:
    """Return where counters are not what open sessions claim of them; empty when all is well."""
    claimed: dict[tuple[str, int, int], list[int]] = {}
    problems = []
    for session in sessions:
        for quota in session.quotas:
            for claim in quota.claims:
                name = claim.code, claim.subscriber_id, claim.period_ns
                sums = claimed.setdefault(name, [0, 0])
                sums[0] += claim.units
                sums[1] += claim.micro
            if quota.claims and session.state != SessionState.OPEN:
                problems.append(f"session {session.session_id} is closed and claims something")
    for counter in account.counters:
        name = counter.code, counter.subscriber_id, counter.period_ns
        units, micro = claimed.pop(name, [0, 0])
        if (counter.granted, counter.reserved_micro) != (units, micro):
            problems.append(
                f"account {account.account_id} counter '{counter.code}': {counter.granted} units "
                f"and {counter.reserved_micro} micro units of money are promised, its sessions "
                f"claim {units} and {micro}"
            )
        if counter.holds and not counter.granted:
            problems.append(
                f"account {account.account_id} counter '{counter.code}' holds money for nothing"
            )
    problems += [
        f"account {account.account_id} has no counter '{name[0]}' although it is claimed"
        for name, (units, micro) in claimed.items()
        if units or micro  # of nothing a claim may outlive its counter
    ]
    return problems


def _end_claims(
    working_set: WorkingSet, state: AccountLike, quota: QuotaState
) -> list[Counter]:
    found = []
    for claim in quota.claims:
        counter = find(state.account, claim.code, claim.subscriber_id, claim.period_ns)
        if counter is not None:
            counter.granted -= claim.units
            counter.reserved_micro -= claim.micro
            found.append(counter)
    quota.claims = []
    working_set.mark_counters(state.account)
    return found


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


def _copies(holds: Iterable[Hold]) -> list[Hold]:
    """Return holds of their own: those that are spent or released are changed in place."""
    return [Hold(entry.bucket_id, entry.amount) for entry in holds]
