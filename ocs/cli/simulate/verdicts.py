"""What `ocs simulate run` finds of a run: verdicts about what its scenario expects, JUnit XML."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocs.cli.command import Run
from ocs.cli.simulate.choosing import OUTPUT_FILE
from ocs.cli.simulate.reconciling import Books

if TYPE_CHECKING:
    from simulators.reports.report import Report
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer

_Function = TypeVar("_Function", bound=Callable[..., Any])

VERDICT_OPTIONS = ("junit_file", "reconcile", "check_command")
"""The values that `verdict_options` gives to a command."""


def verdict_options(function: _Function) -> _Function:
    """Give a command the options that say how its run is judged; see `Judge`."""
    options = (
        click.option(
            "--junit",
            "junit_file",
            type=OUTPUT_FILE,
            help="Also write the verdicts there, as JUnit XML.",
        ),
        click.option(
            "--reconcile",
            is_flag=True,
            help="Compare what was used with the books of the server in --database.",
        ),
        click.option(
            "--check-with",
            "check_command",
            metavar="COMMAND",
            help="Reconcile with what this command says of each subscriber.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Judge:
    """Watches a run and finds verdicts; from the values of `verdict_options`.

    Raises UsageError when the books of the server are needed and nobody says where they are, and
    RefusedError when they cannot be read.
    """

    def __init__(
        self,
        run: Run,
        scenario: "Scenario",
        junit_file: Path | None = None,
        reconcile: bool = False,
        check_command: str | None = None,
    ) -> None:
        from ocs.clock import SystemClock
        from simulators.verdicts.own_account import OwnAccount
        from simulators.verdicts.tallies import Tallies

        self._scenario = scenario
        self._junit_file = junit_file
        self._began_unix_ns = SystemClock().now_ns()
        watched = bool(scenario.expect) and scenario.mode == "subscribers"
        self._tallies = Tallies(scenario) if watched else None
        self._own: OwnAccount | None = None
        self._books: Books | None = None
        compared = reconcile or check_command is not None
        if compared or any(block.needs_books for block in scenario.expect):
            self._books = Books(run, [scenario], check_command, compared=compared)
            self._books.look_before()
            self._own = OwnAccount()

    @property
    def accounts(self) -> "tuple[Observer, ...]":
        """What has to be told every message, in the run or afterwards from journals."""
        return () if self._own is None else (self._own,)

    @property
    def observers(self) -> "tuple[Observer, ...]":
        """What a run of one process has to tell."""
        return (*self.accounts, *(() if self._tallies is None else (self._tallies,)))

    def judged(self, report: "Report") -> "Report":
        """The report with its verdicts, which are also written where that is wanted.

        What several processes have counted is in their report already.
        """
        from simulators.verdicts.judging import judge
        from simulators.verdicts.tallies import counted_of_prepared

        if self._scenario.mode == "prepared":
            report = replace(report, counted=counted_of_prepared(self._scenario, report))
        elif self._tallies is not None and not report.counted:
            report = replace(report, counted=self._tallies.counted())
        verdicts = judge(report)
        if self._books is not None and self._own is not None:
            verdicts += self._books.verdicts(self._own)
        report = replace(report, verdicts=verdicts)
        write_junit(self._junit_file, report, self._began_unix_ns)
        return report


def write_junit(file: Path | None, report: "Report", began_unix_ns: int) -> None:
    """Write the verdicts of a report, if that is wanted."""
    if file is not None:
        from simulators.verdicts.junit import junit_xml

        file.write_bytes(junit_xml(report, began_unix_ns))
