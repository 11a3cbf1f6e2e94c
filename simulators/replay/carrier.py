"""A replay on the wire: the connections of the clients on Twisted, and the clock of the run.

A request that was in flight when its connection was lost is sent again with the T flag (RFC 6733
section 5.5.4). `run_replay` is what the command calls; `Replay` runs on somebody else's reactor.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from protocol.answers import Origin, error_answer
from protocol.codec import FLAG_RETRANSMIT, Header
from protocol.credit_control_reader import partial_ccr_fields, read_cca
from protocol.errors import ProtocolError
from protocol.peer import PeerClosed, PeerSettings
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    read_session_request,
    write_session_answer,
)
from protocol.tls import Credentials
from protocol.transport import DiameterFactory, DiameterProtocol, connect
from protocol.transport_tls import secured
from simulators.replay.player import Due, Player
from simulators.replay.result import Outcome
from simulators.replay.rewriting import Moment, Rewriter
from simulators.reports.report import Measurements, Report, make_report
from simulators.traffic.link import believes

CONNECT_SECONDS = 10.0
"""How long the server may take to accept every connection, also one that was lost."""
INTERRUPTED = "ended by a signal"
_RECONNECT_SECONDS = 0.5
_SWEEP_SECONDS = 0.25
_SUCCESS, _COMMAND_UNSUPPORTED, _UNABLE_TO_COMPLY = 2001, 3001, 5012

Progress = Callable[[Measurements, float], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and how it is spoken to; times in seconds, `window` in requests per client."""

    host: str
    port: int
    credentials: Credentials | None = None
    window: int = 32
    answer_timeout: float = 10.0


@dataclass(slots=True)
class _Waiting:
    """A request without its answer yet."""

    due: Due
    message: bytes
    sent_ns: int
    gives_up_at: float


