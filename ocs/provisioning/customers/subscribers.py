"""Add, show, block and remove subscribers: each one transaction with who did it and why.

A subscriber is an account with its main money bucket, the names it is found by, and the
allowances of its plan. Called by the command line and by the import.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocs.amounts import AMOUNT_MAX_MICRO, Unit, format_amount
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Plan
from ocs.charging.accounts import account_life, notices, recurring
from ocs.charging.accounts.allowances import grant_allowances
from ocs.charging.accounts.exchange import is_purse
from ocs.charging.lifecycle import end_allowances
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.messages import (
    ChargingRecord,
    ChargingReply,
    Identity,
    Outcome,
    RatingAttributes,
    RequestKind,
)
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import SessionState, make_session_key
from ocs.charging.model.working_set import AccountState, NewRecord, RequestKey, WorkingSet
from ocs.errors import NotFoundError, RefusedError, UsageError
from ocs.ledger import entries
from ocs.ledger.account import (
    Account,
    AccountFlag,
    AccountStatus,
    Bucket,
    Contra,
    Identifier,
)
from ocs.provisioning.customers import accounts, members
from ocs.provisioning.customers.postings import account_of
from ocs.provisioning.desk import Desk, Found, name_of
from ocs.provisioning.overdue import catch_up
from ocs.provisioning.views import subscriber_row
from ocs.store.reports import PAGE_ROWS


@dataclass(frozen=True, slots=True)
class NewSubscriber:
    """What a new subscriber starts with. ``credit_limit_micro`` -1 takes the plan's."""

    identities: tuple[Identity, ...]
    plan: str
    balance_micro: int = 0
    credit_limit_micro: int = -1


def add(desk: Desk, new: NewSubscriber, catalogue: CatalogIndex) -> dict[str, Any]:
    """Add a subscriber and return it as ``show`` does.

    Raises UsageError, NotFoundError for an unknown plan, ConflictError for a name that is taken.
    """
    plan = find_plan(catalogue, new.plan)
    check_new(new)
    members.refuse_taken(desk, new.identities)
    account_id = desk.ids.next_id()

    def decide(working_set: WorkingSet) -> None:
        open_account(desk, working_set, account_id, new, plan, catalogue)
        working_set.actions.append(
            desk.action(
                "subscriber add", name_of(new.identities[0]), account_id, plan=plan.code,
                identities=[name_of(identity) for identity in new.identities],
                balance=format_amount(new.balance_micro),
            )
        )  # fmt: skip

    desk.store.transact([_own_key(account_id)], decide, "subscriber add")
    return accounts.show(desk, account_id)


def open_account(
    desk: Desk, working_set: WorkingSet, account_id: int, new: NewSubscriber, plan: Plan,
    catalogue: CatalogIndex,
) -> None:  # fmt: skip
    """Put a whole new subscriber into ``working_set``: account, buckets, names and record."""
    catalog = catalogue.catalog
    now_ns = desk.clock.now_ns()
    limit = new.credit_limit_micro
    state = working_set.add_account(
        Account(
            account_id, catalog.currency, plan.code,
            credit_limit_micro=plan.credit_limit_micro if limit < 0 else limit,
        )
    )  # fmt: skip
    main = Bucket(account_id, desk.ids.next_id(), Unit.MONEY, entries.MAIN_BUCKET)
    working_set.add_bucket(main)
    working_set.new_identifiers += (
        Identifier(identity.kind, identity.value, account_id, account_id)
        for identity in new.identities
    )
    request_id = working_set.new_request_id()
    posting = entries.Posting(
        request_id, now_ns, now_ns, contra=Contra.TOP_UP, catalogue_version=catalog.version
    )
    if new.balance_micro:
        entries.credit(working_set, main, new.balance_micro, posting)
    if account_life.begin(working_set, state.account, plan, now_ns):
        grant_allowances(working_set, account_id, plan.given_once, posting, desk.ids.next_id)
        recurring.begin(working_set, state, catalogue, now_ns)
    notices.schedule(working_set, state, plan)
    record = _opening_record(desk, new, state, catalog.version, now_ns)
    working_set.add_record(NewRecord(_own_key(account_id), request_id, now_ns, 0, record))


def find_plan(catalogue: CatalogIndex, code: str) -> Plan:
    """Return a plan of the catalogue. Raises NotFoundError that names those there are."""
    plan = catalogue.catalog.plans.get(code)
    if plan is None:
        known = ", ".join(sorted(catalogue.catalog.plans))
        raise NotFoundError(
            f"catalogue '{catalogue.catalog.name}' has no plan '{code}'; it has {known}"
        )
    return plan


def check_new(new: NewSubscriber) -> None:
    """Raise UsageError when a subscriber cannot start like this."""
    members.check_names(new.identities)
    if not 0 <= new.balance_micro <= AMOUNT_MAX_MICRO:
        raise UsageError("the opening balance must not be negative")
    if new.credit_limit_micro < -1 or new.credit_limit_micro > AMOUNT_MAX_MICRO:
        raise UsageError("the credit limit must not be negative")


