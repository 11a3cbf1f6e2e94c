"""Periods that are run or paid late: what they cost, bring and carry over."""

from dataclasses import replace
from functools import partial

import pytest

from ocs.catalog.matching import CatalogIndex
from ocs.charging import lifecycle
from ocs.ledger.account import (
    ACTIVE,
    BLOCKED,
    Contra,
)
from tests.support.recurring import CATALOGUE, DAY, KEY, Desk


@pytest.mark.rule("K-271")
def test_a_period_that_is_run_late_costs_and_brings_what_it_would_have() -> None:
    desk = Desk("monthly", "100")
    desk.sleep_until("2025-04-20T12:00")
    desk.publish(CATALOGUE.replace("fee: 9.30", "fee: 12").replace("31 GB", "40 GB"))
    desk.sleep_until("2025-05-02T12:00")
    assert desk.work() == 2
    assert desk.fees() == [
        ("2025-03-01T00:00", 9_300_000), ("2025-04-01T00:00", 9_300_000),
        ("2025-05-01T00:00", 12_000_000),
    ]  # fmt: skip
    given = [line.amount for line in desk.lines() if line.contra == Contra.ALLOWANCE]
    assert given == [31_000_000_000, 31_000_000_000, 40_000_000_000]
    fees = [line for line in desk.lines() if line.contra == Contra.FEE]
    assert [line.catalogue_version for line in fees] == [1, 1, 2]
    desk.check()


@pytest.mark.rule("K-271")
def test_a_fee_that_is_paid_late_costs_what_it_did_when_its_period_began() -> None:
    desk = Desk("monthly", "10")
    desk.go_to("2025-04-02T00:00")
    desk.publish(CATALOGUE.replace("fee: 9.30", "fee: 12"))
    desk.go_to("2025-04-03T00:00")
    desk.top_up("20")
    assert desk.work() == 1
    assert [fee for _, fee in desk.fees()] == [9_300_000, 9_300_000]
    assert {line.catalogue_version for line in desk.lines() if line.contra == Contra.FEE} == {1}


@pytest.mark.rule("K-270", "K-271")
def test_what_ended_while_nobody_was_there_is_run_until_its_end() -> None:
    desk = Desk("passes", "100")
    desk.sleep_until("2025-03-12T00:00")
    desk.publish(CATALOGUE.replace("      line: {every: week, day: mon, fee: 1}\n", "")
                 .replace("pass: {every: day,", "pass: {fee: 0.10, every: day,"))
    desk.sleep_until("2025-03-18T00:00")
    while desk.work():
        pass
    weekly = [at for at, fee in desk.fees() if fee == 1_000_000]
    assert weekly == ["2025-03-01T00:00", "2025-03-03T00:00", "2025-03-10T00:00"]
    daily = [at for at, fee in desk.fees() if fee == 100_000]
    assert daily[0] == "2025-03-12T06:00"
    assert len(daily) == 6
    assert [one.code for one in desk.account.details.recurring] == ["pass"]


@pytest.mark.rule("K-271")
def test_a_period_of_before_the_plan_was_sold_is_run_by_the_catalogue_in_force() -> None:
    desk = Desk("monthly", "100")
    old = desk.catalogues[1]
    plans = {code: plan for code, plan in old.catalog.plans.items() if code != "monthly"}
    desk.catalogues[1] = CatalogIndex(replace(old.catalog, plans=plans))
    desk.publish(CATALOGUE.replace("fee: 9.30", "fee: 12"))
    desk.go_to("2025-04-01T00:00", DAY)
    assert [fee for _, fee in desk.fees()] == [9_300_000, 12_000_000]


KEPT = CATALOGUE.replace("services: web}", "services: web, rollover: true}")


def expire(desk: Desk) -> None:
    """What the supervisor does with buckets that are due."""
    for due in desk.store.due_buckets(desk.clock.now_ns(), 10):
        act = partial(
            lifecycle.expire_bucket, account_id=1, bucket_id=due.bucket_id, context=desk.context()
        )
        desk.store.transact([KEY], act)


@pytest.mark.rule("K-272")
def test_what_expired_while_a_renewal_was_unpaid_is_carried_over_when_it_is_paid() -> None:
    desk = Desk("monthly", "10", text=KEPT)
    desk.go_to("2025-04-01T01:00")
    expire(desk)
    assert desk.buckets("data") == [(0, "2025-04-01T00:00")]
    desk.go_to("2025-04-05T00:00")
    desk.top_up("20")
    assert desk.work() == 1
    assert sorted(desk.buckets("data")) == [
        (31_000_000_000, "2025-05-01T00:00"), (31_000_000_000, "2025-05-01T00:00")
    ]  # fmt: skip
    expiries = [line.amount for line in desk.lines() if line.contra == Contra.EXPIRY]
    assert expiries == [-31_000_000_000, 31_000_000_000]
    assert desk.account.details.recurring[0].lapsed == []
    desk.check()
    # It was carried over once, as often as the plan allows.
    desk.go_to("2025-05-01T00:00")
    expire(desk)
    assert sum(left for left, _ in desk.buckets("data")) == 62_000_000_000
    desk.check()


@pytest.mark.rule("K-272")
def test_what_expired_comes_back_only_within_the_bounds_of_its_rollover() -> None:
    bound = KEPT.replace("rollover: true", "rollover: {share: 50 %, maximum: 10 GB}")
    desk = Desk("monthly", "10", text=bound)
    desk.go_to("2025-04-01T01:00")
    expire(desk)
    desk.top_up("20")
    desk.work()
    assert sorted(desk.buckets("data")) == [
        (10_000_000_000, "2025-05-01T00:00"), (31_000_000_000, "2025-05-01T00:00")
    ]  # fmt: skip
    desk.check()


@pytest.mark.rule("K-272")
def test_a_period_that_was_never_paid_carries_nothing_over() -> None:
    desk = Desk("monthly", "10", text=KEPT)
    desk.go_to("2025-04-01T01:00")
    expire(desk)
    assert len(desk.account.details.recurring[0].lapsed) == 1
    desk.go_to("2025-05-01T01:00", DAY)
    desk.top_up("20")
    desk.work()
    assert sum(left for left, _ in desk.buckets("data")) == 31_000_000_000
    assert desk.account.details.recurring[0].lapsed == []
    desk.check()


@pytest.mark.rule("K-272")
def test_what_an_account_lost_while_it_was_blocked_is_carried_over_too() -> None:
    desk = Desk("monthly", "100", text=KEPT)
    desk.set_status(BLOCKED)
    desk.go_to("2025-04-01T01:00")
    expire(desk)
    desk.set_status(ACTIVE)
    desk.work()
    assert sum(left for left, _ in desk.buckets("data")) == 62_000_000_000
    desk.check()
