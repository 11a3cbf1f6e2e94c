"""`ocs simulate run SCENARIO`: run a scenario and report what was measured."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocs.cli.command import Run, ocs_command
from ocs.cli.output import console, print_json
from ocs.cli.simulate.choosing import (
    OUTPUT_FILE,
    SCENARIO_OPTIONS,
    Server,
    read_scenario,
    refuse_for_prepared,
    scenario_options,
    server_options,
)
from ocs.cli.simulate.record import check_kept, journal_option, recording
from ocs.cli.simulate.sharing import Kept, processes_option, run_shared
from ocs.cli.simulate.verdicts import VERDICT_OPTIONS, Judge, verdict_options
from ocs.cli.simulate.watching import WATCH_OPTIONS, Watch, watch_options
from ocs.errors import FaultError, RefusedError, UsageError

if TYPE_CHECKING:
    from simulators.reports.report import Measurements, Report
    from simulators.scenarios.model import Scenario
    from simulators.traffic.observer import Observer

_EXAMPLE = """ocs simulate run demo --host 127.0.0.1 --port 3868 --duration 20
ocs simulate run my-scenario.yaml --seed 7 --report result.json
ocs simulate run demo --tls-certificate pgws.pem --tls-key pgws.key --tls-trusted authority.pem"""


@ocs_command("run", example=_EXAMPLE)
@click.argument("scenario", metavar="SCENARIO")
@server_options
@scenario_options
@click.option(
    "--start",
    metavar="TIME",
    help="What time it is for the gateways, such as 2026-03-02T11:29:30Z; else the system's.",
)
@click.option(
    "--report",
    "report_file",
    type=OUTPUT_FILE,
    help="Also write the report there, as JSON.",
)
@click.option(
    "--record",
    "record_file",
    type=OUTPUT_FILE,
    help="Record the run there, as a capture for `ocs simulate replay`.",
)
@journal_option
@verdict_options
@watch_options
@processes_option
def run(
    run: Run,
    scenario: str,
    start: str | None,
    report_file: Path | None,
    record_file: Path | None,
    journal_file: Path | None,
    processes: int,
    **options: Any,
) -> int:
    """Run SCENARIO, a YAML file or one of `ocs simulate list`, against a server, and report.

    Exit code 0 means that traffic flowed, every answer kept the rules, and all was as the scenario
    expects. The certificate for TLS must be for every gateway of the scenario.
    """
    chosen = read_scenario(scenario, **{name: options.pop(name) for name in SCENARIO_OPTIONS})
    refuse_for_prepared(chosen, {"--start": start})
    judge = Judge(run, chosen, **{name: options.pop(name) for name in VERDICT_OPTIONS})
    watch = Watch(run.out, scenario, chosen, **{name: options.pop(name) for name in WATCH_OPTIONS})
    server = Server(**options)
    check_kept(chosen, record_file, journal_file)
    begins = _instant(start)
    if processes > 1:
        kept = Kept(record_file, journal_file, judge.accounts)
        with watch.running():
            measured = run_shared(chosen, processes, server, watch.progress, begins, kept)
    else:
        with recording(record_file, journal_file, chosen) as observers, watch.running():
            watching = (*judge.observers, *observers)
            measured = _run(chosen, server, watch.progress, watching, begins)
    report = judge.judged(measured)
    watch.keep(report)
    document = json.loads(report.as_json())
    if report_file is not None:
        report_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if run.out.as_json:
        print_json(document)
    else:
        report.show(console())
    return 0 if report.ok else 1


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    from ocs.clock import SystemClock
    from ocs.provisioning.instants import parse_instant

    return parse_instant(text, SystemClock().now_ns())


def _run(
    chosen: "Scenario",
    server: Server,
    progress: "Callable[[Measurements, float], None]",
    observers: "tuple[Observer, ...]" = (),
    start_unix_ns: int | None = None,
) -> "Report":
    host, port = server.host, server.port
    if chosen.mode == "subscribers":
        from simulators.traffic.simulation import run_scenario

        return run_scenario(
            chosen, host, port, progress, server.credentials, observers, start_unix_ns
        )
    if server.credentials is not None:
        raise UsageError(f"{chosen.name} is prepared load, which does not speak TLS")
    from simulators.load.prepared import PeerRefusedError, run_prepared

    try:
        return run_prepared(chosen, host, port, progress)
    except PeerRefusedError as error:
        raise RefusedError(f"the server did not accept a gateway: {error}") from None
    except ValueError as error:
        raise RefusedError(f"{chosen.name}: {error}") from None
    except OSError as error:
        raise FaultError(f"no server at {host} port {port}: {error.strerror or error}") from None
