"""Peer connections on Twisted, on real sockets of the loopback interface."""

import socket
import struct
from dataclasses import replace

import pytest
from twisted.internet.error import CannotListenError

from protocol import codec
from protocol.peer import ErrorKind, PeerDecision, PeerSettings, PeerState
from protocol.transport import (
    DiameterFactory,
    connect,
    listen,
)
from tests.support.connection_pair import (
    CLIENT,
    DPR,
    DWR,
    SERVER,
    avp,
    capabilities_request,
    header_of,
    request,
    result_code,
    split,
)
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread

ANYWHERE = replace(SERVER, host_ip_addresses=())


class Server:
    """A listening server, and plain sockets to it."""

    def __init__(self, thread, interface="127.0.0.1", settings=ANYWHERE) -> None:
        self.thread = thread
        self.interface = interface
        self.handler = Recorder()
        self.factory = DiameterFactory(thread.reactor, settings, self.handler)
        self.port = thread.call(listen, thread.reactor, self.factory, interface, 0)
        self.number = self.port.getHost().port

    def dial(self):
        return socket.create_connection((self.interface, self.number), timeout=10)

    def opened(self, origin_host="pgw1.net.example"):
        client = self.dial()
        client.sendall(capabilities_request(origin_host=origin_host))
        assert result_code(read_message(client)) == 2001
        return client


@pytest.fixture
def thread():
    with reactor_thread() as running:
        yield running


def read_message(client):
    head = client.recv(4, socket.MSG_WAITALL)
    assert head, "the connection was closed"
    length = int.from_bytes(head[1:4], "big")
    return head + client.recv(length - 4, socket.MSG_WAITALL)


