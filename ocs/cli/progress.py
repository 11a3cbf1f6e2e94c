"""What goes on, on standard error, shown only to people. For commands that are long or wait."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ocs.cli.output import Output, console

_EVERY = 64


@contextmanager
def counting(out: Output, what: str) -> Iterator[Callable[[int], None]]:
    """Yield what is to be called with the number done so far."""
    if not out.progress_wanted():
        yield lambda _count: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} " + what), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(count: int) -> None:
            if count % _EVERY == 0:
                progress.update(task, completed=count)

        yield show


@contextmanager
def proceeding(out: Output, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what is to be called with the number done so far and that in all."""
    if not out.progress_wanted():
        yield lambda _done, _all: None
        return
    columns = (
        BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def waiting(out: Output, what: str) -> Iterator[Callable[[str], None]]:
    """Yield what is to be called with the state that something waited for is in."""
    if not out.progress_wanted():
        yield lambda _state: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda state: progress.update(task, description=f"{what}{state}")
