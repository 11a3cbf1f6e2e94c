"""`ocs review`: usage that waits for a person."""

from typing import Any

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table

_ID = click.argument("review_id", metavar="REVIEW", type=click.IntRange(min=1))


@click.group(cls=Group)
def review() -> None:
    """Reviews: usage that cannot be true or rated or belongs to no session, and waits."""


@review.ocs_command("list", example="ocs review list --all")
@click.option("--all", "everything", is_flag=True, help="Also what was decided.")
def list_(run: Run, everything: bool) -> None:
    """List what waits, the oldest first."""
    from ocs.provisioning.usage import reviews

    rows = reviews.listing(run.desk, "" if everything else reviews.OPEN)
    run.out.rows("reviews", rows, _show_list)


@review.ocs_command(
    "accept", changes=True, example="ocs review accept 6871947673601 --reason 'the clock was off'"
)
@_ID
def accept(run: Run, review_id: int) -> None:
    """Debit the usage in full."""
    from ocs.provisioning.usage import reviews

    run.out.show(reviews.accept(run.desk, run.catalogues, review_id), _show_one)


@review.ocs_command(
    "dismiss", changes=True, example="ocs review dismiss 6871947673601 --reason 'counter error'"
)
@_ID
def dismiss(run: Run, review_id: int) -> None:
    """Let the usage go: nothing is debited."""
    from ocs.provisioning.usage import reviews

    run.out.show(reviews.dismiss(run.desk, review_id), _show_one)


def _show_list(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "review_id": "Review",
            "account_id": "Account",
            "kind": "Kind",
            "service": "Service",
            "units": "Units",
            "unit": "",
            "amount": "Would cost",
            "state": "State",
            "session_id": "Session",
        },
        empty="nothing waits for a decision",
        right=frozenset({"units", "amount"}),
    )


def _show_one(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Review", document["review_id"]),
            ("State", document["state"]),
            ("Account", document["account_id"]),
            ("Usage", f"{document['units']} {document['unit']} of {document['service']}"),
            ("Amount", document["amount"]),
            ("Entry", document["entry"]),
        ],
    )
