"""`ocs peer`: which Diameter peers may connect."""

from typing import Any

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table


@click.group(cls=Group)
def peer() -> None:
    """Peers: the gateways and relays that may connect; a change holds at once."""


@peer.ocs_command("list", example="ocs peer list --config ocs.yaml")
def list_(run: Run) -> None:
    """List who may connect, and which client profile is used for whom and why.

    With --config also the peers that the configuration allows. What a server has found out about
    peers and about clients behind relays is listed too, as of when it last met them.
    """
    from ocs.provisioning import peers
    from ocs.provisioning.views import known_peer_view

    known = peers.listing(run.desk, run.settings.diameter.peers)
    run.out.rows("peers", (known_peer_view(one) for one in known), _show_list)


@peer.ocs_command(
    "allow",
    changes=True,
    example="ocs peer allow pgw1.example.com --profile open5gs --from 192.0.2.0/24 --require-tls",
)
@click.argument("origin_host", metavar="ORIGIN-HOST")
@click.option(
    "--profile",
    help="What this client needs: generic, strict, open5gs, magma, kamailio, siphon, pyhss, one of"
    " the configuration's own; auto finds it out, as for every new peer.",
)
@click.option("--relay/--no-relay", default=None, help="An agent that forwards for others.")
@click.option(
    "--from", "networks", multiple=True, metavar="NETWORK",
    help="Where it may come from; 'anywhere' lifts that.",
)  # fmt: skip
@click.option(
    "--require-tls/--no-require-tls", default=None, help="Refuse it on a connection in clear."
)
@click.option(
    "--tls-name", "tls_names", multiple=True, metavar="NAME",
    help="A DNS name that its certificate may have instead of ORIGIN-HOST.",
)  # fmt: skip
@click.option(
    "--connect", metavar="HOST:PORT",
    help="Call it there, instead of being called; 'nowhere' takes that back.",
)  # fmt: skip
@click.option("--comment", help="A note for people.")
def allow(run: Run, origin_host: str, **given: Any) -> None:
    """Allow a peer, or change its entry: what is not said stays as it is."""
    from ocs.provisioning import peers
    from ocs.provisioning.views import peer_view

    changes = {
        "source_networks": peers.networks(given.pop("networks")),
        "tls_names": given.pop("tls_names") or None,
        **given,
    }
    entry = peers.amended(run.desk, origin_host, changes)
    run.out.show(
        peer_view(peers.allow(run.desk, entry, run.settings.diameter.profiles)), _show_one
    )


@peer.ocs_command(
    "remove", changes=True, example="ocs peer remove pgw1.example.com --reason 'decommissioned'"
)
@click.argument("origin_host", metavar="ORIGIN-HOST")
def remove(run: Run, origin_host: str) -> None:
    """Remove a peer; a server that it is connected to says goodbye within seconds."""
    from ocs.provisioning import peers

    host = peers.remove(run.desk, origin_host)
    run.out.show(
        {"origin_host": host, "removed": True},
        lambda target, document: target.print(f"{document['origin_host']} removed"),
    )


def _show_list(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "origin_host": "Origin-Host",
            "profile": "Profile",
            "in_use": "In use",
            "reason": "Why",
            "via": "Via",
            "relay": "Relay",
            "source_networks": "From",
            "require_tls": "TLS only",
            "tls_names": "Certificate",
            "connect": "Called at",
            "allowed_by": "Allowed by",
            "comment": "Comment",
        },
        empty="no peers; `ocs peer allow ORIGIN-HOST` allows one",
    )


def _show_one(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Origin-Host", document["origin_host"]),
            ("Profile", document["profile"]),
            ("Relay", document["relay"]),
            ("From", document["source_networks"] or "anywhere"),
            ("TLS only", document["require_tls"]),
            ("Certificate", document["tls_names"] or "has its Origin-Host"),
            ("Called at", document["connect"] or "nowhere, it calls"),
            ("Comment", document["comment"]),
        ],
    )
