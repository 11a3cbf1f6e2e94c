"""The end of the money: last units, portals, and shortages that other sessions make."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.ledger.account import Bucket
from tests.support.charging import Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()


def play(text: str, **account: object) -> Scenario:
    scenario = Scenario(CATALOG, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("C-040", "C-041", "G-006", "G-121", "T191", "T193")
def test_last_units_under_terminate() -> None:
    scenario = play("I 0  100 rsu => 100 ok 4000000 fui=terminate thr=0 | R=0.20", balance="0.23")
    final = scenario.reply.services[0].final_unit
    assert final is not None
    assert (final.redirect_address, final.restriction_filter_rules) == ("", ())
    assert final.filter_ids == ()
    scenario.play("""
        T 1  100 used=4000000 => 100 ok | B=0.03 R=0
        I 0 @s2  100 rsu      => 100 4012 | B=0.03 R=0
    """)


@pytest.mark.rule("T194", "T200", "C-042", "C-043")
def test_last_units_tell_where_to_go() -> None:
    scenario = play(
        "I 0  100 rsu => 100 ok 4000000 fui=redirect thr=0 | R=0.20", balance="0.23",
        plan="redirect",
    )
    final = scenario.reply.services[0].final_unit
    assert final is not None
    assert (final.redirect_address_type, final.redirect_address) == (2, "http://topup.example/")
    scenario = play(
        "I 0  100 rsu => 100 ok 4000000 fui=restrict | R=0.20", balance="0.23", plan="restrict"
    )
    final = scenario.reply.services[0].final_unit
    assert final is not None
    assert final.filter_ids == ("portal",)


@pytest.mark.rule("T196", "T197", "C-044", "C-045", "C-048")
@pytest.mark.parametrize("plan", ["redirect", "restrict"])
def test_from_the_last_units_to_the_portal_and_back(plan: str) -> None:
    play(
        f"""
        I 0  100 rsu           => 100 ok 4000000 fui={plan} | B=0.23 R=0.20
        U 1  100 used=4000000  => 100 ok fui={plan} vt=10   | B=0.03 R=0
        wait 10
        U 2  100 rsu           => 100 ok fui={plan} vt=10   | B=0.03 R=0
        U 3  100               => 100 ok fui={plan} vt=10   | B=0.03 R=0
        top-up 5.00
        U 4  100               => 100 ok 10000000 vt=30     | B=5.03 R=0.50
        T 5                    => 2001                      | B=5.03 R=0
        """,
        balance="0.23", plan=plan,
    )
    play(
        f"""
        I 0  100 rsu           => 100 ok 4000000 fui={plan} | B=0.23 R=0.20
        U 1  100 used=4000000  => 100 ok fui={plan} vt=10   | B=0.03 R=0
        top-up 5.00
        U 2  100 rsu           => 100 ok 10000000           | B=5.03 R=0.50
        """,
        balance="0.23", plan=plan,
    )


@pytest.mark.rule("C-046", "T199")
def test_empty_account_at_the_start() -> None:
    play("I 0  100 rsu => 100 4012 | R=0", balance="0")
    for plan in ("redirect", "restrict"):
        play(f"I 0  100 rsu => 100 ok fui={plan} vt=10 | R=0", balance="0", plan=plan)


@pytest.mark.rule("T202", "C-047")
def test_zero_units_come_with_terminate() -> None:
    play(
        """
        I 0  100 rsu               => 100 ok 4000000 fui=terminate | B=0.23 R=0.20
        U 1  100 used=4000000 rsu  => 100 ok 0 fui=terminate       | B=0.03 R=0
        """,
        balance="0.23", plan="zero",
    )


@pytest.mark.rule("T203", "D16")
def test_shortage_that_other_sessions_make_is_not_final() -> None:
    play(
        """
        I 0  100 rsu; 200 rsu=2000000 => 100 ok 10000000; 200 ok 2000000 | B=1.00 R=0.90
        I 0 @s2 100 rsu               => 100 ok 2000000 vt=10 thr=0      | B=1.00 R=1.00
        I 0 @s3 100 rsu               => 100 4012                        | B=1.00 R=1.00
        T 1                           => 2001                            | B=1.00 R=0.10
        U 1 @s3 100 rsu               => 100 ok 10000000 vt=30           | B=1.00 R=0.60
        """,
        balance="1.00",
    )


@pytest.mark.rule("D16")
def test_other_sessions_do_not_send_a_client_to_the_portal() -> None:
    play(
        """
        I 0  100 rsu      => 100 ok 10000000 fui=redirect | B=0.50 R=0.50
        I 0 @s2 100 rsu   => 100 4012                     | B=0.50 R=0.50
        """,
        balance="0.50", plan="redirect",
    )


@pytest.mark.rule("D16", "C-040")
def test_shortage_of_free_units_that_other_sessions_hold() -> None:
    bonus = Bucket(0, 0, Unit.OCTETS, "bonus", available=12_000_000)
    play(
        """
        I 0  100 rsu     => 100 ok 10000000       | B=0 R=0
        I 0 @s2 100 rsu  => 100 ok 2000000 vt=10  | B=0 R=0
        T 1 100 used=1   => 100 ok                | B=0 R=0
        U 1 @s2 100 used=2000000 rsu => 100 ok 9999999 fui=terminate | B=0 R=0
        """,
        balance="0", buckets=[bonus],
    )


@pytest.mark.rule("T205", "C-050")
def test_report_before_the_last_units_are_used_up() -> None:
    play(
        """
        I 0  100 rsu => 100 ok 4000000 fui=terminate | B=0.23 R=0.20
        U 1  100 used=1000000 rsu reason=RATING_CONDITION_CHANGE \
