"""`ocs simulate replay` and `record`, in a process of their own against a small responder."""

import json
import signal
import subprocess
import sys
import threading

import pytest

from protocol.credit_control import FinalUnitIndication, MultipleServices, ServiceUnits
from simulators.replay import tshark
from simulators.replay.findings import Findings, UnusableError
from simulators.replay.loading import load_capture
from tests.support.captures import START_NS, Made, Talk, cca, ccr, ipv4, pcap, session, tcp
from tests.support.responder import Responder, answer_to
from tests.support.simulated import capture, recorded, replay, scenario, simulate, talk_of

SCENARIO = scenario(speed_up=500, concurrency=4, sessions=8)


@pytest.mark.rule("X-062", "X-058", "X-057")
@pytest.mark.parametrize("speed", ["max", "20"])
def test_the_same_answers(tmp_path, speed):
    report, responder = replay(capture(tmp_path, talk_of(3)), "--speed", speed)
    assert report["ok"]
    assert report["comparison"] == {
        "same": 9, "differing": 0, "not_compared": 0, "groups": [], "groups_left_out": 0,
    }  # fmt: skip
    assert report["source"] == {
        "name": "gy.pcap", "packets": 20, "messages": 18, "records": 0, "sessions": 3,
    }  # fmt: skip
    assert report["traffic"]["result_codes"] == {"2001": 9}
    order: dict[str, list[int]] = {}
    for header, one in responder.requests:
        order.setdefault(one.session_id, []).append(one.request_number)
        assert one.session_id.startswith("pgw1.epc.example;")
        assert one.destination_realm == "ocs.example", "the realm of the server of today"
        assert header.end_to_end > 10_000, "a fresh one"
    assert list(order.values()) == [[0, 1, 2]] * 3
    assert not {"pgw1.epc.example;1;1", "pgw1.epc.example;1;2"} & set(order)


@pytest.mark.rule("X-058")
def test_recorded_time_passes(tmp_path):
    talk = Talk().open().exchange(*session(1)[0])
    talk.at_ns += 3_000_000_000
    talk.exchange(*session(2)[0])
    report, _ = replay(capture(tmp_path, talk), "--speed", "10")
    assert report["traffic"]["seconds"] >= 0.3


