"""Reads the groups inside credit-control commands: units, money, identities, services.

RFC 8506 section 8 and TS 32.299 section 7; called through the tables of
`credit_control_reader`. Each reader takes the span of a payload, remembers faults in the
`Reading` and returns None for a group that cannot be used. What a reader checks besides lengths
and texts, its shape in `credit_control_layout` checks too.
"""

from typing import Any

from protocol import codec
from protocol.credit_control import (
    CostInformation,
    FinalUnitIndication,
    Money,
    MultipleServices,
    PoolReference,
    QosInformation,
    ServiceUnits,
    SubscriptionId,
    UsedServiceUnit,
    UserEquipmentInfo,
)
from protocol.members import (
    INVALID_AVP_VALUE,
    Reading,
    Step,
    Table,
    i32,
    i64,
    many,
    many_in_tuple,
    octets,
    one,
    read_many_u32,
    read_members,
    read_text,
    read_time,
    text,
    time_ns,
    u32,
    u64,
)
from protocol.qos_final_unit import read_qos_final_unit
from protocol.service_extras import (
    read_af_correlation,
    read_envelope,
    read_radio_access,
    read_specific_info,
)

_UNIT_VALUE: Table = dict([i64("Value-Digits", "digits"), i32("Exponent", "exponent")])


def read_unit_value(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[int, int] | None:
    """(Value-Digits, Exponent) of a Unit-Value; an absent exponent is 0."""
    found = read_members(reading, start, stop, _UNIT_VALUE)
    if "digits" not in found:
        reading.missing("Value-Digits")
        return None
    return found["digits"], found.get("exponent", 0)


_MONEY: Table = dict(
    [
        one("Unit-Value", "unit_value", read_unit_value),
        u32("Currency-Code", "currency_code"),
        text("Cost-Unit", "cost_unit"),
    ]
)


def _money_of(reading: Reading, found: dict[str, Any], faults: int) -> Money | None:
    if "unit_value" in found:
        digits, exponent = found["unit_value"]
        return Money(digits, exponent, found.get("currency_code"))
    if len(reading.problems) == faults:
        reading.missing("Unit-Value")
    return None


def read_money(reading: Reading, _position: int, start: int, stop: int) -> Money | None:
    """CC-Money, Remaining-Balance and other amounts {Unit-Value, Currency-Code}."""
    faults = len(reading.problems)
    return _money_of(reading, read_members(reading, start, stop, _MONEY), faults)


def read_cost(reading: Reading, _position: int, start: int, stop: int) -> CostInformation | None:
    """Cost-Information, RFC 8506 section 8.7."""
    faults = len(reading.problems)
    found = read_members(reading, start, stop, _MONEY)
    money = _money_of(reading, found, faults)
    return None if money is None else CostInformation(money, found.get("cost_unit"))


UNITS: Table = dict(
    [
        u32("CC-Time", "time"),
        u64("CC-Total-Octets", "total_octets"),
        u64("CC-Input-Octets", "input_octets"),
        u64("CC-Output-Octets", "output_octets"),
        u64("CC-Service-Specific-Units", "service_specific"),
        one("CC-Money", "money", read_money),
        time_ns("Tariff-Time-Change", "tariff_time_change_ns"),
    ]
)
USED_UNITS: Table = UNITS | dict(
    [
        i32("Tariff-Change-Usage", "tariff_change_usage"),
        i32("Reporting-Reason", "reporting_reason"),
        many_in_tuple("Event-Charging-TimeStamp", "event_times_ns", read_time),
    ]
)


def read_units(reading: Reading, _position: int, start: int, stop: int) -> ServiceUnits:
    """A Requested- or Granted-Service-Unit; the empty group is all None."""
    if start == stop:
        return ServiceUnits()
    return ServiceUnits(**read_members(reading, start, stop, UNITS))


def read_used(reading: Reading, _position: int, start: int, stop: int) -> UsedServiceUnit:
    """One Used-Service-Unit."""
    found = read_members(reading, start, stop, USED_UNITS)
    if "tariff_change_usage" in found:
        _check_tariff_change(reading, found["tariff_change_usage"], start, stop)
    return UsedServiceUnit(**found)


def _check_tariff_change(reading: Reading, value: int, start: int, stop: int) -> None:
    if not 0 <= value <= 2:
        failed = codec.find_avp(reading.data, start, stop, 452) or b""
        message = f"Tariff-Change-Usage cannot be {value}"
        reading.problem(Step.VALUE, INVALID_AVP_VALUE, message, failed)


SUBSCRIPTION_ID: Table = dict(
    [i32("Subscription-Id-Type", "type"), text("Subscription-Id-Data", "data")]
)


def read_subscription_id(
    reading: Reading, _position: int, start: int, stop: int
) -> SubscriptionId | None:
    """A Subscription-Id; without its type or its data it is 5005."""
    faults = len(reading.problems)
    found = read_members(reading, start, stop, SUBSCRIPTION_ID)
    if len(found) == 2:
        return SubscriptionId(**found)
    if len(reading.problems) == faults:
        missing = "Data" if "type" in found else "Type"
        reading.missing(f"Subscription-Id-{missing}")
    return None


class _TypedText:
    """Reads one sub-AVP of Subscription-Id-Extension; its code says the type."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __call__(
        self, reading: Reading, position: int, start: int, stop: int
    ) -> SubscriptionId | None:
        data = read_text(reading, position, start, stop)
        return None if data is None else SubscriptionId(self.kind, data, extended=True)


_SUBSCRIPTION_ID_EXTENSION: Table = dict(
    one(f"Subscription-Id-{name}", "subscription_id", _TypedText(kind))
    for kind, name in enumerate(("E164", "IMSI", "SIP-URI", "NAI", "Private"))
)


def read_subscription_id_extension(
    reading: Reading, _position: int, start: int, stop: int
) -> SubscriptionId | None:
    """A Subscription-Id-Extension, whose only member says the type."""
    found = read_members(reading, start, stop, _SUBSCRIPTION_ID_EXTENSION)
    subscription_id: SubscriptionId | None = found.get("subscription_id")
    return subscription_id


EQUIPMENT: Table = dict(
    [i32("User-Equipment-Info-Type", "type"), octets("User-Equipment-Info-Value", "value")]
)


def read_equipment(
    reading: Reading, _position: int, start: int, stop: int
) -> UserEquipmentInfo | None:
    """A User-Equipment-Info."""
    found = read_members(reading, start, stop, EQUIPMENT)
    if len(found) == 2:
        return UserEquipmentInfo(**found)
    reading.missing(f"User-Equipment-Info-{'Value' if 'type' in found else 'Type'}")
    return None


class _TypedOctets:
    """Reads one sub-AVP of User-Equipment-Info-Extension; its code says the type."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __call__(
        self, reading: Reading, _position: int, start: int, stop: int
    ) -> UserEquipmentInfo:
        return UserEquipmentInfo(self.kind, reading.data[start:stop])


