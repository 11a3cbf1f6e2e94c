"""The books of any charging server, by way of a command that can look into them.

It is started with a line of JSON for each subscriber on its standard input, and answers each with a
line of JSON on its standard output, in the same order; docs/simulator.md describes both. Called by
the command line, before a run and after it.
"""

import json
import shlex
import subprocess
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from simulators.scenarios.expectations import MoneyText, micro
from simulators.scenarios.values import Strict
from simulators.traffic.subscriber import Identities
from simulators.verdicts.statements import ChargedSession, Statement

CHECK_SECONDS_MAX = 600
"""How long the command may take for all subscribers."""
SUBSCRIBERS_MAX = 100_000
"""Subscribers that are asked about."""
_SHOWN = 500


class CheckError(Exception):
    """The command did not answer as it has to; the text says how."""


class _Session(Strict):
    charged: MoneyText | None = None
    price: MoneyText | None = None
    used: dict[Literal["octets", "seconds", "events"], Annotated[int, Field(ge=0)]] | None = None


class _Answer(Strict):
    known: bool = True
    balance: MoneyText | None = None
    held: MoneyText | None = None
    topped_up: MoneyText = "0"
    sessions: dict[str, _Session] = Field(default_factory=dict)


When = Literal["before", "after"]


def ask(
    command: str, when: When, subscribers: Iterable[tuple[Identities, list[str]]]
) -> list[Statement]:
    """What the command says of each subscriber and the sessions of the run.

    Raises CheckError.
    """
    asked = list(subscribers)
    if len(asked) > SUBSCRIBERS_MAX:
        raise CheckError(f"{len(asked)} subscribers are more than {SUBSCRIBERS_MAX}")
    lines = [
        json.dumps({"when": when, "subscriber": dict(identities), "sessions": sessions})
        for identities, sessions in asked
    ]
    answers = _answers(command, lines)
    return [
        _statement(identities, number, line)
        for number, ((identities, _), line) in enumerate(zip(asked, answers, strict=True), 1)
    ]


def _answers(command: str, lines: list[str]) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            shlex.split(command),
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=CHECK_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckError(f"the check command took longer than {CHECK_SECONDS_MAX} s") from None
    except (OSError, ValueError) as error:
        raise CheckError(f"the check command cannot be run: {error}") from None
    if done.returncode:
        said = done.stderr.strip()[-_SHOWN:]
        words = f"the check command failed with exit code {done.returncode}"
        raise CheckError(f"{words}: {said}" if said else words)
    answers = done.stdout.splitlines()
    if len(answers) != len(lines):
        raise CheckError(
            f"the check command answered {len(lines)} subscribers with {len(answers)} lines"
        )
    return answers


def _statement(identities: Identities, number: int, line: str) -> Statement:
    try:
        answer = _Answer.model_validate_json(line, strict=True)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        words = f"{where}: {first['msg']}" if where else first["msg"]
        raise CheckError(f"line {number} of the check command's answers: {words}") from None
    return Statement(
        identities,
        answer.known,
        balance_micro=micro(answer.balance),
        held_micro=micro(answer.held),
        topped_up_micro=micro(answer.topped_up) or 0,
        sessions={
            name: ChargedSession(
                charged_micro=micro(one.charged),
                price_micro=micro(one.price),
                used=None if one.used is None else {str(unit): n for unit, n in one.used.items()},
            )
            for name, one in answer.sessions.items()
        },
    )
