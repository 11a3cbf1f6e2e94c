"""A simulated gateway's connection to one server: calling, being cut, calling again.

`gateway` has one for each server of the scenario, and decides which request goes where.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from protocol.base import CapabilitiesExchangeAnswer
from protocol.codec import Header
from protocol.peer import EndToEndIds, PeerClosed, PeerSettings
from protocol.peer_settings import Caller, PeerDecision
from protocol.tls import Credentials
from protocol.transport import DiameterFactory, DiameterProtocol, connect
from protocol.transport_tls import secured
from simulators.traffic.schedule import Due

RECONNECT_SECONDS = 0.5


@dataclass(slots=True)
class Waiting:
    """A request that waits for its answer; `first_answer` marks one sent again on purpose."""

    due: Due
    end_to_end: int
    first_sent_ns: int
    message: bytes = b""
    """As it was written for the server with the number `written_for`."""
    written_for: int = -1
    resend_at: float = 0.0
    attempts: int = 1
    sent: bool = False
    """Whether a server may have seen it, so that it gets the T flag when it is sent again."""
    first_answer: bytes | None = None


class LinkOwner(Protocol):
    """What a link tells its gateway."""

    def link_up(self, link: "Link") -> None:
        """The server has accepted us."""

    def link_down(self, link: "Link", reason: str, was_cut: bool) -> None:
        """The connection is lost."""

    def link_failed(self, reason: str) -> None:
        """A call was in vain."""

    def link_changed(self, link: "Link") -> None:
        """Its server became suspect, recovered or wants to leave."""

    def asked(self, link: "Link", batch: list[tuple[Header, bytes]]) -> list[bytes]:
        """Requests of the server; returns the answers."""

    def answer_arrived(self, link: "Link", header: Header, message: bytes) -> None:
        """An answer to one of `link.waiting`, or to none any more."""


class Link:
    """The connection to the server of this number; the handler of its peer connection.

    It calls again whenever it is lost, until `stopped`.
    """

    def __init__(
        self,
        reactor: Any,
        stopped: Callable[[], bool],
        owner: LinkOwner,
        number: int,
        address: tuple[str, int],
        settings: PeerSettings,
        credentials: Credentials | None,
        end_to_end_ids: EndToEndIds | None,
    ) -> None:
        self.number = number
        self.address = address
        self.waiting: dict[int, Waiting] = {}
        self.queue: list[Waiting] = []
        """Requests that wait for the connection."""
        self._stopped = stopped
        self._reactor = reactor
        self._owner = owner
        self._conn: DiameterProtocol | None = None
        self._cut_seconds: float | None = None
        self.factory = DiameterFactory(
            reactor,
            settings,
            self,
            role="initiator",
            answer_policy=believes,
            end_to_end_ids=end_to_end_ids,
        )
        self._outside: Any = self.factory
        if credentials is not None:
            context = credentials
            self._outside = secured(
                reactor, self.factory, lambda: context.context, is_client=True
            )

    @property
    def open(self) -> bool:
        """Whether requests may be sent."""
        return self._conn is not None and self._conn.can_send_requests

    @property
    def name(self) -> str:
        """Where the server is, for people."""
        return f"{self.address[0]} port {self.address[1]}"

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

    def send(self, waiting: Waiting) -> int:
        """Send a request on the open connection; returns its hop-by-hop id."""
        if self._conn is None:
            raise RuntimeError("the link is not open")
        hop_by_hop = self._conn.send_request(waiting.message)
        waiting.sent = True
        self.waiting[hop_by_hop] = waiting
        return hop_by_hop

    def forget(self, hop_by_hop: int) -> None:
        """Wait no longer for this answer."""
        del self.waiting[hop_by_hop]
        if self._conn is not None:
            self._conn.forget_request(hop_by_hop)

    # For the transport.

    def peer_up(self, conn: DiameterProtocol) -> None:
        """The server has accepted us."""
        self._conn = conn
        self._owner.link_up(self)

    def peer_down(self, conn: DiameterProtocol, closed: PeerClosed) -> None:
        """The connection is lost: call again."""
        if self._stopped():
            return
        cut, self._cut_seconds = self._cut_seconds, None
        if conn is self._conn:
            self._conn = None
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
        self._owner.answer_arrived(self, header, message)


def believes(answer: CapabilitiesExchangeAnswer, caller: Caller) -> PeerDecision:
    """A server that shows a certificate must show that of the host it says it is."""
    certificate = caller.certificate
    known = certificate is None or certificate.is_for(answer.origin_host)
    reason = f"the certificate of {answer.origin_host} is that of somebody else"
    return PeerDecision(accept=known, reason="" if known else reason)
