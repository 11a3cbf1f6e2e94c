"""docs/gateways says only what exists: commands, settings, profile keys, log lines, fixtures."""

import re
import shlex
from dataclasses import fields

import click
import pytest

from ocs.cli.main import main
from ocs.profiles import BUILT_IN, ODDITIES, Signs, WireRules
from ocs.settings import parse_settings
from ocs.settings.profiles import value_keys
from ocs.settings.values import Settings
from tests.support import gateway_fixtures
from tests.support.sources import PRODUCT, ROOT, modules

FOLDER = ROOT / "docs" / "gateways"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}
NEEDED = {
    "README.md", "open5gs.md", "kamailio.md", "magma.md", "freediameter-relay.md", "generic.md",
    "fixtures.md",
}  # fmt: skip
SECTIONS = {section.name for section in fields(Settings)}
SOURCE = "\n".join(module.text for module in modules(*PRODUCT))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language; "" for those without one."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def unfenced(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """Every `ocs` command line in blocks and in the running text."""
    lines = [
        line.split("#")[0].strip()
        for block in (*blocks(text, ""), *blocks(text, "console"))
        for line in block.splitlines()
        if line.startswith("ocs ")
    ]
    lines += re.findall(r"`(ocs [a-z][^`]*)`", unfenced(text))
    return [shlex.split(line)[1:] for line in lines]


def test_every_page_is_there_and_linked():
    assert set(PAGES) == NEEDED
    for name in NEEDED - {"README.md"}:
        assert f"({name})" in PAGES["README.md"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/gateways/README.md)" in readme


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", unfenced(PAGES[page])):
        assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page):
    for words in commands(PAGES[page]):
        command: click.Command = main
        context = click.Context(main)
        for word in words:
            if not isinstance(command, click.Group) or word.startswith("-"):
                break
            found = command.get_command(context, word)
            assert found is not None, words
            command = found
        known = {flag for parameter in command.params for flag in parameter.opts}
        used = {word for word in words if word.startswith("--")}
        assert used <= known, (command.name, used - known)


@pytest.mark.parametrize("page", PAGES)
def test_our_side_of_the_configuration_is_accepted(page):
    for block in blocks(PAGES[page], "yaml"):
        assert block.startswith("# ocs.yaml\n"), "other people's files have no language here"
        parse_settings(block, page)


def test_every_client_page_shows_our_side():
    for page in NEEDED - {"fixtures.md"}:
        assert blocks(PAGES[page], "yaml"), page


@pytest.mark.parametrize("page", PAGES)
def test_every_key_of_the_settings_exists(page):
    known = {
        f"{section.name}.{field.name}"
        for section in fields(Settings)
        for field in fields(getattr(Settings(), section.name))
    }
    for key in re.findall(r"`([a-z]+\.[a-z_0-9]+)`", unfenced(PAGES[page])):
        if key.partition(".")[0] in SECTIONS:
            assert key in known, key


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_exists(page):
    for name in re.findall(r"`(ocs_[a-z_]+)", PAGES[page]):
        assert f'"{name}"' in SOURCE, name


def said_in_the_log(text: str) -> list[str]:
    """The log lines of a page: whole blocks, and the second column of what goes wrong."""
    lines = [line for block in blocks(text, "log") for line in block.splitlines()]
    for row in re.findall(r"^\|.*\|$", text.partition("## What goes wrong")[2], re.MULTILINE):
        lines += [one for one in re.findall(r"`([^`]+)`", row) if " refused" in one]
    return lines


@pytest.mark.parametrize("page", PAGES)
def test_every_log_line_is_one_of_ours(page):
    for line in said_in_the_log(PAGES[page]):
        parts = [part.strip() for part in re.split(r"\.\.\.|: |; | smf\.epc\S*", line)]
        for part in parts:
            assert part in SOURCE, (line, part)


@pytest.mark.parametrize("page", PAGES)
def test_every_fixture_exists(page):
    names = gateway_fixtures.names()
    clients = "open5gs|magma|kamailio|siphon|pyhss|pgw"
    for name in re.findall(rf"`((?:{clients})-[a-z0-9.-]+)`", PAGES[page]):
        assert any(one.startswith(name.rstrip(".")) for one in names), name


def tables(text: str) -> set[str]:
    """The words in the first column of all tables."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


@pytest.mark.rule("P-004")
def test_every_key_of_a_profile_is_explained():
    explained = tables(PAGES["README.md"])
    assert {"name", "title", "like", *value_keys()} <= explained
    assert set(ODDITIES) <= explained
    assert {profile.name for profile in BUILT_IN} <= explained
    text = PAGES["README.md"]
    for kind in (Signs, WireRules):
        assert all(f"`{field.name}`" in text for field in fields(kind))


def test_what_a_profile_usually_is_is_true():
    (generic,) = (profile.charging for profile in BUILT_IN if profile.name == "generic")
    usual = dict(re.findall(r"^\| `([a-z_]+)` \|.*\| (\S+) \|$", PAGES["README.md"], re.MULTILINE))
    for name in ("grant_adds", "tariff_change", "bound_usage", "pools", "reacts_to_reauth"):
        assert usual[name] == str(getattr(generic, name)).lower()
    for name in ("usage_tolerance_seconds", "usage_tolerance_octets", "final_validity_seconds"):
        assert usual[name] == str(getattr(generic, name))
    assert usual["answer_within_ms"] == str(generic.answer_within_ns // 1_000_000)
