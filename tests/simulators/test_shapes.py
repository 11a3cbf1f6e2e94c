"""Requests as gateways write them: what a server reads out of them, and their order on the wire."""

import pytest

from ocs.service.peers.profiles import ProfileBook
from protocol import dictionary
from protocol.codec import HEADER_SIZE, iter_avps, read_header
from protocol.credit_control import ReportingReason, RequestType
from protocol.credit_control_reader import read_ccr
from protocol.members import LENIENT, STRICT
from protocol.service_information import read_service_information
from simulators.scenarios.services import (
    DataService,
    RatingGroupUse,
    SmsService,
    VoiceService,
)
from simulators.scenarios.values import Destination, fixed
from simulators.traffic.quota import ServiceReport, Unit
from simulators.traffic.shapes import Envelope, Request, charging_id_of, write_request
from simulators.traffic.subscriber import Demand

NOW_NS = 1_700_000_000 * 10**9
ENVELOPE = Envelope("pgw1.net.example", "net.example", "ocs.example", "ocs1.ocs.example", 77)
IDENTITIES = (("msisdn", "+15550001"), ("imsi", "001010000000001"))
DATA = DataService(
    kind="data",
    duration_seconds=fixed(1),
    rating_groups=(RatingGroupUse(rating_group=100, octets_per_second=fixed(1)),),
)
VOICE = VoiceService(
    kind="voice",
    duration_seconds=fixed(1),
    service_identifier=1000,
    rating_group=100,
    destinations=(Destination(number="+49301"),),
)
SMS = SmsService(kind="sms", rating_group=1, destinations=(Destination(number="+49171"),))


def demand_of(kind, unit, groups=(100,)):
    used = kind in {RequestType.UPDATE, RequestType.TERMINATION}
    wanted = kind is not RequestType.TERMINATION
    final = kind is RequestType.TERMINATION
    reason = ReportingReason.FINAL if final else ReportingReason.THRESHOLD
    reports = tuple(
        ServiceReport(
            group,
            1000 if unit is Unit.SECONDS else None,
            unit,
            (2 if unit is Unit.EVENTS else 0) if wanted else None,
            505 if used else None,
            reason if used else None,
        )
        for group in groups
    )
    number = 0 if kind in {1, 4} else 5
    return Demand(kind, number, reports, 1 if final else None, 0 if final else None)


def write(shape, service, demand, destination=""):
    session_id = "pgw1.net.example;1;2"
    request = Request(
        ENVELOPE, session_id, service, IDENTITIES, destination, demand, NOW_NS,
        charging_id_of(session_id),
    )  # fmt: skip
    message = write_request(shape, request, 0xE2E)
    return message, read_ccr(message, read_header(message), LENIENT)


def names(message):
    return [
        getattr(dictionary.lookup(vendor, code), "name", None)
        for code, vendor, *_ in iter_avps(message, HEADER_SIZE, len(message))
    ]


@pytest.mark.parametrize("kind", [RequestType.INITIAL, RequestType.UPDATE, RequestType.TERMINATION])
def test_generic_data_says_everything_and_passes_the_strict_reader(kind):
    message, ccr = write("generic", DATA, demand_of(kind, Unit.OCTETS, (100, 200)))
    read_ccr(message, read_header(message), STRICT)
    assert (ccr.request_type, ccr.request_number) == (kind, 0 if kind == 1 else 5)
    assert [(one.type, one.data) for one in ccr.subscription_ids] == [
        (0, "15550001"),
        (1, "001010000000001"),
    ]
    assert ccr.service_context_id == "32251@3gpp.org"
    assert ccr.event_timestamp_ns == NOW_NS
    assert [one.rating_group for one in ccr.services] == [100, 200]
    if kind is not RequestType.INITIAL:
        used = ccr.services[0].used[0]
        assert (used.total_octets, used.input_octets, used.output_octets) == (505, 101, 404)
        assert ccr.destination_host == "ocs1.ocs.example"
    information = read_service_information(ccr.service_information)
    assert information.apn == "internet"
    assert information.sgsn_mcc_mnc == "00101"


def test_a_data_update_has_the_size_of_real_ones():
    message, _ = write("generic", DATA, demand_of(RequestType.UPDATE, Unit.OCTETS, (100, 200)))
    assert 850 <= len(message) <= 1000