@pytest.mark.rule("X-057")
def test_everybody_is_somebody_else(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("origin_realm: [{match: '.*', replace: lab.example}]\n")
    report, responder = replay(
        capture(tmp_path, talk_of(1)),
        *("--origin-host", r"pgw(\d)(.*)=lab\1.example", "--subscriber", r"49(\d+)=99\1"),
        *("--rules", path, "--session-ids", "keep"),
    )
    assert report["ok"]
    for _, one in responder.requests:
        assert (one.origin_host, one.origin_realm) == ("lab1.example", "lab.example")
        assert one.subscription_ids[0].data == "991511"
        assert one.session_id == "pgw1.epc.example;1;1"


@pytest.mark.rule("X-057")
def test_an_agent_carries_all(tmp_path):
    talk = talk_of(1)
    request = ccr("mme;1;1", host="mme.epc.example", end_to_end=5)
    talk.exchange(request, cca(request))
    _, responder = replay(capture(tmp_path, talk), "--agent", "dra.epc.example", "--speed", "max")
    hosts = [(one.origin_host, one.route_records) for _, one in responder.requests]
    assert set(map(str, hosts)) == {
        "('pgw1.epc.example', ['pgw1.epc.example'])",
        "('mme.epc.example', ['mme.epc.example'])",
    }


@pytest.mark.rule("X-062", "X-059")
def test_differences_are_grouped_with_an_example(tmp_path):
    def less(_, __, request):
        part = MultipleServices(
            rating_group=100, result_code=2001, granted=ServiceUnits(total_octets=400_000),
            validity_time=3600, final_unit=FinalUnitIndication(0),
        )  # fmt: skip
        return recorded(_, __, request) if request.request_type == 3 else answer_to(request, [part])

    path = capture(tmp_path, talk_of(3))
    report, _ = replay(path, "--speed", "max", answerer=less, expect=1)
    assert not report["ok"]
    assert (report["comparison"]["same"], report["comparison"]["differing"]) == (3, 6)
    groups = {
        (one["request"], one["aspect"], one["sort"]): one for one in report["comparison"]["groups"]
    }
    assert set(groups) == {
        (kind, aspect, sort)
        for kind in ("initial", "update")
        for aspect, sort in (("granted", "less octets"), ("final_unit", "none -> terminate"))
    }
    group = groups["update", "granted", "less octets"]
    assert (group["count"], group["place"]) == (3, "rating group 100")
    example = group["example"]
    assert (example["recorded"], example["answered"]) == ("1000000 octets", "400000 octets")
    assert "CC-Request-Type (416) -M- = 2" in example["request"]
    assert "CC-Total-Octets (421) -M- = 1000000" in example["recorded_answer"]
    assert "CC-Total-Octets (421) -M- = 400000" in example["answer"]
    with Responder(less) as responder:
        shown = simulate(
            *("replay", path, "--port", responder.port, "--speed", "max", "--ignore", "final_unit"),
            expect=1,
        ).stdout
    assert "DIFFERENT 3x update: granted of rating group 100: less octets" in shown
    assert "recorded 1000000 octets, answered 400000 octets" in shown
    assert "        CC-Total-Octets (421) -M- = 400000" in shown
    assert "final_unit" not in shown
    tolerant = ("--granted-tolerance", "60", "--ignore", "final_unit", "--no-examples")
    assert replay(path, "--speed", "max", *tolerant, answerer=less)[0]["ok"]


@pytest.mark.rule("X-062")
def test_an_answer_that_does_not_come(tmp_path):
    def deaf(responder, header, request):
        return None if request.request_number == 1 else recorded(responder, header, request)

    options = ("--speed", "max", "--answer-timeout", "0.2")
    report, _ = replay(capture(tmp_path, talk_of(1)), *options, answerer=deaf, expect=1)
    [group] = report["comparison"]["groups"]
    assert (group["sort"], group["request"]) == ("no answer", "update")
    assert report["traffic"]["timeouts"] == 1
    assert report["comparison"]["same"] == 2


@pytest.mark.rule("X-062")
def test_what_was_in_flight_when_the_connection_was_lost_is_sent_again(tmp_path):
    def crash(responder, header, request):
        if len(responder.requests) == 4:
            for one in responder._sockets:
                one.shutdown(2)
            responder._sockets.clear()
            return None
        return recorded(responder, header, request)

    report, responder = replay(
        capture(tmp_path, talk_of(3)), "--speed", "max", "--window", "1", answerer=crash
    )
    assert report["ok"]
    assert report["traffic"]["connection_losses"] == 1
    assert [header.is_retransmitted for header, _ in responder.requests].count(True) == 1


@pytest.mark.rule("X-062", "X-051")
def test_a_capture_with_a_cut_off_packet_is_played_as_far_as_it_goes(tmp_path):
    path = tmp_path / "cut.pcap"
    whole = pcap(talk_of(2).packets)
    path.write_bytes(whole[:-100])
    report, responder = replay(path, "--speed", "max", expect=1)
    assert len(responder.requests) == 6
    assert report["comparison"]["same"] == 5
    assert report["notes"] == {"requests without an answer in the capture": 1}
    [problem] = report["problems"]
    assert "cut.pcap is cut off after packet 13" in problem


@pytest.mark.rule("X-062")
def test_a_capture_without_diameter_is_refused(tmp_path):
    path = tmp_path / "web.pcap"
    path.write_bytes(pcap([Made(START_NS, ipv4(tcp(b"GET / HTTP/1.0\r\n\r\n")))]))
    done = simulate("replay", path, expect=1)
    assert done.stdout == ""
    assert "web.pcap holds no credit control to replay: 1 packets" in done.stderr


@pytest.mark.rule("X-062")
@pytest.mark.parametrize(
    "options, code, words",
    [
        (("--speed", "0"), 2, "neither max nor a number"),
        (("--subscriber", "49"), 2, "--subscriber needs MATCH=NEW"),
        (("--origin-host", "(=x"), 2, "match is no regular expression"),
        (("--rules", "RULES"), 1, "rules.yaml:1:1: unknown key (colour)"),
        (("--first", "1", "--agent", "no host"), 2, "agent: "),
    ],
)
def test_options_that_cannot_be_are_said_before_anything_is_called(tmp_path, options, code, words):
    rules = tmp_path / "rules.yaml"
    rules.write_text("colour: blue\n")
    given = [rules if one == "RULES" else one for one in options]
    done = simulate("replay", capture(tmp_path, talk_of(1)), *given, expect=code)
    assert words in " ".join(done.stderr.split())


@pytest.mark.rule("X-062")
def test_sessions_that_began_before_the_capture(tmp_path):
    messages = session(1)
    talk = Talk()
    talk.exchange_all(messages[1:])
    path = capture(tmp_path, talk)
    done = simulate("replay", path, expect=1)
    assert "no session in" in done.stderr
    report, _ = replay(path, "--partial")
    assert report["comparison"]["same"] == 2


@pytest.mark.rule("X-062")
def test_without_a_server_the_report_says_so(tmp_path):
    done = simulate("replay", capture(tmp_path, talk_of(1)), "--json", "--port", "1", expect=1)
    [problem] = json.loads(done.stdout)["traffic"]["problems"]
    assert "not connected for 10 s: pgw1.epc.example" in problem
    assert "refused" in problem


@pytest.mark.rule("X-062")
def test_a_signal_ends_it_with_what_there_is(tmp_path):
    asked = threading.Event()

    def answer(responder, header, request):
        asked.set()
        return recorded(responder, header, request)

    talk = Talk().open().exchange(*session(1)[0])
    talk.at_ns += 3600 * 1_000_000_000
    talk.exchange(*session(1)[1])
    path = capture(tmp_path, talk)
    with Responder(answer) as responder:
        command = [sys.executable, "-m", "ocs.cli.main", "simulate", "replay", str(path), "--json"]
        with subprocess.Popen(
            [*command, "--port", str(responder.port)], stdout=subprocess.PIPE, text=True
        ) as running:
            assert asked.wait(60)
            running.send_signal(signal.SIGINT)
            shown, _ = running.communicate(timeout=60)
    report = json.loads(shown)
    assert running.returncode == 1
    assert report["traffic"]["problems"] == ["ended by a signal"]
    assert report["comparison"]["same"] == 1


USAGE = """\
kind,start,duration_seconds,msisdn,rating_group,octets,units,to,result_code
data,2026-03-01T10:00:00Z,60,4915112345678,100,2500000,,,2001
sms,2026-03-01T10:00:30Z,,4915112345678,,,1,4930123456,4012
"""


@pytest.mark.rule("X-061", "X-062")
def test_usage_records(tmp_path):
    path = tmp_path / "usage.csv"
    path.write_text(USAGE)
    report, responder = replay(path, "--speed", "max", expect=1)
    assert [(one.request_type, one.request_number) for _, one in responder.requests] == [
        *((1, 0), (2, 1), (4, 0), (2, 2), (3, 3)),
    ]
    used = sum(u.total_octets or 0 for _, one in responder.requests for s in one.services
               for u in s.used)  # fmt: skip
    assert used == 2_500_000
    assert report["source"]["records"] == 2
    assert report["comparison"]["same"] == 1
    [group] = report["comparison"]["groups"]
    assert (group["request"], group["sort"]) == ("event", "4012 -> 2001")


@pytest.mark.rule("X-062")
def test_a_request_made_of_a_usage_record_has_to_be_answered(tmp_path):
    path = tmp_path / "usage.csv"
    path.write_text(USAGE)
    options = ("--speed", "max", "--answer-timeout", "0.2")
    report, _ = replay(path, *options, answerer=lambda *_: None, expect=1)
    kinds = [(one["request"], one["sort"]) for one in report["comparison"]["groups"]]
    assert sorted(kinds) == [("event", "no answer"), ("initial", "no answer")]


@pytest.mark.rule("X-062")
def test_what_had_no_answer_then_needs_none_now(tmp_path):
    talk = Talk().open().exchange(*session()[0]).exchange(session()[1][0], None)
    options = ("--speed", "max", "--answer-timeout", "0.2")

    def deaf(responder, header, request):
        return None if request.request_number == 1 else recorded(responder, header, request)

    report, _ = replay(capture(tmp_path, talk), *options, answerer=deaf)
    assert report["comparison"]["not_compared"] == 1


@pytest.mark.rule("X-063", "X-062")
def test_a_run_is_recorded_and_replayed(tmp_path):
    given, path = tmp_path / "scenario.yaml", tmp_path / "run.pcap"
    given.write_text(SCENARIO)
    with Responder() as responder:
        done = simulate("record", given, path, "--json", "--port", responder.port)
    report = json.loads(done.stdout)
    with Responder() as again:
        played = json.loads(
            simulate("replay", path, "--json", "--speed", "max", "--port", again.port).stdout
        )
    assert played["comparison"]["same"] == report["answers"] == len(responder.requests)
    then = sorted((one.request_type, len(one.services)) for _, one in responder.requests)
    assert then == sorted((one.request_type, len(one.services)) for _, one in again.requests)


@pytest.mark.rule("X-063")
def test_what_was_recorded_before_a_failure_stays(tmp_path):
    given, path = tmp_path / "scenario.yaml", tmp_path / "run.pcap"
    given.write_text(SCENARIO.replace("sessions: 8", "sessions: 100000"))
    enough = threading.Event()

    def answer(responder, header, request):
        if len(responder.requests) > 40:
            enough.set()
        return recorded(responder, header, request)

    with Responder(answer) as responder:
        command = [sys.executable, "-m", "ocs.cli.main", "simulate", "run", str(given)]
        command += ["--record", str(path), "--port", str(responder.port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
            assert enough.wait(60)
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 1
    assert len(load_capture(path, Findings()).exchanges) > 30


@pytest.mark.rule("X-053")
def test_without_tshark_odd_links_are_refused_with_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "wifi.pcap"
    path.write_bytes(pcap([Made(START_NS, bytes(60))], 127))
    monkeypatch.setattr(tshark, "find_tshark", lambda: None)
    with pytest.raises(UnusableError, match=r"link type 127.*apt install tshark"):
        load_capture(path, Findings())
