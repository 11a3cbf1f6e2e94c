"""The whole engine against an account that is charged slowly and obviously (slow_account).

Random catalogues, usage and cuts, around clock changes, leap days and the ends of months: what is
debited is what the reference says, to the micro unit, and is never more than was held for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.limits import Limit
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    ChargeMode,
    Period,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    Tier,
    TimeBand,
)
from ocs.catalog.taxes import Tax
from ocs.charging.model.messages import ServiceReply, Units
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import AccountFlag, Bucket, Contra
from tests.support.charging import ACCOUNT, CLIENTS, NOON_NS, Scenario
from tests.support.slow_account import Heap, SlowAccount, SlowQuota
from tests.support.tariffs import IMS, PS, SMS

NOON_S = NOON_NS // NS_PER_SECOND
DAYS = {
    "Europe/Madrid": ((2026, 3, 29), (2026, 10, 25), (2028, 2, 29)),
    "America/Santiago": ((2026, 4, 4), (2026, 9, 6), (2026, 12, 31)),
    "Australia/Lord_Howe": ((2026, 4, 5), (2026, 10, 4), (2028, 2, 28)),
    "Africa/Casablanca": ((2026, 2, 15), (2026, 3, 22), (2026, 2, 28)),
    "Africa/Cairo": ((2026, 4, 24), (2026, 10, 29), (2026, 4, 30)),
    "America/Havana": ((2026, 3, 8), (2026, 11, 1), (2027, 2, 28)),
    "Asia/Kathmandu": ((2026, 12, 31), (2028, 2, 29), (2026, 6, 15)),
    "UTC": ((2028, 2, 29), (2026, 12, 31), (2026, 6, 15)),
}
"""Days on which a clock changes, some at midnight, and leap days and last days of months."""
MEMBERS, CALLS = (11, 12), 1
SERVICES = ("data", "call", "sms", "data")
"""What each of the four sessions of a life uses; the members take turns."""
CONTEXTS = {"data": PS, "call": IMS, "sms": SMS}
KINDS = {"data": "octets", "call": "seconds", "sms": "events"}
CLIENT = replace(CLIENTS["generic"], bound_usage=False)
SIMPLE_CLIENT = replace(CLIENT, tariff_change=False)


@dataclass(frozen=True)
class Step:
    """A client's next words, in one of its sessions."""

    session: int
    pause_s: int
    share: int
    """Percent of what it was granted that it has used."""
    wants: int
    ends: bool = False


def plain_prices() -> st.SearchStrategy[Price]:
    return st.builds(
        Price,
        rate_micro=st.integers(0, 30_000),
        per=st.sampled_from([1, 3, 7, 60]),
        increment=st.integers(1, 40),
        minimum=st.integers(0, 60),
        setup_micro=st.sampled_from([0, 0, 1, 150_000]),
    )


@st.composite
def tiered_prices(draw: st.DrawFn) -> Price:
    price = draw(plain_prices())
    ends = sorted(draw(st.sets(st.integers(1, 300), max_size=2)))
    tiers = tuple(
        Tier(end, draw(st.integers(0, 30_000)), draw(st.sampled_from([1, 7])),
             draw(st.sampled_from([0, 0, 90_000])))
        for end in [*ends, 0]
    )  # fmt: skip
    maximum = draw(st.sampled_from([None, None, 0, 400_000, 2_000_000]))
    if len(tiers) == 1:
        return replace(price, maximum_micro=maximum)
    return replace(
        price, rate_micro=tiers[0].rate_micro, per=tiers[0].per, tiers=tiers,
        volume=draw(st.booleans()), maximum_micro=maximum,
    )


@st.composite
def spans(draw: st.DrawFn, around: tuple[int, int, int]) -> BandSpan:
    days = (date(*around) - date(1970, 1, 1)).days
    minutes = st.one_of(st.integers(0, 23).map(lambda hour: hour * 60), st.integers(0, 1439))
    return BandSpan(
        frozenset(draw(st.sets(st.integers(0, 6), max_size=7))),
        draw(minutes), draw(minutes),
        frozenset(draw(st.sets(st.integers(days - 1, days + 1), max_size=2))),
    )


