"""Limits of single members: under a price that all of them share, and for a thousand of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

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
from ocs.charging import engine
from ocs.charging.model.messages import ChargingReply, ChargingRequest, Outcome
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger.account import COUNTERS_MAX, Account, Counter
from ocs.ledger.details import Cap
from ocs.store import records
from tests.support.charging import ACCOUNT, Scenario
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


def ask_at_once(scenario: Scenario, lines: list[tuple[int, str]]) -> list[ChargingReply]:
    """Have requests decided in batches, as the server does it."""
    replies = []
    for batch in batched(lines, 250):
        requests = [replace(scenario.request(line), subscriber_id=member) for member, line in batch]
        for request in requests:
            scenario.sessions[request.session_key] = request.session_id

        def decide(
            working_set: WorkingSet, requests: list[ChargingRequest] = requests
        ) -> list[ChargingReply]:
            context = scenario.context()
            return [engine.decide(request, working_set, context) for request in requests]

        keys = [engine.key_of(request) for request in requests]
        replies += scenario.store.transact(keys, decide)
    return replies


def batched(lines: list[tuple[int, str]], size: int) -> Iterator[list[tuple[int, str]]]:
    for first in range(0, len(lines), size):
        yield lines[first : first + size]


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


CENT = Price(10_000)
COMPANY = 1_000
"""Members of one account, at most."""


def change(scenario: Scenario, what: Callable[[Account], None]) -> None:
    def decide(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        what(account)
        working_set.mark_account(account)

    scenario.store.transact([scenario._operator_key()], decide)


@pytest.mark.rule("K-211", "K-202")
def test_a_thousand_members_have_a_limit_and_a_cap_each() -> None:
    limit = Limit("units", Unit.OCTETS, 150, Period.DAY, by_member=True)
    scenario = Scenario(make_catalog(CENT, limit), balance="100000.00")
    members = [7_919 * number % 10_007 + 1 for number in range(COMPANY)]

    def set_caps(account: Account) -> None:
        caps = [Cap("own", 2 * MICRO, Period.MONTH, (), member) for member in members]
        caps.append(Cap("all", 1_000 * MICRO, Period.MONTH))
        account.details.caps = sorted(caps, key=lambda one: one.subscriber_id)

    change(scenario, set_caps)
    lines = [(member, f"I 0 @m{member} 100 rsu=100") for member in members]
    assert {granted(reply) for reply in ask_at_once(scenario, lines)} == {100}
    assert len(scenario.load()[0].counters) == 2 * COMPANY + 1
    assert granted(ask(scenario, members[0], "I 0 @x 100 rsu=100")) == 0  # the cap of all
    ask_at_once(scenario, [(one, f"T 1 @m{one} 100 used=60") for one in members[:500]])
    # What is left of the day's 150 units, and of the cap of 2.00.
    assert granted(ask(scenario, members[5], "I 0 @y 100 rsu=100")) == 90
    ask(scenario, members[5], "T 1 @y 100 used=90")
    scenario.clock.advance(DAY)
    assert granted(ask(scenario, members[5], "I 0 @z 100 rsu=100")) == 50
    ask(scenario, members[5], "T 1 @z 100 used=50")
    assert granted(ask(scenario, members[5], "I 0 @zz 100 rsu=100")) == 0
    scenario.check("the end")
    account = scenario.load()[0]
    assert len(records.encode_counters(account.counters)) < 60 * len(account.counters)


@pytest.mark.rule("K-202")
def test_days_of_a_thousand_members_make_room_for_each_other() -> None:
    limit = Limit("units", Unit.OCTETS, 150, Period.DAY, by_member=True)
    scenario = Scenario(make_catalog(CENT, limit), balance="100000.00")
    midnight_ns = scenario.index.periods.around(scenario.clock.now_ns(), Period.DAY)[0]

    def fill(account: Account) -> None:
        for number in range(COUNTERS_MAX):
            day_ns = (number // COMPANY - 4) * DAY * 10**9
            start_ns = midnight_ns + day_ns
            account.add_counter(Counter(
                "limit:units", number % COMPANY + 1, start_ns, 50, ends_ns=start_ns + DAY * 10**9
            ))  # fmt: skip

    change(scenario, fill)
    assert granted(ask(scenario, 500, "I 0 @a 100 rsu=100")) == 100
    scenario.check("a day's counts are closed")
    assert len(scenario.load()[0].counters) == COUNTERS_MAX - 2 * COMPANY + 1
    # Late usage still meets the count of the day before.
    limited = ask(scenario, 96, f"I 0 @b event=-{DAY} 100 rsu=150")
    assert granted(limited) == 100

    def claim(account: Account) -> None:
        account.counters = []
        for number in range(COUNTERS_MAX):
            account.add_counter(
                Counter(f"limit:{number}", 1, midnight_ns, ends_ns=midnight_ns + DAY * 10**9)
            )

    change(scenario, claim)
    assert granted(ask(scenario, 501, "I 0 @c 100 rsu=100")) == 0
    ask(scenario, 501, "E 0 @d action=0 100 rsu=10")
    assert scenario.reply.outcome == Outcome.CREDIT_LIMIT_REACHED
