"""What all commands share: global options on every command, an example in every help, the Run.

Command modules declare themselves with ``Group.ocs_command``; main builds the tree of them.
"""

import getpass
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocs.cli.output import Output

if TYPE_CHECKING:
    from ocs.provisioning.catalogues.catalogs import Catalogues
    from ocs.provisioning.desk import Desk
    from ocs.settings.values import Settings

_BELOW_ZERO = re.compile(r"-\.?[0-9]")
REASON_MAX = 500
OPERATOR_MAX = 100


class Run:
    """One invocation of the command: its global options, and what they open."""

    def __init__(
        self, options: dict[str, Any], context: click.Context, *, changes: bool = False
    ) -> None:
        self.config: Path | None = options.get("config")
        self.database_option: str | None = options.get("database")
        self.operator: str = options.get("operator") or _operating_system_user()
        self.reason: str = options.get("reason") or ""
        self.out = Output(as_json=bool(options.get("json_output")))
        self._context = context
        self._changes = changes

    @cached_property
    def settings(self) -> "Settings":
        """The settings: the configuration file if one is named, with --database on top."""
        from ocs.cli.opening import read_settings

        return read_settings(self.config, self.database_option)

    @cached_property
    def catalogues(self) -> "Catalogues":
        """The published catalogues."""
        from ocs.provisioning.catalogues.catalogs import Catalogues

        return Catalogues(self.desk.store, self.desk.clock)

    @cached_property
    def desk(self) -> "Desk":
        """The desk on the database; closed when the command ends."""
        from ocs.cli.opening import open_desk

        desk, close = open_desk(
            self.settings, operator=self.operator, reason=self.reason, create=self._changes
        )
        self._context.call_on_close(close)
        return desk


class OcsCommand(click.Command):
    """A command with the global options, an example in its help, and a Run as first argument."""

    def __init__(self, *args: Any, example: str, changes: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example
        self.changes = changes
        self.params += [*_global_options(), *(_change_options() if changes else ())]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a number below zero for the value that it is, wherever it stands."""
        return super().parse_args(ctx, _values_last(self.params, args))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the example below the options."""
        formatter.write_paragraph()
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write(f"  {line}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command with the Run made of the options here and before the command's name."""
        given: dict[str, Any] = dict(ctx.find_root().obj or {})
        for name in ("config", "database", "operator", "reason", "json_output"):
            value = ctx.params.pop(name, None)
            if value:
                given[name] = value
        ctx.params = {"run": Run(given, ctx, changes=self.changes), **ctx.params}
        return super().invoke(ctx)


class Group(click.Group):
    """A group of commands of one subject."""

    def ocs_command(
        self, name: str, *, example: str, changes: bool = False, **attributes: Any
    ) -> Callable[[Callable[..., Any]], OcsCommand]:
        """Declare a command of this group; ``changes`` adds --operator and --reason."""

        def decorate(function: Callable[..., Any]) -> OcsCommand:
            made = ocs_command(name, example=example, changes=changes, **attributes)(function)
            self.add_command(made)
            return made

        return decorate


def ocs_command(
    name: str, *, example: str, changes: bool = False, **attributes: Any
) -> Callable[[Callable[..., Any]], OcsCommand]:
    """Declare a command that belongs to no group."""
    return click.command(name, cls=OcsCommand, example=example, changes=changes, **attributes)


def global_option_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the root command the options that every command also takes."""
    for option in reversed([*_global_options(), *_change_options()]):
        params: list[click.Parameter] = getattr(function, "__click_params__", [])
        params.append(option)
        function.__click_params__ = params  # type: ignore[attr-defined]
    return function


def _global_options() -> list[click.Option]:
    return [
        click.Option(
            ["--config"],
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Configuration file.",
        ),
        click.Option(
            ["--database"],
            metavar="URL",
            help="Database; else OCS_DATABASE_URL, the configuration, sqlite:///ocs.db.",
        ),
        click.Option(["--json", "json_output"], is_flag=True, help="Print JSON for programs."),
    ]


def _change_options() -> list[click.Option]:
    return [
        click.Option(
            ["--operator"],
            metavar="NAME",
            callback=_limited(OPERATOR_MAX),
            help="Who does it; default is the system's user.",
        ),
        click.Option(
            ["--reason"],
            metavar="TEXT",
            callback=_limited(REASON_MAX),
            help="Why; recorded with the change.",
        ),
    ]


def _limited(
    longest: int,
) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and (len(value) > longest or not value.isprintable()):
            raise click.BadParameter(f"must be at most {longest} printable characters")
        return value

    return check


def _values_last(params: Iterable[click.Parameter], args: list[str]) -> list[str]:
    """Return the words of a command with the arguments behind ``--``, so that ``-5`` is one.

    No option begins with a digit. Words without such a number are returned as they are.
    """
    taking = {
        name: one.nargs for one in params
        if isinstance(one, click.Option) and not one.is_flag and not one.count
        for name in one.opts
    }  # fmt: skip
    options: list[str] = []
    values: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            values += words
        elif word[:1] != "-" or word == "-" or _BELOW_ZERO.match(word):
            values.append(word)
        else:
            given = list(islice(words, taking.get(word, 0)))
            if len(given) < taking.get(word, 0):
                return args
            options += [word, *given]
    return [*options, "--", *values] if any(map(_BELOW_ZERO.match, values)) else args


def _operating_system_user() -> str:
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return f"uid {os.getuid()}"
