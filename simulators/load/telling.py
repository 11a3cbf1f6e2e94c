"""What a process of a shared run tells of itself every second, and what is made of it.

The parts of what it measured that grow with time are told piece by piece, so that everything is
known of a process that dies, up to its last word. Called by `processes`.
"""

import time
from dataclasses import dataclass, replace

from simulators.load.joining import joined_ramp
from simulators.reports.balances import Balances
from simulators.reports.report import Measurements, Ramp, Report, make_report
from simulators.reports.series import Point, TimeSeries
from simulators.scenarios.model import Scenario
from simulators.verdicts.tallies import Tally, counted

_POINTS_TOLD = 60
"""Points that are told again of those that were told: the ones before do not change any more."""
_BLOCKS_TOLD = 50
"""Blocks of `expect` whose counts are told every second; of more only the last word has them."""


@dataclass(frozen=True, slots=True)
class Told:
    """How far a process is; at last its report, or why there is none."""

    seconds: float = 0.0
    measured: Measurements | None = None
    first_point: int = 0
    """Which point of the whole series the first of `measured` is."""
    ramp: Ramp | None = None
    tallies: tuple[Tally, ...] = ()
    report: Report | None = None
    failure: str = ""


class Teller:
    """Says how far a process is, without what was said before."""

    def __init__(self) -> None:
        self._width_seconds = 0.0
        self._told = 0
        """Points that the series had when it was told last."""

    def told(self, seconds: float, measured: Measurements, tallies: list[Tally]) -> Told:
        """What is new, small enough to be told every second."""
        series = TimeSeries()
        whole = measured.series
        same = whole.width_seconds == self._width_seconds
        first = max(self._told - _POINTS_TOLD, 0) if same else 0
        self._told = len(whole.points)
        self._width_seconds = series.width_seconds = whole.width_seconds
        series.points = whole.points[first:]
        series.faults_by_kind = whole.faults_by_kind
        short = replace(measured, series=series, balances=Balances(), ramp_at=None)
        ramp = None if measured.ramp_at is None else measured.ramp_at(seconds)
        few = tuple(tallies) if len(tallies) <= _BLOCKS_TOLD else ()
        return Told(seconds, short, first, ramp, few)


@dataclass(slots=True)
class Word:
    """All that a process has told until now."""

    seconds: float
    started_unix_ms: int
    measured: Measurements
    ramp: Ramp | None
    tallies: tuple[Tally, ...]

    def report(self, part: Scenario, problem: str) -> Report:
        """What is known of a process that will say nothing more."""
        self.measured.problems.append(problem)
        report = make_report(
            self.measured, part.name, part.mode, part.seed, self.seconds, self.ramp,
            self.started_unix_ms,
        )  # fmt: skip
        return replace(report, counted=counted(part, list(self.tallies)) if self.tallies else [])


def heard(before: Word | None, told: Told) -> Word:
    """What is known with what was told now."""
    assert told.measured is not None
    series = told.measured.series
    if told.first_point and before is not None:
        series.points = [*before.measured.series.points[: told.first_point], *series.points]
    began = time.time_ns() // 1_000_000 - int(told.seconds * 1000)
    return Word(
        told.seconds,
        began if before is None else before.started_unix_ms,
        told.measured,
        told.ramp,
        told.tallies,
    )


def together(words: list[Word]) -> Measurements:
    """What several processes have measured as one; their series end at the same time."""
    whole = Measurements()
    parts = [one.measured for one in words]
    length = max((len(one.series.points) for one in parts), default=0)
    whole.series.points = [Point() for _ in range(length)]
    for one in parts:
        whole.sent += one.sent
        whole.retransmitted += one.retransmitted
        whole.timed_out += one.timed_out
        whole.connection_losses += one.connection_losses
        whole.differing_answers += one.differing_answers
        whole.late_answers += one.late_answers
        whole.unasked_answers += one.unasked_answers
        whole.given_up += one.given_up
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
    ramps = [one.ramp for one in words if one.ramp is not None]
    if ramps:
        ramp = joined_ramp(ramps)
        whole.ramp_at = lambda _: ramp
    return whole
