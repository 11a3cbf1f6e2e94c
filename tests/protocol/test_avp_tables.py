"""Every AVP that Ro and Gy use is in the dictionary, with the number, format and flag of its table.

`avps.csv` lists them: A the base protocol, B credit control, C quota and session control of 3GPP,
D containers, E packet-switched, F IMS and G messages.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import pytest

from protocol.codec import encode_avp, encode_message
from protocol.describe import describe
from protocol.dictionary import AvpType, lookup

AS_WE_READ_THEM = {
    "Enumerated": AvpType.INTEGER32,
    "DiameterURI": AvpType.UTF8_STRING,
    "IPFilterRule": AvpType.OCTET_STRING,
}
"""Derived formats that need no reader of their own."""
FOUR_OCTETS = {"3GPP-Charging-Id"}
"""Numbers that gateways also write as octets; they are read as these."""


TABLES = dict(zip("ABCDEFG", (f"A-{number}" for number in range(1, 8)), strict=True))


class Listed(NamedTuple):
    """One line of a table."""

    table: str
    name: str
    code: int
    vendor: int
    type: str
    mandatory: bool


def listed() -> list[Listed]:
    text = Path(__file__).with_name("avps.csv").read_text(encoding="utf-8")
    return [
        Listed(
            row["table"], row["name"], int(row["code"]), int(row["vendor"]), row["type"],
            row["mandatory"] == "yes",
        )
        for row in csv.DictReader(text.splitlines())
    ]  # fmt: skip


AVPS = [
    pytest.param(one, id=f"{one.table}-{one.name}", marks=pytest.mark.rule(TABLES[one.table]))
    for one in listed()
]


@pytest.mark.parametrize("avp", AVPS)
def test_an_avp_is_the_one_of_its_table(avp):
    known = lookup(avp.vendor, avp.code)
    assert known is not None
    assert known.name == avp.name
    assert known.mandatory == avp.mandatory
    expected = AS_WE_READ_THEM.get(avp.type) or AvpType(avp.type)
    if avp.name in FOUR_OCTETS:
        expected = AvpType.OCTET_STRING
    assert known.type is expected


@pytest.mark.parametrize("avp", AVPS)
def test_an_avp_is_shown_by_its_name(avp):
    known = lookup(avp.vendor, avp.code)
    assert known is not None
    octets = encode_avp(avp.code, bytes(known.minimum_octets), avp.vendor)
    assert f"{avp.name} (" in describe(encode_message(272, 4, 0xC0, 1, 1, octets))


def test_each_number_is_listed_once():
    numbers = [(one.vendor, one.code) for one in listed()]
    assert len(numbers) == len(set(numbers)) > 300
