"""Section 4.11: tariff switches, credit pools, time beside volume; QoS final units, bad usage."""

from collections.abc import Iterator
from fractions import Fraction

import pytest

from ocs.amounts import INT64_MAX
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.usage import reviews
from protocol.codec import encode_avp, encode_grouped, encode_i64, encode_u32, encode_u64
from protocol.credit_control import (
    FilterRule,
    FinalUnitIndication,
    PoolReference,
    QosFinalUnitIndication,
    ServiceUnits,
    TrafficEnd,
)
from tests.support.blackbox import World, catalogue_text
from tests.support.blackbox_client import EUR, TGPP, Dialogue, mscc, with_more

MB = 1_000_000
DAY, NOON, TEN_MINUTES = 86_400, 43_200, 600
PEERS = [
    {"origin_host": "pgw1.net.example"},
    {"origin_host": "rfc.net.example", "profile": "rfc"},
    {"origin_host": "sip.net.example", "profile": "siphon"},
]
PROFILES = [
    {"name": "rfc", "pools": True, "dual_tariff_quota": True, "qos_final_unit": True}
]
QOS_PLAN = """
  restrict-qos:
    final_unit:
      action: restrict
      qos: true
      filter_rules: [permit out 17 from 192.0.2.80/30 53 to assigned]
      filter_ids: [operator-pages]
    services:
      data: {price: 0.05, per: 1 MB, increment: 1 MB}
  redirect-qos:
    final_unit: {action: redirect, url: "http://topup.example/", qos: true}
    services:
      data: {price: 0.05, per: 1 MB, increment: 1 MB}
  clock:
    services:
      video: {price: 0.05, per: 1 MB, increment: 1 MB}
      video-time: {price: 0.12, per: 1 min, increment: 1 s}
  clock-limit:
    services:
      video: {price: 0.05, per: 1 MB, increment: 1 MB}
      video-time: free
  switching:
    services:
      switching-data:
        prices:
          - {price: 0.05, per: 1 MB, increment: 1 MB}
          - {time_band: afternoon, price: 0.08, per: 1 MB, increment: 1 MB}
"""
SERVICES = """
  video:
    contexts: 32251@3gpp.org
    rating_groups: [700]
    together_with: video-time
    unit: octets
    quota: {slice: 10 MB, validity: 30 s, short_validity: 20 s}
  video-time:
    contexts: 32251@3gpp.org
    unit: seconds
    quota: {slice: 60 s, validity: 30 s, short_validity: 20 s}
  switching-data:
    contexts: 32251@3gpp.org
    rating_groups: [800]
    unit: octets
    quota: {slice: 10 MB, validity: 900 s}

plans:
"""


def make_catalogue() -> str:
    """The catalogue of the list, with what gets dearer at noon, counts time, or knows QoS."""
    text = catalogue_text().replace("\nplans:\n", SERVICES, 1) + QOS_PLAN
    bands = "time_zone: UTC\ntime_bands:\n  afternoon: {from: 12:00, to: 24:00}\n"
    return text.replace("currency: EUR\n", f"currency: EUR\n{bands}", 1)


@pytest.fixture(scope="module")
def quota_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    diameter = {"peers": PEERS, "profiles": PROFILES}
    world = World(tmp_path_factory.mktemp("quotas"), diameter=diameter)
    catalogs.publish(world.desk, make_catalogue(), "quotas.yaml")
    with world:
        yield world


@pytest.fixture
def world(quota_world: World) -> Iterator[World]:
    yield quota_world
    quota_world.check()


@pytest.fixture
def rfc(world):
    """A client that knows everything of RFC 8506."""
    with world.peer("rfc.net.example") as peer:
        yield peer


@pytest.fixture
def before_noon(world: World) -> int:
    """It is ten minutes before noon, when prices change; return noon in seconds since 1970."""
    now = world.now_ns() // 10**9
    world.advance((NOON - TEN_MINUTES - now % DAY) % DAY)
    noon: int = world.now_ns() // 10**9 // DAY * DAY + NOON
    return noon


# ------------------------------------------------------------------------------ tariff switches


@pytest.mark.rule("T244", "T245", "G12")
def test_T244_T245_volume_over_a_switch(world, p1, before_noon):
    a7 = world.account("A7", plan="switching")
    gy = Dialogue(p1, a7)
    answer = gy.initial(mscc(800, {}))
    assert answer.granted == ServiceUnits(
        total_octets=10 * MB, tariff_time_change_ns=before_noon * 10**9
    )
    assert answer.service.tariff_change_usage is None
    world.check_money(a7, "1.00", "0.80")
    used = [{"tcu": 0, "total": 3_900_000}, {"tcu": 1, "total": 4_100_000},
            {"tcu": 2, "total": 150_000}]
    assert gy.update(mscc(800, used=used)).service.result_code == 2001
    world.check_money(a7, "0.35", "0")


