"""Whole scenarios against a small responder, run as `ocs simulate` in a process of its own."""

import json
import socketserver
import threading
from collections import Counter, defaultdict

import pytest

from protocol.credit_control import FinalUnitIndication, MultipleServices, ServiceUnits
from tests.support.certificates import Authority
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, answer_to, grant_all
from tests.support.simulated import run, scenario

SCENARIO = scenario()


def test_sessions_run_to_their_end_within_the_window(tmp_path):
    report, responder = run(tmp_path, SCENARIO)
    assert report["ok"]
    assert report["result_codes"] == {"2001": report["answers"]}
    assert report["requests"] == report["answers"] == len(responder.requests)
    assert responder.most_outstanding <= 2
    assert report["late_ms"]["count"] == report["requests"]
    steps = defaultdict(list)
    used: Counter[str] = Counter()
    for _, one in responder.requests:
        steps[one.session_id].append((one.request_type, one.request_number))
        used[one.session_id] += sum(u.total_octets or 0 for s in one.services for u in s.used)
    assert len(steps) == 12
    for session_id, taken in steps.items():
        if taken[0][0] != 4:
            assert taken[0] == (1, 0)
            assert taken[-1][0] == 3
            assert [number for _, number in taken] == list(range(len(taken)))
            # 60 to 200 seconds of 50,000 octets, less what waiting for a grant has cost.
            assert 1_500_000 <= used[session_id] <= 10_100_000
    assert sum(used.values()) == report["events"]["used octets"]


def test_an_unanswered_request_is_sent_again_with_the_t_flag(tmp_path):
    seen = set()

    def lose_first(responder, header, request):
        if (header.end_to_end, request.session_id) in seen or request.request_number != 1:
            return grant_all(responder, header, request)
        seen.add((header.end_to_end, request.session_id))
        return None

    text = SCENARIO.replace("window: 2", "window: 2, answer_timeout_seconds: 0.2")
    report, responder = run(tmp_path, text, lose_first)
    again = [(header, one) for header, one in responder.requests if header.is_retransmitted]
    assert report["retransmissions"] == report["timeouts"] == len(again) > 0
    assert report["late_ms"]["max"] > 50  # what was due next had to wait for the answer
    first = {(h.end_to_end, one.session_id): one for h, one in responder.requests
             if not h.is_retransmitted}  # fmt: skip
    for header, one in again:
        assert one.content_hash == first[header.end_to_end, one.session_id].content_hash


def test_requests_survive_a_lost_connection(tmp_path):
    def crash_once(responder, header, request):
        if len(responder.requests) == 15:
            for one in responder._sockets:
                one.shutdown(2)
            responder._sockets.clear()
            return None
        return grant_all(responder, header, request)

    report, responder = run(tmp_path, SCENARIO, crash_once)
    assert report["connection_losses"] == 2
    assert report["retransmissions"] >= 1
    assert report["requests"] == report["answers"]
    assert any(header.is_retransmitted for header, _ in responder.requests)


@pytest.mark.parametrize("honest", [True, False])
def test_answers_to_repeated_requests_are_compared(tmp_path, honest):
    times: Counter[tuple[str, int]] = Counter()

    def answer(responder, header, request):
        times[request.session_id, request.request_number] += 1
        made = grant_all(responder, header, request)
        if not honest and times[request.session_id, request.request_number] > 1:
            made.origin_state_id = 99
        return made

    text = SCENARIO + "faults: {retransmit: 1.0}\n"
    report, _responder = run(tmp_path, text, answer, expect=0 if honest else 1)
    assert max(times.values()) == 2
    assert report["ok"] is honest
    assert (report["differing_answers"] == 0) is honest


def test_final_units_end_sessions(tmp_path):
    def last_units(_, __, request):
        parts = [
            MultipleServices(
                rating_group=one.rating_group,
                result_code=2001,
                granted=ServiceUnits(total_octets=10_000) if one.requested else None,
                final_unit=FinalUnitIndication(0) if one.requested else None,
            )
            for one in request.services
        ]
        return answer_to(request, parts)

    text = SCENARIO.replace("weight: 2", "weight: 1000")
    report, responder = run(tmp_path, text, last_units)
    assert report["events"]["final grant"] == 12
    assert not [one for _, one in responder.requests if one.request_type == 2]
    assert report["events"]["used octets"] == 120_000


