"""Decisions into credit-control answers (RFC 8506 3.2, TS 32.299 6.4.3), and their Failed-AVP.

Called by ``diameter`` once per request. The order of the AVPs is the writer's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ocs.amounts import OCTETS, SECONDS, unit_value
from ocs.charging.model.messages import SUCCESS, ChargingReply, ServiceReply, Units
from ocs.charging.model.profile import ClientProfile
from ocs.currencies import NUMERIC_BY_CODE
from ocs.service.wire.final_units import plain_indication, qos_indication
from ocs.service.wire.results import RESULT_CODES
from ocs.service.wire.telling import NO_CURRENCY, advice_of_charge, put_metering
from protocol import codec
from protocol.credit_control import (
    CostInformation,
    CreditControlAnswer,
    CreditControlRequest,
    Money,
    MultipleServices,
    PoolReference,
    ServiceUnits,
)
from protocol.dictionary import avp_code
from protocol.errors import RemoteProtocolError
from protocol.service_extras import write_advice

ENOUGH_CREDIT, NO_CREDIT = 0, 1
"""Check-Balance-Result (RFC 8506 8.6)."""
LOW_BALANCE_YES = 1
"""Low-Balance-Indication (TS 32.299 7.2.92)."""
TIME, MONEY, TOTAL, INPUT, OUTPUT, SERVICE_SPECIFIC = range(6)
"""CC-Unit-Type (RFC 8506 8.32)."""

FAILED_NAMES: dict[str, str] = {
    "service-context-id": "Service-Context-Id",
    "subscription-id": "Subscription-Id",
    "requested-action": "Requested-Action",
    "refund-information": "Refund-Information",
    "service-parameter-info": "Service-Parameter-Info",
    "rating-group": "Rating-Group",
    "service-identifier": "Service-Identifier",
    "requested-service-unit": "Requested-Service-Unit",
    "used-service-unit": "Used-Service-Unit",
    "multiple-services-credit-control": "Multiple-Services-Credit-Control",
    "cc-request-type": "CC-Request-Type",
    "cc-request-number": "CC-Request-Number",
    "cc-money": "CC-Money",
    "currency-code": "Currency-Code",
    "event-timestamp": "Event-Timestamp",
    "service-information": "Service-Information",
}
"""The AVP that a decision's ``failed`` means; a decision may use no other names."""


@dataclass(frozen=True, slots=True)
class AnswerDefaults:
    """What every CCA says, as configured; None leaves an AVP out (RFC 8506 8.4, 8.14, 8.15)."""

    origin_host: str
    origin_realm: str
    origin_state_id: int
    session_failover: int | None = None
    failure_handling: int | None = None
    direct_debiting_failure_handling: int | None = None
    low_balance_indication: bool = False

    def for_client(self, profile: ClientProfile) -> AnswerDefaults:
        """Return what is said to the clients of a profile, which may have its own failure rules."""
        return replace(
            self,
            session_failover=_first(profile.cc_session_failover, self.session_failover),
            failure_handling=_first(
                profile.credit_control_failure_handling, self.failure_handling
            ),
            direct_debiting_failure_handling=_first(
                profile.direct_debiting_failure_handling, self.direct_debiting_failure_handling
            ),
        )


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def to_answer(
    ccr: CreditControlRequest, reply: ChargingReply, defaults: AnswerDefaults, message: bytes
) -> CreditControlAnswer:
    """Return the CCA for a decision; ``message`` is the request, for its offending AVP."""
    result_code = RESULT_CODES[reply.outcome]
    answer = CreditControlAnswer(
        ccr.session_id,
        result_code,
        defaults.origin_host,
        defaults.origin_realm,
        ccr.request_type,
        ccr.request_number,
    )
    answer.session_failover = defaults.session_failover
    answer.failure_handling = defaults.failure_handling
    answer.direct_debiting_failure_handling = defaults.direct_debiting_failure_handling
    answer.sub_session_id = ccr.sub_session_id
    answer.origin_state_id = defaults.origin_state_id or None
    answer.proxy_infos = ccr.proxy_infos
    if reply.outcome != SUCCESS:
        # A failed command overrides its services, so none is repeated (RFC 8506 5.1.2).
        answer.error_message = reply.reason or None
        answer.failed_avp = failed_avp(reply.failed, message)
        return answer
    for service in reply.services:
        if service.command_level:
            _put_at_command_level(answer, service, reply.currency)
        else:
            answer.services.append(_service(service, reply.currency))
    if reply.cost_micro is not None:
        answer.cost_information = CostInformation(_money(reply.cost_micro, reply.currency))
    if reply.enough_credit is not None:
        answer.check_balance_result = ENOUGH_CREDIT if reply.enough_credit else NO_CREDIT
    if reply.low_balance and defaults.low_balance_indication:
        answer.low_balance_indication = LOW_BALANCE_YES
    if reply.remaining_micro is not None:
        answer.remaining_balance = _money(reply.remaining_micro, reply.currency)
    if reply.advice is not None:
        answer.service_information = write_advice(advice_of_charge(reply.advice, reply.currency))
    if reply.refund_reference:
        token = reply.refund_reference.encode("ascii", "replace")
        if answer.services:
            answer.services[0].refund_information = token
        else:
            answer.refund_information = token
    return answer


