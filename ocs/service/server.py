"""The parts of the running server joined together, without sockets, settings or signals.

``app`` gives it a reactor, a thread and an open store; tests give it a clock that stands still.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from ocs.catalog.model import Catalog
from ocs.charging.model.decision import DecisionPolicy
from ocs.clock import NS_PER_SECOND, Clock, IdSource
from ocs.profiles import Profile
from ocs.service.asking.dispatcher import AskLimits, ServerRequests
from ocs.service.asking.rows import ServerRequestRows
from ocs.service.batches.batcher import Batcher, BatchLimits
from ocs.service.batches.catalogues import CatalogueCache
from ocs.service.batches.charging import BatchDecider
from ocs.service.batches.lookups import DEFAULT_PRIORITY, AccountLookup
from ocs.service.batches.worker import Loop, Worker
from ocs.service.diameter import COMMANDS, DiameterService, Edge
from ocs.service.peers.client_notes import ClientNotes
from ocs.service.peers.directory import PeerDirectory, PeerRules
from ocs.service.peers.profiles import book_with
from ocs.service.peers.routes import Routes
from ocs.service.timers.adopting import Adopting
from ocs.service.timers.endings import SessionEndings
from ocs.service.timers.supervisor import Supervisor
from ocs.service.timers.terminations import Terminations
from ocs.service.watching.metrics import Metrics
from ocs.service.wire.answers import AnswerDefaults
from ocs.store.interface import PeerEntry, Store
from protocol.answers import Origin
from protocol.codec import DEFAULT_LIMITS, Limits
from protocol.peer_settings import EndToEndIds
from protocol.routing import LocalIdentity

END_TO_END_RANDOM_BITS = 20


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one server behaves; ``app`` makes it from the settings."""

    origin_host: str
    origin_realm: str
    realms: tuple[str, ...] = ()
    """Realms served besides ``origin_realm``."""
    node: int = 0
    policy: DecisionPolicy = field(default_factory=DecisionPolicy)
    identity_priority: tuple[str, ...] = DEFAULT_PRIORITY
    batch: BatchLimits = field(default_factory=BatchLimits)
    peer_rules: PeerRules = field(default_factory=PeerRules)
    peers: tuple[PeerEntry, ...] = ()
    session_failover: int | None = None
    failure_handling: int | None = None
    direct_debiting_failure_handling: int | None = None
    low_balance_indication: bool = False
    limits: Limits = DEFAULT_LIMITS
    answer_within_ns: int = 2 * NS_PER_SECOND
    """For clients whose profile names no shorter deadline (D20)."""
    country_code: str = ""
    profiles: tuple[Profile, ...] = ()
    """The operator's own client profiles."""
    asking: AskLimits = field(default_factory=AskLimits)


