"""Which account a request is about: bounded caches over the identifier and session directories.

Used by ``charging`` on the store's thread. An identity may move to another account or be removed
by an operator, so its cache is emptied when the store's generation of identifiers has changed;
what is unknown is never remembered, because it may be added a moment later. Which account a
session belongs to never changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import structlog

from ocs.charging.model.messages import (
    EVENT,
    INITIAL,
    TERMINATION,
    UPDATE,
    ChargingRequest,
    Identity,
)
from ocs.charging.model.session import make_event_key
from ocs.ledger.account import Identifier
from ocs.service.watching.masking import mask, mask_session_id
from ocs.store.interface import Store

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

DEFAULT_PRIORITY = ("msisdn", "imsi", "sip", "nai", "private")
"""C-001: which identity decides when several are known."""
CACHE_MAX = 200_000

_log = structlog.get_logger(__name__)


class BoundedCache(Generic[K, V]):
    """A mapping that forgets what was not asked for longest once it holds ``limit`` entries."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._limit = limit

    def get(self, key: K) -> V | None:
        """Return the value of ``key``, or None."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Remember the value of ``key``."""
        self._entries[key] = value
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class AccountLookup:
    """Fills in ``account_id``, ``subscriber_id`` and ``anomaly`` of requests, a batch at a time."""

    def __init__(
        self,
        store: Store,
        priority: Sequence[str] = DEFAULT_PRIORITY,
        cache_max: int = CACHE_MAX,
    ) -> None:
        self._store = store
        self._rank = {kind: rank for rank, kind in enumerate(priority)}
        self._identities: BoundedCache[Identity, Identifier] = BoundedCache(cache_max)
        self._sessions: BoundedCache[bytes, int] = BoundedCache(cache_max)
        self._generation = -1

    def notice_generation(self, generation: int) -> None:
        """Forget the identities when some were added, moved or removed since the last batch."""
        if generation != self._generation:
            self._identities.clear()
            self._generation = generation

    def remember_session(self, session_key: bytes, account_id: int) -> None:
        """A session was opened and is committed."""
        self._sessions.put(session_key, account_id)

    def fill(self, requests: Sequence[ChargingRequest]) -> None:
        """Find the account of each request; ``account_id`` 0 says that there is none.

        Updates and terminations go by their session (identities in them are ignored, C-001); those
        of unknown sessions by their identities, so that usage nobody expects is kept for review.
        """
        by_session: list[ChargingRequest] = []
        by_identity: list[ChargingRequest] = []
        events: list[ChargingRequest] = []
        for request in requests:
            kind = request.kind
            if kind in (UPDATE, TERMINATION) or (
                # The subscriber may have moved to another account since the first copy.
                kind == INITIAL and request.retransmitted
            ):
                request.account_id = self._sessions.get(request.session_key) or 0
                if not request.account_id:
                    by_session.append(request)
            elif kind == EVENT:
                events.append(request)
            else:
                by_identity.append(request)
        if events:
            by_identity += self._fill_answered(events)
        if by_session:
            unknown = self._fill_by_session(by_session)
            by_identity += unknown
        if by_identity:
            self._fill_by_identity(by_identity)
        if by_session and unknown:
            _follow_initial(requests)

    def follow_sessions(self, requests: Sequence[ChargingRequest]) -> bool:
        """Give initial requests of sessions that exist the account of their session, and answered
        events the account that answered.

        A session belongs to one account for good. Returns whether any was given another account;
        one statement, for when the session or the answer could not be written.
        """
        named = [
            (request, entry) for request in requests if (entry := _directory_key(request))
        ]
        found = self._store.find_sessions([entry for _, entry in named])
        moved = False
        for request, entry in named:
            owner = found.get(entry, request.account_id)
            if owner != request.account_id:
                request.account_id, request.subscriber_id, request.anomaly = owner, 0, ""
                moved = True
        return moved

    def _fill_answered(self, events: list[ChargingRequest]) -> list[ChargingRequest]:
        """Send repeated events to the account that answered them; return the others.

        Their subscriber may have come to another account meanwhile, which would pay again.
        """
        keys = [_directory_key(event) for event in events]
        found = self._store.find_sessions(keys)
        new = []
        for event, key in zip(events, keys, strict=True):
            event.account_id = found.get(key, 0)
            event.subscriber_id, event.anomaly = 0, ""
            if not event.account_id:
                new.append(event)
        return new

    def _fill_by_session(self, requests: list[ChargingRequest]) -> list[ChargingRequest]:
        found = self._store.find_sessions([request.session_key for request in requests])
        unknown = []
        for request in requests:
            account_id = found.get(request.session_key, 0)
            request.account_id = account_id
            if account_id:
                self._sessions.put(request.session_key, account_id)
            else:
                unknown.append(request)
        return unknown

    def _fill_by_identity(self, requests: list[ChargingRequest]) -> None:
        cache = self._identities
        known: dict[Identity, Identifier] = {}
        missing: dict[Identity, None] = {}
        for request in requests:
            for identity in request.identities:
                identifier = cache.get(identity)
                if identifier is None:
                    missing[identity] = None
                else:
                    known[identity] = identifier
        if missing:
            found = self._store.find(list(missing))
            known.update(found)
            for identity, identifier in found.items():
                cache.put(identity, identifier)
        for request in requests:
            self._choose(request, known)

    def _choose(self, request: ChargingRequest, known: dict[Identity, Identifier]) -> None:
        hits = [identity for identity in request.identities if identity in known]
        request.anomaly = ""
        if not hits:
            request.account_id = request.subscriber_id = 0
            return
        if len(hits) > 1:
            unranked = len(self._rank)
            hits.sort(key=lambda identity: self._rank.get(identity.kind, unranked))
        first = hits[0]
        chosen = known[first]
        request.account_id = chosen.account_id
        request.subscriber_id = chosen.subscriber_id
        if request.identities[0] != first:
            # The record names the identity the account was found by: it stands first.
            others = tuple(identity for identity in request.identities if identity != first)
            request.identities = (first, *others)
        strangers = [
            identity for identity in hits if known[identity].account_id != chosen.account_id
        ]
        if strangers:
            request.anomaly = (
                f"{strangers[0].kind} belongs to account {known[strangers[0]].account_id},"
                f" charged is the account of the {first.kind}"
            )
            _log.warning(
                "identities of one request belong to different accounts",
                session_id=mask_session_id(request.session_id),
                charged=f"{first.kind}:{mask(first.value)}",
                account_id=chosen.account_id,
                other=f"{strangers[0].kind}:{mask(strangers[0].value)}",
                other_account_id=known[strangers[0]].account_id,
                origin_host=request.origin_host,
            )


def _directory_key(request: ChargingRequest) -> bytes:
    """Return what the directory may know the first copy of a request by; empty for others."""
    if request.kind == INITIAL:
        return request.session_key
    if request.kind == EVENT:
        return make_event_key(request.session_key, request.number, request.content_hash)
    return b""


def _follow_initial(requests: Sequence[ChargingRequest]) -> None:
    """Give requests of sessions that begin earlier in this batch the account of their session.

    The directory does not know those sessions yet, and what is decided about a request must not
    depend on whether it came with the initial one or after it.
    """
    begun: dict[bytes, ChargingRequest] = {}
    for request in requests:
        if request.kind == INITIAL:
            if request.account_id:
                begun.setdefault(request.session_key, request)
            continue
        initial = begun.get(request.session_key)
        if initial is not None and request.kind != EVENT:
            request.account_id = initial.account_id
            request.subscriber_id = initial.subscriber_id
            request.anomaly = ""
