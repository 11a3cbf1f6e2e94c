"""Service-Information in neutral words: what rating may look at, and records keep (TS 32.299 7).

Called by ``mapping`` for every request that carries any. Gateways repeat the same octets, so the
last readings are remembered; a reading costs fifty times as much as remembering it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ocs.catalog.conditions import MEDIA
from ocs.charging.messages import RatingAttributes
from protocol.credit_control import QosInformation
from protocol.locations import (
    Access,
    read_access_network,
    read_network_name,
    read_time_zone,
    read_user_location,
)
from protocol.members import LENIENT, Leniency
from protocol.service_information import ServiceInformation, read_service_information

ATTRIBUTES_REMEMBERED_MAX = 16_384
ATTRIBUTES_OCTETS_MAX = 4_096
"""A longer Service-Information is read each time, so that what is remembered stays small."""

InformationReader = Callable[[bytes, Leniency], ServiceInformation]
AttributeReader = Callable[[bytes], RatingAttributes]
"""Reads the payload of Service-Information; its results are shared and never changed."""
_UNKNOWN = Access(-1, None)


def attribute_reader(
    leniency: Leniency = LENIENT,
    country_code: str = "",
    read_information: InformationReader = read_service_information,
) -> AttributeReader:
    """Return a function that reads Service-Information, for all requests of one leniency.

    ``country_code`` is put before called numbers in national format (a leading 0); without one
    they stay as they are.
    """

    def read(payload: bytes) -> RatingAttributes:
        return _attributes(read_information(payload, leniency), country_code)

    remembered = lru_cache(maxsize=ATTRIBUTES_REMEMBERED_MAX)(read)
    return lambda payload: (
        remembered(payload) if len(payload) <= ATTRIBUTES_OCTETS_MAX else read(payload)
    )


def _attributes(said: ServiceInformation, country: str) -> RatingAttributes:
    called = said.called_party or said.requested_party
    calling = said.calling_parties[0] if said.calling_parties else said.originator
    access, text = _UNKNOWN, ""
    if said.access_network_information:
        access = read_access_network(said.access_network_information)
        text = said.access_network_information.decode("ascii", "replace")
    location = read_user_location(said.user_location) if said.user_location else None
    location = location or access.location
    network = _network(said.sgsn_mcc_mnc or "") or (location.network if location else "")
    return RatingAttributes(
        called_party=_party(called, country) if called else "",
        calling_party=_party(calling, country) if calling else "",
        role_of_node=-1 if said.role_of_node is None else said.role_of_node,
        cause_code=said.cause_code,
        apn=said.apn or "",
        visited_network=network or read_network_name(said.visited_network or ""),
        rat_type=access.rat_type if said.rat_type is None else said.rat_type,
        recipients=tuple(_party(one, country) for one in said.recipients),
        emergency=bool(said.emergency),
        location=str(location) if location else "",
        time_zone=_offset(read_time_zone(said.ms_time_zone or b"")),
        charging_characteristics=said.charging_characteristics or "",
        rule_base=said.charging_rule_base_name or "",
        media=_media(said.media_names) if said.media_names else "",
        recipient_type=said.recipient_types[0] if said.recipient_types else -1,
        messages=said.number_of_messages or 0,
        charging_id=-1 if said.charging_id is None else said.charging_id,
        call_id=said.ims_charging_identifier or "",
        access_network=text,
        routing_number=said.routing_number or "",
        rate_octets_per_second=octets_per_second(said.qos),
    )


def octets_per_second(qos: QosInformation | None) -> int:
    """Return what a bearer can carry in both directions together; 0 where nobody says it."""
    return 0 if qos is None else ((qos.apn_ambr_ul or 0) + (qos.apn_ambr_dl or 0)) // 8


def _network(text: str) -> str:
    """MCC and MNC without what some put between them; "" where it is no network."""
    digits = text.replace("-", "")
    return digits if digits.isascii() and digits.isdecimal() and len(digits) in {5, 6} else ""


def _offset(minutes: int | None) -> str:
    if minutes is None:
        return ""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def _media(names: tuple[str, ...]) -> str:
    """The most demanding media of a call; a name may be a whole line ``m=audio 49170 ...``."""
    kinds = {name.strip().lower().removeprefix("m=").partition(" ")[0] for name in names}
    return next((kind for kind in MEDIA if kind in kinds), "")


def _party(text: str, country_code: str) -> str:
    """The digits of a number in any of its spellings, or the URI that is no number."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and scheme == "tel":
        name = rest
    elif colon and scheme in {"sip", "sips"}:
        name = rest.partition("@")[0]
    else:
        name = text
    digits = name.partition(";")[0].translate(_SEPARATORS)
    number = digits.removeprefix("+")
    if not (number.isdecimal() and number.isascii()):
        return text
    if country_code and number is digits and number[0] == "0":
        # 00 is the international prefix nearly everywhere, a single 0 the national one.
        return number[2:] if number.startswith("00") else country_code + number[1:]
    return number


_SEPARATORS = str.maketrans("", "", " ().-")
