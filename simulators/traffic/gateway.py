"""One connection of a simulated gateway: it carries the requests of a `schedule` to the server.

It keeps its window, sends unanswered requests again with the T flag (RFC 6733 section 5.5.4), also
after a reconnection, and answers Re-Auth and Abort-Session. `simulation` makes one for each lane.
"""

import math
import time
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from protocol.answers import Origin
from protocol.codec import Header
from protocol.credit_control import CreditControlAnswer
from protocol.credit_control_reader import read_cca
from protocol.errors import ProtocolError
from protocol.session_commands import SessionCommand
from simulators.traffic.answering import (
    LIMITED_SUCCESS,
    SUCCESS,
    UNKNOWN_SESSION,
    answer_server,
)
from simulators.traffic.link import Link
from simulators.traffic.mishaps import Mishaps
from simulators.traffic.schedule import Due, Lane
from simulators.traffic.sending import Run, Waiting, Writer
from simulators.traffic.subscriber import TRANSIENT, Session
from simulators.traffic.troubles import Arrived, Troubles

_BUSY_SECONDS = 0.5
_CONDUCT = {
    "overuse": "more reported than granted",
    "zero": "nothing reported",
    "no_end": "session without end",
}


class GatewayConnection:
    """One connection of a gateway to its server, or, where there are two, one to each of them.

    Requests go to the primary server while it is there, and with it gone to the secondary: what it
    has not answered goes there again with the T flag, sessions that it let fail over go on there.
    """

    def __init__(self, simulation: Run, lane: Lane, servers: tuple[tuple[str, int], ...]) -> None:
        self._simulation = simulation
        self._measured = simulation.measured
        self.lane = lane
        realm = lane.gateway.origin_realm
        self._origin = Origin(lane.origin_host, realm, simulation.unix_seconds)
        scenario = simulation.scenario
        mishaps = Mishaps(scenario.faults, scenario.seed, lane.origin_host)
        self._writer = Writer(simulation, self._origin, mishaps)
        self._troubles = Troubles(simulation, self, mishaps)
        self.links: list[Link[Waiting]] = []
        for number, address in enumerate(servers):
            shared = self.links[0].factory.end_to_end_ids if self.links else None
            self.links.append(
                Link(
                    simulation.reactor,
                    self._has_stopped,
                    self,
                    number,
                    address,
                    self._origin,
                    simulation.credentials,
                    simulation.measured,
                    shared,
                )
            )
        self._complete = False
        self._unsettled = 0
        """Requests that wait for their answer, each once."""
        self._kept: list[Waiting] = []
        """Failed requests of events that are sent again later."""

    def _has_stopped(self) -> bool:
        return self._simulation.stopping

    @property
    def busy(self) -> bool:
        """Whether any request is still without its answer."""
        return bool(self._kept) or any(link.waiting or link.queue for link in self.links)

    def call(self) -> None:
        """Connect, again and again until the simulation stops."""
        for link in self.links:
            link.call()

    def hang_up(self) -> "Deferred[Any]":
        """Say goodbye; fires when the connection is closed."""
        return DeferredList([link.hang_up() for link in self.links])

    def plan_faults(self) -> None:
        """The traffic begins: what is to go wrong at its instant from now on will."""
        self._troubles.plan()

    def restart(self, down_seconds: float) -> None:
        """Forget every session, but no kept event; come back as another one (RFC 6733 8.16)."""
        self._writer.origin_state_id += 1
        for link in self.links:
            for waiting in (*link.waiting.values(), *link.queue):
                if waiting.kept:
                    self._kept.append(waiting)
                elif waiting.first_answer is None:
                    self._tell_unanswered(waiting)
            link.waiting.clear()
            link.queue.clear()
            link.restart(self._writer.origin_state_id)
            link.cut(down_seconds)
        self._measured.given_up += self._unsettled - len(self._kept)
        self._unsettled = len(self._kept)
        forgotten = self._simulation.schedule.forget(self.lane, self._simulation.elapsed())
        self.fault("gateway restarted", f"{forgotten} sessions forgotten")
        self._simulation.pump_soon()

    # Requests.

    def send(self, due: Due) -> None:
        """Send a request that is due; without a connection it waits for the next one."""
        self._measured.sent += 1
        self._unsettled += 1
        late_ns = self._simulation.clock_ns() - due.unix_ns
        self._measured.lateness.record(max(late_ns, 0) // 1000)
        end_to_end = self.links[0].factory.end_to_end_ids()
        conduct = due.session.conduct
        if conduct is not None and due.demand.number == 0:
            self.fault(_CONDUCT[conduct.kind], due.session.session_id)
        waiting = Waiting(due, end_to_end, time.perf_counter_ns())
        waiting.tx_ends = self._tx_end()
        self._transmit(waiting)

    def _tx_end(self) -> float:
        """When a request fails that is sent to a server now."""
        return self._simulation.elapsed() + (self.lane.gateway.tx_seconds or math.inf)

    def _link_for(self, waiting: Waiting, avoided: Link[Waiting] | None = None) -> Link[Waiting]:
        """The primary server, or the secondary if the primary is gone or is to be avoided."""
        session, kind = waiting.due.session, waiting.due.demand.request_type
        if waiting.first_answer is not None or not _may_move(session):
            return self.links[max(session.server, 0)]
        if waiting.sent and not session.on_failure.retries(kind):
            return self.links[waiting.written_for]
        able = [link for link in self.links if link.open]
        others = [link for link in able if link is not avoided]
        return (others or able or self.links)[0]

    def _transmit(self, waiting: Waiting, avoided: Link[Waiting] | None = None) -> None:
        link = self._link_for(waiting, avoided)
        timeout = self.lane.gateway.answer_timeout_seconds
        waiting.resend_at = self._simulation.elapsed() + timeout
        if not link.open:
            link.queue.append(waiting)
            return
        if waiting.written_for != link.number:
            broken = self._writer.write(waiting, link.number)
            if waiting.sent:
                waiting.moved = True
                self.fault("sent to the other server", link.name)
            elif broken:
                self.fault("request broken", broken)
        message = link.send(waiting)
        session, demand = waiting.due.session, waiting.due.demand
        now_ns = self._simulation.clock_ns()
        self._simulation.observers.request_sent(
            now_ns, self.lane.origin_host, session, demand, message
        )

    def _again(self, waiting: Waiting, avoided: Link[Waiting] | None = None) -> None:
        wanted = waiting.kept or waiting.due.session.asked is waiting.due.demand
        if waiting.first_answer is None and not wanted:
            return  # the gateway has forgotten it since
        waiting.attempts += 1
        self._transmit(waiting, avoided)

    def sweep(self, now: float) -> None:
        """Send again, or give up, what has waited too long."""
        for link in self.links:
            link.count_unasked()
            for hop_by_hop, waiting in list(link.waiting.items()):
                due = min(waiting.resend_at, waiting.tx_ends)
                if now < due or hop_by_hop not in link.waiting:
                    continue
                link.forget(hop_by_hop)
                self._measured.timed_out += 1
                if self._may_resend(waiting) and now < waiting.tx_ends:
                    self._again(waiting, link)
                else:
                    self._failed(waiting, link, now)
            self._give_up_queued(link, now)
        due_again = [one for one in self._kept if now >= one.resend_at]
        for waiting in due_again:
            self._kept.remove(waiting)
            self._again(waiting)

    def _may_resend(self, waiting: Waiting) -> bool:
        """Whether it has not been sent often enough; what is kept is sent as often once more."""
        most = self.lane.gateway.retransmissions_max
        return waiting.attempts <= (2 * most + 1 if waiting.kept else most)

    def _give_up_queued(self, link: Link[Waiting], now: float) -> None:
        """Requests wait for a connection until they have failed; sessions that may not fail over
        do not wait for their server for ever either.
        """
        gateway = self.lane.gateway
        patience = gateway.answer_timeout_seconds * gateway.retransmissions_max
        if len(self.links) == 1:
            patience = math.inf
        late = [one for one in link.queue if now >= min(one.resend_at + patience, one.tx_ends)]
        for waiting in late:
            link.queue.remove(waiting)
            self._give_up(waiting, now)

    def _failed(self, waiting: Waiting, link: Link[Waiting], now: float) -> None:
        """A server has not answered in time: ask the other one, if that is allowed, or nobody."""
        other = self._link_for(waiting, link)
        if waiting.moved or other is link or not other.open:
            self._give_up(waiting, now)
        else:
            waiting.tx_ends = self._tx_end()
            self._again(waiting, link)

    def _give_up(self, waiting: Waiting, now: float) -> None:
        if waiting.first_answer is not None:
            self.lane.outstanding -= 1
            return
        session = waiting.due.session
        if waiting.sent and session.keeps and not waiting.kept:
            self._keep(waiting, now)
        else:
            self._unsettled -= 1
            self._measured.given_up += 1
            self._tell_unanswered(waiting)
        if not waiting.kept or session.asked is waiting.due.demand:
            self._simulation.schedule.unanswered(self.lane, session, now)
        self._simulation.pump_soon()

    def _keep(self, waiting: Waiting, now: float) -> None:
        """Send it again when some time has passed (RFC 8506 section 6.5), as often as others."""
        self._measured.tally["kept to be sent later"] += 1
        waiting.kept, waiting.tx_ends = True, math.inf
        waiting.resend_at = now + self.lane.gateway.answer_timeout_seconds
        self._kept.append(waiting)

    def drop_kept(self) -> None:
        """The run is over: what is kept will not be sent any more."""
        for link in self.links:
            for hop_by_hop, waiting in list(link.waiting.items()):
                if waiting.kept:
                    link.forget(hop_by_hop)
                    self._kept.append(waiting)
            self._kept += [one for one in link.queue if one.kept]
            link.queue = [one for one in link.queue if not one.kept]
        dropped, self._kept = self._kept, []
        for waiting in dropped:
            self._give_up(waiting, self._simulation.elapsed())

    def _tell_unanswered(self, waiting: Waiting) -> None:
        due, now_ns = waiting.due, self._simulation.clock_ns()
        self._simulation.observers.unanswered(
            now_ns, self.lane.origin_host, due.session, due.demand, waiting.message
        )

    # For the links.

    def link_up(self, link: Link[Waiting]) -> None:
        """The server has accepted us: send again what an earlier connection left unanswered."""
        if self._complete and len(self.links) > 1:
            self.fault("server back", link.name)
        self._complete = self._complete or all(one.open for one in self.links)
        self._redirect()
        self._simulation.lane_opened()

    def link_failed(self, reason: str) -> None:
        """A call was in vain; it is made again."""
        self._simulation.last_failure = reason

    def link_down(self, link: Link[Waiting], reason: str, was_cut: bool) -> None:
        """The connection is lost: its requests go to the other server, or wait for the next one."""
        self._simulation.last_failure = reason
        if not was_cut:
            self.fault("connection lost", reason)
        self._leave(link)

    def link_changed(self, link: Link[Waiting]) -> None:
        """Hold requests back while the server is suspect or leaving, or ask the other one."""
        if link.open or len(self.links) == 1:
            self._redirect()
        else:
            self._leave(link)
        self._simulation.pump_soon()

    def _leave(self, link: Link[Waiting]) -> None:
        link.queue += link.waiting.values()
        link.waiting.clear()
        self._redirect()

    def _redirect(self) -> None:
        """See again which way the requests go that wait for a connection."""
        self.lane.open = self._complete and any(link.open for link in self.links)
        if not any(link.open for link in self.links):
            return
        queued = [waiting for link in self.links for waiting in link.queue]
        for link in self.links:
            link.queue.clear()
        for waiting in queued:
            if waiting.sent and self._link_for(waiting).open:
                self._again(waiting)
            else:
                self._transmit(waiting)

    def asked(self, link: Link[Waiting], batch: list[tuple[Header, bytes]]) -> list[bytes]:  # noqa: ARG002
        """RAR and ASR of the server."""
        self._simulation.pump_soon()
        return [self._answer_to(header, message) for header, message in batch]

    def _answer_to(self, header: Header, message: bytes) -> bytes:
        answered = answer_server(
            self._origin, header, message, self._decide, self._measured.tally
        )
        if answered.session_id:
            self._simulation.observers.server_asked(
                self._simulation.clock_ns(),
                self.lane.origin_host,
                answered.session_id,
                message,
                answered.message,
            )
        return answered.message

    def _decide(self, command: SessionCommand, session_id: str) -> int:
        schedule, at = self._simulation.schedule, self._simulation.elapsed()
        if command is SessionCommand.RE_AUTH:
            follows = schedule.reauthorise(self.lane, session_id, at)
            done = LIMITED_SUCCESS if follows else SUCCESS
        else:
            follows = schedule.abort(self.lane, session_id, at)
            done = SUCCESS
        return UNKNOWN_SESSION if follows is None else done

    def fault(self, kind: str, detail: str) -> None:
        """Tell observers what went wrong."""
        where = f"{self.lane.origin_host}: {detail}"
        self._simulation.observers.fault(self._simulation.clock_ns(), kind, where)

    # Answers.

    def answer_arrived(
        self, link: Link[Waiting], waiting: Waiting, header: Header, message: bytes
    ) -> None:
        """A CCA from the socket."""
        self._troubles.arrived(Arrived(link, waiting, header, message))

    def answered(self, link: Link[Waiting], waiting: Waiting, message: bytes) -> None:
        """A CCA: measure it, then let the session react."""
        if waiting.first_answer is not None:
            self._compare(waiting, message)
            return
        latency_us = (time.perf_counter_ns() - waiting.first_sent_ns) // 1000
        try:
            answer = read_cca(message)
        except ProtocolError as fault:
            self._measured.problems.append(f"an answer cannot be read: {fault}")
            self.fault("an answer cannot be read", str(fault))
            self._give_up(waiting, self._simulation.elapsed())
            return
        due, now_ns = waiting.due, self._simulation.clock_ns()
        self._simulation.observers.answer_received(
            now_ns,
            self.lane.origin_host,
            due.session,
            due.demand,
            answer,
            message,
            latency_us,
        )
        code = answer.result_code or 0
        self._measured.result_codes[code] += 1
        due.session.on_failure.obey(answer)
        if code in TRANSIENT and self._asks_again(waiting):
            if waiting.kept:
                waiting.resend_at = self._simulation.elapsed() + _BUSY_SECONDS
                self._kept.append(waiting)
            else:
                self._simulation.reactor.callLater(_BUSY_SECONDS, self._again, waiting)
            return
        self._unsettled -= 1
        self._measured.latencies[due.demand.request_type].record(latency_us)
        self._measured.from_due.record(max(now_ns - due.unix_ns, 0) // 1000)
        self._settled(link, waiting, message, answer)

    def _asks_again(self, waiting: Waiting) -> bool:
        """Whether a server that was too busy is asked once more."""
        due = waiting.due
        more = self._may_resend(waiting)
        in_time = self._simulation.elapsed() + _BUSY_SECONDS < waiting.tx_ends
        return more and in_time and due.session.on_failure.retries(due.demand.request_type)

    def _settled(
        self, link: Link[Waiting], waiting: Waiting, message: bytes, answer: CreditControlAnswer
    ) -> None:
        simulation = self._simulation
        session = waiting.due.session
        session.server = link.number
        if waiting.kept:
            self._measured.tally["kept and answered later"] += 1
            session.answered(session.clock, answer)
            simulation.pump_soon()
            return
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


def _may_move(session: Session) -> bool:
    """Whether the other server may be asked: a session stays with its own unless told otherwise."""
    return session.server < 0 or session.on_failure.fails_over
