"""Coordinated omission: a server that stalls is seen by all who would have come meanwhile."""

import threading
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram

from simulators.load.joining import read_report
from simulators.reports.report import Report
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, grant_all

RATE, STALL_SECONDS, SLOW_MS = 200, 0.6, 100
WINDOW, CONNECTIONS = 4, 2
DUE_MEANWHILE = RATE * (STALL_SECONDS - SLOW_MS / 1000)
"""Requests that are due in the stall and wait for more than SLOW_MS."""
SCENARIO = f"""\
name: stalled
load: LOAD
gateways:
  - origin_host: "pgw{{n}}.net.example"
    origin_realm: net.example
    connections: {CONNECTIONS}
    window: {WINDOW}
subscribers:
  - {{count: 9000, identities: [{{type: msisdn, pattern: "+1555####"}}]}}
services:
  - {{kind: sms, destinations: [{{number: "+4930#######"}}]}}
"""
OPEN = f"{{concurrency: 600, requests_per_second: {RATE}, duration_seconds: 2}}\nmode: prepared"
CLOSED = "{concurrency: 600, duration_seconds: 2}\nmode: prepared"
ARRIVALS = f"{{arrivals: {{process: poisson, per_second: {RATE}}}, duration_seconds: 2}}"


def run(load: str, directory: Path) -> Report:
    """Against a server that answers nothing for a while, once."""
    stall = threading.Event()
    began = threading.Event()

    def answer(responder, header, request):
        if len(responder.requests) == 60 and not began.is_set():
            began.set()
            stall.wait(STALL_SECONDS)  # all connections: the responder answers one at a time
        return grant_all(responder, header, request)

    path, report = directory / "stalled.yaml", directory / "report.json"
    path.write_text(SCENARIO.replace("LOAD", load))
    with Responder(answer) as responder:
        done = run_ocs("simulate", "run", path, "--report", report, "--port", str(responder.port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert began.is_set()
    return read_report(report)


def slow(report: Report, name: str) -> int:
    """Answers that took longer than SLOW_MS."""
    histogram = HdrHistogram.decode(report.histograms[name].encode())
    return sum(
        one.count_at_value_iterated_to
        for one in histogram.get_recorded_iterator()
        if one.value_iterated_to > SLOW_MS * 1000
    )


@pytest.mark.rule("X-096")
def test_prepared_requests_are_late_from_when_they_were_due(tmp_path):
    report = run(OPEN, tmp_path)
    assert slow(report, "event") > DUE_MEANWHILE * 0.6
    assert report.latency_ms["all"].max > STALL_SECONDS * 1000 * 0.9
    assert report.latency_ms["all"].p95 > STALL_SECONDS * 1000 / 3


@pytest.mark.rule("X-096")
def test_a_closed_loop_does_not_know_what_would_have_come(tmp_path):
    report = run(CLOSED, tmp_path)
    assert slow(report, "event") < DUE_MEANWHILE * 0.6
    assert slow(report, "event") >= 1


@pytest.mark.rule("X-096")
def test_arrivals_do_not_wait_and_have_latencies_from_when_they_were_due(tmp_path):
    report = run(ARRIVALS, tmp_path)
    assert slow(report, "due") > DUE_MEANWHILE * 0.6
    # From when they were sent only those look slow for which there was room in the windows.
    assert slow(report, "event") < slow(report, "due") / 2
    assert report.due_ms is not None
    assert report.due_ms.max > STALL_SECONDS * 1000 * 0.9
    assert report.answers > RATE * 2 * 0.7
