"""Load mode against a small responder: windows, results, rates, and what goes wrong."""

import socket
from collections import Counter

import pytest

from protocol.credit_control import RequestType
from simulators.load.prepared import PeerRefusedError, run_prepared
from simulators.scenarios.model import parse_scenario
from tests.support.responder import Responder, answer_to, grant_all

SCENARIO = """\
name: load
mode: prepared
load: {concurrency: 20, duration_seconds: 0.4LOAD}
gateways:
  - {origin_host: "pgw{n}.net.example", origin_realm: net.example, window: 8, connections: 2}
subscribers:
  - count: 1000
    first: 0
    identities: [{type: msisdn, pattern: "+1555####"}, {type: imsi, pattern: "00101####"}]
services:
  - kind: data
    weight: 4
    duration_seconds: 1
    rating_groups: [{rating_group: 100, octets_per_second: 1}]
  - {kind: sms, destinations: [{number: "+4930#######"}]}
prepared: {updates_per_session: 2}
"""


def run(answerer=grant_all, load=""):
    scenario = parse_scenario(SCENARIO.replace("LOAD", load), "s")
    with Responder(answerer) as responder:
        report = run_prepared(scenario, "127.0.0.1", responder.port)
    return report, responder


def test_sessions_go_their_whole_way_within_the_window():
    report, responder = run()
    assert report.ok
    assert report.answers > 50
    assert set(report.result_codes) == {"2001"}
    assert responder.most_outstanding <= 8
    by_session: dict[str, list[tuple[int, int]]] = {}
    for _, request in responder.requests:
        by_session.setdefault(request.session_id, []).append(
            (request.request_type, request.request_number)
        )
    whole = [(1, 0), (2, 1), (2, 2), (3, 3)]
    # The first sessions are shorter, those that were open at the end end early: but all end.
    for steps in by_session.values():
        if steps != [(RequestType.EVENT, 0)]:
            assert steps[:-1] == whole[: len(steps) - 1]
            assert steps[-1] == (3, len(steps) - 1)
    assert whole in by_session.values()


def test_no_end_to_end_id_is_used_twice_on_a_connection():
    _, responder = run()
    used = Counter((one.origin_host, header.end_to_end) for header, one in responder.requests)
    assert max(used.values()) == 1


def test_an_open_loop_keeps_its_rate():
    report, _ = run(load=", requests_per_second: 200")
    assert 40 <= report.answers <= 130  # 80 on the average
    assert report.latency_ms["all"].p50 < 100


@pytest.mark.parametrize("code", [4012, 5030])
def test_refusals_are_counted_and_their_sessions_begin_anew(code):
    report, responder = run(lambda _, __, request: answer_to(request, result_code=code))
    assert set(report.result_codes) == {str(code)}
    assert all(one.request_type in (1, 4) for _, one in responder.requests[:20])
    assert report.ok


def test_a_lost_server_is_a_problem_of_the_report():
    def drop(responder, _, request):
        if len(responder.requests) > 30:
            for one in responder._sockets:
                one.shutdown(socket.SHUT_RDWR)
        return answer_to(request)

    report, _ = run(drop)
    assert not report.ok
    assert any("closed every connection" in one or "Broken" in one for one in report.problems)


def test_a_server_that_hangs_up_before_the_cea_is_an_error():
    scenario = parse_scenario(SCENARIO.replace("LOAD", ""), "s")
    with Responder() as responder:
        responder._stopped = True
        with pytest.raises((PeerRefusedError, ConnectionError)):
            run_prepared(scenario, "127.0.0.1", responder.port)
