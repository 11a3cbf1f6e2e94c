"""A server that calls its peers: the same service on its connections, and both elections.

The server is one of its own, because the names and ports of who is called are in its settings.
"""

import time
from collections.abc import Iterator

import pytest

from protocol.base import DeviceWatchdogRequest
from tests.support.blackbox import World
from tests.support.blackbox_client import Answer, Dialogue, Peer, mscc
from tests.support.called_peer import CalledPeer

LESS, GREATER, FRIEND = "aaa.net.example", "zzz.net.example", "pgw1.net.example"
TC = 1
PATIENCE = 120
"""The server waits so long for a CEA that a call nobody has taken yet is still there."""
pytestmark = pytest.mark.xdist_group("dialing")


class Called(Peer):
    """A gateway on a connection that the server began."""


class Stage:
    """The server and the three peers that it calls."""

    def __init__(self, world: World, peers: dict[str, CalledPeer]) -> None:
        self.world = world
        self.peers = peers

    def gateway(self, host: str) -> Peer:
        """Answer a call and go on as a gateway, once the server has noticed."""
        called = self.peers[host].called()
        called.accept()
        peer = Called(called.socket, host, self.world.now_ns)
        watchdog = DeviceWatchdogRequest(host, "net.example")
        assert peer.ask_for(watchdog.write(*peer.ids())).code == 2001
        return peer


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    peers = {host: CalledPeer(host) for host in (LESS, GREATER, FRIEND)}
    diameter = {
        "reconnect_seconds": TC,
        "cer_timeout_seconds": PATIENCE,
        "peers": [{"origin_host": host, "connect": one.address} for host, one in peers.items()],
    }
    with World(tmp_path_factory.mktemp("dialing"), diameter=diameter) as world:
        yield Stage(world, peers)
        world.check()
    for peer in peers.values():
        peer.close()


def test_a_session_on_a_connection_that_the_server_began(calling):
    world = calling.world
    account = world.account("A1")
    with calling.gateway(FRIEND) as peer:
        gy = Dialogue(peer, account)
        assert gy.initial(mscc(100, {})).granted.total_octets == 10_000_000
    # The server calls again, and the session goes on.
    with calling.gateway(FRIEND) as again:
        gy.peer = again
        assert gy.terminate(mscc(100, used={"total": 1_000_000})).code == 2001
    world.check_money(account, "9.95", "0")


def calls_within(peer: CalledPeer, seconds: float) -> int:
    """How often the server calls in this time."""
    end = time.monotonic() + seconds
    count = 0
    while (left := end - time.monotonic()) > 0:
        peer.listener.settimeout(left)
        try:
            accepted, _ = peer.listener.accept()
        except TimeoutError:
            break
        accepted.close()
        count += 1
    peer.listener.settimeout(10)
    return count


@pytest.mark.rule("B-047", "B-130")
def test_an_election_that_the_server_wins(calling):
    """It closes the connection that it began and serves the one that it was called on."""
    began = calling.peers[LESS].called()
    with calling.world.connect(LESS.upper()) as caller:
        assert caller.ask_for(caller.capabilities()).code == 2001
        assert began.is_closed_by_server()
        assert calls_within(calling.peers[LESS], 3 * TC) == 0
        assert Dialogue(caller, calling.world.account()).initial(mscc(100, {})).code == 2001


@pytest.mark.rule("B-047", "B-130", "R-4003")
def test_an_election_that_the_server_loses(calling):
    """It refuses the connection that it is called on and is served on the one that it began."""
    began = calling.peers[GREATER].called()
    with calling.world.connect(GREATER) as caller:
        refusal = caller.ask_for(caller.capabilities())
        assert refusal.code == 4003
        assert not refusal.header.is_error
        assert caller.is_ended()
    began.accept()
    with Called(began.socket, GREATER, calling.world.now_ns) as peer:
        account = calling.world.account()
        assert Dialogue(peer, account).initial(mscc(100, {})).code == 2001
        assert calls_within(calling.peers[GREATER], 3 * TC) == 0


@pytest.mark.rule("B-008", "D15")
def test_who_was_called_and_calls_too_is_refused(calling):
    with calling.gateway(FRIEND) as peer, calling.world.connect(FRIEND) as second:
        answer: Answer = second.refused(second.capabilities())
        assert answer.code == 5012
        assert Dialogue(peer, calling.world.account()).initial(mscc(100, {})).code == 2001
