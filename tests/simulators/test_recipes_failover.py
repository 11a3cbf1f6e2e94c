"""Recipe of docs/simulator.md: prove that a failover loses nothing; a server is killed, too."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocs.store import migrations
from tests.support.launcher import forked_ocs, run_ocs
from tests.support.ocs_process import OcsProcess
from tests.support.recipes import blocks, commands
from tests.support.sources import ROOT

TITLE = "prove that a failover loses nothing"
SECONDS = "8"


def ocs(arguments: list[str]) -> str:
    done = run_ocs(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def server(directory: Path, settings: dict[str, Any], url: str, number: int) -> OcsProcess:
    """One of the two servers of the recipe; it keeps its port when it is started again."""
    home = directory / f"ocs{number}"
    home.mkdir()
    diameter = {**settings["diameter"], "listen": ["127.0.0.1:0"]}
    diameter["origin_host"] = f"ocs{number}.ocs.example"
    return forked_ocs(
        home, url, diameter=diameter, charging=settings["charging"], process={"node": number}
    )


def run_with_a_killed_server(command: list[str], primary: OcsProcess) -> None:
    """Run the scenario; after the second line it says, the first server dies and comes back."""
    running = subprocess.Popen(
        [sys.executable, "-m", "ocs.cli.main", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    assert "answers/s" in running.stderr.readline() + running.stderr.readline()
    host, port = primary.addresses[0]
    primary.kill()
    primary.settings["diameter"]["listen"] = [f"{host}:{port}"]
    primary.start()
    said, complaints = running.communicate(timeout=120)
    assert running.returncode == 0, said + complaints


@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.rule("X-035", "X-036")
def test_prove_that_a_failover_loses_nothing(tmp_path, postgres_url):
    publish, provision, _, _, run, audit = commands(TITLE)
    [text] = blocks(TITLE, "yaml")
    settings = yaml.safe_load(text)
    assert settings["process"] == {"node": 1}
    first, second = (server(tmp_path, settings, postgres_url, number) for number in (1, 2))
    file, config = tmp_path / "failover.json", first.directory / "ocs.yaml"
    config.write_text(yaml.safe_dump(first.settings), encoding="utf-8")
    migrations.upgrade(postgres_url)

    def here(command: list[str]) -> list[str]:
        names = {"ocs1.yaml": str(config), "failover.json": str(file)}
        return [names.get(one, one) for one in command]

    ocs(here(publish))
    ocs(here(provision))
    with first, second:
        addresses = [":".join(map(str, one.addresses[0])) for one in (first, second)]
        names = {"127.0.0.1:3868": addresses[0], "127.0.0.1:3869": addresses[1]}
        command = [names.get(one, one) for one in here(run)]
        assert [one for one in command if one in addresses] == addresses
        run_with_a_killed_server([*command, "--duration", SECONDS], first)
        ocs(here(audit))
    report = json.loads(file.read_text(encoding="utf-8"))
    faults = report["series"]["faults_by_kind"]
    assert faults["connection lost"] >= 3  # every gateway saw the server die
    assert faults["connection cut"] >= 3
    assert faults["sent to the other server"] >= 1
    assert report["answers"] == report["requests"] > 100
    assert report["result_codes"] == {"2001": sum(report["result_codes"].values())}
    assert all(verdict["ok"] for verdict in report["verdicts"])
    assert any("books" in verdict["name"] or "reconcil" in verdict["name"]
               for verdict in report["verdicts"])  # fmt: skip
