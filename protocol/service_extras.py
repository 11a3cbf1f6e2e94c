"""Rare members of Multiple-Services-Credit-Control and advice of charge (TS 32.299 6.4, 7.2).

What few requests carry is read here through the tables of `credit_control_groups`; what few
answers carry is written here for `credit_control_writer` and for Service-Information.
"""

from dataclasses import dataclass

from protocol.avp_writers import number, octets, text
from protocol.bearer_values import read_rat_type
from protocol.credit_control import (
    AfCorrelation,
    Envelope,
    RadioAccess,
    ServiceOptions,
    ServiceSpecificInfo,
)
from protocol.datatypes import pack_u32, unix_ns_to_time
from protocol.members import (
    Reading,
    Table,
    many_in_tuple,
    read_many_u32,
    read_members,
    time_ns,
    u32,
    u64,
)
from protocol.members import octets as octets_member
from protocol.members import text as text_member

# ------------------------------------------------------------------------------------ requests

_SPECIFIC_INFO: Table = dict(
    [text_member("Service-Specific-Data", "data"), u32("Service-Specific-Type", "type")]
)


def read_specific_info(
    reading: Reading, _position: int, start: int, stop: int
) -> ServiceSpecificInfo:
    """A Service-Specific-Info."""
    return ServiceSpecificInfo(**read_members(reading, start, stop, _SPECIFIC_INFO))


_FLOWS: Table = dict(
    [
        u32("Media-Component-Number", "component"),
        many_in_tuple("Flow-Number", "numbers", read_many_u32),
    ]
)


def _read_flows(
    reading: Reading, _position: int, start: int, stop: int
) -> tuple[int, tuple[int, ...]]:
    found = read_members(reading, start, stop, _FLOWS)
    return found.get("component", 0), found.get("numbers", ())


_AF_CORRELATION: Table = dict(
    [
        octets_member("AF-Charging-Identifier", "charging_identifier"),
        many_in_tuple("Flows", "flows", _read_flows),
    ]
)


def read_af_correlation(
    reading: Reading, _position: int, start: int, stop: int
) -> AfCorrelation | None:
    """An AF-Correlation-Information; without its identifier it is 5005."""
    found = read_members(reading, start, stop, _AF_CORRELATION)
    if "charging_identifier" not in found:
        reading.missing("AF-Charging-Identifier")
        return None
    return AfCorrelation(**found)


_ENVELOPE: Table = dict(
    [
        time_ns("Envelope-Start-Time", "start_ns"),
        time_ns("Envelope-End-Time", "end_ns"),
        u64("CC-Total-Octets", "total_octets"),
        u64("CC-Input-Octets", "input_octets"),
        u64("CC-Output-Octets", "output_octets"),
        u64("CC-Service-Specific-Units", "service_specific"),
    ]
)


def read_envelope(reading: Reading, _position: int, start: int, stop: int) -> Envelope | None:
    """An Envelope; without its start it is 5005."""
    found = read_members(reading, start, stop, _ENVELOPE)
    if "start_ns" not in found:
        reading.missing("Envelope-Start-Time")
        return None
    return Envelope(**found)


def read_radio_access(
    reading: Reading, position: int, start: int, stop: int
) -> RadioAccess | None:
    """3GPP-RAT-Type beside a service."""
    rat_type = read_rat_type(reading, position, start, stop)
    return None if rat_type is None else RadioAccess(rat_type)


# ------------------------------------------------------------------------------------- answers


_envelope_reporting = number("Envelope-Reporting", "i")
_time_quota_mechanism = octets("Time-Quota-Mechanism")
_time_quota_type = number("Time-Quota-Type", "i")
_base_time_interval = number("Base-Time-Interval", "I")
_furnish = octets("PS-Furnish-Charging-Information")
_charging_id = octets("3GPP-Charging-Id")
_free_format_data = octets("PS-Free-Format-Data")
_announcement = octets("Announcement-Information")
_announcement_identifier = number("Announcement-Identifier", "I")
_time_indicator = number("Time-Indicator", "I")
_quota_indicator = number("Quota-Indicator", "i")
_play_alternative = number("Play-Alternative", "i")
_language = text("Language")


