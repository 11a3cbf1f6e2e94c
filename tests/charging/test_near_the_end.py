"""Clients that cannot be asked to report: what prepares for a top-up near the end of the money."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.catalog.model import Catalog, QuotaPolicy
from ocs.charging.model.messages import Units
from ocs.charging.model.profile import PROFILES
from ocs.ledger.account import Bucket
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_banded_catalog, make_catalog

pytestmark = pytest.mark.rule("P-013")

SLICE = 10_000_000
LONG = QuotaPolicy(SLICE, SLICE, validity_seconds=900, short_validity_seconds=10)


def long_catalog() -> Catalog:
    """The golden catalogue, whose data are granted for a quarter of an hour."""
    catalog = make_catalog()
    services = dict(catalog.services)
    services["data"] = replace(services["data"], quota=LONG)
    return replace(catalog, services=services)


CATALOG = long_catalog()


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("C-181")
@pytest.mark.parametrize(
    "balance,validity", [("10.00", 900), ("1.00", 900), ("0.99", 60), ("0.55", 60), ("0.50", 60)]
)
def test_validity_is_short_as_soon_as_another_slice_cannot_be_paid(balance, validity):
    """A slice costs 0.50: the money must pay for the one granted and for one more."""
    play(f"I 0 profile=open5gs 100 rsu => 100 ok {SLICE} vt={validity}", balance=balance)


def test_the_last_units_are_not_announced_and_bring_a_report_that_a_top_up_can_answer():
    play(
        """
        I 0 profile=open5gs 100 rsu               => 100 ok 4000000 vt=60 thr=0 | B=0.23 R=0.20
        top-up 5.00
        wait 59
        U 1 profile=open5gs 100 used=1000000 rsu  => 100 ok 10000000 vt=900     | B=5.18 R=0.50
        """,
        balance="0.23",
    )


def test_without_a_top_up_the_report_is_granted_what_is_left_and_then_refused():
    play(
        """
        I 0 profile=open5gs 100 rsu               => 100 ok 4000000 vt=60 | B=0.23 R=0.20
        U 1 profile=open5gs 100 used=1000000 rsu  => 100 ok 3000000 vt=60 | B=0.18 R=0.15
        U 2 profile=open5gs 100 used=3000000 rsu  => 100 4012             | B=0.03 R=0
        T 3 profile=open5gs 100 used=20000        => 100 ok               | B=-0.02 R=0
        """,
        balance="0.23",
    )


def test_others_are_told_of_their_last_units_and_keep_their_validity():
    play("I 0 100 rsu => 100 ok 4000000 fui=terminate vt=900", balance="0.23")
    play("I 0 100 rsu => 100 ok 10000000 vt=900", balance="0.60")


def test_free_units_count_as_what_can_be_paid():
    def free(amount: int) -> Bucket:
        return Bucket(ACCOUNT, 9, Unit.OCTETS, "free", amount)

    one_more = "I 0 profile=open5gs 100 rsu => 100 ok 10000000 vt=900"
    play(one_more, balance="0", buckets=[free(2 * SLICE)])
    play(one_more, balance="0.25", buckets=[free(SLICE + SLICE // 2)])
    last = "I 0 profile=open5gs 100 rsu => 100 ok 10000000 vt=60"
    play(last, balance="0.24", buckets=[free(SLICE + SLICE // 2)])
    play(last, balance="0", buckets=[free(SLICE)])


def test_what_was_asked_is_the_slice():
    """The client always asks for one megabyte: two of them cost 0.10."""
    play("I 0 profile=open5gs 100 rsu=1000000 => 100 ok 1000000 vt=900", balance="0.10")
    play("I 0 profile=open5gs 100 rsu=1000000 => 100 ok 1000000 vt=60", balance="0.09")


def test_a_switch_to_a_dearer_tariff_counts():
    """Half an hour before the switch both slices cost 0.50; just before it the next costs 0.80."""
    text = "I 0 profile=open5gs 100 rsu => 100 ok 10000000 vt={}"
    far = make_banded_catalog(switch_minute=13 * 60)
    play(text.format(900), far, balance="1.10")
    near = make_banded_catalog(switch_minute=12 * 60 + 10)
    play(text.format(600), near, balance="1.10")


def test_time_is_treated_alike():
    text = "I 0 profile=open5gs 500 rsu=300 => 500 ok 300 vt={}"
    play(text.format(600), balance="1.20", unit=Unit.SECONDS)
    play(text.format(60), balance="1.19", unit=Unit.SECONDS)


def test_a_validity_that_is_shorter_anyway_stays():
    play("I 0 profile=open5gs 100 rsu => 100 ok 4000000 vt=30", make_catalog(), balance="0.23")


def test_a_shortage_of_other_sessions_making_is_looked_at_soon():
    scenario = play("I 0 profile=open5gs 100 rsu => 100 ok 10000000 vt=900", balance="1.20")
    scenario.play(
        """
        I 0 @s2 profile=open5gs 100 rsu => 100 ok 10000000 vt=60 | R=1.00
        I 0 @s3 profile=open5gs 100 rsu => 100 ok 4000000 vt=10  | R=1.20
        """
    )


def test_octets_are_always_granted_in_total():
    """Input and output octets alone would switch the metering off."""
    scenario = play("I 0 profile=open5gs 100 rsu=1000000 => 100 ok 1000000", balance="1")
    assert scenario.reply.services[0].granted == Units(octets=1_000_000)


def test_the_profile_says_so():
    profile = PROFILES["open5gs"]
    assert 60 <= profile.final_validity_seconds <= 300
    assert not profile.announces_final_units
    assert not profile.reacts_to_reauth and not profile.reacts_to_abort
