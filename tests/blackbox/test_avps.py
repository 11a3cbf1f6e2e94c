"""Section 4.5: errors at the level of AVPs, with the octets of their Failed-AVP."""

import time

import pytest

from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_u64
from tests.support.blackbox_client import (
    Answer,
    Dialogue,
    avps_in,
    mscc,
    rebuilt,
    with_more,
    with_other,
    without,
)

INITIAL, UPDATE = 1, 2
UNKNOWN = encode_avp(65000, b"what?")
OF_A_VENDOR = encode_avp(99999, b"what?", 7)
MISSING_CONTEXT = bytes.fromhex("0000011740000010000001cd40000008")
MISSING_REQUEST_TYPE = bytes.fromhex("0000011740000014000001a04000000c00000000")
SHORT_RATING_GROUP = bytes.fromhex("000001b04000000b00000064")


def opening(gy: Dialogue) -> bytes:
    return gy.message(INITIAL, mscc(100, {}))


def assert_no_session(world, gy, answer: Answer, code: int) -> None:
    assert answer.code == code
    assert not answer.all(456)
    assert world.session_state(gy.session_id) == ""
    world.check_money(gy.subscriber, "10.00", "0")


def in_services(message: bytes, more: bytes) -> bytes:
    """Put an AVP into the MSCC."""
    group = next(avp for avp in avps_in(message) if avp.code == 456)
    return with_other(message, 456, encode_avp(456, group.payload + more))


def service(payload: bytes):
    return lambda message: with_other(message, 456, encode_avp(456, payload))


def past_the_end(message: bytes) -> bytes:
    """The last AVP says that it is longer than the message."""
    grown = bytearray(with_more(message, encode_avp(65000, b"1234", flags=0)))
    grown[-7:-4] = (200).to_bytes(3, "big")
    return bytes(grown)


def vendor_cut_short(message: bytes) -> bytes:
    """An AVP with V, whose length has no room for the vendor."""
    return rebuilt(
        message,
        [*(avp.raw for avp in avps_in(message)), bytes.fromhex("0000fde8 80000008")],
    )


@pytest.mark.rule("R-5001", "T092", "T094")
@pytest.mark.parametrize(
    "edit,failed",
    [
        pytest.param(lambda m: with_more(m, UNKNOWN), {UNKNOWN}, id="T090"),
        pytest.param(lambda m: with_more(m, OF_A_VENDOR), {OF_A_VENDOR}, id="T092"),
        pytest.param(
            lambda m: in_services(m, UNKNOWN), {UNKNOWN, encode_avp(456, UNKNOWN)}, id="T094"
        ),
    ],
)
def test_T092_T094_unknown_and_mandatory(world, gy, edit, failed):
    answer = gy.peer.ask_for(edit(opening(gy)))
    assert_no_session(world, gy, answer, 5001)
    assert b"".join(pad(avp.raw) for avp in answer.failed) in failed


def pad(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 4)


@pytest.mark.rule("T091", "T095", "T118")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(
            lambda m: with_more(m, encode_avp(65000, b"what?", flags=0)), id="T091-not-mandatory"
        ),
        pytest.param(
            lambda m: with_more(m, encode_avp(65001, UNKNOWN, flags=0)), id="T095-in-a-group"
        ),
        pytest.param(
            lambda m: rebuilt(m, [flagged(avp.raw, 0x20) for avp in avps_in(m)]), id="T118-P"
        ),
        pytest.param(
            lambda m: rebuilt(m, [flagged(avp.raw, 0x1F) for avp in avps_in(m)]), id="D09-reserved"
        ),
    ],
)
def test_T091_T095_T118_what_is_passed_over(world, gy, edit):
    answer = gy.peer.ask_for(edit(opening(gy)))
    assert answer.code == answer.service.result_code == 2001
    world.check_money(gy.subscriber, "10.00", "0.50")


def flagged(raw: bytes, more: int) -> bytes:
    return raw[:4] + bytes([raw[4] | more]) + raw[5:]


@pytest.mark.rule("T097", "T098", "T100", "T101")
@pytest.mark.parametrize(
    "edit,failed",
    [
        pytest.param(past_the_end, encode_avp(65000, b"", flags=0), id="T097"),
        pytest.param(vendor_cut_short, bytes.fromhex("0000fde8 8000000c 00000000"), id="T098"),
        pytest.param(
            lambda m: with_other(m, 415, encode_u64(415, 0)), encode_u32(415, 0), id="T100"
        ),
        pytest.param(
            service(bytes.fromhex("000001b0 40000020 00000064")), encode_u32(432, 0), id="T101"
        ),
        pytest.param(service(pad(SHORT_RATING_GROUP)), encode_u32(432, 0), id="V15"),
    ],
)
def test_T097_T098_T100_T101_lengths_that_cannot_be(world, gy, edit, failed):
    answer = gy.peer.ask_for(edit(opening(gy)))
    assert_no_session(world, gy, answer, 5014)
    (avp,) = answer.failed
    if avp.code == 456:
        (avp,) = avps_in(avp.payload, 0)
    assert avp.raw == failed


