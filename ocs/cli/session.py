"""`ocs session`: list, show and release credit-control sessions."""

from typing import Any

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table

_SUB_SESSION = click.option(
    "--sub-session", type=click.IntRange(min=0), help="CC-Sub-Session-Id, where there is one."
)


@click.group(cls=Group)
def session() -> None:
    """Sessions: who is using services now, and what is held for it."""


@session.ocs_command("list", example="ocs session list --subscriber +4915112345678")
@click.option("--subscriber", "name", default="", help="Only those of this subscriber.")
@click.option(
    "--state",
    type=click.Choice(["open", "closed", "failed", "lost", "all"]),
    default="open",
    show_default=True,
    help="Closed ones are kept for a while.",
)
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True,
              help="At most this many; 0 shows all.")  # fmt: skip
def list_(run: Run, name: str, state: str, limit: int) -> None:
    """List sessions by account."""
    from ocs.charging.session import SessionState
    from ocs.provisioning import sessions
    from ocs.provisioning.desk import find_subscriber

    account_id = find_subscriber(run.desk, name).account_id if name else 0
    wanted = None if state == "all" else SessionState[state.upper()]
    rows = sessions.listing(run.desk, account_id=account_id, state=wanted, limit=limit)
    run.out.rows("sessions", rows, _show_list)


@session.ocs_command("show", example="ocs session show 'pgw1.example.com;1;42'")
@click.argument("session_id", metavar="SESSION-ID")
@_SUB_SESSION
def show(run: Run, session_id: str, sub_session: int | None) -> None:
    """Show one session with its quotas and holds."""
    from ocs.provisioning import sessions
    from ocs.provisioning.views import session_view

    found = sessions.find(run.desk, session_id, sub_session)
    run.out.show(session_view(found), _show_one)


@session.ocs_command(
    "release",
    changes=True,
    example="ocs session release 'pgw1.example.com;1;42' --reason 'gateway was replaced'",
)
@click.argument("session_id", metavar="SESSION-ID")
@_SUB_SESSION
def release(run: Run, session_id: str, sub_session: int | None) -> None:
    """Close a session that hangs and give back what it holds; nothing is debited."""
    from ocs.provisioning import sessions

    run.out.show(sessions.release(run.desk, session_id, sub_session), _show_one)


def _show_list(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "session_id": "Session",
            "identity": "Subscriber",
            "state": "State",
            "started": "Started",
            "last_request": "Last request",
            "charged": "Charged",
            "origin_host": "Gateway",
        },
        empty="no sessions",
        right=frozenset({"charged"}),
    )


def _show_one(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Session", document["session_id"]),
            ("Sub-session", document["sub_session_id"]),
            ("Account", document["account_id"]),
            ("Subscriber", document["identity"]),
            ("State", document["state"]),
            ("Gateway", document["origin_host"]),
            ("Service context", document["service_context"]),
            ("Plan", f"{document['plan']}, catalogue version {document['catalogue_version']}"),
            ("Started", document["started"]),
            ("Last request", document["last_request"]),
            ("Supervised until", document["deadline"]),
            ("Charged", document["charged"]),
            ("Closed", document["closed"]),
            ("Because", document["close_reason"]),
        ],
    )
    rows = [
        {**quota, "held": ", ".join(str(hold["amount"]) for hold in quota["holds"])}
        for quota in document["quotas"]
    ]
    table(
        target,
        rows,
        {
            "service": "Service",
            "rating_group": "Rating group",
            "service_identifiers": "Service ids",
            "granted": "Granted",
            "used": "Used",
            "used_from_buckets": "Of it free",
            "held": "Held",
        },
        empty="no quotas",
        right=frozenset({"granted", "used", "used_from_buckets", "held"}),
    )
