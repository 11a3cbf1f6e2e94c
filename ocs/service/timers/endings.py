"""Sessions that end without a CCR-T: by the client's STR (RFC 6733 8.4), or because it lost them.

Called on the store's thread: by ``server`` for an STR, by ``server_requests`` when a client answers
that it does not know a session any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ocs.charging.lifecycle import release_session
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.messages import Outcome, RequestKind
from ocs.charging.model.session import SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.store.interface import DueSession, Store
from protocol.grammar import identity_key

BY_STR = "terminated by the client (STR)"
UNKNOWN_TO_CLIENT = "the client does not know the session any more"
STEP = 100
"""Sessions ended in one transaction."""
FAMILY_MAX = 10_000
"""Sub-sessions of one Session-Id that are looked at."""


class Ending(NamedTuple):
    """What an STR says: which session its client ends, and why (Termination-Cause, -1 = none)."""

    session_id: str
    origin_host: str
    cause: int


class SessionEndings:
    """Ends sessions on the word of their client; ``make_context`` is BatchDecider.context."""

    def __init__(self, store: Store, make_context: Callable[[], DecisionContext]) -> None:
        self._store = store
        self._make_context = make_context

    def terminate(self, ending: Ending) -> Outcome:
        """End a session and all its sub-sessions: SUCCESS or UNKNOWN_SESSION.

        A session of another client is unknown to this one. A repeated STR gets the same answer for
        the tombstone time. Raises StoreUnavailableError.
        """
        client = identity_key(ending.origin_host)

        def end(working_set: WorkingSet, key: bytes, context: DecisionContext) -> bool:
            session = working_set.sessions[key]
            if identity_key(session.origin_host) != client:
                return False
            ended_so_before = (
                session.close_reason == BY_STR and session.deadline_ns > context.now_ns
            )
            return ended_so_before or release_session(
                working_set, key, context, SessionState.CLOSED, BY_STR,
                termination_cause=ending.cause,
            )

        known = self._each_of(ending.session_id, end, "session termination")
        return Outcome.SUCCESS if known else Outcome.UNKNOWN_SESSION

    def lose(self, account_id: int, session_key: bytes, asked_ns: int) -> bool:
        """Release a session that its client did not know when it was asked at ``asked_ns``.

        False when it was over already, and when it was heard from since: then it is kept.
        """

        def release(working_set: WorkingSet) -> bool:
            return _lose(working_set, session_key, self._make_context(), asked_ns)

        key = _timer_key(DueSession(account_id, session_key))
        return self._store.transact([key], release, "lost session")

    def lose_all(self, session_id: str, asked_ns: int) -> bool:
        """The same for a session with all its sub-sessions; True when any was released."""
        return self._each_of(session_id, partial(_lose, asked_ns=asked_ns), "lost session")

    def _each_of(
        self,
        session_id: str,
        end: Callable[[WorkingSet, bytes, DecisionContext], bool],
        description: str,
    ) -> bool:
        """End each session of a Session-Id; tell whether ``end`` did so for any."""
        family = self._store.sessions_named(make_session_key(session_id, None), FAMILY_MAX)

        def end_some(working_set: WorkingSet, some: Sequence[DueSession]) -> bool:
            context = self._make_context()
            ended = [
                end(working_set, item.session_key, context)
                for item in some
                if (session := working_set.sessions.get(item.session_key)) is not None
                and session.session_id == session_id
            ]
            return any(ended)

        known = False
        for start in range(0, len(family), STEP):
            some = family[start : start + STEP]
            keys = [_timer_key(item) for item in some]
            known |= self._store.transact(keys, partial(end_some, some=some), description)
        return known


def _lose(
    working_set: WorkingSet, session_key: bytes, context: DecisionContext, asked_ns: int
) -> bool:
    session = working_set.sessions.get(session_key)
    if session is not None and session.last_request_ns > asked_ns:
        return False
    return release_session(
        working_set, session_key, context, SessionState.LOST, UNKNOWN_TO_CLIENT
    )


def _timer_key(item: DueSession) -> RequestKey:
    return RequestKey(item.account_id, item.session_key, RequestKind.TIMER, 0)
