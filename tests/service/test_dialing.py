"""Calling peers over real sockets, with the pauses made short by moving the server's clock."""

import queue
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog

from ocs.service.peers.dialing import JITTER, Dialing, DialingParts, Pauses, PeerCall
from ocs.service.peers.directory import PeerDirectory, PeerRules
from ocs.store.interface import PeerEntry
from protocol.base import DisconnectCause
from protocol.opening import wins_election
from protocol.peer import DisconnectRequested, PeerSettings
from protocol.peer_settings import EndToEndIds
from protocol.tls import load
from protocol.transport import DiameterFactory, listen
from protocol.transport_limits import TransportLimits
from tests.support.called_peer import CalledPeer
from tests.support.certificates import Authority
from tests.support.diameter_client import ConnectionEndedError, DiameterClient
from tests.support.hand_driven import HandDriven
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread

OURS = PeerSettings("ocs1.ocs.example", "ocs.example", host_ip_addresses=("127.0.0.1",))
LESS, GREATER = "aaa.net.example", "zzz.net.example"
TC = 30.0


class Handler(Recorder):
    """Tells the directory what the server's handler tells it."""

    def __init__(self, directory: PeerDirectory) -> None:
        super().__init__()
        self.directory = directory

    def peer_up(self, conn):
        self.directory.opened(conn.capabilities.origin_host, conn)
        super().peer_up(conn)

    def peer_down(self, conn, closed):
        if conn.capabilities is not None:
            host = conn.capabilities.origin_host
            self.directory.closed(host, conn, by_watchdog=closed.by_watchdog)
        super().peer_down(conn, closed)

    def peer_changed(self, conn, event):
        if isinstance(event, DisconnectRequested):
            self.directory.leaving(conn.capabilities.origin_host, event.cause)
        super().peer_changed(conn, event)


class Server:
    """A server that listens and calls; its clock is moved by the test."""

    def __init__(self, thread, *entries: PeerEntry) -> None:
        self.thread = thread
        self.reactor = HandDriven(thread.reactor)
        self.directory = PeerDirectory(PeerRules(origin_host=OURS.origin_host), entries)
        self.handler = Handler(self.directory)
        ids = EndToEndIds(0, 1)
        self.factory = DiameterFactory(
            self.reactor,
            OURS,
            self.handler,
            lambda cer, caller: self.directory.decide(cer.origin_host, caller),
            end_to_end_ids=ids,
        )
        port = thread.call(listen, thread.reactor, self.factory, "127.0.0.1", 0)
        self.address = ("127.0.0.1", port.getHost().port)
        self.dialing = Dialing(
            DialingParts(
                self.reactor, self.directory, self.handler, OURS, TransportLimits(), ids
            ),
            Pauses(TC, 10 * TC),
        )

    def start(self) -> None:
        self.thread.call(self.dialing.start)

    def wait(self, seconds: float) -> None:
        self.thread.call(self.reactor.advance, seconds)

    def wait_out(self, pause: float = TC) -> None:
        """Let the longest pause go by that Tc and its jitter may make."""
        self.wait(pause * (1 + JITTER) + 1)

    def told(self, *expected: str) -> None:
        """The handler was told these things next, as a set if several: two connections."""
        found = [self.handler.told.get(timeout=10) for _ in expected]
        assert sorted(found) == sorted(expected)

    def open_connections(self) -> int:
        began = self.thread.call(lambda: self.dialing.connections)
        return len(self.thread.call(lambda: self.factory.connections)) + len(began)

    def settle(self) -> None:
        """No call is on its way, and everything that the sockets have brought has been looked at.

        A call begins in the resolver's thread, which takes its time on a busy machine.
        """
        self._turn_until(lambda call: call._attempt is None)

    def will_call_again(self) -> None:
        """Return when nobody who is called has taken the call, and the next one is planned."""
        self._turn_until(lambda call: call._timer is not None)

    def _turn_until(self, done_with: Callable[[PeerCall], bool]) -> None:
        """Let the reactor turn until this is true of every call, and then a little more.

        The clock goes on meanwhile: a call that is refused fails after a moment.
        """
        done: queue.SimpleQueue[None] = queue.SimpleQueue()
        reactor = self.thread.reactor

        def turn(left: int) -> None:
            if not all(map(done_with, self.dialing._calls.values())):
                self.reactor.advance(0.01)
                reactor.callLater(0.01, turn, 5)
            elif left:
                reactor.callLater(0, turn, left - 1)
            else:
                done.put(None)

        reactor.callFromThread(turn, 5)
        done.get(timeout=30)


class Stage:
    """A running reactor, and the sockets that a test leaves open."""

    def __init__(self, thread) -> None:
        self.thread = thread
        self.peers: list[CalledPeer] = []

    def peer(self, host: str) -> CalledPeer:
        self.peers.append(CalledPeer(host))
        return self.peers[-1]

    def pair(self, host: str = GREATER, **entry: Any) -> tuple[Server, CalledPeer]:
        """A server that is to call a peer, and the peer."""
        peer = self.peer(host)
        return Server(self.thread, PeerEntry(host, connect=peer.address, **entry)), peer


