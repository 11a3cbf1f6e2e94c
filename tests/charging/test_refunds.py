"""Refunds that name their debit: in part, once, from any session, of events and of sessions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.model import Catalog
from ocs.ledger.account import Bucket, Contra
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()
SMS = "context=32274@3gpp.org"
DEBIT, REFUND = (f"{SMS} action={number}" for number in range(2))


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, unit=Unit.EVENTS, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def token_of(scenario: Scenario) -> str:
    assert scenario.reply.refund_reference
    return scenario.reply.refund_reference


@pytest.mark.rule("M-014", "T214", "T215")
@pytest.mark.parametrize(
    ("asked", "cost", "balance"),
    [
        ("1 rsu=1", "-0.07", "9.86"), ("1 rsu=3", "-0.21", "10.00"), ("1 rsu", "-0.21", "10.00"),
        ("1 rsu=0", "0", "9.79"), ("1 money=0.10", "-0.10", "9.89"),
        ("- rsu=2", "-0.14", "9.93"), ("1 money=0", "0", "9.79"),
    ],
)
def test_a_part_of_a_debit(asked: str, cost: str, balance: str) -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=3 => 1 ok 3 | B=9.79")
    token = token_of(scenario)
    group = asked.partition(" ")[0]
    scenario.play(f"E 0 @r1 {REFUND} refund={token} {asked} => 2001 cost={cost} | B={balance}")
    assert str(scenario.reply.services[0].rating_group or "-") == group
    # Whatever part it was, the token is used up.
    scenario.play(f"""
        again
        E 0 @r2 {REFUND} refund={token} 1 rsu=1 => 5012 | B={balance} R=0
    """)


@pytest.mark.rule("M-014", "T217")
def test_more_than_was_debited() -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=3 => 1 ok 3 | B=9.79")
    token = token_of(scenario)
    for number, asked in enumerate((
        "1 rsu=4", "1 money=0.22", "1 money=0.01USD", "1 rsu=octets:1", "1 rsu=1; 1 rsu=1",
        "1 money=-0.01",
    )):
        scenario.play(f"E 0 @r{number} {REFUND} refund={token} {asked} => 5004 | B=9.79 R=0")
        assert scenario.reply.failed == "requested-service-unit"
    scenario.play(f"E 0 @r9 {REFUND} refund={token} 1 rsu=3 => 2001 cost=-0.21 | B=10.00 R=0")


@pytest.mark.rule("M-014")
@pytest.mark.parametrize("token", ["{}.t", "{}.x", "{}.", "0{}", "{}x", "{} "])
def test_references_are_taken_at_their_word(token: str) -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=1 => 1 ok 1 | B=9.93")
    wrong = token.format(token_of(scenario))
    request = scenario.request(f"E 0 @r {REFUND} 1 rsu=1")
    request.refund_reference = wrong
    scenario.send(request)
    assert scenario.reply.failed == "refund-information"
    assert scenario.money()[0] == 9_930_000


@pytest.mark.rule("M-012", "M-014")
def test_a_part_gives_back_what_was_paid_with_money_first() -> None:
    bonus = Bucket(0, 0, Unit.EVENTS, "messages", available=2)
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=5 => 1 ok 5 | B=9.79 R=0", buckets=[bonus])
    token = token_of(scenario)
    scenario.play(f"E 0 @r {REFUND} refund={token} 1 rsu=4 => 2001 cost=-0.21 | B=10.00 R=0")
    _, buckets, _ = scenario.load()
    assert [bucket.available for bucket in buckets if bucket.unit == Unit.EVENTS] == [1]
    (line,) = scenario.store.stored_records(ACCOUNT)[-1].record.charged
    assert (line.used, line.from_buckets, line.charged_micro) == (-4, -1, -210_000)


@pytest.mark.rule("M-014")
def test_bonus_money_comes_back_last() -> None:
    bonus = Bucket(0, 0, Unit.MONEY, "bonus", available=100_000, priority=1)
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=3 => 1 ok 3 | B=9.89", buckets=[bonus])
    token = token_of(scenario)
    scenario.play(f"E 0 @r {REFUND} refund={token} 1 rsu=2 => 2001 cost=-0.14 | B=10.03")
    _, buckets, _ = scenario.load()
    assert {bucket.name: bucket.available for bucket in buckets} == {
        "main": 10_000_000, "bonus": 30_000,
    }


@pytest.mark.rule("M-014")
def test_a_part_of_several_services() -> None:
    scenario = play("""
        E 0 @e1 action=0 100 rsu=octets:2000000; 200 rsu=octets:1000000 => 2001 cost=0.30 | B=9.70
    """)
    token = token_of(scenario)
    scenario.play(f"""
        E 0 @r1 action=1 refund={token} 200 rsu=octets:1000000; 100 rsu=octets:1000000 \
