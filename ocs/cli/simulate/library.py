"""`ocs simulate list` and `schema`: the scenarios that come along, and what others may say."""

from rich.console import Console

from config import config_path
from ocs.cli.command import Run, ocs_command
from ocs.cli.output import Document, print_json, table
from ocs.cli.simulate.choosing import read_scenario

_COLUMNS = {"name": "Scenario", "mode": "Mode", "description": "What it does"}


@ocs_command("list", example="ocs simulate list")
def list_(run: Run) -> None:
    """List the scenarios that come along."""
    directory = config_path("scenarios/demo.yaml").parent
    names = sorted(path.stem for path in directory.glob("*.yaml"))
    run.out.rows("scenarios", (_row(name) for name in names), _show)


@ocs_command("schema", example="ocs simulate schema")
def schema(run: Run) -> None:  # noqa: ARG001 - every command has a Run
    """Print the JSON Schema of scenario files, with which editors complete and check them."""
    from simulators.scenarios.schema import scenario_schema

    print_json(scenario_schema())


def _row(name: str) -> Document:
    scenario = read_scenario(name)
    return {
        "name": name,
        "mode": scenario.mode,
        "description": scenario.description,
        "path": str(config_path(f"scenarios/{name}.yaml")),
    }


def _show(target: Console, rows: list[Document]) -> None:
    table(target, rows, _COLUMNS, empty="There are none.")
