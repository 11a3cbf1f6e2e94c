"""Section 4.11, what answers say beside units: costs, what remains, thresholds, metering."""

from collections.abc import Iterator
from fractions import Fraction

import pytest

from ocs.provisioning.catalogues import catalogs
from protocol.credit_control import Money, RequestType, ServiceUnits
from tests.support.blackbox import World, catalogue_text
from tests.support.blackbox_client import EUR, IMS, SMS, TGPP, Answer, Avp, Dialogue, avps_in, mscc

COST_INFORMATION, SERVICE_INFORMATION = 423, 873
AOC_FULL, AOC_COST_ONLY, AOC_TARIFF_ONLY = 1, 2, 3
DEBIT, REFUND, CHECK, PRICE = range(4)
MSCC, TRIGGER = 456, 1264
PEERS = [
    {"origin_host": "pgw1.net.example"},
    {"origin_host": "smf.net.example", "profile": "open5gs"},
    {"origin_host": "own.net.example", "profile": "own"},
]
PROFILES = [
    {
        "name": "own",
        "cc_session_failover": "not-supported",
        "credit_control_failure_handling": "terminate",
        "direct_debiting_failure_handling": "terminate-or-buffer",
    }
]
CHARGING = {
    "low_balance_indication": True,
    "remaining_balance": "with-reservations",
    "cc_session_failover": "supported",
    "credit_control_failure_handling": "retry-and-terminate",
    "direct_debiting_failure_handling": "continue",
}
SERVICES = """
  told:
    contexts: 32251@3gpp.org
    rating_groups: [900]
    unit: octets
    quota:
      slice: 10 MB
      threshold: 20 %
      quota_holding_time: 5 min
      triggers: [rat, location]
      envelopes: volume
  never-idle:
    contexts: 32251@3gpp.org
    rating_groups: [901]
    unit: octets
    quota: {slice: 10 MB, threshold: 50 %, threshold_maximum: 1 MB, quota_holding_time: 0,
            triggers: []}
  timed:
    contexts: 32251@3gpp.org
    rating_groups: [902]
    unit: seconds
    quota:
      slice: 10 min
      consumption_time: 10 s
      announcement: {identifier: 5, before_end: 20 s, language: en}
  intervals:
    contexts: 32251@3gpp.org
    rating_groups: [903]
    unit: seconds
    quota: {slice: 10 min, threshold: 0 %, time_mechanism: {type: continuous, interval: 1 min}}
  pages:
    contexts: 32251@3gpp.org
    rating_groups: [904]
    unit: events
    quota: {slice: 10, maximum: 100}

plans:
"""
TERMS = """
  telling:
    low_balance: 5.00
    services:
      data: {price: 0.05, per: 1 MB, increment: 1 MB}
      told: {price: 0.05, per: 1 MB, increment: 1 MB}
      never-idle: {price: 0.05, per: 1 MB, increment: 1 MB}
      timed: {price: 0.12, per: 1 min, increment: 1 s}
      intervals: {price: 0.12, per: 1 min, increment: 1 s}
      pages: {price: 0.01}
      call-with-setup: {price: 0.10, per: 1 min, increment: 1 s, setup: 0.03}
      message: {price: 0.07}
"""


@pytest.fixture(scope="module")
def telling_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    diameter = {"peers": PEERS, "profiles": PROFILES}
    world = World(tmp_path_factory.mktemp("telling"), diameter=diameter, charging=CHARGING)
    text = catalogue_text().replace("\nplans:\n", SERVICES, 1) + TERMS
    catalogs.publish(world.desk, text, "telling.yaml")
    with world:
        yield world


@pytest.fixture
def world(telling_world: World) -> Iterator[World]:
    yield telling_world
    telling_world.check()


@pytest.fixture
def a1(world):
    return world.account("A1", plan="telling")


def worth(money: Money) -> Fraction:
    return Fraction(money.value_digits) * Fraction(10) ** money.exponent


def members(answer: Answer, *path: int) -> list[Avp]:
    """The AVPs inside the only group that a path of codes leads to."""
    found = answer.avps
    for code in path:
        (group,) = [avp for avp in found if avp.code == code]
        found = avps_in(group.payload, 0)
    return found


