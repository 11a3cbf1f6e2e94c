"""What a shell sees: exit codes, standard output and standard error of real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.launcher import run_ocs

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "config" / "catalogues" / "black-box.yaml"


def ocs(*arguments: str, cwd: Path, stdin: str = "", **environment: str):
    """Run the command as an own process with nothing of this environment but the path."""
    clean = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(cwd),
        "PYTHONWARNINGS": "error",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", "ocs.cli.main", *arguments],
        cwd=cwd, env=clean, input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_first_day(tmp_path):
    """From nothing to a topped-up subscriber with the embedded database of this directory."""
    assert ocs("subscriber", "list", cwd=tmp_path).returncode == 1
    assert list(tmp_path.iterdir()) == [], "looking makes no database"
    done = ocs("catalog", "publish", str(CATALOGUE), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "made the database" in done.stderr
    assert (tmp_path / "ocs.db").exists()
    add = ("subscriber", "add", "+4915112345678", "--plan", "basic")
    assert ocs(*add, cwd=tmp_path).returncode == 0
    again = ocs(*add, cwd=tmp_path)
    assert again.returncode == 1
    assert again.stdout == ""
    assert "belongs to account" in again.stderr
    topped = ocs(
        "--json", "account", "topup", "+4915112345678", "5", "--operator", "shop", cwd=tmp_path
    )
    assert json.loads(topped.stdout)["balance"] == "5.00"
    audit = ocs("audit", cwd=tmp_path)
    assert audit.returncode == 0
    assert "every micro unit adds up" in audit.stdout


@pytest.mark.parametrize(
    "arguments,code,words",
    [
        (["--version"], 0, "ocs, version"),
        (["--help"], 0, "subscriber"),
        ([], 2, "Usage"),
        (["nonsense"], 2, "No such command"),
        (["account", "topup"], 2, "Missing argument"),
        (["account", "topup", "hello", "5"], 2, "names no subscriber"),
        (["subscriber", "list", "--limit", "-1"], 2, "--limit"),
        (["subscriber", "list", "--database", "oracle://x"], 2, "oracle"),
        (["subscriber", "list", "--config", "none.yaml"], 2, "does not exist"),
        (["subscriber", "list"], 1, "ocs db upgrade"),
        (["decode", "zz"], 2, "neither a file nor hexadecimal"),
        (["decode", "01"], 1, "begins no Diameter message"),
    ],
)
def test_exit_codes(tmp_path, arguments, code, words):
    ran = ocs(*arguments, cwd=tmp_path)
    assert ran.returncode == code, ran.stderr
    assert words in (ran.stdout if code == 0 else ran.stderr)
    assert "Traceback" not in ran.stderr


def test_errors_are_documents_with_json(tmp_path):
    (tmp_path / "bad.yaml").write_text("name: x\ncurrency: NOPE\n")
    ran = ocs("catalog", "check", "bad.yaml", "--json", cwd=tmp_path)
    error = json.loads(ran.stderr)["error"]
    assert (ran.returncode, ran.stdout, error["code"], error["exit_code"]) == (
        1, "", "ocs.document", 1,
    )  # fmt: skip
    assert {(one["source"], one["line"]) for one in error["problems"]} >= {("bad.yaml", 2)}
    usage = ocs("account", "topup", "--json", cwd=tmp_path)
    assert json.loads(usage.stderr)["error"]["code"] == "ocs.usage"
    assert usage.returncode == 2


@pytest.mark.parametrize(
    "url,words",
    [
        ("postgresql://nobody@127.0.0.1:1/none", "cannot be reached"),
        ("sqlite:///missing/dir/ocs.db", ""),
        ("sqlite:///notes.txt", ""),
    ],
)
def test_databases_that_cannot_be_used(tmp_path, url, words):
    (tmp_path / "notes.txt").write_text("this is no database, whatever its name says\n" * 50)
    for command in (["subscriber", "list"], ["peer", "allow", "pgw1"], ["db", "upgrade"]):
        ran = run_ocs(*command, cwd=tmp_path, environ={"OCS_DATABASE_URL": url})
        assert ran.returncode == 1, (command, ran.stderr)
        assert ran.stderr.startswith("ocs: ")
        assert "Traceback" not in ran.stderr
    assert words in ran.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    assert ocs("catalog", "publish", str(CATALOGUE), cwd=tmp_path).returncode == 0
    script = f"{sys.executable} -m ocs.cli.main catalog show --source | head -n 1"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


def test_decode_reads_files_and_pipes(tmp_path):
    message = bytes.fromhex("0100001480000118000000000000000100000001")
    (tmp_path / "one.bin").write_bytes(message)
    (tmp_path / "two.txt").write_text(message.hex() + "\n" + message.hex(" ") + "\n")
    assert ocs("decode", "one.bin", cwd=tmp_path).stdout.count("Device-Watchdog") == 1
    assert ocs("decode", "two.txt", cwd=tmp_path).stdout.count("Device-Watchdog") == 2
    assert ocs("decode", "-", cwd=tmp_path, stdin=message.hex()).stdout.count("280") == 1
