"""`ocs catalog diff` and examples from the command line: names of catalogues and exit codes."""

import pytest

from ocs import yamldoc
from tests.support.desks import CATALOGUE

TEXT = yamldoc.read_text(CATALOGUE)


@pytest.fixture
def dearer(tmp_path):
    path = tmp_path / "dearer.yaml"
    path.write_text(TEXT.replace("price: 0.05,", "price: 0.06,"), encoding="utf-8")
    return path


@pytest.mark.rule("K-103")
def test_a_file_is_compared_with_a_version_and_with_what_is_in_force(cli, stocked, dearer):
    for name in ("1", "current", CATALOGUE):
        same = cli("catalog", "diff", name, CATALOGUE, "--exit-code")
        assert (same.code, same.out) == (0, "no difference\n")
        other = cli("catalog", "diff", name, dearer)
        assert other.code == 0
        assert "0.05 EUR per 1000000 octets" in other.out
        assert " -> 0.06 EUR per 1000000 octets" in other.out
        assert cli("catalog", "diff", name, dearer, "--exit-code").code == 1


def test_what_is_no_catalogue_is_not_compared(cli, stocked, tmp_path):
    assert cli("catalog", "diff", "1", "9").code == 1
    missing = cli("catalog", "diff", "current", tmp_path / "missing.yaml", "--json")
    assert missing.code == 1
    assert "cannot be read" in missing.err


@pytest.mark.rule("K-101")
def test_a_wrong_example_ends_with_its_place(cli, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        TEXT + "examples:\n  - {plan: basic, service: data, used: 1, costs: 1}\n", encoding="utf-8"
    )
    ran = cli("catalog", "check", path)
    line = TEXT.count("\n") + 2
    assert ran.code == 1
    assert f"wrong.yaml:{line}:" in ran.err
    assert "expects 1.00 EUR, but it costs 0.05 EUR by price 'data'" in ran.err


def test_examples_that_differ_are_shown_one_in_a_line(cli, tmp_path):
    mobile = CATALOGUE.with_name("mobile.yaml")
    other = tmp_path / "other.yaml"
    other.write_text(mobile.read_text().replace("costs: 0.90", "costs: 0.91"))
    assert cli("catalog", "diff", mobile, other).out.splitlines() == [
        "changed: examples",
        "  + family: 600 seconds of voice costs 0.91",
        "  - family: 600 seconds of voice costs 0.90",
    ]
