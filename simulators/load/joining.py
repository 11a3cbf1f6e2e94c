"""Several reports of one run, or of runs at the same time, as one: nothing is lost on the way.

Histograms are added as they are, series by when they began on the clock of the system. Called for
the processes of a run (`processes`) and for saved reports (`ocs simulate join`).
"""

import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram
from pydantic import TypeAdapter, ValidationError

from simulators.reports.balances import SUBSCRIBERS_MAX, BalanceLine
from simulators.reports.counted import Counted, Granted, added_grants
from simulators.reports.errors import ERRORS_MAX, ErrorExample
from simulators.reports.histograms import (
    NO_LATENCY,
    added,
    added_texts,
    decoded,
    encoded,
    summary,
)
from simulators.reports.report import TYPE_NAMES, Ramp, RampStep, Report
from simulators.reports.series import Series, TimeSeries
from simulators.verdicts.judging import judge

REPORT_OCTETS_MAX = 64 << 20
"""Octets of a saved report."""
_UNREADABLE = (
    *(zlib.error, HdrCookieException, HdrLengthException),
    *(IndexError, TypeError, ValueError),
)


def read_report(path: Path) -> Report:
    """A report that `ocs simulate run --report` wrote; ValueError when it is none."""
    if path.stat().st_size > REPORT_OCTETS_MAX:
        raise ValueError(f"{path} is larger than {REPORT_OCTETS_MAX} octets")
    try:
        report = TypeAdapter(Report).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = "".join(f"{part}: " for part in (".".join(map(str, first["loc"])),) if part)
        raise ValueError(f"{path} is no report of a run: {place}{first['msg']}") from None
    if report.answers and not report.histograms:
        raise ValueError(f"{path} has no histograms: it cannot be joined")
    return report


def join(reports: Sequence[Report]) -> Report:
    """One report of at least one; ValueError when what they hold cannot be read.

    What their scenarios expect is judged over all of them, as far as it was counted in them
    (`Report.counted`); other verdicts, as those about the server's books, stay as they are.
    """
    try:
        joined = _join(reports)
        return replace(joined, verdicts=[*judge(joined), *joined.verdicts])
    except _UNREADABLE as error:
        raise ValueError(f"a histogram or series cannot be read: {error}") from None


def _join(reports: Sequence[Report]) -> Report:
    starts = [one.started_unix_ms for one in reports]
    known = all(starts)
    began = min(starts)
    later = [(start - began) / 1000 if known else 0.0 for start in starts]
    seconds = max(at + one.seconds for at, one in zip(later, reports, strict=True))
    histograms = _histograms(reports)
    named = [histograms[name] for name in TYPE_NAMES.values() if name in histograms]
    latency = {"all": summary(added(named)) if named else NO_LATENCY}
    latency |= {
        name: summary(histograms[name]) for name in TYPE_NAMES.values() if name in histograms
    }
    answers = sum(one.answers for one in reports)
    ramps = [one.ramp for one in reports if one.ramp is not None]
    return Report(
        scenario=_common([one.scenario for one in reports]),
        mode=_common([one.mode for one in reports]),
        seed=reports[0].seed,
        seconds=round(seconds, 3),
        requests=sum(one.requests for one in reports),
        answers=answers,
        answers_per_second=round(answers / seconds, 1) if seconds else 0.0,
        retransmissions=sum(one.retransmissions for one in reports),
        timeouts=sum(one.timeouts for one in reports),
        connection_losses=sum(one.connection_losses for one in reports),
        differing_answers=sum(one.differing_answers for one in reports),
        unanswered=sum(one.unanswered for one in reports),
        late_answers=sum(one.late_answers for one in reports),
        unasked_answers=sum(one.unasked_answers for one in reports),
        latency_ms=latency,
        result_codes=_counts([one.result_codes for one in reports], key=int),
        events=_counts([one.events for one in reports]),
        problems=_problems(reports),
        ramp=joined_ramp(ramps) if ramps else None,
        late_ms=summary(histograms["late"]) if "late" in histograms else None,
        due_ms=summary(histograms["due"]) if "due" in histograms else None,
        started_unix_ms=began,
        processes=sum(one.processes for one in reports),
        histograms={name: encoded(one) for name, one in histograms.items()},
        series=_series(reports, later),
        errors=_errors(reports),
        balances=_balances(reports, later),
        verdicts=[
            verdict
            for one in reports
            for verdict in one.verdicts
            if verdict.books or not one.counted
        ],
        counted=_counted(reports),
    )


