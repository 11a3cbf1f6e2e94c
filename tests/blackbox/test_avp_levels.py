"""Section 4.5 at every level of a message: each kind of fault in each kind of group.

A Failed-AVP shows the AVP itself or the groups it is in around it (RFC 6733 7.5).
"""

from collections.abc import Callable

import pytest

from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_u64
from protocol.dictionary import AvpType, definition, lookup
from tests.support.blackbox import World
from tests.support.blackbox_client import (
    TGPP,
    Answer,
    Avp,
    Dialogue,
    avps_in,
    mscc,
    padded,
    rebuilt,
    with_more,
    with_other,
    without,
)

UNKNOWN = encode_avp(65000, b"what?")
UPDATE = 2
MONEY, UNIT_VALUE, RSU, USU, MSCC, IDENTITY, EQUIPMENT = 413, 445, 437, 446, 456, 443, 458
PATHS = {
    "top": (),
    "MSCC": (MSCC,),
    "RSU": (MSCC, RSU),
    "USU": (MSCC, USU),
    "CC-Money": (MSCC, RSU, MONEY),
    "Unit-Value": (MSCC, RSU, MONEY, UNIT_VALUE),
    "Subscription-Id": (IDENTITY,),
    "User-Equipment-Info": (EQUIPMENT,),
    "QoS-Information": (MSCC, (TGPP, 1016)),
    "Allocation-Retention-Priority": (MSCC, (TGPP, 1016), (TGPP, 1034)),
}
"""Where a fault is put: the groups from the outside to the inside."""
CONTENTS = {
    UNIT_VALUE: encode_avp(447, (125).to_bytes(8, "big")) + encode_i32(429, -2),
    IDENTITY: encode_i32(450, 0) + encode_avp(444, b"15550001"),
    EQUIPMENT: encode_i32(459, 0) + encode_avp(460, b"3534900698733190"),
    USU: encode_u64(421, 100),
    (TGPP, 1016): encode_u32(1028, 9, TGPP),
    (TGPP, 1034): encode_u32(1046, 8, TGPP),
}
"""What a group holds besides."""


def beside(where: str, key: int | tuple[int, int]) -> bytes:
    """Return what a group of a path holds besides the fault or the next group."""
    if where == "CC-Money" and key == MONEY:
        return grouped(UNIT_VALUE, CONTENTS[UNIT_VALUE])
    return CONTENTS.get(key, b"")


def grouped(key: int | tuple[int, int], contents: bytes) -> bytes:
    vendor, code = key if isinstance(key, tuple) else (0, key)
    return encode_avp(code, contents, vendor)


def faulty(gy: Dialogue, where: str, fault: bytes) -> bytes:
    """Return an update with this AVP in the groups of a path."""
    inside = fault
    for key in reversed(PATHS[where]):
        inside = grouped(key, beside(where, key) + inside)
    message = gy.message(UPDATE, mscc(100))
    if where == "top":
        return with_more(message, fault)
    group = avps_in(inside, 0)[0]
    if group.code == MSCC:
        service = next(avp for avp in avps_in(message) if avp.code == MSCC)
        return with_other(message, MSCC, grouped(MSCC, service.payload + group.payload))
    return with_more(without(message, group.code), inside)


def innermost(answer: Answer, code: int) -> Avp:
    """Return what the Failed-AVP shows, out of the groups it may be in."""
    (shown,) = answer.failed
    while shown.code != code:
        assert lookup(shown.vendor, shown.code), shown
        (shown,) = avps_in(shown.payload, 0)
    return shown


@pytest.fixture
def opened(gy: Dialogue, world: World) -> Dialogue:
    """A session with 0.50 held; whatever is sent wrong must leave it so (D23)."""
    gy.initial(mscc(100, {}))
    return gy


def assert_refused(world, gy: Dialogue, answer: Answer, code: int) -> None:
    assert answer.code == code
    assert not answer.all(MSCC)
    assert world.session_state(gy.session_id) == "open"
    world.check_money(gy.subscriber, "10.00", "0.50")


@pytest.mark.rule("B-033", "B-074", "B-110", "C-128", "D10", "D23")
@pytest.mark.parametrize("where", PATHS)
def test_an_unknown_mandatory_avp(world, opened, where):
    answer = opened.peer.ask_for(faulty(opened, where, UNKNOWN))
    assert_refused(world, opened, answer, 5001)
    assert padded(innermost(answer, 65000).raw) == UNKNOWN


