"""`ocs serve` and `ocs check-config`: the server itself, and its settings checked."""

from pathlib import Path

import click
from rich.console import Console

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document, table


@ocs_command("serve", example="ocs serve --config config/ocs.yaml")
@click.option(
    "--test-clock",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the seconds that the clock is ahead; for tests, on loopback only.",
)
def serve(run: Run, test_clock: Path | None) -> int:
    """Run the charging server until SIGTERM or Ctrl-C.

    An embedded SQLite database that does not exist yet is made.
    """
    from ocs import app
    from ocs.cli.opening import prepare

    prepare(run.settings.database.url, create=True)
    return app.run(run.settings, test_clock)


@ocs_command("check-config", example="ocs check-config --config config/ocs.yaml")
def check_config(run: Run) -> None:
    """Check a configuration file; every mistake is listed as file:line:column.

    Prints every setting as it would hold, defaults included; passwords are masked.
    """
    document = {"file": str(run.config or ""), "settings": run.settings.describe()}
    run.out.show(document, _show)


def _show(target: Console, document: Document) -> None:
    rows = [
        {"key": f"{section}.{key}", "value": value}
        for section, keys in document["settings"].items()
        for key, value in keys.items()
    ]
    table(target, rows, {"key": "Setting", "value": "Value"}, empty="")
    target.print(f"{document['file'] or 'the defaults'}: no mistakes")
