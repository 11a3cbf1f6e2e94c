"""What became of every test and which rules it proves, as JSON: ``pytest --results=FILE``.

`make test` writes the file, and ``tests.support.conformance`` makes docs/conformance.md of it. With
``--collect-only`` nothing runs and the file says who would prove what.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.sources import ROOT, files

NOT_RUN, PASSED, SKIPPED, FAILED = "not run", "passed", "skipped", "failed"
GENERATED = ROOT / "docs" / "conformance.md"
"""Made from the results, so it is not among the sources they belong to."""
PAGE_TEST = "tests/test_conformance.py::test_the_page_is_up_to_date"
"""Left out where the page is about to be made."""
_PROPERTY = "proves"
_WORSE = (NOT_RUN, PASSED, SKIPPED, FAILED)


@dataclass
class Results:
    """One run of the tests."""

    complete: bool = False
    """Every test there is was to run, and the run was not broken off."""
    sources: str = ""
    """The fingerprint of the tree that was tested."""
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Per test, by its node id: the ``rules`` it is marked with, and its ``outcome``."""

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Read what a run has written. Raises OSError."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def of_collected(cls, items: Iterable[pytest.Item]) -> "Results":
        """Return what is known of tests that have been found and not run."""
        results = cls()
        for item in items:
            properties: dict[str, Any] = dict(item.user_properties)
            test, *rules = properties[_PROPERTY]
            results.add(test, rules, NOT_RUN)
        return results

    def write(self, path: Path) -> None:
        """Write the file and the directory it is in."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(vars(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def add(self, test: str, rules: list[str], outcome: str) -> None:
        """Add what one phase of a test came to; its worst phase counts."""
        known = self.tests.setdefault(test, {"rules": rules, "outcome": NOT_RUN})
        known["outcome"] = max(known["outcome"], outcome, key=_WORSE.index)


def fingerprint() -> str:
    """Return a digest of every source file of the project."""
    digest = hashlib.sha256()
    for path in files():
        if path != GENERATED:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", type=Path, help="write what became of each test to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Properties())
    # With several processes, the one that hands out the tests hears of every result.
    if config.option.results is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(config.option.results))


class _Properties:
    """Gives each test's reports its name and rules, which they carry to the process that writes."""

    @pytest.hookimpl(tryfirst=True)  # xdist appends its group to the name
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            rules = {str(rule) for marker in item.iter_markers("rule") for rule in marker.args}
            item.user_properties.append((_PROPERTY, [item.nodeid, *sorted(rules)]))


class _Writer:
    """Gathers the results and writes them when the run is over."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.results = Results(sources=fingerprint())

    def _add(self, properties: list[tuple[str, Any]], outcome: str) -> None:
        test, *rules = dict(properties)[_PROPERTY]
        self.results.add(test, rules, outcome)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self._add(item.user_properties, NOT_RUN)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A failure that was expected proves nothing either.
        self._add(report.user_properties, report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        config = session.config
        everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        left_out = set(config.option.deselect or ()) - {PAGE_TEST}
        narrowed = config.option.keyword or left_out or config.option.collectonly
        ended = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        self.results.complete = bool(
            everything and ended and not narrowed and not session.shouldstop
        )
        self.results.write(self.path)
