"""Reads credit-control requests and answers (RFC 8506 section 3, TS 32.299 section 6.4).

The server reads requests with the checks of RFC 6733 in a fixed order: lengths (5014), content
(5004), unknown mandatory AVPs (5001), grammar (5009, 5008, 5005), values (5004). The simulator
reads answers.
"""

from hashlib import blake2b
from typing import Any

from protocol import codec
from protocol.codec import DEFAULT_LIMITS, HEADER_SIZE, Header, Limits, failed_avp_copy
from protocol.credit_control import (
    CREDIT_CONTROL_APPLICATION,
    CreditControlAnswer,
    CreditControlRequest,
    RequestType,
)
from protocol.credit_control_groups import (
    read_cost,
    read_equipment,
    read_equipment_extension,
    read_final_unit,
    read_money,
    read_parameter_type,
    read_services,
    read_subscription_id,
    read_subscription_id_extension,
    read_units,
    read_used,
    read_vendor_application,
)
from protocol.dictionary import avp_code
from protocol.errors import RemoteProtocolError
from protocol.members import (
    AVP_NOT_ALLOWED,
    INVALID_AVP_BITS,
    INVALID_AVP_VALUE,
    LENIENT,
    Leniency,
    Reading,
    Step,
    Table,
    i32,
    many,
    many_in_tuple,
    octets,
    one,
    read_members,
    read_octets,
    read_text,
    text,
    time_ns,
    u32,
    u64,
)
from protocol.qos_final_unit import read_qos_final_unit

_SESSION_ID, _PROXY_INFO = 263, 284
_REQUEST_TYPE, _REQUEST_NUMBER, _REQUESTED_ACTION = 416, 415, 436
_EVENT_TIMESTAMP = 55
_ACCOUNTING = frozenset({480, 485})  # Accounting-Record-Type and -Number
_ANSWER_ONLY = frozenset({268, 418, 423, 427, 428, 430, 431, 448})
_HASH_MASK = (1 << 63) - 1


def _skip_in_hash(reading: Reading, position: int, stop: int) -> None:
    reading.skipped.append((position, (stop + 3) & -4))


def read_proxy_info(reading: Reading, position: int, _start: int, stop: int) -> None:
    """A Proxy-Info, kept octet by octet for the answer."""
    reading.proxy_infos.append(reading.data[position : (stop + 3) & -4])
    _skip_in_hash(reading, position, stop)


def read_hop(reading: Reading, position: int, start: int, stop: int) -> str | None:
    """Route-Record and Destination-Host, which agents and failover change."""
    _skip_in_hash(reading, position, stop)
    return read_text(reading, position, start, stop)


REQUEST: Table = dict(
    [
        text("Session-Id", "session_id"),
        text("Origin-Host", "origin_host"),
        text("Origin-Realm", "origin_realm"),
        one("Destination-Host", "destination_host", read_hop),
        text("Destination-Realm", "destination_realm"),
        u32("Auth-Application-Id", "auth_application_id"),
        many_in_tuple(
            "Vendor-Specific-Application-Id",
            "vendor_applications",
            read_vendor_application,
        ),
        text("Service-Context-Id", "service_context_id"),
        i32("CC-Request-Type", "request_type"),
        u32("CC-Request-Number", "request_number"),
        u64("CC-Sub-Session-Id", "sub_session_id"),
        text("Acct-Multi-Session-Id", "acct_multi_session_id"),
        text("User-Name", "user_name"),
        u32("Origin-State-Id", "origin_state_id"),
        time_ns("Event-Timestamp", "event_timestamp_ns"),
        many("Subscription-Id", "subscription_ids", read_subscription_id),
        many("Subscription-Id-Extension", "subscription_ids", read_subscription_id_extension),
        i32("Termination-Cause", "termination_cause"),
        i32("Requested-Action", "requested_action"),
        i32("Multiple-Services-Indicator", "multiple_services_indicator"),
        many("Multiple-Services-Credit-Control", "services", read_services),
        u32("Service-Identifier", "service_identifier"),
        one("Requested-Service-Unit", "requested", read_units),
        many("Used-Service-Unit", "used", read_used),
        many("Service-Parameter-Info", "service_parameter_types", read_parameter_type),
        octets("Refund-Information", "refund_information"),
        i32("AoC-Request-Type", "aoc_request_type"),
        octets("CC-Correlation-Id", "correlation_id"),
        one("User-Equipment-Info", "user_equipment_info", read_equipment),
        one(
            "User-Equipment-Info-Extension", "user_equipment_extension", read_equipment_extension
        ),
        octets("Service-Information", "service_information"),
        one("Proxy-Info", "proxy_infos", read_proxy_info),
        many("Route-Record", "route_records", read_hop),
    ]
)


