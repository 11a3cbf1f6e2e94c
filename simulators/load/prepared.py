"""Load that costs the machine far less than the server: prepared messages over plain sockets.

Closed loop: every window is kept full. Open loop: requests leave at given instants, and latency
counts from the instant a request was due, however late it could be sent. One thread, one process;
`run_prepared` is called by `ocs simulate` and by the benchmarks.
"""

import select
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from protocol.answers import ResultCode
from simulators.load.prepared_connection import (
    NOT_MEASURED,
    LoadState,
    PeerRefusedError,
    PreparedConnection,
)
from simulators.load.templates import ntp_seconds
from simulators.reports.report import Measurements, Report, make_report
from simulators.reports.series import bin_of
from simulators.scenarios.model import Scenario

__all__ = ["PeerRefusedError", "PreparedLoad", "run_prepared"]

INTERRUPTED = "ended by a signal"
"""The problem of a report whose run was ended early."""
UNKNOWN_PEER_SECONDS = 5.0
"""How long a server may say at the beginning that it does not know a gateway."""
_RECONNECT_SECONDS = 0.5
_DRAIN_SECONDS = 10.0
_SHORTEST_SLEEP = 0.0005
_FOLD_EVERY = 50_000

Progress = Callable[[Measurements, float], None]
Phase = Callable[[str], None]
"""Told when measuring begins and ends."""


