"""Service-Information of real shapes is flattened; what cannot be read is refused."""

import pytest

from protocol.codec import encode_avp, encode_i32, encode_u32, encode_utf8, read_header
from protocol.credit_control import SubscriptionId
from protocol.credit_control_reader import read_ccr
from protocol.errors import RemoteProtocolError
from protocol.members import STRICT, Leniency
from protocol.service_information import ServiceInformation, read_service_information
from tests.support import gateway_messages as gateways


def of(message: bytes) -> ServiceInformation:
    payload = read_ccr(message, read_header(message)).service_information
    assert payload is not None
    return read_service_information(payload)


def ps(*members: bytes) -> bytes:
    return encode_avp(874, b"".join(members), 10415)


@pytest.mark.rule("G-009")
def test_bearer_of_open5gs():
    info = of(gateways.open5gs_initial("s"))
    assert (info.apn, info.charging_id, info.pdp_type) == ("internet", 7, 0)
    assert (info.sgsn_mcc_mnc, info.rat_type, info.nsapi) == ("00101", 6, 5)
    assert info.pdp_addresses == ("10.45.0.2",)
    assert (info.sgsn_addresses, info.ggsn_addresses) == (("192.0.2.3",), ("192.0.2.4",))
    assert (info.charging_characteristics, info.selection_mode) == ("0800", "0")
    assert info.ms_time_zone == b"\x40\x00"
    assert info.user_location is not None
    assert info.user_location[0] == 0x82
    assert info.imei == b"3534900698733190"


@pytest.mark.rule("G-009")
def test_bearer_of_magma_writes_nsapi_as_a_digit():
    info = of(gateways.magma_initial(gateways.magma_session_id()))
    assert (info.nsapi, info.rat_type, info.ggsn_mcc_mnc) == (5, 6, "00101")


def test_call_of_kamailio():
    info = of(gateways.kamailio_initial("s"))
    assert (info.sip_method, info.event, info.role_of_node) == ("INVITE", "dummy", 0)
    assert info.user_session_id == "a84b4c76e66710@net.example"
    assert info.calling_parties == ("tel:+15550001",)
    assert (info.called_party, info.requested_party) == ("tel:+15550002", "tel:15550002")
    assert info.called_asserted_identities == ("tel:+15550002",)
    assert (info.cause_code, info.ims_charging_identifier) == (0, "icid-4711")
    assert info.subscription_ids == (SubscriptionId(0, "+15550001"),)
    assert not info.emergency


def test_short_message_of_siphon():
    info = of(gateways.siphon_event_sms("s"))
    assert (info.originator, info.recipients) == ("15550001", ("15550002",))
    assert (info.smsc_address, info.sms_node, info.sm_message_type) == ("15559999", 3, 0)


def test_several_recipients_are_all_found():
    def recipient(*numbers: str) -> bytes:
        addresses = (encode_avp(1201, encode_utf8(897, n, 10415), 10415) for n in numbers)
        return encode_avp(2026, b"".join(addresses), 10415)

    sms = encode_avp(2000, recipient("1", "2") + recipient("3"), 10415)
    assert read_service_information(sms).recipients == ("1", "2", "3")


def test_sender_and_recipients_say_what_kind_of_address_they_have():
    def address(code: int, data: str, kind: int | None) -> bytes:
        said = b"" if kind is None else encode_i32(899, kind, 10415)
        return encode_avp(code, said + encode_utf8(897, data, 10415), 10415)

    recipients = address(1201, "4920", 4) + address(1201, "a@b.example", None)
    sms = encode_avp(
        2000, address(2027, "15550001", 1) + encode_avp(2026, recipients, 10415), 10415
    )
    info = read_service_information(sms)
    assert (info.originator, info.originator_type) == ("15550001", 1)
    assert (info.recipients, info.recipient_types) == (("4920", "a@b.example"), (4, -1))


@pytest.mark.rule("T277", "G-009")
@pytest.mark.parametrize(
    "octets,number",
    [
        (b"\x06", 6), (b"2", 2), (b"06", 6), (b"10", 10), (b"\x0a", 10), (b"\x00\x00\x00\x06", 6),
        (b"\x33", 51), (b"\x34", 52), (b"\x39", 57), (b"\x3b", 59), (b"51", 51),
    ],
)  # fmt: skip
@pytest.mark.parametrize("flags", [0x40, 0])
def test_a_radio_access_is_one_octet_or_its_digits(octets, number, flags):
    assert read_service_information(ps(encode_avp(21, octets, 10415, flags))).rat_type == number


def test_a_radio_access_in_digits_is_not_what_a_strict_reader_reads():
    assert read_service_information(ps(encode_avp(21, b"2", 10415)), STRICT).rat_type == 0x32


@pytest.mark.rule("G-009")
@pytest.mark.parametrize("octets", [b"21407", bytes.fromhex("12f470")])
def test_a_serving_network_is_digits_or_the_octets_of_a_plmn(octets):
    assert read_service_information(ps(encode_avp(18, octets, 10415))).sgsn_mcc_mnc == "21407"


def test_a_serving_network_that_is_neither_is_refused():
    with pytest.raises(RemoteProtocolError) as caught:
        read_service_information(ps(encode_avp(18, b"\xff\xff\xff", 10415)))
    assert caught.value.result_code == 5004


def test_an_emergency_call_is_marked():
    ims = encode_avp(876, encode_i32(2322, 1, 10415) + encode_i32(861, -1, 10415), 10415)
    info = read_service_information(ims)
    assert info.emergency
    assert info.cause_code == -1


def test_nothing_is_read_from_nothing():
    assert read_service_information(b"") == ServiceInformation()


@pytest.mark.parametrize(
    "payload, result_code",
    [
        (ps(bytes.fromhex("0000001e400000ff")), 5014),
        (ps(encode_avp(3, b"\0", 10415)), 5014),
        (ps(encode_utf8(30, "a"), encode_utf8(30, "b")), 5009),
        (ps(encode_avp(30, b"\xff")), 5004),
        (ps(encode_avp(2, b"12345678", 10415)), 5004),
        (ps(encode_avp(10, b"\x30\x31", 10415)), 5004),
        (ps(encode_avp(21, b"", 10415)), 5004),
        (ps(encode_avp(1227, b"\0\x01\x0a", 10415)), 5004),
    ],
)
def test_wrong_members_are_refused(payload, result_code):
    with pytest.raises(RemoteProtocolError) as caught:
        read_service_information(payload)
    assert caught.value.result_code == result_code
    assert caught.value.failed_avp


@pytest.mark.rule("B-081")
def test_raw_octets_and_vendor_extensions_are_a_matter_of_the_profile():
    raw = ps(encode_avp(10, b"\x05", 10415))
    assert read_service_information(raw).nsapi == 5
    with pytest.raises(RemoteProtocolError) as caught:
        read_service_information(raw, Leniency(raw_3gpp_octets=False))
    assert caught.value.result_code == 5004
    extension = ps(encode_u32(7, 1, 99999))
    assert read_service_information(extension) == ServiceInformation()
    with pytest.raises(RemoteProtocolError) as caught:
        read_service_information(extension, STRICT)
    assert caught.value.result_code == 5001
