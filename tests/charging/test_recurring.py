"""Fees and renewals: when they are run, what they cost and bring, and what a shortage does."""


import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.charging.accounts import coming, duties, recurring
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.ledger import entries
from ocs.ledger.account import (
    ACTIVE,
    BLOCKED,
    AccountFlag,
    Contra,
)
from tests.support.recurring import CATALOGUE, DAY, KEY, Desk, ns, shown


@pytest.mark.rule("K-264")
def test_a_fee_is_debited_and_its_allowances_are_filled_when_a_period_begins() -> None:
    desk = Desk("monthly", "30.00")
    assert desk.fees() == [("2025-03-01T00:00", 9_300_000)]
    assert desk.buckets("data") == [(31 * 10**9, "2025-04-01T00:00")]
    desk.go_to("2025-05-01T00:00", DAY)
    assert desk.fees()[1:] == [
        ("2025-04-01T00:00", 9_300_000), ("2025-05-01T00:00", 9_300_000)
    ]  # fmt: skip
    assert desk.buckets("data") == [(31 * 10**9, "2025-06-01T00:00")]
    assert desk.told() == [("renewed", None)] * 3
    desk.check()


@pytest.mark.rule("K-263", "K-264")
def test_the_part_of_a_first_period_costs_and_brings_a_part() -> None:
    desk = Desk("monthly", "30.00", "2025-03-21T17:30")
    assert desk.fees() == [("2025-03-21T17:30", 3_300_000)]
    assert desk.buckets("data") == [(11 * 10**9, "2025-04-01T00:00")]
    (line,) = [line for line in desk.lines() if line.contra == Contra.FEE]
    assert (line.rule, line.slot_ns) == ("base", ns("2025-03-21T17:30"))
    assert (line.units_before, line.units_after) == (20, 31)


@pytest.mark.rule("K-264")
def test_what_is_left_of_a_period_expires_when_the_next_one_fills_its_bucket() -> None:
    desk = Desk("monthly", "30.00")

    def use(working_set: WorkingSet, state: AccountState) -> None:
        (bucket,) = [one for one in state.buckets if one.name == "data"]
        posting = entries.Posting(desk.ids.next_id(), desk.clock.now_ns(), desk.clock.now_ns())
        entries.credit(working_set, bucket, -(30 * 10**9), posting)

    desk.change(use)
    desk.go_to("2025-04-01T00:00", 31 * DAY)
    data = [line for line in desk.lines() if line.unit]
    assert [(line.contra, line.amount) for line in data] == [
        (Contra.ALLOWANCE, 31 * 10**9), (Contra.REVENUE, -30 * 10**9),
        (Contra.EXPIRY, -(10**9)), (Contra.ALLOWANCE, 31 * 10**9),
    ]  # fmt: skip
    assert len({line.bucket_id for line in data}) == 1
    desk.check()


@pytest.mark.rule("K-264")
def test_a_bucket_that_clients_hold_of_is_left_alone_and_the_next_period_has_its_own() -> None:
    desk = Desk("monthly", "30.00")

    def hold(working_set: WorkingSet, state: AccountState) -> None:
        entries.hold(working_set, [one for one in state.buckets if one.name == "data"], 1000)

    desk.change(hold)
    desk.go_to("2025-04-01T00:00", 31 * DAY)
    assert desk.buckets("data") == [
        (31 * 10**9 - 1000, "2025-04-01T00:00"), (31 * 10**9, "2025-05-01T00:00")
    ]  # fmt: skip


@pytest.mark.rule("K-265")
def test_a_short_balance_gives_nothing_and_is_tried_again_at_the_plans_times() -> None:
    desk = Desk("monthly", "9.29")
    assert (desk.fees(), desk.buckets("data")) == ([], [])
    desk.go_to("2025-03-03T00:00")
    assert desk.told() == [("renewal-failed", tries) for tries in (1, 2, 3, 4)]
    desk.go_to("2025-03-30T00:00", DAY)
    assert len(desk.told()) == 4, "it was given up"
    assert not desk.account.flags
    desk.top_up("10")
    assert desk.work() == 1
    assert desk.fees() == [("2025-03-30T00:00", 9_300_000)]
    assert desk.buckets("data") == [(31 * 10**9, "2025-04-01T00:00")]
    desk.check()


@pytest.mark.rule("K-265")
def test_a_retry_that_finds_money_runs_the_period_once() -> None:
    desk = Desk("monthly", "0.30")

    def credit(working_set: WorkingSet, state: AccountState) -> None:
        desk._credit(working_set, state, "9.00")

    desk.change(credit)
    desk.go_to("2025-03-02T00:00")
    assert desk.fees() == [("2025-03-01T01:00", 9_300_000)]
    desk.top_up("100")
    assert desk.work() == 0