def _service(service: ServiceReply, currency: str) -> MultipleServices:
    # Set one by one: naming ten of the nineteen arguments takes twice the time.
    said = MultipleServices()
    said.rating_group, said.service_identifiers = service.rating_group, service.service_identifiers
    said.result_code = RESULT_CODES[service.outcome]
    if service.granted is not None:
        said.granted = _units(service, service.granted, currency)
    said.validity_time = service.validity_seconds or None
    final = service.final_unit
    if final is not None:
        said.final_unit = plain_indication(final)
        if final.qos:
            said.qos_final_unit = qos_indication(final)
    said.volume_quota_threshold = service.volume_threshold_octets or None
    said.time_quota_threshold = service.time_threshold_seconds or None
    said.unit_quota_threshold = service.unit_threshold_events or None
    said.quota_holding_time = service.quota_holding_seconds
    if service.pools:
        said.pool_references = _pool_references(service)
    if service.tariff_side >= 0:
        said.tariff_change_usage = service.tariff_side
    if service.metering is not None:
        put_metering(said, service.metering)
    return said


def _pool_references(service: ServiceReply) -> tuple[PoolReference, ...]:
    """One reference per pool and kind of unit that is granted (RFC 8506 5.1.2)."""
    granted = service.granted or Units()
    references = []
    for share in service.pools:
        if share.unit == OCTETS:
            kinds = [
                kind
                for kind, octets in (
                    (TOTAL, granted.octets),
                    (INPUT, granted.input_octets),
                    (OUTPUT, granted.output_octets),
                )
                if octets is not None
            ]
        else:
            kinds = [TIME if share.unit == SECONDS else SERVICE_SPECIFIC]
        references += [
            PoolReference(share.number, kind, share.digits, share.exponent) for kind in kinds
        ]
    return tuple(references)


def _put_at_command_level(
    answer: CreditControlAnswer, service: ServiceReply, currency: str
) -> None:
    """The answer to units asked without MSCC: its refusal is the command's own."""
    if service.outcome != SUCCESS:
        answer.result_code = RESULT_CODES[service.outcome]
        answer.error_message = service.reason or None
        return
    if service.granted is not None:
        answer.granted = _units(service, service.granted, currency)
    answer.validity_time = service.validity_seconds or None
    final = service.final_unit
    if final is not None:
        answer.final_unit = plain_indication(final)
        if final.qos:
            answer.qos_final_unit = qos_indication(final)


def _units(service: ServiceReply, granted: Units, currency: str) -> ServiceUnits:
    money = None
    if granted.money_micro is not None:
        money = _money(granted.money_micro, granted.money_currency or currency)
    return ServiceUnits(
        granted.seconds,
        granted.octets,
        granted.input_octets,
        granted.output_octets,
        granted.events,
        money,
        service.tariff_change_ns or None,
    )


def _money(amount_micro: int, currency: str) -> Money:
    digits, exponent = unit_value(amount_micro)
    return Money(digits, exponent, NUMERIC_BY_CODE.get(currency, NO_CURRENCY))


def failed_avp(name: str, message: bytes) -> bytes:
    """Return what the Failed-AVP holds: the request's own AVP of this name, else an example of it.

    Looks at the command's AVPs first and then into each MSCC. An unknown name gives nothing.
    """
    avp_name = FAILED_NAMES.get(name)
    if avp_name is None:
        return b""
    vendor, code = avp_code(avp_name)
    end = len(message)
    try:
        found = codec.find_avp(message, codec.HEADER_SIZE, end, code, vendor)
        if found is None:
            for mscc, mscc_vendor, _, start, stop in codec.iter_avps(
                message, codec.HEADER_SIZE, end
            ):
                if mscc == _MSCC and not mscc_vendor:
                    found = codec.find_avp(message, start, stop, code, vendor)
                    if found is not None:
                        break
    except RemoteProtocolError:
        found = None
    return codec.failed_avp_for_missing(avp_name) if found is None else found


_MSCC = avp_code("Multiple-Services-Credit-Control").code
