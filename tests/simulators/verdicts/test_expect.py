"""What scenarios expect: mistakes in it, and verdicts, JUnit and exit codes of runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from config import config_path
from protocol.codec import Header
from protocol.credit_control import CreditControlAnswer, CreditControlRequest, RequestType
from simulators.reports.report import Latency, LatencyBins, Report
from simulators.reports.verdict import Verdict
from simulators.scenarios.document import DocumentError
from simulators.scenarios.expectations import micro, money_text
from simulators.scenarios.model import parse_scenario
from simulators.scenarios.populations import IdentityPattern, Subscribers
from simulators.verdicts.judging import judge
from simulators.verdicts.junit import junit_xml
from simulators.verdicts.tallies import Groups, counted_of_prepared
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, answer_to, final, grant_all

SCENARIO = """\
name: expecting
speed_up: 100
load: {arrivals: {process: constant, per_second: 20}, sessions: 12}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example, answer_timeout_seconds: 1,
     retransmissions_max: 0}
subscribers:
  - {name: rich, count: 9, share: 1, uses: [data], identities: [{type: msisdn, pattern: "1#"}]}
  - {name: poor, count: 9, share: 1, uses: [sms], identities: [{type: msisdn, pattern: "2#"}]}
services:
  - {kind: data, name: browsing, duration_seconds: 20,
     rating_groups: [{rating_group: 100, octets_per_second: 1000}]}
  - {kind: sms, destinations: [{number: "49###"}]}
expect:
"""
RAMP = SCENARIO.replace(
    "{process: constant, per_second: 20}, sessions: 12",
    "{process: ramp, from_per_second: 5, to_per_second: 20, steps: 2, step_seconds: 1}",
)


def problems_of(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse_scenario(text, "s.yaml")
    return [one.message for one in caught.value.problems]


@pytest.mark.rule("X-070")
@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("{}", "nothing is expected here"),
        ("{service: sms}", "nothing is expected here"),
        ("{request: refund, nothing_lost: true}", "should be 'initial', 'update'"),
        ("{colour: red}", "unknown key"),
        ("{requests: 3}", "should be a mapping of keys and values"),
        ("{requests: {}}", "give exactly, at_least, at_most"),
        ("{requests: {exactly: 3, at_most: 3}}", "exactly says it all"),
        ("{requests: {at_least: 3, at_most: 2}}", "at_least is more than at_most"),
        ("{balance: {at_least: 3}}", "should be a valid string"),
        ("{balance: {at_least: '3', at_most: '2.5'}}", "at_least is more than at_most"),
        ("{result_codes: [{code: 2001}]}", "give count or share"),
        ("{granted: [{rating_group: 1}]}", "give each, total or grants"),
        ("{latency_ms: {}}", "give at least one of"),
        ("{rates: {}}", "give requests_per_second or answers_per_second"),
        ("{no_other_result_codes: true}", "needs result_codes of the command"),
        ("{from_seconds: 3, to_seconds: 2, nothing_lost: true}", "has to be more than"),
        ("{step: 1, from_seconds: 1, nothing_lost: true}", "a step has its own time"),
        ("{service: sms, reconciled: true}", "are about subscribers as a whole"),
        ("{subscribers: poor, reconciled: true}", "reconciled is about the whole run"),
        ("{service: fax, nothing_lost: true}", "fax, which is no service here"),
        ("{subscribers: all, nothing_lost: true}", "all, which is no group here"),
        ("{step: 1, nothing_lost: true}", "step 1 of a ramp of 0 steps"),
        ("{nothing_lost: false}", "should be True"),
    ],
)
def test_mistakes_in_what_is_expected_are_told(block, problem):
    [found] = problems_of(SCENARIO + f"  - {block}\n")
    assert problem in found


@pytest.mark.rule("X-070")
@pytest.mark.parametrize(
    ("block", "unknown"),
    [
        ("{latency_ms: {p99: 3}, rates: {answers_per_second: {at_least: 1}}}", ""),
        ("{result_codes: [{code: 2001, share: {at_least: 1}}], no_other_result_codes: true}", ""),
        ("{service: sms, latency_ms: {p99: 3}}", "sms"),
        ("{balance: {exactly: '1'}}", "balance"),
        ("{nothing_lost: true, requests: {at_least: 1}}", "nothing_lost, requests"),
        ("{result_codes: [{code: 4012, of: service, count: {at_most: 0}}]}",
         "result_codes of services"),
    ],
)
def test_prepared_load_can_be_judged_as_a_whole(block, unknown):
    text = SCENARIO.replace("name: exp", "mode: prepared\nname: exp") + f"  - {block}\n"
    text = text.replace("arrivals: {process: constant, per_second: 20}, sessions: 12",
                        "concurrency: 2, duration_seconds: 1")  # fmt: skip
    if unknown:
        [problem] = problems_of(text)
        assert problem.startswith(f"expect[0] is about {unknown}. Of mode: prepared only the whole")
        assert problem.endswith("leave the rest out, or use mode: subscribers")
    else:
        assert parse_scenario(text, "s.yaml").expect


def stops_after_two(
    responder: Responder, header: Header, request: CreditControlRequest
) -> CreditControlAnswer | None:
    """Data ends with final units at once; the first two messages are refused, the third is lost
    however often it is sent.
    """
    if request.service_context_id.startswith("32251"):
        if request.request_type == 3:
            return grant_all(responder, header, request)
        return answer_to(request, [final(0)])
    messages = [one.session_id for one in responder.of_type(RequestType.EVENT)]
    place = list(dict.fromkeys(messages)).index(request.session_id)
    if place == 2:
        return None
    return answer_to(request, result_code=4012) if place < 2 else grant_all(
        responder, header, request
    )  # fmt: skip


def run(
    directory: Path, text: str, answerer: Any = grant_all, code: int = 0, *options: str
) -> tuple[Any, str]:
    """The report of `ocs simulate run` as JSON, and what it prints without."""
    (directory / "s.yaml").write_text(text, encoding="utf-8")
    with Responder(answerer) as responder:
        done = run_ocs(
            *("simulate", "s.yaml", "--report", "r.json", "--port", responder.port, *options),
            cwd=directory,
        )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads((directory / "r.json").read_text(encoding="utf-8")), done.stdout


def found(report: Any) -> dict[str, str]:
    return {one["name"]: one["found"] for one in report["verdicts"]}


@pytest.mark.rule("X-071")
@pytest.mark.rule("X-072")
def test_a_run_as_expected(tmp_path):
    blocks = """\
  - {requests: {at_least: 12}, answered: {exactly: 1}, nothing_lost: true,
     result_codes: [{code: 2001, share: {exactly: 1}}, {code: 2001, of: service, share: {exactly: 1}}],
     no_other_result_codes: true, latency_ms: {p50: 5000, max: 20000},
     rates: {answers_per_second: {at_least: 0.1}}}
  - {service: browsing, request: initial, requests: {at_least: 1}, result_codes: [{code: 2001,
     count: {at_least: 1}}],
     granted: [{rating_group: 100, each: {exactly: 1000000}, total: {at_least: 1000000}},
               {unit: seconds, grants: {exactly: 0}}]}
  - {name: messages of the poor, subscribers: poor, granted: [{unit: events, each: {exactly: 1}}],
     final_units: [{action: terminate, count: {exactly: 0}}]}
  - {subscribers: rich, request: event, requests: {exactly: 0}}
  - {from_seconds: 100, requests: {exactly: 0}}
  - {to_seconds: 100, requests: {at_least: 12}}
