"""Requests with their answers out of captures."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import FLAG_RETRANSMIT
from simulators.replay import exchanges
from simulators.replay.exchanges import CONNECTIONS_MAX
from simulators.replay.findings import Findings, UnusableError
from simulators.replay.loading import Selection, load_capture
from tests.support.captures import (
    CLIENT_PORT,
    FIN,
    SERVER_PORT,
    SYN,
    Made,
    Talk,
    cca,
    ccr,
    ipv4,
    pcap,
    session,
    tcp,
)


def load(tmp_path, packets, selection=None, link_type=101):
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap(packets, link_type))
    findings = Findings()
    return load_capture(path, findings, selection), findings


def again(message):
    changed = bytearray(message)
    changed[4] |= FLAG_RETRANSMIT
    return bytes(changed)


@pytest.mark.rule("X-056")
def test_a_session_with_its_answers(tmp_path):
    talk = Talk().open()
    messages = session(updates=2)
    talk.exchange_all(messages)
    loaded, findings = load(tmp_path, talk.packets)
    assert [(one.request, one.answer) for one in loaded.exchanges] == messages
    assert {one.origin_host for one in loaded.exchanges} == {"pgw1.epc.example"}
    assert [one.request_type for one in loaded.exchanges] == [1, 2, 2, 3]
    assert (loaded.packets, loaded.messages) == (10, 8)
    assert findings.problems == []
    assert not findings.notes


@pytest.mark.rule("X-056")
def test_answers_in_another_order_and_several_in_a_segment(tmp_path):
    messages = [pair for ordinal in range(1, 6) for pair in session(ordinal, 0)]
    talk = Talk().open().send(b"".join(request for request, _ in messages))
    shuffled = [answer for _, answer in messages]
    random.Random(4).shuffle(shuffled)
    talk.send(b"".join(shuffled), back=True)
    loaded, _ = load(tmp_path, talk.packets)
    assert [(one.request, one.answer) for one in loaded.exchanges] == messages


@pytest.mark.rule("X-056", "X-054")
def test_packets_that_were_captured_in_another_order(tmp_path):
    talk = Talk().open()
    messages = session(updates=8)
    for request, answer in messages:
        talk.send(request[:100]).send(request[100:]).send(answer, back=True)
    packets = talk.packets + talk.packets[5:9]
    moved = packets[:2] + random.Random(9).sample(packets[2:], len(packets) - 2)
    loaded, findings = load(tmp_path, moved)
    assert {one.request: one.answer for one in loaded.exchanges} == dict(messages)
    assert findings.problems == []
    assert findings.notes["TCP segments that came again"] == 4


@pytest.mark.rule("X-056")
def test_a_request_that_was_sent_again_counts_once_with_the_answer_it_got(tmp_path):
    request = ccr()
    first = Talk().open().send(request)
    second = Talk((CLIENT_PORT + 1, SERVER_PORT)).open().exchange(again(request), cca(request))
    loaded, findings = load(tmp_path, first.packets + second.packets)
    [exchange] = loaded.exchanges
    assert (exchange.request, exchange.answer) == (request, cca(request))
    assert findings.notes == {"requests that were sent again, left out": 1}


@pytest.mark.rule("X-056")
def test_what_an_agent_forwards_is_the_same_request(tmp_path):
    request, forwarded = ccr(hop_by_hop=5), ccr(hop_by_hop=900, route_records=["pgw1.epc.example"])
    other = ccr("smf.epc.example;1;1", host="smf.epc.example")
    before = Talk().open().exchange(request, cca(request))
    behind = Talk((52_000, SERVER_PORT)).open().exchange(forwarded, cca(forwarded))
    behind.exchange(other, cca(other))
    loaded, _ = load(tmp_path, before.packets + behind.packets)
    assert [one.origin_host for one in loaded.exchanges] == ["pgw1.epc.example", "smf.epc.example"]


@pytest.mark.rule("X-056")
def test_requests_without_answers_and_answers_without_requests(tmp_path):
    lonely = cca(ccr(hop_by_hop=77))
    talk = Talk().open().send(ccr()).send(lonely, back=True)
    loaded, findings = load(tmp_path, talk.packets)
    assert [one.answer for one in loaded.exchanges] == [None]
    assert findings.notes == {
        "requests without an answer in the capture": 1,
        "answers without a request in the capture": 1,
    }


@pytest.mark.rule("X-056")
def test_a_port_that_is_used_again_is_another_connection(tmp_path):
    first, second = session(1, 0), session(2, 0)
    one = Talk().open().exchange(*first[0]).send(b"", flags=FIN)
    two = Talk(first=77).open().exchange(*second[0])
    loaded, findings = load(tmp_path, one.packets + two.packets)
    assert [one.answer for one in loaded.exchanges] == [first[0][1], second[0][1]]
    assert findings.problems == []


@pytest.mark.rule("X-055")
def test_a_hole_is_said_and_the_rest_is_used(tmp_path):
    talk = Talk().open()
    messages = session(updates=4)
    talk.exchange_all(messages)
    packets = talk.packets[:6] + talk.packets[7:]
    loaded, findings = load(tmp_path, packets)
    assert [one.request for one in loaded.exchanges] == [
        request for number, (request, _) in enumerate(messages) if number != 2
    ]
    [problem] = findings.problems
    assert "octets are missing in 1 places of the connection 10." in problem


@pytest.mark.rule("X-056")
def test_only_the_port_that_is_wanted_and_only_the_first(tmp_path):
    messages = session(updates=3)
    talk, other = Talk().open(), Talk((CLIENT_PORT, 3870)).open()
    talk.exchange_all(messages)
    for request, answer in session(9):
        other.exchange(request, answer)
    both = talk.packets + other.packets
    assert len(load(tmp_path, both)[0].exchanges) == 8
    assert len(load(tmp_path, both, Selection(port=3868))[0].exchanges) == 5
    chosen = load(tmp_path, both, Selection(port=3870, first=2))[0].exchanges
    assert [one.request for one in chosen] == [request for request, _ in session(9)][:2]


@pytest.mark.rule("X-051")
def test_many_connections_are_put_together_without_keeping_all(tmp_path):
    packets = [
        Made(1, ipv4(tcp(b"", 5, SYN, ports=(1024 + number, 80))))
        for number in range(CONNECTIONS_MAX + 50)
    ]
    talk = Talk().open().exchange(*session()[0])
    loaded, _ = load(tmp_path, packets + talk.packets)
    assert len(loaded.exchanges) == 1


@pytest.mark.rule("X-051")
@pytest.mark.parametrize("limit, value", [("EXCHANGES_MAX", 3), ("REMEMBERED_OCTETS_MAX", 3000)])
def test_what_is_beyond_the_limits_is_left_out_and_said(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(exchanges, limit, value)
    talk = Talk().open()
    talk.exchange_all(session(updates=20))
    loaded, findings = load(tmp_path, talk.packets)
    assert 3 <= len(loaded.exchanges) < 22
    [problem] = findings.problems
    assert "holds more than is remembered" in problem


@pytest.mark.rule("X-051")
@settings(max_examples=60, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=6)), max_size=8))
def test_a_damaged_capture_never_gives_what_was_not_in_it(tmp_path_factory, damage):
    talk = Talk().open()
    messages = session(updates=3)
    talk.exchange_all(messages)
    whole = bytearray(b"".join(one.data for one in talk.packets))
    for place, octets in damage:
        whole[place : place + len(octets)] = octets
    packets, position = [], 0
    for one in talk.packets:
        packets.append(Made(one.at_ns, bytes(whole[position : position + len(one.data)])))
        position += len(one.data)
    try:
        loaded, _ = load(tmp_path_factory.getbasetemp(), packets)
    except UnusableError:
        return
    assert len(loaded.exchanges) <= len(messages)


@pytest.mark.rule("X-062")
def test_a_capture_without_credit_control_says_what_it_holds(tmp_path):
    web = Talk((CLIENT_PORT, 80)).open().send(b"GET / HTTP/1.0\r\n\r\n")
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(60)
    tls = Talk((CLIENT_PORT, 5868)).open().send(hello)
    udp = [Made(1, ipv4(bytes(8), protocol=17))] * 3
    with pytest.raises(UnusableError) as caught:
        load(tmp_path, web.packets + tls.packets + udp)
    said = str(caught.value)
    for words in (
        "holds no credit control to replay",
        "9 packets",
        "2 connections",
        "1 connections that speak TLS",
        "3 packets that are neither TCP nor SCTP",
        "0 Diameter messages",
    ):
        assert words in said


@pytest.mark.rule("X-056", "X-052")
def test_an_association_of_sctp(tmp_path):
    request = ccr(route_records=["a" * 100 + ".example"] * 12)
    answer = cca(request)

    def chunk(sequence, data, flags, *, back=False):
        ports = (SERVER_PORT, CLIENT_PORT) if back else (CLIENT_PORT, SERVER_PORT)
        head = struct.pack(">BBHIHHI", 0, flags, 16 + len(data), sequence, 1, 0, 46)
        packet = struct.pack(">HHII", *ports, 1, 0) + head + data + bytes(-len(data) % 4)
        return Made(1_000_000_000 + sequence, ipv4(packet, back=back, protocol=132))

    packets = [
        chunk(1, request[:500], 2),
        chunk(2, request[500:1000], 0),
        chunk(2, request[500:1000], 0),
        chunk(3, request[1000:], 1),
        chunk(9, answer, 3, back=True),
    ]
    loaded, _ = load(tmp_path, packets)
    assert [(one.request, one.answer) for one in loaded.exchanges] == [(request, answer)]
