"""What freeDiameter's own parser says of the answers that gateways get, and of their requests.

An answer that it refuses never reaches an Open5GS SMF: the attach dies by timeout.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.codec import encode_avp, encode_utf8
from tests.support import freediameter_rules, gateway_fixtures
from tests.support.blackbox_client import with_more, without
from tests.support.sources import ROOT

pytestmark = pytest.mark.interop
NAMES = gateway_fixtures.names()
ODD = ("kamailio", "pyhss")
"""Clients whose requests break the grammar: no Auth-Application-Id, Session-Id not in front."""


def verdicts(extensions: Path, messages: list[bytes]) -> list[str]:
    """Return freeDiameter's words about each message."""
    judged = subprocess.run(
        [sys.executable, "-m", freediameter_rules.__name__, str(extensions)],
        input="".join(f"{message.hex()}\n" for message in messages),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    said = [line for line in judged.stdout.splitlines() if line.startswith("verdict ")]
    assert len(said) == len(messages), judged.stderr
    return [line.removeprefix("verdict ") for line in said]


@pytest.mark.rule("P-016")
def test_every_answer_passes(needs_freediameter_dictionaries):
    answers = [gateway_fixtures.load(name).answer for name in NAMES]
    found = verdicts(needs_freediameter_dictionaries, answers)
    assert dict(zip(NAMES, found, strict=True)) == dict.fromkeys(NAMES, "ok")


def test_the_requests_are_such_as_freediameter_makes(needs_freediameter_dictionaries):
    """So the shapes have the flags and sizes of the dictionaries that the clients have."""
    usual = [name for name in NAMES if not name.startswith(ODD)]
    requests = [gateway_fixtures.load(name).request for name in usual]
    found = verdicts(needs_freediameter_dictionaries, requests)
    assert dict(zip(usual, found, strict=True)) == dict.fromkeys(usual, "ok")


def test_it_is_a_judge(needs_freediameter_dictionaries):
    good = gateway_fixtures.load("open5gs-i").answer
    bad = {
        "no Auth-Application-Id": without(good, 258),
        "no Result-Code": without(good, 268),
        "two Origin-Hosts": with_more(good, encode_utf8(264, "ocs2.ocs.example")),
        "an unknown AVP with M": with_more(good, encode_avp(9999, b"x")),
        "no length": good[:1] + b"\0\0\0" + good[4:],
    }
    found = verdicts(needs_freediameter_dictionaries, [good, *bad.values()])
    assert found[0] == "ok"
    assert "ok" not in found[1:]
    optional = with_more(good, encode_avp(9999, b"x", flags=0))
    assert verdicts(needs_freediameter_dictionaries, [optional]) == ["ok"]
