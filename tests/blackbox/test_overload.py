"""Peers and strangers that do their worst: what it costs a good peer, and what it leaves behind.

The server is one of its own, with limits low enough to be met, and the bad peers are processes of
their own. The bound is generous: the machine runs them, the server and the good peer at once, and
perhaps other tests. On an idle one it is some tens of milliseconds.
"""

import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from protocol.credit_control import RequestType
from tests.support.bad_peers import bad_peer
from tests.support.blackbox import World
from tests.support.blackbox_client import OCS_HOST, Dialogue, Peer, mscc

pytestmark = pytest.mark.xdist_group("overload")
GOOD, BAD = "pgw1.net.example", [f"bad{number}.net.example" for number in range(4)]
PATIENCE_SECONDS = 20
REQUESTS = 60
P99_SECONDS = 3.0
UNIDENTIFIED, PER_ADDRESS = 40, 30


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    diameter = {
        "max_output_octets": 1 << 16,
        "cer_timeout_seconds": PATIENCE_SECONDS,
        "peers": [{"origin_host": host} for host in (GOOD, *BAD)],
    }
    overload = {
        "max_unidentified_connections": UNIDENTIFIED,
        "max_connections_per_address": PER_ADDRESS,
    }
    directory = tmp_path_factory.mktemp("overload")
    metrics = {"enabled": True, "port": 0}
    with World(
        directory,
        diameter=diameter,
        overload=overload,
        metrics=metrics,
        charging={"answer_within_ms": 5000},
    ) as world:
        yield world
        # Those of the test that locks the database, if that took long enough to be said.
        world.expected_errors = said(world, 0, "the store cannot be used")
        world.check()


def figure(world: World, name: str) -> float:
    """A metric as Prometheus would read it."""
    address = next(line["listen"] for line in world.server.log if line.get("event") == "metrics")
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
    raise AssertionError(f"no metric {name}")


def faults(world: World, kind: str) -> float:
    return figure(world, f'ocs_peer_faults_total{{fault="{kind}"}}')


