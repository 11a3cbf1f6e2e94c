"""Verdicts about a run: what each block of `expect` wanted, and what was found.

Pure: from the counts of `tallies` and the report; what needs the server's books is in `books`.
"""

from collections.abc import Iterator

from simulators.reports.report import Latency, Report, summarise
from simulators.reports.verdict import Verdict
from simulators.scenarios.expectations import (
    Bound,
    Expectation,
    FinalUnitExpected,
    GrantExpected,
    ResultCodeExpected,
)
from simulators.scenarios.model import Scenario
from simulators.verdicts.tallies import Grants, Tally, window_of


def judge(scenario: Scenario, report: Report, tallies: list[Tally]) -> list[Verdict]:
    """A verdict for everything that is expected, in the order of the scenario."""
    ramp = scenario.load.ramp
    step_seconds = ramp.step_seconds if ramp is not None else 0.0
    verdicts: list[Verdict] = []
    for block, tally in zip(scenario.expect, tallies, strict=True):
        begins, ends = window_of(block, step_seconds)
        seconds = max(min(ends or report.seconds, report.seconds) - begins, 0.0)
        latency = summarise(tally.latencies)
        verdicts += _Judge(block, tally, latency, seconds, report).verdicts()
    return verdicts


def judge_prepared(scenario: Scenario, report: Report) -> list[Verdict]:
    """The same of prepared load, of which there is nothing but the report."""
    codes = {int(code): count for code, count in report.result_codes.items()}
    tally = Tally(requests=report.requests, answered=report.answers)
    tally.codes.update(codes)
    return [
        verdict
        for block in scenario.expect
        for verdict in _Judge(
            block, tally, report.latency_ms["all"], report.seconds, report
        ).verdicts()
    ]


def title(block: Expectation) -> str:
    """What verdicts about a block begin with, colon included; empty for the run as a whole."""
    words = block.name or block.scope
    return f"{words}: " if words else ""


class _Judge:
    """Judges one block."""

    def __init__(
        self, block: Expectation, tally: Tally, latency: Latency, seconds: float, report: Report
    ) -> None:
        self._block = block
        self._tally = tally
        self._latency = latency
        self._seconds = seconds
        self._report = report

    def verdicts(self) -> Iterator[Verdict]:
        block, tally = self._block, self._tally
        if block.requests is not None:
            yield self._number("requests", block.requests, tally.requests)
        if block.answered is not None:
            share = tally.answered / tally.requests if tally.requests else None
            yield self._number("share of requests answered", block.answered, share)
        if block.nothing_lost:
            yield self._nothing_lost()
        for code in block.result_codes:
            yield self._code(code)
        if block.no_other_result_codes:
            yield self._no_other_codes()
        for granted in block.granted:
            yield from self._granted(granted)
        for final in block.final_units:
            yield self._final_units(final)
        yield from self._latencies()
        yield from self._rates()

    def _number(self, what: str, bound: Bound, value: float | None, found: str = "") -> Verdict:
        """None is what there is nothing to say about: it fails."""
        name = title(self._block) + what
        if value is None:
            return Verdict(name, False, str(bound), "nothing")
        return Verdict(name, bound.holds(value), str(bound), found or _short(value))

    def _nothing_lost(self) -> Verdict:
        tally, lost = self._tally, self._tally.requests - self._tally.answered
        found = [f"{lost} of {tally.requests} requests without an answer"]
        ok = lost == 0 and tally.requests > 0
        if not self._block.scope:
            differing, problems = self._report.differing_answers, len(self._report.problems)
            found.append(f"{differing} differing answers")
            found += [f"{problems} problems"] if problems else []
            ok = ok and not differing and not problems
        name = f"{title(self._block)}nothing lost"
        return Verdict(name, ok, "every request answered, repeated answers the same",
                       ", ".join(found))  # fmt: skip

    def _code(self, expected: ResultCodeExpected) -> Verdict:
        of_command = expected.of == "command"
        codes = self._tally.codes if of_command else self._tally.service_codes
        count, total = codes[expected.code], codes.total()
        what = f"result code {expected.code}{'' if of_command else ' of services'}"
        if expected.count is not None:
            return self._number(what, expected.count, count)
        share = count / total if total else None
        bound = expected.share or Bound(at_least=0)
        found = f"{_short(share)} ({count} of {total})" if share is not None else ""
        return self._number(f"share of {what}", bound, share, found)

    def _no_other_codes(self) -> Verdict:
        wanted = {one.code for one in self._block.result_codes if one.of == "command"}
        others = {code: n for code, n in self._tally.codes.items() if code not in wanted}
        found = ", ".join(f"{code}: {count}" for code, count in sorted(others.items()))
        name = f"{title(self._block)}no other result codes"
        expected = ", ".join(str(code) for code in sorted(wanted))
        return Verdict(name, not others, f"only {expected}", found or "no others")

    def _granted(self, expected: GrantExpected) -> Iterator[Verdict]:
        together = Grants()
        for (rating_group, unit), one in self._tally.grants.items():
            if unit == expected.unit and expected.rating_group in (None, rating_group):
                together = _sum(together, one)
        group = expected.rating_group
        where = f"{expected.unit} granted{'' if group is None else f' to rating group {group}'}"
        if expected.grants is not None:
            yield self._number(f"grants of {where}", expected.grants, together.count)
        if expected.total is not None:
            yield self._number(f"all {where}", expected.total, together.total)
        if expected.each is not None:
            low, high = together.lowest, together.highest
            name = f"{title(self._block)}{where} each time"
            ok = bool(together.count) and expected.each.holds(low) and expected.each.holds(high)
            found = f"{low} to {high} in {together.count} grants" if together.count else "no grants"
            yield Verdict(name, ok, str(expected.each), found)

    def _final_units(self, expected: FinalUnitExpected) -> Verdict:
        count = self._tally.final_units[expected.action]
        return self._number(f"final units with {expected.action}", expected.count, count)

    def _latencies(self) -> Iterator[Verdict]:
        expected, latency = self._block.latency_ms, self._latency
        if expected is None:
            return
        for name in sorted(expected.model_fields_set, key=_POINTS.index):
            most = getattr(expected, name)
            if most is None:
                continue
            found = getattr(latency, name) if latency.count else None
            words = None if found is None else f"{found:.2f} ms"
            yield Verdict(
                f"{title(self._block)}latency {name}",
                found is not None and found <= most,
                f"at most {most:g} ms",
                words or "no answers",
            )

    def _rates(self) -> Iterator[Verdict]:
        rates, seconds = self._block.rates, self._seconds
        if rates is None:
            return
        counts = {
            "requests per second": (rates.requests_per_second, self._tally.requests),
            "answers per second": (rates.answers_per_second, self._tally.answered),
        }
        for what, (bound, count) in counts.items():
            if bound is not None:
                rate = count / seconds if seconds else None
                yield self._number(what, bound, rate, "" if rate is None else f"{rate:.1f}")


_POINTS = ("p50", "p95", "p99", "p999", "max")


def _sum(one: Grants, other: Grants) -> Grants:
    if not one.count:
        return other
    return Grants(
        one.count + other.count,
        one.total + other.total,
        min(one.lowest, other.lowest),
        max(one.highest, other.highest),
    )


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")