@st.composite
def limits(draw: st.DrawFn, code: str) -> Limit:
    unit = draw(st.sampled_from([Unit.MONEY, Unit.OCTETS, Unit.SECONDS, Unit.EVENTS]))
    names = {Unit.OCTETS: ["data"], Unit.SECONDS: ["call"], Unit.EVENTS: ["sms"]}
    services = draw(st.sets(st.sampled_from(names.get(unit, ["data", "call", "sms"]))))
    return Limit(
        code, unit, draw(st.integers(1, 1_500_000 if unit is Unit.MONEY else 500)),
        draw(st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH])), tuple(sorted(services)),
        by_member=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn, *, limited: bool = False) -> tuple[Catalog, int]:
    """A catalogue, and when it is looked at: near the border of a day that is special in it."""
    zone = draw(st.sampled_from(sorted(DAYS)))
    around = draw(st.sampled_from(DAYS[zone]))
    bands = tuple(
        TimeBand(name, tuple(draw(st.lists(spans(around), min_size=1, max_size=2))))
        for name in draw(st.sampled_from([(), ("a",), ("a", "b")]))
    )
    services, terms = {}, {}
    for code, unit, context in (
        ("data", Unit.OCTETS, PS), ("call", Unit.SECONDS, IMS), ("sms", Unit.EVENTS, SMS)
    ):
        quota = QuotaPolicy(
            draw(st.integers(20, 200)), 400,
            validity_seconds=draw(st.sampled_from([60, 900, 7200])),
        )
        services[code] = Service(code, (context,), unit, quota, frozenset({1}))
        counted = draw(st.sampled_from([Period.SESSION, Period.SESSION, *Period]))
        # Seconds that run through bands have plain prices (K-005), and free minutes no others.
        clocked = unit is Unit.SECONDS and not counted and bands
        prices = plain_prices() if clocked else st.one_of(plain_prices(), tiered_prices())
        by_member = bool(counted) and draw(st.booleans())
        rules = [
            PriceRule(
                f"{code}{band}", replace(draw(prices), counted=counted, by_member=by_member),
                band=band,
            )
            for band in ["", *(one.name for one in bands)]
        ]
        tax = draw(st.sampled_from([None, Tax("vat", 21, 100), Tax("odd", 1, 3)]))
        terms[code] = ServiceTerms(code, ChargeMode.PRICED, tuple(rules), tax=tax)
    codes = draw(st.sampled_from([(), ("l1",), ("l1", "l2")])) if limited else ()
    plan = Plan("basic", "Basic", terms, limits=tuple(draw(limits(code)) for code in codes))
    catalog = Catalog("random", "EUR", zone, services, {"basic": plan}, bands=bands)
    local = datetime(*around, draw(st.integers(0, 23)), draw(st.integers(0, 59)),
                     tzinfo=ZoneInfo(zone))  # fmt: skip
    return catalog, int(local.timestamp()) + draw(st.integers(0, 59))


def steps() -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(
            Step,
            st.integers(0, 3),
            st.one_of(st.integers(0, 200), st.integers(0, 7200), st.just(86_400)),
            st.integers(0, 100), st.integers(1, 400),
            st.sampled_from([False, False, False, True]),
        ),
        min_size=1, max_size=14,
    )


def heaps() -> st.SearchStrategy[list[Heap]]:
    heap = st.builds(
        Heap, st.uuids().map(str), st.sampled_from([Unit.OCTETS, Unit.SECONDS, Unit.EVENTS]),
        st.integers(1, 300), st.integers(0, 999), st.sampled_from(MEMBERS),
    )  # fmt: skip
    return st.lists(heap, max_size=4, unique_by=lambda one: one.priority)


