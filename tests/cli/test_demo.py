"""`ocs demo` as people run it: in a process of its own, with a server in another one."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def documented(command):
    """The JSON that the document shows for a command."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(f"### `{command}`")[2]
    block = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert block
    return json.loads(block[1])


def start(tmp_path, *arguments: str):
    return subprocess.Popen(
        [sys.executable, "-m", "ocs.cli.main", "demo", "--seconds", "3", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )


def test_the_demo_charges_explains_and_audits(tmp_path):
    done = start(tmp_path, "--json")
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    document = json.loads(out)
    assert document["ok"]
    assert document["audit"]["clean"]
    assert document["audit"]["accounts"] == 12
    assert document["traffic"]["answers"] > 20
    assert document["traffic"]["differing_answers"] == 0
    assert document["ledger"]
    assert document["why"]["matches"]
    assert list(document) == list(documented("ocs demo"))
    report = documented("ocs simulate run")
    assert list(document["traffic"]) == list(report)
    assert list(document["traffic"]["latency_ms"]["all"]) == list(report["latency_ms"]["all"])
    for concept in ("Plan", "Subscriber", "Balance", "Peer"):
        assert f"\n{concept}\n" in err
    assert "requests/s" in err
    assert not list(tmp_path.glob("ocs-demo-*"))


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    process = start(tmp_path)
    said = ""
    while "requests/s" not in said:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        said += line
    server = int(said.partition("(process ")[2].partition(")")[0])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not Path(f"/proc/{server}").exists()
    assert not list(tmp_path.glob("ocs-demo-*"))
