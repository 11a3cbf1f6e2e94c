"""Counters of an account, and what open sessions claim of them still.

A counter is of one thing in one period, for the account or one of its members. What a quota may
use still of something counted is a claim on its counter: added when it is granted, taken back by
its next report or its end, so that sessions at a time do not use the same twice. Prices, limits
and bounds of buckets stand on this (``prices``, ``limits``, ``bucket_caps``); called by them, by
engine, and by provisioning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocs.catalog.model import Period
from ocs.charging.model.decision import NS_PER_SECOND, Decision
from ocs.charging.model.session import Claim, QuotaState, Session, SessionState
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import COUNTERS_MAX, Account, Counter, Hold
from ocs.ledger.entries import AccountLike

LATE_NS = 2 * 86_400 * NS_PER_SECOND
"""A counter is kept so long after its period, for usage that is reported late, and as long as the
period itself if that is longer."""
UNITS_MAX = 1 << 62
"""The most that one counter counts, so that it can be stored."""
NO_ROOM = "more is counted for the account than can be kept"


def is_of_price(counter: Counter) -> bool:
    """Tell whether it counts for a price, and not for a limit."""
    return "/" in counter.code


def of_period(
    decision: Decision, code: str, subscriber_id: int, period: int, at_ns: int
) -> Counter | None:
    """Return what counts in the period around an instant; see ``provide``."""
    index = decision.index
    assert index is not None
    return provide(
        decision.state.account, code, subscriber_id, index.periods.around(at_ns, Period(period)),
        decision.context.now_ns,
    )


def provide(
    account: Account, code: str, subscriber_id: int, bounds_ns: tuple[int, int], now_ns: int
) -> Counter | None:
    """Return a counter, begun with nothing if need be; None where there is no room for it.

    ``bounds_ns`` are start and end of its period. Counters of periods that are over make room;
    what is in use, or goes on, is never dropped. A period that is closed gets no new count: what
    was counted in it may be forgotten.
    """
    counter = account.counter(code, subscriber_id, bounds_ns[0])
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
    account.add_counter(counter)
    return counter


def is_closed(bounds_ns: tuple[int, int], now_ns: int) -> bool:
    """Tell whether a period is over for so long that nothing is counted in it any more (K-321)."""
    start_ns, end_ns = bounds_ns
    return 0 < end_ns <= now_ns - max(LATE_NS, end_ns - start_ns)


def count(
    working_set: WorkingSet, account: Account, counter: Counter, units: int, charged_micro: int
) -> None:
    """Count usage, or with negative amounts what is taken back of it."""
    counter.units += units
    counter.charged_micro += charged_micro
    working_set.mark_counters(account)


def take_back(
    working_set: WorkingSet, account: Account, counter: Counter | None, units: int,
    charged_micro: int = 0,
) -> None:  # fmt: skip
    """Count that so much was not used, never below nothing; None: it is not counted any more."""
    if counter is not None:
        count(
            working_set, account, counter, -min(units, counter.units),
            -min(charged_micro, counter.charged_micro),
        )  # fmt: skip


# ------------------------------------------------------------------------------------- claims


def is_claimed(counter: Counter) -> bool:
    """Tell whether open sessions may use more of it."""
    return bool(counter.granted or counter.reserved_micro or counter.holds)


def claim(
    decision: Decision, quota: QuotaState, counter: Counter, units: int = 0, micro: int = 0
) -> None:
    """Let a quota use so much of what is counted, until its next report."""
    counter.granted += units
    counter.reserved_micro += micro
    one = Claim(counter.code, counter.subscriber_id, counter.period_ns, units, micro)
    quota.claims = [*quota.claims, one]
    decision.working_set.mark_counters(decision.state.account)


def claimed_ns(claims: Sequence[Claim], code: str, subscriber_id: int) -> int:
    """Return the start of the period in which something was claimed; 0: it was not."""
    for one in claims:
        if one.code == code and one.subscriber_id == subscriber_id:
            return one.period_ns
    return 0


def end_claims(working_set: WorkingSet, account: Account, quota: QuotaState) -> list[Counter]:
    """Take back what a quota may use still; return the counters it was of."""
    found = []
    for one in quota.claims:
        counter = account.counter(one.code, one.subscriber_id, one.period_ns)
        if counter is not None:
            counter.granted -= one.units
            counter.reserved_micro -= one.micro
            found.append(counter)
    quota.claims = []
    working_set.mark_counters(account)
    return found


def give_back(
    working_set: WorkingSet, state: AccountLike, quota: QuotaState, hold_micro: int = 0
) -> None:
    """End the claims of a quota whose grant is not used, such as at the end of its session.

    Of what is held with a counter, ``hold_micro`` were for it alone; the last claim frees
    everything.
    """
    for counter in end_claims(working_set, state.account, quota):
        if not counter.granted:
            take_holds(working_set, state, counter)
        elif hold_micro and counter.holds:
            counter.holds = copies(counter.holds)
            entries.release_some(working_set, state, counter.holds, hold_micro)


def take_holds(working_set: WorkingSet, state: AccountLike, counter: Counter) -> list[Hold]:
    """Release what is held with a counter; return what it was."""
    holds, counter.holds = counter.holds, []
    entries.release(working_set, state, holds)
    return holds


def copies(holds: Iterable[Hold]) -> list[Hold]:
    """Return holds of their own: those that are spent or released are changed in place."""
    return [Hold(entry.bucket_id, entry.amount) for entry in holds]


def check(account: Account, sessions: Iterable[Session]) -> list[str]:
    """Return where counters are not what open sessions claim of them; empty when all is well."""
    claimed: dict[tuple[str, int, int], list[int]] = {}
    problems = []
    for session in sessions:
        for quota in session.quotas:
            for one in quota.claims:
                name = one.code, one.subscriber_id, one.period_ns
                sums = claimed.setdefault(name, [0, 0])
                sums[0] += one.units
                sums[1] += one.micro
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
        if account.counter(*name) is not counter:
            problems.append(
                f"account {account.account_id} counter '{counter.code}' is not where it is looked "
                "for, or there twice"
            )
    problems += [
        f"account {account.account_id} has no counter '{name[0]}' although it is claimed"
        for name, (units, micro) in claimed.items()
        if units or micro  # of nothing a claim may outlive its counter
    ]
    return problems