class _Client:
    """One client of the recording: the handler of its peer connection."""

    def __init__(self, replay: "Replay", origin_host: str, origin_realm: str) -> None:
        self._replay = replay
        self.origin_host = origin_host
        self._origin = Origin(origin_host, origin_realm, replay.unix_seconds)
        settings = PeerSettings(
            origin_host,
            origin_realm,
            product_name="Gyro gateway simulator",
            origin_state_id=replay.unix_seconds,
            vendor_specific_applications=((10415, 4),),
        )
        reactor, credentials = replay.reactor, replay.target.credentials
        self._factory = DiameterFactory(
            reactor, settings, self, role="initiator", answer_policy=believes
        )
        self._outside: Any = self._factory
        if credentials is not None:
            self._outside = secured(
                reactor, self._factory, lambda: credentials.context, is_client=True
            )
        self._conn: DiameterProtocol | None = None
        self._lost_at = replay.elapsed()
        self.waiting: dict[int, _Waiting] = {}
        self._resend: list[_Waiting] = []

    @property
    def open(self) -> bool:
        """Whether it may send."""
        return self._conn is not None and self._conn.can_send_requests

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""
        return len(self.waiting) + len(self._resend)

    def call(self) -> None:
        """Connect, again and again until the run stops."""
        if not self._replay.stopping:
            target = self._replay.target
            attempt = connect(self._replay.reactor, self._outside, target.host, target.port)
            attempt.addErrback(self._call_failed)

    def _call_failed(self, failure: Any) -> None:
        self._replay.last_failure = failure.getErrorMessage()
        self._replay.reactor.callLater(_RECONNECT_SECONDS, self.call)

    def hang_up(self) -> "Deferred[None]":
        """Say goodbye; fires when the connection is closed."""
        return self._factory.disconnect_all()

    def missing_since(self, now: float) -> float:
        """Seconds without a connection."""
        return 0.0 if self._conn is not None else now - self._lost_at

    def send(self, due: Due) -> None:
        """Rewrite a request for this moment and send it."""
        conn = self._conn
        assert conn is not None
        said: Any = conn.capabilities
        moment = Moment(
            said.origin_host,
            said.origin_realm,
            self._replay.unix_seconds,
            self._factory.end_to_end_ids(),
            time.time_ns() - due.step.at_ns,
        )
        try:
            message = self._replay.rewritten(due, moment)
        except ProtocolError as fault:
            self._replay.note_unsendable(due, fault)
            return
        self._replay.measured.sent += 1
        self._transmit(_Waiting(due, message, time.perf_counter_ns(), 0.0))

    def _transmit(self, waiting: _Waiting) -> None:
        if self._conn is None or not self._conn.can_send_requests:
            self._resend.append(waiting)
            return
        waiting.gives_up_at = self._replay.elapsed() + self._replay.target.answer_timeout
        self.waiting[self._conn.send_request(waiting.message)] = waiting

    def sweep(self, now: float) -> None:
        """Give up what has waited too long."""
        for hop_by_hop, waiting in list(self.waiting.items()):
            if now >= waiting.gives_up_at:
                del self.waiting[hop_by_hop]
                if self._conn is not None:
                    self._conn.forget_request(hop_by_hop)
                self._replay.unanswered(waiting.due, waiting.message)

    # For the transport.

    def peer_up(self, conn: DiameterProtocol) -> None:
        """The server has accepted us: send again what an earlier connection left unanswered."""
        self._conn = conn
        resend, self._resend = self._resend, []
        for waiting in resend:
            message = bytearray(waiting.message)
            message[4] |= FLAG_RETRANSMIT
            waiting.message = bytes(message)
            self._replay.measured.retransmitted += 1
            self._transmit(waiting)
        self._replay.client_opened()

    def peer_down(self, conn: DiameterProtocol, closed: PeerClosed) -> None:
        """The connection is lost, or was refused: keep its requests and call again."""
        if self._replay.stopping:
            return
        self._replay.last_failure = closed.reason
        if conn is not self._conn:
            self._replay.last_failure = f"no capabilities exchanged: {closed.reason}"
        else:
            self._replay.measured.connection_losses += 1
            self._conn = None
            self._lost_at = self._replay.elapsed()
        self._resend += self.waiting.values()
        self.waiting.clear()
        self._replay.reactor.callLater(_RECONNECT_SECONDS, self.call)

    def peer_changed(self, conn: DiameterProtocol, event: Any) -> None:  # noqa: ARG002
        """The server is suspect, leaving, or back."""
        self._replay.pump_soon()

    def requests(self, conn: DiameterProtocol, batch: list[tuple[Header, bytes]]) -> None:
        """RAR and ASR: what the client did about them is in the recording."""
        for header, message in batch:
            conn.send_answer(self._answer_to(header, message))

    def _answer_to(self, header: Header, message: bytes) -> bytes:
        if header.command_code not in {SessionCommand.RE_AUTH, SessionCommand.ABORT_SESSION}:
            return error_answer(self._origin, header, _COMMAND_UNSUPPORTED)
        command = SessionCommand(header.command_code)
        self._replay.measured.tally[command.name.lower()] += 1
        try:
            request = read_session_request(message, header)
        except ProtocolError as fault:
            code = getattr(fault, "result_code", _UNABLE_TO_COMPLY)
            return error_answer(self._origin, header, code, error_message=str(fault))
        answer = SessionAnswer(
            header.command_code,
            request.session_id,
            _SUCCESS if command is SessionCommand.RE_AUTH else _UNABLE_TO_COMPLY,
            self._origin.host,
            self._origin.realm,
            proxy_infos=request.proxy_infos,
        )
        ids = header.hop_by_hop, header.end_to_end
        return write_session_answer(answer, *ids, header.is_proxiable)

    def answer(self, conn: DiameterProtocol, header: Header, message: bytes) -> None:  # noqa: ARG002
        """The answer to a request."""
        waiting = self.waiting.pop(header.hop_by_hop, None)
        if waiting is not None:
            latency_us = (time.perf_counter_ns() - waiting.sent_ns) // 1000
            self._replay.answered(waiting.due, waiting.message, message, latency_us)


