"""`ocs voucher`: batches of codes made, redeemed, listed and made void."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ocs.cli.account import exchanged_fact
from ocs.cli.asked import with_sessions
from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table


@click.group(cls=Group)
def voucher() -> None:
    """Vouchers: money on cards, each redeemed once.

    A code is shown in the file of its batch and nowhere else; the database keeps hashes.
    """


@voucher.ocs_command(
    "generate",
    changes=True,
    example="ocs voucher generate --count 1000 --amount 10 --output codes.csv --expires 2027-12-31",
)
@click.option("--count", type=click.IntRange(1, 100_000), required=True, help="How many.")
@click.option("--amount", required=True, help="What each is worth.")
@click.option("--currency", default="", help="Default is that of the catalogue in force.")
@click.option("--expires", default="", help="A time after which none is redeemed; default never.")
@click.option("--comment", default="", help="For people: what the batch is for.")
@click.option(
    "--output", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="A new CSV file for the codes, readable by you alone.",
)  # fmt: skip
def generate(
    run: Run, count: int, amount: str, currency: str, expires: str, comment: str, output: Path
) -> None:
    """Make a batch of vouchers and write their codes into a new file.

    None of the codes is worth anything before all of them are in the file and in the database.
    """
    from ocs.amounts import parse_amount
    from ocs.cli.progress import proceeding
    from ocs.errors import UsageError
    from ocs.provisioning.customers import vouchers
    from ocs.provisioning.instants import parse_instant

    try:
        amount_micro = parse_amount(amount)
    except ValueError as error:
        raise UsageError(f"--amount: {error}") from None
    new = vouchers.NewBatch(
        count,
        amount_micro,
        currency or run.catalogues.current().catalog.currency,
        parse_instant(expires, run.desk.clock.now_ns()) if expires else 0,
        comment,
    )
    with proceeding(run.out, "codes") as progress:
        document = vouchers.generate(run.desk, new, output, progress)
    run.out.show({**document, "file": str(output)}, _show_batch)


@voucher.ocs_command(
    "redeem",
    changes=True,
    example="cat code.txt | ocs voucher redeem +4915112345678 - --source ivr-1",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("code", metavar="CODE")
@click.option("--source", default="", help="Who brings the code; default is the operator.")
def redeem(run: Run, name: str, code: str, source: str) -> None:
    """Top a subscriber up with a voucher; CODE `-` is read from standard input.

    The same code for the same subscriber again tells what it got. After 5 wrong codes for a
    subscriber, or 100 of a source, within an hour no code is looked up until the hour is over.
    """
    from ocs.charging.model.server_requests import Trigger
    from ocs.provisioning.customers import vouchers
    from ocs.provisioning.desk import find_subscriber

    if code == "-":
        code = sys.stdin.readline()
    found = find_subscriber(run.desk, name)
    posted = vouchers.redeem(
        run.desk, found, code, run.catalogues.in_force(), source=source
    )
    document = {**posted.view(), "sessions": []}
    if not posted.repeated:
        document = with_sessions(run, posted.view(), Trigger.TOP_UP)
    run.out.show(document, _show_redeemed)


@voucher.ocs_command("list", example="ocs voucher list --batch 6871947673600")
@click.option("--batch", default="", help="The vouchers of this batch, instead of all batches.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True,
              help="At most this many vouchers; 0 shows all.")  # fmt: skip
def list_(run: Run, batch: str, limit: int) -> None:
    """List the batches of vouchers, or what became of the vouchers of one batch."""
    from ocs.provisioning.customers import vouchers

    if batch:
        run.out.rows("vouchers", vouchers.listing(run.desk, batch, limit), _show_vouchers)
    else:
        run.out.rows("batches", vouchers.batches(run.desk), _show_batches)


@voucher.ocs_command(
    "void", changes=True, example="ocs voucher void 6871947673600 --serial 17 --reason 'stolen'"
)
@click.argument("batch", metavar="BATCH")
@click.option("--serial", "serials", type=click.IntRange(min=1), multiple=True,
              help="Only this one; may be repeated.")  # fmt: skip
def void(run: Run, batch: str, serials: tuple[int, ...]) -> None:
    """Make the unused vouchers of a BATCH void, all of them or single ones."""
    from ocs.provisioning.customers import vouchers

    run.out.show(vouchers.void(run.desk, batch, serials), _show_void)


def _show_batch(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Batch", document["batch_id"]),
            ("Vouchers", document["count"]),
            ("Each", f"{document['amount']} {document['currency']}"),
            ("Expires", document["expires"]),
            ("Codes", document["file"]),
        ],
    )


def _show_redeemed(target: Console, document: Document) -> None:
    if document["repeated"]:
        target.print("this voucher was redeemed for this subscriber before: nothing moved now")
    facts(
        target,
        [
            ("Account", document["account_id"]),
            ("Entry", document["entry"]),
            ("Amount", document["amount_text"]),
            *exchanged_fact(document),
            ("Balance", f"{document['balance']} {document['currency']}"),
            ("At", document["at"]),
        ],
    )


def _show_batches(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "batch_id": "Batch",
            "created": "Made",
            "amount": "Each",
            "currency": "",
            "expires": "Expires",
            "unused": "Unused",
            "redeemed": "Redeemed",
            "void": "Void",
            "comment": "Comment",
        },
        empty="no vouchers",
        right=frozenset({"amount", "unused", "redeemed", "void"}),
    )


def _show_vouchers(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {"serial": "Serial", "state": "State", "account_id": "Account", "at": "At"},
        empty="no vouchers",
        right=frozenset({"serial"}),
    )


def _show_void(target: Console, document: Document) -> None:
    target.print(f"{document['void']} vouchers of batch {document['batch_id']} are void now")
