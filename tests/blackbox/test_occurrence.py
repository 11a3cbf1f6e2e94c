"""Section 2.3: which AVPs a request may hold, and how often; which ones an answer holds."""

from collections import Counter
from typing import Any

import pytest

from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_u64
from protocol.codec import encode_utf8 as text
from protocol.dictionary import definition
from tests.support.blackbox_client import (
    EUR,
    OCS_HOST,
    SMS,
    TGPP,
    Answer,
    Dialogue,
    avps_in,
    mscc,
    padded,
    with_more,
    with_other,
    without,
)

INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4
DEBIT, REFUND, CHECK, PRICE = range(4)
MSCC = 456
RULES = {
    "Session-Id": "C-111",
    "Auth-Application-Id": "C-113",
    "Service-Context-Id": "C-114",
    "CC-Request-Type": "C-115",
    "CC-Request-Number": "C-115",
    "User-Name": "C-117",
    "CC-Sub-Session-Id": "C-117",
    "Acct-Multi-Session-Id": "C-117",
    "Origin-State-Id": "C-117",
    "Event-Timestamp": "C-117",
    "Service-Identifier": "C-119",
    "Requested-Service-Unit": "C-119",
    "Termination-Cause": "C-120",
    "Requested-Action": "C-121",
    "Multiple-Services-Indicator": "C-122",
    "CC-Correlation-Id": "C-125",
    "User-Equipment-Info": "C-125",
    "AoC-Request-Type": "C-127",
    "Service-Information": "C-127",
}
"""What a request holds at most once."""
EQUIPMENT = encode_i32(459, 0) + encode_avp(460, b"3534900698733190")
ONCE: dict[str, bytes] = {
    "Session-Id": text(263, "another;1;2"),
    "Auth-Application-Id": encode_u32(258, 4),
    "Service-Context-Id": text(461, "32260@3gpp.org"),
    "CC-Request-Type": encode_i32(416, 2),
    "CC-Request-Number": encode_u32(415, 77),
    "User-Name": text(1, "somebody@net.example"),
    "CC-Sub-Session-Id": encode_u64(419, 0),
    "Acct-Multi-Session-Id": text(50, "bearers"),
    "Origin-State-Id": encode_u32(278, 1),
    "Event-Timestamp": encode_avp(55, bytes.fromhex("ed003780")),
    "Service-Identifier": encode_u32(439, 5),
    "Requested-Service-Unit": encode_grouped(437, encode_u64(421, 1)),
    "Termination-Cause": encode_i32(295, 1),
    "Requested-Action": encode_i32(436, 0),
    "Multiple-Services-Indicator": encode_i32(455, 1),
    "CC-Correlation-Id": encode_avp(411, b"abc", flags=0),
    "User-Equipment-Info": encode_grouped(458, EQUIPMENT),
    "AoC-Request-Type": encode_i32(2055, 0, TGPP),
    "Service-Information": encode_avp(873, b"", TGPP),
}
IN_A_SERVICE: dict[str, bytes] = {
    "Rating-Group": encode_u32(432, 200),
    "Requested-Service-Unit": encode_grouped(437, b""),
}


def opening(gy: Dialogue, *more: bytes) -> bytes:
    return with_more(gy.message(INITIAL, mscc(100, {})), *more)


def assert_second_is_shown(world, gy: Dialogue, answer: Answer, second: bytes) -> None:
    assert answer.code == 5009
    shown = answer.failed
    while shown[0].code == MSCC:
        shown = avps_in(shown[0].payload, 0)
    assert [padded(avp.raw) for avp in shown] == [second]
    assert not answer.all(MSCC)
    assert world.session_state(gy.session_id) == ""
    world.check_money(gy.subscriber, "10.00", "0")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.rule(rule, "B-074", "B-111", "R-5009"))
        for name, rule in RULES.items()
    ],
)
def test_what_may_be_there_once(world, gy, name):
    key, second = definition(name).key, ONCE[name]
    message = opening(gy)
    if not any((avp.code, avp.vendor) == (key.code, key.vendor) for avp in avps_in(message)):
        message = with_more(message, second)
    assert_second_is_shown(world, gy, gy.peer.ask_for(with_more(message, second)), second)