class PreparedLoad:
    """The load of one scenario in prepared mode."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._state = LoadState(scenario)
        self._connections = [
            PreparedConnection(self._state, gateway, host)
            for gateway in scenario.gateways
            for host in gateway.origin_hosts()
        ]
        self._due: deque[int] = deque()
        self._next_due_ns = 0
        self._stopped = False

    def stop(self) -> None:
        """End early, in good order; may be called by a signal handler."""
        if not self._stopped:
            self._stopped = True
            self._state.measured.problems.append(INTERRUPTED)

    def run(
        self, host: str, port: int, progress: Progress | None = None, phase: Phase | None = None
    ) -> Report:
        """Connect, warm up, measure, end; `phase` is told "measuring" and "ending"."""
        load = self.scenario.load
        try:
            self._open(host, port)
        except BaseException:
            for connection in self._connections:
                connection.hang_up()
            raise
        sessions = (load.concurrency or 1) // len(self._connections) + 1
        for connection in self._connections:
            connection.ready = connection.first_sessions(sessions)
        try:
            if load.warm_up_seconds:
                self._run_for(load.warm_up_seconds, None)
                problems = self._state.measured.problems
                self._state.measured = Measurements(problems=problems)
                for connection in self._connections:
                    connection.measure()
            started_unix_ms = time.time_ns() // 1_000_000
            if phase is not None:
                phase("measuring")
            seconds = self._run_for(load.duration_seconds or 0, progress)
            if phase is not None:
                phase("ending")
            self._drain()
            if self._state.codes:
                self._fold(seconds)
        finally:
            for connection in self._connections:
                connection.hang_up()
        measured = self._state.measured
        measured.given_up = sum(one.unanswered for one in self._connections)
        return make_report(
            measured,
            self.scenario.name,
            "prepared",
            self.scenario.seed,
            seconds,
            started_unix_ms=started_unix_ms,
        )

    def _open(self, host: str, port: int) -> None:
        """Connect all; a server may learn a little later who has been allowed just now."""
        patience = time.monotonic() + UNKNOWN_PEER_SECONDS
        for connection in self._connections:
            while True:
                try:
                    connection.open(host, port)
                    break
                except PeerRefusedError as error:
                    known = error.result_code != ResultCode.UNKNOWN_PEER
                    if known or self._stopped or time.monotonic() >= patience:
                        raise
                    time.sleep(_RECONNECT_SECONDS)

    def _run_for(self, seconds: float, progress: Progress | None) -> float:
        began = time.perf_counter()
        shown = began
        rate = self.scenario.load.requests_per_second
        self._next_due_ns = time.perf_counter_ns()
        while (now := time.perf_counter()) - began < seconds and not self._stopped:
            if all(connection.closed for connection in self._connections):
                self._state.measured.problems.append("the server closed every connection")
                break
            timeout = 0.05
            if rate is None:
                self._fill_windows()
            else:
                timeout = self._send_due(rate)
            self._exchange(min(timeout, max(seconds - (now - began), 0.0)))
            if len(self._state.codes) >= _FOLD_EVERY or now - shown >= 1.0:
                self._fold(max(shown - began, now - began - 1.0))
                self._state.ntp = ntp_seconds(time.time())
                if progress is not None and now - shown >= 1.0:
                    progress(self._state.measured, now - began)
                shown = began + int(now - began)
        self._fold(shown - began)
        return time.perf_counter() - began

    def _fill_windows(self) -> None:
        now_ns = time.perf_counter_ns()
        for connection in self._connections:
            if connection.free and not connection.closed:
                connection.fill(None, now_ns)

    def _send_due(self, rate: float) -> float:
        """Send what is due, oldest first; returns how long nothing will be."""
        now_ns = time.perf_counter_ns()
        while self._next_due_ns <= now_ns:
            self._due.append(self._next_due_ns)
            self._next_due_ns += int(self._state.dice.expovariate(rate) * 1e9)
        if self._due:
            usable = [one for one in self._connections if one.free and not one.closed]
            for connection in self._state.dice.sample(usable, len(usable)):
                share = min(len(connection.free), -(-len(self._due) // len(usable)), len(self._due))
                due = [self._due.popleft() for _ in range(share)][::-1]
                connection.fill(due, now_ns)
                self._due.extendleft(due)  # what no session was ready for stays due
        return max((self._next_due_ns - time.perf_counter_ns()) / 1e9, _SHORTEST_SLEEP)

    def _exchange(self, timeout: float) -> None:
        reading = {one.socket: one for one in self._connections if not one.closed}
        writing = {sock: one for sock, one in reading.items() if one.unsent}
        readable, writable, _ = select.select(list(reading), list(writing), (), timeout)
        for sock in writable:
            writing[sock].flush()
        for sock in readable:
            reading[sock].read()

    def _drain(self) -> None:
        """Wait for the last answers, and end the sessions that are open if that is wanted.

        Answers to what was measured are measured, too; the ends of those sessions are not.
        """
        self._state.ending = True
        end_sessions = self.scenario.prepared.end_sessions
        for connection in self._connections:
            started = [one for one in connection.ready if one.number]
            for session in started:
                session.updates = 0
            connection.ready = [one for one in started if one.templates.last is not None]
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            busy = False
            for connection in self._connections:
                if connection.closed:
                    continue
                if end_sessions:
                    for session in connection.ready:
                        session.updates = 0
                    connection.fill(None, time.perf_counter_ns())
                    busy |= bool(connection.ready)
                busy |= len(connection.free) < len(connection.in_flight)
            if not busy:
                return
            self._exchange(0.05)
        lost = sum(len(one.in_flight) - len(one.free) for one in self._connections)
        if lost:
            words = f"{lost} requests had no answer in {_DRAIN_SECONDS:.0f} s"
            self._state.measured.problems.append(words)

    def _fold(self, seconds: float) -> None:
        """Move what was collected since the last time, at about so many seconds, into the bins."""
        measured = self._state.measured
        latencies, self._state.latencies = self._state.latencies, []
        codes, self._state.codes = self._state.codes, []
        if any(kind == NOT_MEASURED for _, kind in latencies):
            pairs = zip(latencies, codes, strict=True)
            kept = [(one, code) for one, code in pairs if one[1] != NOT_MEASURED]
            latencies, codes = [one for one, _ in kept], [code for _, code in kept]
        for nanoseconds, kind in latencies:
            measured.latencies[kind].record(nanoseconds // 1000)
        counted = Counter(codes)
        measured.result_codes.update(counted)
        point = measured.series.at(seconds)
        point.sent += measured.sent - sum(one.sent for one in measured.series.points)
        point.answered += len(codes)
        point.codes.update(counted)
        for low, count in Counter([bin_of(one // 1000) for one, _ in latencies]).items():
            point.bins[low] = point.bins.get(low, 0) + count


def run_prepared(
    scenario: Scenario,
    host: str,
    port: int,
    progress: Progress | None = None,
    phase: Phase | None = None,
) -> Report:
    """Run a scenario of mode prepared to its end.

    Raises PeerRefusedError, or OSError when the server cannot be reached, and ValueError for a
    scenario whose texts are not of one width. SIGINT and SIGTERM end it early and in good order.
    """
    load = PreparedLoad(scenario)
    if threading.current_thread() is not threading.main_thread():
        return load.run(host, port, progress, phase)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: load.stop()) for number in numbers}
    try:
        return load.run(host, port, progress, phase)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
