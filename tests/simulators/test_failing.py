"""Gateways obey what answers say about failures (RFC 8506 5.7, 6.5, 8.4, 8.14), over sockets."""

from collections import Counter
from typing import Any

import pytest

from protocol.credit_control import CreditControlAnswer, RequestType
from simulators.traffic.failing import DebitFailureHandling, FailureHandling, OnFailure
from tests.support.responder import Responder, answer_to, grant_all
from tests.support.simulated import run_with_servers

TERMINATE, CONTINUE, RETRY = 0, 1, 2
INITIAL, UPDATE, TERMINATION = 1, 2, 3

SCENARIO = """\
name: failing
seed: 5
speed_up: 200
load: {concurrency: 2, sessions: 2, duration_seconds: 20}
gateways:
  - origin_host: pgw1.net.example
    origin_realm: net.example
    answer_timeout_seconds: 0.8
    retransmissions_max: 1
    HANDLING
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "155500#"}]}
services:
  - kind: data
    duration_seconds: 100
    rating_groups: [{rating_group: 100, octets_per_second: 20000}]
"""
SMS = "  - {kind: sms, destinations: [{number: '+4930#######'}]}\n"
EVENTS = SCENARIO[: SCENARIO.index("  - kind: data")] + SMS
OCTETS = 2 * 2_000_000
"""What the two sessions use in all; half of it they report with the update that gets lost."""


class Server:
    """Grants until the update, and says how to handle its silence."""

    def __init__(self, handling: int | None, moves: bool = False) -> None:
        self._says = handling, moves
        self.silent = {UPDATE}

    def __call__(self, responder: Responder, header: Any, request: Any) -> Any:
        if request.request_type in self.silent:
            return None
        answer = grant_all(responder, header, request)
        handling, moves = self._says
        answer.failure_handling, answer.session_failover = handling, int(moves)
        return answer


def run(tmp_path: Any, text: str, *answerers: Any) -> tuple[dict[str, Any], list[Responder]]:
    report, responders = run_with_servers(tmp_path, text, *answerers)
    assert report["problems"] == []
    assert report["requests"] == report["answers"] + report["unanswered"]
    return report, responders


def types_of(responder: Responder) -> Counter[tuple[int, bool]]:
    """How often each type of request came without and with the T flag."""
    return Counter((int(one.request_type), h.is_retransmitted) for h, one in responder.requests)


@pytest.mark.rule("X-042")
@pytest.mark.parametrize("said,configured", [(TERMINATE, "continue"), (None, "terminate")])
def test_terminate_ends_the_session_without_asking_another_server(tmp_path, said, configured):
    text = SCENARIO.replace("HANDLING", f"failure_handling: {configured}")
    primary, secondary = Server(said, moves=True), Server(said, moves=True)
    report, (first, second) = run(tmp_path, text, primary, secondary)
    assert second.requests == []
    assert types_of(first) == {
        (INITIAL, False): 2, (UPDATE, False): 2, (UPDATE, True): 2, (TERMINATION, False): 2,
    }  # fmt: skip
    last = first.of_type(RequestType.TERMINATION)
    assert [one.services[0].used[0].total_octets for one in last] == [1_000_000] * 2
    assert report["unanswered"] == report["events"]["unanswered"] == 2
    assert "uncharged octets" not in report["events"]


@pytest.mark.rule("X-043")
@pytest.mark.parametrize("said,configured", [(CONTINUE, "terminate"), (None, "continue")])
def test_continue_goes_on_without_credit_control_and_counts_what_nobody_charged(
    tmp_path, said, configured
):
    text = SCENARIO.replace("HANDLING", f"failure_handling: {configured}")
    report, (only,) = run(tmp_path, text, Server(said))
    assert types_of(only) == {(INITIAL, False): 2, (UPDATE, False): 2, (UPDATE, True): 2}
    events = report["events"]
    assert events["went on uncharged"] == events["unanswered"] == 2
    assert events["used octets"] + events["uncharged octets"] == OCTETS
    assert events["uncharged octets"] == OCTETS // 2


@pytest.mark.rule("X-043")
def test_a_refused_request_is_uncharged_too_unless_it_is_meant_for_the_subscriber(tmp_path):
    def refuses(code):
        def answer(responder, header, request):
            made = answer_to(request, result_code=code)
            if request.request_type == INITIAL:
                made = grant_all(responder, header, request)
                made.failure_handling = CONTINUE
            return made

        return answer

    text = SCENARIO.replace("HANDLING", "window: 9")
    events = run(tmp_path, text, refuses(4012))[0]["events"]
    assert (events["uncharged octets"], events["used octets"]) == (OCTETS, 0)
    events = run(tmp_path, text, refuses(4010))[0]["events"]
    assert events["refused 4010"] == 2
    assert "uncharged octets" not in events


