"""docs/conformance.md says what the tests prove, and the tool that makes it counts honestly."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import conformance
from tests.support.conformance import Row, page, rows, with_statuses
from tests.support.results import GENERATED, Results, fingerprint
from tests.support.sources import ROOT

pytest_plugins = ["pytester"]

QUIET = ("-p", "no:randomly", "-p", "no:cacheprovider")
IN_EACH_WAY = """
import pytest

@pytest.mark.rule("B-001")
@pytest.mark.parametrize("case", range(3))
def test_passes(case): pass

@pytest.mark.rule("B-002", "B-003")
def test_skips(): pytest.skip("nothing to ask")

@pytest.mark.rule("B-003")
def test_passes_too(): pass

@pytest.mark.rule("B-001", "B-005")
def test_fails(): assert False

@pytest.fixture
def broken():
    yield
    assert False

@pytest.mark.rule("B-006")
def test_fails_at_its_end(broken): pass

@pytest.mark.rule("B-007")
@pytest.mark.xfail
def test_is_known_to_fail(): assert False
"""


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Row]]:
    """Run a module in another pytest; the rows of the rules that it names."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plugins = ("-p", "tests.support.rules", "-p", "tests.support.results")

    def run(*arguments: str) -> dict[str, Row]:
        pytester.makepyfile(test_it=IN_EACH_WAY)
        written = pytester.path / "made" / "results.json"
        pytester.runpytest_subprocess(*plugins, *QUIET, f"--results={written}", *arguments)
        return {row.id: row for row in rows(Results.read(written)) if row.tests}

    return run


@pytest.mark.parametrize("processes", [(), ("-n", "2", "--dist", "loadgroup")], ids=["one", "two"])
def test_a_rule_is_proven_by_tests_that_passed_and_none_that_failed(run, processes):
    statuses = {rule: row.status for rule, row in run(*processes).items()}
    assert statuses == {
        "B-001": "failing",
        "B-002": "skipped",
        "B-003": "proven",
        "B-005": "failing",
        "B-006": "failing",
        "B-007": "skipped",
    }


def test_cases_of_a_test_are_counted(run):
    assert run()["B-001"].tests == {"test_it.py::test_passes": 3, "test_it.py::test_fails": 1}


def test_nothing_is_proven_by_being_collected(run):
    assert {row.status for row in run("--collect-only").values()} == {"skipped"}


def test_the_page_lists_what_is_not_proven_first():
    first, *others = rows(Results())
    proven = [first._replace(status="proven", tests={"tests/test_x.py::test_it": 2})]
    text = page([*proven, *(row._replace(status="proven") for row in others[1:]), others[0]])
    not_proven = text.partition("## Not proven")[2].partition("\n## ")[0]
    assert f"| {others[0].id} |" in not_proven and " open " in not_proven
    assert f"| {first.id} |" not in not_proven
    shown = f"| {first.id} | {first.rule} | {first.clause} | proven | "
    assert f"{shown}[test_x.py](../tests/test_x.py): test_it (2) |" in text
    section = [row.id for row in others if row.section == others[0].section]
    part = text.rpartition(f"## {conformance.TITLES[first.section]}")[2]
    assert part.index(f"| {others[0].id} |") < part.index(f"| {section[-1]} |")


def test_a_page_says_which_statuses_it_was_made_with():
    some = [row._replace(status=status, tests={"t::t": 1}) for row, status in zip(
        rows(Results()), ("proven", "failing", "skipped"), strict=False
    )]
    forgotten = [row._replace(status="skipped") for row in some]
    assert with_statuses(forgotten, page(some)) == some
    untested = [row._replace(status="open", tests={}) for row in some]
    assert with_statuses(untested, page(some)) == untested


def generate(results: Results, directory: Path) -> int:
    """Run the command on these results."""
    results.write(directory / "results.json")
    made = directory / "conformance.md"
    return conformance.main([str(directory / "results.json"), "--page", str(made)])


def test_results_of_another_tree_or_of_some_tests_only_are_refused(tmp_path, capsys):
    for results in (
        Results(complete=False, sources=fingerprint()),
        Results(complete=True, sources="another"),
    ):
        assert generate(results, tmp_path) == 2
        assert "not of a complete run of this tree" in capsys.readouterr().err


def test_an_open_rule_is_a_failure_and_is_named(tmp_path, capsys):
    results = Results(complete=True, sources=fingerprint())
    everything = [row.id for row in rows(results)]
    results.add("tests/test_x.py::test_it", everything[1:], "passed")
    assert generate(results, tmp_path) == 1
    assert f"open: base {everything[0]} " in capsys.readouterr().out
    results.add("tests/test_x.py::test_other", everything[:1], "passed")
    assert generate(results, tmp_path) == 0
    assert (tmp_path / "conformance.md").read_text() == page(rows(results))


def has_everything(session: pytest.Session) -> bool:
    """Whether this run has found every test there is, and not only those of some files or names."""
    config = session.config
    narrowed = config.option.keyword or config.option.deselect or "::" in str(config.args)
    found = {item.path for item in session.items}
    return not narrowed and found >= {*(ROOT / "tests").rglob("test_*.py")}


@pytest.mark.slow
def test_the_page_is_up_to_date(request, tmp_path):
    """It names the rules and tests of this tree; `make conformance` makes it anew."""
    written = tmp_path / "collected.json"
    if has_everything(request.session):
        Results.of_collected(request.session.items).write(written)
    else:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *QUIET]
        subprocess.run(
            [*command, f"--results={written}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
    assert json.loads(written.read_text())["tests"]
    said = GENERATED.read_text(encoding="utf-8")
    now = page(with_statuses(rows(Results.read(written)), said))
    assert said == now, "docs/conformance.md is not up to date: run `make conformance`"
