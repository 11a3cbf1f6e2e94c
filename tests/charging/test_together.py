"""Time and volume in one quota, both priced or one a limit (G-001, M-015, G23)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import SECONDS, Unit
from ocs.catalog.model import (
    FREE,
    PRICED,
    UNCONTROLLED,
    Catalog,
    ChargeMode,
    Period,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
)
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger.account import Bucket
from ocs.ledger.details import Cap
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import PS, T_SEC, make_banded_catalog, make_catalog

BOTH = "octets:10000000+seconds:600"


def both(mode: ChargeMode = PRICED, catalog: Catalog | None = None) -> Catalog:
    """Rating group 100 counts seconds beside octets, at 0.12 a minute or for nothing."""
    catalog = catalog or make_catalog()
    clock = Service("data-time", (PS,), SECONDS, QuotaPolicy(600, 600, validity_seconds=60))
    services = catalog.services | {
        "data": replace(catalog.services["data"], together_with="data-time"), "data-time": clock,
    }
    rules = (PriceRule("data-time", T_SEC),) if mode is PRICED else ()
    plans = {
        code: replace(plan, terms={
            **plan.terms, "data-time": ServiceTerms("data-time", mode, rules)
        })
        for code, plan in catalog.plans.items()
    }
    return replace(catalog, services=services, plans=plans)


CATALOG = both()


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("G-001", "M-015")
def test_both_dimensions_are_held_and_charged() -> None:
    scenario = play(f"""
        I 0  100 rsu => 100 ok {BOTH} vt=30 | B=10.00 R=1.70
        again
        wait 55
        U 1  100 used=octets:10000000!QUOTA_EXHAUSTED used=seconds:55!OTHER_QUOTA_TYPE rsu \
=> 100 ok {BOTH} | B=9.39 R=1.70
        wait 5
        T 2  100 used=octets:1+seconds:5 => 100 ok | B=9.33 R=0
    """)
    first, update, last = [one.record for one in scenario.store.stored_records(ACCOUNT)]
    assert [(line.service, line.granted) for line in first.charged] == [
        ("data", 10_000_000), ("data-time", 600)
    ]
    assert [(line.service, line.used, line.charged_micro) for line in update.charged] == [
        ("data", 10_000_000, 500_000), ("data-time", 55, 110_000)
    ]
    assert [line.charged_micro for line in last.charged] == [50_000, 10_000]
    (reply,) = first.reply.services
    assert (reply.volume_threshold_octets, reply.time_threshold_seconds) == (2_000_000, 120)
    (session,) = scenario.store.sessions_of(ACCOUNT)
    assert session.charged_micro == 670_000


@pytest.mark.rule("G-001", "G23", "M-015", "T265")
def test_a_dimension_without_a_price_is_a_limit() -> None:
    play(f"""
        I 0  100 rsu => 100 ok {BOTH} | B=10.00 R=0.50
        wait 55
        U 1  100 used=octets:10000000!QUOTA_EXHAUSTED used=seconds:55!OTHER_QUOTA_TYPE rsu \
