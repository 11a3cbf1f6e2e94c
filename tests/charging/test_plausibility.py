"""Usage that cannot have happened is debited up to what can, the rest waits for a person."""

from __future__ import annotations

import pytest

from ocs.amounts import Unit
from ocs.charging.model.profile import ClientProfile
from ocs.ledger.account import AccountFlag
from tests.support.charging import Scenario
from tests.support.tariffs import make_banded_catalog, make_catalog

CATALOG = make_catalog()


def play(text: str, **account: object) -> Scenario:
    scenario = Scenario(CATALOG, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("D05")
def test_more_seconds_than_the_clock() -> None:
    # 100 s went by; 1 s for rounding and 300 s of tolerance are added.
    scenario = play(
        """
        I 0  500 rsu            => 500 ok 600 | B=10.00 R=1.20
        wait 100
        U 1  500 used=1000 rsu  => 500 ok 600 | B=9.198 R=1.20
        wait 100
        T 2  500 used=401       => 500 ok     | B=8.396 R=0
        """,
        unit=Unit.SECONDS,
    )
    (parked,) = scenario.store.reviews()
    assert (parked.kind, parked.units, parked.units_before) == ("parked-usage", 599, 401)
    assert (parked.amount_micro, parked.rule, parked.unit) == (1_198_000, "lease", Unit.SECONDS)
    assert scenario.load()[0].flags & AccountFlag.PARKED_USAGE


@pytest.mark.rule("D05")
def test_more_octets_than_the_bearer_carries() -> None:
    # 10 s at 1 MB/s, 1 s for rounding and 100 MB of tolerance make 111 MB at most.
    scenario = play("""
        I 0  100 rsu                          => 100 ok 10000000 | B=10.00 R=0.50
        wait 10
        U 1  100 rate=1000000 used=111000000  => 100 ok          | B=4.45 R=0
        wait 10
        U 2  100 rate=1000000 used=111000001  => 100 ok          | B=-1.10 R=0
        wait 10
        T 3  100 used=200000000               => 100 ok          | B=-6.65 R=0
    """)
    first, second = scenario.store.reviews()
    assert (first.units, first.units_before, first.amount_micro) == (1, 222_000_000, 50_000)
    # The bearer's rate was said once and holds until another is said.
    assert (second.units, second.units_before) == (89_000_000, 333_000_000)
    flags = scenario.load()[0].flags
    assert flags == AccountFlag.PARKED_USAGE | AccountFlag.OVER_USAGE


@pytest.mark.rule("D05", "C-025")
def test_the_bound_holds_for_all_reports_of_a_request_together() -> None:
    scenario = play(
        """
        I 0  500 rsu                        => 500 ok 600 | B=10.00 R=1.20
        wait 600
        U 1  500 used=500; 500 used=500 rsu => 500 ok; 500 ok 600 | B=8.198 R=1.20
        """,
        unit=Unit.SECONDS,
    )
    (parked,) = scenario.store.reviews()
    assert (parked.units, parked.units_before) == (99, 901)
    play(
        """
        I 0  500 rsu                        => 500 ok 600 | B=10.00 R=1.20
        wait 600
        U 1  500 used=300; 500 used=300 rsu => 500 ok; 500 ok 600 | B=8.80 R=1.20
        """,
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("D05", "C-061")
def test_the_bound_holds_for_both_sides_of_a_tariff_switch() -> None:
    scenario = Scenario(make_banded_catalog())
    scenario.play("""
        I 0  100 rsu => 100 ok 10000000 ttc | B=10.00 R=0.80
        wait 10
        U 1  100 rate=1000000 before=100000000 after=100000000 => 100 ok | B=4.12 R=0
    """)
    (parked,) = scenario.store.reviews()
    assert (parked.rule, parked.units, parked.units_before) == ("late", 89_000_000, 11_000_000)
    assert parked.amount_micro == 89 * 80_000


@pytest.mark.rule("D05")
def test_usage_without_a_grant_is_bounded_by_the_session() -> None:
    scenario = play(
        """
        I 0                 => 2001
        wait 59
        U 1  500 used=1000  => 500 ok | B=9.28 R=0
        """,
        unit=Unit.SECONDS,
    )
    (parked,) = scenario.store.reviews()
    assert parked.units == 640
    # A first request may tell of what the client gave away before it could ask.
    play("I 0  500 used=1000 rsu => 500 ok 600 | B=8.00 R=1.20", unit=Unit.SECONDS)


@pytest.mark.rule("D05")
def test_the_bound_can_be_switched_off() -> None:
    scenario = play("I 0  500 rsu => 500 ok 600", unit=Unit.SECONDS)
    request = scenario.request("T 1 500 used=4000")
    request.profile = ClientProfile("trusted", bound_usage=False)
    scenario.send(request)
    assert scenario.money() == (2_000_000, 0)
    assert scenario.store.reviews() == []
    scenario.check()


@pytest.mark.rule("D05")
def test_nothing_possible_is_left() -> None:
    tight = ClientProfile("tight", usage_tolerance_seconds=0, usage_tolerance_octets=0)
    scenario = play(
        "I 0  500 rsu; 100 rsu => 500 ok 600; 100 ok 10000000 | R=1.70",
    )
    request = scenario.request(
        "U 1 500 used=seconds:1; 500 used=seconds:5; 100 rate=1 used=1; 100 rate=1 used=7"
    )
    request.profile = tight
    scenario.send(request)
    parked = [(item.service, item.units, item.units_before) for item in scenario.store.reviews()]
    assert sorted(parked) == [("data", 7, 1), ("lease", 5, 1)]
    assert scenario.money() == (9_948_000, 0)
    scenario.check()




@pytest.mark.rule("D05", "G-009")
def test_the_bearer_may_say_its_rate_for_the_whole_session() -> None:
    scenario = Scenario(CATALOG, balance="100.00")
    opening = scenario.request("I 0  100 rsu")
    opening.attributes.rate_octets_per_second = 1_000_000
    scenario.send(opening)
    # A slower bearer now does not make what was used before impossible.
    slower = scenario.request("U 1  100 used=0")
    slower.attributes.rate_octets_per_second = 1
    scenario.send(slower)
    scenario.play("""
        wait 10
        U 2  100 used=111000000  => 100 ok | B=94.45 R=0 P=0
        wait 10
        T 3  100 used=111000001  => 100 ok | B=88.90 R=0 P=1
    """)
