"""`ocs demo`: a real server, a dozen subscribers and simulated gateways, in half a minute.

Everything lives in a temporary directory: an embedded database, a server in a process of its own
on a free loopback port, and the gateways of config/scenarios/demo.yaml in this process.
"""

import json
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from config import config_path, sample_catalogue_path
from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document, console, print_json, table

if TYPE_CHECKING:
    from ocs.provisioning.desk import Desk
    from simulators.reports.report import Report
    from simulators.scenarios.model import Scenario

_PLANS = (
    *(("plus", 1), ("plus", 2), ("explorer", 2), ("company", 0)),
    *(("basic", 12), ("basic", 9), ("basic", 7), ("basic", 5)),
    *(("basic", 4), ("basic", 3), ("basic", 2), ("basic", 1)),
)
"""Plan and opening balance of each subscriber, in currency units."""

_LEDGER = {
    "entry": "Entry",
    "side": "Side",
    "service": "Service",
    "bucket": "Bucket",
    "amount_text": "Amount",
}
_RIGHT = frozenset({"amount_text"})
_INTERRUPTED = 130


@ocs_command("demo", example="ocs demo\nocs demo --seconds 10 --json")
@click.option(
    "--seconds", type=click.IntRange(3, 40), default=20, show_default=True, help="Of traffic."
)
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), help="Other dice for the traffic.")
def demo(run: Run, seconds: int, seed: int | None) -> int:
    """Show calls, data sessions and messages being charged, and then prove every micro unit.

    Needs no configuration and leaves nothing behind. Exit code 0 means that traffic flowed and the
    audit is clean.
    """
    from simulators.scenarios.model import load_scenario

    scenario = load_scenario(config_path("scenarios/demo.yaml"))
    load = scenario.load.model_copy(update={"duration_seconds": float(seconds)})
    changes = {"load": load, "seed": scenario.seed if seed is None else seed}
    scenario = scenario.model_copy(update=changes)
    # A terminal that is closed, or a kill, ends it as Ctrl-C does: the server is stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="ocs-demo-") as name:
        document = _Demo(Path(name), scenario, run.out.as_json).play()
    if run.out.as_json:
        print_json(document)
    if document["interrupted"]:
        return _INTERRUPTED
    return 0 if document["ok"] else 1