"""  # noqa: E501
    report, text = run(tmp_path, SCENARIO + blocks, grant_all, 0, "--junit", "j.xml")
    assert report["ok"]
    assert all(one["ok"] for one in report["verdicts"])
    assert found(report)["messages of the poor: events granted each time"].startswith("1 to 1 in ")
    assert found(report)["from 100 s: requests"] == "0"
    assert found(report)["browsing, initial: octets granted to rating group 100 each time"]
    assert "  ok      nothing lost: every request answered" in text
    suite = ET.parse(tmp_path / "j.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib["failures"] == suite.attrib["errors"] == "0"
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase")) == len(found(report)) + 1


@pytest.mark.rule("X-072")
def test_a_run_that_disappoints(tmp_path):
    blocks = """\
  - {nothing_lost: true, answered: {exactly: 1}, result_codes: [{code: 2001, share: {exactly: 1}}],
     no_other_result_codes: true, latency_ms: {p50: 0.001}}
  - {service: sms, result_codes: [{code: 4012, count: {exactly: 1}}],
     granted: [{unit: seconds, each: {at_least: 1}}]}
  - {service: browsing, final_units: [{action: redirect, count: {at_least: 1}}]}
  - {from_seconds: 100, answered: {at_least: 0}, latency_ms: {p99: 9},
     rates: {requests_per_second: {at_least: 0}}}
"""
    report, text = run(tmp_path, SCENARIO + blocks, stops_after_two, 1, "--junit", "j.xml")
    assert not report["ok"]
    assert [one for one in report["verdicts"] if one["ok"]] == []
    words = found(report)
    assert words["nothing lost"].startswith("1 of ")
    assert words["no other result codes"] == "4012: 2"
    assert words["sms: result code 4012"] == "2"
    assert words["sms: seconds granted each time"] == "no grants"
    assert words["browsing: final units with redirect"] == "0"
    assert words["from 100 s: share of requests answered"] == "nothing"
    assert words["from 100 s: latency p99"] == "no answers"
    assert words["from 100 s: requests per second"] == "nothing"
    assert "  FAILED  sms: result code 4012: expected exactly 1; found 2" in text
    failures = ET.parse(tmp_path / "j.xml").getroot().findall("*/testcase/failure")
    assert len(failures) == len(words)
    assert "expected exactly 1; found 2" in [one.attrib["message"] for one in failures]


@pytest.mark.rule("X-071")
def test_the_steps_of_a_ramp_are_judged_apart(tmp_path):
    blocks = """\
  - {step: 1, requests: {at_least: 1, at_most: 30}}
  - {step: 2, requests: {at_least: 1}, rates: {requests_per_second: {at_least: 1}}}
  - {requests: {at_least: 2}}