@pytest.mark.rule("T247", "C-064")
def test_T247_a_client_without_tariff_support(world, before_noon):
    a7 = world.account("A7", plan="switching")
    with world.peer("sip.net.example") as peer:
        answer = Dialogue(peer, a7).initial(mscc(800, {}))
    assert answer.granted == ServiceUnits(total_octets=10 * MB)
    assert 0 < before_noon - world.now_ns() // 10**9 - answer.service.validity_time < 5
    world.check_money(a7, "1.00", "0.50")


@pytest.mark.rule("T248", "C-063", "I-005")
def test_T248_a_quota_for_each_side_of_a_switch(world, rfc, before_noon):
    a1 = world.account("A1", plan="switching")
    gy = Dialogue(rfc, a1)
    opening = gy.message(1, mscc(800, {}))
    answer = rfc.ask_for(opening)
    first, second = answer.cca.services
    for side, said in enumerate((first, second)):
        assert (said.rating_group, said.result_code, said.tariff_change_usage) == (800, 2001, side)
        assert said.granted == ServiceUnits(
            total_octets=10 * MB, tariff_time_change_ns=before_noon * 10**9
        )
    world.check_money(a1, "10.00", "1.30")
    assert rfc.ask_for(rfc.again(opening)).without_hop() == answer.without_hop()
    used = [{"tcu": 0, "total": 10 * MB}, {"tcu": 1, "total": 10 * MB}]
    assert gy.terminate(mscc(800, used=used)).code == 2001
    world.check_money(a1, "8.70", "0")


# ---------------------------------------------------------------------------------------- pools


def worth(reference: PoolReference) -> Fraction | int:
    return reference.multiplier_digits * Fraction(10) ** reference.multiplier_exponent


@pytest.mark.rule("T250", "T251", "G16", "C-070", "C-071")
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("balance", ["10.00", "4.00"])
def test_T250_T251_a_pool(world, rfc, balance, together):
    account = world.account("A1", balance=balance)
    gy = Dialogue(rfc, account)
    answer = gy.initial(mscc(101, {}), mscc(102, {}))
    first, second = answer.cca.services
    (one,), (two,) = first.pool_references, second.pool_references
    assert (one.pool_identifier, one.unit_type) == (two.pool_identifier, two.unit_type) == (1, 2)
    assert (worth(one), worth(two)) == (10, 5)
    assert (first.granted.total_octets, second.granted.total_octets) == (2 * MB, 4 * MB)
    world.check_money(account, balance, "4.00")
    reports = [mscc(101, used={"total": 3 * MB}), mscc(102, used={"total": 2 * MB})]
    if together:
        assert gy.update(*reports).code == 2001
    else:
        for report in reports:
            assert gy.update(report).service.result_code == 2001
    world.check_money(account, f"{float(balance) - 4:.2f}", "0")
    assert world.desk.reports.account(account.account_id).flags == 0, "no over-usage"
    assert [line["amount"] for line in world.ledger(account)] == [-3_000_000, -1_000_000]


@pytest.mark.rule("C-073")
def test_no_pool_for_others(world, p1):
    a1 = world.account("A1")
    answer = Dialogue(p1, a1).initial(mscc(101, {}), mscc(102, {}))
    assert [service.pool_references for service in answer.cca.services] == [(), ()]
    assert not answer.all(457)
    world.check_money(a1, "10.00", "4.00")


@pytest.mark.rule("C-072")
def test_a_member_leaves_its_rest_to_the_pool(world, rfc):
    a1 = world.account("A1")
    gy = Dialogue(rfc, a1)
    gy.initial(mscc(101, {}), mscc(102, {}))
    gy.update(mscc(101, used={"total": 500_000}, reason=2))
    world.check_money(a1, "9.00", "3.00")
    answer = gy.update(mscc(102, {}, used={"total": 6 * MB}))
    assert len(answer.service.pool_references) == 1
    world.check_money(a1, "6.00", "2.00")
    gy.terminate()
    world.check_money(a1, "6.00", "0")


# ---------------------------------------------------------------------- time and volume together


@pytest.mark.rule("T265", "G23", "G-001", "M-015")
@pytest.mark.parametrize(("plan", "cost"), [("clock-limit", "0.50"), ("clock", "0.61")])
def test_T265_time_and_volume_together(world, p1, plan, cost):
    account = world.account("A1", plan=plan)
    gy = Dialogue(p1, account)
    answer = gy.initial(mscc(700, {}))
    both = ServiceUnits(time=60, total_octets=10 * MB)
    assert answer.granted == both
    assert answer.service.time_quota_threshold == 12
    assert answer.service.volume_quota_threshold == 2 * MB
    held = "0.50" if plan == "clock-limit" else "0.62"
    world.check_money(account, "10.00", held)
    used = [{"reason": 3, "total": 10 * MB}, {"reason": 5, "time": 55}]
    answer = gy.update(mscc(700, {}, used=used))
    assert (answer.code, answer.granted) == (2001, both)
    world.check_money(account, f"{10 - float(cost):.2f}", held)
    gy.terminate()
    world.check_money(account, f"{10 - float(cost):.2f}", "0")


