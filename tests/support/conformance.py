"""docs/conformance.md out of docs/requirements.yaml and the tests' results (`make conformance`).

A rule is proven when a test that names it has passed in a real run and none has failed. A rule that
no test names is open, whatever the code does.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.results import FAILED, GENERATED, PASSED, Results, fingerprint
from tests.support.rules import REQUIREMENTS

OPEN, FAILING, SKIPPED, PROVEN = "open", "failing", "skipped", "proven"
STATUSES = (OPEN, FAILING, SKIPPED, PROVEN)
TITLES = {
    "base": "Diameter base protocol (RFC 6733, RFC 3539)",
    "credit_control": "Credit control (RFC 8506)",
    "gateways": "What real gateways do",
    "gy": "Gy and Ro (TS 32.299 and the documents of its services)",
    "money": "Money, reservations and the ledger",
    "golden": "Worked examples",
    "catalogue": "What a catalogue may say",
    "decisions": "Decisions where the standards leave a choice",
    "tests": "Black-box tests over a real socket",
    "simulator": "The simulator",
}
HEAD = """# Conformance

Made by `make conformance` out of `docs/requirements.yaml` and a run of all tests; not written by
hand. A rule is **proven** when tests that name it have passed and none has failed. **open** means
that no test names it, **failing** that one fails, **skipped** that its tests could not run on the
machine that made this page. How many cases a test was run with stands in brackets behind it.
"""
_ROW = re.compile(r"^\| ([A-Z]+-?\d+) \|.*\| (\w+) \|[^|]*\|$", re.MULTILINE)


class Row(NamedTuple):
    """One requirement."""

    section: str
    id: str
    rule: str
    clause: str
    tests: dict[str, int]
    """The test functions that name it, and with how many cases each."""
    status: str

    def __str__(self) -> str:
        return f"| {self.id} | {self.rule} | {self.clause} | {self.status} | {self._tests()} |"

    def _tests(self) -> str:
        files: dict[str, list[str]] = {}
        for test, cases in sorted(self.tests.items()):
            path, _, function = test.partition("::")
            files.setdefault(path, []).append(f"{function} ({cases})" if cases > 1 else function)
        return "; ".join(
            f"[{path.removeprefix('tests/')}](../{path}): {', '.join(functions)}"
            for path, functions in files.items()
        )


def requirements() -> dict[str, list[dict[str, str]]]:
    """Return the entries of docs/requirements.yaml by section."""
    sections: dict[str, Any] = yaml.safe_load(REQUIREMENTS.read_text(encoding="utf-8"))["sections"]
    return sections


def rows(results: Results) -> list[Row]:
    """Return all requirements with what the tests say of each."""
    tests: dict[str, Counter[str]] = {}
    outcomes: dict[str, set[str]] = {}
    for name, test in results.tests.items():
        function = name.partition("[")[0]
        for rule in test["rules"]:
            tests.setdefault(rule, Counter())[function] += 1
            outcomes.setdefault(rule, set()).add(test["outcome"])
    return [
        Row(
            section,
            entry["id"],
            " ".join(entry["rule"].split()).replace("|", "\\|"),
            entry["clause"],
            dict(tests.get(entry["id"], {})),
            _status(outcomes.get(entry["id"], set())),
        )
        for section, entries in requirements().items()
        for entry in entries
    ]


def _status(outcomes: set[str]) -> str:
    if not outcomes:
        return OPEN
    if FAILED in outcomes:
        return FAILING
    return PROVEN if PASSED in outcomes else SKIPPED


def with_statuses(found: Iterable[Row], page: str) -> list[Row]:
    """Return rows that no run stands behind with the statuses that a page says they had.

    Whether a rule is open is known without a run.
    """
    said = dict(_ROW.findall(page))
    return [
        row if row.status == OPEN else row._replace(status=said.get(row.id, SKIPPED))
        for row in found
    ]


def page(found: list[Row]) -> str:
    """Return the text of docs/conformance.md."""
    return "\n".join(_page(found)) + "\n"


def _page(found: list[Row]) -> Iterator[str]:
    sections = {name: [row for row in found if row.section == name] for name in requirements()}
    yield HEAD
    yield "| | Rules | " + " | ".join(STATUSES) + " |"
    yield "|---|---|" + "---|" * len(STATUSES)
    for name, part in sections.items():
        yield f"| [{_title(name)}](#{_anchor(_title(name))}) | {_counts(part)}"
    yield f"| All | {_counts(found)}"
    yield "\n## Not proven\n"
    missing = [row for row in found if row.status != PROVEN]
    if missing:
        yield from _table(missing)
    else:
        yield "Nothing."
    for name, part in sections.items():
        yield f"\n## {_title(name)}\n"
        yield from _table(sorted(part, key=lambda row: row.status == PROVEN))


def _title(section: str) -> str:
    return TITLES.get(section, section)


def _table(part: Iterable[Row]) -> Iterator[str]:
    yield "| Id | Rule | Clause | Status | Tests |"
    yield "|---|---|---|---|---|"
    yield from map(str, part)


def _counts(part: list[Row]) -> str:
    counts = Counter(row.status for row in part)
    return f"{len(part)} | " + " | ".join(str(counts[status]) for status in STATUSES) + " |"


def _anchor(title: str) -> str:
    """Return how GitHub names the place of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def main(arguments: list[str]) -> int:
    """Write the page; 1 when a rule is not proven, 2 when the results are not of this tree."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.conformance")
    parser.add_argument("--page", type=Path, default=GENERATED, help="the file to write")
    parser.add_argument("results", type=Path, help="what pytest --results=FILE has written")
    parser.add_argument("--check", action="store_true", help="only say whether they can be used")
    options = parser.parse_args(arguments)
    try:
        results = Results.read(options.results)
    except (OSError, ValueError, TypeError) as error:
        print(f"no results: {error}", file=sys.stderr)
        return 2
    if not results.complete or results.sources != fingerprint():
        print(f"{options.results} is not of a complete run of this tree", file=sys.stderr)
        return 2
    if options.check:
        return 0
    found = rows(results)
    options.page.write_text(page(found), encoding="utf-8")
    for row in found:
        if row.status != PROVEN:
            print(f"{row.status}: {row.section} {row.id} {row.rule}")
    proven = sum(row.status == PROVEN for row in found)
    print(f"{options.page.name}: {proven} of {len(found)} rules proven")
    return 0 if proven == len(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
