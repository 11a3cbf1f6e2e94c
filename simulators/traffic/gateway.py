"""One connection of a simulated gateway: it carries the requests of a `schedule` to the server.

It keeps its window, sends unanswered requests again with the T flag (RFC 6733 section 5.5.4), also
after a reconnection, and answers Re-Auth and Abort-Session. `simulation` makes one for each lane.
"""

import time
from dataclasses import replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList

from protocol.answers import Origin, error_answer
from protocol.codec import FLAG_RETRANSMIT, Header
from protocol.credit_control import CreditControlAnswer
from protocol.credit_control_reader import read_cca
from protocol.errors import ProtocolError
from protocol.peer import PeerSettings
from protocol.session_commands import (
    SessionAnswer,
    SessionCommand,
    read_session_request,
    write_session_answer,
)
from protocol.tls import Credentials
from simulators.reports.report import Measurements
from simulators.scenarios.faults import ConnectionFault
from simulators.scenarios.model import Scenario
from simulators.traffic.link import Link, Waiting
from simulators.traffic.mishaps import Mishaps
from simulators.traffic.observer import Observer
from simulators.traffic.schedule import Due, Lane, Schedule
from simulators.traffic.shapes import Envelope, Request, charging_id_of, write_request
from simulators.traffic.spoiling import spoiled
from simulators.traffic.subscriber import TRANSIENT, Session

_BUSY_SECONDS = 0.5
_HELD_SECONDS = 0.25
_FAILOVER_SUPPORTED = 1
_RANKS = ("primary", "secondary")
_HAPPENED = {
    "lost": "answer lost",
    "late": "answer late",
    "duplicated": "answer duplicated",
    "reordered": "answer reordered",
    "cut": "answer lost with its connection",
}
_CONDUCT = {
    "overuse": "more reported than granted",
    "zero": "nothing reported",
    "no_end": "session without end",
}
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