@pytest.mark.rule("B-074", "B-111", "R-5009")
@pytest.mark.parametrize("name", IN_A_SERVICE)
def test_what_may_be_in_a_service_once(world, gy, name):
    message, second = opening(gy), IN_A_SERVICE[name]
    group = next(avp for avp in avps_in(message) if avp.code == MSCC)
    twice = with_other(message, MSCC, encode_avp(MSCC, group.payload + second))
    assert_second_is_shown(world, gy, gy.peer.ask_for(twice), second)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.rule(rule))
        for name, rule in RULES.items()
        if rule in {"C-117", "C-120", "C-125", "C-127"}
    ],
)
def test_what_need_not_be_there(world, gy, name):
    """With it once, and without it, the request is granted the same."""
    key = definition(name).key
    once = without(opening(gy), key.code) if not key.vendor else opening(gy)
    if name == "CC-Sub-Session-Id":
        assert gy.peer.ask_for(with_more(once, ONCE[name])).granted.total_octets == 10_000_000
        return
    assert gy.peer.ask_for(with_more(once, ONCE[name])).granted.total_octets == 10_000_000
    other = Dialogue(gy.peer, world.account())
    message = opening(other)
    plain = without(message, key.code) if not key.vendor else message
    assert other.peer.ask_for(plain).granted.total_octets == 10_000_000


IDENTITY = encode_grouped(443, encode_i32(450, 1) + text(444, "001019999999999"))
PARAMETER = encode_grouped(440, encode_u32(441, 77) + encode_avp(442, b"x"))
PROXY = encode_grouped(284, text(280, "dra1.net.example") + encode_avp(33, b"\1"))
SERVICE = encode_grouped(MSCC, encode_u32(432, 200) + encode_grouped(437, b""))


@pytest.mark.parametrize(
    "avp,code",
    [
        pytest.param(IDENTITY, 2001, id="Subscription-Id", marks=pytest.mark.rule("C-118")),
        pytest.param(SERVICE, 2001, id="MSCC", marks=pytest.mark.rule("C-123")),
        pytest.param(PROXY, 2001, id="Proxy-Info", marks=pytest.mark.rule("C-126")),
        pytest.param(text(282, "a.b"), 2001, id="Route-Record", marks=pytest.mark.rule("C-126")),
        pytest.param(PARAMETER, 5031, id="Service-Parameter-Info", marks=pytest.mark.rule("C-124")),
    ],
)
def test_what_may_be_there_often(world, gy, avp, code):
    assert gy.peer.ask_for(opening(gy, avp, avp, avp)).code == code


@pytest.mark.rule("C-119")
def test_usage_of_the_command_may_be_there_often(world, gy):
    units = encode_u32(439, 5), encode_grouped(437, encode_u64(421, 1_000_000))
    assert gy.peer.ask_for(with_more(gy.message(INITIAL), *units)).code == 2001
    report = encode_grouped(446, encode_u64(421, 400_000))
    update = with_more(gy.message(UPDATE), units[0], report, report, report)
    assert gy.peer.ask_for(update).code == 2001
    world.check_money(gy.subscriber, "9.90", "0")  # 1,200,000 octets: two blocks


@pytest.mark.rule("C-127")
def test_features_of_overload_control_are_passed_over(world, gy):
    features = encode_grouped(621, encode_u64(622, 1, flags=0), flags=0)
    assert gy.peer.ask_for(opening(gy, features)).granted.total_octets == 10_000_000


# ---------------------------------------------------------------------------------------- answers

