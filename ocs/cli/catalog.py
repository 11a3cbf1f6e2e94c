"""`ocs catalog`: check, publish and look at catalogues."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ocs.cli.command import Group, Run
from ocs.cli.output import Document, facts, print_json, table

if TYPE_CHECKING:
    from ocs.catalog.model import Catalog

_SHOWN = 10
"""Members of a list that are named before only their number is said."""
_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@click.group(cls=Group)
def catalog() -> None:
    """Catalogues: services, plans, prices and allowances, published as a whole."""


@catalog.ocs_command("check", example="ocs catalog check config/catalogues/mobile.yaml")
@_FILE
def check(run: Run, file: Path) -> None:
    """Check a catalogue file; every mistake is listed as file:line:column. Changes nothing.

    When nothing else is wrong, its examples are computed; one that costs something else than it
    says is a mistake.
    """
    from ocs.provisioning.catalogues import catalogs

    found, warnings = catalogs.check_closely(catalogs.read(file), str(file))
    view = {"file": str(file), **catalogs.catalog_view(found)}
    view["warnings"] = catalogs.warnings_view(warnings)
    run.out.show(view, _show_catalog)


@catalog.ocs_command(
    "publish",
    changes=True,
    example="ocs catalog publish config/catalogues/mobile.yaml --reason 'prices of March'\n"
    "ocs catalog publish config/catalogues/mobile.yaml --effective 2027-03-01T00:00:00+01:00",
)
@_FILE
@click.option("--effective", help="From this time on it holds; default is what it says, else now.")
def publish(run: Run, file: Path, effective: str | None) -> None:
    """Publish a catalogue: new sessions are charged by it, open ones from their next report on.

    Clients of sessions that cost something else in it are asked to report, a hundred a second
    unless the settings say otherwise. A plan may keep its open sessions to the version they have.
    """
    from ocs.provisioning.catalogues import catalogs
    from ocs.provisioning.instants import parse_instant

    now_ns = run.desk.clock.now_ns()
    effective_ns = parse_instant(effective, now_ns) if effective else 0
    publication = catalogs.publish(run.desk, catalogs.read(file), str(file), effective_ns)
    view = catalogs.publication_view(run.desk.store, publication, now_ns)
    run.out.show(view, _show_publication)


@catalog.ocs_command(
    "rollback",
    changes=True,
    example="ocs catalog rollback --reason 'wrong price of roaming'\nocs catalog rollback 3",
)
@click.argument("version", type=click.IntRange(min=1), required=False)
def rollback(run: Run, version: int | None) -> None:
    """Put an older VERSION in force again, now; default is the one before the one in force.

    Its text is published again as a new version. Nothing that was charged changes.
    """
    from ocs.provisioning.catalogues import catalog_versions, catalogs

    publication = catalog_versions.roll_back(run.desk, version)
    view = catalogs.publication_view(run.desk.store, publication, run.desk.clock.now_ns())
    run.out.show(view, _show_publication)


@catalog.ocs_command("withdraw", changes=True, example="ocs catalog withdraw 7")
@click.argument("version", type=click.IntRange(min=1))
def withdraw(run: Run, version: int) -> None:
    """Take back a VERSION that is announced, before it takes effect."""
    from ocs.provisioning.catalogues import catalog_versions, catalogs

    catalog_versions.withdraw(run.desk, version)
    store, now_ns = run.desk.store, run.desk.clock.now_ns()
    view = catalogs.version_view(store, catalogs.find_version(store, version), now_ns)
    run.out.show(view, _show_withdrawal)


@catalog.ocs_command("list", example="ocs catalog list")
def list_(run: Run) -> None:
    """List the published versions, the newest first, and which is in force."""
    from ocs.provisioning.catalogues import catalogs

    store, now_ns = run.desk.store, run.desk.clock.now_ns()
    rows = (catalogs.version_view(store, one, now_ns) for one in store.catalogues())
    run.out.rows("catalogues", rows, _show_list)


@catalog.ocs_command("show", example="ocs catalog show 3 --source")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--source", is_flag=True, help="Print the document as it was published.")
def show(run: Run, version: int | None, source: bool) -> None:
    """Show what a published VERSION sells; default is the one in force."""
    from ocs.provisioning.catalogues import catalogs

    index = run.catalogues.current() if version is None else run.catalogues.version(version)
    published = catalogs.find_version(run.desk.store, index.catalog.version)
    about = catalogs.version_view(run.desk.store, published, run.desk.clock.now_ns())
    view = {**about, **catalogs.catalog_view(index.catalog)}
    if source:
        view["source"] = published.source
    run.out.show(view, _show_source if source else _show_catalog)


@catalog.ocs_command(
    "diff",
    example="ocs catalog diff current config/catalogues/mobile.yaml\n"
    "ocs catalog diff 3 4 --exit-code",
)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--exit-code", is_flag=True, help="End with exit code 1 when they differ.")
def diff(run: Run, old: str, new: str, exit_code: bool) -> int:
    """Show what differs in meaning between two catalogues: files, versions, or `current`.

    The order and spelling of a file make no difference.
    """
    from ocs.provisioning.catalogues import catalog_diff

    before, after = _named_catalog(run, old), _named_catalog(run, new)
    changes = catalog_diff.differences(before, after)
    view = {"old": old, "new": new, "changes": catalog_diff.changes_view(changes)}
    run.out.show(view, _show_changes)
    return 1 if changes and exit_code else 0


@catalog.ocs_command(
    "whatif",
    example="ocs catalog whatif config/catalogues/mobile.yaml --since 30d\n"
    "ocs catalog whatif draft.yaml --since 2026-02-01 --until 2026-03-01 --plan basic=large",
)
@click.argument("new", metavar="NEW")
@click.option("--since", "since", required=True, help="From this time on; or an age such as 30d.")
@click.option("--until", "until", default="", help="Before this time; default is what is settled.")
@click.option(
    "--plan", "plans", metavar="OLD=NEW", multiple=True,
    help="Charge the subscribers of a plan by another plan of NEW; several times.",
)
@click.option(
    "--worst", type=click.IntRange(0, 1_000), default=10, show_default=True,
    help="How many subscribers to name at each end.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), help="Processes; default is one for each processor."
)
def whatif(
    run: Run, new: str, since: str, until: str, plans: tuple[str, ...], worst: int,
    jobs: int | None,
) -> None:  # fmt: skip
    """Charge recorded usage again by NEW: a file, a version or `current`. Changes nothing.

    What was really granted, paid from free units or refused stays so: only prices are compared.
    """
    import os

    from ocs.cli.progress import proceeding
    from ocs.cli.whatif_view import show_comparison
    from ocs.errors import UsageError
    from ocs.provisioning.catalogues import whatif as comparisons
    from ocs.provisioning.instants import parse_instant

    now_ns = run.desk.clock.now_ns()
    since_ns = parse_instant(since, now_ns)
    if since_ns > now_ns:
        raise UsageError(f"--since {since} is in the future; nothing was used since then")
    question = comparisons.Question(
        _named_catalog(run, new),
        new,
        since_ns,
        parse_instant(until, now_ns) if until else 0,
        comparisons.parse_plans(plans),
        worst,
        jobs or os.cpu_count() or 1,
        run.settings.database.url,
    )
    with proceeding(run.out, "records") as progress:
        answer = comparisons.compare(run.desk, question, progress)
    run.out.show(comparisons.view(answer), show_comparison)


@catalog.ocs_command("schema", example="ocs catalog schema")
def schema(run: Run) -> None:  # noqa: ARG001 - every command has a Run
    """Print the JSON Schema of catalogue files, with which editors complete and check them."""
    from ocs.catalog.loading.schema import catalogue_schema

    print_json(catalogue_schema())


def _named_catalog(run: Run, name: str) -> "Catalog":
    """Return a published version, the one in force, or the catalogue in a file."""
    from dataclasses import replace

    from ocs.provisioning.catalogues import catalogs

    if name == "current":
        return run.catalogues.current().catalog
    if name.isdecimal():
        return run.catalogues.version(int(name)).catalog
    text = catalogs.read(Path(name))
    return replace(catalogs.load(text, name), source=text)


def _show_changes(target: Console, document: Document) -> None:
    for change in document["changes"]:
        line = f"{change['change']}: {' / '.join(change['path'])}"
        if change["change"] in {"changed", "reordered"} and (change["before"] or change["after"]):
            line += f": {change['before'] or 'none'} -> {change['after'] or 'none'}"
        elif change["before"] or change["after"]:
            line += f" ({change['before'] or change['after']})"
        lines = []
        for sign, members in (("+", change["added"]), ("-", change["removed"])):
            more = f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
            if any(" " in member for member in members):
                lines += [f"  {sign} {member}" for member in members[:_SHOWN]]
                lines += [f"  {sign}{more}"] if more else []
            elif members:
                line += f" {sign} {', '.join(members[:_SHOWN])}{more}"
        for one in (line, *lines):
            target.print(one, soft_wrap=True)
    if not document["changes"]:
        target.print("no difference")


def _show_catalog(target: Console, document: Document) -> None:
    facts(
        target,
        [
            ("Catalogue", document["name"]),
            ("Version", document.get("version")),
            ("Published", document.get("published")),
            ("Effective", document.get("effective")),
            ("State", document.get("state")),
            ("By", document.get("operator")),
            ("Reason", document.get("reason")),
            ("Currency", document["currency"]),
            ("Time zone", document["time_zone"]),
            ("Zones", document["zones"]),
            ("Networks", document["networks"]),
            ("Locations", document["locations"]),
            ("Time bands", document["bands"]),
            ("Units", [unit["name"] for unit in document["units"]]),
            ("Attributes", list(document["attributes"])),
            ("Examples", document["examples"] or None),
        ],
    )
    table(
        target,
        document["services"],
        {
            "code": "Service",
            "unit": "Unit",
            "contexts": "Service contexts",
            "rating_groups": "Rating groups",
            "service_identifiers": "Service ids",
        },
        empty="no services",
    )
    table(
        target,
        document["plans"],
        {"code": "Plan", "name": "Name", "services": "Services", "allowances": "Allowances"},
        empty="no plans",
    )
    _show_warnings(target, document)


def _show_warnings(target: Console, document: Document) -> None:
    for one in document.get("warnings", ()):
        place = f"{one['source']}:{one['line']}:{one['column']}"
        target.print(f"warning: {place}: {one['message']}", soft_wrap=True)


def _show_source(target: Console, document: Document) -> None:
    target.print(document["source"], soft_wrap=True, end="")


def _show_publication(target: Console, document: Document) -> None:
    name, version = document["name"], document["version"]
    later = document["state"] == "announced"
    if document["changed"]:
        when = f"; it takes effect at {document['effective']}" if later else ""
        target.print(f"catalogue '{name}' published as version {version}{when}")
    else:
        state = "announced" if later else "in force"
        target.print(
            f"catalogue '{name}' is {state} already as version {version}; nothing was changed"
        )
    _show_warnings(target, document)


def _show_withdrawal(target: Console, document: Document) -> None:
    target.print(
        f"catalogue '{document['name']}', version {document['version']}, will not take effect"
    )


def _show_list(target: Console, rows: list[Any]) -> None:
    table(
        target,
        rows,
        {
            "version": "Version",
            "name": "Name",
            "published": "Published",
            "effective": "Effective",
            "state": "State",
            "operator": "By",
            "reason": "Reason",
        },
        empty="no catalogue is published; `ocs catalog publish FILE` publishes one",
        right=frozenset({"version"}),
    )
