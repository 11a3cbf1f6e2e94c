"""`ocs actions`: who did what and why."""

from typing import Any

import click
from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import table


@ocs_command("actions", example="ocs actions --since 7d --subscriber +4915112345678")
@click.option("--since", default="", help="A time, or an age such as 2h or 7d.")
@click.option("--subscriber", "name", default="", help="Only what was done to this subscriber.")
@click.option("--by", "by", default="", help="Only what this operator did.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True,
              help="At most this many of the newest.")  # fmt: skip
def actions(run: Run, since: str, name: str, by: str, limit: int) -> None:
    """List what operators did, the newest first: every change has an entry with who and why."""
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.instants import parse_instant
    from ocs.provisioning.views import action_view

    since_ns = parse_instant(since, run.desk.clock.now_ns()) if since else 0
    account_id = find_subscriber(run.desk, name).account_id if name else 0
    found = run.desk.reports.actions(since_ns, limit, account_id=account_id, operator=by)
    run.out.rows("actions", (action_view(one) for one in found), _show)


def _show(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "at": "At",
            "operator": "Who",
            "action": "What",
            "target": "To what",
            "reason": "Why",
        },
        empty="nothing was done",
    )
