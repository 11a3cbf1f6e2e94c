"""The answerer of the simulator's ceiling: what it says is Diameter, and of the request."""

from collections import Counter

import pytest

from benchmarks.answerer import answer_to
from protocol.codec import read_header
from protocol.credit_control_reader import read_cca
from simulators.scenarios.model import parse_scenario
from simulators.traffic.schedule import Schedule
from simulators.traffic.shapes import Envelope, Request, write_request

SCENARIO = """\
name: asks
load: {concurrency: 1, sessions: 1}
gateways: [{origin_host: pgw1.net.example, origin_realm: net.example}]
subscribers:
  - {count: 9, identities: [{type: msisdn, pattern: "+155500#"}]}
services:
  - SERVICE
"""
DATA = (
    "{kind: data, duration_seconds: 9, rating_groups: [{rating_group: 100, octets_per_second: 9}]}"
)
SMS = '{kind: sms, destinations: [{number: "+4930#######"}]}'


@pytest.mark.parametrize("service, kind, granted", [(DATA, 1, 1_000_000), (SMS, 4, None)])
def test_an_answer_can_be_read_and_belongs_to_the_request(service, kind, granted):
    schedule = Schedule(parse_scenario(SCENARIO.replace("SERVICE", service), "s"), 1, Counter())
    schedule.lanes[0].open = True
    [due] = schedule.take_due(0.0)
    request = Request(
        Envelope("pgw1.net.example", "net.example", "ocs.example", "", 1),
        due.session.session_id,
        due.session.service,
        due.session.identities,
        due.session.destination,
        due.demand,
        1_700_000_000 * 10**9,
        7,
    )
    message = write_request("generic", request, 77)
    written = answer_to(message)
    header = read_header(written)
    assert header.length == len(written)
    assert not header.is_request
    assert header.end_to_end == read_header(message).end_to_end == 77
    answer = read_cca(written)
    assert (answer.session_id, answer.result_code) == (due.session.session_id, 2001)
    assert (answer.request_type, answer.request_number) == (kind, 0)
    parts = [part.granted.total_octets for part in answer.services if part.granted is not None]
    assert parts == ([] if granted is None else [granted])
