"""One run shared by several processes: each carries its part, and their reports become one.

A process has connections of its own, so that every gateway needs as many as there are processes,
and its part of the load, with dice of its own. Called by `ocs simulate run --processes`.
"""

import hashlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Barrier, BrokenBarrierError
from typing import Any

from protocol.tls import TlsFiles, load
from simulators.load.joining import join
from simulators.load.prepared import PeerRefusedError, run_prepared
from simulators.reports.balances import Balances
from simulators.reports.report import LatencyBins, Measurements, Report
from simulators.reports.series import Point, TimeSeries
from simulators.scenarios.model import Gateway, Load, Scenario

_RATES = ("per_second", "burst_per_second", "from_per_second", "to_per_second")
_START_SECONDS = 60.0
"""How long the processes wait for the last of them."""
_TOLD_EVERY_SECONDS = 1.0
_POINTS_TOLD = 60

Progress = Callable[[Measurements, float], None]


def parts_of(scenario: Scenario, count: int) -> list[Scenario]:
    """What each of so many processes carries; ValueError when there is not enough for all."""
    return [
        scenario.model_copy(
            update={
                "seed": _seed(scenario.seed, number, count),
                "gateways": tuple(_gateways(scenario, number, count)),
                "load": _load(scenario.load, number, count),
            }
        )
        for number in range(count)
    ]


def _seed(seed: int, number: int, count: int) -> int:
    text = f"{seed} part {number} of {count}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def _gateways(scenario: Scenario, number: int, count: int) -> Iterator[Gateway]:
    for gateway in scenario.gateways:
        hosts = gateway.origin_hosts()
        if len(hosts) < count:
            raise ValueError(
                f"{gateway.origin_host} has {len(hosts)} connections: {count} processes need as"
                " many, with {n} in origin_host"
            )
        for host in hosts[number::count]:
            yield gateway.model_copy(update={"origin_host": host, "connections": 1})


