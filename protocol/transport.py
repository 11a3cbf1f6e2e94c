"""Twisted over PeerConnection: Diameter on TCP, listening and calling (RFC 6733 section 2.1).

Used by the server and by the simulator, which both hand in a `PeerHandler`; `transport_tls` secures
the connections of a factory. All of it runs on the reactor's thread. Nothing is logged here: the
handler is told, and the counters count.
"""

import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from random import SystemRandom
from typing import Any, Protocol, cast

from twisted.internet import protocol as twisted_protocol
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.python.failure import Failure

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    DisconnectCause,
)
from protocol.codec import Header
from protocol.peer import (
    AnswerReceived,
    Capabilities,
    DisconnectRequested,
    EndToEndIds,
    ErrorKind,
    Event,
    PeerClosed,
    PeerConnection,
    PeerCounters,
    PeerDecision,
    PeerRecovered,
    PeerSettings,
    PeerState,
    PeerSuspect,
    PeerUp,
    RequestReceived,
    Role,
)
from protocol.peer_settings import Caller
from protocol.transport_limits import Admission, TransportLimits
from protocol.transport_sctp import SctpTransport
from protocol.transport_tls import SecuredTransport, reason_of
from protocol.transport_valves import InputValve, OutputValve
from protocol.watchdog import JITTER_SECONDS

LINGER_SECONDS = 5.0
"""How long a closed connection may take to deliver what was written before it is reset."""

ABORT_LINGER_SECONDS = 0.5
"""The same where the connection is reset anyway and only the reason is still being delivered."""

_random = SystemRandom()


class PeerHandler(Protocol):
    """What the owner of connections is told; calls come in the order in which things happened."""

    def peer_up(self, conn: "DiameterProtocol") -> None:
        """The connection is open; `conn.capabilities` is what the peer said about itself."""

    def requests(self, conn: "DiameterProtocol", batch: list[tuple[Header, bytes]]) -> None:
        """Requests that came together, each to be answered or released once, now or later."""

    def answer(self, conn: "DiameterProtocol", header: Header, message: bytes) -> None:
        """The answer to a request sent with `conn.send_request`."""

    def peer_down(self, conn: "DiameterProtocol", closed: PeerClosed) -> None:
        """The connection is over; comes once, also for one that never opened."""

    def peer_changed(
        self, conn: "DiameterProtocol", event: PeerSuspect | PeerRecovered | DisconnectRequested
    ) -> None:
        """Requests of ours may not, or may again, be sent to this peer."""


CallerPolicy = Callable[[CapabilitiesExchangeRequest, Caller], PeerDecision]
"""The owner's decision on a peer: its CER, and what the connection shows of it."""


AnswererPolicy = Callable[[CapabilitiesExchangeAnswer, Caller], PeerDecision]
"""The same on whom we called: its CEA, and what the connection shows of it."""


def accept_everybody(
    _said: CapabilitiesExchangeRequest | CapabilitiesExchangeAnswer, _caller: Caller
) -> PeerDecision:
    """The policy of who lets everybody in."""
    return PeerDecision()


def admit_everybody(_address: str) -> bool:
    """Whether this address may connect at all, for who asks no further."""
    return True


