"""Reports joined into one: the same as if one process had measured all of it."""

import json
import random
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from simulators.load.joining import join, read_report
from simulators.reports.balances import BalanceLine
from simulators.reports.report import LatencyBins, Measurements, Ramp, RampStep, Report, make_report
from simulators.reports.verdict import Verdict
from tests.support.launcher import run_ocs

STARTED_MS = 1_700_000_000_000


def fill(measured: Measurements, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(500):
        seconds, code = dice.uniform(0, 20), dice.choice([2001, 2001, 4012])
        latency_us, kind = int(10 ** dice.uniform(2, 6)), dice.randint(1, 4)
        point = measured.series.at(seconds)
        point.sent += 1
        point.record(latency_us, code)
        measured.latencies[kind].record(latency_us)
        measured.lateness.record(latency_us // 7)
        measured.from_due.record(latency_us + latency_us // 7)
        measured.result_codes[code] += 1
        measured.sent += 1
        measured.tally["sms sessions"] += 1
    measured.series.fault(3.5, "cut", "gateway")
    for _ in range(seed):
        measured.errors.note(f"event: kind {seed % 2}", b"", b"")


def report_of(*seeds: int) -> Report:
    measured = Measurements()
    for seed in seeds:
        fill(measured, seed)
    return make_report(measured, "s", "subscribers", 1, 20.0, started_unix_ms=STARTED_MS)


@pytest.mark.rule("X-094")
def test_the_joined_report_is_that_of_one_run_that_measured_all():
    whole = report_of(1, 2, 3)
    parts = [report_of(seed) for seed in (1, 2, 3)]
    joined = join(parts)
    assert joined == replace(whole, processes=3, histograms=joined.histograms)
    for name, text in whole.histograms.items():
        mine, theirs = (
            HdrHistogram.decode(one.encode()) for one in (joined.histograms[name], text)
        )
        assert [(one.value_iterated_to, one.count_at_value_iterated_to)
                for one in mine.get_recorded_iterator()] == [
                (one.value_iterated_to, one.count_at_value_iterated_to)
                for one in theirs.get_recorded_iterator()]  # fmt: skip
    # In any order and in steps.
    again = join([join(parts[1:]), parts[0]])
    assert replace(again, histograms={}) == replace(joined, histograms={})


@pytest.mark.rule("X-094")
def test_runs_are_laid_upon_each_other_by_when_they_began():
    first = report_of(1)
    second = replace(report_of(2), started_unix_ms=STARTED_MS + 5_000)
    joined = join([second, first])
    assert joined.seconds == 25
    assert joined.started_unix_ms == STARTED_MS
    assert joined.answers_per_second == joined.answers / 25
    assert joined.series is not None
    assert first.series is not None
    assert second.series is not None
    assert joined.series.answered[:5] == first.series.answered[:5]
    assert joined.series.answered[20:] == second.series.answered[15:]
    assert {(mark.seconds, mark.count) for mark in joined.series.faults} == {(3.5, 1), (8.5, 1)}


def step(rate: float, latency_us: int, *, full: bool) -> RampStep:
    bins = LatencyBins()
    bins.record(latency_us)
    return RampStep(rate, 10, 9, 9, 1, 1, full, bins.encoded())


@pytest.mark.rule("X-094")
def test_a_ramp_is_too_much_where_it_is_for_one_of_them():
    first, second = report_of(1), report_of(2)
    steps = [step(10, 1000, full=False), step(20, 2000, full=False), step(30, 9000, full=True)]
    other = [step(10, 3000, full=False), step(20, 700_000, full=True)]
    joined = join([replace(first, ramp=Ramp(steps, 20)), replace(second, ramp=Ramp(other, 10))])
    assert joined.ramp is not None
    assert [one.sessions_per_second for one in joined.ramp.steps] == [20, 40]
    assert [one.full for one in joined.ramp.steps] == [False, True]
    assert [one.requests for one in joined.ramp.steps] == [20, 20]
    assert joined.ramp.steps[0].p99_ms == pytest.approx(3.0, rel=0.001)
    assert joined.ramp.knee_per_second == 20


def test_balances_problems_and_verdicts_come_along():
    first = replace(
        report_of(1),
        balances=[BalanceLine("+1", 978, [1.0, 3.0], [5.0, 4.0])],
        problems=["lost", "lost"],
        verdicts=[Verdict("p99", True, "a", "b")],
    )
    second = replace(
        report_of(2),
        started_unix_ms=STARTED_MS + 1000,
        balances=[BalanceLine("+1", 978, [1.0], [4.5]), BalanceLine("+2", None, [1.0], [9.0])],
        verdicts=[Verdict("codes", False, "a", "b")],
    )
    joined = join([first, second])
    assert joined.balances == [
        BalanceLine("+1", 978, [1.0, 2.0, 3.0], [5.0, 4.5, 4.0]),
        BalanceLine("+2", None, [2.0], [9.0]),
    ]
    assert joined.problems == ["lost (2 times)"]
    assert [one.name for one in joined.verdicts] == ["p99", "codes"]
    assert not joined.ok


def call(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return run_ocs("simulate", "join", *arguments)


@pytest.mark.rule("X-094")
def test_the_command_joins_saved_reports(tmp_path):
    paths = []
    for seed in (1, 2):
        paths.append(tmp_path / f"{seed}.json")
        paths[-1].write_text(report_of(seed).as_json())
    both, page = tmp_path / "both.json", tmp_path / "both.html"
    done = call(*paths, "--report", both, "--html", page, "--json")
    assert done.returncode == 0, done.stderr
    expected = join([report_of(1), report_of(2)])
    assert json.loads(done.stdout) == json.loads(expected.as_json())
    assert read_report(both) == expected
    assert "2 processes" in page.read_text()


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda _: "{", "is no report of a run: Invalid JSON"),
        (lambda one: json.dumps({**one, "answers": "many"}), "answers"),
        (lambda one: json.dumps({**one, "histograms": {}}), "cannot be joined"),
        (lambda one: json.dumps({**one, "histograms": {"event": "HISTFAAAA"}}), "cannot be read"),
        (lambda one: json.dumps({**one, "histograms": {"event": "é"}}), "cannot be read"),
        (
            lambda one: json.dumps({**one, "series": {**one["series"], "sent": [1]}}),
            "cannot be read",
        ),
        (
            lambda one: json.dumps({**one, "series": {**one["series"], "bins": ["x"] * 20}}),
            "cannot be read",
        ),
    ],
)
def test_what_is_no_report_is_refused_with_words(damage, words, tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text(damage(json.loads(report_of(1).as_json())))
    done = call(path)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_report_is_not_joined_twice(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(report_of(1).as_json())
    done = call(path, tmp_path / "." / "one.json")
    assert done.returncode == 2
    assert "only once" in done.stderr
