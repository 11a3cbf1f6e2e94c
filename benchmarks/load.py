"""`python -m benchmarks.load SCENARIO HOST PORT`: load from a process of its own.

Prints a line when measuring begins and when it ends, then the report as one line of JSON with the
processor microseconds that each request has cost this process.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from simulators.load.prepared import run_prepared
from simulators.reports.report import Report
from simulators.scenarios.model import Scenario, load_scenario
from simulators.traffic.simulation import run_scenario


def main(path: Path, host: str, port: int) -> None:
    """Run the scenario and print what came of it."""
    spent: dict[str, float] = {}

    def phase(name: str) -> None:
        spent[name] = time.process_time()
        print(name, flush=True)

    scenario = load_scenario(path)
    if scenario.mode == "prepared":
        report = run_prepared(scenario, host, port, None, phase)
    else:
        report = _subscribers(scenario, host, port, phase)
    cost = (spent["ending"] - spent["measuring"]) / max(report.answers, 1)
    print(json.dumps({**json.loads(report.as_json()), "load_us": cost * 1e6}), flush=True)


def _subscribers(scenario: Scenario, host: str, port: int, phase: Callable[[str], None]) -> Report:
    """Simulated subscribers; what connecting costs is in the figures, and next to nothing."""
    phase("measuring")
    report = run_scenario(scenario, host, port)
    phase("ending")
    return report


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
