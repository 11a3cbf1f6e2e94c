"""Our codec and the independent `diameter` package understand each other, in both directions."""

from datetime import UTC, datetime
from typing import Any

import pytest
from diameter.message import Message
from diameter.message.avp import grouped
from diameter.message.commands import credit_control as theirs
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import read_header
from protocol.credit_control import (
    CreditControlAnswer,
    CreditControlRequest,
    FinalUnitIndication,
    Money,
    MultipleServices,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
)
from protocol.credit_control_reader import read_cca, read_ccr
from protocol.credit_control_writer import write_cca, write_ccr
from protocol.service_information import read_service_information
from tests.support.gateway_messages import all_shapes

pytestmark = pytest.mark.interop

u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT_NS = int(MOMENT.timestamp()) * 10**9


def their_request() -> theirs.CreditControlRequest:
    request = theirs.CreditControlRequest()
    request.header.application_id = 4
    request.header.hop_by_hop_identifier = 0x01020304
    request.header.end_to_end_identifier = 0x0A0B0C0D
    request.session_id = "pgw1.net.example;1;1"
    request.origin_host = b"pgw1.net.example"
    request.origin_realm = b"net.example"
    request.destination_realm = b"ocs.example"
    request.auth_application_id = 4
    request.service_context_id = "8.32251@3gpp.org"
    request.cc_request_type = 2
    request.cc_request_number = 7
    request.event_timestamp = MOMENT
    return request


@settings(max_examples=30, deadline=None)
@given(u32s, u64s, u64s, texts, st.integers(-(2**63), 2**63 - 1))
def test_we_read_the_requests_of_the_package(rating_group, total, units, data, digits):
    request = their_request()
    request.add_subscription_id(1, data)
    used = grouped.UsedServiceUnit(cc_total_octets=total, cc_time=3, reporting_reason=3)
    money = grouped.CcMoney(
        unit_value=grouped.UnitValue(value_digits=digits, exponent=-2), currency_code=978
    )
    request.multiple_services_credit_control = [
        grouped.MultipleServicesCreditControl(
            requested_service_unit=grouped.RequestedServiceUnit(),
            used_service_unit=[used],
            rating_group=rating_group,
            service_identifier=[1, 2],
        ),
        grouped.MultipleServicesCreditControl(
            requested_service_unit=grouped.RequestedServiceUnit(
                cc_service_specific_units=units, cc_money=money
            )
        ),
    ]
    request.service_information = grouped.ServiceInformation(
        ps_information=grouped.PsInformation(called_station_id="internet", tgpp_rat_type=b"\x06")
    )
    message = request.as_bytes()
    header = read_header(message)
    ours = read_ccr(message, header)
    assert (header.hop_by_hop, header.end_to_end) == (0x01020304, 0x0A0B0C0D)
    assert (ours.session_id, ours.origin_host) == ("pgw1.net.example;1;1", "pgw1.net.example")
    assert (ours.request_type, ours.request_number) == (2, 7)
    assert ours.event_timestamp_ns == MOMENT_NS
    assert ours.subscription_ids == [SubscriptionId(1, data)]
    assert ours.services == [
        MultipleServices(
            requested=ServiceUnits(),
            used=[UsedServiceUnit(total_octets=total, time=3, reporting_reason=3)],
            rating_group=rating_group,
            service_identifiers=(1, 2),
        ),
        MultipleServices(
            requested=ServiceUnits(service_specific=units, money=Money(digits, -2, 978))
        ),
    ]
    assert ours.service_information is not None
    info = read_service_information(ours.service_information)
    assert (info.apn, info.rat_type) == ("internet", 6)


@settings(max_examples=30, deadline=None)
@given(u32s, u64s, u32s, texts)
def test_the_package_reads_our_answers(rating_group, total, validity, address):
    services = MultipleServices(
        granted=ServiceUnits(total_octets=total, tariff_time_change_ns=MOMENT_NS),
        rating_group=rating_group,
        service_identifiers=(5,),
        validity_time=validity,
        result_code=2001,
        final_unit=FinalUnitIndication(1, 2, address),
        volume_quota_threshold=9,
        quota_holding_time=8,
    )
    answer = CreditControlAnswer(
        "a;1;1",
        2001,
        "ocs1.ocs.example",
        "ocs.example",
        2,
        7,
        services=[services],
        origin_state_id=3,
        remaining_balance=Money(125, -2, 978),
    )
    message: Any = Message.from_bytes(write_cca(answer, 5, 6))
    assert isinstance(message, theirs.CreditControlAnswer)
    assert (message.header.hop_by_hop_identifier, message.header.end_to_end_identifier) == (5, 6)
    assert (message.session_id, message.result_code) == ("a;1;1", 2001)
    assert (message.origin_host, message.origin_realm) == (b"ocs1.ocs.example", b"ocs.example")
    assert (message.cc_request_type, message.cc_request_number) == (2, 7)
    (theirs_services,) = message.multiple_services_credit_control
    assert theirs_services.rating_group == rating_group
    assert theirs_services.granted_service_unit.cc_total_octets == total
    assert theirs_services.validity_time == validity
    assert theirs_services.service_identifier == [5]
    indication = theirs_services.final_unit_indication
    assert indication.final_unit_action == 1
    assert indication.redirect_server.redirect_server_address == address
    assert theirs_services.volume_quota_threshold == 9
    assert theirs_services.quota_holding_time == 8


def test_we_read_the_answers_of_the_package():
    answer = theirs.CreditControlAnswer()
    answer.session_id = "a;1;1"
    answer.result_code = 2001
    answer.origin_host = b"h"
    answer.origin_realm = b"r"
    answer.auth_application_id = 4
    answer.cc_request_type = 1
    answer.cc_request_number = 0
    answer.multiple_services_credit_control = [
        grouped.MultipleServicesCreditControl(
            granted_service_unit=grouped.GrantedServiceUnit(cc_time=600), result_code=2001
        )
    ]
    granted = MultipleServices(granted=ServiceUnits(time=600), result_code=2001)
    assert read_cca(answer.as_bytes()) == CreditControlAnswer(
        "a;1;1", 2001, "h", "r", 1, 0, services=[granted]
    )


def test_the_package_reads_our_requests():
    request = CreditControlRequest(
        "a;1;1",
        "h",
        "r",
        "32251@3gpp.org",
        1,
        0,
        destination_realm="d",
        auth_application_id=4,
        event_timestamp_ns=MOMENT_NS,
        subscription_ids=[SubscriptionId(0, "15550001")],
        services=[MultipleServices(requested=ServiceUnits(total_octets=10), rating_group=1)],
    )
    message: Any = Message.from_bytes(write_ccr(request, 1, 2))
    assert isinstance(message, theirs.CreditControlRequest)
    assert (message.session_id, message.service_context_id) == ("a;1;1", "32251@3gpp.org")
    assert message.subscription_id[0].subscription_id_data == "15550001"
    (services,) = message.multiple_services_credit_control
    assert services.requested_service_unit.cc_total_octets == 10


@pytest.mark.parametrize("name, message", all_shapes().items())
def test_the_package_sees_the_same_in_the_shapes_of_gateways(name, message):
    package: Any = Message.from_bytes(message)
    ours = read_ccr(message, read_header(message))
    assert package.session_id == ours.session_id, name
    assert (package.cc_request_type, package.cc_request_number) == (
        ours.request_type,
        ours.request_number,
    )
    groups = [service.rating_group for service in package.multiple_services_credit_control]
    assert groups == [service.rating_group for service in ours.services]
