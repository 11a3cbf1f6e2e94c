"""`ocs subscriber`: add, show, list, block, unblock, remove and import subscribers."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ocs.cli.asked import show_asked, with_sessions
from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table

STATUSES = ("active", "blocked", "removed", "pre-active", "grace", "barred", "closed")


@click.group(cls=Group)
def subscriber() -> None:
    """Subscribers: who may be charged, by which names, under which plan.

    SUBSCRIBER is an MSISDN such as +4915112345678, an IMSI, user@realm, a sip: URI,
    kind:value (msisdn, imsi, sip, nai, private) or account:ID.
    """


@subscriber.ocs_command(
    "add",
    changes=True,
    example="ocs subscriber add +4915112345678 --imsi 262011234567890 --plan basic --balance 10",
)
@click.argument("identities", metavar="IDENTITY...", nargs=-1, required=True)
@click.option("--imsi", multiple=True, help="An IMSI, 6 to 15 digits.")
@click.option("--sip", multiple=True, help="A SIP URI.")
@click.option("--nai", multiple=True, help="A network access identifier, user@realm.")
@click.option("--plan", default="", help="Code of a plan of the catalogue in force.")
@click.option("--balance", default="0", show_default=True, help="Opening balance: a top-up.")
@click.option("--credit-limit", help="How far below zero money may go; default is the plan's.")
@click.option(
    "--account", metavar="SUBSCRIBER", default="",
    help="Join the account of this subscriber instead of opening one.",
)  # fmt: skip
def add(
    run: Run, identities: tuple[str, ...], imsi: tuple[str, ...], sip: tuple[str, ...],
    nai: tuple[str, ...], plan: str, balance: str, credit_limit: str | None, account: str,
) -> None:  # fmt: skip
    """Add a subscriber with an account of its own and the allowances of its plan.

    With --account it shares the money, the plan and the free units of another one.
    """
    from ocs.errors import UsageError
    from ocs.provisioning.customers import members, subscribers
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.identities import normalise_identity, parse_identity

    names = [parse_identity(text) for text in identities]
    for kind, texts in (("imsi", imsi), ("sip", sip), ("nai", nai)):
        names += (normalise_identity(kind, text) for text in texts)
    if account:
        if plan or credit_limit is not None or balance != "0":
            raise UsageError("--account shares plan, money and limit: say none of them")
        found = find_subscriber(run.desk, account)
        run.out.show(members.join(run.desk, found, tuple(names)), show_account)
        return
    if not plan:
        raise UsageError("say which --plan, or whose --account it shares")
    new = subscribers.NewSubscriber(
        tuple(names),
        plan,
        _micro("--balance", balance),
        -1 if credit_limit is None else _limit(credit_limit),
    )
    run.out.show(subscribers.add(run.desk, new, run.catalogues.current()), show_account)


@subscriber.ocs_command("show", example="ocs subscriber show +4915112345678")
@click.argument("name", metavar="SUBSCRIBER")
def show(run: Run, name: str) -> None:
    """Show a subscriber: names, plan, status and everything in its account."""
    from ocs.provisioning.customers import accounts
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    run.out.show(accounts.show(run.desk, found.account_id), show_account)


@subscriber.ocs_command("list", example="ocs subscriber list --plan basic --status blocked")
@click.option("--plan", default="", help="Only those of this plan.")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    help="Only these; default is all but removed ones.",
)
@click.option("--flagged", is_flag=True, help="Only those that need a person's attention.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True,
              help="At most this many; 0 shows all.")  # fmt: skip
def list_(run: Run, plan: str, status: str | None, flagged: bool, limit: int) -> None:
    """List subscribers with their balances, the oldest first."""
    from ocs.ledger.account import AccountStatus
    from ocs.provisioning.customers import subscribers

    wanted = AccountStatus[status.upper().replace("-", "_")] if status else None
    rows = subscribers.listing(
        run.desk, plan=plan, status=wanted, flagged=flagged, limit=limit
    )
    run.out.rows("subscribers", rows, _show_list)


@subscriber.ocs_command(
    "block", changes=True, example="ocs subscriber block +4915112345678 --reason 'phone stolen'"
)
@click.argument("name", metavar="SUBSCRIBER")
def block(run: Run, name: str) -> None:
    """Block a subscriber: new requests are refused, clients are asked to end open sessions.

    A session whose client does not end it is refused with its next report.
    """
    _set_blocked(run, name, blocked=True)


@subscriber.ocs_command(
    "unblock", changes=True, example="ocs subscriber unblock +4915112345678 --reason 'found'"
)
@click.argument("name", metavar="SUBSCRIBER")
def unblock(run: Run, name: str) -> None:
    """Let a blocked subscriber use services again."""
    _set_blocked(run, name, blocked=False)


@subscriber.ocs_command(
    "plan", changes=True, example="ocs subscriber plan +4915112345678 gold --allowances"
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("plan", metavar="PLAN")
@click.option("--allowances", is_flag=True, help="Also give the free units of the new plan.")
def plan(run: Run, name: str, plan: str, allowances: bool) -> None:
    """Give a subscriber another plan; open sessions come to it with their next report.

    What it has already, its credit limit and its free units, stays. Clients of open sessions are
    asked to report.
    """
    from ocs.charging.model.server_requests import Trigger
    from ocs.provisioning.customers import subscribers
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    document = subscribers.change_plan(
        run.desk, found, plan, run.catalogues.current(), allowances=allowances
    )
    run.out.show(with_sessions(run, document, Trigger.PLAN_CHANGE), show_account)


@subscriber.ocs_command(
    "state",
    changes=True,
    example="ocs subscriber state +4915112345678 active --until 2027-01-01 --reason 'goodwill'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("state", type=click.Choice(["active", "barred", "closed"]))
@click.option("--until", default="", help="When the state ends; default is what the plan says.")
def state(run: Run, name: str, state: str, until: str) -> None:
    """Put a subscriber's account into another STATE of its life.

    It goes on from there by itself, as its plan says. Clients of open sessions are told.
    """
    from ocs.provisioning.customers import states
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.instants import parse_instant

    found = find_subscriber(run.desk, name)
    until_ns = parse_instant(until, run.desk.clock.now_ns()) if until else 0
    document = states.set_state(
        run.desk, found, state, run.catalogues.current(), until_ns=until_ns
    )
    run.out.show(document, show_account)


@subscriber.ocs_command(
    "remove",
    changes=True,
    example="ocs subscriber remove +4915112345678 --forfeit --reason 'contract ended'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.option("--forfeit", is_flag=True, help="Book out the money that is left.")
def remove(run: Run, name: str, forfeit: bool) -> None:
    """Remove a subscriber: its names become free, its ledger stays.

    One of several subscribers of an account leaves it to the others.
    """
    from ocs.provisioning.customers import subscribers
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    run.out.show(subscribers.remove(run.desk, found, forfeit=forfeit), show_account)


@subscriber.ocs_command(
    "erase",
    changes=True,
    example="ocs subscriber erase +4915112345678 --forfeit --reason 'request 2026-117'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.option("--forfeit", is_flag=True, help="Book out the money that is left.")
def erase(run: Run, name: str, forfeit: bool) -> None:
    """Erase a person: names and personal data go, the ledger still adds up.

    A subscriber that is there is removed first, under the same rules; one that was removed is named
    account:ID. It may be cut short and repeated. What remains is in docs/security.md.
    """
    from ocs.cli.progress import counting
    from ocs.provisioning.customers import erasure
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    with counting(run.out, "records") as progress:
        document = erasure.erase(run.desk, found, forfeit=forfeit, progress=progress)
    run.out.show(document, _show_erased)


@subscriber.ocs_command(
    "import", changes=True, example="ocs subscriber import new-customers.csv --dry-run"
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check every row and change nothing.")
def import_(run: Run, file: Path, dry_run: bool) -> None:
    """Add the subscribers of a CSV FILE: none when a row is wrong.

    The first line names the columns: plan, and any of msisdn, imsi, sip, nai, private, balance,
    credit_limit. Every wrong row is listed with its line and column. An import that was cut short
    goes on where it was when the same file is given again.
    """
    from ocs.cli.progress import counting
    from ocs.provisioning.customers import subscriber_import

    with counting(run.out, "rows") as progress:
        result = subscriber_import.run(
            run.desk, run.catalogues.current(), file, dry_run=dry_run, progress=progress
        )
    run.out.show(result.view(), _show_import)


def _worth_fact(document: Document) -> list[tuple[str, str]]:
    """Return what all money comes to, where money in other currencies adds something."""
    if document.get("worth_micro", document["balance_micro"]) == document["balance_micro"]:
        return []
    return [("With other currencies", f"{document['worth']} {document['currency']}")]


def show_account(target: Console, document: Document) -> None:
    """Print an account with its buckets."""
    currency = document["currency"]
    facts(
        target,
        [
            ("Account", document["account_id"]),
            ("Identities", document["identities"]),
            ("Status", document["status"]),
            ("Since", document["state_since"]),
            ("Until", document["state_until"]),
            ("Plan", document["plan"]),
            ("Balance", f"{document['balance']} {currency}"),
            *_worth_fact(document),
            ("Held by sessions", f"{document['held']} {currency}"),
            ("Credit limit", f"{document['credit_limit']} {currency}"),
            ("Needs attention", document["flags"]),
        ],
    )
    table(
        target,
        document["buckets"],
        {
            "name": "Bucket",
            "available_text": "Available",
            "held_text": "Held",
            "balance_text": "Balance",
            "priority": "Priority",
            "expires": "Expires",
            "services": "Services",
        },
        empty="no buckets",
        right=frozenset({"available_text", "held_text", "balance_text", "priority"}),
    )
    if len(document["members"]) > 1:
        table(
            target,
            document["members"],
            {"subscriber_id": "Member", "identities": "Identities"},
            empty="",
        )
    show_asked(target, document.get("sessions", []))


def _set_blocked(run: Run, name: str, *, blocked: bool) -> None:
    from ocs.charging.model.server_requests import Trigger
    from ocs.provisioning.customers import subscribers
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    document = subscribers.set_blocked(
        run.desk, found, blocked=blocked, catalogue=run.catalogues.in_force()
    )
    if blocked:
        document = with_sessions(run, document, Trigger.BLOCK)
    run.out.show(document, show_account)


@subscriber.ocs_command(
    "friends",
    changes=True,
    example="ocs subscriber friends +4915112345678 --add +4915187654321",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.option("--add", multiple=True, help="A number to name; may be given again.")
@click.option("--remove", multiple=True, help="A number to name no more; may be given again.")
def friends(run: Run, name: str, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Show or change the numbers that a subscriber has named as friends and family.

    The plan says how many there may be; its prices say what they are good for.
    """
    from ocs.provisioning.customers import friends as named
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    if add or remove:
        shown = named.change(run.desk, found, add, remove, run.catalogues.current())
    else:
        shown = named.listing(run.desk, found)
    run.out.rows("friends", shown, _show_friends)


