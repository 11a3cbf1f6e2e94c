"""A reader with known layouts says exactly what the walk says, and costs nothing to strangers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import (
    HEADER_SIZE,
    Limits,
    encode_address,
    encode_avp,
    encode_grouped,
    encode_i32,
    encode_message,
    encode_time,
    encode_u32,
    encode_u64,
    encode_utf8,
    read_header,
)
from protocol.credit_control_layout import outline_request
from protocol.credit_control_reader import read_ccr
from protocol.errors import RemoteProtocolError
from protocol.layout import NotLearnableError, Outline
from protocol.layout_cache import (
    BUILD_COST,
    MAX_CREDIT,
    MAX_LAYOUTS_PER_KEY,
    OUTLINE_COST,
    SIGHTINGS,
    CcrReader,
    InformationReader,
    LayoutCache,
)
from protocol.members import LENIENT, STRICT, Leniency
from protocol.service_information import read_service_information
from tests.support import gateway_messages

SHAPES = gateway_messages.all_shapes()
TGPP = gateway_messages.TGPP
INTERESTING_OCTETS = (0, 1, 0x80, 0xC3, 0xFF)


def outcome(read: Callable[[], Any]) -> str:
    """What a reader gave, types included, or everything an error answer says."""
    try:
        return repr(read())
    except RemoteProtocolError as error:
        return repr(error)


def teach(reader: CcrReader, message: bytes, lenient: Leniency = LENIENT) -> None:
    for _ in range(SIGHTINGS):
        reader.read(message, read_header(message), lenient)


def assert_same(reader: CcrReader, message: bytes, lenient: Leniency = LENIENT) -> None:
    header = read_header(message)
    expected = outcome(lambda: read_ccr(message, header, lenient))
    assert outcome(lambda: reader.read(message, header, lenient)) == expected


def payload_of(message: bytes) -> bytes | None:
    return read_ccr(message, read_header(message)).service_information


PAYLOADS = {name: payload for name in SHAPES if (payload := payload_of(SHAPES[name]))}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_that_was_seen_often_enough_is_read_without_a_walk(name):
    reader = CcrReader()
    message = SHAPES[name]
    for _ in range(SIGHTINGS + 2):
        assert_same(reader, message)
    layouts = reader.layouts
    assert (layouts.misses, layouts.hits, layouts.learned) == (SIGHTINGS, 2, 1)
    assert layouts.rejected == 0


@pytest.mark.parametrize("name", PAYLOADS)
def test_service_information_that_was_seen_often_enough_is_read_without_a_walk(name):
    reader = InformationReader()
    payload = PAYLOADS[name]
    expected = repr(read_service_information(payload))
    assert {repr(reader.read(payload)) for _ in range(SIGHTINGS + 2)} == {expected}
    assert (reader.layouts.hits, reader.layouts.rejected) == (2, 0)


def test_lists_are_not_shared_between_requests():
    reader = CcrReader()
    message = SHAPES["magma-update"]
    teach(reader, message)
    first, second = (reader.read(message, read_header(message)) for _ in range(2))
    first.services[0].used.clear()
    first.services.clear()
    first.route_records.append("changed.example")
    assert reader.layouts.hits == 2
    assert second == read_ccr(message, read_header(message))


@pytest.mark.parametrize("name", SHAPES)
def test_every_octet_may_change(name):
    reader = CcrReader()
    message = bytearray(SHAPES[name])
    teach(reader, bytes(message))
    for place in range(HEADER_SIZE, len(message)):
        original = message[place]
        message[place] = INTERESTING_OCTETS[place % len(INTERESTING_OCTETS)] ^ (original & 0x5)
        assert_same(reader, bytes(message))
        message[place] = original
    assert reader.layouts.hits > 0


@pytest.mark.parametrize("usage", [-1, 0, 2, 3])
@pytest.mark.parametrize("inside", [True, False])
def test_a_tariff_change_usage_is_checked_in_known_layouts(usage, inside):
    def message(value: int) -> bytes:
        side = encode_i32(452, value)
        members = encode_grouped(446, side) if inside else side
        head = SHAPES["magma-authorization-only"][HEADER_SIZE:]
        return gateway_messages.ccr(head + encode_grouped(456, members))

    reader = CcrReader()
    teach(reader, message(1))
    assert_same(reader, message(usage))
    assert reader.layouts.hits == (0 <= usage <= 2)


def test_groups_that_their_own_reader_reads_are_checked_in_known_layouts():
    def message(filter_id: bytes) -> bytes:
        final_unit = encode_grouped(430, encode_i32(449, 2) + encode_avp(11, filter_id))
        head = SHAPES["magma-authorization-only"][HEADER_SIZE:]
        return gateway_messages.ccr(head + encode_grouped(456, final_unit))

    reader = CcrReader()
    teach(reader, message(b"slow"))
    assert_same(reader, message(b"fast"))
    assert reader.layouts.hits == 1
    assert_same(reader, message(b"\xff\xff\xff\xff"))
    assert reader.layouts.hits == 1


@pytest.mark.parametrize("flags", [0x00, 0x10, 0x20, 0x40])
@pytest.mark.parametrize("lenient", [LENIENT, STRICT])
def test_the_flags_of_an_unknown_member_are_checked_in_known_layouts(flags, lenient):
    def message(flags: int) -> bytes:
        inner = encode_avp(9_999, b"", flags=flags)
        return gateway_messages.siphon_initial_without_services("sip.net.example;9;8") + inner

    reader = CcrReader()
    teach(reader, message(0), lenient)
    assert_same(reader, message(flags), lenient)
    assert reader.layouts.hits == (not flags)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    st.sampled_from([LENIENT, STRICT, Leniency(unflagged_event_timestamp=False)]),
)
def test_mutations_of_known_shapes_are_read_like_the_walk_reads_them(name, mutations, lenient):
    message = bytearray(SHAPES[name])
    reader = CcrReader()
    try:
        teach(reader, bytes(message), lenient)
    except RemoteProtocolError:
        lenient = LENIENT
        teach(reader, bytes(message))
    for place, octet in mutations:
        message[HEADER_SIZE + int(place * (len(message) - HEADER_SIZE))] = octet
        assert_same(reader, bytes(message), lenient)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(PAYLOADS)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
)
def test_mutations_of_service_information_are_read_like_the_walk_reads_them(name, mutations):
    payload = bytearray(PAYLOADS[name])
    reader = InformationReader()
    for _ in range(SIGHTINGS):
        reader.read(bytes(payload))
    for place, octet in mutations:
        payload[int(place * len(payload))] = octet
        octets = bytes(payload)
        expected = outcome(partial(read_service_information, octets))
        assert outcome(partial(reader.read, octets)) == expected


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_octet_of_service_information_may_change(name):
    reader = InformationReader()
    payload = bytearray(PAYLOADS[name])
    for _ in range(SIGHTINGS):
        reader.read(bytes(payload))
    for place in range(len(payload)):
        original = payload[place]
        payload[place] = INTERESTING_OCTETS[place % len(INTERESTING_OCTETS)] ^ (original & 0x5)
        octets = bytes(payload)
        expected = outcome(partial(read_service_information, octets))
        assert outcome(partial(reader.read, octets)) == expected
        payload[place] = original
    assert reader.layouts.hits > 0


# --------------------------------------------------------------------------- random requests

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
U32 = st.integers(0, 2**32 - 1)
SMALL = st.integers(-1, 4)
UNITS = st.lists(
    st.one_of(
        U32.map(lambda value: encode_u32(420, value)),
        st.integers(0, 2**64 - 1).map(lambda value: encode_u64(421, value)),
        SMALL.map(lambda value: encode_i32(452, value)),
        SMALL.map(lambda value: encode_i32(872, value, TGPP)),
        st.integers(-5, 5).map(
            lambda value: encode_grouped(413, encode_grouped(445, encode_u64(447, value % 9)))
        ),
        U32.map(lambda value: encode_u32(451, value)),
    ),
    max_size=3,
).map(b"".join)
SERVICES = st.lists(
    st.one_of(
        U32.map(lambda value: encode_u32(432, value)),
        U32.map(lambda value: encode_u32(439, value)),
        UNITS.map(lambda units: encode_grouped(437, units)),
        UNITS.map(lambda units: encode_grouped(446, units)),
        SMALL.map(lambda value: encode_i32(452, value)),
        st.binary(max_size=5).map(lambda token: encode_avp(2022, token, TGPP)),
        U32.map(lambda value: encode_avp(1264, encode_u32(870, value, TGPP), TGPP)),
        U32.map(lambda rate: encode_avp(1016, encode_u32(1041, rate, TGPP), TGPP)),
        U32.map(
            lambda pool: encode_grouped(
                457,
                encode_u32(453, pool)
                + encode_i32(454, 1)
                + encode_grouped(445, encode_u64(447, 1)),
            )
        ),
        st.just(encode_avp(99_999, b"x", flags=0)),
    ),
    max_size=5,
).map(b"".join)
EXTRAS = st.lists(
    st.one_of(
        SERVICES.map(lambda members: encode_grouped(456, members)),
        st.tuples(SMALL, TEXTS).map(lambda both: gateway_messages.subscription_id(*both)),
        TEXTS.map(lambda data: encode_avp(659, encode_utf8(660, data, flags=0), flags=0)),
        TEXTS.map(lambda name: encode_utf8(1, name)),
        TEXTS.map(lambda host: encode_utf8(282, host)),
        TEXTS.map(lambda host: encode_utf8(293, host)),
        TEXTS.map(lambda host: encode_utf8(264, host)),
        TEXTS.map(lambda name: encode_grouped(284, encode_utf8(280, name))),
        st.binary(max_size=6).map(lambda octets: encode_avp(284, octets)),
        st.binary(max_size=20).map(lambda payload: encode_avp(873, payload, TGPP)),
        U32.map(lambda value: encode_time(55, 1_700_000_000 * 10**9 + value)),
        st.sampled_from([-1, 0, 1, 2]).map(lambda value: encode_i32(455, value)),
        SMALL.map(lambda value: encode_i32(436, value)),
        U32.map(lambda value: encode_grouped(260, encode_u32(266, 1) + encode_u32(258, value))),
        # known groups that nobody reads: the M rule looks into them
        U32.map(lambda value: encode_grouped(297, encode_u32(298, value))),
        st.booleans().map(
            lambda strange: encode_grouped(279, encode_avp(9_999, b"", flags=64 * strange))
        ),
        st.binary(max_size=5).map(lambda octets: encode_avp(98_765, octets, 4_711, flags=0)),
    ),
    max_size=6,
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Mostly valid requests with AVPs in any order."""
    avps = [
        encode_utf8(263, draw(st.sampled_from(["a;1;1", "a;1;22", ""]))),
        encode_utf8(264, "pgw1.net.example"),
        encode_utf8(296, "net.example"),
        encode_utf8(283, "ocs.example"),
        encode_u32(258, 4),
        encode_utf8(461, "32251@3gpp.org"),
        encode_i32(416, draw(st.sampled_from([1, 2, 2, 2, 3, 4]))),
        encode_u32(415, draw(st.integers(0, 3))),
        *draw(EXTRAS),
    ]
    return gateway_messages.ccr(b"".join(draw(st.permutations(avps))))


