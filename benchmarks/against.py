"""`python -m benchmarks.against CHECKOUT`: what a change costs, this checkout against another.

Both servers are measured in turn, in pairs, with the same load; the figure is the ratio of the
processor time that one request costs the server, pair by pair. Called by `make bench-against`.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.cases import FULL, NO_STORE, SQLITE, Result, Setup, median
from benchmarks.databases import CheckoutFiles, Databases, NoStore, SqliteFiles
from benchmarks.runner import Runner, Timing


@dataclass(frozen=True, slots=True)
class Pair:
    """One measurement of each, made one directly after the other."""

    here: Result
    there: Result

    @property
    def ratio(self) -> float:
        """Processor time of a request here, divided by that of the other checkout."""
        return self.here.server_us / self.there.server_us


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the pairs and print them; 0 when the median ratio is within `--at-most`."""
    options = _options(arguments)
    setups = [Setup(engine, loads=(FULL,)) for engine in options.engines]
    failed = False
    with tempfile.TemporaryDirectory(prefix="ocs-bench-") as name:
        here, there = _runners(Path(name), options)
        for setup in setups:
            pairs = [_pair(here, there, setup, turn) for turn in range(1, options.pairs + 1)]
            ratio = median([one.ratio for one in pairs])
            failed = failed or ratio > options.at_most
            failed = failed or any(one.here.problems or one.there.problems for one in pairs)
            print(
                f"{setup.name}: {median([one.here.server_us for one in pairs]):.0f} us a request "
                f"here, {median([one.there.server_us for one in pairs]):.0f} us there; "
                f"median ratio {ratio:.3f} of {len(pairs)} pairs "
                f"({min(one.ratio for one in pairs):.3f} to {max(one.ratio for one in pairs):.3f})"
            )
    return int(failed)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against",
        description="Processor time of a request here against another checkout, in pairs.",
    )
    parser.add_argument("checkout", type=Path, help="directory of the other checkout")
    parser.add_argument("--pairs", type=int, default=9, help="measurements of each")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each is measured")
    parser.add_argument(
        "--engines",
        default=(NO_STORE, SQLITE),
        type=lambda text: tuple(one.strip() for one in text.split(",")),
        help=f"comma-separated: {NO_STORE}, {SQLITE}",
    )
    parser.add_argument(
        "--at-most", type=float, default=1.05, help="ratio that is still accepted (exit code 0)"
    )
    options = parser.parse_args(arguments)
    options.checkout = options.checkout.resolve()
    if not (options.checkout / "ocs" / "cli" / "main.py").is_file():
        parser.error(f"{options.checkout} is no checkout of this server")
    if unknown := set(options.engines) - {NO_STORE, SQLITE}:
        parser.error(f"no such engine: {', '.join(sorted(unknown))}")
    return options


def _runners(directory: Path, options: argparse.Namespace) -> tuple[Runner, Runner]:
    timing = Timing(1.0, options.seconds)
    made = []
    for name, checkout in (("here", None), ("there", options.checkout)):
        place = directory / name
        place.mkdir()
        files = SqliteFiles(place) if checkout is None else CheckoutFiles(place, checkout)
        databases: dict[str, Databases] = {NO_STORE: NoStore(), SQLITE: files}
        made.append(
            Runner(
                place,
                databases,
                timing,
                partial(_say, name),
                checkout,
            )
        )
    return made[0], made[1]


def _say(name: str, line: str) -> None:
    print(f"{name:>5} {line.strip()}", flush=True)


def _pair(here: Runner, there: Runner, setup: Setup, turn: int) -> Pair:
    """Measure both; who is first changes with every turn."""
    if turn % 2:
        mine = here.measure(setup, turn)[0]
        return Pair(mine, there.measure(setup, turn)[0])
    theirs = there.measure(setup, turn)[0]
    return Pair(here.measure(setup, turn)[0], theirs)


if __name__ == "__main__":
    sys.exit(main())
