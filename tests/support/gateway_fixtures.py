"""The messages of real gateways as files: octets with their meaning, the answer, the money.

A fixture in tests/fixtures/gateways is one request as the client sends it, after what it has sent
before in the same session. Octets are hexadecimal; lines with ``#`` say what follows, and a test
keeps them true. Session-Id and identities are placeholders, which every run replaces by its own of
the same length. test_gateway_fixtures.py plays them; with OCS_RECORD_FIXTURES=1 it writes what the
server did into the files instead, for somebody to review as a change.
"""

import itertools
import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple

import yaml

from protocol.codec import HEADER_SIZE, encode_message, iter_avps, read_header
from protocol.credit_control_reader import read_cca
from protocol.describe import describe
from protocol.dictionary import AvpType, lookup
from tests.support.sources import ROOT

FOLDER = ROOT / "tests" / "fixtures" / "gateways"
TABLE = ROOT / "docs" / "gateways" / "fixtures.md"
RECORD_VARIABLE = "OCS_RECORD_FIXTURES"
WORDS_PER_LINE = 8
CHANGING = {(0, 278): "Origin-State-Id", (10415, 2022): "Refund-Information"}
"""AVPs of an answer whose values differ from run to run; compared by their sizes only."""
AMOUNTS = {(0, 447): "Value-Digits", (0, 429): "Exponent"}
"""The same in an answer that tells a cost which depends on the time of day."""
_numbers = itertools.count(1)


class Identity(NamedTuple):
    """Who a fixture is about; the defaults are what the files say."""

    session: str = "s0000000"
    msisdn: str = "15560000000"
    imsi: str = "001030000000000"
    uri: str = "sip:u0000000@net.example"

    def puts_itself_for(self, other: "Identity", message: bytes) -> bytes:
        """Return a message in which this identity stands where the other stood."""
        for new, old in zip(self, other, strict=True):
            assert len(new) == len(old)
            message = message.replace(old.encode(), new.encode())
        return message


PLACEHOLDER = Identity()


def new_identity() -> Identity:
    """Return an identity that no run of this process has used."""
    number = next(_numbers)
    return Identity(
        f"s{number:07d}",
        f"1556{number:07d}",
        f"00103{number:010d}",
        f"sip:u{number:07d}@net.example",
    )


@dataclass
class Fixture:
    """One file. ``answer``, ``ledger``, ``money`` and ``session`` are what must come of it."""

    name: str
    title: str
    profile: str
    request: bytes
    answer: bytes = b""
    after: str = ""
    """The fixture whose message precedes this one; empty: this one is the first."""
    together: bool = False
    """It is sent before the answer to the one before has come."""
    wait_seconds: int = 0
    """How long after the one before."""
    balance: str = "10.00"
    plan: str = "basic"
    ledger: tuple[str, ...] = ()
    money: str = ""
    session: str = ""
    parked: int = 0
    """Reports that wait for a person."""
    varies: bool = False
    """Ledger and money depend on how fast the machine is, and are not compared."""

    @property
    def chain(self) -> list["Fixture"]:
        """Everything the client sends, this one last."""
        return [*(load(self.after).chain if self.after else []), self]

    @property
    def origin_host(self) -> str:
        """The Origin-Host of the message."""
        for code, vendor, _, start, end in iter_avps(self.request, HEADER_SIZE, len(self.request)):
            if (code, vendor) == (264, 0):
                return self.request[start:end].decode()
        raise AssertionError("a request without Origin-Host")


@cache
def load(name: str) -> Fixture:
    """Return a fixture by its name."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    given: dict[str, Any] = yaml.safe_load(text)
    known = {field.name for field in fields(Fixture)} - {"name"}
    assert set(given) <= known, f"{name} has unknown keys {set(given) - known}"
    for key in ("request", "answer"):
        given[key] = octets(given.get(key, ""))
    given["ledger"] = tuple(given.get("ledger", ()))
    given["session"] = given.get("session") or ""
    for key in ("money", "balance"):
        given[key] = str(given.get(key, getattr(Fixture, key)))
    return Fixture(name, **given)


def names() -> list[str]:
    """Return the names of all fixtures."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def octets(text: str) -> bytes:
    """Return the octets of a hexadecimal text with comments."""
    return bytes.fromhex(re.sub(r"#[^\n]*", "", text))


def annotated(message: bytes) -> str:
    """Return a message as hexadecimal, each AVP below what it means."""
    head, *meanings = describe(message).split("\n")
    said = iter(meanings)
    lines = [f"# {head}", *_hexadecimal(message[:HEADER_SIZE], "")]
    lines += _annotated(message, HEADER_SIZE, len(message), "", said)
    assert next(said, None) is None, "the message has a fault"
    return "\n".join(lines) + "\n"