=> 2001 cost=-0.25 | B=9.95 R=0
    """)
    assert sorted(
        (line.service, line.amount) for line in scenario.store.movements(ACCOUNT)
        if line.contra == Contra.REFUND
    ) == [("data", 50_000), ("video", 200_000)]
    scenario = play("E 0 @e1 action=0 100 rsu=octets:2000000; 200 rsu=octets:1 => 2001 | B=9.70")
    token = token_of(scenario)
    scenario.play(f"E 0 @r1 action=1 refund={token} 600 rsu=octets:1 => 5004 | B=9.70 R=0")


@pytest.mark.rule("T209", "M-014")
def test_an_amount_that_the_client_had_rated() -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 money=1.25 => 2001 cost=1.25 | B=8.75")
    token = token_of(scenario)
    scenario.play(f"E 0 @r1 {REFUND} refund={token} 1 money=0.25 => 2001 cost=-0.25 | B=9.00")
    scenario.play(f"E 0 @e2 {DEBIT} 1 money=1.00 => 2001 cost=1 | B=8.00")
    token = token_of(scenario)
    scenario.play(f"E 0 @r2 {REFUND} refund={token} 1 rsu=1 => 2001 cost=-1 | B=9.00")


@pytest.mark.rule("M-014", "G18")
def test_a_session_of_countable_events_is_refunded_too() -> None:
    scenario = play(f"""
        I 0 @s1 {SMS} 1 rsu=3    => 1 ok 3         | B=10.00 R=0.21
        T 1 @s1 {SMS} 1 used=3   => 1 ok           | B=9.79 R=0
    """)
    token = token_of(scenario)
    scenario.play(f"""
        E 0 @r1 {REFUND} refund={token} 1 rsu=2 => 2001 cost=-0.14 | B=9.93 R=0
        E 0 @r2 {REFUND} refund={token} 1 rsu=1 => 5012            | B=9.93 R=0
    """)
    other = f"{token.partition('.')[0]}.0.t"
    scenario.play(f"E 0 @r3 {REFUND} refund={other} 1 rsu=1 => 5004 | B=9.93 R=0")


@pytest.mark.rule("M-014")
def test_other_sessions_give_no_reference() -> None:
    scenario = play("""
        I 0 @s1 100 rsu=octets:1000000  => 100 ok 1000000 | B=10.00 R=0.05
        T 1 @s1 100 used=octets:1000000 => 100 ok         | B=9.95 R=0
    """)
    assert scenario.reply.refund_reference == ""
    assert scenario.last is not None
    token = f"{scenario.last.session_key.hex()}.1.t"
    scenario.play(f"E 0 @r {REFUND} refund={token} 1 rsu=1 => 5004 | B=9.95 R=0")
    scenario = play(f"""
        I 0 @s1 {SMS} 1 rsu=3 => 1 ok 3 | B=10.00 R=0.21
        T 1 @s1 {SMS}         => 2001   | B=10.00 R=0
    """)
    assert scenario.reply.refund_reference == ""


@pytest.mark.rule("M-014")
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(0, 25), st.integers(0, 12), st.integers(0, 500_000))
def test_never_more_than_was_debited(debited: int, back: int, free: int, bonus: int) -> None:
    buckets = [
        Bucket(0, 0, Unit.EVENTS, "messages", available=free),
        Bucket(0, 0, Unit.MONEY, "bonus", available=bonus, priority=1),
    ]
    scenario = play("", buckets=[one for one in buckets if one.available])
    before = {one.bucket_id: one.available for one in scenario.load()[1]}
    scenario.play(f"E 0 @e {DEBIT} 1 rsu={debited} => 1 ok {debited}")
    token = token_of(scenario)
    scenario.send(scenario.request(f"E 0 @r {REFUND} refund={token} 1 rsu={back}"))
    scenario.check()
    after = {one.bucket_id: one.available for one in scenario.load()[1]}
    assert all(after[one] <= before[one] for one in before)
    if back == debited:
        assert after == before
    moved = sum(line.amount for line in scenario.store.movements(ACCOUNT)
                if line.contra == Contra.REFUND and line.unit == Unit.MONEY)
    assert moved == -(scenario.reply.cost_micro or 0)
