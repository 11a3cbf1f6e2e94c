"""A replay on the wire: the connections of the clients on Twisted, and the clock of the run.

A request that was in flight when its connection was lost is sent again with the T flag (RFC 6733
section 5.5.4). `preparing` runs a `Replay` on a reactor of its own.
"""

import time
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from protocol.answers import Origin
from protocol.codec import Header
from protocol.credit_control_reader import partial_ccr_fields, read_cca
from protocol.errors import ProtocolError
from protocol.session_commands import SessionCommand
from protocol.tls import Credentials
from simulators.replay.player import Due, Player
from simulators.replay.result import Outcome
from simulators.replay.rewriting import Moment, Rewriter
from simulators.reports.report import Measurements, Report, make_report
from simulators.traffic.answering import SUCCESS, UNABLE_TO_COMPLY, answer_server
from simulators.traffic.link import Link
from simulators.traffic.running import CONNECT_SECONDS, SWEEP_SECONDS, Progress


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
    first_sent_ns: int
    gives_up_at: float = 0.0
    sent: bool = False


class _Client:
    """One client of the recording: it owns the link to the server."""

    def __init__(self, replay: "Replay", origin_host: str, origin_realm: str) -> None:
        self._replay = replay
        self.origin_host = origin_host
        self._origin = Origin(origin_host, origin_realm, replay.unix_seconds)
        target = replay.target
        self._link: Link[_Waiting] = Link(
            replay.reactor,
            lambda: replay.stopping,
            self,
            0,
            (target.host, target.port),
            self._origin,
            target.credentials,
            replay.measured,
        )
        self._lost_at = replay.elapsed()

    @property
    def open(self) -> bool:
        """Whether it may send."""
        return self._link.open

    @property
    def outstanding(self) -> int:
        """Requests without an answer."""
        return len(self._link.waiting) + len(self._link.queue)

    def call(self) -> None:
        """Connect, again and again until the run stops."""
        self._link.call()

    def hang_up(self) -> "Deferred[Any]":
        """Say goodbye; fires when the connection is closed."""
        closed: Deferred[Any] = self._link.hang_up()
        return closed

    def missing_since(self, now: float) -> float:
        """Seconds without a connection."""
        return 0.0 if self._link.connected else now - self._lost_at

    def send(self, due: Due) -> None:
        """Rewrite a request for this moment and send it."""
        server = self._link.server
        moment = Moment(
            server.origin_host,
            server.origin_realm,
            self._replay.unix_seconds,
            self._link.factory.end_to_end_ids(),
            time.time_ns() - due.step.at_ns,
        )
        try:
            message = self._replay.rewritten(due, moment)
        except ProtocolError as fault:
            self._replay.note_unsendable(due, fault)
            return
        self._replay.measured.sent += 1
        self._transmit(_Waiting(due, message, time.perf_counter_ns()))

    def _transmit(self, waiting: _Waiting) -> None:
        if self._link.open:
            timeout = self._replay.target.answer_timeout
            waiting.gives_up_at = self._replay.elapsed() + timeout
            self._link.send(waiting)
        else:
            self._link.queue.append(waiting)

    def sweep(self, now: float) -> None:
        """Give up what has waited too long."""
        self._link.count_unasked()
        for hop_by_hop, waiting in list(self._link.waiting.items()):
            if now >= waiting.gives_up_at:
                self._link.forget(hop_by_hop)
                self._replay.unanswered(waiting.due, waiting.message)

    # For the link.

    def link_up(self, link: Link[_Waiting]) -> None:
        """The server has accepted us: send again what an earlier connection left unanswered."""
        again, link.queue = link.queue, []
        for waiting in again:
            self._transmit(waiting)
        self._replay.client_opened()

    def link_down(self, link: Link[_Waiting], reason: str, was_cut: bool) -> None:  # noqa: ARG002
        """The connection is lost: keep its requests for the next one."""
        self._replay.last_failure = reason
        self._lost_at = self._replay.elapsed()
        link.queue += link.waiting.values()
        link.waiting.clear()

    def link_failed(self, reason: str) -> None:
        """A call was in vain; it is made again."""
        self._replay.last_failure = reason

    def link_changed(self, link: Link[_Waiting]) -> None:  # noqa: ARG002
        """The server is suspect, leaving, or back."""
        self._replay.pump_soon()

    def asked(self, link: Link[_Waiting], batch: list[tuple[Header, bytes]]) -> list[bytes]:  # noqa: ARG002
        """RAR and ASR: what the client did about them is in the recording."""
        tally = self._replay.measured.tally
        return [
            answer_server(self._origin, header, message, _decide, tally).message
            for header, message in batch
        ]

    def answer_arrived(
        self, link: Link[_Waiting], waiting: _Waiting, header: Header, message: bytes
    ) -> None:
        """The answer to a request."""
        link.settle(header.hop_by_hop, waiting)
        latency_us = (time.perf_counter_ns() - waiting.first_sent_ns) // 1000
        self._replay.answered(waiting.due, waiting.message, message, latency_us)


def _decide(command: SessionCommand, _session_id: str) -> int:
    return SUCCESS if command is SessionCommand.RE_AUTH else UNABLE_TO_COMPLY


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
        self.reactor.callLater(SWEEP_SECONDS, self._sweep)
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
        self.measured.given_up += 1
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
        self.reactor.callLater(SWEEP_SECONDS, self._sweep)

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
