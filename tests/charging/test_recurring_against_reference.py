"""Fees, renewals and usage of random plans over months, against a calendar that is walked through.

Nothing may come too early, too late, twice or not at all, whether the server looks in time or a
request is the first to come after a long silence; around clock changes, leap days, ends of months.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.amounts import format_amount
from ocs.catalog.limits import Rollover
from ocs.catalog.loading.document import load_catalog
from ocs.charging.accounts import duties, recurring
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.ledger import entries
from ocs.ledger.account import Contra
from tests.support import slow_rating
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.slow_plan import Item, SlowPlan

NOON_S = NOON_NS // NS_PER_SECOND
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
STARTS = {
    "Europe/Madrid": ((2026, 3, 28, 2, 30), (2026, 10, 25, 1, 59), (2028, 1, 31, 23, 0)),
    "America/Santiago": ((2026, 4, 4, 23, 30), (2026, 8, 31, 0, 0), (2028, 2, 29, 12, 0)),
    "Africa/Cairo": ((2026, 3, 31, 0, 30), (2026, 10, 29, 23, 59), (2027, 12, 31, 0, 0)),
    "America/Havana": ((2026, 3, 7, 0, 15), (2026, 10, 31, 0, 45), (2026, 12, 30, 5, 0)),
    "UTC": ((2028, 1, 30, 0, 0), (2026, 2, 28, 23, 59), (2026, 5, 31, 12, 0)),
}
CATALOGUE = """\
name: Random
currency: EUR
time_zone: {zone}
services:
  web: {{contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {{slice: 100}}}}