class Replay:
    """One replay against a server; `clients` are pairs of Origin-Host and Origin-Realm."""

    def __init__(
        self,
        reactor: Any,
        player: Player,
        rewriter: Rewriter,
        outcome: Outcome,
        target: Target,
        clients: dict[str, str],
        progress: Progress | None = None,
    ) -> None:
        self.reactor = reactor
        self.target = target
        self.unix_seconds = rewriter.unix_seconds
        self.measured = Measurements()
        self.stopping = False
        self.last_failure = ""
        self._created = time.monotonic()
        self._began: float | None = None
        self._ended: float | None = None
        self._player = player
        self._rewriter = rewriter
        self._outcome = outcome
        self._progress = progress
        self._finished: Deferred[Report] = Deferred()
        self._pump_call: Any = None
        self._closing = False
        self._clients = {host: _Client(self, host, realm) for host, realm in clients.items()}

    def elapsed(self) -> float:
        """Seconds since this was made."""
        return time.monotonic() - self._created

    def start(self) -> "Deferred[Report]":
        """Connect, play, disconnect; fires with the report and never fails."""
        for client in self._clients.values():
            client.call()
        self.reactor.callLater(_SWEEP_SECONDS, self._sweep)
        return self._finished

    def close(self) -> None:
        """End early: ask nothing more, wait for the answers to what is asked."""
        self._closing = True
        self.pump_soon()

    # For the clients.

    def client_opened(self) -> None:
        """Play from the moment when all clients are connected."""
        if self._began is None and all(one.open for one in self._clients.values()):
            self._began = time.monotonic()
        self.pump_soon()

    def rewritten(self, due: Due, moment: Moment) -> bytes:
        """What is sent for a step."""
        conversation = due.conversation
        host = self._rewriter.origin_host(conversation.origin_host)
        session_id = self._rewriter.session_id(conversation.session_id, host, due.ordinal)
        return self._rewriter.rewrite(due.step.message, session_id, moment)

    def note_unsendable(self, due: Due, fault: ProtocolError) -> None:
        """A request cannot be written any more after the rules."""
        self._outcome.findings.problem(f"{due.step.where} cannot be sent: {fault}")
        self._player.answered(due.lane, None)
        self.pump_soon()

    def unanswered(self, due: Due, request: bytes) -> None:
        """Nobody waits for this answer any more."""
        self.measured.timed_out += 1
        self._outcome.unanswered(due.step, request)
        self._player.answered(due.lane, None)
        self.pump_soon()

    def answered(self, due: Due, request: bytes, answer: bytes, latency_us: int) -> None:
        """Measure and compare an answer, and let its session go on."""
        kind = partial_ccr_fields(request)[1]
        bins = self.measured.latencies
        bins[kind if kind in bins else min(bins)].record(latency_us)
        try:
            self.measured.result_codes[read_cca(answer).result_code or 0] += 1
        except ProtocolError as fault:
            self._outcome.findings.problem(f"the answer to {due.step.where} is broken: {fault}")
        self._outcome.compare(due.step, request, answer)
        self._player.answered(due.lane, answer)
        self.pump_soon()

    def pump_soon(self) -> None:
        """Look for what is due in this turn of the reactor."""
        if self._pump_call is not None and self._pump_call.active():
            self._pump_call.cancel()
        self._pump_call = self.reactor.callLater(0, self._pump)

    # The clock.

    def _pump(self) -> None:
        if self._began is None or self.stopping:
            if self._closing:
                self._stop()
            return
        elapsed_ns = int((time.monotonic() - self._began) * 1e9)
        for host, client in self._clients.items():
            if client.open and not self._closing:
                room = self.target.window - client.outstanding
                for due in self._player.take(host, elapsed_ns, room):
                    client.send(due)
        next_ns = None if self._closing else self._player.next_ns()
        if next_ns is None:
            if not any(client.outstanding for client in self._clients.values()):
                self._stop()
        elif next_ns > elapsed_ns:
            wait = min((next_ns - elapsed_ns) / 1e9, 3600.0)
            self._pump_call = self.reactor.callLater(wait, self._pump)

    def _sweep(self) -> None:
        if self.stopping:
            return
        now = self.elapsed()
        for client in self._clients.values():
            client.sweep(now)
        missing = [
            one.origin_host
            for one in self._clients.values()
            if one.missing_since(now) > CONNECT_SECONDS
        ]
        if missing:
            self.measured.problems.append(
                f"not connected for {CONNECT_SECONDS:.0f} s: {', '.join(missing[:10])}"
                f" ({self.last_failure or 'no answer'})"
            )
            self._stop()
            return
        if self._progress is not None and self._began is not None:
            self._progress(self.measured, time.monotonic() - self._began)
        self.reactor.callLater(_SWEEP_SECONDS, self._sweep)

    def _stop(self) -> None:
        if self.stopping:
            return
        self.stopping = True
        self._ended = time.monotonic()
        waiting = set(self._clients)

        def gone(_: Any, host: str) -> None:
            waiting.discard(host)
            if not waiting and not self._finished.called:
                self._finished.callback(self.report())

        for host, client in self._clients.items():
            client.hang_up().addBoth(gone, host)

    def report(self) -> Report:
        """What was measured so far."""
        ended = self._ended if self._ended is not None else time.monotonic()
        seconds = ended - self._began if self._began is not None else 0.0
        return make_report(self.measured, "replay", "replay", 0, seconds)


def run_replay(make: Callable[[Any], Replay]) -> Report:
    """Run the replay that `make` makes for a reactor; a process can do so only once.

    SIGINT and SIGTERM end it early.
    """
    from twisted.internet import asyncioreactor  # noqa: PLC0415 - a process has one reactor

    asyncioreactor.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor as installed  # noqa: PLC0415

    reactor: Any = installed
    replay = make(reactor)
    reports: list[Report] = []

    def finished(report: Report) -> None:
        reports.append(report)
        reactor.stop()

    def signalled(*_: Any) -> None:
        if INTERRUPTED not in replay.measured.problems:
            replay.measured.problems.append(INTERRUPTED)
        reactor.callFromThread(replay.close)

    def begin() -> None:
        import signal  # noqa: PLC0415 - replaces what the reactor has installed when it began

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signalled)
        replay.start().addCallback(finished)

    reactor.callWhenRunning(begin)
    reactor.run()
    return reports[0] if reports else replay.report()
