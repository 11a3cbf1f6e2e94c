"""A run as it goes on, on a terminal: rates, latency, result codes, knee, errors with an example.

`Dashboard.show` is a `Progress` of `simulation` and `prepared`. Drawing takes some milliseconds of
the process that carries the traffic, so it happens once a second; where latencies of less matter,
`--no-dashboard` draws nothing.
"""

from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulators.reports.errors import code_in_words
from simulators.reports.plots import number, time_of
from simulators.reports.report import Measurements, Ramp
from simulators.reports.series import Point, percentile

EXAMPLE_LINES_MAX = 14
"""Lines of a decoded example that are shown."""
_EVERY_SECONDS = 1.0
_RECENT_POINTS = 5
_STEPS_SHOWN = 8
_KINDS_SHOWN = 5
_BLOCKS = "▁▂▃▄▅▆▇█"
_GOOD = (2001, 2002)


class Dashboard:
    """Shows measurements while it is `running`; `seconds` is how long the run is meant to take."""

    def __init__(self, target: Console, scenario: str, seconds: float | None) -> None:
        self._target = target
        self._scenario = scenario
        self._seconds = seconds
        self._live = Live(console=target, auto_refresh=False, transient=True)
        self._shown = -_EVERY_SECONDS
        self._before = (0.0, 0, 0)
        self._example: tuple[str, list[str]] = ("", [])

    def running(self) -> AbstractContextManager[Any]:
        """What surrounds the run."""
        return self._live

    def show(self, measured: Measurements, seconds: float) -> None:
        """Draw, unless it was drawn a moment ago."""
        if seconds - self._shown >= _EVERY_SECONDS:
            self._shown = seconds
            self._live.update(self.drawn(measured, seconds), refresh=True)

    def drawn(self, measured: Measurements, seconds: float) -> RenderableType:
        """All of it."""
        parts = [self._figures(measured, seconds), _codes(measured)]
        if measured.ramp_at is not None:
            parts.append(_knee(measured.ramp_at(seconds)))
        if measured.series.faults_by_kind:
            faults = measured.series.faults_by_kind.most_common(_KINDS_SHOWN)
            parts.append(Text("faults: " + ", ".join(f"{kind} {n}" for kind, n in faults), "red"))
        if measured.errors:
            parts.append(self._errors(measured))
        parts += [Text(f"PROBLEM: {one}", "bold red") for one in measured.problems[-3:]]
        whole = "" if self._seconds is None else f" of {time_of(self._seconds)}"
        title = f"{self._scenario}: {time_of(seconds)}{whole}"
        return Panel(Group(*parts), title=Text(title, "bold"), title_align="left")

    def _figures(self, measured: Measurements, seconds: float) -> Table:
        then, sent, answered = self._before
        since = max(seconds - then, 1e-3)
        rates = ((measured.sent - sent) / since, (measured.answered - answered) / since)
        self._before = (seconds, measured.sent, measured.answered)
        points = measured.series.points
        recent = Point()
        for point in points[-_RECENT_POINTS:]:
            recent.add(point)
        grid = Table.grid(padding=(0, 2))
        for _ in range(3):
            grid.add_column()
        width = measured.series.width_seconds
        over_time = [point.answered / width for point in points]
        p99s = [percentile(point.bins, 99) for point in points[-_SPARKS:]]
        grid.add_row("sent", f"{rates[0]:,.0f}/s", f"{measured.sent:,} in all")
        grid.add_row("answered", f"{rates[1]:,.0f}/s", Text(spark(over_time), "cyan"))
        words = "  ".join(
            f"p{wanted:g} {percentile(recent.bins, wanted):.2f}" for wanted in (50, 95, 99, 100)
        )
        grid.add_row("latency ms", words.replace("p100", "max"), Text(spark(p99s), "magenta"))
        rest = f"sent again {measured.retransmitted}, timed out {measured.timed_out}"
        lost = f", connections lost {measured.connection_losses}"
        grid.add_row("waiting", str(measured.waiting), rest + lost)
        stray = (measured.given_up, measured.late_answers, measured.unasked_answers)
        if any(stray):
            words = f"answers late {stray[1]}, unasked {stray[2]}"
            grid.add_row("unanswered", str(stray[0]), words)
        return grid

    def _errors(self, measured: Measurements) -> RenderableType:
        counts = measured.errors.counts()[:_KINDS_SHOWN]
        listing = Text("errors: " + ", ".join(f"{what} ({n})" for what, n in counts), "yellow")
        most = counts[0][0]
        if self._example[0] != most:
            one = measured.errors.example(most)
            lines = (one.answer or one.request).splitlines()
            self._example = (most, lines[:EXAMPLE_LINES_MAX])
        example = Text("\n".join(self._example[1]), "dim", no_wrap=True, overflow="ellipsis")
        return Group(listing, example)


_SPARKS = 40


def spark(values: list[float]) -> str:
    """The last values as little columns."""
    shown = values[-_SPARKS:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    last = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(max(value, 0.0) / top * last)] for value in shown)


def _codes(measured: Measurements) -> RenderableType:
    total = sum(measured.result_codes.values())
    words = Text("results: ")
    for index, (code, count) in enumerate(measured.result_codes.most_common(_KINDS_SHOWN)):
        share = f"{100 * count / total:.1f} %"
        text = f"{', ' if index else ''}{code_in_words(code)} {count:,} ({share})"
        words.append(text, "green" if code in _GOOD else "yellow")
    return words


def _knee(ramp: Ramp) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for _ in range(5):
        table.add_column(justify="right")
    for one in ramp.steps[-_STEPS_SHOWN:]:
        table.add_row(
            f"{number(one.sessions_per_second)} sessions/s",
            f"{number(one.answers_per_second)} answers/s",
            f"p50 {one.p50_ms:.2f}",
            f"p99 {one.p99_ms:.2f}",
            Text("FULL", "bold red") if one.full else Text("ok", "green"),
        )
    knee = ramp.knee_per_second
    found = "not reached yet" if knee is None else f"{number(knee)} sessions/s"
    return Group(Text(f"knee: {found}"), table)
