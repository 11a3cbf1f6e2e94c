"""What a simulation measured: latencies by request type, result codes, throughput.

`gateway` and `prepared` record into `Measurements`; the commands print and store the `Report`.
Latencies are microseconds. Each one costs a dictionary update (0.3 us) in bins of our own; the
HDR histogram, at 2 us for each record, is filled from the bins when a report is made.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram
from rich.console import Console, Group, RenderableType
from rich.table import Table

from simulators.reports.balances import BalanceLine, Balances
from simulators.reports.counted import Counted
from simulators.reports.errors import ErrorExample, Errors
from simulators.reports.series import Series, TimeSeries
from simulators.reports.verdict import Verdict

LATENCY_MAX_US = 3_600_000_000
_FINE_US = 1 << 14
_DIGITS = 3
TYPE_NAMES = {1: "initial", 2: "update", 3: "termination", 4: "event"}


def empty_histogram() -> HdrHistogram:
    """An HDR histogram as all reports have them."""
    return HdrHistogram(1, LATENCY_MAX_US, _DIGITS)


class LatencyBins:
    """Counts by microseconds, exact to three digits: whole ones first, then wider and wider."""

    __slots__ = ("_bins", "count")

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0

    def record(self, latency_us: int) -> None:
        """Count one latency, 0 <= latency_us."""
        if latency_us >= _FINE_US:
            shift = latency_us.bit_length() - 11
            latency_us = latency_us >> shift << shift
        self._bins[latency_us] = self._bins.get(latency_us, 0) + 1
        self.count += 1

    def add(self, other: "LatencyBins") -> None:
        """Add another's counts to these."""
        for value, count in other._bins.items():  # noqa: SLF001 - of the same class
            self._bins[value] = self._bins.get(value, 0) + count
        self.count += other.count

    def histogram(self) -> HdrHistogram:
        """The counts as an HDR histogram."""
        histogram = empty_histogram()
        for value, count in self._bins.items():
            histogram.record_value(min(max(value, 1), LATENCY_MAX_US), count)
        return histogram

    def encoded(self) -> str:
        """The HDR histogram as text (V2, deflated, base64), to be decoded by its libraries."""
        text: bytes = self.histogram().encode()
        return text.decode("ascii")


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    p999: float
    max: float


