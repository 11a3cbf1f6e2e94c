"""Erasing a person on request, while the ledger stays provable (K-255, K-256).

A subscriber that is still there leaves first, under the rules of `ocs subscriber remove`; one that
was removed is named by its account. It may be cut short and repeated. Called by
`ocs subscriber erase`.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ocs.ledger.account import AccountStatus
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.desk import Desk, Found
from ocs.provisioning.views import by_member, identity_names
from ocs.store.erasure import Erased, Eraser, Person


def erase(
    desk: Desk, found: Found, *, forfeit: bool, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Erase a subscriber, or the account as a whole where it is the only one or is named itself.

    Returns how many rows of each kind were changed. Raises RefusedError while sessions are open,
    usage waits for a decision, or money is left and not forfeited.
    """
    account_id = found.account_id
    person = _person(desk, found)
    account = desk.reports.account(account_id)
    if account is not None and account.status != AccountStatus.REMOVED:
        subscribers.remove(desk, found, forfeit=forfeit)
    desk.store.record_action(
        desk.action(
            "subscriber erase", f"account:{account_id}", account_id,
            subscriber_id=str(person.subscriber_id) if person.subscriber_id else "",
        )
    )  # fmt: skip
    erased = Erased()
    for erased in Eraser(desk.reader, person).run():
        progress(erased.records)
    return {
        "account_id": str(account_id),
        "subscriber_id": str(person.subscriber_id) if person.subscriber_id else "",
        "status": accounts.show(desk, account_id)["status"],
        **asdict(erased),
    }


def _person(desk: Desk, found: Found) -> Person:
    """Return whose rows are meant: of one of several subscribers only its own."""
    names = desk.reports.identifiers([found.account_id]).get(found.account_id, ())
    by_id = by_member(names)
    own = by_id.get(found.subscriber_id)
    if own is None or len(by_id) == 1:
        return Person(found.account_id)
    return Person(found.account_id, found.subscriber_id, frozenset(identity_names(own)))
