"""Several subscribers of one account: who shares its money, joins it and leaves it.

A member is the names that belong to one subscriber; free units may be personal to one. The first
member is who the account was opened for. Called by the command line and by subscribers.remove.
"""

from typing import Any

from ocs.charging.model.messages import Identity, RequestKind
from ocs.charging.model.session import Session, SessionState
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import ConflictError, RefusedError, UsageError
from ocs.ledger.account import Identifier
from ocs.provisioning.customers import accounts
from ocs.provisioning.customers.postings import account_of
from ocs.provisioning.desk import Desk, Found, name_of
from ocs.provisioning.views import by_member, identity_names
from ocs.store.reports import PAGE_ROWS

IDENTITIES_MAX = 20
"""Names of one subscriber."""
MEMBERS_MAX = 1000


def check_names(identities: tuple[Identity, ...]) -> None:
    """Raise UsageError when these cannot be the names of one subscriber."""
    if not identities:
        raise UsageError("a subscriber needs at least one identity")
    if len(identities) > IDENTITIES_MAX:
        raise UsageError(f"a subscriber may have at most {IDENTITIES_MAX} identities")
    if len(set(identities)) < len(identities):
        raise UsageError("the same identity is given twice")


def refuse_taken(desk: Desk, identities: tuple[Identity, ...]) -> None:
    """Raise ConflictError when somebody has one of these names."""
    taken = desk.store.find(identities)
    if taken:
        identity, owner = next(iter(taken.items()))
        raise ConflictError(
            f"{name_of(identity)} belongs to account {owner.account_id} already; "
            "nothing was changed"
        )


def join(desk: Desk, found: Found, identities: tuple[Identity, ...]) -> dict[str, Any]:
    """Add a subscriber to an account that there is; its money is shared. Returns ``show``.

    Raises UsageError, ConflictError for a name that is taken, RefusedError.
    """
    check_names(identities)
    refuse_taken(desk, identities)
    account_id, member_id = found.account_id, desk.ids.next_id()
    members = by_member(desk.reports.identifiers([account_id]).get(account_id, ()))
    if len(members) >= MEMBERS_MAX:
        raise RefusedError(f"an account has at most {MEMBERS_MAX} subscribers")

    def decide(working_set: WorkingSet) -> None:
        account_of(working_set, account_id)
        working_set.new_identifiers += (
            Identifier(identity.kind, identity.value, account_id, member_id)
            for identity in identities
        )
        working_set.actions.append(
            desk.action(
                "subscriber join", found.name, account_id, subscriber_id=str(member_id),
                identities=[name_of(identity) for identity in identities],
            )
        )  # fmt: skip

    desk.store.transact([_look_key(account_id)], decide, "subscriber join")
    return accounts.show(desk, account_id)


def leave(desk: Desk, found: Found) -> dict[str, Any] | None:
    """Take one of several subscribers out of its account: its names become free.

    Returns ``show``; None when it is the only one, or the whole account is meant. Raises
    RefusedError while it has open sessions.
    """
    account_id = found.account_id
    members = by_member(desk.reports.identifiers([account_id]).get(account_id, ()))
    names = members.get(found.subscriber_id)
    if names is None or len(members) == 1:
        return None
    session = _open_session(desk, account_id, found.subscriber_id)
    if session is not None:
        raise RefusedError(
            f"{found.name} has open sessions, such as {session.session_id}; wait "
            "for them or end them with `ocs session abort`"
        )

    def decide(working_set: WorkingSet) -> None:
        account_of(working_set, account_id)
        working_set.removed_identifiers += names
        working_set.actions.append(
            desk.action(
                "subscriber leave", found.name, account_id, subscriber_id=str(found.subscriber_id),
                identities=identity_names(names),
            )
        )  # fmt: skip

    desk.store.transact([_look_key(account_id)], decide, "subscriber leave")
    return accounts.show(desk, account_id)


def _open_session(desk: Desk, account_id: int, subscriber_id: int) -> Session | None:
    after = (0, b"")
    while True:
        page = desk.reports.sessions(
            after, PAGE_ROWS, account_id=account_id, state=SessionState.OPEN
        )
        for _, session in page:
            if session.subscriber_id == subscriber_id:
                return session
        if len(page) < PAGE_ROWS:
            return None
        after = (account_id, page[-1][0])


def _look_key(account_id: int) -> RequestKey:
    """Return a key that loads and locks an account and names no request."""
    return RequestKey(account_id, bytes(16), RequestKind.OPERATOR, 0)