_EQUIPMENT_EXTENSION: Table = dict(
    one(f"User-Equipment-Info-{name}", "equipment", _TypedOctets(kind))
    for kind, name in enumerate(("IMEISV", "MAC", "EUI64", "ModifiedEUI64", "IMEI"))
)


def read_equipment_extension(
    reading: Reading, _position: int, start: int, stop: int
) -> UserEquipmentInfo | None:
    """A User-Equipment-Info-Extension, whose only member says the type; new types are nothing."""
    found = read_members(reading, start, stop, _EQUIPMENT_EXTENSION)
    equipment: UserEquipmentInfo | None = found.get("equipment")
    return equipment


_PARAMETER: Table = dict(
    [u32("Service-Parameter-Type", "type"), octets("Service-Parameter-Value", "value")]
)


def read_parameter_type(reading: Reading, _position: int, start: int, stop: int) -> int | None:
    """The Service-Parameter-Type of a Service-Parameter-Info."""
    found = read_members(reading, start, stop, _PARAMETER)
    if "type" not in found:
        reading.missing("Service-Parameter-Type")
    parameter_type: int | None = found.get("type")
    return parameter_type


VENDOR_APPLICATION: Table = dict(
    [u32("Vendor-Id", "vendor"), u32("Auth-Application-Id", "application_id")]
)


def read_vendor_application(reading: Reading, _position: int, start: int, stop: int) -> int | None:
    """The Auth-Application-Id inside a Vendor-Specific-Application-Id, if it has one."""
    found = read_members(reading, start, stop, VENDOR_APPLICATION)
    application_id: int | None = found.get("application_id")
    return application_id


_REDIRECT_SERVER: Table = dict(
    [i32("Redirect-Address-Type", "type"), text("Redirect-Server-Address", "address")]
)


