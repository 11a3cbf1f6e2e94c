"""What a price may depend on besides destination and time: dimensions, and the label in each.

The attributes are those of Service-Information (TS 32.251, 32.260, 32.274) in neutral words. Read
by catalog.tariffs, which chooses price rules by labels, and by the loader, which knows the words.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ocs.catalog.model import LIMIT, RELATION, TERMINATING, Catalog

HOME = "home"
"""The network zone of our own networks: a subscriber in any other network is roaming."""
YES, NO = "yes", "no"

RAT_NAMES = {
    1: "utran", 2: "geran", 3: "wlan", 4: "gan", 5: "hspa", 6: "eutran", 7: "virtual",
    8: "nb-iot", 9: "lte-m", 10: "nr", 51: "nr",
}  # fmt: skip
"""Labels of radio access by 3GPP-RAT-Type (TS 29.061); other numbers are their own labels."""
ROLES = {0: "originating", 1: TERMINATING, 2: "forwarding"}
"""Labels by Role-Of-Node (TS 32.299 7.2.178)."""
RECIPIENTS = {
    0: "email", 1: "msisdn", 2: "ipv4", 3: "ipv6", 4: "numeric-shortcode",
    5: "alphanumeric-shortcode", 6: "other", 7: "imsi",
}  # fmt: skip
"""Labels by Address-Type (TS 32.299 7.2.9)."""
FRIENDS, ON_NET, OFF_NET = RELATIONS = ("friends", "on-net", "off-net")
"""How the other party of a call or message is related to the subscriber."""
MEDIA = ("video", "audio", "text", "image", "message", "application")
"""The most demanding first: a call with several media is a call of the first of these."""


class Circumstances(Protocol):
    """What is known about a request; charging.model.messages.RatingAttributes is one."""

    role_of_node: int
    visited_network: str
    location: str
    recipient_type: int
    media: str
    rat_type: int
    apn: str
    rule_base: str
    charging_characteristics: str
    limit: str
    relation: str
    calling_party: str
    time_zone: str
    named: tuple[tuple[str, str], ...]

ROLE = "role"
ROAMING = "roaming"
RAT = "rat"


class Places:
    """The zones of a catalogue: of numbers, of networks and of locations."""

    def __init__(self, catalog: Catalog) -> None:
        self._zones = _inverted(catalog.zones)
        self._lengths = sorted({len(prefix) for prefix in self._zones}, reverse=True)
        self._networks = _inverted(catalog.networks)
        self._locations = _inverted(catalog.locations)
        self._own_numbers = catalog.own_numbers
        self._knows_home = HOME in catalog.networks
        self._labels: dict[str, set[str]] = {
            RELATION: {*RELATIONS},
            ROLE: {*ROLES.values()},
            "visited": {*catalog.networks},
            ROAMING: {YES, NO},
            "location": {*catalog.locations},
            "recipient": {*RECIPIENTS.values()},
            "media": {*MEDIA},
            RAT: {*RAT_NAMES.values()},
            "origin": {*catalog.zones},
            **{name: {*values} for name, values in catalog.attributes.items()},
        }
        self.dimensions = dimensions_of(catalog.attributes)
        """Everything that prices of this catalogue may look at, in the order of deciding."""

    def labels_of(self, dimension: str) -> set[str]:
        """Return the values that a dimension has, none where it may have any."""
        return self._labels.get(dimension, set())

    def zone_of(self, number_digits: str) -> str:
        """Return the destination zone with the longest prefix of an international number (digits
        without +), "" when none has one.
        """
        zones = self._zones
        for length in self._lengths:
            zone = zones.get(number_digits[:length])
            if zone is not None:
                return zone
        return ""

    def relation(self, number: str, routing: str, friends: Collection[str]) -> str:
        """Return how the number of the other party (digits) is related to the subscriber, "" when
        it is not known. A number that was ported is where its ``routing`` number leads.
        """
        if not number.isdecimal():
            return ""
        if number in friends:
            return FRIENDS
        led = routing if routing.isdecimal() else number
        return ON_NET if led.startswith(self._own_numbers) else OFF_NET

    def network_zone(self, digits: str) -> str:
        """Return the zone of a network (MCC and MNC digits): the PLMN's own, else its country's.

        An MNC of two digits is also found under the zero that some put before it, and without.
        """
        networks = self._networks
        zone = networks.get(digits)
        if zone is None and len(digits) == 5:
            zone = networks.get(f"{digits[:3]}0{digits[3:]}")
        elif zone is None and len(digits) == 6 and digits[3] == "0":
            zone = networks.get(digits[:3] + digits[4:])
        return networks.get(digits[:3], "") if zone is None else zone

    def roaming(self, digits: str) -> str:
        """Return whether a network is foreign, "" where that cannot be said."""
        if not digits or not self._knows_home:
            return ""
        return NO if self.network_zone(digits) == HOME else YES

    def location_zone(self, location: str) -> str:
        """Return the zone of ``PLMN/area/cell``: the cell's, else the area's, else ""."""
        network, _, rest = location.partition("/")
        area, _, cell = rest.partition("/")
        places = (location, f"{network}//{cell}", f"{network}/{area}")
        return next((self._locations[one] for one in places if one in self._locations), "")


def _inverted(zones: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {member: zone for zone, members in zones.items() for member in members}


def access_point(name: str) -> str:
    """Return the network identifier of an APN, small: what stands before ``.mnc...gprs``."""
    name = name.lower()
    return name.partition(".mnc")[0] if name.endswith(".gprs") else name


def rat_label(number: int) -> str:
    """Return the label of a 3GPP-RAT-Type, "" when it is not known."""
    return "" if number < 0 else RAT_NAMES.get(number) or str(number)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that prices may look at: its key in the catalogue, and how a request says it."""

    name: str
    attribute: str
    """Of Circumstances."""
    label: Callable[[Places, Any], str]
    """Of the attribute's value, "" where it is not known."""