=> 100 ok 3000000 fui=terminate | B=0.18 R=0.15
        T 2  100 used=3000000 => 100 ok | B=0.03 R=0
        """,
        balance="0.23",
    )


@pytest.mark.rule("M-005")
def test_what_is_left_of_a_paid_increment_is_granted_for_nothing() -> None:
    play(
        """
        I 0  100 rsu              => 100 ok 1000000 fui=terminate | B=0.05 R=0.05
        U 1  100 used=400000 rsu  => 100 ok 600000 fui=terminate  | B=0 R=0
        U 2  100 used=600000 rsu  => 100 4012                     | B=0 R=0
        """,
        balance="0.05",
    )


@pytest.mark.rule("M-005", "C-040")
def test_not_final_while_the_paid_increment_lasts() -> None:
    play(
        """
        I 0  100 rsu=500000              => 100 ok 500000                | B=0.05 R=0.05
        U 1  100 used=500000 rsu=500000  => 100 ok 500000 fui=terminate  | B=0 R=0
        """,
        balance="0.05",
    )


@pytest.mark.rule("M-008", "I-003")
def test_nothing_is_granted_while_the_account_is_overdrawn() -> None:
    scenario = play(
        """
        I 0  100 rsu               => 100 ok 4000000 fui=terminate | B=0.23 R=0.20
        U 1  100 used=5500000 rsu  => 100 4012                     | B=-0.07 R=0
        U 2  100 rsu               => 100 4012                     | B=-0.07 R=0
        top-up 0.10
        U 3  100 rsu               => 100 ok 500000 fui=terminate  | B=0.03 R=0
        """,
        balance="0.23",
    )
    assert scenario.load()[0].flags == 1


@pytest.mark.rule("D24")
def test_a_profile_that_only_terminates() -> None:
    """Nor is it sent to a portal, which it would take for the end, when the money has ended."""
    play(
        """
        I 0 profile=open5gs 100 rsu              => 100 ok 4000000 | B=0.23 R=0.20
        U 1 profile=open5gs 100 used=4000000 rsu => 100 4012       | B=0.03 R=0
        """,
        balance="0.23", plan="redirect",
    )


@pytest.mark.rule("D24", "C-046")
def test_magma_is_redirected_with_its_last_units_and_then_refused() -> None:
    play(
        """
        I 0 profile=magma 100 rsu               => 100 ok 4000000 fui=redirect | B=0.23 R=0.20
        U 1 profile=magma 100 used=4000000 rsu  => 100 4012                    | B=0.03 R=0
        """,
        balance="0.23", plan="redirect",
    )


@pytest.mark.rule("D01", "D24", "G-006")
def test_kamailio_is_refused_at_the_command_level() -> None:
    play(
        """
        I 0 profile=kamailio context=32260@3gpp.org 10 rsu=60 => 10 ok 60 | B=0.13 R=0.12
        wait 60
        U 1 profile=kamailio context=32260@3gpp.org 10 used=60 rsu=60 \
=> 10 ok 5 fui=terminate | B=0.01 R=0.01
        wait 5
        U 2 profile=kamailio context=32260@3gpp.org 10 used=5 rsu=60 => 4012 | B=0 R=0
        T 3 profile=kamailio context=32260@3gpp.org 10 used=0 => 10 ok | B=0 R=0
        """,
        balance="0.13", unit=Unit.SECONDS,
    )


@pytest.mark.rule("C-049")
@pytest.mark.parametrize(("profile", "qos"), [("rfc", True), ("generic", False)])
def test_final_units_with_qos_are_for_clients_that_know_them(profile: str, qos: bool) -> None:
    plan = CATALOG.plans["restrict"]
    wanted = replace(plan, final_unit=replace(plan.final_unit, qos=True))
    for catalog, expected in (
        (replace(CATALOG, plans={"restrict": wanted}), qos),
        (replace(CATALOG, plans={"restrict": plan}), False),
    ):
        scenario = Scenario(catalog, balance="0.23", plan="restrict")
        scenario.play(f"I 0 profile={profile} 100 rsu => 100 ok 4000000 fui=restrict")
        final = scenario.reply.services[0].final_unit
        assert final is not None
        assert final.qos is expected
