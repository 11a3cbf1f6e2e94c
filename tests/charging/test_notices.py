"""Notifications through the engine: each threshold once a period, with what made it happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.model import Allowance, Catalog
from ocs.catalog.notify import NotifyPolicy
from ocs.charging.accounts import duties, notices
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import AccountState, RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND, first_id_at
from ocs.ledger.account import Account, Bucket, Counter
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.tariffs import make_catalog

DAY_NS = 86_400 * NS_PER_SECOND
MB = 1_000_000


def make_told_catalog(policy: NotifyPolicy, *allowances: Allowance) -> Catalog:
    golden = make_catalog()
    basic = replace(golden.plans["basic"], notify=policy, allowances=allowances)
    networks = {"home": ("21407", "21499"), "iberia": ("268",)}
    return replace(golden, plans=golden.plans | {"basic": basic}, networks=networks)


def play(text: str, policy: NotifyPolicy, *allowances: Allowance, **account: Any) -> Scenario:
    scenario = Scenario(make_told_catalog(policy, *allowances), **account)
    scenario.play(text)
    return scenario


def told(scenario: Scenario) -> list[tuple[str, str, int]]:
    found = scenario.store.notifications()
    assert len({one.notification_id for one in found}) == len(found)
    return [(one.kind, one.subject, one.percent) for one in found]


def levels(scenario: Scenario) -> list[tuple[int | str, int | str]]:
    return [
        (one.details["level_micro"], one.details["balance_micro"])
        for one in scenario.store.notifications()
        if one.kind == "low-balance"
    ]


def bundle(amount: int = 100 * MB, **fields: Any) -> Bucket:
    return Bucket(ACCOUNT, fields.pop("bucket_id", 7), Unit.OCTETS, "bundle", amount, **fields)


@pytest.mark.rule("K-380")
def test_shares_of_a_bucket_are_told_once_each() -> None:
    scenario = play(
        """
        I 0 100 rsu                => 100 ok 10000000
        U 1 100 used=49999999 rsu  => 100 ok 10000000
        U 2 100 used=1 rsu         => 100 ok 10000000
        again
        U 3 100 used=1000000 rsu   => 100 ok 10000000
        U 4 100 used=28999999 rsu  => 100 ok 10000000
        U 5 100 used=1 rsu         => 100 ok 10000000
        T 6 100 used=20000000      => 100 ok
        """,
        NotifyPolicy(used=(50, 80, 100)), buckets=[bundle()],
    )
    assert told(scenario) == [("bucket-used", "bundle", percent) for percent in (50, 80, 100)]
    first = scenario.store.notifications()[0]
    assert first.details == {
        "left": 50 * MB, "full": 100 * MB, "unit": "octets", "measure": "", "expires_ns": 0,
    }
    assert (first.account_id, first.at_ns) == (ACCOUNT, NOON_NS)


@pytest.mark.rule("K-380")
def test_of_several_shares_passed_at_once_the_last_is_told() -> None:
    scenario = play(
        """
        I 0 100 rsu            => 100 ok 10000000
        T 1 100 used=90000000  => 100 ok
        """,
        NotifyPolicy(used=(50, 80, 100)), buckets=[bundle()],
    )
    assert told(scenario) == [("bucket-used", "bundle", 80)]


@pytest.mark.rule("K-380")
def test_what_is_held_is_not_used() -> None:
    scenario = play(
        "I 0 100 rsu=10000000 => 100 ok 10000000",
        NotifyPolicy(used=(50, 100)), buckets=[bundle(10 * MB)],
    )
    assert told(scenario) == []


@pytest.mark.rule("K-380")
def test_the_whole_of_an_allowance_is_what_the_plan_gives() -> None:
    given_by_plan = Allowance("bundle", Unit.OCTETS, 100 * MB)
    scenario = play(
        """
        I 0 100 rsu            => 100 ok 10000000
        T 1 100 used=10000000  => 100 ok
        """,
        NotifyPolicy(used=(50, 80)), given_by_plan, buckets=[bundle(60 * MB)],
    )
    assert told(scenario) == [("bucket-used", "bundle", 50)]
    assert scenario.store.notifications()[0].details["full"] == 100 * MB


def renew(scenario: Scenario, amount: int, expires_ns: int) -> None:
    """Fill the bundle for another period, or give something back in this one."""

    def decide(working_set: WorkingSet) -> None:
        [bucket] = [one for one in working_set.accounts[ACCOUNT].buckets if one.name == "bundle"]
        bucket.available, bucket.expires_ns = amount, expires_ns
        working_set.mark_bucket(bucket)

    scenario.store.transact([RequestKey(ACCOUNT, b"\0" * 16, RequestKind.OPERATOR, 0)], decide)


def use(scenario: Scenario, session: str, octets: int) -> None:
    for step in (f"I 0 @{session} 100 rsu", f"T 1 @{session} 100 used={octets}"):
        scenario.send(scenario.request(step))


@pytest.mark.rule("K-381")
@pytest.mark.parametrize(
    "left,later_days,again",
    [
        (100, 30, True),  # renewed
        (120, 0, True),  # more in it than ever
        (90, 0, False),  # a refund, the same period
        (20, 30, False),  # only its end was moved
        (60, 30, True),  # renewed with less
    ],
)
def test_another_period_tells_again(left: int, later_days: int, again: bool) -> None:
    end_ns = NOON_NS + 30 * DAY_NS
    scenario = Scenario(
        make_told_catalog(NotifyPolicy(used=(80,)), Allowance("bundle", Unit.OCTETS, 100 * MB)),
        buckets=[bundle(expires_ns=end_ns)],
    )
    use(scenario, "a", 80 * MB)
    assert len(told(scenario)) == 1
    renew(scenario, left * MB, end_ns + later_days * DAY_NS)
    use(scenario, "b", (left - 10) * MB)
    assert len(told(scenario)) == 1 + again


@pytest.mark.rule("K-381")
def test_a_renewal_that_says_so_tells_again() -> None:
    scenario = Scenario(make_told_catalog(NotifyPolicy(used=(80,))), buckets=[bundle()])
    use(scenario, "a", 80 * MB)

    def decide(working_set: WorkingSet) -> None:
        state = working_set.accounts[ACCOUNT]
        [bucket] = [one for one in state.buckets if one.name == "bundle"]
        bucket.available = 100 * MB
        working_set.mark_bucket(bucket)
        notices.refilled(working_set, state.account, bucket)

    scenario.store.transact([RequestKey(ACCOUNT, b"\0" * 16, RequestKind.OPERATOR, 0)], decide)
    assert scenario.load()[0].details.told == []
    use(scenario, "b", 85 * MB)
    assert told(scenario) == [("bucket-used", "bundle", 80)] * 2


@pytest.mark.rule("K-382")
def test_a_balance_is_told_when_it_comes_down_to_a_level() -> None:
    scenario = play(
        """
        I 0 100 rsu              => 100 ok 10000000
        U 1 100 used=19999999 rsu => 100 ok 10000000 | B=9.00 R=0.50
        U 2 100 used=80000001 rsu => 100 ok 10000000 | B=5.00 R=0.50
        U 3 100 used=1 rsu        => 100 ok 10000000 | B=4.95 R=0.50
        top-up 1.00
        U 4 100 used=20000000 rsu => 100 ok 10000000 | B=4.95 R=0.50
        T 5 100 used=99000000     => 100 ok | B=0 R=0
        """,
        NotifyPolicy(low_balance=(5_000_000, 1_000_000, 0)),
    )
    assert levels(scenario) == [(5_000_000, 5_000_000), (5_000_000, 4_950_000), (0, 0)]
    assert scenario.store.notifications()[0].details["currency"] == "EUR"


@pytest.mark.rule("K-384")
def test_a_foreign_country_is_told_once_a_visit() -> None:
    scenario = play(
        """
        I 0 visited_network=21407 100 rsu   => 100 ok 10000000
        U 1 visited_network=26801 100 rsu   => 100 ok 10000000
        U 2 visited_network=26803 100 rsu   => 100 ok 10000000
        U 3 100 rsu                         => 100 ok 10000000
        U 4 visited_network=21407 100 rsu   => 100 ok 10000000
        U 5 visited_network=26801 100 rsu   => 100 ok 10000000
        U 6 visited_network=20801 100 rsu   => 100 ok 10000000
        U 7 visited_network=26801 100 rsu   => 100 ok 10000000
        U 8 visited_network=21403 100 rsu   => 100 ok 10000000
        """,
        NotifyPolicy(roaming=True),
    )
    # Back within a day is no new visit; another network of our own country is not abroad.
    found = [(one.subject, one.details["network"]) for one in scenario.store.notifications()]
    assert found == [("iberia", "26801"), ("", "20801")]
    scenario.clock.advance(86_400)
    scenario.play("I 0 @later visited_network=26801 100 rsu => 100 ok 10000000")
    assert len(told(scenario)) == 3


@pytest.mark.rule("K-384")
def test_members_of_an_account_travel_each_for_themselves() -> None:
    scenario = Scenario(make_told_catalog(NotifyPolicy(roaming=True)))
    for member in (11, 12, 11):
        request = scenario.request(f"I 0 @m{member}{scenario.ids.next_id()} visited_network=26801")
        request.subscriber_id = member
        scenario.send(request)
    assert [one.subscriber_id for one in scenario.store.notifications()] == [11, 12]


@pytest.mark.rule("K-385")
def test_a_counter_tells_each_share_of_its_limit_once() -> None:
    plan = make_told_catalog(NotifyPolicy(caps=(80, 100))).plans["basic"]
    working_set = WorkingSet({}, {}, {}, iter(range(1, 99)).__next__)
    account, counter = Account(ACCOUNT, "EUR", "basic"), Counter("cap", 3, NOON_NS)
    for used in (79, 80, 81, 99, 120, 130):
        notices.count(
            working_set, account, plan, counter, used, 100, NOON_NS, subject="daily", unit="octets"
        )
    found = working_set.notifications
    assert [(one.percent, one.details["used"]) for one in found] == [(80, 80), (100, 120)]
    assert {(one.kind, one.subject, one.subscriber_id) for one in found} == {
        ("cap-reached", "daily", 3)
    }
    assert counter.told == 100


@pytest.mark.rule("K-383")
def test_a_coming_expiry_is_told_once_for_each_time_left() -> None:
    plan = make_told_catalog(NotifyPolicy(expiry=(7 * 86_400, 86_400))).plans["basic"]
    end_ns = NOON_NS + 30 * DAY_NS
    state = AccountState(
        Account(ACCOUNT, "EUR", "basic"),
        [bundle(bucket_id=first_id_at(NOON_NS), expires_ns=end_ns)],
    )
    working_set = WorkingSet({ACCOUNT: state}, {}, {}, iter(range(1, 99)).__next__)
    assert notices.expiry_due_ns(state, plan) == end_ns - 7 * DAY_NS
    notices.warn(working_set, state, plan, NOON_NS)
    assert working_set.notifications == []
    for now_ns in (end_ns - 7 * DAY_NS, end_ns - 6 * DAY_NS, end_ns - DAY_NS + 5, end_ns - 10):
        notices.warn(working_set, state, plan, now_ns)
    assert [one.details["seconds"] for one in working_set.notifications] == [7 * 86_400, 86_400]
    assert notices.expiry_due_ns(state, plan) == 0
    state.buckets[0].expires_ns += 30 * DAY_NS
    assert notices.expiry_due_ns(state, plan) == end_ns + 23 * DAY_NS
    # After a downtime over both instants only the nearer one is told.
    notices.warn(working_set, state, plan, end_ns + 30 * DAY_NS - 1)
    assert [one.details["seconds"] for one in working_set.notifications[2:]] == [86_400]
    assert set(working_set.changed_accounts) == {ACCOUNT}


@pytest.mark.rule("K-383")
def test_the_agenda_of_an_account_tells_of_expiries() -> None:
    end_ns = NOON_NS + 9 * DAY_NS
    scenario = Scenario(
        make_told_catalog(NotifyPolicy(expiry=(7 * 86_400, 86_400))),
        buckets=[bundle(expires_ns=end_ns)],
    )
    scenario.send(scenario.request("E 0 100 rsu=1 action=2"))
    assert scenario.load()[0].due_ns == end_ns - 7 * DAY_NS

    def act(working_set: WorkingSet) -> int:
        return duties.advance(working_set, ACCOUNT, scenario.context())

    def tick() -> int:
        key = RequestKey(ACCOUNT, b"\0" * 16, RequestKind.TIMER, 0)
        return scenario.store.transact([key], act)

    assert tick() == 0
    scenario.clock.advance(2 * 86_400)
    assert (tick(), tick()) == (1, 0)
    scenario.clock.advance(6 * 86_400 + 5)
    assert (tick(), tick()) == (1, 0)
    found = scenario.store.notifications()
    assert [one.details["seconds"] for one in found] == [7 * 86_400, 86_400]
    assert scenario.load()[0].due_ns == 0


@pytest.mark.rule("K-383")
@pytest.mark.parametrize(
    "made_ns,left,expected",
    [
        (NOON_NS - DAY_NS, 1, 1),
        (NOON_NS + DAY_NS // 2, 1, 0),  # made after the notice would have been due
        (NOON_NS - DAY_NS, 0, 0),  # nothing in it
    ],
)
def test_what_expiry_is_worth_a_notice(made_ns: int, left: int, expected: int) -> None:
    plan = make_told_catalog(NotifyPolicy(expiry=(86_400,))).plans["basic"]
    buckets = [
        bundle(left, bucket_id=first_id_at(made_ns), expires_ns=NOON_NS + DAY_NS),
        bundle(5, bucket_id=9),
    ]
    state = AccountState(Account(ACCOUNT, "EUR", "basic"), buckets)
    working_set = WorkingSet({ACCOUNT: state}, {}, {}, iter(range(1, 99)).__next__)
    notices.warn(working_set, state, plan, NOON_NS + DAY_NS * 3 // 4)
    assert len(working_set.notifications) == expected


@pytest.mark.rule("K-386")
def test_a_plan_without_notify_tells_and_remembers_nothing() -> None:
    scenario = Scenario(make_catalog(), buckets=[bundle(10 * MB)])
    scenario.play(
        """
        I 0 visited_network=26801 100 rsu    => 100 ok 10000000
        T 1 100 used=209000000               => 100 ok | B=0.05 R=0
        """
    )
    assert told(scenario) == []
    account, _, _ = scenario.load()
    assert (account.details.told, account.details.visits) == ([], [])
    plan = make_catalog().plans["basic"]
    working_set = WorkingSet({}, {}, {}, iter(range(1, 99)).__next__)
    for kind in notices.KINDS:
        assert not notices.wants(plan, kind)
        notices.notify(working_set, account, plan, kind, NOON_NS)
    assert working_set.notifications == []


@pytest.mark.rule("K-386")
@pytest.mark.parametrize("kind", notices.KINDS)
def test_every_kind_is_wanted_by_itself(kind: str) -> None:
    everything = NotifyPolicy((50,), (0,), (60,), (80,), True, True, True)
    plan = make_told_catalog(everything).plans["basic"]
    assert notices.wants(plan, kind)
    assert not notices.wants(None, kind)


@pytest.mark.rule("K-387")
def test_what_is_remembered_is_bounded() -> None:
    count = notices.REMEMBERED_MAX + 10
    scenario = Scenario(
        make_told_catalog(NotifyPolicy(used=(50,), roaming=True)),
        buckets=[
            Bucket(ACCOUNT, number, Unit.OCTETS, f"b{number}", 10, priority=number)
            for number in range(1, count + 1)
        ],
    )
    for number in range(count):
        scenario.send(scenario.request(f"I 0 @s{number} visited_network={300 + number} 100 rsu"))
        scenario.send(scenario.request(f"T 1 @s{number} 100 used=10"))
    account, _, _ = scenario.load()
    assert len(account.details.told) == len(account.details.visits) == notices.REMEMBERED_MAX
    assert len([one for one in told(scenario) if one[0] == "bucket-used"]) == count


@pytest.mark.rule("K-380", "K-382")
@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    thresholds=st.sets(st.integers(1, 100), min_size=1, max_size=5),
    repeat=st.integers(0, 29),
)
def test_however_usage_is_cut_each_threshold_is_told_when_it_is_reached(
    cuts: list[int], thresholds: set[int], repeat: int
) -> None:
    """The last told is the highest reached; none twice, none early, and a repetition is silent."""
    scenario = Scenario(
        make_told_catalog(NotifyPolicy(used=tuple(sorted(thresholds)))),
        buckets=[bundle(200)], balance="1000.00",
    )
    scenario.send(scenario.request("I 0 100 rsu=40"))
    total, expected = 0, []
    for number, used in enumerate(cuts):
        scenario.send(scenario.request(f"U {number + 1} 100 used={used} rsu=40"))
        total += used
        reached = max((one for one in thresholds if one * 2 <= total), default=0)
        if reached and reached not in expected:
            expected.append(reached)
        if number == repeat:
            assert scenario.last is not None
            scenario.send(scenario.last)
        assert [percent for _, _, percent in told(scenario)] == expected


