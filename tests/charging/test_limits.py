"""Limits over periods: caps on units and money, fair use, the customer's own caps, members."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.limits import Limit
from ocs.catalog.model import (
    Catalog,
    ChargeMode,
    Condition,
    Period,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    Tier,
)
from ocs.catalog.notify import NotifyPolicy
from ocs.charging.model.messages import Outcome
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger.account import Bucket, Counter
from ocs.ledger.details import Cap
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import PS

DAY = 86_400
FIRST_NS = 1_769_904_000 * 10**9
"""The first of February 2026, midnight UTC."""
CENT = Price(10_000)
MICRO = 1_000_000


def make_catalog(
    *limits: Limit, price: Price = CENT, unit: Unit = Unit.OCTETS, slower: Price | None = None,
) -> Catalog:
    quota = QuotaPolicy(100, 1_000, validity_seconds=3600)
    services = {
        "data": Service("data", (PS,), unit, quota, frozenset({100, 101})),
        "open": Service("open", (PS,), unit, quota, frozenset({200})),
        "zero": Service("zero", (PS,), unit, quota, frozenset({300})),
    }
    rules = [PriceRule("data", price)]
    if slower is not None:
        rules.append(PriceRule("slow", slower, when=(Condition("limit", ("fair",)),)))
    terms = {
        "data": ServiceTerms("data", ChargeMode.PRICED, tuple(rules)),
        "open": ServiceTerms("open", ChargeMode.PRICED, (PriceRule("open", CENT),)),
        "zero": ServiceTerms("zero", ChargeMode.FREE),
    }
    plan = Plan(
        "basic", "Basic", terms, limits=limits, notify=NotifyPolicy(caps=(50, 100))
    )
    return Catalog("limits", "EUR", "UTC", services, {"basic": plan})


def play(text: str, catalog: Catalog, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def counters(scenario: Scenario) -> list[Counter]:
    return scenario.load()[0].counters


DAILY = Limit("daily", Unit.OCTETS, 250, Period.DAY, ("data", "zero"))
SPEND = Limit("spend", Unit.MONEY, 2 * MICRO, Period.WEEK)
FAIR = Limit("fair", Unit.OCTETS, 150, Period.MONTH, ("data",), changes_price=True)


@pytest.mark.rule("K-207", "C-040")
def test_a_cap_on_units_ends_usage_until_the_next_period() -> None:
    scenario = play(
        """
        I 0 @a 100 rsu           => 100 ok 100                  | B=10.00 R=1.00
        U 1 @a 100 used=100 rsu  => 100 ok 100                  | B=9.00 R=1.00
        U 2 @a 100 used=100 rsu  => 100 ok 50 fui=terminate     | B=8.00 R=0.50
        U 3 @a 100 used=50 rsu; 200 rsu => 100 4012 ; 200 ok 100 | B=7.50 R=1.00
        I 0 @b 300 rsu           => 300 4012                    | B=7.50 R=1.00
        T 4 @a                   => 2001                        | B=7.50 R=0
        wait 43200
        I 0 @c 300 rsu=200       => 300 ok 200                  | B=7.50 R=0
        I 0 @d 100 rsu           => 100 ok 50                   | B=7.50 R=0.50
        """,
        make_catalog(DAILY),
    )
    assert scenario.reply.services[0].validity_seconds == 60
    assert scenario.reply.services[0].final_unit is None
    kinds = [(one.kind, one.subject, one.percent) for one in scenario.store.notifications()]
    assert kinds == [("cap-reached", "daily", 50), ("cap-reached", "daily", 100)]


@pytest.mark.rule("K-207")
def test_a_quota_ends_with_the_period_of_its_limit() -> None:
    scenario = play(
        """
        wait 43000
        I 0 @a 100 rsu            => 100 ok 100 | B=10.00 R=1.00
        """,
        make_catalog(DAILY),
    )
    assert scenario.reply.services[0].validity_seconds == 200
    scenario.play("""
        wait 300
        U 1 @a 100 used=100 rsu=250 => 100 ok 250 fui=terminate | B=9.00 R=2.50
    """)
    first, second = counters(scenario)
    assert (first.units, second.units, second.granted) == (100, 0, 250)


@pytest.mark.rule("K-209", "M-008")
def test_a_cap_on_money_bounds_what_is_held_and_counts_what_is_charged() -> None:
    scenario = play(
        """
        I 0 @a 100 rsu             => 100 ok 100                | B=10.00 R=1.00
        I 0 @b 200 rsu=150         => 200 ok 100                | B=10.00 R=2.00
        T 1 @a                     => 2001                      | B=10.00 R=1.00
        U 1 @b 200 used=100 rsu=150 => 200 ok 100 fui=terminate | B=9.00 R=1.00
        # What has been used is charged, whatever the cap says.
        U 2 @b 200 used=130 rsu    => 200 4012                  | B=7.70 R=0
        U 3 @b 200 used=5; 300 rsu => 200 ok ; 300 4012         | B=7.65 R=0
        """.replace("; 300 4012", "; 300 ok 100"),
        make_catalog(SPEND),
    )
    (counter,) = counters(scenario)
    assert (counter.charged_micro, counter.units) == (2_350_000, 0)


@pytest.mark.rule("K-209", "K-204")
def test_a_money_limit_holds_when_a_session_with_the_setup_fee_ends_unused() -> None:
    passed = Price(10_000, setup_micro=1_000_000, counted=Period.MONTH)
    scenario = play(
        """
        I 0 @a 100 rsu=50               => 100 ok 50            | B=10.00 R=1.50
        I 0 @b 100 rsu=50               => 100 ok 50 | B=10.00 R=2.00
        T 1 @a                          => 2001                 | B=10.00 R=2.00
        # The setup fee is b's now: what is left is what a would have used, and no more.
        I 0 @c 200 rsu=200              => 200 ok 50 | B=10.00 R=2.50
        T 1 @c                          => 2001                 | B=10.00 R=2.00
        I 0 @d 100 rsu=100              => 100 ok 50 | B=10.00 R=2.00
        T 1 @b 100 used=50              => 100 ok               | B=8.50 R=0.50
        T 1 @d 100 used=50              => 100 ok               | B=8.00 R=0
        """,
        make_catalog(SPEND, price=passed),
    )
    limit = next(one for one in counters(scenario) if one.code == "limit:spend")
    assert (limit.charged_micro, limit.reserved_micro) == (2 * MICRO, 0)


@pytest.mark.rule("K-209", "K-204")
def test_a_money_limit_holds_when_the_first_of_falling_tiers_ends_unused() -> None:
    falling = Price(20_000, tiers=(Tier(50, 20_000), Tier(0, 10_000)), counted=Period.MONTH)
    scenario = play(
        """
        I 0 @a 100 rsu=50   => 100 ok 50                 | B=10.00 R=1.00
        I 0 @b 100 rsu=50   => 100 ok 50                 | B=10.00 R=1.50
        T 1 @a              => 2001                      | B=10.00 R=1.50
        I 0 @c 200 rsu=200  => 200 ok 100 | B=10.00 R=2.50
        """,
        make_catalog(SPEND, price=falling),
    )
    scenario.check("all granted")


@pytest.mark.rule("K-209", "M-012")
def test_free_units_are_no_money() -> None:
    bucket = Bucket(0, 0, Unit.OCTETS, "free", available=300)
    play(
        """
        I 0 @a 100 rsu=300           => 100 ok 300               | B=10.00 R=0
        U 1 @a 100 used=300 rsu=300  => 100 ok 200 fui=terminate | B=10.00 R=2.00
        T 2 @a 100 used=200          => 100 ok                   | B=8.00 R=0
        I 0 @b 100 rsu               => 100 4012
        """,
        make_catalog(SPEND), buckets=[bucket],
    )


@pytest.mark.rule("K-209", "M-014")
def test_events_and_refunds_count_too() -> None:
    scenario = Scenario(make_catalog(SPEND, unit=Unit.EVENTS), unit=Unit.EVENTS)
    scenario.play("E 0 @a action=0 100 rsu=150 => 100 ok 150 | B=8.50")
    debit = scenario.reply.refund_reference
    scenario.play(f"""
        E 0 @b action=0 100 rsu=51            => 4012                   | B=8.50
        E 0 @c action=2 100 rsu=51            => 2001                   | B=8.50
        E 0 @d action=0 100 rsu=30; 200 rsu=30 => 4012                  | B=8.50
        E 0 @e action=0 100 rsu=30; 200 rsu=20 => 100 ok 30 ; 200 ok 20 | B=8.00
        E 0 @f action=1 refund={debit} 100 rsu=100 => 2001 cost=-1.00   | B=9.00
        E 0 @g action=0 100 rsu=100           => 100 ok 100             | B=8.00
        E 0 @h action=0 100 rsu=1             => 4012                   | B=8.00
        wait 604800
        E 0 @i action=0 100 rsu=200           => 100 ok 200             | B=6.00
    """)
    told = [one.percent for one in scenario.store.notifications()]
    assert told == [50, 100, 100]


@pytest.mark.rule("K-218", "M-014")
def test_a_session_is_refunded_in_the_period_in_which_it_was_granted() -> None:
    daily = Limit("daily", Unit.EVENTS, 10, Period.DAY)
    scenario = Scenario(make_catalog(daily, unit=Unit.EVENTS), unit=Unit.EVENTS)
    to_midnight = DAY - scenario.clock.now_ns() // 10**9 % DAY
    scenario.play(f"""
        wait {to_midnight - 600}
        I 0 @a 100 rsu=8               => 100 ok 8  | B=10.00 R=0.08
        wait 660
        E 0 @b action=0 100 rsu=5      => 100 ok 5  | B=9.95 R=0.08
        T 1 @a 100 used=8              => 100 ok    | B=9.87 R=0
    """)
    assert [one.units for one in counters(scenario)] == [8, 5]
    debit = scenario.reply.refund_reference
    scenario.play(f"E 0 @c action=1 refund={debit} 100 rsu=6 => 2001 cost=-0.06 | B=9.93")
    assert [one.units for one in counters(scenario)] == [2, 5]


@pytest.mark.rule("K-211", "M-014")
def test_a_refund_asked_for_by_another_member_is_that_of_who_was_charged() -> None:
    each = Limit("each", Unit.MONEY, 2 * MICRO, Period.WEEK, by_member=True)
    scenario = Scenario(make_catalog(each, unit=Unit.EVENTS), unit=Unit.EVENTS)

    def send(line: str, member: int) -> None:
        request = scenario.request(line)
        request.subscriber_id = member
        assert scenario.send(request).outcome == Outcome.SUCCESS

    send("E 0 @a action=0 100 rsu=150", 1)
    debit = scenario.reply.refund_reference
    send("E 0 @b action=0 100 rsu=50", 2)
    send(f"E 0 @c action=1 refund={debit} 100 rsu=100", 2)
    counted = {one.subscriber_id: one.charged_micro for one in counters(scenario)}
    assert counted == {1: 500_000, 2: 500_000}


@pytest.mark.rule("K-208")
def test_fair_use_goes_on_at_another_price() -> None:
    scenario = play(
        """
        I 0 @a 100 rsu             => 100 ok 100 | B=10.00 R=1.00
        U 1 @a 100 used=100 rsu    => 100 ok 50  | B=9.00 R=0.50
        U 2 @a 100 used=50 rsu     => 100 ok 100 | B=8.50 R=0.10
        T 3 @a 100 used=80         => 100 ok     | B=8.42 R=0
        I 0 @b 100 rsu             => 100 ok 100 | B=8.42 R=0.10
        T 1 @b 100 used=100        => 100 ok     | B=8.32 R=0
        """,
        make_catalog(FAIR, slower=Price(1_000)),
    )
    rules = {one.rule for one in scenario.store.movements(ACCOUNT) if one.rule}
    assert rules == {"data", "slow"}


@pytest.mark.rule("K-208", "M-003")
@settings(max_examples=60, deadline=None)
@given(
    unit=st.sampled_from([Unit.OCTETS, Unit.SECONDS]),
    free=st.integers(0, 200),
    reports=st.lists(st.integers(0, 160), min_size=1, max_size=6),
)
def test_fair_use_does_not_depend_on_the_reports(
    unit: Unit, free: int, reports: list[int]
) -> None:
    buckets = [Bucket(0, 0, unit, "free", available=free)] if free else []
    limit = Limit("fair", unit, 150, Period.MONTH, ("data",), changes_price=True)
    scenario = Scenario(
        make_catalog(limit, slower=Price(1_000), unit=unit), buckets=buckets, unit=unit
    )
    scenario.play("I 0 @a 100 rsu => 100 ok 100")
    for number, used in enumerate(reports, 1):
        scenario.clock.advance(200)
        scenario.send(scenario.request(f"U {number} @a 100 used={used} rsu"))
        scenario.check(f"report {number}")
    paid = range(free, sum(reports))
    cost = sum(10_000 if number < 150 else 1_000 for number in paid)
    assert 10 * MICRO - scenario.money()[0] == cost


@pytest.mark.rule("K-207", "K-209")
@settings(max_examples=60, deadline=None)
@given(
    limit=st.sampled_from([DAILY, SPEND]),
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 200), st.integers(0, 100), st.booleans()),
        min_size=1, max_size=12,
    ),
)
def test_sessions_at_a_time_never_pass_a_limit_together(
    limit: Limit, steps: list[tuple[int, int, int, bool]]
) -> None:
    scenario = Scenario(make_catalog(limit))
    granted: dict[str, int] = {}
    numbers: dict[str, int] = {}
    for count, (which, asked, share, ends) in enumerate(steps):
        name = f"s{which}"
        if name not in granted:
            numbers[name] = 0
            scenario.send(scenario.request(f"I 0 @{name}-{count} 100 rsu={asked}"))
            session = f"@{name}-{count}"
        else:
            session = next(one for one in numbers if one.startswith(f"@{name}-"))
            numbers[session] += 1
            used = granted.pop(name) * share // 100
            kind, more = ("T", "") if ends else ("U", f"rsu={asked}")
            scenario.send(
                scenario.request(f"{kind} {numbers[session]} {session} 100 used={used} {more}")
            )
        numbers = {one: n for one, n in numbers.items() if one != name}
        numbers.setdefault(session, 0)
        reply = scenario.reply.services[0]
        if ends and session in numbers and numbers[session]:
            del numbers[session]
        else:
            granted[name] = (reply.granted.octets or 0) if reply.granted else 0
        scenario.check(f"step {count}")
        for counter in counters(scenario):
            most = counter.charged_micro if limit is SPEND else counter.units
            assert most <= limit.amount


@pytest.mark.rule("K-207")
def test_an_emergency_is_not_limited() -> None:
    play(
        """
        I 0 @a 100 rsu=250                   => 100 ok 250 fui=terminate
        I 0 @b 100 rsu                       => 100 4012
        I 0 @c emergency=1 100 rsu           => 100 ok 100
        T 1 @c emergency=1 100 used=100      => 100 ok | B=10.00
        """,
        make_catalog(DAILY),
    )


def set_caps(scenario: Scenario, *caps: Cap) -> None:
    def decide(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        account.details.caps = list(caps)
        working_set.mark_account(account)

    scenario.store.transact([scenario._operator_key()], decide)


@pytest.mark.rule("K-210")
def test_a_customers_own_cap() -> None:
    scenario = Scenario(make_catalog())
    scenario.play("I 0 @a 100 rsu => 100 ok 100 | B=10.00 R=1.00")
    set_caps(scenario, Cap("mine", 2_500_000, Period.MONTH), Cap("x", 0, Period.DAY, ("open",)))
    scenario.play("""
        U 1 @a 100 used=100 rsu; 200 rsu => 100 ok 100 ; 200 4012 | B=9.00 R=1.00
        U 2 @a 100 used=100 rsu          => 100 ok 50 fui=terminate | B=8.00 R=0.50
    """)
    set_caps(scenario)
    scenario.play("T 3 @a 100 used=50 => 100 ok | B=7.50 R=0")


@pytest.mark.rule("K-210")
def test_a_cap_that_gets_a_longer_period_goes_on_counting() -> None:
    scenario = Scenario(make_catalog())
    start_ns = FIRST_NS
    scenario.clock.advance((start_ns - scenario.clock.now_ns()) // 10**9 + 3600)
    set_caps(scenario, Cap("mine", 1_500_000, Period.DAY))
    scenario.play("""
        I 0 @a 100 rsu           => 100 ok 100
        T 1 @a 100 used=100      => 100 ok
    """)
    set_caps(scenario, Cap("mine", 1_500_000, Period.MONTH))
    scenario.play("""
        I 0 @b 100 rsu           => 100 ok 50 fui=terminate
        T 1 @b 100 used=10       => 100 ok
    """)
    for name in "cd":
        # Counters of periods that are over make room for those that begin.
        scenario.clock.advance(4 * DAY)
        set_caps(scenario, Cap("mine", 1_500_000, Period.MONTH), Cap(name, MICRO, Period.DAY))
        scenario.play(f"""
            I 0 @{name} 100 rsu      => 100 ok 40 fui=terminate
            T 1 @{name} 100          => 100 ok
        """)


@pytest.mark.rule("K-207", "K-210")
def test_a_session_that_comes_to_a_priced_plan_comes_to_its_limits() -> None:
    priced = make_catalog()
    plan = priced.plans["basic"]
    unlimited = ServiceTerms("data", ChargeMode.UNCONTROLLED)
    open_plan = replace(plan, terms={**plan.terms, "data": unlimited})
    scenario = Scenario(replace(priced, plans={"basic": open_plan}))
    set_caps(scenario, Cap("mine", 800_000, Period.DAY))
    scenario.play("I 0 @a 200 rsu => 200 ok 80 fui=terminate")
    scenario.publish(priced)
    scenario.play("U 1 @a 200 used=50; 100 rsu => 200 ok ; 100 ok 30 fui=terminate")
    scenario.check("the end")


@pytest.mark.rule("K-211")
def test_members_of_an_account_have_limits_of_their_own() -> None:
    daily = Limit("each", Unit.OCTETS, 100, Period.DAY, by_member=True)
    scenario = Scenario(make_catalog(daily))

    def ask(name: str, member: int, expected: int) -> None:
        request = scenario.request(f"I 0 @{name} 100 rsu")
        request.subscriber_id = member
        (reply,) = scenario.send(request).services
        assert (reply.granted.octets if reply.granted else 0) == expected
        scenario.check(name)

    ask("a", 1, 100)
    ask("b", 1, 0)
    ask("c", 2, 100)
    set_caps(scenario, Cap("kid", 300_000, Period.DAY, (), 3), Cap("all", 2_500_000, Period.DAY))
    ask("d", 3, 30)
    ask("e", 4, 100)
    ask("f", 5, 100)
    assert {(one.code, one.subscriber_id) for one in counters(scenario)} == {
        ("limit:each", member) for member in range(1, 6)
    } | {("cap:kid", 3), ("cap:all", 0)}
