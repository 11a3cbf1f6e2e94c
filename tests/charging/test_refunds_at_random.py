"""Refunds of random debits: never more goes back than was taken, and the counts fall by it.

Random catalogues with counted prices, tiers, limits, bounded buckets, sponsors and taxes; debits
are events and sessions of countable events, days apart; each is refunded once, in any order, all
of it or a part.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit, round_half_up
from ocs.catalog.model import Catalog, Period
from ocs.charging.counts.counters import is_of_price
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import Bucket, Contra
from ocs.rating import pricing
from tests.support.charging import ACCOUNT, CLIENTS, NOON_NS, Scenario
from tests.support.random_worlds import MEMBERS, heaps, worlds
from tests.support.slow_account import Heap
from tests.support.slow_clock import period_of
from tests.support.tariffs import SMS

CLIENT = replace(CLIENTS["generic"], bound_usage=False)
BALANCE_MICRO = 10**12


Count = tuple[str, int, int]
"""Code, member (0: all) and beginning of a counter."""


class Step(NamedTuple):
    """After a pause: an event, a session of events, or the refund of one of the debits."""

    what: str
    pause_s: int
    units: int
    """Asked for; of a refund: which debit."""
    share: int
    """Percent that is used, or given back."""
    again: bool


class Debit(NamedTuple):
    """What was debited, and how it can be asked back."""

    token: str
    second: int
    member: int
    units: int
    moved: Counter[tuple[int, str]]
    """What was taken, by bucket and sponsor."""
    counts: frozenset[Count]
    """Which counts of prices it is in."""


def steps() -> st.SearchStrategy[list[Step]]:
    pauses = st.one_of(st.integers(0, 200), st.integers(0, 90_000), st.just(3 * 86_400))
    return st.lists(
        st.builds(
            Step, st.sampled_from(["event", "event", "session", "refund", "refund"]), pauses,
            st.integers(1, 60), st.one_of(st.just(100), st.integers(0, 100)), st.booleans(),
        ),
        min_size=2, max_size=14,
    )


class Refunds:
    """One account whose debits are refunded, and what it must have counted."""

    def __init__(self, catalog: Catalog, start_s: int, free: list[Heap]) -> None:
        self.plan, self.zone = catalog.plans["basic"], ZoneInfo(catalog.time_zone)
        self.counted = any(one.price.counted for one in self.plan.terms["sms"].rules)
        buckets = [
            Bucket(ACCOUNT, 0, one.unit, one.name, one.amount, priority=one.priority,
                   subscriber_id=one.member)
            for one in free
        ]  # fmt: skip
        self.engine = Scenario(
            catalog, balance=str(BALANCE_MICRO // 10**6), buckets=buckets, unit=Unit.EVENTS
        )
        self.engine.clock.advance(start_s - NOON_NS // NS_PER_SECOND)
        self.debits: list[Debit] = []
        self.number = 0
        self.lines = len(self.engine.store.movements(ACCOUNT))
        self.used: Counter[tuple[str, int, date]] = Counter()
        self.counts: dict[Count, tuple[int, int]] = {}
        self.first = {one.bucket_id: one.available for one in self.engine.load()[1]}

    @property
    def now_s(self) -> int:
        return self.engine.clock.now_ns() // NS_PER_SECOND

    def step(self, step: Step) -> None:
        self.engine.clock.advance(step.pause_s)
        self.number += 1
        member = MEMBERS[step.units % 2]
        if step.what == "event":
            self._send(f"E 0 @e{self.number} action=0 1 rsu={step.units}", member, step.again)
            self._note(step.units, member, self.now_s)
        elif step.what == "session":
            self._session(step, member)
        elif self.debits:
            self._refund(self.debits.pop(step.units % len(self.debits)), step, member)
        self.check()

    def _session(self, step: Step, member: int) -> None:
        name, began_s = f"@s{self.number}", self.now_s
        reply = self._send(f"I 0 {name} 1 rsu={step.units}", member, step.again)
        if reply.outcome != 0:
            return
        granted = reply.services[0].granted
        used = ((granted.events or 0) if granted is not None else 0) * step.share // 100
        self.engine.clock.advance(step.pause_s % 50)
        self._send(f"T 1 {name} 1 used={used}", member, step.again)
        self._note(used, member, began_s)

    def _note(self, units: int, member: int, second: int) -> None:
        moved, before, self.counts = self._moved(), self.counts, self._counts()
        if self.engine.reply.outcome != 0:
            assert not moved
            return
        self._count(member, second, units)
        if self.engine.reply.refund_reference:
            token = self.engine.reply.refund_reference
            changed = frozenset(
                key for key, one in self.counts.items() if one != before.get(key, (0, 0))
            )
            self.debits.append(Debit(token, second, member, units, moved, changed))

    def _refund(self, debit: Debit, step: Step, member: int) -> None:
        back = debit.units * step.share // 100
        text = f"action=1 refund={debit.token} 1 rsu={back}"
        reply = self._send(f"E 0 @r{self.number} {text}", member, step.again)
        assert reply.outcome == 0
        given = self._moved()
        self._count(debit.member, debit.second, -back)
        main = min(self.first)
        for key, amount in given.items():
            assert amount <= 0, "a refund takes nothing"
            if not self.counted or key[0] != main:
                assert -amount <= debit.moved[key]
            if not key[0]:
                assert -amount == round_half_up(debit.moved[key] * back, debit.units)
        before, self.counts = self.counts, self._counts()
        if debit.counts and debit.counts <= before.keys() & self.counts.keys():
            fallen = [before[one][1] - self.counts[one][1] for one in debit.counts]
            assert -given[main, ""] == sum(fallen), "what goes back is what the counts fall by"
        if back == debit.units and not self.counted:
            assert -given == debit.moved
        again = self._send(f"E 0 @x{self.number} {text}", member, again=False)
        assert again.outcome != 0
        assert not self._moved()

    def _send(self, text: str, member: int, again: bool) -> Any:
        head, _, rest = text.partition(" ")
        request = self.engine.request(f"{head} {rest.replace(' ', f' context={SMS} ', 1)}")
        request.profile, request.subscriber_id = CLIENT, member
        reply = self.engine.send(request)
        self.engine.check(text)
        if again:
            assert self.engine.send(request) == reply
        return reply

    def _moved(self) -> Counter[tuple[int, str]]:
        """Return what was taken since the last time: less than nothing where it was given."""
        lines = self.engine.store.movements(ACCOUNT)
        found: Counter[tuple[int, str]] = Counter()
        for line in lines[self.lines:]:
            found[line.bucket_id, ""] -= line.amount
            if line.contra == Contra.SPONSOR:
                found[0, line.rule] += line.amount
        self.lines = len(lines)
        return Counter({key: amount for key, amount in found.items() if amount})

    def _counts(self) -> dict[Count, tuple[int, int]]:
        """Return what is counted for prices: units, and what they cost."""
        return {
            (one.code, one.subscriber_id, one.period_ns): (one.units, one.charged_micro)
            for one in self.engine.load()[0].counters if is_of_price(one)
        }

    def _count(self, member: int, second: int, units: int) -> None:
        for limit in self.plan.limits:
            if limit.unit is Unit.EVENTS and (not limit.services or "sms" in limit.services):
                day = period_of(self.zone, Period(limit.period), second)
                self.used[limit.code, member if limit.by_member else 0, day] += units

    def check(self) -> None:
        """Assert that nothing is more than it was, and that counts are of what is used now."""
        account, buckets, _ = self.engine.load()
        for bucket in buckets:
            assert bucket.available <= self.first[bucket.bucket_id]
        for one in account.counters:
            assert one.units >= 0
            assert one.charged_micro >= 0
            if is_of_price(one):
                price = self.engine.index.rule(*one.code.split("/")).price
                assert one.charged_micro == pricing.cost_micro(price, one.units)
            elif one.code.startswith("limit:"):
                day = period_of(self.zone, Period.DAY, one.period_ns // NS_PER_SECOND)
                assert one.units == self.used[one.code[6:], one.subscriber_id, day]
            elif one.code.startswith("bucket:"):
                name = one.code[7:]
                gone = sum(
                    self.first[bucket.bucket_id] - bucket.available - bucket.held
                    for bucket in buckets if bucket.name == name
                )
                assert one.units <= gone


@pytest.mark.rule("M-014", "K-205", "K-207", "K-216", "K-217")
@settings(max_examples=60, deadline=None)
@given(world=worlds(), free=heaps(), life=steps())
def test_never_more_goes_back_than_was_taken_and_counts_fall_by_it(
    world: tuple[Catalog, int], free: list[Heap], life: list[Step]
) -> None:
    race = Refunds(*world, free)
    for step in life:
        race.step(step)
