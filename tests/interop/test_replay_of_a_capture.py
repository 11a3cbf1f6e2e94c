"""What tshark captured of a real run, played to real servers, as the recipe of the manual says.

Needs the right to capture on loopback, which root has. The recipe is read out of docs/simulator.md.
"""

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocs.provisioning.catalogues import catalogs
from simulators.replay.findings import Findings, UnusableError
from simulators.replay.loading import Selection, load_capture
from tests.support.blackbox import World
from tests.support.captures import (
    SERVER4,
    Made,
    Talk,
    fragments4,
    fragments6,
    ipv6,
    session,
)
from tests.support.launcher import run_ocs
from tests.support.responder import Responder
from tests.support.simulated import capture
from tests.support.sources import ROOT
from tests.support.tshark import dissect

pytestmark = [pytest.mark.interop, pytest.mark.slow]
PATIENCE_SECONDS = 60.0
CATALOGUE = """\
name: Yesterday
currency: EUR
services:
  data:
    contexts: 32251@3gpp.org
    rating_groups: [100]
    default: true
    unit: octets
    quota: {slice: 1 MB, maximum: 1 MB, validity: 10 min}
  sms:
    contexts: 32274@3gpp.org
    default: true
    unit: events
    quota: {slice: 1, maximum: 10}
plans:
  basic:
    name: Basic
    services:
      data: {price: 0.05, per: 1 MB, increment: 100 kB}
      sms: {price: 0.09, per: 1}
"""
NEW_CATALOGUE = CATALOGUE.replace("slice: 1 MB, maximum: 1 MB", "slice: 500 kB, maximum: 500 kB")
SCENARIO = """\
name: yesterday
seed: 3
speed_up: 300
load: {concurrency: 4, sessions: 20, duration_seconds: 30}
gateways:
  - {origin_host: "pgw{n}.net.example", origin_realm: net.example, connections: 2, window: 4}
subscribers:
  - {count: 12, identities: [{type: msisdn, pattern: "+155500##"}]}
services:
  - kind: data
    weight: 3
    duration_seconds: {uniform: [60, 300]}
    rating_groups: [{rating_group: 100, octets_per_second: 30000}]
  - {kind: sms, destinations: [{number: "+4930#######"}]}
"""


