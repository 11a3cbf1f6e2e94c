"""One-time events: direct debits, refunds, balance checks and price enquiries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.catalog.model import Catalog
from ocs.charging.model.messages import Outcome
from ocs.charging.model.profile import ClientProfile
from ocs.ledger.account import Bucket, Contra
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()
SMS = "context=32274@3gpp.org"
DEBIT, REFUND, CHECK, PRICE = (f"{SMS} action={number}" for number in range(4))


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, unit=Unit.EVENTS, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("C-021", "G-191", "T208", "T224", "T289")
def test_direct_debit() -> None:
    scenario = play(f"""
        E 0 @e1 {DEBIT} 1 rsu    => 2001 cost=0.07; 1 ok 1    | B=9.93 R=0
        again
        E 0 @e2 {DEBIT} 1 rsu=3  => 2001 cost=0.21; 1 ok 3    | B=9.72 R=0
        E 0 @e3 {DEBIT} si7 rsu=1 => 2001 cost=0.07; si7 ok 1 | B=9.65 R=0
        E 0 @e4 {DEBIT} 1 rsu=1; 1 rsu=2 => 2001 cost=0.21; 1 ok 1; 1 ok 2 | B=9.44 R=0
    """)
    assert scenario.store.sessions_of(ACCOUNT) == []


@pytest.mark.rule("T209")
def test_money_rated_by_the_client() -> None:
    play(f"""
        E 0 @e1 {DEBIT} 1 money=1.25    => 2001 cost=1.25; 1 ok 1250000micro | B=8.75 R=0
        E 0 @e2 {DEBIT} 1 money=1.25USD => 5031                              | B=8.75 R=0
        E 0 @e3 {DEBIT} 1 money=-1.25   => 5004                              | B=8.75 R=0
        E 0 @e4 {DEBIT} 1 money=8.76    => 4012                              | B=8.75 R=0
    """)


@pytest.mark.rule("M-014", "G17", "I-003")
def test_direct_debit_of_several_services_is_all_or_nothing() -> None:
    scenario = play(
        f"""
        E 0 @e1 {DEBIT} 1 rsu=2; 1 rsu=2 => 4012                | B=0.23 R=0
        E 0 @e2 {DEBIT} 1 rsu=2; 1 rsu=1 => 1 ok 2; 1 ok 1      | B=0.02 R=0
        """,
        balance="0.23",
    )
    assert [line.amount for line in scenario.store.movements(ACCOUNT)] == [
        230_000, -140_000, -70_000
    ]


@pytest.mark.rule("M-014", "I-003", "T220")
def test_events_do_not_touch_what_sessions_hold() -> None:
    play(
        f"""
        I 0  100 rsu=octets:16000000; 200 rsu=octets:1000000 \
