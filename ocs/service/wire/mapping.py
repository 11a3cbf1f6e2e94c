"""Credit-control requests into neutral ones (RFC 8506 8, TS 32.299 7): identities, units, services.

Called by ``diameter`` once per request, so the usual shapes take the short way. What cannot be
used in one service is said in that service (``ServiceRequest.invalid``), what spoils the whole
request becomes a reply at once.
"""

from __future__ import annotations

import msgspec

from ocs.amounts import micro_from_unit_value
from ocs.catalog.matching import normalise_context
from ocs.charging.model.messages import (
    EVENT,
    INITIAL,
    ChargingReply,
    ChargingRequest,
    Identity,
    Outcome,
    RatingAttributes,
    ServiceDetails,
    ServiceRequest,
    TariffSide,
    Units,
    UsedUnits,
)
from ocs.charging.model.profile import ClientProfile
from ocs.charging.model.session import make_session_key
from ocs.clock import NS_PER_SECOND
from ocs.currencies import CODE_BY_NUMERIC
from ocs.errors import UsageError
from ocs.provisioning.identities import candidates, normalise_identity
from ocs.service.wire.attributes import AttributeReader, octets_per_second
from protocol.credit_control import (
    AfCorrelation,
    CreditControlRequest,
    Envelope,
    Money,
    MultipleServices,
    ServiceSpecificInfo,
    ServiceUnits,
    UsedServiceUnit,
)

FUTURE_MAX_NS = 300 * NS_PER_SECOND
PAST_MAX_NS = 3600 * NS_PER_SECOND
BUFFERED_MAX_NS = 7 * 86_400 * NS_PER_SECOND
"""How far an Event-Timestamp may be off (C-009): ahead, behind, and behind in a request that was
buffered by the client (T flag or event)."""
UNITS_MAX = 2**53
EVENTS_MAX = 10**9
"""More octets, or more events, than this in one request are no quantity but an error: what they
cost would be no amount that can be kept."""
COUNT_MAX = (1 << 64) - 1

_KINDS = ("msisdn", "imsi", "sip", "nai", "private")
"""Identity kind by Subscription-Id-Type (RFC 8506 8.47)."""
_EQUIPMENT = ("imeisv", "mac", "eui64", "modified-eui64", "imei")
"""Kind of equipment by User-Equipment-Info-Type (RFC 8506 8.50), and IMEI."""
_NOTHING = RatingAttributes()
_BEFORE = TariffSide.BEFORE
_SERVER_CHOOSES = Units()


class Arrival(msgspec.Struct):
    """What is known about a request besides its content."""

    peer: str
    profile: ClientProfile
    received_ns: int
    monotonic_ns: int
    end_to_end: int
    retransmitted: bool
    read_attributes: AttributeReader


def to_charging_request(
    ccr: CreditControlRequest, arrival: Arrival
) -> ChargingRequest | ChargingReply:
    """Return the neutral request, or the reply that refuses it for what it says.

    Raises RemoteProtocolError when Service-Information is malformed.
    """
    kind = ccr.request_type
    identities = _identities(ccr)
    if not identities and kind in (INITIAL, EVENT):
        return _nobody(ccr)
    if ccr.service_parameter_types:
        return ChargingReply(
            Outcome.RATING_FAILED,
            reason=f"Service-Parameter-Type {ccr.service_parameter_types[0]} is not supported",
            failed="service-parameter-info",
        )
    profile = arrival.profile
    return ChargingRequest(
        session_id=ccr.session_id,
        session_key=make_session_key(ccr.session_id, ccr.sub_session_id),
        kind=kind,
        number=ccr.request_number,
        received_ns=arrival.received_ns,
        deadline_ns=arrival.monotonic_ns + profile.answer_within_ns,
        content_hash=ccr.content_hash,
        service_context=normalise_context(ccr.service_context_id),
        identities=identities,
        services=_services(ccr, kind),
        sub_session_id=ccr.sub_session_id,
        event_ns=_event_time(ccr, arrival),
        action=-1 if ccr.requested_action is None or kind != EVENT
        else ccr.requested_action,
        origin_host=ccr.origin_host.rstrip(".").lower(),
        origin_realm=ccr.origin_realm.rstrip(".").lower(),
        peer=arrival.peer,
        origin_state_id=ccr.origin_state_id or 0,
        end_to_end=arrival.end_to_end,
        retransmitted=arrival.retransmitted,
        termination_cause=-1 if ccr.termination_cause is None else ccr.termination_cause,
        attributes=arrival.read_attributes(ccr.service_information)
        if ccr.service_information
        else _NOTHING,
        refund_reference=_refund_reference(ccr),
        profile=profile,
        advice=ccr.aoc_request_type or 0 if profile.advice_of_charge else 0,
        equipment=_equipment(ccr)
        if ccr.user_equipment_info is not None or ccr.user_equipment_extension is not None
        else "",
    )  # fmt: skip


