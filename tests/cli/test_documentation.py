"""docs/cli.md and the commands agree: every command, option, example and JSON shape."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ocs.cli.command import OcsCommand
from ocs.cli.main import main

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
GLOBAL = {"--config", "--database", "--json", "--operator", "--reason", "--help"}
_SIMULATE = ("run", "replay", "record", "join")
WITHOUT_JSON = {"serve", "demo", *(f"simulate {name}" for name in _SIMULATE)}
"""They run until they end; what they report is described where they are."""


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands())


def sections() -> dict[str, str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    parts = re.split(r"^### `ocs ([a-z -]+)`.*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def documented_json(name: str) -> Any:
    block = re.search(r"```json\n(.*?)```", sections()[name], re.DOTALL)
    return json.loads(block[1]) if block else None


def test_every_command_is_documented_and_nothing_else():
    assert sorted(sections()) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_can_be_parsed(name, cli):
    command = COMMANDS[name]
    assert isinstance(command, OcsCommand)
    shown = cli(*name.split(), "--help")
    assert shown.code == 0
    assert "Example" in shown.out
    for line in command.example.splitlines():
        assert line in shown.out, "the example is not wrapped"
        assert line in sections()[name], "the example of the help is that of the document"
        typed = shlex.split(line.rpartition("| ")[2])
        assert typed[0] == "ocs"
        _parse(typed[1:])


def _parse(arguments: list[str]) -> None:
    """Parse a command line as far as files that need not exist here."""
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None
        command = found
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            parameter.type.exists = False
    command.make_context(command.name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name):
    options = {
        flag
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
        if flag.startswith("--")
    }
    text = sections()[name]
    missing = [flag for flag in options - GLOBAL if f"`{flag}" not in text]
    assert not missing
    written = set(re.findall(r"^- `(--[a-z-]+)", text, re.MULTILINE))
    assert written <= options


def shape(value: Any) -> Any:
    """Return the keys and kinds of a JSON value: lists by their first member."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def same(documented: Any, actual: Any, where: str = "") -> list[str]:
    """Return where two shapes differ; null, {} and [] in the document stand for anything."""
    if documented in ("NoneType", {}, []) or actual in ("NoneType", []):
        return []
    if isinstance(documented, dict) and isinstance(actual, dict):
        if list(documented) != list(actual):
            return [f"{where}: documented {list(documented)}, printed {list(actual)}"]
        return [
            problem
            for key in documented
            for problem in same(documented[key], actual[key], f"{where}.{key}")
        ]
    if isinstance(documented, list) and isinstance(actual, list):
        return same(documented[0], actual[0], f"{where}[]")
    return [] if documented == actual else [f"{where}: documented {documented}, printed {actual}"]


CALLS: dict[str, list[str]] = {
    "check-config": [],
    "db upgrade": [],
    "db prune": ["--records-days", "0", "--sessions-days", "0"],
    "db backup": ["{tmp}/copy.db"],
    "db restore": ["{tmp}/spare.db", "--database", "sqlite:///{tmp}/restored.db"],
    "catalog check": ["{catalogue}"],
    "catalog publish": ["{catalogue}"],
    "catalog diff": ["current", "{mobile}"],
    "catalog list": [],
    "catalog schema": [],
    "catalog show": ["1"],
    "catalog rollback": [],
    "catalog withdraw": ["2"],
    "catalog whatif": ["{catalogue}", "--since", "2025-01-01", "--jobs", "1"],
    "price": ["data", "7.3 MB", "--plan", "basic"],
    "subscriber add": ["+4915199999999", "--plan", "basic", "--balance", "5"],
    "subscriber show": ["{account}"],
    "subscriber list": [],
    "subscriber friends": ["{account}"],
    "subscriber block": ["{account}"],
    "subscriber unblock": ["{account}"],
    "subscriber plan": ["{account}", "redirect"],
    "subscriber state": ["{account}", "active", "--until", "2199-01-01"],
    "subscriber remove": ["+4915188888888", "--forfeit"],
    "subscriber erase": ["+4915188888888", "--forfeit"],
    "subscriber import": ["{tmp}/new.csv"],
    "account topup": ["{account}", "10", "--reference", "shop-7731"],
    "account adjust": ["{account}", "--", "-2.50"],
    "account refund": ["{message}", "--amount", "0.07"],
    "account limit": ["{account}", "50"],
    "account transfer": ["{account}", "+4915188888888", "1"],
    "account show": ["{account}"],
    "account cap": ["{account}", "mine", "20"],
    "account counts": ["{account}"],
    "account schedule": ["{account}"],
    "usage record": ["{account}", "message", "2", "--key", "smsc/7731"],
    "usage import": ["{tmp}/usage.csv"],
    "account ledger": ["{account}"],
    "voucher generate": ["--count", "1", "--amount", "10", "--output", "{tmp}/codes.csv"],
    "voucher redeem": ["{account}", "{code}"],
    "voucher list": [],
    "voucher void": ["{batch}"],
    "session abort": ["pgw1;1;2"],
    "session list": [],
    "session reauth": ["pgw1;1;2"],
    "session requests": ["--session", "pgw1;1;2"],
    "session show": ["pgw1;1;2"],
    "session release": ["pgw1;1;2"],
    "why": ["{data}"],
    "audit": [],
    "sponsors": [],
    "review list": [],
    "review accept": ["{review}"],
    "review dismiss": ["{review2}"],
    "peer list": [],
    "peer allow": ["pgw2.example.com"],
    "peer remove": ["pgw1.example.com"],
    "actions": [],
    "trace": ["{account}", "--since", "2026-01-05T12:00:15Z", "--count", "1"],
    "records export": ["--output", "{tmp}/out.csv"],
    "events tail": ["--since", "2026-01-05"],
    "simulate list": [],
    "simulate schema": [],
    "simulate provision": ["demo", "--plan", "basic"],
    "decode": ["0100001480000118000000000000000100000001"],
}


