"""A report as one HTML file that needs nothing else: no network, no scripts, no other files.

Made of a `Report` alone, so that saved and joined reports have pages too. Called by
`ocs simulate run` and `join` with `--html`.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape

from hdrh.histogram import HdrHistogram

from simulators.reports.errors import code_in_words
from simulators.reports.plots import (
    Line,
    Mark,
    area_plot,
    distribution_plot,
    line_plot,
    number,
    time_of,
)
from simulators.reports.report import TYPE_NAMES, Latency, Report
from simulators.reports.series import Series
from simulators.reports.style import STYLE

MARKS_MAX = 60
"""Faults that plots mark; the table has all that the report has."""
_BARS_PER_DECADE = 20
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_page(report: Report, scenario_text: str = "") -> str:
    """The page; `scenario_text` is the scenario's file, shown as it is."""
    parts = [
        _head(report),
        _tiles(report),
        _problems(report),
        _verdicts(report),
        _over_time(report),
        _distribution(report),
        _codes(report),
        _ramp(report),
        _balances(report),
        _faults(report),
        _errors(report),
        _subscribers(report),
        _scenario(report, scenario_text),
    ]
    title = escape(f"{report.scenario} - simulated traffic")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _section(name: str, title: str, *content: str) -> str:
    return f'\n<section id="{name}"><h2>{escape(title)}</h2>{"".join(content)}</section>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Cells are HTML; the last columns, so many, are numbers."""
    first = len(columns) - numbers

    def cells(tag: str, row: Sequence[str]) -> str:
        kind = ["" if index < first else ' class="number"' for index in range(len(row))]
        return "".join(f"<{tag}{a}>{one}</{tag}>" for a, one in zip(kind, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = cells("th", [escape(one) for one in columns])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _state(ok: bool, otherwise: str) -> str:
    return f'<span class="{"good" if ok else "bad"} state">{"ok" if ok else otherwise}</span>'


def _head(report: Report) -> str:
    began = datetime.fromtimestamp(report.started_unix_ms / 1000, UTC)
    when = f"{began:%Y-%m-%d %H:%M:%S} UTC, " if report.started_unix_ms else ""
    shared = f", {report.processes} processes" if report.processes > 1 else ""
    state = _state(report.ok, "not ok")
    return (
        f"<h1>{escape(report.scenario)}: {state}</h1>"
        f'<p class="soft">{when}{time_of(report.seconds)}, mode {escape(report.mode)},'
        f" seed {report.seed}{shared}</p>"
    )


def _tiles(report: Report) -> str:
    latency = report.latency_ms["all"]
    tiles = [
        ("answers", number(report.answers)),
        ("requests", number(report.requests)),
        ("answers per second", number(report.answers_per_second)),
        ("median", f"{latency.p50:.2f} ms"),
        ("99 %", f"{latency.p99:.2f} ms"),
        ("slowest", f"{latency.max:.2f} ms"),
    ]
    cells = (f'<div class="tile"><b>{value}</b>{escape(name)}</div>' for name, value in tiles)
    return f'<div class="tiles">{"".join(cells)}</div>'


def _problems(report: Report) -> str:
    if not report.problems:
        return ""
    rows = [[f'<span class="bad">{escape(one)}</span>'] for one in report.problems]
    return _section("problems", "Problems", _table(["What went wrong"], rows))


def _verdicts(report: Report) -> str:
    if not report.verdicts:
        return ""
    rows = [
        [
            _state(one.ok, "FAILED"),
            escape(one.name),
            escape(one.expected),
            escape(one.found),
        ]
        for one in report.verdicts
    ]
    columns = ["", "About", "Expected", "Found"]
    return _section("verdicts", "Verdicts", _table(columns, rows))


def _marks(report: Report) -> list[Mark]:
    if report.series is None:
        return []
    found = report.series.faults
    step = max(math.ceil(len(found) / MARKS_MAX), 1)
    return [
        Mark(one.seconds, f"{time_of(one.seconds)}: {one.kind}: {one.detail}")
        for one in found[::step]
    ]


def _times(report: Report, series: Series) -> tuple[list[float], list[float]]:
    """When each point of a series is drawn, and how long it really is.

    A last point of which there was only a moment would look like a break, and is left out.
    """
    width = series.seconds_per_point
    starts = [index * width for index in range(len(series.sent))]
    spans = [min(width, max(report.seconds - start, 0.0)) for start in starts]
    if len(spans) > 1 and spans[-1] < width / 4:
        starts.pop()
        spans.pop()
    return [start + width / 2 for start in starts], [span or width for span in spans]


def _over_time(report: Report) -> str:
    series = report.series
    if series is None:
        return ""
    xs, spans = _times(report, series)

    def rates(counts: Sequence[int]) -> list[float]:
        return [count / span for count, span in zip(counts, spans, strict=False)]

    marks = _marks(report)
    throughput = line_plot(
        "throughput over time",
        [Line("sent", xs, rates(series.sent)), Line("answered", xs, rates(series.answered))],
        "per second",
        marks,
    )

    def latencies(points: Sequence[float]) -> list[float]:
        """A time without answers has no latency: the line is interrupted there."""
        pairs = zip(points, series.answered, strict=True)
        return [one if answers else math.nan for one, answers in pairs][: len(xs)]

    latency = line_plot(
        "latency over time",
        [
            Line("median", xs, latencies(series.p50_ms)),
            Line("99 %", xs, latencies(series.p99_ms)),
            Line("slowest", xs, latencies(series.max_ms)),
        ],
        "ms",
        marks,
    )
    note = '<p class="soft">Broken lines mark faults.</p>' if marks else ""
    return _section("throughput", "Throughput over time", throughput, note) + _section(
        "latency", "Latency over time", latency, note
    )


def _distribution(report: Report) -> str:
    bars = _bars(
        [report.histograms[one] for one in TYPE_NAMES.values() if one in report.histograms]
    )
    plot = distribution_plot("latency distribution", bars) if bars else ""
    named = dict(report.latency_ms)
    if report.due_ms is not None:
        named["from when it was due"] = report.due_ms
    if report.late_ms is not None:
        named["sent late by"] = report.late_ms
    rows = [[escape(name), f"{one.count:,}", *_points(one)] for name, one in named.items()]
    columns = ["Request", "Answers", "50 %", "95 %", "99 %", "99.9 %", "slowest"]
    note = '<p class="soft">Milliseconds.</p>'
    return _section(
        "distribution", "Latency distribution", plot, _table(columns, rows, len(columns) - 1), note
    )


def _points(one: Latency) -> list[str]:
    return [f"{value:,.2f}" for value in (one.p50, one.p95, one.p99, one.p999, one.max)]


def _bars(histograms: list[str]) -> list[tuple[float, float, int]]:
    """Counts by latency in milliseconds, in bars that look equally wide on a logarithmic axis."""
    counts: dict[int, int] = {}
    for text in histograms:
        histogram = HdrHistogram.decode(text.encode("ascii"))
        for item in histogram.get_recorded_iterator():
            latency_ms = max(item.value_iterated_to, 1) / 1000
            bar = math.floor(math.log10(latency_ms) * _BARS_PER_DECADE + 1e-9)
            counts[bar] = counts.get(bar, 0) + item.count_at_value_iterated_to
    if not counts:
        return []

    def edge(bar: int) -> float:
        return float(10 ** (bar / _BARS_PER_DECADE))

    return [
        (edge(bar), edge(bar + 1), counts.get(bar, 0))
        for bar in range(min(counts), max(counts) + 1)
    ]


def _codes(report: Report) -> str:
    plot = ""
    series = report.series
    if series is not None and series.codes:
        xs, spans = _times(report, series)
        layers = [
            Line(_code(code), xs, [n / span for n, span in zip(counts, spans, strict=False)])
            for code, counts in series.codes.items()
        ]
        if len(xs) > 1:
            plot = area_plot("result codes over time", layers, "per second", _marks(report))
    total = max(sum(report.result_codes.values()), 1)
    rows = [
        [escape(_code(code)), f"{count:,}", f"{100 * count / total:.2f} %"]
        for code, count in report.result_codes.items()
    ]
    table = _table(["Result code", "Answers", "Share"], rows, 2)
    return _section("codes", "Result codes", plot, table)


def _code(text: str) -> str:
    return code_in_words(int(text)) if text.isdigit() else text


def _ramp(report: Report) -> str:
    ramp = report.ramp
    if ramp is None or not ramp.steps:
        return ""
    rates = [one.sessions_per_second for one in ramp.steps]
    knee = ramp.knee_per_second
    marks = [] if knee is None else [Mark(knee, f"the knee: {number(knee)} sessions per second")]
    curves = [
        Line("median", rates, [one.p50_ms for one in ramp.steps]),
        Line("99 %", rates, [one.p99_ms for one in ramp.steps]),
    ]
    plot = line_plot("latency by rate", curves, "ms", marks, x_words=lambda x: f"{number(x)}/s")
    rows = [
        [
            _state(not one.full, "full"),
            number(one.sessions_per_second),
            number(one.answers_per_second),
            f"{one.p50_ms:,.2f}",
            f"{one.p99_ms:,.2f}",
        ]
        for one in ramp.steps
    ]
    columns = ["", "Sessions/s", "Answers/s", "50 % ms", "99 % ms"]
    found = "was not reached" if knee is None else f"is at {number(knee)} sessions per second"
    return _section("ramp", "Knee", f"<p>The knee {found}.</p>", plot, _table(columns, rows, 4))


def _balances(report: Report) -> str:
    if not report.balances:
        return ""
    curves = [Line(one.subscriber, one.seconds, one.amounts) for one in report.balances]
    plot = line_plot(
        "balances over time", curves, "units of money", _marks(report), from_zero=False
    )
    note = '<p class="soft">As the server told them in its answers (Remaining-Balance).</p>'
    return _section("balances", "Balances", plot, note)


def _faults(report: Report) -> str:
    series = report.series
    if series is None or not series.faults_by_kind:
        return ""
    counts = ", ".join(f"{escape(kind)}: {n}" for kind, n in series.faults_by_kind.items())
    rows = [
        [time_of(one.seconds), escape(one.kind), escape(one.detail), str(one.count)]
        for one in series.faults
    ]
    table = _table(["When", "Fault", "What", "Times"], rows, 1)
    listing = f"<details><summary>When</summary>{table}</details>"
    return _section("faults", "Faults", f"<p>{counts}</p>", listing)


def _errors(report: Report) -> str:
    if not report.errors:
        return ""
    blocks = []
    for one in report.errors:
        texts = [text for text in (one.request, one.answer) if text]
        body = "".join(f"<pre>{escape(text)}</pre>" for text in texts)
        head = f"{escape(one.what)}: {one.count:,}"
        blocks.append(
            f"<details><summary>{head}</summary>{body}</details>" if body else f"<p>{head}</p>"
        )
    note = '<p class="soft">With the first messages of each kind.</p>'
    return _section("errors", "Answers other than success", note, *blocks)


def _subscribers(report: Report) -> str:
    rows = [[escape(name), f"{count:,}"] for name, count in report.events.items()]
    rows += [
        ["requests sent again", f"{report.retransmissions:,}"],
        ["waits for an answer that were too long", f"{report.timeouts:,}"],
        ["connections lost", f"{report.connection_losses:,}"],
        ["requests without any answer", f"{report.unanswered:,}"],
        ["answers that came too late", f"{report.late_answers:,}"],
        ["answers that nobody had asked for", f"{report.unasked_answers:,}"],
        ["answers that differ from the first one", f"{report.differing_answers:,}"],
    ]
    return _section("events", "What happened", _table(["What", "How often"], rows, 1))


def _scenario(report: Report, text: str) -> str:
    words = f"<p>{escape(report.scenario)}, mode {escape(report.mode)}, seed {report.seed}.</p>"
    shown = f"<details><summary>File</summary><pre>{escape(text)}</pre></details>" if text else ""
    return _section("scenario", "Scenario", words, shown)
