"""Runs of several processes: `ocs simulate run --processes N` and `ocs simulate join`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import console, print_json
from ocs.cli.simulate.choosing import OUTPUT_FILE, Server
from ocs.cli.simulate.watching import html_option, write_page
from ocs.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.reports.report import Measurements, Report
    from simulators.scenarios.model import Scenario

PROCESSES_MAX = 64

processes_option = click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Share the run between so many, each with its own connections.",
)


def run_shared(
    chosen: "Scenario",
    count: int,
    server: Server,
    progress: "Callable[[Measurements, float], None]",
    start_unix_ns: int | None,
    *,
    watched: bool,
) -> "Report":
    """Run a scenario in several processes.

    Raises UsageError for what only one can do: `watched` says that somebody has to see every
    request. Raises RefusedError when it cannot be shared, or no process could do its part.
    """
    if watched:
        raise UsageError(
            "a recording, and what a scenario expects of sessions or books, needs one process"
        )
    if chosen.mode == "prepared" and server.tls_files is not None:
        raise UsageError(f"{chosen.name} is prepared load, which does not speak TLS")
    from simulators.load.processes import Target, run_processes

    target = Target(server.host, server.port, server.tls_files, start_unix_ns)
    try:
        return run_processes(chosen, count, target, progress)
    except ValueError as error:
        raise RefusedError(f"{chosen.name}: {error}") from None


@ocs_command(
    "join", example="ocs simulate join here.json there.json --report both.json --html both.html"
)
@click.argument(
    "reports",
    metavar="REPORT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--report",
    "report_file",
    type=OUTPUT_FILE,
    help="Also write the joined report there, as JSON.",
)
@html_option
def join(
    run: Run, reports: tuple[Path, ...], report_file: Path | None, html_file: Path | None
) -> int:
    """Join what `ocs simulate run --report` wrote of runs at the same time into one report.

    Nothing is lost: histograms are added, and the runs over time are laid upon each other by the
    clocks of their systems. Exit code 0 means that all of them were well.
    """
    from simulators.load.joining import join as joined
    from simulators.load.joining import read_report

    if len({path.resolve() for path in reports}) < len(reports):
        raise UsageError("each report can be joined only once")
    try:
        report = joined([read_report(path) for path in reports])
    except ValueError as error:
        raise RefusedError(str(error)) from None
    if report_file is not None:
        report_file.write_text(report.as_json() + "\n", encoding="utf-8")
    if html_file is not None:
        write_page(html_file, report)
    if run.out.as_json:
        print_json(json.loads(report.as_json()))
    else:
        report.show(console())
    return 0 if report.ok else 1
