"""Service-Information in neutral words: what rating may look at, and records keep (TS 32.299 7).

Called by ``mapping`` for every request that carries any. Gateways repeat the same octets, so the
last readings are remembered; a reading costs fifty times as much as remembering it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from ocs.catalog.conditions import MEDIA
from ocs.charging.model.messages import RatingAttributes
from protocol.credit_control import QosInformation
from protocol.locations import (
    Location,
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
PLACES_REMEMBERED_MAX = 8_192
"""Cells whose octets were read before."""


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
    # What is remembered is cut short: nothing longer means anything, and memory stays bounded.
    network = _network(said.sgsn_mcc_mnc[:16]) if said.sgsn_mcc_mnc else ""
    rat_type = -1 if said.rat_type is None else said.rat_type
    place = _place(said.user_location[:32]) if said.user_location else _NOWHERE
    access = said.access_network_information
    if access:
        by_access, reached = _access(access[:256])
        rat_type = by_access if said.rat_type is None else rat_type
        place = place if place.text else reached
    if not network:
        network = place.network or (
            read_network_name(said.visited_network) if said.visited_network else ""
        )
    return RatingAttributes(
        _party(called, country) if called else "",
        _party(calling, country) if calling else "",
        -1 if said.role_of_node is None else said.role_of_node,
        said.cause_code,
        said.apn or "",
        network,
        rat_type,
        tuple([_party(one, country) for one in said.recipients]) if said.recipients else (),
        bool(said.emergency),
        location=place.text,
        time_zone=_offset(said.ms_time_zone[:4]) if said.ms_time_zone else "",
        charging_characteristics=said.charging_characteristics or "",
        rule_base=said.charging_rule_base_name or "",
        media=_media(said.media_names) if said.media_names else "",
        recipient_type=said.recipient_types[0] if said.recipient_types else -1,
        messages=said.number_of_messages or 0,
        charging_id=-1 if said.charging_id is None else said.charging_id,
        call_id=said.ims_charging_identifier or "",
        access_network=access.decode("ascii", "replace") if access else "",
        routing_number=said.routing_number or "",
        rate_octets_per_second=octets_per_second(said.qos),
    )


def octets_per_second(qos: QosInformation | None) -> int:
    """Return what a bearer can carry in both directions together; 0 where nobody says it."""
    return 0 if qos is None else ((qos.apn_ambr_ul or 0) + (qos.apn_ambr_dl or 0)) // 8


class _Place(NamedTuple):
    """A location in its text, and its network."""

    text: str
    network: str


_NOWHERE = _Place("", "")


def _place_of(location: Location | None) -> _Place:
    return _NOWHERE if location is None else _Place(str(location), location.network)


@lru_cache(maxsize=PLACES_REMEMBERED_MAX)
def _place(octets: bytes) -> _Place:
    """Many subscribers are in one cell, so what it is called is remembered."""
    return _place_of(read_user_location(octets))


@lru_cache(maxsize=PLACES_REMEMBERED_MAX)
def _access(octets: bytes) -> tuple[int, _Place]:
    access = read_access_network(octets)
    return access.rat_type, _place_of(access.location)


@lru_cache(maxsize=1024)
def _network(text: str) -> str:
    """MCC and MNC without what some put between them; "" where it is no network."""
    digits = text.replace("-", "")
    return digits if digits.isascii() and digits.isdecimal() and len(digits) in {5, 6} else ""


@lru_cache(maxsize=1024)
def _offset(octets: bytes) -> str:
    minutes = read_time_zone(octets)
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