def _nobody(ccr: CreditControlRequest) -> ChargingReply:
    if not ccr.subscription_ids and not ccr.user_name:
        return ChargingReply(
            Outcome.RATING_FAILED,
            reason="the request names no subscriber",
            failed="subscription-id",
        )
    unsupported = [given.type for given in ccr.subscription_ids if not 0 <= given.type <= 4]
    if unsupported:
        return ChargingReply(
            Outcome.INVALID_VALUE,
            reason=f"Subscription-Id-Type {unsupported[0]} is not supported",
            failed="subscription-id",
        )
    return ChargingReply(Outcome.USER_UNKNOWN, reason="no such subscriber")


def _identities(ccr: CreditControlRequest) -> tuple[Identity, ...]:
    """The usable identities in the order of the request, each in its stored spelling (C-001)."""
    found: list[Identity] = []
    for given in ccr.subscription_ids:
        if 0 <= given.type < len(_KINDS):
            identity = _identity(_KINDS[given.type], given.data)
            if identity is not None and identity not in found:
                found.append(identity)
    if not found and ccr.user_name:
        try:
            found.extend(candidates(ccr.user_name))
        except UsageError:
            found.append(Identity("private", ccr.user_name))
    return tuple(found)


def _identity(kind: str, data: str) -> Identity | None:
    if kind in {"msisdn", "imsi"}:
        digits = data.removeprefix("+") if kind == "msisdn" else data
        if digits.isdecimal() and digits.isascii() and len(digits) <= 15:
            return Identity(kind, digits)
    try:
        return normalise_identity(kind, data)
    except UsageError:
        return None


def _equipment(ccr: CreditControlRequest) -> str:
    """Return the device in text: the extension knows more types, so it goes before (8506 8.52)."""
    said = ccr.user_equipment_extension or ccr.user_equipment_info
    if said is None:
        return ""
    kind = _EQUIPMENT[said.type] if 0 <= said.type < len(_EQUIPMENT) else f"type-{said.type}"
    value = said.value
    if value.isdigit():
        return f"{kind}:{value.decode()}"
    swapped = "".join(f"{octet & 15:x}{octet >> 4:x}" for octet in value)
    if kind.startswith("imei") and swapped.rstrip("f").isdigit():
        # Digits in semi-octets, as in GTP (TS 29.061 16.4.7).
        return f"{kind}:{swapped.rstrip('f')}"
    return f"{kind}:{value.hex()}"


def _event_time(ccr: CreditControlRequest, arrival: Arrival) -> int:
    given = ccr.event_timestamp_ns
    now = arrival.received_ns
    if given is None or given > now + FUTURE_MAX_NS:
        return now
    buffered = arrival.retransmitted or ccr.request_type == EVENT
    return given if now - given <= (BUFFERED_MAX_NS if buffered else PAST_MAX_NS) else now


def _refund_reference(ccr: CreditControlRequest) -> str:
    token = ccr.refund_information
    if token is None:
        for service in ccr.services:
            if service.refund_information is not None:
                token = service.refund_information
                break
    return "" if token is None else token.decode("ascii", "replace")


# ------------------------------------------------------------------------ services and units


def _services(ccr: CreditControlRequest, kind: int) -> tuple[ServiceRequest, ...]:
    event = kind == EVENT
    services = [_service(service, event) for service in ccr.services]
    if ccr.requested is not None or ccr.used or (event and not services):
        identifiers = () if ccr.service_identifier is None else (ccr.service_identifier,)
        command = MultipleServices(ccr.requested, ccr.used, service_identifiers=identifiers)
        service = _service(command, event)
        service.command_level = True
        services.append(service)
    return tuple(services)


