"""One server with its sockets: started and stopped in order (RFC 6733 5.4 for the goodbye).

Built by ``ocs.app``. Starting: what the first request needs, listeners, timers. Stopping goes the
other way round: nobody new, answer what is in flight, say goodbye to every peer, close.
"""

from __future__ import annotations

import gc
import shlex
from collections.abc import Iterable
from typing import Any, cast

import structlog
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import CannotListenError

from ocs.charging.model.decision import DecisionPolicy
from ocs.clock import NS_PER_MILLISECOND, Clock, IdSource
from ocs.provisioning.catalogues import catalogs
from ocs.service.asking.dispatcher import AskLimits
from ocs.service.batches.batcher import BatchLimits
from ocs.service.batches.worker import StoreWorker
from ocs.service.peers.certificates import CertificateKeeper
from ocs.service.peers.dialing import Dialing, DialingParts, Pauses
from ocs.service.peers.directory import PeerRules
from ocs.service.peers.listening import (
    Way,
    cannot_listen,
    listen_for_diameter,
    listen_for_sctp,
)
from ocs.service.server import ChargingServer, ServerOptions
from ocs.service.watching.status import status_site
from ocs.service.watching.telemetry import lines_left_out
from ocs.settings.values import (
    DatabaseSettings,
    DiameterSettings,
    Endpoint,
    Listener,
    Settings,
)
from ocs.store import dialects
from ocs.store.interface import Store
from protocol.codec import Limits
from protocol.credit_control import CREDIT_CONTROL_APPLICATION
from protocol.dictionary import VENDOR_3GPP
from protocol.peer_settings import PeerSettings
from protocol.transport import DiameterFactory, DiameterProtocol
from protocol.transport_limits import TransportLimits
from protocol.transport_tls import secured

STOP_SECONDS = 2.0
"""Allowed for stopping besides the drain and DPA timeouts of the settings."""
GC_THRESHOLDS = (50_000, 20, 50)

_log = structlog.get_logger(__name__)