@settings(deadline=None, max_examples=200)
@given(requests(), st.data())
def test_random_requests_are_read_like_the_walk_reads_them(message, data):
    reader = CcrReader()
    for _ in range(SIGHTINGS + 1):
        assert_same(reader, message)
    assert reader.layouts.rejected == 0
    mutant = bytearray(message)
    for _ in range(4):
        place = data.draw(st.integers(HEADER_SIZE, len(mutant) - 1))
        mutant[place] = data.draw(st.integers(0, 255))
        assert_same(reader, bytes(mutant))


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8), st.sampled_from([0, 2, 4]))
def test_values_of_one_gateway_are_told_apart(numbers, reason):
    reader = CcrReader()
    messages = [
        gateway_messages.open5gs_update(
            "smf.net.example;1;1;a",
            number=number,
            imsi=f"{number:015}",
            uplink=number,
            downlink=2 * number,
            seconds=number,
            reason=reason,
            time_ns=(1_700_000_000 + number % 2_000_000_000) * 10**9,
        )
        for number in numbers
    ]
    for message in messages:
        assert_same(reader, message)
    assert reader.layouts.hits == len(messages) - SIGHTINGS


@settings(deadline=None)
@given(st.binary(max_size=24), st.sampled_from([1, 2, 8, 77]))
def test_addresses_are_read_like_the_walk_reads_them(body, family):
    address = family.to_bytes(2, "big") + body
    ps = encode_avp(1228, address, TGPP) + encode_address(847, "192.0.2.4", TGPP)
    payload = encode_avp(874, ps, TGPP)
    reader = InformationReader()
    expected = outcome(lambda: read_service_information(payload))
    for _ in range(SIGHTINGS + 1):
        assert outcome(lambda: reader.read(payload)) == expected


