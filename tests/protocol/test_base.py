"""The peer commands as values, the checks of their grammars, and error answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import base, codec
from protocol.base import CapabilitiesExchangeRequest, ResultCode
from protocol.errors import RemoteProtocolError
from tests.support.connection_pair import CLIENT, avp, avps_of, capabilities_request, header_of

DWR_VECTOR = bytes.fromhex(
    "010000408000011800000000010203040a0b0c0d0000010840000018706777312e6e65742e6578616d706c65"
    "00000128400000136e65742e6578616d706c6500"
)
ORIGIN = base.Origin("ocs1.ocs.example", "ocs.example", 7)


def message_of(*avps: bytes, command: int = 257) -> bytes:
    return codec.encode_message(command, 0, codec.FLAG_REQUEST, 1, 2, b"".join(avps))


def cer_parts(**replaced: bytes) -> list[bytes]:
    parts = {
        "host": codec.encode_utf8(264, "pgw1.net.example"),
        "realm": codec.encode_utf8(296, "net.example"),
        "address": codec.encode_address(257, "192.0.2.20"),
        "vendor": codec.encode_u32(266, 0),
        "product": codec.encode_utf8(269, "gateway", flags=0),
        "application": codec.encode_u32(258, 4),
    }
    return list((parts | replaced).values())


def fault_of(*avps: bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        CapabilitiesExchangeRequest.read(message_of(*avps))
    assert not caught.value.fatal
    return caught.value


def test_a_watchdog_request_is_written_octet_by_octet():
    request = base.DeviceWatchdogRequest("pgw1.net.example", "net.example")
    assert request.write(0x01020304, 0x0A0B0C0D) == DWR_VECTOR
    assert base.DeviceWatchdogRequest.read(DWR_VECTOR) == request


@pytest.mark.rule("B-040")
def test_a_full_capabilities_request_survives_the_wire():
    request = CapabilitiesExchangeRequest(
        "pgw1.net.example",
        "net.example",
        host_ip_addresses=("192.0.2.20", "2001:db8::1"),
        vendor_id=10415,
        product_name="gateway",
        origin_state_id=9,
        supported_vendor_ids=(10415, 13019),
        auth_application_ids=(4, 16777238),
        inband_security_ids=(0, 1),
        acct_application_ids=(3,),
        vendor_specific_applications=(base.VendorSpecificApplication(10415, 4, None),),
        firmware_revision=3,
    )
    message = request.write(1, 2)
    assert CapabilitiesExchangeRequest.read(message) == request
    assert request.applications == {4, 16777238, 3}
    header = header_of(message)
    assert (header.flags, header.application_id) == (codec.FLAG_REQUEST, 0)


@pytest.mark.rule("B-048")
def test_a_relay_supports_every_application():
    relay = CapabilitiesExchangeRequest("dra1", "net", auth_application_ids=(0xFFFFFFFF,))
    other = CapabilitiesExchangeRequest("hss", "net", acct_application_ids=(3,))
    assert relay.supports(4)
    assert not other.supports(4)


@pytest.mark.parametrize(
    "value",
    [
        base.DeviceWatchdogAnswer(2001, "ocs1", "ocs", origin_state_id=7),
        base.DisconnectPeerAnswer(5005, "ocs1", "ocs", "missing", b"\0\0\1\x11@\0\0\x0c\0\0\0\0"),
        base.CapabilitiesExchangeAnswer("ocs1", "ocs", result_code=3010, error_message="who?"),
    ],
)
def test_answers_survive_the_wire(value):
    header = header_of(capabilities_request())
    assert type(value).read(value.write(header)) == value


@pytest.mark.rule("B-020")
def test_an_answer_copies_ids_and_p_and_clears_r_and_t():
    request = codec.encode_message(272, 4, 0xDF, 0, 0xFFFFFFFF, b"")
    header = header_of(base.error_answer(ORIGIN, header_of(request), ResultCode.USER_UNKNOWN))
    assert header.flags == codec.FLAG_PROXIABLE
    assert (header.hop_by_hop, header.end_to_end) == (0, 0xFFFFFFFF)
    assert (header.command_code, header.application_id) == (272, 4)


@pytest.mark.rule("T034")
def test_a_missing_origin_host_is_shown_empty():
    fault = fault_of(*cer_parts(host=b""))
    assert fault.result_code == ResultCode.MISSING_AVP
    assert fault.failed_avp.hex() == "0000010840000008"


@pytest.mark.rule("T035")
def test_a_missing_address_is_named():
    fault = fault_of(*cer_parts(address=b""))
    assert fault.result_code == ResultCode.MISSING_AVP
    assert fault.failed_avp[:4] == (257).to_bytes(4, "big")


@pytest.mark.rule("T037")
def test_a_second_realm_is_shown_as_it_came():
    second = codec.encode_utf8(296, "other.example")
    fault = fault_of(*cer_parts(), second)
    assert fault.result_code == ResultCode.AVP_OCCURS_TOO_MANY_TIMES
    assert fault.failed_avp == second


@pytest.mark.rule("T038", "B-043")
def test_a_vendor_specific_application_names_exactly_one_application():
    vendor = codec.encode_u32(266, 10415)
    fault = fault_of(*cer_parts(application=codec.encode_grouped(260, vendor)))
    assert fault.result_code == ResultCode.MISSING_AVP
    assert [code for code, _ in avps_of(fault.failed_avp, 0)] == [258, 259]
    both = codec.encode_u32(258, 4) + codec.encode_u32(259, 4)
    fault = fault_of(*cer_parts(application=codec.encode_grouped(260, vendor + both)))
    assert fault.result_code == ResultCode.AVP_OCCURS_TOO_MANY_TIMES
    assert fault.failed_avp == both


@pytest.mark.rule("T040", "T041")
def test_only_a_mandatory_unknown_avp_is_refused():
    unknown = codec.encode_avp(65000, b"x")
    fault = fault_of(*cer_parts(), unknown)
    assert fault.result_code == ResultCode.AVP_UNSUPPORTED
    assert fault.failed_avp == unknown
    message = message_of(*cer_parts(), codec.encode_avp(65000, b"x", flags=0))
    assert CapabilitiesExchangeRequest.read(message).origin_host == CLIENT.origin_host


def test_a_known_avp_that_does_not_belong_is_ignored_with_any_flags():
    message = message_of(*cer_parts(), codec.encode_utf8(263, "a;1;2"))
    assert CapabilitiesExchangeRequest.read(message).vendor_id == 0


@pytest.mark.parametrize(
    "bad,code",
    [
        (codec.encode_avp(266, b"\0" * 8), ResultCode.INVALID_AVP_LENGTH),
        (codec.encode_avp(264, b"\xff\xfe"), ResultCode.INVALID_AVP_VALUE),
        (codec.encode_avp(264, b""), ResultCode.INVALID_AVP_VALUE),
        (codec.encode_avp(264, b"two words"), ResultCode.INVALID_AVP_VALUE),
        (codec.encode_avp(257, b"\0\1\1"), ResultCode.INVALID_AVP_VALUE),
        (b"\0\0\1\x0a\x40\0\0\x07", ResultCode.INVALID_AVP_LENGTH),
    ],
)
def test_octets_that_are_no_such_value_are_refused(bad, code):
    assert fault_of(*cer_parts(), bad).result_code == code


def test_the_earlier_kind_of_fault_wins_whatever_comes_first():
    unknown, second = codec.encode_avp(65000, b""), codec.encode_utf8(296, "b")
    assert fault_of(second, second, unknown).result_code == ResultCode.AVP_UNSUPPORTED
    assert fault_of(second, second).result_code == ResultCode.AVP_OCCURS_TOO_MANY_TIMES
    assert fault_of(unknown, codec.encode_avp(266, b"")).result_code == 5014


def test_a_disconnect_cause_must_be_one_of_three():
    avps = [codec.encode_utf8(264, "a"), codec.encode_utf8(296, "b"), codec.encode_i32(273, 3)]
    with pytest.raises(RemoteProtocolError) as caught:
        base.DisconnectPeerRequest.read(message_of(*avps, command=282))
    assert caught.value.result_code == ResultCode.INVALID_AVP_VALUE


@pytest.mark.rule("B-072")
def test_a_protocol_error_takes_the_general_form():
    header = header_of(codec.encode_message(272, 4, 0xC0, 3, 4, b""))
    answer = base.error_answer(
        ORIGIN, header, 3003, session_id=b"s;1", error_message="not here", extra=b""
    )
    assert header_of(answer).flags == codec.FLAG_PROXIABLE | codec.FLAG_ERROR
    assert [code for code, _ in avps_of(answer)] == [263, 264, 296, 268, 278, 281]


@pytest.mark.rule("B-073")
def test_other_failures_keep_the_command_s_form_unless_asked():
    header = header_of(codec.encode_message(272, 4, 0xC0, 3, 4, b""))
    extra = codec.encode_u32(258, 4)
    answer = base.error_answer(ORIGIN, header, 5005, failed_avp=extra, extra=extra)
    assert not header_of(answer).is_error
    assert avp(answer, 279) == extra
    assert avp(answer, 258) == b"\0\0\0\4"
    assert header_of(base.answer_message(ORIGIN, header, 5005)).is_error


@pytest.mark.rule("T082", "T083", "B-071")
def test_proxy_info_comes_back_octet_by_octet_also_in_errors():
    proxies = [
        codec.encode_grouped(
            284, codec.encode_utf8(280, f"dra{n}.example") + codec.encode_avp(33, bytes(n + 1))
        )
        for n in range(3)
    ]
    avps = codec.encode_utf8(263, "s;1;2") + proxies[0] + codec.encode_u32(416, 1)
    request = codec.encode_message(272, 4, 0xC0, 3, 4, avps + proxies[1] + proxies[2])
    echo = base.request_echo(request)
    assert echo.session_id == b"s;1;2"
    assert echo.proxy_infos == b"".join(proxies)
    for code in (3003, 5005, 5030):
        answer = base.error_answer(
            ORIGIN,
            header_of(request),
            code,
            session_id=echo.session_id,
            proxy_infos=echo.proxy_infos,
        )
        assert b"".join(proxies) in answer
        assert avps_of(answer)[0] == (263, b"s;1;2")


def test_what_comes_before_a_broken_avp_is_still_echoed():
    broken = codec.encode_utf8(263, "s;1") + b"\0\0\1\x1c\xff\xff\xff\xff"
    assert base.request_echo(codec.encode_message(272, 4, 0xC0, 3, 4, broken)) == (b"s;1", b"")


@pytest.mark.parametrize("code", list(ResultCode))
def test_the_error_bit_belongs_to_3xxx_alone(code):
    assert base.is_protocol_error(code) == (code // 1000 == 3)


def outcome(command, message):
    """The Result-Code that reading leads to."""
    try:
        command.read(message)
    except RemoteProtocolError as fault:
        return fault.result_code
    return 2001


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(avps):
    message = message_of(avps)
    for command in (
        CapabilitiesExchangeRequest,
        base.CapabilitiesExchangeAnswer,
        base.DeviceWatchdogRequest,
        base.DisconnectPeerRequest,
    ):
        assert outcome(command, message) in {2001, *range(5001, 5018)}
