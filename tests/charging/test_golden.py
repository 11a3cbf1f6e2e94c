"""The golden examples: exact money, step by step, through the whole engine."""

from __future__ import annotations

import pytest

from ocs.amounts import Unit, unit_value
from ocs.catalog.model import Catalog, Price
from ocs.ledger.account import Bucket
from ocs.rating import pricing
from tests.support.charging import Scenario
from tests.support.tariffs import (
    T_306,
    T_6060,
    T_FINE,
    T_SEC,
    T_SETUP,
    make_banded_catalog,
    make_catalog,
)

CATALOG = make_catalog()


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("G01", "M-006", "M-007", "S-01", "S-07")
def test_basic() -> None:
    play("""
        I 0  100 rsu          => 100 ok 10000000   | B=10.00 R=0.50
        T 1  100 used=7300000 => 100 ok            | B=9.60 R=0
    """)


@pytest.mark.rule("G02", "M-002", "M-003")
def test_increments_are_counted_over_the_session() -> None:
    play("""
        I 0  100 rsu              => 100 ok 10000000   | B=10.00 R=0.50
        U 1  100 used=1400000 rsu => 100 ok 10000000   | B=9.90 R=0.50
        T 2  100 used=400000      => 100 ok            | B=9.90 R=0
    """)


@pytest.mark.rule("G03", "M-008", "C-005")
def test_over_usage_is_debited_in_full() -> None:
    play("""
        I 0  100 rsu               => 100 ok 10000000   | B=10.00 R=0.50
        U 1  100 used=10600000 rsu => 100 ok 10000000   | B=9.45 R=0.50
    """)


@pytest.mark.rule("G04", "C-040", "C-041", "M-005")
def test_last_units_carry_the_final_unit_indication() -> None:
    play(
        """
        I 0  100 rsu              => 100 ok 4000000 fui=terminate thr=0 | B=0.23 R=0.20
        U 1  100 used=4000000 rsu => 100 4012                           | B=0.03 R=0
        """,
        balance="0.23",
    )


@pytest.mark.rule("G06", "M-007", "S-09")
def test_supervision_timer_releases_and_debits_nothing() -> None:
    scenario = play("""
        I 0  100 rsu               => 100 ok 10000000 vt=30  | B=10.00 R=0.50
        wait 61
        U 1  100 used=3000000 rsu  => 5002                   | B=10.00 R=0
    """)
    (orphan,) = scenario.store.reviews()
    assert (orphan.kind, orphan.units, orphan.amount_micro) == ("orphan-usage", 3_000_000, 150_000)


@pytest.mark.rule("G07")
@pytest.mark.parametrize(("seconds", "micro"), [(1, 2000), (59, 118_000), (60, 120_000),
                                                (61, 122_000)])
def test_per_second(seconds: int, micro: int) -> None:
    assert pricing.cost_micro(T_SEC, seconds) == micro


@pytest.mark.rule("G08")
@pytest.mark.parametrize(("seconds", "micro"), [(1, 120_000), (60, 120_000), (61, 240_000),
                                                (121, 360_000)])
def test_per_minute(seconds: int, micro: int) -> None:
    assert pricing.cost_micro(T_6060, seconds) == micro


@pytest.mark.rule("G08")
def test_per_minute_session() -> None:
    play(
        """
        I 0 context=32260@3gpp.org 11 rsu     => 11 ok 120 fui=terminate | B=0.30 R=0.24
        T 1 context=32260@3gpp.org 11 used=61 => 11 ok                   | B=0.06 R=0
        """,
        balance="0.30", unit=Unit.SECONDS,
    )


@pytest.mark.rule("G09")
@pytest.mark.parametrize(("seconds", "micro"), [(1, 60_000), (30, 60_000), (31, 72_000),
                                                (36, 72_000), (59, 120_000), (61, 132_000)])
def test_minimum_then_six_seconds(seconds: int, micro: int) -> None:
    assert pricing.cost_micro(T_306, seconds) == micro


@pytest.mark.rule("G09")
def test_minimum_must_be_affordable() -> None:
    play(
        """
        I 0 context=32260@3gpp.org 13 rsu     => 13 ok 48 fui=terminate | B=0.10 R=0.096
        T 1 context=32260@3gpp.org 13 used=31 => 13 ok                  | B=0.028 R=0
        """,
        balance="0.10", unit=Unit.SECONDS,
    )
    play(
        "I 0 context=32260@3gpp.org 13 rsu => 13 4012 | B=0.059 R=0",
        balance="0.059", unit=Unit.SECONDS,
    )