def _service(given: MultipleServices, event: bool) -> ServiceRequest:
    problems: list[str] = []
    if given.requested is not None:
        requested: Units | None = _units(given.requested, problems, grant=not event)
    else:
        # An event always asks for something; without units the server determines them.
        requested = _SERVER_CHOOSES if event else None
    reports = given.used
    if len(reports) == 1:
        used: tuple[UsedUnits, ...] = (_used(reports[0], given, problems),)
    else:
        used = tuple([_used(report, given, problems) for report in reports])
    request = ServiceRequest(
        given.rating_group,
        given.service_identifiers,
        requested,
        used,
        -1 if given.reporting_reason is None else given.reporting_reason,
        False,
        0 if given.qos is None else octets_per_second(given.qos),
        problems[0] if problems else "",
    )
    if given.extras or given.trigger_types or (reports and reports[0].event_times_ns):
        request.details = _details(given)
    return request


def _details(given: MultipleServices) -> ServiceDetails:
    """What few services carry: why the client asks, and what it says of the service."""
    details = ServiceDetails(given.trigger_types or ())
    for extra in given.extras:
        if isinstance(extra, ServiceSpecificInfo):
            kind = -1 if extra.type is None else extra.type
            details.infos += ((kind, extra.data or ""),)
        elif isinstance(extra, AfCorrelation):
            details.af_identifiers += (_readable(extra.charging_identifier),)
        elif isinstance(extra, Envelope):
            details.envelopes += ((extra.start_ns, extra.end_ns or 0, _envelope_units(extra)),)
        else:
            details.rat_type = extra.rat_type
    details.event_times_ns = tuple(
        instant_ns for report in given.used for instant_ns in report.event_times_ns
    )
    return details


def _readable(octets: bytes) -> str:
    """Text where it is some, else hexadecimal digits."""
    text = octets.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() else octets.hex()


def _envelope_units(envelope: Envelope) -> int:
    """Octets, by the rule of G-002, or events."""
    if envelope.total_octets is not None:
        return envelope.total_octets
    octets = (envelope.input_octets or 0) + (envelope.output_octets or 0)
    return octets or envelope.service_specific or 0


def _used(report: UsedServiceUnit, given: MultipleServices, problems: list[str]) -> UsedUnits:
    side = report.tariff_change_usage
    if side is None:
        side = given.tariff_change_usage
    return UsedUnits(
        _units(report, problems),
        _BEFORE if side is None else side,
        side is not None,
        -1 if report.reporting_reason is None else report.reporting_reason,
    )


def _units(given: ServiceUnits, problems: list[str], *, grant: bool = False) -> Units:
    """One group of units; the total of octets used is that of G-002: as given, else up plus down.

    ``grant``: they are asked for, so that too many mean as many as there can be (D12), and a total
    is granted only where one is named (G-003).
    """
    total, up, down = given.total_octets, given.input_octets, given.output_octets
    if total is None and not grant and (up is not None or down is not None):
        total = (up or 0) + (down or 0)
    seconds, events = given.time, given.service_specific
    if (
        (total is not None and total > UNITS_MAX)
        or (up is not None and up > UNITS_MAX)
        or (down is not None and down > UNITS_MAX)
        or (events is not None and events > EVENTS_MAX)
    ):
        if grant:
            total, up, down, events = (
                None if count is None else min(count, most)
                for count, most in (
                    (total, UNITS_MAX), (up, UNITS_MAX), (down, UNITS_MAX), (events, EVENTS_MAX),
                )
            )  # fmt: skip
        else:
            # They are kept as they were said, for a person to look at; 64 bits can be stored.
            problems.append("more units than can be")
            total = None if total is None else min(total, COUNT_MAX)
    units = Units(seconds, total, up, down, events)
    if given.money is not None:
        _put_money(units, given.money, problems)
    return units


def _put_money(units: Units, money: Money, problems: list[str]) -> None:
    micro = micro_from_unit_value(money.value_digits, money.exponent)
    if micro is None:
        problems.append(
            f"CC-Money {money.value_digits}e{money.exponent} is finer than 0.000001 or too large"
        )
        return
    if micro < 0:
        problems.append(f"CC-Money {money.value_digits}e{money.exponent} is negative")
        return
    if money.currency_code is not None:
        currency = CODE_BY_NUMERIC.get(money.currency_code)
        if currency is None:
            problems.append(f"Currency-Code {money.currency_code} is not in ISO 4217")
            return
        units.money_currency = currency
    units.money_micro = micro