@pytest.fixture
def stage():
    structlog.reset_defaults()  # another test may have led the log elsewhere
    with reactor_thread() as thread:
        running = Stage(thread)
        yield running
        for peer in running.peers:
            peer.close()


@pytest.mark.rule("B-040", "B-048")
def test_a_peer_is_called_and_the_connection_serves_both_directions(stage):
    server, peer = stage.pair()
    server.start()
    called = peer.called()
    assert called.cer.origin_host == "ocs1.ocs.example"
    assert called.cer.auth_application_ids == (4,)
    called.accept()
    server.told("up")
    assert server.directory.is_open(GREATER)
    assert server.dialing.missing == 0
    (conn,) = server.dialing.connections
    assert conn.can_send_requests
    assert conn.caller.is_called


@pytest.mark.rule("B-131")
def test_a_lost_connection_is_called_again_after_tc_and_not_before(stage):
    server, peer = stage.pair()
    server.start()
    called = peer.called()
    called.accept()
    server.told("up")
    called.close()
    server.told("down")
    assert server.dialing.missing == 1
    server.wait(TC * (1 - JITTER) - 1)
    server.settle()
    assert not peer.is_called()
    server.wait_out()
    peer.called().accept()
    server.told("up")


def test_who_does_not_answer_is_called_again_and_said_once_in_the_log(stage, capsys):
    server, peer = stage.pair()
    peer.stop_listening()
    server.start()
    for _ in range(3):
        server.will_call_again()
        server.wait_out()
    peer.listen()
    server.wait_out()
    peer.called().accept()
    server.told("up")
    assert capsys.readouterr().out.count("[warning  ] peer cannot be reached") == 1


@pytest.mark.parametrize(
    "answer,reason",
    [
        ({"result_code": 3010}, "CEA 3010"),
        ({"origin_host": "other.net.example"}, "it says that it is 'other.net.example'"),
        ({"auth_application_ids": (1,)}, "no common application"),
    ],
)
def test_an_answer_that_does_not_fit_is_no_connection_and_is_tried_again(
    stage, capsys, answer, reason
):
    server, peer = stage.pair()
    server.start()
    called = peer.called()
    called.accept(**answer)
    assert called.is_closed_by_server()
    server.will_call_again()
    assert not server.directory.is_open(GREATER)
    assert reason in capsys.readouterr().out
    server.wait_out()
    peer.called().accept()
    server.told("up")


def test_a_peer_that_called_us_is_not_called(stage):
    server, peer = stage.pair()
    peer.stop_listening()
    with DiameterClient(server.address, GREATER) as caller:
        assert caller.open().result_code == 2001
        server.told("up")
        peer.listen()
        server.start()
        server.wait_out()
        server.settle()
        assert not peer.is_called()
    server.told("down")
    server.wait_out()
    peer.called().accept()
    server.told("up")


@pytest.mark.rule("B-047")
def test_the_loser_of_the_election_keeps_the_connection_that_it_began(stage):
    assert not wins_election(OURS.origin_host, GREATER)
    server, peer = stage.pair(GREATER)
    server.start()
    called = peer.called()
    with DiameterClient(server.address, "ZZZ.net.example") as caller:
        assert caller.open().result_code == 4003
        assert caller.is_closed_by_server()
    called.accept()
    server.told("down", "up")
    server.wait_out()
    server.settle()
    assert not peer.is_called(), "nothing flaps"
    assert server.open_connections() == 1


@pytest.mark.rule("B-047")
def test_the_winner_of_the_election_closes_the_connection_that_it_began(stage):
    assert wins_election(OURS.origin_host, LESS)
    server, peer = stage.pair(LESS)
    server.start()
    called = peer.called()
    with DiameterClient(server.address, "AAA.net.example") as caller:
        assert caller.open().result_code == 2001
        server.told("up")
        assert called.is_closed_by_server()
        server.wait_out()
        server.settle()
        assert not peer.is_called(), "nothing flaps"
        assert server.open_connections() == 1
    server.told("down")


@pytest.mark.rule("B-047", "D15")
def test_there_is_no_election_with_a_connection_that_is_open(stage):
    server, peer = stage.pair(LESS)
    server.start()
    called = peer.called()
    called.accept()
    server.told("up")
    with DiameterClient(server.address, LESS) as caller:
        assert caller.open().result_code == 5012
    assert called.hears_nothing()
    assert called.watchdogs == 1, "the connection that is open is probed"


