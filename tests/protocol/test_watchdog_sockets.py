"""RFC 3539 over real sockets: the watchdog's waits are made short by moving the server's clock."""

import socket
from dataclasses import replace

import pytest

from protocol.base import DeviceWatchdogAnswer, DisconnectCause, DisconnectPeerRequest
from protocol.peer import PeerDecision, PeerRecovered, PeerSuspect
from protocol.transport import DiameterFactory, listen
from tests.support.connection_pair import (
    DWR,
    SERVER,
    capabilities_request,
    header_of,
    request,
    result_code,
)
from tests.support.hand_driven import HandDriven
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread

TW, JITTER = 6.0, 2.0
ANYWHERE = replace(SERVER, host_ip_addresses=())
NAME = "pgw1.net.example"


class Steady(DiameterFactory):
    """Its connections wait as long as they say."""

    def jitter(self) -> float:
        return 0.0


class Server:
    """A listening server without jitter, which remembers whom its watchdog gave up."""

    def __init__(self, thread) -> None:
        self.thread = thread
        self.reactor = HandDriven(thread.reactor)
        self.handler = Recorder()
        self.gave_up = False
        self.factory = Steady(self.reactor, ANYWHERE, self.handler, self.decide)
        port = thread.call(listen, thread.reactor, self.factory, "127.0.0.1", 0)
        self.number = port.getHost().port

    def decide(self, _cer, _caller):
        return PeerDecision(after_down=self.gave_up)

    def dial(self):
        return socket.create_connection(("127.0.0.1", self.number), timeout=10)

    def opened(self):
        client = self.dial()
        client.sendall(capabilities_request(origin_host=NAME))
        assert result_code(read_message(client)) == 2001
        return client

    def wait(self, seconds):
        self.thread.call(self.reactor.advance, seconds)

    def conn(self):
        return self.thread.call(lambda: next(iter(self.factory.connections)))

    def down(self):
        assert self.handler.told.get(timeout=10) == "up"
        assert self.handler.told.get(timeout=10) == "down"
        closed = self.handler.down[-1]
        self.gave_up = closed.by_watchdog
        return closed


@pytest.fixture
def server():
    with reactor_thread() as thread:
        yield Server(thread)


def read_message(client):
    head = client.recv(4, socket.MSG_WAITALL)
    assert head, "the connection was closed"
    length = int.from_bytes(head[1:4], "big")
    return head + client.recv(length - 4, socket.MSG_WAITALL)


def read_watchdog(client):
    message = read_message(client)
    header = header_of(message)
    assert header.command_code == 280 and header.is_request
    return header


def answer(client, header):
    client.sendall(DeviceWatchdogAnswer(2001, NAME, "net.example").write(header))


def settled(client):
    """What was sent before has been read by the server: it answers in order."""
    client.sendall(DWR)
    while header_of(read_message(client)).is_request:
        pass


def is_silent(client):
    """Nothing but the answer to our own watchdog comes."""
    client.sendall(DWR)
    return not header_of(read_message(client)).is_request


@pytest.mark.rule("T053", "B-060")
def test_an_idle_connection_is_asked_once_for_a_sign_of_life(server):
    with server.opened() as client:
        server.wait(TW - 0.1)
        server.wait(0.2)
        answer(client, read_watchdog(client))
        assert is_silent(client)


@pytest.mark.rule("B-060")
def test_any_message_puts_the_watchdog_off(server):
    with server.opened() as client:
        for _ in range(5):
            server.wait(TW - 1)
            client.sendall(request())
            assert header_of(read_message(client)).command_code == 272
        server.wait(TW)
        read_watchdog(client)


@pytest.mark.rule("T055", "B-061")
def test_a_deaf_peer_is_asked_once_suspected_and_left(server):
    with server.opened() as client:
        conn = server.conn()
        pending = server.thread.call(conn.send_request, request(command=258))
        assert header_of(read_message(client)).hop_by_hop == pending
        server.wait(TW)
        read_watchdog(client)
        assert conn.can_send_requests
        server.wait(TW)
        (suspect,) = server.handler.changes
        assert isinstance(suspect, PeerSuspect)
        assert [header_of(one).hop_by_hop for one in suspect.unanswered] == [pending]
        assert not conn.can_send_requests, "nothing new is sent to it"
        server.wait(TW)
        assert client.recv(1) == b"", "no second watchdog, and closed"
    closed = server.down()
    assert closed.by_watchdog
    assert [header_of(one).hop_by_hop for one in closed.unanswered] == [pending]


@pytest.mark.rule("T056", "B-061", "B-063")
def test_a_suspected_peer_is_answered_and_trusted_again(server):
    with server.opened() as client:
        conn = server.conn()
        server.wait(TW)
        read_watchdog(client)
        server.wait(TW)
        assert not conn.can_send_requests
        client.sendall(request())
        assert header_of(read_message(client)).command_code == 272
        assert conn.can_send_requests
        assert [type(one) for one in server.handler.changes] == [PeerSuspect, PeerRecovered]


def deafened(server):
    """A peer whose connection the watchdog has given up."""
    with server.opened() as client:
        for _ in range(3):
            server.wait(TW)
        read_watchdog(client)
        assert client.recv(1) == b""
    assert server.down().by_watchdog


@pytest.mark.rule("B-062", "B-063")
def test_a_peer_that_was_given_up_proves_itself_with_three_answers_and_is_served_meanwhile(server):
    deafened(server)
    with server.opened() as client:
        conn = server.conn()
        for number in range(3):
            header = read_watchdog(client)
            assert not conn.can_send_requests, number
            client.sendall(request())
            assert header_of(read_message(client)).command_code == 272
            answer(client, header)
            settled(client)
            if number < 2:
                server.wait(TW)
        assert conn.can_send_requests
        assert isinstance(server.handler.changes[-1], PeerRecovered)


@pytest.mark.rule("B-062")
def test_a_reopened_connection_may_miss_one_answer_and_not_two(server):
    deafened(server)
    with server.opened() as client:
        read_watchdog(client)
        server.wait(TW)
        assert is_silent(client), "the first is missed; the count is -1"
        server.wait(TW)
        assert client.recv(1) == b""
    assert server.down().by_watchdog


@pytest.mark.rule("B-062")
def test_a_peer_lost_before_it_has_proved_itself_begins_anew(server):
    deafened(server)
    client = server.opened()
    answer(client, read_watchdog(client))
    settled(client)
    client.close()
    assert server.down().by_watchdog, "it still has to prove itself"


@pytest.mark.rule("B-062")
def test_a_trusted_peer_that_is_lost_or_leaves_is_trusted_when_it_comes_again(server):
    client = server.opened()
    client.close()
    assert not server.down().by_watchdog
    with server.opened() as client:
        goodbye = DisconnectPeerRequest(NAME, "net.example", DisconnectCause.REBOOTING)
        client.sendall(goodbye.write(7, 8))
        assert result_code(read_message(client)) == 2001
    assert not server.down().by_watchdog


@pytest.mark.rule("T046", "B-047")
def test_a_dead_connection_that_is_probed_is_gone_after_two_intervals(server):
    with server.opened():
        server.wait(TW - 1)
        server.thread.call(server.conn().probe)
        server.wait(TW)
        assert not server.handler.down
        server.wait(TW)
        assert server.down().by_watchdog


@pytest.mark.rule("T005", "B-045")
def test_a_connection_that_never_says_who_it_is_is_closed(server):
    with server.dial() as client:
        while not server.thread.call(lambda: server.factory.connections):
            pass
        server.wait(ANYWHERE.cer_timeout)
        assert client.recv(1) == b""
