"""Calls the peers that are to be called, until they are connected (RFC 6733 5.6).

Started by ``application``. A peer may call us too: then it is not called any more, and where both
sides call at the same moment the directory holds the election (5.6.4). Everything else about a
connection is the same whoever began it, so ``diameter`` handles both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import SystemRandom
from typing import Any, cast

import structlog
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from ocs.service.peers.directory import OpenPeer, PeerDirectory
from ocs.store.interface import PeerEntry
from protocol.base import CapabilitiesExchangeAnswer, DisconnectCause
from protocol.grammar import identity_key
from protocol.peer_events import PeerClosed, PeerState
from protocol.peer_settings import Caller, PeerCounters, PeerDecision, PeerSettings
from protocol.transport import DiameterFactory, DiameterProtocol, PeerHandler, connect
from protocol.transport_limits import TransportLimits
from protocol.transport_tls import CurrentContext, secured

CONNECT_SECONDS = 10.0
"""How long a peer's system may take to accept a connection."""
JITTER = 0.2
"""Part by which a pause is longer or shorter, so that not everybody calls at the same moment."""
_UNWELCOME = {DisconnectCause.BUSY, DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU}

_random = SystemRandom()
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a peer is left alone; seconds."""

    reconnect: float = 30.0
    """Between two calls: the Tc of RFC 6733 12."""
    unwelcome: float = 300.0
    """After a peer said that it is busy or does not want to talk to us (5.4.3)."""


@dataclass(frozen=True, slots=True)
class DialingParts:
    """What calling takes from the server around it."""

    reactor: Any
    directory: PeerDirectory
    handler: PeerHandler
    settings: PeerSettings
    limits: TransportLimits
    end_to_end_ids: Any
    client_context: CurrentContext | None = None
    """How connections to peers that require TLS are secured; None where nothing is said of TLS."""
    always_secured: bool = False
    """Nobody is called in clear, because this server is not listened to in clear either."""


class Dialing:
    """All the peers that are called."""

    def __init__(self, parts: DialingParts, pauses: Pauses = Pauses()) -> None:
        self._parts = parts
        self._pauses = pauses
        self._calls: dict[str, PeerCall] = {}
        self._former: list[PeerCall] = []
        """Calls that are made no more, and their open connections."""
        self._past = PeerCounters()

    def start(self) -> None:
        """Begin to call, and follow every change of the peer list."""
        self._parts.directory.on_entries = self._entries_changed
        self._entries_changed()

    def stop(self) -> Deferred[None]:
        """Call nobody any more and disconnect those that were called; fires when all are gone."""
        self._parts.directory.on_entries = None
        calls = [*self._calls.values(), *self._former]
        for call in calls:
            call.end()
        closing = [call.factory.disconnect_all() for call in calls]
        return cast("Deferred[None]", DeferredList(closing).addBoth(lambda _: None))

    @property
    def connections(self) -> list[DiameterProtocol]:
        """The connections that we began."""
        calls = (*self._calls.values(), *self._former)
        return [conn for call in calls for conn in call.factory.connections]

    @property
    def missing(self) -> int:
        """Peers that are called and not connected."""
        return sum(not self._parts.directory.is_open(host) for host in self._calls)

    def counters(self) -> PeerCounters:
        """Totals of all connections that we began."""
        total = PeerCounters()
        total.add(self._past)
        for call in (*self._calls.values(), *self._former):
            total.add(call.factory.counters())
        return total

    def _entries_changed(self) -> None:
        wanted = {
            identity_key(entry.origin_host): entry
            for entry in self._parts.directory.entries
            if entry.connect
        }
        for host, call in tuple(self._calls.items()):
            entry = wanted.get(host)
            if entry is None or not call.is_for(entry):
                # An open connection stays; if its peer is not welcome any more, diameter ends it.
                call.end()
                self._former.append(self._calls.pop(host))
        for host, entry in wanted.items():
            if host not in self._calls:
                self._calls[host] = PeerCall(entry, self._parts, self._pauses)
                self._calls[host].begin()
        for call in [one for one in self._former if not one.factory.connections]:
            self._past.add(call.factory.counters())
            self._former.remove(call)


class PeerCall:
    """One peer that is called; the watcher of this peer in the directory."""

    def __init__(self, entry: PeerEntry, parts: DialingParts, pauses: Pauses) -> None:
        self.host = identity_key(entry.origin_host)
        self.factory = DiameterFactory(
            parts.reactor,
            parts.settings,
            _CalledHandler(self, parts.handler),
            role="initiator",
            limits=parts.limits,
            end_to_end_ids=parts.end_to_end_ids,
            answer_policy=self._decide,
        )
        self._entry = entry
        self._parts = parts
        self._pauses = pauses
        self._timer: Any = None
        self._attempt: Deferred[Any] | None = None
        self._pause = pauses.reconnect
        self._complaint = ""

    def is_for(self, entry: PeerEntry) -> bool:
        """Tell whether a changed entry makes no difference to how the peer is called."""
        old = self._entry
        return (entry.connect, entry.require_tls) == (old.connect, old.require_tls)

    def begin(self) -> None:
        """Call now, unless the peer has called us."""
        self._parts.directory.watch(self.host, self)
        if not self._parts.directory.is_open(self.host):
            self._call()

    def end(self) -> None:
        """Call no more; a connection that is open stays."""
        self._parts.directory.unwatch(self.host, self)
        self.abandon()

    # --------------------------------------------------------------- told by the directory

    @property
    def awaits_answer(self) -> bool:
        """Whether our CER is on its way: then an incoming CER of the peer calls for an election."""
        return any(
            conn.connection.state is PeerState.WAIT_CEA for conn in self.factory.connections
        )

    def abandon(self) -> None:
        """Give up a call that has not been answered: we won the election, or the peer is open."""
        self._stop_calling()
        for conn in tuple(self.factory.connections):
            if conn.connection.state is PeerState.WAIT_CEA:
                conn.disconnect()

    def opened(self, peer: OpenPeer) -> None:
        """The peer is connected, whoever began it."""
        self._complaint = ""
        self._pause = self._pauses.reconnect
        self._stop_calling()
        if peer not in self.factory.connections:
            self.abandon()

    def leaving(self, cause: DisconnectCause) -> None:
        """The peer said goodbye."""
        if cause in _UNWELCOME:
            self._pause = self._pauses.unwelcome

    def closed(self) -> None:
        """The peer's connection is over."""
        self._call_later()

    # ----------------------------------------------------------------------------- calling

    def _call_later(self) -> None:
        if self._timer is None and self._attempt is None:
            pause = self._pause * _random.uniform(1 - JITTER, 1 + JITTER)
            self._pause = self._pauses.reconnect
            self._timer = self._parts.reactor.callLater(pause, self._call)

    def _stop_calling(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()

    def _call(self) -> None:
        self._timer = None
        entry, parts = self._entry, self._parts
        host, _, port = entry.connect.rpartition(":")
        factory: Any = self.factory
        if entry.require_tls or parts.always_secured:
            if parts.client_context is None:
                self._complain("it requires TLS, for which this server has no certificate")
                self._call_later()
                return
            factory = secured(parts.reactor, factory, parts.client_context, is_client=True)
        attempt = connect(parts.reactor, factory, host.strip("[]"), int(port), CONNECT_SECONDS)
        self._attempt = attempt
        attempt.addCallbacks(self._reached, self._unreachable, callbackArgs=(attempt,),
                             errbackArgs=(attempt,))  # fmt: skip

    def _reached(self, _conn: Any, attempt: Deferred[Any]) -> None:
        if self._attempt is attempt:
            self._attempt = None

    def _unreachable(self, failure: Failure, attempt: Deferred[Any]) -> None:
        if self._attempt is not attempt:
            return  # it was given up
        self._attempt = None
        self._complain(failure.getErrorMessage())
        self._call_later()

    def not_opened(self, reason: str) -> None:
        """A connection that we made has ended before it was open."""
        if self._parts.directory.is_watched_by(self.host, self):
            if self._parts.directory.is_open(self.host):
                return
            self._complain(reason)
            self._call_later()

    def _complain(self, reason: str) -> None:
        """Say once why the peer is not reached; the same again is for those who look closely."""
        say = _log.debug if reason == self._complaint else _log.warning
        self._complaint = reason
        say("peer cannot be reached", origin_host=self.host, at=self._entry.connect, reason=reason)

    def _decide(self, answer: CapabilitiesExchangeAnswer, caller: Caller) -> PeerDecision:
        return self._parts.directory.decide_called(self.host, answer.origin_host, caller)


class _CalledHandler:
    """The server's handler, told in addition of calls that came to nothing."""

    def __init__(self, call: PeerCall, handler: PeerHandler) -> None:
        self._call = call
        self._handler = handler
        self.peer_up = handler.peer_up
        self.requests = handler.requests
        self.answer = handler.answer
        self.peer_changed = handler.peer_changed

    def peer_down(self, conn: DiameterProtocol, closed: PeerClosed) -> None:
        """The connection is over; if it never opened, the call came to nothing."""
        if conn.capabilities is None:
            self._call.not_opened(closed.reason)
        else:
            self._handler.peer_down(conn, closed)