class _Demo:
    """One demonstration in one directory."""

    def __init__(self, directory: Path, scenario: "Scenario", as_json: bool) -> None:
        self._directory = directory
        self._scenario = scenario
        self._target = console(stderr=as_json)
        self._url = f"sqlite:///{directory / 'ocs.db'}"

    def play(self) -> Document:
        """Set up, run, show what it came to; returns that as a document."""
        from ocs.cli.opening import open_desk, read_settings
        from ocs.cli.server_process import ServerProcess

        config = self._write_config()
        settings = read_settings(config, self._url)
        desk, close = open_desk(settings, operator="demo", reason="demonstration", create=True)
        try:
            names = self._provision(desk)
            with ServerProcess(config, self._directory / "server.log") as server:
                self._say(
                    f"A server listens on {server.host} port {server.port} (process {server.pid})."
                    " Gateways connect, ask for quota, use it and report; a minute of"
                    " theirs passes every second.\n"
                )
                report = self._traffic(desk, server.host, server.port)
            self._say("\nThe server has stopped. This is what the gateways measured:")
            report.show(self._target)
            return self._conclude(desk, names, report)
        finally:
            close()

    def _say(self, text: str, *, heading: str = "") -> None:
        if heading:
            self._target.print(f"\n{heading}", style="bold")
        self._target.print(text)

    def _write_config(self) -> Path:
        """The server's configuration: loopback, a port the system chooses, the demo's database."""
        path = self._directory / "ocs.yaml"
        settings = {
            "diameter": {"listen": ["127.0.0.1:0"], "drain_timeout_seconds": 2},
            "database": {"url": self._url},
            "logging": {"level": "info", "format": "json"},
        }
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    def _provision(self, desk: "Desk") -> list[str]:
        """Catalogue, subscribers and peers; returns a name of each subscriber."""
        from ocs.amounts import MICRO
        from ocs.provisioning import peers
        from ocs.provisioning.catalogues import catalogs
        from ocs.provisioning.customers import subscribers
        from ocs.provisioning.identities import normalise_identity
        from ocs.store.interface import PeerEntry

        path = sample_catalogue_path()
        publication = catalogs.publish(desk, path.read_text(encoding="utf-8"), path.name)
        catalogue = catalogs.Catalogues(desk.store).current()
        plans = ", ".join(publication.catalog.plans)
        self._say(
            "A plan says what each service costs, and what is included."
            f" The catalogue {path.name} is published; its plans are {plans}.",
            heading="Plan",
        )
        names = []
        for position, (plan, balance) in enumerate(_PLANS):
            known_as = self._scenario.identities_of(position)
            identities = tuple(normalise_identity(kind, text) for kind, text in known_as)
            new = subscribers.NewSubscriber(identities, plan, balance * MICRO)
            subscribers.add(desk, new, catalogue)
            names.append(f"{identities[0].kind}:{identities[0].value}")
        self._say(
            f"A subscriber has a plan and is found by a number or an IMSI. {len(names)} are added,"
            f" from {names[0]} to {names[-1]}.",
            heading="Subscriber",
        )
        self._say(
            "A balance is a subscriber's money. What a session may still use is held; what it has"
            " used is charged, and falls out of the balance.",
            heading="Balance",
        )
        hosts = [host for one in self._scenario.gateways for host in one.origin_hosts()]
        for host in hosts:
            peers.allow(desk, PeerEntry(host, comment="simulated"))
        self._say(
            "A peer is a gateway that may connect. Allowed are " + ", ".join(hosts) + ".",
            heading="Peer",
        )
        return names

    def _traffic(self, desk: "Desk", host: str, port: int) -> "Report":
        from ocs.cli.demo_view import DemoView
        from ocs.provisioning.customers import subscribers
        from simulators.traffic.simulation import run_scenario

        view = DemoView(self._target, lambda: list(subscribers.listing(desk)))
        with view.running():
            return run_scenario(self._scenario, host, port, view.show)

    def _conclude(self, desk: "Desk", names: list[str], report: "Report") -> Document:
        from ocs.cli import audit as audit_command
        from ocs.cli import why as why_command
        from ocs.provisioning.catalogues import catalogs
        from ocs.provisioning.customers import accounts
        from ocs.provisioning.desk import find_subscriber
        from ocs.provisioning.proof import audit, why

        catalogues = catalogs.Catalogues(desk.store)
        ledgers = {
            name: accounts.ledger(desk, find_subscriber(desk, name).account_id, 1000, 0)
            for name in names
        }
        name = max(names, key=lambda one: len(_charges(ledgers[one])))
        lines = ledgers[name]
        self._say("The newest lines:", heading=f"The ledger of {name}")
        table(self._target, lines[-12:], _LEDGER, empty="no movements", right=_RIGHT)
        charges = _charges(lines)
        explained = None
        if charges:
            # A call has the price with the most steps: setup, destination, time of day.
            chosen = max(charges, key=lambda line: (line["service"] == "voice", -line["amount"]))
            explained = why.explain(desk, catalogues, chosen["entry"])
            self._say("One charge, step by step:", heading=f"Why {chosen['entry']}")
            why_command.show(self._target, explained)
        checked = audit.view(audit.run(desk, catalogues))
        self._say("Does every micro unit add up?", heading="Audit")
        audit_command.show(self._target, checked)
        return _document(report, name, lines, explained, checked)


def _charges(lines: list[Document]) -> list[Document]:
    return [line for line in lines if line["side"] == "revenue" and line["unit"] == "money"]


def _document(
    report: "Report",
    name: str,
    lines: list[Document],
    explained: Document | None,
    checked: Document,
) -> Document:
    from simulators.traffic.running import INTERRUPTED

    matches = explained is None or explained["matches"]
    return {
        "ok": bool(report.ok and checked["clean"] and lines and matches),
        "interrupted": INTERRUPTED in report.problems,
        "traffic": json.loads(report.as_json()),
        "subscriber": name,
        "ledger": lines,
        "why": explained,
        "audit": checked,
    }