@pytest.mark.rule("K-265")
def test_a_period_that_stays_unpaid_is_over_with_the_next_one() -> None:
    desk = Desk("monthly", "0")
    desk.go_to("2025-03-31T00:00", DAY)
    desk.change(lambda ws, state: desk._credit(ws, state, "9.30"))
    desk.go_to("2025-04-01T00:00", DAY)
    assert desk.fees() == [("2025-04-01T00:00", 9_300_000)]


@pytest.mark.rule("K-266")
def test_a_plan_may_let_nothing_be_used_while_its_fee_is_unpaid() -> None:
    desk = Desk("strict", "5", "2025-01-31T10:00")
    assert not desk.account.flags & AccountFlag.UNPAID
    desk.go_to("2025-02-28T10:00", DAY)
    assert desk.account.flags & AccountFlag.UNPAID
    desk.go_to("2025-03-20T10:00", DAY)
    assert desk.account.flags & AccountFlag.UNPAID, "also when no retry is left"
    desk.top_up("4.99")
    desk.work()
    assert desk.account.flags & AccountFlag.UNPAID
    desk.top_up("0.01")
    desk.work()
    assert not desk.account.flags & AccountFlag.UNPAID
    assert desk.fees() == [("2025-01-31T10:00", 5_000_000), ("2025-03-20T10:00", 5_000_000)]
    assert shown(desk.account.due_ns) == "2025-03-31T10:00"


@pytest.mark.rule("K-267")
def test_after_downtime_every_missed_period_is_run_in_its_order() -> None:
    late, present = (Desk("passes", "100", "2025-03-20T12:00") for _ in range(2))
    present.go_to("2025-06-20T12:00")
    late.go_to("2025-06-20T12:00", 200 * DAY)
    assert late.fees() == present.fees()
    amounts = [[(m.contra, m.amount, m.slot_ns) for m in desk.lines()] for desk in (late, present)]
    assert amounts[0] == amounts[1]
    assert late.buckets("day") == [(100 * 10**6, "2025-06-21T06:00")]
    late.check()


@pytest.mark.rule("K-267")
def test_two_servers_that_look_at_once_run_a_period_once() -> None:
    desk = Desk("monthly", "30.00")
    desk.clock.advance(40 * DAY)
    done = [
        desk.store.transact([KEY], lambda ws: duties.advance(ws, 1, desk.context()))
        for _ in range(2)
    ]
    assert done == [1, 0]
    records = [one.key for one in desk.store.stored_records(1)]
    assert len(records) == len(set(records)) == 2


@pytest.mark.rule("K-268")
def test_an_account_that_is_not_active_pays_nothing_until_it_is() -> None:
    desk = Desk("monthly", "50.00")
    desk.set_status(BLOCKED)
    desk.go_to("2025-05-10T00:00", DAY)
    assert desk.fees() == [("2025-03-01T00:00", 9_300_000)]
    desk.set_status(ACTIVE)
    desk.work()
    assert desk.fees()[1:] == [("2025-05-10T00:00", 9_300_000)]
    desk.go_to("2025-06-01T00:00", DAY)
    assert desk.fees()[2:] == [("2025-06-01T00:00", 9_300_000)]


@pytest.mark.rule("K-269")
def test_who_leaves_a_plan_gets_prorated_fees_back_for_days_that_did_not_begin() -> None:
    desk = Desk("monthly", "9.30")
    desk.go_to("2025-03-11T12:00", DAY)

    def leave(working_set: WorkingSet, state: AccountState) -> None:
        recurring.end(working_set, state, desk.index, desk.clock.now_ns())
        state.account.plan = "strict"
        recurring.begin(working_set, state, desk.index, desk.clock.now_ns())

    desk.change(leave)
    assert desk.fees() == [
        ("2025-03-01T00:00", 9_300_000), ("2025-03-11T12:00", -6_000_000),
        ("2025-03-11T12:00", 5_000_000),
    ]  # fmt: skip
    assert shown(desk.account.due_ns) == "2025-04-11T12:00"
    desk.check()


@pytest.mark.rule("K-270")
def test_what_a_new_catalogue_lets_recur_begins_with_its_next_period() -> None:
    desk = Desk("plain", "20.00", "2025-03-11T12:00")
    assert desk.account.due_ns == 0
    desk.publish(CATALOGUE.replace("  plain:\n", "  plain:\n    recurring:\n"
                                   "      line: {every: month, day: 1, fee: 2}\n"))
    desk.change(lambda ws, s: recurring.adopt(ws, s, desk.index, desk.clock.now_ns()))
    assert desk.fees() == []
    desk.go_to("2025-04-02T00:00", DAY)
    assert desk.fees() == [("2025-04-01T00:00", 2_000_000)]
    desk.publish(CATALOGUE)
    desk.go_to("2025-06-02T00:00", DAY)
    assert len(desk.fees()) == 1
    assert desk.account.due_ns == 0


