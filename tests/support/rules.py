"""The rule marker: which requirements a test proves, checked against docs/requirements.yaml.

A test that names a rule nobody has written down fails to be collected.
"""

from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

REQUIREMENTS = Path(__file__).resolve().parents[2] / "docs" / "requirements.yaml"


@cache
def known_rules() -> frozenset[str]:
    """The ids of all sections of docs/requirements.yaml."""
    document = yaml.safe_load(REQUIREMENTS.read_text(encoding="utf-8"))
    return frozenset(
        str(entry["id"]) for section in document["sections"].values() for entry in section
    )


def _problems(node: pytest.Item) -> Iterator[str]:
    for marker in node.iter_markers("rule"):
        if marker.kwargs or not marker.args:
            yield f"{node.nodeid}: the rule marker takes one or more ids, and nothing else"
        for rule in marker.args:
            if rule not in known_rules():
                yield f"{node.nodeid}: rule {rule!r} is not in docs/{REQUIREMENTS.name}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail the collection of a module or class with tests of unknown rules."""
    report = yield
    if report.passed:
        items = [node for node in report.result if isinstance(node, pytest.Item)]
        problems = [problem for item in items for problem in _problems(item)]
        if problems:
            report.outcome = "failed"
            report.longrepr = "\n".join(dict.fromkeys(problems))
            report.result = []
    return report
