"""`ocs serve` and `ocs check-config`: the server itself, and its settings checked."""

from collections.abc import Iterator
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

    An embedded SQLite database that does not exist yet is made. SIGHUP loads the certificate again
    where TLS is spoken.
    """
    from ocs import app
    from ocs.cli.opening import prepare

    prepare(run.settings.database.url, create=True)
    return app.run(run.settings, test_clock)


@ocs_command("check-config", example="ocs check-config --config config/ocs.yaml")
def check_config(run: Run) -> None:
    """Check a configuration file; every mistake is listed as file:line:column.

    Prints every setting as it would hold, defaults included; passwords are masked. The files of TLS
    are loaded, and what peers would not believe in them is said.
    """
    certificate = None
    if run.settings.diameter.tls.is_on:
        from ocs.clock import SystemClock
        from ocs.service.peers.certificates import describe_certificate

        certificate = describe_certificate(run.settings.diameter, SystemClock().now_ns())
    document = {
        "file": str(run.config or ""),
        "settings": run.settings.describe(),
        "certificate": certificate,
    }
    run.out.show(document, _show)


def _show(target: Console, document: Document) -> None:
    rows = list(_rows("", document["settings"]))
    table(target, rows, {"key": "Setting", "value": "Value"}, empty="")
    certificate = document["certificate"]
    if certificate:
        target.print(
            f"certificate: {certificate['subject']} for {', '.join(certificate['names'])},"
            f" {certificate['days_left']} days left"
        )
        for complaint in certificate["complaints"]:
            target.print(f"warning: {complaint}")
    target.print(f"{document['file'] or 'the defaults'}: no mistakes")


def _rows(path: str, settings: Document) -> Iterator[Document]:
    """Yield one row per setting; those of a group inside a section have longer names."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _rows(f"{path}{key}.", value)
        else:
            yield {"key": f"{path}{key}", "value": value}
