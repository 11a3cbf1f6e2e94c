"""`ocs simulate record SCENARIO FILE`, and what `--record` and `--journal` of `run` keep."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocs.cli.command import Run, ocs_command
from ocs.cli.simulate.choosing import OUTPUT_FILE
from ocs.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.load.journal import Journal
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer

_Function = TypeVar("_Function", bound=Callable[..., Any])

_EXAMPLE = """ocs simulate record demo demo.pcap --duration 20
ocs simulate replay demo.pcap --speed max"""


@ocs_command(
    "record",
    example=_EXAMPLE,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("scenario", metavar="SCENARIO")
@click.argument("file", metavar="FILE", type=OUTPUT_FILE)
@click.pass_context
def record(context: click.Context, /, run: Run, scenario: str, file: Path) -> Any:
    """Run SCENARIO as `ocs simulate run` does, with its options, and record it into FILE.

    FILE becomes a capture in the pcap format, which `ocs simulate replay`, tshark and Wireshark
    read.
    """
    from ocs.cli.simulate.run import run as run_command

    arguments = [scenario, "--record", str(file), *context.args]
    if run.out.as_json:
        arguments.append("--json")
    with run_command.make_context("run", arguments, parent=context.parent) as inner:
        return run_command.invoke(inner)


def journal_option(function: _Function) -> _Function:
    """Give a command the option that keeps all that happens in its run."""
    option = click.option(
        "--journal",
        "journal_file",
        type=OUTPUT_FILE,
        help="Keep all messages there, for `ocs simulate join --journal`.",
    )
    return option(function)


def check_kept(chosen: "Scenario", *files: Path | None) -> None:
    """Raise UsageError when files are wanted that prepared load does not give."""
    if any(files) and chosen.mode != "subscribers":
        raise UsageError(
            f"{chosen.name} is prepared load, which is not recorded: only a scenario of"
            " mode: subscribers can be"
        )


@contextmanager
def recording(
    record_file: Path | None, journal_file: Path | None, chosen: "Scenario"
) -> "Iterator[tuple[Observer, ...]]":
    """The observers that record a run of one process into files; none without any.

    What was recorded stays when the run fails.
    """
    with ExitStack() as stack:
        observers: list[Observer] = []
        if record_file is not None:
            from simulators.replay.recorder import CaptureWriter, Recorder

            observers.append(Recorder(stack.enter_context(CaptureWriter(record_file))))
        if journal_file is not None:
            from simulators.load.journal import JournalWriter

            observers.append(stack.enter_context(JournalWriter(journal_file, chosen)))
        yield tuple(observers)


def retold(
    journals: "Sequence[Journal]", accounts: "tuple[Observer, ...]", record_file: Path | None
) -> None:
    """Tell what journals have to accounts, and record it; RefusedError for what cannot be."""
    from simulators.load.journal import retell
    from simulators.replay.recorder import CaptureWriter, Recorder

    with ExitStack() as stack:
        observers = list(accounts)
        if record_file is not None:
            observers.append(Recorder(stack.enter_context(CaptureWriter(record_file))))
        if observers:
            try:
                retell(journals, observers)
            except ValueError as error:
                raise RefusedError(str(error)) from None
