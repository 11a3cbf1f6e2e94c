"""What operators ask of clients by hand, what waits, and what they are told of running sessions."""

from dataclasses import replace

import pytest

from ocs.charging.model.messages import Outcome, RequestKind
from ocs.charging.model.profile import PROFILES, ClientProfile
from ocs.charging.model.server_requests import Command, RequestState, Trigger
from ocs.charging.model.session import Session, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.errors import NotFoundError, RefusedError
from ocs.provisioning import session_requests, sessions
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import Desk
from tests.support.desks import MB, Office, wants

SESSION = "pgw1;1;1"


def start(office: Office, profile: str = "generic", session: str = SESSION) -> int:
    """Open a session of a client of this profile."""
    account_id = office.open_account()
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session=session)
    change(office, account_id, session, profile=profile)
    return account_id


def change(office: Office, account_id: int, session: str, **fields: object) -> None:
    key = make_session_key(session, None)

    def decide(working_set: WorkingSet) -> None:
        for name, value in fields.items():
            setattr(working_set.sessions[key], name, value)
        working_set.mark_session(key)

    office.desk.store.transact([RequestKey(account_id, key, RequestKind.OPERATOR, 0)], decide)


def stored(office: Office, session: str = SESSION) -> Session:
    return sessions.find(office.desk, session, None)


@pytest.mark.rule("T227", "T233", "C-095")
def test_a_session_is_asked_to_report(office: Office) -> None:
    account_id = start(office)
    row = session_requests.reauth(office.desk, SESSION, None)
    assert (row.account_id, row.session_id, row.origin_host) == (
        account_id, SESSION, "pgw1.example.com",
    )  # fmt: skip
    assert (row.command, row.trigger) == (Command.RE_AUTH, Trigger.OPERATOR)
    one = session_requests.reauth(
        office.desk, SESSION, None, rating_group=100, service_identifier=7
    )
    assert (one.rating_group, one.service_identifier) == (100, 7)
    assert session_requests.find_request(office.desk, account_id, one.server_request_id) == one
    shown = [*session_requests.listing(office.desk, session_key=row.session_key)]
    assert [view["request_id"] for view in shown] == [
        str(one.server_request_id), str(row.server_request_id),
    ]  # fmt: skip
    assert (shown[0]["command"], shown[0]["trigger"], shown[0]["state"]) == (
        "re-auth", "operator", "pending",
    )  # fmt: skip
    actions = [one.action for one in office.desk.reports.actions(0, 9, account_id=account_id)]
    assert actions[:2] == ["session reauth"] * 2


@pytest.mark.rule("C-095")
def test_what_waits_already_is_not_asked_twice(office: Office) -> None:
    start(office)
    first = session_requests.reauth(office.desk, SESSION, None)
    again = session_requests.reauth(office.desk, SESSION, None)
    assert again.server_request_id == first.server_request_id
    first.state = RequestState.SENT
    assert office.desk.store.update_server_request(first)
    other = session_requests.reauth(office.desk, SESSION, None)
    assert other.server_request_id != first.server_request_id
    _, ending = session_requests.abort(office.desk, SESSION)
    _, same = session_requests.abort(office.desk, SESSION)
    assert ending is not None
    assert same is not None
    assert ending.server_request_id == same.server_request_id


@pytest.mark.rule("T239", "C-094")
def test_an_aborted_session_gets_nothing_more_and_its_client_is_asked(office: Office) -> None:
    account_id = start(office)
    document, row = session_requests.abort(office.desk, SESSION)
    assert (document["sessions"], document["account_id"]) == (1, str(account_id))
    assert row is not None
    assert row.command == Command.ABORT_SESSION
    assert stored(office).aborted
    assert office.desk.reports.server_requests(0, 9) == [row]
    office.clock.advance(5)
    reply = office.ask(account_id, RequestKind.UPDATE, 1, wants(100, MB), session=SESSION)
    assert reply.outcome == Outcome.END_USER_SERVICE_DENIED
    assert accounts.show(office.desk, account_id)["held_micro"] == 0
    office.must_be_clean()


