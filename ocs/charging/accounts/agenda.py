"""What has to be done for an account without a request, and when: one instant for each kind.

``Account.due_ns`` is the earliest of them, and nobody but this module sets it. Whoever has
something to do later enters it under its kind, and has a handler in charging.accounts.duties. Pure.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ocs.ledger.account import NEVER_NS, Account

LIFE = "life"
"""The next step of the account's life: see duties."""
RECURRING = "recurring"
"""Fees and renewals of its plan: see recurring."""
EXPIRY_NOTICES = "expiry-notices"
"""Telling of buckets that expire soon: see notices."""


class Marking(Protocol):
    """What of a working set is needed here: charging.model.working_set.WorkingSet."""

    def mark_account(self, account: Account) -> None:
        """Say that the account was changed."""


class Duty(NamedTuple):
    """Something to do for an account; of two at one instant the first by name comes first."""

    at_ns: int
    kind: str


def enter(working_set: Marking, account: Account, kind: str, at_ns: int) -> None:
    """Have ``kind`` done at ``at_ns`` (ns UTC), instead of when it was to be; NEVER_NS: not."""
    agenda = account.details.agenda
    if agenda.get(kind, NEVER_NS) == at_ns:
        return
    if at_ns == NEVER_NS:
        del agenda[kind]
    else:
        agenda[kind] = at_ns
    account.due_ns = due_ns_of(account)
    working_set.mark_account(account)


def due_ns_of(account: Account) -> int:
    """Return when the account is due: the earliest of everything it waits for, else NEVER_NS."""
    return min(account.details.agenda.values(), default=NEVER_NS)


def duties_of(account: Account) -> list[Duty]:
    """Return everything it waits for, in the order in which it will be done."""
    return sorted(Duty(at_ns, kind) for kind, at_ns in account.details.agenda.items())
