"""Sessions that end without a CCR-T: by the client's STR (RFC 6733 8.4), or because it lost them.

Called on the store's thread: by ``server`` for an STR, by ``server_requests`` when a client answers
that it does not know a session any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ocs.charging.decision import DecisionContext
from ocs.charging.lifecycle import release_session
from ocs.charging.messages import Outcome, RequestKind
from ocs.charging.session import SessionState, make_session_key
from ocs.charging.working_set import RequestKey, WorkingSet
from ocs.store.interface import DueSession, Store

BY_STR = "terminated by the client (STR)"
UNKNOWN_TO_CLIENT = "the client does not know the session any more"
STEP = 100
"""Sessions ended in one transaction."""
FAMILY_MAX = 10_000
"""Sub-sessions of one Session-Id that are looked at."""


class SessionEndings:
    """Ends sessions on the word of their client; ``make_context`` is BatchDecider.context."""

    def __init__(self, store: Store, make_context: Callable[[], DecisionContext]) -> None:
        self._store = store
        self._make_context = make_context

    def terminate(self, session_id: str, cause: int) -> Outcome:
        """End a session and all its sub-sessions: SUCCESS or UNKNOWN_SESSION.

        A repeated STR gets the same answer for the tombstone time. Raises StoreUnavailableError.
        """
        key = make_session_key(session_id, None)
        family = self._store.sessions_named(key, FAMILY_MAX)
        known = False
        for start in range(0, len(family), STEP):
            known |= self._terminate(session_id, cause, family[start : start + STEP])
        return Outcome.SUCCESS if known else Outcome.UNKNOWN_SESSION

    def lose(self, account_id: int, session_key: bytes) -> bool:
        """Release a session that its client does not know; False when it was over already."""

        def release(working_set: WorkingSet) -> bool:
            return release_session(
                working_set, session_key, self._make_context(), SessionState.LOST, UNKNOWN_TO_CLIENT
            )

        key = _timer_key(DueSession(account_id, session_key))
        return self._store.transact([key], release, "lost session")

    def _terminate(self, session_id: str, cause: int, family: Sequence[DueSession]) -> bool:
        def release(working_set: WorkingSet) -> bool:
            context = self._make_context()
            known = False
            for item in family:
                session = working_set.sessions.get(item.session_key)
                if session is None or session.session_id != session_id:
                    continue
                ended_so_before = (
                    session.close_reason == BY_STR and session.deadline_ns > context.now_ns
                )
                known |= ended_so_before or release_session(
                    working_set,
                    item.session_key,
                    context,
                    SessionState.CLOSED,
                    BY_STR,
                    termination_cause=cause,
                )
            return known

        keys = [_timer_key(item) for item in family]
        return self._store.transact(keys, release, "session termination")


def _timer_key(item: DueSession) -> RequestKey:
    return RequestKey(item.account_id, item.session_key, RequestKind.TIMER, 0)
