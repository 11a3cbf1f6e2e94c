"""Service-Information in neutral words: places, networks, clocks, media, parties of messages."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.charging.model.messages import ChargingRequest, ServiceDetails
from ocs.charging.model.profile import GENERIC, PROFILES
from ocs.service.wire.attributes import attribute_reader
from ocs.service.wire.mapping import Arrival, to_charging_request
from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_utf8
from protocol.credit_control import (
    AfCorrelation,
    Envelope,
    MultipleServices,
    RadioAccess,
    ServiceSpecificInfo,
    UsedServiceUnit,
)
from protocol.errors import RemoteProtocolError
from tests.support.service import NOON_NS, ccr

TGPP = 10415
PS, IMS, SMS = 874, 876, 2000
MADRID_CELL = bytes.fromhex("8212f470138812f4700000000c")


def said(group, *members: bytes, country=""):
    return attribute_reader(country_code=country)(encode_grouped(group, b"".join(members), TGPP))


def mapped(request, profile=GENERIC) -> ChargingRequest:
    arrival = Arrival("pgw1", profile, NOON_NS, 7, 99, False, attribute_reader())
    made = to_charging_request(request, arrival)
    assert isinstance(made, ChargingRequest)
    return made


def vm(code, payload):
    return encode_avp(code, payload, TGPP)


def media(*names: str):
    return b"".join(encode_grouped(843, encode_utf8(844, name, TGPP), TGPP) for name in names)


@pytest.mark.rule("G-009", "G-171")
def test_a_bearer_says_where_it_is_and_by_what_it_is_charged():
    made = said(
        PS, vm(2, b"\0\0\0\x07"), encode_utf8(30, "internet"), vm(13, b"0800"), vm(22, MADRID_CELL),
        vm(23, b"\x40\x00"), vm(21, b"\x06"), encode_utf8(1004, "gold", TGPP),
    )  # fmt: skip
    assert (made.visited_network, made.location) == ("21407", "21407/5000/12")
    assert (made.time_zone, made.rat_type, made.apn) == ("+01:00", 6, "internet")
    assert (made.charging_characteristics, made.rule_base) == ("0800", "gold")
    assert made.charging_id == 7


@pytest.mark.rule("G-009")
@pytest.mark.parametrize(
    "members,network",
    [
        ([vm(18, b"26201"), vm(22, MADRID_CELL)], "26201"),
        ([vm(18, b"262-01")], "26201"),
        ([vm(18, b"310410")], "310410"),
        ([vm(18, b"abcde"), vm(22, MADRID_CELL)], "21407"),
        ([vm(18, b"")], ""),
        ([vm(22, b"\x03rubbish")], ""),
    ],
)
def test_the_serving_network_goes_before_that_of_the_cell(members, network):
    assert said(PS, *members).visited_network == network


@pytest.mark.rule("G-009")
@pytest.mark.parametrize(
    "members,network,rat",
    [
        ([vm(1263, b"3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=2620112341234567")], "26201", 6),
        (
            [
                vm(1263, b"3GPP-NR-FDD;utran-cell-id-3gpp=262011234561234567ff"),
                encode_utf8(2713, "ims.mnc007.mcc214.3gppnetwork.org", TGPP),
            ],
            "26201",
            10,
        ),
        ([encode_utf8(2713, "ims.mnc007.mcc214.3gppnetwork.org", TGPP)], "214007", -1),
        ([vm(1263, b"IEEE-802.11;i-wlan-node-id=00aa")], "", 3),
        ([], "", -1),
    ],
)
def test_a_call_says_where_it_is_by_its_access(members, network, rat):
    made = said(IMS, *members)
    assert (made.visited_network, made.rat_type) == (network, rat)


@pytest.mark.rule("T286", "G-009")
@pytest.mark.parametrize(
    "names,expected",
    [
        (["m=audio 49170 RTP/AVP 97"], "audio"),
        (["audio", "video 4 RTP/AVP 31"], "video"),
        (["M=VIDEO 1", "audio"], "video"),
        (["image", "text"], "text"),
        (["telepathy"], ""),
        ([""], ""),
    ],
)
def test_a_call_is_a_call_of_its_most_demanding_media(names, expected):
    assert said(IMS, media(*names)).media == expected


@pytest.mark.rule("G-009", "T287")
def test_a_message_says_its_sender_its_recipients_and_how_many_it_is():
    def address(code, data, kind):
        members = encode_i32(899, kind, TGPP) + encode_utf8(897, data, TGPP)
        return encode_grouped(code, members, TGPP)

    recipients = address(1201, "4920", 4) + address(1201, "015511", 1)
    made = said(
        SMS, address(2027, "+34600", 1), encode_grouped(2026, recipients, TGPP),
        encode_u32(2019, 3, TGPP), country="49",
    )  # fmt: skip
    assert made.calling_party == "34600"
    assert (made.recipients, made.recipient_type, made.messages) == (("4920", "4915511"), 4, 3)


def test_a_call_keeps_what_names_it_and_how_it_was_routed():
    made = said(
        IMS, encode_utf8(841, "icid-1", TGPP), encode_utf8(2024, "rn=3460", TGPP),
        vm(1263, b"ADSL;dsl-location=\xff"),
    )  # fmt: skip
    assert (made.call_id, made.routing_number) == ("icid-1", "rn=3460")
    assert made.access_network.startswith("ADSL")


@given(st.dictionaries(st.sampled_from([18, 22, 23, 21, 13, 1004]), st.binary(max_size=16)))
def test_no_bearer_breaks_the_reading(members):
    payload = b"".join(vm(code, octets) for code, octets in members.items())
    with suppress(RemoteProtocolError):
        made = said(PS, payload)
        assert made.visited_network.isdigit() or not made.visited_network


# ------------------------------------------------------------------- beside a service's units


@pytest.mark.rule("G-126", "G-129")
def test_what_is_said_of_a_service_is_kept():
    service = MultipleServices(
        trigger_types=(4, 3),
        used=[UsedServiceUnit(event_times_ns=(5,)), UsedServiceUnit(event_times_ns=(6, 7))],
        extras=(
            ServiceSpecificInfo("gold", 2), ServiceSpecificInfo(), RadioAccess(6),
            AfCorrelation(b"icid"), AfCorrelation(b"\0\xff"), Envelope(10, 20, total_octets=5),
            Envelope(30, input_octets=1, output_octets=2), Envelope(40, service_specific=9),
        ),
    )  # fmt: skip
    assert mapped(ccr(2, 1, service)).services[0].details == ServiceDetails(
        (4, 3), ((2, "gold"), (-1, "")), ("icid", "00ff"),
        ((10, 20, 5), (30, 0, 3), (40, 0, 9)), (5, 6, 7), 6,
    )  # fmt: skip


@pytest.mark.parametrize("triggers", [None, ()])
def test_nothing_is_kept_where_nothing_is_said(triggers):
    service = MultipleServices(trigger_types=triggers, used=[UsedServiceUnit(total_octets=1)])
    assert mapped(ccr(2, 1, service)).services[0].details is None


@pytest.mark.rule("G-011")
def test_advice_of_charge_is_asked_for_unless_the_profile_knows_better():
    assert mapped(ccr(1, 0, aoc_request_type=1)).advice == 1
    assert mapped(ccr(1, 0, aoc_request_type=0)).advice == 0
    assert mapped(ccr(1, 0)).advice == 0
    assert mapped(ccr(1, 0, aoc_request_type=1), PROFILES["open5gs"]).advice == 0


@pytest.mark.rule("D05")
def test_a_bearer_says_how_fast_it_can_be():
    def qos(*members: bytes):
        return said(PS, encode_grouped(1016, b"".join(members), TGPP))

    up, down = encode_u32(1041, 8_000, TGPP), encode_u32(1040, 80_000, TGPP)
    assert qos(up, down).rate_octets_per_second == 11_000
    assert qos(down).rate_octets_per_second == 10_000
    assert qos().rate_octets_per_second == 0
    assert said(PS).rate_octets_per_second == 0
