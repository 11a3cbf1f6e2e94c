"""docs/operations.md says what is counted and set, and what the states and limits are."""

import re

from ocs.charging.model import server_requests as pure
from ocs.charging.model.server_requests import RequestState
from ocs.service.asking import rows
from ocs.service.asking.dispatcher import COMMAND_LABELS, EVENTS, AskLimits
from tests.support.asking import ask, asked_once, open_session, reply, running
from tests.support.sources import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def first_cells(heading):
    """The words in the first column of the table under a header."""
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)


def test_every_event_and_state_is_explained_and_no_other():
    assert first_cells("Event") == list(EVENTS)
    assert first_cells("State") == [one.name.lower().replace("_", "-") for one in RequestState]


def test_what_is_counted_has_the_names_of_the_document():
    harness = running()
    wire = harness.open()
    open_session(wire)
    ask(harness)
    harness.pass_time(1)
    reply(wire, asked_once(wire), 2001)
    figures = harness.server.metrics.exposition().decode()
    assert 'ocs_server_requests_total{command="re-auth",event="agreed"} 1.0' in figures
    assert "ocs_server_requests_in_flight 0.0" in figures
    assert figures.count("ocs_server_requests_total{") == len(COMMAND_LABELS) * len(EVENTS)
    assert "ocs_server_requests_total" in TEXT
    assert "ocs_server_requests_in_flight" in TEXT


def test_the_times_are_those_of_the_program():
    assert AskLimits().claim_seconds == 25
    assert "takes a request for 25 seconds" in TEXT
    assert (pure.RETRY_SECONDS, pure.SENDINGS_MAX) == (15, 4)
    assert "every 15 seconds, four times in all" in TEXT
    assert pure.REPORT_SECONDS == 10
    assert "A report within ten seconds" in TEXT
    assert rows.AGENT_GRACE_NS == 2 * 10**9
    assert "after two seconds by any connected relay" in TEXT
    assert AskLimits().sessions_per_second == 100
    assert "100 a second" in TEXT
