"""docs/requirements.yaml is complete, sorted, and says each thing once."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from tests.support.rules import REQUIREMENTS
from tests.support.sources import ROOT

pytest_plugins = ["pytester"]

ID = re.compile(r"([A-Z]+)-?(\d+)")
QUIET = ("-p", "no:randomly", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def _support_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def sections() -> dict[str, list[dict[str, str]]]:
    document = yaml.safe_load(REQUIREMENTS.read_text(encoding="utf-8"))
    sections: dict[str, list[dict[str, str]]] = document["sections"]
    return sections


def entries() -> Iterator[dict[str, str]]:
    for section in sections().values():
        yield from section


def key(rule: str) -> tuple[str, int]:
    match = ID.fullmatch(rule)
    assert match, f"{rule!r} is not a rule id"
    return match[1], int(match[2])


def test_every_entry_has_an_id_a_rule_and_its_clause() -> None:
    for entry in entries():
        assert set(entry) == {"id", "rule", "clause"}, entry
        assert all(isinstance(text, str) and text.strip() for text in entry.values()), entry


def test_no_id_is_explained_twice() -> None:
    counts = Counter(entry["id"] for entry in entries())
    assert [rule for rule, count in counts.items() if count > 1] == []


def test_sections_are_sorted_by_id() -> None:
    for name, section in sections().items():
        ids = [entry["id"] for entry in section]
        assert ids == sorted(ids, key=key), name


def test_a_test_of_an_unknown_rule_is_not_collected(pytester: pytest.Pytester) -> None:
    markers = ('rule("B-999999")', "rule()", 'rule(id="B-001")')
    for number, marker in enumerate(markers):
        source = f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n"
        pytester.makepyfile(**{f"test_{number}": source})
    result = pytester.runpytest_subprocess("-p", "tests.support.rules", *QUIET)
    result.assert_outcomes(errors=len(markers))
    result.stdout.fnmatch_lines(
        [
            "*rule 'B-999999' is not in docs/requirements.yaml",
            "*test_1.py::test_it: the rule marker takes one or more ids*",
            "*test_2.py::test_it: the rule marker takes one or more ids*",
        ]
    )


def run_skipping_tests(pytester: pytest.Pytester) -> pytest.RunResult:
    pytester.makepyfile(
        test_1="import pytest\ndef test_it(): pytest.skip('no server')",
        test_2="import pytest\n@pytest.mark.skipif(True, reason='no tool')\ndef test_it(): pass",
        test_3="import pytest\npytest.skip('no module', allow_module_level=True)",
        test_4="import pytest\n@pytest.mark.xfail\ndef test_it(): assert False",
    )
    return pytester.runpytest_subprocess(
        "-p", "tests.support.ci", "--continue-on-collection-errors", *QUIET
    )


def test_a_skip_fails_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = run_skipping_tests(pytester)
    result.assert_outcomes(failed=1, errors=2, xfailed=1)
    for reason in ("no server", "no tool", "no module"):
        result.stdout.fnmatch_lines([f"*CI allows no skips.*{reason}*"])


def test_a_skip_is_a_skip_at_home(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "false")
    run_skipping_tests(pytester).assert_outcomes(skipped=3, xfailed=1)
