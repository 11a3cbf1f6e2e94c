"""`ocs simulate`: simulated gateways and subscribers against any charging server.

`ocs simulate SCENARIO` is short for `ocs simulate run SCENARIO`; main calls the group `simulate`.
"""

from importlib import import_module

import click

from ocs.cli.command import Group

_COMMANDS = {
    "run": ("ocs.cli.simulate.run", "run"),
    "join": ("ocs.cli.simulate.joining", "join"),
    "replay": ("ocs.cli.simulate.replay", "replay"),
    "record": ("ocs.cli.simulate.record", "record"),
    "list": ("ocs.cli.simulate.library", "list_"),
    "schema": ("ocs.cli.simulate.library", "schema"),
    "provision": ("ocs.cli.simulate.provision", "provision"),
}
"""Module and name of each command: it is imported when it is called or listed, not before."""

_HELP = {"-h", "--help"}


class _Simulate(Group):
    """Takes what is no command of its own for the arguments of `run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands in the order of a first day's work."""
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import and return a command; None lets click say that there is no such thing."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before a scenario, or an option, that no command's name precedes."""
        if args and args[0] not in _COMMANDS and args[0] not in _HELP:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Simulate)
def simulate() -> None:
    """Simulated gateways and subscribers against this server, or any other.

    `ocs simulate SCENARIO` is short for `ocs simulate run SCENARIO`.
    """
