"""Load mode against a small responder: windows, results, rates, and what goes wrong."""

import socket
import threading
from collections import Counter
from contextlib import suppress

import pytest

from protocol.base import CapabilitiesExchangeAnswer
from protocol.codec import read_header
from protocol.credit_control import RequestType
from simulators.load.prepared import PeerRefusedError, run_prepared
from simulators.load.prepared_connection import PreparedConnection
from simulators.reports.errors import code_in_words
from simulators.scenarios.model import parse_scenario
from tests.support.launcher import run_ocs
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


ALONE = parse_scenario(
    SCENARIO.replace("LOAD", "").replace(", connections: 2", "").replace("0.4", "60"), "s"
)
"""One connection, which would go on for a minute."""


class _Garbler:
    """A server that answers the CER as it should, or not, and then sends garbage."""

    def __init__(self, garbage: bytes, *, agreed: bool) -> None:
        self._garbage, self._agreed = garbage, agreed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        accepted, _ = self._listener.accept()
        with accepted:
            request = accepted.recv(1 << 16)
            if self._agreed:
                answer = CapabilitiesExchangeAnswer(
                    "garbler.example", "example", host_ip_addresses=("127.0.0.1",), vendor_id=0,
                    product_name="garbler", auth_application_ids=(4,), result_code=2001,
                )  # fmt: skip
                accepted.sendall(answer.write(read_header(request)))
                accepted.recv(1 << 16)
            accepted.sendall(self._garbage)
            with suppress(OSError):
                while accepted.recv(1 << 16):
                    pass


@pytest.mark.rule("X-101")
@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, bytes(400), b"\x01\xff\xff\xff" * 9]
)
def test_a_server_that_sends_garbage_is_given_up_with_a_clear_word(garbage):
    garbler = _Garbler(garbage, agreed=True)
    report = run_prepared(ALONE, "127.0.0.1", garbler.port)
    garbler.close()
    first, *others = report.problems
    assert first.startswith("pgw1.net.example: what the server sends is not Diameter (version ")
    assert others == ["the server closed every connection"]
    assert report.seconds < 30
    assert not report.ok


@pytest.mark.rule("X-101")
def test_garbage_instead_of_a_cea_is_a_refusal():
    garbler = _Garbler(b"HTTP/1.1 400 Bad Request\r\n\r\n", agreed=False)
    with pytest.raises(PeerRefusedError, match="no CEA came, but: version 72 is not supported"):
        run_prepared(ALONE, "127.0.0.1", garbler.port)
    garbler.close()


@pytest.mark.rule("X-102")
def test_what_is_measured_is_what_was_sent_meanwhile_with_its_answers():
    """A server that answers what was sent before each end of the measured time behind it."""
    text = SCENARIO.replace("LOAD", ", warm_up_seconds: 0.3").replace("0.4", "2")
    begins, ends = threading.Event(), threading.Event()
    warming = 16  # two windows of eight
    codes: Counter[int] = Counter()

    def answers_later(responder, _, request):
        count = len(responder.requests)
        assert (begins if count <= warming + 4 else ends).wait(60)
        code = 4012 if count <= warming else 2001 if count <= warming + 4 else 5012
        codes[code] += 1
        return answer_to(request, result_code=code)

    def phase(name):
        {"measuring": begins, "ending": ends}[name].set()

    scenario = parse_scenario(text, "s")
    with Responder(answers_later) as responder:
        report = run_prepared(scenario, "127.0.0.1", responder.port, None, phase)
    assert codes[4012] == warming
    assert set(report.result_codes) == {"2001", "5012"}
    assert report.result_codes["2001"] == 4
    assert 0 < report.result_codes["5012"] <= codes[5012]
    assert report.requests == report.answers == sum(report.result_codes.values())
    assert report.unanswered == 0
    assert {one.what: one.count for one in report.errors} == {
        code_in_words(5012): report.result_codes["5012"]
    }
    assert report.series is not None
    assert (sum(report.series.sent), sum(report.series.answered)) == (report.requests,) * 2


@pytest.mark.rule("X-102")
def test_requests_of_a_connection_that_is_lost_are_unanswered():
    def drop(responder, _, request):
        if len(responder.requests) > 30:
            for one in responder._sockets:
                one.shutdown(socket.SHUT_RDWR)
        return answer_to(request)

    report, _ = run(drop)
    assert report.unanswered > 0
    assert report.requests == report.answers + report.unanswered


@pytest.mark.rule("X-103")
@pytest.mark.parametrize("times", [1, 2])
def test_a_gateway_that_is_not_known_yet_calls_again(times):
    codes = [3010] * times + [2001]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for code in codes:
            accepted, _ = listener.accept()
            with accepted:
                request = accepted.recv(1 << 16)
                answer = CapabilitiesExchangeAnswer(
                    "forgetful.example", "example", host_ip_addresses=("127.0.0.1",), vendor_id=0,
                    product_name="forgetful", auth_application_ids=(4,), result_code=code,
                )  # fmt: skip
                accepted.sendall(answer.write(read_header(request)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    report = run_prepared(ALONE, "127.0.0.1", listener.getsockname()[1])
    thread.join(10)
    listener.close()
    assert report.problems[-1] == "the server closed every connection"


@pytest.mark.rule("X-103")
@pytest.mark.parametrize("code", [3010, 5010])
def test_a_gateway_that_stays_unknown_is_refused(code, monkeypatch):
    monkeypatch.setattr("simulators.load.prepared.UNKNOWN_PEER_SECONDS", 0.1)
    calls = []

    def refuses(connection: PreparedConnection, host: str, port: int) -> None:
        calls.append((connection.origin_host, host, port))
        raise PeerRefusedError("no", code)

    monkeypatch.setattr(PreparedConnection, "open", refuses)
    with pytest.raises(PeerRefusedError):
        run_prepared(ALONE, "127.0.0.1", 1)
    assert len(calls) == (2 if code == 3010 else 1)


@pytest.mark.rule("X-103")
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--sessions", "3"), "--sessions"),
        (("--speed-up", "2", "--sessions", "3"), "--sessions and --speed-up"),
        (("--start", "2026-03-02T11:29:30Z"), "--start"),
        (("--start", "2026-03-02T11:29:30Z", "--processes", "2"), "--start"),
    ],
)
def test_options_that_mean_nothing_to_prepared_load_are_refused(options, named):
    with Responder() as responder:
        done = run_ocs("simulate", "load", "--port", str(responder.port), *options)
        assert responder.requests == []
    assert done.returncode == 2
    assert "load is prepared load, which goes on for its --duration" in done.stderr
    assert f": {named} cannot be given" in " ".join(done.stderr.split())