@pytest.mark.rule("C-105", "T103")
@pytest.mark.parametrize("kind", [0, 5])
def test_T103_request_types_that_are_none(world, gy, kind):
    wrong = encode_i32(416, kind)
    answer = gy.peer.ask_for(with_other(opening(gy), 416, wrong))
    assert_no_session(world, gy, answer, 5004)
    assert [avp.raw for avp in answer.failed] == [wrong]


@pytest.mark.rule("C-112", "C-114", "C-115", "R-5005", "T104", "T106", "T107", "T109")
@pytest.mark.parametrize(
    "code,group",
    [
        pytest.param(416, MISSING_REQUEST_TYPE, id="T104"),
        pytest.param(461, MISSING_CONTEXT, id="T106"),
        pytest.param(263, encode_avp(279, encode_avp(263, b"")), id="T107"),
        pytest.param(264, encode_avp(279, encode_avp(264, b"")), id="T109"),
        pytest.param(296, encode_avp(279, encode_avp(296, b"")), id="Origin-Realm"),
        pytest.param(415, encode_avp(279, encode_u32(415, 0)), id="CC-Request-Number"),
    ],
)
def test_T104_T106_T107_T109_what_every_request_must_have(world, gy, code, group):
    answer = gy.peer.ask_for(without(opening(gy), code))
    assert_no_session(world, gy, answer, 5005)
    assert answer.one(279).raw == group


@pytest.mark.rule("R-5009", "T110")
def test_T110_the_second_of_two(world, gy):
    second = encode_i32(416, 2)
    answer = gy.peer.ask_for(with_more(opening(gy), second))
    assert_no_session(world, gy, answer, 5009)
    assert [avp.raw for avp in answer.failed] == [second]


@pytest.mark.rule("T112", "T113")
@pytest.mark.parametrize(
    "members,code,failed",
    [
        pytest.param(
            encode_i32(450, 0) + encode_avp(444, b"1555\xff\xfe"), 5004,
            encode_avp(444, b"1555\xff\xfe"), id="T112",
        ),
        pytest.param(encode_avp(444, b"15550001"), 5005, encode_i32(450, 0), id="T113"),
    ],
)  # fmt: skip
def test_T112_T113_identities_that_cannot_be_read(world, gy, members, code, failed):
    answer = gy.peer.ask_for(with_other(opening(gy), 443, encode_grouped(443, members)))
    assert_no_session(world, gy, answer, code)
    (avp,) = answer.failed
    if avp.code == 443 and code == 5005:
        (avp,) = avps_in(avp.payload, 0)
    assert pad(avp.raw) in {failed, encode_grouped(443, members)}


@pytest.mark.rule("C-129", "T115")
def test_T115_granted_units_in_a_request(world, gy):
    granted = encode_grouped(431, encode_u64(421, 1))
    answer = gy.peer.ask_for(with_more(opening(gy), granted))
    assert answer.code == 2001
    world.check_money(gy.subscriber, "10.00", "0.50")


@pytest.mark.rule("T116")
def test_T116_a_malformed_update_leaves_the_session(world, gy, a1):
    gy.initial(mscc(100, {}))
    wrong = with_more(gy.message(UPDATE, mscc(100, {}, {"total": 3_000_000})), UNKNOWN)
    assert gy.peer.ask_for(wrong).code == 5001
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")
    answer = gy.update(mscc(100, {}, {"total": 3_000_000}), number=gy.number)
    assert answer.code == 2001 and answer.granted.total_octets == 10_000_000
    world.check_money(a1, "9.85", "0.50")


@pytest.mark.rule("T119")
def test_T119_flags_of_known_avps_do_not_matter(world, gy):
    message = opening(gy)
    identity = encode_i32(450, 0, flags=0) + encode_avp(444, gy.subscriber.msisdn.encode(), flags=0)
    message = with_other(message, 443, encode_avp(443, identity, flags=0))
    inner = encode_u32(432, 100, flags=0) + encode_avp(437, b"", flags=0)
    answer = gy.peer.ask_for(with_other(message, 456, encode_avp(456, inner)))
    assert answer.code == 2001 and answer.service.rating_group == 100
    world.check_money(gy.subscriber, "10.00", "0.50")


@pytest.mark.rule("T121")
@pytest.mark.parametrize("code", [65001, 456, 284, 260])
def test_T121_groups_in_groups_in_groups(world, gy, code):
    nested = b""
    for _ in range(60):
        nested = encode_avp(code, nested, flags=0)
    began = time.monotonic()
    answer = gy.peer.ask_for(with_more(opening(gy), nested))
    assert time.monotonic() - began < 5, "a busy machine, but not one that is kept busy by this"
    assert answer.code == 2001 or 5000 <= answer.code < 6000
    assert Dialogue(gy.peer, world.account()).initial(mscc(100, {})).code == 2001


@pytest.mark.rule("T122")
def test_T122_an_instant_of_the_next_era(world, gy, a1):
    later = encode_avp(55, bytes.fromhex("001df780"))
    answer = gy.peer.ask_for(with_other(opening(gy), 55, later))
    assert answer.code in {2001, 5004}
    if answer.code == 2001:
        (record,) = [stored.record for stored in world.records(a1) if stored.kind == INITIAL]
        # So far ahead it is implausible, and the time of its arrival counts.
        assert abs(record.event_ns - world.now_ns()) < 60 * 10**9