def test_a_busy_server_is_asked_again(tmp_path):
    times: Counter[tuple[str, int]] = Counter()

    def busy_first(responder, header, request):
        times[request.session_id, request.request_number] += 1
        if request.request_type == 1 and times[request.session_id, request.request_number] == 1:
            return answer_to(request, result_code=5012)
        return grant_all(responder, header, request)

    report, _ = run(tmp_path, SCENARIO, busy_first)
    assert report["result_codes"]["5012"] == report["retransmissions"] > 0
    assert report["answers"] == report["requests"]


def test_without_a_server_the_report_says_so(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    done = run_ocs("simulate", path, "--json", "--port", "1")
    assert done.returncode == 1
    [problem] = json.loads(done.stdout)["problems"]
    assert "not connected within" in problem
    assert "refused" in problem


@pytest.mark.parametrize(
    "answer, words", [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "version 72"), (b"", "closed")]
)
def test_what_does_not_speak_diameter_is_told(answer, words, tmp_path):
    class Stranger(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(answer)

    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run_ocs(
            *("simulate", path, "--json", "--port", server.server_address[1]),
            *("--report", tmp_path / "report.json"),
        )
        server.shutdown()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [problem] = json.loads((tmp_path / "report.json").read_text())["problems"]
    assert "no capabilities exchanged: " in problem
    assert words in problem


@pytest.mark.parametrize("option", ["--report", "--html", "--junit", "--record"])
def test_a_file_that_cannot_be_written_is_told_before_the_run(option, tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    with Responder() as responder:
        done = run_ocs(
            "simulate", path, "--port", str(responder.port), option, tmp_path / "not-there" / "file"
        )
        assert responder.requests == []
    assert done.returncode == 2
    assert "not-there' does not exist" in done.stderr


def test_a_bad_scenario_is_refused_with_its_lines(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.replace("concurrency: 6", "concurrency: six"))
    done = run_ocs("simulate", path)
    assert done.returncode == 1
    assert f"{path}:4:8: should be a valid integer (load.concurrency)" in done.stderr


def tls_options(authority, identity):
    return (
        *("--tls-certificate", str(identity.certificate_file)),
        *("--tls-key", str(identity.key_file)),
        *("--tls-trusted", str(authority.trusted_file)),
    )


@pytest.mark.rule("B-002")
def test_gateways_speak_tls_with_a_certificate_for_all_of_them(tmp_path):
    authority = Authority(tmp_path / "authority")
    server = authority.server(authority.issue("responder.ocs.example"))
    options = tls_options(authority, authority.issue("*.net.example", folder="gateways"))
    report, responder = run(tmp_path, SCENARIO, grant_all, 0, *options, tls=server)
    assert report["ok"]
    assert report["result_codes"] == {"2001": report["answers"]}
    assert report["requests"] == len(responder.requests) > 12


@pytest.mark.rule("B-002")
def test_gateways_do_not_talk_to_a_server_with_the_certificate_of_another(tmp_path):
    authority = Authority(tmp_path / "authority")
    server = authority.server(authority.issue("other.ocs.example"))
    options = tls_options(authority, authority.issue("*.net.example", folder="gateways"))
    report, responder = run(tmp_path, SCENARIO, grant_all, 1, *options, tls=server)
    assert "responder.ocs.example is that of somebody else" in str(report["problems"])
    assert responder.requests == []


@pytest.mark.parametrize(
    "options,words",
    [
        (("--tls-key", "KEY"), "all three"),
        (
            ("--tls-key", "OTHER", "--tls-certificate", "CERTIFICATE", "--tls-trusted", "TRUSTED"),
            "is not the key of the first certificate",
        ),
    ],
)
def test_certificates_that_cannot_be_used_are_said_before_anything_is_called(
    tmp_path, options, words
):
    authority = Authority(tmp_path / "authority")
    own, other = authority.issue("a.example"), authority.issue("b.example")
    files = {
        "KEY": own.key_file,
        "OTHER": other.key_file,
        "CERTIFICATE": own.certificate_file,
        "TRUSTED": authority.trusted_file,
    }
    arguments = [str(files.get(one, one)) for one in ("simulate", "demo", *options)]
    done = run_ocs(*arguments)
    assert done.returncode in {1, 2}
    assert words in " ".join(done.stderr.split())
