"""Decides one batch of requests on the store's thread: look up, load, decide, write, commit.

Called by ``batcher``. Expected outcomes come back as replies; faults of our own become TOO_BUSY
or UNABLE_TO_COMPLY and leave nothing behind (D25).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from ocs.charging.accounts import notices
from ocs.charging.debits import parking
from ocs.charging.engine import decide, keys_of
from ocs.charging.model.decision import DecisionContext, DecisionPolicy
from ocs.charging.model.messages import (
    INITIAL,
    SUCCESS,
    ChargingReply,
    ChargingRequest,
    Outcome,
    RequestKind,
)
from ocs.charging.model.working_set import ReviewItem, WorkingSet
from ocs.clock import Clock
from ocs.errors import StoreConflictError, StoreUnavailableError, UnknownCommitError
from ocs.ledger.notification import Notification
from ocs.service.batches.catalogues import (
    MISSING_CATALOGUES_MAX,
    CatalogueCache,
    MissingCatalogueError,
)
from ocs.service.batches.lookups import AccountLookup
from ocs.service.watching.masking import mask_session_id
from ocs.store.interface import Store

UNKNOWN_COMMIT_TRIES = 3

_log = structlog.get_logger(__name__)


class BatchDecider:
    """The function between the queue and the store; one per server, used by one thread."""

    def __init__(
        self,
        store: Store,
        lookup: AccountLookup,
        catalogues: CatalogueCache,
        clock: Clock,
        policy: DecisionPolicy,
        node: int,
        new_id: Callable[[], int],
        on_asked: Callable[[], None],
    ) -> None:
        self._store = store
        self._lookup = lookup
        self._catalogues = catalogues
        self._clock = clock
        self._policy = policy
        self._node = node
        self._new_id = new_id
        self._on_asked = on_asked
        self.parked = dict.fromkeys(parking.KINDS, 0)
        """How much usage was left to a person so far, by kind of review item."""
        self.notified = dict.fromkeys(notices.KINDS, 0)
        """Notifications written so far, by kind."""
        self._store_fails = False

    def decide(self, requests: list[ChargingRequest]) -> Sequence[ChargingReply]:
        """Return one reply per request, in their order. Never raises."""
        try:
            replies = self._decide_or_split(requests)
        except Exception:  # noqa: BLE001 -- the batcher's replies must come back
            _log.exception("a batch could not be decided", requests=len(requests))
            return [_internal_error()] * len(requests)
        return replies

    def context(self) -> DecisionContext:
        """Return what a decision taken now may know besides the stored state."""
        return DecisionContext(
            self._clock.now_ns(),
            self._node,
            self._catalogues,
            self._catalogues.current_version,
            self._policy,
            self._catalogues.version_at,
        )

    def _decide_or_split(self, requests: list[ChargingRequest]) -> Sequence[ChargingReply]:
        try:
            replies = self._decide_together(requests)
        except (StoreUnavailableError, StoreConflictError) as error:
            self._note_store(error)
            return [_busy(error)] * len(requests)
        except Exception:  # noqa: BLE001 -- whatever it is, it is logged and answered
            # One request must not fail its neighbours: halve until the culprit is alone. Order
            # is kept, and nothing was written by the attempt that failed.
            if len(requests) > 1:
                middle = len(requests) // 2
                first = self._decide_or_split(requests[:middle])
                return [*first, *self._decide_or_split(requests[middle:])]
            request = requests[0]
            _log.exception(
                "a request could not be decided",
                session_id=mask_session_id(request.session_id),
                kind=RequestKind(request.kind).name,
                number=request.number,
                origin_host=request.origin_host,
            )
            return [_internal_error()]
        self._note_store(None)
        return replies

    def _decide_together(self, requests: list[ChargingRequest]) -> list[ChargingReply]:
        generations = self._store.generations()
        self._lookup.notice_generation(generations.identifiers)
        self._catalogues.refresh(generations.catalogue)
        self._lookup.fill(requests)
        known = [request for request in requests if request.account_id]
        if len(known) == len(requests):
            return self._transact(requests)
        decided = iter(self._transact(known) if known else ())
        # Nobody's requests change nothing, so they need no transaction; the engine still decides
        # which of their faults is said.
        nothing = WorkingSet({}, {}, {}, self._new_id)
        context = self.context()
        return [
            next(decided) if request.account_id else decide(request, nothing, context)
            for request in requests
        ]

    def _transact(self, requests: list[ChargingRequest]) -> list[ChargingReply]:
        keys = [key for request in requests for key in keys_of(request)]

        asked = False
        reviews: list[ReviewItem] = []
        notified: list[Notification] = []

        def decide_all(working_set: WorkingSet) -> list[ChargingReply]:
            nonlocal asked, reviews, notified
            context = self.context()
            decided = [decide(request, working_set, context) for request in requests]
            asked = bool(working_set.server_requests)
            reviews = working_set.reviews
            notified = working_set.notifications
            return decided

        missing = unknown = 0
        followed = False
        while True:
            try:
                replies = self._store.transact(keys, decide_all, "charging")
                break
            except MissingCatalogueError as error:
                missing += 1
                if missing > MISSING_CATALOGUES_MAX:
                    raise
                error.load()
            except UnknownCommitError:
                # The connection broke inside COMMIT: perhaps everything is stored, perhaps
                # nothing. Deciding again is safe and no blind retry: the transaction loads the
                # stored answers first, every request that has one is answered from it and moves
                # no money, and only what was not committed is decided anew.
                unknown += 1
                if unknown >= UNKNOWN_COMMIT_TRIES:
                    raise
                _log.warning("outcome of a commit unknown; looking up the stored answers")
            except StoreConflictError:
                # What loses every race may be a Session-Id that another account has: the
                # identity of a repeated request moved, or a client gave the name twice.
                if followed or not self._lookup.follow_sessions(requests):
                    raise
                followed = True
                keys = [key for request in requests for key in keys_of(request)]
        for request, reply in zip(requests, replies, strict=True):
            if request.kind == INITIAL and reply.outcome == SUCCESS:
                self._lookup.remember_session(request.session_key, request.account_id)
        for item in reviews:
            self.parked[item.kind] += 1
        for told in notified:
            self.notified[told.kind] += 1
        if asked:
            self._on_asked()
        return replies

    def _note_store(self, error: Exception | None) -> None:
        """Log when the store goes away and when it is back, not once per batch."""
        if error is not None and not self._store_fails:
            _log.error("the store cannot be used; requests are answered TOO_BUSY", error=str(error))
        elif error is None and self._store_fails:
            _log.info("the store can be used again")
        self._store_fails = error is not None


def _busy(error: Exception) -> ChargingReply:
    conflict = isinstance(error, StoreConflictError)
    reason = "too much contention" if conflict else "the database cannot be reached"
    return ChargingReply(Outcome.TOO_BUSY, reason=reason)


def _internal_error() -> ChargingReply:
    return ChargingReply(Outcome.UNABLE_TO_COMPLY, reason="internal error")