@pytest.mark.rule("X-044")
@pytest.mark.parametrize("there", ["answers", "silent"])
def test_retry_and_terminate_asks_the_other_server_and_then_ends_the_session(tmp_path, there):
    text = SCENARIO.replace("retransmissions_max: 1", "retransmissions_max: 0")
    text = text.replace("HANDLING", "failure_handling: terminate")
    primary, secondary = Server(RETRY, moves=True), Server(RETRY, moves=True)
    if there == "answers":
        secondary.silent = set()
    report, (first, second) = run(tmp_path, text, primary, secondary)
    here, other = types_of(first), types_of(second)
    assert here[UPDATE, True] == 0
    assert here[UPDATE, False] >= 2
    assert other[UPDATE, True] >= 2
    if there == "answers":
        assert report["unanswered"] == 0
        assert report["events"]["used octets"] == OCTETS
    else:
        assert report["unanswered"] == report["events"]["unanswered"] == 2
        assert here[TERMINATION, False] + other[TERMINATION, False] == 2


@pytest.mark.rule("X-044")
def test_without_cc_session_failover_nobody_else_is_asked(tmp_path):
    text = SCENARIO.replace("HANDLING", "window: 9")
    report, (_, second) = run(tmp_path, text, Server(RETRY), Server(RETRY))
    assert second.requests == []
    assert report["unanswered"] == 2


@pytest.mark.rule("X-042", "X-043")
def test_the_tx_timer_runs_however_often_a_request_is_sent_and_without_a_connection(tmp_path):
    text = SCENARIO.replace("HANDLING", "tx_seconds: 0.7").replace("_max: 1", "_max: 10")
    text = text.replace("0.8", "0.3")
    report, (only,) = run(tmp_path, text, Server(CONTINUE))
    assert report["events"]["went on uncharged"] == 2
    assert 2 <= types_of(only)[UPDATE, True] <= 6  # and not twenty
    cut = "faults: {connections: [{kind: cut, at_seconds: [0.1], down_seconds: 2.5}]}\n"
    honest = Server(CONTINUE)
    honest.silent = set()
    text = text.replace("speed_up: 200", "speed_up: 100")
    text = text.replace("tx_seconds", "failure_handling: continue\n    tx_seconds")
    expect = "expect: [{answered: {at_most: 0.9}, requests: {at_least: 2}}]\n"
    report, (only,) = run(tmp_path, text + cut + expect, honest)
    assert report["events"]["went on uncharged"] == 2
    assert types_of(only)[TERMINATION, False] == 0
    # What failed before it could be sent has been asked for, and is without an answer.
    assert report["requests"] > len(only.requests)
    assert report["counted"][0]["requests"] == report["requests"]
    assert report["counted"][0]["answered"] == report["answers"]


@pytest.mark.rule("X-045")
def test_events_that_fail_are_kept_and_sent_later_with_the_t_flag(tmp_path):
    def slow(responder, header, request):
        copies = sum(h.end_to_end == header.end_to_end for h, _ in responder.requests)
        return None if copies <= 2 else grant_all(responder, header, request)

    report, (only,) = run(tmp_path, EVENTS.replace("HANDLING", "window: 9"), slow)
    events = report["events"]
    assert events["kept to be sent later"] == events["kept and answered later"] == 2
    assert events["events charged"] == report["answers"] == 2
    assert report["unanswered"] == 0
    assert types_of(only) == {(4, False): 2, (4, True): 4}


@pytest.mark.rule("X-045")
def test_events_that_fail_are_granted_without_charging_where_that_is_said(tmp_path):
    text = EVENTS.replace("HANDLING", "debit_failure_handling: continue")
    report, (only,) = run(tmp_path, text, lambda *_: None)
    assert report["events"]["uncharged events"] == report["unanswered"] == 2
    assert "kept to be sent later" not in report["events"]
    assert types_of(only) == {(4, False): 2, (4, True): 2}
    text = EVENTS.replace("HANDLING", "debit_failure_handling: terminate_or_buffer")
    report, (only,) = run(tmp_path, text, lambda *_: None)
    assert report["events"]["kept to be sent later"] == report["unanswered"] == 2
    assert "uncharged events" not in report["events"]
    assert types_of(only) == {(4, False): 2, (4, True): 6}


@pytest.mark.rule("X-042", "X-045")
def test_the_last_answer_counts_and_unknown_values_do_not():
    answer = CreditControlAnswer("s;1", 2001, "ocs.example", "example", 1, 0)
    done = OnFailure()
    done.obey(answer)
    assert done == OnFailure(FailureHandling.RETRY_AND_TERMINATE)
    answer.failure_handling, answer.direct_debiting_failure_handling = CONTINUE, 1
    answer.session_failover = 1
    done.obey(answer)
    assert done == OnFailure(FailureHandling.CONTINUE, DebitFailureHandling.CONTINUE, True)
    answer.failure_handling, answer.direct_debiting_failure_handling = 99, 99
    answer.session_failover = 0
    done.obey(answer)
    assert done == OnFailure(FailureHandling.CONTINUE, DebitFailureHandling.CONTINUE, False)
    assert done.goes_on(RequestType.INITIAL, 5003)
    assert done.goes_on(RequestType.UPDATE, 5030)
    assert not done.goes_on(RequestType.INITIAL, 5030)
    assert not done.goes_on(RequestType.EVENT, 5030)
    assert not done.goes_on(RequestType.UPDATE, 4010)
