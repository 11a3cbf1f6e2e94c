"""Which session acts next, on which connection: simulated time, arrivals, windows; no I/O.

`gateway` asks it for requests that are due, tells it the answers, and sleeps until `next_real`.

A session acts at instants of its own: however late an answer is, what the session does next it
does as of the instant when it was due. So the same scenario, seed and answers make the same
requests, and a slow server does not slow the traffic down that it is offered.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.credit_control import CreditControlAnswer
from simulators.scenarios.arrivals import instants
from simulators.scenarios.model import Gateway, Scenario
from simulators.scenarios.services import KINDS
from simulators.traffic.failing import configured
from simulators.traffic.mishaps import conduct_of
from simulators.traffic.quota import MANNERS, NEVER
from simulators.traffic.starting import start_session
from simulators.traffic.subscriber import Demand, Session
from simulators.traffic.timeline import Timeline

_RAMP_SECONDS = 1.0


@dataclass(slots=True)
class Lane:
    """One connection as the schedule sees it."""

    origin_host: str
    gateway: Gateway
    open: bool = False
    outstanding: int = 0
    waiting: deque[Session] = field(default_factory=deque)
    """Sessions that are due and wait for room in the window."""
    sessions: dict[str, Session] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        """Whether one more request may be sent; its Tx timer also runs without a connection."""
        ready = self.open or self.gateway.tx_seconds is not None
        return ready and self.outstanding < self.gateway.window


@dataclass(frozen=True, slots=True)
class Due:
    """A request to send now; `unix_ns` is when the session makes it, a little earlier or long ago
    when there was no room for it.
    """

    lane: Lane
    session: Session
    demand: Demand
    unix_ns: int


@dataclass(order=True, slots=True)
class _Start:
    """A session to begin: at real seconds, with its number; sessions of a chain follow others."""

    real: float
    ordinal: int


class Schedule:
    """All sessions of a scenario; real times are seconds since the run began."""

    def __init__(self, scenario: Scenario, unix_seconds: int, tally: Counter[str]) -> None:
        self.scenario = scenario
        self.timeline = Timeline(scenario.speed_up, unix_seconds * 1_000_000_000)
        self.lanes = [
            Lane(host, gateway) for gateway in scenario.gateways for host in gateway.origin_hosts()
        ]
        self._unix_seconds = unix_seconds
        self._tally = tally
        self._heap: list[tuple[float, int, Lane, Session]] = []
        self._order = 0
        self._active = 0
        self._closing = False
        self._ordinals: dict[str, int] = {}
        groups = scenario.subscribers
        self._shares = [group.share or group.count for group in groups]
        self._services = [scenario.services_of(group) for group in groups]
        self._weights = [[one.weight for one in services] for services in self._services]
        self._carriers = {
            kind: [lane for lane in self.lanes if kind in lane.gateway.carries] for kind in KINDS
        }
        self._starts: list[_Start] = []
        self._arrivals: Iterator[float] | None = None
        self._plan_starts()

    def _plan_starts(self) -> None:
        load = self.scenario.load
        if load.process is not None:
            dice = random.Random(f"{self.scenario.seed} arrivals")
            self._arrivals = instants(load.process, self.scenario.speed_up, dice)
            self._push_start(next(self._arrivals), 0)
        elif load.concurrency is not None:
            ramp = max(load.warm_up_seconds, _RAMP_SECONDS)
            for slot in range(load.concurrency):
                self._push_start(ramp * slot / load.concurrency, slot)

    def _push_start(self, real: float, ordinal: int) -> None:
        wanted = self.scenario.load.sessions
        if wanted is None or ordinal < wanted:
            heapq.heappush(self._starts, _Start(real, ordinal))

    @property
    def active(self) -> int:
        """Sessions that have begun and are not done."""
        return self._active

    @property
    def finished(self) -> bool:
        """Nothing is left to do, and nothing will start."""
        return self._active == 0 and (self._closing or not self._starts)

    def simulated(self, real: float) -> float:
        """Simulated seconds at a real time."""
        return real * self.scenario.speed_up

    def take_due(self, real: float) -> list[Due]:
        """Requests to send at `real`; each counts as outstanding until it is answered."""
        ends = self.scenario.load.ends_after_seconds
        over = not self._closing and ends is not None and real >= ends
        due: list[Due] = []
        self._take_until(ends if over and ends is not None else real, due)
        if over and ends is not None:
            self.close(ends)
            self._take_until(real, due)
        return due

    def _take_until(self, real: float, due: list[Due]) -> None:
        self._start_sessions(real)
        now = self.simulated(real)
        for lane in self.lanes:
            while lane.waiting and lane.has_room:
                self._act(lane, lane.waiting.popleft(), due)
        while self._heap and self._heap[0][0] <= now:
            instant, _, lane, session = heapq.heappop(self._heap)
            if max(session.next_instant(), session.clock) != instant:
                continue  # an older entry: the session has acted, or been scheduled again, since
            if lane.has_room:
                self._act(lane, session, due)
            else:
                lane.waiting.append(session)

    def next_real(self, real: float) -> float:
        """When to call `take_due` next; NEVER while only answers can change anything."""
        upcoming = [self._heap[0][0] / self.scenario.speed_up] if self._heap else []
        if not self._closing:
            if self._starts:
                upcoming.append(self._starts[0].real)
            ends = self.scenario.load.ends_after_seconds
            if ends is not None and real < ends:
                upcoming.append(ends)
        return min(upcoming, default=NEVER)

    def answered(
        self, lane: Lane, session: Session, answer: CreditControlAnswer, at: float
    ) -> None:
        """The answer to the session's request came at this real time."""
        lane.outstanding -= 1
        if answer.origin_host:
            session.server_host = answer.origin_host
        session.answered(session.clock, answer)
        self._reschedule(lane, session, at)

    def unanswered(self, lane: Lane, session: Session, at: float) -> None:
        """The session's request will get no answer."""
        lane.outstanding -= 1
        session.unanswered(session.clock)
        self._reschedule(lane, session, at)

    def reauthorise(self, lane: Lane, session_id: str, at: float) -> bool | None:
        """RAR for a session: None if there is none, else whether a request will follow."""
        session = lane.sessions.get(session_id)
        if session is None:
            return None
        follows = session.reauthorise()
        session.clock = max(session.clock, self.simulated(at))
        self._reschedule(lane, session, at)
        return follows

    def abort(self, lane: Lane, session_id: str, at: float) -> bool | None:
        """ASR for a session: None if there is none, else whether it ends because of it."""
        session = lane.sessions.get(session_id)
        if session is None:
            return None
        session.clock = max(session.clock, self.simulated(at))
        ends = session.abort(session.clock)
        self._reschedule(lane, session, at)
        return ends

    def forget(self, lane: Lane, at: float) -> int:
        """A gateway has lost its memory: its sessions are over without a word; returns how many."""
        sessions = list(lane.sessions.values())
        for session in sessions:
            session.done, session.asked, session.successor = True, None, None
            session.clock = max(session.clock, self.simulated(at))
            self._reschedule(lane, session, at)
        lane.waiting.clear()
        lane.outstanding = 0
        self._tally["forgotten"] += len(sessions)
        return len(sessions)

    def close(self, real: float) -> None:
        """Start nothing more, and end every session in good order."""
        self._closing = True
        self._starts.clear()
        for lane in self.lanes:
            for session in list(lane.sessions.values()):
                session.finish(max(self.simulated(real), session.clock))
                self._reschedule(lane, session, real)

    def _act(self, lane: Lane, session: Session, due: list[Due]) -> None:
        if session.done or session.asked:
            return  # it has acted while it stood in the queue of its connection
        session.clock = max(session.next_instant(), session.clock)
        demand = session.act(session.clock)
        if demand is None:
            self._reschedule(lane, session, session.clock / self.scenario.speed_up)
            return
        lane.outstanding += 1
        due.append(Due(lane, session, demand, self.timeline.unix_ns(session.clock)))

    def _reschedule(self, lane: Lane, session: Session, real: float) -> None:
        if session.done:
            if lane.sessions.pop(session.session_id, None) is not None:
                self._active -= 1
                self._followed(lane, session, real)
            return
        instant = session.next_instant()
        if instant < NEVER:
            self._order += 1
            instant = max(instant, session.clock)
            heapq.heappush(self._heap, (instant, self._order, lane, session))

    def _followed(self, lane: Lane, session: Session, real: float) -> None:
        """After a session: what it makes necessary, or the next one of its chain."""
        ordinal = self._ordinals.pop(session.session_id)
        if session.successor is not None and not self._closing:
            session.successor.clock = session.clock
            session.successor.on_failure = session.on_failure
            self._begin(lane, session.successor, ordinal)
        elif self.scenario.load.concurrency is not None and not self._closing:
            load = self.scenario.load
            pause = load.think_seconds.sample(session.dice)
            pause /= self.scenario.speed_up if load.think_time == "simulated" else 1
            ended = max(real, session.clock / self.scenario.speed_up)
            self._push_start(ended + pause, ordinal + self.scenario.load.concurrency)

    def _start_sessions(self, real: float) -> None:
        while self._starts and self._starts[0].real <= real and not self._closing:
            start = heapq.heappop(self._starts)
            self._start(start)
            if self._arrivals is not None:
                self._push_start(next(self._arrivals), start.ordinal + 1)

    def _start(self, start: _Start) -> None:
        """Begin a session; everything about it comes from the seed and its number."""
        dice = random.Random(f"{self.scenario.seed} session {start.ordinal}")
        group = dice.choices(range(len(self._shares)), self._shares)[0]
        service = dice.choices(self._services[group], self._weights[group])[0]
        lane = dice.choice(self._carriers[service.kind])
        subscribers = self.scenario.subscribers[group]
        identities = subscribers.identities_of(subscribers.pick(dice))
        session_id = f"{lane.origin_host};{self._unix_seconds};{start.ordinal + 1}"
        named = dict(identities)
        if lane.gateway.shape == "magma" and "imsi" in named:
            session_id += f";IMSI{named['imsi']}"
        session = start_session(
            service,
            session_id,
            tuple(identities),
            MANNERS[lane.gateway.shape],
            self.simulated(start.real),
            dice,
            self._tally,
            self.scenario.faults.abandon,
            self.timeline,
        )
        session.on_failure = configured(lane.gateway)
        faults = self.scenario.faults
        if faults.sessions:
            seed = self.scenario.seed
            session.conduct = conduct_of(faults, seed, lane.origin_host, start.ordinal)
        self._begin(lane, session, start.ordinal)

    def _begin(self, lane: Lane, session: Session, ordinal: int) -> None:
        lane.sessions[session.session_id] = session
        self._ordinals[session.session_id] = ordinal
        self._active += 1
        self._reschedule(lane, session, 0.0)
