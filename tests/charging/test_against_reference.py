"""The whole engine against an account that is charged slowly and obviously (slow_account).

Random catalogues, usage and cuts, around clock changes, leap days and the ends of months: what is
debited is what the reference says, to the micro unit, and is never more than was held for it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.catalog.model import Catalog
from ocs.ledger.account import AccountFlag
from ocs.ledger.details import Cap
from tests.support.race import CALLS, Race
from tests.support.random_worlds import Step, caps, heaps, steps, worlds
from tests.support.slow_account import Heap


@pytest.mark.rule("M-002", "M-003", "M-010", "M-011", "M-012", "K-001", "K-200", "K-201", "K-281")
@pytest.mark.rule("K-208", "K-211", "K-216", "K-217")
@settings(max_examples=80, deadline=None)
@given(world=worlds(), free=heaps(), life=steps(most=160))
def test_whatever_is_used_costs_what_the_reference_says(
    world: tuple[Catalog, int], free: list[Heap], life: list[Step]
) -> None:
    race = Race(*world, 10**12, free)
    for step in life:
        race.step(step)
        race.compare()
    race.finish()
    race.compare()


@pytest.mark.rule("M-004", "M-005", "M-008", "K-007", "K-204", "K-207", "K-209", "K-210", "K-217")
@settings(max_examples=80, deadline=None)
@given(
    world=worlds(), free=heaps(), life=steps(), balance=st.integers(0, 6_000_000), own=caps()
)
def test_what_was_granted_can_be_paid_whatever_of_it_is_used(
    world: tuple[Catalog, int], free: list[Heap], life: list[Step], balance: int,
    own: tuple[Cap, ...],
) -> None:
    race = Race(*world, balance, free, own)
    for step in life:
        race.step(step)
        # What is held for seconds is what they cost from now on, so they are used at once.
        if race.numbers[CALLS]:
            race.step(replace(step, session=CALLS, pause_s=0, ends=False))
        if race.numbers[CALLS]:
            race.step(replace(step, session=CALLS, pause_s=0, share=100, ends=True))
        race.compare()
        assert race.engine.money()[0] >= 0
        assert not list(race.passed_limits())
    race.finish()
    race.compare()
    account, buckets, _ = race.engine.load()
    assert not account.flags & AccountFlag.OVER_USAGE
    assert not any(bucket.held for bucket in buckets)
