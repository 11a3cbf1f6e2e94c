"""The dashboard: what it shows of a run, and when it is shown."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console

from protocol.codec import encode_message, encode_utf8
from simulators.reports.dashboard import Dashboard, spark
from simulators.reports.report import Measurements, Ramp, RampStep
from tests.support.responder import Responder, answer_to

SCENARIO = """\
name: watched
load: {arrivals: {process: constant, per_second: 20}, duration_seconds: 2}
gateways:
  - {origin_host: smsc1.net.example, origin_realm: net.example}
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""


def drawn(measured: Measurements, seconds: float) -> str:
    target = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    board = Dashboard(target, "night", 60)
    with target.capture() as capture:
        target.print(board.drawn(measured, seconds))
    return capture.get()


@pytest.mark.rule("X-091", "X-097")
def test_it_shows_rates_latency_results_knee_faults_and_an_example():
    measured = Measurements(sent=400, timed_out=3)
    for number in range(390):
        code = 4012 if number % 39 == 0 else 2001
        measured.series.at(number / 100).record(2_000, code)
        measured.latencies[1].record(2_000)
        measured.result_codes[code] += 1
    step = RampStep(10, 10, 10, 10, 1.5, 2.5, full=False)
    full = RampStep(20, 20, 20, 20, 5, 300, full=True)
    measured.ramp_at = lambda _: Ramp([step, full], 10.0)
    measured.series.fault(2, "answer lost", "somewhere")
    message = encode_message(272, 4, 0, 1, 2, encode_utf8(263, "pgw1;7;7"))
    measured.errors.note("initial: 4012 credit limit reached", b"", message)
    measured.problems.append("the server closed every connection")
    text = drawn(measured, 4.0)
    for words in (
        *("night: 4 s of 60 s", "100/s", "98/s", "400 in all", "p50 2.0", "p99 2.0", "timed out 3"),
        *("2001 success 380 (97.4 %)", "4012 credit limit reached 10 (2.6 %)"),
        *("knee: 10 sessions/s", "FULL", "p99 300.00", "answer lost 1"),
        *("initial: 4012 credit limit reached (1)", "Credit-Control-Answer (272)", "pgw1;7;7"),
        "PROBLEM: the server closed every connection",
    ):
        assert words in text, words


def test_a_run_that_has_just_begun_can_be_shown():
    assert "night: 0 s of 60 s" in drawn(Measurements(), 0.0)


def test_little_columns_are_as_high_as_values():
    assert spark([0, 1, 2, 4]) == "▁▃▅█"
    assert spark([]) == spark([0, 0]) == ""
    assert len(spark([1.0] * 500)) == 40


@pytest.mark.rule("X-091")
@pytest.mark.parametrize(
    "terminal, options, shown",
    [(True, [], True), (True, ["--no-dashboard"], False), (False, [], False)],
)
def test_it_is_shown_where_standard_error_is_a_terminal(terminal, options, shown, tmp_path):
    scenario = tmp_path / "watched.yaml"
    scenario.write_text(SCENARIO)
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with Responder(lambda _, __, request: answer_to(request, result_code=4012)) as responder:
        process = subprocess.Popen(
            [sys.executable, "-m", "ocs.cli.main", "simulate", "run", scenario, *options,
             "--port", str(responder.port)],
            stdout=subprocess.PIPE, stderr=side if terminal else subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        os.close(side)
        seen = _all_of(main) if terminal else ""
        out, errors = process.communicate(timeout=60)
    os.close(main)
    assert process.returncode == 0, out
    assert "watched: " in out
    text = seen + (errors or "")
    assert ("Credit-Control-Answer (272)" in text) is shown
    assert bool(re.search(r"watched: [\d.]+ s of 2 s", text)) is shown
    assert ("answers/s  p50" in text) is not shown


def _all_of(terminal: int) -> str:
    """What is written to a terminal until the last process has closed it."""
    parts = []
    while True:
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:  # EIO is how Linux says that nobody is left
            break
        if not data:
            break
        parts.append(data)
    return b"".join(parts).decode("utf-8", "replace")