DIMENSIONS = (
    Dimension(LIMIT, "limit", lambda _, code: str(code)),
    Dimension(RELATION, "relation", lambda _, word: str(word)),
    Dimension("role", "role_of_node", lambda _, number: ROLES.get(number, "")),
    Dimension("visited", "visited_network", Places.network_zone),
    Dimension("roaming", "visited_network", Places.roaming),
    Dimension("location", "location", Places.location_zone),
    Dimension("recipient", "recipient_type", lambda _, number: RECIPIENTS.get(number, "")),
    Dimension("media", "media", lambda _, name: str(name)),
    Dimension("rat", "rat_type", lambda _, number: rat_label(number)),
    Dimension("apn", "apn", lambda _, name: access_point(name)),
    Dimension("rule_base", "rule_base", lambda _, name: str(name)),
    Dimension(
        "charging_characteristics", "charging_characteristics", lambda _, text: str(text).lower()
    ),
    Dimension("origin", "calling_party", Places.zone_of),
)
"""In the order in which they decide: of two rules that hold, the one that names the first
dimension in which they differ is the more specific. Destination and time band come after them."""


def dimensions_of(attributes: Iterable[str]) -> tuple[Dimension, ...]:
    """Return all dimensions of a catalogue that declares these attributes, which decide last."""
    return DIMENSIONS + tuple(Dimension(name, "named", _value_of(name)) for name in attributes)


def _value_of(name: str) -> Callable[[Places, Any], str]:
    return lambda _, named: next((value for own, value in named if own == name), "")


CLOCK = "clock"
"""Names the subscriber's own clock in the key of a price context, beside the dimensions."""
OTHERS_TOO = ",.."
"""Ends a label in a key that stands for others which no price tells apart from it."""


def describe(key: str) -> str:
    """Return the key of a price context (catalog.tariffs) in words for people."""
    words = []
    for part in key.split():
        name, given, label = part.partition("=")
        if not given:
            words.append(f"destination zone '{part}'")
        elif name == "roaming":
            words.append("roaming" if label == YES else "at home")
        else:
            words.append(f"{name.replace('_', ' ')} {label.removesuffix(OTHERS_TOO)}")
    return ", ".join(words)
