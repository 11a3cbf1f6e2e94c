"""Reading a CCR: the order of the checks, their Failed-AVP, and the tolerated oddities."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.codec import (
    Limits,
    encode_avp,
    encode_failed_avp,
    encode_grouped,
    encode_i32,
    encode_message,
    encode_time,
    encode_u32,
    encode_u64,
    encode_utf8,
    read_header,
)
from protocol.credit_control import (
    Money,
    PoolReference,
    QosInformation,
    ServiceUnits,
    SubscriptionId,
    UserEquipmentInfo,
)
from protocol.credit_control_reader import partial_ccr_fields, read_ccr
from protocol.errors import RemoteProtocolError
from protocol.members import LENIENT, STRICT, Leniency
from tests.support import gateway_messages

SESSION_ID = encode_utf8(263, "pgw1.net.example;1;1")
ORIGIN_HOST = encode_utf8(264, "pgw1.net.example")
ORIGIN_REALM = encode_utf8(296, "net.example")
DESTINATION_REALM = encode_utf8(283, "ocs.example")
AUTH = encode_u32(258, 4)
CONTEXT = encode_utf8(461, "12.32251@3gpp.org")
INITIAL = encode_i32(416, 1)
NUMBER = encode_u32(415, 0)
REQUIRED = (
    SESSION_ID,
    ORIGIN_HOST,
    ORIGIN_REALM,
    DESTINATION_REALM,
    AUTH,
    CONTEXT,
    INITIAL,
    NUMBER,
)
RATING_GROUP = encode_u32(432, 100)
UNKNOWN = encode_avp(7, b"?", 99999)


def without(*left_out: bytes) -> bytes:
    return b"".join(avp for avp in REQUIRED if avp not in left_out)


def read(avps: bytes, lenient: Leniency = LENIENT, limits: Limits | None = None):
    message = encode_message(272, 4, 0xC0, 1, 1, avps)
    return read_ccr(message, read_header(message), lenient, limits or Limits())


def refused(avps: bytes, lenient: Leniency = LENIENT) -> tuple[int, bytes]:
    with pytest.raises(RemoteProtocolError) as caught:
        read(avps, lenient)
    assert not caught.value.fatal
    return caught.value.result_code, caught.value.failed_avp


def but_not(flag: str) -> Leniency:
    refusing: dict[str, Any] = {flag: False}
    return replace(LENIENT, **refusing)


def services(*members: bytes) -> bytes:
    return encode_grouped(456, b"".join(members))


def test_the_required_members_alone_are_a_request():
    request = read(without())
    assert (request.session_id, request.origin_host, request.origin_realm) == (
        "pgw1.net.example;1;1",
        "pgw1.net.example",
        "net.example",
    )
    assert (request.request_type, request.request_number) == (1, 0)
    assert request.service_context_id == "12.32251@3gpp.org"
    assert request.services == []


@pytest.mark.rule("B-074", "T104", "T106", "T107", "T109")
@pytest.mark.parametrize(
    "avp, failed",
    [
        (SESSION_ID, "0000010740000008"),
        (ORIGIN_HOST, "0000010840000008"),
        (ORIGIN_REALM, "0000012840000008"),
        (DESTINATION_REALM, "0000011b40000008"),
        (CONTEXT, "000001cd40000008"),
        (INITIAL, "000001a04000000c00000000"),
        (NUMBER, "0000019f4000000c00000000"),
    ],
)
def test_a_missing_member_is_5005_with_an_example(avp, failed):
    assert refused(without(avp)) == (5005, bytes.fromhex(failed))


@pytest.mark.rule("T104", "T106")
def test_failed_avps_of_missing_members_are_the_verified_octets():
    _, context = refused(without(CONTEXT))
    _, request_type = refused(without(INITIAL))
    assert encode_failed_avp(context).hex() == "0000011740000010000001cd40000008"
    assert encode_failed_avp(request_type).hex() == "0000011740000014000001a04000000c00000000"


def test_destination_host_stands_in_for_the_realm():
    request = read(without(DESTINATION_REALM) + encode_utf8(293, "ocs1.ocs.example"))
    assert request.destination_host == "ocs1.ocs.example"
    assert request.destination_realm is None


def test_an_application_id_may_be_said_elsewhere():
    inside = encode_grouped(260, encode_u32(266, 10415) + encode_u32(258, 4))
    demanding = Leniency(missing_auth_application_id=False)
    assert read(without(AUTH)).auth_application_id == 4
    assert read(without(AUTH) + inside, demanding).auth_application_id == 4
    assert refused(without(AUTH), demanding) == (5005, bytes.fromhex("000001024000000c00000000"))


@pytest.mark.rule("C-011")
def test_an_event_needs_a_requested_action():
    event = without(INITIAL) + encode_i32(416, 4)
    assert refused(event) == (5005, bytes.fromhex("000001b44000000c00000000"))
    assert read(event + encode_i32(436, 2)).requested_action == 2


@pytest.mark.rule("C-113", "T103")
@pytest.mark.parametrize(
    "code, value",
    [(416, 0), (416, 5), (416, -1), (436, 4), (455, 2), (258, 3), (258, 0xFFFFFFFF)],
)
def test_a_value_outside_its_enumeration_is_5004_with_a_copy(code, value):
    wrong = encode_i32(code, value) if code != 258 else encode_u32(code, value)
    rest = b"".join(avp for avp in REQUIRED if avp[:4] != wrong[:4])
    assert refused(rest + wrong) == (5004, wrong)


@pytest.mark.parametrize("code", [263, 264, 296])
def test_an_empty_identity_is_5004(code):
    rest = b"".join(avp for avp in REQUIRED if avp[:4] != code.to_bytes(4, "big"))
    assert refused(rest + encode_utf8(code, "")) == (5004, encode_utf8(code, ""))


@pytest.mark.rule("T100", "B-032")
def test_a_number_of_another_size_is_5014():
    assert refused(without(NUMBER) + encode_u64(415, 0)) == (
        5014,
        bytes.fromhex("0000019f4000000c00000000"),
    )


@pytest.mark.rule("T097", "T098", "T101")
@pytest.mark.parametrize(
    "malformed",
    [
        bytes.fromhex("0001869f400000ff"),
        bytes.fromhex("0001869fc0000008"),
        services(bytes.fromhex("000001b04000001000000064")),
        services(bytes.fromhex("000001b04000000b00000064")),
        services(encode_grouped(446, bytes.fromhex("000001a54000001800000000"))),
        encode_grouped(443, bytes.fromhex("000001c240000000")),
        encode_avp(1016, b"\0\0\0", 10415),
    ],
)
def test_an_impossible_length_at_any_level_is_5014(malformed):
    result_code, failed = refused(without() + malformed)
    assert result_code == 5014
    assert len(failed) % 4 == 0


@pytest.mark.rule("B-033", "D10", "T091", "T092", "T095")
def test_unknown_avps_count_only_with_m():
    assert refused(without() + UNKNOWN) == (5001, UNKNOWN)
    optional = encode_avp(7, b"?", 99999, flags=0)
    assert read(without() + optional).session_id
    assert read(without() + encode_avp(8, UNKNOWN, 99999, flags=0)).session_id
    allowed = Leniency(allowed_unknown=frozenset({(99999, 7)}))
    assert read(without() + UNKNOWN, allowed).session_id


@pytest.mark.rule("B-033", "T094")
def test_unknown_mandatory_avps_inside_known_groups_are_5001():
    for group in (
        services(RATING_GROUP, UNKNOWN),
        services(encode_grouped(446, UNKNOWN)),
        encode_avp(1016, UNKNOWN, 10415),
        encode_avp(1276, UNKNOWN, 10415),
    ):
        assert refused(without() + group) == (5001, UNKNOWN)


@pytest.mark.rule("B-033", "T118", "T119")
def test_flags_of_known_avps_do_not_matter():
    identity = encode_avp(
        443, encode_i32(450, 0, flags=0) + encode_utf8(444, "1", flags=0), flags=0
    )
    request = read(without() + identity + services(encode_u32(432, 100, flags=0x20)))
    assert request.subscription_ids == [SubscriptionId(0, "1")]
    assert request.services[0].rating_group == 100


@pytest.mark.rule("T110", "B-074")
def test_a_second_instance_of_a_single_avp_is_5009_and_shown():
    second = encode_i32(416, 2)
    assert refused(without() + second) == (5009, second)
    assert refused(without() + services(RATING_GROUP, RATING_GROUP)) == (5009, RATING_GROUP)


@pytest.mark.rule("G-127")
def test_of_several_reporting_reasons_the_first_counts():
    reasons = encode_i32(872, 4, 10415) + encode_i32(872, 2, 10415)
    assert read(without() + services(reasons)).services[0].reporting_reason == 4


@pytest.mark.rule("T112", "B-035")
@pytest.mark.parametrize("octets", [b"\xff\xfe", b"1555\0"])
def test_text_that_is_not_text_is_5004(octets):
    data = encode_avp(444, octets)
    assert refused(without() + encode_grouped(443, encode_i32(450, 0) + data)) == (5004, data)


@pytest.mark.rule("T113")
def test_an_identity_without_its_type_or_data_is_5005():
    data_only = encode_grouped(443, encode_utf8(444, "15550001"))
    assert refused(without() + data_only) == (5005, bytes.fromhex("000001c24000000c00000000"))
    type_only = encode_grouped(443, encode_i32(450, 0))
    assert refused(without() + type_only) == (5005, bytes.fromhex("000001bc40000008"))


def test_a_tariff_change_usage_beyond_its_enumeration_is_5004():
    wrong = encode_i32(452, 3)
    assert refused(without() + services(encode_grouped(446, wrong))) == (5004, wrong)


@pytest.mark.rule("B-080")
def test_faults_are_reported_in_the_order_of_the_checks():
    syntax = bytes.fromhex("0001869f400000ff")
    content = encode_grouped(443, encode_i32(450, 0) + encode_avp(444, b"\xff"))
    twice = encode_i32(416, 9)
    wrong = encode_i32(455, 7)
    assert refused(without(CONTEXT) + wrong + twice + UNKNOWN + content + syntax)[0] == 5014
    assert refused(without(CONTEXT) + wrong + twice + UNKNOWN + content)[0] == 5004
    assert refused(without(CONTEXT) + wrong + twice + UNKNOWN)[0] == 5001
    assert refused(without(CONTEXT) + wrong + twice)[0] == 5009
    assert refused(without(CONTEXT) + wrong)[0] == 5005
    assert refused(without() + wrong)[0] == 5004


@pytest.mark.rule("C-129", "R-5008", "T115")
def test_answer_members_in_a_request_are_ignored_unless_strict():
    granted = encode_grouped(431, encode_u64(421, 1))
    assert read(without() + granted).services == []
    assert refused(without() + granted, STRICT) == (5008, granted)


@pytest.mark.rule("B-081")
@pytest.mark.parametrize(
    "extra, flag, result_code",
    [
        (ORIGIN_HOST, "duplicate_identities", 5009),
        (encode_i32(480, 2), "accounting_avps", 5008),
        (encode_i32(436, 0), "requested_action_outside_event", 5008),
        (encode_time(55, 0, flags=0), "unflagged_event_timestamp", 3009),
    ],
)
def test_each_oddity_is_accepted_or_refused_by_its_flag(extra, flag, result_code):
    assert read(without() + extra).request_type == 1
    assert refused(without() + extra, but_not(flag)) == (result_code, extra)


@pytest.mark.rule("B-081")
def test_session_id_may_stand_anywhere_unless_refused():
    avps = without(SESSION_ID) + SESSION_ID
    assert read(avps).session_id == "pgw1.net.example;1;1"
    assert refused(avps, Leniency(session_id_anywhere=False)) == (5008, SESSION_ID)


@pytest.mark.rule("D09")
def test_reserved_avp_flags_matter_to_strict_profiles_only():
    reserved = encode_avp(1, b"user", flags=0x41)
    assert read(without() + reserved).user_name == "user"
    assert refused(without() + reserved, STRICT) == (3009, reserved)


def test_a_plain_request_passes_the_strict_profile():
    request = read(without() + encode_time(55, 0) + services(RATING_GROUP), STRICT)
    assert request.services[0].rating_group == 100


@pytest.mark.rule("C-021")
def test_services_are_read_member_by_member():
    money = encode_grouped(445, encode_avp(447, (125).to_bytes(8, "big")) + encode_i32(429, -2))
    requested = encode_grouped(413, money + encode_u32(425, 978))
    unit_value = encode_grouped(445, encode_avp(447, (1).to_bytes(8, "big")))
    pool = encode_grouped(457, encode_u32(453, 1) + encode_i32(454, 2) + unit_value)
    request = read(
        without()
        + services(
            encode_grouped(437, requested),
            encode_grouped(446, encode_u32(420, 7) + encode_i32(452, 1)),
            encode_grouped(446, encode_u64(417, 3) + encode_i32(872, 3, 10415)),
            encode_u32(439, 5),
            encode_u32(439, 6),
            RATING_GROUP,
            pool,
            encode_avp(1264, encode_i32(870, 2, 10415) + encode_i32(870, 30, 10415), 10415),
            encode_avp(2022, b"token", 10415),
        )
    )
    (service,) = request.services
    assert service.requested == ServiceUnits(money=Money(125, -2, 978))
    assert [(used.time, used.tariff_change_usage) for used in service.used] == [
        (7, 1),
        (None, None),
    ]
    assert (service.used[1].service_specific, service.used[1].reporting_reason) == (3, 3)
    assert service.service_identifiers == (5, 6)
    assert service.pool_references == (PoolReference(1, 2, 1, 0),)
    assert service.trigger_types == (2, 30)
    assert service.refund_information == b"token"


@pytest.mark.rule("C-027")
def test_an_empty_requested_unit_is_not_an_absent_one():
    request = read(without() + services(encode_avp(437, b"")) + services(RATING_GROUP))
    assert [service.requested for service in request.services] == [ServiceUnits(), None]


def test_members_beside_the_services_are_read():
    request = read(
        without()
        + encode_grouped(659, encode_utf8(661, "001010000000001", flags=0))
        + encode_grouped(440, encode_u32(441, 9) + encode_avp(442, b"x"))
        + encode_grouped(458, encode_i32(459, 0) + encode_avp(460, b"imei"))
        + encode_avp(437, b"")
        + encode_grouped(446, encode_u32(420, 5))
        + encode_u32(439, 3)
        + encode_u64(419, 2**40)
        + encode_avp(411, b"corr")
        + encode_time(55, 0)
    )
    assert request.subscription_ids == [SubscriptionId(1, "001010000000001")]
    assert request.service_parameter_types == [9]
    assert request.user_equipment_info == UserEquipmentInfo(0, b"imei")
    assert request.requested == ServiceUnits()
    assert request.used[0].time == 5
    assert (request.service_identifier, request.sub_session_id) == (3, 2**40)
    assert (request.correlation_id, request.event_timestamp_ns) == (b"corr", 0)


@pytest.mark.rule("B-071")
def test_proxy_infos_are_kept_octet_by_octet_and_routes_by_name():
    first = encode_grouped(284, encode_utf8(280, "dra1.example") + encode_avp(33, b"\x01\xff"))
    second = encode_grouped(284, encode_utf8(280, "dra2.example") + encode_avp(33, b"s"))
    request = read(without() + first + encode_utf8(282, "dra1.example") + second)
    assert request.proxy_infos == first + second
    assert request.route_records == ["dra1.example"]


@pytest.mark.rule("B-082")
def test_the_content_hash_ignores_what_agents_change():
    plain = read(without())
    host = encode_utf8(293, "ocs1.ocs.example")
    routed = read(encode_utf8(282, "dra1.example") + without() + host + encode_grouped(284, b""))
    assert routed.content_hash == plain.content_hash
    assert 0 <= plain.content_hash < 2**63
    hashes = {
        read(without() + services(encode_u32(432, rating_group))).content_hash
        for rating_group in range(20)
    }
    assert len(hashes | {plain.content_hash}) == 21


@pytest.mark.rule("B-036", "T121")
def test_nesting_is_bounded():
    deep = b""
    for _ in range(60):
        deep = encode_avp(1276, deep, 10415)
    with pytest.raises(RemoteProtocolError) as caught:
        read(without() + deep)
    assert caught.value.result_code == 5012
    unknown = b""
    for _ in range(60):
        unknown = encode_avp(8, unknown, 99999, flags=0)
    assert read(without() + unknown).session_id


@pytest.mark.rule("B-036", "T023")
def test_the_number_of_avps_is_bounded_but_large_ignored_ones_are_fine():
    filler = encode_avp(8, bytes(1000), 99999, flags=0)
    assert read(without() + filler * 250).session_id
    with pytest.raises(RemoteProtocolError) as caught:
        read(without() + encode_avp(8, b"", 99999, flags=0) * 5000)
    assert caught.value.result_code == 5012


@pytest.mark.rule("B-073")
def test_what_can_be_read_of_a_wrong_request_is_kept_for_its_answer():
    proxy = encode_grouped(284, encode_avp(33, b"abc"))
    message = encode_message(
        272, 4, 0xC0, 1, 1, without() + proxy + bytes.fromhex("00000001000000ff")
    )
    assert partial_ccr_fields(message) == (b"pgw1.net.example;1;1", 1, 0, proxy)
    assert partial_ccr_fields(message[:20]) == (None, None, None, b"")
    assert partial_ccr_fields(b"") == (None, None, None, b"")


@pytest.mark.rule("B-081", "G-115")
@pytest.mark.parametrize("name, message", gateway_messages.all_shapes().items())
def test_the_shapes_of_real_gateways_are_read(name, message):
    request = read_ccr(message, read_header(message))
    assert request.auth_application_id == 4
    assert request.subscription_ids
    family = name.split("-")[0]
    if family == "open5gs":
        assert request.requested_action == 0
        assert request.services[0].rating_group is None
        assert request.services[0].qos == QosInformation(1_000_000_000, 1_000_000_000)
    elif family == "magma":
        assert [service.rating_group for service in request.services] in ([2, 1], [])
    elif family == "kamailio":
        assert request.vendor_applications == (4,)
        assert request.services[0].service_identifiers == (1000,)


@pytest.mark.parametrize("name, message", gateway_messages.all_shapes().items())
def test_the_strict_profile_refuses_the_oddities_of_gateways(name, message):
    odd = {"open5gs": 5008, "magma": None, "kamailio": 3009, "siphon": None, "pyhss": 5008}
    expected = odd[name.split("-")[0]]
    if expected is None:
        assert read_ccr(message, read_header(message), STRICT).session_id
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            read_ccr(message, read_header(message), STRICT)
        assert caught.value.result_code == expected