def read_ccr(
    message: bytes,
    header: Header,
    lenient: Leniency = LENIENT,
    limits: Limits = DEFAULT_LIMITS,
) -> CreditControlRequest:
    """A CCR as a value, or RemoteProtocolError with the first fault in the order of the module.

    The payload of Service-Information is not looked into. `auth_application_id` of the result is
    that of the header where the client said it nowhere or in Vendor-Specific-Application-Id.
    """
    end = len(message)
    codec.check_avp_count(message, HEADER_SIZE, end, limits)
    reading = Reading(message, lenient, limits)
    found = read_members(reading, HEADER_SIZE, end, REQUEST)
    if lenient.refuses_oddities:
        _refuse_oddities(reading, found.get("request_type"))
    _check_grammar(reading, found)
    _check_values(reading, found, header)
    if reading.problems:
        reading.raise_first()
    found.setdefault("auth_application_id", header.application_id)
    if reading.proxy_infos:
        found["proxy_infos"] = b"".join(reading.proxy_infos)
    return CreditControlRequest(content_hash=_content_hash(message, reading.skipped), **found)


_REQUIRED = {
    "session_id": "Session-Id",
    "origin_host": "Origin-Host",
    "origin_realm": "Origin-Realm",
    "service_context_id": "Service-Context-Id",
    "request_type": "CC-Request-Type",
    "request_number": "CC-Request-Number",
}


def _check_grammar(reading: Reading, found: dict[str, Any]) -> None:
    """Required AVPs; one that is there but could not be read has an earlier fault already."""
    if not _REQUIRED.keys() <= found.keys():
        for attribute, name in _REQUIRED.items():
            if attribute not in found:
                reading.missing(name)
    if "destination_realm" not in found and "destination_host" not in found:
        reading.missing("Destination-Realm")
    if "auth_application_id" not in found and not (
        reading.leniency.missing_auth_application_id
        or CREDIT_CONTROL_APPLICATION in found.get("vendor_applications", ())
    ):
        reading.missing("Auth-Application-Id")
    if found.get("request_type") == RequestType.EVENT and "requested_action" not in found:
        reading.missing("Requested-Action")


def _check_values(reading: Reading, found: dict[str, Any], header: Header) -> None:
    if not 1 <= found.get("request_type", 1) <= 4:
        _bad_value(reading, "CC-Request-Type", found["request_type"])
    if not 0 <= found.get("requested_action", 0) <= 3:
        _bad_value(reading, "Requested-Action", found["requested_action"])
    if not 0 <= found.get("multiple_services_indicator", 0) <= 1:
        _bad_value(reading, "Multiple-Services-Indicator", found["multiple_services_indicator"])
    if found.get("auth_application_id", header.application_id) != header.application_id:
        _bad_value(reading, "Auth-Application-Id", found["auth_application_id"])
    if found.get("session_id") == "":
        _bad_value(reading, "Session-Id", "empty")
    if found.get("origin_host") == "":
        _bad_value(reading, "Origin-Host", "empty")
    if found.get("origin_realm") == "":
        _bad_value(reading, "Origin-Realm", "empty")


def _bad_value(reading: Reading, name: str, value: object) -> None:
    vendor, code = avp_code(name)
    failed = codec.find_avp(reading.data, HEADER_SIZE, len(reading.data), code, vendor) or b""
    reading.problem(Step.VALUE, INVALID_AVP_VALUE, f"{name} cannot be {value}", failed)


def _refuse_oddities(reading: Reading, request_type: int | None) -> None:
    """What a strict profile refuses though RFC 6733 lets a receiver accept it."""
    data, rules = reading.data, reading.leniency
    is_event = request_type == RequestType.EVENT
    is_first = True
    for code, vendor, flags, data_start, data_end in codec.iter_avps(data, HEADER_SIZE, len(data)):
        start = data_start - (12 if flags & codec.AVP_VENDOR else 8)
        failed = failed_avp_copy(data, start, data_end)
        if rules.strict and flags & 0x1F:
            reading.problem(Step.CONTENT, INVALID_AVP_BITS, "reserved AVP flags are set", failed)
        if vendor:
            pass
        elif code == _SESSION_ID and not is_first and not rules.session_id_anywhere:
            reading.problem(Step.GRAMMAR, AVP_NOT_ALLOWED, "Session-Id is not first", failed)
        elif code == _EVENT_TIMESTAMP and not flags & codec.AVP_MANDATORY:
            if not rules.unflagged_event_timestamp:
                message = "Event-Timestamp without M"
                reading.problem(Step.CONTENT, INVALID_AVP_BITS, message, failed)
        elif code in _ACCOUNTING and not rules.accounting_avps:
            reading.problem(Step.GRAMMAR, AVP_NOT_ALLOWED, "accounting AVP in a CCR", failed)
        elif code == _REQUESTED_ACTION and not (is_event or rules.requested_action_outside_event):
            message = "Requested-Action outside an event"
            reading.problem(Step.GRAMMAR, AVP_NOT_ALLOWED, message, failed)
        elif code in _ANSWER_ONLY and rules.strict:
            message = f"AVP {code} belongs into answers"
            reading.problem(Step.GRAMMAR, AVP_NOT_ALLOWED, message, failed)
        is_first = False