def service(answer: Answer) -> dict[int, Avp]:
    """The members of the only MSCC by code."""
    return {avp.code: avp for avp in members(answer, MSCC)}


def number(avp: Avp) -> int:
    return int.from_bytes(avp.payload, "big", signed=True)


# --------------------------------------------------------------------------------------- costs


@pytest.mark.rule("C-137", "G-011", "M-018", "T253", "T254")
def test_T253_T254_costs_of_a_session(world, p1, a1):
    gy = Dialogue(p1, a1)
    first = gy.initial(mscc(100, {}), aoc_request_type=AOC_FULL)
    assert not first.all(COST_INFORMATION)
    (advice,) = members(first, SERVICE_INFORMATION)
    assert (advice.code, advice.vendor, advice.flags & 0x40) == (2054, TGPP, 0x40)
    accumulated = members(first, SERVICE_INFORMATION, 2054, 2053, 2052)
    assert [number(avp) for avp in accumulated] == [0]
    update = gy.update(mscc(100, {}, {"total": 45_100_000}), aoc_request_type=AOC_FULL)
    cost = update.cca.cost_information.cost
    assert (worth(cost), cost.currency_code) == (Fraction(23, 10), EUR)
    assert (cost.value_digits, cost.exponent) == (23, -1)
    accumulated = members(update, SERVICE_INFORMATION, 2054, 2053, 2052)
    assert [number(avp) for avp in accumulated] == [23, -1]
    quiet = gy.update(mscc(100, {}, {"total": 900_000}))
    assert not quiet.all(COST_INFORMATION) and not quiet.all(SERVICE_INFORMATION, TGPP)
    last = gy.terminate(mscc(100, used={"total": 2_000_000}))
    assert worth(last.cca.cost_information.cost) == Fraction(24, 10)
    world.check_money(a1, "7.60", "0")


@pytest.mark.rule("G-011", "M-018")
def test_a_tariff_is_setup_and_usage_in_exact_numbers(world, p1, a1):
    ro = Dialogue(p1, a1, IMS)
    answer = ro.initial(mscc(12, {}), aoc_request_type=AOC_TARIFF_ONLY)
    assert not answer.all(COST_INFORMATION)
    (tariff,) = members(answer, SERVICE_INFORMATION, 2054)
    assert (tariff.code, tariff.vendor) == (2060, TGPP)
    currency, setup, usage = members(answer, SERVICE_INFORMATION, 2054, 2060, 2056)
    assert (currency.code, number(currency)) == (425, EUR)
    for element, kind, reason, digits in ((setup, 1, 3, [3, -2]), (usage, 0, 1, [1, -1])):
        parts = {avp.code: avp for avp in avps_in(element.payload, 0)}
        assert (number(parts[454]), number(parts[2118])) == (kind, reason)
        assert [number(avp) for avp in avps_in(parts[2061].payload, 0)] == digits
    assert [number(avp) for avp in avps_in(parts[445].payload, 0)] == [60]
    ro.terminate()


@pytest.mark.rule("C-137", "G-011", "T221", "T254")
def test_costs_of_events(world, p1, a1):
    sms = Dialogue(p1, a1, SMS)
    asked = {"aoc_request_type": AOC_COST_ONLY}
    debit = sms.event(DEBIT, mscc(1, {"events": 2}), **asked)
    assert worth(debit.cca.cost_information.cost) == Fraction(14, 100)
    accumulated = members(debit, SERVICE_INFORMATION, 2054, 2053, 2052)
    assert [number(avp) for avp in accumulated] == [14, -2]
    enquiry = sms.event(PRICE, mscc(1, {"events": 3}), number=1, **asked)
    assert worth(enquiry.cca.cost_information.cost) == Fraction(21, 100)
    assert enquiry.cca.remaining_balance is None
    world.check_money(a1, "9.86", "0")


