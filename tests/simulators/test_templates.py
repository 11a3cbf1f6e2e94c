"""Prepared messages are octet for octet what the writer makes."""

import struct

import pytest

from protocol import datatypes
from protocol.credit_control import RequestType
from simulators.load.templates import (
    _demand,
    layout_of,
    make_templates,
    ntp_seconds,
    session_id_of,
)
from simulators.scenarios.model import parse_scenario
from simulators.traffic.shapes import Envelope, Request, write_request

SCENARIO = """\
name: prepared
mode: prepared
load: {concurrency: 2, duration_seconds: 1}
gateways:
  - {origin_host: "pgw{n}.net.example", origin_realm: net.example, connections: 12}
subscribers:
  - count: 500
    first: 100
    identities:
      - {type: msisdn, pattern: "+1555#######"}
      - {type: imsi, pattern: "00101##########"}
  - count: 5
    first: 9000
    identities:
      - {type: msisdn, pattern: "+1555#######"}
      - {type: imsi, pattern: "00101##########"}
services:
  - kind: data
    duration_seconds: 1
    rating_groups:
      - {rating_group: 100, octets_per_second: 1}
      - {rating_group: 200, octets_per_second: 1, requested_octets: 77}
  - kind: voice
    duration_seconds: 1
    destinations: [{number: "+4930#######"}, {number: "+34#"}]
  - kind: sms
    destinations: [{number: "+4930#######"}]
"""
HOST = "pgw3.net.example"
ENVELOPE = Envelope(HOST, "net.example", "ocs.example", "", 1_790_000_000)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("position", [0, 499, 503])
def test_prepared_messages_equal_written_ones(index, position):
    scenario = parse_scenario(SCENARIO, "s")
    layout = layout_of(scenario, scenario.gateways[0].origin_hosts())
    service = scenario.services[index]
    [*destinations] = getattr(service, "destinations", ()) or ("",)
    session_id = session_id_of(HOST, 1_790_000_001, 123_456, layout.session_id_octets)
    for destination, templates in zip(
        destinations, make_templates(scenario, service, ENVELOPE, layout), strict=True
    ):
        for template in (templates.first, templates.update, templates.last):
            if template is None:
                continue
            prepared = template.message(
                (7, 0xFEDCBA98, 4_000_000_000, ntp_seconds(1_790_000_002), 0x0A010203,
                 session_id.encode(), *layout.numbers(scenario, position))
            )  # fmt: skip
            demand = _demand(RequestType(template.kind), service, scenario.prepared)
            number = getattr(destination, "number", "").replace("#", "7")
            written = write_request(
                "generic",
                Request(
                    ENVELOPE, session_id, service, scenario.identities_of(position), number,
                    type(demand)(
                        demand.request_type, 4_000_000_000, demand.services,
                        demand.termination_cause, demand.cause_code,
                    ),
                    1_790_000_002 * 10**9, 0x0A010203,
                ),
                0xFEDCBA98,
            )  # fmt: skip
            assert prepared[:12] + struct.pack(">I", 0) + prepared[16:] == written
            assert prepared[12:16] == struct.pack(">I", 7)
            assert template.octets == len(written)


def test_session_ids_have_one_width_whatever_the_host():
    scenario = parse_scenario(SCENARIO, "s")
    hosts = scenario.gateways[0].origin_hosts()
    layout = layout_of(scenario, hosts)
    ids = {session_id_of(host, 1, 2, layout.session_id_octets) for host in hosts}
    assert len(ids) == len(hosts)
    assert {len(one) for one in ids} == {layout.session_id_octets}


def test_different_identity_patterns_cannot_be_prepared():
    scenario = parse_scenario(SCENARIO.replace("+1555#######", "+1556#######", 1), "s")
    with pytest.raises(ValueError, match="same identity patterns"):
        layout_of(scenario, ["a"])


def test_short_numbers_cannot_be_prepared():
    text = SCENARIO.replace('"+1555#######"', '"+1555###"').replace("first: 9000", "first: 900")
    with pytest.raises(ValueError, match="4 or more"):
        layout_of(parse_scenario(text.replace("count: 500", "count: 400"), "s"), ["a"])


def test_ntp_seconds_are_those_of_the_time_avp():
    assert datatypes.pack_u32(ntp_seconds(0.0)) == datatypes.unix_ns_to_time(0)
