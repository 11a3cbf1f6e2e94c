"""freeDiameter as a peer that comes otherwise than in clear on TCP: TLS of GnuTLS, and SCTP."""

import threading

import pytest

from protocol.peer import PeerSettings
from protocol.transport import DiameterFactory
from protocol.transport_sctp import listen_sctp
from tests.support.blackbox_client import OCS_HOST
from tests.support.certificates import Authority
from tests.support.freediameter import Called, FreeDiameter
from tests.support.ocs_process import OcsProcess
from tests.support.peer_recorder import Recorder
from tests.support.reactor_thread import reactor_thread

pytestmark = [pytest.mark.interop, pytest.mark.slow]

IDENTITY, REALM = "fd.net.example", "net.example"
WATCHDOG_SECONDS = 6
PEERS = [{"origin_host": IDENTITY, "relay": True, "require_tls": True}]


@pytest.mark.rule("B-002", "T014")
def test_freediameter_over_tls(needs_freediameter, tmp_path):
    authority = Authority(tmp_path / "authority")
    tls = authority.settings(authority.issue(OCS_HOST))
    (tmp_path / "server").mkdir()
    server = OcsProcess(tmp_path / "server", diameter={"tls": tls, "listen": [], "peers": PEERS})
    server.create_database()
    files = authority.files(authority.issue(IDENTITY))
    with server:
        called = Called(OCS_HOST, server.tls_addresses[0], WATCHDOG_SECONDS, way="")
        with FreeDiameter(
            needs_freediameter, tmp_path, IDENTITY, REALM, called, tls=files
        ) as client:
            client.wait_open(OCS_HOST)
            line = server.wait_for("peer connected")
            assert (line["origin_host"], line["tls"]) == (IDENTITY, True)
        server.wait_for("peer disconnected")
        assert server.stop() == 0


class SctpServer:
    """A server on SCTP in this process."""

    def __init__(self, thread) -> None:
        self.handler = Recorder()
        settings = PeerSettings(OCS_HOST, "ocs.example", watchdog_seconds=WATCHDOG_SECONDS)
        self.factory = DiameterFactory(thread.reactor, settings, self.handler)
        port = thread.call(listen_sctp, thread.reactor, self.factory, ["127.0.0.1"], 0)
        self.address = ("127.0.0.1", port.getHost().port)


@pytest.mark.rule("B-004")
def test_freediameter_over_sctp(needs_freediameter, needs_sctp, tmp_path):
    with reactor_thread() as thread:
        server = SctpServer(thread)
        called = Called(OCS_HOST, server.address, WATCHDOG_SECONDS, way="No_TLS;")
        with FreeDiameter(
            needs_freediameter, tmp_path, IDENTITY, REALM, called, sctp=True
        ) as client:
            client.wait_open(OCS_HOST)
            assert server.handler.told.get(timeout=10) == "up"
            (conn,) = server.handler.up
            assert conn.capabilities.origin_host == IDENTITY
            # Two watchdogs: freeDiameter reads what was sent unordered, too.
            wanted = conn.connection.counters.messages_in + 2
            pause = threading.Event()
            for _ in range(10 * WATCHDOG_SECONDS * 4):
                if conn.connection.counters.messages_in >= wanted:
                    break
                pause.wait(0.1)
            assert conn.connection.counters.messages_in >= wanted
        assert server.handler.told.get(timeout=10) == "down"