class Race:
    """The engine and the reference side by side, on the same usage."""

    def __init__(
        self, catalog: Catalog, start_s: int, balance_micro: int,
        free: list[Heap],
    ) -> None:
        buckets = [
            Bucket(
                ACCOUNT, 0, one.unit, one.name, one.amount, priority=one.priority,
                subscriber_id=one.member,
            )
            for one in free
        ]  # fmt: skip
        digits = f"{balance_micro // 10**6}.{balance_micro % 10**6:06}"
        self.engine = Scenario(catalog, balance=digits, buckets=buckets)
        self.engine.clock.advance(start_s - NOON_S)
        self.slow = SlowAccount(catalog, "basic", [replace(one) for one in free])
        self.start_micro = balance_micro
        self.numbers = [0, 0, 0, 0]
        self.quotas = [SlowQuota() for _ in range(4)]
        self.replies: list[ServiceReply | None] = [None] * 4
        self.granted_s = [0] * 4
        self.lives = [0] * 4

    @property
    def now_s(self) -> int:
        return self.engine.clock.now_ns() // NS_PER_SECOND

    def step(self, step: Step) -> None:
        """Let a client report what it used of its grant and ask for more, or end."""
        place, service = step.session, SERVICES[step.session]
        reply = self.replies[place]
        pause = step.pause_s
        granted = _units(reply, KINDS[service])
        used = granted * step.share // 100
        if service == "call":
            pause = max(pause, used)
        self.engine.clock.advance(pause)
        if self.numbers[place] == 0:
            self._send(place, "I", f"rsu={KINDS[service]}:{step.wants}")
            return
        parts = self._parts(place, used, reply)
        if step.ends:
            self._send(place, "T", parts)
            self._end(place)
        else:
            wants = f"rsu={KINDS[service]}:{step.wants}"
            self._send(place, "U", f"{parts} {wants}")

    def _parts(self, place: int, used: int, reply: ServiceReply | None) -> str:
        """Say what was used, before and after a tariff change where one was told; charge it."""
        service, kind = SERVICES[place], KINDS[SERVICES[place]]
        quota, granted_s = self.quotas[place], self.granted_s[place]
        switch_s = reply.tariff_change_ns // NS_PER_SECOND if reply is not None else 0
        if not used:
            return ""
        if not switch_s:
            self._charge(quota, service, used, granted_s, place)
            return f"used={kind}:{used}"
        before = used // 3 if self.now_s > switch_s else used
        if before:
            self._charge(quota, service, before, granted_s, place)
        if used - before:
            self._charge(quota, service, used - before, switch_s, place)
        words = [f"before={kind}:{before}"] if before else []
        return " ".join([*words, f"after={kind}:{used - before}"] if used - before else words)

    def _charge(
        self, quota: SlowQuota, service: str, units: int, granted_s: int, place: int
    ) -> None:
        self.slow.use(quota, service, units, granted_s, self.now_s, self._member(place))

    @staticmethod
    def _member(place: int) -> int:
        return MEMBERS[place % 2]

    def _send(self, place: int, kind: str, words: str) -> None:
        service = SERVICES[place]
        text = (
            f"{kind} {self.numbers[place]} @p{place}x{self.lives[place]} "
            f"context={CONTEXTS[service]} 1 {words}"
        )
        request = self.engine.request(text)
        request.profile = CLIENT if place != 3 else SIMPLE_CLIENT
        request.subscriber_id = self._member(place)
        reply = self.engine.send(request)
        self.engine.check(text)
        self.replies[place] = reply.services[0] if reply.services else None
        self.granted_s[place] = self.now_s
        self.numbers[place] += 1
        if reply.outcome != 0:
            self._end(place)

    def _end(self, place: int) -> None:
        self.numbers[place] = 0
        self.replies[place] = None
        self.quotas[place] = SlowQuota()
        self.lives[place] += 1

    def finish(self) -> None:
        """Use up whatever is granted still, to the last unit."""
        for place in range(4):
            if self.numbers[place]:
                self.step(Step(place, 0, 100, 1, ends=True))

    def compare(self) -> None:
        """Assert that both have spent the same."""
        balance, _ = self.engine.money()
        assert self.start_micro - balance == self.slow.spent_micro
        lines = self.engine.store.movements(ACCOUNT)
        taxes = -sum(line.amount for line in lines if line.contra == Contra.TAX)
        assert taxes == self.slow.tax_micro
        _, buckets, _ = self.engine.load()
        left = {one.name: one.balance for one in buckets if one.unit != Unit.MONEY}
        assert left == {heap.name: heap.amount for heap in self.slow.heaps}


def _units(reply: ServiceReply | None, kind: str) -> int:
    granted: Any = reply.granted if reply is not None else None
    return (getattr(granted, kind) or 0) if isinstance(granted, Units) else 0


@pytest.mark.rule("M-002", "M-003", "M-010", "M-011", "M-012", "K-001", "K-200", "K-201", "K-281")
@settings(max_examples=80, deadline=None)
@given(world=worlds(), free=heaps(), life=steps())
def test_whatever_is_used_costs_what_the_reference_says(
    world: tuple[Catalog, int], free: list[Heap], life: list[Step]
) -> None:
    race = Race(*world, 10**12, free)
    for step in life:
        race.step(step)
        race.compare()
    race.finish()
    race.compare()


@pytest.mark.rule("M-004", "M-005", "M-008", "K-007", "K-204", "K-207")
@settings(max_examples=80, deadline=None)
@given(
    world=worlds(limited=True), free=heaps(), life=steps(), balance=st.integers(0, 6_000_000)
)
def test_what_was_granted_can_be_paid_whatever_of_it_is_used(
    world: tuple[Catalog, int], free: list[Heap], life: list[Step],
    balance: int,
) -> None:
    race = Race(*world, balance, free)
    for step in life:
        race.step(step)
        # What is held for seconds is what they cost from now on, so they are used at once.
        if race.numbers[CALLS]:
            race.step(replace(step, session=CALLS, pause_s=0, ends=False))
        if race.numbers[CALLS]:
            race.step(replace(step, session=CALLS, pause_s=0, share=100, ends=True))
        race.compare()
        assert race.engine.money()[0] >= 0
        for limit in race.slow.plan.limits:
            used = [n for key, n in race.slow.limited.items() if key[0] == limit.code]
            assert max(used, default=0) <= limit.amount
    race.finish()
    race.compare()
    account, buckets, _ = race.engine.load()
    assert not account.flags & AccountFlag.OVER_USAGE
    assert not any(bucket.held for bucket in buckets)
