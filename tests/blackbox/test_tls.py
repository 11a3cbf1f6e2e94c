"""Section 4.1 over TLS: who may speak on the port of TLS, and who is believed to be whom."""

import socket
import ssl
from pathlib import Path

import pytest

from tests.support.blackbox import World
from tests.support.blackbox_client import OCS_HOST, Dialogue, Peer, mscc
from tests.support.certificates import Authority, Identity
from tests.support.diameter_client import ConnectionEndedError

POOL = "pool.net.example"
PEERS = [
    {"origin_host": "pgw1.net.example"},
    {"origin_host": "pgw2.net.example", "require_tls": True},
    {"origin_host": "pgw3.net.example", "require_tls": True, "tls_names": [POOL]},
]


class Secured:
    """A server that speaks TLS and clear, and certificates for its peers."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "authority")
        own = self.authority.issue(OCS_HOST)
        tls = self.authority.settings(own, look_seconds=1)
        (directory / "server").mkdir()
        self.world = World(directory / "server", diameter={"peers": PEERS, "tls": tls})
        self.own = own

    def issue(self, *names: str) -> Identity:
        return self.authority.issue(*names)

    def connect(self, identity: Identity, origin_host: str) -> Peer:
        """Connect secured; nothing of Diameter is said yet."""
        plain = socket.create_connection(self.world.server.tls_addresses[0], timeout=10)
        tls = self.authority.client(identity).wrap_socket(plain, server_hostname=OCS_HOST)
        return Peer(tls, origin_host, self.world.now_ns)


@pytest.fixture(scope="module")
def secured_server(tmp_path_factory):
    secured = Secured(tmp_path_factory.mktemp("tls"))
    with secured.world:
        yield secured


@pytest.fixture
def secured(secured_server):
    yield secured_server
    secured_server.world.check()


@pytest.mark.rule("T014", "B-002")
@pytest.mark.parametrize("names", [("pgw1.net.example",), ("*.net.example",)])
def test_T014_a_trusted_certificate_of_the_peer(secured, names):
    subscriber = secured.world.account("A1")
    with secured.connect(secured.issue(*names), "pgw1.net.example") as peer:
        assert peer.ask_for(peer.capabilities()).code == 2001
        gy = Dialogue(peer, subscriber)
        assert gy.initial(mscc(100, {})).code == 2001
        assert gy.terminate(mscc(100, used={"total": 1_000_000})).code == 2001
    secured.world.check_money(subscriber, "9.95", "0")


@pytest.mark.rule("T016", "B-002")
@pytest.mark.parametrize(
    "name,origin_host",
    [
        pytest.param("pgw2.net.example", "pgw1.net.example", id="of-another-peer"),
        pytest.param("pgw3.net.example", "pgw3.net.example", id="not-the-name-of-its-entry"),
        pytest.param("net.example", "pgw1.net.example", id="of-the-realm"),
    ],
)
def test_T016_the_certificate_of_somebody_else(secured, name, origin_host):
    with secured.connect(secured.issue(name), origin_host) as peer:
        answer = peer.refused(peer.capabilities())
        assert answer.code == 3010 and answer.header.is_error


@pytest.mark.rule("T016", "B-002")
def test_T016_a_name_that_the_entry_of_the_peer_gives(secured):
    with secured.connect(secured.issue(POOL), "pgw3.net.example") as peer:
        assert peer.ask_for(peer.capabilities()).code == 2001


@pytest.mark.rule("T016", "B-002")
def test_T016_a_certificate_that_nobody_trusts(secured, tmp_path):
    stranger = Authority(tmp_path, "Stranger").issue("pgw1.net.example")
    broken = pytest.raises((ssl.SSLError, ConnectionError, ConnectionEndedError))
    with broken, secured.connect(stranger, "pgw1.net.example") as peer:
        peer.open()


@pytest.mark.rule("T017", "B-002")
def test_T017_in_clear_on_the_port_of_tls(secured):
    address = secured.world.server.tls_addresses[0]
    with Peer(address, "pgw1.net.example", secured.world.now_ns) as peer:
        peer.send(peer.capabilities())
        heard = b""
        try:
            while piece := peer.socket.recv(65536):
                heard += piece
        except ConnectionResetError:
            pass
    assert heard[:1] in {b"", b"\x15"}, "at most an alert of TLS, and no CEA"


@pytest.mark.rule("B-002", "B-003")
def test_a_peer_that_must_use_tls_is_refused_in_clear(secured):
    with secured.world.connect("pgw2.net.example") as peer:
        answer = peer.refused(peer.capabilities())
        assert answer.code == 5017 and not answer.header.is_error
    with secured.connect(secured.issue("pgw2.net.example"), "pgw2.net.example") as peer:
        assert peer.ask_for(peer.capabilities()).code == 2001


@pytest.mark.rule("B-002", "B-047")
def test_who_holds_another_certificate_does_not_touch_the_peer_that_is_there(secured):
    identity = secured.issue("pgw2.net.example")
    with secured.connect(identity, "pgw2.net.example") as peer:
        assert peer.ask_for(peer.capabilities()).code == 2001
        with secured.connect(secured.issue("pgw1.net.example"), "pgw2.net.example") as thief:
            assert thief.refused(thief.capabilities()).code == 3010
        assert peer.watchdogs == 0
        assert Dialogue(peer, secured.world.account()).initial(mscc(100, {})).code == 2001
