"""Where the server listens when a part of it cannot be had."""

import socket

import pytest
from structlog.testing import capture_logs

from ocs.errors import FaultError
from ocs.service.peers.listening import Way, listen_for_diameter, listen_for_sctp
from ocs.settings.values import Endpoint, Listener
from protocol import sctp
from protocol.peer import PeerSettings
from protocol.transport import DiameterFactory
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread

ENDPOINT = Endpoint(("127.0.0.1",), 0)


@pytest.fixture
def thread():
    with reactor_thread() as running:
        yield running


@pytest.fixture
def factory(thread):
    return DiameterFactory(thread.reactor, PeerSettings("a.example", "example"), Recorder())


@pytest.mark.rule("B-004")
def test_a_kernel_without_sctp_is_said_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(sctp, "is_available", lambda: False)
    with capture_logs() as said:
        assert listen_for_sctp(None, None, [ENDPOINT], alone=False) == []
    (line,) = said
    assert line["log_level"] == "warning"
    assert line["event"].startswith("this kernel has no SCTP (where it is a module: modprobe sctp)")
    assert line["event"].endswith(": peers can connect with TCP only")


@pytest.mark.rule("B-004")
def test_a_kernel_without_sctp_is_no_word_where_nobody_asked_for_it(monkeypatch):
    monkeypatch.setattr(sctp, "is_available", lambda: False)
    with capture_logs() as said:
        assert listen_for_sctp(None, None, [], alone=True) == []
    assert said == []


@pytest.mark.rule("B-004")
def test_a_server_does_not_start_without_any_way_in(monkeypatch):
    monkeypatch.setattr(sctp, "is_available", lambda: False)
    with pytest.raises(FaultError, match=r"no SCTP .*the only way in that is set"):
        listen_for_sctp(None, None, [ENDPOINT], alone=True)


@pytest.mark.rule("B-001")
def test_all_ways_or_none(thread, factory):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ways = [
            Way(Listener("127.0.0.1", 0), factory, "diameter.listen"),
            Way(Listener("127.0.0.1", port), factory, "diameter.tls.listen"),
        ]
        with pytest.raises(FaultError, match=r"choose another port in diameter\.tls\.listen"):
            thread.call(listen_for_diameter, thread.reactor, ways)
    readers = thread.call(thread.reactor.getReaders)
    assert not [one for one in readers if getattr(one, "factory", None) is factory]


@pytest.mark.rule("B-001")
def test_ports_that_the_system_chooses_are_told(thread, factory):
    ways = [Way(Listener("127.0.0.1", 0), factory, "diameter.listen")]
    (way,) = thread.call(listen_for_diameter, thread.reactor, ways)
    assert way.listener.port == way.port.getHost().port > 0
    with socket.create_connection(("127.0.0.1", way.listener.port), timeout=10):
        pass
