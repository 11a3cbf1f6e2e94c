"""How a run of `ocs simulate` is looked at: lines or a dashboard meanwhile, HTML afterwards."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocs.cli.output import Output, console
from ocs.cli.simulate.choosing import OUTPUT_FILE, scenario_path

if TYPE_CHECKING:
    from simulators.reports.report import Measurements, Report
    from simulators.scenarios.model import Scenario

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LINE_EVERY_SECONDS = 1.0

WATCH_OPTIONS = ("html_file", "dashboard")
"""The values that `watch_options` gives to a command."""


def html_option(function: _Function) -> _Function:
    """Give a command the option that writes its report as a page."""
    option = click.option(
        "--html",
        "html_file",
        type=OUTPUT_FILE,
        help="Also write the report there, as a page with plots.",
    )
    return option(function)


def watch_options(function: _Function) -> _Function:
    """Give a command the options that say how its run is looked at; see `Watch`."""
    dashboard = click.option(
        "--dashboard/--no-dashboard",
        default=None,
        help="Show the run as it goes on, or only lines; else as standard error is a terminal.",
    )
    return html_option(dashboard(function))


class Watch:
    """Shows a run on standard error and writes its page; from the values of `watch_options`.

    `name` is what the command line calls the scenario.
    """

    def __init__(
        self,
        out: Output,
        name: str,
        chosen: "Scenario",
        html_file: Path | None = None,
        dashboard: bool | None = None,
    ) -> None:
        self._quiet = out.as_json and dashboard is not True
        self._target = console(stderr=True)
        self._name = name
        self._html_file = html_file
        self._before: dict[str, Any] = {}
        self._spoken = -_LINE_EVERY_SECONDS
        self._dashboard: Any = None
        wanted = self._target.is_terminal if dashboard is None else dashboard
        if wanted and not self._quiet:
            from simulators.reports.dashboard import Dashboard

            seconds = chosen.load.ends_after_seconds
            self._dashboard = Dashboard(self._target, chosen.name, seconds)

    def running(self) -> AbstractContextManager[Any]:
        """What surrounds the run."""
        return nullcontext() if self._dashboard is None else self._dashboard.running()

    def progress(self, measured: "Measurements", seconds: float) -> None:
        """What the run calls a few times a second."""
        if self._dashboard is not None:
            self._dashboard.show(measured, seconds)
        elif not self._quiet and seconds - self._spoken >= _LINE_EVERY_SECONDS:
            from simulators.reports.report import progress_line

            self._spoken = seconds
            self._target.print(progress_line(measured, seconds, self._before))

    def keep(self, report: "Report") -> None:
        """Write the page, if one is wanted."""
        if self._html_file is not None:
            text = scenario_path(self._name).read_text(encoding="utf-8")
            write_page(self._html_file, report, text)


def write_page(file: Path, report: "Report", scenario_text: str = "") -> None:
    """Write a report as a page."""
    from simulators.reports.page import html_page

    file.write_text(html_page(report, scenario_text), encoding="utf-8")
