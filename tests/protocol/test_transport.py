"""Peer connections on Twisted, with a transport and a clock in memory."""

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from protocol import base
from protocol.codec import encode_avp
from protocol.peer import DisconnectRequested, ErrorKind, PeerDecision
from protocol.peer_settings import Caller
from protocol.transport import (
    LINGER_SECONDS,
    DiameterFactory,
)
from protocol.transport_limits import TransportLimits
from tests.support.connection_pair import (
    DPR,
    DWR,
    SERVER,
    answer_to,
    avp,
    capabilities_request,
    header_of,
    request,
    result_code,
    split,
)
from tests.support.peer_recorder import Recorder

ANYWHERE = replace(SERVER, host_ip_addresses=())


class CountingTransport(StringTransport):
    """A transport in memory that counts writes."""

    writes = 0

    def write(self, data):
        self.writes += 1
        super().write(data)


class Memory:
    """A factory on a clock, with connections to transports in memory."""

    def __init__(self, settings=SERVER, *, hold=False, **options: Any) -> None:
        self.clock = Clock()
        self.handler = Recorder(hold=hold)
        self.factory = DiameterFactory(self.clock, settings, self.handler, **options)

    def connect(self, host="198.51.100.7", *, own=None):
        conn = self.factory.buildProtocol(None)
        assert conn is not None
        transport = CountingTransport(
            hostAddress=own or IPv4Address("TCP", "192.0.2.10", 3868),
            peerAddress=IPv4Address("TCP", host, 40000),
        )
        conn.makeConnection(transport)
        return conn, transport

    def open(self):
        conn, transport = self.connect()
        conn.dataReceived(capabilities_request())
        assert result_code(heard(transport)[0]) == 2001
        transport.writes = 0
        return conn, transport


def heard(transport):
    messages = split(transport.value())
    transport.clear()
    return messages


def test_requests_of_one_segment_are_one_batch_and_one_write():
    memory = Memory()
    conn, transport = memory.open()
    conn.dataReceived(b"".join(request(hop_by_hop=n) for n in range(20)))
    ((owner, batch),) = memory.handler.batches
    assert owner is conn
    assert [header.hop_by_hop for header, _ in batch] == list(range(20))
    assert transport.writes == 1
    assert len(heard(transport)) == 20
    assert memory.clock.getDelayedCalls() == [conn._timer]


def test_answers_given_later_leave_in_one_write_per_turn():
    memory = Memory(hold=True)
    conn, transport = memory.open()
    for n in range(5):
        conn.dataReceived(request(hop_by_hop=n))
    memory.handler.answer_held()
    assert transport.writes == 0
    memory.clock.advance(0)
    assert transport.writes == 1
    assert len(heard(transport)) == 5


def test_events_keep_their_order():
    memory = Memory(hold=True)
    conn, _ = memory.open()
    conn.dataReceived(request(hop_by_hop=1) + request(hop_by_hop=2) + DPR)
    assert [len(batch) for _, batch in memory.handler.batches] == [2]
    assert memory.handler.changes == [DisconnectRequested(base.DisconnectCause.REBOOTING)]


@pytest.mark.rule("T053")
def test_the_watchdog_runs_on_the_reactor_s_clock():
    memory = Memory()
    conn, transport = memory.open()
    memory.clock.advance(3.9)
    assert heard(transport) == []
    memory.clock.pump([0.1] * 41)
    (sent,) = heard(transport)
    assert header_of(sent).command_code == 280
    conn.dataReceived(answer_to(sent))
    assert heard(transport) == []


@pytest.mark.rule("T055")
def test_a_dead_peer_is_disconnected():
    memory = Memory()
    _, transport = memory.open()
    memory.clock.pump([0.5] * 60)
    assert len(heard(transport)) == 1
    assert transport.disconnecting
    assert [closed.by_watchdog for closed in memory.handler.down] == [True]