def _read_redirect_server(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[int, str] | None:
    faults = len(reading.problems)
    found = read_members(reading, start, stop, _REDIRECT_SERVER)
    if len(found) == 2:
        return found["type"], found["address"]
    if len(reading.problems) == faults:
        reading.missing("Redirect-Server-Address" if "type" in found else "Redirect-Address-Type")
    return None


_FINAL_UNIT: Table = dict(
    [
        i32("Final-Unit-Action", "action"),
        one("Redirect-Server", "redirect_server", _read_redirect_server),
        many_in_tuple("Restriction-Filter-Rule", "restriction_filter_rules", read_text),
        many_in_tuple("Filter-Id", "filter_ids", read_text),
    ]
)


def read_final_unit(
    reading: Reading, _position: int, start: int, stop: int
) -> FinalUnitIndication | None:
    """A Final-Unit-Indication, RFC 8506 section 8.34."""
    found = read_members(reading, start, stop, _FINAL_UNIT)
    kind, address = found.pop("redirect_server", (None, None))
    if "action" not in found:
        reading.missing("Final-Unit-Action")
        return None
    return FinalUnitIndication(**found, redirect_address_type=kind, redirect_address=address)


_POOL_REFERENCE: Table = dict(
    [
        u32("G-S-U-Pool-Identifier", "pool_identifier"),
        i32("CC-Unit-Type", "unit_type"),
        one("Unit-Value", "multiplier", read_unit_value),
    ]
)
_POOL_REQUIRED = {
    "pool_identifier": "G-S-U-Pool-Identifier",
    "unit_type": "CC-Unit-Type",
    "multiplier": "Unit-Value",
}


def _read_pool_reference(
    reading: Reading, _position: int, start: int, stop: int
) -> PoolReference | None:
    found = read_members(reading, start, stop, _POOL_REFERENCE)
    for attribute, name in _POOL_REQUIRED.items():
        if attribute not in found:
            reading.missing(name)
            return None
    return PoolReference(found["pool_identifier"], found["unit_type"], *found["multiplier"])


TRIGGER: Table = dict([many_in_tuple("Trigger-Type", "types", read_many_u32)])


def read_trigger(reading: Reading, _position: int, start: int, stop: int) -> tuple[int, ...]:
    """The Trigger-Types of a Trigger; empty disarms all."""
    types: tuple[int, ...] = read_members(reading, start, stop, TRIGGER).get("types", ())
    return types


QOS: Table = dict(
    [
        u32("APN-Aggregate-Max-Bitrate-UL", "apn_ambr_ul"),
        u32("APN-Aggregate-Max-Bitrate-DL", "apn_ambr_dl"),
    ]
)


def read_qos(reading: Reading, _position: int, start: int, stop: int) -> QosInformation:
    """QoS-Information of a bearer."""
    return QosInformation(**read_members(reading, start, stop, QOS))


SERVICES: Table = dict(
    [
        u32("Rating-Group", "rating_group"),
        many_in_tuple("Service-Identifier", "service_identifiers", read_many_u32),
        one("Requested-Service-Unit", "requested", read_units),
        many("Used-Service-Unit", "used", read_used),
        one("Granted-Service-Unit", "granted", read_units),
        i32("Tariff-Change-Usage", "tariff_change_usage"),
        i32("Reporting-Reason", "reporting_reason"),
        u32("Result-Code", "result_code"),
        u32("Validity-Time", "validity_time"),
        one("Final-Unit-Indication", "final_unit", read_final_unit),
        one("QoS-Final-Unit-Indication", "qos_final_unit", read_qos_final_unit),
        u32("Volume-Quota-Threshold", "volume_quota_threshold"),
        u32("Time-Quota-Threshold", "time_quota_threshold"),
        u32("Unit-Quota-Threshold", "unit_quota_threshold"),
        u32("Quota-Holding-Time", "quota_holding_time"),
        u32("Quota-Consumption-Time", "quota_consumption_time"),
        many_in_tuple("G-S-U-Pool-Reference", "pool_references", _read_pool_reference),
        one("Trigger", "trigger_types", read_trigger),
        octets("Refund-Information", "refund_information"),
        one("QoS-Information", "qos", read_qos),
        many_in_tuple("Service-Specific-Info", "extras", read_specific_info),
        many_in_tuple("AF-Correlation-Information", "extras", read_af_correlation),
        many_in_tuple("Envelope", "extras", read_envelope),
        many_in_tuple("3GPP-RAT-Type", "extras", read_radio_access),
    ]
)


def read_services(reading: Reading, _position: int, start: int, stop: int) -> MultipleServices:
    """One Multiple-Services-Credit-Control of either direction."""
    found = read_members(reading, start, stop, SERVICES)
    if "tariff_change_usage" in found:
        _check_tariff_change(reading, found["tariff_change_usage"], start, stop)
    return MultipleServices(**found)
