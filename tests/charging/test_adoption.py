"""Open sessions come to a new plan or catalogue with a report, and usage keeps its old price."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    FinalUnitAction,
    FinalUnitPolicy,
    Plan,
    Price,
    PriceRule,
    TimeBand,
)
from ocs.charging.model.session import Session
from tests.support.charging import Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()
DEARER = Price(100_000, per=1_000_000, increment=1_000_000)
"""Twice the price of data."""


def _with_price(catalog: Catalog, service: str, price: Price, plan: str = "basic") -> Catalog:
    old = catalog.plans[plan]
    terms = replace(old.terms[service], rules=(PriceRule(service, price),))
    plans = {**catalog.plans, plan: replace(old, terms={**old.terms, service: terms})}
    return replace(catalog, plans=plans)


def _with_plan(catalog: Catalog, code: str, *services: str) -> Catalog:
    basic = catalog.plans["basic"]
    plan = Plan(code, code, {name: basic.terms[name] for name in services})
    return replace(catalog, plans={**catalog.plans, code: plan})


def _session(scenario: Scenario) -> Session:
    return scenario.load()[2][0]


@pytest.mark.rule("C-091")
def test_usage_is_charged_as_granted_and_the_next_grant_by_the_catalogue_in_force() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("I 0  100 rsu => 100 ok 10000000 thr=2000000 | B=10.00 R=0.50")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play("""
        U 1  100 used=10000000 rsu => 100 ok 10000000 thr=2000000 | B=9.50 R=1.00
        U 2  100 used=10000000 rsu => 100 ok 10000000 thr=2000000 | B=8.50 R=1.00
        T 3  100 used=1000000      => 2001                        | B=8.40 R=0
    """)
    assert _session(scenario).catalogue_version == 2
    versions = [line.catalogue_version for line in scenario.store.movements(1001)]
    assert versions == [0, 1, 2, 2]
    records = scenario.store.stored_records(1001)
    assert [one.record.catalogue_version for one in records] == [1, 1, 2, 2]


@pytest.mark.rule("C-091")
def test_what_is_outstanding_under_the_old_catalogue_keeps_the_session_there() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("I 0  100 rsu ; 200 rsu => 100 ok 10000000 ; 200 ok 10000000 | R=2.50")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play("U 1  100 used=10000000 rsu => 100 ok 10000000 | B=9.50 R=2.50")
    assert _session(scenario).catalogue_version == 1
    scenario.play("""
        U 2  100 used=10000000 rsu ; 200 used=0 => 100 ok 10000000 ; 200 ok | B=9.00 R=1.00
    """)
    assert _session(scenario).catalogue_version == 2


@pytest.mark.rule("C-091")
def test_a_price_that_stays_goes_on_counting_where_it_was() -> None:
    """A setup fee, or a first block of units, is not taken a second time."""
    scenario = Scenario(CATALOG, unit=Unit.SECONDS)
    scenario.play("I 0 context=32260@3gpp.org 12 rsu=60 => 12 ok 60 | R=0.13")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play("wait 20")
    scenario.play("U 1 context=32260@3gpp.org 12 used=20 rsu=60 => 12 ok 60 | B=9.936667")
    assert _session(scenario).catalogue_version == 2
    scenario.play("wait 40")
    scenario.play("T 2 context=32260@3gpp.org 12 used=40 => 2001 | B=9.87 R=0")


@pytest.mark.rule("C-091")
def test_a_call_whose_price_changes_is_counted_anew_from_the_report_on() -> None:
    scenario = Scenario(CATALOG, unit=Unit.SECONDS)
    scenario.play("I 0 context=32260@3gpp.org 10 rsu=60 => 10 ok 60 | R=0.12")
    scenario.publish(_with_price(CATALOG, "call", Price(240_000, per=60)))
    scenario.play("""
        wait 30
        U 1 context=32260@3gpp.org 10 used=30 rsu=60 => 10 ok 60 | B=9.94 R=0.24
        wait 30
        T 2 context=32260@3gpp.org 10 used=30        => 2001     | B=9.82 R=0
    """)


@pytest.mark.rule("C-091")
def test_a_new_plan_is_used_from_the_next_report_on() -> None:
    gold = replace(CATALOG.plans["basic"], code="gold")
    with_gold = replace(CATALOG, plans={**CATALOG.plans, "gold": gold})
    catalog = _with_price(with_gold, "data", DEARER, "gold")
    scenario = Scenario(catalog)
    scenario.play("""
        I 0  100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        plan gold
        U 1  100 used=10000000 rsu => 100 ok 10000000 | B=9.50 R=1.00
        T 2  100 used=10000000     => 2001            | B=8.50 R=0
    """)
    records = scenario.store.stored_records(1001)
    assert [one.record.plan for one in records] == ["basic", "basic", "gold"]


@pytest.mark.rule("C-091", "D22")
def test_a_service_that_the_new_plan_does_not_include_is_debited_and_refused() -> None:
    scenario = Scenario(_with_plan(CATALOG, "lite", "data"))
    scenario.play("""
        I 0  100 rsu ; 200 rsu => 100 ok 10000000 ; 200 ok 10000000         | R=2.50
        plan lite
        U 1  100 used=0 rsu ; 200 used=1000000 rsu => 100 ok 10000000 ; 200 5003 | B=9.80 R=0.50
        U 2  200 rsu => 200 5003 | B=9.80 R=0.50
    """)


@pytest.mark.rule("C-091")
def test_a_service_that_only_the_new_plan_includes_is_granted_from_then_on() -> None:
    scenario = Scenario(_with_plan(CATALOG, "lite", "data"), plan="lite")
    scenario.play("""
        I 0  100 rsu ; 200 rsu     => 100 ok 10000000 ; 200 5003     | R=0.50
        plan basic
        U 1  100 used=0 rsu        => 100 ok 10000000                | R=0.50
        U 2  200 rsu               => 200 ok 10000000                | R=2.50
    """)


@pytest.mark.rule("C-091")
def test_an_older_catalogue_never_comes_back() -> None:
    """A server that has not noticed the new version yet decides a report between two others."""
    scenario = Scenario(CATALOG)
    scenario.play("I 0  100 rsu => 100 ok 10000000")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play("U 1  100 used=0 rsu => 100 ok 10000000 | R=1.00")
    behind = replace(scenario.context(), current_version=1)
    scenario.context = lambda: behind  # type: ignore[method-assign]
    scenario.play("U 2  100 used=0 rsu => 100 ok 10000000 | R=1.00")
    assert _session(scenario).catalogue_version == 2


@pytest.mark.rule("C-091", "P-021")
def test_units_that_are_added_up_keep_their_price() -> None:
    """The new price begins with a report after which the client has nothing left."""
    scenario = Scenario(CATALOG)
    scenario.play("I 0 profile=magma 100 rsu => 100 ok 10000000 | R=0.50")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play("""
        U 1 profile=magma 100 used=2000000 rsu  => 100 ok 10000000 | B=9.90 R=0.90
        U 2 profile=magma 100 used=18000000 rsu => 100 ok 10000000 | B=9.00 R=1.00
        T 3 profile=magma 100 used=10000000     => 2001            | B=8.00 R=0
    """)


@pytest.mark.rule("C-091")
@pytest.mark.parametrize("more", ["", " ; 200 used=0 rsu"])
def test_a_part_that_says_nothing_keeps_what_it_was_granted_at_its_price(more: str) -> None:
    scenario = Scenario(CATALOG)
    scenario.play("I 0  100 rsu => 100 ok 10000000 | R=0.50")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play(f"U 1  100{more} => 2001 | B=10.00")
    assert _session(scenario).catalogue_version == 1
    scenario.play("T 2  100 used=10000000 => 2001 | B=9.50 R=0")


NIGHT = TimeBand("night", (BandSpan(frozenset({0}), 0, 360),))


def _with_validity(catalog: Catalog) -> Catalog:
    service = catalog.services["call-setup"]
    shorter = replace(service, quota=replace(service.quota, validity_seconds=77))
    return replace(catalog, services={**catalog.services, "call-setup": shorter})


def _with_redirect(catalog: Catalog) -> Catalog:
    basic = catalog.plans["basic"]
    final = FinalUnitPolicy(FinalUnitAction.REDIRECT, redirect_address="http://pay.example/")
    return replace(catalog, plans={**catalog.plans, "basic": replace(basic, final_unit=final)})


@pytest.mark.rule("C-091")
@pytest.mark.parametrize(
    "changed",
    [
        _with_validity,
        _with_redirect,
        lambda catalog: replace(catalog, time_zone="Asia/Tokyo"),
        lambda catalog: replace(catalog, zones={**catalog.zones, "moon": ("999",)}),
        lambda catalog: replace(catalog, bands=(*catalog.bands, NIGHT)),
        lambda catalog: replace(catalog, networks={"eu": ("208",)}),
        lambda catalog: replace(catalog, locations={"stadium": ("26201/1",)}),
    ],
)
def test_what_is_no_price_does_not_begin_a_count_anew(
    changed: Callable[[Catalog], Catalog]
) -> None:
    """A setup fee is not taken again because of another validity time, portal or zone."""
    scenario = Scenario(CATALOG, unit=Unit.SECONDS)
    scenario.play("I 0 context=32260@3gpp.org 12 rsu=60 => 12 ok 60 | R=0.13")
    scenario.publish(changed(CATALOG))
    scenario.play("""
        wait 60
        U 1 context=32260@3gpp.org 12 used=60 rsu=60 => 12 ok 60 | B=9.87
        wait 60
        T 2 context=32260@3gpp.org 12 used=60        => 2001     | B=9.77 R=0
    """)
    assert _session(scenario).catalogue_version == 2


@pytest.mark.rule("T239", "D22")
def test_an_aborted_session_is_debited_and_granted_nothing_more() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("""
        I 0  100 rsu              => 100 ok 10000000 | B=10.00 R=0.50
        abort
        U 1  100 used=1000000 rsu => 4010            | B=9.95 R=0
        U 2  100 used=1000000 rsu => 5002            | B=9.95 R=0
        T 3  100 used=1000000     => 2001            | B=9.90 R=0
    """)


@pytest.mark.rule("T239")
def test_an_aborted_session_ends_with_its_own_last_report() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("""
        I 0  100 rsu          => 100 ok 10000000 | B=10.00 R=0.50
        abort
        T 1  100 used=1000000 => 2001 cost=0.05  | B=9.95 R=0
    """)


@pytest.mark.rule("T239")
def test_an_abort_ends_one_session_and_not_the_account() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("""
        I 0  100 rsu     => 100 ok 10000000 | R=0.50
        abort
        I 0 @s2  100 rsu => 100 ok 10000000 | R=1.00
        U 1  100 rsu     => 4010            | R=0.50
    """)


@pytest.mark.rule("D22")
def test_a_block_is_over_with_its_removal_for_sessions_that_did_not_report_meanwhile() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("""
        I 0  100 rsu              => 100 ok 10000000 | R=0.50
        block
        unblock
        U 1  100 used=1000000 rsu => 100 ok 10000000 | B=9.95 R=0.50
        block
        U 2  100 used=1000000 rsu => 4010            | B=9.90 R=0
    """)


def _keeping(catalog: Catalog) -> Catalog:
    basic = replace(catalog.plans["basic"], keeps_version=True)
    return replace(catalog, plans={**catalog.plans, "basic": basic})


@pytest.mark.rule("K-353", "C-091")
def test_a_plan_may_keep_its_open_sessions_to_the_catalogue_they_began_under() -> None:
    scenario = Scenario(_keeping(CATALOG))
    scenario.play("I 0  100 rsu => 100 ok 10000000 | B=10.00 R=0.50")
    scenario.publish(_with_price(CATALOG, "data", DEARER))
    scenario.play("""
        U 1  100 used=10000000 rsu => 100 ok 10000000 | B=9.50 R=0.50
        T 2  100 used=10000000     => 2001            | B=9.00 R=0
        I 0 @new 100 rsu           => 100 ok 10000000 | B=9.00 R=1.00
    """)
    versions = {one.session_id[-3:]: one.catalogue_version for one in scenario.load()[2]}
    assert versions == {";s1": 1, "new": 2}


@pytest.mark.rule("K-353")
def test_the_rule_is_that_of_the_version_the_session_began_under() -> None:
    """A plan that begins to keep its sessions does not keep those that began before."""
    scenario = Scenario(CATALOG)
    scenario.play("I 0  100 rsu => 100 ok 10000000 | R=0.50")
    scenario.publish(_keeping(_with_price(CATALOG, "data", DEARER)))
    scenario.play("U 1  100 used=10000000 rsu => 100 ok 10000000 | B=9.50 R=1.00")
    scenario.publish(CATALOG)
    scenario.play("U 2  100 used=10000000 rsu => 100 ok 10000000 | B=8.50 R=1.00")


@pytest.mark.rule("K-353", "C-091")
def test_another_plan_of_the_account_is_used_however_the_old_one_keeps_its_sessions() -> None:
    gold = replace(CATALOG.plans["basic"], code="gold")
    with_gold = replace(CATALOG, plans={**CATALOG.plans, "gold": gold})
    scenario = Scenario(_keeping(_with_price(with_gold, "data", DEARER, "gold")))
    scenario.play("""
        I 0  100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        plan gold
        U 1  100 used=10000000 rsu => 100 ok 10000000 | B=9.50 R=1.00
    """)


@pytest.mark.rule("K-350")
def test_an_announced_version_is_used_although_a_later_one_has_a_higher_number() -> None:
    """The third version was published to hold until the second takes effect."""
    scenario = Scenario(CATALOG)
    dearer = _with_price(CATALOG, "data", DEARER)
    scenario.publish(replace(dearer, effective_ns=500))
    scenario.publish(replace(CATALOG, effective_ns=300))
    scenario.play("I 0  100 rsu => 100 ok 10000000 | R=0.50")
    assert _session(scenario).catalogue_version == 3
    scenario.in_force = 2
    scenario.play("U 1  100 used=10000000 rsu => 100 ok 10000000 | B=9.50 R=1.00")
    assert _session(scenario).catalogue_version == 2
    # A server whose clock is behind leaves the session where another has brought it.
    scenario.in_force = 3
    scenario.play("U 2  100 used=10000000 rsu => 100 ok 10000000 | B=8.50 R=1.00")
    assert _session(scenario).catalogue_version == 2
