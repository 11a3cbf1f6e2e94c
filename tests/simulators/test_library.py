"""Every scenario that comes along, run at small size against a real server, and the books after.

The server sells config/catalogues/library.yaml; `ocs simulate provision` lets the gateways in and
adds the subscribers, as docs/simulator.md says.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from config import config_path
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.instants import format_instant
from ocs.provisioning.proof import audit
from simulators.scenarios.model import load_scenario
from tests.support.blackbox import World
from tests.support.launcher import run_ocs
from tests.support.sources import ROOT

NAMES = sorted(path.stem for path in (ROOT / "config" / "scenarios").glob("*.yaml"))
HALF_HOUR_SECONDS = 1800
NS = 1_000_000_000

SIZES: dict[str, list[str]] = {
    "burst": ["--duration", "2"],
    "data": ["--sessions", "60", "--duration", "6", "--speed-up", "600"],
    "day": ["--duration", "2", "--speed-up", "900"],
    "demo": ["--duration", "3"],
    "enquiries": ["--duration", "3"],
    "failover": ["--duration", "4"],
    "faults": ["--duration", "4"],
    "knee": ["--duration", "2"],
    "lab": ["--duration", "3", "--speed-up", "30"],
    "load": ["--duration", "1"],
    "messages": ["--duration", "3", "--speed-up", "30"],
    "misbehaving": ["--duration", "4"],
    "population": ["--sessions", "150", "--duration", "4", "--speed-up", "300"],
    "refunds": ["--duration", "4", "--speed-up", "20"],
    "roaming": ["--duration", "4", "--speed-up", "600"],
    "soak": ["--sessions", "60", "--duration", "4", "--speed-up", "300"],
    "tariff-change": ["--duration", "5", "--speed-up", "60"],
    "voice": ["--duration", "4", "--speed-up", "900"],
}
"""What makes each of them small."""

SEEN: dict[str, set[str]] = {
    "burst": {"sms sessions", "events charged"},
    "data": {"data sessions", "grant", "final grant", "ended", "used octets", "uncontrolled"},
    "day": {"voice sessions", "sms sessions", "events charged"},
    "demo": {"data sessions", "voice sessions", "sms sessions"},
    "enquiries": {"enough credit", "not enough credit", "price told", "events charged"},
    "failover": {"data sessions", "voice sessions", "sms sessions", "ended"},
    "faults": {"data sessions", "sms sessions", "ended", "forgotten"},
    "knee": {"events charged"},
    "lab": {"data sessions", "voice sessions", "grant"},
    "misbehaving": {"data sessions", "voice sessions", "ended", "never ended"},
    "messages": {"events charged", "reserved", "sms sessions", "mms sessions", "not delivered"},
    "population": {"data sessions", "voice sessions", "sms sessions", "ended"},
    "refunds": {"events charged", "reserved", "refunded"},
    "roaming": {"moves", "grant", "ended"},
    "soak": {"data sessions", "voice sessions", "sms sessions"},
    "tariff-change": {"data sessions", "grant", "tariff changes"},
    "voice": {"voice sessions", "used seconds", "ended", "grant"},
}
"""What must have happened to the subscribers of each."""

REFUSALS = {
    "data": {"2001", "4012"},  # the poor run out of money
    "enquiries": {"2001", "4012"},
    "misbehaving": {"2001", "5004", "5005", "5014"},
}
FORGETFUL = {"faults"}
"""Gateways that restart wait no more for what they had asked."""
FREE = {"load"}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    """A server that sells what the library uses."""
    diameter: dict[str, Any] = {"peers": []}
    with World(tmp_path_factory.mktemp("library"), diameter=diameter) as running:
        catalogue = config_path("catalogues/library.yaml").read_text(encoding="utf-8")
        catalogs.publish(running.desk, catalogue, "library.yaml")
        yield running
        running.check()


def ocs(*arguments: str) -> Any:
    """What `ocs ... --json` prints."""
    done = run_ocs(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def provision(world: World, name: str) -> None:
    scenario = load_scenario(config_path(f"scenarios/{name}.yaml"))
    planned = all(group.plan for group in scenario.subscribers)
    plan = [] if planned else ["--plan", "prepaid"]
    made = ocs("simulate", "provision", name, *plan, "--database", world.server.url)
    assert made["peers"] == [h for one in scenario.gateways for h in one.origin_hosts()]
    assert made["subscribers"] == scenario.subscriber_count


def run(world: World, name: str, *options: str) -> Any:
    port = str(world.server.addresses[0][1])
    return ocs("simulate", "run", name, "--port", port, *SIZES[name], *options)


def check(name: str, report: Any) -> None:
    assert report["ok"], report["problems"]
    asked = report["requests"]
    assert report["answers"] == asked > 10 or (name in FORGETFUL and report["answers"] > asked / 2)
    assert set(report["result_codes"]) <= REFUSALS.get(name, {"2001"}), report["result_codes"]
    assert set(report["events"]) >= SEEN.get(name, set()), report["events"]
    assert report["events"].get("granted nothing", 0) == 0


def test_every_scenario_of_the_library_is_run_here():
    assert set(SIZES) == set(NAMES)


@pytest.mark.rule("X-001")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "tariff-change"])
def test_a_scenario_of_the_library_runs(world, name):
    provision(world, name)
    check(name, run(world, name))
    assert audit.run(world.desk, world.catalogues).clean


@pytest.mark.rule("X-006")
def test_used_units_are_split_where_the_tariff_changes(world):
    provision(world, "tariff-change")
    now = world.now_ns() // NS
    world.advance(HALF_HOUR_SECONDS - now % HALF_HOUR_SECONDS - 2)
    report = run(world, "tariff-change", "--start", format_instant(world.now_ns()))
    check("tariff-change", report)
    assert audit.run(world.desk, world.catalogues).clean
