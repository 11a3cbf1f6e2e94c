"""Usage that cannot be rated is neither debited nor lost: it waits for a person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocs.amounts import AMOUNT_MAX_MICRO, INT64_MAX, Unit
from ocs.catalog.model import Catalog, Price, PriceRule
from ocs.charging.model.messages import ServiceRequest, Units, UsedUnits
from ocs.ledger.account import AccountFlag
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def parked(scenario: Scenario) -> list[tuple[str, str, int, int, int]]:
    return [
        (one.kind, one.service, one.units, one.unit, one.amount_micro)
        for one in scenario.store.reviews()
    ]


@pytest.mark.rule("D26", "D22")
@pytest.mark.parametrize(("group", "code", "service"), [(999, 5031, ""), (400, 5003, "closed")])
def test_usage_of_a_service_that_is_not_sold(group: int, code: int, service: str) -> None:
    scenario = play(f"""
        I 0  100 rsu                                => 100 ok 10000000 | B=10.00 R=0.50
        U 1  {group} used=700 rsu; 100 used=400 rsu => {group} {code}; 100 ok 10000000 \
| B=9.95 R=0.50 P=1
        again
        T 2  {group} used=octets:5+seconds:7        => {group} {code}  | B=9.95 R=0 P=3
    """)
    assert parked(scenario) == [
        ("unrated-usage", service, 700, Unit.OCTETS, 0),
        ("unrated-usage", service, 5, Unit.OCTETS, 0),
        ("unrated-usage", service, 7, Unit.SECONDS, 0),
    ]
    assert scenario.load()[0].flags == AccountFlag.PARKED_USAGE
    assert str(group) in scenario.store.reviews()[0].reason or service


@pytest.mark.rule("D26")
def test_refused_without_usage_parks_nothing() -> None:
    scenario = play("""
        I 0  999 rsu; 400 rsu     => 999 5031; 400 5003 | B=10.00 R=0 P=0
        U 1  999 used=0 rsu       => 999 5031           | B=10.00 R=0 P=0
        U 2  100 invalid=bad rsu  => 100 5004           | B=10.00 R=0 P=0
    """)
    assert scenario.load()[0].flags == 0


@pytest.mark.rule("D26")
def test_more_than_can_be_counted() -> None:
    scenario = play("I 0  100 rsu => 100 ok 10000000 | B=10.00 R=0.50")
    huge = (1 << 64) - 1
    asked = ServiceRequest(
        100, (), Units(), (UsedUnits(Units(octets=huge)), UsedUnits(Units(octets=huge))),
        invalid="more units than can be",
    )
    request = scenario.request("U 1")
    request.services = (asked,)
    (service,) = scenario.send(request).services
    scenario.check()
    assert service.granted is None
    assert scenario.money() == (10_000_000, 500_000), "what is not read releases nothing"
    (item,) = scenario.store.reviews()
    assert (item.units, item.service) == (INT64_MAX, "data")
    assert str(2 * huge) in item.reason
    (stored,) = scenario.store.stored_records(ACCOUNT)[-1:]
    assert stored.record.services[0].used[0].units.octets == huge


@pytest.mark.rule("D26", "T160")
def test_money_that_is_no_amount_or_of_another_currency() -> None:
    scenario = play("""
        I 0  100 money=1.25                        => 100 ok 1250000micro | B=10.00 R=1.25
        U 1  100 usedmoney=0.80USD                 => 100 5031            | B=10.00 R=1.25 P=1
        T 2  100 invalid=negative used=octets:0    => 100 5004            | B=10.00 R=0 P=2
    """)
    first, second = scenario.store.reviews()
    assert (first.units, first.unit, first.amount_micro) == (800_000, Unit.MONEY, 0)
    assert first.reason.endswith("(0.80 USD)")
    assert (second.units, second.reason) == (0, "negative")


@pytest.mark.rule("D26", "C-027")
def test_only_units_that_the_service_is_not_charged_in() -> None:
    scenario = play("""
        I 0  100 rsu                     => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 used=seconds:55 rsu     => 100 ok 10000000 | B=10.00 R=0.50 P=1
        U 2  100 used=octets:0+seconds:5 => 100 ok          | B=10.00 R=0 P=1
    """)
    assert parked(scenario) == [("unrated-usage", "data", 55, Unit.SECONDS, 0)]
    # Time that was granted as a limit is no usage (M-015), and what is free is owed by nobody.
    play("""
        I 0  100 rsu=octets:9+seconds:60 => 100 ok octets:9+seconds:60 | R=0.05
        U 1  100 used=seconds:60         => 100 ok                     | R=0 P=0
        U 2  310 used=seconds:60         => 310 ok                     | R=0 P=0
    """)


@pytest.mark.rule("D26", "D11")
def test_usage_of_unknown_sessions_is_kept_whatever_it_is() -> None:
    scenario = play("""
        U 1  999 used=700; 100 used=seconds:9; 100 used=1000001 => 5002 | B=10.00 R=0 P=3
    """)
    assert parked(scenario) == [
        ("unrated-usage", "", 700, Unit.OCTETS, 0),
        ("unrated-usage", "data", 9, Unit.SECONDS, 0),
        ("orphan-usage", "data", 1_000_001, Unit.OCTETS, 100_000),
    ]


@pytest.mark.rule("D26", "D04")
def test_usage_in_a_request_that_opens_nothing() -> None:
    play("""
        block
        I 0  100 used=1000 rsu   => 4010 | B=10.00 R=0 P=1
        unblock
        I 0 @s2                  => 2001
        I 1 @s2  100 used=5      => 5012 | B=10.00 R=0 P=2
    """)


@pytest.mark.rule("D26")
def test_a_service_without_a_price_here_and_now() -> None:
    plan = CATALOG.plans["basic"]
    rules = (PriceRule("abroad", Price(1), zone="abroad"),)
    terms = {**plan.terms, "data": replace(plan.terms["data"], rules=rules)}
    catalog = replace(CATALOG, plans={"basic": replace(plan, terms=terms)})
    scenario = play("""
        I 0  100 used=700 rsu; 200 used=1 => 100 5031; 200 ok | B=9.80 R=0 P=1
    """, catalog)
    assert parked(scenario) == [("unrated-usage", "data", 700, Unit.OCTETS, 0)]
    (session,) = scenario.store.sessions_of(ACCOUNT)
    assert [quota.used_units for quota in session.quotas] == [0, 1]


def _at(price: Price) -> Catalog:
    """The catalogue with another price of data."""
    plan = CATALOG.plans["basic"]
    rules = (PriceRule("data", price),)
    terms = {**plan.terms, "data": replace(plan.terms["data"], rules=rules)}
    return replace(CATALOG, plans={"basic": replace(plan, terms=terms)})


@pytest.mark.rule("D26", "M-001")
def test_usage_that_would_cost_more_than_can_be_kept() -> None:
    catalog = _at(Price(AMOUNT_MAX_MICRO, per=1_000_000))
    scenario = play("""
        I 0                      => 2001           | B=10.00 R=0
        U 1  100 used=1000001    => 100 ok         | B=10.00 R=0 P=1
        U 2  100 used=1000000    => 100 ok         | B=-99999999990.00 R=0 P=1
    """, catalog)
    (item,) = scenario.store.reviews()
    assert "largest amount" in item.reason


@pytest.mark.rule("D26", "M-001")
def test_reported_money_never_leaves_what_can_be_kept() -> None:
    scenario = play("I 0 => 2001")
    for number in range(1, 60):
        scenario.send(scenario.request(f"U {number} 100 usedmoney=100000000000"))
    scenario.check()
    balance, _ = scenario.money()
    assert -INT64_MAX // 2 <= balance < -INT64_MAX // 2 + AMOUNT_MAX_MICRO
    items = scenario.store.reviews()
    assert len(items) == 59 - (10_000_000 - balance) // AMOUNT_MAX_MICRO


MOST = 1 << 62
"""Units that a session counts."""


@pytest.mark.rule("D26")
@pytest.mark.parametrize("group", [310, 100])
def test_more_than_a_session_can_count_is_parked_in_one_report(group: int) -> None:
    """Two thousand times as much as one counter may say, of what is free or nearly so."""
    scenario = play(f"I 0  {group} rsu => {group} ok 10000000", _at(Price(1, per=1 << 50)))
    reports = tuple(UsedUnits(Units(octets=1 << 53)) for _ in range(2_050))
    request = scenario.request("U 1")
    request.services = (ServiceRequest(group, (), None, reports),)
    scenario.send(request)
    scenario.check()
    (quota,) = scenario.load()[2][0].quotas
    assert quota.used_units == MOST
    (item,) = scenario.store.reviews()
    assert (item.kind, item.units) == ("unrated-usage", INT64_MAX)
    assert f"({2_050 * (1 << 53) - MOST} octets)" in item.reason
    assert scenario.store.stored_records(ACCOUNT)[-1].record.charged[0].used == MOST
    charged = [line.units_after for line in scenario.store.movements(ACCOUNT) if line.service]
    assert charged == ([MOST] if group == 100 else [])


@pytest.mark.rule("D26")
def test_more_than_a_session_can_count_is_parked_report_by_report() -> None:
    much = 1 << 40
    scenario = play(f"""
        I 0  310 rsu                                 => 310 ok 10000000
        U 1  310 used={MOST - much}                  => 310 ok          | P=0
        U 2  310 used={much + 7} ; 310 used={much}   => 310 ok ; 310 ok | P=2
        T 3  310 used={much + 1}                     => 310 ok          | P=3
    """)
    assert [one.units for one in scenario.store.reviews()] == [7, much, much + 1]


@pytest.mark.rule("D26", "M-011")
def test_more_seconds_than_a_clock_can_show_are_parked() -> None:
    """A first report of a call with several counters, each as large as it can be."""
    scenario, most = Scenario(CATALOG), (1 << 32) - 1
    request = scenario.request("I 0")
    reports = tuple(UsedUnits(Units(seconds=most)) for _ in range(3))
    request.services = (ServiceRequest(500, (), Units(), reports),)
    scenario.send(request)
    scenario.check()
    assert [one.units for one in scenario.store.reviews()] == [3 * most - (1 << 32)]
    assert scenario.money() == (10_000_000 - (1 << 32) * 2_000, 0)


@pytest.mark.rule("D26", "M-001")
def test_usage_never_leaves_what_can_be_owed() -> None:
    """Each report costs less than the largest amount, all together more than can be stored."""
    scenario = play("I 0 => 2001", _at(Price(9 * 10**16, per=1_000_000)))
    for number in range(1, 120):
        scenario.send(scenario.request(f"U {number} 100 used=1000000"))
    scenario.check()
    balance, _ = scenario.money()
    assert -INT64_MAX // 2 <= balance < -INT64_MAX // 2 + 9 * 10**16
    items = scenario.store.reviews()
    assert len(items) == 119 - (10_000_000 - balance) // (9 * 10**16)
    assert "in debt" in items[0].reason