@pytest.mark.rule("T265", "G23")
def test_T265_time_asked_for_beside_volume_is_a_limit(world, p1):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    both = ServiceUnits(time=60, total_octets=10 * MB)
    asked = {"total": 10 * MB, "time": 60}
    assert gy.initial(mscc(100, asked)).granted == both
    used = [{"reason": 3, "total": 10 * MB}, {"reason": 5, "time": 55}]
    assert gy.update(mscc(100, asked, used=used)).granted == both
    world.check_money(a1, "9.50", "0.50")


# --------------------------------------------------------------------------------- final units


@pytest.mark.rule("C-049", "T200")
def test_a_restriction_with_qos_stands_beside_the_plain_one(world, rfc, p1):
    plain = FinalUnitIndication(
        2, restriction_filter_rules=("permit out 17 from 192.0.2.80/30 53 to assigned",),
        filter_ids=("operator-pages",),
    )
    rule = FilterRule(
        True, 1, 17, TrafficEnd("192.0.2.80", 30, ports=((53, 53),)), TrafficEnd(assigned=True)
    )
    for peer, qos in (
        (rfc, QosFinalUnitIndication(2, (rule,), ("operator-pages",))), (p1, None)
    ):
        a2 = world.account("A2", plan="restrict-qos")
        answer = Dialogue(peer, a2).initial(mscc(100, {}))
        assert answer.granted.total_octets == 4 * MB
        assert answer.service.final_unit == plain
        assert answer.service.qos_final_unit == qos
        world.check_money(a2, "0.23", "0.20")


@pytest.mark.rule("C-049", "T194")
def test_a_redirect_with_qos(world, rfc):
    a2 = world.account("A2", plan="redirect-qos")
    service = Dialogue(rfc, a2).initial(mscc(100, {})).service
    assert service.final_unit == FinalUnitIndication(1, 2, "http://topup.example/")
    assert service.qos_final_unit == QosFinalUnitIndication(
        1, redirect_url="http://topup.example/"
    )


# -------------------------------------------------------------------------------- sub-sessions


@pytest.mark.rule("C-008", "T157")
def test_T157_without_its_number_only_the_main_session_is_meant(world, p1):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    assert gy.initial(mscc(100, {}), sub_session_id=1, number=0).code == 2001
    assert gy.update(mscc(100, {}), number=1).code == 5002
    assert gy.terminate(number=2).code == 5002
    world.check_money(a1, "10.00", "0.50")
    # The main session and both sub-sessions count their requests for themselves.
    for sub_session in (None, 2**64 - 1):
        answer = gy.initial(mscc(100, {}), sub_session_id=sub_session, number=0)
        assert (answer.code, answer.cca.sub_session_id) == (2001, sub_session)
    world.check_money(a1, "10.00", "1.50")
    used = mscc(100, used={"total": MB})
    assert gy.terminate(used, number=1).code == 2001
    world.check_money(a1, "9.95", "1.00")
    assert gy.terminate(used, sub_session_id=2, number=1).code == 5002
    for sub_session in (1, 2**64 - 1):
        assert world.session_state(gy.session_id, sub_session) == "open"
        answer = gy.terminate(used, sub_session_id=sub_session, number=1)
        assert (answer.code, answer.cca.sub_session_id) == (2001, sub_session)
    world.check_money(a1, "9.85", "0")


# ----------------------------------------------------------------------------------- bad usage


@pytest.mark.rule("D26", "D22")
@pytest.mark.parametrize(("group", "code"), [(999, 5031), (400, 5003)])
def test_usage_that_cannot_be_rated_waits_for_a_person(world, p1, group, code):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}))
    update = gy.message(2, mscc(group, {}, used={"total": 700}), mscc(100, {}, used={"total": MB}))
    answer = p1.ask_for(update)
    assert [service.result_code for service in answer.cca.services] == [code, 2001]
    world.check_money(a1, "9.95", "0.50")
    assert p1.ask_for(p1.again(update)).without_hop() == answer.without_hop()
    (parked,) = world.parked(a1)
    assert (parked["kind"], parked["units"], parked["unit"]) == ("unrated-usage", 700, "octets")


