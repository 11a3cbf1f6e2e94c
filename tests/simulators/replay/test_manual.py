"""What docs/simulator.md says about replays is what the code takes."""

import re
from typing import get_args

import click
import pytest

from ocs.cli.simulate.replay import replay
from simulators.replay.records import UsageRecord, read_records
from simulators.replay.rules import Aspect, Rules, Tolerances, parse_rules
from tests.support.sources import ROOT

PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def part(heading: str) -> str:
    return PAGE.partition(f"### {heading}\n")[2].partition("\n### ")[0]


def block(heading: str, language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", part(heading), re.DOTALL)
    return str(found)


@pytest.mark.rule("X-057")
def test_the_rules_file_of_the_manual_has_every_key():
    text = block("Rewriting", "yaml")
    rules = parse_rules(text, "manual.yaml")
    assert rules.model_fields_set == set(Rules.model_fields)
    assert rules.tolerances.model_fields_set == set(Tolerances.model_fields)
    defaults = Rules()
    for name in ("destination_host", "destination_realm", "session_id", "timestamps", "agent"):
        assert getattr(rules, name) == getattr(defaults, name), "the manual shows the default"


@pytest.mark.rule("X-060")
def test_the_usage_records_of_the_manual_have_the_fields_of_its_table(tmp_path):
    path = tmp_path / "usage.csv"
    path.write_text(block("Usage records", "csv"))
    assert [one.kind for one in read_records(path)] == ["data", "sms"]
    rows = [line for line in part("Usage records").splitlines() if line.startswith("| `")]
    fields = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(fields) == sorted(UsageRecord.model_fields)


@pytest.mark.rule("X-059")
def test_what_can_be_ignored_is_listed():
    text = COMMANDS.partition("- `--ignore NAME`")[2].partition("\n- ")[0]
    assert re.findall(r"`(\w+)`", text) == list(get_args(Aspect))
    [option] = [one for one in replay.params if one.name == "ignore"]
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == list(get_args(Aspect))
