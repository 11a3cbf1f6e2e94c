"""Runs of several processes and joined runs: verdicts, recordings and accounts over all of them."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hdrh.histogram import HdrHistogram

from protocol.codec import Header, read_header
from protocol.credit_control import CreditControlAnswer, CreditControlRequest, RequestType
from protocol.credit_control_reader import read_ccr
from protocol.members import LENIENT
from simulators.load.journal import Journal, JournalWriter, Remembered, retell, write_merged
from simulators.replay.capture_file import read_packets
from simulators.replay.findings import Findings
from simulators.scenarios.model import load_scenario
from simulators.traffic.observer import Observer
from simulators.traffic.subscriber import Demand, Session
from simulators.verdicts.own_account import OwnAccount
from tests.support.responder import Responder, grant_all

SCENARIO = """\
name: shared
seed: 9
speed_up: 20
load: {arrivals: {process: poisson, per_second: RATE}, duration_seconds: SECONDS}
gateways:
  - {origin_host: "HOST{n}.net.example", origin_realm: net.example, connections: 2}
subscribers:
  - {name: some, count: 9000, identities: [{type: msisdn, pattern: "+1555####"}]}
services:
  - {kind: sms, destinations: [{number: "+4930#######"}]}
  - {kind: data, duration_seconds: 20, rating_groups: [{rating_group: 7, octets_per_second: 900}]}
expect:
  - {nothing_lost: true, result_codes: [{code: 2001, share: {exactly: 1}}]}
  - {service: sms, requests: {at_least: 10}, latency_ms: {max: 60000}}
  - {service: data, request: initial, granted: [{rating_group: 7, each: {at_least: 1}}]}
