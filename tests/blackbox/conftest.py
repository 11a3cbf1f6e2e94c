"""Fixtures of the black-box tests: one server per worker process, peers, the invariants after."""

from collections.abc import Iterator

import pytest

from tests.support.blackbox import World
from tests.support.blackbox_client import Dialogue, Peer

RELAY_APPLICATION = 0xFFFFFFFF
CER_TIMEOUT_SECONDS = 5
"""So long that a busy machine can send a CER octet by octet."""
PEERS = [
    {"origin_host": "dra1.net.example", "relay": True},
    *({"origin_host": f"pgw{number}.net.example"} for number in range(1, 9)),
    {"origin_host": "smf.net.example", "profile": "open5gs"},
    {"origin_host": "feg.net.example", "profile": "magma"},
    {"origin_host": "scscf.net.example", "profile": "kamailio"},
    {"origin_host": "sip.net.example", "profile": "siphon"},
    {"origin_host": "hss.net.example"},
]
"""P1 is pgw1, P2 is dra1; the other gateways are for tests that leave traces at their peer."""


@pytest.fixture(autouse=True)
def _recorded(recorded: None) -> None:
    """Whatever goes over the wire in these tests is shown to tshark after them."""


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server that all tests of this process share, with an account of its own for each."""
    diameter = {"cer_timeout_seconds": CER_TIMEOUT_SECONDS, "peers": PEERS}
    with World(tmp_path_factory.mktemp("blackbox"), diameter=diameter) as world:
        yield world


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The shared server; the invariants of everything in it hold after the test."""
    yield shared_world
    shared_world.check()


@pytest.fixture
def p1(world: World) -> Iterator[Peer]:
    """P1, a direct client, connected."""
    with world.peer() as peer:
        yield peer


@pytest.fixture
def p2(world: World) -> Iterator[Peer]:
    """P2, a relay, connected."""
    with world.peer("dra1.net.example", auth_application_ids=(RELAY_APPLICATION,)) as peer:
        yield peer


@pytest.fixture
def a1(world: World):
    """Account A1: 10.00."""
    return world.account("A1")


@pytest.fixture
def gy(p1: Peer, a1) -> Dialogue:
    """A data session of A1 on P1 that has not begun."""
    return Dialogue(p1, a1)
