"""`ocs db`: make, prune, back up and restore the database."""

from pathlib import Path

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts


@click.group(cls=Group)
def database() -> None:
    """The database: its tables, its size and its copies."""


@database.ocs_command("upgrade", changes=True, example="ocs db upgrade --database sqlite:///ocs.db")
def upgrade(run: Run) -> None:
    """Make the tables, or bring them to the version of this program. Safe to repeat."""
    from ocs.store import dialects, migrations

    url = run.settings.database.url
    path = dialects.sqlite_path(dialects.parse_url(url))
    before = None if path is not None and not path.exists() else migrations.current_version(url)
    version = migrations.upgrade(url)
    if before != version:
        desk = run.desk
        desk.store.record_action(
            desk.action("db upgrade", version, before=before or "", after=version)
        )
    run.out.show(
        {
            "database": run.settings.database.shown_url,
            "before": before or "",
            "version": version,
            "changed": before != version,
        },
        _show_upgrade,
    )


@database.ocs_command(
    "prune", changes=True, example="ocs db prune --records-days 400 --reason 'yearly'"
)
@click.option(
    "--records-days", type=click.IntRange(min=0),
    help="Keep records this long; default retention.records_days. Events and postings stay a day "
    "at least.",
)  # fmt: skip
@click.option(
    "--sessions-days", type=click.IntRange(min=0),
    help="Keep closed sessions this long; default retention.sessions_days.",
)  # fmt: skip
@click.option(
    "--notifications-days", type=click.IntRange(min=0),
    help="Keep notifications this long; default retention.notifications_days.",
)  # fmt: skip
@click.option(
    "--vouchers-days", type=click.IntRange(min=0),
    help="Keep redeemed, void and expired vouchers this long; default retention.vouchers_days.",
)  # fmt: skip
def prune(
    run: Run, records_days: int | None, sessions_days: int | None,
    notifications_days: int | None, vouchers_days: int | None,
) -> None:  # fmt: skip
    """Remove old records and closed sessions; the sums of their movements are carried forward.

    Works in small steps while the server runs, and may be interrupted and repeated.
    """
    from ocs.cli.progress import counting
    from ocs.provisioning import maintenance

    retention = run.settings.retention
    records = retention.records_days if records_days is None else records_days
    sessions = retention.sessions_days if sessions_days is None else sessions_days
    told = retention.notifications_days if notifications_days is None else notifications_days
    vouchers = retention.vouchers_days if vouchers_days is None else vouchers_days
    day_ns = maintenance.NS_PER_DAY
    with counting(run.out, "accounts") as progress:
        result = maintenance.prune(
            run.desk, records * day_ns, sessions * day_ns, told * day_ns, progress,
            vouchers * day_ns,
        )  # fmt: skip
    run.out.show(result.view(), _show_prune)


@database.ocs_command(
    "backup", changes=True, example="ocs db backup /var/backups/ocs-2026-03-01.db"
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(run: Run, file: Path) -> None:
    """Copy the database into a new FILE while the server runs."""
    from ocs.provisioning import maintenance

    document = maintenance.backup(run.desk, run.settings.database.url, file)
    run.out.show(
        document,
        lambda target, shown: target.print(f"{shown['octets']} octets in {shown['file']}"),
    )


@database.ocs_command(
    "restore", changes=True, example="ocs db restore /var/backups/ocs-2026-03-01.db --replace"
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Throw away what the database holds now.")
def restore(run: Run, file: Path, replace: bool) -> None:
    """Put a copy back. Stop the server first; a database with accounts needs --replace."""
    from ocs.provisioning import maintenance

    url = run.settings.database.url
    maintenance.restore(url, file, replace=replace)
    desk = run.desk
    desk.store.record_action(desk.action("db restore", str(file), replaced=replace))
    run.out.show(
        {"file": str(file), "database": run.settings.database.shown_url, "restored": True},
        lambda target, shown: target.print(f"{shown['database']} restored from {shown['file']}"),
    )


def _show_upgrade(target: Console, document: Document) -> None:
    if document["changed"]:
        target.print(f"{document['database']} now has version {document['version']}")
    else:
        target.print(f"{document['database']} has version {document['version']} already")


def _show_prune(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Records before", document["before"]),
            ("Sessions removed", document["sessions"]),
            ("Notifications removed", document["notifications"]),
            ("Vouchers removed", document["vouchers"]),
            ("Requests removed", document["requests"]),
            ("Movements removed", document["movements"]),
            ("Carried forward", document["carried_forward"]),
            ("Reviews removed", document["reviews"]),
            ("Requests to clients removed", document["server_requests"]),
        ],
    )
