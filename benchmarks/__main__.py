"""`python -m benchmarks [--full]`: measure, print a table, write JSON. Called by `make bench`."""

import argparse
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.cases import ANSWERER, NO_STORE, POSTGRES, SQLITE, Result, setups
from benchmarks.databases import (
    Databases,
    NoStore,
    PostgresCluster,
    PostgresMissingError,
    SqliteFiles,
)
from benchmarks.report import document, show
from benchmarks.runner import Runner, Timing

_PIPE_COLUMNS = 160


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for; 0 if every audit was clean and every answer 2001."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    results: list[Result] = []
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    console = Console(width=width, highlight=False, markup=False)
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="ocs-bench-"))
        chosen = [
            one
            for one in setups(full=options.full)
            if options.only in one.name and one.engine in options.engines
        ]
        databases = _open(stack, Path(name), {one.engine for one in chosen})
        timing = Timing(options.warm_up, options.seconds)
        runner = Runner(Path(name), databases, timing, lambda line: print(line, flush=True))
        try:
            for turn in range(1, options.rounds + 1):
                for setup in chosen:
                    if setup.engine in databases:
                        results += runner.measure(setup, turn)
        except KeyboardInterrupt:
            print("interrupted; this is what was measured until then", file=sys.stderr)
    made = document(results, full=options.full, seconds=time.monotonic() - began)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    show(results, console)
    print(f"written to {options.json} after {made['seconds']:.0f} s")
    return 0 if results and made["clean"] else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Server, database and load on this machine: throughput, latency, cost, ratios.",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--quick", action="store_true", help="a few minutes (the default)")
    kind.add_argument("--full", action="store_true", help="every window, and longer: half an hour")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--seconds", type=float, help="how long each load is measured")
    parser.add_argument("--only", default="", metavar="TEXT", help="set-ups with this in the name")
    parser.add_argument(
        "--engines",
        default=f"{ANSWERER},{NO_STORE},{SQLITE},{POSTGRES}",
        type=lambda text: {one.strip() for one in text.split(",")},
        help="comma-separated: answerer, no store, sqlite, postgresql",
    )
    parser.add_argument(
        "--json", type=Path, default=Path("build/bench.json"), help="where the JSON document goes"
    )
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (5 if options.full else 3)
    options.seconds = options.seconds or (8.0 if options.full else 2.0)
    options.warm_up = 2.0 if options.full else 0.7
    return options


def _open(stack: ExitStack, directory: Path, engines: set[str]) -> dict[str, Databases]:
    databases: dict[str, Databases] = {}
    for memory in engines & {ANSWERER, NO_STORE}:
        databases[memory] = NoStore()
    if SQLITE in engines:
        databases[SQLITE] = SqliteFiles(directory)
    if POSTGRES in engines:
        try:
            databases[POSTGRES] = PostgresCluster()
        except PostgresMissingError:
            print("no PostgreSQL on this machine: apt install postgresql", file=sys.stderr)
    for one in databases.values():
        stack.callback(one.close)
    return databases


if __name__ == "__main__":
    sys.exit(main())
