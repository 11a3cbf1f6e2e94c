"""Rare members of services are read, and advice and options are written as TS 32.299 has them."""

from typing import Any

import pytest

from protocol.codec import (
    encode_avp,
    encode_grouped,
    encode_time,
    encode_u32,
    encode_u64,
    encode_utf8,
    read_header,
)
from protocol.credit_control import (
    AfCorrelation,
    AnnouncementInformation,
    CreditControlAnswer,
    Envelope,
    MultipleServices,
    RadioAccess,
    ServiceOptions,
    ServiceSpecificInfo,
)
from protocol.credit_control_reader import read_ccr
from protocol.credit_control_writer import write_cca
from protocol.errors import RemoteProtocolError
from protocol.layout_cache import CcrReader
from protocol.service_extras import AdviceOfCharge, RateElement, write_advice
from tests.support import gateway_messages
from tests.support.blackbox_client import avps_in

TGPP = 10415
NOON_NS = 1_767_268_800 * 10**9


def request(*members: bytes) -> bytes:
    head = gateway_messages.all_shapes()["magma-authorization-only"][20:]
    return gateway_messages.ccr(head + encode_grouped(456, b"".join(members)))


def service_of(*members: bytes) -> MultipleServices:
    message = request(*members)
    (service,) = read_ccr(message, read_header(message)).services
    return service


def vm(code: int, payload: bytes) -> bytes:
    return encode_avp(code, payload, TGPP)


FLOWS = vm(510, vm(518, (1).to_bytes(4, "big")) + vm(509, (2).to_bytes(4, "big")))
EXTRAS = [
    (
        vm(1249, encode_utf8(863, "gold", TGPP) + encode_u32(1257, 4, TGPP)),
        ServiceSpecificInfo("gold", 4),
    ),
    (vm(1249, b""), ServiceSpecificInfo()),
    (vm(1276, vm(505, b"icid-1") + FLOWS), AfCorrelation(b"icid-1", ((1, (2,)),))),
    (
        vm(1266, encode_time(1269, NOON_NS, TGPP) + encode_u64(421, 77)),
        Envelope(NOON_NS, total_octets=77),
    ),
    (
        vm(1266, encode_time(1269, NOON_NS, TGPP) + encode_time(1267, NOON_NS + 10**9, TGPP)),
        Envelope(NOON_NS, NOON_NS + 10**9),
    ),
    (vm(21, b"\x06"), RadioAccess(6)),
]


@pytest.mark.rule("G-009", "G-129")
@pytest.mark.parametrize("avp,value", EXTRAS)
def test_rare_members_of_a_service(avp, value):
    assert service_of(avp).extras == (value,)


@pytest.mark.rule("G-009")
def test_rare_members_keep_their_order_and_may_repeat():
    chosen = [EXTRAS[number] for number in (5, 0, 2, 0)]
    message = request(encode_u32(432, 7), *(avp for avp, _ in chosen))
    reader = CcrReader()
    for _ in range(5):
        (service,) = reader.read(message, read_header(message)).services
        assert service.extras == tuple(value for _, value in chosen)
        assert service.rating_group == 7
    assert reader.layouts.hits == 2


@pytest.mark.rule("G-124")
def test_times_of_events_stand_in_the_usage():
    times = (NOON_NS, NOON_NS + 10**9)
    used = encode_grouped(446, b"".join(encode_time(1258, one, TGPP) for one in times))
    assert service_of(used).used[0].event_times_ns == times


@pytest.mark.parametrize(
    "member,code,failed",
    [
        (vm(1276, FLOWS), 5005, 505),
        (vm(1266, b""), 5005, 1269),
        (vm(21, b""), 5004, 21),
        (encode_grouped(446, vm(1258, b"\0\0")), 5014, 1258),
    ],
)
def test_rare_members_that_are_wrong(member, code, failed):
    with pytest.raises(RemoteProtocolError) as caught:
        service_of(member)
    assert caught.value.result_code == code
    assert avps_in(caught.value.failed_avp, 0)[0].code == failed


# --------------------------------------------------------------------------------- writing


