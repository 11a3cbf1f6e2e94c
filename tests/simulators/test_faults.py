"""Faults of a scenario, against a small responder: what goes wrong, and that it is put right."""

import json
from collections import Counter, defaultdict

import pytest

from protocol.credit_control import RequestType
from simulators.scenarios.document import DocumentError
from simulators.scenarios.model import parse_scenario
from tests.support.launcher import run_ocs
from tests.support.responder import Responder, grant_all
from tests.support.simulated import run

SCENARIO = """\
name: faulty
seed: 5
speed_up: 200
load: {concurrency: 4, sessions: 16}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example, answer_timeout_seconds: 0.3,
     retransmissions_max: 8}
  - {origin_host: pgw2.net.example, origin_realm: net.example, answer_timeout_seconds: 0.3,
     retransmissions_max: 8}
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - kind: data
    duration_seconds: {uniform: [60, 100]}
    rating_groups: [{rating_group: 100, octets_per_second: 50000}]
"""
PATIENT = SCENARIO.replace("answer_timeout_seconds: 0.3", "answer_timeout_seconds: 10")
"""Nothing is sent again because the machine is busy."""
HOSTS = {"pgw1.net.example", "pgw2.net.example"}


def first_ones(responder):
    """What each session has asked, what was sent again left out."""
    asked = defaultdict(set)
    for _, one in responder.requests:
        host, _, ordinal = one.session_id.split(";")
        used = sum(unit.total_octets or 0 for part in one.services for unit in part.used)
        asked[host, ordinal].add((one.request_type, one.request_number, used))
    return dict(asked)


def faults_of(report):
    """How often what went wrong."""
    return report["series"]["faults_by_kind"]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """What the sessions do when nothing goes wrong."""
    report, responder = run(tmp_path_factory.mktemp("quiet"), PATIENT)
    assert faults_of(report) == {}
    assert report["retransmissions"] == 0
    return first_ones(responder)


@pytest.mark.rule("X-030")
@pytest.mark.parametrize("kind", ["lost", "cut"])
def test_requests_whose_answers_get_lost_are_sent_again_with_the_t_flag(tmp_path, kind, quiet):
    fault = f"faults: {{answers: [{{kind: {kind}, probability: 0.2, seconds: 0.1}}]}}\n"
    report, responder = run(tmp_path, SCENARIO + fault)
    word = {"lost": "answer lost", "cut": "answer lost with its connection"}[kind]
    again = [header for header, _ in responder.requests if header.is_retransmitted]
    assert 0 < faults_of(report)[word] <= len(again) == report["retransmissions"]
    assert report["answers"] == report["requests"]
    assert (report["connection_losses"] > 0) is (kind == "cut")
    assert first_ones(responder) == quiet  # nothing else has changed, and nobody else's dice
    ids = Counter((one.session_id, header.end_to_end) for header, one in responder.requests)
    assert len(ids) == report["requests"]


@pytest.mark.rule("X-031")
@pytest.mark.parametrize("kind", ["late", "duplicated", "reordered"])
def test_answers_come_late_twice_or_in_another_order(tmp_path, kind, quiet):
    fault = f"faults: {{answers: [{{kind: {kind}, probability: 0.5, seconds: 0.1}}]}}\n"
    report, responder = run(tmp_path, PATIENT + fault)
    assert faults_of(report)[f"answer {kind}"] > 10
    assert report["answers"] == report["requests"]
    assert report["retransmissions"] == 0
    assert first_ones(responder) == quiet
    if kind != "duplicated":
        assert report["latency_ms"]["all"]["max"] > 99
    else:
        assert sum(report["result_codes"].values()) == report["answers"]


@pytest.mark.rule("X-031")
def test_an_answer_that_is_later_than_the_gateway_waits_is_not_taken(tmp_path, quiet):
    fault = "faults: {answers: [{kind: late, probability: 0.1, seconds: 0.6}]}\n"
    report, responder = run(tmp_path, SCENARIO + fault)
    assert report["retransmissions"] >= faults_of(report)["answer late"] > 0
    assert report["answers"] == report["requests"]
    assert first_ones(responder) == quiet


@pytest.mark.rule("X-032")
def test_faults_happen_to_the_gateways_and_at_the_times_they_name(tmp_path):
    load = "load: {concurrency: 4, duration_seconds: 2}"
    text = SCENARIO.replace("load: {concurrency: 4, sessions: 16}", load) + """\
faults:
  answers:
    - {kind: late, probability: 1, seconds: 0.05, gateways: [pgw1.net.example]}
  connections:
    - {kind: cut, at_seconds: [0.5, 1.2], down_seconds: 0.1, gateways: [pgw2.net.example]}
"""
    report, _ = run(tmp_path, text)
    assert faults_of(report)["connection cut"] == report["connection_losses"] == 2
    marks = report["series"]["faults"]
    late = {one["detail"].split(";")[0] for one in marks if one["kind"] == "answer late"}
    assert all("pgw1.net.example" in one for one in late)
    cuts = [one for one in marks if one["kind"] == "connection cut"]
    first, second = (one["seconds"] for one in cuts)
    assert 0.5 <= first < 1.2 <= second < 2, "not before their times, and each before the next"
    assert all("pgw2.net.example" in one["detail"] for one in cuts)