"""


def write(path: Path, host: str = "pgw", rate: int = 60, seconds: int = 2) -> Path:
    text = SCENARIO.replace("HOST", host).replace("RATE", str(rate))
    path.write_text(text.replace("SECONDS", str(seconds)), encoding="utf-8")
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ocs.cli.main", "simulate", *map(str, arguments)]


def ocs(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout or done.stderr


def recorded(capture: Path) -> tuple[list[int], list[CreditControlRequest]]:
    """When the packets of a recording were there, and the requests in them."""
    findings = Findings()
    read = list(read_packets(capture, findings))
    assert findings.problems == []
    data = [one.data[40:] for one in read]  # behind the headers of IPv4 and TCP without options
    headers = [(read_header(one), one) for one in data if one]
    requests = [read_ccr(one, header, LENIENT) for header, one in headers if header.is_request]
    return [one.at_ns for one in read], requests


def names(requests: list[CreditControlRequest]) -> list[tuple[str, int, int]]:
    return sorted((one.session_id, one.request_type, one.request_number) for one in requests)


def sent_to(responder: Responder) -> list[CreditControlRequest]:
    return [one for _, one in responder.requests]


@pytest.mark.rule("X-098")
def test_a_shared_run_is_judged_and_recorded_as_one(tmp_path):
    path, capture, junit = write(tmp_path / "s.yaml"), tmp_path / "r.pcap", tmp_path / "j.xml"
    kept = tmp_path / "kept.journal"
    with Responder(grant_all) as responder:
        printed = ocs(
            "run", path, "--processes", 2, "--port", responder.port, "--json", "--record", capture,
            "--junit", junit, "--journal", kept, "--html", tmp_path / "page.html",
        )  # fmt: skip
    report = json.loads(printed)
    assert report["processes"] == 2
    assert {one["ok"] for one in report["verdicts"]} == {True}
    whole, messages, grants = report["counted"]
    sent = sent_to(responder)
    assert whole["requests"] == whole["answered"] == report["requests"] == len(sent)
    assert whole["codes"] == {"2001": len(sent)}
    events = [one for one in sent if one.request_type == 4]
    assert messages["requests"] == len(events) > 10
    histogram = HdrHistogram.decode(messages["histogram"].encode())
    assert histogram.get_total_count() == len(events)
    [granted] = grants["granted"]
    initial = [one for one in sent if one.request_type == 1]
    assert (granted["rating_group"], granted["count"]) == (7, len(initial))
    instants, requests = recorded(capture)
    assert instants == sorted(instants)
    assert names(requests) == names(sent)
    assert len({one.origin_host for one in requests}) == 2
    assert len(ET.parse(junit).getroot().findall("*/testcase")) == len(report["verdicts"]) + 1
    assert "nothing lost" in (tmp_path / "page.html").read_text(encoding="utf-8")
    journal = Journal(kept)
    own = OwnAccount()
    retell([journal], [own])
    assert not journal.cut_off
    assert journal.scenario.name == "shared"
    assert {name for name, _, _ in names(sent)} == set(own.sessions)
    assert all(one.over for one in own.sessions.values())


def children_of(pid: int) -> list[int]:
    """The processes that carry traffic, by their ids."""
    ids = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [
        int(one) for one in ids if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()
    ]


@pytest.mark.rule("X-099")
def test_what_a_killed_process_had_measured_and_recorded_is_kept(tmp_path):
    path, capture = write(tmp_path / "s.yaml", seconds=6), tmp_path / "r.pcap"
    flowing = threading.Event()

    def answer(
        responder: Responder, header: Header, request: CreditControlRequest
    ) -> CreditControlAnswer:
        hosts = Counter(one.origin_host for one in sent_to(responder))
        if len(hosts) == 2 and min(hosts.values()) > 75:  # that is more than a second of each
            flowing.set()
        return grant_all(responder, header, request)

    with Responder(answer) as responder:
        process = subprocess.Popen(
            command("run", path, "--processes", 2, "--port", responder.port, "--json",
                    "--record", capture),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert flowing.wait(60)
        os.kill(children_of(process.pid)[1], signal.SIGKILL)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    report = json.loads(out)
    [problem] = report["problems"]
    assert problem.startswith("process 2 of 2: it was killed by signal 9; what it measured until")
    assert report["processes"] == 2
    sent = sent_to(responder)
    hosts = Counter(one.origin_host for one in sent)
    assert hosts["pgw1.net.example"] < report["requests"] <= len(sent)
    assert report["requests"] == sum(report["series"]["sent"])
    lost, *others = report["verdicts"]
    assert (lost["name"], lost["ok"]) == ("nothing lost", False)
    assert {one["ok"] for one in others} == {True}
    _, requests = recorded(capture)
    assert set(names(requests)) >= set(names([one for one in sent if one.origin_host[3] == "1"]))
    of_the_dead = [one for one in requests if one.origin_host[3] == "2"]
    assert len(of_the_dead) >= hosts["pgw2.net.example"] - 1


def test_when_all_processes_are_killed_what_they_said_last_is_reported(tmp_path):
    path, flowing = write(tmp_path / "s.yaml", seconds=600), threading.Event()

    def answer(
        responder: Responder, header: Header, request: CreditControlRequest
    ) -> CreditControlAnswer:
        if len(responder.requests) > 250:  # that is more than two seconds of both
            flowing.set()
        return grant_all(responder, header, request)

    with Responder(answer) as responder:
        process = subprocess.Popen(
            command("run", path, "--processes", 2, "--port", responder.port, "--json",
                    "--dashboard"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert flowing.wait(60)
        for pid in children_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    report = json.loads(out)
    assert len(report["problems"]) == 2
    assert report["answers"] > 50


@pytest.mark.rule("X-100")
def test_joined_runs_are_judged_over_all_that_they_counted(tmp_path):
    reports, journals = [], []
    with Responder(grant_all) as responder:
        for host in ("here", "there"):
            path = write(tmp_path / f"{host}.yaml", host, rate=20, seconds=1)
            reports.append(tmp_path / f"{host}.json")
            journals.append(tmp_path / f"{host}.journal")
            ocs("run", path, "--port", responder.port, "--report", reports[-1], "--processes", 2,
                "--journal", journals[-1], "--seed", 3)  # fmt: skip
    joined, capture = tmp_path / "both.json", tmp_path / "both.pcap"
    kept = [option for journal in journals for option in ("--journal", journal)]
    ocs("join", *reports, *kept, "--report", joined, "--record", capture, "--junit",
        tmp_path / "j.xml")  # fmt: skip
    report = json.loads(joined.read_text())
    parts = [json.loads(one.read_text()) for one in reports]
    assert [one["name"] for one in report["verdicts"]] == [
        one["name"] for one in parts[0]["verdicts"]
    ]
    assert report["verdicts"][0]["found"].startswith(f"0 of {report['requests']} requests")
    for whole, first, second in zip(*(one["counted"] for one in (report, *parts)), strict=True):
        assert whole["requests"] == first["requests"] + second["requests"]
    instants, requests = recorded(capture)
    assert instants == sorted(instants)
    assert names(requests) == names(sent_to(responder))
    assert "tests=" in (tmp_path / "j.xml").read_text()
    # What only one of them expects is judged over what that one counted.
    parts[0]["counted"][1]["block"]["latency_ms"] = {"max": 0.001}
    reports[0].write_text(json.dumps(parts[0]))
    found = json.loads(ocs("join", *reports, "--json", code=1))["verdicts"]
    assert [one["ok"] for one in found if one["name"] == "sms: latency max"] == [False, True]


@pytest.mark.rule("X-100")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--record", "x.pcap"], 2, "give --journal FILE for each"),
        (["--reconcile"], 2, "give --journal FILE for each"),
        (["--journal", "one.json"], 1, "one.json is no journal of a run"),
        (["--journal", "cut.journal"], 1, "its scenario cannot be read"),
        (["--journal", "a.journal", "--journal", "a.journal"], 2, "joined only once"),
        (["--journal", "a.journal", "--journal", "b.journal", "--record", "x.pcap"], 1,
         "give each run Origin-Hosts of its own"),
        (["--journal", "bad.journal", "--record", "x.pcap"], 1, "bad.journal is damaged at octet"),
        (["--journal", "short.journal", "--record", "x.pcap"], 1,
         "short.journal ends in the middle of a message: its run did not end well"),
        (["--journal", "a.journal", "--reconcile"], 2, "give --database URL, or --check-with"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_said(options, code, words, tmp_path):
    path = write(tmp_path / "s.yaml", rate=20, seconds=1)
    with Responder(grant_all) as responder:
        ocs("run", path, "--port", responder.port, "--report", tmp_path / "one.json",
            "--journal", tmp_path / "a.journal")  # fmt: skip
    whole = (tmp_path / "a.journal").read_bytes()
    for name, content in (
        ("b", whole),
        ("cut", whole[:200]),
        ("short", whole[:-5]),
        ("bad", whole + b"\x09" * 40),
    ):
        (tmp_path / f"{name}.journal").write_bytes(content)
    given = [tmp_path / one if "." in one else one for one in options]
    assert words in ocs("join", tmp_path / "one.json", *given, code=code)


class Timer(Observer):
    """Notes when what happened."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def request_sent(
        self, at_ns: int, gateway: str, session: Session, demand: Demand, message: bytes
    ) -> None:
        self.told.append((at_ns, f"{gateway} {session.service.kind} {session.identities}"))

    def server_asked(
        self, at_ns: int, gateway: str, session_id: str, message: bytes, answer: bytes
    ) -> None:
        self.told.append((at_ns, f"{gateway} {session_id} {message!r} {answer!r}"))


