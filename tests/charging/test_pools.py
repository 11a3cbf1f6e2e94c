"""Credit pools: members draw on one total that is held once (RFC 8506 5.1.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.model import Catalog
from ocs.ledger.account import AccountFlag, Bucket
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_banded_catalog, make_catalog

CATALOG = make_catalog()
OPENING = """
    I 0 profile=rfc 101 rsu; 102 rsu => 101 ok 2000000 pool=1:10; 102 ok 4000000 pool=1:5
"""


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def flags(scenario: Scenario) -> int:
    return scenario.load()[0].flags


@pytest.mark.rule("G16", "T250", "T251", "C-070", "C-071")
@pytest.mark.parametrize("balance", ["10.00", "4.00"])
@pytest.mark.parametrize(
    "usage", ["101 used=3000000; 102 used=2000000", "102 used=2000000; 101 used=3000000"]
)
def test_the_pool_is_used_up_by_any_member(balance: str, usage: str) -> None:
    # With nothing beside the pool the second grant is short because of the first (D16).
    more = "thr=800000 vt=3600" if balance == "10.00" else "thr=0 vt=60"
    scenario = play(OPENING.replace("1:5", f"1:5 {more} | R=4.00"), balance=balance)
    scenario.play(f"T 1 profile=rfc {usage} => 2001 | R=0")
    assert scenario.money()[0] == int(balance[:-3]) * 1_000_000 - 4_000_000
    assert flags(scenario) == 0, "drawing on the pool is no over-usage"


@pytest.mark.rule("C-070", "C-073")
def test_only_clients_that_understand_pools_are_told() -> None:
    play("""
        I 0 101 rsu; 102 rsu; 100 rsu => 101 ok 2000000; 102 ok 4000000; 100 ok 10000000 | R=4.50
        T 1 101 used=3000000          => 101 ok | B=7.00 R=0
    """)
    play("I 0 profile=rfc 100 rsu => 100 ok 10000000 | R=0.50")


@pytest.mark.rule("C-071", "T251")
def test_what_one_member_drew_is_gone_for_the_others() -> None:
    scenario = play(OPENING, balance="4.00")
    scenario.play("""
        U 1 profile=rfc 101 used=3000000 => 101 ok | B=1.00 R=1.00
        T 2 profile=rfc 102 used=2000000 => 102 ok | B=0 R=0
    """)
    assert flags(scenario) == 0
    scenario = play(OPENING, balance="4.00")
    scenario.play("""
        U 1 profile=rfc 101 used=3000000 => 101 ok | B=1.00 R=1.00
        T 2 profile=rfc 102 used=4000000 => 102 ok | B=-1.00 R=0
    """)
    assert flags(scenario) == AccountFlag.OVER_USAGE, "more than the whole pool"


@pytest.mark.rule("C-072")
def test_a_member_that_leaves_takes_only_what_it_used() -> None:
    play(OPENING + """
        U 1 profile=rfc 101 reason=FINAL used=500000 => 101 ok | B=9.00 R=3.00
        T 2 profile=rfc 102 used=6000000             => 102 ok | B=6.00 R=0
    """)
    # The last to leave leaves nothing behind, and a lost session neither.
    play(OPENING + """
        U 1 profile=rfc 101 reason=FINAL used=500000; 102 reason=FINAL => 101 ok; 102 ok \
| B=9.00 R=0
        U 2 profile=rfc 101 rsu => 101 ok 2000000 pool=1:10 | B=9.00 R=2.00
        wait 100000
        U 3 profile=rfc 101 rsu => 5002 | B=9.00 R=0
    """)


@pytest.mark.rule("C-072")
def test_a_member_that_goes_on_is_held_anew() -> None:
    play(OPENING + """
        U 1 profile=rfc 101 used=500000 rsu  => 101 ok 2000000 pool=1:10 | B=9.00 R=4.00
        U 2 profile=rfc 101 used=2500000 rsu => 101 ok 2000000 pool=1:10 | B=7.00 R=4.00
        U 3 profile=rfc 101 used=3000000 rsu => 101 ok 2000000 pool=1:10 | B=4.00 R=3.00
        T 4 profile=rfc 102 used=2000000     => 102 ok                   | B=3.00 R=0
    """)


@pytest.mark.rule("C-072", "C-005")
def test_members_that_report_together_share_what_they_leave() -> None:
    # 102 has drawn 0.50 on what 101 left unused, so only the rest of it is kept for 103.
    scenario = Scenario(with_third_member())
    scenario.play("""
        I 0 profile=rfc 101 rsu; 102 rsu; 103 rsu \
=> 101 ok 2000000 pool=1:10; 102 ok 4000000 pool=1:5; 103 ok 1000000 pool=1:10 | R=5.00
        U 1 profile=rfc 101 used=1000000 reason=FINAL; 102 used=5000000 reason=FINAL \