class Application:
    """One server with its sockets. ``start`` and ``stop`` are called on the reactor's thread."""

    def __init__(
        self, settings: Settings, reactor: Any, store: Store, clock: Clock, ids: IdSource
    ) -> None:
        self.settings = settings
        self.store = store
        self._reactor = reactor
        self._worker = StoreWorker(reactor)
        self.server = ChargingServer(
            server_options(settings),
            reactor,
            self._worker,
            store,
            clock,
            ids,
            catalogs.load,
        )
        peers = peer_settings(settings, self.server.origin_state_id)
        limits = transport_limits(settings)
        self._factory = DiameterFactory(
            reactor,
            peers,
            self.server.diameter,
            self.server.diameter.decide_peer,
            admits=self.server.diameter.admits,
            limits=limits,
            end_to_end_ids=self.server.end_to_end_ids,
        )
        self.certificates: CertificateKeeper | None = None
        if settings.diameter.tls.is_on:
            self.certificates = CertificateKeeper(
                reactor, clock, settings.diameter, self.server.metrics
            )
        self._dialing = Dialing(
            DialingParts(
                reactor,
                self.server.directory,
                self.server.diameter,
                peers,
                limits,
                self.server.end_to_end_ids,
                self.certificates.context if self.certificates is not None else None,
                always_secured=not settings.diameter.listen,
            ),
            Pauses(
                settings.diameter.reconnect_seconds,
                settings.diameter.reconnect_after_refusal_seconds,
            ),
        )
        self.server.metrics.peer_events = self._peer_faults
        self.server.metrics.lines_left_out = lines_left_out
        self._add_gauges()
        self._ports: list[Any] = []
        self._stopping = False
        self.addresses: list[Listener] = []
        """Where Diameter is listened for in clear, ports chosen by the system filled in."""
        self.secured_addresses: list[Listener] = []
        """The same over TLS."""
        self.endpoints: list[Endpoint] = []
        """The same on SCTP."""
        self.metrics_address: Listener | None = None

    def _add_gauges(self) -> None:
        gauge = self.server.metrics.gauge
        gauge("ocs_connections", "Open connections.", lambda: len(self._connections))
        gauge(
            "ocs_connections_unidentified",
            "Connections that have not said who they are.",
            lambda: self._factory.admission.unidentified,
        )
        gauge(
            "ocs_peers_missing",
            "Peers that this server calls and is not connected to.",
            lambda: self._dialing.missing,
        )

    def _peer_faults(self) -> Iterable[tuple[str, int]]:
        total = self._factory.counters()
        total.add(self._dialing.counters())
        return total.errors.items()

    @property
    def _connections(self) -> list[DiameterProtocol]:
        return [*self._factory.connections, *self._dialing.connections]

    def start(self) -> None:
        """Begin to serve. Raises OcsError, and then nothing is left open."""
        self.server.prepare()
        try:
            self._listen()
        except BaseException:
            for port in self._ports:
                port.stopListening()
            raise
        if self.certificates is not None:
            self.certificates.start()
        self._worker.start()
        self.server.supervisor.start()
        self._dialing.start()
        # What lives by now lives for long, so the collector need not look at it again; and a
        # batch of requests is more than its first threshold, which would make it look at every
        # request several times over.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        # Not before the reactor hears signals: who reads it may send SIGTERM at once.
        self._reactor.callWhenRunning(self._say_that_it_serves)

    def _say_that_it_serves(self) -> None:
        _log.info(
            "serving",
            listen=[str(address) for address in self.addresses],
            tls=[str(address) for address in self.secured_addresses],
            sctp=[str(endpoint) for endpoint in self.endpoints],
            origin_host=self.settings.diameter.origin_host,
            origin_realm=self.settings.diameter.origin_realm,
            database=self.settings.database.shown_url,
        )

    def stop(self) -> Deferred[None]:
        """Let the peers go in good order and close; fires within a bounded time."""
        done: Deferred[None] = Deferred()
        if self._stopping:
            done.callback(None)
            return done
        self._stopping = True
        _log.info("stopping", peers=len(self._connections))
        if self.certificates is not None:
            self.certificates.stop()
        self.server.supervisor.stop()
        self.server.server_requests.stop()
        closing = [port.stopListening() for port in self._ports]
        closing += [self._factory.disconnect_all(), self._dialing.stop()]
        everything = DeferredList([one for one in closing if isinstance(one, Deferred)])
        diameter = self.settings.diameter
        bound = diameter.drain_timeout_seconds + diameter.dpa_timeout_seconds + STOP_SECONDS
        limit = self._reactor.callLater(bound, self._abort)

        def finish(_: object) -> None:
            if limit.active():
                limit.cancel()
            self._close(done)

        everything.addBoth(finish)
        return done

    def _abort(self) -> None:
        """Reset the connections that are still there; their closing ends the stop."""
        connections = self._connections
        _log.warning("peers did not go in time", peers=len(connections))
        for conn in connections:
            cast(Any, conn.transport).abortConnection()

    def _close(self, done: Deferred[None]) -> None:
        self.server.batcher.refuse_queued()
        if not self._worker.stop(STOP_SECONDS):
            # The database hangs; what it may still commit is found by a retransmission.
            _log.warning("the database did not finish in time")
        else:
            self.store.close()
        _log.info("stopped")
        done.callback(None)

    def _listen(self) -> None:
        diameter = self.settings.diameter
        ways = [Way(one, self._factory, "diameter.listen") for one in diameter.listen]
        if self.certificates is not None:
            factory = secured(self._reactor, self._factory, self.certificates.context)
            ways += [Way(one, factory, "diameter.tls.listen") for one in diameter.tls.listen]
        for way in listen_for_diameter(self._reactor, ways):
            self._ports.append(way.port)
            clear = way.key == "diameter.listen"
            (self.addresses if clear else self.secured_addresses).append(way.listener)
        endpoints = diameter.sctp.listen
        for endpoint, port in listen_for_sctp(
            self._reactor, self._factory, endpoints, alone=not ways
        ):
            self._ports.append(port)
            self.endpoints.append(endpoint)
        metrics = self.settings.metrics
        if metrics.enabled:
            wanted = Listener(metrics.host, metrics.port)
            site = status_site(self.server.metrics, self.server.not_ready_because)
            try:
                port = self._reactor.listenTCP(metrics.port, site, interface=metrics.host)
            except CannotListenError as error:
                raise cannot_listen(wanted, "metrics.port", error) from error
            self._ports.append(port)
            self.metrics_address = Listener(metrics.host, port.getHost().port)
            _log.info("metrics", listen=str(self.metrics_address))


