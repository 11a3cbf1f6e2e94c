"""Fixtures of the interoperability tests: one server per process, checked after each test."""

from collections.abc import Iterator

import pytest

from tests.support.blackbox import World
from tests.support.wiretap import Wiretap

PEERS = [
    {"origin_host": "dra1.net.example", "relay": True},
    {"origin_host": "dra2.net.example", "relay": True},
    *({"origin_host": f"pgw{number}.net.example"} for number in range(1, 10)),
]


@pytest.fixture(scope="session")
def interop_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The server that all tests of this process share."""
    with World(tmp_path_factory.mktemp("interop"), diameter={"peers": PEERS}) as world:
        yield world


@pytest.fixture
def world(interop_world: World) -> Iterator[World]:
    """The shared server; the invariants of everything in it hold after the test."""
    yield interop_world
    interop_world.check()


@pytest.fixture
def tap(world: World) -> Iterator[Wiretap]:
    """A way to the server on which everything is remembered."""
    with Wiretap(world.server.addresses[0]) as tap:
        yield tap
