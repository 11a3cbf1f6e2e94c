"""Money that waits in other currencies: brought in when it is needed, exactly, and never twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.amounts import EVENTS, INT64_MAX
from ocs.catalog.exchange import Rate, purse_unit
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import purses
from ocs.charging.accounts.exchange import is_purse, problem_of
from ocs.charging.model.decision import WITH_RESERVATIONS, WITHOUT_RESERVATIONS, DecisionPolicy
from ocs.charging.model.messages import Outcome
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.ledger import entries
from ocs.ledger.account import Account, AccountFlag, Bucket, Contra
from tests.support.charging import ACCOUNT, NOON_NS, Scenario

CATALOGUE = """
name: Visitors
currency: EUR
currencies: RATES
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets,
        quota: {slice: 10 MB, maximum: 20 MB}}
  sms: {contexts: 32274@3gpp.org, default: true, unit: events,
        quota: {slice: 1, maximum: 100}}
plans:
  basic:
    services:
      web: {price: 0.01, per: 1 MB, increment: 1 MB}
      sms: {price: 0.070001, per: 1, increment: 1}
    low_balance: 1.00
    notify: {low_balance: [1.00]}
    exchange: when-needed
  other:
    services:
      sms: {price: 0.07, per: 1, increment: 1}
"""
AWKWARD = {"USD": "0.9217", "JPY": "0.00617284", "KWD": "3.0307"}
PLAIN = {"USD": "0.5", "JPY": "1.25", "KWD": "2"}
SMS = "context=32274@3gpp.org"


def catalogue(rates: dict[str, str]):
    text = CATALOGUE.replace("RATES", str(rates))
    return load_catalog(yamldoc.parse(text, "visitors.yaml"))


def purse(currency: str, micro: int, expires_ns: int = 0, priority: int = 1000) -> Bucket:
    return Bucket(
        0, 0, EVENTS, currency, available=micro, priority=priority, expires_ns=expires_ns,
        measure=purse_unit(currency).measure,
    )  # fmt: skip


def opened(
    balance: str, *kept: Bucket, rates: dict[str, str] | None = None, limit: str = "0"
) -> Scenario:
    return Scenario(catalogue(rates or AWKWARD), balance, limit=limit, buckets=kept)


def left(scenario: Scenario) -> dict[str, int]:
    """Return what is available, by bucket; purses of one currency together."""
    sums: dict[str, int] = {}
    for one in scenario.load()[1]:
        sums[one.name] = sums.get(one.name, 0) + one.available
    return sums


def exchanges(scenario: Scenario) -> list[tuple[int, int, str]]:
    """Return (given, taken, rate) of every exchange so far; insist that each is right."""
    lines = [one for one in scenario.store.movements(ACCOUNT) if one.contra == Contra.EXCHANGE]
    lines.sort(key=lambda one: (one.request_id, one.line))
    assert not problem_of(lines)
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [(-given.amount, taken.amount, taken.rule) for given, taken in pairs]


@pytest.mark.rule("K-329")
def test_own_money_pays_as_long_as_it_can() -> None:
    scenario = opened("0.15", purse("USD", 10_000_000))
    scenario.play(f"""
        E 0 - rsu=events:1 action=0 {SMS} => - ok 1 | B=0.079999
        E 1 - rsu=events:1 action=0 {SMS} => - ok 1 | B=0.009998
    """)
    assert left(scenario)["USD"] == 10_000_000
    assert exchanges(scenario) == []


@pytest.mark.rule("K-329", "K-330")
def test_exactly_what_is_missing_is_exchanged() -> None:
    scenario = opened("0.05", purse("USD", 10_000_000))
    scenario.play(f"E 0 - rsu=events:1 action=0 {SMS} => - ok 1 | B=0")
    # 0.020001 euros are missing: 0.021701 dollars make 0.0200018..., 0.021700 too few.
    assert exchanges(scenario) == [(21_701, 20_001, "USD 0.9217")]
    assert left(scenario) == {"main": 0, "USD": 10_000_000 - 21_701}


@pytest.mark.rule("K-330")
def test_a_unit_worth_more_than_one_brings_a_little_more() -> None:
    scenario = opened("0", purse("KWD", 1_000_000))
    scenario.play(f"E 0 - rsu=events:1 action=0 {SMS} => - ok 1")
    # 23098 * 3.0307 is 70003.1: two micro units stay in the main bucket.
    assert exchanges(scenario) == [(23_098, 70_003, "KWD 3.0307")]
    assert left(scenario) == {"main": 2, "KWD": 976_902}


@pytest.mark.rule("K-329")
def test_a_refused_event_leaves_the_purse_alone() -> None:
    scenario = opened("0.05", purse("JPY", 3_000_000))
    # Three yen are 0.01851852 euros.
    scenario.play(f"E 0 - rsu=events:1 action=0 {SMS} => 4012 | B=0.05")
    assert left(scenario) == {"main": 50_000, "JPY": 3_000_000}
    assert exchanges(scenario) == []


@pytest.mark.rule("K-329")
def test_asking_and_enquiring_exchange_nothing() -> None:
    scenario = opened("0.05", purse("USD", 1_000_000))
    scenario.play(f"""
        E 0 - rsu=events:1 action=2 {SMS} => 2001 enough=yes | B=0.05
        E 1 - rsu=events:20 action=2 {SMS} => 2001 enough=no | B=0.05
        E 2 - rsu=events:1 action=3 {SMS} => 2001 cost=0.070001 | B=0.05
    """)
    assert exchanges(scenario) == []


@pytest.mark.rule("K-329", "K-330")
def test_purses_are_drawn_on_by_priority_end_and_age() -> None:
    later, sooner = NOON_NS + 60 * NS_PER_SECOND, NOON_NS + 30 * NS_PER_SECOND
    scenario = opened(
        "0", purse("USD", 40_000), purse("KWD", 10_000, later), purse("USD", 10_000, sooner),
        purse("JPY", 5_000_000, 0, priority=5),
    )
    scenario.play(f"E 0 - rsu=events:1 action=0 {SMS} => - ok 1 | B=0.000002")
    # 5 yen bring 0.030864, then 0.01 dollars to be gone first 0.009217, then what is left dinars.
    assert [rate for _, _, rate in exchanges(scenario)] == [
        "JPY 0.00617284", "USD 0.9217", "KWD 3.0307"
    ]
    assert sum(own for _, own, _ in exchanges(scenario)) >= 70_001
    assert left(scenario)["USD"] == 40_000


@pytest.mark.rule("K-329")
def test_a_purse_that_expired_brings_nothing() -> None:
    scenario = opened("0", purse("USD", 1_000_000, NOON_NS + 5 * NS_PER_SECOND))
    scenario.clock.advance(5)
    scenario.play(f"E 0 - rsu=events:1 action=0 {SMS} => 4012 | B=0")
    scenario.play("wait 1")
    assert left(scenario) == {"main": 0, "USD": 0}
    last = scenario.store.movements(ACCOUNT)[-1]
    assert (last.contra, last.amount) == (Contra.EXPIRY, -1_000_000)


@pytest.mark.rule("K-329")
def test_grants_are_sized_by_own_money_and_purses() -> None:
    scenario = opened("0.03", purse("USD", 100_000), rates=PLAIN)
    # 3 MB are paid with own money, 5 more with 0.1 dollars; a ninth with nothing.
    scenario.play("I 0 1 rsu => 1 ok 8000000 fui=terminate | B=0.08 R=0.08")
    assert left(scenario) == {"main": 0, "USD": 0}
    scenario.play("T 1 1 used=1000000 => 2001 | B=0.07 R=0")
    # What was held and not used stays as own money: it is not exchanged back.
    assert exchanges(scenario) == [(100_000, 50_000, "USD 0.5")]


@pytest.mark.rule("K-329")
def test_a_purse_is_drawn_on_before_the_credit_limit() -> None:
    scenario = opened("0", purse("USD", 100_000), rates=PLAIN, limit="0.10")
    scenario.play(f"E 0 - rsu=events:1 action=0 {SMS} => - ok 1 | B=-0.020001")
    assert left(scenario)["USD"] == 0
    scenario.play(f"E 1 - rsu=events:1 action=0 {SMS} => - ok 1 | B=-0.090002")
    scenario.play(f"E 2 - rsu=events:1 action=0 {SMS} => 4012 | B=-0.090002")


@pytest.mark.rule("K-329")
def test_usage_beyond_everything_empties_the_purses_and_is_flagged() -> None:
    scenario = opened("0.01", purse("USD", 40_000), rates=PLAIN)
    scenario.play("""
        I 0 1 rsu=1000000 => 1 ok 1000000 | B=0.01 R=0.01
        T 1 1 used=2000000 => 2001 | B=0 R=0
        I 0 @two 1 rsu=1000000 => 1 ok 1000000 fui=terminate | B=0.01 R=0.01
    """)
    assert not scenario.load()[0].flags
    scenario.play("T 1 @two 1 used=2000000 => 2001 | B=-0.01 R=0")
    assert scenario.load()[0].flags & AccountFlag.OVER_USAGE
    assert left(scenario)["USD"] == 0


@pytest.mark.rule("K-329")
def test_purses_of_a_plan_that_does_not_exchange_wait() -> None:
    scenario = opened("0", purse("USD", 1_000_000), rates=PLAIN)
    scenario.play(f"""
        plan other
        E 0 - rsu=events:1 action=0 {SMS} => 4012 | B=0
        plan basic
        E 1 - rsu=events:1 action=0 {SMS} => - ok 1 | B=0
    """)


@pytest.mark.rule("K-332")
@pytest.mark.parametrize(
    "policy,remaining", [(WITH_RESERVATIONS, 590_000), (WITHOUT_RESERVATIONS, 490_000)]
)
def test_clients_are_told_what_all_of_it_is_worth(policy: int, remaining: int) -> None:
    scenario = opened("0.09", purse("USD", 1_000_000), rates=PLAIN)
    scenario.policy = DecisionPolicy(
        tcc_default_seconds=60, tombstone_seconds=20, remaining_balance=policy
    )
    scenario.play("I 0 1 rsu=10000000 => 1 ok 10000000 | B=0.10 R=0.10")
    assert scenario.reply.remaining_micro == remaining
    assert scenario.reply.low_balance


@pytest.mark.rule("K-332")
def test_a_low_balance_is_one_of_all_money() -> None:
    scenario = opened("0.50", purse("USD", 2_000_000), rates=PLAIN)
    for number in range(9):
        scenario.play(f"E {number} - rsu=events:1 action=0 {SMS} => - ok 1")
        told = [one for one in scenario.store.notifications() if one.kind == "low-balance"]
        # 1.50 in all; the eighth message leaves 0.94.
        assert len(told) == (number >= 7)
        assert scenario.reply.low_balance == (number >= 7)


def test_what_purses_are_worth_stays_a_number_that_clients_can_be_told() -> None:
    index = CatalogIndex(catalogue({"USD": "1000000000"}))
    main = Bucket(ACCOUNT, 1, 0, "main")
    state = AccountState(Account(ACCOUNT, "EUR", "basic"), [main, purse("USD", 10**17)])
    assert purses.look(state, index, NOON_NS) == 0
    assert state.purses_micro == INT64_MAX // 2


@pytest.mark.rule("K-331")
def test_a_purse_is_found_again_and_an_empty_one_is_used_anew() -> None:
    state = AccountState(Account(ACCOUNT, "EUR", "basic"), [])
    ids = iter(range(100, 200))
    working_set = WorkingSet({ACCOUNT: state}, {}, {}, lambda: next(ids))
    first = purses.purse_for(working_set, state, "USD")
    assert not state.buckets
    purses.put(working_set, state, first)
    first.available = 5
    assert purses.purse_for(working_set, state, "USD") is first
    second = purses.purse_for(working_set, state, "USD", NOON_NS)
    assert second is not first
    purses.put(working_set, state, second, NOON_NS)
    third = purses.purse_for(working_set, state, "USD", NOON_NS + 1)
    assert third is second
    purses.put(working_set, state, third, NOON_NS + 1)
    assert second.expires_ns == NOON_NS + 1
    for number in range(purses.PURSES_MAX - 2):
        second.available = 1
        second = purses.purse_for(working_set, state, "USD", NOON_NS + 10 + number)
        assert not purses.is_full(state, second)
        purses.put(working_set, state, second, NOON_NS + 10 + number)
    second.available = 1
    assert not purses.is_full(state, second)
    assert purses.is_full(state, purses.purse_for(working_set, state, "JPY"))


@pytest.mark.rule("K-330")
@given(
    digits=st.integers(1, 10**15), decimals=st.integers(0, 12), own=st.integers(1, 10**15)
)
def test_the_least_amount_is_the_least(digits: int, decimals: int, own: int) -> None:
    rate = Rate("USD", digits, 10**decimals)
    least = rate.least_for(own)
    assert rate.exchanged(least) >= own > rate.exchanged(least - 1)


# ------------------------------------------------------------------- against a slow reference


@dataclass
class Slow:
    """One account as a person would reckon it: fractions, and the least amount found by rounding
    up what is missing.
    """

    own: int
    credit: int = 0
    kept: list[tuple[int, int, str, int]] = field(default_factory=list)
    """(end, age, currency, amount), an end of 0 being the last of all."""

    def worth(self, now: int) -> int:
        return sum(
            floor(amount * Fraction(AWKWARD[currency]))
            for end, _, currency, amount in self.kept if not end or end > now
        )

    def pay(self, cost: int, now: int) -> bool:
        if cost > self.own + self.credit + self.worth(now):
            return False
        self.own -= cost
        self.kept.sort(key=lambda one: (one[0] or 10**30, one[1]))
        for place, (end, age, currency, amount) in enumerate(self.kept):
            rate = Fraction(AWKWARD[currency])
            missing = min(-self.own, floor(amount * rate))
            if missing > 0 and (not end or end > now):
                given = ceil(missing / rate)
                self.own += floor(given * rate)
                self.kept[place] = (end, age, currency, amount - given)
        return True


def bring(scenario: Scenario, currency: str, micro: int, expires_ns: int) -> None:
    """Put money into a purse."""

    def decide(working_set: WorkingSet) -> None:
        state = working_set.accounts[ACCOUNT]
        kept = purses.purse_for(working_set, state, currency, expires_ns)
        purses.put(working_set, state, kept, expires_ns)
        entries.credit(working_set, kept, micro, scenario._posting())

    scenario.store.transact([scenario._operator_key()], decide)


@pytest.mark.rule("K-329", "K-330")
@settings(deadline=None)
@given(
    own=st.integers(0, 300_000), credit=st.sampled_from([0, 100_000]),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("event"), st.integers(1, 4), st.just(0)),
            st.tuples(
                st.sampled_from(sorted(AWKWARD)), st.integers(1, 200_000),
                st.sampled_from([0, 3, 7]),
            ),
            st.tuples(st.just("wait"), st.integers(1, 4), st.just(0)),
        ),
        max_size=25,
    ),
)  # fmt: skip
def test_events_come_to_what_a_slow_reference_says(
    own: int, credit: int, steps: list[tuple[str, int, int]]
) -> None:
    scenario = opened(f"{own / 10**6:.6f}", limit=f"{credit / 10**6:.6f}")
    slow, came = Slow(own, credit), dict.fromkeys(AWKWARD, 0)
    for number, (what, size, seconds) in enumerate(steps):
        now = scenario.clock.now_ns()
        if what == "wait":
            # Buckets expire when nobody looks, too: half of the time no timer runs.
            scenario.clock.advance(size)
        elif what == "event":
            scenario.send(scenario.request(f"E {number} - rsu=events:{size} action=0 {SMS}"))
            paid = slow.pay(size * 70_001, now)
            assert (scenario.reply.outcome == Outcome.SUCCESS) == paid
        else:
            micro = size * 1_000 if what == "JPY" else size
            end = now + seconds * NS_PER_SECOND if seconds else 0
            bring(scenario, what, micro, end)
            came[what] += micro
            ages = [one for one in slow.kept if one[0] == end and one[2] == what]
            empty = [one for one in slow.kept if one[2] == what and not one[3]]
            if ages or empty:
                first = (ages or sorted(empty, key=lambda one: one[1]))[0]
                slow.kept.remove(first)
                slow.kept.append((end, first[1], what, first[3] + micro))
            else:
                slow.kept.append((end, number, what, micro))
        scenario.check(f"step {number}")
        buckets = scenario.load()[1]
        assert left(scenario)["main"] == slow.own
        found = sorted((one.name, one.available) for one in buckets if is_purse(one))
        assert found == sorted((one[2], one[3]) for one in slow.kept)
    given = dict.fromkeys(AWKWARD, 0)
    for amount, taken, name in exchanges(scenario):
        currency, _, rate = name.partition(" ")
        given[currency] += amount
        assert taken <= amount * Fraction(rate) < taken + 1
    for code, amount in came.items():
        assert left(scenario).get(code, 0) == amount - given[code]


@pytest.mark.rule("K-329")
@settings(deadline=None)
@given(
    own=st.integers(0, 30),
    kept=st.dictionaries(st.sampled_from(sorted(PLAIN)), st.integers(1, 30)),
    steps=st.lists(
        st.tuples(st.sampled_from("IUT"), st.sampled_from("ab"), st.integers(0, 12)), max_size=20
    ),
)  # fmt: skip
def test_sessions_get_what_a_twin_gets_whose_money_is_all_its_own(
    own: int, kept: dict[str, int], steps: list[tuple[str, str, int]]
) -> None:
    worth = own * 10_000 + sum(
        int(amount * 10_000 * Fraction(PLAIN[code])) for code, amount in kept.items()
    )
    rich = opened(f"{worth / 10**6:.6f}", rates=PLAIN)
    here = opened(
        f"{own / 100:.2f}", *(purse(code, amount * 10_000) for code, amount in kept.items()),
        rates=PLAIN,
    )
    numbers = {"a": -1, "b": -1}
    for kind, name, used in steps:
        if (kind == "I") != (numbers[name] < 0):
            continue
        numbers[name] += 1
        report = "" if kind == "I" else f" used={used * 700_000}"
        asked = " rsu" if kind != "T" else ""
        text = f"{kind} {numbers[name]} @{name} 1{asked}{report}"
        if kind == "T":
            numbers[name] = 100
        replies = [one.send(one.request(text)) for one in (rich, here)]
        assert replies[0].services == replies[1].services
        assert replies[0].outcome == replies[1].outcome
        here.check(text)
        all_here = here.money()[0] + sum(
            int(amount * Fraction(PLAIN[code]))
            for code, amount in left(here).items() if code in PLAIN
        )
        assert all_here == rich.money()[0]
        assert here.load()[0].flags == rich.load()[0].flags
