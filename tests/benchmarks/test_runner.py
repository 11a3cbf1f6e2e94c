"""A benchmark from end to end, as short as it can be: real server, real load, audit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("engine", ["sqlite", "no store", "answerer"])
def test_a_short_run_measures_and_audits(tmp_path, engine):
    path = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rounds", "1", "--seconds", "0.3",
         "--engines", engine, "--only", "1,000 subscribers", "--json", path],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads(path.read_text())
    assert made["clean"]
    for one in made["measurements"]:
        assert set(one["result_codes"]) == {"2001"}
        assert one["per_second"] > 0
        assert one["server_us"] > 0
    memory = [one.get("memory_octets_per_10k_sessions") for one in made["medians"]]
    assert any(value is not None for value in memory) == (engine == "sqlite")
    assert "ratios" in done.stdout


def test_a_checkout_is_measured_against_another_one():
    here = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.against", str(here), "--pairs", "1",
         "--seconds", "0.3", "--at-most", "1000"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no store, 1,000 subscribers:" in done.stdout
    assert "sqlite, 1,000 subscribers:" in done.stdout


def test_a_directory_without_a_server_is_wrong_usage(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.against", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "is no checkout of this server" in done.stderr
