"""`ocs usage`: charge usage that no gateway asks for, one by one or from a file."""

from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table

_INTO_DEBT = click.option(
    "--into-debt", is_flag=True, help="Charge it also when the account cannot pay: it happened."
)


@click.group(cls=Group)
def usage() -> None:
    """Usage of any service, recorded by what meters it and charged once for each key."""


@usage.ocs_command(
    "record",
    changes=True,
    example="ocs usage record +4915112345678 energy '1.5 kWh' --key meter-7/2026-03-01T10\n"
    "ocs usage record account:42 compute 90 --key vm-3/17 --attribute region=eu --at 2h",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("service", metavar="SERVICE")
@click.argument("quantity", metavar="QUANTITY")
@click.option("--key", required=True, help="Names this usage: given again, nothing is charged.")
@click.option("--at", "at", default="", help="When it was used; or an age such as 2h.")
@click.option("--to", "destination", default="", help="Called number, where it matters.")
@click.option(
    "--attribute", "attributes", metavar="NAME=VALUE", multiple=True,
    help="What it says of itself, as the catalogue declares it; several times.",
)  # fmt: skip
@_INTO_DEBT
def record(
    run: Run, name: str, service: str, quantity: str, key: str, at: str, destination: str,
    attributes: tuple[str, ...], into_debt: bool,
) -> None:  # fmt: skip
    """Charge QUANTITY of SERVICE, once for each key.

    The same key again shows what was charged the first time. Usage that is refused is not stored:
    its key may come again.
    """
    from ocs.provisioning.instants import parse_instant
    from ocs.provisioning.usage import recording as use_cases

    said = use_cases.Usage(
        key, service, quantity,
        parse_instant(at, run.desk.clock.now_ns()) if at else 0,
        destination,
        tuple(_attribute(text) for text in attributes),
    )  # fmt: skip
    recorded = use_cases.record(run.desk, run.catalogues, name, said, into_debt=into_debt)
    run.out.show(recorded.view(), _show_recorded)


@usage.ocs_command(
    "import",
    changes=True,
    example="ocs usage import march.csv --refused refused.csv\n"
    "ocs usage import meters.jsonl --dry-run --json",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--refused", type=click.Path(dir_okay=False, path_type=Path),
    help="New file for the rows that were refused, with the reason of each.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Decide every row and keep nothing.")
@_INTO_DEBT
@click.pass_context
def import_(
    context: click.Context, run: Run, file: Path, refused: Path | None, dry_run: bool,
    into_debt: bool,
) -> None:  # fmt: skip
    """Charge every row of a FILE, CSV or one JSON object a line, once for each key.

    Columns are key, subscriber, service, quantity, at, to, and the catalogue's attributes. A row
    that is refused does not stop the others; the command then ends with exit code 1. An import
    that was cut short is given the same file again: what was charged before is left as it is.
    """
    from ocs.cli.progress import counting
    from ocs.provisioning.usage import usage_import

    opened = (
        nullcontext(None) if refused is None else refused.open("x", encoding="utf-8", newline="")
    )
    with opened as stream, counting(run.out, "rows") as progress:
        result = usage_import.run(
            run.desk, run.catalogues, file, refused=stream, dry_run=dry_run,
            into_debt=into_debt, progress=progress,
        )
    run.out.show(result.view(), _show_import)
    if result.refused:
        context.exit(1)


def _attribute(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given or not name or not value:
        raise click.BadParameter(f"'{text}' is not NAME=VALUE", param_hint="--attribute")
    return name, value


def _show_recorded(target: Console, document: Document) -> None:
    currency = document["currency"]
    facts(
        target,
        [
            ("Account", document["account_id"]),
            ("Key", document["key"] + (", charged before" if document["repeated"] else "")),
            ("Service", document["service"]),
            ("Quantity", document["quantity_text"]),
            ("At", document["at"]),
            ("Charged", f"{document['charged']} {currency}"),
            ("Free units", document["from_buckets_text"] if document["from_buckets"] else None),
            ("Entry", document["entry"]),
            ("Balance", f"{document['balance']} {currency}"),
        ],
    )


def _show_import(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("File", document["file"]),
            ("Rows", document["rows"]),
            ("Would be charged" if document["dry_run"] else "Charged", document["charged"]),
            ("Charged before", document["repeated"]),
            ("Refused", document["refused"]),
            ("Amount", f"{document['charged_total']} {document['currency']}"),
        ],
    )
    if document["refusals"]:
        table(
            target, document["refusals"],
            {"line": "Line", "key": "Key", "reason": "Refused because"}, empty="",
        )  # fmt: skip
