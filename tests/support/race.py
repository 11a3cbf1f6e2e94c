"""A race: the engine beside the slow account, on the same usage of several sessions at a time.

Used by the tests that compare what both have spent (test_against_reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ocs.amounts import Unit
from ocs.catalog.model import Catalog
from ocs.charging.model.messages import (
    ChargingReply,
    ChargingRequest,
    RequestKind,
    ServiceReply,
    Units,
)
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import Bucket, Contra
from ocs.ledger.details import Cap
from tests.support.charging import ACCOUNT, CLIENTS, NOON_NS, Scenario
from tests.support.random_worlds import MEMBERS, SOLD, Step
from tests.support.slow_account import Heap, SlowAccount, SlowQuota

NOON_S = NOON_NS // NS_PER_SECOND
CALLS, EVENTS = 1, 4
SERVICES = ("data", "call", "sms", "data", "sms")
"""What each of the four sessions of a life uses, and its events; the members take turns."""
CONTEXTS = {code: context for code, _, context in SOLD}
KINDS = {"data": "octets", "call": "seconds", "sms": "events"}
CLIENT = replace(CLIENTS["generic"], bound_usage=False)
SIMPLE_CLIENT = replace(CLIENT, tariff_change=False)


class Race:
    """The engine and the reference side by side, on the same usage."""

    def __init__(
        self, catalog: Catalog, start_s: int, balance_micro: int, free: list[Heap],
        caps: tuple[Cap, ...] = (),
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
        if caps:
            self._set_caps(caps)
        self.slow = SlowAccount(catalog, "basic", [replace(one) for one in free], caps)
        self.start_micro = balance_micro
        self.numbers = [0] * 4
        self.quotas = [SlowQuota() for _ in range(4)]
        self.replies: list[ServiceReply | None] = [None] * 4
        self.lives = [0] * 5

    def _set_caps(self, caps: tuple[Cap, ...]) -> None:
        def decide(working_set: WorkingSet) -> None:
            account = working_set.accounts[ACCOUNT].account
            account.details.caps = list(caps)
            working_set.mark_account(account)

        key = RequestKey(ACCOUNT, b"\0" * 16, RequestKind.OPERATOR, 0)
        self.engine.store.transact([key], decide)

    @property
    def now_s(self) -> int:
        """The time (s since 1970)."""
        return self.engine.clock.now_ns() // NS_PER_SECOND

    def step(self, step: Step) -> None:
        """Let a client report what it used of its grant and ask for more, or end."""
        place, service = step.session, SERVICES[step.session]
        if place == EVENTS:
            self._event(step)
            return
        reply = self.replies[place]
        pause = step.pause_s
        used = _units(reply, KINDS[service]) * step.share // 100
        if service == "call":
            pause = max(pause, used)
        self.engine.clock.advance(pause)
        wants = f"rsu={KINDS[service]}:{step.wants}"
        if self.numbers[place] == 0:
            self._talk(step, "I", wants)
            return
        parts = self._parts(place, used, reply)
        if step.ends:
            self._talk(step, "T", parts)
            self._end(place)
        else:
            self._talk(step, "U", f"{parts} {wants}")

    def _parts(self, place: int, used: int, reply: ServiceReply | None) -> str:
        """Say what was used, before and after a tariff change where one was told; charge it."""
        kind, quota = KINDS[SERVICES[place]], self.quotas[place]
        switch_s = reply.tariff_change_ns // NS_PER_SECOND if reply is not None else 0
        if not used:
            return ""
        before = used // 3 if switch_s and self.now_s > switch_s else used
        sides = [(before, quota.granted_s), (used - before, switch_s)]
        self.slow.report(quota, sides, self.now_s, self._member(place), SERVICES[place])
        if not switch_s:
            return f"used={kind}:{used}"
        words = [f"before={kind}:{before}"] if before else []
        return " ".join([*words, f"after={kind}:{used - before}"] if used - before else words)

    def _event(self, step: Step) -> None:
        self.engine.clock.advance(step.pause_s)
        units, place = step.wants % 30 + 1, EVENTS
        member = MEMBERS[step.wants % 2]
        reply = self._send(
            f"E 0 @e{self.lives[place]} context={CONTEXTS['sms']} action=0 1 rsu=events:{units}",
            member, CLIENT, again=step.again,
        )
        self.lives[place] += 1
        if reply.outcome == 0:
            self.slow.event("sms", units, self.now_s, member)

    @staticmethod
    def _member(place: int) -> int:
        return MEMBERS[place % 2]

    def _talk(self, step: Step, kind: str, words: str) -> None:
        place = step.session
        service, member = SERVICES[place], self._member(place)
        reply = self._send(
            f"{kind} {self.numbers[place]} @p{place}x{self.lives[place]} "
            f"context={CONTEXTS[service]} 1 {words}",
            member, CLIENT if place != 3 else SIMPLE_CLIENT, again=step.again,
        )
        self.replies[place] = told = reply.services[0] if reply.services else None
        self.numbers[place] += 1
        if reply.outcome != 0:
            self._end(place)
        elif kind != "T":
            units = _units(told, KINDS[service])
            self.slow.grant(self.quotas[place], service, units, self.now_s, member)

    def _send(self, text: str, member: int, profile: Any, *, again: bool) -> ChargingReply:
        request: ChargingRequest = self.engine.request(text)
        request.profile, request.subscriber_id = profile, member
        reply = self.engine.send(request)
        self.engine.check(text)
        if again:
            lines = len(self.engine.store.movements(ACCOUNT))
            assert self.engine.send(request) == reply
            assert len(self.engine.store.movements(ACCOUNT)) == lines
        return reply

    def _end(self, place: int) -> None:
        self.slow.end(self.quotas[place])
        self.numbers[place] = 0
        self.replies[place] = None
        self.quotas[place] = SlowQuota()
        self.lives[place] += 1

    def finish(self) -> None:
        """Use up whatever is granted still, to the last unit."""
        for place in range(4):
            if self.numbers[place]:
                self.step(Step(place, 0, 100, 1, ends=True))

    def passed_limits(self) -> Iterator[str]:
        """Yield the limits that more was used or spent of than they allow."""
        for limit, _ in self.slow.limits.bounds:
            used = [n for key, n in self.slow.limits.used.items() if key[0] == limit.code]
            if not limit.changes_price and max(used, default=0) > limit.amount:
                yield limit.code

    def compare(self) -> None:
        """Assert that both have spent the same, whoever pays."""
        balance, _ = self.engine.money()
        assert self.start_micro - balance == self.slow.spent_micro
        lines = self.engine.store.movements(ACCOUNT)
        taxes = -sum(line.amount for line in lines if line.contra == Contra.TAX)
        assert taxes == self.slow.tax_micro
        sponsored: dict[str, int] = {}
        for line in lines:
            if line.contra == Contra.SPONSOR:
                sponsored[line.rule] = sponsored.get(line.rule, 0) + line.amount
        assert sponsored == {name: paid for name, paid in self.slow.sponsored.items() if paid}
        _, buckets, _ = self.engine.load()
        left = {one.priority: one.balance for one in buckets if one.unit != Unit.MONEY}
        assert left == {heap.priority: heap.amount for heap in self.slow.heaps}


def _units(reply: ServiceReply | None, kind: str) -> int:
    granted: Any = reply.granted if reply is not None else None
    return (getattr(granted, kind) or 0) if isinstance(granted, Units) else 0
