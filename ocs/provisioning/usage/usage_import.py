"""Usage from a file, CSV or JSON lines: each row is charged once, by its key (K-317 to K-319).

A row that is wrong or cannot be charged is refused by itself and the others go on. What was done
is known by the keys alone, so an import that was cut short is given the whole file again: rows
that were charged before are found and left as they are. Called by `ocs usage import`.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.messages import Identity
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import DocumentError, OcsError, Problem, RefusedError, UsageError
from ocs.ledger.account import Identifier
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.desk import Desk, Found, matching
from ocs.provisioning.identities import candidates
from ocs.provisioning.instants import parse_instant
from ocs.provisioning.pauses import Pause, give_turn, sleep
from ocs.provisioning.usage import recording as usage
from ocs.provisioning.views import money

STEP_ROWS = 250
"""Rows charged in one transaction, for which the server waits on SQLite."""
LISTED_MAX = 1_000
"""Refused rows that the result lists; all are counted, and written where that is asked for."""
LINE_MAX = 65_536
_COLUMNS = ("key", "subscriber", "service", "quantity", "at", "to")
_NEEDED = _COLUMNS[:4]
_IGNORED = frozenset({"line", "reason"})
"""Columns of a file of refused rows: it can be imported as it is, when what was wrong is right."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, by column."""

    line: int
    values: dict[str, str]
    problem: str = ""
    """Why it is no row at all."""


@dataclass(slots=True)
class ImportResult:
    """What an import did, or a dry run would have done."""

    file: str
    currency: str
    dry_run: bool
    charged: int = 0
    repeated: int = 0
    refused: int = 0
    charged_micro: int = 0
    """Of what was charged now."""
    listed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many there were."""
        return self.charged + self.repeated + self.refused

    def refuse(self, row: Row, reason: str) -> None:
        """Count a refused row, and list it while there is room."""
        self.refused += 1
        if len(self.listed) < LISTED_MAX:
            self.listed.append(
                {"line": row.line, "key": row.values.get("key", ""), "reason": reason}
            )

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "file": self.file,
            "dry_run": self.dry_run,
            "rows": self.rows,
            "charged": self.charged,
            "repeated": self.repeated,
            "refused": self.refused,
            **money("charged_total", self.charged_micro),
            "currency": self.currency,
            "refusals": self.listed,
        }


def run(
    desk: Desk, catalogues: Catalogues, file: Path, *, refused: TextIO | None = None,
    dry_run: bool = False, into_debt: bool = False,
    progress: Callable[[int], None] = lambda _rows: None,
    pause: Pause = sleep,
) -> ImportResult:  # fmt: skip
    """Charge every row of ``file`` that was not charged before, once.

    Refused rows are written to ``refused`` as CSV with the reason. A dry run decides every row
    and keeps nothing; each step of it begins with what accounts have now. Raises DocumentError
    when the file as a whole cannot be read.
    """
    index = catalogues.current()
    result = ImportResult(str(file), index.catalog.currency, dry_run)
    columns = _columns(file, index)
    importer = _Importer(desk, catalogues, result, refused, columns, into_debt=into_debt)
    rows = _rows(file, columns)
    done = 0
    while step := list(islice(rows, STEP_ROWS)):
        began_ns = desk.clock.monotonic_ns()
        importer.step(step)
        for _ in step:
            done += 1
            progress(done)
        if len(step) == STEP_ROWS:
            give_turn(desk.clock, began_ns, pause)
    return result


class _DryRunError(Exception):
    """Rolls a step back that is only tried."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a row in one try of its transaction."""

    row: Row
    recorded: usage.Recorded | None = None
    reason: str = ""


