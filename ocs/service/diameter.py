"""The Diameter edge: credit-control requests in, decisions back as answers (RFC 8506, RFC 6733 6).

The PeerHandler of every connection. It reads and refuses what is wrong with a message, gives the
rest to the batcher, and writes each answer on the connection its request came in on. Everything
here runs on the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from ocs.charging.model.messages import TOO_BUSY, ChargingReply, ChargingRequest, Outcome
from ocs.charging.model.profile import ClientProfile
from ocs.clock import NS_PER_SECOND, Clock
from ocs.service.asking.dispatcher import ServerRequests
from ocs.service.batches.batcher import Batcher
from ocs.service.peers.clients import Clients, Link, check_sender, count_profiles
from ocs.service.peers.directory import PeerDirectory
from ocs.service.peers.profiles import ProfileBook
from ocs.service.timers.endings import Ending
from ocs.service.watching.quiet import Repeated
from ocs.service.wire.answers import AnswerDefaults, to_answer
from ocs.service.wire.attributes import attribute_reader
from ocs.service.wire.mapping import Arrival, to_charging_request
from ocs.service.wire.refusals import RefusalLog
from ocs.store.interface import ClientNote, PeerEntry
from protocol import codec
from protocol.answers import Origin, ResultCode, error_answer, request_echo
from protocol.base import CapabilitiesExchangeRequest, DisconnectCause
from protocol.codec import Header, Limits
from protocol.credit_control import (
    CREDIT_CONTROL_APPLICATION,
    CREDIT_CONTROL_COMMAND,
    CreditControlRequest,
)
from protocol.credit_control_reader import partial_ccr_fields
from protocol.credit_control_writer import write_cca
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.grammar import identity_key
from protocol.layout_cache import CcrReader, InformationReader
from protocol.peer_events import DisconnectRequested, PeerClosed, PeerRecovered, PeerSuspect
from protocol.peer_settings import Caller, PeerDecision
from protocol.routing import LocalIdentity, route_check, route_check_values
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    read_session_request,
    write_session_answer,
)
from protocol.transport import DiameterProtocol

COMMANDS = {
    CREDIT_CONTROL_APPLICATION: frozenset(
        {CREDIT_CONTROL_COMMAND, int(SessionCommand.SESSION_TERMINATION)}
    )
}
"""What is answered per application; RAR and ASR are ours to send, so they get 3001."""

BAD_ANSWER = 3
"""Termination-Cause of a client that could not use what it was answered (RFC 6733 8.15)."""

_AUTH_APPLICATION_ID, _REQUEST_TYPE, _REQUEST_NUMBER = 258, 416, 415
STATE_PAUSE_NS = NS_PER_SECOND
"""Between two changes of Origin-State-Id in the requests of one connection."""
REASON_MAX = 200
"""As much of a reason as is logged where a stranger has a say in it."""

_log = structlog.get_logger(__name__)


class EdgeObserver(Protocol):
    """Counts of what never reached a decision; see metrics.Metrics."""

    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Edge:
    """Who we are on the wire."""

    identity: LocalIdentity
    origin: Origin
    answers: AnswerDefaults
    limits: Limits = codec.DEFAULT_LIMITS
    profiles: ProfileBook = field(default_factory=ProfileBook)
    country_code: str = ""


class DiameterService:
    """Handler and peer policy of all connections of a server."""

    def __init__(
        self,
        edge: Edge,
        directory: PeerDirectory,
        batcher: Batcher,
        clock: Clock,
        observer: EdgeObserver,
        client_connected: Callable[[str, int], None],
        terminate_session: Callable[[str, Ending, Callable[[Outcome], None]], None],
        note_client: Callable[[ClientNote], None],
        server_requests: ServerRequests,
    ) -> None:
        self._edge = edge
        self._directory = directory
        self._batcher = batcher
        self._clock = clock
        self._errors = observer.errors
        self._refusals = RefusalLog(clock)
        self._strangers = Repeated(clock)
        """Addresses from which connections came that were closed before they were open."""
        self._client_connected = client_connected
        self._terminate_session = terminate_session
        self._server_requests = server_requests
        self._links: dict[DiameterProtocol, Link] = {}
        self._answers = {
            name: edge.answers.for_client(profile)
            for name, profile in edge.profiles.charging.items()
        }
        self.requests_read = CcrReader(edge.limits)
        self.information_read = InformationReader()
        self._clients = Clients(
            edge.profiles,
            directory,
            lambda lenient: attribute_reader(
                lenient, edge.country_code, self.information_read.read
            ),
            clock,
            note_client,
        )

    # ------------------------------------------------------------------------------- peers

    def admits(self, address: str) -> bool:
        """Tell whether to listen to who comes from an address; asked before anything is read."""
        if self._directory.admits(address):
            return True
        due, left_out = self._strangers.left_out(address)
        say = _log.warning if due else _log.debug
        say("connection refused: no peer may come from there", address=address, left_out=left_out)
        return False

    def decide_peer(self, request: CapabilitiesExchangeRequest, caller: Caller) -> PeerDecision:
        """Say whether the sender of a CER may connect; the transport's CallerPolicy."""
        return self._directory.decide(request.origin_host, caller)

    def peers_changed(self, entries: Iterable[PeerEntry]) -> None:
        """Take over a new peer list: effective at once, for those who are connected too."""
        self._directory.replace_stored(entries)
        for link in tuple(self._links.values()):
            objection = self._directory.objection(link.origin_host, link.conn.caller)
            if objection is None:
                entry = self._directory.entry_for(link.origin_host)
                self._clients.update(link, entry)
                self._server_requests.peer_updated(link.conn, is_agent=link.relay)
            elif link.conn.is_open:
                reason = objection.reason
                _log.warning("peer may not stay", origin_host=link.origin_host, reason=reason)
                link.conn.disconnect(DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU)

    def peer_up(self, conn: DiameterProtocol) -> None:
        """Take over a connection whose CER was accepted."""
        said = conn.capabilities
        if said is None:
            return
        entry = self._directory.entry_for(said.origin_host)
        link = self._links[conn] = self._clients.connected(conn, entry, said)
        self._directory.opened(said.origin_host, conn)
        _log.info(
            "peer connected",
            origin_host=entry.origin_host,
            address=conn.remote_address,
            tls=conn.caller.certificate is not None,
            profile=entry.profile,
            relay=link.relay,
            product=said.product_name,
        )
        if not link.relay:
            # An agent's restart says nothing about the sessions of the clients behind it (D19).
            self._client_connected(entry.origin_host, said.origin_state_id or 0)
        self._server_requests.peer_up(conn, said, is_agent=link.relay)

    def peer_down(self, conn: DiameterProtocol, closed: PeerClosed) -> None:
        """Forget a connection; its sessions live on (B-010)."""
        link = self._links.pop(conn, None)
        if link is None:
            due, left_out = self._strangers.left_out(conn.remote_address)
            say = _log.info if due else _log.debug
            say(
                "connection closed",
                address=conn.remote_address,
                reason=closed.reason[:REASON_MAX],
                left_out=left_out,
            )
            return
        self._directory.closed(link.origin_host, conn, by_watchdog=closed.by_watchdog)
        self._server_requests.peer_down(conn)
        _log.info("peer disconnected", origin_host=link.origin_host, reason=closed.reason)

    def peer_changed(
        self, conn: DiameterProtocol, event: PeerSuspect | PeerRecovered | DisconnectRequested
    ) -> None:
        """Send by other ways while a peer is suspect; it is answered in every state (B-063)."""
        link = self._links.get(conn)
        _log.info(
            "peer changed",
            origin_host=link.origin_host if link else "",
            change=type(event).__name__,
        )
        if isinstance(event, PeerSuspect):
            self._server_requests.peer_suspect(conn)
        elif isinstance(event, PeerRecovered):
            self._server_requests.peer_recovered(conn)
        elif link is not None:
            self._directory.leaving(link.origin_host, event.cause)

    def answer(self, conn: DiameterProtocol, header: Header, message: bytes) -> None:
        """Take the answer to a request of ours."""
        self._server_requests.answer(conn, header, message)

    def profile_counts(self) -> dict[str, int]:
        """Return how many clients of each profile are on the open connections."""
        return count_profiles(self._links.values())

    # ---------------------------------------------------------------------------- requests

    def requests(self, conn: DiameterProtocol, batch: Sequence[tuple[Header, bytes]]) -> None:
        """Read what arrived together; each gets one answer, now or after its batch."""
        link = self._links.get(conn)
        if link is None:
            return
        received_ns, monotonic_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        for header, message in batch:
            try:
                if (
                    header.command_code == CREDIT_CONTROL_COMMAND
                    and header.application_id == CREDIT_CONTROL_APPLICATION
                ):
                    self._credit_control(link, header, message, received_ns, monotonic_ns)
                else:
                    self._other_command(link, header, message)
            except Exception:  # noqa: BLE001 -- no message may stop those that came with it
                _log.exception("a request could not be handled", origin_host=link.origin_host)
                fault = RemoteProtocolError(ResultCode.UNABLE_TO_COMPLY, "internal error")
                self._refuse(link, header, message, fault, "command")

    def _credit_control(
        self, link: Link, header: Header, message: bytes, received_ns: int, monotonic_ns: int
    ) -> None:
        edge = self._edge
        try:
            ccr = self.requests_read.read(message, header, link.leniency)
        except RemoteProtocolError as fault:
            routing = route_check(message, header, edge.identity)
            if routing is not None:
                self._refuse(link, header, message, routing, "routing")
            else:
                self._refuse(link, header, message, fault, "unreadable")
            return
        routing = route_check_values(
            header, ccr.destination_host, ccr.destination_realm, ccr.route_records, edge.identity
        )
        if routing is not None:
            self._refuse(link, header, message, routing, "routing")
            return
        state_id = ccr.origin_state_id
        if state_id and state_id != link.state_id and not link.relay:
            self._note_state(link, ccr.origin_host, state_id)
        try:
            client = link.clients.get(ccr.origin_host) or self._clients.meet(link, ccr, message)
            profile = client.profile
            request = to_charging_request(
                ccr,
                Arrival(
                    link.origin_host,
                    profile,
                    received_ns,
                    monotonic_ns,
                    header.end_to_end,
                    header.is_retransmitted,
                    client.read_attributes,
                ),
            )
        except RemoteProtocolError as fault:
            self._refuse(link, header, message, fault, "unreadable")
            return
        waiting = Waiting(self, link, header, message, ccr, profile)
        if isinstance(request, ChargingRequest):
            self._batcher.submit(request, waiting)
        else:
            waiting(request, late=False)

    def _note_state(self, link: Link, origin_host: str, state_id: int) -> None:
        """Compare what a direct client says in a request with what was known of it (D19).

        It need not have said it in its CER, nor connect anew when it has lost its sessions.
        """
        now_ns = self._clock.monotonic_ns()
        if identity_key(origin_host) == link.origin_host and now_ns >= link.state_again_ns:
            # Each change costs the store's thread something, so who changes it all the time waits.
            link.state_again_ns = now_ns + STATE_PAUSE_NS
            link.state_id = state_id
            self._client_connected(link.origin_host, state_id)

    def _other_command(self, link: Link, header: Header, message: bytes) -> None:
        fault = route_check(message, header, self._edge.identity)
        if fault is not None:
            self._refuse(link, header, message, fault, "routing")
            return
        try:
            asked = read_session_request(message, header, link.leniency, self._edge.limits)
            check_sender(link, asked.origin_host)
        except RemoteProtocolError as error:
            self._refuse(link, header, message, error, "unreadable")
            return

        def terminated(outcome: Outcome) -> None:
            if outcome in {Outcome.TOO_BUSY, Outcome.UNABLE_TO_COMPLY}:
                code = (
                    ResultCode.TOO_BUSY
                    if outcome == Outcome.TOO_BUSY
                    else ResultCode.UNABLE_TO_COMPLY
                )
                problem = RemoteProtocolError(code, "the session cannot be released now")
                self._refuse(link, header, message, problem, "command")
                return
            known = outcome == Outcome.SUCCESS
            link.conn.send_answer(
                write_session_answer(
                    SessionAnswer(
                        header.command_code,
                        asked.session_id,
                        ResultCode.SUCCESS if known else ResultCode.UNKNOWN_SESSION_ID,
                        self._edge.origin.host,
                        self._edge.origin.realm,
                        self._edge.origin.state_id or None,
                        proxy_infos=asked.proxy_infos,
                    ),
                    header.hop_by_hop,
                    header.end_to_end,
                    header.is_proxiable,
                )
            )

        cause = -1 if asked.termination_cause is None else asked.termination_cause
        ending = Ending(asked.session_id, asked.origin_host, cause)
        self._terminate_session(link.origin_host, ending, terminated)

    # ----------------------------------------------------------------------------- answers

    def decided(self, waiting: Waiting, reply: ChargingReply, late: bool) -> None:
        """Write the answer to a decided request; called through ``Waiting``."""
        conn = waiting.link.conn
        header = waiting.header
        if late and waiting.profile.silent_when_late:
            # What was committed stays stored for the retransmission.
            self._errors["silent"] += 1
            conn.release_request()
            return
        if late or reply.outcome == TOO_BUSY:
            reason = "not decided in time" if late else reply.reason
            busy = RemoteProtocolError(ResultCode.TOO_BUSY, reason)
            self._refuse(waiting.link, header, waiting.message, busy, "busy")
            return
        try:
            said = self._answers.get(waiting.profile.name, self._edge.answers)
            answer = to_answer(waiting.ccr, reply, said, waiting.message)
            encoded = write_cca(answer, header.hop_by_hop, header.end_to_end, header.is_proxiable)
        except LocalProtocolError as error:
            _log.error("an answer cannot be written", error=str(error), exc_info=error)
            failure = RemoteProtocolError(ResultCode.UNABLE_TO_COMPLY, "internal error")
            self._refuse(waiting.link, header, waiting.message, failure, "command")
            return
        conn.send_answer(encoded)
        ccr = waiting.ccr
        self._refusals.decided(ccr.origin_host, ccr.session_id, reply, ccr.subscription_ids)
        if ccr.termination_cause == BAD_ANSWER:
            self._refusals.bad_answer(ccr.origin_host, ccr.session_id)

    def _refuse(
        self, link: Link, header: Header, message: bytes, fault: RemoteProtocolError, kind: str
    ) -> None:
        """Answer a request that is not decided: Session-Id and Proxy-Info as far as readable."""
        self._errors[kind] += 1
        extra = b""
        if header.command_code == CREDIT_CONTROL_COMMAND:
            session_id, request_type, number, proxy_infos = partial_ccr_fields(message)
            if not 3000 <= fault.result_code < 4000:
                # The grammar of the CCA as far as the request could be read (B-073).
                extra = codec.encode_u32(_AUTH_APPLICATION_ID, CREDIT_CONTROL_APPLICATION)
                if request_type is not None:
                    extra += codec.encode_u32(_REQUEST_TYPE, request_type)
                if number is not None:
                    extra += codec.encode_u32(_REQUEST_NUMBER, number)
        else:
            session_id, proxy_infos = request_echo(message)
        if kind in {"routing", "unreadable"}:
            link.conn.note_fruitless()
            name = (session_id or b"").decode(errors="replace")
            self._refusals.unread(link.origin_host, name, fault.result_code, fault.message)
        link.conn.send_answer(
            error_answer(
                self._edge.origin,
                header,
                fault.result_code,
                session_id=session_id,
                failed_avp=fault.failed_avp,
                proxy_infos=proxy_infos,
                error_message=fault.message,
                extra=extra,
            )
        )


class Waiting:
    """A request that waits for its decision, and how it is answered then."""

    __slots__ = ("ccr", "header", "link", "message", "profile", "service")

    def __init__(
        self,
        service: DiameterService,
        link: Link,
        header: Header,
        message: bytes,
        ccr: CreditControlRequest,
        profile: ClientProfile,
    ) -> None:
        self.service = service
        self.link = link
        self.header = header
        self.message = message
        self.ccr = ccr
        self.profile = profile

    def __call__(self, reply: ChargingReply, late: bool) -> None:
        """Answer; the batcher's callback."""
        self.service.decided(self, reply, late)