=> 100 ok 10000000; 200 ok 1000000                         | B=1.00 R=0.70
        E 0 @e1 {DEBIT} 1 money=0.31 => 4012                  | B=1.00 R=0.70
        E 0 @e2 {CHECK} 1 money=0.50 => 2001 enough=no        | B=1.00 R=0.70
        E 0 @e3 {CHECK} 1 money=0.30 => 2001 enough=yes       | B=1.00 R=0.70
        E 0 @e4 {DEBIT} 1 money=0.30 => 1 ok 300000micro      | B=0.70 R=0.70
        """,
        balance="1.00",
    )


@pytest.mark.rule("M-013")
def test_events_use_the_credit_limit() -> None:
    play(
        f"""
        E 0 @e1 {DEBIT} 1 rsu=8 => 1 ok 8 | B=-0.46 R=0
        E 0 @e2 {DEBIT} 1 rsu=1 => 4012   | B=-0.46 R=0
        """,
        balance="0.10", limit="0.50",
    )


@pytest.mark.rule("T218", "T220")
def test_check_balance() -> None:
    scenario = play(
        f"""
        E 0 @e1 {CHECK} 1 rsu=1       => 2001 enough=yes | B=0.23 R=0
        again
        E 0 @e2 {CHECK} 1 rsu=4       => 2001 enough=no  | B=0.23 R=0
        E 0 @e3 {CHECK} 1 rsu=2; 1 rsu=2 => 2001 enough=no  | B=0.23 R=0
        E 0 @e4 {DEBIT} 1 rsu=3       => 1 ok 3          | B=0.02 R=0
        """,
        balance="0.23",
    )
    assert [line.line for line in scenario.store.movements(ACCOUNT)] == [0, 0]


@pytest.mark.rule("C-154", "T221")
def test_price_enquiry_does_not_read_the_balance() -> None:
    scenario = play(f"E 0 {PRICE} 1 rsu=3 => 2001 cost=0.21 | B=0 R=0", balance="0")
    assert (scenario.reply.currency, scenario.reply.services) == ("EUR", [])
    assert scenario.reply.enough_credit is None
    bonus = Bucket(0, 0, Unit.EVENTS, "messages", available=5)
    play(f"E 0 {PRICE} 1 rsu=3 => 2001 cost=0.21", balance="0", buckets=[bonus])


@pytest.mark.rule("M-012", "M-014")
def test_direct_debit_takes_free_units_first_and_a_refund_gives_them_back() -> None:
    bonus = Bucket(0, 0, Unit.EVENTS, "messages", available=2)
    scenario = play(
        f"""
        E 0 @e1 {CHECK} 1 rsu=5 => 2001 enough=yes        | B=0.23 R=0
        E 0 @e2 {DEBIT} 1 rsu=6 => 4012                   | B=0.23 R=0
        E 0 @e3 {DEBIT} 1 rsu=5 => 2001 cost=0.21; 1 ok 5 | B=0.02 R=0
        """,
        balance="0.23", buckets=[bonus],
    )
    token = scenario.reply.refund_reference
    scenario.play(f"""
        E 0 @e4 {CHECK} 1 rsu=1 => 2001 enough=no                       | B=0.02 R=0
        E 0 @r {REFUND} refund={token} 1 rsu=5 => 2001 cost=-0.21; 1 ok 5 | B=0.23 R=0
    """)
    _, buckets, _ = scenario.load()
    assert [bucket.available for bucket in buckets if bucket.unit == Unit.EVENTS] == [2]
    contras = {line.contra for line in scenario.store.movements(ACCOUNT)}
    assert contras == {Contra.TOP_UP, Contra.REVENUE, Contra.REFUND}


@pytest.mark.rule("G-192", "M-014", "T214", "T215")
def test_refund_of_a_debit_once() -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=1 => 1 ok 1 | B=9.93 R=0")
    token = scenario.reply.refund_reference
    scenario.play(f"""
        block
        E 0 @r1 {REFUND} refund={token} 1 rsu=1 => 1 ok 1 | B=10.00 R=0
        again
        E 1 @r1 {REFUND} refund={token} 1 rsu=1 => 5012   | B=10.00 R=0
        E 0 @r2 {REFUND} refund={token} 1 rsu=1 => 5012   | B=10.00 R=0
    """)


@pytest.mark.rule("T217", "M-014")
def test_refund_of_what_was_never_debited() -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=4 => 4012 | B=0.23 R=0", balance="0.23")
    request = scenario.last
    assert request is not None
    refused = f"{request.session_key.hex()}.0"
    scenario.play(f"E 0 @e2 {CHECK} 1 rsu=1 => 2001 enough=yes")
    assert scenario.last is not None
    checked = f"{scenario.last.session_key.hex()}.0"
    for number, token in enumerate((refused, checked, "00" * 16 + ".0", "nonsense", "é.1")):
        scenario.play(f"E 0 @r{number} {REFUND} refund={token} 1 rsu=1 => 5004 | B=0.23 R=0")
        assert scenario.reply.failed == "refund-information"


@pytest.mark.rule("M-014")
def test_a_refund_is_not_refunded() -> None:
    scenario = play(f"E 0 @e1 {DEBIT} 1 rsu=1 => 1 ok 1 | B=9.93 R=0")
    token = scenario.reply.refund_reference
    scenario.play(f"E 0 @r1 {REFUND} refund={token} 1 rsu=1 => 1 ok 1 | B=10.00 R=0")
    assert scenario.last is not None
    again = f"{scenario.last.session_key.hex()}.0"
    scenario.play(f"E 0 @r2 {REFUND} refund={again} 1 rsu=1 => 5004 | B=10.00 R=0")


@pytest.mark.rule("M-014")
def test_refund_without_a_debit_needs_a_permission() -> None:
    scenario = play(f"E 0 @r0 {REFUND} 1 money=0.50 => 5004 | B=10.00 R=0")
    trusted = ClientProfile("trusted", refund_without_reference_micro=500_000)
    for number, (what, outcome, balance) in enumerate([
        ("1 money=0.50", Outcome.SUCCESS, 10_500_000),
        ("1 money=0.51", Outcome.INVALID_VALUE, 10_500_000),
        ("1 rsu=2", Outcome.SUCCESS, 10_640_000),
        ("1 rsu=8", Outcome.INVALID_VALUE, 10_640_000),
        ("1 money=0", Outcome.INVALID_VALUE, 10_640_000),
        ("1 money=0.30; 1 money=0.30", Outcome.INVALID_VALUE, 10_640_000),
    ], 1):
        request = scenario.request(f"E 0 @r{number} {REFUND} {what}")
        request.profile = trusted
        assert scenario.send(request).outcome == outcome, what
        assert scenario.money()[0] == balance, what
        scenario.check()


@pytest.mark.rule("D18")
def test_events_without_a_price() -> None:
    play("""
        E 0 @e1 action=0 300 rsu=octets:1 => 4011                   | B=0 R=0
        E 0 @e2 action=0 310 rsu=octets:1 => 2001 cost=0; 310 ok 1  | B=0 R=0
        E 0 @e3 action=0 400 rsu=octets:1 => 5003                   | B=0 R=0
        E 0 @e4 action=0 999 rsu=octets:1 => 5031                   | B=0 R=0
        E 0 @e5 action=0 100 rsu=seconds:1 => 5031                  | B=0 R=0
        E 0 @e6 action=0                  => 5031                   | B=0 R=0
        E 0 @e7 context=1@x.example action=0 100 rsu => 5031        | B=0 R=0
    """, balance="0")


@pytest.mark.rule("G-191", "T287")
def test_destination_of_the_message_sets_its_price() -> None:
    service = replace(CATALOG.services["sms"], destination_rated=True)
    plan = CATALOG.plans["basic"]
    (home,) = plan.terms["sms"].rules
    abroad = replace(
        home, code="abroad", zone="abroad", price=replace(home.price, rate_micro=300_000)
    )
    terms = {**plan.terms, "sms": replace(plan.terms["sms"], rules=(home, abroad))}
    catalog = replace(
        CATALOG, services={**CATALOG.services, "sms": service},
        plans={"basic": replace(plan, terms=terms)}, zones={"abroad": ("49",)},
    )
    play(
        f"""
        E 0 @e1 {DEBIT} called=491701234567 1 rsu=1 => 1 ok 1 | B=9.70 R=0
        E 0 @e2 {DEBIT} called=15550002 1 rsu=1     => 1 ok 1 | B=9.63 R=0
        """,
        catalog,
    )


@pytest.mark.rule("M-014")
def test_an_event_with_the_session_id_of_a_session_stands_alone() -> None:
    # Its service is looked for in its own Service-Context-Id, not in that of the session.
    scenario = play("""
        I 0  100 rsu                                            => 100 ok 10000000 | B=10.00 R=0.50
        E 0  1 rsu=3 action=0 context=32274@3gpp.org            => 1 ok 3          | B=9.79 R=0.50
        T 1  100 used=octets:1000000                            => 100 ok          | B=9.74 R=0
    """)
    assert len(scenario.store.sessions_of(ACCOUNT)) == 1
