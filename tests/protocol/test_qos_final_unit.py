"""QoS-Final-Unit-Indication on the wire, and the extension AVPs of RFC 8506, octet by octet."""

from typing import Any

import pytest
from diameter.message.avp import Avp

from protocol.codec import encode_avp, iter_avps, read_header
from protocol.credit_control import (
    CreditControlRequest,
    FilterRule,
    QosFinalUnitIndication,
    SubscriptionId,
    TrafficEnd,
    UserEquipmentInfo,
)
from protocol.credit_control_reader import read_ccr
from protocol.credit_control_writer import write_ccr
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.members import Reading
from protocol.qos_final_unit import read_qos_final_unit, write_qos_final_unit


def tree(data, start=0):
    """AVP codes, inner groups as tuples of (code, members)."""
    groups = {669, 509, 511, 515, 516, 522, 531, 665}
    return [
        (code, tree(data[begin:end])) if code in groups else code
        for code, _, _, begin, end in iter_avps(data, start, len(data))
    ]


@pytest.mark.rule("C-049")
def test_a_restriction():
    rule = FilterRule(
        True, 1, 17, TrafficEnd("192.0.2.0", 24, ports=((53, 53), (1000, 2000))),
        TrafficEnd(assigned=True, negated=True),
    )
    octets = write_qos_final_unit(QosFinalUnitIndication(2, (rule,), ("portal",)))
    assert tree(octets) == [
        (669, [
            449,
            (509, [510, (511, [512, 513, 514, (515, [(522, [518, 523]), 530, (531, [532, 533])]),
                                    (516, [517, 534])]), 572]),
            11,
        ])
    ]
    reading = Reading(octets)
    assert read_qos_final_unit(reading, 0, 8, len(octets)) == QosFinalUnitIndication(
        2, (rule,), ("portal",)
    )
    assert not reading.problems
    code, vendor, flags, *_ = next(iter_avps(octets, 0, len(octets)))
    assert (code, vendor, flags) == (669, 0, 0), "an old peer may pass over it"


@pytest.mark.rule("C-049")
@pytest.mark.parametrize(
    ("member", "code", "payload"),
    [
        ({"redirect_ip": "192.0.2.9"}, 666, bytes.fromhex("0001c0000209")),
        ({"redirect_ip": "2001:db8::1"}, 666, bytes.fromhex(
            "000220010db8000000000000000000000001")),
        ({"redirect_url": "http://topup.example/"}, 667, b"http://topup.example/"),
        ({"redirect_sip_uri": "sip:topup@ims.example"}, 668, b"sip:topup@ims.example"),
    ],
)
def test_a_redirect_has_one_server(member, code, payload):
    octets = write_qos_final_unit(QosFinalUnitIndication(1, **member))
    assert tree(octets) == [(669, [449, (665, [code])])]
    assert encode_avp(code, payload, flags=0) in octets
    assert read_qos_final_unit(Reading(octets), 0, 8, len(octets)) == (
        QosFinalUnitIndication(1, **member)
    )
    decoded = Avp.from_bytes(octets)
    assert (decoded.name, decoded.is_mandatory) == ("QoS-Final-Unit-Indication", False)
    assert [member.code for member in decoded.value] == [449, 665]


def test_what_cannot_be_said():
    with pytest.raises(LocalProtocolError, match="one address"):
        write_qos_final_unit(QosFinalUnitIndication(1, redirect_ip="192.0.2.1", redirect_url="x"))
    octets = encode_avp(669, encode_avp(11, b"portal"))
    reading = Reading(octets)
    assert read_qos_final_unit(reading, 0, 8, len(octets)) is None
    with pytest.raises(RemoteProtocolError, match="Final-Unit-Action"):
        reading.raise_first()


def request(*extra: bytes, **members: Any):
    made = CreditControlRequest(
        "a;1;1", "pgw1.net.example", "net.example", "32251@3gpp.org", 1, 0,
        destination_realm="ocs.example", auth_application_id=4, **members,
    )
    message = write_ccr(made, 1, 2) + b"".join(extra)
    length = len(message).to_bytes(3, "big")
    message = message[:1] + length + message[4:]
    return read_ccr(message, read_header(message))


@pytest.mark.rule("C-080")
@pytest.mark.parametrize(("code", "kind"), [(654, 0), (655, 1), (656, 2), (657, 3), (658, 4)])
def test_equipment_of_each_type(code, kind):
    octets = encode_avp(653, encode_avp(code, b"35", flags=0), flags=0)
    assert request(octets).user_equipment_extension == UserEquipmentInfo(kind, b"35")
    both = request(octets, user_equipment_info=UserEquipmentInfo(0, b"99"))
    assert both.user_equipment_info == UserEquipmentInfo(0, b"99")
    assert both.user_equipment_extension == UserEquipmentInfo(kind, b"35")
    written = UserEquipmentInfo(kind, b"35")
    assert request(user_equipment_extension=written).user_equipment_extension == written


@pytest.mark.rule("C-080", "T161")
@pytest.mark.parametrize(
    ("code", "kind"), [(660, 0), (661, 1), (662, 2), (663, 3), (664, 4)]
)
def test_identities_of_each_type(code, kind):
    octets = encode_avp(659, encode_avp(code, b"15550001", flags=0), flags=0)
    (said,) = request(octets).subscription_ids
    assert (said, said.extended) == (SubscriptionId(kind, "15550001"), True)
    written = SubscriptionId(kind, "15550001", extended=True)
    (said,) = request(subscription_ids=[written]).subscription_ids
    assert said.extended


@pytest.mark.rule("C-080")
@pytest.mark.parametrize(("group", "member", "other"), [(653, 654, 658), (659, 660, 661)])
def test_an_extension_has_one_member(group, member, other):
    two = encode_avp(member, b"1", flags=0) + encode_avp(other, b"2", flags=0)
    with pytest.raises(RemoteProtocolError) as refused:
        request(encode_avp(group, two, flags=0))
    assert refused.value.result_code == 5009
    # A type of the future says nothing to us, and is no reason to refuse.
    new = encode_avp(9999, b"1", flags=0)
    assert request(encode_avp(group, new, flags=0)).user_equipment_extension is None
    assert request(encode_avp(group, b"", flags=0)).subscription_ids == []