def tree(octets: bytes) -> list[Any]:
    """(code, vendor, flags, value or members) of AVPs, groups by their codes."""
    groups = {456, 865, 1270, 3904, 2054, 2053, 2052, 2062, 2060, 2056, 2057, 2058, 2061, 445}
    found = []
    for avp in avps_in(octets, 0):
        inside = tree(avp.payload) if avp.code in groups else avp.payload
        found.append((avp.code, avp.vendor, avp.raw[4] & 0x40, inside))
    return found


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def written(options: ServiceOptions) -> list[Any]:
    answer = CreditControlAnswer("s", 2001, "ocs.example", "example")
    answer.services = [MultipleServices(options=options)]
    service = next(avp for avp in avps_in(write_cca(answer, 1, 1)) if avp.code == 456)
    return tree(service.payload)


@pytest.mark.parametrize(
    "options,expected",
    [
        (ServiceOptions(), []),
        (ServiceOptions(envelope_reporting=0), [(1268, TGPP, 0x40, u32(0))]),
        (
            ServiceOptions(time_quota_mechanism=(1, 60)),
            [(1270, TGPP, 0x40, [(1271, TGPP, 0x40, u32(1)), (1265, TGPP, 0x40, u32(60))])],
        ),
        (
            ServiceOptions(furnished=(7, b"gold")),
            [(865, TGPP, 0x40, [(2, TGPP, 0x40, u32(7)), (866, TGPP, 0x40, b"gold")])],
        ),
        (
            ServiceOptions(announcement=AnnouncementInformation(5, 20, 1, "en", 0)),
            [
                (3904, TGPP, 0x40, [
                    (3905, TGPP, 0x40, u32(5)), (3911, TGPP, 0x40, u32(20)),
                    (3912, TGPP, 0x40, u32(1)), (3913, TGPP, 0x40, u32(0)),
                    (3914, TGPP, 0x40, b"en"),
                ])
            ],
        ),
        (
            ServiceOptions(announcement=AnnouncementInformation(5)),
            [(3904, TGPP, 0x40, [(3905, TGPP, 0x40, u32(5))])],
        ),
    ],
)  # fmt: skip
def test_options_are_written_beside_a_grant(options, expected):
    assert written(options) == expected


@pytest.mark.rule("G-011")
def test_advice_of_charge_is_cost_and_tariff():
    advice = AdviceOfCharge(
        978, (23, -1), (5, -2),
        (RateElement(1, 3, (3, -2)), RateElement(0, 1, (1, -1), (6, 1))),
        (RateElement(0, 1, (2, -1), (60, 0)),), NOON_NS,
    )  # fmt: skip
    euro = (425, 0, 0x40, u32(978))

    def digits(code, vendor, number, exponent):
        members = [(447, 0, 0x40, u64(number))]
        if exponent:
            members.append((429, 0, 0x40, exponent.to_bytes(4, "big", signed=True)))
        return code, vendor, 0x40, members

    setup = [(454, 0, 0x40, u32(1)), (2118, TGPP, 0x40, u32(3)), digits(2061, TGPP, 3, -2)]
    usage = [(454, 0, 0x40, u32(0)), (2118, TGPP, 0x40, u32(1)), digits(445, 0, 6, 1),
             digits(2061, TGPP, 1, -1)]  # fmt: skip
    later = [*usage[:2], digits(445, 0, 60, 0), digits(2061, TGPP, 2, -1)]
    (change,) = avps_in(encode_time(451, NOON_NS), 0)
    assert tree(write_advice(advice)) == [
        (2054, TGPP, 0x40, [
            (2053, TGPP, 0x40, [
                digits(2052, TGPP, 23, -1), digits(2062, TGPP, 5, -2), euro,
            ]),
            (2060, TGPP, 0x40, [
                (2056, TGPP, 0x40, [
                    euro, (2058, TGPP, 0x40, setup), (2058, TGPP, 0x40, usage),
                ]),
                (451, 0, 0x40, change.payload),
                (2057, TGPP, 0x40, [euro, (2058, TGPP, 0x40, later)]),
            ]),
        ]),
    ]  # fmt: skip


@pytest.mark.rule("G-011")
def test_advice_says_only_what_there_is():
    assert tree(write_advice(AdviceOfCharge(978))) == [(2054, TGPP, 0x40, [])]
    (only,) = tree(write_advice(AdviceOfCharge(392, accumulated=(150, 0))))
    assert [member[0] for member in only[3]] == [2053]
