"""One connection of a simulated gateway: it carries the requests of a `schedule` to the server.

It keeps its window, sends unanswered requests again with the T flag (RFC 6733 section 5.5.4), also
after a reconnection, and answers Re-Auth and Abort-Session. `simulation` makes one for each lane.
"""

import time
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from protocol.answers import Origin, error_answer
from protocol.base import CapabilitiesExchangeAnswer
from protocol.codec import FLAG_RETRANSMIT, Header
from protocol.credit_control import CreditControlAnswer
from protocol.credit_control_reader import read_cca
from protocol.errors import ProtocolError
from protocol.peer import PeerClosed, PeerRecovered, PeerSettings
from protocol.peer_settings import Caller, PeerDecision
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    read_session_request,
    write_session_answer,
)
from protocol.tls import Credentials
from protocol.transport import DiameterFactory, DiameterProtocol, connect
from protocol.transport_tls import secured
from simulators.reports.report import Measurements
from simulators.scenarios.model import Scenario
from simulators.traffic.observer import Observer
from simulators.traffic.schedule import Due, Lane, Schedule
from simulators.traffic.shapes import Envelope, Request, charging_id_of, write_request
from simulators.traffic.subscriber import TRANSIENT

_RECONNECT_SECONDS = 0.5
_BUSY_SECONDS = 0.5
_COMMAND_UNSUPPORTED, _UNKNOWN_SESSION, _SUCCESS, _LIMITED_SUCCESS = 3001, 5002, 2001, 2002


class Run(Protocol):
    """What a connection needs to know of the run it belongs to."""

    reactor: Any
    scenario: Scenario
    credentials: Credentials | None
    unix_seconds: int
    measured: Measurements
    schedule: Schedule
    observers: Observer
    stopping: bool
    last_failure: str

    def elapsed(self) -> float:
        """Real seconds since the traffic began; 0 before."""

    def clock_ns(self) -> int:
        """Unix time in nanoseconds, which never goes back."""

    def lane_opened(self) -> None:
        """A gateway is connected."""

    def pump_soon(self) -> None:
        """Look for requests that are due in this turn of the reactor."""


@dataclass(slots=True)
class _Waiting:
    """A request that waits for its answer; `first_answer` marks one sent again on purpose."""

    due: Due
    message: bytes
    first_sent_ns: int
    resend_at: float
    attempts: int = 1
    first_answer: bytes | None = None