def rest_of(client):
    """What else comes before the end; a reset is an end too."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def send_for_ever(client, data):
    while True:
        client.sendall(data)


@pytest.mark.rule("T001", "T025")
def test_a_capabilities_exchange_over_tcp(thread):
    server = Server(thread)
    with server.dial() as client:
        client.sendall(capabilities_request())
        answer = read_message(client)
        assert result_code(answer) == 2001
        assert avp(answer, 257) == bytes.fromhex("00017f000001")
        client.sendall(request())
        assert header_of(read_message(client)).command_code == 272


@pytest.mark.rule("T013", "B-001")
def test_both_families_listen_on_one_port(thread):
    server = Server(thread, "::1", replace(ANYWHERE, origin_state_id=None))
    other = thread.call(listen, thread.reactor, server.factory, "127.0.0.1", server.number)
    with server.dial() as client:
        client.sendall(capabilities_request(host_ip_addresses=("2001:db8::7",)))
        answer = read_message(client)
        assert result_code(answer) == 2001
        assert avp(answer, 257) == b"\0\2" + bytes(15) + b"\1"
    thread.call(other.stopListening)


@pytest.mark.rule("B-044")
def test_ipv4_through_a_socket_of_both_families_is_ipv4(thread):
    asked = []

    def admits(address):
        asked.append(address)
        return address == "127.0.0.1"

    def policy(cer, caller):
        asked.append(caller.address)
        return PeerDecision()

    factory = DiameterFactory(thread.reactor, ANYWHERE, Recorder(), policy, admits=admits)
    with socket.socket(socket.AF_INET6) as both:
        both.setblocking(False)
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        both.listen()
        adopt = thread.reactor.adoptStreamPort
        port = thread.call(adopt, both.fileno(), socket.AF_INET6, factory)
    number = port.getHost().port
    with socket.create_connection(("127.0.0.1", number), timeout=10) as client:
        client.sendall(capabilities_request())
        answer = read_message(client)
        assert result_code(answer) == 2001
        assert avp(answer, 257) == bytes.fromhex("00017f000001"), "no address of IPv6"
    with socket.create_connection(("::1", number), timeout=10) as client:
        assert rest_of(client) == b""
    assert asked == ["127.0.0.1", "127.0.0.1", "::1"]


@pytest.mark.rule("T005")
def test_a_silent_connection_is_closed_with_nothing_sent(thread):
    server = Server(thread, settings=replace(ANYWHERE, cer_timeout=0.2))
    with server.dial() as client:
        assert rest_of(client) == b""


@pytest.mark.rule("T007")
def test_a_first_message_that_is_no_capabilities_request(thread):
    with Server(thread).dial() as client:
        client.sendall(request())
        assert rest_of(client) == b""


@pytest.mark.rule("T008", "T010")
@pytest.mark.parametrize("length", [16, 67])
def test_a_broken_stream_ends_and_another_goes_on(thread, length):
    server = Server(thread)
    with server.opened() as bad, server.opened("pgw2.net.example") as good:
        bad.sendall((1 << 24 | length).to_bytes(4, "big") + bytes(63))
        assert rest_of(bad) == b""
        good.sendall(request())
        assert header_of(read_message(good)).command_code == 272


@pytest.mark.rule("T011")
def test_another_version_over_tcp(thread):
    with Server(thread).opened() as client:
        client.sendall(b"\2" + DWR[1:])
        (answer,) = split(rest_of(client))
        assert result_code(answer) == 5011


@pytest.mark.rule("T022")
def test_a_reset_in_the_middle_of_a_request_harms_nobody(thread):
    server = Server(thread)
    with server.opened("pgw2.net.example") as good:
        bad = server.opened()
        bad.sendall(request()[:30])
        bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        bad.close()
        assert [server.handler.told.get(timeout=10) for _ in range(3)] == ["up", "up", "down"]
        good.sendall(request())
        assert header_of(read_message(good)).command_code == 272


@pytest.mark.rule("B-009")
def test_a_peer_that_stops_reading_is_reset_and_another_goes_on(thread):
    server = Server(thread, settings=replace(ANYWHERE, max_pending_output_octets=100_000))
    with server.opened() as bad, server.opened("pgw2.net.example") as good:
        bad.settimeout(10)
        with pytest.raises(ConnectionError):
            send_for_ever(bad, request() * 1000)
        good.sendall(DWR)
        assert result_code(read_message(good)) == 2001
        counters = thread.call(server.factory.counters)
        assert counters.errors[ErrorKind.OUTPUT_BACKLOG] == 1


@pytest.mark.rule("T059")
def test_a_goodbye_over_tcp(thread):
    server = Server(thread)
    with server.opened() as client:
        client.sendall(request() + DPR)
        assert header_of(read_message(client)).command_code == 272
        assert result_code(read_message(client)) == 2001
    assert [server.handler.told.get(timeout=10) for _ in range(2)] == ["up", "down"]


def test_a_port_in_use_is_said(thread):
    server = Server(thread)
    with pytest.raises(CannotListenError, match=str(server.number)):
        thread.call(listen, thread.reactor, server.factory, "127.0.0.1", server.number)


def test_our_own_client_talks_to_our_own_server(thread):
    server = Server(thread)
    caller = Recorder()
    settings = PeerSettings(CLIENT.origin_host, CLIENT.origin_realm)
    factory = DiameterFactory(thread.reactor, settings, caller, role="initiator")
    conn = thread.call(connect, thread.reactor, factory, "127.0.0.1", server.number)
    assert caller.told.get(timeout=10) == "up"
    assert conn.capabilities.origin_host == "ocs1.ocs.example"
    ids = [thread.call(conn.send_request, request(end_to_end=n)) for n in range(3)]
    assert [caller.told.get(timeout=10) for _ in ids] == ["answer"] * 3
    assert [codec.read_header(m).hop_by_hop for m in caller.answers] == ids
    thread.call(server.factory.disconnect_all)
    assert caller.told.get(timeout=10) == "down"
    assert conn.connection.state is PeerState.CLOSED
    assert [closed.reason for closed in server.handler.down] == ["disconnected by us"]
