"""`ocs simulate provision SCENARIO`: what a scenario needs in this server's database.

Another charging system is provisioned with its own tools; the scenario's file says with whom.
"""

import csv
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document
from ocs.cli.simulate.choosing import read_scenario
from ocs.errors import DocumentError, RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.scenarios.model import Scenario
    from simulators.scenarios.populations import Subscribers

COUNT_MAX = 1_000_000
_DEFAULT_BALANCE = "100"


@ocs_command(
    "provision",
    changes=True,
    example="ocs simulate provision data\n"
    "ocs simulate provision my-scenario.yaml --plan basic --balance 20 --database sqlite:///ocs.db",
)
@click.argument("scenario", metavar="SCENARIO")
@click.option("--plan", help="Of all subscribers, instead of those that the scenario names.")
@click.option(
    "--balance",
    metavar="AMOUNT",
    help="Opening balance of all, instead of the scenario's;"
    f" {_DEFAULT_BALANCE} where it names none.",
)
def provision(run: Run, scenario: str, plan: str | None, balance: str | None) -> None:
    """Allow the gateways of SCENARIO as peers, and add its subscribers.

    A catalogue must be published before. What is there already stays: the same scenario can be
    provisioned again after it was cut short.
    """
    chosen = read_scenario(scenario)
    hosts = _allow(run, chosen)
    count = sum(_add(run, chosen, group, plan, balance) for group in chosen.subscribers)
    document = {"scenario": chosen.name, "peers": hosts, "subscribers": count}
    run.out.show(document, _show)


def _allow(run: Run, scenario: "Scenario") -> list[str]:
    from ocs.provisioning import peers
    from ocs.store.interface import PeerEntry

    known = {one.origin_host for one in run.desk.store.peers()}
    hosts = [
        (host, gateway.shape) for gateway in scenario.gateways for host in gateway.origin_hosts()
    ]
    for host, shape in hosts:
        if host.lower() not in known:
            profile = "auto" if shape == "generic" else shape
            peers.allow(run.desk, PeerEntry(host, profile=profile, comment="simulated"))
    return [host for host, _ in hosts]


def _add(
    run: Run, scenario: "Scenario", group: "Subscribers", plan: str | None, balance: str | None
) -> int:
    from ocs.provisioning.customers import subscriber_import

    chosen = plan or group.plan
    opening = balance or group.balance or _DEFAULT_BALANCE
    if chosen is None:
        raise UsageError(f"{scenario.name} does not say which plan: name one with --plan")
    if group.count > COUNT_MAX:
        raise UsageError(f"{group.count} subscribers are more than {COUNT_MAX}")
    kinds = [one.type for one in group.identities]
    with tempfile.TemporaryDirectory(prefix="ocs-simulate-") as name:
        path = Path(name) / "subscribers.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["plan", *kinds, "balance"])
            writer.writerows(_row(group, i, chosen, opening) for i in range(group.count))
        try:
            return subscriber_import.run(run.desk, run.catalogues.current(), path).subscribers
        except DocumentError as error:
            first, *others = [one.message for one in error.problems]
            more = f", and so on, {len(others)} more" if others else ""
            raise RefusedError(
                f"the gateways of {scenario.name} are allowed, but its subscribers cannot be added:"
                f" {first}{more}"
            ) from None


def _row(group: "Subscribers", position: int, plan: str, balance: str) -> list[str]:
    return [plan, *(text for _, text in group.identities_of(position)), balance]


def _show(target: Console, document: Document) -> None:
    target.print(
        f"{document['scenario']}: {len(document['peers'])} peers are allowed,"
        f" {document['subscribers']} subscribers added."
    )
