"""The AVP dictionary: known AVPs by vendor and code, and our corrections of the package's."""

import pytest

from protocol import dictionary
from protocol.dictionary import AvpKey, AvpType, avp_code, is_known, lookup


@pytest.mark.rule("B-031")
@pytest.mark.parametrize(
    "code, ietf, tgpp",
    [
        (509, "Filter-Rule", "Flow-Number"),
        (1, "User-Name", "3GPP-IMSI"),
        (2, "User-Password", "3GPP-Charging-Id"),
        (872, None, "Reporting-Reason"),
    ],
)
def test_the_same_code_means_different_avps_for_different_vendors(code, ietf, tgpp):
    assert [found and found.name for found in (lookup(0, code), lookup(10415, code))] == [
        ietf,
        tgpp,
    ]


@pytest.mark.rule("C-201")
@pytest.mark.parametrize(
    "name, key",
    [
        ("Origin-Host", (0, 264)),
        ("Filter-Id", (0, 11)),
        ("SIP-Method", (0, 393)),
        ("Called-Station-Id", (0, 30)),
        ("Subscription-Id-Extension", (0, 659)),
        ("Subscription-Id-Private", (0, 664)),
        ("QoS-Final-Unit-Indication", (0, 669)),
        ("Unused-Quota-Timer", (10415, 4407)),
        ("Reporting-Reason", (10415, 872)),
        ("Acct-Multi-Session-Id", (0, 50)),
    ],
)
def test_names_find_their_codes(name, key):
    assert avp_code(name) == AvpKey(*key)
    assert dictionary.definition(name).name == name


def test_a_name_of_two_vendors_is_found_for_each():
    assert avp_code("SIP-Method", 10415) == (10415, 824)
    assert avp_code("SIP-Method", 0) == (0, 393)
    with pytest.raises(KeyError):
        avp_code("No-Such-Name")


@pytest.mark.parametrize(
    "name, avp_type, mandatory",
    [
        ("Result-Code", AvpType.UNSIGNED32, True),
        ("Product-Name", AvpType.UTF8_STRING, False),
        ("Error-Message", AvpType.UTF8_STRING, False),
        ("From-Address", AvpType.UTF8_STRING, True),
        ("Service-Information", AvpType.GROUPED, True),
        ("Low-Balance-Indication", AvpType.INTEGER32, True),
        ("APN-Aggregate-Max-Bitrate-UL", AvpType.UNSIGNED32, False),
        ("User-Equipment-Info", AvpType.GROUPED, False),
        ("CC-Sub-Session-Id", AvpType.UNSIGNED64, True),
    ],
)
def test_types_and_flags_are_those_of_the_specifications(name, avp_type, mandatory):
    known = dictionary.definition(name)
    assert (known.type, known.mandatory) == (avp_type, mandatory)


def test_what_nobody_defined_is_unknown():
    assert not is_known(99999, 7)
    assert lookup(99999, 7) is None
    assert is_known(10415, 873)


def test_commands_have_names():
    assert dictionary.command_name(272) == "Credit-Control"
    assert dictionary.command_name(9999) == "Command-9999"
