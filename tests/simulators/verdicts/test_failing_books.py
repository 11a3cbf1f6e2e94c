"""Gateways whose requests fail, against a real server: its books hold what they were told of."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config import config_path
from ocs.provisioning.catalogues import catalogs
from tests.support.blackbox import World
from tests.support.launcher import run_ocs

SCENARIO = """\
name: failing
seed: SEED
speed_up: 60
load: {arrivals: {process: constant, per_second: 10}, sessions: 24}
gateways:
  - origin_host: pgw1.net.example
    origin_realm: net.example
    answer_timeout_seconds: 0.6
    retransmissions_max: 0
    failure_handling: HANDLING
    debit_failure_handling: DEBITS
subscribers:
  - {count: 5, first: FIRST, plan: prepaid, balance: "20",
     identities: [{type: msisdn, pattern: "+34699####"}]}
services:
  - {kind: data, weight: 2, duration_seconds: 60, rating_groups: [
      {rating_group: 100, octets_per_second: {uniform: [100000, 400000]}}]}
  - {kind: sms, destinations: [{number: "+346######"}]}
faults: {answers: [{kind: lost, probability: 0.3}]}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that sells what the library uses."""
    catalogue = config_path("catalogues/library.yaml").read_text(encoding="utf-8")
    with World(tmp_path_factory.mktemp("failing"), diameter={"peers": []}) as running:
        catalogs.publish(running.desk, catalogue, "library.yaml")
        yield running


def run(world: World, tmp_path: Any, handling: str, debits: str, seed: int) -> dict[str, Any]:
    path = tmp_path / "failing.yaml"
    text = SCENARIO.replace("HANDLING", handling).replace("DEBITS", debits)
    path.write_text(text.replace("SEED", str(seed)).replace("FIRST", str(100 * seed)))
    url = world.server.url
    done = run_ocs("simulate", "provision", path, "--database", url)
    assert done.returncode == 0, done.stdout + done.stderr
    port = world.server.addresses[0][1]
    options = ("--port", port, "--json", "--reconcile", "--database", url)
    done = run_ocs("simulate", "run", path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["problems"] == []
    assert all(one["ok"] for one in report["verdicts"]), report["verdicts"]
    assert report["requests"] == report["answers"] + report["unanswered"]
    return report


@pytest.mark.rule("X-043", "X-045", "X-075")
def test_what_goes_on_uncharged_is_not_in_the_books(world, tmp_path):
    report = run(world, tmp_path, "continue", "continue", 1)
    events = report["events"]
    assert events["went on uncharged"] > 3
    assert events["uncharged octets"] > 1_000_000
    assert events["uncharged events"] > 0


@pytest.mark.rule("X-042", "X-045", "X-075")
def test_what_is_sent_later_is_in_the_books_once(world, tmp_path):
    report = run(world, tmp_path, "terminate", "terminate_or_buffer", 2)
    events = report["events"]
    assert events["kept to be sent later"] >= events["kept and answered later"] > 0
    assert events["unanswered"] > 3
    assert not [name for name in events if name.startswith("uncharged")]