def server_options(settings: Settings) -> ServerOptions:
    """Return how the settings want requests to be served."""
    diameter, charging, asking = settings.diameter, settings.charging, settings.server_requests
    return ServerOptions(
        origin_host=diameter.origin_host,
        origin_realm=diameter.origin_realm,
        realms=diameter.realms,
        node=settings.process.node,
        policy=DecisionPolicy(
            charging.tcc_default_seconds,
            charging.tombstone_seconds,
            charging.straddling_usage_before,
            charging.remaining_balance or 0,
        ),
        identity_priority=charging.identity_priority,
        batch=BatchLimits(charging.max_batch_requests, charging.max_queued_requests),
        peer_rules=PeerRules(
            diameter.accept_unknown_peers,
            diameter.unknown_peer_profile,
            diameter.refuse_silently,
            _database_option(settings.database),
            diameter.origin_host,
        ),
        peers=diameter.peers,
        session_failover=charging.cc_session_failover,
        failure_handling=charging.credit_control_failure_handling,
        direct_debiting_failure_handling=charging.direct_debiting_failure_handling,
        low_balance_indication=charging.low_balance_indication,
        limits=_limits(diameter),
        answer_within_ns=charging.answer_within_ms * NS_PER_MILLISECOND,
        country_code=charging.default_country_code,
        asking=AskLimits(
            float(asking.answer_timeout_seconds),
            asking.max_in_flight,
            asking.max_in_flight_per_peer,
            asking.catalogue_sessions_per_second,
        ),
        profiles=diameter.profiles,
    )


def transport_limits(settings: Settings) -> TransportLimits:
    """Return what connections may cost."""
    diameter, overload = settings.diameter, settings.overload
    return TransportLimits(
        max_connections=diameter.max_connections,
        max_connections_per_address=overload.max_connections_per_address,
        max_unidentified_connections=overload.max_unidentified_connections,
        max_new_connections_per_second=overload.max_new_connections_per_second,
        max_new_connections_per_address=overload.max_new_connections_per_address,
        max_unanswered_requests=diameter.max_unanswered_requests,
        max_unanswered_octets=overload.max_unanswered_octets,
        max_fruitless_messages_per_second=overload.max_fruitless_messages_per_second,
        max_messages_per_turn=overload.max_messages_per_turn,
    )


def peer_settings(settings: Settings, origin_state_id: int) -> PeerSettings:
    """Return our side of every connection."""
    diameter = settings.diameter
    return PeerSettings(
        origin_host=diameter.origin_host,
        origin_realm=diameter.origin_realm,
        host_ip_addresses=diameter.host_ip_addresses,
        product_name=diameter.product_name,
        vendor_specific_applications=_vendor_applications(diameter),
        origin_state_id=origin_state_id,
        realms=diameter.realms,
        limits=_limits(diameter),
        watchdog_seconds=float(diameter.watchdog_seconds),
        cer_timeout=float(diameter.cer_timeout_seconds),
        dpa_timeout=float(diameter.dpa_timeout_seconds),
        drain_timeout=float(diameter.drain_timeout_seconds),
        max_pending_output_octets=diameter.max_output_octets,
        max_opening_octets=settings.overload.max_cer_octets,
    )


def _vendor_applications(diameter: DiameterSettings) -> tuple[tuple[int, int], ...]:
    announced = diameter.announce_3gpp_application
    return ((VENDOR_3GPP, CREDIT_CONTROL_APPLICATION),) if announced else ()


def _database_option(database: DatabaseSettings) -> str:
    """What makes a command use this server's database, wherever it is typed.

    Nothing when the URL holds a password, which belongs into no log.
    """
    if database.shown_url != database.url:
        return ""
    path = dialects.sqlite_path(dialects.parse_url(database.url))
    return f"--database {shlex.quote(database.url if path is None else f'sqlite:///{path}')}"


def _limits(diameter: DiameterSettings) -> Limits:
    return Limits(diameter.max_message_octets, diameter.max_avps, diameter.max_depth)
