"""Quota policies of a catalogue file: how much is granted, and what clients are told of metering.

Called by loading.document for a service's own policy and by loading.plans for what a plan changes.
The options of metering are those of TS 32.299 6.5 and 7.2.
"""

import re

from ocs.amounts import Measured, Unit, format_quantity
from ocs.catalog.loading.values import MAX_VALIDITY_SECONDS, at_least, seconds_up_to
from ocs.catalog.metering import Announcement, Metering
from ocs.catalog.model import QuotaPolicy
from ocs.marked import Mapping, Scalar, unknown_word

MAX_CONSUMPTION_SECONDS = 86_400
MAX_FURNISH = 160
MAX_U32 = (1 << 32) - 1

TRIGGERS = {
    "sgsn-address": 1, "qos": 2, "location": 3, "rat": 4, "time-zone": 5,
    "qos-traffic-class": 10, "qos-reliability-class": 11, "qos-delay-class": 12,
    "qos-peak-throughput": 13, "qos-precedence-class": 14, "qos-mean-throughput": 15,
    "qos-maximum-uplink": 16, "qos-maximum-downlink": 17, "qos-residual-errors": 18,
    "qos-sdu-errors": 19, "qos-transfer-delay": 20, "qos-handling-priority": 21,
    "qos-guaranteed-uplink": 22, "qos-guaranteed-downlink": 23, "apn-ambr": 24,
    "location-mcc": 30, "location-mnc": 31, "location-rac": 32, "location-lac": 33,
    "location-cell": 34, "location-tac": 35, "location-ecgi": 36, "media": 40,
    "participants": 50, "participants-threshold": 51, "participating-type": 52,
    "service-condition": 60, "serving-node": 61, "access-for-flow": 62, "csg": 70,
    "hybrid-subscribed-csg": 71, "hybrid-unsubscribed-csg": 72, "presence-area": 73,
    "plmn-rate-control": 74, "apn-rate-control": 75, "ps-data-off": 76,
}  # fmt: skip
"""Trigger-Type by the word for it (TS 32.299 7.2.236); others are given as numbers."""
_QOS_PARTS, _LOCATION_PARTS = range(10, 24), range(30, 37)
ENVELOPES = {"none": 0, "time": 1, "volume": 2, "events": 3, "volume-and-events": 4}
"""Envelope-Reporting by the word for it (TS 32.299 7.2.61)."""
_MECHANISMS = {"discrete": 0, "continuous": 1}
"""Time-Quota-Type (TS 32.299 7.2.225)."""
_PARTIES = {"served": 0, "remote": 1}
"""Play-Alternative (TS 32.299)."""
_PERCENT = re.compile(r"([0-9]{1,2}) ?%?")


def read_quota(group: Mapping, unit: Measured, base: QuotaPolicy | None = None) -> QuotaPolicy:
    """Return the quota policy of a group; what it leaves out is as in ``base``.

    Without ``base``, ``slice`` must be given and ``maximum`` is the slice.
    """
    whole = at_least(1, unit)
    known = base or QuotaPolicy(slice=1, maximum=1)
    slice_ = group.parsed("slice", whole, known.slice, required=base is None)
    validity = group.parsed("validity", seconds_up_to(MAX_VALIDITY_SECONDS), known.validity_seconds)
    policy = QuotaPolicy(
        slice=slice_,
        maximum=group.parsed("maximum", whole, max(slice_, known.maximum) if base else slice_),
        minimum_useful=group.parsed("minimum_useful", whole, known.minimum_useful),
        validity_seconds=validity,
        short_validity_seconds=group.parsed(
            "short_validity",
            seconds_up_to(MAX_VALIDITY_SECONDS),
            min(known.short_validity_seconds, validity),
        ),
        threshold_percent=group.parsed("threshold", _percent, known.threshold_percent),
        threshold_maximum=group.parsed("threshold_maximum", whole, known.threshold_maximum),
        quota_holding_seconds=group.parsed(
            "quota_holding_time", _holding_time, known.quota_holding_seconds
        ),
        metering=_read_metering(group, unit, known.metering),
    )
    group.finish()
    _check_quota(group, policy, unit)
    return policy


