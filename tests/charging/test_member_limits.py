"""Limits of single members: under a price that all of them share, and for a thousand of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.limits import Limit
from ocs.catalog.model import (
    Catalog,
    ChargeMode,
    Period,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    Tier,
)
from ocs.charging.model.messages import ChargingReply
from ocs.ledger.account import Counter
from tests.support.charging import Scenario
from tests.support.tariffs import PS

MICRO = 1_000_000
DAY = 86_400


def make_catalog(price: Price, *limits: Limit) -> Catalog:
    quota = QuotaPolicy(100, 1_000, validity_seconds=10**6)
    service = Service("data", (PS,), Unit.OCTETS, quota, frozenset({100}))
    terms = {"data": ServiceTerms("data", ChargeMode.PRICED, (PriceRule("data", price),))}
    plan = Plan("basic", "Basic", terms, limits=limits)
    return Catalog("members", "EUR", "UTC", {"data": service}, {"basic": plan})


def ask(scenario: Scenario, member: int, line: str) -> ChargingReply:
    request = scenario.request(line)
    request.subscriber_id = member
    return scenario.send(request)


def granted(reply: ChargingReply) -> int:
    services = reply.services
    units = services[0].granted if services else None
    return (units.octets or 0) if units else 0


def spent(scenario: Scenario) -> dict[int, Counter]:
    return {
        one.subscriber_id: one for one in scenario.load()[0].counters if one.code == "limit:each"
    }


EACH = Limit("each", Unit.MONEY, 2 * MICRO, Period.MONTH, by_member=True)
RISING = Price(
    10_000, tiers=(Tier(100, 10_000), Tier(0, 40_000)), counted=Period.MONTH
)
FALLING = Price(40_000, tiers=(Tier(100, 40_000), Tier(0, 10_000)), counted=Period.MONTH)


@pytest.mark.rule("K-219")
@pytest.mark.parametrize(
    ("price", "costs"),
    [(RISING, (50, 50, 150, 400_000)), (FALLING, (50, 50, 50, 800_000))],
)
def test_whoever_reports_first_no_member_passes_a_limit(
    price: Price, costs: tuple[int, ...]
) -> None:
    scenario = Scenario(make_catalog(price, EACH))
    first, second, between, _ = costs
    assert granted(ask(scenario, 1, "I 0 @a 100 rsu=100")) == first
    assert granted(ask(scenario, 2, "I 0 @b 100 rsu=100")) == second
    ask(scenario, 3, f"E 0 @c action=0 100 rsu={between}")
    ask(scenario, 2, "T 1 @b 100 used=50")
    ask(scenario, 1, "T 1 @a 100 used=50")
    scenario.check("all reported")
    assert {member: one.reserved_micro for member, one in spent(scenario).items()} == {
        1: 0, 2: 0, 3: 0
    }
    assert all(one.charged_micro <= EACH.amount for one in spent(scenario).values())


@pytest.mark.rule("K-219", "C-040")
def test_the_last_grant_is_the_last_even_at_the_best_price() -> None:
    scenario = Scenario(make_catalog(RISING, EACH))
    reply = ask(scenario, 1, "I 0 @a 100 rsu=100")
    # At the dearer price that others may bring about, 50 are all; alone they cost a quarter.
    assert (granted(reply), reply.services[0].final_unit) == (50, None)
    reply = ask(scenario, 1, "U 1 @a 100 used=50 rsu=100")
    assert (granted(reply), reply.services[0].final_unit) == (37, None)
    reply = ask(scenario, 1, "U 2 @a 100 used=37 rsu=100")
    assert granted(reply) == 28
    flat = Scenario(make_catalog(Price(20_000, counted=Period.MONTH), EACH))
    reply = ask(flat, 1, "I 0 @a 100 rsu=100")
    assert granted(reply) == 100
    assert reply.services[0].final_unit is not None


PRICES = [
    RISING, FALLING,
    Price(10_000, increment=7, minimum=20, setup_micro=300_000, counted=Period.MONTH),
    Price(0, setup_micro=1_500_000, counted=Period.DAY),
    Price(30_000, tiers=(Tier(90, 30_000), Tier(0, 5_000, 1, 400_000)), counted=Period.DAY,
          increment=10, maximum_micro=6 * MICRO),
    Price(30_000, tiers=(Tier(60, 30_000), Tier(150, 10_000), Tier(0, 12_000)), volume=True,
          counted=Period.MONTH, increment=5),
]  # fmt: skip
STEP = st.tuples(
    st.integers(1, 3), st.integers(1, 160), st.integers(0, 100),
    st.sampled_from(["go", "go", "go", "go", "end", "event", "night"]),
)


@pytest.mark.rule("K-219", "K-209")
@settings(max_examples=150, deadline=None)
@given(
    price=st.sampled_from(PRICES), daily=st.booleans(),
    steps=st.lists(STEP, min_size=4, max_size=24),
)
def test_members_in_any_order_never_pass_a_limit(
    price: Price, daily: bool, steps: list[tuple[int, int, int, str]]
) -> None:
    limit = Limit("each", Unit.MONEY, 2 * MICRO, Period.DAY if daily else Period.MONTH,
                  by_member=True)  # fmt: skip
    scenario = Scenario(make_catalog(price, limit), balance="1000.00")
    scenario.policy = type(scenario.policy)(tcc_default_seconds=10**7)
    left: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for count, (member, asked, share, what) in enumerate(steps):
        if what == "night":
            scenario.clock.advance(DAY)
        elif what == "event":
            ask(scenario, member, f"E 0 @e{count} action=0 100 rsu={asked}")
        elif member not in left:
            numbers[member] = numbers.get(member, 0) + 100
            name = f"@s{member}x{numbers[member] // 100}"
            left[member] = granted(ask(scenario, member, f"I 0 {name} 100 rsu={asked}"))
        else:
            name = f"@s{member}x{numbers[member] // 100}"
            numbers[member] += 1
            kind, more = ("T", "") if what == "end" else ("U", f"rsu={asked}")
            used = left.pop(member) * share // 100
            number = numbers[member] % 100
            reply = ask(scenario, member, f"{kind} {number} {name} 100 used={used} {more}")
            if what != "end":
                left[member] = granted(reply)
        scenario.check(what)
        for counter in scenario.load()[0].counters:
            if counter.code == "limit:each":
                assert counter.charged_micro + counter.reserved_micro <= limit.amount
