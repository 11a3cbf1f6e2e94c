"""The wire format of RFC 6733 sections 3 and 4, against vectors verified by another decoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.codec import Limits, MessageBuffer
from protocol.errors import LocalProtocolError, RemoteProtocolError

DWR = (
    "010000408000011800000000010203040a0b0c0d0000010840000018706777312e6e65742e6578616d706c65"
    "00000128400000136e65742e6578616d706c6500"
)
NEXT_ERA_NS = 2_087_942_400 * 10**9  # 2036-03-01T00:00:00Z


def money_avp() -> bytes:
    unit_value = codec.encode_i64(447, 125) + codec.encode_i32(429, -2)
    return codec.encode_grouped(
        413, codec.encode_grouped(445, unit_value) + codec.encode_u32(425, 978)
    )


def services_avp() -> bytes:
    granted = codec.encode_grouped(431, codec.encode_u64(421, 10_000_000))
    members = codec.encode_u32(432, 100) + codec.encode_u32(448, 30) + codec.encode_u32(268, 2001)
    return codec.encode_grouped(456, granted + members)


VECTORS = {
    "V1": (codec.encode_u32(268, 2001), "0000010c4000000c000007d1"),
    "V2": (
        codec.encode_utf8(264, "ocs1.ocs.example"),
        "00000108400000186f6373312e6f63732e6578616d706c65",
    ),
    "V3": (codec.encode_utf8(296, "ocs.example"), "00000128400000136f63732e6578616d706c6500"),
    "V4": (codec.encode_time(55, 1_767_225_600 * 10**9), "000000374000000ced003780"),
    "V5": (codec.encode_time(451, NEXT_ERA_NS), "000001c34000000c001df780"),
    "V6": (codec.encode_u32(869, 1_048_576, 10415), "00000365c0000010000028af00100000"),
    "V7": (codec.encode_address(257, "192.0.2.10"), "000001014000000e0001c000020a0000"),
    "V8": (
        codec.encode_address(257, "2001:db8::1"),
        "000001014000001a000220010db80000000000000000000000010000",
    ),
    "V9": (
        money_avp(),
        (
            "0000019d40000038000001bd40000024000001bf40000010000000000000007d000001ad4000000cfffffffe"
            "000001a94000000c000003d2"
        ),
    ),
    "V10": (
        services_avp(),
        (
            "000001c840000044000001af40000018000001a5400000100000000000989680000001b04000000c00000064"
            "000001c04000000c0000001e0000010c4000000c000007d1"
        ),
    ),
    "V11": (
        codec.encode_failed_avp(codec.failed_avp_for_missing("Service-Context-Id")),
        "0000011740000010000001cd40000008",
    ),
    "V12": (
        codec.encode_failed_avp(codec.failed_avp_for_missing("CC-Request-Type")),
        "0000011740000014000001a04000000c00000000",
    ),
    "V13": (
        codec.encode_message(
            280,
            0,
            codec.FLAG_REQUEST,
            0x01020304,
            0x0A0B0C0D,
            codec.encode_utf8(264, "pgw1.net.example") + codec.encode_utf8(296, "net.example"),
        ),
        DWR,
    ),
    "V14": (codec.encode_grouped(437, b""), "000001b540000008"),
}


@pytest.mark.rule("B-020", "B-030", "B-074")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.rule(name)) for name in VECTORS]
)
def test_we_write_the_verified_octets(name):
    written, expected = VECTORS[name]
    assert written.hex() == expected


@pytest.mark.rule("B-032", "B-074", "V15")
def test_a_rating_group_of_three_octets_is_answered_with_its_smallest_form():
    malformed = bytes.fromhex("000001b04000000b00000064")  # vector V15
    error = codec.bad_avp_length(malformed, 0, len(malformed))
    assert error.result_code == 5014
    assert error.failed_avp.hex() == "000001b04000000c00000000"


@pytest.mark.rule("B-005", "B-023")
def test_a_header_is_read_field_by_field():
    header = codec.read_header(bytes.fromhex(DWR))
    fields = (header.version, header.length, header.flags, header.command_code)
    assert fields == (1, 64, 0x80, 280)
    assert (header.application_id, header.hop_by_hop, header.end_to_end) == (
        0,
        0x01020304,
        0x0A0B0C0D,
    )
    assert header.is_request
    assert not (header.is_proxiable or header.is_error or header.is_retransmitted)
    with pytest.raises(RemoteProtocolError) as caught:
        codec.read_header(b"\x01" * 19)
    assert caught.value.fatal


@pytest.mark.rule("B-005", "T002", "T004")
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.data())
def test_messages_come_out_whole_however_the_stream_is_cut(sizes, data):
    messages = [
        codec.encode_message(272, 4, 0xC0, n, n, codec.encode_avp(1, bytes(size)))
        for n, size in enumerate(sizes)
    ]
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    buffer, found = MessageBuffer(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer.feed(stream[start:stop])
        while (message := buffer.next_message()) is not None:
            found.append(message)
    assert found == messages
    assert buffer.pending_octets == 0


@pytest.mark.rule("B-006", "B-007", "T008", "T010", "T011")
@pytest.mark.parametrize(
    "start, result_code",
    [
        ("01000010", 5015),
        ("01000043", 5015),
        ("01000000", 5015),
        ("01010000", 5015),
        ("02000040", 5011),
    ],
)
def test_a_stream_that_cannot_be_cut_is_lost(start, result_code):
    buffer = MessageBuffer(Limits(max_message=65532))
    buffer.feed(bytes.fromhex(DWR) + bytes.fromhex(start))
    assert buffer.next_message() == bytes.fromhex(DWR)
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            buffer.next_message()
        assert caught.value.fatal
        assert caught.value.result_code == result_code


def test_a_message_as_long_as_the_limit_is_accepted():
    message = codec.encode_message(272, 4, 0xC0, 1, 1, codec.encode_avp(1, bytes(100)))
    for limit, accepted in ((len(message), True), (len(message) - 4, False)):
        buffer = MessageBuffer(Limits(max_message=limit))
        buffer.feed(message)
        if accepted:
            assert buffer.next_message() == message
        else:
            with pytest.raises(RemoteProtocolError):
                buffer.next_message()


def walk(octets: str) -> list[tuple[int, int, int, bytes]]:
    data = bytes.fromhex(octets)
    return [
        (code, vendor, flags, data[start:end])
        for code, vendor, flags, start, end in codec.iter_avps(data, 0, len(data))
    ]


@pytest.mark.rule("B-030", "B-031")
def test_the_walk_yields_payloads_without_padding():
    assert walk(
        "00000128400000136f63732e6578616d706c6500" + "00000365c0000010000028af00100000"
    ) == [
        (296, 0, 0x40, b"ocs.example"),
        (869, 10415, 0xC0, bytes.fromhex("00100000")),
    ]
    assert walk("000001b0c00000100000000000000064") == [(432, 0, 0xC0, b"\0\0\0d")]


def test_the_padding_of_the_last_avp_may_be_missing():
    assert walk("00000128400000136f63732e6578616d706c65") == [(296, 0, 0x40, b"ocs.example")]


@pytest.mark.rule("B-074", "T097", "T098")
@pytest.mark.parametrize(
    "octets, failed",
    [
        ("0000010c40000007000007d1", "0000010c4000000c00000000"),
        ("0000010c40000010000007d1", "0000010c4000000c00000000"),
        ("0001869f40ffffff", "0001869f40000008"),
        ("0001869f80000008", "0001869f8000000c00000000"),
        ("00000365c000000b000028af", "00000365c0000010000028af00000000"),
        ("0000010c4000", "0000010c4000000c00000000"),
        ("000001", "0000010000000008"),
    ],
)
def test_an_impossible_length_is_5014_with_the_header_completed(octets, failed):
    with pytest.raises(RemoteProtocolError) as caught:
        walk(octets)
    assert caught.value.result_code == 5014
    assert caught.value.failed_avp.hex() == failed
    assert not caught.value.fatal


@pytest.mark.rule("B-074")
@pytest.mark.parametrize(
    "name, octets",
    [
        ("Session-Id", "0000010740000008"),
        ("CC-Sub-Session-Id", "000001a3400000100000000000000000"),
        ("Subscription-Id", "000001bb40000008"),
        ("Service-Information", "00000369c000000c000028af"),
        ("Requested-Action", "000001b44000000c00000000"),
    ],
)
def test_an_example_of_a_missing_avp_has_its_smallest_payload(name, octets):
    assert codec.failed_avp_for_missing(name).hex() == octets


def test_an_avp_is_found_and_copied_with_its_padding():
    data = bytes.fromhex("0000010c4000000c000007d1" + "00000128400000136f63732e6578616d706c6500")
    assert codec.find_avp(data, 0, len(data), 296) == data[12:]
    assert codec.find_avp(data, 0, len(data), 296, vendor=10415) is None
    vendor_avp = codec.encode_avp(869, b"abc", 10415)
    assert codec.find_avp(vendor_avp, 0, len(vendor_avp), 869, 10415) == vendor_avp


@pytest.mark.rule("B-036")
def test_too_many_avps_are_refused_at_every_level_together():
    limits = Limits(max_avps=10)
    services = codec.encode_grouped(456, codec.encode_u32(439, 1) * 4)
    codec.check_avp_count(services * 2, 0, len(services) * 2, limits)
    with pytest.raises(RemoteProtocolError) as caught:
        codec.check_avp_count(services * 3, 0, len(services) * 3, limits)
    assert caught.value.result_code == 5012


def test_what_does_not_fit_a_length_field_is_our_own_fault():
    with pytest.raises(LocalProtocolError):
        codec.encode_avp(1, bytes(1 << 24))
    with pytest.raises(LocalProtocolError):
        codec.encode_message(272, 4, 0, 1, 1, bytes(1 << 24))
    with pytest.raises(LocalProtocolError):
        codec.encode_u32(1, -1)