plans:
  basic:
    services:
      web: {{price: 0.001, per: 1, increment: 10}}
    allowances:
      big: {{unit: octets, amount: {big}, priority: 10{keeps}}}
      small: {{unit: octets, amount: {small}, priority: 20}}
    recurring:
{items}
"""


class Step(NamedTuple):
    """After a pause: use so much, or pay in; ``looks``: the server has looked in between."""

    pause_s: int
    use: int
    pay_in_micro: int
    looks: bool


@st.composite
def item(draw: st.DrawFn, fills: tuple[str, ...]) -> tuple[str, Item]:
    """One line of ``recurring``, and what it means."""
    every = draw(st.sampled_from(["day", "week", "month"]))
    fee_micro = draw(st.sampled_from([0, 10_000, 250_000, 1_000_000]))
    calendar = draw(st.booleans())
    minute = draw(st.sampled_from([0, 30, 150, 165, 1439])) if calendar else 0
    count = draw(st.sampled_from([1, 1, 2, 3])) if not calendar or every == "month" else 1
    words = [f"every: {every if count == 1 else f'{count} {every}s'}"]
    day: int | None = None
    if calendar:
        day = draw(st.integers(*{"day": (0, 0), "week": (0, 6), "month": (1, 31)}[every]))
        words.append(f"at: {minute // 60:02}:{minute % 60:02}")
        if every != "day":
            words.append(f"day: {WEEKDAYS[day] if every == 'week' else day}")
    if fee_micro:
        words.append(f"fee: {format_amount(fee_micro)}")
    if fills:
        words.append(f"allowances: [{', '.join(fills)}]")
    prorate = draw(st.booleans())
    if prorate:
        words.append("prorate: true")
    return ", ".join(words), Item(
        every, count, day, minute, fee_micro, dict.fromkeys(fills, 0), {}, prorate
    )


def rollovers(amount: int) -> st.SearchStrategy[Rollover | None]:
    rule = st.builds(
        Rollover, st.integers(1, 3), st.sampled_from([1, 33, 50, 100]),
        st.one_of(st.none(), st.integers(1, 2 * amount)),
    )
    return st.one_of(st.none(), rule)


@st.composite
def plans(draw: st.DrawFn) -> tuple[str, str, list[Item], int]:
    """The text of a catalogue, its time zone and items, and when it all begins."""
    zone = draw(st.sampled_from(sorted(STARTS)))
    amounts = {"big": draw(st.integers(1, 900)), "small": draw(st.integers(1, 90))}
    shared = draw(st.booleans())
    drawn = [
        draw(item(("big", "small") if shared else ("big",))),
        draw(item(() if shared else ("small",))),
    ]
    lines = []
    for number, (words, one) in enumerate(drawn):
        if one.fills or one.fee_micro:
            lines.append(f"      i{number}: {{{words}}}")
            one.fills = {name: amounts[name] for name in one.fills}
    rule = draw(rollovers(amounts["big"]))
    keeps = ""
    if rule is not None:
        drawn[0][1].keeps = {"big": rule}
        most = "" if rule.maximum is None else f", maximum: {rule.maximum}"
        keeps = f", rollover: {{periods: {rule.periods}, share: {rule.percent} %{most}}}"
    text = CATALOGUE.format(zone=zone, items="\n".join(lines), keeps=keeps, **amounts)
    start = datetime(*draw(st.sampled_from(STARTS[zone])), tzinfo=ZoneInfo(zone))
    return text, zone, [one for _, one in drawn if one.fills or one.fee_micro], int(
        start.timestamp()
    )


def steps() -> st.SearchStrategy[list[Step]]:
    day = 86_400
    pause = st.one_of(
        st.integers(0, 7200), st.integers(0, 3 * day), st.integers(0, 40 * day), st.just(day)
    )
    step = st.builds(
        Step, pause, st.one_of(st.just(0), st.integers(1, 400)),
        st.sampled_from([0, 0, 0, 5_000, 300_000, 2_000_000]), st.booleans(),
    )
    return st.lists(step, min_size=1, max_size=12)


class Race:
    """The engine with its agenda beside the calendar, on the same usage."""

    def __init__(
        self, text: str, zone: str, items: list[Item], start_s: int, balance_micro: int
    ) -> None:
        catalog = load_catalog(yamldoc.parse(text, "random.yaml"))
        self.price = catalog.plans["basic"].terms["web"].rules[0].price
        self.engine = Scenario(catalog, balance="0")
        self.engine.clock.advance(start_s - NOON_S)
        self._change(lambda ws: self._credit(ws, balance_micro))
        self._change(self._begin)
        self.slow = SlowPlan(items, zone, start_s, balance_micro)
        self.sessions = 0

    def _change(self, act) -> None:
        self.engine.store.transact(
            [RequestKey(ACCOUNT, b"\0" * 16, RequestKind.OPERATOR, 0)], act
        )

    def _begin(self, working_set: WorkingSet) -> None:
        index, now_ns = self.engine.index, self.engine.clock.now_ns()
        recurring.begin(working_set, working_set.accounts[ACCOUNT], index, now_ns)

    def _credit(self, working_set: WorkingSet, amount_micro: int) -> None:
        state, now_ns = working_set.accounts[ACCOUNT], self.engine.clock.now_ns()
        posting = entries.Posting(self.engine.ids.next_id(), now_ns, now_ns, Contra.TOP_UP)
        entries.credit(working_set, entries.main_bucket(state), amount_micro, posting)

    def look(self) -> None:
        """Do what the supervisor does, until nothing is due."""
        while self.engine.store.due_accounts(self.engine.clock.now_ns(), 1):
            self._change(lambda ws: duties.advance(ws, ACCOUNT, self.engine.context()))
        self.engine.run_timers()

    def step(self, step: Step) -> None:
        self.engine.clock.advance(step.pause_s)
        now_s = self.engine.clock.now_ns() // NS_PER_SECOND
        if step.looks or not step.use:
            self.look()
        self.slow.go_to(now_s)
        if step.pay_in_micro:
            self.look()

            def pay_in(working_set: WorkingSet) -> None:
                self._credit(working_set, step.pay_in_micro)
                account = working_set.accounts[ACCOUNT].account
                recurring.try_again(working_set, account, self.engine.clock.now_ns())

            self._change(pay_in)
            self.look()
            self.slow.pay_in(step.pay_in_micro)
        if step.use:
            self._use(step.use)
        self.compare()

    def _use(self, units: int) -> None:
        name, self.sessions = f"@s{self.sessions}", self.sessions + 1
        reply = self.engine.send(self.engine.request(f"I 0 {name} 1 rsu={units}"))
        granted = reply.services[0].granted if reply.services else None
        used = (granted.octets or 0) if granted is not None else 0
        self.engine.send(self.engine.request(f"T 1 {name} 1 used={used}"))
        for heap in ("big", "small"):
            used -= self.slow.take(heap, used)
        self.slow.money_micro -= slow_rating.cost(self.price, used)

    def leave(self) -> None:
        """Leave the plan, once everything due is done."""
        self.look()
        index, now_ns = self.engine.index, self.engine.clock.now_ns()
        self._change(lambda ws: recurring.end(ws, ws.accounts[ACCOUNT], index, now_ns))
        self.slow.leave()
        self.compare()

    def compare(self) -> None:
        """Assert that both have the same money and free units."""
        self.engine.check("compare")
        _, buckets, _ = self.engine.load()
        now_ns = self.engine.clock.now_ns()
        left = {"big": 0, "small": 0}
        for bucket in buckets:
            if bucket.name in left and bucket.expires_ns > now_ns:
                left[bucket.name] += bucket.balance
        slow = {name: self.slow.left(name) for name in left}
        assert (self.engine.money()[0], left) == (self.slow.money_micro, slow)


@pytest.mark.rule("K-261", "K-262", "K-264", "K-265", "K-267", "K-212", "K-263", "K-269")
@settings(max_examples=80, deadline=None)
@given(
    plan=plans(), balance=st.sampled_from([0, 240_000, 3_000_000, 10**12]), life=steps()
)
def test_what_recurs_comes_when_the_calendar_says(
    plan: tuple[str, str, list[Item], int], balance: int, life: list[Step]
) -> None:
    race = Race(*plan, balance)
    race.compare()
    for step in life:
        race.step(step)
    race.leave()


@pytest.mark.rule("K-267")
def test_a_request_after_a_long_silence_comes_behind_all_that_was_missed() -> None:
    items = [
        Item("day", 1, 0, 150, 250_000, {"big": 897, "small": 42}, {}),
        Item("day", 1, 0, 30, 10_000, {}, {}),
    ]
    text = CATALOGUE.format(
        zone="Africa/Cairo", big=897, small=42, keeps="",
        items="      i0: {every: day, at: 02:30, fee: 0.25, allowances: [big, small]}\n"
        "      i1: {every: day, at: 00:30, fee: 0.01}",
    )  # fmt: skip
    start = datetime(2026, 3, 31, 0, 30, tzinfo=ZoneInfo("Africa/Cairo"))
    race = Race(text, "Africa/Cairo", items, int(start.timestamp()), 5_000_000)
    race.step(Step(27 * 86_400, 71, 0, looks=False))


@pytest.mark.rule("K-272")
@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("used", [0, 1])
def test_nothing_is_carried_over_past_a_period_that_was_missed(looks: bool, used: int) -> None:
    # The balance pays 24 days; the day after them is missed unlooked, and the next is paid late.
    keeps = {"big": Rollover(1, 1, None)}
    text = CATALOGUE.format(
        zone="Africa/Cairo", big=128, small=1, keeps=", rollover: {periods: 1, share: 1 %}",
        items="      i0: {every: day, fee: 0.01, allowances: [big]}",
    )
    items = [Item("day", 1, None, 0, 10_000, {"big": 128}, keeps)]
    race = Race(text, "Africa/Cairo", items, 1_774_909_800, 240_000)
    race.step(Step(2_156_400, used, 300_000, looks=looks))
    assert race.slow.left("big") == 128 - used
    race.step(Step(86_400, 0, 0, looks=True))
    assert race.slow.left("big") == 129
