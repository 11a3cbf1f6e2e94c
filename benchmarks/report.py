"""The result of a run: a table for people and a JSON document."""

import os
import platform
import sqlite3
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cases import Ratio, Result, median, ratios


def _groups(results: list[Result]) -> dict[tuple[str, str], list[Result]]:
    groups: dict[tuple[str, str], list[Result]] = {}
    for one in results:
        groups.setdefault((one.setup.name, one.load.name), []).append(one)
    return groups


def document(results: list[Result], *, full: bool, seconds: float) -> dict[str, Any]:
    """Medians, ratios and every single measurement."""
    return {
        "machine": {
            "processors": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
        "full": full,
        "seconds": round(seconds, 1),
        "clean": not any(one.problems for one in results),
        "medians": [
            {"setup": setup, "load": load, **_medians(group)}
            for (setup, load), group in _groups(results).items()
        ],
        "ratios": [
            {
                "name": one.name,
                "value": round(one.value, 3),
                "aim": one.aim,
                "at_least": one.at_least,
                "reached": one.reached,
                "rounds": [round(value, 3) for value in one.values],
            }
            for one in ratios(results)
        ],
        "measurements": [
            {**asdict(one), "setup": one.setup.name, "load": one.load.name} for one in results
        ],
    }


def _medians(group: list[Result]) -> dict[str, float]:
    figures = {
        "per_second": median([one.per_second for one in group]),
        "p50_ms": median([one.p50_ms for one in group]),
        "p95_ms": median([one.p95_ms for one in group]),
        "p99_ms": median([one.p99_ms for one in group]),
        "server_us": median([one.server_us for one in group]),
        "database_us": median([one.database_us for one in group]),
        "load_us": median([one.load_us for one in group]),
    }
    memory = [
        one.memory_octets_per_10k_sessions
        for one in group
        if one.memory_octets_per_10k_sessions is not None
    ]
    if memory:
        figures["memory_octets_per_10k_sessions"] = median(memory)
    return {name: round(value, 3) for name, value in figures.items()}


def show(results: list[Result], target: Console) -> None:
    """Print medians, ratios and problems."""
    table = Table(title="medians", title_justify="left")
    for name in ("set-up", "load"):
        table.add_column(name)
    for name in ("CCR/s", "p50 ms", "p95 ms", "p99 ms", "server us", "database us", "load us"):
        table.add_column(name, justify="right")
    previous = ""
    for (setup, load), group in _groups(results).items():
        figures = _medians(group)
        table.add_row(
            setup if setup != previous else "",
            load,
            f"{figures['per_second']:,.0f}",
            *(f"{figures[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            *(f"{figures[name]:.0f}" for name in ("server_us", "database_us", "load_us")),
        )
        previous = setup
    target.print(table)
    for group in _groups(results).values():
        memory = _medians(group).get("memory_octets_per_10k_sessions")
        if memory is not None:
            target.print(f"memory for 10,000 open sessions: {memory / 1e6:.1f} MB")
    target.print(_ratio_table(ratios(results)))
    for one in results:
        for problem in one.problems:
            target.print(f"PROBLEM: {one.setup.name}; {one.load.name}: {problem}", soft_wrap=True)


def _ratio_table(found: list[Ratio]) -> Table:
    table = Table(title="ratios", title_justify="left")
    for name in ("figure", "measured", "aim", "", "rounds"):
        table.add_column(name, justify="left" if name in {"figure", ""} else "right")
    for one in found:
        unit = f" {one.unit}" if one.unit else ""
        side = ">=" if one.at_least else "<="
        table.add_row(
            one.name,
            f"{one.value:.2f}{unit}",
            f"{side} {one.aim:g}{unit}",
            "reached" if one.reached else "missed",
            " ".join(f"{value:.2f}" for value in one.values),
        )
    return table