@pytest.mark.rule("B-033", "C-128")
@pytest.mark.parametrize("where", PATHS)
def test_an_unknown_avp_without_m(world, opened, where):
    unknown = encode_avp(65000, UNKNOWN, flags=0)
    asked_for_money = where in {"CC-Money", "Unit-Value"}
    answer = opened.peer.ask_for(faulty(opened, where, unknown))
    assert answer.code == 2001
    assert (answer.service.granted is None) == (where not in {"RSU", "CC-Money", "Unit-Value"})
    assert not asked_for_money or answer.granted.money.value_digits == 125


SIZES = {
    "CC-Request-Number": ("top", b"\0" * 3),
    "Event-Timestamp": ("top", b"\0" * 8),
    "Termination-Cause": ("top", b"\0"),
    "CC-Sub-Session-Id": ("top", b"\0" * 4),
    "Rating-Group": ("MSCC", b"\0" * 2),
    "CC-Total-Octets": ("USU", b"\0" * 4),
    "CC-Time": ("USU", b"\0" * 8),
    "Reporting-Reason": ("USU", b""),
    "CC-Input-Octets": ("RSU", b"\0" * 12),
    "Currency-Code": ("CC-Money", b"\0" * 5),
    "Value-Digits": ("Unit-Value", b"\0" * 7),
    "Exponent": ("Unit-Value", b"\0" * 2),
    "Subscription-Id-Type": ("Subscription-Id", b"\0"),
}
"""AVPs of a fixed size with another one."""


@pytest.mark.rule("B-032", "B-074", "B-109", "D23", "R-5014")
@pytest.mark.parametrize("flags", [0x40, 0x00, 0x60], ids=["M", "none", "MP"])
@pytest.mark.parametrize("name", SIZES)
def test_a_number_of_another_size_is_rebuilt(world, opened, name, flags):
    """Code, flags and vendor as they came; then as many zeros as a value of its type has octets."""
    where, payload = SIZES[name]
    known = definition(name)
    code, vendor = known.key.code, known.key.vendor
    wrong = encode_avp(code, payload, vendor, flags)
    message = faulty(opened, where, wrong)
    if where == "top":
        message = with_more(without(message, code), wrong)
    answer = opened.peer.ask_for(message)
    assert_refused(world, opened, answer, 5014)
    example = encode_avp(code, bytes(known.minimum_octets), vendor, flags)
    assert padded(innermost(answer, code).raw) == example


def said_length(length: int, flags: int = 0x40, more: bytes = b"") -> bytes:
    """Return the head of a Rating-Group that says this length, and more octets."""
    return (432).to_bytes(4, "big") + bytes([flags]) + length.to_bytes(3, "big") + more


@pytest.mark.rule("B-032", "B-074", "B-109", "R-5014")
@pytest.mark.parametrize("where", ["top", "MSCC", "USU", "Unit-Value", "Subscription-Id"])
@pytest.mark.parametrize(
    "lie,vendor",
    [
        pytest.param(said_length(0, more=bytes(4)), None, id="none"),
        pytest.param(said_length(7, more=bytes(4)), None, id="less-than-a-head"),
        pytest.param(said_length(13, more=bytes(4)), None, id="one-too-many"),
        pytest.param(said_length(0xFFFFFF, more=bytes(4)), None, id="all-there-can-be"),
        pytest.param(said_length(8, 0xC0, bytes(4)), 0, id="no-room-for-the-vendor"),
        pytest.param(said_length(11, 0xC0, bytes(4)), 0, id="too-little-for-the-vendor"),
    ],
)
def test_a_length_that_lies(world, opened, where, lie, vendor):
    """Known or not there, the AVP is shown with the smallest value it could have."""
    answer = opened.peer.ask_for(faulty(opened, where, lie))
    assert_refused(world, opened, answer, 5014)
    shown = innermost(answer, 432)
    if vendor is None:
        assert shown.raw == encode_u32(432, 0)
    else:
        assert shown.raw == lie[:5] + b"\0\0\x10" + bytes(4) + bytes(4), "vendor 0 and a zero"


