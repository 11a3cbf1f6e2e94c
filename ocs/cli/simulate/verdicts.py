"""What `ocs simulate run` finds of a run: verdicts about what its scenario expects, JUnit XML."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocs.errors import UsageError

if TYPE_CHECKING:
    from simulators.reports.report import Report
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer

_Function = TypeVar("_Function", bound=Callable[..., Any])

VERDICT_OPTIONS = ("junit_file",)
"""The values that `verdict_options` gives to a command."""


def verdict_options(function: _Function) -> _Function:
    """Give a command the options that say how its run is judged; see `Judge`."""
    options = (
        click.option(
            "--junit",
            "junit_file",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            help="Also write the verdicts there, as JUnit XML.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Judge:
    """Watches a run and finds verdicts; from the values of `verdict_options`."""

    def __init__(self, scenario: "Scenario", junit_file: Path | None = None) -> None:
        from simulators.verdicts.tallies import Tallies

        for number, block in enumerate(scenario.expect):
            if block.needs_books:
                raise UsageError(f"expect[{number}] needs the server's books")
        self._scenario = scenario
        self._junit_file = junit_file
        self._began_unix_ns = time.time_ns()
        self._tallies = Tallies(scenario) if scenario.expect else None

    @property
    def observers(self) -> "tuple[Observer, ...]":
        """What the run has to tell."""
        return () if self._tallies is None else (self._tallies,)

    def judged(self, report: "Report") -> "Report":
        """The report with its verdicts, which are also written where that is wanted."""
        from simulators.verdicts.judging import judge, judge_prepared
        from simulators.verdicts.junit import junit_xml

        if self._scenario.mode == "prepared":
            verdicts = judge_prepared(self._scenario, report)
        else:
            tallies = self._tallies.all if self._tallies is not None else []
            verdicts = judge(self._scenario, report, tallies)
        report = replace(report, verdicts=[*report.verdicts, *verdicts])
        if self._junit_file is not None:
            self._junit_file.write_bytes(junit_xml(report, self._began_unix_ns))
        return report
