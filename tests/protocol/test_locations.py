"""Places, clocks and access networks out of octets; strange ones are nothing, never an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.locations import (
    Access,
    Location,
    network_digits,
    read_access_network,
    read_network_name,
    read_time_zone,
    read_user_location,
)

MADRID, NEW_YORK = "12f470", "130014"
"""Three octets of PLMN 214 07 and 310 410, digits swapped."""


@pytest.mark.rule("G-172")
@pytest.mark.parametrize(
    "octets,digits",
    [("12f470", "21407"), ("130014", "310410"), ("00f110", "00101"), ("1af470", ""), ("12f4", "")],
)
def test_a_network_is_its_swapped_digits(octets, digits):
    assert network_digits(bytes.fromhex(octets)) == digits


@pytest.mark.rule("G-009", "G-172")
@pytest.mark.parametrize(
    "kind,rest,place",
    [
        (0, MADRID + "1388" + "0007", "21407/5000/7"),
        (1, MADRID + "1388" + "0009", "21407/5000/9"),
        (2, MADRID + "1388" + "01ff", "21407/5000"),
        (128, NEW_YORK + "0001", "310410/1"),
        (129, MADRID + "0aabbccd", "21407//179027149"),
        (130, MADRID + "0001" + MADRID + "0aabbccd", "21407/1/179027149"),
        (132, MADRID + "0001" + MADRID + "000001", "21407/1"),
        (135, MADRID + "0123456789", "21407//4886718345"),
        (136, MADRID + "000102", "21407/258"),
        (137, MADRID + "000102" + MADRID + "0123456789", "21407/258/4886718345"),
    ],
)
def test_every_type_of_user_location(kind, rest, place):
    location = read_user_location(bytes([kind]) + bytes.fromhex(rest))
    assert str(location) == place


@pytest.mark.parametrize("octets", ["", "82", "8212f470", "03" + MADRID + "1388", "80ffffff0001"])
def test_a_strange_location_is_none(octets):
    assert read_user_location(bytes.fromhex(octets)) is None


@pytest.mark.rule("G-173")
@pytest.mark.parametrize(
    "octets,minutes",
    [("4000", 60), ("8001", 120), ("0000", 0), ("2200", 330), ("4a00", -360), ("8a00", -420)],
)
def test_a_time_zone_is_quarters_of_an_hour(octets, minutes):
    assert read_time_zone(bytes.fromhex(octets)) == minutes


@pytest.mark.parametrize("octets", ["", "ff00", "a000"])
def test_a_strange_time_zone_is_none(octets):
    assert read_time_zone(bytes.fromhex(octets)) is None


@pytest.mark.parametrize(
    "text,rat,place",
    [
        ("3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=2140700010AABBCC", 6, "21407/1/11189196"),
        ('3GPP-UTRAN-FDD; utran-cell-id-3gpp="21407138800ABCDE"', 1, "21407/5000/703710"),
        ("3GPP-GERAN;cgi-3gpp=3104100001000a", 2, "310410/1/10"),
        ("3gpp-nr-tdd;utran-cell-id-3gpp=21407000102123456789", 10, "21407/258/4886718345"),
        ("IEEE-802.11;i-wlan-node-id=001122334455", 3, "None"),
        ("ADSL;dsl-location=x", -1, "None"),
        ("3GPP-E-UTRAN;utran-cell-id-3gpp=21407", 6, "None"),
        ("", -1, "None"),
    ],
)
def test_an_access_network_says_radio_and_place(text, rat, place):
    said = read_access_network(text.encode())
    assert (said.rat_type, str(said.location)) == (rat, place)


@pytest.mark.parametrize(
    "name,digits",
    [
        ("ims.mnc007.mcc214.3gppnetwork.org", "214007"),
        ('"IMS.MNC410.MCC310.3gppnetwork.org"', "310410"),
        ("visited.example", ""),
    ],
)
def test_a_network_name_has_its_digits(name, digits):
    assert read_network_name(name) == digits


@given(st.binary(max_size=40))
def test_any_octets_are_a_place_or_none(octets):
    location = read_user_location(octets)
    assert location is None or isinstance(location, Location)
    zone = read_time_zone(octets)
    assert zone is None or abs(zone) <= 79 * 15
    assert isinstance(read_access_network(octets), Access)