@pytest.mark.rule("B-130")
@pytest.mark.parametrize(
    "own,other,won",
    [
        ("b.example", "a.example", True),
        ("a.example", "b.example", False),
        ("B.example", "a.example", True),
        ("a.example", "B.EXAMPLE", False),
        ("A.example", "a.EXAMPLE", False),
        ("a.example.org", "a.example", True),
        ("a_b.example", "aZb.example", False),
    ],
)
def test_the_election_compares_octets_without_capitals(own, other, won):
    assert wins_election(own, other) is won


@pytest.mark.parametrize(
    "cause", [DisconnectCause.BUSY, DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU]
)
def test_a_peer_that_does_not_want_us_is_left_alone_for_longer(stage, cause):
    server, peer = stage.pair()
    server.start()
    called = peer.called()
    called.accept()
    server.told("up")
    called.leave(cause)
    server.told("down")
    server.wait_out()
    server.settle()
    assert not peer.is_called()
    server.wait_out(10 * TC)
    peer.called().accept()
    server.told("up")


@pytest.mark.rule("B-131")
def test_a_peer_that_restarts_is_called_again_after_tc(stage):
    server, peer = stage.pair()
    server.start()
    called = peer.called()
    called.accept()
    server.told("up")
    called.leave(DisconnectCause.REBOOTING)
    server.told("down")
    server.wait_out()
    peer.called()


@pytest.mark.rule("B-062")
def test_a_called_peer_that_was_given_up_has_to_prove_itself(stage):
    server, peer = stage.pair()
    server.start()
    called = peer.called()
    called.accept()
    server.told("up")
    for _ in range(3):
        server.wait(OURS.watchdog_seconds + 3)
    server.told("down")
    called.close()
    server.wait_out()
    again = peer.called()
    again.accept()
    server.told("up")
    (conn,) = server.dialing.connections
    assert not conn.can_send_requests
    assert again.hears_nothing()
    assert again.watchdogs == 1, "asked at once"


def test_a_peer_list_that_changes_begins_and_ends_calls(stage):
    first, second = stage.peer(LESS), stage.peer(GREATER)
    server = Server(stage.thread)
    server.start()
    replace_stored = server.directory.replace_stored
    server.thread.call(replace_stored, [PeerEntry(LESS, connect=first.address)])
    first.called().accept()
    server.told("up")
    server.thread.call(
        replace_stored, [PeerEntry(LESS), PeerEntry(GREATER, connect=second.address)]
    )
    second.called().accept()
    server.told("up")
    assert server.open_connections() == 2, "who was called stays connected"
    counters = server.thread.call(server.dialing.counters)
    assert counters.messages_in == 2
    server.thread.reactor.callFromThread(server.dialing.stop)
    for peer in (first, second):
        with pytest.raises(ConnectionEndedError):
            peer.open[0].receive()  # which answers the goodbye


def secure(server: Server, peer: CalledPeer, directory, *names: str) -> None:
    """Give the server a certificate, and the peer one for these names; both check the other's."""
    authority = Authority(directory)
    credentials = load(authority.files(authority.issue(OURS.origin_host)))
    parts = replace(server.dialing._parts, client_context=lambda: credentials.context)
    server.dialing = Dialing(parts, Pauses(TC, 10 * TC))
    shown = authority.issue(*names)
    peer.security = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    peer.security.load_cert_chain(shown.certificate_file, shown.key_file)
    peer.security.load_verify_locations(authority.trusted_file)
    peer.security.verify_mode = ssl.CERT_REQUIRED


@pytest.mark.rule("B-002")
def test_a_peer_that_requires_tls_is_called_with_our_certificate_and_shows_its_own(
    stage, tmp_path
):
    server, peer = stage.pair(require_tls=True)
    secure(server, peer, tmp_path, GREATER)
    server.start()
    called = peer.called()
    assert isinstance(called.socket, ssl.SSLSocket)
    shown = called.socket.getpeercert()
    assert shown is not None
    assert ("DNS", OURS.origin_host) in shown["subjectAltName"]
    called.accept()
    server.told("up")


@pytest.mark.rule("B-002", "T016")
def test_a_called_peer_with_the_certificate_of_another_is_no_peer(stage, tmp_path, capsys):
    server, peer = stage.pair(require_tls=True)
    secure(server, peer, tmp_path, "other.net.example")
    server.start()
    called = peer.called()
    called.accept()
    assert called.is_closed_by_server()
    server.will_call_again()
    assert not server.directory.is_open(GREATER)
    assert "the certificate is not that of zzz.net.example" in capsys.readouterr().out


@pytest.mark.parametrize("always_secured", [False, True])
def test_without_a_certificate_no_peer_is_called_that_must_be_secured(
    stage, capsys, always_secured
):
    server, peer = stage.pair(require_tls=not always_secured)
    parts = replace(server.dialing._parts, always_secured=always_secured)
    server.dialing = Dialing(parts)
    server.start()
    server.settle()
    assert not peer.is_called()
    assert "has no certificate" in capsys.readouterr().out
