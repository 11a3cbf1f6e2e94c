"""Friends and family: the numbers that a subscriber has named, which prices may look at (K-214).

Called by `ocs subscriber friends`. They hold from the next grant or event on.
"""

from typing import Any

from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.ledger.details import Friend
from ocs.provisioning.customers.postings import account_of
from ocs.provisioning.desk import Desk, Found

FRIENDS_MAX = 500
"""Numbers of all subscribers of one account."""
_DIGITS_MAX = 15


def listing(desk: Desk, found: Found) -> list[dict[str, Any]]:
    """Return the numbers that a subscriber has named, in the order in which it did."""
    account = desk.reports.account(found.account_id)
    if account is None:
        raise NotFoundError(f"there is no account {found.account_id}")
    return _views(account.details.friends, found)


def change(
    desk: Desk, found: Found, add: tuple[str, ...], remove: tuple[str, ...],
    catalogue: CatalogIndex,
) -> list[dict[str, Any]]:  # fmt: skip
    """Name numbers, or name them no more; return those that are named then.

    Raises UsageError, NotFoundError, ConflictError, and RefusedError beyond what the plan allows.
    """
    added, removed = [_digits(one) for one in add], [_digits(one) for one in remove]

    def decide(working_set: WorkingSet) -> list[dict[str, Any]]:
        account = account_of(working_set, found.account_id).account
        own = [one.number for one in account.details.friends if _is_of(one, found)]
        for number in removed:
            if number not in own:
                raise NotFoundError(f"{number} is none of the friends of {found.name}")
            own.remove(number)
        for number in added:
            if number in own:
                raise ConflictError(f"{number} is a friend of {found.name} already")
            own.append(number)
        plan = catalogue.catalog.plans.get(account.plan)
        most = plan.friends if plan is not None else 0
        if added and len(own) > most:
            raise RefusedError(
                f"plan '{account.plan}' lets a subscriber name {most} friends; nothing was changed"
            )
        others = [one for one in account.details.friends if not _is_of(one, found)]
        account.details.friends = others + [Friend(found.subscriber_id, one) for one in own]
        if len(account.details.friends) > FRIENDS_MAX:
            raise RefusedError(f"an account has at most {FRIENDS_MAX} friends")
        working_set.mark_account(account)
        working_set.actions.append(
            desk.action(
                "subscriber friends", found.name, found.account_id, added=added, removed=removed
            )
        )
        return _views(account.details.friends, found)

    key = RequestKey(found.account_id, bytes(16), RequestKind.OPERATOR, 0)
    return desk.store.transact([key], decide, "subscriber friends")


def _is_of(one: Friend, found: Found) -> bool:
    return one.subscriber_id == found.subscriber_id


def _views(friends: list[Friend], found: Found) -> list[dict[str, Any]]:
    return [{"number": one.number} for one in friends if _is_of(one, found)]


def _digits(text: str) -> str:
    digits = text.strip().removeprefix("+")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > _DIGITS_MAX:
        raise UsageError(f"'{text}' is no number in international format such as +4915112345678")
    return digits
