"""Money that waits in other currencies until the account's own cannot pay (K-329 to K-331). Pure.

A plan that says ``exchange: when-needed`` keeps what was topped up in USD in a purse of USD. While
a request is decided, what purses can bring in counts like a credit limit (see available_micro of
ledger.entries), so nothing that sizes, holds or takes money knows of them. Afterwards ``bring_in``
exchanges exactly what own money is below zero. So purses are drawn on before the credit limit, and
a request that takes and holds nothing leaves them alone. Called by engine for catalogues with such
plans only, by recurring for fees, by notices, and by provisioning.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocs.amounts import EVENTS, INT64_MAX
from ocs.catalog.exchange import Exchange, Rate, purse_unit
from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts.exchange import exchange, is_purse
from ocs.charging.model.working_set import NO_RATES, AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import NEVER_NS, Account, Bucket

PURSES_MAX = 16
"""Of one account: one for each currency and end."""
_LAST_NS = 1 << 63


def keeps(account: Account, index: CatalogIndex | None) -> bool:
    """Tell whether the account's plan keeps money in other currencies until it is needed."""
    plan = index.catalog.plans.get(account.plan) if index is not None else None
    return (
        index is not None
        and plan is not None
        and plan.exchange is Exchange.WHEN_NEEDED
        and index.catalog.currency == account.currency
    )


def take_rates(state: AccountState, index: CatalogIndex | None) -> None:
    """Let an account know at which rates its purses are exchanged: those of the catalogue in force,
    and none where its plan exchanges nothing when needed.
    """
    state.rates = NO_RATES
    if index is not None and keeps(state.account, index):
        state.rates = index.catalog.currencies


def look(state: AccountState, index: CatalogIndex, now_ns: int) -> int | None:
    """Count what the purses can bring in to what the account can pay.

    Return its main money, which ``bring_in`` wants to know afterwards; None: no purse has anything.
    """
    take_rates(state, index)
    return count_in(state, now_ns)


def count_in(state: AccountState, now_ns: int) -> int | None:
    """Do the same with the rates that the account knows."""
    state.purses_micro = worth_micro(state, now_ns)
    return entries.main_bucket(state).available if state.purses_micro else None


def bring_in(
    working_set: WorkingSet, state: AccountState, posting: entries.Posting, before_micro: int
) -> int:
    """Exchange what main money lacks after something was taken or held of it; return what came.

    ``before_micro`` is what ``look`` returned: without a new shortage nothing is exchanged.
    """
    main = entries.main_bucket(state)
    came_micro = 0
    if main.available < 0 and main.available < before_micro:
        came_micro = fetch(working_set, state, posting, -main.available)
    state.purses_micro = worth_micro(state, posting.now_ns)
    return came_micro


def fetch(
    working_set: WorkingSet, state: AccountState, posting: entries.Posting, own_micro: int
) -> int:
    """Exchange as much as comes to ``own_micro``, as far as the purses go, in spending order.

    Of each purse the least is taken that comes to what is missing (K-330). Returns what came.
    """
    came_micro = 0
    for purse, rate in _live(state, posting.now_ns):
        part_micro = min(own_micro - came_micro, rate.exchanged(purse.available))
        if part_micro > 0:
            amount_micro = rate.least_for(part_micro)
            came_micro += exchange(working_set, state, purse, rate, amount_micro, posting)
    return came_micro


def worth_micro(state: AccountState, now_ns: int) -> int:
    """Return what all purses together come to now, each rounded down (K-330)."""
    if not state.rates:
        return 0
    worth = sum(rate.exchanged(purse.available) for purse, rate in _live(state, now_ns))
    return min(worth, INT64_MAX // 2)


def worth_before(state: AccountState, amounts: Mapping[int, int], now_ns: int) -> int:
    """Return what the purses came to before ``amounts`` were moved, by bucket."""
    return sum(
        rate.exchanged(max(0, bucket.available - amounts.get(bucket.bucket_id, 0)))
        for bucket, rate in _rated(state, now_ns)
    )


def purse_for(
    working_set: WorkingSet, state: AccountState, currency: str, expires_ns: int = NEVER_NS
) -> Bucket:
    """Return the purse that takes money of a currency with this end (ns UTC): that one, else an
    empty one, else a new one. ``put`` makes it the account's.
    """
    purses = [one for one in state.buckets if is_purse(one) and one.name == currency]
    for purse in purses:
        if purse.expires_ns == expires_ns:
            return purse
    for purse in purses:
        if not purse.available and not purse.held:
            return purse
    return Bucket(
        state.account.account_id, working_set.new_request_id(), EVENTS, currency,
        expires_ns=expires_ns, measure=purse_unit(currency).measure,
    )  # fmt: skip


def put(
    working_set: WorkingSet, state: AccountState, purse: Bucket, expires_ns: int = NEVER_NS
) -> None:
    """Make a purse of ``purse_for`` the account's, with this end (ns UTC)."""
    if all(one is not purse for one in state.buckets):
        working_set.add_bucket(purse)
    elif purse.expires_ns != expires_ns:
        purse.expires_ns, purse.asked = expires_ns, False
        working_set.mark_bucket(purse)


def is_full(state: AccountState, purse: Bucket) -> bool:
    """Tell whether the account has so many purses that this one would be too many."""
    purses = [one for one in state.buckets if is_purse(one)]
    return len(purses) >= PURSES_MAX and all(one is not purse for one in purses)


def _live(state: AccountState, now_ns: int) -> list[tuple[Bucket, Rate]]:
    """Return the purses that have something, in spending order: priority, end, age (M-012)."""
    found = [one for one in _rated(state, now_ns) if one[0].available > 0]
    found.sort(key=lambda one: (one[0].priority, one[0].expires_ns or _LAST_NS, one[0].bucket_id))
    return found


def _rated(state: AccountState, now_ns: int) -> list[tuple[Bucket, Rate]]:
    """Return the purses that did not expire, with their rates."""
    return [
        (bucket, state.rates[bucket.name])
        for bucket in state.buckets
        if bucket.measure
        and (bucket.expires_ns == NEVER_NS or bucket.expires_ns > now_ns)
        and bucket.name in state.rates
        and is_purse(bucket)
    ]