@pytest.mark.rule("G10", "M-009")
@pytest.mark.parametrize(("used", "balance"), [("used=42", "0.00"), ("", "0.10"),
                                               ("used=0", "0.10"), ("used=30", "0.02"),
                                               ("used=1", "0.068333")])
def test_setup_fee_starts_with_the_first_unit(used: str, balance: str) -> None:
    play(
        f"""
        I 0 context=32260@3gpp.org 12 rsu    => 12 ok 42 fui=terminate | B=0.10 R=0.10
        T 1 context=32260@3gpp.org 12 {used} => 12 ok                  | B={balance} R=0
        """,
        balance="0.10", unit=Unit.SECONDS,
    )


@pytest.mark.rule("G10")
def test_setup_fee_without_a_second() -> None:
    assert pricing.cost_micro(T_SETUP, 1) == 31_667
    play(
        "I 0 context=32260@3gpp.org 12 rsu => 12 4012 | B=0.03 R=0",
        balance="0.03", unit=Unit.SECONDS,
    )


@pytest.mark.rule("G12", "M-004", "M-010", "C-060", "C-061", "D06")
def test_volume_over_a_tariff_switch() -> None:
    play(
        """
        I 0  100 rsu => 100 ok 10000000 ttc                  | B=1.00 R=0.80
        T 1  100 before=3900000 after=4100000 straddling=150000 => 100 ok    | B=0.35 R=0
        """,
        catalog=make_banded_catalog(), balance="1.00",
    )


@pytest.mark.rule("G12", "D06")
def test_straddling_usage_after_the_switch_by_policy() -> None:
    scenario = Scenario(make_banded_catalog(), balance="1.00")
    scenario.policy = type(scenario.policy)(indeterminate_before=False)
    scenario.play("""
        I 0  100 rsu => 100 ok 10000000 ttc                  | B=1.00 R=0.80
        T 1  100 before=3900000 after=4100000 straddling=150000 => 100 ok    | B=0.40 R=0
    """)


@pytest.mark.rule("G14", "M-013", "M-008")
def test_credit_limit() -> None:
    grant = "I 0  100 rsu=12000000 => 100 ok 10000000 | B=0.10 R=0.50"
    play(
        f"""
        {grant}
        U 1  100 used=10000000 rsu => 100 ok 2000000 fui=terminate | B=-0.40 R=0.10
        T 2  100 used=2000000      => 100 ok                       | B=-0.50 R=0
        """,
        balance="0.10", limit="0.50",
    )
    play(
        f"""
        {grant}
        U 1  100 used=12400000 rsu => 100 4012 | B=-0.55 R=0
        U 2  100 rsu               => 100 4012 | B=-0.55 R=0
        """,
        balance="0.10", limit="0.50",
    )


@pytest.mark.rule("G16")
def test_two_services_with_prices_of_their_own() -> None:
    play("""
        I 0  101 rsu; 102 rsu => 101 ok 2000000; 102 ok 4000000  | B=10.00 R=4.00
        T 1  101 used=3000000; 102 used=2000000 => 101 ok; 102 ok | B=6.00 R=0
    """)


@pytest.mark.rule("G17", "M-014", "D22")
def test_event_is_all_or_nothing() -> None:
    play(
        """
        E 0 @e1 context=32274@3gpp.org action=0 1 rsu=4 => 4012   | B=0.23 R=0
        E 0 @e2 context=32274@3gpp.org action=0 1 rsu=3 => 1 ok 3 | B=0.02 R=0
        """,
        balance="0.23", unit=Unit.EVENTS,
    )


@pytest.mark.rule("G18", "M-014", "T214", "T215")
def test_refund_once_per_reference() -> None:
    scenario = Scenario(CATALOG, unit=Unit.EVENTS)
    scenario.play("E 0 @e1 context=32274@3gpp.org action=0 1 rsu=1 => 1 ok 1 | B=9.93 R=0")
    token = scenario.reply.refund_reference
    scenario.play(f"""
        E 0 @e2 context=32274@3gpp.org action=1 refund={token} 1 rsu=1 => 1 ok 1 | B=10.00 R=0
        again
        E 0 @e3 context=32274@3gpp.org action=1 refund={token} 1 rsu=1 => 5012   | B=10.00 R=0
    """)
    amounts = [movement.amount for movement in scenario.store.movements(1001)][1:]
    assert amounts == [-70_000, 70_000]