def summarise(bins: LatencyBins) -> Latency:
    """The percentiles that a report shows; zeros if nothing was recorded."""
    if not bins.count:
        return Latency(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return summarise_histogram(bins.histogram())


def summarise_histogram(histogram: HdrHistogram) -> Latency:
    """The same of an HDR histogram of microseconds that is not empty."""

    def point(percentile: float) -> float:
        return float(histogram.get_value_at_percentile(percentile)) / 1000

    count = int(histogram.get_total_count())
    return Latency(count, point(50), point(95), point(99), point(99.9), point(100))


@dataclass(slots=True)
class Measurements:
    """Counts of a run as it goes on."""

    sent: int = 0
    retransmitted: int = 0
    timed_out: int = 0
    connection_losses: int = 0
    differing_answers: int = 0
    """Answers to a retransmission that were not octet for octet the first answer."""
    late_answers: int = 0
    """Answers to requests that nobody waited for any more."""
    unasked_answers: int = 0
    """Answers to nothing: their hop-by-hop id is no request's, or the request has its answer."""
    given_up: int = 0
    """Requests, each once, that will not get an answer any more."""
    latencies: dict[int, LatencyBins] = field(
        default_factory=lambda: {kind: LatencyBins() for kind in TYPE_NAMES}
    )
    lateness: LatencyBins = field(default_factory=LatencyBins)
    """How long after it was due each request went out, in microseconds."""
    from_due: LatencyBins = field(default_factory=LatencyBins)
    """From when a request was due until its answer: what waited before it was sent counts."""
    result_codes: Counter[int] = field(default_factory=Counter)
    tally: Counter[str] = field(default_factory=Counter)
    """What happened to the subscribers, in words."""
    problems: list[str] = field(default_factory=list)
    series: TimeSeries = field(default_factory=TimeSeries)
    errors: Errors = field(default_factory=Errors)
    balances: Balances = field(default_factory=Balances)
    ramp_at: Callable[[float], "Ramp"] | None = None
    """What is known of a ramp after so many real seconds, where the load is one."""

    @property
    def answered(self) -> int:
        """Answers that had a request."""
        return sum(bins.count for bins in self.latencies.values())

    @property
    def waiting(self) -> int:
        """Requests, each once however often it was sent, that wait for their answer now."""
        return self.sent - self.answered - self.given_up

    def all_latencies(self) -> LatencyBins:
        """The latencies of all request types together."""
        together = LatencyBins()
        for bins in self.latencies.values():
            together.add(bins)
        return together


@dataclass(frozen=True, slots=True)
class RampStep:
    """One step of a ramp; latencies count from the instant when a request was due."""

    sessions_per_second: float
    requests: int
    answers: int
    """Without those that said the server was too busy."""
    answers_per_second: float
    p50_ms: float
    p99_ms: float
    full: bool
    """It was too slow, or too much of it was not answered."""
    histogram: str = ""
    """Its latencies, as in `Report.histograms`."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """The steps of a ramp, up to the first in which the server was full."""

    steps: list[RampStep]
    knee_per_second: float | None
    """Sessions per second of the last step before it; None when none was too much."""

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"  {one.sessions_per_second:>9.1f} sessions/s {one.answers_per_second:>8.0f} answers/s"
            f"  p50 {one.p50_ms:.2f} ms  p99 {one.p99_ms:.2f} ms{'  FULL' if one.full else ''}"
            for one in self.steps
        ]
        knee = self.knee_per_second
        found = "not reached" if knee is None else f"{knee:g} sessions/s"
        return [*lines, f"  knee         {found}"]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run; `as_json` is stable."""

    scenario: str
    mode: str
    seed: int
    seconds: float
    requests: int
    answers: int
    answers_per_second: float
    retransmissions: int
    timeouts: int
    connection_losses: int
    differing_answers: int
    unanswered: int = field(default=0, kw_only=True)
    """Requests that got no answer, each once however often it was sent."""
    late_answers: int = field(default=0, kw_only=True)
    """Answers that came when nobody waited for them any more."""
    unasked_answers: int = field(default=0, kw_only=True)
    """Answers that nobody had asked for, or that had come before."""
    latency_ms: dict[str, Latency]
    result_codes: dict[str, int]
    events: dict[str, int]
    problems: list[str]
    ramp: Ramp | None = None
    late_ms: Latency | None = None
    """How late requests went out: they waited for room in a window, for the answer before, or for
    the simulator. None when nothing is due at a time, as with prepared messages."""
    due_ms: Latency | None = None
    """Latency from when a request was due, whatever it had to wait for: free of coordinated
    omission. Prepared load in an open loop counts so anyway."""
    started_unix_ms: int = 0
    """When the traffic began, by the system's clock."""
    processes: int = 1
    """Whose measurements these are together."""
    histograms: dict[str, str] = field(default_factory=dict)
    """HDR histograms in microseconds by request type, and of `late_ms` and `due_ms`."""
    series: Series | None = None
    errors: list[ErrorExample] = field(default_factory=list)
    balances: list[BalanceLine] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    """About what the scenario expects, and what the server's books say."""
    counted: list[Counted] = field(default_factory=list)
    """What the verdicts about each block of `expect` are found from."""

    @property
    def ok(self) -> bool:
        """Whether traffic flowed, every answer kept the rules, and all is as expected."""
        return self.flowed and all(verdict.ok for verdict in self.verdicts)

    @property
    def flowed(self) -> bool:
        """Whether traffic flowed and every answer kept the rules."""
        return self.answers > 0 and not self.differing_answers and not self.problems

    def as_json(self) -> str:
        """One JSON object, pretty-printed."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2)

    def as_text(self) -> str:
        """Plain lines."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        rate = f"{self.answers_per_second:.0f}/s"
        lines = [f"{self.scenario}: {self.answers} answers to {self.requests} requests, {rate}"]
        lines[0] += f" for {self.seconds:.1f} s"
        for name, one in self.latency_ms.items():
            lines.append(
                f"  {name:<12} {one.count:>9}  p50 {one.p50:.2f} ms  p95 {one.p95:.2f} ms"
                f"  p99 {one.p99:.2f} ms  p99.9 {one.p999:.2f} ms  max {one.max:.2f} ms"
            )
        codes = ", ".join(f"{code}: {count}" for code, count in self.result_codes.items())
        lines.append(f"  result codes {codes or 'none'}")
        if self.events:
            events = ", ".join(f"{name}: {count}" for name, count in self.events.items())
            lines.append(f"  subscribers  {events}")
        lines += self._mishaps()
        if self.series is not None and self.series.faults_by_kind:
            kinds = self.series.faults_by_kind.items()
            lines.append("  faults       " + ", ".join(f"{kind}: {n}" for kind, n in kinds))
        if self.late_ms is not None:
            late = self.late_ms
            lines.append(f"  sent late    p50 {late.p50:.2f} ms  p99 {late.p99:.2f} ms"
                         f"  max {late.max:.2f} ms")  # fmt: skip
        if self.due_ms is not None:
            due = self.due_ms
            lines.append(f"  from due     p50 {due.p50:.2f} ms  p99 {due.p99:.2f} ms"
                         f"  max {due.max:.2f} ms")  # fmt: skip
        if self.ramp is not None:
            lines += self.ramp.lines()
        # A problem, such as that nobody could connect, is why verdicts failed.
        lines += [f"  PROBLEM: {problem}" for problem in self.problems]
        lines += [verdict.line() for verdict in self.verdicts]
        return lines

    def _mishaps(self) -> list[str]:
        words = f"  sent again {self.retransmissions}, timed out {self.timeouts}, connections lost"
        lines = [f"{words} {self.connection_losses}, differing answers {self.differing_answers}"]
        if self.unanswered or self.late_answers or self.unasked_answers:
            lines.append(
                f"  unanswered {self.unanswered}, answers that came late {self.late_answers},"
                f" that nobody asked for {self.unasked_answers}"
            )
        return lines

    def as_table(self) -> RenderableType:
        """For a terminal."""
        table = Table(title=f"{self.scenario}: {self.answers_per_second:.0f} answers/s")
        for column in ("request", "answers", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms"):
            table.add_column(column, justify="left" if column == "request" else "right")
        for name, one in self.latency_ms.items():
            points = (one.p50, one.p95, one.p99, one.p999, one.max)
            table.add_row(name, str(one.count), *(f"{point:.2f}" for point in points))
        rest = [line.strip() for line in self._lines()[1 + len(self.latency_ms) :]]
        return Group(table, *rest)

    def show(self, console: Console) -> None:
        """Print it: a table on a terminal, plain lines elsewhere."""
        if console.is_terminal:
            console.print(self.as_table())
        else:
            console.print(self.as_text(), markup=False, highlight=False, soft_wrap=True)


def make_report(
    measured: Measurements,
    scenario: str,
    mode: str,
    seed: int,
    seconds: float,
    ramp: Ramp | None = None,
    started_unix_ms: int = 0,
) -> Report:
    """The report of a run of so many real seconds."""
    latency = {"all": summarise(measured.all_latencies())}
    for kind, name in TYPE_NAMES.items():
        if measured.latencies[kind].count:
            latency[name] = summarise(measured.latencies[kind])
    named = {TYPE_NAMES[kind]: bins for kind, bins in measured.latencies.items()}
    named |= {"late": measured.lateness, "due": measured.from_due}
    return Report(
        scenario=scenario,
        mode=mode,
        seed=seed,
        seconds=round(seconds, 3),
        requests=measured.sent,
        answers=measured.answered,
        answers_per_second=round(measured.answered / seconds, 1) if seconds else 0.0,
        retransmissions=measured.retransmitted,
        timeouts=measured.timed_out,
        connection_losses=measured.connection_losses,
        differing_answers=measured.differing_answers,
        unanswered=measured.given_up,
        late_answers=measured.late_answers,
        unasked_answers=measured.unasked_answers,
        latency_ms=latency,
        result_codes={str(code): n for code, n in sorted(measured.result_codes.items())},
        events=dict(sorted(measured.tally.items())),
        problems=list(measured.problems),
        ramp=ramp,
        late_ms=summarise(measured.lateness) if measured.lateness.count else None,
        due_ms=summarise(measured.from_due) if measured.from_due.count else None,
        started_unix_ms=started_unix_ms,
        histograms={name: bins.encoded() for name, bins in named.items() if bins.count},
        series=measured.series.result() if measured.series.points else None,
        errors=measured.errors.result(),
        balances=measured.balances.result(),
    )


def progress_line(measured: Measurements, seconds: float, before: dict[str, Any]) -> str:
    """One line about a run that goes on; `before` keeps the counts of the last line."""
    answered = measured.answered
    since = seconds - before.get("seconds", 0.0)
    rate = (answered - before.get("answered", 0)) / since if since > 0 else 0.0
    before.update(seconds=seconds, answered=answered)
    latency = summarise(measured.all_latencies())
    failed = answered - measured.result_codes[2001]
    return (
        f"{seconds:6.1f} s  {rate:8.0f} answers/s  p50 {latency.p50:.2f} ms  p99 {latency.p99:.2f}"
        f" ms  waiting {measured.waiting}  not 2001: {failed}"
    )
