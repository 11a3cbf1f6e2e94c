"""`python -m benchmarks.load SCENARIO HOST PORT`: prepared load from a process of its own.

Prints a line when measuring begins and when it ends, then the report as one line of JSON with the
processor microseconds that each request has cost this process.
"""

import json
import sys
import time
from pathlib import Path

from simulators.load.prepared import run_prepared
from simulators.scenarios.model import load_scenario


def main(path: Path, host: str, port: int) -> None:
    """Run the scenario and print what came of it."""
    spent: dict[str, float] = {}

    def phase(name: str) -> None:
        spent[name] = time.process_time()
        print(name, flush=True)

    report = run_prepared(load_scenario(path), host, port, None, phase)
    cost = (spent["ending"] - spent["measuring"]) / max(report.answers, 1)
    print(json.dumps({**json.loads(report.as_json()), "load_us": cost * 1e6}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
