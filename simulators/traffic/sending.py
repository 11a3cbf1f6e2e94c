"""A request of a simulated gateway on its way, and how it is written. Used by `gateway`."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.answers import Origin
from protocol.tls import Credentials
from simulators.reports.report import Measurements
from simulators.scenarios.model import Scenario
from simulators.traffic.mishaps import Mishaps
from simulators.traffic.observer import Observer
from simulators.traffic.schedule import Due, Schedule
from simulators.traffic.shapes import Envelope, Request, charging_id_of, write_request
from simulators.traffic.spoiling import spoiled


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
    tx_ends: float = math.inf
    """When it has failed unless it is answered (RFC 8506 section 13)."""
    moved: bool = False
    """Whether it was sent to the other server, too."""
    kept: bool = False
    """Whether it is one that failed and is sent again later, its session being over."""


class Writer:
    """Writes the requests of one gateway, some of them broken where that is wanted."""

    def __init__(self, run: Run, origin: Origin, mishaps: Mishaps) -> None:
        self.origin_state_id = run.unix_seconds
        """Another one after each restart of the gateway."""
        self._origin = origin
        self._realm = run.scenario.destination_realm
        self._mishaps = mishaps

    def write(self, waiting: Waiting, server: int) -> str:
        """Write it for the server of this number; returns what is wrong with it on purpose."""
        due, session = waiting.due, waiting.due.session
        envelope = Envelope(
            self._origin.host,
            self._origin.realm,
            self._realm,
            session.server_host if session.server == server else "",
            self.origin_state_id,
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
        message = write_request(due.lane.gateway.shape, request, waiting.end_to_end)
        words = ""
        dice = self._mishaps.of_request(session, due.demand)
        if dice is not None:
            message, words = spoiled(message, dice)
        waiting.message, waiting.written_for = message, server
        return words
