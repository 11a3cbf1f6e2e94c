"""Written answers and requests are read back as they were, and stand in the expected order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import iter_avps, read_header
from protocol.credit_control import (
    CostInformation,
    CreditControlAnswer,
    CreditControlRequest,
    FilterRule,
    FinalUnitIndication,
    Money,
    MultipleServices,
    PoolReference,
    QosFinalUnitIndication,
    QosInformation,
    ServiceUnits,
    SubscriptionId,
    TrafficEnd,
    UsedServiceUnit,
    UserEquipmentInfo,
)
from protocol.credit_control_reader import read_cca, read_ccr
from protocol.credit_control_writer import write_cca, write_ccr
from protocol.errors import LocalProtocolError, RemoteProtocolError

SECOND = 10**9
u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
i64s = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
identities = st.text("abcxyz.-0123", min_size=1, max_size=20)
times = st.integers(-(2**25), 2**32 - 2**28).map(lambda seconds: seconds * SECOND)


def optional(strategy):
    return st.none() | strategy


moneys = st.builds(Money, i64s, st.integers(-6, 6), optional(u32s))
unit_fields = {
    "time": optional(u32s),
    "total_octets": optional(u64s),
    "input_octets": optional(u64s),
    "output_octets": optional(u64s),
    "service_specific": optional(u64s),
    "money": optional(moneys),
}
units = st.builds(ServiceUnits, **unit_fields, tariff_time_change_ns=optional(times))
used_units = st.builds(
    UsedServiceUnit,
    **unit_fields,
    tariff_change_usage=optional(st.integers(0, 2)),
    reporting_reason=optional(st.integers(0, 9)),
)
final_units = st.builds(
    FinalUnitIndication,
    st.integers(0, 2),
    restriction_filter_rules=st.lists(texts, max_size=2).map(tuple),
    filter_ids=st.lists(texts, max_size=2).map(tuple),
) | st.builds(FinalUnitIndication, st.just(1), st.integers(0, 3), texts)
ends = st.builds(
    TrafficEnd,
    st.sampled_from([None, "192.0.2.1", "2001:db8::1"]),
    negated=st.booleans(),
    assigned=st.booleans(),
    ports=st.lists(st.tuples(st.just(1), st.integers(2, 65535)), max_size=2).map(tuple),
) | st.builds(TrafficEnd, st.just("192.0.2.0"), st.integers(0, 31))
qos_final_units = st.builds(
    QosFinalUnitIndication,
    st.integers(0, 2),
    st.lists(
        st.builds(
            FilterRule, st.booleans(), st.integers(0, 2), optional(st.integers(0, 255)), ends, ends
        ),
        max_size=2,
    ).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
) | st.builds(
    lambda kind, text: QosFinalUnitIndication(1, **{kind: text}),
    st.sampled_from(["redirect_url", "redirect_sip_uri"]),
    texts,
)
services = st.builds(
    MultipleServices,
    qos_final_unit=optional(qos_final_units),
    requested=optional(units),
    used=st.lists(used_units, max_size=2),
    granted=optional(units),
    rating_group=optional(u32s),
    service_identifiers=st.lists(u32s, max_size=3).map(tuple),
    tariff_change_usage=optional(st.integers(0, 2)),
    reporting_reason=optional(st.integers(0, 9)),
    result_code=optional(u32s),
    validity_time=optional(u32s),
    final_unit=optional(final_units),
    volume_quota_threshold=optional(u32s),
    time_quota_threshold=optional(u32s),
    unit_quota_threshold=optional(u32s),
    quota_holding_time=optional(u32s),
    quota_consumption_time=optional(u32s),
    pool_references=st.lists(
        st.builds(PoolReference, u32s, st.integers(0, 5), i64s, st.integers(-9, 9)), max_size=2
    ).map(tuple),
    trigger_types=optional(st.lists(st.integers(0, 99), max_size=3).map(tuple)),
    refund_information=optional(st.binary(max_size=9)),
    qos=optional(st.builds(QosInformation, optional(u32s), optional(u32s))),
)
requests = st.builds(
    CreditControlRequest,
    session_id=identities,
    origin_host=identities,
    origin_realm=identities,
    service_context_id=texts,
    request_type=st.integers(1, 3),
    request_number=u32s,
    destination_realm=identities,
    destination_host=optional(identities),
    auth_application_id=st.just(4),
    vendor_applications=st.sampled_from([(), (4,)]),
    sub_session_id=optional(u64s),
    acct_multi_session_id=optional(texts),
    user_name=optional(texts),
    origin_state_id=optional(u32s),
    event_timestamp_ns=optional(times),
    subscription_ids=st.lists(
        st.builds(SubscriptionId, st.integers(0, 4), texts, st.booleans()), max_size=3
    ),
    termination_cause=optional(st.integers(1, 8)),
    requested_action=optional(st.integers(0, 3)),
    multiple_services_indicator=optional(st.integers(0, 1)),
    services=st.lists(services, max_size=3),
    service_identifier=optional(u32s),
    requested=optional(units),
    used=st.lists(used_units, max_size=2),
    service_parameter_types=st.lists(u32s, max_size=2),
    refund_information=optional(st.binary(max_size=9)),
    aoc_request_type=optional(st.integers(0, 3)),
    correlation_id=optional(st.binary(max_size=9)),
    user_equipment_info=optional(
        st.builds(UserEquipmentInfo, st.integers(0, 3), st.binary(max_size=16))
    ),
    user_equipment_extension=optional(
        st.builds(UserEquipmentInfo, st.integers(0, 4), st.binary(max_size=16))
    ),
    service_information=optional(st.binary(max_size=30)),
    route_records=st.lists(identities, max_size=2),
)
answers = st.builds(
    CreditControlAnswer,
    session_id=identities,
    result_code=u32s,
    origin_host=identities,
    origin_realm=identities,
    request_type=optional(st.integers(1, 4)),
    request_number=optional(u32s),
    auth_application_id=optional(u32s),
    session_failover=optional(st.integers(0, 1)),
    failure_handling=optional(st.integers(0, 2)),
    direct_debiting_failure_handling=optional(st.integers(0, 1)),
    services=st.lists(services, max_size=3),
    sub_session_id=optional(u64s),
    origin_state_id=optional(u32s),
    granted=optional(units),
    validity_time=optional(u32s),
    final_unit=optional(final_units),
    qos_final_unit=optional(qos_final_units),
    cost_information=optional(st.builds(CostInformation, moneys, optional(texts))),
    check_balance_result=optional(st.integers(0, 1)),
    low_balance_indication=optional(st.integers(0, 1)),
    remaining_balance=optional(moneys),
    refund_information=optional(st.binary(max_size=9)),
    service_information=optional(st.binary(max_size=30)),
    redirect_hosts=st.lists(texts, max_size=2).map(tuple),
    error_message=optional(texts),
    experimental_result=optional(st.tuples(u32s, u32s)),
)


@settings(max_examples=40, deadline=None)
@given(requests, u32s, u32s, st.booleans())
def test_a_request_is_read_as_it_was_written(request, hop_by_hop, end_to_end, retransmitted):
    message = write_ccr(request, hop_by_hop, end_to_end, retransmitted)
    header = read_header(message)
    again = read_ccr(message, header)
    again.content_hash = 0
    assert again == request
    assert (header.hop_by_hop, header.end_to_end) == (hop_by_hop, end_to_end)
    assert header.is_request
    assert header.is_retransmitted == retransmitted


@settings(max_examples=40, deadline=None)
@given(answers)
def test_an_answer_is_read_as_it_was_written(answer):
    assert read_cca(write_cca(answer, 1, 2)) == answer


@pytest.mark.rule("B-020")
@pytest.mark.parametrize("proxiable", [True, False])
@pytest.mark.parametrize("error", [True, False])
def test_the_header_of_an_answer_repeats_that_of_the_request(proxiable, error):
    answer = CreditControlAnswer("a;1;1", 2001, "ocs1.ocs.example", "ocs.example", 1, 0)
    header = read_header(write_cca(answer, 7, 8, proxiable, error))
    assert (header.command_code, header.application_id) == (272, 4)
    assert (header.hop_by_hop, header.end_to_end) == (7, 8)
    assert not header.is_request
    assert not header.is_retransmitted
    assert (header.is_proxiable, header.is_error) == (proxiable, error)


def codes(data: bytes, start: int = 20) -> list[int]:
    return [code for code, *_ in iter_avps(data, start, len(data))]


@pytest.mark.rule("B-070", "B-071", "G-116")
def test_an_answer_stands_in_the_order_that_every_client_can_read():
    proxy = bytes.fromhex("0000011c4000000c000000ab")
    answer = CreditControlAnswer(
        "a;1;1",
        2001,
        "ocs1.ocs.example",
        "ocs.example",
        2,
        7,
        session_failover=1,
        failure_handling=0,
        services=[MultipleServices(), MultipleServices()],
        origin_state_id=3,
        failed_avp=bytes.fromhex("000001cd40000008"),
        proxy_infos=proxy,
    )
    message = write_cca(answer, 1, 1)
    assert codes(message) == [263, 268, 264, 296, 258, 416, 415, 418, 427, 456, 456, 278, 279, 284]
    assert message.endswith(proxy)
    again = read_cca(message)
    assert (again.failed_avp, again.proxy_infos) == (answer.failed_avp, proxy)


@pytest.mark.rule("G-116")
def test_services_of_an_answer_stand_in_the_order_of_the_specification():
    services = MultipleServices(
        granted=ServiceUnits(total_octets=1),
        rating_group=1,
        service_identifiers=(2,),
        validity_time=3,
        result_code=2001,
        final_unit=FinalUnitIndication(0),
        volume_quota_threshold=4,
        quota_holding_time=5,
    )
    message = write_cca(CreditControlAnswer("a", 2001, "h", "r", services=[services]), 1, 1)
    (group,) = [
        message[start:end]
        for code, _, _, start, end in iter_avps(message, 20, len(message))
        if code == 456
    ]
    assert codes(group, 0) == [431, 439, 432, 448, 268, 430, 869, 871]


def test_an_answer_without_what_the_request_lacked_can_be_written():
    answer = CreditControlAnswer(None, 5005, "h", "r", auth_application_id=None)
    message = write_cca(answer, 1, 1, error=True)
    assert codes(message) == [268, 264, 296]
    assert read_cca(message) == answer


@pytest.mark.parametrize(
    "services",
    [
        MultipleServices(rating_group=-1),
        MultipleServices(granted=ServiceUnits(total_octets=2**64)),
        MultipleServices(granted=ServiceUnits(money=Money(2**63))),
        MultipleServices(granted=ServiceUnits(tariff_time_change_ns=2**63)),
        MultipleServices(final_unit=FinalUnitIndication(1, 2)),
        MultipleServices(final_unit=FinalUnitIndication(2, filter_ids=("\ud800",))),
    ],
)
def test_what_does_not_fit_the_wire_is_our_own_fault(services):
    answer = CreditControlAnswer("a", 2001, "h", "r", services=[services])
    with pytest.raises(LocalProtocolError):
        write_cca(answer, 1, 1)
    request = CreditControlRequest("a", "h", "r", "c", 1, 0, services=[services])
    with pytest.raises(LocalProtocolError):
        write_ccr(request, 1, 1)


def test_an_answer_that_says_no_result_cannot_be_used():
    answer = CreditControlAnswer("a", None, "h", "r")
    with pytest.raises(RemoteProtocolError) as caught:
        read_cca(write_cca(answer, 1, 1))
    assert caught.value.result_code == 5005