# -------------------------------------------------------------------- what may be remembered


def numbered(number: int, avps: bytes = b"") -> bytes:
    """A request; every number has its own layout."""
    parts = [encode_avp(10_000 + (number >> 4 * digit & 15), b"", flags=0) for digit in range(4)]
    head = SHAPES["magma-authorization-only"][HEADER_SIZE:]
    return gateway_messages.ccr(head + b"".join(parts) + avps)


PS, SMS = 874, 2000


def _addresses(*given: tuple[int | None, str]) -> bytes:
    return b"".join(
        encode_grouped(
            1201,
            (b"" if kind is None else encode_i32(899, kind, TGPP)) + encode_utf8(897, data, TGPP),
            TGPP,
        )
        for kind, data in given
    )


@pytest.mark.parametrize(
    "group,first,then",
    [
        (PS, encode_avp(21, b"\x06", TGPP), encode_avp(21, b"\x02", TGPP)),
        (PS, encode_avp(21, b"\x06", TGPP), encode_avp(21, b"2", TGPP)),
        (PS, encode_avp(21, b"06", TGPP), encode_avp(21, b"\x00\x06", TGPP)),
        (PS, encode_avp(18, b"21407", TGPP), encode_avp(18, b"31041", TGPP)),
        (PS, encode_avp(18, b"\x12\xf4\x70", TGPP), encode_avp(18, b"214", TGPP)),
        (PS, encode_avp(18, b"21407", TGPP), encode_avp(18, b"\xff\xff\xff\xff\xff", TGPP)),
        (
            SMS,
            encode_grouped(2026, _addresses((1, "34600"), (None, "a@b")), TGPP),
            encode_grouped(2026, _addresses((4, "00049"), (None, "c@d")), TGPP),
        ),
        (
            SMS,
            encode_grouped(2027, _addresses((1, "34600"))[12:], TGPP),
            encode_grouped(2027, _addresses((6, "Bank1"))[12:], TGPP),
        ),
        (SMS, encode_grouped(2026, b"", TGPP), encode_grouped(2026, b"", TGPP)),
    ],
)
def test_values_with_two_spellings_are_read_like_the_walk_reads_them(group, first, then):
    reader = InformationReader()
    for member in (*[first] * (SIGHTINGS + 1), then, first):
        payload = encode_grouped(group, member, TGPP)
        expected = outcome(partial(read_service_information, payload))
        assert outcome(partial(reader.read, payload)) == expected
    assert reader.layouts.hits
    assert not reader.layouts.rejected