@pytest.mark.rule("B-074", "B-109", "R-5014")
def test_a_header_that_the_message_cuts_short(world, opened):
    message = opened.message(UPDATE, mscc(100))
    parts = [avp.raw for avp in avps_in(message)]
    cut = opened.peer.ask_for(rebuilt(message, [*parts, b"\0\0\x01\xb0"]))
    assert_refused(world, opened, cut, 5014)
    (shown,) = cut.failed
    assert (shown.code, shown.flags) == (432, 0), "completed with zeros"


@pytest.mark.rule("B-074", "B-111")
@pytest.mark.parametrize(
    "where,contents,missing",
    [
        ("Subscription-Id", encode_avp(444, b"15550001"), "Subscription-Id-Type"),
        ("Subscription-Id", encode_i32(450, 0), "Subscription-Id-Data"),
        ("User-Equipment-Info", encode_avp(460, b"1"), "User-Equipment-Info-Type"),
        ("User-Equipment-Info", encode_i32(459, 0), "User-Equipment-Info-Value"),
        ("RSU", grouped(MONEY, encode_u32(425, 978)), "Unit-Value"),
        ("Unit-Value", encode_i32(429, -2), "Value-Digits"),
    ],
)
def test_a_group_without_what_it_must_have(world, opened, where, contents, missing, monkeypatch):
    key = PATHS[where][-1]
    monkeypatch.setitem(CONTENTS, key, contents)
    answer = opened.peer.ask_for(faulty(opened, where, b""))
    assert_refused(world, opened, answer, 5005)
    known = definition(missing)
    example = encode_avp(known.key.code, bytes(known.minimum_octets), flags=known.mandatory * 0x40)
    assert padded(innermost(answer, known.key.code).raw) == example


TEXTS = ["Session-Id", "Origin-Realm", "User-Name", "Service-Context-Id", "Acct-Multi-Session-Id"]


@pytest.mark.rule("B-035", "B-109", "R-5004")
@pytest.mark.parametrize("octets", [b"\xff\xfe", b"a\xc3\x28", b"\xed\xa0\x80", b"a\0b"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_that_is_none(world, opened, name, octets):
    code = definition(name).key.code
    wrong = encode_avp(code, octets)
    message = opened.message(UPDATE, mscc(100))
    present = any(avp.code == code for avp in avps_in(message))
    message = with_other(message, code, wrong) if present else with_more(message, wrong)
    answer = opened.peer.ask_for(message)
    assert_refused(world, opened, answer, 5004)
    assert [padded(avp.raw) for avp in answer.failed] == [wrong]
    assert opened.update(mscc(100, {}, {"total": 1})).code == 2001


def many(count: int) -> Callable[[bytes], bytes]:
    """Fill a message up to so many AVPs, of all levels together."""

    def edit(message: bytes) -> bytes:
        there = sum(1 + _inside(avp) for avp in avps_in(message))
        return with_more(message, *[encode_avp(65000, b"", flags=0)] * (count - there))

    return edit


def _inside(avp: Avp) -> int:
    known = lookup(avp.vendor, avp.code)
    if known is None or known.type is not AvpType.GROUPED:
        return 0
    return sum(1 + _inside(one) for one in avps_in(avp.payload, 0))


@pytest.mark.rule("B-036", "R-5012")
@pytest.mark.parametrize("count,code", [(4096, 2001), (4097, 5012), (16_000, 5012)])
def test_four_thousand_and_ninety_six_avps(world, opened, count, code):
    asked = opened.message(UPDATE, mscc(100, {}, {"total": 1_000_000}))
    answer = opened.peer.ask_for(many(count)(asked))
    assert answer.code == code
    world.check_money(opened.subscriber, *(("9.95", "0.50") if code == 2001 else ("10.00", "0.50")))
    assert opened.update(mscc(100, {})).code == 2001


@pytest.mark.rule("B-036")
@pytest.mark.parametrize("code", [MSCC, 260, 279])
@pytest.mark.parametrize("depth,expected", [(15, 2001), (17, 5012), (1000, 5012)])
def test_groups_as_deep_as_they_may_be_and_deeper(world, opened, code, depth, expected):
    nested = b""
    for _ in range(depth):
        nested = encode_grouped(code, nested)
    asked = opened.message(UPDATE, mscc(100, {}))
    assert opened.peer.ask_for(with_more(asked, nested)).code == expected
    assert opened.update(mscc(100, {})).code == 2001