def _check_quota(group: Mapping, policy: QuotaPolicy, unit: Measured) -> None:
    for key, smaller, larger_key, larger in (
        ("slice", policy.slice, "maximum", policy.maximum),
        ("minimum_useful", policy.minimum_useful, "slice", policy.slice),
    ):
        if smaller > larger:
            (group.get(key) or group.get(larger_key) or group).problem(
                f"{key} is {format_quantity(smaller, unit)}, more than {larger_key}, which is "
                f"{format_quantity(larger, unit)}"
            )
    if policy.short_validity_seconds > policy.validity_seconds:
        (group.get("short_validity") or group.get("validity") or group).problem(
            f"short_validity is {policy.short_validity_seconds} s, more than validity, which is "
            f"{policy.validity_seconds} s"
        )


def _percent(text: str) -> int:
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no percentage from 0 % to 99 %")
    return int(match[1])


def _holding_time(text: str) -> int | None:
    return seconds_up_to(MAX_VALIDITY_SECONDS, minimum=0)(text)


# ------------------------------------------------------------------------------------ metering


def _read_metering(group: Mapping, unit: Measured, base: Metering | None) -> Metering | None:
    """Return what clients are told about metering, None where nothing is said."""
    known = base or Metering()
    mechanical, mechanism = group.has("time_mechanism"), group.mapping("time_mechanism")
    metering = Metering(
        consumption_seconds=group.parsed(
            "consumption_time", _seconds, known.consumption_seconds
        ),
        time_type=mechanism.choice("type", _MECHANISMS) if mechanical else known.time_type,
        base_interval_seconds=mechanism.parsed("interval", _seconds, 0, required=True)
        if mechanical
        else known.base_interval_seconds,
        triggers=_read_triggers(group) if group.has("triggers") else known.triggers,
        envelopes=group.choice("envelopes", ENVELOPES, default=known.envelopes),
        furnish=group.parsed("furnish", _furnish, known.furnish),
        announcement=_read_announcement(group) or known.announcement,
    )
    mechanism.finish()
    _check_metering(group, unit, metering)
    return None if metering == Metering() else metering


def _check_metering(group: Mapping, unit: Measured, metering: Metering) -> None:
    for key in ("consumption_time", "time_mechanism"):
        if group.has(key) and unit is not Unit.SECONDS:
            group.keys[key].problem(f"'{key}' is for services counted in seconds")
    if metering.consumption_seconds and metering.time_type is not None:
        place = group.keys.get("time_mechanism") or group.keys.get("consumption_time") or group
        place.problem("a quota has a time_mechanism or a consumption_time, not both")


def _read_triggers(group: Mapping) -> tuple[int, ...]:
    """Return the Trigger-Types of a list; an empty list disarms all."""
    numbers: list[int] = []
    for scalar in group.scalars("triggers"):
        number = _trigger(scalar)
        if number in numbers:
            scalar.problem(f"{scalar.describe()} is given twice")
        elif number >= 0:
            numbers.append(number)
    for word, parts in (("qos", _QOS_PARTS), ("location", _LOCATION_PARTS)):
        if TRIGGERS[word] in numbers and any(number in parts for number in numbers):
            place = group.keys["triggers"]
            place.problem(f"'{word}' goes without the changes that are parts of it")
    return tuple(numbers)


def _trigger(scalar: Scalar) -> int:
    if scalar.text in TRIGGERS:
        return TRIGGERS[scalar.text]
    if scalar.text.isdecimal():
        return scalar.integer(0, MAX_U32 >> 1, -1)
    scalar.problem(unknown_word(scalar.text, "no trigger", TRIGGERS))
    return -1


def _furnish(text: str) -> str:
    if not 0 < len(text.encode()) <= MAX_FURNISH:
        raise ValueError(f"'{text}' is longer than {MAX_FURNISH} octets")
    return text


def _read_announcement(group: Mapping) -> Announcement | None:
    if not group.has("announcement"):
        return None
    said = group.mapping("announcement")
    announcement = Announcement(
        identifier=said.integer("identifier", minimum=0, maximum=MAX_U32),
        seconds_before_end=said.parsed("before_end", _seconds, 0) or None,
        uses_quota=said.boolean("uses_quota", default=False) if said.has("uses_quota") else None,
        language=said.text("language", ""),
        plays_to=said.choice("plays_to", _PARTIES, default=None),
    )
    said.finish()
    return announcement


def _seconds(text: str) -> int:
    return seconds_up_to(MAX_CONSUMPTION_SECONDS)(text)
