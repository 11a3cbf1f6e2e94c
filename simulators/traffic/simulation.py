"""A run of a scenario: its gateways, its clock and its end.

`run_scenario` is what the commands call; `Simulation` runs on a reactor that somebody else owns.
"""

import time
from typing import Any

from twisted.internet.defer import Deferred

from protocol.tls import Credentials
from simulators.reports.knee import RampMeter
from simulators.reports.report import Measurements, Report, make_report
from simulators.reports.watcher import Watcher
from simulators.scenarios.model import Scenario
from simulators.scenarios.values import host_and_port
from simulators.traffic.gateway import GatewayConnection
from simulators.traffic.observer import Observer, Observers
from simulators.traffic.running import (
    CONNECT_SECONDS,
    SWEEP_SECONDS,
    Progress,
    run_on_own_reactor,
)
from simulators.traffic.schedule import Schedule

DRAIN_SECONDS = 15.0
"""How long the end of the last sessions may take."""


class Simulation:
    """One run of a scenario on the given reactor, against its servers or that at host and port.

    With `credentials` all its gateways speak TLS and show the same certificate; `observers` are
    told what happens. `start_unix_ns` is what time it is for the gateways; without it the time of
    the system. With it, the same answers are given to the same requests: see `schedule`.
    """

    def __init__(
        self,
        reactor: Any,
        scenario: Scenario,
        host: str,
        port: int,
        progress: Progress | None = None,
        credentials: Credentials | None = None,
        observers: tuple[Observer, ...] = (),
        start_unix_ns: int | None = None,
    ) -> None:
        self.reactor = reactor
        self.scenario = scenario
        self.credentials = credentials
        self._start_unix_ns = start_unix_ns
        self._began: float | None = None
        self.unix_seconds = self.clock_ns() // 1_000_000_000
        self.measured = Measurements()
        self.schedule = Schedule(scenario, self.unix_seconds, self.measured.tally)
        ramp = scenario.load.ramp
        self._meter = RampMeter(ramp, self.schedule.timeline) if ramp is not None else None
        own: tuple[Observer, ...] = (Watcher(self.measured, self.schedule.timeline),)
        if self._meter is not None:
            own = (*own, self._meter)
            self.measured.ramp_at = self._meter.result
        self.observers: Observer = Observers((*own, *observers))
        self.stopping = False
        self.last_failure = ""
        named = tuple(host_and_port(one) for one in scenario.servers or ())
        servers = named or ((host, port),)
        self._connections = {
            id(lane): GatewayConnection(self, lane, servers) for lane in self.schedule.lanes
        }
        self._progress = progress
        self._finished: Deferred[Report] = Deferred()
        self._ended: float | None = None
        self._pump_call: Any = None
        self._closing_at: float | None = None

    def clock_ns(self) -> int:
        """Unix time in nanoseconds; what was given as the start is when the traffic begins."""
        if self._began is not None:
            since = time.monotonic() - self._began
            return self.schedule.timeline.began_unix_ns + int(since * 1_000_000_000)
        return time.time_ns() if self._start_unix_ns is None else self._start_unix_ns

    def elapsed(self) -> float:
        """Real seconds since all gateways were connected; 0 before."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def start(self) -> "Deferred[Report]":
        """Connect, run the scenario, disconnect; fires with the report and never fails."""
        for connection in self._connections.values():
            connection.call()
        self.reactor.callLater(CONNECT_SECONDS, self._check_connected)
        self.reactor.callLater(SWEEP_SECONDS, self._sweep)
        return self._finished

    def close(self) -> None:
        """End early, in good order: no new sessions, and a CCR-T for each open one."""
        if self._began is None:
            self._stop()
        elif self._closing_at is None:
            self._closing_at = self.elapsed()
            self.schedule.close(self._closing_at)
            self.pump_soon()

    def lane_opened(self) -> None:
        """A gateway is connected; traffic begins with the last one."""
        if self._began is None and all(lane.open for lane in self.schedule.lanes):
            self.schedule.timeline.began_unix_ns = self.clock_ns()
            self._began = time.monotonic()
            for connection in self._connections.values():
                connection.plan_faults()
        self.pump_soon()

    def pump_soon(self) -> None:
        """Look for requests that are due in this turn of the reactor."""
        if self._pump_call is not None and self._pump_call.active():
            self._pump_call.cancel()
        self._pump_call = self.reactor.callLater(0, self._pump)

    def _pump(self) -> None:
        if self._began is None or self.stopping:
            return
        now = self.elapsed()
        for due in self.schedule.take_due(now):
            self._connections[id(due.lane)].send(due)
        if self.schedule.finished:
            if not any(connection.busy for connection in self._connections.values()):
                self._stop()
            return
        instant = self.schedule.next_real(now)
        if instant < float("inf"):
            self._pump_call = self.reactor.callLater(max(instant - now, 0.0005), self._pump)

    def _check_connected(self) -> None:
        if self._began is None and not self.stopping:
            missing = [lane.origin_host for lane in self.schedule.lanes if not lane.open]
            self.measured.problems.append(
                f"not connected within {CONNECT_SECONDS:.0f} s: {', '.join(missing)}"
                f" ({self.last_failure or 'no answer'})"
            )
            self._stop()

    def _sweep(self) -> None:
        if self.stopping:
            return
        now = self.elapsed()
        for connection in self._connections.values():
            connection.sweep(now)
        if self._progress is not None and self._began is not None:
            self._progress(self.measured, now)
        self._stop_at_knee(now)
        duration = self.scenario.load.ends_after_seconds
        closing = self._closing_at if self._closing_at is not None else duration
        if closing is not None and now > closing + DRAIN_SECONDS:
            for connection in self._connections.values():
                connection.drop_kept()
            left = self.schedule.active
            if left or any(connection.busy for connection in self._connections.values()):
                words = f"{left} sessions did not end in {DRAIN_SECONDS:.0f} s"
                self.measured.problems.append(words)
            self._stop()
            return
        if self.schedule.finished:
            self.pump_soon()
        self.reactor.callLater(SWEEP_SECONDS, self._sweep)

    def _stop_at_knee(self, now: float) -> None:
        meter, ramp = self._meter, self.scenario.load.ramp
        wanted = meter is not None and ramp is not None and ramp.knee.stop
        if wanted and meter is not None and meter.is_full(now):
            self.close()

    def _stop(self) -> None:
        if self.stopping:
            return
        self.stopping = True
        self._ended = self.elapsed()
        left = [connection.hang_up() for connection in self._connections.values()]
        waiting = {id(one): one for one in left}

        def gone(_: Any, key: int) -> None:
            waiting.pop(key, None)
            if not waiting and not self._finished.called:
                self._finished.callback(self.report())

        for one in left:
            one.addBoth(gone, id(one))

    def report(self) -> Report:
        """What was measured so far."""
        seconds = self._ended if self._ended is not None else self.elapsed()
        name = self.scenario.name
        ended = seconds if self._closing_at is None else self._closing_at
        ramp = self._meter.result(ended) if self._meter is not None else None
        return make_report(
            self.measured,
            name,
            self.scenario.mode,
            self.scenario.seed,
            seconds,
            ramp,
            started_unix_ms=time.time_ns() // 1_000_000 - int(self.elapsed() * 1000),
        )


def run_scenario(
    scenario: Scenario,
    host: str,
    port: int,
    progress: Progress | None = None,
    credentials: Credentials | None = None,
    observers: tuple[Observer, ...] = (),
    start_unix_ns: int | None = None,
) -> Report:
    """Run a scenario to its end on a reactor of this process, which can do so only once.

    SIGINT and SIGTERM end it early and in good order. `progress` is called four times a second.
    """
    return run_on_own_reactor(
        lambda reactor: Simulation(
            reactor, scenario, host, port, progress, credentials, observers, start_unix_ns
        )
    )
