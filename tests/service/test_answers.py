"""Replies as answers: metering, advice of charge, what remains; amounts exact, flags right."""

import pytest

from ocs.amounts import Unit
from ocs.charging.model.messages import (
    Advice,
    Announcement,
    ChargingReply,
    Metering,
    Outcome,
    RatePart,
    ServiceReply,
    Units,
)
from ocs.service.wire.answers import AnswerDefaults, to_answer
from protocol.credit_control import AnnouncementInformation, Money, ServiceOptions
from protocol.credit_control_writer import write_cca
from tests.support.blackbox_client import avps_in
from tests.support.service import HOST, REALM, ccr

DEFAULTS = AnswerDefaults(HOST, REALM, 1)
TGPP = 10415


def answered(reply):
    return to_answer(ccr(2, 1), reply, DEFAULTS, b"")


def service(metering):
    (said,) = answered(
        ChargingReply(Outcome.SUCCESS, [ServiceReply(1, (), metering=metering)])
    ).services
    return said


@pytest.mark.rule("T269")
@pytest.mark.parametrize("triggers", [None, (), (4, 3)])
def test_triggers_are_said_as_they_are_set(triggers):
    assert service(Metering(triggers=triggers)).trigger_types == triggers


def test_nothing_is_said_of_metering_unless_it_is_set():
    assert service(None).options is None
    said = service(Metering())
    assert said.options == ServiceOptions()
    assert said.quota_consumption_time is None


def test_everything_about_metering_is_said():
    said = service(
        Metering(5, 1, 60, None, 0, "gold", 7, Announcement(3, 20, False, "en", 1))
    )
    assert said.quota_consumption_time == 5
    announcement = AnnouncementInformation(3, 20, 0, "en", 1)
    assert said.options == ServiceOptions(0, (1, 60), (7, b"gold"), announcement)


@pytest.mark.rule("T254", "T256", "M-018", "G-010")
@pytest.mark.parametrize(
    "micro,digits,exponent",
    [(2_300_000, 23, -1), (50_000, 5, -2), (-50_000, -5, -2), (0, 0, 0), (1, 1, -6),
     (150_000_000, 150, 0), (1_234_000, 1234, -3)],
)  # fmt: skip
def test_costs_and_what_remains_are_exact(micro, digits, exponent):
    answer = answered(
        ChargingReply(Outcome.SUCCESS, cost_micro=micro, currency="EUR", remaining_micro=micro)
    )
    assert answer.cost_information is not None
    assert answer.cost_information.cost == Money(digits, exponent, 978)
    assert answer.remaining_balance == Money(digits, exponent, 978)


def inside(octets, *path: int):
    """The members of the group that a path of codes leads to."""
    members = avps_in(octets, 0)
    for code in path:
        (group,) = [avp for avp in members if avp.code == code]
        members = avps_in(group.payload, 0)
    return members


def codes(members):
    return [member.code for member in members]


@pytest.mark.rule("G-011", "M-018")
def test_advice_of_charge_stands_in_service_information():
    tariff = (RatePart(Unit.MONEY, 30_000), RatePart(Unit.SECONDS, 100_000, 60))
    reply = ChargingReply(
        Outcome.SUCCESS, currency="EUR",
        advice=Advice(2_300_000, 50_000, tariff, (RatePart(Unit.EVENTS, 70_000, 1),), 10**18),
    )  # fmt: skip
    message = write_cca(answered(reply), 1, 1)
    (information,) = [avp for avp in avps_in(message) if avp.code == 873]
    assert information.vendor == TGPP
    payload = information.payload
    assert codes(inside(payload)) == [2054]
    assert codes(inside(payload, 2054)) == [2053, 2060]
    assert codes(inside(payload, 2054, 2053)) == [2052, 2062, 425]
    accumulated = inside(payload, 2054, 2053, 2052)
    assert [int.from_bytes(one.payload, "big", signed=True) for one in accumulated] == [23, -1]
    assert codes(inside(payload, 2054, 2060)) == [2056, 451, 2057]
    _, setup, usage = inside(payload, 2054, 2060, 2056)
    assert codes(avps_in(setup.payload, 0)) == [454, 2118, 2061]
    assert codes(avps_in(usage.payload, 0)) == [454, 2118, 445, 2061]
    for element, values in ((setup, (1, 3)), (usage, (0, 1))):
        kinds = [int.from_bytes(one.payload, "big") for one in avps_in(element.payload, 0)[:2]]
        assert tuple(kinds) == values
    units = inside(usage.payload, 445)
    assert [int.from_bytes(one.payload, "big") for one in units] == [60]


@pytest.mark.rule("G-011")
def test_no_advice_is_no_service_information():
    assert answered(ChargingReply(Outcome.SUCCESS)).service_information is None
    empty = answered(ChargingReply(Outcome.SUCCESS, currency="EUR", advice=Advice()))
    assert empty.service_information is not None
    assert codes(inside(empty.service_information, 2054)) == []
    refused = ChargingReply(Outcome.CREDIT_LIMIT_REACHED, advice=Advice(1), currency="EUR")
    assert answered(refused).service_information is None


def test_units_beside_metering_are_said_as_ever():
    reply = ServiceReply(1, (), granted=Units(seconds=60), metering=Metering(5))
    (said,) = answered(ChargingReply(Outcome.SUCCESS, [reply])).services
    assert said.granted is not None
    assert said.granted.time == 60
