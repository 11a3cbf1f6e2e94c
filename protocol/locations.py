"""Where a subscriber is and what the clock there says, out of the octets of access networks.

3GPP-User-Location-Info and 3GPP-MS-TimeZone (TS 29.061 16.4.7.2), P-Access-Network-Info (TS 24.229
7.2A.4) and network identifiers of IMS (TS 23.003 13.2). What cannot be understood is nothing: a
gateway with a strange cell is still a gateway. Called by the server's mapping of requests.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

QUARTER_MINUTES = 15
_QUARTERS_MAX = 79
_FILLER = 0xF

_CGI, _SAI, _RAI, _TAI, _ECGI, _TAI_ECGI = 0, 1, 2, 128, 129, 130
_NCGI, _TAI_5GS, _TAI_NCGI = 135, 136, 137
_ENB_TAI, _ENB_LONG_TAI, _NG_RAN_TAI = 132, 134, 139


class Location(NamedTuple):
    """A place in a network: PLMN digits (MCC, then MNC), area and cell; -1 where it is not said.

    ``area`` is a location area or tracking area code, ``cell`` a cell identity or service area.
    """

    network: str
    area: int = -1
    cell: int = -1

    def __str__(self) -> str:
        area = "" if self.area < 0 else str(self.area)
        if self.cell >= 0:
            return f"{self.network}/{area}/{self.cell}"
        return f"{self.network}/{area}" if area else self.network


class Access(NamedTuple):
    """What a SIP client says of its access: RAT type as in 3GPP-RAT-Type, -1 unknown; place."""

    rat_type: int
    location: Location | None


def network_digits(octets: bytes) -> str:
    """Return MCC and MNC of three octets with swapped digits (TS 24.008 10.5.1.3), "" if none."""
    if len(octets) != 3:
        return ""
    first, second, third = octets
    mcc = (first & 15, first >> 4, second & 15)
    mnc = (third & 15, third >> 4, second >> 4)
    digits = mcc + (mnc[:2] if mnc[2] == _FILLER else mnc)
    return "".join(map(str, digits)) if all(digit <= 9 for digit in digits) else ""


def _area(octets: bytes) -> Location:
    return Location(network_digits(octets[:3]), int.from_bytes(octets[3:5], "big"))


def _area_and_cell(octets: bytes) -> Location:
    return _area(octets)._replace(cell=int.from_bytes(octets[5:7], "big"))


def _eutran_cell(octets: bytes) -> Location:
    cell = int.from_bytes(octets[3:7], "big") & 0xFFFFFFF
    return Location(network_digits(octets[:3]), cell=cell)


def _area_and_eutran_cell(octets: bytes) -> Location:
    return _area(octets)._replace(cell=_eutran_cell(octets[5:]).cell)


def _area_5gs(octets: bytes) -> Location:
    return Location(network_digits(octets[:3]), int.from_bytes(octets[3:6], "big"))


def _nr_cell(octets: bytes) -> Location:
    cell = int.from_bytes(octets[3:8], "big") & 0xFFFFFFFFF
    return Location(network_digits(octets[:3]), cell=cell)


def _area_and_nr_cell(octets: bytes) -> Location:
    return _area_5gs(octets)._replace(cell=_nr_cell(octets[6:]).cell)


_KINDS: dict[int, tuple[int, Callable[[bytes], Location]]] = {
    _CGI: (7, _area_and_cell),
    _SAI: (7, _area_and_cell),
    _RAI: (5, _area),
    _TAI: (5, _area),
    _ECGI: (7, _eutran_cell),
    _TAI_ECGI: (12, _area_and_eutran_cell),
    _ENB_TAI: (5, _area),
    _ENB_LONG_TAI: (5, _area),
    _NCGI: (8, _nr_cell),
    _TAI_5GS: (6, _area_5gs),
    _TAI_NCGI: (14, _area_and_nr_cell),
    _NG_RAN_TAI: (6, _area_5gs),
}
"""Least octets after the type, and what they say, by geographic location type."""


def read_user_location(octets: bytes) -> Location | None:
    """Return what a 3GPP-User-Location-Info says; None for a type or length that is unknown."""
    if not octets:
        return None
    least, read = _KINDS.get(octets[0], (0, None))
    if read is None or len(octets) - 1 < least:
        return None
    location = read(octets[1:])
    return location if location.network else None


def read_time_zone(octets: bytes) -> int | None:
    """Return the minutes that local time is ahead of UTC, daylight saving included; None unknown.

    The first octet of 3GPP-MS-TimeZone counts quarters of an hour in swapped digits; the bit of
    the sign is the fourth of the tens (TS 23.040 9.2.3.11).
    """
    if not octets:
        return None
    tens, units = octets[0] & 0x07, octets[0] >> 4
    quarters = tens * 10 + units
    if units > 9 or quarters > _QUARTERS_MAX:
        return None
    return -quarters * QUARTER_MINUTES if octets[0] & 0x08 else quarters * QUARTER_MINUTES


_NETWORK_NAME = re.compile(r"mnc([0-9]{2,3})\.mcc([0-9]{3})", re.IGNORECASE)
_ACCESS_TYPES = (
    ("3GPP-E-UTRAN", 6),
    ("3GPP-NR", 10),
    ("3GPP-UTRAN", 1),
    ("3GPP-GERAN", 2),
    ("IEEE-802.11", 3),
    ("3GPP-WLAN", 3),
)
"""RAT type of an access-type of P-Access-Network-Info, by how it begins."""
_CELL = re.compile(r'(?:utran-cell-id-3gpp|cgi-3gpp)="?([0-9]{5,6}[0-9A-F]{8,16})"?', re.IGNORECASE)
_CELL_FORMS = {13: (5, 4), 14: (6, 4), 16: (5, 4), 17: (6, 4), 20: (5, 6), 21: (6, 6)}
"""Digits of the network and of the area by the length of a cell's text: CGI, E-UTRAN and NR."""


def read_network_name(text: str) -> str:
    """Return the PLMN digits of a name such as ims.mnc007.mcc214.3gppnetwork.org, "" if none.

    The name pads an MNC of two digits with a zero, so the result has six digits.
    """
    match = _NETWORK_NAME.search(text)
    return match[2] + match[1] if match else ""


def read_access_network(octets: bytes) -> Access:
    """Return what a P-Access-Network-Info header says, of several the first."""
    text = octets.decode("ascii", "replace").strip()
    rat_type = -1
    for prefix, number in _ACCESS_TYPES:
        if text[: len(prefix)].upper() == prefix:
            rat_type = number
            break
    match = _CELL.search(text)
    form = _CELL_FORMS.get(len(match[1])) if match else None
    if match is None or form is None:
        return Access(rat_type, None)
    cell, (network, area) = match[1], form
    return Access(
        rat_type,
        Location(cell[:network], int(cell[network : network + area], 16),
                 int(cell[network + area :], 16)),
    )  # fmt: skip