class _Importer:
    """Charges rows, step by step."""

    def __init__(
        self, desk: Desk, catalogues: Catalogues, result: ImportResult, refused: TextIO | None,
        columns: list[str], *, into_debt: bool,
    ) -> None:  # fmt: skip
        self._desk, self._catalogues, self._result = desk, catalogues, result
        self._into_debt = into_debt
        self._columns = [one for one in columns if one not in _IGNORED]
        self._refused = None if refused is None else csv.writer(refused, lineterminator="\n")
        if self._refused is not None:
            self._refused.writerow([*self._columns, "line", "reason"])
        self._first = True

    def step(self, rows: list[Row]) -> None:
        """Charge some rows in one transaction."""
        prepared = self._prepare(rows)
        keys = [one.request_key for one in prepared if isinstance(one, usage.Prepared)]
        outcomes: list[_Outcome] = []

        def decide(working_set: WorkingSet) -> None:
            outcomes[:] = [
                self._decide(row, one, working_set)
                for row, one in zip(rows, prepared, strict=True)
            ]
            if self._result.dry_run:
                raise _DryRunError
            if self._first and working_set.records:
                working_set.actions.append(
                    self._desk.action("usage import", self._result.file)
                )

        with suppress(_DryRunError):
            self._desk.store.transact(keys, decide, "usage import")
        self._first = self._first and not any(
            one.recorded is not None and not one.recorded.repeated for one in outcomes
        )
        for outcome in outcomes:
            self._count(outcome)

    def _prepare(self, rows: list[Row]) -> list[usage.Prepared | str]:
        """Return each row ready to be decided, or why it cannot be."""
        wanted: dict[int, tuple[Identity, ...]] = {}
        for row in rows:
            try:
                wanted[row.line] = candidates(row.values.get("subscriber", ""))
            except UsageError:
                wanted[row.line] = ()
        names = {identity: None for identities in wanted.values() for identity in identities}
        owners = self._desk.store.find(list(names)) if names else {}
        rates = usage.Rates(self._desk, self._catalogues)
        return [self._prepare_one(rates, row, wanted[row.line], owners) for row in rows]

    def _prepare_one(
        self, rates: usage.Rates, row: Row, wanted: tuple[Identity, ...],
        owners: dict[Identity, Identifier],
    ) -> usage.Prepared | str:
        if row.problem:
            return row.problem
        missing = [name for name in _NEEDED if not row.values.get(name)]
        if missing:
            return f"{', '.join(missing)} is empty"
        try:
            found: Found = matching(row.values["subscriber"], wanted, owners)
            at = row.values.get("at", "")
            said = usage.Usage(
                row.values["key"], row.values["service"], row.values["quantity"],
                parse_instant(at, self._desk.clock.now_ns()) if at else 0,
                row.values.get("to", ""),
                tuple(
                    (name, value)
                    for name, value in row.values.items()
                    if name in rates.current.catalog.attributes and value
                ),
            )  # fmt: skip
            return usage.prepare(self._desk, rates, found, said, into_debt=self._into_debt)
        except OcsError as error:
            return str(error)

    def _decide(
        self, row: Row, prepared: usage.Prepared | str, working_set: WorkingSet
    ) -> _Outcome:
        if isinstance(prepared, str):
            return _Outcome(row, reason=prepared)
        try:
            recorded = usage.decide_one(self._desk, prepared, working_set)
        except RefusedError as error:
            return _Outcome(row, reason=str(error))
        return _Outcome(row, recorded)

    def _count(self, outcome: _Outcome) -> None:
        result, recorded, row = self._result, outcome.recorded, outcome.row
        if recorded is None:
            result.refuse(row, outcome.reason)
            if self._refused is not None:
                values = [row.values.get(name, "") for name in self._columns]
                self._refused.writerow([*values, row.line, outcome.reason])
        elif recorded.repeated:
            result.repeated += 1
        else:
            result.charged += 1
            result.charged_micro += recorded.charged_micro


# --------------------------------------------------------------------------------------- files


def _columns(file: Path, index: CatalogIndex) -> list[str]:
    """Return the columns of a file: those its first line names, or all where rows name them."""
    known = [*_COLUMNS, *index.catalog.attributes, *_IGNORED]
    with file.open(encoding="utf-8-sig", newline="") as stream:
        try:
            first = stream.readline(LINE_MAX).strip()
        except UnicodeDecodeError:
            raise _whole(file, "is not UTF-8 text") from None
    if not first:
        raise _whole(file, "is empty; its first line must name the columns, or be a JSON object")
    if first.startswith("{"):
        return known
    columns = [name.strip() for name in next(csv.reader([first]))]
    problems = [
        Problem(f"'{name}' is no column; there are {', '.join(known)}", str(file), 1, 1 + number)
        for number, name in enumerate(columns)
        if name not in known
    ]
    if len(set(columns)) < len(columns):
        problems.append(Problem("a column is named twice", str(file), 1, 1))
    problems += [
        Problem(f"there is no column '{name}'", str(file), 1, 1)
        for name in _NEEDED
        if name not in columns
    ]
    if problems:
        raise DocumentError(tuple(problems))
    return columns


def _rows(file: Path, columns: list[str]) -> Iterator[Row]:
    """Yield every row that is not empty, in the order of the file."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        try:
            as_json = stream.read(LINE_MAX).lstrip().startswith("{")
            stream.seek(0)
            yield from _json_rows(stream, columns) if as_json else _csv_rows(stream, columns)
        except csv.Error as error:
            raise _whole(file, f"is no CSV: {error}") from None
        except UnicodeDecodeError:
            raise _whole(file, "is not UTF-8 text") from None


def _csv_rows(stream: Iterable[str], columns: list[str]) -> Iterator[Row]:
    reader = csv.reader(stream, strict=True)
    next(reader)
    for cells in reader:
        if not cells:
            continue
        values = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        problem = ""
        if len(cells) != len(columns):
            problem = f"it has {len(cells)} columns, the first line names {len(columns)}"
        yield Row(reader.line_num, values, problem)


def _json_rows(stream: Iterable[str], columns: list[str]) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield _json_row(number, line, columns)


def _json_row(number: int, line: str, columns: list[str]) -> Row:
    """Return the row of one JSON object; numbers stay as they are written, to the last digit."""
    try:
        document = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        return Row(number, {}, f"it is no JSON: {error}")
    if not isinstance(document, dict):
        return Row(number, {}, "it is no JSON object")
    values = {name: value for name, value in document.items() if isinstance(value, str)}
    for name, value in document.items():
        if name not in columns:
            return Row(number, values, f"'{name[:60]}' is no key; there are {', '.join(columns)}")
        if not isinstance(value, str) and value is not None:
            return Row(number, values, f"'{name}' is neither a text nor a number")
    return Row(number, values)


def _whole(file: Path, message: str) -> DocumentError:
    return DocumentError((Problem(message, str(file), 1, 1),))
