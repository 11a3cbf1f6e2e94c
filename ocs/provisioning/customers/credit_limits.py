"""The credit limit of an account: how far below zero its money may go, for whom pays afterwards.

An account with a limit is prepaid down to zero and postpaid below it: the same decisions, holds and
ledger lines; what is owed is the negative balance, and a top-up is a payment. Called by
`ocs account limit`.
"""

from typing import Any

from ocs.amounts import AMOUNT_MAX_MICRO, format_amount
from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import RefusedError, UsageError
from ocs.ledger.entries import main_bucket
from ocs.provisioning.customers import accounts
from ocs.provisioning.customers.postings import account_of, clear_over_usage, parse_micro
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.overdue import catch_up


def set_limit(
    desk: Desk, found: Found, amount: str, catalogue: CatalogIndex | None = None
) -> dict[str, Any]:
    """Set how far below zero an account may go, after what ``catalogue`` has due for it. Returns
    ``show``.

    Raises UsageError, and RefusedError where it has gone further, or promised more, already.
    """
    limit_micro = parse_micro(amount)
    if not 0 <= limit_micro <= AMOUNT_MAX_MICRO:
        raise UsageError("a credit limit is not negative")

    def decide(working_set: WorkingSet) -> None:
        state = account_of(working_set, found.account_id)
        catch_up(desk, working_set, found.account_id, catalogue, desk.clock.now_ns())
        account, before_micro = state.account, state.account.credit_limit_micro
        if before_micro == limit_micro:
            return
        available_micro = main_bucket(state).available
        if limit_micro < before_micro and available_micro + limit_micro < 0:
            raise RefusedError(
                f"{found.name} has used or promised {format_amount(-available_micro)} of credit; "
                "its limit cannot be less"
            )
        account.credit_limit_micro = limit_micro
        working_set.mark_account(account)
        clear_over_usage(working_set, state)
        if limit_micro > before_micro:
            working_set.ask_sessions(
                found.account_id, Trigger.TOP_UP, desk.clock.now_ns(), desk.operator
            )
        working_set.actions.append(
            desk.action(
                "account limit", found.name, found.account_id,
                before=format_amount(before_micro), amount=format_amount(limit_micro),
            )
        )  # fmt: skip

    key = RequestKey(found.account_id, bytes(16), RequestKind.OPERATOR, 0)
    desk.store.transact([key], decide, "account limit")
    return accounts.show(desk, found.account_id)