@pytest.mark.rule("B-009")
def test_reading_pauses_while_too_much_is_unanswered():
    memory = Memory(hold=True, limits=TransportLimits(max_unanswered_requests=10))
    conn, transport = memory.open()
    conn.dataReceived(b"".join(request(hop_by_hop=n) for n in range(10)))
    assert transport.producerState == "producing"
    conn.dataReceived(request(hop_by_hop=10))
    assert transport.producerState == "paused"
    for _ in range(5):
        conn.send_answer(answer_to(request()))
    memory.clock.advance(0)
    assert transport.producerState == "paused"
    conn.send_answer(answer_to(request()))
    memory.clock.advance(0)
    assert transport.producerState == "producing"


@pytest.mark.rule("B-009")
def test_a_peer_we_do_not_read_is_not_taken_for_dead():
    memory = Memory(hold=True, limits=TransportLimits(max_unanswered_requests=1))
    conn, transport = memory.open()
    conn.dataReceived(request(hop_by_hop=1) + request(hop_by_hop=2))
    memory.clock.pump([1.0] * 60)
    assert heard(transport) == []
    assert memory.handler.down == []
    memory.handler.answer_held()
    memory.clock.pump([1.0] * 40)
    assert [header_of(m).command_code for m in heard(transport)] == [272, 272, 280]
    assert [closed.by_watchdog for closed in memory.handler.down] == [True]


@pytest.mark.rule("B-009")
def test_output_waits_while_the_transport_is_full_and_ends_at_the_limit():
    memory = Memory(replace(SERVER, max_pending_output_octets=1000))
    conn, transport = memory.open()
    transport.producer.pauseProducing()
    conn.dataReceived(DWR)
    assert transport.writes == 0
    transport.producer.resumeProducing()
    assert len(heard(transport)) == 1
    transport.producer.pauseProducing()
    conn.dataReceived(DWR * 20)
    assert transport.disconnected
    assert memory.factory.counters().errors[ErrorKind.OUTPUT_BACKLOG] == 1


@pytest.mark.rule("B-009")
def test_connections_have_a_limit():
    memory = Memory(limits=TransportLimits(max_connections=2))
    conn, transport = memory.open()
    memory.open()
    assert memory.factory.buildProtocol(None) is None
    assert memory.factory.counters().errors[ErrorKind.TOO_MANY_CONNECTIONS] == 1
    transport.loseConnection()
    conn.connectionLost(Failure(ConnectionDone()))
    assert memory.factory.buildProtocol(None) is not None


@pytest.mark.rule("B-009")
def test_a_connection_that_says_nothing_makes_room_for_one_that_may_say_more():
    memory = Memory(limits=TransportLimits(max_unidentified_connections=1))
    _, known = memory.open()
    silent, room = memory.connect()
    memory.open()
    assert room.disconnected
    assert not known.disconnected
    silent.connectionLost(Failure(ConnectionDone()))
    assert memory.factory.counters().errors[ErrorKind.TOO_MANY_UNIDENTIFIED] == 1
    assert memory.factory.admission.unidentified == 0


@pytest.mark.rule("B-009")
def test_nobody_connects_more_often_than_the_rate():
    memory = Memory(limits=TransportLimits(max_new_connections_per_address=2))
    nearby = IPv4Address("TCP", "198.51.100.7", 40000)
    assert all(memory.factory.buildProtocol(nearby) for _ in range(2))
    assert memory.factory.buildProtocol(nearby) is None
    assert memory.factory.counters().errors[ErrorKind.CONNECTION_RATE] == 1
    memory.clock.advance(1)
    assert memory.factory.buildProtocol(nearby) is not None


