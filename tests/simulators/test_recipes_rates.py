"""The recipe of docs/simulator.md to find the maximum rate."""

import json
from typing import Any

from config import config_path
from ocs.provisioning.catalogues import catalogs
from tests.support.blackbox import World
from tests.support.launcher import run_ocs
from tests.support.recipes import commands


def ocs(*arguments: str, directory: Any) -> None:
    done = run_ocs(*arguments, cwd=directory)
    assert done.returncode == 0, done.stdout + done.stderr


def test_find_the_maximum_rate(tmp_path):
    provision, run = commands("find the maximum rate")
    ramp = config_path("scenarios/knee.yaml").read_text(encoding="utf-8")
    small = ramp.replace("step_seconds: 10", "step_seconds: 1").replace("steps: 20", "steps: 3")
    # Steps that no server of today survives, and that are over at once.
    small = small.replace("to_per_second: 400", "to_per_second: 1000")
    small = small.replace("latency_ms: 100", "latency_ms: 0.01")
    assert small.count("1000") >= 2
    (tmp_path / "knee.yaml").write_text(small, encoding="utf-8")
    home = tmp_path / "server"
    home.mkdir()
    with World(home, diameter={"peers": []}) as world:
        catalogue = config_path("catalogues/library.yaml").read_text(encoding="utf-8")
        catalogs.publish(world.desk, catalogue, "library.yaml")
        ocs(*provision, "--database", world.server.url, directory=tmp_path)
        assert run[:2] == ["simulate", "knee"]
        port = str(world.server.addresses[0][1])
        ocs("simulate", "knee.yaml", *run[2:], "--port", port, directory=tmp_path)
        world.check()
    report = json.loads((tmp_path / "knee.json").read_text(encoding="utf-8"))
    assert [step["full"] for step in report["ramp"]["steps"]] == [True]
    assert report["ramp"]["knee_per_second"] == 0
    assert report["answers"] == report["requests"] > 10