def p99_of_a_session(world: World) -> float:
    """Seconds within which 99 of 100 requests of a good peer are answered; all of them well."""
    with world.peer(GOOD) as peer:
        gy = Dialogue(peer, world.account())
        assert gy.initial(mscc(100, {})).code == 2001
        waits = []
        for _ in range(REQUESTS):
            began = time.monotonic()
            answer = gy.update(mscc(100, {}, {"total": 1000}))
            waits.append(time.monotonic() - began)
            assert answer.code == 2001 and answer.granted.total_octets == 10_000_000
    return sorted(waits)[REQUESTS * 99 // 100]


@pytest.mark.slow
@pytest.mark.rule("B-009")
@pytest.mark.parametrize(
    "kinds", [("greedy", "garbage", "huge"), ("greedy", "greedy", "chatter"), ("flood",)]
)
def test_a_good_peer_is_answered_while_bad_ones_do_their_worst(attacked, kinds):
    server = attacked.server
    with ExitStack() as bad:
        for host, kind in zip(BAD, kinds, strict=False):
            account = attacked.account(balance="1000000")
            bad.enter_context(bad_peer(kind, server.addresses[0], host, account.msisdn))
        p99 = p99_of_a_session(attacked)
    assert p99 <= P99_SECONDS


@pytest.mark.slow
@pytest.mark.rule("B-009")
def test_a_peer_that_does_not_read_is_disconnected_and_nobody_else(attacked):
    before = faults(attacked, "output_backlog")
    account = attacked.account(balance="1000000")
    with (
        attacked.peer(GOOD) as good,
        bad_peer("deaf", attacked.server.addresses[0], BAD[0], account.msisdn) as deaf,
    ):
        assert deaf.stdout is not None
        assert deaf.stdout.readline() == "ended\n"
        assert faults(attacked, "output_backlog") > before
        assert Dialogue(good, attacked.account()).initial(mscc(100, {})).code == 2001


def silent(world: World, address: str) -> socket.socket:
    """A connection that says nothing, from an address of the loopback network."""
    return socket.create_connection(world.server.addresses[0], 10, (address, 0))


def is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.rule("B-009")
def test_one_address_does_not_take_all_connections(attacked):
    before = faults(attacked, "too_many_of_address")
    with ExitStack() as crowd:
        for _ in range(PER_ADDRESS):
            crowd.enter_context(silent(attacked, "127.0.0.5"))
        one_more = crowd.enter_context(silent(attacked, "127.0.0.5"))
        assert is_over(one_more)
        assert faults(attacked, "too_many_of_address") == before + 1
        with attacked.peer(GOOD) as peer:
            assert Dialogue(peer, attacked.account()).initial(mscc(100, {})).code == 2001


@pytest.mark.rule("B-009")
def test_silent_connections_make_room_for_those_who_speak(attacked):
    before = faults(attacked, "too_many_unidentified")
    with ExitStack() as crowd:
        first = crowd.enter_context(silent(attacked, "127.0.0.50"))
        for number in range(2 * UNIDENTIFIED):
            crowd.enter_context(silent(attacked, f"127.0.0.{60 + number}"))
        assert is_over(first)
        with attacked.peer(GOOD) as peer:
            assert Dialogue(peer, attacked.account()).initial(mscc(100, {})).code == 2001
        assert faults(attacked, "too_many_unidentified") >= before + UNIDENTIFIED
        assert figure(attacked, "ocs_connections_unidentified") <= UNIDENTIFIED


@pytest.mark.rule("B-009")
def test_a_stranger_may_not_begin_with_a_large_message(attacked):
    with attacked.connect(GOOD) as peer:
        peer.send((1 << 24 | 65_540).to_bytes(4, "big") + bytes(1000))
        assert peer.is_ended()


@pytest.mark.rule("B-044")
def test_strangers_that_try_again_and_again_do_not_fill_the_log(attacked):
    seen = len(attacked.server.log)
    for _ in range(20):
        with attacked.connect("x.evil.example") as peer:
            assert peer.ask_for(peer.capabilities()).code == 3010
    with attacked.peer(GOOD) as peer:
        assert Dialogue(peer, attacked.account()).initial(mscc(100, {})).code == 2001
    attacked.eventually(lambda: said(attacked, seen, "peer connected") == 1)
    assert said(attacked, seen, "unknown peer refused") == 1
    assert said(attacked, seen, "connection closed") <= 1


def said(world: World, since: int, event: str) -> int:
    return sum(line.get("event", "").startswith(event) for line in world.server.log[since:])


@pytest.mark.rule("B-008", "B-047", "D15")
def test_a_second_connection_of_a_peer_is_refused_and_the_first_goes_on(attacked):
    with attacked.peer(GOOD) as first, attacked.connect(GOOD) as second:
        refusal = second.refused(second.capabilities())
        assert refusal.code == 5012 and not refusal.header.is_error
        assert Dialogue(first, attacked.account()).initial(mscc(100, {})).code == 2001


@pytest.mark.rule("B-010")
@pytest.mark.parametrize("end", [Peer.close, Peer.reset, Peer.disconnect])
def test_a_session_outlives_its_connection(attacked, end):
    account = attacked.account()
    first = attacked.peer(GOOD)
    gy = Dialogue(first, account)
    assert gy.initial(mscc(100, {})).code == 2001
    end(first)
    attacked.check_money(account, "10.00", "0.50")
    with reconnected(attacked) as again:
        gy.peer = again
        assert gy.update(mscc(100, {}, {"total": 1_000_000})).code == 2001
    attacked.check_money(account, "9.95", "0.50")


def reconnected(world: World) -> Peer:
    """The peer again, as soon as the server has noticed that its connection is gone."""
    accepted: list[Peer] = []

    def tried() -> bool:
        peer = world.connect(GOOD)
        if peer.ask_for(peer.capabilities()).code == 2001:
            accepted.append(peer)
            return True
        peer.socket.close()
        return False

    world.eventually(tried)
    return accepted[0]


@pytest.mark.rule("B-076", "R-3004")
def test_overload_is_said_as_3004_whomever_the_request_names(attacked):
    with attacked.peer(GOOD) as peer:
        dialogues = [Dialogue(peer, attacked.account()) for _ in range(2)]
        messages = [
            gy.message(RequestType.INITIAL, mscc(100, {}), destination_host=host)
            for gy, host in zip(dialogues, (None, OCS_HOST), strict=True)
        ]
        with attacked.writes_held():
            peer.send(b"".join(messages))
            answers = peer.collect(messages)
        assert [answer.code for answer in answers] == [3004, 3004]
        assert all(answer.header.is_error for answer in answers)
