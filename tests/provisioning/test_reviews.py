"""Parked usage: accepted it costs what it would have cost, dismissed it costs nothing."""

from typing import Any

import pytest

from ocs import yamldoc
from ocs.charging.model.messages import Outcome, RequestKind, ServiceRequest, Units, UsedUnits
from ocs.errors import NotFoundError, RefusedError
from ocs.ledger.account import AccountFlag
from ocs.provisioning import maintenance
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, caps
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.usage import reviews
from tests.support.desks import CATALOGUE, MB

CALL = "32260@3gpp.org"


def call(office, account_id, number, seconds, kind=RequestKind.UPDATE, group=10):
    used = (UsedUnits(Units(seconds=seconds)),) if seconds else ()
    asked = ServiceRequest(group, (), requested=Units(), used=used)
    return office.ask(account_id, kind, number, asked, context=CALL)


def park_seconds(office):
    """A call of 10 seconds by the clock that reports 600: 71 can be true, 529 are parked."""
    account_id = office.open_account()
    call(office, account_id, 0, 0, RequestKind.INITIAL)
    office.clock.advance(10)
    call(office, account_id, 1, 600)
    [item] = reviews.listing(office.desk)
    return account_id, int(item["review_id"]), item


def orphan(office):
    """Usage of a session that nobody opened."""
    account_id = office.open_account()
    used = ServiceRequest(100, (), used=(UsedUnits(Units(octets=3 * MB)),))
    reply = office.ask(account_id, RequestKind.UPDATE, 1, used, session="pgw1;nobody")
    assert reply.outcome == Outcome.UNKNOWN_SESSION
    [item] = reviews.listing(office.desk)
    return account_id, int(item["review_id"]), item


@pytest.mark.rule("D05", "I-004")
def test_accepted_usage_continues_the_session(office):
    account_id, review_id, item = park_seconds(office)
    assert office.desk.reports.account(account_id).flags == AccountFlag.PARKED_USAGE
    done = reviews.accept(office.desk, office.catalogues, review_id)
    assert (done["state"], done["units"]) == ("accepted", item["units"])
    assert accounts.show(office.desk, account_id)["balance_micro"] == 10_000_000 - 600 * 2000
    assert office.desk.reports.account(account_id).flags == 0
    office.must_be_clean()
    office.clock.advance(10)
    call(office, account_id, 2, 10)
    assert accounts.show(office.desk, account_id)["balance_micro"] == 10_000_000 - 610 * 2000
    office.must_be_clean()


@pytest.mark.rule("D05", "K-209", "K-210")
def test_accepted_usage_counts_for_caps(office):
    account_id = office.open_account()
    caps.set_cap(
        office.desk, find_subscriber(office.desk, f"account:{account_id}"), "mine", "1.50",
        "month", (), office.catalogues.current(),
    )  # fmt: skip
    call(office, account_id, 0, 0, RequestKind.INITIAL)
    office.clock.advance(10)
    call(office, account_id, 1, 600)
    [item] = reviews.listing(office.desk)
    reviews.accept(office.desk, office.catalogues, int(item["review_id"]))
    (counter,) = office.desk.reports.account(account_id).counters
    assert counter.charged_micro == 600 * 2000
    office.must_be_clean()


def publish(office, price):
    """Put a catalogue in force in which calls by the second cost ``price`` a minute."""
    text = yamldoc.read_text(CATALOGUE)
    old = "call-by-second: {price: 0.12, "
    assert old in text
    text = text.replace(old, old.replace("0.12", price)) + "\n"
    catalogs.publish(office.desk, text, "next.yaml")