@pytest.mark.rule("G19", "C-004")
def test_money_rated_by_the_client() -> None:
    play("""
        I 0  100 money=1.25     => 100 ok 1250000micro | B=10.00 R=1.25
        T 1  100 usedmoney=0.80 => 100 ok              | B=9.20 R=0
    """)


@pytest.mark.rule("G21", "M-002")
def test_micro_rounding_on_cumulative_usage() -> None:
    scenario = Scenario(CATALOG)
    scenario.play("I 0  600 rsu => 600 ok 10000000")
    for number in range(1, 1001):
        scenario.send(scenario.request(f"U {number} 600 used=100"))
    scenario.check()
    balance, held = scenario.money()
    assert (balance, held) == (10_000_000 - 9537, 0)
    assert pricing.cost_micro(T_FINE, 333_333) == 31_789
    assert pricing.cost_micro(T_FINE, 999_999) == 95_367


@pytest.mark.rule("G22", "I-006")
def test_duplicate_is_answered_from_what_was_stored() -> None:
    play("""
        I 0  100 rsu               => 100 ok 10000000   | B=10.00 R=0.50
        U 1  100 used=10600000 rsu => 100 ok 10000000   | B=9.45 R=0.50
        again
        again
        T 2                        => 2001              | B=9.45 R=0
    """)


@pytest.mark.rule("G25", "M-018")
@pytest.mark.parametrize(
    ("micro", "digits", "exponent"),
    [(2_300_000, 23, -1), (50_000, 5, -2), (1_250_000, 125, -2), (-50_000, -5, -2),
     (150_000_000, 150, 0), (1_234_000, 1234, -3), (0, 0, 0)],
)
def test_unit_value(micro: int, digits: int, exponent: int) -> None:
    assert unit_value(micro) == (digits, exponent)


@pytest.mark.rule("G26", "C-007")
def test_termination_releases_what_it_does_not_mention() -> None:
    play("""
        I 0  100 rsu; 200 rsu=2000000 => 100 ok 10000000; 200 ok 2000000 | B=10.00 R=0.90
        T 1  100 used=4000000         => 100 ok                         | B=9.80 R=0
    """)


@pytest.mark.rule("G28", "C-046", "C-047")
def test_no_increment_affordable() -> None:
    play("I 0  100 rsu => 100 4012 | B=0.04 R=0", balance="0.04")
    play(
        "I 0  100 rsu => 100 ok fui=redirect vt=10 | B=0.04 R=0", balance="0.04", plan="redirect"
    )
    play("I 0  100 rsu => 100 ok 0 fui=terminate | B=0.04 R=0", balance="0.04", plan="zero")


@pytest.mark.rule("M-012")
def test_free_units_are_spent_before_money() -> None:
    bonus = Bucket(0, 0, Unit.OCTETS, "bonus", available=5_000_000, services=("data",))
    play(
        """
        I 0  100 rsu               => 100 ok 9000000 fui=terminate | B=0.23 R=0.20
        U 1  100 used=6000000 rsu  => 100 ok 3000000 fui=terminate | B=0.18 R=0.15
        T 2  100 used=3000000      => 100 ok                       | B=0.03 R=0
        """,
        balance="0.23", buckets=[bonus],
    )


@pytest.mark.rule("M-011", "C-062")
def test_seconds_split_by_the_clock() -> None:
    # 0.12 a minute until 12:10, 0.24 after: a call from 12:09:30 to 12:10:30.
    catalog = make_banded_catalog(T_SEC, Price(240_000, per=60), unit=Unit.SECONDS)
    scenario = Scenario(catalog, unit=Unit.SECONDS)
    scenario.play("""
        wait 570
        I 0  100 rsu=60   => 100 ok 60            | B=10.00 R=0.18
        wait 20
        U 1  100 used=20 rsu=60 => 100 ok 60      | B=9.96 R=0.22
        wait 40
        T 2  100 used=40  => 100 ok               | B=9.82 R=0
    """)