=> 101 ok; 102 ok | B=6.50 R=1.50
        T 2 profile=rfc 103 used=1000000 => 103 ok | B=5.50 R=0
    """)


def with_third_member() -> Catalog:
    third = replace(
        CATALOG.services["pool-a"], code="pool-c", rating_groups=frozenset({103}),
        quota=replace(CATALOG.services["pool-a"].quota, slice=1_000_000, maximum=1_000_000),
    )
    plan = CATALOG.plans["basic"]
    rule = replace(plan.terms["pool-a"].rules[0], code="pool-c")
    terms = plan.terms | {"pool-c": replace(plan.terms["pool-a"], service="pool-c", rules=(rule,))}
    return replace(
        CATALOG, services=CATALOG.services | {"pool-c": third},
        plans={"basic": replace(plan, terms=terms)},
    )


@pytest.mark.rule("C-073")
def test_what_others_could_not_draw_on_stays_outside() -> None:
    free = Bucket(0, 0, Unit.OCTETS, "free", available=500_000)
    play("""
        I 0 profile=rfc 101 rsu=1000000 => 101 ok 1000000             | B=10.00 R=1.00
        U 1 profile=rfc 102 rsu         => 102 ok 4000000 pool=1:5    | B=10.00 R=3.00
    """, buckets=[free])
    bonus = Bucket(0, 0, Unit.MONEY, "bonus", available=500_000, services=("pool-a",))
    play("""
        I 0 profile=rfc 101 rsu => 101 ok 2000000 | B=10.50 R=2.00
    """, buckets=[bonus])


@pytest.mark.rule("C-073", "C-064")
def test_a_pooled_quota_ends_at_a_tariff_switch() -> None:
    catalog = make_banded_catalog()
    catalog = replace(
        catalog, pools=CATALOG.pools,
        services={"data": replace(catalog.services["data"], pool="shared")},
    )
    scenario = play("""
        I 0 profile=rfc 100 rsu => 100 ok 10000000 vt=600 pool=1:5e-1 | B=1.00 R=0.50
    """, catalog, balance="1.00")
    assert scenario.reply.services[0].tariff_change_ns == 0


@pytest.mark.rule("C-071", "M-008")
@settings(max_examples=80, deadline=None)
@given(st.lists(
    st.tuples(
        st.sampled_from([101, 102]), st.integers(0, 6_000_000), st.booleans(), st.booleans()
    ),
    max_size=8,
))
def test_a_pool_that_holds_is_never_over_usage(
    reports: list[tuple[int, int, bool, bool]],
) -> None:
    """Whoever draws, and however members come and go: within what is held nothing is flagged.

    Increments of one octet, so that usage costs what it takes from the pool.
    """
    catalog = fine_pool()
    scenario = Scenario(catalog, "12.00")
    scenario.play("I 0 profile=rfc 101 rsu; 102 rsu => 2001 | R=4.00")
    for number, (group, units, asks, ends) in enumerate(reports, 1):
        (session,) = scenario.store.sessions_of(ACCOUNT)
        members = {quota.rating_group for quota in session.quotas if quota.pool}
        held = scenario.money()[1] if group in members else 0
        used = min(units, held * 2 // (2 if group == 101 else 1))
        words = f"{'rsu' if asks else ''} {'reason=FINAL' if ends else ''}"
        scenario.send(scenario.request(f"U {number} profile=rfc {group} used={used} {words}"))
        scenario.check()
        assert flags(scenario) == 0
        (session,) = scenario.store.sessions_of(ACCOUNT)
        pooled = sum(one.amount for quota in session.quotas if quota.pool for one in quota.holds)
        assert pooled == scenario.money()[1]
    scenario.play(f"T {len(reports) + 1} profile=rfc => 2001 | R=0")


def fine_pool() -> Catalog:
    plan = CATALOG.plans["basic"]
    terms = dict(plan.terms)
    for code in ("pool-a", "pool-b"):
        (rule,) = terms[code].rules
        terms[code] = replace(
            terms[code], rules=(replace(rule, price=replace(rule.price, increment=1)),)
        )
    return replace(CATALOG, plans={"basic": replace(plan, terms=terms)})


@pytest.mark.rule("M-014", "C-071", "T218", "T221")
def test_events_see_what_a_pool_holds() -> None:
    play(OPENING + """
        E 0 @e1 action=2 100 rsu=120000000 => 2001 enough=yes | B=10.00 R=4.00
        E 0 @e2 action=2 100 rsu=121000000 => 2001 enough=no  | B=10.00 R=4.00
        E 0 @e3 action=3 101 rsu=2000001   => 2001 cost=3     | B=10.00 R=4.00
        E 0 @e4 action=0 101 rsu=6000000   => 101 ok 6000000  | B=4.00 R=4.00
        E 0 @e5 action=0 101 rsu=1         => 4012            | B=4.00 R=4.00
        T 1 profile=rfc 101 used=3000000; 102 used=2000000 => 101 ok; 102 ok | B=0 R=0
    """)