def write_options(options: ServiceOptions) -> bytes:
    """The AVPs of options, to stand among the members of a Multiple-Services-Credit-Control."""
    avps = b""
    if options.furnished is not None:
        charging_id, data = options.furnished
        avps += _furnish(_charging_id(pack_u32(charging_id)) + _free_format_data(data))
    if options.envelope_reporting is not None:
        avps += _envelope_reporting(options.envelope_reporting)
    if options.time_quota_mechanism is not None:
        kind, interval = options.time_quota_mechanism
        avps += _time_quota_mechanism(_time_quota_type(kind) + _base_time_interval(interval))
    said = options.announcement
    if said is not None:
        members = _announcement_identifier(said.identifier)
        if said.time_indicator is not None:
            members += _time_indicator(said.time_indicator)
        if said.quota_indicator is not None:
            members += _quota_indicator(said.quota_indicator)
        if said.play_alternative is not None:
            members += _play_alternative(said.play_alternative)
        if said.language is not None:
            members += _language(said.language)
        avps += _announcement(members)
    return avps


# ---------------------------------------------------------------------------- advice of charge

Digits = tuple[int, int]
"""An amount as (Value-Digits, Exponent)."""


@dataclass(slots=True)
class RateElement:
    """One part of a tariff: `units` of a CC-Unit-Type cost `cost`; for a Charge-Reason-Code."""

    unit_type: int
    reason: int
    cost: Digits
    units: Digits | None = None


@dataclass(slots=True)
class AdviceOfCharge:
    """AoC-Information of TS 32.280: what was spent, and what is charged now and from a change on.

    `currency_code` is the number of ISO 4217. Costs and tariffs that are None are left out.
    """

    currency_code: int
    accumulated: Digits | None = None
    incremental: Digits | None = None
    current_tariff: tuple[RateElement, ...] | None = None
    next_tariff: tuple[RateElement, ...] | None = None
    tariff_change_ns: int | None = None


_aoc_information = octets("AoC-Information")
_aoc_cost = octets("AoC-Cost-Information")
_accumulated = octets("Accumulated-Cost")
_incremental = octets("Incremental-Cost")
_tariff_information = octets("Tariff-Information")
_current_tariff = octets("Current-Tariff")
_next_tariff = octets("Next-Tariff")
_tariff_time_change = octets("Tariff-Time-Change")
_rate_element = octets("Rate-Element")
_unit_type = number("CC-Unit-Type", "i")
_charge_reason = number("Charge-Reason-Code", "i")
_unit_value = octets("Unit-Value")
_unit_cost = octets("Unit-Cost")
_currency_code = number("Currency-Code", "I")
_value_digits = number("Value-Digits", "q")
_exponent = number("Exponent", "i")


def write_advice(advice: AdviceOfCharge) -> bytes:
    """The AoC-Information AVP, to stand in a Service-Information."""
    members = b""
    costs = b"" if advice.accumulated is None else _accumulated(_digits(advice.accumulated))
    if advice.incremental is not None:
        costs += _incremental(_digits(advice.incremental))
    if costs:
        members += _aoc_cost(costs + _currency_code(advice.currency_code))
    if advice.current_tariff is not None:
        tariffs = _current_tariff(_tariff(advice.current_tariff, advice.currency_code))
        if advice.tariff_change_ns is not None:
            tariffs += _tariff_time_change(unix_ns_to_time(advice.tariff_change_ns))
            if advice.next_tariff is not None:
                tariffs += _next_tariff(_tariff(advice.next_tariff, advice.currency_code))
        members += _tariff_information(tariffs)
    return _aoc_information(members)


def _tariff(elements: tuple[RateElement, ...], currency_code: int) -> bytes:
    return _currency_code(currency_code) + b"".join(map(_element, elements))


def _element(element: RateElement) -> bytes:
    members = _unit_type(element.unit_type) + _charge_reason(element.reason)
    if element.units is not None:
        members += _unit_value(_digits(element.units))
    return _rate_element(members + _unit_cost(_digits(element.cost)))


def _digits(amount: Digits) -> bytes:
    digits, exponent = amount
    return _value_digits(digits) + (_exponent(exponent) if exponent else b"")