class GatewayConnection:
    """One connection of a gateway: the handler of its peer connection."""

    def __init__(self, simulation: Run, lane: Lane, host: str, port: int) -> None:
        self._simulation = simulation
        self._measured = simulation.measured
        self.lane = lane
        self._address = (host, port)
        gateway = lane.gateway
        self._settings = PeerSettings(
            lane.origin_host,
            gateway.origin_realm,
            product_name="Gyro gateway simulator",
            origin_state_id=simulation.unix_seconds,
            vendor_specific_applications=((10415, 4),),
        )
        self._origin = Origin(lane.origin_host, gateway.origin_realm, simulation.unix_seconds)
        self._factory = DiameterFactory(
            simulation.reactor,
            self._settings,
            self,
            role="initiator",
            answer_policy=believes,
        )
        self._outside: Any = self._factory
        credentials = simulation.credentials
        if credentials is not None:
            self._outside = secured(
                simulation.reactor, self._factory, lambda: credentials.context, is_client=True
            )
        self._conn: DiameterProtocol | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._resend: list[_Waiting] = []

    @property
    def busy(self) -> bool:
        """Whether any request is still without its answer."""
        return bool(self._waiting or self._resend)

    def _envelope_to(self, destination_host: str) -> Envelope:
        return Envelope(
            self.lane.origin_host,
            self.lane.gateway.origin_realm,
            self._simulation.scenario.destination_realm,
            destination_host,
            self._simulation.unix_seconds,
        )

    def call(self) -> None:
        """Connect, again and again until the simulation stops."""
        if self._simulation.stopping:
            return
        attempt = connect(self._simulation.reactor, self._outside, *self._address)
        attempt.addErrback(self._call_failed)

    def _call_failed(self, failure: Any) -> None:
        self._simulation.last_failure = failure.getErrorMessage()
        self._simulation.reactor.callLater(_RECONNECT_SECONDS, self.call)

    def hang_up(self) -> "Deferred[None]":
        """Say goodbye; fires when the connection is closed."""
        return self._factory.disconnect_all()

    # Requests.

    def send(self, due: Due) -> None:
        """Send a request that is due; without a connection it waits for the next one."""
        session = due.session
        message = write_request(
            self.lane.gateway.shape,
            Request(
                self._envelope_to(session.server_host),
                session.session_id,
                session.service,
                session.identities,
                session.destination,
                due.demand,
                due.unix_ns,
                charging_id_of(session.session_id),
            ),
            self._factory.end_to_end_ids(),
        )
        self._measured.sent += 1
        late_ns = self._simulation.clock_ns() - due.unix_ns
        self._measured.lateness.record(max(late_ns, 0) // 1000)
        self._transmit(_Waiting(due, message, time.perf_counter_ns(), 0.0))

    def _transmit(self, waiting: _Waiting) -> None:
        conn = self._conn
        if conn is None or not conn.can_send_requests:
            self._resend.append(waiting)
            return
        timeout = self.lane.gateway.answer_timeout_seconds
        waiting.resend_at = self._simulation.elapsed() + timeout
        hop_by_hop = conn.send_request(waiting.message)
        self._waiting[hop_by_hop] = waiting
        self._simulation.observers.request_sent(
            self._simulation.clock_ns(),
            self.lane.origin_host,
            waiting.due.session,
            waiting.due.demand,
            _with_hop_by_hop(waiting.message, hop_by_hop),
        )

    def _again(self, waiting: _Waiting) -> None:
        message = bytearray(waiting.message)
        message[4] |= FLAG_RETRANSMIT
        waiting.message = bytes(message)
        waiting.attempts += 1
        self._measured.retransmitted += 1
        self._transmit(waiting)

    def sweep(self, now: float) -> None:
        """Send again, or give up, what has waited too long."""
        for hop_by_hop, waiting in list(self._waiting.items()):
            if now < waiting.resend_at:
                continue
            del self._waiting[hop_by_hop]
            if self._conn is not None:
                self._conn.forget_request(hop_by_hop)
            self._measured.timed_out += 1
            if waiting.attempts <= self.lane.gateway.retransmissions_max:
                self._again(waiting)
            else:
                self._give_up(waiting, now)

    def _give_up(self, waiting: _Waiting, now: float) -> None:
        if waiting.first_answer is not None:
            self.lane.outstanding -= 1
            return
        session, demand = waiting.due.session, waiting.due.demand
        at_ns, gateway = self._simulation.clock_ns(), self.lane.origin_host
        self._simulation.observers.unanswered(at_ns, gateway, session, demand, waiting.message)
        self._simulation.schedule.unanswered(self.lane, session, now)
        self._simulation.pump_soon()

    # For the transport.

    def peer_up(self, conn: DiameterProtocol) -> None:
        """The server has accepted us: send again what an earlier connection left unanswered."""
        self._conn = conn
        self.lane.open = True
        resend, self._resend = self._resend, []
        for waiting in resend:
            self._again(waiting)
        self._simulation.lane_opened()

    def peer_down(self, conn: DiameterProtocol, closed: PeerClosed) -> None:
        """The connection is lost: keep its requests and call again."""
        if self._simulation.stopping:
            return
        self._simulation.last_failure = closed.reason
        if conn is self._conn:
            self._measured.connection_losses += 1
            self._fault("connection lost", closed.reason)
            self._conn = None
        self.lane.open = False
        self._resend += self._waiting.values()
        self._waiting.clear()
        self._simulation.reactor.callLater(_RECONNECT_SECONDS, self.call)

    def peer_changed(self, conn: DiameterProtocol, event: Any) -> None:
        """Hold requests back while the server is suspect or leaving."""
        self.lane.open = isinstance(event, PeerRecovered) and conn is self._conn
        self._simulation.pump_soon()

    def requests(self, conn: DiameterProtocol, batch: list[tuple[Header, bytes]]) -> None:
        """RAR and ASR of the server."""
        for header, message in batch:
            conn.send_answer(self._answer_to(header, message))
        self._simulation.pump_soon()

    def _answer_to(self, header: Header, message: bytes) -> bytes:
        if header.command_code not in {SessionCommand.RE_AUTH, SessionCommand.ABORT_SESSION}:
            return error_answer(self._origin, header, _COMMAND_UNSUPPORTED)
        try:
            request = read_session_request(message, header)
        except ProtocolError as fault:
            code = getattr(fault, "result_code", 5012)
            return error_answer(self._origin, header, code, error_message=str(fault))
        schedule = self._simulation.schedule
        if header.command_code == SessionCommand.RE_AUTH:
            at = self._simulation.elapsed()
            follows = schedule.reauthorise(self.lane, request.session_id, at)
            done = _LIMITED_SUCCESS if follows else _SUCCESS
        else:
            follows = schedule.abort(self.lane, request.session_id, self._simulation.elapsed())
            done = _SUCCESS
        self._measured.tally[SessionCommand(header.command_code).name.lower()] += 1
        answer = SessionAnswer(
            header.command_code,
            request.session_id,
            _UNKNOWN_SESSION if follows is None else done,
            self._origin.host,
            self._origin.realm,
            proxy_infos=request.proxy_infos,
        )
        written = write_session_answer(
            answer, header.hop_by_hop, header.end_to_end, header.is_proxiable
        )
        self._simulation.observers.server_asked(
            self._simulation.clock_ns(),
            self.lane.origin_host,
            request.session_id,
            message,
            written,
        )
        return written

    def _fault(self, kind: str, detail: str) -> None:
        where = f"{self.lane.origin_host}: {detail}"
        self._simulation.observers.fault(self._simulation.clock_ns(), kind, where)

    def answer(self, conn: DiameterProtocol, header: Header, message: bytes) -> None:  # noqa: ARG002
        """A CCA: measure it, then let the session react."""
        waiting = self._waiting.pop(header.hop_by_hop, None)
        if waiting is None:
            return
        if waiting.first_answer is not None:
            self._compare(waiting, message)
            return
        latency_us = (time.perf_counter_ns() - waiting.first_sent_ns) // 1000
        demand = waiting.due.demand
        try:
            answer = read_cca(message)
        except ProtocolError as fault:
            self._measured.problems.append(f"an answer cannot be read: {fault}")
            self._fault("an answer cannot be read", str(fault))
            self._give_up(waiting, self._simulation.elapsed())
            return
        self._simulation.observers.answer_received(
            self._simulation.clock_ns(),
            self.lane.origin_host,
            waiting.due.session,
            demand,
            answer,
            message,
            latency_us,
        )
        code = answer.result_code or 0
        self._measured.result_codes[code] += 1
        gateway = self.lane.gateway
        if code in TRANSIENT and waiting.attempts <= gateway.retransmissions_max:
            self._simulation.reactor.callLater(_BUSY_SECONDS, self._again, waiting)
            return
        self._measured.latencies[demand.request_type].record(latency_us)
        since_due_ns = self._simulation.clock_ns() - waiting.due.unix_ns
        self._measured.from_due.record(max(since_due_ns, 0) // 1000)
        self._settled(waiting, message, answer)

    def _settled(self, waiting: _Waiting, message: bytes, answer: CreditControlAnswer) -> None:
        simulation = self._simulation
        session = waiting.due.session
        simulation.schedule.answered(self.lane, session, answer, simulation.elapsed())
        again = session.dice.random() < simulation.scenario.faults.retransmit
        if again and self.lane.has_room and answer.result_code not in TRANSIENT:
            self.lane.outstanding += 1
            self._again(
                _Waiting(waiting.due, waiting.message, 0, 0.0, first_answer=message[20:])
            )
        simulation.pump_soon()

    def _compare(self, waiting: _Waiting, message: bytes) -> None:
        """The answer to a retransmission must be the first answer, octet for octet."""
        self.lane.outstanding -= 1
        if message[20:] != waiting.first_answer:
            self._measured.differing_answers += 1
        self._simulation.pump_soon()


def _with_hop_by_hop(message: bytes, hop_by_hop: int) -> bytes:
    return message[:12] + hop_by_hop.to_bytes(4, "big") + message[16:]


def believes(answer: CapabilitiesExchangeAnswer, caller: Caller) -> PeerDecision:
    """A server that shows a certificate must show that of the host it says it is."""
    certificate = caller.certificate
    known = certificate is None or certificate.is_for(answer.origin_host)
    reason = f"the certificate of {answer.origin_host} is that of somebody else"
    return PeerDecision(accept=known, reason="" if known else reason)
