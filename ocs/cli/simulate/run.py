"""`ocs simulate SCENARIO`: simulated gateways and subscribers against any charging server."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from config import config_path
from ocs.cli.command import Run, ocs_command
from ocs.cli.output import console, print_json
from ocs.errors import (
    DocumentError,
    FaultError,
    NotFoundError,
    Problem,
    RefusedError,
    UsageError,
)

_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXAMPLE = """ocs simulate demo --host 127.0.0.1 --port 3868 --duration 20
ocs simulate my-scenario.yaml --seed 7 --report result.json
ocs simulate demo --tls-certificate pgws.pem --tls-key pgws.key --tls-trusted authority.pem"""


@ocs_command("simulate", example=_EXAMPLE)
@click.argument("scenario", metavar="SCENARIO")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the server is.")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Its port; else 3868, or 5868 with TLS."
)
@click.option("--tls-certificate", type=_PEM, help="Certificate of the gateways: speak TLS.")
@click.option("--tls-key", type=_PEM, help="Its private key.")
@click.option("--tls-trusted", type=_PEM, help="Authorities whose servers are believed.")
@click.option(
    "--duration", type=click.FloatRange(min=0, min_open=True), help="Seconds; else the scenario's."
)
@click.option("--seed", type=click.IntRange(min=0, max=(1 << 63) - 1), help="Other dice.")
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write the report there, as JSON.",
)
def simulate(
    run: Run,
    scenario: str,
    host: str,
    port: int | None,
    duration: float | None,
    seed: int | None,
    report_file: Path | None,
    **tls: Path | None,
) -> int:
    """Run SCENARIO, a YAML file or one of demo, soak, lab, load, against a server, and report.

    Exit code 0 means that traffic flowed and every answer kept the rules. The certificate for TLS
    must be for every gateway of the scenario.
    """
    from simulators.reports.report import Measurements, progress_line

    chosen = _read(scenario, duration, seed)
    server = Server(host, port, _credentials(chosen, tls))
    target = console(stderr=True)
    before: dict[str, Any] = {}
    spoken = -1.0

    def progress(measured: Measurements, seconds: float) -> None:
        nonlocal spoken
        if seconds - spoken >= 1.0 and not run.out.as_json:
            spoken = seconds
            target.print(progress_line(measured, seconds, before))

    report = _run(chosen, server, progress)
    document = json.loads(report.as_json())
    if report_file is not None:
        report_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if run.out.as_json:
        print_json(document)
    else:
        report.show(console())
    return 0 if report.ok else 1


def _read(name: str, duration: float | None, seed: int | None) -> Any:
    """The scenario with what the command line says otherwise."""
    from simulators.scenarios import document
    from simulators.scenarios.model import load_scenario

    path = Path(name)
    if not path.exists() and os.sep not in name and not path.suffix:
        try:
            path = config_path(f"scenarios/{name}.yaml")
        except FileNotFoundError:
            raise NotFoundError(f"there is no scenario or file '{name}'") from None
    try:
        chosen = load_scenario(path)
    except document.DocumentError as error:
        raise DocumentError(
            tuple(
                Problem(one.message, one.source, one.line, one.column, one.path)
                for one in error.problems
            )
        ) from None
    except UnicodeDecodeError:
        raise DocumentError((Problem("not UTF-8 text", str(path)),)) from None
    if duration is not None:
        load = chosen.load.model_copy(update={"duration_seconds": duration})
        chosen = chosen.model_copy(update={"load": load})
    return chosen if seed is None else chosen.model_copy(update={"seed": seed})


class Server:
    """Where the server is and how it is spoken to."""

    def __init__(self, host: str, port: int | None, credentials: Any) -> None:
        self.host = host
        self.port = port or (3868 if credentials is None else 5868)
        self.credentials = credentials


def _credentials(chosen: Any, tls: dict[str, Path | None]) -> Any:
    """What the gateways speak TLS with; None when they do not."""
    certificate, key, trusted = (tls[f"tls_{name}"] for name in ("certificate", "key", "trusted"))
    if certificate is None and key is None and trusted is None:
        return None
    if certificate is None or key is None or trusted is None:
        raise UsageError("TLS needs --tls-certificate, --tls-key and --tls-trusted, all three")
    if chosen.mode != "subscribers":
        raise UsageError(f"{chosen.name} is prepared load, which does not speak TLS")
    from protocol.tls import CredentialsError, TlsFiles, load

    try:
        return load(TlsFiles(certificate, key, trusted))
    except CredentialsError as error:
        raise RefusedError(str(error)) from None


def _run(chosen: Any, server: Server, progress: Callable[[Any, float], None]) -> Any:
    host, port = server.host, server.port
    if chosen.mode == "subscribers":
        from simulators.traffic.gateway import run_scenario

        return run_scenario(chosen, host, port, progress, server.credentials)
    from simulators.load.prepared import PeerRefusedError, run_prepared

    try:
        return run_prepared(chosen, host, port, progress)
    except PeerRefusedError as error:
        raise RefusedError(f"the server did not accept a gateway: {error}") from None
    except ValueError as error:
        raise RefusedError(f"{chosen.name}: {error}") from None
    except OSError as error:
        raise FaultError(f"no server at {host} port {port}: {error.strerror or error}") from None
