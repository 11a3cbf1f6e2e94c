"""What commands print: rich tables for people, stable JSON for machines. Used by every command."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Document = dict[str, Any]
_PIPE_COLUMNS = 240
"""Width of tables that are not shown in a terminal, so that no cell is cut in a pipe."""


def console(*, stderr: bool = False) -> Console:
    """Return a console on the current standard stream."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Console(file=stream, width=width, soft_wrap=False, highlight=False, markup=False)


class Output:
    """Where a command's result goes, in the form that was asked for."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def show(self, document: Document, render: Callable[[Console, Document], None]) -> None:
        """Print one result: the document itself as JSON, or what ``render`` makes of it."""
        if self.as_json:
            print_json(document)
        else:
            render(console(), document)

    def rows(
        self, name: str, rows: Iterable[Document], render: Callable[[Console, list[Any]], None]
    ) -> None:
        """Print a list: a JSON object whose only member is ``name``, written row by row, or what
        ``render`` makes of all of them.
        """
        if not self.as_json:
            render(console(), list(rows))
            return
        sys.stdout.write(f'{{"{name}": [')
        separator = "\n"
        for row in rows:
            sys.stdout.write(f"{separator}  {json.dumps(row, ensure_ascii=False)}")
            separator = ",\n"
        sys.stdout.write("\n]}\n")

    def stream(
        self, rows: Iterable[Document], render: Callable[[Console, Document], None]
    ) -> None:
        """Print rows as they come: one JSON document a line, or what ``render`` makes of each."""
        target = console()
        for row in rows:
            if self.as_json:
                sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
                sys.stdout.flush()
            else:
                render(target, row)

    def progress_wanted(self) -> bool:
        """Tell whether a person is watching: a progress bar would be seen and hurts nobody."""
        return not self.as_json and sys.stderr.isatty()


def print_json(document: Document) -> None:
    """Print a document as indented JSON with keys in the documented order."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def table(
    target: Console,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    empty: str,
    title: str = "",
    right: frozenset[str] = frozenset(),
) -> None:
    """Print ``rows`` with the keys and headings of ``columns``; the sentence ``empty`` if none.

    Columns named in ``right`` are aligned to the right.
    """
    if not rows:
        target.print(empty)
        return
    grid = Table(title=title or None, title_justify="left", header_style="bold")
    for key, heading in columns.items():
        grid.add_column(heading, justify="right" if key in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell(row.get(key)) for key in columns))
    target.print(grid)


def facts(target: Console, pairs: Iterable[tuple[str, Any]], title: str = "") -> None:
    """Print names and values below each other; values that are empty are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, "", [], ()):
            grid.add_row(name, cell(value))
    if title:
        target.print(Text(title, style="bold underline"))
    target.print(grid)


def cell(value: object) -> Text:
    """Return one value as people read it; text is never taken as markup."""
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list | tuple):
        return Text(", ".join(str(item) for item in value))
    return Text(str(value))