def call(cli, name, stocked, tmp_path):
    """Call a command with --json on the stocked database and return what it printed."""
    from tests.support.desks import CATALOGUE
    from tests.support.offers import allowing

    (tmp_path / "new.csv").write_text("plan,msisdn,balance\nbasic,+4915177777777,1\n")
    (tmp_path / "usage.csv").write_text(
        "key,subscriber,service,quantity\na,4915112345678,message,1\n"
    )
    assert cli("subscriber", "add", "+4915188888888", "--plan", "basic").code == 0
    if name == "session requests":
        assert cli("session", "reauth", "pgw1;1;2").code == 0
    if name in ("catalog rollback", "catalog withdraw"):
        later = ["--effective", "2199-01-01"] if name == "catalog withdraw" else []
        text = CATALOGUE.read_text(encoding="utf-8") + "\n# another\n"
        (tmp_path / "other.yaml").write_text(text, encoding="utf-8")
        assert cli("catalog", "publish", f"{tmp_path}/other.yaml", *later).code == 0
    if name == "account counts":
        assert cli("account", "cap", stocked["account"], "mine", "20").code == 0
        used = ("usage", "record", stocked["account"], "message", "1", "--key", "counted")
        assert cli(*used).code == 0
    if name == "account transfer":
        (tmp_path / "other.yaml").write_text(allowing(), encoding="utf-8")
        assert cli("catalog", "publish", f"{tmp_path}/other.yaml").code == 0
    stocked = {**stocked, "batch": "", "code": ""}
    if name.startswith("voucher") and name != "voucher generate":
        made = ("--count", "1", "--amount", "10", "--output", f"{tmp_path}/one.csv")
        assert cli("voucher", "generate", *made).code == 0
        row = (tmp_path / "one.csv").read_text(encoding="ascii").splitlines()[1]
        stocked["batch"], _, stocked["code"] = row.split(",")
    if name == "db restore":
        assert cli("db", "backup", f"{tmp_path}/spare.db").code == 0
    mobile = CATALOGUE.with_name("mobile.yaml")
    names = {
        **stocked, "tmp": str(tmp_path), "catalogue": str(CATALOGUE), "mobile": str(mobile),
    }  # fmt: skip
    arguments = [one.format(**names) for one in CALLS[name]]
    ran = cli(*name.split(), "--json", *arguments)
    assert ran.code == 0, ran.err
    return ran.json


def test_every_command_is_called_here():
    assert set(CALLS) == set(COMMANDS) - WITHOUT_JSON


@pytest.mark.parametrize("name", CALLS)
def test_the_json_is_the_documented_one(name, cli, stocked, tmp_path):
    printed = call(cli, name, stocked, tmp_path)
    documented = documented_json(name)
    assert documented is not None, "the document shows no JSON"
    assert same(shape(documented), shape(printed), name) == []
