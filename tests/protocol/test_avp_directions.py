"""Every AVP of the tables may carry the M flag in a request, and what we write has its flags.

The tables are those of `test_avp_tables`; here readers and writers are walked along them.
"""

import csv
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    DeviceWatchdogRequest,
    DisconnectCause,
    DisconnectPeerRequest,
    VendorSpecificApplication,
)
from protocol.codec import HEADER_SIZE, encode_avp, encode_grouped, encode_message, read_header
from protocol.credit_control import (
    AnnouncementInformation,
    CostInformation,
    CreditControlAnswer,
    FilterRule,
    FinalUnitIndication,
    Money,
    MultipleServices,
    PoolReference,
    QosFinalUnitIndication,
    ServiceOptions,
    ServiceUnits,
    TrafficEnd,
)
from protocol.credit_control_reader import read_ccr
from protocol.credit_control_writer import write_cca
from protocol.dictionary import AvpType, lookup
from protocol.errors import RemoteProtocolError
from protocol.members import STRICT
from protocol.service_extras import AdviceOfCharge, RateElement, write_advice
from protocol.service_information import read_service_information
from protocol.session_commands import SessionRequest, write_session_request
from tests.support import gateway_messages
from tests.support.blackbox_client import avps_in

ROWS = [
    (row["name"], int(row["code"]), int(row["vendor"]), row["mandatory"] == "yes")
    for row in csv.DictReader(
        Path(__file__).with_name("avps.csv").read_text(encoding="utf-8").splitlines()
    )
]
NAMES = {(code, vendor): name for name, code, vendor, _ in ROWS}
MANDATORY = {(code, vendor): mandatory for _, code, vendor, mandatory in ROWS}
MSCC, SERVICE_INFORMATION, PS, IMS, SMS = 456, 873, 874, 876, 2000
TGPP = 10415


def sample(code: int, vendor: int) -> bytes:
    """The AVP with M and the smallest payload of its format."""
    known = lookup(vendor, code)
    assert known is not None
    return encode_avp(code, bytes(known.minimum_octets), vendor)


def refusal(message: bytes) -> int:
    """The Result-Code with which a strict reader refuses a request, or 0."""
    try:
        read_ccr(message, read_header(message), STRICT)
    except RemoteProtocolError as error:
        return error.result_code
    return 0


def information_refusal(payload: bytes) -> int:
    """The same for the payload of Service-Information."""
    try:
        read_service_information(payload, STRICT)
    except RemoteProtocolError as error:
        return error.result_code
    return 0


def request(avp: bytes) -> bytes:
    head = gateway_messages.all_shapes()["magma-authorization-only"][HEADER_SIZE:]
    return gateway_messages.ccr(head + avp)


@pytest.mark.rule("B-033", "G-115", "A-1", "A-2", "A-3", "A-4", "A-5", "A-6", "A-7")
def test_no_avp_of_the_tables_is_unknown_in_a_request():
    unknown = [
        name
        for name, code, vendor, _ in ROWS
        for avp in [sample(code, vendor)]
        if 5001
        in {
            refusal(request(avp)),
            refusal(request(encode_grouped(MSCC, avp))),
            refusal(request(encode_grouped(SERVICE_INFORMATION, avp, TGPP))),
        }
    ]
    assert unknown == []


@pytest.mark.rule("B-033", "G-009", "A-5", "A-6", "A-7")
@pytest.mark.parametrize("group", [PS, IMS, SMS])
def test_no_avp_of_the_tables_is_unknown_in_service_information(group):
    unknown = [
        name
        for name, code, vendor, _ in ROWS
        if information_refusal(encode_grouped(group, sample(code, vendor), TGPP)) == 5001
    ]
    assert unknown == []


def test_an_unknown_avp_is_refused_in_the_same_places():
    unknown = encode_avp(3954, b"", 99999)
    assert refusal(request(unknown)) == 5001
    assert refusal(request(encode_grouped(MSCC, unknown))) == 5001
    assert information_refusal(encode_grouped(PS, unknown, TGPP)) == 5001


