"""Subscribers: added whole, found by any name, removed without losing a micro unit."""

from typing import Any

import pytest

from ocs.charging.model.messages import Identity, Outcome, RequestKind
from ocs.charging.model.session import SessionState
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.ledger.account import AccountStatus
from ocs.provisioning import sessions
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.desk import find_subscriber
from tests.support.desks import NUMBER, wants


def add(office, *identities: tuple[str, str], plan="basic", **more: Any):
    new = NewSubscriber(tuple(Identity(*one) for one in identities), plan, **more)
    return subscribers.add(office.desk, new, office.catalogues.current())


def test_added_whole_and_found_by_every_name(office):
    shown = add(
        office, ("msisdn", NUMBER), ("imsi", "262011234567890"), ("nai", "a@b.example"),
        balance_micro=1_500_000, credit_limit_micro=2_000_000,
    )  # fmt: skip
    assert (shown["balance_micro"], shown["credit_limit_micro"]) == (1_500_000, 2_000_000)
    for text in (f"+{NUMBER}", "imsi:262011234567890", "a@B.example", "262011234567890",
                 f"account:{shown['account_id']}"):  # fmt: skip
        assert str(find_subscriber(office.desk, text).account_id) == shown["account_id"]
    opening = accounts.ledger(office.desk, int(shown["account_id"]), 10, 0)
    assert [(line["side"], line["amount"]) for line in opening] == [("top-up", 1_500_000)]
    office.must_be_clean()


def test_names_are_unique(office):
    add(office, ("msisdn", NUMBER))
    with pytest.raises(ConflictError, match="belongs to account"):
        add(office, ("imsi", "262011234567890"), ("msisdn", NUMBER))
    with pytest.raises(NotFoundError):
        find_subscriber(office.desk, "imsi:262011234567890")
    assert office.must_be_clean().accounts == 1


@pytest.mark.parametrize(
    "identities,more,error",
    [
        ((), {}, UsageError),
        ((("msisdn", "49151"), ("msisdn", "49151")), {}, UsageError),
        ((("msisdn", "49151"),), {"plan": "gold"}, NotFoundError),
        ((("msisdn", "49151"),), {"balance_micro": -1}, UsageError),
        ((("msisdn", "49151"),), {"credit_limit_micro": -2}, UsageError),
        (tuple(("msisdn", f"49{n}") for n in range(30)), {}, UsageError),
    ],
)
def test_refused_without_a_trace(office, identities, more, error):
    with pytest.raises(error):
        add(office, *identities, **more)
    result = office.must_be_clean()
    assert (result.accounts, result.requests) == (0, 0)


def test_digits_that_are_two_subscribers_must_be_told_apart(office):
    add(office, ("msisdn", "262011234567890"))
    add(office, ("imsi", "262011234567890"))
    with pytest.raises(UsageError, match="one subscriber's MSISDN and another one's IMSI"):
        find_subscriber(office.desk, "262011234567890")
    assert find_subscriber(office.desk, "imsi:262011234567890").name == "imsi:262011234567890"


def test_block_holds_for_the_next_request(office):
    account_id = office.open_account()
    found = find_subscriber(office.desk, f"+{NUMBER}")
    subscribers.set_blocked(office.desk, found, blocked=True)
    subscribers.set_blocked(office.desk, found, blocked=True)
    reply = office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    assert reply.outcome == Outcome.END_USER_SERVICE_DENIED
    subscribers.set_blocked(office.desk, found, blocked=False)
    reply = office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="pgw1;2")
    assert reply.outcome == Outcome.SUCCESS
    done = [one.action for one in office.desk.reports.actions(0, 10, account_id=account_id)]
    assert done == ["subscriber unblock", "subscriber block", "subscriber add"]


def test_removal_frees_the_names_and_keeps_the_ledger(office):
    account_id = office.open_account()
    found = find_subscriber(office.desk, f"+{NUMBER}")
    with pytest.raises(RefusedError, match=r"still has 10\.00 EUR"):
        subscribers.remove(office.desk, found, forfeit=False)
    subscribers.remove(office.desk, found, forfeit=True)
    with pytest.raises(NotFoundError):
        find_subscriber(office.desk, f"+{NUMBER}")
    with pytest.raises(RefusedError, match="was removed"):
        accounts.top_up(office.desk, found, "1")
    again = office.open_account()
    assert again != account_id
    assert office.must_be_clean().totals["EUR"].sides["adjustment"] == -10_000_000


def test_no_removal_under_an_open_session(office):
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    found = find_subscriber(office.desk, f"+{NUMBER}")
    with pytest.raises(RefusedError, match="open sessions, such as pgw1;1;1"):
        subscribers.remove(office.desk, found, forfeit=True)
    sessions.release(office.desk, "pgw1;1;1", None)
    subscribers.remove(office.desk, found, forfeit=True)
    office.must_be_clean()


def test_list_is_paged_and_filtered(office, monkeypatch):
    monkeypatch.setattr("ocs.provisioning.customers.subscribers.PAGE_ROWS", 3)
    for number in range(7):
        office.open_account(f"49151000{number}")
    subscribers.set_blocked(
        office.desk, find_subscriber(office.desk, "491510003"), blocked=True
    )
    subscribers.remove(office.desk, find_subscriber(office.desk, "491510004"), forfeit=True)
    everyone = list(subscribers.listing(office.desk))
    assert [row["identities"] for row in everyone] == [
        [f"msisdn:49151000{number}"] for number in (0, 1, 2, 3, 5, 6)
    ]
    assert len(list(subscribers.listing(office.desk, limit=4))) == 4
    blocked = list(subscribers.listing(office.desk, status=AccountStatus.BLOCKED))
    assert [row["identities"] for row in blocked] == [["msisdn:491510003"]]
    assert list(subscribers.listing(office.desk, plan="redirect")) == []


@pytest.mark.rule("I-002", "M-007")
def test_release_gives_back_what_a_session_holds(office):
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), wants(101))
    assert accounts.show(office.desk, account_id)["held_micro"] > 0
    shown = sessions.release(office.desk, "pgw1;1;1", None)
    assert (shown["state"], shown["close_reason"]) == ("closed", "test")
    assert accounts.show(office.desk, account_id)["held_micro"] == 0
    assert accounts.show(office.desk, account_id)["balance_micro"] == 10_000_000
    with pytest.raises(RefusedError, match="closed already"):
        sessions.release(office.desk, "pgw1;1;1", None)
    with pytest.raises(NotFoundError):
        sessions.release(office.desk, "pgw1;1;2", None)
    assert list(sessions.listing(office.desk, state=SessionState.OPEN)) == []
    office.must_be_clean()