class DiameterProtocol(twisted_protocol.Protocol):
    """One peer on one transport: moves octets and time, and hands events to the handler.

    What the peer does not read stays queued in the connection, which gives it up beyond its limit.
    """

    connection: PeerConnection
    _input: InputValve

    def __init__(self, factory: "DiameterFactory") -> None:
        self._owner = factory
        self._reactor = factory.reactor
        self._handler = factory.handler
        self.remote_address = ""
        self._in_turn = False
        self._closing = False
        self._soon: DelayedCall | None = None
        self._timer: DelayedCall | None = None
        self._timer_due = 0.0
        self._linger: DelayedCall | None = None
        self._output = OutputValve(self.settle)

    @property
    def capabilities(self) -> Capabilities | None:
        """The peer's CER or CEA; None before the connection opened."""
        return self.connection.capabilities

    @property
    def is_open(self) -> bool:
        """Whether the connection takes requests in both directions, its watchdog permitting."""
        return self.connection.state is PeerState.OPEN

    @property
    def can_send_requests(self) -> bool:
        """Whether `send_request` may be called."""
        return self.connection.can_send_requests

    @property
    def caller(self) -> Caller:
        """What the connection shows of the other side."""
        transport, is_called = self.transport, self._owner.role == "initiator"
        if isinstance(transport, SecuredTransport):
            return Caller(self.remote_address, transport.peer_certificate(), is_called)
        return Caller(self.remote_address, None, is_called)

    # For the handler.

    def send_answer(self, message: bytes) -> None:
        """Queue an answer; all answers of one turn of the reactor leave in one write."""
        self.connection.send_answer(message)
        self._settle_soon()

    def send_answers(self, messages: list[bytes]) -> None:
        """Queue the answers of a batch and write them at once."""
        for message in messages:
            self.connection.send_answer(message)
        self._settle_soon() if self._in_turn else self.settle()

    def release_request(self) -> None:
        """Say that a request will not be answered."""
        self.connection.release_request()
        self._settle_soon()

    def note_fruitless(self) -> None:
        """Say that a request brought nothing to decide: whoever sends many is read less."""
        self.connection.fruitless += 1

    def send_request(self, message: bytes) -> int:
        """Queue a request; returns its hop-by-hop id. Raises LocalProtocolError if it may not."""
        hop_by_hop = self.connection.send_request(message)
        self._settle_soon()
        return hop_by_hop

    def forget_request(self, hop_by_hop: int) -> None:
        """Give a request of ours up; an answer that still comes is discarded."""
        self.connection.forget_request(hop_by_hop)

    def disconnect(self, cause: DisconnectCause = DisconnectCause.REBOOTING) -> None:
        """Answer what is in flight, say goodbye with a DPR, then close."""
        self._tell_time()
        self.connection.start_disconnect(cause)
        self._settle_soon()

    def probe(self) -> None:
        """Ask for a sign of life now, because somebody else claims to be this peer."""
        self._tell_time()
        self.connection.probe()
        self._settle_soon()

    # For Twisted.

    def connectionMade(self) -> None:  # noqa: N802
        """Start the connection: an initiator sends its CER, a responder waits for one."""
        transport = cast(Any, self.transport)
        if isinstance(transport, SecuredTransport) or ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        transport.registerProducer(self._output, True)
        self.remote_address = _plain_address(transport.getPeer())
        settings = self._owner.settings
        if not settings.host_ip_addresses:
            settings = replace(settings, host_ip_addresses=_own_addresses(transport))
        self.connection = PeerConnection(
            settings,
            self._decide,
            self._owner.role,
            now=self._reactor.seconds(),
            jitter=self._owner.jitter,
            end_to_end_ids=self._owner.end_to_end_ids,
            answer_policy=self._decide_answer,
        )
        self._input = InputValve(
            self._reactor, self.connection, transport, self._owner.limits, self._settle_timely
        )
        self._owner.entered(self)
        self.settle()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Take what arrived and what follows from it, as far as one turn goes."""
        self._tell_time()
        self._input.data_arrived()
        self.connection.receive_data(data)
        self.settle()

    def connectionLost(self, reason: Failure = twisted_protocol.connectionDone) -> None:  # noqa: N802
        """Tell the handler, unless it knows, and drop every timer."""
        self._closing = True
        insecure = reason_of(reason.value, self.transport)
        if insecure:
            self.connection.counters.error(ErrorKind.TLS)
        self.connection.connection_lost(insecure or reason.getErrorMessage())
        self._hand_over_events()
        self._input.close()
        for call in (self._soon, self._timer, self._linger):
            if call is not None and call.active():
                call.cancel()
        self._owner.lost(self)

    # Inside.

    def settle(self) -> None:
        """Hand over events, write output, throttle input, set the timer, close: all that is due."""
        self._hand_over_events()
        if self._closing:
            return
        connection = self.connection
        transport = cast(Any, self.transport)
        if connection.wants_close:
            self._close(transport)
            return
        if connection.pending_output_octets and not self._output.is_shut:
            transport.write(connection.data_to_send())
        self._input.adjust()
        due = connection.next_timeout()
        if due is not None and (self._timer is None or due < self._timer_due):
            self._set_timer(due)

    def _hand_over_events(self) -> None:
        # Answers given inside these calls wait for the end of the turn.
        was_in_turn, self._in_turn = self._in_turn, True
        try:
            batch: list[tuple[Header, bytes]] = []
            while (event := self.connection.next_event()) is not None:
                if type(event) is RequestReceived:
                    batch.append((event.header, event.message))
                    continue
                if batch:
                    self._handler.requests(self, batch)
                    batch = []
                self._hand_over(event)
            if batch:
                self._handler.requests(self, batch)
        finally:
            self._in_turn = was_in_turn

    def _hand_over(self, event: Event) -> None:
        if isinstance(event, AnswerReceived):
            self._handler.answer(self, event.header, event.message)
        elif isinstance(event, PeerUp):
            self._owner.admission.identified(self)
            self._handler.peer_up(self)
        elif isinstance(event, PeerClosed):
            self._handler.peer_down(self, event)
        elif isinstance(event, PeerSuspect | PeerRecovered | DisconnectRequested):
            self._handler.peer_changed(self, event)

    def _settle_soon(self) -> None:
        if not self._in_turn and self._soon is None and not self._closing:
            self._soon = self._reactor.callLater(0, self._settle_now)

    def _settle_now(self) -> None:
        self._soon = None
        self.settle()

    def _settle_timely(self) -> None:
        self._tell_time()
        self.settle()

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._reactor.callLater(
            max(0.0, due - self._reactor.seconds()), self._timer_fired
        )

    def _timer_fired(self) -> None:
        self._timer = None
        self._tell_time()
        # A peer we did not read is excused once more after that, so that it can be heard.
        self.connection.input_paused = not self._input.is_open
        self.settle()

    def _tell_time(self) -> None:
        self.connection.tick(self._reactor.seconds())

    def _close(self, transport: Any) -> None:
        self._closing = True
        rest = self.connection.data_to_send()
        if rest:
            transport.write(rest)
        transport.unregisterProducer()  # a registered producer would keep the connection open
        if self.connection.abort and not rest:
            transport.abortConnection()
            return
        transport.loseConnection()
        seconds = ABORT_LINGER_SECONDS if self.connection.abort else LINGER_SECONDS
        self._linger = self._reactor.callLater(seconds, transport.abortConnection)

    def _decide_answer(self, answer: CapabilitiesExchangeAnswer) -> PeerDecision:
        return self._owner.answer_policy(answer, self.caller)

    def _decide(self, request: CapabilitiesExchangeRequest) -> PeerDecision:
        return self._owner.policy(request, self.caller)


class DiameterFactory(twisted_protocol.Factory):
    """The connections of one listener or caller, with what they have in common.

    `settings.host_ip_addresses` left empty means each connection's own local address. Who comes
    from an address that `admits` does not like is not listened to. `reactor`
    also is the clock; `jitter` and `end_to_end_ids` have sensible defaults.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        settings: PeerSettings,
        handler: PeerHandler,
        policy: CallerPolicy = accept_everybody,
        *,
        admits: Callable[[str], bool] = admit_everybody,
        role: Role = "responder",
        limits: TransportLimits | None = None,
        end_to_end_ids: EndToEndIds | None = None,
        answer_policy: AnswererPolicy = accept_everybody,
    ) -> None:
        self.reactor = reactor
        self.settings = settings
        self.handler = handler
        self.policy = policy
        self.admits = admits
        self.answer_policy = answer_policy
        self.role = role
        self.limits = limits or TransportLimits()
        self.end_to_end_ids = end_to_end_ids or EndToEndIds(
            int(reactor.seconds()), _random.getrandbits(20)
        )
        self.connections: set[DiameterProtocol] = set()
        self.admission: Admission[DiameterProtocol] = Admission(self.limits)
        self._past = PeerCounters()
        self._idle: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> DiameterProtocol | None:  # noqa: N802
        """A new connection; None closes it: beyond a limit, or it may not come."""
        if not self.admits(_plain_address(addr)):
            self._past.error(ErrorKind.FOREIGN_ADDRESS)
            return None
        if self.role == "responder":
            refusal = self.admission.refusal(_plain_address(addr), self.reactor.seconds())
            if refusal is not None:
                self._past.error(refusal)
                return None
        return DiameterProtocol(self)

    def entered(self, conn: DiameterProtocol) -> None:
        """Take a new connection in; one that has not said who it is may have to go for it."""
        self.connections.add(conn)
        victim = self.admission.entered(conn, conn.remote_address, self.reactor.seconds())
        if victim is not None:
            victim.connection.counters.error(ErrorKind.TOO_MANY_UNIDENTIFIED)
            cast(Any, victim.transport).abortConnection()

    def jitter(self) -> float:
        """Seconds to add to a watchdog timer (RFC 3539 section 3.4.1)."""
        return _random.uniform(-JITTER_SECONDS, JITTER_SECONDS)

    def counters(self) -> PeerCounters:
        """Totals of all connections, past and present."""
        total = PeerCounters()
        total.add(self._past)
        for conn in self.connections:
            total.add(conn.connection.counters)
        return total

    def disconnect_all(self, cause: DisconnectCause = DisconnectCause.REBOOTING) -> Deferred[None]:
        """Let every connection go in good order; fires when the last one is closed."""
        done: Deferred[None] = Deferred()
        if not self.connections:
            done.callback(None)
            return done
        self._idle.append(done)
        for conn in tuple(self.connections):
            conn.disconnect(cause)
        return done

    def lost(self, conn: DiameterProtocol) -> None:
        """Keep the totals of a connection that is gone."""
        self.connections.discard(conn)
        self.admission.left(conn, conn.remote_address)
        self._past.add(conn.connection.counters)
        conn.connection.counters = self._past  # for answers that come too late
        if not self.connections:
            waiting, self._idle = self._idle, []
            for done in waiting:
                done.callback(None)


