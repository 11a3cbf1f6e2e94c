"""Repeated, overtaken and late requests: each is decided once, whatever order they come in."""

from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import pytest

from ocs.charging import engine
from ocs.charging.model.messages import ChargingRequest, Outcome
from ocs.charging.model.working_set import WorkingSet
from ocs.errors import NotFoundError
from ocs.ledger.account import AccountStatus
from tests.support.charging import ACCOUNT, Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()


def play(text: str, **account: object) -> Scenario:
    scenario = Scenario(CATALOG, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def repeat_of(request: ChargingRequest, **changes: object) -> ChargingRequest:
    """Return the same content as a client or an agent sends it again."""
    return msgspec.structs.replace(request, **changes)


@pytest.mark.rule("T169", "T170", "C-010", "I-006")
def test_repeats_get_the_same_answer_and_move_nothing() -> None:
    scenario = play("""
        I 0  100 rsu                => 100 ok 10000000 | B=10.00 R=0.50
        again
        U 1  100 used=10000000 rsu  => 100 ok 10000000 | B=9.50 R=0.50
        again
        again
        T 2  100 used=1             => 100 ok          | B=9.45 R=0
        again
    """)
    assert len(scenario.store.stored_records(ACCOUNT)) == 3
    assert scenario.money() == (9_450_000, 0)


@pytest.mark.rule("B-142", "T172", "T181")
def test_repeats_are_known_by_session_and_number() -> None:
    scenario = play("I 0  100 rsu => 100 ok 10000000")
    request = scenario.request("U 1 100 used=10000000 rsu")
    first = scenario.send(repeat_of(request, retransmitted=True, end_to_end=1, peer="dra1"))
    second = scenario.send(repeat_of(request, end_to_end=2))
    assert first == second
    assert scenario.money() == (9_500_000, 500_000)
    scenario.check()


@pytest.mark.rule("C-010", "D21")
def test_a_repeat_is_answered_long_after_the_session_ended() -> None:
    scenario = play("""
        I 0  100 rsu           => 100 ok 10000000
        T 1  100 used=1000000  => 100 ok | B=9.95 R=0
        wait 500
        again
    """)
    assert scenario.money() == (9_950_000, 0)


@pytest.mark.rule("B-143", "I-006")
def test_another_content_under_a_used_number_is_refused() -> None:
    play("""
        I 0  100 rsu                => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 used=1000000 rsu   => 100 ok 10000000 | B=9.95 R=0.50
        U 1  100 used=2000000 rsu   => 5012            | B=9.95 R=0.50
        I 0  100 rsu                => 5012            | B=9.95 R=0.50
        U 2  100 used=1000000 rsu   => 100 ok 10000000 | B=9.90 R=0.50
    """)


@pytest.mark.rule("T182", "D04")
def test_second_initial_request_touches_nothing() -> None:
    play("""
        I 0  100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        I 5  100 used=1000000 rsu  => 5012            | B=10.00 R=0.50
        again
        U 1  100 used=1000000      => 100 ok          | B=9.95 R=0
    """)


@pytest.mark.rule("T175")
def test_updates_may_overtake_each_other() -> None:
    play("""
        I 0  100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        U 2  100 used=4000000 rsu  => 100 ok 10000000 | B=9.80 R=0.50
        U 1  100 used=3000000 rsu  => 100 ok 10000000 | B=9.65 R=0.50
        again
        T 3                        => 2001            | B=9.65 R=0
    """)


@pytest.mark.rule("T175", "M-003", "I-004")
@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_the_order_of_arrival_does_not_change_the_price(order: tuple[int, ...]) -> None:
    used = {1: 400_000, 2: 1_300_000, 3: 700_000}
    scenario = play("I 0  100 rsu => 100 ok 10000000")
    for number in order:
        scenario.play(f"U {number}  100 used={used[number]} => 100 ok")
    scenario.play("T 4 => 2001 | B=9.85 R=0")


@pytest.mark.rule("T178", "T179", "D11")
def test_update_that_the_termination_overtook() -> None:
    scenario = play("""
        I 0  100 rsu               => 100 ok 10000000 | B=10.00 R=0.50
        T 3  100 used=2000000      => 100 ok          | B=9.90 R=0
        wait 5
        U 2  100 used=1000000 rsu  => 100 ok          | B=9.85 R=0
        again
        wait 30
        U 1  100 used=1000000 rsu  => 5002            | B=9.85 R=0
        again
    """)
    (orphan,) = scenario.store.reviews()
    assert (orphan.kind, orphan.units, orphan.amount_micro) == ("orphan-usage", 1_000_000, 50_000)


@pytest.mark.rule("D11")
def test_termination_after_a_failed_update() -> None:
    play(
        """
        I 0 profile=kamailio 100 rsu             => 100 ok 4000000 fui=terminate | B=0.23 R=0.20
        U 1 profile=kamailio 100 used=4000000 rsu => 4012 | B=0.03 R=0
        U 2 profile=kamailio 100 used=1          => 5002 | B=0.03 R=0
        T 3 profile=kamailio 100 used=500000     => 100 ok | B=-0.02 R=0
        again
        """,
        balance="0.23",
    )
    play(
        """
        I 0 profile=kamailio 100 rsu             => 100 ok 4000000 fui=terminate | B=0.23 R=0.20
        U 1 profile=kamailio 100 used=4000000 rsu => 4012 | B=0.03 R=0
        wait 21
        T 2 profile=kamailio 100 used=500000     => 5002 | B=0.03 R=0
        """,
        balance="0.23",
    )


@pytest.mark.rule("D11")
def test_second_termination_is_unknown() -> None:
    play("""
        I 0  100 rsu           => 100 ok 10000000
        T 1  100 used=1000000  => 100 ok | B=9.95 R=0
        T 2  100 used=1000000  => 5002   | B=9.95 R=0
    """)


@pytest.mark.rule("B-144", "D25", "M-006")
def test_a_decision_that_fails_leaves_nothing_behind() -> None:
    scenario = play("I 0  100 rsu => 100 ok 10000000 | B=10.00 R=0.50")
    index = scenario.index
    request = scenario.request("U 1 100 used=1000000 rsu")
    broken = replace(index.catalog.plans["basic"].terms["data"], quota=None, rules=())
    scenario.index = type(index)(
        replace(
            index.catalog,
            plans={"basic": replace(index.catalog.plans["basic"], terms={"data": broken})},
        )
    )
    with pytest.raises(NotFoundError):
        scenario.send(request)
    assert scenario.money() == (10_000_000, 500_000)
    scenario.index = index
    assert scenario.send(request).services[0].granted is not None
    assert scenario.money() == (9_950_000, 500_000)
    scenario.check()


@pytest.mark.rule("B-146", "T181")
def test_a_first_request_with_the_retransmission_flag_is_new() -> None:
    scenario = Scenario(CATALOG)
    request = repeat_of(scenario.request("I 0 100 rsu"), retransmitted=True)
    scenario.send(request)
    assert scenario.money() == (10_000_000, 500_000)
    assert scenario.send(repeat_of(request, retransmitted=False)) == scenario.reply
    assert scenario.money() == (10_000_000, 500_000)


@pytest.mark.rule("I-006", "C-010")
def test_a_repeat_is_answered_after_the_subscriber_was_removed() -> None:
    scenario = play("""
        I 0  100 rsu           => 100 ok 10000000
        T 1  100 used=1000000  => 100 ok
    """)
    assert scenario.last is not None
    first = scenario.reply
    key = engine.key_of(scenario.last)

    def remove(working_set: WorkingSet) -> None:
        account = working_set.accounts[ACCOUNT].account
        account.status = AccountStatus.REMOVED
        working_set.mark_account(account)

    scenario.store.transact([key], remove)
    assert scenario.send(repeat_of(scenario.last)) == first
    later = scenario.send(repeat_of(scenario.last, number=2))
    assert later.outcome == Outcome.UNKNOWN_SESSION