@pytest.mark.rule("D05", "I-004", "C-091")
@pytest.mark.parametrize(("price", "second_micro"), [("0.12", 2000), ("0.24", 4000)])
@pytest.mark.parametrize("ended", [False, True])
def test_usage_accepted_after_a_new_catalogue_costs_what_it_did(
    office, price, second_micro, ended
):
    account_id, review_id, _ = park_seconds(office)
    publish(office, price)
    office.clock.advance(10)
    call(office, account_id, 2, 10)
    paid = 81 * 2000
    office.clock.advance(10)
    if ended:
        end = ServiceRequest(10, (), used=(UsedUnits(Units(seconds=10)),))
        office.ask(account_id, RequestKind.TERMINATION, 3, end, context=CALL)
        office.clock.advance(3600)
        maintenance.prune(office.desk, 86_400 * 10**9, 0)
    else:
        call(office, account_id, 3, 10)
    paid += 10 * second_micro
    office.must_be_clean()
    reviews.accept(office.desk, office.catalogues, review_id)
    paid += 529 * 2000
    assert accounts.show(office.desk, account_id)["balance_micro"] == 10_000_000 - paid
    office.must_be_clean()
    if not ended:
        office.clock.advance(10)
        call(office, account_id, 4, 10)
        paid += 10 * second_micro
        assert accounts.show(office.desk, account_id)["balance_micro"] == 10_000_000 - paid
        office.must_be_clean()


@pytest.mark.rule("D05")
def test_dismissed_usage_costs_nothing(office):
    account_id, review_id, _ = park_seconds(office)
    before = accounts.show(office.desk, account_id)["balance_micro"]
    assert reviews.dismiss(office.desk, review_id)["state"] == "dismissed"
    assert accounts.show(office.desk, account_id)["balance_micro"] == before
    assert office.desk.reports.account(account_id).flags == 0
    assert list(reviews.listing(office.desk)) == []
    assert [one["state"] for one in reviews.listing(office.desk, "")] == ["dismissed"]
    office.must_be_clean()


@pytest.mark.rule("D11")
def test_accepted_orphan_usage_stands_alone(office):
    _, review_id, item = orphan(office)
    assert item["amount_micro"] == 150_000
    done = reviews.accept(office.desk, office.catalogues, review_id)
    assert done["amount_micro"] == 150_000
    line = accounts.find_entry(office.desk, done["entry"])
    assert (line.movement.amount, line.request.record.operator) == (-150_000, "desk")
    office.must_be_clean()


def test_a_session_that_was_pruned_meanwhile(office):
    account_id, review_id, _ = park_seconds(office)
    end = ServiceRequest(10, (), used=(UsedUnits(Units(seconds=1)),))
    office.ask(account_id, RequestKind.TERMINATION, 2, end, context=CALL)
    office.clock.advance(office.desk.policy.tombstone_seconds + 1)
    maintenance.prune(office.desk, 0, 0)
    reviews.accept(office.desk, office.catalogues, review_id)
    office.must_be_clean()


@pytest.mark.parametrize("make", [park_seconds, orphan])
def test_decided_once(office, make):
    _, review_id, _ = make(office)
    reviews.accept(office.desk, office.catalogues, review_id)
    with pytest.raises(RefusedError, match="was accepted before"):
        reviews.dismiss(office.desk, review_id)
    with pytest.raises(RefusedError, match="was accepted before"):
        reviews.accept(office.desk, office.catalogues, review_id)
    with pytest.raises(NotFoundError):
        reviews.accept(office.desk, office.catalogues, 17)
    office.must_be_clean()


def unrated(office, group=999, **units: Any):
    """Usage of a rating group that has no service, beside one that has."""
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, ServiceRequest(100, (), requested=Units()))
    strange = ServiceRequest(group, (), used=(UsedUnits(Units(**(units or {"octets": 3 * MB}))),))
    office.ask(account_id, RequestKind.UPDATE, 1, strange)
    [item] = reviews.listing(office.desk)
    assert item["kind"] == "unrated-usage"
    assert office.desk.reports.account(account_id).flags == AccountFlag.PARKED_USAGE
    return account_id, int(item["review_id"])