ALWAYS = Counter({264: 1, 296: 1, 268: 1, 278: 1, 263: 1, 258: 1, 416: 1, 415: 1})
NEVER = {443, 461, 437, 446, 436, 283, 293, 282, 455, 295, 292, 261, 262}
"""Identities, context, units asked and used, action, destination, route; and redirections."""
AT_THE_COMMAND = {431, 430, 448, 669}
SOMETIMES = {
    (MSCC, 0), (419, 0), (423, 0), (422, 0), (281, 0), (279, 0), (284, 0), (418, 0), (427, 0),
    (428, 0), (2020, TGPP), (2021, TGPP), (2022, TGPP), (873, TGPP), (1, 0), (50, 0), (55, 0),
}  # fmt: skip


def answers(gy: Dialogue) -> dict[str, Answer]:
    """Return one answer of each kind."""
    found: dict[str, Answer] = {
        "I": gy.initial(mscc(100, {}), mscc(200, {}), mscc(400, {})),
        "U": gy.update(mscc(100, {}, {"total": 1_000_000})),
        "T": gy.terminate(mscc(100, used={"total": 1})),
        "U unknown": gy.update(mscc(100, {}), session_id="nobody;1;1"),
    }
    event: Any = mscc(1, {"events": 1})
    for name, action in (("debit", DEBIT), ("check", CHECK), ("price", PRICE)):
        found[name] = Dialogue(gy.peer, gy.subscriber, SMS).event(action, event)
    plain = Dialogue(gy.peer, gy.subscriber)
    units = encode_u32(439, 5), encode_grouped(437, b"")
    found["I command"] = plain.peer.ask_for(with_more(plain.message(INITIAL), *units))
    for name, wrong in (("missing", 461), ("nobody", 443)):
        one = Dialogue(gy.peer, gy.subscriber)
        found[name] = one.peer.ask_for(without(one.message(INITIAL, mscc(100, {})), wrong))
    return found


@pytest.mark.rule("C-023", "C-131", "C-134", "C-141", "C-144", "G-116")
def test_what_answers_hold(world, gy):
    for name, answer in answers(gy).items():
        held = Counter(avp.code for avp in answer.avps if not avp.vendor)
        assert {code: held[code] for code in ALWAYS} == ALWAYS, name
        assert not held.keys() & NEVER, name
        assert answer.one(264).payload == OCS_HOST.encode()
        others = {(avp.code, avp.vendor) for avp in answer.avps if (avp.code, avp.vendor)[0]}
        others -= {(code, 0) for code in ALWAYS}
        if name != "I command":
            assert not held.keys() & (AT_THE_COMMAND - {431} if name == "debit" else AT_THE_COMMAND)
        assert others <= SOMETIMES | {(code, 0) for code in AT_THE_COMMAND}, name


@pytest.mark.rule("C-132", "C-136", "C-137", "C-138", "C-143", "C-184")
def test_what_only_some_answers_hold(world, gy):
    found = answers(gy)
    with_failed = {name for name, answer in found.items() if answer.all(279)}
    assert with_failed == {"missing", "nobody"}
    assert {name for name, answer in found.items() if answer.all(422)} == {"check"}
    told = {name for name, answer in found.items() if answer.all(423)}
    assert told >= {"T", "price"} and not told & {"I", "check", "missing", "nobody"}
    cost = {avp.code: avp.payload for avp in avps_in(found["price"].one(423).payload, 0)}
    assert int.from_bytes(cost[425], "big") == EUR and cost.keys() <= {445, 425, 424}
    assert [one.rating_group for one in found["I"].cca.services] == [100, 200, 400]
    assert not any(answer.all(419) for answer in found.values()), "nobody sent one"


@pytest.mark.rule("C-022", "C-202")
def test_a_failed_command_grants_nothing(world, gy):
    for name, answer in answers(gy).items():
        if answer.code != 2001:
            assert not answer.all(MSCC) and not answer.all(431), name


@pytest.mark.rule("C-135")
def test_units_stand_where_they_were_asked(world, gy):
    found = answers(gy)
    assert found["I command"].one(431) and found["I command"].one(448)
    assert not found["I command"].all(MSCC)
    assert all(found[name].all(MSCC) for name in ("I", "U", "T"))
