"""`ocs session`: list, show, question, end and release credit-control sessions."""

import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table

if TYPE_CHECKING:
    from ocs.charging.model.server_requests import ServerRequest

SHOWN_MAX = 20
POLL_SECONDS = 0.2
NS_PER_SECOND = 1_000_000_000

_SUB_SESSION = click.option(
    "--sub-session", type=click.IntRange(min=0), help="CC-Sub-Session-Id, where there is one."
)

_WAIT = click.option(
    "--wait", type=click.IntRange(min=0), default=0, metavar="SECONDS",
    help="Wait until the client has answered, at most so long; exit code 1 if it has not.",
)  # fmt: skip


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
    from ocs.charging.model.session import SessionState
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
    """Show one session with its quotas and holds, and what its client is being asked."""
    from ocs.provisioning import session_requests, sessions
    from ocs.provisioning.views import session_view

    found = sessions.find(run.desk, session_id, sub_session)
    waiting = session_requests.listing(
        run.desk, account_id=found.account_id, session_key=found.key, limit=SHOWN_MAX
    )
    run.out.show({**session_view(found), "requests": [*waiting]}, _show_with_requests)


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


@session.ocs_command(
    "reauth",
    changes=True,
    example="ocs session reauth 'pgw1.example.com;1;42' --rating-group 100 --wait 10",
)
@click.argument("session_id", metavar="SESSION-ID")
@_SUB_SESSION
@click.option("--rating-group", type=click.IntRange(0, 2**32 - 1), help="Only this quota.")
@click.option(
    "--service-identifier", type=click.IntRange(0, 2**32 - 1), help="Only quota of this service."
)
@click.option("--pool", type=click.IntRange(1, 2**32 - 1), help="Only quotas of this credit pool.")
@_WAIT
def reauth(
    run: Run, session_id: str, sub_session: int | None, rating_group: int | None,
    service_identifier: int | None, pool: int | None, wait: int,
) -> int:  # fmt: skip
    """Have the server ask the client of a session to report now (Re-Auth-Request).

    The request waits in the database until a server has a connection to the client. What the
    client reports is charged, and it is granted anew.
    """
    from ocs.provisioning import session_requests
    from ocs.provisioning.views import server_request_view

    row = session_requests.reauth(
        run.desk, session_id, sub_session,
        rating_group=rating_group, service_identifier=service_identifier, pool=pool,
    )  # fmt: skip
    row, delivered = _follow(run, row, wait)
    run.out.show(server_request_view(row), _show_request)
    return 0 if delivered or not wait else 1


@session.ocs_command(
    "abort",
    changes=True,
    example="ocs session abort 'pgw1.example.com;1;42' --reason 'fraud' --wait 10",
)
@click.argument("session_id", metavar="SESSION-ID")
@_WAIT
def abort(run: Run, session_id: str, wait: int) -> int:
    """End a session with its sub-sessions: nothing more is granted, the client is asked to end.

    What was used until then is still reported and charged. The session is closed by the client's
    last report, or by its timer; `ocs session release` closes one without waiting.
    """
    from ocs.provisioning import session_requests
    from ocs.provisioning.views import server_request_view

    document, row = session_requests.abort(run.desk, session_id)
    delivered = True
    if row is not None:
        row, delivered = _follow(run, row, wait)
    document["request"] = server_request_view(row) if row is not None else None
    run.out.show(document, _show_abort)
    return 0 if delivered or not wait else 1


@session.ocs_command("requests", example="ocs session requests --subscriber +4915112345678 --all")
@click.option("--subscriber", "name", default="", help="Only those of this subscriber.")
@click.option("--session", "session_id", default="", help="Only those of this Session-Id.")
@_SUB_SESSION
@click.option("--all", "everything", is_flag=True, help="Also those that are done or given up.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True,
              help="At most this many of the newest; 0 shows all.")  # fmt: skip
def requests(
    run: Run, name: str, session_id: str, sub_session: int | None, everything: bool, limit: int
) -> None:
    """List what clients are asked because of top-ups, blocks, new plans and catalogues, by hand.

    A request without a session is still to be spread over the open sessions that it concerns.
    """
    from ocs.charging.model.session import make_session_key
    from ocs.provisioning import session_requests
    from ocs.provisioning.desk import find_subscriber

    account_id = find_subscriber(run.desk, name).account_id if name else 0
    key = make_session_key(session_id, sub_session) if session_id else b""
    rows = session_requests.listing(
        run.desk, account_id=account_id, session_key=key, unfinished=not everything, limit=limit
    )
    run.out.rows("requests", rows, _show_requests)


def _follow(run: Run, row: "ServerRequest", wait: int) -> tuple["ServerRequest", bool]:
    """Wait until a request was delivered or given up, at most ``wait`` seconds."""
    from ocs.charging.model.server_requests import RequestState
    from ocs.cli.progress import waiting
    from ocs.provisioning.session_requests import find_request

    delivered = (RequestState.ANSWERED, RequestState.DONE)
    clock = run.desk.clock
    end_ns = clock.monotonic_ns() + wait * NS_PER_SECOND
    with waiting(run.out, f"{row.origin_host}: ") as show:
        while row.state not in (*delivered, RequestState.GIVEN_UP):
            if clock.monotonic_ns() >= end_ns:
                return row, False
            show(RequestState(row.state).name.lower())
            time.sleep(POLL_SECONDS)
            row = find_request(run.desk, row.account_id, row.server_request_id)
    return row, row.state in delivered


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
            ("Ended by operator", "yes" if document["aborted"] else ""),
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


def _show_with_requests(target: Console, document: Document) -> None:
    _show_one(target, document)
    if document["requests"]:
        _show_requests(target, document["requests"])


def _show_requests(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "request_id": "Request",
            "command": "Asked",
            "trigger": "Because of",
            "session_id": "Session",
            "origin_host": "Gateway",
            "state": "State",
            "attempts": "Sent",
            "result_code": "Answer",
            "created": "Made",
            "note": "Note",
        },
        empty="nothing is asked of clients",
        right=frozenset({"attempts", "result_code"}),
    )


def _show_request(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Request", document["request_id"]),
            ("Asked", document["command"]),
            ("Session", document["session_id"]),
            ("Gateway", document["origin_host"]),
            ("State", document["state"]),
            ("Answer", document["result_code"] or ""),
            ("Note", document["note"]),
        ],
    )


def _show_abort(target: Console, document: Document) -> None:
    facts(target, [("Sessions", document["sessions"]), ("Now", document["note"])])
    if document["request"] is not None:
        _show_request(target, document["request"])
