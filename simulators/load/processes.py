"""One run shared by several processes: each carries its part, and their reports become one.

A process has connections of its own, so that every gateway needs as many as there are processes,
and its part of the load, with dice of its own. Called by `ocs simulate run --processes`.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

from protocol.tls import TlsFiles, load
from simulators.load.joining import join
from simulators.load.journal import Journal, JournalWriter
from simulators.load.parts import parts_of
from simulators.load.prepared import PeerRefusedError, run_prepared
from simulators.load.telling import Teller, Told, Word, heard, together
from simulators.reports.report import Measurements, Report
from simulators.scenarios.model import Scenario
from simulators.traffic.observer import Observer
from simulators.verdicts.tallies import Tallies

_START_SECONDS = 60.0
"""How long the processes wait for the last of them."""
_TOLD_EVERY_SECONDS = 1.0

Progress = Callable[[Measurements, float], None]


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and what time it is for the gateways."""

    host: str
    port: int
    tls: TlsFiles | None = None
    start_unix_ns: int | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    """What one process has to do."""

    scenario: Scenario
    part: Scenario
    target: Target
    journal: Path | None
    """Where it keeps all that happens."""


def _carry(task: _Task, ready: Barrier, told: Connection) -> None:
    """What a process does."""
    try:
        with ExitStack() as stack:
            told.send(Told(report=_carried(task, ready, told, stack)))
    except BrokenBarrierError:
        told.send(Told(failure="it was not started, as another one could not be"))
    except PeerRefusedError as error:
        told.send(Told(failure=f"the server did not accept a gateway: {error}"))
    except OSError as error:
        server = f"no server at {task.target.host} port {task.target.port}"
        failure = str(error) if error.filename else f"{server}: {error.strerror or error}"
        told.send(Told(failure=failure))
    except ValueError as error:
        told.send(Told(failure=str(error)))
    except KeyboardInterrupt:
        told.send(Told(failure="ended by a signal"))


def _carried(task: _Task, ready: Barrier, told: Connection, stack: ExitStack) -> Report:
    from simulators.traffic.simulation import run_scenario  # noqa: PLC0415 - before the start

    part, target = task.part, task.target
    observers: list[Observer] = []
    tallies = Tallies(part) if part.expect and part.mode == "subscribers" else None
    if tallies is not None:
        observers.append(tallies)
    if task.journal is not None:
        observers.append(stack.enter_context(JournalWriter(task.journal, task.scenario, part)))
    teller = Teller()
    spoken = 0.0

    def progress(measured: Measurements, seconds: float) -> None:
        nonlocal spoken
        if seconds - spoken >= _TOLD_EVERY_SECONDS:
            spoken = seconds
            counts = tallies.all if tallies is not None else []
            told.send(teller.told(seconds, measured, counts))

    credentials = None if target.tls is None else load(target.tls)
    ready.wait(_START_SECONDS)
    if part.mode == "prepared":
        return run_prepared(part, target.host, target.port, progress)
    report = run_scenario(
        part, target.host, target.port, progress, credentials, tuple(observers),
        target.start_unix_ns,
    )  # fmt: skip
    return report if tallies is None else replace(report, counted=tallies.counted())


@dataclass(slots=True)
class _Crew:
    """The processes, and what each has told."""

    parts: list[Scenario]
    processes: list[BaseProcess]
    ears: dict[Connection, int]
    ready: Barrier
    words: dict[int, Word] = field(default_factory=dict)
    reports: dict[int, Report] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    def listen(self, progress: Progress | None) -> None:
        """Until the last process has ended."""
        while self.ears:
            for ear in wait(list(self.ears)):
                assert isinstance(ear, Connection)
                number = self.ears[ear]
                try:
                    told = ear.recv()
                except (EOFError, OSError):
                    del self.ears[ear]
                    self._ended(number)
                    continue
                self._heard(number, told)
                if told.measured is not None and progress is not None:
                    progress(together(list(self.words.values())), told.seconds)

    def _heard(self, number: int, told: Told) -> None:
        if told.measured is not None:
            self.words[number] = heard(self.words.get(number), told)
        elif told.report is not None:
            self.reports[number] = told.report
        else:
            self.failures[number] = told.failure

    def _ended(self, number: int) -> None:
        self.processes[number].join()
        if number in self.reports:
            return
        self.ready.abort()  # the others need not wait for it, if they still do
        code = self.processes[number].exitcode or 0
        killed = f"it was killed by signal {-code}" if code < 0 else f"it ended early, with {code}"
        failure = self.failures.get(number, killed)
        whose = f"process {number + 1} of {len(self.processes)}"
        word = self.words.get(number)
        if word is None:
            self.failures[number] = f"{whose}: {failure}"
            return
        self.failures.pop(number, None)
        told = f"what it measured until second {word.seconds:.0f} counts"
        self.reports[number] = word.report(self.parts[number], f"{whose}: {failure}; {told}")

    @property
    def problems(self) -> list[str]:
        """Of processes of which nothing else is known."""
        return [self.failures[number] for number in sorted(self.failures)]


def run_processes(
    scenario: Scenario,
    count: int,
    target: Target,
    progress: Progress | None = None,
    journals: Path | None = None,
) -> Report:
    """Run a scenario in so many processes, and join what they report.

    With `journals`, a directory, each keeps there what happens (`journal`). A signal ends them in
    good order. Raises ValueError when the scenario cannot be shared, or when no
    process could report; what some could not is a problem of the report.
    """
    parts = parts_of(scenario, count)
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count)
    processes, ears = [], {}
    for number, part in enumerate(parts):
        ear, mouth = context.Pipe(duplex=False)
        kept = None if journals is None else journals / f"{number:03d}.journal"
        task = _Task(scenario, part, target, kept)
        process = context.Process(target=_carry, args=(task, ready, mouth))
        process.start()
        mouth.close()
        processes.append(process)
        ears[ear] = number
    crew = _Crew(parts, list(processes), ears, ready)
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


def journals_in(directory: Path) -> list[Journal]:
    """What the processes of a run have kept there; nothing of one that ended before it began."""
    found = []
    for path in sorted(directory.glob("*.journal")):
        with suppress(ValueError):
            found.append(Journal(path))
    return found


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
