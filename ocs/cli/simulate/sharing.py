"""Runs of several processes: `ocs simulate run --processes N`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from ocs.cli.simulate.choosing import Server
from ocs.cli.simulate.record import retold
from ocs.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.load.journal import Journal
    from simulators.reports.report import Measurements, Report
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer

PROCESSES_MAX = 64

processes_option = click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Share the run between so many, each with its own connections.",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of every message: files, and accounts that are told of them afterwards."""

    record_file: Path | None = None
    journal_file: Path | None = None
    accounts: "tuple[Observer, ...]" = ()

    @property
    def something(self) -> bool:
        """Whether there is anything."""
        return bool(self.record_file or self.journal_file or self.accounts)


def run_shared(
    chosen: "Scenario",
    count: int,
    server: Server,
    progress: "Callable[[Measurements, float], None]",
    start_unix_ns: int | None,
    kept: Kept,
) -> "Report":
    """Run a scenario in several processes; what they have kept is put together afterwards.

    Raises RefusedError when it cannot be shared, or no process could do its part.
    """
    if chosen.mode == "prepared" and server.tls_files is not None:
        raise UsageError(f"{chosen.name} is prepared load, which does not speak TLS")
    from simulators.load.processes import Target, journals_in, run_processes

    target = Target(server.host, server.port, server.tls_files, start_unix_ns)
    with TemporaryDirectory(prefix="ocs-simulate-") as name:
        directory = Path(name)
        try:
            return run_processes(
                chosen, count, target, progress, directory if kept.something else None
            )
        except ValueError as error:
            raise RefusedError(f"{chosen.name}: {error}") from None
        finally:
            _keep(journals_in(directory), chosen, kept)


def _keep(journals: "list[Journal]", chosen: "Scenario", kept: Kept) -> None:
    if kept.journal_file is not None:
        from simulators.load.journal import write_merged

        write_merged(kept.journal_file, journals, chosen)
    retold(journals, kept.accounts, kept.record_file)
