"""Random lives of one account: whatever happens, the rules of money hold after every step.

Sessions of several services, over-usage, repeats, overtaken numbers, lost clients, top-ups,
blocks, expiring free units, tariff switches, and a server that reads everything back from what it
stored. Scenario.check asserts the invariants that need no history; the rest is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ocs.amounts import Unit
from ocs.catalog.model import Catalog
from ocs.charging import lifecycle
from ocs.charging.model.messages import (
    ChargingReply,
    ChargingRequest,
    Outcome,
    RatingAttributes,
    ReportingReason,
    RequestKind,
    ServiceRequest,
    TariffSide,
    Units,
    UsedUnits,
)
from ocs.charging.model.session import Session, SessionState
from ocs.charging.model.working_set import RequestKey
from ocs.charging.rerating import Recorded, Rerating, is_usage
from ocs.clock import NS_PER_SECOND
from ocs.ledger import entries
from ocs.ledger.account import AccountFlag, Bucket
from ocs.store import records
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.lives import CATALOG, CATALOGS, CLIENTS, GROUPS, LATER_CATALOGS, units_of

MONEY = st.sampled_from([0, 1, 70_000, 400_000])
PLANS = ("basic", "redirect", "zero")


@dataclass
class Client:
    """One session as its gateway sees it."""

    name: str
    profile: str
    number: int = 0
    open: bool = True
    granted: dict[int, int] = field(default_factory=dict)
    sent: list[tuple[ChargingRequest, ChargingReply]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)


class AccountLife(RuleBasedStateMachine):
    """The rules are what clients, operators and time may do to one account."""

    @initialize(
        balance=st.sampled_from(["0", "0.23", "1.00", "10.00"]), plan=st.sampled_from(PLANS),
        limit=st.sampled_from(["0", "0.50"]), free=st.sampled_from([0, 1_500_000, 7_000_000]),
        bonus=st.sampled_from([0, 120_000]), catalog=st.sampled_from(CATALOGS),
    )
    def open_account(
        self, balance: str, plan: str, limit: str, free: int, bonus: int, catalog: Catalog
    ) -> None:
        buckets = []
        if free:
            buckets.append(Bucket(0, 0, Unit.OCTETS, "free", available=free, priority=10,
                                  expires_ns=NOON_NS + 90 * NS_PER_SECOND))
        if bonus:
            buckets.append(Bucket(0, 0, Unit.MONEY, "bonus", available=bonus, services=("data",),
                                  expires_ns=NOON_NS + 45 * NS_PER_SECOND))
        self.scenario = Scenario(catalog, balance, plan, limit, buckets)
        self.plans = {plan}
        self.clients: list[Client] = []
        self.blocked = False
        self.aborted: set[str] = set()
        self.events = 0

    def _client(self, data: st.DataObject, *, is_open: bool = True) -> Client:
        return data.draw(st.sampled_from([one for one in self.clients if one.open == is_open]))

    def _services(
        self, client: Client, data: st.DataObject, *, asks: bool = True
    ) -> tuple[ServiceRequest, ...]:
        groups = data.draw(st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3))
        services = []
        for group in groups:
            request = ServiceRequest(group)
            held = client.granted.get(group, 0)
            used = data.draw(
                st.sampled_from([None, 0, 1, held // 2, held, held, held + 1, held + 1_700_000])
            )
            if used is not None:
                sides = data.draw(st.sampled_from(list(TariffSide)))
                part = data.draw(st.sampled_from([0, used // 3]))
                request.used = (
                    UsedUnits(units_of(group, used - part), sides, side_given=True),
                    UsedUnits(units_of(group, part)),
                )
            if group == 200 and data.draw(st.booleans()):
                request.used += (UsedUnits(Units(money_micro=data.draw(MONEY))),)
            request.reason = data.draw(st.sampled_from([-1, -1, -1, *ReportingReason]))
            if asks and data.draw(st.booleans()):
                size = data.draw(st.sampled_from([None, 1, 400_000, 4_000_000, 9_000_000]))
                request.requested = Units() if size is None else units_of(group, size)
                if group == 200 and size == 1:
                    request.requested = Units(money_micro=data.draw(MONEY))
            services.append(request)
        return tuple(services)

    def _send(
        self, client: Client, kind: str, services: tuple[ServiceRequest, ...], number: int
    ) -> ChargingReply:
        request = self.scenario.request(f"{kind} {number} @{client.name}")
        request.services, request.profile = services, CLIENTS[client.profile]
        # Silent, in E-UTRAN, and in NR by turns: prices may look at it.
        request.attributes = RatingAttributes(rat_type=(-1, 6, 10)[number % 3])
        reply = self.scenario.send(request)
        client.sent.append((request, reply))
        if request.kind in (RequestKind.INITIAL, RequestKind.UPDATE):
            client.open = reply.outcome == Outcome.SUCCESS
        if client.name in self.aborted and kind == "U":
            assert reply.outcome != Outcome.SUCCESS or not any(
                answer.granted for answer in reply.services
            )
        self._note_grants(client, request, reply)
        self._check_reply(request, reply)
        return reply

    def _note_grants(
        self, client: Client, request: ChargingRequest, reply: ChargingReply
    ) -> None:
        for service in request.services:
            if service.used or service.requested is not None:
                client.granted[service.rating_group or 0] = 0
        for answer in reply.services:
            if answer.granted is not None:
                units = answer.granted.octets or answer.granted.seconds or 0
                client.granted[answer.rating_group or 0] = units

    def _check_reply(self, request: ChargingRequest, reply: ChargingReply) -> None:
        """Invariant 3 and C-047: what a grant promises is covered, and zero is final."""
        for answer in reply.services:
            if reply.outcome != Outcome.SUCCESS or answer.outcome != Outcome.SUCCESS:
                assert answer.granted is None
            elif answer.granted is not None:
                units = answer.granted.octets or answer.granted.seconds or 0
                units += answer.granted.money_micro or 0
                assert units > 0 or ("zero" in self.plans and answer.final_unit is not None)
                assert answer.validity_seconds > 0 or not units
                assert not (answer.final_unit and answer.volume_threshold_octets)
        record = self.scenario.store.stored_records(ACCOUNT)[-1].record
        for line in record.charged:
            if line.reserved_micro and record.number == request.number:
                assert self._available(line.service) >= 0

    # ------------------------------------------------------------------------------- clients

    @precondition(lambda self: len(self.clients) < 6)
    @rule(data=st.data(), profile=st.sampled_from(sorted(CLIENTS)), number=st.sampled_from([0, 7]))
    def start(self, data: st.DataObject, profile: str, number: int) -> None:
        client = Client(f"s{len(self.clients)}", profile, number)
        services = self._services(client, data) if data.draw(st.booleans()) else ()
        for service in services:
            service.used = ()
        self.clients.append(client)
        reply = self._send(client, "I", services, number)
        assert self.blocked == (reply.outcome == Outcome.END_USER_SERVICE_DENIED)

    @precondition(lambda self: any(one.open for one in self.clients))
    @rule(data=st.data(), skip=st.integers(0, 1))
    def update(self, data: st.DataObject, skip: int) -> None:
        client = self._client(data)
        client.skipped += range(client.number + 1, client.number + 1 + skip)
        client.number += 1 + skip
        self._send(client, "U", self._services(client, data), client.number)

    @precondition(lambda self: any(one.open and one.skipped for one in self.clients))
    @rule(data=st.data())
    def overtaken_update(self, data: st.DataObject) -> None:
        client = next(one for one in self.clients if one.open and one.skipped)
        self._send(client, "U", self._services(client, data), client.skipped.pop())

    @precondition(lambda self: any(one.open for one in self.clients))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        client = self._client(data)
        client.number += 1
        self._send(client, "T", self._services(client, data, asks=False), client.number)
        client.open = False

    @precondition(lambda self: any(not one.open for one in self.clients))
    @rule(data=st.data())
    def late(self, data: st.DataObject) -> None:
        """Whatever a session that is over still sends gets no units and opens nothing."""
        client = self._client(data, is_open=False)
        client.number += 1
        kind = data.draw(st.sampled_from(["U", "T"]))
        reply = self._send(client, kind, self._services(client, data), client.number)
        client.open = False
        assert reply.outcome in (Outcome.SUCCESS, Outcome.UNKNOWN_SESSION)
        assert not any(answer.granted for answer in reply.services)

    @precondition(lambda self: any(one.sent for one in self.clients))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        sent = [pair for client in self.clients for pair in client.sent]
        request, reply = data.draw(st.sampled_from(sent))
        before = self._state()
        assert self.scenario.send(request) == reply
        assert self._state() == before

    @precondition(lambda self: any(one.sent for one in self.clients))
    @rule(data=st.data())
    def reused_number(self, data: st.DataObject) -> None:
        """Another content under an answered number moves nothing."""
        sent = [pair for client in self.clients for pair in client.sent]
        request, _ = data.draw(st.sampled_from(sent))
        before = self._state()
        other = self.scenario.request(f"U {request.number} @x")
        other.session_id, other.session_key = request.session_id, request.session_key
        other.kind, other.services = request.kind, request.services
        assert self.scenario.send(other).outcome == Outcome.UNABLE_TO_COMPLY
        assert self._state() == before

    @rule(messages=st.sampled_from([1, 4, 14, 15, 90]))
    def event(self, messages: int) -> None:
        """A direct debit is whole and never makes the available balance negative."""
        before = self._available("sms")
        self.events += 1
        reply = self.scenario.send(self.scenario.request(
            f"E 0 @event{self.events} context=32274@3gpp.org action=0 1 rsu=events:{messages}"
        ))
        paid = before - self._available("sms")
        assert paid == (70_000 * messages if reply.outcome == Outcome.SUCCESS else 0)
        assert not paid or before >= paid

    # -------------------------------------------------------------------- time and operators

    @rule(seconds=st.sampled_from([1, 9, 25, 61, 700]))
    def wait(self, seconds: int) -> None:
        self.scenario.clock.advance(seconds)
        if seconds > 1:  # the timers need not run at every instant
            self.scenario.run_timers()
            self._note_lost()

    def _note_lost(self) -> None:
        _, _, sessions = self.scenario.load()
        lost = {one.session_id for one in sessions if one.state != SessionState.OPEN}
        for client in self.clients:
            client.open = client.open and f"pgw1.net.example;1;{client.name}" not in lost

    @rule(amount=st.sampled_from([10_000, 100_000, 3_000_000]))
    def top_up(self, amount: int) -> None:
        self.scenario.top_up(amount)

    @rule()
    def block_or_unblock(self) -> None:
        self.blocked = not self.blocked
        self.scenario.play("block" if self.blocked else "unblock")

    @rule(catalog=st.sampled_from(LATER_CATALOGS))
    def publish(self, catalog: Catalog) -> None:
        """Open sessions come to it with a report that leaves nothing outstanding."""
        self.scenario.publish(catalog)

    @rule(plan=st.sampled_from(PLANS))
    def change_plan(self, plan: str) -> None:
        self.plans.add(plan)
        self.scenario.play(f"plan {plan}")

    @precondition(lambda self: len(self.clients) == 6)
    @rule()
    def abort(self) -> None:
        """Every session that is open is granted nothing more."""
        self.scenario.play("abort")
        self.aborted = {client.name for client in self.clients if client.open}

    @precondition(lambda self: any(one.open for one in self.clients))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        client = self._client(data)
        key = client.sent[0][0].session_key
        before, _ = self.scenario.money()
        self.scenario.store.transact(
            [RequestKey(ACCOUNT, key, RequestKind.OPERATOR, 0)],
            lambda working_set: lifecycle.release_session(
                working_set, key, self.scenario.context(), SessionState.CLOSED, "test", "op"
            ),
        )
        client.open = False
        assert self.scenario.money()[0] == before

    # ---------------------------------------------------------------------------- invariants

    def _available(self, service: str) -> int:
        state = self.scenario.store.account_state(ACCOUNT)
        assert state is not None
        money = entries.spendable(state, Unit.MONEY, service, 0, self.scenario.clock.now_ns())
        return entries.available_micro(state, money)

    def _state(self) -> tuple[object, ...]:
        return (
            self.scenario.load(), self.scenario.store.movements(ACCOUNT),
            len(self.scenario.store.stored_records(ACCOUNT)), self.scenario.store.reviews(),
        )

    @invariant()
    def the_rules_of_money_hold(self) -> None:
        if not hasattr(self, "scenario"):
            return
        self.scenario.check()
        account, buckets, sessions = self.scenario.load()
        for bucket in buckets:
            assert bucket.held >= 0
            assert bucket.available >= 0 or bucket.name == entries.MAIN_BUCKET
        main = next(one for one in buckets if one.name == entries.MAIN_BUCKET)
        overdrawn = main.available + account.credit_limit_micro < 0
        assert not overdrawn or account.flags & AccountFlag.OVER_USAGE
        for session in sessions:
            self._check_session(session)

    def _check_session(self, session: Session) -> None:
        body = records.encode_session(session)
        assert records.decode_session(body, ACCOUNT, session.key) == session
        if session.state == SessionState.OPEN:
            assert session.deadline_ns > session.last_request_ns

    def teardown(self) -> None:
        """With all sessions over nothing is held."""
        if not hasattr(self, "scenario"):
            return
        for client in self.clients:
            if client.open:
                client.number += 1
                self._send(client, "T", (), client.number)
        self.scenario.check()
        _, buckets, _ = self.scenario.load()
        assert [bucket.held for bucket in buckets] == [0] * len(buckets)


RULES = ("I-001", "I-002", "I-003", "I-004", "I-005", "I-006", "I-007", "M-006", "M-007", "M-008")
TestAccountLife = pytest.mark.slow(pytest.mark.rule(*RULES)(AccountLife.TestCase))
TestAccountLife.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


class LifeUnderOneCatalogue(AccountLife):
    """The records of a life under one catalogue, charged again by it, cost what they cost."""

    publish = None  # type: ignore[assignment]

    def teardown(self) -> None:
        """Decide all records once more, in their order."""
        super().teardown()
        if not hasattr(self, "scenario"):
            return
        scenario = self.scenario
        again = Rerating(ACCOUNT, scenario.index, scenario.policy, count(1).__next__)
        stored = scenario.store.stored_records(ACCOUNT)
        for one in sorted(stored, key=lambda each: each.request_id):
            recorded = Recorded(
                one.key.session_key, one.key.kind, one.key.number, one.received_ns, one.record
            )
            if not is_usage(recorded):
                assert not any(line.charged_micro for line in one.record.charged)
                continue
            charged = [line.charged_micro for line in one.record.charged if line.charged_micro]
            assert not again.needs_history(recorded)
            rerated = again.rerate(recorded).charged
            assert [line.charged_micro for line in rerated if line.charged_micro] == charged


TestLifeUnderOneCatalogue = pytest.mark.slow(
    pytest.mark.rule("K-340", "K-341")(LifeUnderOneCatalogue.TestCase)
)
TestLifeUnderOneCatalogue.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.rule("M-003", "I-004", "G02")
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([100, 200, 600]), st.integers(0, 2_500_000)), max_size=8),
    st.data(),
)
def test_balance_does_not_depend_on_how_usage_was_split(
    usage: list[tuple[int, int]], data: st.DataObject
) -> None:
    """The same usage in one report, and cut and mixed at random with grants between."""
    def bonus() -> list[Bucket]:
        return [Bucket(0, 0, Unit.OCTETS, "free", available=1_200_000, services=("data",))]

    whole = Scenario(CATALOG, "100.00", buckets=bonus())
    whole.play("I 0 => 2001")
    totals = {group: sum(units for key, units in usage if key == group) for group, _ in usage}
    services = "; ".join(f"{group} used={units}" for group, units in totals.items())
    whole.send(whole.request(f"T 1 {services}"))
    split = Scenario(CATALOG, "100.00", buckets=bonus())
    split.play("I 0 => 2001")
    number = 0
    for group, units in usage:
        left = units
        while left:
            part = data.draw(st.integers(1, left))
            left -= part
            number += 1
            asks = data.draw(st.sampled_from(["", "rsu", "rsu=700000"]))
            split.send(split.request(f"U {number} {group} used={part} {asks}"))
    split.send(split.request(f"T {number + 1}"))
    split.check()
    assert split.money() == whole.money()
