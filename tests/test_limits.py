"""docs/limits.md has every limit, with the default and the metric that the code has."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import NamedTuple

import pytest

from ocs.service.application import Application
from ocs.settings import Settings
from protocol.peer_settings import ErrorKind
from tests.support.service import Harness, StillLoop
from tests.support.sources import ROOT, modules

PAGE = ROOT / "docs" / "limits.md"
SECTIONS = ("diameter", "charging", "server_requests", "overload", "logging")
LIMITING = re.compile(r"^max_|_seconds$|_ms$|_per_second$")
CONSTANT = re.compile(r"(?:MAX_[A-Z_]+|[A-Z][A-Z_]*_MAX)")
BOUNDED = (
    *("protocol", "ocs.service", "ocs.charging.model"),
    *("simulators.replay", "simulators.reports"),
)
"""Where a constant named like a limit bounds what somebody outside can cause."""
NO_LIMITS = {
    "protocol.codec.MAX_LENGTH": "what the format can say",
    "protocol.tls.SUBJECT_MAX": "a text of our own certificate",
    "ocs.service.wire.mapping.UNITS_MAX": "a range of values",
    "ocs.service.wire.mapping.EVENTS_MAX": "a range of values",
    "ocs.service.wire.mapping.COUNT_MAX": "a range of values",
    "ocs.service.peers.profiles.SHOWN_MAX": "a text of a recognised client",
    "ocs.service.asking.rows.WAKE_MAX": "the size of a step of our own work",
    "ocs.service.asking.rows.WRITES_MAX": "the size of a step of our own work",
    "ocs.service.asking.dispatcher.RESULTS_MAX": "the size of a step of our own work",
    "simulators.reports.dashboard.EXAMPLE_LINES_MAX": "a text on a screen",
    "simulators.reports.page.MARKS_MAX": "lines of a plot",
}


class Row(NamedTuple):
    """A line of a table."""

    what: str
    limit: str
    name: str
    rest: tuple[str, ...]


def rows(heading: str) -> list[Row]:
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells
    return [Row(what, limit, name.strip("`"), tuple(rest)) for what, limit, name, *rest in cells]


SETTINGS, FIXED = rows("What can be set"), rows("What is fixed")


def limits_that_can_be_set() -> dict[str, int]:
    return {
        f"{section}.{field.name}": getattr(getattr(Settings(), section), field.name)
        for section in SECTIONS
        for field in fields(getattr(Settings(), section))
        if LIMITING.search(field.name)
    }


def test_every_setting_that_limits_is_there_with_its_default():
    found = {row.name: int(row.limit) for row in SETTINGS}
    assert found == limits_that_can_be_set()


@pytest.fixture(scope="module")
def metrics() -> str:
    harness = Harness()
    application = Application(Settings(), StillLoop(), harness.store, harness.clock, harness.ids)
    return application.server.metrics.exposition().decode()


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_every_metric_is_there(row, metrics):
    shown = re.findall(r"`(ocs_[^`]+)`", row.rest[0])
    assert shown
    for name in shown:
        series = re.escape(name) if "{" in name else rf"(?:# TYPE )?{name}(?:_total|_count|_sum)?"
        assert re.search(rf"(?m)^{series}[ {{]", metrics), name
    assert row.rest[1], "what happens beyond it"


def test_every_fault_that_is_a_limit_is_there():
    limiting = {
        ErrorKind.TOO_MANY_CONNECTIONS,
        ErrorKind.TOO_MANY_OF_ADDRESS,
        ErrorKind.TOO_MANY_UNIDENTIFIED,
        ErrorKind.CONNECTION_RATE,
        ErrorKind.TOO_MANY_UNANSWERED,
        ErrorKind.FRUITLESS,
        ErrorKind.OUTPUT_BACKLOG,
        ErrorKind.OPEN_TIMEOUT,
        ErrorKind.WATCHDOG,
    }
    text = PAGE.read_text(encoding="utf-8")
    assert [kind for kind in limiting if f'fault="{kind}"' not in text] == []


@pytest.mark.parametrize("row", FIXED, ids=lambda row: row.name)
def test_every_fixed_limit_is_what_the_code_says(row):
    module, _, name = row.name.rpartition(".")
    assert getattr(importlib.import_module(module), name) == int(row.limit)
    assert row.rest[0]


def constants() -> Iterator[str]:
    for module in modules("protocol", "ocs", "simulators"):
        if not module.inside(*BOUNDED):
            continue
        for node in module.tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name) and CONSTANT.fullmatch(target.id):
                        yield f"{module.name}.{target.id}"


def test_every_fixed_limit_is_there():
    explained = {row.name for row in FIXED} | set(NO_LIMITS)
    assert [name for name in constants() if name not in explained] == []
    assert set(NO_LIMITS) <= set(constants())