@pytest.mark.rule("X-033")
def test_a_gateway_that_restarts_has_forgotten_its_sessions_and_says_so(tmp_path):
    load = "load: {concurrency: 4, duration_seconds: 2}"
    text = SCENARIO.replace("load: {concurrency: 4, sessions: 16}", load) + """\
faults:
  connections:
    - {kind: restart, at_seconds: [1], down_seconds: 0.1, gateways: [pgw1.net.example]}
"""
    report, responder = run(tmp_path, text)
    assert faults_of(report)["gateway restarted"] == 1
    assert report["events"]["forgotten"] >= 1
    states: dict[str, list[int | None]] = defaultdict(list)
    begun: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for _, one in responder.requests:
        if one.origin_state_id not in states[one.origin_host]:
            states[one.origin_host].append(one.origin_state_id)
        begun[one.origin_host] += one.request_type == RequestType.INITIAL
        ended[one.origin_host] += one.request_type == RequestType.TERMINATION
    assert set(states) == HOSTS
    first, second = states["pgw1.net.example"]
    assert first is not None
    assert second == first + 1
    assert len(states["pgw2.net.example"]) == 1
    silent = begun["pgw1.net.example"] - ended["pgw1.net.example"]
    assert 0 < silent <= report["events"]["forgotten"]
    assert begun["pgw2.net.example"] == ended["pgw2.net.example"]
    later = {one.session_id for _, one in responder.requests if one.origin_state_id == second}
    assert not later & {
        one.session_id for _, one in responder.requests if one.origin_state_id == first
        and one.origin_host == "pgw1.net.example"
    }  # fmt: skip


@pytest.mark.rule("X-034")
@pytest.mark.parametrize(
    "faults,words",
    [
        ("{answers: [{kind: stolen, probability: 1}]}", "should be 'lost', 'late'"),
        ("{answers: [{kind: lost, probability: 1.5}]}", "less than or equal to 1"),
        ("{connections: [{kind: cut, at_seconds: []}]}", "must not be empty"),
        ("{connections: [{kind: restart, at_seconds: [1], server: primary}]}", "is for cut"),
        ("{answers: [{kind: lost, probability: 1, gateways: [x.example]}]}", "no gateway here"),
        ("{sessions: [{kind: overuse, probability: 1, factor: 1}]}", "greater than 1"),
        ("{requests: [{kind: broken}]}", "probability"),
    ],
)
def test_impossible_faults_are_told(faults, words):
    with pytest.raises(DocumentError) as caught:
        parse_scenario(f"{SCENARIO}faults: {faults}\n", "faulty.yaml")
    assert words in str(caught.value)


def sessions_of(responder):
    """The requests of each session, in order."""
    sessions = defaultdict(list)
    for _, one in responder.requests:
        sessions[one.session_id].append(one)
    return sessions


def used_in(requests):
    """Octets that they report."""
    return sum(u.total_octets or 0 for one in requests for part in one.services for u in part.used)


@pytest.mark.rule("X-037")
def test_gateways_report_too_much_or_nothing_or_never_end_a_session(tmp_path, quiet):
    fault = """\
faults:
  sessions:
    - {kind: overuse, probability: 0.4, factor: 3}
    - {kind: zero, probability: 0.4}
    - {kind: no_end, probability: 0.5}
"""
    report, responder = run(tmp_path, SCENARIO + fault)
    faults = faults_of(report)
    sessions = sessions_of(responder)
    assert len(sessions) == 16
    honest = {key[1]: sum(used for *_, used in asked) for key, asked in quiet.items()}
    kinds: Counter[str] = Counter()
    for session_id, requests in sessions.items():
        used, meant = used_in(requests), honest[session_id.split(";")[2]]
        if requests[-1].request_type != RequestType.TERMINATION:
            kinds["session without end"] += 1
        elif used == 0:
            kinds["nothing reported"] += 1
        elif abs(used - 3 * meant) < 100:
            kinds["more reported than granted"] += 1
        else:
            assert used == meant
            kinds["honest"] += 1
    assert min(kinds.values()) >= 1
    assert len(kinds) == 4
    assert {kind: n for kind, n in kinds.items() if kind != "honest"} == faults
    assert report["events"]["never ended"] == faults["session without end"]


TWO = SCENARIO.replace(
    "load: {concurrency: 4, sessions: 16}", "load: {concurrency: 8, duration_seconds: 3}"
)


def movable(responder, header, request):
    """As `grant_all`, and another server may go on with it."""
    made = grant_all(responder, header, request)
    made.session_failover = 1
    return made


@pytest.mark.rule("X-035")
@pytest.mark.parametrize("answerer", [movable, grant_all])
def test_sessions_move_to_the_other_server_and_back_if_they_may(tmp_path, answerer):
    order = []

    def noted(responder, header, request):
        order.append((responder, request))
        return answerer(responder, header, request)

    path = tmp_path / "scenario.yaml"
    cut = "{kind: cut, at_seconds: [0.8], down_seconds: 1, server: primary}"
    with Responder(noted) as primary, Responder(noted) as secondary:
        ports = ", ".join(f'"127.0.0.1:{one.port}"' for one in (primary, secondary))
        path.write_text(f"{TWO}servers: [{ports}]\nfaults: {{connections: [{cut}]}}\n")
        done = run_ocs("simulate", path, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["answers"] == report["requests"]
    assert faults_of(report)["connection cut"] == faults_of(report)["server back"] == 2
    here, there = sessions_of(primary), sessions_of(secondary)
    assert len(here) > 8
    assert there
    both = here.keys() & there.keys()
    if answerer is movable:
        assert both
        went_on = [one for name in both for one in there[name] if one.request_number > 0]
        assert went_on
    else:  # only what had not been answered at all has gone there
        assert all([one.request_number for one in here[name]] == [0] for name in both)
    begun = [who for who, one in order if one.request_type == RequestType.INITIAL]
    assert begun[0] is primary
    assert begun[-1] is primary
    assert secondary in begun
