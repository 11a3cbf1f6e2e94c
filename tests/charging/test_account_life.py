"""The life of an account: first use, validity, grace, barring, closing, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.catalog.model import Allowance, Catalog, ChargeMode, PriceRule, Service, ServiceTerms
from ocs.catalog.offers import Extension, LifeCycle
from ocs.charging.accounts import account_life, duties
from ocs.charging.model.messages import Outcome, RequestKind
from ocs.charging.model.server_requests import Trigger
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import AccountState, RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.ledger.account import (
    ACTIVE,
    BARRED,
    BLOCKED,
    CLOSED,
    GRACE,
    PRE_ACTIVE,
    REMOVED,
    AccountStatus,
    Contra,
)
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.tariffs import DATA_QUOTA, PS, T_DATA, make_catalog

DAY = 86_400
TERMS = LifeCycle(
    validity_seconds=30 * DAY, grace_seconds=10 * DAY, barred_seconds=20 * DAY,
    extensions=(Extension(5_000_000, 30 * DAY), Extension(20_000_000, 180 * DAY)),
    longest_seconds=90 * DAY,
)  # fmt: skip
GIFT = Allowance("gift", Unit.OCTETS, 5_000_000, ("data",), 5, 7 * DAY)


def catalog(terms: LifeCycle | None = TERMS, allowances: tuple[Allowance, ...] = ()) -> Catalog:
    """Return the tariffs with a life cycle, and a service that costs nothing (group 900)."""
    made = make_catalog()
    services = made.services | {
        "portal": Service("portal", (PS,), Unit.OCTETS, DATA_QUOTA, frozenset({900}))
    }
    basic = made.plans["basic"]
    plan = replace(
        basic, life_cycle=terms, allowances=allowances,
        terms=basic.terms | {
            "portal": ServiceTerms("portal", ChargeMode.FREE),
            "data": ServiceTerms("data", ChargeMode.PRICED, (PriceRule("data", T_DATA),)),
        },
    )  # fmt: skip
    return replace(made, services=services, plans=made.plans | {"basic": plan})


class Life(Scenario):
    """A scenario whose account has begun the life that its plan says."""

    def __init__(self, made: Catalog | None = None, balance: str = "10.00") -> None:
        super().__init__(made or catalog(), balance)
        self.change(lambda working_set, state: account_life.begin(
            working_set, state.account, self.index.catalog.plans["basic"], self.clock.now_ns()
        ))  # fmt: skip

    def change(self, act: Callable[[WorkingSet, AccountState], object]) -> None:
        """Do something to the account in a transaction."""
        self.store.transact(
            [self._operator_key()],
            lambda working_set: act(working_set, working_set.accounts[ACCOUNT]),
        )

    def later(self, days: int, *, timers: bool = True) -> None:
        """Let time pass; with the supervisor, or without one."""
        self.clock.advance(days * DAY)
        if timers:
            self.advance()

    def advance(self) -> int:
        """Do what the supervisor does for the accounts that are due."""
        done = 0
        for due in self.store.due_accounts(self.clock.now_ns(), 10):
            key = RequestKey(due.account_id, b"\0" * 16, RequestKind.TIMER, 0)
            done += self.store.transact(
                [key], lambda working_set: duties.advance(working_set, ACCOUNT, self.context())
            )
        return done

    def buy(self, amount_micro: int) -> int:
        """Top up as far as validity is concerned; return until when (ns UTC)."""
        until: list[int] = []
        self.change(lambda working_set, state: until.append(account_life.top_up(
            working_set, state.account, self.index.catalog.plans["basic"], amount_micro,
            self.clock.now_ns(),
        )))  # fmt: skip
        return until[0]

    @property
    def status(self) -> int:
        return self.load()[0].status


@pytest.mark.rule("K-240")
def test_a_life_from_validity_to_the_end() -> None:
    life = Life()
    seen = []
    for _ in range(7):
        seen.append((life.status, (life.clock.now_ns() - NOON_NS) // NS_PER_SECOND // DAY))
        life.later(10)
    assert seen == [
        (ACTIVE, 0), (ACTIVE, 10), (ACTIVE, 20), (GRACE, 30), (BARRED, 40), (BARRED, 50),
        (CLOSED, 60),
    ]  # fmt: skip
    assert life.load()[0].due_ns == 0
    notes = [one.record.note for one in life.store.stored_records(ACCOUNT)]
    assert notes == [
        "active is over: grace", "grace is over: barred", "barred is over: closed",
    ]  # fmt: skip


@pytest.mark.rule("K-240")
def test_a_late_step_has_its_own_instant_and_all_are_taken() -> None:
    life = Life()
    life.later(400)
    account = life.load()[0]
    assert account.status == CLOSED
    assert account.details.life is not None
    assert account.details.life.since_ns == NOON_NS + 60 * DAY * NS_PER_SECOND
    assert life.advance() == 0


@pytest.mark.rule("K-241")
@pytest.mark.parametrize(
    "days,priced,free",
    [
        (0, Outcome.SUCCESS, Outcome.SUCCESS),
        (30, Outcome.END_USER_SERVICE_DENIED, Outcome.SUCCESS),
        (40, Outcome.END_USER_SERVICE_DENIED, Outcome.END_USER_SERVICE_DENIED),
        (60, Outcome.END_USER_SERVICE_DENIED, Outcome.END_USER_SERVICE_DENIED),
    ],
)
@pytest.mark.parametrize("timers", [True, False])
def test_what_each_state_refuses_even_when_nobody_took_the_step(
    days: int, priced: Outcome, free: Outcome, timers: bool
) -> None:
    life = Life()
    life.later(days, timers=timers)
    for number, (group, expected) in enumerate(((100, priced), (900, free))):
        reply = life.send(life.request(f"I 0 @s{number} {group} rsu"))
        outcome = reply.services[0].outcome if reply.services else reply.outcome
        assert outcome == expected
    life.check()


@pytest.mark.rule("K-241")
def test_the_table_has_every_state() -> None:
    assert set(account_life.ADMISSIONS) == set(AccountStatus)
    can = {one.name: account_life.ADMISSIONS[one][:4] for one in AccountStatus}
    assert can == {
        "ACTIVE": (True, True, True, True),
        "PRE_ACTIVE": (True, True, True, False),
        "GRACE": (True, False, True, False),
        "BARRED": (False, False, True, False),
        "BLOCKED": (False, False, True, False),
        "CLOSED": (False, False, False, False),
        "REMOVED": (False, False, False, False),
    }


@pytest.mark.rule("K-241")
def test_usage_of_an_open_session_is_debited_and_the_rest_refused() -> None:
    life = Life()
    life.play("I 0  100 rsu; 900 rsu => 100 ok 10000000; 900 ok 10000000 | B=10.00 R=0.50")
    life.clock.advance(30 * DAY)
    life.play("U 1  100 used=2000000 rsu; 900 used=1 rsu => 100 4010; 900 ok 10000000 | B=9.90 R=0")
    life.clock.advance(10 * DAY)
    life.play("U 2  900 used=1 rsu => 4010 | B=9.90 R=0")


@pytest.mark.rule("K-241")
def test_events_in_each_state() -> None:
    life = Life()
    sms = "E {} @{} context=32274@3gpp.org action={} 1 rsu=events:1"
    life.unit = Unit.EVENTS
    life.clock.advance(30 * DAY)
    assert life.send(life.request(sms.format(0, "a", 0))).outcome == Outcome.END_USER_SERVICE_DENIED
    assert life.send(life.request(sms.format(0, "b", 3))).outcome == Outcome.SUCCESS
    life.clock.advance(10 * DAY)
    assert life.send(life.request(sms.format(0, "c", 3))).outcome == Outcome.END_USER_SERVICE_DENIED
    assert life.money() == (10_000_000, 0)


@pytest.mark.rule("K-242")
def test_the_first_use_makes_an_account_active_and_gives_its_allowances() -> None:
    life = Life(catalog(replace(TERMS, first_use=True), (GIFT,)))
    life.later(100)
    assert (life.status, life.load()[0].due_ns) == (PRE_ACTIVE, 0)
    life.play("""
        I 0  100 rsu           => 100 ok 10000000 vt=30 | B=10.00 R=0.25
        T 1  100 used=4000000  => 100 ok                | B=10.00 R=0
    """)
    account, buckets, _ = life.load()
    now_ns = NOON_NS + 100 * DAY * NS_PER_SECOND
    assert account.status == ACTIVE
    assert account.details.life is not None
    assert account.details.life.activated_ns == now_ns
    assert account.due_ns == now_ns + 30 * DAY * NS_PER_SECOND
    gift = next(bucket for bucket in buckets if bucket.name == "gift")
    assert (gift.available, gift.expires_ns) == (1_000_000, now_ns + 7 * DAY * NS_PER_SECOND)
    lines = [line for line in life.store.movements(ACCOUNT) if line.contra == Contra.ALLOWANCE]
    assert [line.amount for line in lines] == [5_000_000]


@pytest.mark.rule("K-242")
@pytest.mark.parametrize("profile", ["generic", "open5gs"])
def test_a_refused_request_is_no_use(profile: str) -> None:
    life = Life(catalog(replace(TERMS, first_use=True)), "0.00")
    life.send(life.request(f"I 0 profile={profile} 100 rsu"))
    assert (life.status, life.load()[0].due_ns) == (PRE_ACTIVE, 0)
    life.send(life.request(f"I 0 @s2 profile={profile} 777 rsu"))
    assert life.status == PRE_ACTIVE
    life.check()
    life.top_up(1_000_000)
    life.send(life.request(f"I 0 @s3 profile={profile} 100 rsu"))
    assert life.status == ACTIVE
    life.check()


@pytest.mark.rule("K-242")
def test_a_refused_use_leaves_nothing_of_the_allowances() -> None:
    other = replace(GIFT, services=("other",), amount=7)
    life = Life(catalog(replace(TERMS, first_use=True), (other,)), "0.00")
    life.send(life.request("I 0 100 rsu"))
    _, buckets, _ = life.load()
    assert [bucket.name for bucket in buckets] == ["main"]
    assert life.store.movements(ACCOUNT) == []


@pytest.mark.rule("K-242")
def test_an_event_activates_and_questions_do_not() -> None:
    life = Life(catalog(replace(TERMS, first_use=True)))
    life.unit = Unit.EVENTS
    sms = "E {} @{} context=32274@3gpp.org action={} 1 rsu=events:1"
    assert life.send(life.request(sms.format(0, "a", 2))).enough_credit
    assert life.send(life.request(sms.format(0, "b", 3))).outcome == Outcome.SUCCESS
    assert life.status == PRE_ACTIVE
    assert life.send(life.request(sms.format(0, "c", 0))).outcome == Outcome.SUCCESS
    assert life.status == ACTIVE
    life.check()


@pytest.mark.rule("K-243")
def test_top_ups_extend_by_their_amount_up_to_the_longest() -> None:
    life = Life()
    start = life.clock.now_ns()
    assert life.buy(4_999_999) == 0
    assert life.buy(5_000_000) == 0  # thirty days from now are what it has
    life.later(10)
    assert life.buy(5_000_000) == start + 40 * DAY * NS_PER_SECOND
    assert life.buy(20_000_000) == start + 100 * DAY * NS_PER_SECOND
    assert life.buy(5_000_000) == 0
    assert life.load()[0].due_ns == start + 100 * DAY * NS_PER_SECOND


@pytest.mark.rule("K-243")
@pytest.mark.parametrize("days,status", [(30, GRACE), (40, BARRED)])
def test_a_top_up_brings_an_account_back(days: int, status: int) -> None:
    life = Life()
    life.later(days)
    assert life.status == status
    assert life.buy(1_000_000) == 0
    assert life.status == status
    assert life.buy(5_000_000) == life.clock.now_ns() + 30 * DAY * NS_PER_SECOND
    assert life.status == ACTIVE
    life.later(29)
    assert life.status == ACTIVE
    life.later(1)
    assert life.status == GRACE


@pytest.mark.rule("K-243")
def test_a_closed_account_stays_closed() -> None:
    life = Life()
    life.later(60)
    assert life.buy(50_000_000) == 0
    assert life.status == CLOSED


@pytest.mark.rule("K-244")
@pytest.mark.parametrize("forfeits,left", [(False, 10_000_000), (True, 0)])
def test_what_is_left_when_an_account_is_closed(forfeits: bool, left: int) -> None:
    life = Life(catalog(replace(TERMS, forfeits=forfeits)))
    life.later(60)
    assert life.money() == (left, 0)
    expired = [line for line in life.store.movements(ACCOUNT) if line.contra == Contra.EXPIRY]
    assert [line.amount for line in expired] == ([-10_000_000] if forfeits else [])
    life.check()


@pytest.mark.rule("K-244")
@pytest.mark.parametrize("forfeits", [False, True])
def test_what_sessions_held_of_a_closed_account_expires_when_they_end(forfeits: bool) -> None:
    life = Life(catalog(replace(TERMS, forfeits=forfeits)))
    life.send(life.request("I 0 @one 100 rsu"))
    life.send(life.request("I 0 @two 100 rsu"))
    held = life.money()[1]
    assert held
    life.later(60)
    assert life.status == CLOSED
    life.send(life.request("T 1 @one 100 used=1"))
    life.send(life.request("U 1 @two 100 used=1 rsu"))
    spent = -sum(
        line.amount for line in life.store.movements(ACCOUNT) if line.contra == Contra.REVENUE
    )
    assert 0 < spent < held
    assert life.money() == (0 if forfeits else 10_000_000 - spent, 0)
    life.check()


@pytest.mark.rule("K-240")
@pytest.mark.parametrize(
    "terms,expected",
    [
        (replace(TERMS, grace_seconds=0), BARRED),
        (replace(TERMS, grace_seconds=0, barred_seconds=None), BARRED),
        (replace(TERMS, grace_seconds=0, barred_seconds=0), CLOSED),
    ],
)
def test_states_that_a_plan_leaves_out(terms: LifeCycle, expected: int) -> None:
    life = Life(catalog(terms))
    life.later(30)
    assert life.status == expected
    if terms.barred_seconds is None:
        life.later(10_000)
        assert life.status == BARRED


@pytest.mark.rule("K-245")
def test_a_block_keeps_the_state_and_the_clock_goes_on() -> None:
    life = Life()
    life.later(30)
    life.change(lambda working_set, state: account_life.block(
        working_set, state.account, life.clock.now_ns(), blocked=True
    ))  # fmt: skip
    life.later(10)
    assert life.status == BLOCKED
    life.change(lambda working_set, state: account_life.block(
        working_set, state.account, life.clock.now_ns(), blocked=False
    ))  # fmt: skip
    assert life.status == GRACE
    assert life.advance() == 1
    assert life.status == BARRED


@pytest.mark.rule("K-245")
def test_a_top_up_while_blocked_counts_afterwards() -> None:
    life = Life()
    life.later(30)
    life.change(lambda working_set, state: account_life.block(
        working_set, state.account, life.clock.now_ns(), blocked=True
    ))  # fmt: skip
    until_ns = life.buy(5_000_000)
    assert (life.status, life.load()[0].due_ns) == (BLOCKED, 0)
    life.change(lambda working_set, state: account_life.block(
        working_set, state.account, life.clock.now_ns(), blocked=False
    ))  # fmt: skip
    assert (life.status, life.load()[0].due_ns) == (ACTIVE, until_ns)


@pytest.mark.rule("K-246")
def test_clients_of_open_sessions_are_asked() -> None:
    life = Life()
    life.send(life.request("I 0 100 rsu"))
    life.later(30)
    life.later(10)
    rows = life.store.due_server_requests(life.clock.now_ns(), 10)
    assert [row.trigger for row in rows] == [Trigger.LIFE_CYCLE, Trigger.BLOCK]


@pytest.mark.rule("K-245")
def test_another_plan_brings_its_own_life() -> None:
    life = Life()
    plans = life.index.catalog.plans
    unlimited = replace(plans["basic"], life_cycle=None)
    life.later(30)
    life.change(lambda working_set, state: account_life.change_terms(
        working_set, state.account, unlimited, life.clock.now_ns()
    ))  # fmt: skip
    assert (life.status, life.load()[0].due_ns) == (ACTIVE, 0)
    life.change(lambda working_set, state: account_life.change_terms(
        working_set, state.account, plans["basic"], life.clock.now_ns()
    ))  # fmt: skip
    assert life.load()[0].due_ns == life.clock.now_ns() + 30 * DAY * NS_PER_SECOND


def test_an_account_without_life_cycle_waits_for_nothing() -> None:
    life = Life(catalog(None))
    assert (life.status, life.load()[0].due_ns, life.load()[0].details.life) == (ACTIVE, 0, None)
    assert life.buy(50_000_000) == 0
    assert REMOVED not in account_life.NEXT
    assert make_session_key("life\x00active", None)
