"""A simulated gateway and a real server: asked to report it reports, asked to end it ends."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ocs.charging.model.messages import ReportingReason, RequestKind
from ocs.provisioning import session_requests, sessions
from tests.support.blackbox import World
from tests.support.blackbox_asking import row_of, until_state
from tests.support.sources import ROOT

GATEWAY = "sim1.net.example"
SCENARIO = """\
name: asked
seed: 5
destination_realm: ocs.example
load: {concurrency: 1, sessions: 1, duration_seconds: 600}
gateways:
  - {origin_host: sim1.net.example, origin_realm: net.example}
subscribers:
  - {count: 1, first: NUMBER, identities: [{type: msisdn, pattern: "+1555000000#"}]}
services:
  - kind: data
    duration_seconds: 600
    rating_groups: [{rating_group: 100, octets_per_second: 50000}]
"""
END_SECONDS = 30


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """A server that knows the simulated gateway."""
    home = tmp_path / "server"
    home.mkdir()
    diameter: dict[str, Any] = {"peers": [{"origin_host": GATEWAY}]}
    with World(home, diameter=diameter) as running:
        yield running
        running.check()


@contextlib.contextmanager
def simulated(world: World, directory, subscriber) -> Iterator[dict[str, Any]]:
    """`ocs simulate` with one long data session; its report is there at the end."""
    path = directory / "asked.yaml"
    path.write_text(SCENARIO.replace("NUMBER", subscriber.msisdn[-1]), encoding="utf-8")
    port = str(world.server.addresses[0][1])
    report: dict[str, Any] = {}
    process = subprocess.Popen(
        [sys.executable, "-m", "ocs.cli.main", "simulate", path, "--json", "--port", port],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield report
        process.send_signal(signal.SIGTERM)
        report.update(json.loads(process.communicate(timeout=END_SECONDS)[0]))
    finally:
        process.kill()
        process.communicate()


def the_session(world: World) -> Any:
    """The only open session."""
    (found,) = sessions.listing(world.desk)
    return found


def test_it_reports_when_it_is_asked_and_ends_when_it_is_told(world, tmp_path):
    subscriber = world.account("A1")
    with simulated(world, tmp_path, subscriber) as report:
        world.eventually(lambda: len([*sessions.listing(world.desk)]) == 1)
        name = the_session(world)["session_id"]
        session_requests.reauth(world.desk, name, None)
        world.eventually(lambda: world.records(subscriber)[-1].kind == RequestKind.UPDATE)
        last = world.records(subscriber)[-1].record
        reasons = {service.reason for service in last.services}
        assert reasons == {ReportingReason.FORCED_REAUTHORISATION}
        assert row_of(world, name)["result_code"] == 2002
        session_requests.abort(world.desk, name)
        world.eventually(lambda: world.session_state(name) == "closed")
        assert world.records(subscriber)[-1].record.termination_cause == 4
        assert row_of(world, name)["result_code"] == 2001
        world.advance(30)
        until_state(world, name, "done")
    assert report["events"]["re_auth"] == 1
    assert report["events"]["abort_session"] == 1
    assert report["differing_answers"] == 0