@pytest.mark.rule("K-270", "K-268")
def test_what_newly_recurs_is_met_by_accounts_that_are_not_active_too() -> None:
    desk = Desk("plain", "20.00", "2025-03-11T12:00")
    desk.set_status(BLOCKED)
    desk.publish(CATALOGUE.replace("  plain:\n", "  plain:\n    recurring:\n"
                                   "      line: {every: month, day: 1, fee: 2}\n"))
    desk.change(lambda ws, s: recurring.adopt(ws, s, desk.index, desk.clock.now_ns()))
    desk.go_to("2025-04-15T00:00", DAY)
    assert desk.fees() == []
    desk.set_status(ACTIVE)
    desk.go_to("2025-05-02T00:00", DAY)
    assert [fee for _, fee in desk.fees()] == [2_000_000, 2_000_000]
    desk.check()


@pytest.mark.rule("K-270")
def test_a_period_costs_what_the_catalogue_in_force_says_when_it_begins() -> None:
    desk = Desk("monthly", "100")
    desk.publish(CATALOGUE.replace("fee: 9.30", "fee: 12"))
    desk.go_to("2025-04-01T00:00", DAY)
    assert [fee for _, fee in desk.fees()] == [9_300_000, 12_000_000]
    assert [line.catalogue_version for line in desk.lines() if line.contra == Contra.FEE] == [1, 2]


def test_a_plan_that_is_not_sold_any_more_waits_and_takes_nothing() -> None:
    desk = Desk("plain", "20.00")
    desk.publish(CATALOGUE.replace("  plain:\n", "  plain:\n    recurring:\n"
                                   "      line: {every: day, fee: 2}\n"))
    desk.change(lambda ws, s: recurring.begin(ws, s, desk.index, desk.clock.now_ns()))
    desk.publish(CATALOGUE.replace("  plain:\n", "  other:\n"))
    desk.go_to("2025-03-04T00:30")
    assert len(desk.fees()) == 1
    desk.publish(CATALOGUE.replace("  plain:\n", "  plain:\n    recurring:\n"
                                   "      line: {every: day, fee: 2}\n"))
    desk.go_to("2025-03-04T02:00")
    assert [at for at, _ in desk.fees()] == [f"2025-03-0{day}T00:00" for day in (1, 2, 3, 4)]


def test_what_comes_is_known_before_it_comes() -> None:
    desk = Desk("passes", "100", "2025-03-20T12:00")
    found = coming.coming(desk.account, desk.index, 5, lambda _ns: None)
    assert [(shown(one.at_ns), one.code, one.fee_micro) for one in found] == [
        ("2025-03-21T06:00", "pass", 0), ("2025-03-22T06:00", "pass", 0),
        ("2025-03-23T06:00", "pass", 0), ("2025-03-24T00:00", "line", 1_000_000),
        ("2025-03-24T06:00", "pass", 0),
    ]  # fmt: skip
    short = Desk("monthly", "0", "2025-03-21T12:00")
    retry, after = coming.coming(
        short.account, short.index, 2, lambda _ns: short.index
    )
    assert (shown(retry.at_ns), retry.retry, retry.fee_micro) == (
        "2025-03-21T13:00", True, 3_300_000
    )  # fmt: skip
    assert (shown(after.at_ns), after.retry, after.fee_micro) == (
        "2025-04-01T00:00", False, 9_300_000
    )  # fmt: skip


@pytest.mark.rule("K-267")
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 40 * DAY), min_size=1, max_size=12),
    st.sampled_from(["monthly", "strict", "passes"]),
    st.integers(0, 400 * DAY),
)
def test_however_late_it_is_looked_at_the_ledger_is_the_same(
    steps: list[int], plan: str, first: int
) -> None:
    desks = [Desk(plan, "100000", "2024-01-01T00:00") for _ in range(2)]
    for desk in desks:
        desk.clock.advance(first)
        desk.work()
    for step in steps:
        desks[0].clock.advance(step)
        desks[0].work()
    total = sum(steps)
    desks[1].clock.advance(total)
    desks[1].work()
    one, other = ([(m.event_ns, m.contra, m.amount, m.rule) for m in d.lines()] for d in desks)
    assert one == other
    for desk in desks:
        desk.check()
