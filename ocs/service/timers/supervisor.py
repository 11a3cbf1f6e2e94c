"""What happens without a request: Tcc, bucket expiry, restarted clients, the peer list.

Started by ``app``. Once a second it gives the store's thread one bounded piece of work, so that
requests never wait long behind it. Everything is decided again inside Store.transact from the
state loaded there, so several servers on one database do each thing exactly once.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from ocs.charging import lifecycle
from ocs.charging.accounts import duties
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND, Clock
from ocs.errors import StoreConflictError, StoreUnavailableError
from ocs.service.batches.catalogues import loading_missing
from ocs.service.batches.worker import DelayedCall, Loop, Worker
from ocs.store.interface import DueAccount, DueBucket, DueSession, PeerEntry, Store

TICK_SECONDS = 1.0
BUSY_TICK_SECONDS = 0.02
"""Pause between pieces of work while there is more to do."""
STEP = 100
"""Sessions or buckets done in one transaction."""
HEARTBEAT_SECONDS = 5
DOWNTIME_MIN_SECONDS = 3 * HEARTBEAT_SECONDS
"""Shorter gaps are no downtime: a restart, a moment without the database."""
HEARTBEAT_NAME = "#server"
"""Where the store keeps when a server was last alive: beside the clients' Origin-State-Ids, under
a name that no DiameterIdentity can have."""
NODE_NAME = "#node {}"
"""Where the store keeps which server uses a node, in the same place."""
SKIPPED_MAX = 10_000

_log = structlog.get_logger(__name__)
T = TypeVar("T", DueSession, DueBucket, DueAccount)


class SupervisorObserver(Protocol):
    """The counters it raises; see metrics.Metrics."""

    sessions_expired: int
    sessions_lost: int
    buckets_expired: int
    duties_done: int
    notified_by_timers: dict[str, int]


@dataclass(slots=True)
class Round:
    """What one piece of work found, carried from the store's thread to the reactor's."""

    sessions_expired: int = 0
    sessions_lost: int = 0
    buckets_expired: int = 0
    duties_done: int = 0
    notified: list[str] = field(default_factory=list)
    """The kinds of notifications that were written."""
    more: bool = False
    peers: list[PeerEntry] | None = None


@dataclass(slots=True)
class RestartedClient:
    """A client that has lost its sessions (D19): those of before are to be released."""

    origin_host: str
    origin_state_id: int
    seen_ns: int
    kept: int = field(default=0)
    """Sessions passed over because they are newer than the restart."""


class Supervisor:
    """The timers of one server."""

    def __init__(
        self,
        loop: Loop,
        worker: Worker,
        store: Store,
        clock: Clock,
        make_context: Callable[[], DecisionContext],
        refresh: Callable[[int], None],
        adopt: Callable[[], bool],
        observer: SupervisorObserver,
        on_peers: Callable[[list[PeerEntry]], None],
        on_tick: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._worker = worker
        self._store = store
        self._clock = clock
        self._make_context = make_context
        self._refresh = refresh
        self._adopt = adopt
        self._observer = observer
        self._on_peers = on_peers
        self._on_tick = on_tick
        self._call: DelayedCall | None = None
        self._running = False
        self._peer_generation = -1
        self._restarted: deque[RestartedClient] = deque()
        self._skipped: dict[object, None] = {}
        self._notified: list[str] = []
        """Where the work under way counts what it told."""
        self._contact_ns = 0
        """Monotonic instant of the last piece of work that reached the store; 0 = none yet."""
        self._heartbeat_ns = 0
        self._token = secrets.randbits(62) + 1
        """What this server writes to say that its node is taken."""
        self._downtime_s = 0
        self._horizon_ns = 0
        self.healthy = False
        """Whether the last piece of work reached the store."""

    def start(self) -> None:
        """Begin; the first piece of work is done at once."""
        self._running = True
        self._call = self._loop.callLater(0, self._tick)

    def stop(self) -> None:
        """Begin nothing new; what is on the store's thread is finished there."""
        self._running = False
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def client_connected(self, origin_host: str, origin_state_id: int) -> None:
        """A direct client said its Origin-State-Id; a higher one than before means a restart.

        Equal, lower, zero and absent values mean nothing (RFC 6733 8.16).
        """
        if not origin_state_id:
            return
        seen_ns = self._clock.now_ns()

        def compare(known: int | None, error: BaseException | None) -> None:
            if error is not None:
                _log.warning("could not look up a client's state", error=str(error))
            elif known and known < origin_state_id:
                _log.warning(
                    "client restarted; its sessions are released",
                    origin_host=origin_host,
                    origin_state_id=origin_state_id,
                )
                self._note_restart(RestartedClient(origin_host, origin_state_id, seen_ns))

        self._worker.submit(lambda: self._remember_client(origin_host, origin_state_id), compare)

    def _note_restart(self, client: RestartedClient) -> None:
        """Let a client wait once, however often it restarts meanwhile; the first is in work."""
        for waiting in tuple(self._restarted)[1:]:
            if waiting.origin_host == client.origin_host:
                waiting.origin_state_id, waiting.seen_ns = client.origin_state_id, client.seen_ns
                return
        self._restarted.append(client)

    def _remember_client(self, origin_host: str, origin_state_id: int) -> int:
        known = self._store.client_state(origin_host, 0)
        if origin_state_id > known:
            self._store.client_state(origin_host, origin_state_id)
        return known

    def _tick(self) -> None:
        self._call = None
        self._worker.submit(self.work, self._done)

    def _done(self, result: Round | None, error: BaseException | None) -> None:
        delay = TICK_SECONDS
        self.healthy = error is None
        if error is not None:
            if not isinstance(error, StoreUnavailableError):
                _log.error("the supervisor's work failed", exc_info=error)
        elif result is not None:
            self._observer.sessions_expired += result.sessions_expired
            self._observer.sessions_lost += result.sessions_lost
            self._observer.buckets_expired += result.buckets_expired
            self._observer.duties_done += result.duties_done
            for kind in result.notified:
                self._observer.notified_by_timers[kind] += 1
            if result.peers is not None:
                self._on_peers(result.peers)
            if result.more:
                delay = BUSY_TICK_SECONDS
            if self._running:
                self._on_tick()
        if self._running:
            self._call = self._loop.callLater(delay, self._tick)

    # ------------------------------------------------------------------ on the store's thread

    def work(self) -> Round:
        """Do one bounded piece of everything that is due; public for tests without a reactor."""
        done = Round()
        self._notified = done.notified
        generations = self._store.generations()
        if generations.peers != self._peer_generation:
            done.peers = self._store.peers()
            self._peer_generation = generations.peers
        self._refresh(generations.catalogue)
        self._note_contact()
        if self._downtime_s:
            # Nothing expires before every deadline has been moved.
            done.more = True
            self._extend()
            return done
        self._beat()
        self._expire_sessions(done)
        self._advance_accounts(done)
        self._expire_buckets(done)
        done.more = self._adopt() or done.more
        if self._restarted:
            self._release_restarted(done)
        return done

    def _note_contact(self) -> None:
        """Notice how long nobody could reach us: since the last heartbeat, or the last contact."""
        now_ns, now_s = self._clock.monotonic_ns(), self._clock.now_ns() // NS_PER_SECOND
        if self._contact_ns:
            # The monotonic clock, because a wall clock that was set is no downtime.
            gap_s = (now_ns - self._contact_ns) // NS_PER_SECOND
        else:
            alive_s = self._store.client_state(HEARTBEAT_NAME, 0)
            gap_s = now_s - alive_s if alive_s else 0
        self._contact_ns = now_ns
        if gap_s >= DOWNTIME_MIN_SECONDS and not self._downtime_s:
            self._downtime_s = gap_s
            self._horizon_ns = self._clock.now_ns() + gap_s * NS_PER_SECOND - 1
            _log.warning(
                "nobody could be served for a while; the sessions' deadlines are extended",
                seconds=gap_s,
            )

    def _beat(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if not self._heartbeat_ns or now_ns - self._heartbeat_ns >= (
            HEARTBEAT_SECONDS * NS_PER_SECOND
        ):
            self._check_node(first=not self._heartbeat_ns)
            self._store.client_state(HEARTBEAT_NAME, self._clock.now_ns() // NS_PER_SECOND)
            self._heartbeat_ns = now_ns

    def _check_node(self, *, first: bool) -> None:
        """Take our node, and say so when a server that started later has taken it too."""
        node = self._make_context().node
        name = NODE_NAME.format(node)
        if first:
            self._store.client_state(name, self._token)
        elif self._store.client_state(name, 0) != self._token:
            _log.error(
                "another server on this database has the same process.node; the ids they make "
                "are not unique: give each its own and restart",
                node=node,
            )

    def _extend(self) -> None:
        """Give sessions that have less left than the downtime was that much more."""
        seconds, horizon_ns = self._downtime_s, self._horizon_ns
        due = self._store.due_sessions(horizon_ns, STEP)

        def extend(working_set: WorkingSet) -> None:
            context = self._make_context()
            for item in due:
                session = working_set.sessions.get(item.session_key)
                if session is not None and session.deadline_ns <= horizon_ns:
                    lifecycle.extend_session(working_set, item.session_key, seconds, context)

        if due:
            self._store.transact([_session_key(item) for item in due], extend, "extension")
        if len(due) < STEP:
            self._downtime_s = 0

    def _expire_sessions(self, done: Round) -> None:
        due = self._store.due_sessions(self._clock.now_ns(), STEP + len(self._skipped))
        due = [item for item in due if item not in self._skipped][:STEP]

        def expire(working_set: WorkingSet, items: Sequence[DueSession]) -> int:
            context = self._make_context()
            return sum(
                lifecycle.expire_session(working_set, item.session_key, context) for item in items
            )

        done.sessions_expired += self._apart(due, _session_key, expire, "supervision")
        done.more = done.more or len(due) == STEP

    def _advance_accounts(self, done: Round) -> None:
        due = self._store.due_accounts(self._clock.now_ns(), STEP + len(self._skipped))
        due = [item for item in due if item not in self._skipped][:STEP]

        def act(working_set: WorkingSet, items: Sequence[DueAccount]) -> int:
            context = self._make_context()
            return sum(duties.advance(working_set, item.account_id, context) for item in items)

        done.duties_done += self._apart(due, _account_key, act, "what accounts wait for")
        done.more = done.more or len(due) == STEP or done.duties_done >= duties.DUTIES_MAX

    def _expire_buckets(self, done: Round) -> None:
        due = self._store.due_buckets(self._clock.now_ns(), STEP + len(self._skipped))
        due = [item for item in due if item not in self._skipped][:STEP]

        def expire(working_set: WorkingSet, items: Sequence[DueBucket]) -> int:
            context = self._make_context()
            return sum(_expire(working_set, item, context) for item in items)

        done.buckets_expired += self._apart(due, _bucket_key, expire, "expiry")
        done.more = done.more or len(due) == STEP

    def _release_restarted(self, done: Round) -> None:
        client = self._restarted[0]
        found = self._store.sessions_of_client(client.origin_host, client.kept + STEP)

        def release(working_set: WorkingSet, items: Sequence[DueSession]) -> int:
            context = self._make_context()
            released = 0
            for item in items:
                session = working_set.sessions.get(item.session_key)
                if session is None or not _is_of_before(
                    session.origin_state_id, session.last_request_ns, client
                ):
                    continue
                released += lifecycle.release_session(
                    working_set,
                    item.session_key,
                    context,
                    SessionState.LOST,
                    "the client restarted and lost its sessions",
                )
            return released

        released = self._apart(found, _session_key, release, "restarted client")
        done.sessions_lost += released
        if len(found) < client.kept + STEP:
            self._restarted.popleft()
        else:
            client.kept = len(found) - released
        done.more = done.more or bool(self._restarted)

    def _apart(
        self,
        due: Sequence[T],
        key_of: Callable[[T], RequestKey],
        act: Callable[[WorkingSet, Sequence[T]], int],
        description: str,
    ) -> int:
        """Act on all in one transaction, or on each alone when one of them fails."""
        if not due:
            return 0
        kinds: list[str] = []

        def act_on_all(loaded: WorkingSet) -> int:
            count = act(loaded, due)
            kinds[:] = [one.kind for one in loaded.notifications]
            return count

        try:
            keys = [key_of(item) for item in due]
            count = loading_missing(
                lambda: self._store.transact(keys, act_on_all, description)
            )
            self._notified += kinds
            return count
        except (StoreUnavailableError, StoreConflictError):
            raise
        except Exception:  # noqa: BLE001 -- logged; the others must not wait for it
            if len(due) > 1:
                return sum(self._apart([item], key_of, act, description) for item in due)
            _log.exception(f"{description} failed; it is not tried again before a restart")
            if len(self._skipped) < SKIPPED_MAX:
                self._skipped[due[0]] = None
            return 0


def _expire(working_set: WorkingSet, item: DueBucket, context: DecisionContext) -> bool:
    """Expire a bucket, after what was due for its account before: a renewal may want what is left.

    Tell whether anything was left to expire.
    """
    if duties.advance(working_set, item.account_id, context) == duties.DUTIES_MAX:
        return False
    return lifecycle.expire_bucket(working_set, item.account_id, item.bucket_id, context) > 0


def _is_of_before(origin_state_id: int, last_request_ns: int, client: RestartedClient) -> bool:
    if origin_state_id:
        return origin_state_id < client.origin_state_id
    return last_request_ns < client.seen_ns


def _session_key(item: DueSession) -> RequestKey:
    return RequestKey(item.account_id, item.session_key, RequestKind.TIMER, 0)


def _bucket_key(item: DueBucket) -> RequestKey:
    key = make_session_key(f"expiry\x00{item.bucket_id}", None)
    return RequestKey(item.account_id, key, RequestKind.TIMER, 0)


def _account_key(item: DueAccount) -> RequestKey:
    return RequestKey(item.account_id, make_session_key("agenda", None), RequestKind.TIMER, 0)
