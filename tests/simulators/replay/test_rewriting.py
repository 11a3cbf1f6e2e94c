"""Recorded requests as they are sent now."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import FLAG_RETRANSMIT, encode_avp, encode_message, encode_utf8, read_header
from protocol.credit_control import SubscriptionId
from protocol.credit_control_reader import partial_ccr_fields, read_ccr
from protocol.members import LENIENT
from protocol.service_information import read_service_information
from simulators.replay.rewriting import Moment, Rewriter, subscriber_of
from simulators.replay.rules import Rewrite, Rules, parse_rules, single_rewrite, with_options
from simulators.scenarios.document import DocumentError
from simulators.traffic.avps import group, i32, text
from tests.support.captures import START_NS, ccr

MOMENT = Moment("ocs.new.example", "new.example", 4711, 0xABCDEF01, 3_600_000_000_000)
RULES = """
origin_host:
  - {match: 'pgw(\\d+)\\.epc\\.example', replace: 'lab\\1.net.example'}
origin_realm: [{match: '.*', replace: net.example}]
subscriber:
  - {type: msisdn, match: '49(\\d+)', replace: '99\\1'}
  - {type: imsi, match: '262(\\d+)', replace: '001\\1'}
"""
PROXY_INFO = encode_avp(284, encode_utf8(280, "dra.example") + encode_avp(33, b"\1\2\3"))

OTHER_PLACES = """
destination_host: [{match: '(.*)[.]old.*', replace: '\\1.x.example'}]
destination_realm: [{match: 'o.*', replace: x.example}]
"""


def rewritten(message, rules="{}", session_id="new;1;2"):
    rewriter = Rewriter(parse_rules(rules, "rules.yaml"), 1_800_000_000)
    return rewriter.rewrite(message, session_id, MOMENT)


def read(message):
    return read_ccr(message, read_header(message), LENIENT)


def full(**values: Any):
    return ccr(
        destination_host="ocs.old.example",
        origin_state_id=9,
        event_timestamp_ns=START_NS,
        route_records=["pgw1.epc.example"],
        proxy_infos=PROXY_INFO,
        subscription_ids=[SubscriptionId(0, "4915112345678"), SubscriptionId(1, "26201123456")],
        **values,
    )


@pytest.mark.rule("X-057")
def test_without_rules_only_what_must_be_fresh_changes():
    new = read(rewritten(full()))
    assert new.session_id == "new;1;2"
    assert (new.origin_host, new.origin_realm) == ("pgw1.epc.example", "epc.example")
    assert (new.destination_host, new.destination_realm) == ("ocs.new.example", "new.example")
    assert new.origin_state_id == 4711
    assert new.event_timestamp_ns == START_NS + 3_600_000_000_000
    assert new.route_records == []
    assert new.proxy_infos == PROXY_INFO
    assert [one.data for one in new.subscription_ids] == ["4915112345678", "26201123456"]


@pytest.mark.rule("X-057")
def test_ids_are_fresh_and_the_mark_of_a_retransmission_is_gone():
    message = bytearray(full())
    message[4] |= FLAG_RETRANSMIT
    header = read_header(rewritten(bytes(message)))
    assert (header.end_to_end, header.hop_by_hop) == (0xABCDEF01, 0)
    assert header.is_proxiable
    assert not header.is_retransmitted


@pytest.mark.rule("X-057")
def test_rules_for_hosts_realms_and_subscribers():
    new = read(rewritten(full(), RULES))
    assert (new.origin_host, new.origin_realm) == ("lab1.net.example", "net.example")
    assert [one.data for one in new.subscription_ids] == ["9915112345678", "00101123456"]


@pytest.mark.rule("X-057")
def test_a_subscriber_is_renamed_wherever_the_request_names_him():
    inside = group(
        "Subscription-Id", i32("Subscription-Id-Type", 0), text("Subscription-Id-Data", "49151")
    )
    ims = group(
        "IMS-Information",
        i32("Node-Functionality", 0),
        text("Calling-Party-Address", "tel:+49151"),
        text("Called-Party-Address", "tel:+49177"),
    )
    message = ccr(msisdn="49151", user_name="49151", service_information=inside + ims)
    new = read(rewritten(message, RULES))
    assert new.user_name == "99151"
    assert new.service_information is not None
    assert b"49151" not in new.service_information
    information = read_service_information(new.service_information)
    assert information.calling_parties == ("tel:+99151",)
    assert information.called_party == "tel:+49177", "somebody else"


@pytest.mark.rule("X-057")
@pytest.mark.parametrize(
    "rules, host, realm",
    [
        ("destination_host: keep\ndestination_realm: keep", "ocs.old.example", "old.example"),
        ("destination_host: drop", None, "new.example"),
        (
            OTHER_PLACES,
            "ocs.x.example",
            "x.example",
        ),
    ],
)
def test_where_it_goes(rules, host, realm):
    new = read(rewritten(full(), rules))
    assert (new.destination_host, new.destination_realm) == (host, realm)


@pytest.mark.rule("X-057")
def test_times_and_proxy_infos_can_be_kept_or_dropped():
    assert read(rewritten(full(), "timestamps: keep")).event_timestamp_ns == START_NS
    assert read(rewritten(full(), "proxy_info: drop")).proxy_infos == b""


@pytest.mark.rule("X-057")
def test_an_agent_says_whose_request_it_forwards():
    assert read(rewritten(full(), RULES + "agent: dra.example")).route_records == [
        "lab1.net.example"
    ]


@pytest.mark.rule("X-057")
def test_ids_of_sessions():
    fresh = Rewriter(Rules(), 1_800_000_000)
    assert fresh.session_id("pgw1;1;7", "lab1.net.example", 3) == "lab1.net.example;1800000000;3"
    assert Rewriter(Rules(session_id="keep"), 0).session_id("pgw1;1;7", "x", 3) == "pgw1;1;7"
    ruled = Rules(session_id=(Rewrite(match="pgw1;(.*)", replace=r"lab;\1;again"),))
    assert Rewriter(ruled, 0).session_id("pgw1;1;7", "x", 3) == "lab;1;7;again"


@pytest.mark.rule("X-057")
@given(tail=st.binary(max_size=60), flags=st.sampled_from([0x40, 0x80, 0xC0, 0]))
def test_what_is_broken_or_unknown_stays_as_it_was(tail, flags):
    known = encode_utf8(263, "old;1;1") + encode_utf8(264, "pgw1.epc.example")
    strange = encode_avp(65_000, b"\xff\xfe", 99_999 if flags & 0x80 else 0, flags)
    message = encode_message(272, 4, 0xC0, 1, 2, known + strange + tail)
    new = rewritten(message, RULES, "old;1;1")
    expected = encode_utf8(263, "old;1;1") + encode_utf8(264, "lab1.net.example") + strange
    assert new[20 : 20 + len(expected)] == expected
    if not tail or len(tail) < 8:
        assert new[20 + len(expected) :] == tail


def test_who_is_charged():
    assert subscriber_of(full()) == "msisdn:4915112345678"
    assert subscriber_of(ccr(subscription_ids=[])) == ""
    assert subscriber_of(ccr()[:60]) == ""


@pytest.mark.rule("X-057")
def test_every_mistake_in_a_rules_file_is_said_with_its_place():
    with pytest.raises(DocumentError) as caught:
        parse_rules(
            "origin_host:\n"
            "  - {match: '(', replace: x}\n"
            "  - {match: a, replace: '\\1'}\n"
            "session_id: old\n"
            "tolerances: {granted_percent: 200}\n"
            "colour: blue\n",
            "rules.yaml",
        )
    said = str(caught.value)
    for words in (
        "rules.yaml:2:5: origin_host[0]: match is no regular expression",
        "rules.yaml:3:5: origin_host[1]: replace cannot be used: invalid group reference 1",
        "rules.yaml:4:",
        "rules.yaml:5:14: tolerances.granted_percent: input should be less than or equal to 100",
        "rules.yaml:6:1: colour: unknown key",
    ):
        assert words in said, said


def test_options_go_over_the_file():
    rules = with_options(parse_rules(RULES, "r"), agent="dra.example", session_id=None)
    assert (rules.agent, rules.session_id, len(rules.subscriber)) == ("dra.example", "fresh", 2)
    with pytest.raises(ValueError, match="agent: "):
        with_options(rules, agent="no host")


def test_an_option_is_a_rule_or_a_name_for_all():
    assert single_rewrite("a(.)=b\\1").apply("ax") == "bx"
    assert single_rewrite("lab.example").apply("whatever") == "lab.example"
    assert partial_ccr_fields(rewritten(full()))[0] == b"new;1;2"
