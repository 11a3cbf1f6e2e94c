"""What the commands of `ocs simulate` run, and against which server: read from the command line."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from config import config_path
from ocs.errors import DocumentError, NotFoundError, Problem, RefusedError, UsageError

if TYPE_CHECKING:
    from protocol.tls import Credentials, TlsFiles
    from simulators.scenarios.model import Scenario

PLAIN_PORT = 3868
TLS_PORT = 5868
_SERVERS = 2
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}")
_PEM = click.Path(exists=True, dir_okay=False, path_type=Path)
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _OutputFile(click.Path):
    """A file to write after the run: that this cannot be is said before it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"Directory '{path.parent}' does not exist.", param, ctx)
        return path


OUTPUT_FILE = _OutputFile(dir_okay=False, writable=True, path_type=Path)


def server_options(function: _Function) -> _Function:
    """Give a command the options that say where the server is and how it is spoken to."""
    options = (
        click.option("--host", default="127.0.0.1", show_default=True, help="Where the server is."),
        click.option(
            "--port",
            type=click.IntRange(1, 65535),
            help=f"Its port; else {PLAIN_PORT}, or {TLS_PORT} with TLS.",
        ),
        click.option(
            "--tls-certificate", type=_PEM, help="Certificate of the gateways: speak TLS."
        ),
        click.option("--tls-key", type=_PEM, help="Its private key."),
        click.option("--tls-trusted", type=_PEM, help="Authorities whose servers are believed."),
    )
    for option in reversed(options):
        function = option(function)
    return function


class Server:
    """Where the server is and how it is spoken to; from the values of `server_options`.

    Raises UsageError when not all three files of TLS are given, RefusedError when they are no use.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        tls_certificate: Path | None = None,
        tls_key: Path | None = None,
        tls_trusted: Path | None = None,
    ) -> None:
        self.host = host
        self.tls_files = _tls_files(tls_certificate, tls_key, tls_trusted)
        self.credentials = _credentials(self.tls_files)
        self.port = port or (PLAIN_PORT if self.credentials is None else TLS_PORT)


def _tls_files(
    certificate: Path | None, key: Path | None, trusted: Path | None
) -> "TlsFiles | None":
    if certificate is None and key is None and trusted is None:
        return None
    if certificate is None or key is None or trusted is None:
        raise UsageError("TLS needs --tls-certificate, --tls-key and --tls-trusted, all three")
    from protocol.tls import TlsFiles

    return TlsFiles(certificate, key, trusted)


def _credentials(files: "TlsFiles | None") -> "Credentials | None":
    if files is None:
        return None
    from protocol.tls import CredentialsError, load

    try:
        return load(files)
    except CredentialsError as error:
        raise RefusedError(str(error)) from None


def scenario_path(name: str) -> Path:
    """The file of a scenario: a path, or the name of one that comes along."""
    path = Path(name)
    if path.exists() or os.sep in name or path.suffix:
        return path
    try:
        return config_path(f"scenarios/{name}.yaml")
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no scenario or file '{name}': ocs simulate list shows those that come along"
        ) from None


SCENARIO_OPTIONS = ("duration", "sessions", "seed", "speed_up", "servers")
"""The values that `scenario_options` gives to a command."""


def scenario_options(function: _Function) -> _Function:
    """Give a command the options that change a scenario; see `read_scenario`."""
    options = (
        click.option(
            "--duration",
            type=click.FloatRange(min=0, min_open=True),
            help="Seconds; else the scenario's.",
        ),
        click.option("--sessions", type=click.IntRange(min=1), help="End after so many sessions."),
        click.option("--seed", type=click.IntRange(min=0, max=(1 << 63) - 1), help="Other dice."),
        click.option(
            "--speed-up",
            type=click.FloatRange(min=0, min_open=True, max=100_000),
            help="Simulated seconds per second.",
        ),
        click.option(
            "--server",
            "servers",
            metavar="HOST:PORT",
            multiple=True,
            callback=_one_or_two,
            help="The server instead of --host and --port; a second one is to fail over to.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _one_or_two(
    _context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...] | None:
    if len(given) > _SERVERS or not all(_SERVER.fullmatch(one) for one in given):
        raise click.BadParameter("give HOST:PORT, of one server or two")
    return given or None


def read_scenario(
    name: str,
    *,
    duration: float | None = None,
    sessions: int | None = None,
    seed: int | None = None,
    speed_up: float | None = None,
    servers: tuple[str, ...] | None = None,
) -> "Scenario":
    """The scenario, with what the command line says otherwise."""
    from simulators.scenarios import document
    from simulators.scenarios.model import load_scenario

    path = scenario_path(name)
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
    ends = {"duration_seconds": duration, "sessions": sessions}
    load = chosen.load.model_copy(update=_given(ends))
    if servers is not None and chosen.mode == "prepared":
        raise UsageError(f"{chosen.name} is prepared load: give --host and --port")
    refuse_for_prepared(chosen, {"--sessions": sessions, "--speed-up": speed_up})
    changes = {"seed": seed, "speed_up": speed_up, "servers": servers}
    return chosen.model_copy(update={"load": load, **_given(changes)})


def refuse_for_prepared(chosen: "Scenario", options: dict[str, Any]) -> None:
    """Raise UsageError when options are given that mean nothing to prepared load."""
    given = " and ".join(_given(options))
    if given and chosen.mode == "prepared":
        raise UsageError(
            f"{chosen.name} is prepared load, which goes on for its --duration at the time of the"
            f" system: {given} cannot be given"
        )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
