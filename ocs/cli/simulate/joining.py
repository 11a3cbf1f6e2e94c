"""`ocs simulate join`: reports and journals of runs at the same time as those of one run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import console, print_json
from ocs.cli.simulate.choosing import OUTPUT_FILE
from ocs.cli.simulate.reconciling import Books
from ocs.cli.simulate.record import retold
from ocs.cli.simulate.verdicts import verdict_options, write_junit
from ocs.cli.simulate.watching import html_option, write_page
from ocs.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.reports.report import Report

_JOIN_EXAMPLE = """ocs simulate join here.json there.json --report both.json --html both.html
ocs simulate join here.json there.json --journal here.journal --journal there.journal --reconcile"""


@ocs_command("join", example=_JOIN_EXAMPLE)
@click.argument(
    "reports",
    metavar="REPORT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--journal",
    "journals",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What one of the runs has kept with --journal; once for each run.",
)
@click.option(
    "--report",
    "report_file",
    type=OUTPUT_FILE,
    help="Also write the joined report there, as JSON.",
)
@click.option(
    "--record",
    "record_file",
    type=OUTPUT_FILE,
    help="Record the runs there as one, as a capture for `ocs simulate replay`.",
)
@verdict_options
@html_option
def join(
    run: Run,
    reports: tuple[Path, ...],
    journals: tuple[Path, ...],
    report_file: Path | None,
    record_file: Path | None,
    html_file: Path | None,
    junit_file: Path | None,
    reconcile: bool,
    check_command: str | None,
) -> int:
    """Join what `ocs simulate run --report` wrote of runs at the same time into one report.

    Nothing is lost: histograms are added, the runs over time are laid upon each other by the
    clocks of their systems, and what the scenarios expect is judged over all of them. Exit code 0
    means that all of them were well.
    """
    from simulators.load.joining import join as joined
    from simulators.load.joining import read_report

    for several in (reports, journals):
        if len({path.resolve() for path in several}) < len(several):
            raise UsageError("each report, and each journal, can be joined only once")
    compared = reconcile or check_command is not None
    if (compared or record_file is not None) and not journals:
        raise UsageError(
            "--record, --reconcile and --check-with need what the runs have kept: give --journal"
            " FILE for each, as `ocs simulate run --journal FILE` has written it"
        )
    try:
        report = joined([read_report(path) for path in reports])
    except ValueError as error:
        raise RefusedError(str(error)) from None
    if journals:
        report = _with_journals(
            run, report, journals, record_file, check_command, compared=compared
        )
    write_junit(junit_file, report, report.started_unix_ms * 1_000_000)
    if report_file is not None:
        report_file.write_text(report.as_json() + "\n", encoding="utf-8")
    if html_file is not None:
        write_page(html_file, report)
    if run.out.as_json:
        print_json(json.loads(report.as_json()))
    else:
        report.show(console())
    return 0 if report.ok else 1


def _with_journals(
    run: Run,
    report: "Report",
    paths: tuple[Path, ...],
    record_file: Path | None,
    check_command: str | None,
    *,
    compared: bool,
) -> "Report":
    """The joined report with what only the messages of all runs together can tell."""
    from simulators.load.journal import Journal
    from simulators.verdicts.own_account import OwnAccount

    try:
        journals = [Journal(path) for path in paths]
    except ValueError as error:
        raise RefusedError(str(error)) from None
    books = None
    if compared:
        scenarios = [one.scenario for one in journals]
        books = Books(run, scenarios, check_command, compared=compared)
    own = OwnAccount()
    retold(journals, () if books is None else (own,), record_file)
    problems = [
        f"{one.path} ends in the middle of a message: its run did not end well"
        for one in journals
        if one.cut_off
    ]
    verdicts = report.verdicts
    if books is not None:
        verdicts = [one for one in verdicts if not one.books] + books.verdicts(own)
    return replace(report, verdicts=verdicts, problems=[*report.problems, *problems])
