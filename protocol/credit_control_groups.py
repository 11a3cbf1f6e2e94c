"""Reads the groups inside credit-control commands: units, money, identities, services.

RFC 8506 section 8 and TS 32.299 section 7; called through the tables of
`credit_control_reader`. Each reader takes the span of a payload, remembers faults in the
`Reading` and returns None for a group that cannot be used.
"""

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
    text,
    time_ns,
    u32,
    u64,
)


class _Scratch:
    """Members of a group whose value cannot be made before all of them are read."""

    __slots__ = ("digits", "exponent", "filters", "kind", "number", "rules", "text", "value")

    def __init__(self) -> None:
        self.kind: int | None = None
        self.number: int | None = None
        self.digits: int | None = None
        self.exponent: int | None = None
        self.value: object = None
        self.text: str | None = None
        self.rules: tuple[str, ...] = ()
        self.filters: tuple[str, ...] = ()


_UNIT_VALUE: Table = dict([i64("Value-Digits", "digits"), i32("Exponent", "exponent")])


def read_unit_value(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[int, int] | None:
    """(Value-Digits, Exponent) of a Unit-Value; an absent exponent is 0."""
    scratch = _Scratch()
    read_members(reading, start, stop, _UNIT_VALUE, scratch)
    if scratch.digits is None:
        reading.missing("Value-Digits")
        return None
    return scratch.digits, scratch.exponent or 0


_MONEY: Table = dict(
    [
        one("Unit-Value", "value", read_unit_value),
        u32("Currency-Code", "number"),
        text("Cost-Unit", "text"),
    ]
)


def _read_money_members(reading: Reading, start: int, stop: int) -> tuple[Money | None, _Scratch]:
    scratch = _Scratch()
    faults = len(reading.problems)
    read_members(reading, start, stop, _MONEY, scratch)
    if not isinstance(scratch.value, tuple):
        if len(reading.problems) == faults:
            reading.missing("Unit-Value")
        return None, scratch
    digits, exponent = scratch.value
    return Money(digits, exponent, scratch.number), scratch


def read_money(reading: Reading, _position: int, start: int, stop: int) -> Money | None:
    """CC-Money, Remaining-Balance and other amounts {Unit-Value, Currency-Code}."""
    return _read_money_members(reading, start, stop)[0]


def read_cost(reading: Reading, _position: int, start: int, stop: int) -> CostInformation | None:
    """Cost-Information, RFC 8506 section 8.7."""
    money, scratch = _read_money_members(reading, start, stop)
    return None if money is None else CostInformation(money, scratch.text)


_UNITS: Table = dict(
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
_USED_UNITS: Table = _UNITS | dict(
    [
        i32("Tariff-Change-Usage", "tariff_change_usage"),
        i32("Reporting-Reason", "reporting_reason"),
    ]
)


def read_units(reading: Reading, _position: int, start: int, stop: int) -> ServiceUnits:
    """A Requested- or Granted-Service-Unit; the empty group is all None."""
    units = ServiceUnits()
    if start != stop:
        read_members(reading, start, stop, _UNITS, units)
    return units


def read_used(reading: Reading, _position: int, start: int, stop: int) -> UsedServiceUnit:
    """One Used-Service-Unit."""
    used = UsedServiceUnit()
    read_members(reading, start, stop, _USED_UNITS, used)
    if used.tariff_change_usage is not None:
        _check_tariff_change(reading, used.tariff_change_usage, start, stop)
    return used


def _check_tariff_change(reading: Reading, value: int, start: int, stop: int) -> None:
    if not 0 <= value <= 2:
        failed = codec.find_avp(reading.data, start, stop, 452) or b""
        message = f"Tariff-Change-Usage cannot be {value}"
        reading.problem(Step.VALUE, INVALID_AVP_VALUE, message, failed)


_SUBSCRIPTION_ID: Table = dict(
    [i32("Subscription-Id-Type", "kind"), text("Subscription-Id-Data", "text")]
)


def read_subscription_id(
    reading: Reading, _position: int, start: int, stop: int
) -> SubscriptionId | None:
    """A Subscription-Id; without its type or its data it is 5005."""
    scratch = _Scratch()
    faults = len(reading.problems)
    read_members(reading, start, stop, _SUBSCRIPTION_ID, scratch)
    kind, data = scratch.kind, scratch.text
    if kind is not None and data is not None:
        return SubscriptionId(kind, data)
    if len(reading.problems) == faults:
        reading.missing("Subscription-Id-Type" if kind is None else "Subscription-Id-Data")
    return None


class _TypedText:
    """Reads one sub-AVP of Subscription-Id-Extension; its code says the type."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __call__(
        self, reading: Reading, position: int, start: int, stop: int
    ) -> SubscriptionId | None:
        data = read_text(reading, position, start, stop)
        return None if data is None else SubscriptionId(self.kind, data)


_SUBSCRIPTION_ID_EXTENSION: Table = dict(
    one(f"Subscription-Id-{name}", "value", _TypedText(kind))
    for kind, name in enumerate(("E164", "IMSI", "SIP-URI", "NAI", "Private"))
)


def read_subscription_id_extension(
    reading: Reading, _position: int, start: int, stop: int
) -> SubscriptionId | None:
    """A Subscription-Id-Extension, whose only member says the type."""
    scratch = _Scratch()
    read_members(reading, start, stop, _SUBSCRIPTION_ID_EXTENSION, scratch)
    return scratch.value if isinstance(scratch.value, SubscriptionId) else None


_EQUIPMENT: Table = dict(
    [i32("User-Equipment-Info-Type", "kind"), octets("User-Equipment-Info-Value", "value")]
)


def read_equipment(
    reading: Reading, _position: int, start: int, stop: int
) -> UserEquipmentInfo | None:
    """A User-Equipment-Info."""
    scratch = _Scratch()
    read_members(reading, start, stop, _EQUIPMENT, scratch)
    if scratch.kind is None or not isinstance(scratch.value, bytes):
        missing = "Type" if scratch.kind is None else "Value"
        reading.missing(f"User-Equipment-Info-{missing}")
        return None
    return UserEquipmentInfo(scratch.kind, scratch.value)


_PARAMETER: Table = dict(
    [u32("Service-Parameter-Type", "kind"), octets("Service-Parameter-Value", "value")]
)


def read_parameter_type(reading: Reading, _position: int, start: int, stop: int) -> int | None:
    """The Service-Parameter-Type of a Service-Parameter-Info."""
    scratch = _Scratch()
    read_members(reading, start, stop, _PARAMETER, scratch)
    if scratch.kind is None:
        reading.missing("Service-Parameter-Type")
    return scratch.kind


_VENDOR_APPLICATION: Table = dict([u32("Vendor-Id", "number"), u32("Auth-Application-Id", "kind")])


def read_vendor_application(reading: Reading, _position: int, start: int, stop: int) -> int | None:
    """The Auth-Application-Id inside a Vendor-Specific-Application-Id, if it has one."""
    scratch = _Scratch()
    read_members(reading, start, stop, _VENDOR_APPLICATION, scratch)
    return scratch.kind


_REDIRECT_SERVER: Table = dict(
    [i32("Redirect-Address-Type", "kind"), text("Redirect-Server-Address", "text")]
)


def _read_redirect_server(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[int, str] | None:
    scratch = _Scratch()
    read_members(reading, start, stop, _REDIRECT_SERVER, scratch)
    if scratch.kind is None or scratch.text is None:
        reading.missing(
            "Redirect-Address-Type" if scratch.kind is None else "Redirect-Server-Address"
        )
        return None
    return scratch.kind, scratch.text


_FINAL_UNIT: Table = dict(
    [
        i32("Final-Unit-Action", "kind"),
        one("Redirect-Server", "value", _read_redirect_server),
        many_in_tuple("Restriction-Filter-Rule", "rules", read_text),
        many_in_tuple("Filter-Id", "filters", read_text),
    ]
)


def read_final_unit(
    reading: Reading, _position: int, start: int, stop: int
) -> FinalUnitIndication | None:
    """A Final-Unit-Indication, RFC 8506 section 8.34."""
    scratch = _Scratch()
    read_members(reading, start, stop, _FINAL_UNIT, scratch)
    if scratch.kind is None:
        reading.missing("Final-Unit-Action")
        return None
    kind, address = scratch.value if isinstance(scratch.value, tuple) else (None, None)
    return FinalUnitIndication(scratch.kind, kind, address, scratch.rules, scratch.filters)


_POOL_REFERENCE: Table = dict(
    [
        u32("G-S-U-Pool-Identifier", "number"),
        i32("CC-Unit-Type", "kind"),
        one("Unit-Value", "value", read_unit_value),
    ]
)


def _read_pool_reference(
    reading: Reading, _position: int, start: int, stop: int
) -> PoolReference | None:
    scratch = _Scratch()
    faults = len(reading.problems)
    read_members(reading, start, stop, _POOL_REFERENCE, scratch)
    if scratch.number is None:
        reading.missing("G-S-U-Pool-Identifier")
    elif scratch.kind is None:
        reading.missing("CC-Unit-Type")
    elif isinstance(scratch.value, tuple):
        digits, exponent = scratch.value
        return PoolReference(scratch.number, scratch.kind, digits, exponent)
    elif len(reading.problems) == faults:
        reading.missing("Unit-Value")
    return None


_TRIGGER: Table = dict([many_in_tuple("Trigger-Type", "numbers", read_many_u32)])


class _Numbers:
    __slots__ = ("numbers",)

    def __init__(self) -> None:
        self.numbers: tuple[int, ...] = ()


def _read_trigger(reading: Reading, _position: int, start: int, stop: int) -> tuple[int, ...]:
    found = _Numbers()
    read_members(reading, start, stop, _TRIGGER, found)
    return found.numbers


_QOS: Table = dict(
    [
        u32("APN-Aggregate-Max-Bitrate-UL", "apn_ambr_ul"),
        u32("APN-Aggregate-Max-Bitrate-DL", "apn_ambr_dl"),
    ]
)


def _read_qos(reading: Reading, _position: int, start: int, stop: int) -> QosInformation:
    qos = QosInformation()
    read_members(reading, start, stop, _QOS, qos)
    return qos


_SERVICES: Table = dict(
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
        u32("Volume-Quota-Threshold", "volume_quota_threshold"),
        u32("Time-Quota-Threshold", "time_quota_threshold"),
        u32("Unit-Quota-Threshold", "unit_quota_threshold"),
        u32("Quota-Holding-Time", "quota_holding_time"),
        u32("Quota-Consumption-Time", "quota_consumption_time"),
        many_in_tuple("G-S-U-Pool-Reference", "pool_references", _read_pool_reference),
        one("Trigger", "trigger_types", _read_trigger),
        octets("Refund-Information", "refund_information"),
        one("QoS-Information", "qos", _read_qos),
    ]
)


def read_services(reading: Reading, _position: int, start: int, stop: int) -> MultipleServices:
    """One Multiple-Services-Credit-Control of either direction."""
    services = MultipleServices()
    read_members(reading, start, stop, _SERVICES, services)
    if services.tariff_change_usage is not None:
        _check_tariff_change(reading, services.tariff_change_usage, start, stop)
    return services