# ------------------------------------------------------------------------------------ writing

NOT_SENT = {
    "Error-Reporting-Host", "Redirect-Host-Usage", "Redirect-Max-Cache-Time",
    "OC-Supported-Features", "OC-OLR", "Unused-Quota-Timer", "Offline-Charging",
    "PS-Append-Free-Format-Data", "Account-Expiration", "Announcement-Order",
    "Presence-Reporting-Area-Information",
    "Variable-Part", "Variable-Part-Order", "Variable-Part-Type", "Variable-Part-Value",
    "Privacy-Indicator", "Scale-Factor", "PS-Information", "IMS-Information",
}  # fmt: skip
"""What a server may write and this one does not: overload reports, and optional members."""
WRITTEN = """
Session-Id Origin-Host Origin-Realm Destination-Host Destination-Realm Auth-Application-Id
Vendor-Specific-Application-Id Vendor-Id Product-Name Firmware-Revision Host-IP-Address
Supported-Vendor-Id Origin-State-Id Result-Code Error-Message Failed-AVP Disconnect-Cause
Proxy-Info Re-Auth-Request-Type Redirect-Host Filter-Id Filter-Rule CC-Request-Number
CC-Request-Type CC-Session-Failover CC-Sub-Session-Id Check-Balance-Result Cost-Information
Cost-Unit Unit-Value Value-Digits Exponent Currency-Code Credit-Control-Failure-Handling
Direct-Debiting-Failure-Handling Multiple-Services-Credit-Control Granted-Service-Unit CC-Time
CC-Money CC-Total-Octets CC-Input-Octets CC-Output-Octets CC-Service-Specific-Units
Tariff-Time-Change Tariff-Change-Usage Service-Identifier Rating-Group G-S-U-Pool-Reference
G-S-U-Pool-Identifier CC-Unit-Type Validity-Time Final-Unit-Indication Final-Unit-Action
Restriction-Filter-Rule Redirect-Server Redirect-Address-Type Redirect-Server-Address
Redirect-Server-Extension Redirect-Address-IPAddress Redirect-Address-URL
Redirect-Address-SIP-URI QoS-Final-Unit-Indication Time-Quota-Threshold Volume-Quota-Threshold
Unit-Quota-Threshold Quota-Holding-Time Quota-Consumption-Time Trigger Trigger-Type
Envelope-Reporting Time-Quota-Mechanism Time-Quota-Type Base-Time-Interval
PS-Furnish-Charging-Information PS-Free-Format-Data 3GPP-Charging-Id Refund-Information
Low-Balance-Indication Remaining-Balance Announcement-Information Announcement-Identifier
Time-Indicator Quota-Indicator Language Play-Alternative AoC-Information AoC-Cost-Information
Accumulated-Cost Incremental-Cost Tariff-Information Current-Tariff Next-Tariff Rate-Element
Unit-Cost Charge-Reason-Code Service-Information
"""
"""What answers and our own requests hold between them, by name."""
PROXY_INFO = encode_grouped(284, encode_avp(280, b"dra") + encode_avp(33, b"x"))


