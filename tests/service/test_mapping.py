"""Requests in neutral words: identities, units, event times, parties."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.charging.model.messages import ChargingReply, ChargingRequest, Identity, Units
from ocs.charging.model.profile import GENERIC, PROFILES
from ocs.clock import NS_PER_SECOND
from ocs.service.peers.profiles import book_with
from ocs.service.wire.attributes import attribute_reader
from ocs.service.wire.mapping import Arrival, to_charging_request
from protocol.codec import encode_grouped, encode_i32, encode_utf8
from protocol.credit_control import (
    MultipleServices,
    QosInformation,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
    UserEquipmentInfo,
)
from protocol.service_information import read_service_information
from tests.support.service import NOON_NS, ccr, mscc

VENDOR_3GPP = 10415


def mapped(request, retransmitted=False, country="") -> ChargingRequest:
    arrival = Arrival(
        "dra1.example", GENERIC, NOON_NS, 7, 99, retransmitted,
        attribute_reader(country_code=country),
    )  # fmt: skip
    made = to_charging_request(request, arrival)
    assert isinstance(made, ChargingRequest)
    return made


def test_what_is_known_of_a_request_arrives():
    made = mapped(
        ccr(
            2, 5, mscc(), sub_session_id=3, origin_host="PGW1.Net.Example.", origin_state_id=8,
            termination_cause=4, requested_action=0,
        )
    )  # fmt: skip
    assert (made.kind, made.number, made.sub_session_id) == (2, 5, 3)
    assert made.origin_host == "pgw1.net.example"
    assert made.peer == "dra1.example"
    assert made.service_context == "32251@3gpp.org"
    assert made.deadline_ns == 7 + GENERIC.answer_within_ns
    assert (made.origin_state_id, made.end_to_end, made.termination_cause) == (8, 99, 4)
    assert made.action == -1, "Open5GS sends Requested-Action in every request"


@pytest.mark.rule("C-001")
@pytest.mark.parametrize(
    "kind,data,identity",
    [
        (0, "15550001", ("msisdn", "15550001")),
        (0, "+1 (555) 00-01", ("msisdn", "15550001")),
        (0, "tel:+15550001;phone-context=x", ("msisdn", "15550001")),
        (1, "001010000000001", ("imsi", "001010000000001")),
        (2, "SIP:Alice@IMS.Example;user=phone", ("sip", "sip:Alice@ims.example")),
        (3, "user@Realm.Example", ("nai", "user@realm.example")),
        (4, "card-77", ("private", "card-77")),
    ],
)
def test_identities_are_looked_up_in_their_one_spelling(kind, data, identity):
    made = mapped(ccr(1, 0, subscription_ids=[SubscriptionId(kind, data)]))
    assert made.identities == (Identity(*identity),)


@pytest.mark.rule("C-001")
def test_a_user_name_serves_where_there_is_nothing_better():
    made = mapped(ccr(1, 0, subscription_ids=[], user_name="user@realm.example"))
    assert made.identities == (Identity("nai", "user@realm.example"),)
    made = mapped(ccr(1, 0, user_name="user@realm.example"))
    assert made.identities == (Identity("msisdn", "15550001"),)


def test_an_identity_that_can_be_nobody_is_an_unknown_subscriber():
    arrival = Arrival("p", GENERIC, NOON_NS, 0, 1, False, attribute_reader())
    request = ccr(1, 0, subscription_ids=[SubscriptionId(0, "not a number")])
    reply = to_charging_request(request, arrival)
    assert isinstance(reply, ChargingReply)
    assert reply.outcome == 7


@pytest.mark.rule("G-002")
@pytest.mark.parametrize(
    "units,octets",
    [
        (UsedServiceUnit(total_octets=10, input_octets=3, output_octets=4), 10),
        (UsedServiceUnit(input_octets=3, output_octets=4), 7),
        (UsedServiceUnit(output_octets=4), 4),
        (UsedServiceUnit(time=5), None),
        (UsedServiceUnit(total_octets=0), 0),
    ],
)
def test_the_total_counts_and_else_the_sum(units, octets):
    made = mapped(ccr(2, 1, MultipleServices(used=[units])))
    assert made.services[0].used[0].units.octets == octets


@pytest.mark.rule("G-003")
def test_a_total_is_asked_for_only_where_it_is_named():
    asked = ServiceUnits(input_octets=3, output_octets=4)
    made = mapped(ccr(1, 0, MultipleServices(requested=asked)))
    assert made.services[0].requested == Units(None, None, 3, 4)


def test_an_empty_request_for_units_is_not_the_same_as_none():
    made = mapped(ccr(1, 0, MultipleServices(requested=ServiceUnits()), MultipleServices()))
    assert [service.requested for service in made.services] == [Units(), None]


@pytest.mark.rule("G-127")
def test_usage_keeps_its_side_and_reason_wherever_they_stand():
    service = MultipleServices(
        tariff_change_usage=1,
        reporting_reason=4,
        used=[
            UsedServiceUnit(total_octets=1),
            UsedServiceUnit(total_octets=2, tariff_change_usage=0, reporting_reason=3),
        ],
    )
    made = mapped(ccr(2, 1, service)).services[0]
    assert made.reason == 4
    assert [(u.side, u.side_given, u.reason) for u in made.used] == [(1, True, -1), (0, True, 3)]


def test_a_known_bearer_rate_bounds_what_can_be_used():
    service = mscc(qos=QosInformation(apn_ambr_ul=8_000_000, apn_ambr_dl=16_000_000))
    assert mapped(ccr(1, 0, service)).services[0].rate_octets_per_second == 3_000_000


def test_command_level_units_are_a_service_of_their_own():
    made = mapped(ccr(2, 1, mscc(), used=[UsedServiceUnit(time=30)], service_identifier=5)).services
    assert [service.command_level for service in made] == [False, True]
    assert made[1].service_identifiers == (5,)
    assert made[1].requested is None


def test_an_event_without_units_asks_for_what_the_server_determines():
    made = mapped(ccr(4, 0, requested_action=3, service_identifier=7))
    assert made.services[0].requested == Units()
    assert made.action == 3


@pytest.mark.rule("C-009", "C-183")
@pytest.mark.parametrize(
    "kind,retransmitted,offset,used",
    [
        (2, False, None, False),
        (2, False, -60, True),
        (2, False, 299, True),
        (2, False, 301, False),
        (2, False, -7200, False),
        (2, True, -7200, True),
        (4, False, -7200, True),
        (4, True, -30 * 86400, False),
    ],
)
def test_an_event_time_counts_where_it_is_plausible(kind, retransmitted, offset, used):
    given_ns = None if offset is None else NOON_NS + offset * NS_PER_SECOND
    request = ccr(kind, 0, mscc(), event_timestamp_ns=given_ns, requested_action=0)
    made = mapped(request, retransmitted)
    assert made.event_ns == (given_ns if used else NOON_NS)


def ims(*, called, role=0):
    members = encode_i32(829, role, VENDOR_3GPP) + encode_utf8(832, called, VENDOR_3GPP)
    return encode_grouped(876, members, VENDOR_3GPP)


@pytest.mark.parametrize(
    "called,country,digits",
    [
        ("tel:+49-151-1234", "", "491511234"),
        ("sip:+491511234@ims.example;user=phone", "", "491511234"),
        ("sip:alice@ims.example", "", "sip:alice@ims.example"),
        ("tel:01511234", "", "01511234"),
        ("tel:01511234", "49", "491511234"),
        ("tel:00441234", "49", "441234"),
        ("tel:+0491234", "49", "0491234"),
        ("491511234", "", "491511234"),
    ],
)
def test_called_parties_become_international_digits(called, country, digits):
    made = mapped(ccr(1, 0, service_information=ims(called=called)), country=country)
    assert made.attributes.called_party == digits
    assert made.attributes.role_of_node == 0


@given(st.text(max_size=40))
def test_no_called_party_breaks_the_reading(called):
    if "\0" in called:
        return
    mapped(ccr(1, 0, service_information=ims(called=called)), country="49")


def test_every_profile_gets_the_servers_deadline_and_a_leniency():
    book = book_with((), 500_000_000)
    assert set(book.charging) == set(PROFILES)
    assert {profile.answer_within_ns for profile in book.charging.values()} == {500_000_000}
    assert book.leniency("strict").strict
    assert not book.leniency("open5gs").strict
    patient = book_with((), 10_000_000_000).charging
    assert patient["generic"].answer_within_ns == 10_000_000_000
    assert patient["magma"].answer_within_ns < 3_000_000_000
    assert patient["open5gs"].answer_within_ns < 7_000_000_000


@pytest.mark.parametrize(
    "units", [ServiceUnits(total_octets=2**54), ServiceUnits(service_specific=10**9 + 1)]
)
def test_more_units_than_can_be_are_no_report_and_no_event_but_a_grant_of_the_most(units):
    reported = UsedServiceUnit(units.time, units.total_octets)
    reported.service_specific = units.service_specific
    made = mapped(ccr(2, 1, MultipleServices(rating_group=1, used=[reported])))
    assert made.services[0].invalid
    asked = MultipleServices(units, rating_group=1)
    assert mapped(ccr(4, 0, asked, requested_action=0)).services[0].invalid
    (wanted,) = mapped(ccr(1, 0, asked)).services
    assert not wanted.invalid
    assert wanted.requested in (Units(octets=2**53), Units(events=10**9))


@pytest.mark.rule("C-080")
@pytest.mark.parametrize(
    ("plain", "extension", "text"),
    [
        (None, None, ""),
        ((0, b"3534900698733190"), None, "imeisv:3534900698733190"),
        ((0, bytes.fromhex("5343096089370391")), None, "imeisv:3534900698733019"),
        (None, (4, bytes.fromhex("53430960893703f1")), "imei:353490069873301"),
        ((0, b"1"), (4, b"2"), "imei:2"),
        ((1, bytes.fromhex("020000000001")), None, "mac:020000000001"),
        ((9, b"\xff"), None, "type-9:ff"),
        ((0, b""), None, "imeisv:"),
    ],
)
def test_the_device_of_the_subscriber(plain, extension, text):
    request = ccr(1, 0)
    request.user_equipment_info = UserEquipmentInfo(*plain) if plain else None
    request.user_equipment_extension = UserEquipmentInfo(*extension) if extension else None
    assert mapped(request).equipment == text


@pytest.mark.rule("D26")
def test_what_is_no_quantity_is_kept_as_it_was_said():
    most = 2**64 - 1
    reported = UsedServiceUnit(most, most, most, most, most)
    made = mapped(ccr(2, 1, MultipleServices(rating_group=1, used=[reported])))
    (service,) = made.services
    assert service.invalid
    assert service.used[0].units == Units(most, most, most, most, most)
    both = UsedServiceUnit(input_octets=most, output_octets=most)
    made = mapped(ccr(2, 1, MultipleServices(rating_group=1, used=[both])))
    assert made.services[0].used[0].units.octets == most
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made.services), type=list)


def test_long_service_information_is_not_remembered():
    read: list[int] = []

    def information(payload, leniency):
        read.append(len(payload))
        return read_service_information(payload, leniency)

    attributes = attribute_reader(read_information=information)
    for padding in (10, 10, 100_000, 100_000):
        attributes(encode_utf8(9999, "x" * padding, 77777, 0))
    assert len(read) == 3