def _show_friends(target: Console, rows: list[Any]) -> None:
    table(target, rows, {"number": "Number"}, empty="no friends are named")


def _micro(option: str, text: str) -> int:
    from ocs.amounts import parse_amount
    from ocs.errors import UsageError

    try:
        return parse_amount(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _limit(text: str) -> int:
    micro = _micro("--credit-limit", text)
    if micro < 0:
        raise click.BadParameter("must not be negative", param_hint="--credit-limit")
    return micro


def _show_list(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "account_id": "Account",
            "identities": "Identities",
            "plan": "Plan",
            "status": "Status",
            "balance": "Balance",
            "held": "Held",
            "currency": "",
            "flags": "Attention",
        },
        empty="no subscribers; `ocs subscriber add` adds one",
        right=frozenset({"balance", "held"}),
    )


def _show_erased(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Account", document["account_id"]),
            ("Status", document["status"]),
            ("Records", document["records"]),
            ("Sessions", document["sessions"]),
            ("Actions", document["actions"]),
            ("Reviews", document["reviews"]),
            ("Requests to clients", document["server_requests"]),
            ("Notifications", document["notifications"]),
        ],
    )


def _show_import(target: Console, document: Document) -> None:
    what = "would be added" if document["dry_run"] else "added"
    target.print(f"{document['subscribers']} subscribers {what} from {document['file']}")
    if document["resumed_after"]:
        target.print(f"{document['resumed_after']} were there from an import that was cut short")