@pytest.mark.rule("G-011")
def test_a_client_that_asks_always_and_cannot_use_it_is_told_nothing(world, a1):
    with world.peer("smf.net.example") as smf:
        gy = Dialogue(smf, a1)
        for answer in (
            gy.initial(mscc(None, {"total": 1_000_000}), aoc_request_type=AOC_FULL),
            gy.update(mscc(None, {"total": 1_000_000}, {"total": 1}), aoc_request_type=AOC_FULL),
        ):
            assert answer.code == 2001
            assert not answer.all(COST_INFORMATION) and not answer.all(SERVICE_INFORMATION, TGPP)
        gy.terminate()


@pytest.mark.rule("C-140", "G-010", "T256")
def test_T256_what_remains(world, p1, a1):
    gy = Dialogue(p1, a1)
    answers = [
        (gy.initial(mscc(100, {})), "10.00", "0.50"),
        (gy.update(mscc(100, {}, {"total": 10_000_000})), "9.50", "0.50"),
        (gy.terminate(mscc(100, used={"total": 1})), "9.45", "0"),
    ]
    for answer, balance, _ in answers:
        (avp,) = answer.all(2021, TGPP)
        assert [one.code for one in avps_in(avp.payload, 0)] == [445, 425]
        remaining = answer.cca.remaining_balance
        assert (worth(remaining), remaining.currency_code) == (Fraction(balance), EUR)
    world.check_money(a1, *answers[-1][1:])


@pytest.mark.rule("C-140", "G-010")
def test_a_low_balance_is_indicated_when_the_mark_is_passed(world, p1):
    account = world.account("A1", plan="telling", balance="5.04")
    gy = Dialogue(p1, account)
    assert gy.initial(mscc(100, {})).cca.low_balance_indication is None
    assert gy.update(mscc(100, {}, {"total": 1})).cca.low_balance_indication == 1
    assert gy.terminate().cca.low_balance_indication == 1


@pytest.mark.rule("T167")
def test_T167_failure_rules_of_the_server_and_of_a_profile(world, p1, a1):
    codes = ((418, 1), (427, 2), (428, 1))
    answer = Dialogue(p1, a1).initial(mscc(100, {}))
    for code, value in codes:
        assert (number(answer.one(code)), answer.one(code).flags & 0x40) == (value, 0x40)
    with world.peer("own.net.example") as own:
        answer = Dialogue(own, a1).initial(mscc(100, {}))
    assert [number(answer.one(code)) for code, _ in codes] == [0, 0, 0]


# -------------------------------------------------------------------- thresholds and metering


@pytest.mark.rule("T257", "T260", "T269", "G-004", "G-121", "G-122", "G-124", "G-125")
def test_T257_T260_what_goes_with_a_volume(world, p1, a1):
    gy = Dialogue(p1, a1)
    said = service(gy.initial(mscc(900, {})))
    for code, value in ((869, 2_000_000), (871, 300), (1268, 2)):
        avp = said[code]
        assert (number(avp), avp.vendor, avp.flags & 0xC0) == (value, TGPP, 0xC0)
    assert [number(avp) for avp in avps_in(said[TRIGGER].payload, 0)] == [4, 3]
    said = service(gy.update(mscc(900, {}, {"total": 1})))
    assert 1268 not in said and TRIGGER in said
    said = service(gy.update(mscc(900, used={"total": 1})))
    assert not {869, 871, 1268, TRIGGER} & said.keys()
    gy.terminate()


@pytest.mark.rule("G-004", "G-125", "T260", "T269", "G-122")
def test_T269_no_triggers_and_a_quota_that_is_never_idle(world, p1, a1):
    gy = Dialogue(p1, a1)
    answer = gy.initial(mscc(901, {}))
    said = service(answer)
    trigger = said[TRIGGER]
    assert (len(trigger.raw), trigger.payload, trigger.vendor) == (12, b"", TGPP)
    assert number(said[869]) == 1_000_000
    assert number(said[871]) == 0
    gy.terminate()


@pytest.mark.rule("G-125", "T257", "T260")
def test_what_is_not_set_is_not_sent(world, p1, a1):
    gy = Dialogue(p1, a1)
    said = service(gy.initial(mscc(100, {})))
    assert not {871, 881, 1268, 1270, 3904, 865, TRIGGER} & said.keys()
    assert number(said[869]) == 2_000_000
    gy.terminate()