def _histograms(reports: Sequence[Report]) -> dict[str, HdrHistogram]:
    names = {name: None for one in reports for name in one.histograms}
    return {
        name: added(decoded(one.histograms[name]) for one in reports if name in one.histograms)
        for name in names
    }


def _common(texts: Sequence[str]) -> str:
    return " + ".join(dict.fromkeys(texts))


def _counts(
    tables: Sequence[dict[str, int]], key: Callable[[str], int | str] = str
) -> dict[str, int]:
    together = Counter[str]()
    for table in tables:
        together.update(table)
    return {name: together[name] for name in sorted(together, key=key)}


def _problems(reports: Sequence[Report]) -> list[str]:
    found = Counter(problem for one in reports for problem in one.problems)
    return [f"{problem} ({n} times)" if n > 1 else problem for problem, n in found.items()]


def _series(reports: Sequence[Report], later: Sequence[float]) -> Series | None:
    together = TimeSeries()
    for report, at in zip(reports, later, strict=True):
        if report.series is not None:
            together.add(report.series, at)
    return together.result() if together.points else None


def _errors(reports: Sequence[Report]) -> list[ErrorExample]:
    kinds: dict[str, ErrorExample] = {}
    for one in (error for report in reports for error in report.errors):
        before = kinds.get(one.what)
        kinds[one.what] = one if before is None else replace(before, count=before.count + one.count)
    ordered = sorted(kinds.values(), key=lambda one: (-one.count, one.what))
    rest = sum(one.count for one in ordered[ERRORS_MAX:])
    return [*ordered[:ERRORS_MAX], ErrorExample("others", rest)] if rest else ordered


def _balances(reports: Sequence[Report], later: Sequence[float]) -> list[BalanceLine]:
    points: dict[str, list[tuple[float, float]]] = {}
    currencies: dict[str, int | None] = {}
    for report, at in zip(reports, later, strict=True):
        for line in report.balances:
            told = [
                (at + one, amount) for one, amount in zip(line.seconds, line.amounts, strict=True)
            ]
            points.setdefault(line.subscriber, []).extend(told)
            currencies.setdefault(line.subscriber, line.currency)
    lines = []
    for subscriber in list(points)[:SUBSCRIBERS_MAX]:
        ordered = sorted(points[subscriber])
        seconds, amounts = [round(one, 3) for one, _ in ordered], [one for _, one in ordered]
        lines.append(BalanceLine(subscriber, currencies[subscriber], seconds, amounts))
    return lines


def _counted(reports: Sequence[Report]) -> list[Counted]:
    """The blocks of all of them, equal ones added up."""
    alike: dict[str, list[Counted]] = {}
    for one in (counted for report in reports for counted in report.counted):
        key = json.dumps([one.block, one.begins_seconds, one.ends_seconds], sort_keys=True)
        alike.setdefault(key, []).append(one)
    return [_added_up(parts) for parts in alike.values()]


def _added_up(parts: Sequence[Counted]) -> Counted:
    if len(parts) == 1:
        return parts[0]
    grants: dict[tuple[int | None, str], Granted] = {}
    for one in (granted for part in parts for granted in part.granted):
        key = one.rating_group, one.unit
        grants[key] = added_grants(grants[key], one) if key in grants else one
    return replace(
        parts[0],
        requests=sum(one.requests for one in parts),
        answered=sum(one.answered for one in parts),
        codes=_counts([one.codes for one in parts], key=int),
        service_codes=_counts([one.service_codes for one in parts], key=int),
        histogram=added_texts(one.histogram for one in parts),
        granted=list(grants.values()),
        final_units=_counts([one.final_units for one in parts]),
    )


def joined_ramp(ramps: Sequence[Ramp]) -> Ramp:
    """The steps that all of them measured, up to the first that was too much for one of them."""
    steps: list[RampStep] = []
    for parts in zip(*(ramp.steps for ramp in ramps), strict=False):
        steps.append(_step(parts))
        if steps[-1].full:
            knee = steps[-2].sessions_per_second if len(steps) > 1 else 0.0
            return Ramp(steps, knee)
    return Ramp(steps, None)


def _step(parts: Sequence[RampStep]) -> RampStep:
    histogram = added(decoded(one.histogram) for one in parts if one.histogram)
    latency = summary(histogram)
    return RampStep(
        sessions_per_second=round(sum(one.sessions_per_second for one in parts), 3),
        requests=sum(one.requests for one in parts),
        answers=sum(one.answers for one in parts),
        answers_per_second=round(sum(one.answers_per_second for one in parts), 1),
        p50_ms=latency.p50,
        p99_ms=latency.p99,
        full=any(one.full for one in parts),
        histogram=encoded(histogram) if latency.count else "",
    )