class ChargingServer:
    """Everything between the sockets and the store."""

    def __init__(
        self,
        options: ServerOptions,
        loop: Loop,
        worker: Worker,
        store: Store,
        clock: Clock,
        ids: IdSource,
        compile_catalogue: Callable[[str, str], Catalog],
    ) -> None:
        self._worker = worker
        self._store = store
        self.metrics = Metrics()
        self.catalogues = CatalogueCache(store, compile_catalogue, clock)
        self.decider = BatchDecider(
            store,
            AccountLookup(store, options.identity_priority),
            self.catalogues,
            clock,
            options.policy,
            options.node,
            ids.next_id,
            # On the store's thread; what was asked for need not wait for the next tick.
            lambda: loop.callFromThread(self.server_requests.poll),
        )
        self.batcher = Batcher(
            loop, worker, self.decider.decide, clock, self.metrics, options.batch
        )
        self._endings = SessionEndings(store, self.decider.context)
        self.terminations = self._make_terminations(options, clock)
        self.directory = PeerDirectory(options.peer_rules, options.peers, clock)
        self.supervisor = self._make_supervisor(loop, clock)
        now_s = clock.now_ns() // NS_PER_SECOND
        self.origin_state_id = store.own_state_id(now_s)
        # The wall clock, so that no id comes back within minutes of a restart.
        self.end_to_end_ids = EndToEndIds(now_s, secrets.randbits(END_TO_END_RANDOM_BITS))
        edge = self._edge(options)
        rows = self._rows(options, clock, ids, edge)
        routes = Routes(options.asking.max_in_flight_per_peer)
        self.server_requests = ServerRequests(
            loop, worker, rows, routes, edge.origin, self.end_to_end_ids, self.metrics,
            options.asking,
        )
        self.diameter = DiameterService(
            edge, self.directory, self.batcher, clock, self.metrics,
            self.supervisor.client_connected,
            self.terminations.submit,
            ClientNotes(loop, worker, store).add,
            self.server_requests,
        )
        self._add_metrics()

    def _add_metrics(self) -> None:
        layouts = self.diameter.requests_read.layouts
        metrics = self.metrics
        metrics.request_reads = lambda: (("known", layouts.hits), ("new", layouts.misses))
        metrics.parked = self.decider.parked.items
        metrics.notified = self.decider.notified.items
        metrics.clients = lambda: self.diameter.profile_counts().items()
        metrics.gauge("ocs_layouts", "Known layouts of requests.", lambda: len(layouts))
        metrics.gauge("ocs_queue_requests", "Waiting requests.", lambda: self.batcher.queued)
        metrics.gauge(
            "ocs_queue_terminations",
            "Waiting STRs.",
            lambda: self.terminations.waiting,
        )
        metrics.gauge(
            "ocs_in_flight_requests", "Requests being decided.", lambda: self.batcher.in_flight
        )
        metrics.gauge(
            "ocs_server_requests_in_flight",
            "Requests to clients that wait for an answer.",
            lambda: self.server_requests.in_flight,
        )
        metrics.gauge("ocs_peers_open", "Open peers.", lambda: len(self.directory.open_hosts))
        metrics.gauge(
            "ocs_store_healthy",
            "1 while the store can be used.",
            lambda: float(self.supervisor.healthy),
        )

    def prepare(self) -> None:
        """Load what the first request needs, before anybody may connect; waits for the store."""
        self.catalogues.refresh(self._store.generations().catalogue)
        self.directory.replace_stored(self._store.peers())

    def _make_supervisor(self, loop: Loop, clock: Clock) -> Supervisor:
        return Supervisor(
            loop,
            self._worker,
            self._store,
            clock,
            self.decider.context,
            self.catalogues.refresh,
            Adopting(self._store, self.decider.context, self.catalogues.version).step,
            self.metrics,
            lambda peers: self.diameter.peers_changed(peers),  # noqa: PLW0108 -- made later
            lambda: self.server_requests.poll(),  # noqa: PLW0108 -- made later
        )

    def _make_terminations(self, options: ServerOptions, clock: Clock) -> Terminations:
        return Terminations(
            self._worker,
            clock,
            self._endings.terminate,
            self.metrics.refused,
            waiting_max=options.batch.max_queue,
            within_ns=options.answer_within_ns,
        )

    def not_ready_because(self) -> str:
        """Return why requests would not be decided now; empty when they would."""
        return "" if self.supervisor.healthy else "the store cannot be reached"

    def _rows(
        self, options: ServerOptions, clock: Clock, ids: IdSource, edge: Edge
    ) -> ServerRequestRows:
        return ServerRequestRows(
            self._store,
            clock,
            ids,
            self._endings,
            edge.profiles.charging,
            self.catalogues.sells_as_before,
            self.catalogues.version_in_force,
            node=options.node,
            claim_seconds=options.asking.claim_seconds,
            sessions_per_second=options.asking.sessions_per_second,
        )

    def _edge(self, options: ServerOptions) -> Edge:
        host, realm = options.origin_host, options.origin_realm
        return Edge(
            LocalIdentity(host, (realm, *options.realms), COMMANDS),
            Origin(host, realm, self.origin_state_id),
            AnswerDefaults(
                host,
                realm,
                self.origin_state_id,
                options.session_failover,
                options.failure_handling,
                options.direct_debiting_failure_handling,
                options.low_balance_indication,
            ),
            options.limits,
            book_with(options.profiles, options.answer_within_ns),
            options.country_code,
        )
