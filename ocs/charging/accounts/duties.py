"""Does what is due for an account by its agenda, each thing at its instant and in their order.

Called by the supervisor inside Store.transact, and by whatever must not overtake it. Everything is
decided from the loaded account, which is its own lock: several servers, a late start or a batch
that is decided again do each thing once. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ocs.charging.accounts import account_life, agenda, notices, recurring
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.errors import IntegrityError
from ocs.ledger.account import REMOVED

DUTIES_MAX = 32
"""Done for one account in one transaction; after long downtime the rest follows in others."""

Handler = Callable[[WorkingSet, AccountState, int, DecisionContext], None]
"""Does what was due at an instant (ns UTC); enters when it is due again, or that it never is."""

HANDLERS: dict[str, Handler] = {
    agenda.LIFE: account_life.step,
    agenda.EXPIRY_NOTICES: notices.warn_now,
    agenda.RECURRING: recurring.run,
}
"""By kind; a stored kind without a handler is an IntegrityError."""


def catch_up(working_set: WorkingSet, account_id: int, context: DecisionContext) -> None:
    """Do everything that is due for an account, however much was missed: nothing that happens to
    it now may come before.
    """
    while advance(working_set, account_id, context) == DUTIES_MAX:
        pass


def advance(
    working_set: WorkingSet, account_id: int, context: DecisionContext,
    handlers: Mapping[str, Handler] = HANDLERS,
) -> int:
    """Do what is due for an account at ``context.now_ns``, DUTIES_MAX at most; tell how many."""
    state = working_set.accounts.get(account_id)
    if state is None:
        return 0
    account = state.account
    for done in range(DUTIES_MAX):
        if not 0 < account.due_ns <= context.now_ns:
            return done
        duty = agenda.duties_of(account)[0]
        if account.status == REMOVED:
            agenda.enter(working_set, account, duty.kind, 0)
            continue
        handler = handlers.get(duty.kind)
        if handler is None:
            raise IntegrityError(f"account {account_id} waits for '{duty.kind}', which nobody does")
        handler(working_set, state, duty.at_ns, context)
        if account.details.agenda.get(duty.kind) == duty.at_ns:
            raise IntegrityError(f"'{duty.kind}' of account {account_id} stays due for ever")
    return DUTIES_MAX
