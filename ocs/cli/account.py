"""`ocs account`: top up, adjust and refund; show an account and its ledger."""

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ocs.cli.asked import show_asked, with_sessions
from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, table
from ocs.cli.subscriber import show_account

if TYPE_CHECKING:
    from ocs.provisioning.customers.postings import Posted

_REFERENCE = click.option(
    "--reference",
    default="",
    help="Makes it happen once: the same again answers what was done the first time.",
)
_BUCKET = click.option(
    "--bucket", default="main", show_default=True, help="Name of the account's bucket."
)


@click.group(cls=Group)
def account() -> None:
    """Accounts: money and free units, and every movement of them.

    SUBSCRIBER is a name of the subscriber, or account:ID.
    """


@account.ocs_command(
    "topup",
    changes=True,
    example="ocs account topup +4915112345678 10 --reference shop-7731 --reason 'cash desk'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("amount", metavar="AMOUNT")
@_BUCKET
@_REFERENCE
@click.option("--currency", default="",
              help="Of AMOUNT, such as USD; exchanged if it is not the account's.")
@click.option("--expires", default="",
              help="A time after which what was not exchanged is gone; default never.")
def topup(
    run: Run, name: str, amount: str, bucket: str, reference: str, currency: str, expires: str
) -> None:  # fmt: skip
    """Put money into an account, or units such as `5 GB` into a bucket that counts them.

    Money brings the bonuses and the validity that the account's plan promises for it. In another
    currency it is exchanged at the catalogue's rate, where the plan does that: at once, or when
    the account's own money cannot pay; until then, or until it expires, it waits in a purse.
    """
    from ocs.provisioning.customers import accounts
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    posted = accounts.top_up(
        run.desk, found, amount, bucket=bucket, reference=reference,
        catalogue=run.catalogues.in_force(), currency=currency, expires=expires,
    )  # fmt: skip
    run.out.show(_document(run, posted), _show_posted)


@account.ocs_command(
    "adjust",
    changes=True,
    example="ocs account adjust +4915112345678 -2.50 --reason 'wrong top-up'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("amount", metavar="AMOUNT")
@_BUCKET
@_REFERENCE
def adjust(run: Run, name: str, amount: str, bucket: str, reference: str) -> None:
    """Correct a bucket by a signed AMOUNT, such as -5 or 10 MB.

    It takes neither what sessions hold nor more than the credit limit allows.
    """
    from ocs.provisioning.customers import accounts
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    posted = accounts.adjust(
        run.desk, found, amount, bucket=bucket, reference=reference,
        catalogue=run.catalogues.in_force(),
    )
    run.out.show(_document(run, posted), _show_posted)


@account.ocs_command(
    "refund",
    changes=True,
    example="ocs account refund 6871947673600.0 --amount 0.07 --reason 'message not delivered'",
)
@click.argument("entry", metavar="ENTRY")
@click.option("--amount", default="", help="Default is everything that is left of the charge.")
@_REFERENCE
def refund(run: Run, entry: str, amount: str, reference: str) -> None:
    """Give back a charge; ENTRY is REQUEST_ID.LINE as `ocs account ledger` prints it."""
    from ocs.provisioning.customers import accounts

    posted = accounts.refund(
        run.desk, entry, amount, reference=reference, catalogue=run.catalogues.in_force()
    )
    run.out.show(_document(run, posted), _show_posted)


@account.ocs_command(
    "limit",
    changes=True,
    example="ocs account limit +4915112345678 50 --reason 'pays by invoice'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("amount", metavar="AMOUNT")
def limit(run: Run, name: str, amount: str) -> None:
    """Set how far below zero an account's money may go; 0 makes it prepaid.

    It cannot be less than what was used or promised of the credit it has.
    """
    from ocs.charging.model.server_requests import Trigger
    from ocs.provisioning.customers import credit_limits
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    document = credit_limits.set_limit(
        run.desk, found, amount, run.catalogues.in_force()
    )
    run.out.show(with_sessions(run, document, Trigger.TOP_UP), show_account)


@account.ocs_command(
    "transfer",
    changes=True,
    example="ocs account transfer +4915112345678 +4915187654321 5 --reference app-4711",
)
@click.argument("giver", metavar="FROM")
@click.argument("taker", metavar="TO")
@click.argument("amount", metavar="AMOUNT")
@_REFERENCE
def transfer(run: Run, giver: str, taker: str, amount: str, reference: str) -> None:
    """Give money of one subscriber to another, as the giver's plan allows and for its fee.

    What is held by sessions, on credit or bonus money is not given.
    """
    from ocs.provisioning.customers import transfers
    from ocs.provisioning.desk import find_subscriber

    done = transfers.transfer(
        run.desk, find_subscriber(run.desk, giver), find_subscriber(run.desk, taker), amount,
        run.catalogues.current(), reference=reference,
    )  # fmt: skip
    run.out.show(done.view(), _show_transfer)


@account.ocs_command("show", example="ocs account show +4915112345678")
@click.argument("name", metavar="SUBSCRIBER")
def show(run: Run, name: str) -> None:
    """Show an account: balance, what sessions hold, and every bucket."""
    from ocs.provisioning.customers import accounts
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    shown = accounts.show(run.desk, found.account_id)
    worth = accounts.worth(run.desk, found.account_id, run.catalogues.in_force())
    run.out.show({**shown, **worth}, show_account)


@account.ocs_command("ledger", example="ocs account ledger +4915112345678 --since 7d --limit 50")
@click.argument("name", metavar="SUBSCRIBER")
@click.option("--since", default="", help="A time, or an age such as 2h or 7d.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True,
    help="At most this many of the newest lines.",
)  # fmt: skip
def ledger(run: Run, name: str, since: str, limit: int) -> None:
    """Show the newest lines of an account's ledger; `ocs why ENTRY` explains one."""
    from ocs.provisioning.customers import accounts
    from ocs.provisioning.desk import find_subscriber
    from ocs.provisioning.instants import parse_instant

    found = find_subscriber(run.desk, name)
    since_ns = parse_instant(since, run.desk.clock.now_ns()) if since else 0
    lines = accounts.ledger(run.desk, found.account_id, limit, since_ns)
    run.out.rows("entries", lines, _show_ledger)


@account.ocs_command("schedule", example="ocs account schedule +4915112345678 --limit 5")
@click.argument("name", metavar="SUBSCRIBER")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=12, show_default=True,
    help="At most this many of what comes next.",
)  # fmt: skip
def schedule(run: Run, name: str, limit: int) -> None:
    """Show what will be done for an account by itself: fees, renewals, steps of its life.

    It is what comes if nothing changes: no top-up, no other plan, no other catalogue.
    """
    from ocs.provisioning.customers import schedules
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    coming = schedules.schedule(run.desk, found.account_id, run.catalogues.current(), limit)
    run.out.rows("schedule", coming, _show_schedule)


@account.ocs_command(
    "cap",
    changes=True,
    example="ocs account cap +4915112345678 mine 20 --every month --reason 'asked by the customer'",
)
@click.argument("name", metavar="SUBSCRIBER")
@click.argument("code", metavar="CAP")
@click.argument("amount", metavar="[AMOUNT]", default="")
@click.option(
    "--every", type=click.Choice(("day", "week", "month")), default="month", show_default=True,
    help="The period, on the catalogue's clock.",
)  # fmt: skip
@click.option("--service", multiple=True, help="Only this service counts; may be given again.")
@click.option("--member", is_flag=True, help="Only what this member of the account spends.")
@click.option("--remove", is_flag=True, help="Take the cap away.")
def cap(
    run: Run, name: str, code: str, amount: str, every: str, service: tuple[str, ...],
    member: bool, remove: bool,
) -> None:  # fmt: skip
    """Limit what an account, or one of its members, may spend in a period.

    It replaces the cap of the same name. What was counted in the period stays counted.
    """
    from ocs.errors import UsageError
    from ocs.provisioning.customers import caps
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    if remove == bool(amount):
        raise UsageError("give an amount, or --remove")
    if remove:
        shown = caps.remove_cap(
            run.desk, found, code, run.catalogues.in_force(), member=member
        )
    else:
        shown = caps.set_cap(
            run.desk, found, code, amount, every, service, run.catalogues.current(),
            member=member,
        )  # fmt: skip
    run.out.rows("caps", shown, _show_caps)


@account.ocs_command("counts", example="ocs account counts +4915112345678")
@click.argument("name", metavar="SUBSCRIBER")
def counts(run: Run, name: str) -> None:
    """Show what an account has counted: for limits, caps and prices over days, weeks and months."""
    from ocs.provisioning.customers import caps
    from ocs.provisioning.desk import find_subscriber

    found = find_subscriber(run.desk, name)
    shown = caps.counts(run.desk, found.account_id, run.catalogues.current())
    run.out.rows("counts", shown, _show_counts)


def _document(run: Run, posted: "Posted") -> Document:
    """Return a posting with the sessions whose clients are asked because of it."""
    from ocs.charging.model.server_requests import Trigger

    if posted.repeated or posted.amount <= 0:
        return {**posted.view(), "sessions": []}
    return with_sessions(run, posted.view(), Trigger.TOP_UP)


def exchanged_fact(document: Document) -> list[tuple[str, Any]]:
    """Return what money in another currency came to, to be shown; nothing for other postings."""
    if not document["exchanged_micro"]:
        return []
    return [("Exchanged to", f"{document['exchanged']} {document['currency']}")]


def _show_posted(target: Console, document: Document) -> None:
    if document["repeated"]:
        target.print(
            f"reference '{document['reference']}' was used before: nothing moved now, "
            "this is what was done then"
        )
    facts(
        target,
        [
            ("Account", document["account_id"]),
            ("Entry", document["entry"]),
            ("Bucket", document["bucket"]),
            ("Amount", document["amount_text"]),
            *exchanged_fact(document),
            ("Balance", f"{document['balance']} {document['currency']}"),
            ("At", document["at"]),
        ],
    )
    show_asked(target, document["sessions"])


def _show_schedule(target: Console, rows: list[Any]) -> None:
    shown = [
        {**row, "fee": row["fee"] if row["fee_micro"] else "", "allowances": " ".join(
            row["allowances"]
        )}
        for row in rows
    ]  # fmt: skip
    table(
        target,
        shown,
        {
            "at_local": "At",
            "kind": "What",
            "item": "Item",
            "fee": "Fee",
            "allowances": "Allowances",
            "until_local": "Until",
        },
        empty="nothing is due by itself",
        right=frozenset({"fee"}),
    )


def _show_transfer(target: Console, document: Document) -> None:
    if document["repeated"]:
        target.print(
            f"reference '{document['reference']}' was used before: nothing moved now, "
            "this is what was done then"
        )
    currency = document["currency"]
    facts(
        target,
        [
            ("From account", document["account_id"]),
            ("To account", document["to_account_id"]),
            ("Entry", document["entry"]),
            ("Amount", f"{document['amount']} {currency}"),
            ("Fee", f"{document['fee']} {currency}"),
            ("Balance", f"{document['balance']} {currency}"),
            ("At", document["at"]),
        ],
    )


def _show_ledger(target: Console, lines: list[Any]) -> None:
    table(
        target,
        lines,
        {
            "entry": "Entry",
            "at": "At",
            "side": "Side",
            "service": "Service",
            "bucket": "Bucket",
            "amount_text": "Amount",
            "session_id": "Session or reference",
            "note": "Note",
        },
        empty="no movements",
        right=frozenset({"amount_text"}),
    )


def _show_caps(target: Console, rows: list[Any]) -> None:
    table(
        target,
        [{**row, "services": " ".join(row["services"]) or "all"} for row in rows],
        {
            "cap": "Cap",
            "amount": "Amount",
            "every": "Every",
            "services": "Services",
            "subscriber_id": "Member",
        },
        empty="no caps",
        right=frozenset({"amount"}),
    )


def _show_counts(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "kind": "Kind",
            "name": "Name",
            "subscriber_id": "Member",
            "from": "From",
            "to": "To",
            "units_text": "Used",
            "charged": "Charged",
            "limit_text": "Limit",
        },
        empty="nothing is counted",
        right=frozenset({"units_text", "charged", "limit_text"}),
    )