@pytest.mark.rule("T259", "G-004", "G-121")
def test_T259_a_threshold_of_events(world, p1, a1):
    gy = Dialogue(p1, a1)
    said = service(gy.initial(mscc(904, {})))
    assert number(said[1226]) == 2
    assert not {868, 869} & said.keys()
    gy.terminate()


@pytest.mark.rule("G-004", "G-123")
def test_how_time_is_counted(world, p1, a1):
    gy = Dialogue(p1, a1)
    said = service(gy.initial(mscc(902, {})))
    assert (number(said[868]), number(said[881])) == (120, 10)
    assert not {869, 1226, 1270} & said.keys()
    played = {avp.code: avp for avp in avps_in(said[3904].payload, 0)}
    assert (number(played[3905]), number(played[3911])) == (5, 20)
    assert played[3914].payload == b"en"
    said = service(gy.update(mscc(903, {})))
    assert not {868, 881} & said.keys()
    mechanism = [(avp.code, number(avp)) for avp in avps_in(said[1270].payload, 0)]
    assert mechanism == [(1271, 1), (1265, 60)]
    gy.terminate()


@pytest.mark.rule("T266", "G-002")
def test_T266_input_and_output_are_not_added_to_the_total(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}))
    used = {"total": 1_500_000, "up": 500_000, "down": 1_000_000}
    assert gy.terminate(mscc(100, used=used)).code == 2001
    world.check_money(a1, "9.90", "0")


@pytest.mark.rule("T272", "C-025")
def test_T272_one_rating_group_in_two_services(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}))
    answer = gy.update(mscc(100, {}, {"total": 400_000}), mscc(100, used={"total": 700_000}))
    first, second = answer.cca.services
    assert (first.granted, second.granted) == (ServiceUnits(total_octets=10_000_000), None)
    assert (first.result_code, second.result_code) == (2001, 2001)
    world.check_money(a1, "9.90", "0.50")
    gy.terminate()


@pytest.mark.rule("G-008", "T263")
def test_one_service_ends_while_another_goes_on(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}), mscc(900, {}))
    final = 2
    answer = gy.update(
        mscc(100, used={"total": 700_000}, reason=final), mscc(900, {}, {"total": 1_000_000})
    )
    ended, going = answer.cca.services
    assert (ended.result_code, ended.granted) == (2001, None)
    assert going.granted == ServiceUnits(total_octets=10_000_000)
    world.check_money(a1, "9.90", "0.50")
    gy.terminate()


@pytest.mark.rule("G-005")
def test_what_is_used_while_the_answer_is_on_its_way_is_in_the_next_report(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}))
    gy.update(mscc(100, {}, {"total": 9_000_000}))
    # 1.2 MB went through between report and answer; they count against the new grant.
    answer = gy.update(mscc(100, {}, {"total": 11_200_000}))
    assert answer.service.result_code == 2001
    world.check_money(a1, "8.95", "0.50")
    gy.terminate()


@pytest.mark.rule("G-003")
@pytest.mark.parametrize(
    "asked,granted",
    [
        ({}, {"total_octets": 10_000_000}),
        ({"total": 0, "up": 0, "down": 0}, {"total_octets": 10_000_000}),
        ({"up": 2_000_000}, {"input_octets": 2_000_000}),
        ({"down": 2_000_000}, {"output_octets": 2_000_000}),
        (
            {"up": 1_000_000, "down": 1_000_000},
            {"input_octets": 1_000_000, "output_octets": 1_000_000},
        ),
    ],
)
def test_a_grant_is_in_the_kinds_that_were_asked_for(world, p1, a1, asked, granted):
    gy = Dialogue(p1, a1)
    assert gy.initial(mscc(100, asked)).granted == ServiceUnits(**granted)
    gy.terminate()


def test_a_repetition_is_told_the_same(world, p1, a1):
    gy = Dialogue(p1, a1)
    sent = gy.message(RequestType.INITIAL, mscc(900, {}), aoc_request_type=AOC_FULL)
    first = p1.ask_for(sent)
    assert p1.ask_for(p1.again(sent)).without_hop() == first.without_hop()
    gy.terminate()
