"""Final units, pools and second quotas of a decision as they go out."""

import pytest

from ocs.amounts import EVENTS, OCTETS, SECONDS
from ocs.charging.model.messages import (
    ChargingReply,
    FinalUnit,
    Outcome,
    PoolShare,
    ServiceReply,
    TariffSide,
    Units,
)
from ocs.service.wire.answers import AnswerDefaults, to_answer
from ocs.service.wire.final_units import plain_indication, qos_indication
from protocol.credit_control import (
    FilterRule,
    PoolReference,
    QosFinalUnitIndication,
    TrafficEnd,
)
from tests.support.service import ccr

DEFAULTS = AnswerDefaults("ocs1.ocs.example", "ocs.example", 1)


def answered(service: ServiceReply):
    reply = ChargingReply(Outcome.SUCCESS, [service], currency="EUR")
    return to_answer(ccr(1, 0), reply, DEFAULTS, b"")


@pytest.mark.rule("C-049")
@pytest.mark.parametrize(
    ("kind", "address", "member"),
    [
        (0, "192.0.2.1", "redirect_ip"),
        (1, "2001:db8::1", "redirect_ip"),
        (2, "http://topup.example/", "redirect_url"),
        (3, "sip:topup@ims.example", "redirect_sip_uri"),
    ],
)
def test_a_redirect_of_each_kind(kind, address, member):
    final = FinalUnit(1, kind, address, qos=True)
    assert qos_indication(final) == QosFinalUnitIndication(1, **{member: address})
    (service,) = answered(ServiceReply(100, (), final_unit=final)).services
    assert service.final_unit == plain_indication(final), "old clients are told too"
    assert service.qos_final_unit == qos_indication(final)


@pytest.mark.rule("C-049")
def test_a_restriction_by_rules():
    final = FinalUnit(
        2, restriction_filter_rules=(
            "permit out 17 from 192.0.2.80 53 to assigned", "deny in ip from any to 2001:db8::/32",
        ), filter_ids=("portal",), qos=True,
    )
    assert qos_indication(final) == QosFinalUnitIndication(
        2,
        (
            FilterRule(True, 1, 17, TrafficEnd("192.0.2.80", ports=((53, 53),)),
                       TrafficEnd(assigned=True)),
            FilterRule(False, 0, None, TrafficEnd(), TrafficEnd("2001:db8::", 32)),
        ),
        ("portal",),
    )


@pytest.mark.rule("C-049", "C-022")
def test_said_at_command_level_too():
    said = ServiceReply(None, (), command_level=True, final_unit=FinalUnit(2, qos=True))
    answer = answered(said)
    assert answer.final_unit is not None
    assert answer.qos_final_unit == QosFinalUnitIndication(2)
    plain = ServiceReply(None, (), command_level=True, final_unit=FinalUnit(2))
    assert answered(plain).qos_final_unit is None


@pytest.mark.rule("C-070")
@pytest.mark.parametrize(
    ("granted", "unit", "kinds"),
    [
        (Units(octets=5), OCTETS, [2]),
        (Units(input_octets=5), OCTETS, [3]),
        (Units(input_octets=5, output_octets=6), OCTETS, [3, 4]),
        (Units(seconds=60, octets=5), OCTETS, [2]),
        (Units(seconds=5), SECONDS, [0]),
        (Units(events=5), EVENTS, [5]),
    ],
)
def test_a_pool_is_named_for_each_kind_of_its_units(granted, unit, kinds):
    service = ServiceReply(100, (), granted=granted, pools=(PoolShare(7, unit, 25, -1),))
    (said,) = answered(service).services
    assert said.pool_references == tuple(PoolReference(7, kind, 25, -1) for kind in kinds)


@pytest.mark.rule("C-063")
def test_a_quota_for_each_side_of_a_switch():
    for side in (TariffSide.BEFORE, TariffSide.AFTER):
        service = ServiceReply(
            100, (), granted=Units(octets=5), tariff_change_ns=10**18, tariff_side=side
        )
        (said,) = answered(service).services
        assert said.tariff_change_usage == side
        assert said.granted is not None
        assert said.granted.tariff_time_change_ns == 10**18
    (said,) = answered(ServiceReply(100, ())).services
    assert said.tariff_change_usage is None