class GatewayConnection:
    """One connection of a gateway to its server, or, where there are two, one to each of them.

    Requests go to the primary server while it is there, and with it gone to the secondary: what it
    has not answered goes there again with the T flag, sessions that it let fail over go on there.
    """

    def __init__(self, simulation: Run, lane: Lane, servers: tuple[tuple[str, int], ...]) -> None:
        self._simulation = simulation
        self._measured = simulation.measured
        self.lane = lane
        self._origin_state_id = simulation.unix_seconds
        gateway = lane.gateway
        settings = PeerSettings(
            lane.origin_host,
            gateway.origin_realm,
            product_name="Gyro gateway simulator",
            origin_state_id=self._origin_state_id,
            vendor_specific_applications=((10415, 4),),
        )
        self._origin = Origin(lane.origin_host, gateway.origin_realm, simulation.unix_seconds)
        self._mishaps = Mishaps(
            simulation.scenario.faults, simulation.scenario.seed, lane.origin_host
        )
        self._links: list[Link] = []
        for number, address in enumerate(servers):
            shared = self._links[0].factory.end_to_end_ids if self._links else None
            self._links.append(
                Link(
                    simulation.reactor,
                    self._has_stopped,
                    self,
                    number,
                    address,
                    settings,
                    simulation.credentials,
                    shared,
                )
            )
        self._complete = False
        self._held: list[tuple[Link, Waiting, Header, bytes]] = []

    def _has_stopped(self) -> bool:
        return self._simulation.stopping

    @property
    def busy(self) -> bool:
        """Whether any request is still without its answer."""
        return any(link.waiting or link.queue for link in self._links)

    def call(self) -> None:
        """Connect, again and again until the simulation stops."""
        for link in self._links:
            link.call()

    def hang_up(self) -> "Deferred[Any]":
        """Say goodbye; fires when the connection is closed."""
        return DeferredList([link.hang_up() for link in self._links])

    def plan_faults(self) -> None:
        """The traffic begins: what is to go wrong at its instant from now on will."""
        for fault in self._mishaps.connections:
            for seconds in fault.at_seconds:
                self._simulation.reactor.callLater(seconds, self._break, fault)

    def _break(self, fault: ConnectionFault) -> None:
        if self._simulation.stopping:
            return
        if fault.kind == "restart":
            self._restart(fault.down_seconds)
            return
        for link in self._links:
            if fault.server in ("all", _RANKS[link.number]):
                self._cut(link, fault.down_seconds)

    def _cut(self, link: Link, down_seconds: float) -> None:
        if link.cut(down_seconds):
            self._fault("connection cut", link.name)

    def _restart(self, down_seconds: float) -> None:
        """Forget every session, come back as another one (RFC 6733 section 8.16)."""
        observers, now_ns = self._simulation.observers, self._simulation.clock_ns()
        self._held.clear()
        self._origin_state_id += 1
        for link in self._links:
            for waiting in (*link.waiting.values(), *link.queue):
                session, demand = waiting.due.session, waiting.due.demand
                if waiting.first_answer is None:
                    observers.unanswered(
                        now_ns, self.lane.origin_host, session, demand, waiting.message
                    )
            link.waiting.clear()
            link.queue.clear()
            link.restart(self._origin_state_id)
            link.cut(down_seconds)
        forgotten = self._simulation.schedule.forget(self.lane, self._simulation.elapsed())
        self._fault("gateway restarted", f"{forgotten} sessions forgotten")
        self._simulation.pump_soon()

    # Requests.

    def send(self, due: Due) -> None:
        """Send a request that is due; without a connection it waits for the next one."""
        self._measured.sent += 1
        late_ns = self._simulation.clock_ns() - due.unix_ns
        self._measured.lateness.record(max(late_ns, 0) // 1000)
        end_to_end = self._links[0].factory.end_to_end_ids()
        conduct = due.session.conduct
        if conduct is not None and due.demand.number == 0:
            self._fault(_CONDUCT[conduct.kind], due.session.session_id)
        self._transmit(Waiting(due, end_to_end, time.perf_counter_ns()))

    def _written(self, waiting: Waiting, link: Link) -> bytes:
        due = waiting.due
        session = due.session
        envelope = Envelope(
            self.lane.origin_host,
            self.lane.gateway.origin_realm,
            self._simulation.scenario.destination_realm,
            session.server_host if session.server == link.number else "",
            self._origin_state_id,
        )
        request = Request(
            envelope,
            session.session_id,
            session.service,
            session.identities,
            session.destination,
            due.demand,
            due.unix_ns,
            charging_id_of(session.session_id),
        )
        message = write_request(self.lane.gateway.shape, request, waiting.end_to_end)
        dice = self._mishaps.of_request(session, due.demand)
        if dice is not None:
            message, words = spoiled(message, dice)
            if not waiting.sent:
                self._fault("request broken", words)
        return message

    def _link_for(self, waiting: Waiting, avoided: Link | None = None) -> Link:
        """The primary server, or the secondary if the primary is gone or is to be avoided."""
        session = waiting.due.session
        if waiting.first_answer is not None or not _may_move(session):
            return self._links[max(session.server, 0)]
        able = [link for link in self._links if link.open]
        others = [link for link in able if link is not avoided]
        return (others or able or self._links)[0]

    def _transmit(self, waiting: Waiting, avoided: Link | None = None) -> None:
        link = self._link_for(waiting, avoided)
        timeout = self.lane.gateway.answer_timeout_seconds
        waiting.resend_at = self._simulation.elapsed() + timeout
        if not link.open:
            link.queue.append(waiting)
            return
        if waiting.written_for != link.number:
            if waiting.sent:
                self._fault("sent to the other server", link.name)
            waiting.message = self._written(waiting, link)
            waiting.written_for = link.number
        if waiting.sent:
            waiting.message = _with_t_flag(waiting.message)
            self._measured.retransmitted += 1
        hop_by_hop = link.send(waiting)
        self._simulation.observers.request_sent(
            self._simulation.clock_ns(),
            self.lane.origin_host,
            waiting.due.session,
            waiting.due.demand,
            _with_hop_by_hop(waiting.message, hop_by_hop),
        )

    def _again(self, waiting: Waiting, avoided: Link | None = None) -> None:
        if waiting.first_answer is None and waiting.due.session.asked is not waiting.due.demand:
            return  # the gateway has forgotten it since
        waiting.attempts += 1
        self._transmit(waiting, avoided)

    def sweep(self, now: float) -> None:
        """Send again, or give up, what has waited too long."""
        gateway = self.lane.gateway
        for link in self._links:
            for hop_by_hop, waiting in list(link.waiting.items()):
                if now < waiting.resend_at or hop_by_hop not in link.waiting:
                    continue
                link.forget(hop_by_hop)
                self._measured.timed_out += 1
                if waiting.attempts <= gateway.retransmissions_max:
                    self._again(waiting, link)
                else:
                    self._give_up(waiting, now)
            if len(self._links) > 1:
                self._give_up_queued(link, now)

    def _give_up_queued(self, link: Link, now: float) -> None:
        """Sessions that may not fail over do not wait for their server for ever."""
        gateway = self.lane.gateway
        patience = gateway.answer_timeout_seconds * gateway.retransmissions_max
        late = [one for one in link.queue if now >= one.resend_at + patience]
        for waiting in late:
            link.queue.remove(waiting)
            self._give_up(waiting, now)

    def _give_up(self, waiting: Waiting, now: float) -> None:
        if waiting.first_answer is not None:
            self.lane.outstanding -= 1
            return
        session, demand = waiting.due.session, waiting.due.demand
        at_ns, gateway = self._simulation.clock_ns(), self.lane.origin_host
        self._simulation.observers.unanswered(at_ns, gateway, session, demand, waiting.message)
        self._simulation.schedule.unanswered(self.lane, session, now)
        self._simulation.pump_soon()

    # For the links.

    def link_up(self, link: Link) -> None:
        """The server has accepted us: send again what an earlier connection left unanswered."""
        if self._complete and len(self._links) > 1:
            self._fault("server back", link.name)
        self._complete = self._complete or all(one.open for one in self._links)
        self._redirect()
        self._simulation.lane_opened()

    def link_failed(self, reason: str) -> None:
        """A call was in vain; it is made again."""
        self._simulation.last_failure = reason

    def link_down(self, link: Link, reason: str, was_cut: bool) -> None:
        """The connection is lost: its requests go to the other server, or wait for the next one."""
        self._simulation.last_failure = reason
        self._measured.connection_losses += 1
        if not was_cut:
            self._fault("connection lost", reason)
        self._leave(link)

    def link_changed(self, link: Link) -> None:
        """Hold requests back while the server is suspect or leaving, or ask the other one."""
        if link.open or len(self._links) == 1:
            self._redirect()
        else:
            self._leave(link)
        self._simulation.pump_soon()

    def _leave(self, link: Link) -> None:
        link.queue += link.waiting.values()
        link.waiting.clear()
        self._redirect()

    def _redirect(self) -> None:
        """See again which way the requests go that wait for a connection."""
        self.lane.open = self._complete and any(link.open for link in self._links)
        if not any(link.open for link in self._links):
            return
        queued = [waiting for link in self._links for waiting in link.queue]
        for link in self._links:
            link.queue.clear()
        for waiting in queued:
            if waiting.sent and self._link_for(waiting).open:
                self._again(waiting)
            else:
                self._transmit(waiting)

    def asked(self, link: Link, batch: list[tuple[Header, bytes]]) -> list[bytes]:  # noqa: ARG002
        """RAR and ASR of the server."""
        self._simulation.pump_soon()
        return [self._answer_to(header, message) for header, message in batch]

    def answer_arrived(self, link: Link, header: Header, message: bytes) -> None:
        """A CCA from the socket: on its way to the gateway something may happen to it."""
        waiting = link.waiting.get(header.hop_by_hop)
        if waiting is None:
            return
        mishap = None
        if waiting.first_answer is None:
            due, seconds = waiting.due, self._simulation.elapsed()
            mishap = self._mishaps.of_answer(due.session, due.demand, waiting.attempts, seconds)
        if mishap is None:
            self._pass_on(link, waiting, header, message)
            held, self._held = self._held, []
            for one in held:
                self._pass_on(*one)
            return
        fault, after_seconds = mishap
        self._fault(_HAPPENED[fault.kind], waiting.due.session.session_id)
        arrived = (link, waiting, header, message)
        if fault.kind == "late":
            self._simulation.reactor.callLater(after_seconds, self._pass_on, *arrived)
        elif fault.kind == "duplicated":
            self._pass_on(*arrived)
            self._pass_on(*arrived)
        elif fault.kind == "reordered":
            self._held.append(arrived)
            self._simulation.reactor.callLater(_HELD_SECONDS, self._pass_on, *arrived)
        elif fault.kind == "cut":
            self._cut(link, after_seconds)

    def _pass_on(self, link: Link, waiting: Waiting, header: Header, message: bytes) -> None:
        """Give an answer to the gateway, unless nobody waits for it any more."""
        if link.waiting.get(header.hop_by_hop) is waiting:
            del link.waiting[header.hop_by_hop]
            self._answer(link, waiting, message)

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

    def _answer(self, link: Link, waiting: Waiting, message: bytes) -> None:
        """A CCA: measure it, then let the session react."""
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
        self._settled(link, waiting, message, answer)

    def _settled(
        self, link: Link, waiting: Waiting, message: bytes, answer: CreditControlAnswer
    ) -> None:
        simulation = self._simulation
        session = waiting.due.session
        session.server = link.number
        if answer.session_failover is not None:
            session.fails_over = answer.session_failover == _FAILOVER_SUPPORTED
        simulation.schedule.answered(self.lane, session, answer, simulation.elapsed())
        wanted = session.dice.random() < simulation.scenario.faults.retransmit
        if wanted and self.lane.has_room and answer.result_code not in TRANSIENT:
            self.lane.outstanding += 1
            again = replace(waiting, first_sent_ns=0, attempts=1, first_answer=message[20:])
            self._again(again)
        simulation.pump_soon()

    def _compare(self, waiting: Waiting, message: bytes) -> None:
        """The answer to a retransmission must be the first answer, octet for octet."""
        self.lane.outstanding -= 1
        if message[20:] != waiting.first_answer:
            self._measured.differing_answers += 1
        self._simulation.pump_soon()


def _with_hop_by_hop(message: bytes, hop_by_hop: int) -> bytes:
    return message[:12] + hop_by_hop.to_bytes(4, "big") + message[16:]


def _with_t_flag(message: bytes) -> bytes:
    return message[:4] + bytes((message[4] | FLAG_RETRANSMIT,)) + message[5:]


def _may_move(session: Session) -> bool:
    """Whether the other server may be asked: a session stays with its own unless told otherwise."""
    return session.server < 0 or session.fails_over