@pytest.mark.rule("D26")
def test_unrated_usage_is_accepted_when_the_catalogue_was_mended(office):
    account_id, review_id = unrated(office)
    with pytest.raises(RefusedError, match="no service that counts it"):
        reviews.accept(office.desk, office.catalogues, review_id)
    text = yamldoc.read_text(CATALOGUE).replace("rating_groups: [200]", "rating_groups: [200, 999]")
    catalogs.publish(office.desk, text, "mended.yaml")
    done = reviews.accept(office.desk, office.catalogues, review_id)
    assert (done["service"], done["amount_micro"]) == ("premium-data", 600_000)
    assert accounts.show(office.desk, account_id)["balance_micro"] == 9_400_000
    assert office.desk.reports.account(account_id).flags == 0
    office.must_be_clean()
    end = ServiceRequest(100, (), used=(UsedUnits(Units(octets=MB)),))
    office.ask(account_id, RequestKind.TERMINATION, 2, end)
    assert accounts.show(office.desk, account_id)["balance_micro"] == 9_350_000
    office.must_be_clean()


@pytest.mark.rule("D26", "D22")
def test_unrated_usage_of_what_is_not_sold(office):
    _, review_id = unrated(office, 400)
    with pytest.raises(RefusedError, match="does not include 'business-data'"):
        reviews.accept(office.desk, office.catalogues, review_id)
    assert reviews.dismiss(office.desk, review_id)["state"] == "dismissed"
    office.must_be_clean()


@pytest.mark.rule("D26")
@pytest.mark.parametrize(
    "units", [{"octets": (1 << 53) + 1}, {"money_micro": 5, "money_currency": "USD"}]
)
def test_unrated_usage_that_no_catalogue_can_price(office, units):
    _, review_id = unrated(office, **units)
    with pytest.raises(RefusedError, match="cannot be priced"):
        reviews.accept(office.desk, office.catalogues, review_id)
    office.must_be_clean()


@pytest.mark.rule("D26", "C-008")
def test_usage_of_a_sub_session_is_accepted_there(office):
    account_id = office.open_account()
    for sub_session in (None, 7):
        call_there = ServiceRequest(10, (), requested=Units())
        office.ask(
            account_id, RequestKind.INITIAL, 0, call_there, context=CALL, sub_session=sub_session
        )
    office.clock.advance(10)
    used = ServiceRequest(10, (), used=(UsedUnits(Units(seconds=600)),))
    office.ask(account_id, RequestKind.UPDATE, 1, used, context=CALL, sub_session=7)
    [item] = reviews.listing(office.desk)
    done = reviews.accept(office.desk, office.catalogues, int(item["review_id"]))
    line = accounts.find_entry(office.desk, done["entry"])
    assert line.request.record.sub_session_id == 7
    assert accounts.show(office.desk, account_id)["balance_micro"] == 10_000_000 - 600 * 2000
    office.must_be_clean()


@pytest.mark.rule("K-203", "D05", "I-004")
@pytest.mark.parametrize("park", [park_seconds, orphan])
def test_accepted_usage_is_counted_in_its_period(office, park):
    text = yamldoc.read_text(CATALOGUE)
    for price in ("call-by-second: {price: 0.12, ", "data: {price: 0.05, "):
        assert price in text
        text = text.replace(price, f"{price}counted: day, ")
    catalogs.publish(office.desk, text, "counted.yaml")
    account_id, review_id, item = park(office)
    office.clock.advance(2 * 86_400)
    done = reviews.accept(office.desk, office.catalogues, review_id)
    [counter] = office.desk.reports.account(account_id).counters
    assert counter.units == (600 if park is park_seconds else item["units"])
    balance = accounts.show(office.desk, account_id)["balance_micro"]
    assert counter.charged_micro == 10_000_000 - balance >= done["amount_micro"] > 0
    assert counter.ends_ns < office.clock.now_ns()
    office.must_be_clean()
