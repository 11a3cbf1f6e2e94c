"""Verdicts about a run: what each block of `expect` wanted, and what was found.

Pure: from what a report has of the counts of `tallies`, so that reports of several runs can be
joined and judged as one. What needs the server's books is in `reconciling`.
"""

import json
from collections.abc import Iterator

from simulators.reports.counted import Counted, Granted, added_grants
from simulators.reports.histograms import NO_LATENCY, decoded, summary
from simulators.reports.report import Report
from simulators.reports.verdict import Verdict
from simulators.scenarios.expectations import (
    Bound,
    Expectation,
    FinalUnitExpected,
    GrantExpected,
    ResultCodeExpected,
)


def judge(report: Report) -> list[Verdict]:
    """A verdict for everything that is expected and needs no books, in the order of the scenario.

    Of several reports that were joined it is about all that they measured.
    """
    verdicts: list[Verdict] = []
    for counted in report.counted:
        block = Expectation.model_validate_json(json.dumps(counted.block))
        ends = min(counted.ends_seconds or report.seconds, report.seconds)
        seconds = max(ends - counted.begins_seconds, 0.0)
        verdicts += _Judge(block, counted, seconds, report).verdicts()
    return verdicts


def title(block: Expectation) -> str:
    """What verdicts about a block begin with, colon included; empty for the run as a whole."""
    words = block.name or block.scope
    return f"{words}: " if words else ""


class _Judge:
    """Judges one block."""

    def __init__(
        self, block: Expectation, counted: Counted, seconds: float, report: Report
    ) -> None:
        self._block = block
        self._counted = counted
        self._seconds = seconds
        self._report = report

    def verdicts(self) -> Iterator[Verdict]:
        block, counted = self._block, self._counted
        if block.requests is not None:
            yield self._number("requests", block.requests, counted.requests)
        if block.answered is not None:
            asked = counted.requests
            share = counted.answered / asked if asked else None
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
        asked, lost = self._counted.requests, self._counted.requests - self._counted.answered
        found = [f"{lost} of {asked} requests without an answer"]
        ok = lost == 0 and asked > 0
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
        codes = self._counted.codes if of_command else self._counted.service_codes
        count, total = codes.get(str(expected.code), 0), sum(codes.values())
        what = f"result code {expected.code}{'' if of_command else ' of services'}"
        if expected.count is not None:
            return self._number(what, expected.count, count)
        share = count / total if total else None
        bound = expected.share or Bound(at_least=0)
        found = f"{_short(share)} ({count} of {total})" if share is not None else ""
        return self._number(f"share of {what}", bound, share, found)

    def _no_other_codes(self) -> Verdict:
        wanted = {one.code for one in self._block.result_codes if one.of == "command"}
        codes = {int(code): count for code, count in self._counted.codes.items()}
        others = {code: count for code, count in codes.items() if code not in wanted}
        found = ", ".join(f"{code}: {count}" for code, count in sorted(others.items()))
        name = f"{title(self._block)}no other result codes"
        expected = ", ".join(str(code) for code in sorted(wanted))
        return Verdict(name, not others, f"only {expected}", found or "no others")

    def _granted(self, expected: GrantExpected) -> Iterator[Verdict]:
        group = expected.rating_group
        together = Granted(group, expected.unit, 0, 0, 0, 0)
        for one in self._counted.granted:
            if one.unit == expected.unit and group in (None, one.rating_group):
                together = added_grants(together, one)
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
        count = self._counted.final_units.get(expected.action, 0)
        return self._number(f"final units with {expected.action}", expected.count, count)

    def _latencies(self) -> Iterator[Verdict]:
        expected = self._block.latency_ms
        if expected is None:
            return
        histogram = self._counted.histogram
        latency = summary(decoded(histogram)) if histogram else NO_LATENCY
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
            "requests per second": (rates.requests_per_second, self._counted.requests),
            "answers per second": (rates.answers_per_second, self._counted.answered),
        }
        for what, (bound, count) in counts.items():
            if bound is not None:
                rate = count / seconds if seconds else None
                yield self._number(what, bound, rate, "" if rate is None else f"{rate:.1f}")


_POINTS = ("p50", "p95", "p99", "p999", "max")


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}".rstrip("0").rstrip(".")