def listen(
    reactor: Any, factory: DiameterFactory, interface: str, port: int, backlog: int = 512
) -> IListeningPort:
    """Listen on an IPv4 or IPv6 address; port 0 takes a free one. Raises CannotListenError.

    `::` listens for IPv6 alone, so that it can stand beside `0.0.0.0` on the same port.
    """
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((interface, port))
            listener.listen(backlog)
        except OSError as error:
            raise cast(Any, CannotListenError)(interface, port, error) from error
        return cast(IListeningPort, reactor.adoptStreamPort(listener.fileno(), family, factory))


def connect(
    reactor: Any, factory: DiameterFactory, host: str, port: int, timeout: float = 10.0
) -> Deferred[Any]:
    """Call a peer with a factory whose role is initiator; fires with the connected protocol.

    The handler's `peer_up` says when the peer has accepted us.
    """
    endpoint = HostnameEndpoint(reactor, host.encode(), port, timeout)
    return cast("Deferred[Any]", endpoint.connect(cast(Any, factory)))


def _own_addresses(transport: Any) -> tuple[str, ...]:
    """What a CER or CEA announces: all our addresses on SCTP, else that of the socket."""
    several = transport.local_addresses if isinstance(transport, SctpTransport) else ()
    return several or (_plain_address(transport.getHost()) or "127.0.0.1",)


def _plain_address(address: Any) -> str:
    """The IP address of an endpoint without zone, IPv4 also where it came mapped into IPv6."""
    host = getattr(address, "host", "").partition("%")[0]
    try:
        parsed = ip_address(host)
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
