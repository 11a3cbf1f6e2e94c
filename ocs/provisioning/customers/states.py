"""The state of an account's life, set by hand: activated, barred, closed, reopened (K-245).

What happens by itself is charging.accounts.account_life. Called by `ocs subscriber state`.
"""

from typing import Any

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Plan
from ocs.charging.accounts import account_life
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import NewRecord, RequestKey, WorkingSet
from ocs.errors import RefusedError, UsageError
from ocs.ledger import entries
from ocs.ledger.account import AccountStatus
from ocs.provisioning.customers import accounts
from ocs.provisioning.customers.postings import account_of
from ocs.provisioning.customers.subscribers import operator_record
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.instants import format_instant
from ocs.provisioning.overdue import catch_up

BY_HAND = {account_life.name_of(status): AccountStatus(status) for status in account_life.NEXT}
"""States that an operator may choose, by name."""


def set_state(
    desk: Desk, found: Found, wanted: str, catalogue: CatalogIndex, *, until_ns: int = 0
) -> dict[str, Any]:
    """Put an account into a state, until ``until_ns`` or as its plan says. Returns ``show``.

    Raises UsageError, RefusedError when it cannot come there from where it is.
    """
    status = BY_HAND.get(wanted)
    if status is None:
        raise UsageError(f"'{wanted}' is no state to choose; those are {', '.join(BY_HAND)}")
    now_ns = desk.clock.now_ns()
    if until_ns and until_ns <= now_ns:
        raise UsageError("a state ends in the future")
    if until_ns and status is AccountStatus.CLOSED:
        raise UsageError("a closed account stays closed until somebody opens it")

    def decide(working_set: WorkingSet) -> None:
        account = account_of(working_set, found.account_id).account
        catch_up(desk, working_set, found.account_id, catalogue, now_ns)
        before = AccountStatus(account.status)
        if before is AccountStatus.BLOCKED:
            raise RefusedError(f"{found.name} is blocked; `ocs subscriber unblock` comes first")
        if before is not status and before not in account_life.NEXT[status]:
            raise RefusedError(
                f"{found.name} is {account_life.name_of(before)} and cannot become {wanted}"
            )
        plan = catalogue.catalog.plans.get(account.plan)
        if before is AccountStatus.PRE_ACTIVE and status is AccountStatus.ACTIVE:
            _activate(desk, working_set, found, catalogue, now_ns)
        if before is not AccountStatus.PRE_ACTIVE or status is not AccountStatus.ACTIVE or until_ns:
            account_life.set_state(working_set, account, status, plan, now_ns, until_ns)
        if status is AccountStatus.CLOSED != before:
            _forfeit(desk, working_set, found, plan, now_ns)
        working_set.actions.append(
            desk.action(
                "subscriber state", found.name, found.account_id,
                before=account_life.name_of(before), state=wanted, until=format_instant(until_ns),
            )
        )  # fmt: skip

    key = RequestKey(found.account_id, bytes(16), RequestKind.OPERATOR, 0)
    desk.store.transact([key], decide, "subscriber state")
    return accounts.show(desk, found.account_id)


def _activate(
    desk: Desk, working_set: WorkingSet, found: Found, catalogue: CatalogIndex, now_ns: int
) -> None:
    """Give a pre-active account what its first use would have given it."""
    state = working_set.accounts[found.account_id]
    posting = entries.Posting(
        working_set.new_request_id(), now_ns, now_ns, catalogue_version=catalogue.catalog.version
    )
    account_life.activate(working_set, state, catalogue, posting, now_ns)
    if posting.lines:
        _record(desk, working_set, found, posting, "activated")


def _forfeit(
    desk: Desk, working_set: WorkingSet, found: Found, plan: Plan | None, now_ns: int
) -> None:
    """Expire what is left, as when the account had been closed by itself."""
    posting = entries.Posting(working_set.new_request_id(), now_ns, now_ns)
    state = working_set.accounts[found.account_id]
    if account_life.forfeit(working_set, state, plan, posting):
        _record(desk, working_set, found, posting, "closed")


def _record(
    desk: Desk, working_set: WorkingSet, found: Found, posting: entries.Posting, name: str
) -> None:
    state, now_ns = working_set.accounts[found.account_id], posting.now_ns
    record = operator_record(
        desk, "subscriber state", state.account.plan, found.name, state, now_ns
    )
    session_key = make_session_key(f"{name}\x00{posting.request_id}", None)
    key = RequestKey(found.account_id, session_key, RequestKind.OPERATOR, 0)
    working_set.add_record(NewRecord(key, posting.request_id, now_ns, 0, record))
