"""`ocs events`: what customers are to be told, for the systems that tell them."""

import sys
import time
from pathlib import Path

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document

POLL_SECONDS = 0.25
NAMES_MAX = 10
"""Names of those whom a notification is about that a line shows to people; JSON has all."""


@click.group(cls=Group)
def events() -> None:
    """Notifications: thresholds, low balances, expiries, roaming, renewals."""


@events.ocs_command(
    "tail",
    example="ocs events tail --since 2h\n"
    "ocs events tail --follow --json --cursor /var/lib/ocs/sms.cursor",
)
@click.option("--since", default="", help="From this time on, or an age such as 2h; default 1d.")
@click.option("--follow", is_flag=True, help="Wait for more.")
@click.option(
    "--cursor",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that remembers what was given; this call goes on there. Each file has a reader and "
    "a selection of its own.",
)
@click.option("--subscriber", "name", default="", help="Only those of this subscriber's account.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, once for each.")
@click.option("--count", type=click.IntRange(min=1), help="End after this many.")
@click.option("--timeout", type=click.FloatRange(min=0), help="End after this many seconds.")
def tail(
    run: Run, since: str, follow: bool, cursor: Path | None, name: str, kinds: tuple[str, ...],
    count: int | None, timeout: float | None,
) -> None:  # fmt: skip
    """Print notifications in the order they were written, each once.

    With --json one document a line. Without --follow it ends with the last one there is.
    """
    from ocs.clock import first_id_at
    from ocs.provisioning import events as outbox
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.instants import parse_instant

    desk = run.desk
    position = outbox.read_cursor(cursor) if cursor is not None else None
    if position is None:
        from_start = cursor is not None and not since
        since_ns = 0 if from_start else parse_instant(since or "1d", desk.clock.now_ns())
        position = outbox.Position(first_id_at(since_ns) - 1)
    account_id = find_subscriber(desk, name).account_id if name else 0
    selection = outbox.Selection(account_id, outbox.kinds_of(kinds))
    reader = outbox.Tail(desk, selection, position)
    until = None if timeout is None else time.monotonic() + timeout
    left = count
    while left is None or left > 0:
        page = outbox.PAGE if left is None else min(left, outbox.PAGE)
        found = reader.next(page)
        run.out.stream(outbox.views(desk, found), _show)
        if left is not None:
            left -= len(found)
        if cursor is not None and found:
            # What was printed has left before the cursor moves: a reader that dies gets it again.
            sys.stdout.flush()
            outbox.write_cursor(cursor, reader.position)
        if len(found) == page:
            continue
        if not follow or (until is not None and time.monotonic() >= until):
            break
        time.sleep(POLL_SECONDS)


def _show(target: Console, document: Document) -> None:
    from ocs.provisioning.events import words_of

    names = document["identities"]
    who = " ".join(names[:NAMES_MAX]) or f"account:{document['account_id']}"
    if len(names) > NAMES_MAX:
        who += f" and {len(names) - NAMES_MAX} more"
    target.print(
        f"{document['at']}  {document['kind']}  {who}  {words_of(document)}", soft_wrap=True
    )