=> 100 ok {BOTH} | B=9.50 R=0.50
        T 2  => 2001 | B=9.50 R=0
    """, both(FREE))
    play("I 0 100 rsu => 100 ok 10000000 | R=0.50", both(UNCONTROLLED))
    plain = replace(CATALOG.plans["basic"], terms=make_catalog().plans["basic"].terms)
    play(
        "I 0 100 rsu => 100 ok 10000000 | R=0.50",
        replace(CATALOG, plans={"basic": plain}),
    )


@pytest.mark.rule("G-001")
def test_what_the_client_asks_for_sets_the_sizes() -> None:
    play("""
        I 0  100 rsu=octets:2000000+seconds:60 => 100 ok octets:2000000+seconds:60 | R=0.22
        U 1  100 rsu=octets:2000000            => 100 ok octets:2000000+seconds:600 | R=1.30
        U 2  100 rsu=seconds:60                => 100 ok octets:10000000+seconds:60 | R=0.62
        U 3  100 rsu=input_octets:1000000 => 100 ok seconds:600+input_octets:1000000 | R=1.25
        U 4  100 used=seconds:0 reason=FINAL   => 100 ok | B=10.00 R=0
    """)


@pytest.mark.rule("M-015", "M-005", "C-040")
def test_short_money_is_shared_by_what_both_would_cost() -> None:
    # In full 0.50 and 1.20; of 0.34 a fifth of 0.50 pays 2 MB, the rest 120 s.
    play(
        """
        I 0  100 rsu => 100 ok octets:2000000+seconds:120 fui=terminate thr=0 | B=0.34 R=0.34
        wait 100
        U 1  100 used=octets:2000000+seconds:120 rsu => 100 4012 | B=0 R=0
        """,
        balance="0.34",
    )
    # What pays only one of both is no grant.
    play("I 0  100 rsu => 100 4012 | B=0.05 R=0", balance="0.05")
    play(
        "I 0  100 rsu => 100 ok fui=redirect | B=0 R=0", balance="0", plan="redirect",
    )


@pytest.mark.rule("D16", "M-015")
def test_a_shortage_because_of_others_is_not_the_end() -> None:
    scenario = play(
        f"""
        I 0 @s1  100 rsu => 100 ok {BOTH} thr=2000000               | B=2.04 R=1.70
        I 0 @s2  100 rsu => 100 ok octets:2000000+seconds:120 vt=10 | B=2.04 R=2.04
        """,
        balance="2.04",
    )
    assert scenario.reply.services[0].final_unit is None


@pytest.mark.rule("M-012", "M-015")
def test_free_units_of_each_dimension_are_spent_first() -> None:
    minutes = Bucket(0, 0, Unit.SECONDS, "minutes", available=100)
    free = Bucket(0, 0, Unit.OCTETS, "free", available=9_000_000)
    play(
        """
        I 0  100 rsu=octets:10000000+seconds:150 => 100 ok octets:10000000+seconds:150 \
| B=1.00 R=0.15
        wait 100
        T 1  100 used=octets:9000001+seconds:101 => 100 ok | B=0.948 R=0
        """,
        balance="1.00", buckets=[minutes, free],
    )


@pytest.mark.rule("M-015", "C-064")
def test_both_end_at_a_tariff_switch() -> None:
    catalog = both(catalog=make_banded_catalog())
    scenario = play("I 0 100 rsu => 100 ok octets:10000000+seconds:600 vt=60 | R=1.70", catalog)
    assert scenario.reply.services[0].tariff_change_ns == 0


@pytest.mark.rule("M-015", "C-070")
def test_both_draw_on_a_pool() -> None:
    services = {
        code: replace(service, pool="shared") if code in {"data", "data-time"} else service
        for code, service in CATALOG.services.items()
    }
    play(f"""
        I 0 profile=rfc 100 rsu => 100 ok {BOTH} pool=1:5e-1,1:20000 | B=10.00 R=1.70
        wait 60
        T 1 profile=rfc 100 used=octets:12000000+seconds:60 => 100 ok | B=9.28 R=0
    """, replace(CATALOG, services=services))


@pytest.mark.rule("M-015")
def test_the_plan_may_change_under_both() -> None:
    scenario = play(f"I 0  100 rsu => 100 ok {BOTH} | R=1.70")
    scenario.publish(both(FREE))
    scenario.play(f"""
        wait 60
        U 1  100 used=octets:1000000+seconds:60 rsu => 100 ok {BOTH} | B=9.83 R=0.50
        T 2  100 used=octets:1000000+seconds:60     => 100 ok        | B=9.78 R=0
    """)


@pytest.mark.rule("M-003", "M-015", "I-004")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3_000_000), st.integers(0, 90), st.booleans()), max_size=7
    ),
    st.sampled_from(["100.00", "1.30", "0.40"]),
)
def test_the_cost_does_not_depend_on_how_usage_was_split(
    reports: list[tuple[int, int, bool]], balance: str
) -> None:
    whole, split = Scenario(CATALOG, balance), Scenario(CATALOG, balance)
    for scenario in (whole, split):
        scenario.play("I 0 => 2001")
    for number, (octets, seconds, asks) in enumerate(reports, 1):
        split.clock.advance(90)
        words = f"used=octets:{octets}+seconds:{seconds} {'rsu' if asks else ''}"
        split.send(split.request(f"U {number} 100 {words}"))
        split.check()
    octets, seconds = (sum(one[kind] for one in reports) for kind in (0, 1))
    whole.clock.advance(90 * len(reports))
    whole.send(whole.request(f"T 1 100 used=octets:{octets}+seconds:{seconds}"))
    split.send(split.request(f"T {len(reports) + 1}"))
    split.check()
    assert split.money() == whole.money()


@pytest.mark.rule("M-015", "T221", "T218")
def test_events_cost_the_sum_of_both() -> None:
    asked = "100 rsu=octets:1000000+seconds:60"
    play(f"""
        E 0 @e1 action=3 {asked}                 => 2001 cost=0.17 | B=0.16 R=0
        E 0 @e2 action=2 {asked}                 => 2001 enough=no | B=0.16 R=0
        E 0 @e3 action=2 100 rsu=octets:1000000  => 2001 enough=yes | B=0.16 R=0
        E 0 @e4 action=0 {asked}                 => 4012           | B=0.16 R=0
        E 0 @e5 action=0 100 rsu=seconds:60      => 2001 cost=0.12; 100 ok 60 | B=0.04 R=0
        E 0 @e6 action=3 100 rsu                 => 2001 cost=0.05 | B=0.04 R=0
        top-up 1.00
        E 0 @e7 action=0 {asked} => 2001 cost=0.17; 100 ok octets:1000000+seconds:60 | B=0.87 R=0
    """, balance="0.16")


@pytest.mark.rule("M-014", "M-015")
def test_a_refund_puts_back_both() -> None:
    free = Bucket(0, 0, Unit.SECONDS, "minutes", available=30)
    scenario = play("""
        E 0 @e1 action=0 100 rsu=octets:1000000+seconds:60 \