@pytest.mark.rule("C-094")
def test_sub_sessions_end_with_their_session_and_one_request_says_so(office: Office) -> None:
    account_id = start(office)
    sub = stored(office)
    sub.sub_session_id, sub.quotas = 7, []
    other = make_session_key(SESSION, 7)
    office.desk.store.transact([], lambda loaded: loaded.add_session(other, sub))
    document, row = session_requests.abort(office.desk, SESSION)
    assert document["sessions"] == 2
    assert row is not None
    assert (row.sub_session_id, row.session_key) == (None, make_session_key(SESSION, None))
    assert sessions.find(office.desk, SESSION, 7).aborted
    assert len(office.desk.reports.server_requests(0, 9)) == 1
    assert account_id == sub.account_id


@pytest.mark.rule("C-096")
def test_clients_that_would_not_act_are_not_asked(office: Office) -> None:
    start(office, "open5gs")
    with pytest.raises(RefusedError, match=r"profile 'open5gs'.* reports by 2026-01-05T12:00:30"):
        session_requests.reauth(office.desk, SESSION, None)
    document, row = session_requests.abort(office.desk, SESSION)
    assert row is None
    assert "cannot be asked" in document["note"]
    assert stored(office).aborted
    assert office.desk.reports.server_requests(0, 9) == []


@pytest.mark.rule("C-096")
def test_a_client_that_knows_no_abort_is_asked_to_report_instead(office: Office) -> None:
    start(office, "deaf")
    profiles = {**PROFILES, "deaf": ClientProfile("deaf", reacts_to_abort=False)}
    desk = replace(office.desk, profiles=profiles)
    document, row = session_requests.abort(desk, SESSION)
    assert row is not None
    assert row.command == Command.RE_AUTH
    assert document["note"] == "the client is asked to report, and the report is refused"


def test_sessions_that_are_over_or_unknown_are_refused(office: Office) -> None:
    start(office)
    sessions.release(office.desk, SESSION, None)
    for act in (
        lambda desk: session_requests.reauth(desk, SESSION, None),
        lambda desk: session_requests.abort(desk, SESSION),
    ):
        with pytest.raises(RefusedError, match="closed already"):
            act(office.desk)
    with pytest.raises(NotFoundError):
        session_requests.reauth(office.desk, "nobody", None)
    with pytest.raises(NotFoundError):
        session_requests.abort(office.desk, "nobody")
    with pytest.raises(NotFoundError):
        session_requests.find_request(office.desk, 1, 2)
    assert office.desk.reports.server_requests(0, 9) == []


def told(desk: Desk, account_id: int, trigger: Trigger) -> list[tuple[str, bool, str]]:
    return [
        (one["session_id"], one["asked"], one["reports_by"])
        for one in session_requests.asked(desk, account_id, trigger)
    ]


@pytest.mark.rule("C-090", "C-096")
def test_it_is_known_which_running_sessions_a_change_concerns(office: Office) -> None:
    account_id = start(office)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="pgw1;1;2")
    change(office, account_id, "pgw1;1;2", profile="open5gs")
    assert told(office.desk, account_id, Trigger.TOP_UP) == []
    assert told(office.desk, account_id, Trigger.BLOCK) == []
    assert told(office.desk, account_id, Trigger.PLAN_CHANGE) == []
    for name in (SESSION, "pgw1;1;2"):
        session = stored(office, name)
        session.quotas[0].final = True
        change(office, account_id, name, quotas=session.quotas)
    by = "2026-01-05T12:00:30.000000Z"
    assert sorted(told(office.desk, account_id, Trigger.TOP_UP)) == [
        ("pgw1;1;1", True, by),
        ("pgw1;1;2", False, by),
    ]
