"""A run shared by several processes: who carries what, one report, signals, refusals."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from simulators.load.parts import parts_of
from simulators.scenarios.model import Scenario, parse_scenario
from tests.support.responder import Responder, grant_all

SCENARIO = """\
name: shared
seed: 9
load: LOAD
gateways:
  - {origin_host: "pgw{n}.net.example", origin_realm: net.example, connections: 3}
subscribers:
  - {count: 9000, identities: [{type: msisdn, pattern: "+1555####"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""
OPEN = "{arrivals: {process: poisson, per_second: 60}, duration_seconds: 2}"
PREPARED = "{concurrency: 20, duration_seconds: DURATION}\nmode: prepared"


def scenario_of(load: str) -> Scenario:
    return parse_scenario(SCENARIO.replace("LOAD", load), "s")


@pytest.mark.rule("X-095")
def test_each_process_has_connections_of_its_own_and_its_part_of_the_load():
    burst = (
        "{arrivals: {process: burst, per_second: 3, burst_per_second: 9, every_seconds: 9,"
        " burst_seconds: 2}, sessions: 11}"
    )
    parts = parts_of(scenario_of(burst), 2)
    hosts = [[host for one in part.gateways for host in one.origin_hosts()] for part in parts]
    assert hosts == [["pgw1.net.example", "pgw3.net.example"], ["pgw2.net.example"]]
    assert [part.load.sessions for part in parts] == [6, 5]
    arrivals: Any = parts[0].load.arrivals
    assert (arrivals.per_second, arrivals.burst_per_second, arrivals.every_seconds) == (1.5, 4.5, 9)
    assert len({part.seed for part in parts}) == 2
    assert parts == parts_of(scenario_of(burst), 2), "the same dice every time"
    others = parts_of(scenario_of("{concurrency: 8, duration_seconds: 1}"), 3)
    assert [part.load.concurrency for part in others] == [3, 3, 2]
    ramp = "{arrivals: {process: ramp, from_per_second: 10, to_per_second: 40}}"
    steps: Any = parts_of(scenario_of(ramp), 2)[1].load.arrivals
    assert (steps.from_per_second, steps.to_per_second) == (5, 20)
    short: Any = parts_of(scenario_of("{arrivals_per_second: 3, sessions: 3}"), 3)[2].load
    assert (short.arrivals_per_second, short.sessions) == (1, 1)


@pytest.mark.rule("X-095")
def test_what_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="has 3 connections: 4 processes need as many"):
        parts_of(scenario_of(OPEN), 4)
    with pytest.raises(ValueError, match="concurrency: 1 cannot be shared"):
        parts_of(scenario_of("{concurrency: 1, duration_seconds: 1}"), 2)


def command(path: Path, port: int, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "ocs.cli.main", "simulate", "run", str(path)),
        *("--processes", "2", "--json", "--port", str(port), *options),
    ]


@pytest.mark.rule("X-095")
@pytest.mark.parametrize("load", [OPEN, PREPARED.replace("DURATION", "1")])
def test_a_shared_run_has_one_report(load, tmp_path):
    path = tmp_path / "shared.yaml"
    path.write_text(SCENARIO.replace("LOAD", load))
    with Responder(grant_all) as responder:
        done = subprocess.run(
            command(path, responder.port), capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["processes"], report["seed"], report["problems"]) == (2, 9, [])
    hosts = {one.origin_host for _, one in responder.requests}
    assert hosts == {f"pgw{number}.net.example" for number in (1, 2, 3)}
    assert report["requests"] == sum(report["series"]["sent"])
    assert report["answers"] == report["latency_ms"]["event"]["count"] > 50
    assert report["answers"] <= len(responder.requests)
    sessions = {one.session_id for _, one in responder.requests}
    assert len(sessions) == len(responder.requests)


@pytest.mark.rule("X-095")
@pytest.mark.parametrize(
    "load",
    [OPEN.replace("duration_seconds: 2", "duration_seconds: 500"),
     PREPARED.replace("DURATION", "500")],
)  # fmt: skip
def test_a_signal_ends_all_of_them_and_keeps_what_was_measured(load, tmp_path):
    path = tmp_path / "shared.yaml"
    path.write_text(SCENARIO.replace("LOAD", load))
    flowing = threading.Event()

    def answer(responder, header, request):
        if len(responder.requests) > 30 and {one.origin_host for _, one in responder.requests} >= {
            "pgw1.net.example",
            "pgw2.net.example",
        }:
            flowing.set()
        return grant_all(responder, header, request)

    with Responder(answer) as responder:
        process = subprocess.Popen(
            command(path, responder.port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert flowing.wait(60)
        os.kill(process.pid, signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    report = json.loads(out)
    assert report["problems"] == ["ended by a signal (2 times)"], errors
    assert report["processes"] == 2
    assert report["answers"] > 0


@pytest.mark.parametrize(
    "options, words",
    [
        (["--reconcile"], "give --database URL, or --check-with COMMAND"),
        (["--processes", "4"], "4 processes need"),
    ],
)
def test_what_is_lacking_is_said(options, words, tmp_path):
    path = tmp_path / "shared.yaml"
    path.write_text(SCENARIO.replace("LOAD", OPEN))
    done = subprocess.run(
        command(path, 9, *options), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert words in done.stderr + done.stdout


def test_a_server_that_is_not_there_is_said(tmp_path):
    path = tmp_path / "shared.yaml"
    path.write_text(SCENARIO.replace("LOAD", PREPARED.replace("DURATION", "1")))
    done = subprocess.run(command(path, 1), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "process 1 of 2: no server at 127.0.0.1 port 1: Connection refused" in done.stderr