def test_hostile_layouts_keep_memory_and_building_bounded():
    outlines = 0

    def counting(message: bytes, lenient: Leniency) -> Outline:
        nonlocal outlines
        outlines += 1
        return outline_request(message, lenient)

    cache = LayoutCache(counting, HEADER_SIZE, max_layouts=20)
    messages = 6_000
    request = object()
    for number in range(messages // SIGHTINGS):
        # lengths differ too, so that the limit of one length does not help
        message = numbered(number, encode_avp(99_999, bytes(4 * (number % 50)), flags=0))
        for _ in range(SIGHTINGS):
            assert cache.read(message, LENIENT) is None
            cache.walked(message, LENIENT, request)
            assert len(cache) <= 20
    assert outlines * OUTLINE_COST + cache.learned * BUILD_COST <= messages + MAX_CREDIT
    assert cache.learned > 0


def test_one_length_holds_few_layouts():
    reader = CcrReader()
    for number in range(3 * MAX_LAYOUTS_PER_KEY):
        teach(reader, numbered(number))
    assert len(reader.layouts) == MAX_LAYOUTS_PER_KEY


def test_what_is_used_stays_when_strangers_come():
    reader = CcrReader(max_layouts=4)
    known = SHAPES["open5gs-update-threshold"]
    header = read_header(known)
    teach(reader, known)
    for number in range(400):
        reader.read(known, header)
        stranger = numbered(number, encode_avp(99_999, bytes(4 * (number % 50)), flags=0))
        reader.read(stranger, read_header(stranger))
    assert reader.layouts.hits == 400
    assert len(reader.layouts) == 4


def test_what_is_not_used_any_more_makes_room():
    reader = CcrReader(max_layouts=2)
    old, new = SHAPES["open5gs-update-threshold"], SHAPES["magma-update"]
    teach(reader, old)
    for _ in range(200):
        reader.read(old, read_header(old))
    for number in range(40):
        stranger = numbered(number, encode_avp(99_999, bytes(4 * number), flags=0))
        reader.read(stranger, read_header(stranger))
    teach(reader, new)
    hits = reader.layouts.hits
    reader.read(new, read_header(new))
    assert reader.layouts.hits == hits + 1


def test_long_messages_and_those_with_very_many_values_are_left_to_the_walk():
    long = numbered(1, encode_avp(99_999, bytes(5_000), flags=0))
    many = numbered(1, b"".join(encode_utf8(282, f"h{number}") for number in range(260)))
    reader = CcrReader()
    for message in (long, many):
        teach(reader, message)
        assert_same(reader, message)
    assert (len(reader.layouts), reader.layouts.hits) == (0, 0)
    with pytest.raises(NotLearnableError):
        outline_request(many, LENIENT)


def test_the_limit_of_avps_holds_for_known_layouts():
    limits = Limits(max_avps=30)
    reader = CcrReader(limits)
    message = SHAPES["magma-update"]
    header = read_header(message)
    expected = outcome(lambda: read_ccr(message, header, LENIENT, limits))
    for _ in range(SIGHTINGS + 1):
        assert outcome(lambda: reader.read(message, header)) == expected
    assert "5012" in expected


def test_leniencies_do_not_share_layouts():
    reader = CcrReader()
    message = SHAPES["kamailio-update"]
    teach(reader, message)
    assert_same(reader, message, STRICT)
    assert_same(reader, message)
    for _ in range(30):
        reader.read(message, read_header(message), Leniency())
    assert len(reader.layouts) <= MAX_LAYOUTS_PER_KEY


def test_a_layout_with_another_application_id_is_another_layout():
    reader = CcrReader()
    message = encode_message(272, 4, 0xC0, 1, 1, SHAPES["kamailio-update"][HEADER_SIZE:])
    other = encode_message(272, 5, 0xC0, 1, 1, SHAPES["kamailio-update"][HEADER_SIZE:])
    teach(reader, message)
    assert reader.read(other, read_header(other)).auth_application_id == 5
