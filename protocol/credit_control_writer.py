"""Writes credit-control answers and requests (RFC 8506 section 3, TS 32.299 section 6.4).

The server writes answers, the simulator and the tests write requests. The order of the AVPs in
an answer is the one that clients with order-dependent parsers need: Session-Id first, before
Origin-Host. Headers are joined from constants, because packing each field costs three times more.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from protocol import codec
from protocol.avp_writers import number as _number
from protocol.codec import encode_avp, encode_message
from protocol.credit_control import (
    CREDIT_CONTROL_APPLICATION,
    CREDIT_CONTROL_COMMAND,
    CreditControlAnswer,
    CreditControlRequest,
    FinalUnitIndication,
    Money,
    MultipleServices,
    PoolReference,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
)
from protocol.datatypes import unix_ns_to_time
from protocol.dictionary import VENDOR_3GPP
from protocol.errors import LocalProtocolError
from protocol.qos_final_unit import write_qos_final_unit
from protocol.service_extras import write_options

_MANDATORY = codec.AVP_MANDATORY
_HEAD = struct.Struct(">II").pack
_MANDATORY_WORD = _MANDATORY << 24

_auth_application_id = _number("Auth-Application-Id", "I")
_result_code = _number("Result-Code", "I")
_request_type = _number("CC-Request-Type", "i")
_request_number = _number("CC-Request-Number", "I")
_sub_session_id = _number("CC-Sub-Session-Id", "Q")
_origin_state_id = _number("Origin-State-Id", "I")
_session_failover = _number("CC-Session-Failover", "i")
_failure_handling = _number("Credit-Control-Failure-Handling", "i")
_direct_debiting_failure_handling = _number("Direct-Debiting-Failure-Handling", "i")
_check_balance_result = _number("Check-Balance-Result", "i")
_low_balance_indication = _number("Low-Balance-Indication", "i")
_termination_cause = _number("Termination-Cause", "i")
_requested_action = _number("Requested-Action", "i")
_multiple_services_indicator = _number("Multiple-Services-Indicator", "i")
_aoc_request_type = _number("AoC-Request-Type", "i")
_time = _number("CC-Time", "I")
_total_octets = _number("CC-Total-Octets", "Q")
_input_octets = _number("CC-Input-Octets", "Q")
_output_octets = _number("CC-Output-Octets", "Q")
_service_specific = _number("CC-Service-Specific-Units", "Q")
_tariff_change_usage = _number("Tariff-Change-Usage", "i")
_reporting_reason = _number("Reporting-Reason", "i")
_service_identifier = _number("Service-Identifier", "I")
_rating_group = _number("Rating-Group", "I")
_validity_time = _number("Validity-Time", "I")
_time_quota_threshold = _number("Time-Quota-Threshold", "I")
_volume_quota_threshold = _number("Volume-Quota-Threshold", "I")
_unit_quota_threshold = _number("Unit-Quota-Threshold", "I")
_quota_holding_time = _number("Quota-Holding-Time", "I")
_quota_consumption_time = _number("Quota-Consumption-Time", "I")
_trigger_type = _number("Trigger-Type", "i")
_value_digits = _number("Value-Digits", "q")
_exponent = _number("Exponent", "i")
_currency_code = _number("Currency-Code", "I")
_pool_identifier = _number("G-S-U-Pool-Identifier", "I")
_unit_type = _number("CC-Unit-Type", "i")
_final_unit_action = _number("Final-Unit-Action", "i")
_redirect_address_type = _number("Redirect-Address-Type", "i")
_subscription_id_type = _number("Subscription-Id-Type", "i")
_equipment_type = _number("User-Equipment-Info-Type", "i")
_parameter_type = _number("Service-Parameter-Type", "I")
_apn_ambr_ul = _number("APN-Aggregate-Max-Bitrate-UL", "I")
_apn_ambr_dl = _number("APN-Aggregate-Max-Bitrate-DL", "I")

_UNIT_VALUE, _CC_MONEY, _GRANTED, _REQUESTED, _USED = 445, 413, 431, 437, 446
_EQUIPMENT_EXTENSION, _SUBSCRIPTION_EXTENSION = 653, 659
"""Groups of RFC 8506 with one member, whose code follows theirs in the order of the types."""
_SERVICES, _COST, _FINAL_UNIT, _REDIRECT_SERVER, _POOL_REFERENCE = 456, 423, 430, 434, 457


def _text(code: int, text: str) -> bytes:
    return encode_avp(code, text.encode())


@lru_cache(maxsize=1024)
def _identity(code: int, text: str) -> bytes:
    """Host and realm names repeat in every message; the cache is bounded."""
    return encode_avp(code, text.encode())


def _group(code: int, members: bytes) -> bytes:
    return _HEAD(code, _MANDATORY_WORD | 8 + len(members)) + members


# ------------------------------------------------------------------------------------- groups


def _unit_value(digits: int, exponent: int) -> bytes:
    members = _value_digits(digits)
    if exponent:
        members += _exponent(exponent)
    return _group(_UNIT_VALUE, members)


def _money_members(money: Money) -> bytes:
    members = _unit_value(money.value_digits, money.exponent)
    if money.currency_code is not None:
        members += _currency_code(money.currency_code)
    return members


def _units(code: int, units: ServiceUnits) -> bytes:
    members = b""
    if units.tariff_time_change_ns is not None:
        members += encode_avp(451, unix_ns_to_time(units.tariff_time_change_ns))
    if units.time is not None:
        members += _time(units.time)
    if units.money is not None:
        members += _group(_CC_MONEY, _money_members(units.money))
    if units.total_octets is not None:
        members += _total_octets(units.total_octets)
    if units.input_octets is not None:
        members += _input_octets(units.input_octets)
    if units.output_octets is not None:
        members += _output_octets(units.output_octets)
    if units.service_specific is not None:
        members += _service_specific(units.service_specific)
    return _HEAD(code, _MANDATORY_WORD | 8 + len(members)) + members


def _used(used: UsedServiceUnit) -> bytes:
    members = b""
    if used.reporting_reason is not None:
        members += _reporting_reason(used.reporting_reason)
    if used.tariff_change_usage is not None:
        members += _tariff_change_usage(used.tariff_change_usage)
    return _group(_USED, members + _units(_USED, used)[8:])


def _final_unit(indication: FinalUnitIndication) -> bytes:
    members = _final_unit_action(indication.action)
    for rule in indication.restriction_filter_rules:
        members += _text(438, rule)
    for filter_id in indication.filter_ids:
        members += _text(11, filter_id)
    kind, address = indication.redirect_address_type, indication.redirect_address
    if kind is not None and address is not None:
        server = _redirect_address_type(kind) + _text(435, address)
        members += _group(_REDIRECT_SERVER, server)
    elif kind is not None or address is not None:
        raise LocalProtocolError("a Redirect-Server needs both a type and an address")
    return _group(_FINAL_UNIT, members)


def _pool_reference(reference: PoolReference) -> bytes:
    members = _pool_identifier(reference.pool_identifier) + _unit_type(reference.unit_type)
    members += _unit_value(reference.multiplier_digits, reference.multiplier_exponent)
    return _group(_POOL_REFERENCE, members)


def _services(services: MultipleServices) -> bytes:
    """One Multiple-Services-Credit-Control of either direction."""
    members = b""
    if services.granted is not None:
        members = _units(_GRANTED, services.granted)
    if services.requested is not None:
        members += _units(_REQUESTED, services.requested)
    for used in services.used:
        members += _used(used)
    for identifier in services.service_identifiers:
        members += _service_identifier(identifier)
    if services.rating_group is not None:
        members += _rating_group(services.rating_group)
    if services.pool_references:
        members += b"".join(map(_pool_reference, services.pool_references))
    if services.validity_time is not None:
        members += _validity_time(services.validity_time)
    if services.result_code is not None:
        members += _result_code(services.result_code)
    if services.final_unit is not None:
        members += _final_unit(services.final_unit)
    members += _service_options(services)
    return _HEAD(_SERVICES, _MANDATORY_WORD | 8 + len(members)) + members


def _service_options(services: MultipleServices) -> bytes:
    """What TS 32.299 adds to a Multiple-Services-Credit-Control."""
    members = b""
    if services.time_quota_threshold is not None:
        members = _time_quota_threshold(services.time_quota_threshold)
    if services.volume_quota_threshold is not None:
        members += _volume_quota_threshold(services.volume_quota_threshold)
    if services.unit_quota_threshold is not None:
        members += _unit_quota_threshold(services.unit_quota_threshold)
    if services.quota_holding_time is not None:
        members += _quota_holding_time(services.quota_holding_time)
    if services.quota_consumption_time is not None:
        members += _quota_consumption_time(services.quota_consumption_time)
    if services.tariff_change_usage is not None:
        members += _tariff_change_usage(services.tariff_change_usage)
    if services.reporting_reason is not None:
        members += _reporting_reason(services.reporting_reason)
    if services.trigger_types is not None:
        triggers = b"".join(map(_trigger_type, services.trigger_types))
        members += encode_avp(1264, triggers, VENDOR_3GPP)
    if services.refund_information is not None:
        members += encode_avp(2022, services.refund_information, VENDOR_3GPP)
    if services.options is not None:
        members += write_options(services.options)
    if services.qos_final_unit is not None:
        members += write_qos_final_unit(services.qos_final_unit)
    qos = services.qos
    if qos is not None:
        rates = b"" if qos.apn_ambr_ul is None else _apn_ambr_ul(qos.apn_ambr_ul)
        rates += b"" if qos.apn_ambr_dl is None else _apn_ambr_dl(qos.apn_ambr_dl)
        members += encode_avp(1016, rates, VENDOR_3GPP)
    return members


# ------------------------------------------------------------------------------------ answers


def write_cca(
    answer: CreditControlAnswer,
    hop_by_hop: int,
    end_to_end: int,
    proxiable: bool = True,
    error: bool = False,
) -> bytes:
    """A CCA as octets; `proxiable` repeats the P flag of the request, `error` sets E.

    Raises LocalProtocolError for a value that does not fit its AVP.
    """
    try:
        avps = _answer_avps(answer)
    except (struct.error, OverflowError, UnicodeEncodeError) as fault:
        raise LocalProtocolError(f"the answer cannot be written: {fault}") from fault
    flags = (codec.FLAG_PROXIABLE if proxiable else 0) | (codec.FLAG_ERROR if error else 0)
    return encode_message(
        CREDIT_CONTROL_COMMAND, CREDIT_CONTROL_APPLICATION, flags, hop_by_hop, end_to_end, avps
    )


def _answer_avps(answer: CreditControlAnswer) -> bytes:
    parts = []
    if answer.session_id is not None:
        parts.append(_text(263, answer.session_id))
    if answer.result_code is not None:
        parts.append(_result_code(answer.result_code))
    if answer.experimental_result is not None:
        vendor, code = answer.experimental_result
        members = codec.encode_u32(266, vendor) + codec.encode_u32(298, code)
        parts.append(encode_avp(297, members))
    parts.append(_identity(264, answer.origin_host))
    parts.append(_identity(296, answer.origin_realm))
    if answer.auth_application_id is not None:
        parts.append(_auth_application_id(answer.auth_application_id))
    if answer.request_type is not None:
        parts.append(_request_type(answer.request_type))
    if answer.request_number is not None:
        parts.append(_request_number(answer.request_number))
    if answer.session_failover is not None:
        parts.append(_session_failover(answer.session_failover))
    if answer.failure_handling is not None:
        parts.append(_failure_handling(answer.failure_handling))
    parts.extend(map(_services, answer.services))
    if answer.sub_session_id is not None:
        parts.append(_sub_session_id(answer.sub_session_id))
    if answer.origin_state_id is not None:
        parts.append(_origin_state_id(answer.origin_state_id))
    parts.append(_answer_options(answer))
    parts.append(answer.proxy_infos)
    return b"".join(parts)


def _answer_options(answer: CreditControlAnswer) -> bytes:
    """What few answers carry."""
    avps = b""
    if answer.granted is not None:
        avps += _units(_GRANTED, answer.granted)
    if answer.validity_time is not None:
        avps += _validity_time(answer.validity_time)
    if answer.final_unit is not None:
        avps += _final_unit(answer.final_unit)
    if answer.qos_final_unit is not None:
        avps += write_qos_final_unit(answer.qos_final_unit)
    if answer.cost_information is not None:
        cost = _money_members(answer.cost_information.cost)
        if answer.cost_information.cost_unit is not None:
            cost += _text(424, answer.cost_information.cost_unit)
        avps += _group(_COST, cost)
    if answer.check_balance_result is not None:
        avps += _check_balance_result(answer.check_balance_result)
    if answer.low_balance_indication is not None:
        avps += _low_balance_indication(answer.low_balance_indication)
    if answer.remaining_balance is not None:
        avps += encode_avp(2021, _money_members(answer.remaining_balance), VENDOR_3GPP)
    if answer.direct_debiting_failure_handling is not None:
        avps += _direct_debiting_failure_handling(answer.direct_debiting_failure_handling)
    if answer.refund_information is not None:
        avps += encode_avp(2022, answer.refund_information, VENDOR_3GPP)
    if answer.redirect_hosts:
        avps += b"".join(_text(292, host) for host in answer.redirect_hosts)
    if answer.error_message is not None:
        avps += encode_avp(281, answer.error_message.encode(), flags=0)
    if answer.failed_avp:
        avps += codec.encode_failed_avp(answer.failed_avp)
    if answer.service_information is not None:
        avps += encode_avp(873, answer.service_information, VENDOR_3GPP)
    return avps


# ----------------------------------------------------------------------------------- requests


def write_ccr(
    request: CreditControlRequest,
    hop_by_hop: int,
    end_to_end: int,
    retransmitted: bool = False,
) -> bytes:
    """A CCR as octets, proxiable; raises LocalProtocolError for a value that does not fit."""
    try:
        avps = _request_avps(request)
    except (struct.error, OverflowError, UnicodeEncodeError) as fault:
        raise LocalProtocolError(f"the request cannot be written: {fault}") from fault
    flags = codec.FLAG_REQUEST | codec.FLAG_PROXIABLE
    if retransmitted:
        flags |= codec.FLAG_RETRANSMIT
    return encode_message(
        CREDIT_CONTROL_COMMAND, CREDIT_CONTROL_APPLICATION, flags, hop_by_hop, end_to_end, avps
    )


def _optional(parts: list[bytes], write: Callable[[Any], bytes], value: object) -> None:
    if value is not None:
        parts.append(write(value))


def _request_avps(request: CreditControlRequest) -> bytes:
    parts = [
        _text(263, request.session_id),
        _identity(264, request.origin_host),
        _identity(296, request.origin_realm),
    ]
    _optional(parts, lambda realm: _identity(283, realm), request.destination_realm)
    _optional(parts, _auth_application_id, request.auth_application_id)
    parts.append(_text(461, request.service_context_id))
    parts.append(_request_type(request.request_type) + _request_number(request.request_number))
    _optional(parts, lambda host: _identity(293, host), request.destination_host)
    _optional(parts, lambda name: _text(1, name), request.user_name)
    _optional(parts, _sub_session_id, request.sub_session_id)
    _optional(parts, lambda text: _text(50, text), request.acct_multi_session_id)
    _optional(parts, _origin_state_id, request.origin_state_id)
    _optional(parts, lambda ns: codec.encode_time(55, ns), request.event_timestamp_ns)
    parts.extend(map(_subscription_id, request.subscription_ids))
    for application in request.vendor_applications:
        members = codec.encode_u32(266, VENDOR_3GPP) + _auth_application_id(application)
        parts.append(_group(260, members))
    _optional(parts, _termination_cause, request.termination_cause)
    _optional(parts, _requested_action, request.requested_action)
    _optional(parts, _aoc_request_type, request.aoc_request_type)
    _optional(parts, _multiple_services_indicator, request.multiple_services_indicator)
    _optional(parts, _service_identifier, request.service_identifier)
    _optional(parts, lambda units: _units(_REQUESTED, units), request.requested)
    parts.extend(map(_used, request.used))
    parts.extend(map(_services, request.services))
    _optional(parts, lambda token: encode_avp(2022, token, VENDOR_3GPP), request.refund_information)
    _optional(parts, lambda octets: encode_avp(411, octets, flags=0), request.correlation_id)
    for parameter_type in request.service_parameter_types:
        value = encode_avp(442, b"", flags=0)
        parts.append(encode_avp(440, _parameter_type(parameter_type) + value, flags=0))
    equipment = request.user_equipment_info
    if equipment is not None:
        members = _equipment_type(equipment.type) + encode_avp(460, equipment.value, flags=0)
        parts.append(encode_avp(458, members, flags=0))
    extension = request.user_equipment_extension
    if extension is not None:
        code = _EQUIPMENT_EXTENSION + 1 + extension.type
        parts.append(
            encode_avp(_EQUIPMENT_EXTENSION, encode_avp(code, extension.value, flags=0), flags=0)
        )
    parts.append(request.proxy_infos)
    parts.extend(_text(282, host) for host in request.route_records)
    _optional(
        parts, lambda payload: encode_avp(873, payload, VENDOR_3GPP), request.service_information
    )
    return b"".join(parts)


def _subscription_id(subscription_id: SubscriptionId) -> bytes:
    if subscription_id.extended:
        code = _SUBSCRIPTION_EXTENSION + 1 + subscription_id.type
        member = encode_avp(code, subscription_id.data.encode(), flags=0)
        return encode_avp(_SUBSCRIPTION_EXTENSION, member, flags=0)
    members = _subscription_id_type(subscription_id.type) + _text(444, subscription_id.data)
    return _group(443, members)