@pytest.mark.rule("X-098")
def test_journals_are_read_together_in_the_order_of_time(tmp_path):
    scenario = load_scenario(write(tmp_path / "s.yaml"))
    journals = []
    for host, instants in (("a", [1, 4, 4]), ("b", [2, 3, 4])):
        path = tmp_path / host
        service = scenario.services[host == "b"]
        session = Remembered(f"{host};1", service, (("msisdn", "+15550001"),), Counter())
        with JournalWriter(path, scenario) as writer:
            for at_ns in instants:
                demand = Demand(RequestType.EVENT, at_ns)
                writer.request_sent(at_ns, host, session, demand, bytes(at_ns))
            writer.server_asked(5, host, "s", b"RAR", b"RAA")
        journals.append(Journal(path))
    timer = Timer()
    retell(journals, [timer])
    who = "(('msisdn', '+15550001'),)"
    assert timer.told == [
        (1, f"a sms {who}"), (2, f"b data {who}"), (3, f"b data {who}"),
        (4, f"a sms {who}"), (4, f"a sms {who}"), (4, f"b data {who}"),
        (5, "a s b'RAR' b'RAA'"), (5, "b s b'RAR' b'RAA'"),
    ]  # fmt: skip
    write_merged(tmp_path / "both", journals, scenario)
    again = Timer()
    retell([Journal(tmp_path / "both")], [again])
    assert again.told == timer.told