@pytest.mark.rule("B-009")
def test_one_segment_full_of_messages_takes_several_turns():
    memory = Memory(hold=True, limits=TransportLimits(max_messages_per_turn=10))
    conn, transport = memory.open()
    conn.dataReceived(b"".join(request(hop_by_hop=n) for n in range(25)))
    assert [len(batch) for _, batch in memory.handler.batches] == [10]
    assert transport.producerState == "paused"
    memory.clock.advance(0)
    memory.clock.advance(0)
    assert [len(batch) for _, batch in memory.handler.batches] == [10, 10, 5]
    assert transport.producerState == "producing"
    conn.dataReceived(request(hop_by_hop=25))
    numbers = [header.hop_by_hop for _, batch in memory.handler.batches for header, _ in batch]
    assert numbers == list(range(26))


@pytest.mark.rule("B-009")
def test_what_was_received_waits_too_while_too_much_is_unanswered():
    limits = TransportLimits(max_unanswered_requests=5, max_messages_per_turn=10)
    memory = Memory(hold=True, limits=limits)
    conn, transport = memory.open()
    conn.dataReceived(b"".join(request(hop_by_hop=n) for n in range(25)))
    memory.clock.pump([0.0] * 5)
    assert [len(batch) for _, batch in memory.handler.batches] == [10]
    taken = 10
    while taken < 25:
        memory.handler.answer_held()
        memory.clock.pump([0.0] * 5)
        ((_, batch),) = memory.handler.batches
        taken += len(batch)
    assert transport.producerState == "producing"


@pytest.mark.rule("B-009")
def test_large_requests_are_counted_by_their_octets():
    memory = Memory(hold=True, limits=TransportLimits(max_unanswered_octets=100_000))
    conn, transport = memory.open()
    large = request(encode_avp(65000, bytes(60_000), flags=0))
    conn.dataReceived(large)
    assert transport.producerState == "producing"
    conn.dataReceived(large)
    assert transport.producerState == "paused"
    memory.handler.answer_held()
    memory.clock.advance(0)
    assert transport.producerState == "producing"
    assert conn.connection.unanswered_octets == 0


@pytest.mark.rule("B-009")
def test_who_only_chatters_is_not_read_until_the_second_is_over():
    memory = Memory(limits=TransportLimits(max_fruitless_messages_per_second=50))
    conn, transport = memory.open()
    conn.dataReceived(DWR * 60)
    assert transport.producerState == "paused"
    assert len(heard(transport)) == 60
    memory.clock.advance(0.9)
    assert transport.producerState == "paused"
    memory.clock.advance(0.2)
    assert transport.producerState == "producing"
    assert memory.factory.counters().errors[ErrorKind.FRUITLESS] == 1


@pytest.mark.rule("B-009")
def test_requests_that_the_owner_refuses_are_chatter_too():
    memory = Memory(limits=TransportLimits(max_fruitless_messages_per_second=50))
    conn, transport = memory.open()
    for _ in range(51):
        conn.note_fruitless()
    conn.dataReceived(request())
    assert transport.producerState == "paused"


@pytest.mark.rule("B-009")
def test_a_stranger_may_not_begin_with_a_large_message():
    memory = Memory(replace(SERVER, max_opening_octets=4096))
    conn, transport = memory.connect()
    conn.dataReceived((1 << 24 | 8192).to_bytes(4, "big") + bytes(2000))
    assert transport.disconnected
    conn, transport = memory.open()
    large = request(encode_avp(65000, bytes(60_000), flags=0))
    conn.dataReceived(large)
    assert len(heard(transport)) == 1


@pytest.mark.rule("B-006")
def test_a_lost_stream_is_reset_after_saying_why():
    memory = Memory()
    conn, transport = memory.open()
    conn.dataReceived(b"\1\0\0\x10" + request()[4:])
    assert [result_code(m) for m in heard(transport)] == [5015]
    assert not transport.disconnected
    memory.clock.advance(1)
    assert transport.disconnected
    fresh, silent = memory.connect()
    fresh.dataReceived(b"GET / HTTP/1.1\r\nHost: ocs1.ocs.example\r\n\r\n")
    assert silent.value() == b""
    assert silent.disconnected