"""
    report, _ = run(tmp_path, RAMP + blocks)
    first, second, rate, both = (float(one["found"]) for one in report["verdicts"])
    assert first + second <= both
    assert rate == pytest.approx(second, rel=0.5)


def of_latencies(*milliseconds: int) -> str:
    bins = LatencyBins()
    for one in milliseconds:
        bins.record(one * 1000)
    return bins.encoded()


REPORT = Report(
    "small\x00 <run>", "prepared", 1, 2.0, 10, 10, 5.0, 0, 0, 0, 0,
    {"all": Latency(10, 1.0, 2.0, 3.0, 4.0, 5.0)}, {"2001": 9, "4012": 1}, {}, [],
    histograms={"initial": of_latencies(1, 2, 2, 2), "update": of_latencies(1, 1, 1, 1, 2, 5)},
)  # fmt: skip


@pytest.mark.rule("X-071")
def test_prepared_load_is_judged_by_its_report():
    text = SCENARIO.replace("name: exp", "mode: prepared\nname: exp")
    text = text.replace("arrivals: {process: constant, per_second: 20}, sessions: 12",
                        "concurrency: 2, duration_seconds: 1")  # fmt: skip
    text += (
        "  - {latency_ms: {p50: 3, max: 4}, rates: {answers_per_second: {exactly: 5}},"
        " result_codes: [{code: 2001, share: {at_least: 0.95}}]}\n"
    )
    counted = counted_of_prepared(parse_scenario(text, "s.yaml"), REPORT)
    verdicts = judge(replace(REPORT, counted=counted))
    assert [(one.name, one.ok, one.found) for one in verdicts] == [
        ("share of result code 2001", False, "0.9 (9 of 10)"),
        ("latency p50", True, "1.00 ms"),
        ("latency max", False, "5.00 ms"),
        ("answers per second", True, "5.0"),
    ]


@pytest.mark.rule("X-071")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_prepared_load_is_judged_by_what_all_processes_measured(tmp_path, processes):
    text = config_path("scenarios/load.yaml").read_text(encoding="utf-8") + (
        "expect:\n"
        "  - {latency_ms: {p99: 20000}, rates: {answers_per_second: {at_least: 1}},"
        " result_codes: [{code: 2001, share: {exactly: 1}}], no_other_result_codes: true}\n"
        "  - {result_codes: [{code: 2001, count: {exactly: 0}}]}\n"
    )
    options = ("--processes", processes, "--duration", "3")
    report, _ = run(tmp_path, text, grant_all, 1, *options)
    assert [one["ok"] for one in report["verdicts"]] == [True, True, True, True, False]
    assert report["verdicts"][-1]["found"] == str(report["result_codes"]["2001"])


@pytest.mark.rule("X-073")
def test_junit_of_a_run_that_had_problems():
    problems = ["not connected <yet>\x1b", "and more"]
    report = replace(REPORT, problems=problems, verdicts=[Verdict("x", True, "1", "1")])
    root = ET.fromstring(junit_xml(report, 1_700_000_000_000_000_000))
    suite = root.find("testsuite")
    assert suite is not None
    assert root.attrib["errors"] == suite.attrib["errors"] == "1"
    assert suite.attrib["timestamp"] == "2023-11-14T22:13:20"
    assert suite.attrib["name"] == "small\N{REPLACEMENT CHARACTER} <run>"
    [error] = suite.findall("testcase/error")
    assert error.attrib["message"] == "not connected <yet>\N{REPLACEMENT CHARACTER}"
    assert error.text is not None
    assert error.text.endswith("and more")


@pytest.mark.rule("X-072")
def test_a_problem_comes_before_the_verdicts_that_failed_of_it():
    verdicts = [Verdict("nothing lost", False, "everything", "nothing")]
    text = replace(REPORT, problems=["not connected"], verdicts=verdicts).as_text()
    assert text.splitlines()[-2:] == [
        "  PROBLEM: not connected",
        "  FAILED  nothing lost: expected everything; found nothing",
    ]


def test_amounts_are_read_and_written_exactly():
    assert [micro(one) for one in ("0.07", "-12.5", "3", None)] == [70_000, -12_500_000, 3_000_000,
                                                                  None]  # fmt: skip
    assert [money_text(one) for one in (70_000, -12_500_000, 3, 0)] == [
        "0.07", "-12.50", "0.000003", "0.00",
    ]  # fmt: skip


def test_subscribers_are_found_in_their_groups():
    groups = Groups(
        tuple(
            Subscribers(
                name=name,
                first=first,
                count=3,
                identities=(IdentityPattern(type="sip", pattern="sip:a.#@x"),),
            )
            for name, first in (("one", 1), ("two", 4))
        )
    )
    names = []
    for number in (0, 1, 3, 4, 6, 7):
        group = groups.of((("sip", f"sip:a.{number}@x"),))
        names.append(None if group is None else group.name)
    assert names == [None, "one", "one", "two", "two", None]
    assert groups.of((("nai", "sip:a.1@x"),)) is groups.of((("sip", "sip:ab1@x"),)) is None
