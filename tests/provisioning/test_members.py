"""Several subscribers of one account: they share its money, and each may leave it."""

import pytest

from ocs.charging.model.messages import Identity, RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.provisioning import sessions
from ocs.provisioning.customers import accounts, members, subscribers
from ocs.provisioning.desk import find_subscriber
from tests.support.desks import NUMBER, Office, wants

CHILD = Identity("msisdn", "4915112345679")
CHILD_CARD = Identity("imsi", "262011234567899")


def family(office: Office) -> int:
    account_id = office.open_account()
    found = find_subscriber(office.desk, f"+{NUMBER}")
    members.join(office.desk, found, (CHILD, CHILD_CARD))
    return account_id


def test_a_member_is_found_by_its_own_names_and_shares_the_account(office: Office) -> None:
    account_id = family(office)
    child = find_subscriber(office.desk, CHILD.value)
    assert child.account_id == account_id
    assert child.subscriber_id not in (0, account_id)
    assert find_subscriber(office.desk, "imsi:262011234567899").subscriber_id == child.subscriber_id
    accounts.top_up(office.desk, child, "5")
    shown = accounts.show(office.desk, account_id)
    assert shown["balance_micro"] == 15_000_000
    assert [one["identities"] for one in shown["members"]] == [
        [f"msisdn:{NUMBER}"],
        ["imsi:262011234567899", "msisdn:4915112345679"],
    ]
    office.must_be_clean()
    action = office.desk.reports.actions(0, 9, account_id=account_id)[1]
    assert (action.action, action.target) == ("subscriber join", f"msisdn:{NUMBER}")


def test_names_that_cannot_join_are_refused(office: Office) -> None:
    family(office)
    found = find_subscriber(office.desk, f"+{NUMBER}")
    for names, error in (
        ((), UsageError),
        ((CHILD, CHILD), UsageError),
        ((CHILD,), ConflictError),
        (tuple(Identity("imsi", f"26201123456{n:04}") for n in range(21)), UsageError),
    ):
        with pytest.raises(error):
            members.join(office.desk, found, names)
    assert len(accounts.show(office.desk, found.account_id)["members"]) == 2


def test_a_member_leaves_and_the_account_stays(office: Office) -> None:
    account_id = family(office)
    child = find_subscriber(office.desk, CHILD.value)
    shown = subscribers.remove(office.desk, child, forfeit=False)
    assert (shown["status"], len(shown["members"])) == ("active", 1)
    assert shown["balance_micro"] == 10_000_000
    with pytest.raises(NotFoundError):
        find_subscriber(office.desk, CHILD.value)
    last = find_subscriber(office.desk, f"+{NUMBER}")
    shown = subscribers.remove(office.desk, last, forfeit=True)
    assert (shown["status"], shown["members"]) == ("removed", [])
    with pytest.raises(RefusedError):
        members.join(office.desk, last, (CHILD,))
    assert account_id == last.account_id
    office.must_be_clean()


def test_the_whole_account_is_removed_by_its_number(office: Office) -> None:
    account_id = family(office)
    whole = find_subscriber(office.desk, f"account:{account_id}")
    shown = subscribers.remove(office.desk, whole, forfeit=True)
    assert (shown["status"], shown["members"]) == ("removed", [])


def test_only_the_members_own_sessions_keep_it(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(members, "PAGE_ROWS", 1)
    account_id = family(office)
    child = find_subscriber(office.desk, CHILD.value)
    for name in ("pgw1;1", "pgw1;2"):
        office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session=name)
        belong(office, account_id, name, account_id)
    belong(office, account_id, "pgw1;2", child.subscriber_id)
    with pytest.raises(RefusedError, match="pgw1;2"):
        subscribers.remove(office.desk, child, forfeit=False)
    sessions.release(office.desk, "pgw1;2", None)
    assert subscribers.remove(office.desk, child, forfeit=False)["status"] == "active"


def belong(office: Office, account_id: int, session: str, subscriber_id: int) -> None:
    key = make_session_key(session, None)

    def decide(working_set: WorkingSet) -> None:
        working_set.sessions[key].subscriber_id = subscriber_id
        working_set.mark_session(key)

    office.desk.store.transact([RequestKey(account_id, key, RequestKind.OPERATOR, 0)], decide)


def test_the_number_of_members_is_bounded(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(members, "MEMBERS_MAX", 2)
    family(office)
    found = find_subscriber(office.desk, f"+{NUMBER}")
    with pytest.raises(RefusedError, match="at most 2"):
        members.join(office.desk, found, (Identity("msisdn", "4915112345680"),))
