"""A simulated gateway's connection to one server: calling, being cut, calling again, sending again.

`gateway` has one for each server of the scenario, a replay one for each client; they decide which
request goes where. A request that is sent a second time gets the T flag (RFC 6733 section 5.5.4).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from protocol.answers import Origin
from protocol.base import CapabilitiesExchangeAnswer
from protocol.codec import FLAG_RETRANSMIT, Header
from protocol.peer import EndToEndIds, PeerClosed, PeerSettings
from protocol.peer_settings import Caller, ErrorKind, PeerDecision
from protocol.tls import Credentials
from protocol.transport import DiameterFactory, DiameterProtocol, connect
from protocol.transport_tls import secured
from simulators.reports.report import Measurements

RECONNECT_SECONDS = 0.5
GIVEN_UP_MAX = 4096
"""Requests of a connection that are remembered after nobody waits for them any more, to tell late
answers from those that nobody asked for."""
_VENDOR_3GPP = 10415


class Outgoing(Protocol):
    """A request as a link sees it."""

    message: bytes
    sent: bool
    """Whether a server may have seen it, so that it gets the T flag when it is sent again."""


Request = TypeVar("Request", bound=Outgoing)


class LinkOwner(Protocol[Request]):
    """What a link tells its gateway."""

    def link_up(self, link: "Link[Request]") -> None:
        """The server has accepted us."""

    def link_down(self, link: "Link[Request]", reason: str, was_cut: bool) -> None:
        """The connection is lost."""

    def link_failed(self, reason: str) -> None:
        """A call was in vain."""

    def link_changed(self, link: "Link[Request]") -> None:
        """Its server became suspect, recovered or wants to leave."""

    def asked(self, link: "Link[Request]", batch: list[tuple[Header, bytes]]) -> list[bytes]:
        """Requests of the server; returns the answers."""

    def answer_arrived(
        self, link: "Link[Request]", waiting: Request, header: Header, message: bytes
    ) -> None:
        """An answer to one of `link.waiting`, which still waits until it is settled."""


class Link(Generic[Request]):
    """The connection to the server of this number; the handler of its peer connection.

    It calls again whenever it is lost, until `stopped`. What it resends, what it loses and which
    answers come too late or unasked goes into `measured`.
    """

    def __init__(
        self,
        reactor: Any,
        stopped: Callable[[], bool],
        owner: LinkOwner[Request],
        number: int,
        address: tuple[str, int],
        origin: Origin,
        credentials: Credentials | None,
        measured: Measurements,
        end_to_end_ids: EndToEndIds | None = None,
    ) -> None:
        self.number = number
        self.address = address
        self.waiting: dict[int, Request] = {}
        self.queue: list[Request] = []
        """Requests that wait for the connection."""
        self._stopped = stopped
        self._reactor = reactor
        self._owner = owner
        self._measured = measured
        self._conn: DiameterProtocol | None = None
        self._cut_seconds: float | None = None
        self._given_up: dict[int, None] = {}
        self._unasked = 0
        self.factory = DiameterFactory(
            reactor,
            PeerSettings(
                origin.host,
                origin.realm,
                product_name="Gyro gateway simulator",
                origin_state_id=origin.state_id or 0,
                vendor_specific_applications=((_VENDOR_3GPP, 4),),
            ),
            self,
            role="initiator",
            answer_policy=_believes,
            end_to_end_ids=end_to_end_ids,
        )
        self._outside: Any = self.factory
        if credentials is not None:
            context = credentials
            self._outside = secured(
                reactor, self.factory, lambda: context.context, is_client=True
            )

    @property
    def connected(self) -> bool:
        """Whether the server has accepted us and the connection has not been lost since."""
        return self._conn is not None

    @property
    def open(self) -> bool:
        """Whether requests may be sent."""
        return self._conn is not None and self._conn.can_send_requests

    @property
    def name(self) -> str:
        """Where the server is, for people."""
        return f"{self.address[0]} port {self.address[1]}"

    @property
    def server(self) -> Any:
        """What the server has said of itself."""
        return self._conn.capabilities if self._conn is not None else None

    def call(self) -> None:
        """Connect, again and again until the owner has stopped."""
        if self._stopped():
            return
        attempt = connect(self._reactor, self._outside, *self.address)
        attempt.addErrback(self._call_failed)

    def _call_failed(self, failure: Any) -> None:
        self._owner.link_failed(failure.getErrorMessage())
        self._reactor.callLater(RECONNECT_SECONDS, self.call)

    def hang_up(self) -> Any:
        """Say goodbye; the Deferred fires when the connection is closed."""
        return self.factory.disconnect_all()

    def cut(self, down_seconds: float) -> bool:
        """Lose the connection on purpose, without a goodbye; False if there is none."""
        if self._conn is None or self._conn.transport is None:
            return False
        self._cut_seconds = down_seconds
        transport: Any = self._conn.transport
        transport.abortConnection()
        return True

    def restart(self, origin_state_id: int) -> None:
        """Be another one from the next connection on."""
        self.factory.settings = replace(self.factory.settings, origin_state_id=origin_state_id)

    def send(self, waiting: Request) -> bytes:
        """Send a request on the open connection, with the T flag if it was sent before.

        Returns it as it went out, hop-by-hop id included.
        """
        if self._conn is None:
            raise RuntimeError("the link is not open")
        if waiting.sent:
            waiting.message = _with_t_flag(waiting.message)
            self._measured.retransmitted += 1
        hop_by_hop = self._conn.send_request(waiting.message)
        waiting.sent = True
        self.waiting[hop_by_hop] = waiting
        return waiting.message[:12] + hop_by_hop.to_bytes(4, "big") + waiting.message[16:]

    def forget(self, hop_by_hop: int) -> None:
        """Wait no longer for this answer; should it come, it is late."""
        del self.waiting[hop_by_hop]
        self._given_up[hop_by_hop] = None
        if len(self._given_up) > GIVEN_UP_MAX:
            oldest = next(iter(self._given_up))
            del self._given_up[oldest]
            if self._conn is not None:
                self._conn.forget_request(oldest)

    def settle(self, hop_by_hop: int, waiting: Request) -> bool:
        """This request has its answer; False, which is counted, if nobody waits for that."""
        if self.waiting.get(hop_by_hop) is waiting:
            del self.waiting[hop_by_hop]
            return True
        self._given_up.pop(hop_by_hop, None)
        self._measured.late_answers += 1
        return False

    def count_unasked(self) -> None:
        """Count the answers that were no answer to anything since this was last called."""
        if self._conn is not None:
            found = self._conn.connection.counters.errors[ErrorKind.UNKNOWN_ANSWER]
            self._measured.unasked_answers += found - self._unasked
            self._unasked = found

    # For the transport.

    def peer_up(self, conn: DiameterProtocol) -> None:
        """The server has accepted us."""
        self._conn = conn
        self._given_up.clear()
        self._unasked = 0
        self._owner.link_up(self)

    def peer_down(self, conn: DiameterProtocol, closed: PeerClosed) -> None:
        """The connection is lost: call again."""
        if conn is self._conn:
            self.count_unasked()
        if self._stopped():
            return
        cut, self._cut_seconds = self._cut_seconds, None
        if conn is self._conn:
            self._conn = None
            self._measured.connection_losses += 1
            self._owner.link_down(self, closed.reason, cut is not None)
        else:
            self._owner.link_failed(f"no capabilities exchanged: {closed.reason}")
        self._reactor.callLater(RECONNECT_SECONDS if cut is None else cut, self.call)

    def peer_changed(self, conn: DiameterProtocol, event: Any) -> None:  # noqa: ARG002
        """Hold requests back while the server is suspect or leaving."""
        self._owner.link_changed(self)

    def requests(self, conn: DiameterProtocol, batch: list[tuple[Header, bytes]]) -> None:
        """RAR and ASR of the server."""
        for answer in self._owner.asked(self, batch):
            conn.send_answer(answer)

    def answer(self, conn: DiameterProtocol, header: Header, message: bytes) -> None:  # noqa: ARG002
        """An answer of the server."""
        waiting = self.waiting.get(header.hop_by_hop)
        if waiting is not None:
            self._owner.answer_arrived(self, waiting, header, message)
        else:
            self._given_up.pop(header.hop_by_hop, None)
            self._measured.late_answers += 1


def _with_t_flag(message: bytes) -> bytes:
    return message[:4] + bytes((message[4] | FLAG_RETRANSMIT,)) + message[5:]


def _believes(answer: CapabilitiesExchangeAnswer, caller: Caller) -> PeerDecision:
    """A server that shows a certificate must show that of the host it says it is."""
    certificate = caller.certificate
    known = certificate is None or certificate.is_for(answer.origin_host)
    reason = f"the certificate of {answer.origin_host} is that of somebody else"
    return PeerDecision(accept=known, reason="" if known else reason)