def _load(whole: Load, number: int, count: int) -> Load:
    changes: dict[str, Any] = {}
    for name in ("concurrency", "sessions"):
        amount = getattr(whole, name)
        if amount is not None:
            if amount < count:
                raise ValueError(f"{name}: {amount} cannot be shared by {count} processes")
            changes[name] = amount // count + (number < amount % count)
    for name in ("arrivals_per_second", "requests_per_second"):
        rate = getattr(whole, name)
        if rate is not None:
            changes[name] = rate / count
    if whole.arrivals is not None:
        rates = {
            name: getattr(whole.arrivals, name) / count
            for name in _RATES
            if hasattr(whole.arrivals, name)
        }
        changes["arrivals"] = whole.arrivals.model_copy(update=rates)
    return whole.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and what time it is for the gateways."""

    host: str
    port: int
    tls: TlsFiles | None = None
    start_unix_ns: int | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """What a process says of itself: how far it is, at last its report, or why there is none."""

    seconds: float = 0.0
    measured: Measurements | None = None
    report: Report | None = None
    failure: str = ""


def _carry(part: Scenario, target: Target, ready: Barrier, told: Connection) -> None:
    """What a process does."""
    spoken = 0.0

    def progress(measured: Measurements, seconds: float) -> None:
        nonlocal spoken
        if seconds - spoken >= _TOLD_EVERY_SECONDS:
            spoken = seconds
            told.send(_Told(seconds, _in_short(measured)))

    try:
        from simulators.traffic.simulation import run_scenario  # noqa: PLC0415 - before the start

        credentials = None if target.tls is None else load(target.tls)
        ready.wait(_START_SECONDS)
        if part.mode == "prepared":
            report = run_prepared(part, target.host, target.port, progress)
        else:
            report = run_scenario(
                part, target.host, target.port, progress, credentials, (), target.start_unix_ns
            )
        told.send(_Told(report=report))
    except BrokenBarrierError:
        told.send(_Told(failure="it was not started, as another one could not be"))
    except PeerRefusedError as error:
        told.send(_Told(failure=f"the server did not accept a gateway: {error}"))
    except (OSError, ValueError) as error:
        told.send(_Told(failure=str(error)))
    except KeyboardInterrupt:
        told.send(_Told(failure="ended by a signal"))


def _in_short(measured: Measurements) -> Measurements:
    """What a dashboard needs, small enough to be told every second."""
    series = TimeSeries()
    series.width_seconds = measured.series.width_seconds
    series.points = measured.series.points[-_POINTS_TOLD:]
    series.faults_by_kind = measured.series.faults_by_kind
    return replace(
        measured,
        series=series,
        balances=Balances(),
        lateness=LatencyBins(),
        from_due=LatencyBins(),
        ramp_at=None,
    )


def together(parts: list[Measurements]) -> Measurements:
    """Several measurements in short as one; their series end at the same time."""
    whole = Measurements()
    length = max((len(one.series.points) for one in parts), default=0)
    whole.series.points = [Point() for _ in range(length)]
    for one in parts:
        whole.sent += one.sent
        whole.retransmitted += one.retransmitted
        whole.timed_out += one.timed_out
        whole.connection_losses += one.connection_losses
        whole.differing_answers += one.differing_answers
        whole.result_codes.update(one.result_codes)
        whole.tally.update(one.tally)
        whole.problems += one.problems
        whole.errors.add(one.errors)
        whole.series.width_seconds = max(whole.series.width_seconds, one.series.width_seconds)
        whole.series.faults_by_kind.update(one.series.faults_by_kind)
        for kind, bins in one.latencies.items():
            whole.latencies[kind].add(bins)
        for point, other in zip(
            reversed(whole.series.points), reversed(one.series.points), strict=False
        ):
            point.add(other)
    return whole


@dataclass(slots=True)
class _Crew:
    """The processes, and what each has told last."""

    processes: list[BaseProcess]
    ears: dict[Connection, int]
    latest: dict[int, Measurements] = field(default_factory=dict)
    reports: dict[int, Report] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def listen(self, progress: Progress | None) -> None:
        """Until the last process has ended."""
        while self.ears:
            for ear in wait(list(self.ears)):
                assert isinstance(ear, Connection)
                number = self.ears[ear]
                try:
                    told = ear.recv()
                except EOFError:
                    del self.ears[ear]
                    self._ended(number)
                    continue
                self._heard(number, told)
                if told.measured is not None and progress is not None:
                    progress(together(list(self.latest.values())), told.seconds)

    def _heard(self, number: int, told: _Told) -> None:
        if told.measured is not None:
            self.latest[number] = told.measured
        elif told.report is not None:
            self.reports[number] = told.report
        else:
            self.problems.append(f"process {number + 1}: {told.failure}")

    def _ended(self, number: int) -> None:
        self.processes[number].join()
        known = number in self.reports
        said = any(one.startswith(f"process {number + 1}:") for one in self.problems)
        if not known and not said:
            code = self.processes[number].exitcode
            self.problems.append(f"process {number + 1}: ended early, with {code}")


def run_processes(
    scenario: Scenario, count: int, target: Target, progress: Progress | None = None
) -> Report:
    """Run a scenario in so many processes, and join what they report.

    A signal ends them in good order. Raises ValueError when the scenario cannot be shared, or when
    no process could report; what some could not is a problem of the report.
    """
    parts = parts_of(scenario, count)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count)
    processes, ears = [], {}
    for number, part in enumerate(parts):
        ear, mouth = context.Pipe(duplex=False)
        process = context.Process(target=_carry, args=(part, target, ready, mouth))
        process.start()
        mouth.close()
        processes.append(process)
        ears[ear] = number
    crew = _Crew(list(processes), ears)
    with _signals_for(crew.processes):
        crew.listen(progress)
    if not crew.reports:
        raise ValueError("; ".join(crew.problems) or "no process has reported")
    joined = join([crew.reports[number] for number in sorted(crew.reports)])
    return replace(
        joined,
        scenario=scenario.name,
        seed=scenario.seed,
        problems=[*joined.problems, *crew.problems],
        started_unix_ms=joined.started_unix_ms or time.time_ns() // 1_000_000,
    )


@contextmanager
def _signals_for(processes: list[BaseProcess]) -> Iterator[None]:
    """Hand SIGTERM on; SIGINT of a terminal is for all of them by itself, and for others handed on.

    A process that has had a signal takes a second one for the same.
    """

    def hand_on(*_: Any) -> None:
        for process in processes:
            if process.is_alive():
                process.terminate()

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
