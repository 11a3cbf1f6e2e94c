"""Sessions as operators see them, and the release of one that hangs. Called by the command line."""

from collections.abc import Iterator
from typing import Any

from ocs.charging.lifecycle import release_session
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import Session, SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import NotFoundError, RefusedError
from ocs.provisioning.desk import Desk
from ocs.provisioning.views import session_view
from ocs.store.reports import PAGE_ROWS


def listing(
    desk: Desk, *, account_id: int = 0, state: SessionState | None = None, limit: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield sessions by account, page by page; ``limit`` 0 means all."""
    after, left = (0, b""), limit or -1
    while left:
        size = PAGE_ROWS if left < 0 else min(left, PAGE_ROWS)
        page = desk.reports.sessions(after, size, account_id=account_id, state=state)
        for _, session in page:
            yield session_view(session)
        if len(page) < size:
            return
        after = (page[-1][1].account_id, page[-1][0])
        left = left - len(page) if left > 0 else left


def find(desk: Desk, session_id: str, sub_session_id: int | None) -> Session:
    """Return a session that is kept. Raises NotFoundError."""
    session = desk.reports.session(session_id, sub_session_id)
    if session is None:
        raise NotFoundError(
            f"there is no session {session_id}; closed sessions are kept for their tombstone time"
        )
    return session


def release(desk: Desk, session_id: str, sub_session_id: int | None) -> dict[str, Any]:
    """Close an open session and give back what it holds; nothing is debited. Returns it.

    Raises NotFoundError, and RefusedError when it is closed already.
    """
    session = find(desk, session_id, sub_session_id)
    key = make_session_key(session_id, sub_session_id)
    request = RequestKey(session.account_id, key, RequestKind.OPERATOR, 0)
    context = desk.decision_context()
    reason = desk.reason or "released by the operator"

    def decide(working_set: WorkingSet) -> None:
        if not release_session(
            working_set, key, context, SessionState.CLOSED, reason, desk.operator
        ):
            raise RefusedError(f"session {session_id} is closed already; nothing was changed")
        working_set.actions.append(
            desk.action("session release", session_id, session.account_id)
        )

    desk.store.transact([request], decide, "session release")
    return session_view(find(desk, session_id, sub_session_id))