=> 2001 cost=0.11; 100 ok octets:1000000+seconds:60 | B=0.89 R=0
    """, balance="1.00", buckets=[free])
    token = scenario.reply.refund_reference
    scenario.play(f"E 0 @r action=1 refund={token} 100 rsu => 2001 cost=-0.11 | B=1.00 R=0")
    assert sorted(bucket.available for bucket in scenario.load()[1]) == [30, 1_000_000]


@pytest.mark.rule("C-091", "P-021", "G-001")
def test_time_that_is_kept_keeps_its_price_and_its_hold_in_a_new_catalogue() -> None:
    """The octets are used up; of the seconds that were granted with them 540 are left."""
    scenario = play(f"I 0 profile=magma 100 rsu={BOTH} => 100 ok {BOTH} | B=10.00 R=1.70")
    basic = CATALOG.plans["basic"]
    rules = (PriceRule("data-time", replace(T_SEC, rate_micro=2 * T_SEC.rate_micro)),)
    terms = replace(basic.terms["data-time"], rules=rules)
    dearer = replace(basic, terms={**basic.terms, "data-time": terms})
    scenario.publish(replace(CATALOG, plans={**CATALOG.plans, "basic": dearer}))
    scenario.play(f"""
        wait 20
        U 1 profile=magma 100 used=octets:10000000+seconds:60 rsu={BOTH} => 100 ok {BOTH} \
| B=9.38 R=2.78
        wait 20
        T 2 profile=magma 100 used=octets:10000000+seconds:40 => 2001 | B=8.80 R=0
    """)


@pytest.mark.rule("K-207", "K-209", "G-001")
@pytest.mark.parametrize("cap", [200_000, 500_000, 1_500_000, 1_699_999, 1_700_000])
def test_time_and_volume_granted_together_share_what_a_cap_leaves(cap: int) -> None:
    scenario = Scenario(both())

    def limit(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        account.details.caps = [Cap("mine", cap, Period.DAY)]
        working_set.mark_account(account)

    scenario.store.transact([scenario._operator_key()], limit)
    (first,) = scenario.send(scenario.request("I 0 @a 100 rsu")).services
    assert first.granted is not None
    assert first.granted.seconds
    assert first.granted.octets
    (counter,) = scenario.load()[0].counters
    assert cap - 52_000 < counter.reserved_micro <= cap
    # The other session is refused, whichever of both units would still fit.
    scenario.send(scenario.request("I 0 @b 100 rsu"))
    (counter,) = scenario.load()[0].counters
    assert counter.reserved_micro <= cap
    scenario.send(scenario.request("T 1 @a 100 used=octets:1+seconds:5"))
    scenario.send(scenario.request("T 1 @b 100"))
    (counter,) = scenario.load()[0].counters
    assert (counter.reserved_micro, counter.charged_micro) == (0, 60_000)
    scenario.check("the end")
