"""Somebody else's charging server: the recipe of docs/simulator.md, and commands of no use."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from simulators.traffic.subscriber import Identities
from simulators.verdicts.asking import CheckError, ask
from simulators.verdicts.own_account import OwnAccount, OwnRequest, OwnService, OwnSession
from simulators.verdicts.reconciling import discrepancies
from simulators.verdicts.statements import Statement
from tests.support.bookkeeper import Bookkeeper
from tests.support.launcher import run_ocs
from tests.support.recipes import blocks, commands
from tests.support.responder import Responder

TITLE = "test somebody else's OCS"
MSISDNS = [f"+15550000{number:02d}" for number in range(1, 21)]


def ocs(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_ocs(*arguments, cwd=directory)


def write_recipe(directory: Path) -> list[list[str]]:
    """Its files, and its commands as they are typed here but for where the server is."""
    [scenario], [program] = blocks(TITLE, "yaml"), blocks(TITLE, "python")
    # Other people's machines are slower at times; the recipe's half second is not the point here.
    scenario = scenario.replace("p99: 500", "p99: 20000")
    (directory / "their-lab.yaml").write_text(scenario, encoding="utf-8")
    (directory / "their_books.py").write_text(program, encoding="utf-8")
    typed = commands(TITLE)
    assert [one[:2] for one in typed] == [["simulate", "their-lab.yaml"]] * 2
    python = {"python3 their_books.py": f"{sys.executable} their_books.py"}
    return [[python.get(word, word) for word in one] for one in typed]


def here(command: list[str], port: int) -> list[str]:
    places = {"3868": str(port), "192.0.2.7": "127.0.0.1"}
    return [places.get(word, word) for word in command]


@pytest.mark.rule("X-078")
def test_the_recipe(tmp_path):
    plain, checked = write_recipe(tmp_path)
    keeper = Bookkeeper(tmp_path, MSISDNS)
    with Responder(keeper) as responder:
        done = ocs(tmp_path, *here(plain, responder.port), "--duration", "3")
        assert done.returncode == 0, done.stdout + done.stderr
        contexts = {one.service_context_id for _, one in responder.requests}
        assert contexts == {"32251@3gpp.org", "32260@3gpp.org"}
        report = json.loads((tmp_path / "their-lab.json").read_text(encoding="utf-8"))
        assert report["answers"] == len(responder.requests) > 10
        assert len(report["verdicts"]) == 4
        done = ocs(tmp_path, *here(checked, responder.port), "--duration", "2",
                   "--speed-up", "30")  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ok      reconciled with the server's books" in done.stdout
        suite = ET.parse(tmp_path / "their-lab.xml").getroot().find("testsuite")
        assert suite is not None
        assert suite.attrib["failures"] == "0"
        assert suite.attrib["tests"] == "6"
        keeper.error_micro = 1
        done = ocs(tmp_path, *here(checked, responder.port), "--duration", "2",
                   "--speed-up", "30")  # fmt: skip
        assert done.returncode == 1
        assert "FAILED  reconciled with the server's books" in done.stdout
        assert "it has to be" in done.stdout


WHO: Identities = (("msisdn", "+1"), ("imsi", "2"))


def answered(program: str, *sessions: str) -> list[Statement]:
    """What a check command that is this Python program says."""
    return ask(f"{sys.executable} -c {shlex.quote(program)}", "after", [(WHO, list(sessions))])


@pytest.mark.rule("X-078")
def test_what_the_command_is_asked_and_answers():
    program = """
import json
asked = json.loads(input())
assert asked["when"] == "after"
assert asked["subscriber"] == {"msisdn": "+1", "imsi": "2"}
told = {"charged": "0.07", "price": "0.08", "used": {"octets": 3}}
print(json.dumps({"balance": "1.5", "held": "0.25", "topped_up": "-1",
                  "sessions": {name: told for name in asked["sessions"]}}))
