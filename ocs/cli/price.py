"""`ocs price`: what something would cost, step by step."""

from pathlib import Path

import click
from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document, facts
from ocs.cli.reasons import show_reasons


@ocs_command(
    "price",
    example="ocs price voice '90 s' --plan basic --to +4930123456\n"
    "ocs price web '7.3 MB' --plan basic --catalogue config/catalogues/mobile.yaml\n"
    "ocs price web '1 MB' --plan basic --when visited=eu --when rat=nr",
)
@click.argument("service", metavar="SERVICE")
@click.argument("quantity", metavar="QUANTITY")
@click.option("--plan", required=True, help="Code of the plan.")
@click.option("--to", "destination", default="", help="Called number, where it matters.")
@click.option(
    "--when", "when", metavar="NAME=VALUE", multiple=True,
    help="A condition that is fulfilled, such as visited=eu; several times.",
)
@click.option("--at", "at", default="now", show_default=True, help="When it is used.")
@click.option("--before", default="", help="Used in the same session before.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file, instead of the published catalogue.",
)
def price(
    run: Run, service: str, quantity: str, plan: str, destination: str, when: tuple[str, ...],
    at: str, before: str, catalogue: Path | None,
) -> None:  # fmt: skip
    """Show what QUANTITY of SERVICE would cost and why. Nothing is charged or stored."""
    from ocs.catalog.matching import CatalogIndex
    from ocs.clock import SystemClock
    from ocs.provisioning.catalogues import catalogs, prices
    from ocs.provisioning.instants import parse_instant

    now_ns = SystemClock().now_ns()
    at_ns = parse_instant(at, now_ns)
    if catalogue is None:
        index = run.catalogues.at(max(now_ns, at_ns))
    else:
        index = CatalogIndex(catalogs.check(catalogs.read(catalogue), str(catalogue)))
    question = prices.Question(service, plan, quantity, before, destination, at_ns, when)
    run.out.show(prices.quote(index, question), _show)


def _show(target: Console, document: Document) -> None:
    version = document["catalogue_version"]
    name = document["catalogue"]
    facts(
        target,
        [
            ("Catalogue", f"{name} version {version}" if version else f"{name}, not published"),
            ("Plan", document["plan"]),
            ("Service", document["service"]),
            ("Zone", document["zone"]),
            ("Conditions", document["conditions"]),
            ("At", document["at"]),
            ("Price", document["price"]),
            ("Quantity", document["units_text"]),
            ("Before", document["units_before_text"] if document["units_before"] else None),
            ("Costs", f"{document['cost']} {document['currency']}"),
        ],
    )
    show_reasons(target, document)
    for number, step in enumerate(document["steps"], start=1):
        target.print(f"  {number}. {step}", soft_wrap=True)
