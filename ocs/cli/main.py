"""The command tree of ``ocs``, and the one place where errors become sentences and exit codes.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage. The console script calls ``main``.
"""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

import click

from ocs.cli.command import Group, global_option_values
from ocs.errors import DocumentError, OcsError, UsageError

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
DISTRIBUTION = "gyro-ocs"

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("ocs.cli.serve", "serve"),
    "check-config": ("ocs.cli.serve", "check_config"),
    "db": ("ocs.cli.database", "database"),
    "catalog": ("ocs.cli.catalog", "catalog"),
    "price": ("ocs.cli.price", "price"),
    "subscriber": ("ocs.cli.subscriber", "subscriber"),
    "account": ("ocs.cli.account", "account"),
    "usage": ("ocs.cli.usage", "usage"),
    "voucher": ("ocs.cli.voucher", "voucher"),
    "session": ("ocs.cli.session", "session"),
    "why": ("ocs.cli.why", "why"),
    "audit": ("ocs.cli.audit", "audit"),
    "sponsors": ("ocs.cli.sponsors", "sponsors"),
    "review": ("ocs.cli.review", "review"),
    "peer": ("ocs.cli.peer", "peer"),
    "actions": ("ocs.cli.actions", "actions"),
    "trace": ("ocs.cli.trace", "trace"),
    "records": ("ocs.cli.records", "records"),
    "events": ("ocs.cli.events", "events"),
    "decode": ("ocs.cli.decode", "decode"),
    "demo": ("ocs.cli.demo", "demo"),
    "simulate": ("ocs.cli.simulate", "simulate"),
}
"""Module and name of each command: it is imported when it is called or listed, not before."""


class Root(Group):
    """The tree; every way a command can end comes through ``main``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order of a first day's work."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return a command; None lets click say that there is no such thing."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command and leave with its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        as_json = "--json" in given
        try:
            result = super().main(given, standalone_mode=False, **extra)
            sys.stdout.flush()
            code = result if isinstance(result, int) else EXIT_DONE
        except BrokenPipeError:
            # The reader went away, such as `| head`: nothing is wrong, and nothing can be said.
            sys.stdout = None
            code = EXIT_DONE
        except Exception as error:  # noqa: BLE001 - what nobody knows is raised again there
            code = _report(error, as_json=as_json)
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        sys.exit(code)


def _report(error: Exception, *, as_json: bool) -> int:
    """Say on standard error what happened and return the exit code; unknown errors go on up."""
    if isinstance(error, click.Abort):
        return EXIT_INTERRUPTED
    if isinstance(error, click.UsageError):
        if as_json:
            _error_document(EXIT_USAGE, "ocs.usage", error.format_message())
        else:
            error.show()
        return EXIT_USAGE
    if isinstance(error, click.ClickException):
        _say(EXIT_REFUSED, "ocs.refused", error.format_message(), as_json=as_json)
        return EXIT_REFUSED
    if isinstance(error, OcsError):
        exit_code = EXIT_USAGE if isinstance(error, UsageError) else EXIT_REFUSED
        problems = error.problems if isinstance(error, DocumentError) else ()
        _say(exit_code, error.code, str(error), as_json=as_json, problems=[
            {"message": one.message, "source": one.source, "line": one.line,
             "column": one.column, "path": one.path}
            for one in problems
        ])  # fmt: skip
        return exit_code
    if isinstance(error, OSError):
        _say(EXIT_REFUSED, "ocs.fault", _of_os_error(error), as_json=as_json)
        return EXIT_REFUSED
    raise error


def _say(
    exit_code: int, code: str, message: str, *, as_json: bool, problems: list[Any] | None = None
) -> None:
    if as_json:
        _error_document(exit_code, code, message, problems)
    else:
        click.echo(f"ocs: {message}", err=True)


def _error_document(
    exit_code: int, code: str, message: str, problems: list[Any] | None = None
) -> None:
    error: dict[str, Any] = {"code": code, "message": message, "exit_code": exit_code}
    if problems:
        error["problems"] = problems
    click.echo(json.dumps({"error": error}, indent=2, ensure_ascii=False), err=True)


def _of_os_error(error: OSError) -> str:
    where = f" {error.filename}:" if error.filename else ""
    return f"the system refused:{where} {error.strerror or error}"


def _installed_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "not installed"


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_installed_version(), prog_name="ocs")
@global_option_values
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Online charging server: Diameter credit control against prepaid balances.

    The options --config, --database and --json may stand here or after the command.
    """
    context.obj = options


if __name__ == "__main__":
    main()
