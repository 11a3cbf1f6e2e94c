"""Section 1.4: of two faults in one request the one that is looked for first is reported."""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import pytest

from protocol.base import DeviceWatchdogRequest
from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_utf8
from protocol.credit_control import SubscriptionId
from tests.support.blackbox_client import (
    OCS_HOST,
    Dialogue,
    mscc,
    with_flags,
    with_more,
    with_other,
    without,
)

NOBODY = SubscriptionId(0, "19990000")
UNKNOWN = encode_avp(65000, b"what?")
NO_TEXT = encode_avp(444, b"1555\xff\xfe")
SECOND = encode_u32(415, 9)
NO_INDICATOR = encode_i32(455, 7)


class Fault(NamedTuple):
    """One thing wrong with a CCR-I: what it is answered, and what its Failed-AVP holds."""

    code: int
    edit: Callable[[bytes], bytes]
    failed: bytes = b""


def in_header(place: int, octets: bytes) -> Callable[[bytes], bytes]:
    return lambda message: message[:place] + octets + message[place + len(octets) :]


def too_long(message: bytes) -> bytes:
    """The last AVP says that it is longer than the message."""
    grown = bytearray(with_more(message, encode_avp(65001, b"1234", flags=0)))
    grown[-7:-4] = (200).to_bytes(3, "big")
    return bytes(grown)


def elsewhere(code: int, name: str) -> Callable[[bytes], bytes]:
    return lambda message: with_more(without(message, code), encode_utf8(code, name))


def with_indicator(message: bytes) -> bytes:
    return with_other(message, 455, NO_INDICATOR)


def unreadable(message: bytes) -> bytes:
    return with_more(message, encode_grouped(443, encode_i32(450, 0) + NO_TEXT))


FAULTS = {
    "E": Fault(3008, lambda message: with_flags(message, message[4] | 0x20)),
    "loop": Fault(3005, lambda message: with_more(message, encode_utf8(282, OCS_HOST))),
    "host": Fault(3002, elsewhere(293, "ocs2.ocs.example")),
    "realm": Fault(3003, elsewhere(283, "other.example")),
    "application": Fault(3007, in_header(8, (5).to_bytes(4, "big"))),
    "command": Fault(3001, in_header(5, (265).to_bytes(3, "big"))),
    "length": Fault(5014, too_long, encode_avp(65001, b"", flags=0)),
    "content": Fault(5004, unreadable, NO_TEXT),
    "unknown": Fault(5001, lambda message: with_more(message, UNKNOWN), UNKNOWN),
    "twice": Fault(5009, lambda message: with_more(message, SECOND), SECOND),
    "missing": Fault(5005, lambda message: without(message, 461), encode_avp(461, b"")),
    "value": Fault(5004, with_indicator, NO_INDICATOR),
    "nobody": Fault(5030, lambda message: message),
}
"""In the order of the checks."""


def wrong(gy: Dialogue, *names: str) -> bytes:
    """Return a CCR-I with these faults; behind a broken length nothing would be read."""
    identities = {"subscription_ids": [NOBODY]} if "nobody" in names else {}
    message = gy.message(1, mscc(100, {}), **identities)
    for name in sorted(names, key=lambda name: name == "length"):
        message = FAULTS[name].edit(message)
    return message


def assert_reported(world, gy: Dialogue, answer, name: str) -> None:
    fault = FAULTS[name]
    assert answer.code == fault.code
    assert answer.header.is_error == (fault.code < 4000)
    assert not answer.all(456)
    shown = b"".join(avp.raw + bytes(-len(avp.raw) % 4) for avp in answer.failed)
    assert shown in {fault.failed, encode_grouped(443, encode_i32(450, 0) + NO_TEXT)}
    assert (shown == fault.failed) or name == "content"
    assert world.session_state(gy.session_id) == ""
    world.check_money(gy.subscriber, "10.00", "0")


@pytest.mark.rule("C-122", "C-143", "C-202")
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.rule("B-080")) for n in FAULTS])
def test_each_fault_alone(world, gy, name):
    assert_reported(world, gy, gy.peer.ask_for(wrong(gy, name)), name)


RULES = {
    "E": "B-103", "loop": "B-106", "host": "B-107", "realm": "B-107", "application": "B-108",
    "command": "B-108", "length": "B-109", "content": "B-109", "unknown": "B-110",
    "twice": "B-111", "missing": "B-111", "value": "B-112", "nobody": "B-113",
}  # fmt: skip


@pytest.mark.parametrize(
    "first,second",
    [
        pytest.param(*pair, marks=pytest.mark.rule("B-080", *{RULES[name] for name in pair}))
        for pair in combinations(FAULTS, 2)
    ],
)
def test_the_first_of_two(world, gy, first, second):
    if (first, second) == ("length", "content"):
        first, second = "length", "unknown"  # nothing behind the broken AVP is read
    assert_reported(world, gy, gy.peer.ask_for(wrong(gy, first, second)), first)


@pytest.mark.rule("B-080", "B-103")
@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_first_of_all_that_follow(world, gy, first):
    names = list(FAULTS)[first:]
    assert_reported(world, gy, gy.peer.ask_for(wrong(gy, *names)), names[0])


@pytest.mark.rule("B-101")
@pytest.mark.parametrize(
    "edit,code",
    [(in_header(0, b"\x02"), 5011), (in_header(1, b"\x00\x00\x43"), 5015)],
    ids=["version", "length"],
)
def test_version_and_length_go_before_everything(world, gy, edit, code):
    gy.peer.send(edit(wrong(gy, "E", "loop", "unknown")))
    said = gy.peer.last_words()
    assert said is None or said.code == code


@pytest.mark.rule("B-102")
@pytest.mark.parametrize("names", [(), ("E",), ("host",), ("unknown",)])
def test_nothing_is_answered_before_the_capabilities(world, a1, names):
    with world.connect() as peer:
        peer.send(wrong(Dialogue(peer, a1), *names))
        assert peer.last_words() is None


@pytest.mark.rule("B-104")
def test_what_stands_before_a_broken_avp_decides_where_a_request_goes(world, gy):
    """The lengths are known first, and said after the routing."""
    answer = gy.peer.ask_for(wrong(gy, "length", "realm"))
    assert answer.code == 3003
    assert answer.avps[0].payload == gy.session_id.encode()


@pytest.mark.rule("B-105")
def test_a_watchdog_is_not_routed(world, p1):
    watchdog = DeviceWatchdogRequest(p1.origin_host, p1.origin_realm).write(*p1.ids())
    routed = with_more(
        watchdog, encode_utf8(282, OCS_HOST), encode_utf8(293, "ocs2.ocs.example"),
        encode_utf8(283, "other.example"),
    )  # fmt: skip
    answer = p1.ask_for(routed)
    assert answer.code == 2001 and answer.header.command_code == 280
    assert answer.avps[0].code == 268