def _annotated(data: bytes, start: int, stop: int, indent: str, said: Any) -> list[str]:
    lines = []
    position = start
    for code, vendor, _, begin, end in iter_avps(data, start, stop):
        lines.append(f"{indent}# {next(said).strip()}")
        definition = lookup(vendor, code)
        if definition is not None and definition.type is AvpType.GROUPED:
            lines += _hexadecimal(data[position:begin], indent)
            lines += _annotated(data, begin, end, indent + "  ", said)
        else:
            lines += _hexadecimal(data[position : (end + 3) & ~3], indent)
        position = (end + 3) & ~3
    return lines


def _hexadecimal(data: bytes, indent: str) -> list[str]:
    words = [data[place : place + 4].hex() for place in range(0, len(data), 4)]
    return [
        indent + " ".join(words[place : place + WORDS_PER_LINE])
        for place in range(0, len(words), WORDS_PER_LINE)
    ]


def comparable(answer: bytes, *, varies: bool = False) -> bytes:
    """Return an answer with fixed ids, and zeros where values differ from run to run."""
    return _with_ids(_masked(answer, {*CHANGING, *(AMOUNTS if varies else ())}))


def _with_ids(message: bytes) -> bytes:
    header = read_header(message)
    return encode_message(
        header.command_code, header.application_id, header.flags, 1, 1, message[HEADER_SIZE:]
    )


def _masked(message: bytes, changing: set[tuple[int, int]]) -> bytes:
    masked = bytearray(message)

    def walk(start: int, stop: int) -> None:
        for code, vendor, _, begin, end in iter_avps(message, start, stop):
            definition = lookup(vendor, code)
            if (vendor, code) in changing:
                masked[begin:end] = bytes(end - begin)
            elif definition is not None and definition.type is AvpType.GROUPED:
                walk(begin, end)

    walk(HEADER_SIZE, len(message))
    return bytes(masked)


def write(fixture: Fixture) -> None:
    """Write a fixture's file."""
    lines = [f"title: {_quoted(fixture.title)}", f"profile: {fixture.profile}"]
    if fixture.after:
        lines.append(f"after: {fixture.after}")
    for key, usual in (("together", False), ("wait_seconds", 0), ("varies", False)):
        value = getattr(fixture, key)
        if value != usual:
            lines.append(f"{key}: {str(value).lower()}")
    if not fixture.after:
        lines += [f'balance: "{fixture.balance}"', f"plan: {fixture.plan}"]
    lines += ["request: |", *_block(fixture.request), "answer: |", *_block(fixture.answer)]
    lines += ["ledger:" if fixture.ledger else "ledger: []"]
    lines += [f"  - {line}" for line in fixture.ledger]
    lines += [f"money: {fixture.money}", f"session: {fixture.session}"]
    lines += [f"parked: {fixture.parked}"] if fixture.parked else []
    path = FOLDER / f"{fixture.name}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[:#]", text) else text


def _block(message: bytes) -> list[str]:
    return [f"  {line}" for line in annotated(message).splitlines()]


# ---------------------------------------------------------------------------------- the table

_HEAD = """\
# Messages of real gateways

Each line is a file in [tests/fixtures/gateways](../../tests/fixtures/gateways): a request AVP for
AVP as the client sends it, the answer it must get, octet for octet, and the lines it must make in
the ledger. `tests/blackbox/test_gateway_fixtures.py` plays them against a server over a socket; the
peers have the profile `auto`, so each client is also recognised. The shapes were taken from the
clients' sources, not from captures of a running client.

This page is made from the files by `OCS_RECORD_FIXTURES=1 pytest -k gateway_fixtures`.

| Fixture | Recognised as | What is sent | After | Answer | Ledger | Then |
|---|---|---|---|---|---|---|
"""


def table() -> str:
    """Return the page with one line per fixture."""
    return _HEAD + "".join(_row(load(name)) for name in names())


def _row(fixture: Fixture) -> str:
    ledger = "<br>".join(fixture.ledger) or "nothing"
    if fixture.parked:
        ledger += f"<br>{fixture.parked} report waits for a person"
    cells = (
        f"`{fixture.name}`", fixture.profile, fixture.title,
        f"`{fixture.after}`" if fixture.after else "", answer_in_words(fixture.answer), ledger,
        f"{fixture.money}; session {fixture.session or 'none'}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def answer_in_words(message: bytes) -> str:
    """Return an answer in a few words."""
    answer = read_cca(message)
    said = [str(answer.result_code)]
    if answer.granted is not None:
        said.append(_granted(answer))
    for service in answer.services:
        key = "" if service.rating_group is None else f"RG {service.rating_group}: "
        words = [str(service.result_code)]
        if service.granted is not None:
            words.append(_granted(service))
        said.append(key + " ".join(words))
    return "<br>".join(said)


def _granted(holder: Any) -> str:
    units = holder.granted
    named = {
        "octets": units.total_octets, "s": units.time, "events": units.service_specific,
    }  # fmt: skip
    words = [f"{count} {kind}" for kind, count in named.items() if count is not None]
    if holder.validity_time:
        words.append(f"valid {holder.validity_time} s")
    if holder.final_unit is not None:
        words.append("last units")
    return ", ".join(words)
