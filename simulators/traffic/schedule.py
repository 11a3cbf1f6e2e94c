"""Which session acts next, on which connection: simulated time, arrivals, windows; no I/O.

`gateway` asks it for requests that are due, tells it the answers, and sleeps until `next_real`.
"""

import heapq
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from protocol.credit_control import CreditControlAnswer
from simulators.scenarios.model import Gateway, Scenario, Service
from simulators.traffic.quota import MANNERS, NEVER
from simulators.traffic.subscriber import Demand, Session, start_session

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
        """Whether one more request may be sent."""
        return self.open and self.outstanding < self.gateway.window


@dataclass(frozen=True, slots=True)
class Due:
    """A request to send now."""

    lane: Lane
    session: Session
    demand: Demand


class Schedule:
    """All sessions of a scenario; real times are seconds since the run began."""

    def __init__(self, scenario: Scenario, unix_seconds: int, tally: Counter[str]) -> None:
        self.scenario = scenario
        self.lanes = [
            Lane(host, gateway) for gateway in scenario.gateways for host in gateway.origin_hosts()
        ]
        self._dice = random.Random(scenario.seed)
        self._unix_seconds = unix_seconds
        self._tally = tally
        self._heap: list[tuple[float, int, Lane, Session]] = []
        self._order = 0
        self._started = 0
        self._active = 0
        self._next_arrival = 0.0
        self._closing = False
        self._weights = [service.weight for service in scenario.services]

    @property
    def active(self) -> int:
        """Sessions that have begun and are not done."""
        return self._active

    @property
    def finished(self) -> bool:
        """Nothing is left to do, and nothing will start."""
        return self._active == 0 and (self._closing or self._all_started)

    def simulated(self, real: float) -> float:
        """Simulated seconds at a real time."""
        return real * self.scenario.speed_up

    @property
    def _all_started(self) -> bool:
        sessions = self.scenario.load.sessions
        return sessions is not None and self._started >= sessions

    def _is_over(self, real: float) -> bool:
        duration = self.scenario.load.duration_seconds
        if self._closing or self._all_started:
            return True
        return duration is not None and real >= duration

    def take_due(self, real: float) -> list[Due]:
        """Requests to send at `real`; each counts as outstanding until it is answered."""
        duration = self.scenario.load.duration_seconds
        if not self._closing and duration is not None and real >= duration:
            self.close(real)
        self._start_sessions(real)
        now = self.simulated(real)
        due: list[Due] = []
        for lane in self.lanes:
            while lane.waiting and lane.has_room:
                self._act(lane, lane.waiting.popleft(), now, due)
        while self._heap and self._heap[0][0] <= now:
            _, _, lane, session = heapq.heappop(self._heap)
            if session.done or session.asked or session.next_instant() > now:
                continue  # an older entry: the session has been scheduled again since
            if lane.has_room:
                self._act(lane, session, now, due)
            else:
                lane.waiting.append(session)
        return due

    def next_real(self, real: float) -> float:
        """When to call `take_due` next; NEVER while only answers can change anything."""
        instants = [self._heap[0][0] / self.scenario.speed_up] if self._heap else []
        load = self.scenario.load
        if not self._is_over(real):
            if load.arrivals_per_second is not None:
                instants.append(self._next_arrival)
            elif self._active < (load.concurrency or 0):
                instants.append(real + 0.02)
            if load.duration_seconds is not None:
                instants.append(load.duration_seconds)
        return min(instants, default=NEVER)

    def answered(
        self, lane: Lane, session: Session, answer: CreditControlAnswer, at: float
    ) -> None:
        """The answer to the session's request came at this real time."""
        lane.outstanding -= 1
        session.answered(self.simulated(at), answer)
        self._reschedule(lane, session)

    def unanswered(self, lane: Lane, session: Session, at: float) -> None:
        """The session's request will get no answer."""
        lane.outstanding -= 1
        session.unanswered(self.simulated(at))
        self._reschedule(lane, session)

    def reauthorise(self, lane: Lane, session_id: str) -> bool | None:
        """RAR for a session: None if there is none, else whether a request will follow."""
        session = lane.sessions.get(session_id)
        if session is None:
            return None
        follows = session.reauthorise()
        self._reschedule(lane, session)
        return follows

    def abort(self, lane: Lane, session_id: str, at: float) -> bool | None:
        """ASR for a session: None if there is none, else whether it ends because of it."""
        session = lane.sessions.get(session_id)
        if session is None:
            return None
        ends = session.abort(self.simulated(at))
        self._reschedule(lane, session)
        return ends

    def close(self, real: float) -> None:
        """Start nothing more, and end every session in good order."""
        self._closing = True
        for lane in self.lanes:
            for session in list(lane.sessions.values()):
                session.finish(self.simulated(real))
                self._reschedule(lane, session)

    def _act(self, lane: Lane, session: Session, now: float, due: list[Due]) -> None:
        demand = session.act(now)
        if demand is None:
            self._reschedule(lane, session)
            return
        lane.outstanding += 1
        due.append(Due(lane, session, demand))

    def _reschedule(self, lane: Lane, session: Session) -> None:
        if session.done:
            if lane.sessions.pop(session.session_id, None) is not None:
                self._active -= 1
            return
        instant = session.next_instant()
        if instant < NEVER:
            self._order += 1
            heapq.heappush(self._heap, (instant, self._order, lane, session))

    def _start_sessions(self, real: float) -> None:
        load = self.scenario.load
        if load.concurrency is not None:
            ramp = max(load.warm_up_seconds, _RAMP_SECONDS)
            wanted = max(1, int(load.concurrency * min(1.0, real / ramp)))
            while self._active < wanted and not self._is_over(real):
                self._start(real)
        elif load.arrivals_per_second is not None:
            while self._next_arrival <= real and not self._is_over(real):
                self._start(self._next_arrival)
                self._next_arrival += self._dice.expovariate(load.arrivals_per_second)

    def _start(self, real: float) -> None:
        service: Service = self._dice.choices(self.scenario.services, self._weights)[0]
        carriers = [lane for lane in self.lanes if service.kind in lane.gateway.services]
        lane = self._dice.choice(carriers)
        position = self._dice.randrange(self.scenario.subscriber_count)
        identities = self.scenario.identities_of(position)
        self._started += 1
        session_id = f"{lane.origin_host};{self._unix_seconds};{self._started}"
        named = dict(identities)
        if lane.gateway.shape == "magma" and "imsi" in named:
            session_id += f";IMSI{named['imsi']}"
        session = start_session(
            service,
            session_id,
            tuple(identities),
            MANNERS[lane.gateway.shape],
            self.simulated(real),
            self._dice,
            self._tally,
            self.scenario.faults.abandon,
        )
        lane.sessions[session_id] = session
        self._active += 1
        self._reschedule(lane, session)
