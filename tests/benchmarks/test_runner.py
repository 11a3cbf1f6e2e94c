"""A benchmark from end to end, as short as it can be: real server, real load, audit."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("engine", ["sqlite", "no store"])
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
