"""What customers limit themselves to, and what their accounts have counted (K-210, K-211).

Called by `ocs account cap` and `ocs account counts`. A cap holds from the next grant on; what is
granted already is reported and charged as it was.
"""

from typing import Any

from ocs.amounts import NamedUnit, Unit, format_amount, format_quantity, measured, parse_amount
from ocs.catalog.loading.values import code_problem
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Period
from ocs.charging.counts import counters
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import NotFoundError, RefusedError, UsageError
from ocs.ledger.account import Account, Counter
from ocs.ledger.details import Cap
from ocs.provisioning.customers.postings import account_of
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.instants import format_instant
from ocs.provisioning.overdue import catch_up
from ocs.provisioning.views import money

CAPS_MAX = 10
"""Caps of one account as a whole, and of each of its members."""
ALL_CAPS_MAX = 2_000
"""Both together; each may need two of the account's counters."""
PERIODS = {"day": Period.DAY, "week": Period.WEEK, "month": Period.MONTH}


def set_cap(
    desk: Desk, found: Found, code: str, amount: str, every: str, services: tuple[str, ...],
    catalogue: CatalogIndex, *, member: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Set a cap or replace the one of this code; return all caps of the account.

    Raises UsageError, NotFoundError, RefusedError for one too many.
    """
    if problem := code_problem(code, "cap"):
        raise UsageError(problem)
    if member and not found.subscriber_id:
        raise UsageError("--member needs a name of the subscriber, not of the account")
    for service in services:
        if service not in catalogue.catalog.services:
            known = ", ".join(sorted(catalogue.catalog.services))
            raise NotFoundError(f"the catalogue has no service '{service}'; it has {known}")
    try:
        amount_micro = parse_amount(amount)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if amount_micro < 0:
        raise UsageError("a cap cannot be negative; 0 lets nothing be spent")
    cap = Cap(
        code, amount_micro, PERIODS[every], services, found.subscriber_id if member else 0
    )

    def change(account: Account) -> None:
        caps = [one for one in account.details.caps if not _same(one, cap)]
        if sum(one.subscriber_id == cap.subscriber_id for one in caps) >= CAPS_MAX:
            whose = "a member" if cap.subscriber_id else "an account as a whole"
            raise RefusedError(f"{whose} has at most {CAPS_MAX} caps")
        if len(caps) >= ALL_CAPS_MAX:
            raise RefusedError(f"an account has at most {ALL_CAPS_MAX} caps, its members' included")
        account.details.caps = sorted([*caps, cap], key=lambda one: one.subscriber_id)

    return _change(
        desk, found, change, catalogue, code=code, amount=format_amount(amount_micro), every=every,
        services=services, member=member,
    )  # fmt: skip


def remove_cap(
    desk: Desk, found: Found, code: str, catalogue: CatalogIndex | None = None, *,
    member: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Take a cap away; return those that are left. Raises NotFoundError."""
    wanted = Cap(code, 0, 0, (), found.subscriber_id if member else 0)

    def change(account: Account) -> None:
        caps = [one for one in account.details.caps if not _same(one, wanted)]
        if len(caps) == len(account.details.caps):
            raise NotFoundError(f"there is no cap '{code}' to remove")
        account.details.caps = caps

    return _change(desk, found, change, catalogue, code=code, removed=True, member=member)


def _same(one: Cap, other: Cap) -> bool:
    return (one.code, one.subscriber_id) == (other.code, other.subscriber_id)


def _change(
    desk: Desk, found: Found, change: Any, catalogue: CatalogIndex | None, **details: Any
) -> list[dict[str, Any]]:
    account_id = found.account_id

    def decide(working_set: WorkingSet) -> list[dict[str, Any]]:
        account = account_of(working_set, account_id).account
        catch_up(desk, working_set, account_id, catalogue, desk.clock.now_ns())
        change(account)
        working_set.mark_account(account)
        working_set.actions.append(
            desk.action("account cap", found.name, account_id, **details)
        )
        # Who was refused because of a cap may go on, and who may not is to report.
        working_set.ask_sessions(account_id, Trigger.TOP_UP, desk.clock.now_ns(), desk.operator)
        return [_cap_view(one) for one in account.details.caps]

    key = RequestKey(account_id, bytes(16), RequestKind.OPERATOR, 0)
    return desk.store.transact([key], decide, "account cap")


def _cap_view(cap: Cap) -> dict[str, Any]:
    return {
        "cap": cap.code,
        **money("amount", cap.amount_micro),
        "every": Period(cap.period).name.lower(),
        "services": list(cap.services),
        "subscriber_id": str(cap.subscriber_id) if cap.subscriber_id else "",
    }


def counts(desk: Desk, account_id: int, catalogue: CatalogIndex) -> list[dict[str, Any]]:
    """Return what an account counts, the newest periods first. Raises NotFoundError."""
    account = desk.reports.account(account_id)
    if account is None:
        raise NotFoundError(f"there is no account {account_id}")
    ordered = sorted(account.counters, key=lambda one: (-one.period_ns, one.code))
    return [_count_view(one, account, catalogue) for one in ordered]


def _count_view(counter: Counter, account: Account, catalogue: CatalogIndex) -> dict[str, Any]:
    kind, _, name = counter.code.partition(":")
    if counters.is_of_price(counter):
        kind, name = "price", counter.code
    unit, limit = _measure(counter, account, catalogue, kind, name)
    return {
        "kind": kind,
        "name": name,
        "subscriber_id": str(counter.subscriber_id) if counter.subscriber_id else "",
        "from": format_instant(counter.period_ns),
        "to": format_instant(counter.ends_ns),
        "units": counter.units,
        "units_text": format_quantity(counter.units, unit) if unit is not Unit.MONEY else "",
        **money("charged", counter.charged_micro),
        "promised": counter.granted,
        **money("promised_money", counter.reserved_micro),
        "limit": limit,
        "limit_text": format_quantity(limit, unit) if limit is not None else "",
    }


def _measure(
    counter: Counter, account: Account, catalogue: CatalogIndex, kind: str, name: str
) -> tuple[Unit | NamedUnit, int | None]:
    """Return what a counter is counted in, and how much there may be of it."""
    if kind == "cap":
        for cap in account.details.caps:
            if (cap.code, cap.subscriber_id) == (name, counter.subscriber_id):
                return Unit.MONEY, cap.amount_micro
        return Unit.MONEY, None
    if kind == "price":
        service = catalogue.catalog.services.get(name.split("/")[1])
        return (service.counted_in if service is not None else Unit.EVENTS), None
    plan = catalogue.catalog.plans.get(account.plan)
    if kind == "bucket":
        for one in plan.allowances if plan is not None else ():
            if one.code == name:
                return one.counted_in, one.at_most.amount if one.at_most is not None else None
        return Unit.EVENTS, None
    for limit in plan.limits if plan is not None else ():
        if limit.code == name:
            return measured(limit.unit, limit.measure), limit.amount
    return Unit.EVENTS, None
