"""What `ocs simulate run` finds of a run: verdicts about what its scenario expects, JUnit XML."""

from collections.abc import Callable
from dataclasses import replace
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocs.cli.command import Run
from ocs.cli.simulate.choosing import OUTPUT_FILE
from ocs.errors import OcsError, RefusedError, UsageError
from ocs.settings import DATABASE_URL_VARIABLE

if TYPE_CHECKING:
    from simulators.reports.report import Report
    from simulators.reports.verdict import Verdict
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer
    from simulators.traffic.subscriber import Identities
    from simulators.verdicts.own_account import OwnAccount
    from simulators.verdicts.statements import Statement

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

        self._run = run
        self._scenario = scenario
        self._junit_file = junit_file
        self._command = check_command
        self._reconcile = reconcile or check_command is not None
        self._began_unix_ns = SystemClock().now_ns()
        watched = bool(scenario.expect) and scenario.mode == "subscribers"
        self._tallies = Tallies(scenario) if watched else None
        self._own: OwnAccount | None = None
        self._before: dict[Identities, int] = {}
        if self._reconcile or any(block.needs_books for block in scenario.expect):
            self._check_options()
            self._own = OwnAccount()
            self._look_before()

    def _check_options(self) -> None:
        if self._scenario.mode == "prepared":
            raise UsageError(f"{self._scenario.name} is prepared load, of which no books are kept")
        named = (self._run.database_option, self._run.config, environ.get(DATABASE_URL_VARIABLE))
        if self._command is None and not any(named):
            raise UsageError(
                "the server's books are needed: give --database URL, or --check-with COMMAND"
            )

    def _look_before(self) -> None:
        """Find out now, not after the run, that the books cannot be read."""
        if self._command is None:
            self._run.catalogues.current()
            return
        from simulators.verdicts.asking import SUBSCRIBERS_MAX, CheckError, ask

        count = self._scenario.subscriber_count
        if count > SUBSCRIBERS_MAX:
            raise UsageError(f"{count} subscribers are more than {SUBSCRIBERS_MAX}")
        everybody = [self._scenario.identities_of(position) for position in range(count)]
        try:
            answers = ask(self._command, "before", [(one, []) for one in everybody])
        except CheckError as error:
            raise RefusedError(str(error)) from None
        self._before = {
            one.identities: one.balance_micro for one in answers if one.balance_micro is not None
        }

    @property
    def observers(self) -> "tuple[Observer, ...]":
        """What the run has to tell."""
        return tuple(one for one in (self._tallies, self._own) if one is not None)

    def judged(self, report: "Report") -> "Report":
        """The report with its verdicts, which are also written where that is wanted."""
        from simulators.verdicts.judging import judge, judge_prepared
        from simulators.verdicts.junit import junit_xml

        if self._scenario.mode == "prepared":
            verdicts = judge_prepared(self._scenario, report)
        else:
            tallies = self._tallies.all if self._tallies is not None else []
            verdicts = judge(self._scenario, report, tallies)
        if self._own is not None:
            verdicts += self._of_books(self._own)
        report = replace(report, verdicts=[*report.verdicts, *verdicts])
        if self._junit_file is not None:
            self._junit_file.write_bytes(junit_xml(report, self._began_unix_ns))
        return report

    def _of_books(self, own: "OwnAccount") -> "list[Verdict]":
        from simulators.reports.verdict import Verdict
        from simulators.verdicts.asking import CheckError
        from simulators.verdicts.reconciling import judge_books, reconciled

        try:
            found = self._statements(own)
        except (CheckError, OcsError) as error:
            return [Verdict("the server's books", False, "that they can be read", str(error))]
        verdicts = list(judge_books(self._scenario, own, found))
        stated = any(block.reconciled for block in self._scenario.expect)
        if self._reconcile and not stated:
            verdicts += reconciled(own, found)
        return verdicts

    def _statements(self, own: "OwnAccount") -> "list[Statement]":
        if self._command is None:
            from ocs.cli.simulate.books import statements

            return statements(self._run.desk, self._run.catalogues, own)
        from simulators.verdicts.asking import ask

        found = ask(
            self._command,
            "after",
            [
                (identities, [session.session_id for session in sessions])
                for identities, sessions in own.subscribers().items()
            ],
        )
        for one in found:
            one.before_micro = self._before.get(one.identities)
        return found
