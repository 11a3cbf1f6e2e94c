"""`ocs session`: what is printed and which exit code is left with, also while it waits."""

import threading

import pytest

from ocs.charging.model.server_requests import RequestState
from ocs.clock import IdSource, SystemClock
from ocs.store.sql import SqlStore

SESSION = "pgw1;1;2"
"""The open session of the stock."""


@pytest.mark.rule("T227")
def test_asking_without_waiting_is_done_when_it_is_written(cli, stocked):
    asked = cli("session", "reauth", SESSION, "--rating-group", "100", "--reason", "test")
    assert asked.code == 0
    assert "pending" in asked.out
    listed = cli("session", "requests", "--json").json["requests"]
    assert [(one["rating_group"], one["session_id"]) for one in listed] == [(100, SESSION)]
    assert SESSION in cli("session", "requests").out
    assert "re-auth" in cli("session", "show", SESSION).out


def test_waiting_ends_with_exit_code_1_when_nobody_sends_it(cli, stocked, monkeypatch):
    monkeypatch.setattr("ocs.cli.session.NS_PER_SECOND", 1)
    waited = cli("session", "reauth", SESSION, "--wait", "1", "--json")
    assert waited.code == 1
    assert waited.json["state"] == "pending"
    assert cli("session", "abort", SESSION, "--wait", "1").code == 1


@pytest.mark.parametrize(
    ("state", "code"),
    [(RequestState.ANSWERED, 0), (RequestState.DONE, 0), (RequestState.GIVEN_UP, 1)],
)
def test_waiting_ends_with_what_the_server_writes(cli, stocked, url, monkeypatch, state, code):
    """A server in another process, here a thread, finds the row, and the command its result."""
    monkeypatch.setattr("ocs.cli.session.POLL_SECONDS", 0.01)
    store = SqlStore(url, IdSource(SystemClock(), 1), allow_unsafe=True)
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.01):
            for row in store.due_server_requests(1 << 62, 10):
                row.state, row.note = state, "as the test says"
                row.due_ns = 0
                store.update_server_request(row)

    server = threading.Thread(target=serve)
    server.start()
    try:
        waited = cli("session", "abort", SESSION, "--wait", "50", "--json")
    finally:
        stop.set()
        server.join()
        store.close()
    assert waited.code == code
    assert waited.json["request"]["note"] == "as the test says"


def test_what_cannot_be_asked_is_refused_and_what_is_no_question_is_wrong_usage(cli, stocked):
    nobody = cli("session", "reauth", "nobody", "--json")
    assert (nobody.code, nobody.error["code"]) == (1, "ocs.not-found")
    assert cli("session", "abort", "nobody").code == 1
    assert cli("session", "reauth", SESSION, "--rating-group", "-1").code == 2
    assert cli("session", "reauth", SESSION, "--wait", "x").code == 2
    assert cli("session", "abort").code == 2


@pytest.mark.rule("C-090")
def test_changes_say_which_running_sessions_they_concern(cli, stocked):
    blocked = cli("subscriber", "block", stocked["account"])
    assert f"session {SESSION}: its client is asked now" in blocked.out
    assert cli("subscriber", "unblock", stocked["account"]).code == 0
    planned = cli("subscriber", "plan", stocked["account"], "redirect")
    assert f"session {SESSION}: its client is asked now" in planned.out
    topped = cli("account", "topup", stocked["account"], "1")
    assert SESSION not in topped.out, "it has money left"
    requests = cli("session", "requests", "--json").json["requests"]
    assert [one["trigger"] for one in requests] == ["top-up", "plan-change", "block"]
    aborted = cli("session", "abort", SESSION)
    assert "the client is asked to end the session" in aborted.out
    assert "Ended by operator" in cli("session", "show", SESSION).out
