"""Caps that customers set, and what accounts have counted, on a database."""

from typing import Any

import pytest

from ocs.catalog.model import Period
from ocs.charging.model.messages import ChargingReply, Identity, Outcome, RequestKind
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import NotFoundError, RefusedError, UsageError
from ocs.ledger.details import Cap
from ocs.provisioning.customers import caps, members
from ocs.provisioning.desk import Found, find_subscriber
from tests.support.desks import MB, NUMBER, Office, wants


def subscriber(office: Office) -> Found:
    office.open_account()
    return find_subscriber(office.desk, f"+{NUMBER}")


def set_cap(
    office: Office, found: Found, amount: str, code: str = "mine", every: str = "day",
    services: tuple[str, ...] = (), *, member: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    current = office.catalogues.current()
    return caps.set_cap(
        office.desk, found, code, amount, every, services, current, member=member
    )


def granted_octets(reply: ChargingReply) -> int | None:
    granted = reply.services[0].granted
    assert granted is not None
    return granted.octets


@pytest.mark.rule("K-210")
def test_a_cap_holds_for_the_next_grant_and_can_be_changed(office: Office) -> None:
    found = subscriber(office)
    shown = set_cap(office, found, "0.10")
    assert [(one["cap"], one["amount_micro"], one["every"]) for one in shown] == [
        ("mine", 100_000, "day")
    ]
    asked = office.ask(found.account_id, RequestKind.INITIAL, 0, wants(100), session="a")
    assert granted_octets(asked) == 2 * MB
    other = office.ask(found.account_id, RequestKind.INITIAL, 0, wants(100), session="b")
    assert other.services[0].outcome == Outcome.CREDIT_LIMIT_REACHED
    assert other.services[0].reason == "limit 'mine' is reached"
    (count,) = caps.counts(office.desk, found.account_id, office.catalogues.current())
    assert (count["kind"], count["name"], count["limit_text"]) == ("cap", "mine", "0.10")
    assert (count["charged_micro"], count["promised_money_micro"]) == (0, 100_000)
    set_cap(office, found, "0.50")
    third = office.ask(found.account_id, RequestKind.INITIAL, 0, wants(100), session="c")
    assert granted_octets(third) == 8 * MB
    assert caps.remove_cap(office.desk, found, "mine") == []
    office.must_be_clean()
    actions = office.desk.reports.actions(0, 9, account_id=found.account_id)
    assert [one.action for one in actions].count("account cap") == 3


@pytest.mark.rule("K-211")
def test_a_member_has_a_cap_of_its_own(office: Office) -> None:
    found = subscriber(office)
    members.join(office.desk, found, (Identity("msisdn", "4915112345679"),))
    child = find_subscriber(office.desk, "4915112345679")
    shown = set_cap(office, child, "1", member=True)
    assert [one["subscriber_id"] for one in shown] == [str(child.subscriber_id)]
    assert len(set_cap(office, found, "5")) == 2
    with pytest.raises(NotFoundError):
        caps.remove_cap(office.desk, found, "mine", member=True)
    assert len(caps.remove_cap(office.desk, child, "mine", member=True)) == 1


@pytest.mark.rule("K-210")
def test_caps_that_cannot_be(office: Office) -> None:
    found = subscriber(office)
    whole = Found(found.account_id, 0, "account")
    for who, amount, more, error in (
        (found, "-1", {}, UsageError), (found, "much", {}, UsageError),
        (found, "1", {"code": "Not a code"}, UsageError),
        (found, "1", {"services": ("nothing",)}, NotFoundError),
        (whole, "1", {"member": True}, UsageError),
    ):  # fmt: skip
        with pytest.raises(error):
            set_cap(office, who, amount, **more)
    with pytest.raises(NotFoundError):
        caps.remove_cap(office.desk, found, "mine")
    for number in range(caps.CAPS_MAX):
        set_cap(office, found, "1", code=f"cap-{number}")
    set_cap(office, found, "2", code="cap-0")
    with pytest.raises(RefusedError):
        set_cap(office, found, "1", code="another")
    set_cap(office, found, "1", code="another", member=True)


@pytest.mark.rule("K-211")
def test_more_caps_than_an_account_may_have(office: Office) -> None:
    found = subscriber(office)

    def fill(working_set: WorkingSet) -> None:
        account = working_set.accounts[found.account_id].account
        account.details.caps = [
            Cap("mine", MB, Period.DAY, (), member) for member in range(1, caps.ALL_CAPS_MAX + 1)
        ]
        working_set.mark_account(account)

    key = RequestKey(found.account_id, bytes(16), RequestKind.OPERATOR, 0)
    office.desk.store.transact([key], fill)
    with pytest.raises(RefusedError, match="2000 caps"):
        set_cap(office, found, "1")
