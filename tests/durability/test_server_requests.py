"""What clients are asked, with several servers on one database and servers that are killed.

A request is durable with the change that made it. It goes out once; twice only when a server was
killed after sending it and before the answer was written down, which nobody can know.
"""

import random
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocs.provisioning import session_requests
from tests.support.blackbox import World
from tests.support.blackbox_asking import (
    answer,
    asked_so_far,
    command,
    next_asked,
    row_of,
    until_state,
)
from tests.support.blackbox_client import Dialogue, Peer, mscc
from tests.support.launcher import ForkedOcs

P1, P2 = "pgw1.net.example", "dra1.net.example"
PEERS = [{"origin_host": P1}, {"origin_host": P2, "relay": True}]
RELAY = {"auth_application_ids": (0xFFFFFFFF,)}
CLAIM_SECONDS = 26
"""Longer than a server may take over one request."""
ROUNDS = 4


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path) -> str:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ocs.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def world(launcher, tmp_path: Path, url: str) -> Iterator[World]:
    """The first server; the invariants hold at the end."""
    home = tmp_path / "first"
    home.mkdir()
    make = partial(ForkedOcs, launcher)
    sections: dict[str, Any] = {"diameter": {"peers": PEERS}, "process": {"node": 1}}
    with World(home, url, make, **sections) as one:
        yield one
        if one.server.process is None:
            one.server.start()
        one.check()


@pytest.fixture
def second(launcher, tmp_path: Path, url: str, world: World) -> Iterator[ForkedOcs]:
    """Another server on the same database, with the same clock."""
    home = tmp_path / "second"
    home.mkdir()
    other = ForkedOcs(
        launcher,
        home,
        url,
        test_clock=True,
        diameter={"peers": PEERS},
        charging={"answer_within_ms": 10_000},
        process={"node": 2},
    )
    other.clock_file = world.server.clock_file
    with other:
        yield other


def connected(world: World, server: ForkedOcs, host: str = P1, **said: Any) -> Peer:
    peer = Peer(server.addresses[0], host, world.now_ns)
    assert peer.open(**said).result_code == 2001
    return peer


def poor_session(world: World, peer: Peer) -> Dialogue:
    """A session whose client was given its last units."""
    gy = Dialogue(peer, world.account("A2"))
    assert gy.initial(mscc(100, {})).service.final_unit is not None
    return gy


def top_up(world: World, gy: Dialogue) -> None:
    """`ocs account topup` in a process of its own."""
    name = f"msisdn:{gy.subscriber.msisdn}"
    command(world.server.url, "account", "topup", name, "5.00", "--reason", "paid")


def report(world: World, gy: Dialogue) -> None:
    """What the client does when it is asked, and what it gets for the top-up."""
    again = gy.update(mscc(100, {}, {"total": 1_000_000}, reason=7)).service
    assert again.granted.total_octets == 10_000_000
    assert again.final_unit is None
    world.check_money(gy.subscriber, "5.18", "0.50")


@pytest.mark.rule("T206", "T227")
def test_the_server_with_the_clients_connection_asks(world, second):
    """The top-up comes from a third process; an agent is connected to the other server."""
    with connected(world, world.server, P2, **RELAY) as agent, connected(world, second) as p1:
        gy = poor_session(world, p1)
        top_up(world, gy)
        answer(p1, next_asked(p1, gy.session_id), 2002)
        report(world, gy)
        world.advance(CLAIM_SECONDS)
        assert until_state(world, gy.session_id, "done")["attempts"] == 1
        assert asked_so_far(agent, gy.session_id) == asked_so_far(p1, gy.session_id) == 0


@pytest.mark.rule("C-095")
def test_a_client_of_both_servers_is_asked_once(world, second):
    with connected(world, world.server) as here, connected(world, second) as there:
        gy = poor_session(world, there)
        top_up(world, gy)
        world.eventually(lambda: row_of(world, gy.session_id)["state"] == "sent")
        peers = (here, there)
        world.eventually(lambda: sum(asked_so_far(one, gy.session_id) for one in peers) > 0)
        assert sum(asked_so_far(one, gy.session_id) for one in peers) == 1
        asked = next(one for one in peers if asked_so_far(one, gy.session_id))
        answer(asked, next_asked(asked, gy.session_id), 2002)
        report(world, gy)
        world.advance(CLAIM_SECONDS)
        assert until_state(world, gy.session_id, "done")["attempts"] == 1


