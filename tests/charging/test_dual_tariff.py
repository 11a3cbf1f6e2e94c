"""Two quotas around a tariff switch for clients of RFC 8506 (C-063)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import SECONDS, Unit
from ocs.catalog.model import Catalog, Price
from ocs.charging.model.messages import TariffSide
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import Bucket
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.tariffs import T_SEC, make_banded_catalog

CATALOG = make_banded_catalog()


def play(text: str, catalog: Catalog = CATALOG, **account: object) -> Scenario:
    scenario = Scenario(catalog, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


@pytest.mark.rule("C-063", "T248", "I-005")
def test_each_side_of_the_switch_has_a_quota_at_its_own_price() -> None:
    scenario = play("""
        I 0 profile=rfc 100 rsu => 100 ok 10000000 ttc vt=900 thr=2000000 side=0; \
100 ok 10000000 ttc vt=900 thr=2000000 side=1 | B=10.00 R=1.30
        again
        U 1 profile=rfc 100 before=3900000 after=4100000 straddling=150000 rsu=5000000 \
=> 100 ok 5000000 ttc side=0; 100 ok 5000000 ttc side=1 | B=9.35 R=0.65
        T 2 profile=rfc 100 before=5000000 after=5000000 => 100 ok | B=8.70 R=0
    """)
    record = scenario.store.stored_records(ACCOUNT)[0].record
    assert [(line.granted, line.reserved_micro) for line in record.charged] == [
        (20_000_000, 1_300_000)
    ]
    before, after = record.reply.services
    assert before.tariff_change_ns == after.tariff_change_ns == NOON_NS + 600 * NS_PER_SECOND
    assert (before.tariff_side, after.tariff_side) == (TariffSide.BEFORE, TariffSide.AFTER)


@pytest.mark.rule("C-063", "C-060")
def test_others_have_one_quota_at_the_dearer_price() -> None:
    play("I 0 100 rsu => 100 ok 10000000 ttc | B=10.00 R=0.80")


@pytest.mark.rule("C-063", "C-064")
def test_without_money_for_both_the_first_ends_at_the_switch() -> None:
    # 0.50 is held before; 0.07 does not pay an increment of 0.08 after.
    scenario = play(
        """
        I 0 profile=rfc 100 rsu => 100 ok 10000000 vt=600 | B=0.57 R=0.50
        wait 600
        U 1 profile=rfc 100 used=10000000 rsu => 100 4012 | B=0.07 R=0
        """,
        balance="0.57",
    )
    assert scenario.reply.services[0].tariff_change_ns == 0


@pytest.mark.rule("C-063", "C-040")
def test_the_last_units_of_both_sides_say_so() -> None:
    play(
        """
        I 0 profile=rfc 100 rsu => 100 ok 10000000 ttc fui=terminate thr=0 side=0; \
100 ok 1000000 ttc fui=terminate thr=0 side=1 | B=0.62 R=0.58
        """,
        balance="0.62",
    )
    # One more increment can be paid before the switch, so it is not the end.
    play(
        """
        I 0 profile=rfc 100 rsu => 100 ok 10000000 ttc side=0; 100 ok 1000000 ttc side=1 \
| B=0.63 R=0.58
        """,
        balance="0.63",
    )


@pytest.mark.rule("C-063", "M-012")
def test_free_units_serve_either_side() -> None:
    free = Bucket(0, 0, Unit.OCTETS, "free", available=3_000_000)
    play(
        """
        I 0 profile=rfc 100 rsu=2000000 => 100 ok 2000000 ttc side=0; 100 ok 2000000 ttc side=1 \
| B=1.00 R=0.08
        U 1 profile=rfc 100 before=2000000 after=1500000 => 100 ok | B=0.92 R=0
        """,
        balance="1.00", buckets=[free],
    )


@pytest.mark.rule("C-062", "C-063")
def test_seconds_are_split_by_the_clock() -> None:
    play(
        "I 0 profile=rfc 100 rsu=1200 => 100 ok 1200 | B=10.00 R=3.60",
        make_banded_catalog(T_SEC, Price(240_000, per=60), unit=SECONDS), unit=SECONDS,
    )


@pytest.mark.rule("C-063", "C-022")
def test_command_level_has_one_quota() -> None:
    service = replace(CATALOG.services["data"], default=True)
    scenario = Scenario(replace(CATALOG, services={"data": service}))
    request = scenario.request("I 0 profile=rfc - rsu")
    request.services[0].command_level = True
    scenario.send(request)
    (reply,) = scenario.reply.services
    assert reply.tariff_change_ns
    assert scenario.money() == (10_000_000, 800_000)


@pytest.mark.rule("C-063", "C-060", "I-003")
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2_000_000), st.data())
def test_the_holds_suffice_however_the_quotas_are_used(balance: int, data: st.DataObject) -> None:
    """Whatever is used of each side costs no more than was held, to the last increment."""
    scenario = Scenario(CATALOG, f"{balance // 10**6}.{balance % 10**6:06}")
    scenario.play("I 0 profile=rfc 100 rsu => 2001")
    sides = {reply.tariff_side: reply.granted for reply in scenario.reply.services}
    if TariffSide.AFTER not in sides:
        return
    used = {
        side: data.draw(st.integers(0, granted.octets or 0))
        for side, granted in sides.items() if granted
    }
    scenario.play(
        f"T 1 profile=rfc 100 before={used[TariffSide.BEFORE]} after={used[TariffSide.AFTER]} "
        "=> 2001"
    )
    left, held = scenario.money()
    assert left >= 0
    assert not held
    assert not scenario.load()[0].flags