@pytest.mark.rule("D26")
@pytest.mark.parametrize("octets", [2**53 + 1, 2**63, 2**64 - 1])
def test_more_octets_than_can_be_are_not_debited_and_not_lost(world, p1, octets):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}))
    answer = gy.update(mscc(100, {}, used={"total": octets}))
    assert (answer.code, answer.service.result_code) == (2001, 5004)
    world.check_money(a1, "10.00", "0.50")
    (parked,) = world.parked(a1)
    assert parked["units"] == min(octets, INT64_MAX)
    (record,) = [one.record for one in world.records(a1) if one.record.number == 1]
    assert record.services[0].used[0].units.octets == octets
    assert gy.terminate(mscc(100, used={"total": 1})).code == 2001
    world.check_money(a1, "9.95", "0")


@pytest.mark.rule("D26", "M-018")
@pytest.mark.parametrize(
    ("digits", "exponent"),
    [(-125, -2), (-(2**63), 0), (2**63 - 1, 18), (1, 2**31 - 1), (1, -(2**31)), (1, -7)],
)
def test_money_that_is_no_amount(world, p1, digits, exponent):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    answer = gy.initial(mscc(100, {"money": (digits, exponent, EUR)}))
    assert (answer.code, answer.service.result_code) == (2001, 5004)
    answer = gy.update(mscc(100, used={"money": (digits, exponent, EUR)}))
    assert (answer.code, answer.service.result_code) == (2001, 5004)
    world.check_money(a1, "10.00", "0")
    (parked,) = world.parked(a1)
    assert str(digits) in parked["reason"]
    assert gy.terminate(mscc(100, used={"money": (80, -2, EUR)})).code == 2001
    world.check_money(a1, "9.20", "0")


@pytest.mark.rule("D05")
@pytest.mark.parametrize("seconds", [1_000, 2**32 - 1])
def test_more_seconds_than_the_clock_are_debited_up_to_what_can_be(world, p1, seconds):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    gy.initial(mscc(500, {}))
    assert gy.update(mscc(500, used={"time": seconds})).service.result_code == 2001
    (parked,) = world.parked(a1)
    assert parked["kind"] == "parked-usage"
    debited = seconds - parked["units"]
    # The tolerance of 300 s, and the seconds that this test takes.
    assert 300 <= debited <= 360
    assert world.money(a1) == (10_000_000 - debited * 2000, 0)


@pytest.mark.rule("D05")
def test_more_octets_than_the_bearer_carries_are_debited_up_to_what_can_be(world, p1):
    a1 = world.account("A1", balance="1000.00")
    gy = Dialogue(p1, a1)
    rates = encode_u32(1041, 4_000_000, TGPP) + encode_u32(1040, 4_000_000, TGPP)
    bearer = encode_grouped(874, encode_grouped(1016, rates, TGPP), TGPP)
    gy.initial(mscc(100, {}), service_information=bearer)
    used = mscc(100, {}, used={"total": 10**12})
    assert gy.update(used).service.result_code == 2001
    (parked,) = world.parked(a1)
    assert parked["kind"] == "parked-usage"
    debited = 10**12 - parked["units"]
    # A million octets a second, and the tolerance of 100 MB.
    assert 101 * MB <= debited <= 160 * MB
    balance, held = world.money(a1)
    assert (balance, held) == (10**9 - -(-debited // MB) * 50_000, 500_000)
    assert world.desk.reports.account(a1.account_id).flags


@pytest.mark.rule("C-027")
def test_units_that_the_service_is_not_charged_in(world, p1):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    answer = gy.initial(mscc(100, {"time": 60}), mscc(500, {"total": MB}))
    assert answer.code == 2001
    assert [service.result_code for service in answer.cca.services] == [5031, 5031]
    assert all(service.granted is None for service in answer.cca.services)
    world.check_money(a1, "10.00", "0")
    assert gy.update(mscc(100, used={"time": 60})).service.result_code == 2001
    (parked,) = world.parked(a1)
    assert (parked["kind"], parked["units"], parked["unit"]) == ("unrated-usage", 60, "seconds")


@pytest.mark.rule("D26", "B-032")
def test_counters_of_the_wrong_size_change_nothing(world, p1):
    a1 = world.account("A1")
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}))
    for units in (encode_avp(421, b"\xff" * 4), encode_avp(420, b"\xff" * 8)):
        used = encode_avp(456, encode_avp(446, units))
        assert p1.ask_for(with_more(gy.message(2), used)).code == 5014
    money = encode_avp(413, encode_avp(445, encode_i64(447, 1) + encode_u64(429, 1)))
    used = encode_avp(456, encode_avp(446, money))
    assert p1.ask_for(with_more(gy.message(2), used)).code == 5014
    world.check_money(a1, "10.00", "0.50")
    assert not [one for one in reviews.listing(world.desk) if one["session_id"] == gy.session_id]
