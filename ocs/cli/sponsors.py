"""`ocs sponsors`: what sponsors owe for usage that they pay instead of accounts."""

from typing import Any

import click
from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import table


@ocs_command("sponsors", example="ocs sponsors --since 2026-11-01 --until 2026-12-01")
@click.option("--since", default="", help="Usage from then on: a time, or an age such as 2h or 7d.")
@click.option("--until", default="", help="Usage before then.")
def sponsors(run: Run, since: str, until: str) -> None:
    """Show what sponsors owe for usage that they pay instead of accounts, by service."""
    from ocs.provisioning.customers.accounts import sponsored

    found = sponsored(run.desk, since, until)
    run.out.rows("sponsors", found, _show)


def _show(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "sponsor": "Sponsor",
            "service": "Service",
            "amount": "Owes",
            "currency": "",
            "lines": "Charges",
        },
        empty="sponsors paid nothing",
        right=frozenset({"amount", "lines"}),
    )