def test_a_closed_connection_that_lingers_is_reset():
    memory = Memory()
    conn, transport = memory.connect()
    conn.dataReceived(request())
    assert transport.disconnecting
    assert transport.producer is None
    assert not transport.disconnected
    memory.clock.advance(LINGER_SECONDS)
    assert transport.disconnected
    conn.connectionLost(Failure(ConnectionDone()))
    assert memory.clock.getDelayedCalls() == []
    assert len(memory.handler.down) == 1


def test_a_lost_connection_leaves_no_timer_and_keeps_its_counts():
    memory = Memory(hold=True)
    conn, _ = memory.open()
    conn.dataReceived(request())
    conn.connectionLost(Failure(ConnectionDone()))
    assert memory.clock.getDelayedCalls() == []
    assert [closed.reason for closed in memory.handler.down] == ["Connection was closed cleanly."]
    memory.handler.answer_held()
    counters = memory.factory.counters()
    assert (counters.messages_in, counters.messages_out) == (2, 1)
    assert counters.octets_in == len(capabilities_request()) + len(request())
    assert counters.errors[ErrorKind.LATE_ANSWER] == 1


@pytest.mark.rule("T044")
def test_the_policy_sees_the_request_and_the_address():
    seen = []

    def policy(cer, caller):
        seen.append((cer.origin_host, caller))
        return PeerDecision()

    memory = Memory(policy=policy)
    conn, _ = memory.connect("::ffff:198.51.100.9")
    conn.dataReceived(capabilities_request())
    assert seen == [("pgw1.net.example", Caller("198.51.100.9"))]


def test_who_comes_from_a_foreign_address_is_not_listened_to():
    factory = DiameterFactory(
        Clock(), SERVER, Recorder(), admits=lambda address: address == "192.0.2.1"
    )
    assert factory.buildProtocol(IPv4Address("TCP", "198.51.100.9", 1)) is None
    assert factory.buildProtocol(IPv6Address("TCP", "::ffff:198.51.100.9", 1)) is None
    assert factory.buildProtocol(IPv6Address("TCP", "::ffff:192.0.2.1", 1)) is not None
    assert factory.counters().errors[ErrorKind.FOREIGN_ADDRESS] == 2


@pytest.mark.rule("T025")
@pytest.mark.parametrize(
    "own,payload",
    [
        (IPv4Address("TCP", "192.0.2.77", 3868), "0001c000024d"),
        (IPv6Address("TCP", "::ffff:192.0.2.77", 3868), "0001c000024d"),
        (IPv6Address("TCP", "fe80::1%eth0", 3868), "0002fe800000000000000000000000000001"),
    ],
)
def test_the_host_address_is_the_socket_s(own, payload):
    memory = Memory(ANYWHERE)
    conn, transport = memory.connect(own=own)
    conn.dataReceived(capabilities_request())
    assert avp(heard(transport)[0], 257) == bytes.fromhex(payload)


def test_stopping_waits_for_what_is_in_flight():
    memory = Memory(hold=True)
    conn, transport = memory.open()
    conn.dataReceived(request())
    stopped: list[None] = []
    memory.factory.disconnect_all().addCallback(stopped.append)
    memory.clock.advance(0)
    assert heard(transport) == []
    memory.handler.answer_held()
    memory.clock.advance(0)
    answer, goodbye = heard(transport)
    assert (header_of(answer).command_code, header_of(goodbye).command_code) == (272, 282)
    conn.dataReceived(answer_to(goodbye))
    assert transport.disconnecting
    assert not stopped
    conn.connectionLost(Failure(ConnectionDone()))
    assert stopped == [None]


def test_stopping_without_connections_is_over_at_once():
    stopped: list[None] = []
    Memory().factory.disconnect_all().addCallback(stopped.append)
    assert stopped == [None]


@pytest.mark.rule("B-047")
def test_a_probe_goes_out_in_the_next_turn():
    memory = Memory()
    conn, transport = memory.open()
    conn.probe()
    memory.clock.advance(0)
    assert [header_of(m).command_code for m in heard(transport)] == [280]