def _content_hash(message: bytes, skipped: list[tuple[int, int]]) -> int:
    """63 bits over the AVPs in their order, without those that agents add or change."""
    parts = []
    position = HEADER_SIZE
    for start, stop in skipped:
        parts.append(message[position:start])
        position = stop
    parts.append(message[position:])
    return hash_content(b"".join(parts))


def hash_content(octets: bytes) -> int:
    """63 bits of a digest; equal on every machine, because they are stored with the session."""
    return int.from_bytes(blake2b(octets, digest_size=8).digest(), "big") & _HASH_MASK


def partial_ccr_fields(message: bytes) -> tuple[bytes | None, int | None, int | None, bytes]:
    """(Session-Id, CC-Request-Type, CC-Request-Number, Proxy-Infos) as far as they can be read.

    For the answer to a request that is wrong; never raises. The Session-Id stays as its octets,
    because they are repeated as they are.
    """
    session_id: bytes | None = None
    numbers: dict[int, int] = {}
    proxy_infos: list[bytes] = []
    try:
        for code, vendor, flags, start, stop in codec.iter_avps(
            message, HEADER_SIZE, len(message)
        ):
            if vendor:
                continue
            if code == _SESSION_ID and session_id is None:
                session_id = message[start:stop]
            elif code in (_REQUEST_TYPE, _REQUEST_NUMBER) and stop - start == 4:
                numbers.setdefault(code, int.from_bytes(message[start:stop], "big"))
            elif code == _PROXY_INFO:
                head = 12 if flags & codec.AVP_VENDOR else 8  # V with vendor 0 is the IETF's too
                proxy_infos.append(message[start - head : (stop + 3) & -4])
    except RemoteProtocolError:
        pass  # what was found before the fault is all that can be said
    return (
        session_id,
        numbers.get(_REQUEST_TYPE),
        numbers.get(_REQUEST_NUMBER),
        b"".join(proxy_infos),
    )


_EXPERIMENTAL: Table = dict([u32("Vendor-Id", "vendor"), u32("Experimental-Result-Code", "code")])


def _read_experimental(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[int, int] | None:
    found = read_members(reading, start, stop, _EXPERIMENTAL)
    if "code" not in found:
        reading.missing("Experimental-Result-Code")
        return None
    return found.get("vendor", 0), found["code"]


_ANSWER: Table = dict(
    [
        text("Session-Id", "session_id"),
        u32("Result-Code", "result_code"),
        one("Experimental-Result", "experimental_result", _read_experimental),
        text("Origin-Host", "origin_host"),
        text("Origin-Realm", "origin_realm"),
        u32("Auth-Application-Id", "auth_application_id"),
        i32("CC-Request-Type", "request_type"),
        u32("CC-Request-Number", "request_number"),
        i32("CC-Session-Failover", "session_failover"),
        i32("Credit-Control-Failure-Handling", "failure_handling"),
        i32("Direct-Debiting-Failure-Handling", "direct_debiting_failure_handling"),
        many("Multiple-Services-Credit-Control", "services", read_services),
        u64("CC-Sub-Session-Id", "sub_session_id"),
        u32("Origin-State-Id", "origin_state_id"),
        one("Granted-Service-Unit", "granted", read_units),
        u32("Validity-Time", "validity_time"),
        one("Final-Unit-Indication", "final_unit", read_final_unit),
        one("QoS-Final-Unit-Indication", "qos_final_unit", read_qos_final_unit),
        one("Cost-Information", "cost_information", read_cost),
        i32("Check-Balance-Result", "check_balance_result"),
        i32("Low-Balance-Indication", "low_balance_indication"),
        one("Remaining-Balance", "remaining_balance", read_money),
        octets("Refund-Information", "refund_information"),
        octets("Service-Information", "service_information"),
        many_in_tuple("Redirect-Host", "redirect_hosts", read_text),
        text("Error-Message", "error_message"),
        one("Failed-AVP", "failed_avp", read_octets),
        one("Proxy-Info", "proxy_infos", read_proxy_info),
    ]
)


def read_cca(message: bytes, limits: Limits = DEFAULT_LIMITS) -> CreditControlAnswer:
    """A CCA or an error answer as a value; RemoteProtocolError if it cannot be used.

    Unknown AVPs are passed over whatever their M flag says: an answer cannot be refused.
    """
    end = len(message)
    codec.read_header(message)
    codec.check_avp_count(message, HEADER_SIZE, end, limits)
    reading = Reading(message, LENIENT, limits, unknown_allowed=True)
    found = read_members(reading, HEADER_SIZE, end, _ANSWER)
    if "origin_host" not in found:
        reading.missing("Origin-Host")
    if "origin_realm" not in found:
        reading.missing("Origin-Realm")
    if "result_code" not in found and "experimental_result" not in found:
        reading.missing("Result-Code")
    reading.raise_first()
    found["proxy_infos"] = b"".join(reading.proxy_infos)
    found.setdefault("auth_application_id", None)
    return CreditControlAnswer(
        session_id=found.pop("session_id", None),
        result_code=found.pop("result_code", None),
        **found,
    )