def test_generic_call_names_its_parties():
    message, ccr = write("generic", VOICE, demand_of(RequestType.UPDATE, Unit.SECONDS), "+49301")
    read_ccr(message, read_header(message), STRICT)
    assert ccr.services[0].used[0].time == 505
    assert ccr.services[0].service_identifiers == (1000,)
    information = read_service_information(ccr.service_information)
    assert information.called_party == "tel:+49301"
    assert information.role_of_node == 0


def test_generic_message_is_a_direct_debit():
    message, ccr = write("generic", SMS, demand_of(RequestType.EVENT, Unit.EVENTS), "+49171")
    read_ccr(message, read_header(message), STRICT)
    assert ccr.requested_action == 0
    assert ccr.services[0].requested.service_specific == 2
    information = read_service_information(ccr.service_information)
    assert information.recipients == ("49171",)


def test_open5gs_has_one_service_without_rating_group_and_imsi_first():
    message, ccr = write("open5gs", DATA, demand_of(RequestType.INITIAL, Unit.OCTETS))
    assert names(message) == [
        "Session-Id", "Origin-Host", "Origin-Realm", "Destination-Realm", "Auth-Application-Id",
        "Service-Context-Id", "CC-Request-Type", "CC-Request-Number", "Event-Timestamp",
        "Subscription-Id", "Subscription-Id", "Requested-Action", "AoC-Request-Type",
        "Multiple-Services-Indicator", "Multiple-Services-Credit-Control", "Service-Information",
    ]  # fmt: skip
    assert [one.type for one in ccr.subscription_ids] == [1, 0]
    assert ccr.services[0].rating_group is None
    assert ccr.services[0].requested.total_octets == 1_000_000
    assert (ccr.requested_action, ccr.multiple_services_indicator) == (0, 0)
    _, update = write("open5gs", DATA, demand_of(RequestType.UPDATE, Unit.OCTETS))
    used = update.services[0].used[0]
    assert (used.total_octets, used.input_octets, used.output_octets) == (None, 101, 404)
    assert used.reporting_reason == ReportingReason.THRESHOLD


def test_magma_puts_services_first_and_reversed():
    message, ccr = write("magma", DATA, demand_of(RequestType.UPDATE, Unit.OCTETS, (100, 200)))
    assert names(message)[:4] == [
        "Session-Id",
        "Multiple-Services-Credit-Control",
        "Multiple-Services-Credit-Control",
        "Destination-Host",
    ]
    assert [one.rating_group for one in ccr.services] == [200, 100]
    wanted = ccr.services[0].requested
    assert {wanted.total_octets, wanted.input_octets, wanted.output_octets} == {10_000_000}


def test_kamailio_has_no_application_of_its_own_and_an_extended_context():
    message, ccr = write("kamailio", VOICE, demand_of(RequestType.UPDATE, Unit.SECONDS), "+49301")
    assert "Auth-Application-Id" not in names(message)
    assert "Accounting-Record-Type" in names(message)
    assert ccr.service_context_id == "ext.01.001.8.32260@3gpp.org"
    assert ccr.user_name == "+15550001"
    assert ccr.services[0].requested.time == 30


@pytest.mark.rule("X-041")
@pytest.mark.parametrize(
    "shape,number",
    [
        ("generic", "15550001"),
        ("open5gs", "15550001"),
        ("magma", "15550001"),
        ("kamailio", "+15550001"),
    ],
)
def test_who_sends_a_plus_in_front_of_an_e164_number(shape, number):
    service, unit = (VOICE, Unit.SECONDS) if shape == "kamailio" else (DATA, Unit.OCTETS)
    _, ccr = write(shape, service, demand_of(RequestType.INITIAL, unit))
    assert next(one.data for one in ccr.subscription_ids if one.type == 0) == number


@pytest.mark.rule("P-002")
@pytest.mark.parametrize("kind", [RequestType.INITIAL, RequestType.UPDATE, RequestType.TERMINATION])
@pytest.mark.parametrize(
    "shape,service,unit",
    [
        ("generic", DATA, Unit.OCTETS),
        ("generic", VOICE, Unit.SECONDS),
        ("open5gs", DATA, Unit.OCTETS),
        ("magma", DATA, Unit.OCTETS),
        ("kamailio", VOICE, Unit.SECONDS),
    ],
)
def test_a_server_recognises_whom_a_shape_plays(shape, service, unit, kind):
    message, ccr = write(shape, service, demand_of(kind, unit))
    found = ProfileBook().by_request(message, ccr.service_context_id)
    assert (found.profile if found else "generic") == shape
