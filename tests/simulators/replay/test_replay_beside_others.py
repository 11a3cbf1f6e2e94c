"""Replays that are asked by the server, speak TLS, or cannot be recorded."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ocs.provisioning import session_requests, sessions
from tests.support.blackbox import World
from tests.support.blackbox_asking import row_of
from tests.support.captures import Talk, session
from tests.support.certificates import Authority
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, grant_all
from tests.support.simulated import capture
from tests.support.sources import ROOT

CLIENT = "sim1.net.example"
END_SECONDS = 30
HOUR_NS = 3600 * 1_000_000_000


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """A server that knows the client."""
    home = tmp_path / "server"
    home.mkdir()
    diameter: dict[str, Any] = {"peers": [{"origin_host": CLIENT}]}
    with World(home, diameter=diameter) as running:
        yield running
        running.check()


def beginning(pause_ns: int = 0) -> Talk:
    """The beginning of a session, and after a pause its first report."""
    talk = Talk().open().exchange(*session()[0])
    talk.at_ns += pause_ns
    return talk.exchange(*session()[1])


@contextlib.contextmanager
def replayed(path, port, *options: str) -> Iterator[dict[str, Any]]:
    """The replay as it goes on; its report is there at the end."""
    report: dict[str, Any] = {}
    command = [sys.executable, "-m", "ocs.cli.main", "simulate", "replay", str(path), "--json"]
    process = subprocess.Popen(
        [*command, "--port", str(port), *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        yield report
        process.send_signal(signal.SIGTERM)
        report.update(json.loads(process.communicate(timeout=END_SECONDS)[0]))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.rule("X-058")
def test_the_server_is_answered_and_the_recording_goes_on(world, tmp_path):
    subscriber = world.account("A1")
    options = ("--origin-host", CLIENT, "--subscriber", f".*={subscriber.msisdn}")
    port = world.server.addresses[0][1]
    with replayed(capture(tmp_path, beginning(HOUR_NS)), port, *options) as report:
        world.eventually(lambda: len([*sessions.listing(world.desk)]) == 1)
        (found,) = sessions.listing(world.desk)
        session_requests.reauth(world.desk, found["session_id"], None)
        world.eventually(lambda: row_of(world, found["session_id"])["result_code"] == 2001)
        session_requests.abort(world.desk, found["session_id"])
        world.eventually(lambda: row_of(world, found["session_id"])["result_code"] == 5012)
    assert report["traffic"]["events"] == {"abort_session": 1, "re_auth": 1}
    assert report["traffic"]["answers"] == 1


@pytest.mark.rule("X-057", "B-002")
def test_a_replay_over_tls(tmp_path):
    authority = Authority(tmp_path / "authority")
    server = authority.server(authority.issue("responder.ocs.example"))
    client = authority.issue("*.epc.example", folder="clients")
    with Responder(grant_all, server) as responder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ocs.cli.main", "simulate", "replay"),
                capture(tmp_path, beginning()),
                *("--json", "--speed", "max", "--port", str(responder.port)),
                *("--tls-certificate", client.certificate_file, "--tls-key", client.key_file),
                *("--tls-trusted", authority.trusted_file),
            ],
            capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["comparison"]["same"] == 2


@pytest.mark.rule("X-063")
def test_prepared_load_is_not_recorded(tmp_path):
    path = tmp_path / "load.pcap"
    done = run_ocs("simulate", "record", "load", path)
    assert done.returncode == 2
    assert "is prepared load, which is not recorded" in done.stderr
    assert not path.exists()
