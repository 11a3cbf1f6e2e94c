"""`ocs records`: charging data records for other systems."""

import sys
from pathlib import Path

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, console, print_json


@click.group(cls=Group)
def records() -> None:
    """Charging data records: what every request asked, was answered and cost."""


@records.ocs_command(
    "export",
    example="ocs records export --format csv --since 2026-03-01 --until 2026-04-01 "
    "--output march.csv\n"
    "ocs records export --format jsonl --cursor billing.cursor --output batch-17.jsonl",
)
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True,
    help="A table, or one JSON document a line.",
)  # fmt: skip
@click.option("--since", default="", help="From this time on; or an age such as 1d.")
@click.option("--until", default="", help="Before this time; default is what is settled.")
@click.option("--subscriber", "name", default="", help="Only those of this subscriber.")
@click.option("--after", type=click.IntRange(min=0), help="Only those behind this request id.")
@click.option(
    "--cursor",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that remembers where the last export ended; this one goes on there.",
)
@click.option("--limit", type=click.IntRange(min=0), default=0, help="At most this many records.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="New file that appears when it is whole; default is standard output.",
)  # fmt: skip
def export(
    run: Run, form: str, since: str, until: str, name: str, after: int | None,
    cursor: Path | None, limit: int, output: Path | None,
) -> None:  # fmt: skip
    """Write records in the order they were decided, each once.

    Records of the last 10 seconds wait for the next export, so that none can come in behind.
    With --json a summary is printed, which needs --output.
    """
    from ocs.cli.progress import counting
    from ocs.provisioning import records as exports
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.instants import parse_instant

    if after is not None and cursor is not None:
        raise click.UsageError("--after and --cursor both say where to begin; give one of them")
    if run.out.as_json and output is None:
        raise click.UsageError("--json prints a summary, so the records need --output FILE")
    desk = run.desk
    now_ns = desk.clock.now_ns()
    begin = exports.read_cursor(cursor) if cursor is not None else after or 0
    selection = exports.Selection(
        after_id=begin,
        since_ns=parse_instant(since, now_ns) if since else 0,
        until_ns=parse_instant(until, now_ns) if until else 0,
        account_id=find_subscriber(desk, name).account_id if name else 0,
        limit=limit,
    )
    with counting(run.out, "records") as progress:
        if output is None:
            done = exports.export(desk, selection, form, sys.stdout, progress)
            sys.stdout.flush()
        else:
            with exports.whole_file(output) as stream:
                done = exports.export(desk, selection, form, stream, progress)
    if cursor is not None:
        exports.write_cursor(cursor, done.last_id)
    document = {
        "records": done.records,
        "last_id": str(done.last_id),
        "output": str(output or ""),
        "format": form,
    }
    if run.out.as_json:
        print_json(document)
    else:
        _show(console(stderr=True), document)


def _show(target: Console, document: Document) -> None:
    where = f" to {document['output']}" if document["output"] else ""
    target.print(
        f"{document['records']} records exported{where}; "
        f"the next export goes on with --after {document['last_id']}"
    )
