"""Answers that come late or unasked over a real socket are counted, and what waits is exact."""

import io
import json
import threading
from typing import Any

import pytest
from rich.console import Console

from protocol.credit_control_writer import write_cca
from simulators.reports.dashboard import Dashboard
from simulators.reports.report import Measurements, progress_line
from simulators.scenarios.model import parse_scenario
from simulators.traffic.simulation import Simulation
from tests.support.launcher import run_ocs
from tests.support.reactor_thread import reactor_thread
from tests.support.responder import Responder, grant_all

SCENARIO = """\
name: strays
seed: 5
speed_up: 400
load: {concurrency: 4, sessions: 4, duration_seconds: 20}
gateways:
  - origin_host: pgw1.net.example
    origin_realm: net.example
    answer_timeout_seconds: 0.2
    retransmissions_max: 10
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "155500#"}]}
services:
  - kind: data
    duration_seconds: 100
    rating_groups: [{rating_group: 100, octets_per_second: 20000}]
"""
_UNASKED = 0xF0F0F0F0


class Strays:
    """Loses the first answer of each update, and sends it when the update comes again; and with
    each initial request an answer that belongs to nothing.
    """

    def __init__(self) -> None:
        self._first: dict[str, Any] = {}
        self.late = 0
        self.unasked = 0

    def __call__(self, responder: Responder, header: Any, request: Any) -> Any:
        answer = grant_all(responder, header, request)
        if request.request_type == 1:
            self.unasked += 1
            responder.strays.append(write_cca(answer, _UNASKED, header.end_to_end, True))
        if request.request_type != 2:
            return answer
        first = self._first.pop(request.session_id, None)
        if first is None:
            self._first[request.session_id] = header
            return None
        self.late += 1
        responder.strays.append(write_cca(answer, first.hop_by_hop, first.end_to_end, True))
        return answer


@pytest.mark.rule("X-039")
def test_late_and_unasked_answers_are_counted_apart(tmp_path):
    path, page, strays = tmp_path / "strays.yaml", tmp_path / "page.html", Strays()
    path.write_text(SCENARIO)
    with Responder(strays) as responder:
        options = ("--json", "--html", page, "--port", responder.port)
        done = run_ocs("simulate", "run", path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["unasked_answers"] == strays.unasked == 4
    assert report["late_answers"] == strays.late >= 4
    assert report["answers"] == report["requests"]  # and none of them was taken for one
    assert report["unanswered"] == 0
    assert sum(report["result_codes"].values()) == report["answers"]
    text = page.read_text()
    assert f'answers that came too late</td><td class="number">{strays.late}<' in text
    assert 'answers that nobody had asked for</td><td class="number">4<' in text


@pytest.mark.rule("X-040")
def test_what_waits_for_an_answer_counts_once_however_often_it_was_sent():
    released = threading.Event()
    seen: list[int] = []

    def deaf(responder: Any, header: Any, request: Any) -> Any:
        silent = request.request_type == 2 and not released.is_set()
        return None if silent else grant_all(responder, header, request)

    def progress(measured: Measurements, _seconds: float) -> None:
        if measured.timed_out >= 8 and not released.is_set():
            seen.append(measured.waiting)
            released.set()

    with Responder(deaf) as responder, reactor_thread() as thread:
        scenario = parse_scenario(SCENARIO, "strays.yaml")

        def start() -> Any:
            run = Simulation(thread.reactor, scenario, "127.0.0.1", responder.port, progress)
            runs.append(run)
            return run.start()

        runs: list[Simulation] = []
        report = thread.call(start)
    assert seen == [4]  # with 8 waits that were too long
    assert runs[0].measured.waiting == 0
    assert report.requests == report.answers
    assert report.late_answers == report.unasked_answers == 0


@pytest.mark.rule("X-040")
def test_what_a_gateway_gives_up_waits_no_more():
    text = SCENARIO.replace("retransmissions_max: 10", "retransmissions_max: 1")
    seen: list[int] = []
    with Responder(lambda *_: None) as responder, reactor_thread() as thread:
        scenario = parse_scenario(text, "strays.yaml")
        report = thread.call(
            lambda: Simulation(
                *(thread.reactor, scenario, "127.0.0.1", responder.port),
                lambda measured, _: seen.append(measured.waiting),
            ).start()
        )
    assert (report.requests, report.answers, report.unanswered) == (4, 0, 4)
    assert report.timeouts == 8
    assert 0 < max(seen) <= 4
    assert min(seen) == 0


@pytest.mark.rule("X-039", "X-040")
def test_people_are_shown_what_waits_and_what_strays():
    measured = Measurements(sent=9, timed_out=7, given_up=2, late_answers=3, unasked_answers=5)
    measured.latencies[1].record(1000)
    assert measured.waiting == 6
    assert "waiting 6 " in progress_line(measured, 1.0, {})
    screen = io.StringIO()
    console = Console(width=120, file=screen)
    console.print(Dashboard(console, "strays", None).drawn(measured, 1.0))
    shown = " ".join(screen.getvalue().split())
    assert "waiting 6 sent again 0, timed out 7" in shown
    assert "unanswered 2 answers late 3, unasked 5" in shown