def _answer() -> CreditControlAnswer:
    money = Money(23, -1, 978)
    rule = FilterRule(True, 0, 17, TrafficEnd("192.0.2.1", 30), TrafficEnd(assigned=True))
    service = MultipleServices(
        granted=ServiceUnits(1, 2, 3, 4, 5, money, 10**18),
        rating_group=1, service_identifiers=(2,), tariff_change_usage=0, result_code=2001,
        validity_time=60, volume_quota_threshold=1, time_quota_threshold=1, unit_quota_threshold=1,
        final_unit=FinalUnitIndication(1, 2, "http://x/", ("permit in 6 from any to any",), ("f",)),
        quota_holding_time=0, quota_consumption_time=1,
        pool_references=(PoolReference(1, 2, 3, 4),),
        trigger_types=(4,), refund_information=b"x",
        options=ServiceOptions(0, (0, 60), (7, b"x"), AnnouncementInformation(1, 2, 0, "en", 1)),
    )  # fmt: skip
    service.qos_final_unit = QosFinalUnitIndication(1, (rule,), ("f",), redirect_ip="192.0.2.1")
    answer = CreditControlAnswer(
        "s", 2001, "ocs", "example", 2, 1, session_failover=1, failure_handling=2,
        direct_debiting_failure_handling=1, services=[service], sub_session_id=1,
        origin_state_id=1, granted=ServiceUnits(time=1), validity_time=1,
        cost_information=CostInformation(money, "EUR"), check_balance_result=0,
        low_balance_indication=1, remaining_balance=money, refund_information=b"x",
        redirect_hosts=("aaa://x",), error_message="x", failed_avp=encode_avp(461, b"x"),
        proxy_infos=PROXY_INFO,
    )  # fmt: skip
    element = RateElement(0, 1, (1, -1), (60, 0))
    advice = AdviceOfCharge(978, (1, 0), (2, -1), (element,), (element,), 10**18)
    answer.service_information = write_advice(advice)
    return answer


@cache
def written() -> tuple[bytes, ...]:
    """Messages that hold everything this server writes."""
    header = read_header(encode_message(257, 0, 0x80, 1, 1, b""))
    other = _answer()
    other.services[0].qos_final_unit = QosFinalUnitIndication(1, redirect_url="http://x/")
    third = _answer()
    third.services[0].qos_final_unit = QosFinalUnitIndication(1, redirect_sip_uri="sip:x@y")
    capabilities: dict[str, Any] = {
        "host_ip_addresses": ("192.0.2.1",), "vendor_id": 0, "product_name": "x",
        "auth_application_ids": (4,), "supported_vendor_ids": (TGPP,), "firmware_revision": 1,
        "vendor_specific_applications": (VendorSpecificApplication(TGPP, auth_application_id=4),),
        "origin_state_id": 1,
    }  # fmt: skip
    return (
        write_cca(_answer(), 1, 1),
        write_cca(other, 1, 1),
        write_cca(third, 1, 1),
        CapabilitiesExchangeRequest("ocs", "example", **capabilities).write(1, 1),
        CapabilitiesExchangeAnswer(
            "ocs", "example", result_code=5010, error_message="x", **capabilities
        ).write(header),
        DeviceWatchdogRequest("ocs", "example", 1).write(1, 1),
        DisconnectPeerRequest("ocs", "example", DisconnectCause.REBOOTING).write(1, 1),
        write_session_request(
            SessionRequest(
                258, "s", "ocs", "example", "net", "pgw", re_auth_request_type=0,
                sub_session_id=1, pool_identifier=1, service_identifier=1, rating_group=1,
            ),
            1, 1,
        ),
    )  # fmt: skip


def walked(octets: bytes, start: int) -> list[tuple[int, int, int]]:
    """(code, vendor, flags) of every AVP, inside groups too; a Failed-AVP repeats others'."""
    found = []
    for avp in avps_in(octets, start):
        found.append((avp.code, avp.vendor, avp.raw[4]))
        known = lookup(avp.vendor, avp.code)
        if known is not None and known.type is AvpType.GROUPED and avp.code != 279:
            found += walked(avp.payload, 0)
    return found


def test_what_is_written_is_in_the_tables_and_has_its_flags():
    for message in written():
        for code, vendor, flags in walked(message, HEADER_SIZE):
            known = lookup(vendor, code)
            assert known is not None
            name = NAMES.get((code, vendor), known.name)
            assert bool(flags & 0x80) == bool(vendor), name
            assert bool(flags & 0x40) == MANDATORY.get((code, vendor), known.mandatory), name
            assert not flags & 0x3F, name


def test_everything_is_written_that_is_to_be_written():
    names = {
        NAMES[code, vendor]
        for message in written()
        for code, vendor, _ in walked(message, HEADER_SIZE)
        if (code, vendor) in NAMES
    }
    assert names >= set(WRITTEN.split())
    assert not names & NOT_SENT
