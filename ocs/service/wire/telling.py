"""Metering options and advice of charge as values of the wire (TS 32.299 7.2, TS 32.280).

Called by ``answers`` for the few replies that carry any.
"""

from __future__ import annotations

from ocs.amounts import Unit, unit_value
from ocs.charging.model.messages import Advice, Metering, RatePart
from ocs.currencies import NUMERIC_BY_CODE
from protocol.credit_control import AnnouncementInformation, MultipleServices, ServiceOptions
from protocol.service_extras import AdviceOfCharge, RateElement

NO_CURRENCY = 999
USAGE, SETUP = 1, 3
"""Charge-Reason-Code (TS 32.299 7.2.35)."""
_UNIT_TYPES = {Unit.SECONDS: 0, Unit.MONEY: 1, Unit.OCTETS: 2, Unit.EVENTS: 5}
"""CC-Unit-Type (RFC 8506 8.32)."""


def put_metering(said: MultipleServices, metering: Metering) -> None:
    """Say what a client is told about metering in a service of an answer."""
    said.quota_consumption_time = metering.consumption_seconds or None
    said.trigger_types = metering.triggers
    options = ServiceOptions(metering.envelopes)
    if metering.time_type is not None:
        options.time_quota_mechanism = metering.time_type, metering.base_interval_seconds
    if metering.furnish:
        options.furnished = metering.charging_id, metering.furnish.encode()
    played = metering.announcement
    if played is not None:
        options.announcement = AnnouncementInformation(
            played.identifier,
            played.seconds_before_end,
            None if played.uses_quota is None else int(played.uses_quota),
            played.language or None,
            played.plays_to,
        )
    said.options = options


def advice_of_charge(advice: Advice, currency: str) -> AdviceOfCharge:
    """Return advice of charge in the digits of the wire."""
    said = AdviceOfCharge(NUMERIC_BY_CODE.get(currency, NO_CURRENCY))
    if advice.accumulated_micro is not None:
        said.accumulated = unit_value(advice.accumulated_micro)
    if advice.incremental_micro is not None:
        said.incremental = unit_value(advice.incremental_micro)
    if advice.tariff is not None:
        said.current_tariff = tuple(map(_rate, advice.tariff))
        if advice.change_ns and advice.next_tariff is not None:
            said.tariff_change_ns = advice.change_ns
            said.next_tariff = tuple(map(_rate, advice.next_tariff))
    return said


def _rate(part: RatePart) -> RateElement:
    cost = unit_value(part.cost_micro)
    if not part.per:
        return RateElement(_UNIT_TYPES[Unit.MONEY], SETUP, cost)
    return RateElement(_UNIT_TYPES[Unit(part.unit)], USAGE, cost, (part.per, 0))
