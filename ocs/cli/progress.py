"""A counter on standard error for long commands, shown only to people. Used by import and prune."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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