def test_an_agent_of_the_other_server_is_the_way_when_there_is_no_other(world, second):
    with connected(world, world.server) as p1:
        gy = poor_session(world, p1)
    with connected(world, second, P2, **RELAY) as agent:
        top_up(world, gy)
        world.advance(2)
        asked = next_asked(agent, gy.session_id)
        assert asked.request.destination_host == P1
        answer(agent, asked, 2001)
        until_state(world, gy.session_id, "done")


@pytest.mark.rule("C-095", "T236")
def test_a_top_up_while_no_server_runs_is_told_once_afterwards(world):
    with connected(world, world.server) as p1:
        gy = poor_session(world, p1)
    world.server.kill()
    top_up(world, gy)
    world.server.start()
    with connected(world, world.server) as p1:
        gy.peer = p1
        answer(p1, next_asked(p1, gy.session_id), 2002)
        report(world, gy)
        world.advance(CLAIM_SECONDS)
        assert until_state(world, gy.session_id, "done")["attempts"] == 1
        assert asked_so_far(p1, gy.session_id) == 0


@pytest.mark.rule("C-095")
def test_a_server_killed_before_it_asked_asks_once_after_its_restart(world):
    """Killed with the commit behind it and the request before it: it was stopped meanwhile."""
    with connected(world, world.server) as p1:
        gy = poor_session(world, p1)
        with world.writes_held():
            # It is in no transaction now, and will begin none before it is killed.
            world.server.process.send_signal(signal.SIGSTOP)
        top_up(world, gy)
        world.server.kill()
    world.server.start()
    with connected(world, world.server) as p1:
        gy.peer = p1
        answer(p1, next_asked(p1, gy.session_id), 2002)
        report(world, gy)
        world.advance(CLAIM_SECONDS)
        assert until_state(world, gy.session_id, "done")["attempts"] == 1
        assert asked_so_far(p1, gy.session_id) == 0


@pytest.mark.rule("C-095")
def test_a_server_killed_before_the_answer_asks_a_second_time_and_no_more(world):
    with connected(world, world.server) as p1:
        gy = poor_session(world, p1)
        top_up(world, gy)
        next_asked(p1, gy.session_id)
        world.server.kill()
    world.server.start()
    with connected(world, world.server) as p1:
        gy.peer = p1
        # Whether the first one arrived, and is being answered, is not known before its time is up.
        assert asked_so_far(p1, gy.session_id) == 0
        world.advance(CLAIM_SECONDS)
        answer(p1, next_asked(p1, gy.session_id), 2002)
        report(world, gy)
        world.advance(CLAIM_SECONDS)
        assert until_state(world, gy.session_id, "done")["attempts"] == 2
        assert asked_so_far(p1, gy.session_id) == 0


@pytest.mark.rule("C-095")
def test_another_server_goes_on_where_one_was_killed(world, second):
    with connected(world, world.server) as p1:
        gy = poor_session(world, p1)
        top_up(world, gy)
        next_asked(p1, gy.session_id)
        world.server.kill()
    with connected(world, second) as p1:
        gy.peer = p1
        world.advance(CLAIM_SECONDS)
        answer(p1, next_asked(p1, gy.session_id), 2002)
        report(world, gy)
        world.advance(CLAIM_SECONDS)
        assert until_state(world, gy.session_id, "done")["attempts"] == 2


@pytest.mark.rule("C-095")
def test_kills_at_any_moment_lose_no_request(world, seed):
    """Each top-up is told once or twice, whenever the server dies."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        with connected(world, world.server) as p1:
            gy = poor_session(world, p1)
            session_requests.reauth(world.desk, gy.session_id, None)
            p1.socket.settimeout(chance.random() * 1.5)
            times = 0
            try:
                next_asked(p1, gy.session_id)
                times += 1
            except TimeoutError:
                pass
            world.server.kill()
        world.server.start()
        with connected(world, world.server) as p1:
            gy.peer = p1
            world.advance(CLAIM_SECONDS)
            answer(p1, next_asked(p1, gy.session_id), 2001)
            shown = until_state(world, gy.session_id, "done")
            assert asked_so_far(p1, gy.session_id) == 0
            assert times + 1 <= shown["attempts"] <= 2
            gy.terminate()