def ocs(directory: Path, *arguments: str, expect: int = 0) -> Any:
    done = run_ocs(*arguments, "--json", cwd=directory, environ={"PATH": "/usr/bin:/bin"})
    assert done.returncode == expect, done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def captured(tshark: Path, port: int, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Capture what this port says while the block runs, and until both clients said goodbye."""
    command = [str(tshark), "-i", "lo", "-f", f"tcp port {port}", "-w", str(path), "-P", "-l"]
    command += ["-d", f"tcp.port=={port},diameter", "-T", "fields", "-e", "diameter.cmd.code"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        killer = threading.Timer(PATIENCE_SECONDS, running.kill)
        killer.start()
        try:
            said = ""
            for line in running.stderr:
                said += line
                if "Capture started" in line or line.startswith("File:"):
                    break
            else:
                pytest.skip(f"this user may not capture on loopback: {said.strip()}")
            yield running
            goodbyes = 0
            for line in running.stdout:
                goodbyes += line.strip().split(",").count("282")
                if goodbyes == 4:
                    break
            assert goodbyes == 4
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=PATIENCE_SECONDS)
        finally:
            killer.cancel()
            running.kill()


@pytest.fixture(scope="module")
def yesterday(needs_tshark: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the database before the run, the capture of it, and both catalogues."""
    directory = tmp_path_factory.mktemp("yesterday")
    (directory / "scenario.yaml").write_text(SCENARIO)
    (directory / "old-catalogue.yaml").write_text(CATALOGUE)
    (directory / "new-catalogue.yaml").write_text(NEW_CATALOGUE)
    with World(directory, f"sqlite:///{directory}/live.db", diameter={"peers": []}) as world:
        catalogs.publish(world.desk, CATALOGUE, "old-catalogue.yaml")
        live = ("--database", world.server.url)
        provision = ("simulate", "provision", "scenario.yaml", "--plan", "basic")
        ocs(directory, *provision, "--balance", "2", *live)
        ocs(directory, "db", "backup", "before.db", *live)
        port = world.server.addresses[0][1]
        with captured(needs_tshark, port, directory / "yesterday.pcapng"):
            report = ocs(directory, "simulate", "run", "scenario.yaml", "--port", str(port))
        assert report["ok"]
        (directory / "run.json").write_text(json.dumps(report))
        (directory / "balances.json").write_text(json.dumps(balances(directory, world.server.url)))
        world.check()
    return directory


def balances(directory: Path, url: str) -> dict[str, Any]:
    found = ocs(directory, "subscriber", "list", "--database", url)["subscribers"]
    return {str(one["identities"]): one["balance_micro"] for one in found}


def recipe() -> list[list[str]]:
    """The commands of the second block of the recipe."""
    page = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    text = page.partition("### Recipe: replay yesterday's capture")[2].partition("\n### ")[0]
    first, second = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    assert "ocs db backup before.db" in first
    assert "-w yesterday.pcapng" in first
    return [shlex.split(line.removeprefix("$ ")) for line in second.splitlines()]


def follow(directory: Path, commands: list[list[str]], *more: str, expect: int = 0) -> Any:
    """Do what the recipe says, on a port that the system chooses; returns the replay's report."""
    settings = {
        "diameter": {
            "listen": ["127.0.0.1:0"],
            "origin_host": "lab.ocs.example",
            "origin_realm": "lab.example",
        },
        "database": {"url": f"sqlite:///{directory}/lab.db"},
        "logging": {"format": "json", "level": "info"},
    }
    (directory / "lab.yaml").write_text(yaml.safe_dump(settings))
    port = ""
    server: subprocess.Popen[str] | None = None
    result = None
    try:
        for _, *arguments in commands:
            if arguments[-1] == "&":
                server = subprocess.Popen(
                    [sys.executable, "-m", "ocs.cli.main", *arguments[:-1]],
                    cwd=directory, stderr=subprocess.PIPE, text=True,
                    env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                )  # fmt: skip
                port = port_of(server)
            elif arguments[:2] == ["simulate", "replay"]:
                typed = [port if one == "3868" else one for one in arguments]
                result = ocs(directory, *typed, *more, expect=expect)
            else:
                ocs(directory, *arguments)
    finally:
        if server is not None:
            server.terminate()
            server.communicate(timeout=PATIENCE_SECONDS)
    return result


def port_of(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    for line in server.stderr:
        if '"serving"' in line:
            return str(json.loads(line)["listen"][0].rpartition(":")[2])
    raise AssertionError("the server ended before it served")


@pytest.mark.rule("X-064", "X-050", "X-052")
def test_the_same_catalogue_answers_the_same_and_leaves_the_same_balances(yesterday, tmp_path):
    commands = [one for one in recipe() if one[1:3] != ["catalog", "publish"]]
    for name in ("before.db", "yesterday.pcapng"):
        (tmp_path / name).write_bytes((yesterday / name).read_bytes())
    report = follow(tmp_path, commands)
    run = json.loads((yesterday / "run.json").read_text())
    assert report["ok"]
    assert report["comparison"]["same"] == run["answers"] > 60
    assert report["traffic"]["result_codes"] == run["result_codes"]
    assert report["problems"] == []
    then = json.loads((yesterday / "balances.json").read_text())
    assert balances(tmp_path, f"sqlite:///{tmp_path}/lab.db") == then


@pytest.mark.rule("X-064")
def test_the_recipe_shows_what_a_new_catalogue_changes(yesterday, tmp_path):
    for name in ("before.db", "yesterday.pcapng", "new-catalogue.yaml"):
        (tmp_path / name).write_bytes((yesterday / name).read_bytes())
    report = follow(tmp_path, recipe(), expect=1)
    assert report == json.loads((tmp_path / "differences.json").read_text())
    groups = {
        (one["request"], one["aspect"], one["sort"]): one for one in report["comparison"]["groups"]
    }
    assert set(groups) == {
        (request, aspect, sort)
        for request in ("initial", "update")
        for aspect, sort in (
            ("granted", "less octets"),
            ("thresholds", "less volume quota threshold"),
        )
    }
    example = groups["update", "granted", "less octets"]["example"]
    assert (example["recorded"], example["answered"]) == ("1000000 octets", "500000 octets")
    assert report["comparison"]["same"] > 0, "messages and ends of sessions"


@pytest.mark.rule("X-053", "X-054", "X-056")
def test_tshark_and_our_own_reader_find_the_same(yesterday):
    path = yesterday / "yesterday.pcapng"
    own, other = Findings(), Findings()
    read = load_capture(path, own).exchanges
    by_tshark = load_capture(path, other, Selection(by_tshark=True)).exchanges
    assert len(read) > 60
    assert [(one.request, one.answer) for one in by_tshark] == [
        (one.request, one.answer) for one in read
    ]
    assert own.problems == other.problems == []
    assert by_tshark[5].at_ns == read[5].at_ns


@pytest.mark.rule("X-065")
@pytest.mark.parametrize("version", [4, 6])
def test_tshark_puts_the_same_fragments_together(tmp_path, needs_tshark, version):
    messages = session(updates=3)
    talk = Talk().open().exchange_all(messages)
    packets = []
    for number, (at_ns, data, _) in enumerate(talk.packets):
        back = data[12:16] == SERVER4
        whole = data if version == 4 else ipv6(data[20:], back=back)
        parts = (fragments4 if version == 4 else fragments6)(whole, 96, number)
        packets += [Made(at_ns + index, one) for index, one in enumerate(parts)]
    path, own, other = capture(tmp_path, packets), Findings(), Findings()
    read = load_capture(path, own).exchanges
    by_tshark = load_capture(path, other, Selection(by_tshark=True)).exchanges
    assert [(one.request, one.answer) for one in read] == messages
    assert [(one.request, one.answer) for one in by_tshark] == messages


@pytest.mark.rule("X-053")
def test_a_link_that_only_tshark_reads(tmp_path, needs_tshark):
    wireless = bytes.fromhex("08010000") + bytes(20) + bytes.fromhex("aaaa030000000800")
    messages = session(updates=2)
    talk = Talk().open().exchange_all(messages)
    packets = [Made(at, wireless + data) for at, data, _ in talk.packets]
    path = capture(tmp_path, packets, link_type=105)
    loaded = load_capture(path, Findings())
    assert [(one.request, one.answer) for one in loaded.exchanges] == messages


@pytest.mark.rule("X-053")
def test_what_tshark_cannot_read_either_is_said(tmp_path, needs_tshark):
    path = tmp_path / "a.pcap"
    path.write_bytes(b"no capture at all")
    with pytest.raises(UnusableError, match="tshark can do nothing with"):
        load_capture(path, Findings(), Selection(by_tshark=True))


@pytest.mark.rule("X-063", "X-041")
def test_tshark_reads_a_recording_without_complaint(tmp_path, needs_tshark):
    path = tmp_path / "run.pcap"
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    with Responder() as responder:
        record = ("simulate", "record", "scenario.yaml", str(path))
        report = ocs(tmp_path, *record, "--port", str(responder.port))
    frames = dissect(needs_tshark, path, 3868)
    codes = [code for one in frames.values() for code in one.fields["diameter.cmd.code"]]
    assert codes == ["272"] * (report["requests"] + report["answers"])
    answers = [one for one in frames.values() if "diameter.answer_to" in one.fields]
    assert len(answers) == report["answers"], "tshark matches answers with requests"
    assert [complaint.text for one in answers for complaint in one.complaints] == []
    identities = [
        complaint.text
        for one in frames.values()
        for complaint in one.complaints
        if any("Subscription-Id" in name for name in complaint.inside)
    ]
    assert identities == [], "numbers are digits alone"
    packets = {"checksum", "Retransmission", "Out-Of-Order", "previous segment", "Malformed Packet"}
    complaints = [complaint.text for one in frames.values() for complaint in one.complaints]
    assert [text for text in complaints if any(word in text for word in packets)] == []
