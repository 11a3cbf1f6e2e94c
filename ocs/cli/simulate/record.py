"""`ocs simulate record SCENARIO FILE`, and what `--record FILE` of `ocs simulate run` does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocs.cli.command import Run, ocs_command
from ocs.cli.simulate.choosing import OUTPUT_FILE
from ocs.errors import UsageError

if TYPE_CHECKING:
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer

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


@contextmanager
def recording(file: Path | None, chosen: "Scenario") -> "Iterator[tuple[Observer, ...]]":
    """The observers that record a run into a file; none without one.

    What was recorded stays when the run fails. Raises UsageError for prepared load.
    """
    if file is None:
        yield ()
        return
    if chosen.mode != "subscribers":
        raise UsageError(f"{chosen.name} is prepared load, which is not recorded")
    from simulators.replay.recorder import CaptureWriter, Recorder

    with CaptureWriter(file) as writer:
        yield (Recorder(writer),)
