"""Sessions from their start to their end: what is granted, held, debited and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocs.catalog.model import Catalog
from ocs.charging.model.session import SessionState
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("C-004", "C-181", "D12", "G-104", "T124", "T125")
def test_size_of_a_grant() -> None:
    play("I 0  100 rsu=3000000   => 100 ok 3000000  | B=10.00 R=0.15")
    play("I 0  100 rsu=500000000 => 100 ok 10000000 | B=10.00 R=0.50")
    play("I 0  100 rsu           => 100 ok 10000000 | B=10.00 R=0.50")
    play("I 0  100 rsu=0         => 100 ok 10000000 | B=10.00 R=0.50")


@pytest.mark.rule("T127", "C-062")
def test_time_is_granted_in_seconds() -> None:
    scenario = play("I 0  500 rsu=seconds:60 => 500 ok 60 vt=600 | B=10.00 R=0.12")
    assert scenario.reply.services[0].tariff_change_ns == 0


@pytest.mark.rule("T128", "G-007")
def test_session_without_services() -> None:
    scenario = play("""
        I 0                     => 2001             | B=10.00 R=0
        U 1  100 rsu            => 100 ok 10000000  | B=10.00 R=0.50
        T 2  100 used=1000000   => 100 ok           | B=9.95 R=0
    """)
    assert len(scenario.sessions) == 1


@pytest.mark.rule("T130", "C-022", "C-024")
def test_services_are_answered_in_order() -> None:
    play("""
        I 0  100 rsu; 200 rsu=2000000 => 100 ok 10000000; 200 ok 2000000 | B=10.00 R=0.90
        U 1  200 rsu=1000000; 100 rsu => 200 ok 1000000; 100 ok 10000000 | B=10.00 R=0.70
    """)


@pytest.mark.rule("T131", "T176")
def test_numbers_may_begin_anywhere_and_leave_gaps() -> None:
    play("""
        I 7   100 rsu               => 100 ok 10000000
        U 8   100 used=1000000 rsu  => 100 ok 10000000  | B=9.95 R=0.50
        U 12  100 used=1000000 rsu  => 100 ok 10000000  | B=9.90 R=0.50
        T 90                        => 2001             | B=9.90 R=0
    """)


@pytest.mark.rule("T133")
def test_report_without_request_grants_nothing() -> None:
    play("""
        I 0  100 rsu           => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 used=2500000  => 100 ok          | B=9.85 R=0
    """)


@pytest.mark.rule("T134", "C-005")
def test_other_keys_stay_as_they_are() -> None:
    play("""
        I 0  100 rsu          => 100 ok 10000000 | B=10.00 R=0.50
        U 1  200 rsu=1000000  => 200 ok 1000000  | B=10.00 R=0.70
    """)


@pytest.mark.rule("T136", "D05")
def test_over_usage() -> None:
    scenario = play("""
        I 0  100 rsu               => 100 ok 10000000  | B=10.00 R=0.50
        U 1  100 used=10600000 rsu => 100 ok 10000000  | B=9.45 R=0.50
    """)
    assert scenario.load()[0].flags == 0


@pytest.mark.rule("T137", "C-026")
def test_usage_that_was_never_granted() -> None:
    play("""
        I 0                 => 2001    | B=10.00 R=0
        U 1  200 used=100   => 200 ok  | B=9.80 R=0
    """)


@pytest.mark.rule("T139", "T140", "C-007")
def test_termination_releases_everything() -> None:
    play("""
        I 0  100 rsu  => 100 ok 10000000 | B=10.00 R=0.50
        T 1           => 2001 cost=0     | B=10.00 R=0
    """)
    play("""
        I 0  100 rsu; 200 rsu=1000000 => 100 ok 10000000; 200 ok 1000000 | B=10.00 R=0.70
        T 1  100 used=1               => 100 ok                         | B=9.95 R=0
    """)


@pytest.mark.rule("C-137", "T253")
def test_termination_tells_the_total_cost() -> None:
    play("""
        I 0  100 rsu                         => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 used=2000000 rsu; 200 used=1 => 100 ok 10000000; 200 ok | B=9.70 R=0.50
        T 2  100 used=1000000                => 2001 cost=0.35; 100 ok  | B=9.65 R=0
    """)


@pytest.mark.rule("S-10", "T142", "T223")
def test_unknown_session() -> None:
    play("""
        T 0                   => 5002  | B=10.00 R=0
        U 1 @other 100 rsu    => 5002  | B=10.00 R=0
        E 0 @e context=32274@3gpp.org action=0 1 rsu=events:1 => 1 ok 1 | B=9.93 R=0
        U 1 @e 100 rsu        => 5002  | B=9.93 R=0
    """)


@pytest.mark.rule("T145", "T211", "C-001")
def test_unknown_subscriber() -> None:
    scenario = play("""
        I 0 client=unknown 100 rsu  => 5030
        E 0 @e client=unknown context=32274@3gpp.org action=0 1 rsu=events:1 => 5030
        U 1 client=unknown 100 rsu  => 5002
    """)
    assert scenario.store.sessions_of(ACCOUNT) == []
    assert scenario.store.stored_records(0) == []


@pytest.mark.rule("T148", "T199", "D01")
def test_empty_account_still_has_a_session() -> None:
    scenario = play(
        """
        I 0  100 rsu  => 100 4012        | B=0 R=0
        top-up 1.00
        U 1  100 rsu=1000000 => 100 ok 1000000 | B=1.00 R=0.05
        """,
        balance="0",
    )
    (session,) = scenario.store.sessions_of(ACCOUNT)
    assert session.state == SessionState.OPEN


@pytest.mark.rule("C-202", "D01", "S-02", "T148")
def test_refusal_of_the_whole_command_opens_no_session() -> None:
    scenario = play("I 0 profile=kamailio 100 rsu => 4012 | B=0 R=0", balance="0")
    assert scenario.store.sessions_of(ACCOUNT) == []


@pytest.mark.rule("D01", "C-022")
def test_one_granted_service_keeps_the_command_whole() -> None:
    play("""
        I 0 profile=kamailio 400 rsu; 100 rsu => 400 5003; 100 ok 10000000 | B=10.00 R=0.50
    """)


@pytest.mark.rule("T149", "D22")
def test_service_outside_the_plan() -> None:
    play("""
        I 0  400 rsu           => 400 5003 | B=10.00 R=0
        U 1  400 rsu; 100 rsu  => 400 5003; 100 ok 10000000 | B=10.00 R=0.50
    """)


@pytest.mark.rule("T151", "T152", "D18")
def test_services_without_a_price() -> None:
    scenario = play("""
        I 0  300 rsu; 310 rsu  => 300 4011; 310 ok 10000000 vt=30 | B=10.00 R=0
        T 1  310 used=7000000  => 310 ok                          | B=10.00 R=0
    """)
    record = scenario.store.stored_records(ACCOUNT)[-1].record
    assert [(line.service, line.used) for line in record.charged] == [("music", 7_000_000)]


@pytest.mark.rule("T154", "C-003")
def test_unknown_service_context() -> None:
    scenario = play("I 0 context=9.99999@3gpp.org 100 rsu => 5031 | B=10.00 R=0")
    assert scenario.reply.failed == "service-context-id"
    assert scenario.store.sessions_of(ACCOUNT) == []


def test_unknown_rating_group_is_refused_alone() -> None:
    play("I 0  999 rsu; 100 rsu => 999 5031; 100 ok 10000000 | B=10.00 R=0.50")


@pytest.mark.rule("C-008", "C-101", "T157")
def test_sub_sessions_are_independent() -> None:
    play("""
        I 0 sub=1 100 rsu  => 100 ok 10000000 | B=10.00 R=0.50
        I 0 sub=2 100 rsu  => 100 ok 10000000 | B=10.00 R=1.00
        T 1 sub=1          => 2001            | B=10.00 R=0.50
        U 1 100 rsu        => 5002            | B=10.00 R=0.50
        U 1 sub=2 100 used=1 rsu => 100 ok 10000000 | B=9.95 R=0.50
    """)


@pytest.mark.rule("T158", "C-021", "C-023")
def test_client_without_services_is_answered_at_the_command_level() -> None:
    scenario = Scenario(CATALOG)
    request = scenario.request("I 0  si5 rsu=1000000")
    command = replace_command_level(request.services[0])
    request.services = (command,)
    (reply,) = scenario.send(request).services
    assert reply.command_level
    assert reply.granted is not None
    assert reply.granted.octets == 1_000_000
    assert reply.validity_seconds == 30
    assert scenario.money() == (10_000_000, 50_000)


def replace_command_level(service):
    service.command_level = True
    return service


@pytest.mark.rule("C-021")
def test_service_identifiers_make_a_key_of_their_own() -> None:
    play("""
        I 0  si5 rsu; 100 rsu; - rsu => si5 ok 10000000; 100 ok 10000000; - ok 10000000 | R=1.50
        U 1  si5 used=1              => si5 ok                                          | R=1.00
    """)


@pytest.mark.rule("T160")
def test_money_of_another_currency() -> None:
    play("""
        I 0  100 money=1.25USD         => 100 5031         | B=10.00 R=0
        U 1  100 money=1.25            => 100 ok 1250000micro | B=10.00 R=1.25
        U 2  100 usedmoney=1.00USD     => 100 5031         | B=10.00 R=1.25
        T 3  100 usedmoney=1.30        => 100 ok           | B=8.70 R=0
    """)


@pytest.mark.rule("C-027")
def test_unit_that_the_service_is_not_charged_in() -> None:
    play("I 0  100 rsu=seconds:60; 500 rsu=seconds:60 => 100 5031; 500 ok 60 | R=0.12")


@pytest.mark.rule("D22", "S-06", "T226")
def test_blocking_ends_a_session_with_its_usage_paid() -> None:
    scenario = play("""
        I 0  100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        block
        U 1  100 used=3000000 rsu  => 4010            | B=9.85 R=0
        U 2  100 used=1000000      => 5002            | B=9.85 R=0
        T 3  100 used=1000000      => 100 ok          | B=9.80 R=0
        I 0 @s2 100 rsu            => 4010            | B=9.80 R=0
        E 0 @e context=32274@3gpp.org action=0 1 rsu=events:1 => 4010 | B=9.80 R=0
        unblock
        I 0 @s3 100 rsu            => 100 ok 10000000 | B=9.80 R=0.50
    """)
    (orphan,) = scenario.store.reviews()
    assert (orphan.kind, orphan.units) == ("orphan-usage", 1_000_000)


@pytest.mark.rule("D13", "C-006")
def test_request_without_report_replaces_the_grant() -> None:
    play("""
        I 0  100 rsu           => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 rsu=2000000   => 100 ok 2000000  | B=10.00 R=0.10
        U 2  100 used=2000000  => 100 ok          | B=9.90 R=0
    """)


@pytest.mark.rule("C-009", "M-017")
def test_ledger_keeps_event_and_posting_time() -> None:
    scenario = play("""
        I 0  100 rsu                       => 100 ok 10000000
        wait 10
        U 1 event=-7 100 used=1000000 rsu  => 100 ok 10000000
    """)
    movement = scenario.store.movements(ACCOUNT)[-1]
    record = scenario.store.stored_records(ACCOUNT)[-1]
    assert record.received_ns - movement.event_ns == 7 * 10**9


@pytest.mark.rule("G-010")
def test_low_balance_is_told() -> None:
    plan = replace(CATALOG.plans["basic"], low_balance_micro=9_700_000)
    catalog = replace(CATALOG, plans={**CATALOG.plans, "basic": plan})
    play(
        """
        I 0  100 rsu              => 2001 low=no; 100 ok 10000000
        U 1  100 used=6000000 rsu => 2001 low=no; 100 ok 10000000   | B=9.70 R=0.50
        T 2  100 used=1000000     => 2001 low=yes; 100 ok           | B=9.65 R=0
        """,
        catalog=catalog,
    )
