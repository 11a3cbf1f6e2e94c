"""Many subscribers from a CSV file: nothing is written before every row is good.

Two passes. The first reads the file row by row, checks each and collects every mistake; names
that somebody has are asked for in pages. Only a file without a mistake is read again and written,
in transactions of STEP_ROWS, between which the server has its turn. How many rows were written
stands in the database, in the transaction that wrote them: an import that was cut short, or met
a name that was taken between the passes, goes on there when the same file is given again. Called
by `ocs subscriber import`.
"""

import csv
import gc
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ocs.amounts import parse_amount
from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.messages import Identity
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import ConflictError, DocumentError, Problem, UsageError
from ocs.provisioning.customers.subscribers import NewSubscriber, check_new, open_account
from ocs.provisioning.desk import Desk
from ocs.provisioning.identities import KINDS, normalise_identity
from ocs.provisioning.pauses import Pause, give_turn, sleep
from ocs.store.schema import SETTING_IMPORTED

ROWS_MAX = 1_000_000
PROBLEMS_MAX = 1000
"""More mistakes than these are counted, not listed: the file is of another kind, then."""
LOOKUP_ROWS = 400
STEP_ROWS = 500
"""Subscribers written in one transaction, for which charging waits on SQLite."""
_COLUMNS = ("plan", *KINDS, "balance", "credit_limit")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, or a dry run would have done."""

    file: str
    subscribers: int
    dry_run: bool
    resumed_after: int = 0
    """Rows that an interrupted import of this file had written before."""

    def view(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "file": self.file,
            "subscribers": self.subscribers,
            "dry_run": self.dry_run,
            "resumed_after": self.resumed_after,
        }


def run(
    desk: Desk, catalogue: CatalogIndex, file: Path, *, dry_run: bool = False,
    progress: Callable[[int], None] = lambda _rows: None,
    pause: Pause = sleep,
) -> ImportResult:  # fmt: skip
    """Add every subscriber of ``file``, or those that an interrupted import of it has left out.

    ``pause`` is called with nanoseconds between two transactions. Raises DocumentError with all
    mistakes in the file, and ConflictError when a name was taken meanwhile: what was written
    before stays, and the same file goes on there.
    """
    name = SETTING_IMPORTED.format(_digest(file))
    done = int(desk.store.setting(name) or 0)
    rows = _Checker(desk, catalogue, file, done, progress).check()
    if dry_run or rows <= done:
        return ImportResult(str(file), rows - done, dry_run, done)
    writer = _Writer(desk, catalogue, file, name, rows, done)
    for step in _steps(islice(_subscribers(file), done, None)):
        began_ns = desk.clock.monotonic_ns()
        try:
            writer.write(step)
        except ConflictError as error:
            if not writer.done:
                raise
            raise ConflictError(
                f"{error}; the first {writer.done} rows are written, the same file goes on there"
            ) from error
        progress(rows + writer.done)
        if writer.done < rows:
            give_turn(desk.clock, began_ns, pause)
    return ImportResult(str(file), rows - done, dry_run=False, resumed_after=done)


class _Writer:
    """The second pass: one transaction for each step."""

    def __init__(
        self, desk: Desk, catalogue: CatalogIndex, file: Path, name: str, rows: int, done: int
    ) -> None:
        self._desk, self._catalogue, self._file = desk, catalogue, file
        self._name, self._rows, self._first = name, rows, done
        self.done = done

    def write(self, step: list[NewSubscriber]) -> None:
        """Write some subscribers, and up to where the file has come."""
        desk, after = self._desk, self.done + len(step)

        def decide(working_set: WorkingSet) -> None:
            for new in step:
                plan = self._catalogue.catalog.plans[new.plan]
                account_id = desk.ids.next_id()
                open_account(desk, working_set, account_id, new, plan, self._catalogue)
            working_set.settings[self._name] = str(after) if after < self._rows else ""
            if self.done == self._first:
                working_set.actions.append(
                    desk.action(
                        "subscriber import", str(self._file),
                        subscribers=self._rows - self._first, after=self._first,
                    )
                )  # fmt: skip

        with _collector_paused():
            desk.store.transact([], decide, "subscriber import")
        self.done = after


def _digest(file: Path) -> str:
    """Return what a file is known by when it is given again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _steps(subscribers: Iterator[tuple[int, NewSubscriber]]) -> Iterator[list[NewSubscriber]]:
    while step := [new for _, new in islice(subscribers, STEP_ROWS)]:
        yield step


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Stop looking for cycles among millions of new values: there are none, and it takes long."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _RowError(Exception):
    """What is wrong with one row: (column, message) each."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


class _Checker:
    """The first pass: counts good rows, collects every mistake."""

    def __init__(
        self, desk: Desk, catalogue: CatalogIndex, file: Path, done: int,
        progress: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._desk, self._file, self._progress = desk, file, progress
        self._done = done
        """Rows at the beginning that are written already: their names are taken, by them."""
        self._plans = catalogue.catalog.plans
        self._problems: list[Problem] = []
        self._uncounted = 0
        self._seen: dict[Identity, int] = {}
        self._waiting: dict[tuple[str, str], int] = {}
        self._columns: list[str] = []

    def check(self) -> int:
        """Return the number of rows; raises DocumentError when a row is wrong."""
        count = 0
        for line, row, columns in _rows(self._file):
            count += 1
            self._columns = columns
            if count > ROWS_MAX:
                self._note(line, "", f"there are more than {ROWS_MAX} rows; split the file")
                break
            self._check_row(line, row, columns)
            if count <= self._done:
                self._waiting.clear()
            elif len(self._waiting) >= LOOKUP_ROWS:
                self._look_up()
            self._progress(count)
        self._look_up()
        if self._problems:
            if self._uncounted:
                self._problems.append(
                    Problem(f"and {self._uncounted} more mistakes", str(self._file))
                )
            raise DocumentError(tuple(sorted(self._problems, key=_place)))
        return count

    def _check_row(self, line: int, row: list[str], columns: list[str]) -> None:
        if len(row) != len(columns):
            self._note(line, "", f"it has {len(row)} columns, the first line names {len(columns)}")
            return
        try:
            new = _subscriber(dict(zip(columns, row, strict=True)))
        except _RowError as error:
            for column, message in error.problems:
                self._note(line, column, message)
            return
        if new.plan not in self._plans:
            self._note(line, "plan", f"the catalogue has no plan '{new.plan}'")
        for identity in new.identities:
            first = self._seen.setdefault(identity, line)
            if first != line:
                self._note(line, identity.kind, f"{identity.value} is in line {first} too")
            else:
                self._waiting[identity.kind, identity.value] = line

    def _look_up(self) -> None:
        names = list(self._waiting)
        found = self._desk.store.find([Identity(*name) for name in names]) if names else {}
        for identity, owner in found.items():
            self._note(
                self._waiting[identity.kind, identity.value],
                identity.kind,
                f"{identity.value} belongs to account {owner.account_id} already",
            )
        self._waiting.clear()

    def _note(self, line: int, column: str, message: str) -> None:
        if len(self._problems) >= PROBLEMS_MAX:
            self._uncounted += 1
            return
        number = 1 + self._columns.index(column) if column else 1
        self._problems.append(Problem(message, str(self._file), line, number, column))


def _place(problem: Problem) -> tuple[bool, int]:
    return not problem.line, problem.line


def _subscribers(file: Path) -> Iterator[tuple[int, NewSubscriber]]:
    """Yield the subscribers of a file that was checked."""
    for line, row, columns in _rows(file):
        yield line, _subscriber(dict(zip(columns, row, strict=True)))


def _subscriber(values: dict[str, str]) -> NewSubscriber:
    """Return the subscriber of one row. Raises _RowError with everything that is wrong."""
    problems: list[tuple[str, str]] = []
    identities = []
    for kind in KINDS:
        if values.get(kind):
            try:
                identities.append(normalise_identity(kind, values[kind]))
            except UsageError as error:
                problems.append((kind, str(error)))
    balance_micro = _amount(values, "balance", 0, problems)
    limit_micro = _amount(values, "credit_limit", -1, problems)
    if not values.get("plan"):
        problems.append(("plan", "is empty"))
    new = NewSubscriber(tuple(identities), values.get("plan", ""), balance_micro, limit_micro)
    if not problems:
        try:
            check_new(new)
        except UsageError as error:
            problems.append(("", str(error)))
    if problems:
        raise _RowError(problems)
    return new


def _amount(
    values: dict[str, str], column: str, default: int, problems: list[tuple[str, str]]
) -> int:
    text = values.get(column)
    if not text:
        return default
    try:
        amount = parse_amount(text)
    except ValueError as error:
        problems.append((column, str(error)))
        return default
    if amount < 0:
        problems.append((column, "must not be negative"))
        return default
    return amount


def _rows(file: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield (line, cells, column names) of every row that is not empty."""
    with _open(file) as stream:
        reader = csv.reader(stream, strict=True)
        try:
            columns = [name.strip().lower() for name in next(reader, [])]
            _check_columns(file, columns)
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row], columns
        except csv.Error as error:
            raise _whole(file, f"is no CSV: {error}", reader.line_num) from None
        except UnicodeDecodeError:
            raise _whole(file, "is not UTF-8 text", reader.line_num + 1) from None


@contextmanager
def _open(file: Path) -> Iterator[io.TextIOBase]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        yield stream


def _check_columns(file: Path, columns: list[str]) -> None:
    if not columns:
        raise _whole(file, "is empty; its first line must name the columns", 1)
    problems = [
        Problem(
            f"'{name}' is no column; there are {', '.join(_COLUMNS)}", str(file), 1, 1 + number
        )
        for number, name in enumerate(columns)
        if name not in _COLUMNS
    ]
    if len(set(columns)) < len(columns):
        problems.append(Problem("a column is named twice", str(file), 1, 1))
    if "plan" not in columns:
        problems.append(Problem("there is no column 'plan'", str(file), 1, 1))
    if not set(columns) & set(KINDS):
        problems.append(Problem(f"there is none of {', '.join(KINDS)}", str(file), 1, 1))
    if problems:
        raise DocumentError(tuple(problems))


def _whole(file: Path, message: str, line: int) -> DocumentError:
    return DocumentError((Problem(message, str(file), line, 1),))