"""
    [found] = answered(program, "a;1")
    assert (found.balance_micro, found.held_micro) == (1_500_000, 250_000)
    assert found.topped_up_micro == -1_000_000
    one = found.sessions["a;1"]
    assert (one.charged_micro, one.price_micro, one.used) == (70_000, 80_000, {"octets": 3})


@pytest.mark.rule("X-078")
@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("pass", "answered 1 subscribers with 0 lines"),
        ("print(1);print(2)", "answered 1 subscribers with 2 lines"),
        ("print('x')", "line 1 of the check command's answers: Invalid JSON"),
        ("print('[]')", "line 1 of the check command's answers: Input should be"),
        ("print('{\"balance\": 3}')", "balance: Input should be a valid string"),
        ("print('{\"balance\": \"3,5\"}')", "balance: String should match"),
        ("print('{\"colour\": 3}')", "colour: Extra inputs are not permitted"),
        ("import sys; sys.exit(3)", "failed with exit code 3"),
        ("import sys; sys.exit('no such tariff')", "failed with exit code 1: no such tariff"),
    ],
)
def test_a_command_that_does_not_answer_as_it_has_to(program, problem):
    with pytest.raises(CheckError, match=re.escape(problem)):
        answered(program)


@pytest.mark.rule("X-078")
def test_a_command_that_is_not_there_ends_the_run_before_it_begins(tmp_path):
    write_recipe(tmp_path)
    with Responder() as responder:
        done = ocs(tmp_path, "simulate", "their-lab.yaml", "--port", str(responder.port),
                   "--check-with", "/nowhere/books")  # fmt: skip
        assert responder.requests == []
    assert done.returncode == 1
    assert "the check command cannot be run" in done.stderr


def own_account(code: int | None = 2001) -> OwnAccount:
    own = OwnAccount()
    service = OwnService(100, (), {"octets": 10}, {}, result_code=2001)
    request = OwnRequest(3, 1, None, [service], code)
    own.sessions["a;1"] = OwnSession("a;1", WHO, "32251@3gpp.org", {(3, 1): request})
    return own


@pytest.mark.rule("X-075")
@pytest.mark.parametrize(
    ("code", "books", "words"),
    [
        (2001, {"sessions": {"a;1": {"used": {"octets": 10}}}}, ""),
        (2001, {}, "a;1: what was used and answered is not in the books"),
        (None, {}, ""),
        (5012, {}, ""),
        (None, {"sessions": {"a;1": {"used": {"octets": 10}}}}, ""),
        (2001, {"sessions": {"a;1": {"used": {"octets": 9}}}}, "used 10 octets, charged 9"),
        (None, {"sessions": {"a;1": {"used": {"octets": 11}}}}, "used 0 to 10 octets, charged 11"),
        (2001, {"known": False}, "does not know the subscriber"),
        (5030, {"known": False}, ""),
        (2001, {"held": "0.1", "sessions": {"a;1": {}}}, "0.10 is held although"),
        (None, {"held": "0.1"}, ""),
        (5004, {"held": "0.1"}, ""),
        (5002, {"held": "0.1"}, "0.10 is held although"),
        (2001, {"balance": "4", "sessions": {"a;1": {"charged": "1"}}}, ""),
        (2001, {"balance": "4", "topped_up": "1", "sessions": {"a;1": {"charged": "1"}}},
         "it has to be 5.00"),
        (2001, {"sessions": {"a;1": {"charged": "1", "price": "2"}}},
         "charged 1.00, but what was used costs 2.00"),
    ],
)  # fmt: skip
def test_the_books_that_a_command_tells(code: int | None, books: dict[str, Any], words: str):
    program = f"print({json.dumps(books)!r})"
    [statement] = answered(program, "a;1")
    statement.before_micro = 5_000_000
    found = discrepancies(own_account(code), [statement])
    assert len(found) == bool(words)
    assert all(words in one and one.startswith("msisdn:+1: ") for one in found), found
