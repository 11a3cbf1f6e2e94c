"""What recurs, seen from the desk: plans opened and left, the ledger explained and audited."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ocs.catalog.matching import CatalogIndex
from ocs.charging.accounts import duties
from ocs.charging.model.decision import DecisionContext
from ocs.charging.model.messages import (
    Identity,
    RequestKind,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.errors import RefusedError
from ocs.ledger.account import Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, caps, credit_limits, schedules, subscribers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof import audit
from ocs.provisioning.proof.why import explain
from tests.support.desks import Office

CATALOGUE = """
name: Recurring
currency: EUR
services:
  web:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 1 MB}
plans:
  family:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
    allowances:
      data: {unit: octets, amount: 31 GB}
      gift: {unit: octets, amount: 1 GB, expires_after: 30 d}
    recurring:
      base: {every: month, day: 1, fee: 9.30, allowances: data, prorate: true, retry: 1 h}
  pay-as-you-go:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
"""
NUMBER = "4915100000001"
DAY = 86_400


def open_family(
    office: Office, balance_micro: int = 20_000_000, text: str = CATALOGUE
) -> int:
    catalogs.publish(office.desk, text, "recurring.yaml")
    new = NewSubscriber((Identity("msisdn", NUMBER),), "family", balance_micro)
    return int(
        subscribers.add(office.desk, new, office.catalogues.current())["account_id"]
    )


def work(office: Office, account_id: int) -> int:
    """What a server does when it looks for what is due."""
    index = office.catalogues.current()
    version = index.catalog.version
    context = DecisionContext(
        office.clock.now_ns(), 1, {version: index}, version, office.desk.policy
    )
    key = RequestKey(account_id, make_session_key("agenda", None), RequestKind.TIMER, 0)
    return office.desk.store.transact([key], lambda ws: duties.advance(ws, account_id, context))


def lines(office: Office, account_id: int) -> list[dict[str, Any]]:
    return accounts.ledger(office.desk, account_id, 100, 0)


def fees(office: Office, account_id: int) -> list[dict[str, Any]]:
    return [line for line in lines(office, account_id) if line["side"] == "fee"]


def go_to(office: Office, text: str) -> None:
    at_s = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    office.clock.advance(at_s - office.clock.now_ns() // NS_PER_SECOND)


def leave(office: Office, at: str) -> None:
    go_to(office, at)
    found = find_subscriber(office.desk, NUMBER)
    subscribers.change_plan(
        office.desk, found, "pay-as-you-go", office.catalogues.current(), allowances=False
    )


@pytest.mark.rule("K-263", "K-264")
def test_a_plan_is_opened_with_its_first_period_and_what_comes_once(office: Office) -> None:
    account_id = open_family(office)  # on 5 January 2026 at noon
    (fee,) = fees(office, account_id)
    assert fee["amount"] == -8_100_000, "27 of 31 days"
    shown = accounts.show(office.desk, account_id)
    assert {one["name"]: (one["balance"], one["expires"][:10]) for one in shown["buckets"]} == {
        "main": (11_900_000, ""),
        "data": (27 * 10**9, "2026-02-01"),
        "gift": (10**9, "2026-02-04"),
    }
    office.must_be_clean()
    why = explain(office.desk, office.catalogues, fee["entry"])
    assert why["matches"]
    assert why["recomputed_micro"] == 8_100_000
    assert any("9.30 * 27 / 31 = 8.10" in step for step in why["steps"])


@pytest.mark.rule("K-264")
def test_the_schedule_says_what_will_come(office: Office) -> None:
    account_id = open_family(office)
    rows = schedules.schedule(office.desk, account_id, office.catalogues.current(), 2)
    assert [(row["at"][:10], row["kind"], row["fee"], row["until"][:10]) for row in rows] == [
        ("2026-02-01", "recurring", "9.30", "2026-03-01"),
        ("2026-03-01", "recurring", "9.30", "2026-04-01"),
    ]
    madrid = replace(office.catalogues.current().catalog, time_zone="Europe/Madrid")
    rows = schedules.schedule(office.desk, account_id, CatalogIndex(madrid), 2)
    assert rows[0]["at"] == "2026-02-01T00:00:00.000000Z"
    assert rows[0]["at_local"] == "2026-02-01T01:00:00+01:00"
    assert rows[1]["until_local"].endswith("+02:00")
    go_to(office, "2026-02-01T00:00")
    assert work(office, account_id) == 1
    assert [line["amount"] for line in fees(office, account_id)] == [-8_100_000, -9_300_000]
    go_to(office, "2026-03-01T00:00")
    work(office, account_id)
    (row, _) = schedules.schedule(office.desk, account_id, office.catalogues.current(), 2)
    assert (row["at"], row["kind"]) == ("2026-03-01T01:00:00.000000Z", "retry")
    office.must_be_clean()


@pytest.mark.rule("K-264", "K-271")
def test_the_schedule_says_what_a_fee_that_is_tried_again_will_cost(office: Office) -> None:
    account_id = open_family(office, 8_100_000)
    go_to(office, "2026-02-01T00:00")
    work(office, account_id)
    go_to(office, "2026-02-01T00:30")
    catalogs.publish(office.desk, CATALOGUE.replace("fee: 9.30", "fee: 12.40"), "dearer.yaml")
    rows = schedules.schedule(office.desk, account_id, office.catalogues.current(), 2)
    assert [(row["kind"], row["fee"]) for row in rows] == [
        ("retry", "9.30"), ("recurring", "12.40")
    ]  # fmt: skip
    found = find_subscriber(office.desk, f"+{NUMBER}")
    for amount in ("30", "1"):  # The second finds the fee due, as the first has left it.
        accounts.top_up(office.desk, found, amount, catalogue=office.catalogues.current())
    assert [line["amount"] for line in fees(office, account_id)] == [-8_100_000, -9_300_000]
    office.must_be_clean()


@pytest.mark.rule("K-265")
def test_a_top_up_makes_an_unpaid_fee_due_at_once(office: Office) -> None:
    account_id = open_family(office, 0)
    assert fees(office, account_id) == []
    found = find_subscriber(office.desk, NUMBER)
    office.clock.advance(10)
    accounts.top_up(office.desk, found, "8.09")
    assert work(office, account_id) == 1
    assert fees(office, account_id) == []
    accounts.top_up(office.desk, found, "0.01")
    assert work(office, account_id) == 1
    assert [line["amount"] for line in fees(office, account_id)] == [-8_100_000]
    assert work(office, account_id) == 0
    office.must_be_clean()


@pytest.mark.rule("K-267")
def test_another_plan_comes_after_what_was_missed(office: Office) -> None:
    account_id = open_family(office)
    leave(office, "2026-02-28T12:00")
    assert [line["amount"] for line in fees(office, account_id)] == [-8_100_000, -9_300_000]
    office.must_be_clean()


@pytest.mark.rule("K-267")
def test_a_top_up_comes_after_what_was_missed(office: Office) -> None:
    account_id = open_family(office, 9_000_000)
    go_to(office, "2026-03-02T12:00")
    found = find_subscriber(office.desk, NUMBER)
    accounts.top_up(office.desk, found, "20", catalogue=office.catalogues.current())
    assert work(office, account_id) == 1
    # There was no money for February while it went on.
    assert [line["amount"] for line in fees(office, account_id)] == [-8_100_000, -9_300_000]
    assert fees(office, account_id)[-1]["at"][:10] == "2026-03-02"
    office.must_be_clean()


@pytest.mark.rule("K-271")
def test_what_an_operator_makes_up_for_costs_what_it_did_then(any_office: Office) -> None:
    office = any_office
    account_id = open_family(office, 90_000_000)
    go_to(office, "2026-02-20T12:00")
    catalogs.publish(office.desk, CATALOGUE.replace("fee: 9.30", "fee: 12"), "recurring.yaml")
    go_to(office, "2026-03-02T12:00")
    found = find_subscriber(office.desk, NUMBER)
    accounts.top_up(office.desk, found, "20", catalogue=office.catalogues.current())
    assert [line["amount"] for line in fees(office, account_id)] == [
        -8_100_000, -9_300_000, -12_000_000
    ]  # fmt: skip
    office.must_be_clean()


@pytest.mark.rule("K-267")
@pytest.mark.parametrize("change", ["block", "limit", "cap", "uncap", "adjust", "refund"])
def test_whatever_an_operator_changes_comes_after_what_was_missed(
    office: Office, change: str
) -> None:
    account_id = open_family(office, 50_000_000)
    found, index = find_subscriber(office.desk, NUMBER), office.catalogues.current()
    caps.set_cap(office.desk, found, "old", "9", "day", (), index)
    (fee,) = fees(office, account_id)
    go_to(office, "2026-03-02T12:00")
    {
        "block": lambda: subscribers.set_blocked(
            office.desk, found, blocked=True, catalogue=index
        ),
        "limit": lambda: credit_limits.set_limit(office.desk, found, "5", index),
        "cap": lambda: caps.set_cap(office.desk, found, "mine", "5", "day", (), index),
        "uncap": lambda: caps.remove_cap(office.desk, found, "old", index),
        "adjust": lambda: accounts.adjust(
            office.desk, found, "1 GB", bucket="data", catalogue=index
        ),
        "refund": lambda: accounts.refund(office.desk, fee["entry"], "1", catalogue=index),
    }[change]()
    assert [line["amount"] for line in fees(office, account_id)] == [
        -8_100_000, -9_300_000, -9_300_000
    ]  # fmt: skip
    if change == "adjust":
        # It is this month's allowance that is corrected, which was not there before.
        assert sum(
            bucket["available"] for bucket in accounts.show(office.desk, account_id)["buckets"]
            if bucket["name"] == "data"
        ) == 32_000_000_000
    office.must_be_clean()


@pytest.mark.rule("K-269", "M-014")
@pytest.mark.parametrize("amount,back", [("", 0), ("5.40", 900_000)])
def test_what_was_refunded_of_a_fee_is_not_given_back_again(
    office: Office, amount: str, back: int
) -> None:
    account_id = open_family(office)
    (fee,) = fees(office, account_id)
    accounts.refund(office.desk, fee["entry"], amount)
    leave(office, "2026-01-22T12:00")
    assert sum(line["amount"] for line in fees(office, account_id)[1:]) == back
    office.must_be_clean()


@pytest.mark.rule("K-269", "M-014")
def test_a_fee_that_was_given_back_is_not_refunded(office: Office) -> None:
    account_id = open_family(office)
    (fee,) = fees(office, account_id)
    leave(office, "2026-01-22T12:00")
    with pytest.raises(RefusedError, match="given back when the plan was left"):
        accounts.refund(office.desk, fee["entry"], "0.01")
    assert accounts.show(office.desk, account_id)["balance_micro"] == 14_600_000
    office.must_be_clean()


@pytest.mark.rule("K-269")
def test_another_plan_ends_what_recurred(office: Office) -> None:
    account_id = open_family(office)
    go_to(office, "2026-01-22T12:00")
    found = find_subscriber(office.desk, NUMBER)
    subscribers.change_plan(
        office.desk, found, "pay-as-you-go", office.catalogues.current(), allowances=True
    )
    back = fees(office, account_id)[-1]
    assert back["amount"] == 2_700_000, "9 of 27 days that were paid had not begun"
    why = explain(office.desk, office.catalogues, back["entry"])
    assert why["matches"]
    assert any("9 of 27 days" in step for step in why["steps"])
    assert schedules.schedule(office.desk, account_id, office.catalogues.current(), 5) == []
    office.must_be_clean()


ENDING = CATALOGUE.replace("amount: 31 GB", "amount: 31 GB, on_plan_change: end")


def bucket(office: Office, account_id: int, name: str) -> dict[str, Any]:
    shown = accounts.show(office.desk, account_id)["buckets"]
    return next(one for one in shown if one["name"] == name)


@pytest.mark.rule("K-273")
def test_allowances_end_with_the_plan_where_they_say_so(any_office: Office) -> None:
    office = any_office
    account_id = open_family(office, text=ENDING)
    leave(office, "2026-01-20T12:00")
    assert bucket(office, account_id, "data")["available"] == 0
    assert bucket(office, account_id, "gift")["available"] == 1_000_000_000
    (expiry,) = [line for line in lines(office, account_id) if line["side"] == "expiry"]
    assert (expiry["amount"], expiry["at"][:16]) == (-27_000_000_000, "2026-01-20T12:00")
    office.must_be_clean()


@pytest.mark.rule("K-273")
def test_what_a_session_holds_of_an_ending_allowance_is_not_cut(any_office: Office) -> None:
    office = any_office
    account_id = open_family(office, text=ENDING)
    asked = ServiceRequest(requested=Units(octets=1_000_000))
    office.ask(account_id, RequestKind.INITIAL, 0, asked)
    leave(office, "2026-01-05T12:10")
    data = bucket(office, account_id, "data")
    assert (data["available"], data["held"]) == (0, 1_000_000)
    used = ServiceRequest(used=(UsedUnits(Units(octets=1_000_000)),))
    office.ask(account_id, RequestKind.TERMINATION, 1, used)
    assert bucket(office, account_id, "data")["held"] == 0
    assert [line["amount"] for line in lines(office, account_id) if line["side"] == "revenue"] == [
        -1_000_000
    ]  # fmt: skip
    office.must_be_clean()


@pytest.mark.rule("K-273")
def test_allowances_are_kept_as_bought_otherwise(office: Office) -> None:
    account_id = open_family(office)
    leave(office, "2026-01-20T12:00")
    assert bucket(office, account_id, "data")["available"] == 27_000_000_000
    office.must_be_clean()


def test_a_fee_can_be_refunded_like_a_charge(office: Office) -> None:
    account_id = open_family(office)
    (fee,) = fees(office, account_id)
    accounts.refund(office.desk, fee["entry"], "1.00")
    with pytest.raises(RefusedError, match=r"7\.10 can still be refunded"):
        accounts.refund(office.desk, fee["entry"], "7.11")
    office.must_be_clean()


def test_the_audit_finds_a_fee_that_is_not_the_plans(office: Office) -> None:
    account_id = open_family(office)
    store = office.desk.store
    key = RequestKey(account_id, bytes(16), RequestKind.OPERATOR, 0)
    dearer = CATALOGUE.replace("fee: 9.30", "fee: 9.61")
    catalogs.publish(office.desk, dearer, "recurring.yaml")
    go_to(office, "2026-02-01T00:00")

    def with_old_price(working_set: WorkingSet) -> None:
        work_index = office.catalogues.version(2)
        context = DecisionContext(
            office.clock.now_ns(), 1, {2: work_index}, 2, office.desk.policy
        )
        duties.advance(working_set, account_id, context)
        for line in working_set.movements:
            if line.contra == Contra.FEE:
                line.catalogue_version = 3

    store.transact([key], with_old_price)
    result = audit.run(office.desk, office.catalogues)
    assert [one for one in result.violations if "the fee is 9610000 " in one.message]