def listing(
    desk: Desk, *, plan: str = "", status: AccountStatus | None = None, flagged: bool = False,
    limit: int = 0,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield subscribers by account id, page by page; ``limit`` 0 means all."""
    after, left = 0, limit or -1
    while left:
        size = PAGE_ROWS if left < 0 else min(left, PAGE_ROWS)
        page = desk.reports.subscribers(
            after, size, plan=plan, status=status, flagged=flagged
        )
        for row in page:
            yield subscriber_row(row)
        if len(page) < size:
            return
        after = page[-1].account.account_id
        left = left - len(page) if left > 0 else left


def set_blocked(
    desk: Desk, found: Found, *, blocked: bool, catalogue: CatalogIndex | None = None
) -> dict[str, Any]:
    """Block or unblock an account, after what ``catalogue`` has due for it; what it is already
    changes nothing. Returns ``show``.
    """
    command = "subscriber block" if blocked else "subscriber unblock"

    def decide(working_set: WorkingSet) -> None:
        state = account_of(working_set, found.account_id)
        account = state.account
        if (account.status == AccountStatus.BLOCKED) is blocked:
            return
        now_ns = desk.clock.now_ns()
        catch_up(desk, working_set, found.account_id, catalogue, now_ns)
        if account.status == AccountStatus.CLOSED:
            raise RefusedError(f"account {account.account_id} is closed; there is nothing to block")
        account_life.block(working_set, account, now_ns, blocked=blocked)
        if blocked:
            working_set.ask_sessions(found.account_id, Trigger.BLOCK, now_ns, desk.operator)
        working_set.actions.append(desk.action(command, found.name, found.account_id))

    desk.store.transact([_look_key(found.account_id)], decide, command)
    return accounts.show(desk, found.account_id)


def change_plan(
    desk: Desk, found: Found, code: str, catalogue: CatalogIndex, *, allowances: bool
) -> dict[str, Any]:
    """Give an account another plan; the one it has already changes nothing. Returns ``show``.

    Open sessions come to it with their next report, for which their clients are asked. The credit
    limit and free units stay, but for allowances that end with the old plan; ``allowances`` gives
    those of the new plan too that are not renewed.
    What recurs in the old plan ends, what does in the new one begins now. Raises NotFoundError for
    an unknown plan, RefusedError when it is sold in another currency.
    """
    plan = find_plan(catalogue, code)
    now_ns = desk.clock.now_ns()
    key = RequestKey(
        found.account_id, make_session_key(f"plan\x00{desk.ids.next_id()}", None),
        RequestKind.OPERATOR, 0,
    )  # fmt: skip

    def decide(working_set: WorkingSet) -> None:
        state = account_of(working_set, found.account_id)
        account, before = state.account, state.account.plan
        if before == plan.code:
            return
        if account.currency != catalogue.catalog.currency:
            raise RefusedError(
                f"plan '{plan.code}' is sold in {catalogue.catalog.currency}, the account is kept "
                f"in {account.currency}"
            )
        catch_up(desk, working_set, found.account_id, catalogue, now_ns)
        _leave_plan(desk, working_set, state, catalogue, now_ns)
        account.plan = plan.code
        working_set.mark_account(account)
        account_life.change_terms(working_set, account, plan, now_ns)
        begun = account_life.state_of(account) != AccountStatus.PRE_ACTIVE
        if begun:
            recurring.begin(working_set, state, catalogue, now_ns)
        if allowances and plan.given_once and begun:
            posting = entries.Posting(
                working_set.new_request_id(), now_ns, now_ns,
                catalogue_version=catalogue.catalog.version,
            )
            grant_allowances(
                working_set, found.account_id, plan.given_once, posting, desk.ids.next_id
            )
            record = operator_record(desk, "subscriber plan", plan.code, found.name, state, now_ns)
            record.catalogue_version = catalogue.catalog.version
            working_set.add_record(NewRecord(key, posting.request_id, now_ns, 0, record))
        notices.schedule(working_set, state, plan)
        working_set.ask_sessions(found.account_id, Trigger.PLAN_CHANGE, now_ns, desk.operator)
        working_set.actions.append(
            desk.action(
                "subscriber plan", found.name, found.account_id, before=before, plan=plan.code,
                allowances=[one.code for one in plan.given_once] if allowances else [],
            )
        )  # fmt: skip

    desk.store.transact([key], decide, "subscriber plan")
    return accounts.show(desk, found.account_id)


def _leave_plan(
    desk: Desk, working_set: WorkingSet, state: AccountState, catalogue: CatalogIndex, now_ns: int
) -> None:
    """End what does not outlast the plan of an account: fees, renewals, some allowances."""
    recurring.end(working_set, state, catalogue, now_ns)
    plan = catalogue.catalog.plans.get(state.account.plan)
    if plan is not None:
        context = DecisionContext(now_ns, 0, {}, catalogue.catalog.version, desk.policy)
        end_allowances(working_set, state.account.account_id, plan, context)


def remove(desk: Desk, found: Found, *, forfeit: bool) -> dict[str, Any]:
    """Remove a subscriber: its names become free, its ledger stays. Returns ``show``.

    One of several leaves its account to the others. Else open sessions and waiting reviews refuse
    it; money left refuses it too unless ``forfeit`` books it out as an adjustment; free units left
    go the same way, since nobody paid for them.
    """
    left = members.leave(desk, found)
    if left is not None:
        return left
    account_id = found.account_id
    names = desk.reports.identifiers([account_id]).get(account_id, ())
    open_sessions = desk.reports.sessions(
        (0, b""), 1, account_id=account_id, state=SessionState.OPEN
    )
    if open_sessions:
        raise RefusedError(
            f"{found.name} has open sessions, such as {open_sessions[0][1].session_id}; wait "
            "for them or end them with `ocs session release`"
        )

    def decide(working_set: WorkingSet) -> None:
        state = account_of(working_set, account_id)
        if any(bucket.held for bucket in state.buckets):
            raise RefusedError(f"{found.name} has a session that began meanwhile; try again")
        if state.account.flags & AccountFlag.PARKED_USAGE:
            raise RefusedError(f"usage of {found.name} waits in `ocs review list`; decide it first")
        balance, _ = entries.money_balance(state)
        purse = next((one for one in state.buckets if is_purse(one) and one.balance), None)
        if purse is not None and not forfeit:
            raise RefusedError(
                f"{found.name} still has {format_amount(purse.balance)} {purse.name}; pay it out "
                f"with `ocs account adjust --bucket {purse.name}`, or say --forfeit to book it out"
            )
        if balance and not forfeit:
            raise RefusedError(
                f"{found.name} still has {format_amount(balance)} {state.account.currency}; "
                "pay it out with `ocs account adjust`, or say --forfeit to book it out"
            )
        _empty(desk, working_set, state)
        state.account.status = AccountStatus.REMOVED
        working_set.mark_account(state.account)
        working_set.removed_identifiers += names
        working_set.actions.append(
            desk.action(
                "subscriber remove", found.name, account_id, forfeited=format_amount(balance),
                identities=[f"{name.kind}:{name.value}" for name in names],
            )
        )  # fmt: skip

    desk.store.transact([_look_key(account_id)], decide, "subscriber remove")
    return accounts.show(desk, account_id)


def _empty(desk: Desk, working_set: WorkingSet, state: AccountState) -> None:
    """Book everything out of an account's buckets."""
    if not any(bucket.balance for bucket in state.buckets):
        return
    now_ns = desk.clock.now_ns()
    request_id = working_set.new_request_id()
    posting = entries.Posting(request_id, now_ns, now_ns, contra=Contra.ADJUSTMENT)
    for bucket in state.buckets:
        if bucket.balance:
            entries.credit(working_set, bucket, -bucket.balance, posting)
    account = state.account
    record = operator_record(desk, "subscriber remove", account.plan, "", state, now_ns)
    key = RequestKey(
        account.account_id, make_session_key(f"remove\x00{account.account_id}", None),
        RequestKind.OPERATOR, 0,
    )  # fmt: skip
    working_set.add_record(NewRecord(key, request_id, now_ns, 0, record))


def _own_key(account_id: int) -> RequestKey:
    """Return the key of the request that opens an account: there is one."""
    key = make_session_key(f"subscriber\x00{account_id}", None)
    return RequestKey(account_id, key, RequestKind.OPERATOR, 0)


def _look_key(account_id: int) -> RequestKey:
    """Return a key that loads and locks an account and names no request."""
    return RequestKey(account_id, bytes(16), RequestKind.OPERATOR, 0)


def _opening_record(
    desk: Desk, new: NewSubscriber, state: AccountState, version: int, now_ns: int
) -> ChargingRecord:
    record = operator_record(
        desk, "subscriber add", state.account.plan, name_of(new.identities[0]), state, now_ns
    )
    record.catalogue_version = version
    return record


def operator_record(
    desk: Desk, command: str, plan: str, identity: str, state: AccountState, now_ns: int
) -> ChargingRecord:
    """Return the record of something an operator did to an account."""
    balance_micro, held_micro = entries.money_balance(state)
    return ChargingRecord(
        session_id="", sub_session_id=None, kind=RequestKind.OPERATOR, number=0,
        identity=identity, service_context=command, origin_host="", peer="", end_to_end=0,
        event_ns=now_ns, action=-1, services=(), attributes=RatingAttributes(),
        reply=ChargingReply(Outcome.SUCCESS), charged=[], balance_micro=balance_micro,
        held_micro=held_micro, catalogue_version=0, plan=plan, note=desk.reason,
        operator=desk.operator,
    )  # fmt: skip
