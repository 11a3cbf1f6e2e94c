"""Section 4.3: watchdog and disconnect. The waits are real: a watchdog has at least 6 seconds.

The connections that wait are opened together and run beside each other, so that the module takes
as long as the longest of them.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from ocs.provisioning import session_requests
from protocol.base import (
    CommandCode,
    DeviceWatchdogAnswer,
    DeviceWatchdogRequest,
    DisconnectCause,
    DisconnectPeerRequest,
)
from protocol.codec import read_header
from tests.support.blackbox import World
from tests.support.blackbox_asking import row_of
from tests.support.blackbox_client import Answer, Dialogue, Peer, mscc, without
from tests.support.diameter_client import ConnectionEndedError, DiameterClient

pytestmark = pytest.mark.xdist_group("watchdog")
TW, JITTER, SLACK = 6.0, 2.0, 6.0
WAIT_SECONDS = 90.0


class Listener(Peer):
    """A peer that answers nothing by itself."""

    def _answered(self, _header) -> bool:
        return False


def listen(world: World, name: str) -> Listener:
    index = world.server.addresses[0]
    peer = Listener(index, name, world.now_ns, timeout=30.0)
    assert peer.ask_for(peer.capabilities()).code == 2001
    return peer


def next_watchdog(peer: Listener) -> bytes:
    header, message = peer.receive()
    assert header.command_code == CommandCode.DEVICE_WATCHDOG and header.is_request
    return message


def idle(world: World) -> dict[str, Any]:
    """T053: stay silent until the server asks."""
    with listen(world, "pgw4.net.example") as peer:
        began = time.monotonic()
        message = next_watchdog(peer)
        waited = time.monotonic() - began
        answer = DeviceWatchdogAnswer(2001, peer.origin_host, peer.origin_realm)
        peer.send(answer.write(read_header(message)))
        return {"waited": waited, "message": message}


def deaf(world: World) -> dict[str, Any]:
    """T055: never answer, with a session open."""
    account = world.account()
    with listen(world, "pgw5.net.example") as peer:
        gy = Dialogue(peer, account)
        gy.initial(mscc(100, {}))
        began = time.monotonic()
        watchdogs = 0
        try:
            while True:
                next_watchdog(peer)  # and nothing else
                watchdogs += 1
                world.eventually(lambda: "PeerSuspect" in changes_of(world, peer.origin_host))
                session_requests.reauth(world.desk, gy.session_id, None)
        except ConnectionEndedError:
            return {
                "watchdogs": watchdogs,
                "lasted": time.monotonic() - began,
                "asked": row_of(world, gy.session_id)["attempts"],
                "state": world.session_state(gy.session_id),
                "money": world.money(account),
            }


def suspect(world: World) -> dict[str, Any]:
    """T056: do not answer until the server suspects us, then send an update."""
    account, name = world.account(), "pgw6.net.example"
    with listen(world, name) as peer:
        gy = Dialogue(peer, account)
        gy.initial(mscc(100, {}))
        next_watchdog(peer)
        world.eventually(lambda: "PeerSuspect" in changes_of(world, name))
        answer = gy.update(mscc(100, {}, {"total": 1_000_000}))
        world.eventually(lambda: "PeerRecovered" in changes_of(world, name))
        return {"code": answer.code, "money": world.money(account)}


def black_holed(world: World) -> dict[str, Any]:
    """T046: the first connection is dead without a word; a second one is tried every 2 seconds."""
    account, name = world.account(), "pgw7.net.example"
    dead = listen(world, name)
    gy = Dialogue(dead, account)
    gy.initial(mscc(100, {}))
    began = time.monotonic()
    while True:
        # What cannot be reached answers nothing, so the first connection is not even read.
        with Peer(world.server.addresses[0], name, world.now_ns) as peer:
            try:
                answer = peer.ask_for(peer.capabilities())
            except ConnectionEndedError:
                answer = None
            if answer is not None and answer.code == 2001:
                gy.peer = peer
                update = gy.update(mscc(100, {}, {"total": 1_000_000}))
                dead.socket.close()
                return {"after": time.monotonic() - began, "code": update.code}
        wait_two_seconds(world)


def reopened(world: World) -> dict[str, Any]:
    """B-062: deaf until the server gives up, then back: it has to answer three times."""
    name = "pgw8.net.example"
    with listen(world, name) as peer:
        while not peer.is_ended():
            pass
    world.eventually(lambda: "PeerSuspect" in changes_of(world, name))
    account = world.account()
    with listen(world, name) as peer:
        began = time.monotonic()
        asked_at = []
        for _ in range(3):
            message = next_watchdog(peer)
            asked_at.append(time.monotonic() - began)
            trusted = "PeerRecovered" in changes_of(world, name)
            code = Dialogue(peer, account).initial(mscc(100, {})).code
            answer = DeviceWatchdogAnswer(2001, peer.origin_host, peer.origin_realm)
            peer.send(answer.write(read_header(message)))
        world.eventually(lambda: "PeerRecovered" in changes_of(world, name))
        return {"asked_at": asked_at, "trusted_before": trusted, "code": code}


def wait_two_seconds(world: World) -> None:
    """The pace of a client that connects again."""
    began = time.monotonic()
    world.eventually(lambda: time.monotonic() - began >= 2)


def changes_of(world: World, name: str) -> set[str]:
    return {
        line["change"]
        for line in world.server.log
        if line.get("event") == "peer changed" and line.get("origin_host") == name
    }


@pytest.fixture(scope="module")
def recordings(shared_world: World) -> Iterator[Callable[[Any], dict[str, Any]]]:
    """What came of each scenario; all of them run from the first time one is asked for."""
    with ThreadPoolExecutor(5) as pool:
        running: dict[Any, Future[dict[str, Any]]] = {
            scenario: pool.submit(scenario, shared_world)
            for scenario in (idle, deaf, suspect, black_holed, reopened)
        }
        yield lambda scenario: running[scenario].result(WAIT_SECONDS)


@pytest.mark.slow
@pytest.mark.rule("T046")
def test_T046_a_dead_connection_gives_way_to_a_new_one(world, recordings):
    found = recordings(black_holed)
    assert found["after"] <= 2 * (TW + JITTER) + SLACK
    assert found["code"] == 2001


@pytest.mark.rule("B-123", "T052")
def test_T052_a_watchdog_is_answered(world):
    with world.connect() as peer:
        cea = peer.ask_for(peer.capabilities())
        watchdog = DeviceWatchdogRequest(peer.origin_host, peer.origin_realm)
        answer = peer.ask_for(watchdog.write(*peer.ids()))
        assert answer.code == 2001 and answer.header.flags == 0
        assert not answer.all(263)
        assert answer.one(278).payload == cea.one(278).payload


@pytest.mark.slow
@pytest.mark.rule("T053")
def test_T053_an_idle_connection_is_probed(world, recordings):
    found = recordings(idle)
    assert TW - JITTER - 0.5 <= found["waited"] <= TW + JITTER + SLACK
    answer = Answer(b"", found["message"])
    assert answer.one(264).payload == b"ocs1.ocs.example" and answer.one(296)
    assert answer.header.flags == 0x80


@pytest.mark.slow
@pytest.mark.rule("T055")
def test_T055_a_peer_that_does_not_answer_is_disconnected(world, recordings):
    found = recordings(deaf)
    assert found["watchdogs"] == 1
    assert 3 * (TW - JITTER) - 0.5 <= found["lasted"] <= 3 * (TW + JITTER) + SLACK
    assert found["asked"] == 0, "nothing new is sent to a peer that is suspected"
    assert found["state"] == "open"
    assert found["money"] == (10_000_000, 500_000)


@pytest.mark.slow
@pytest.mark.rule("T056")
def test_T056_a_suspected_peer_is_served_and_trusted_again(world, recordings):
    found = recordings(suspect)
    assert found["code"] == 2001
    assert found["money"] == (9_950_000, 500_000)


@pytest.mark.slow
@pytest.mark.rule("B-062", "B-063")
def test_a_peer_that_was_given_up_has_to_answer_three_times(world, recordings):
    found = recordings(reopened)
    first, second, third = found["asked_at"]
    assert first < TW - JITTER, "at once"
    for waited in (second - first, third - second):
        assert TW - JITTER - 0.5 <= waited <= TW + JITTER + SLACK
    assert not found["trusted_before"]
    assert found["code"] == 2001, "served meanwhile"


@pytest.mark.rule("T058")
def test_T058_a_watchdog_without_its_sender(world, p1):
    watchdog = DeviceWatchdogRequest(p1.origin_host, p1.origin_realm).write(*p1.ids())
    answer = p1.ask_for(without(watchdog, 264))
    assert answer.code == 5005
    assert [(avp.code, avp.payload) for avp in answer.failed] == [(264, b"")]
    assert p1.ask_for(DeviceWatchdogRequest("pgw1.net.example", "x").write(*p1.ids())).code == 2001


def goodbye(peer: DiameterClient) -> bytes:
    request = DisconnectPeerRequest(peer.origin_host, peer.origin_realm, DisconnectCause.REBOOTING)
    return request.write(*peer.ids())


@pytest.mark.rule("B-124", "T059")
def test_T059_a_peer_that_leaves(world, a1):
    with world.peer() as peer:
        gy = Dialogue(peer, a1)
        assert gy.initial(mscc(100, {})).code == 2001
        answer = peer.ask_for(goodbye(peer))
        assert answer.code == 2001 and answer.header.flags == 0
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("T061")
def test_T061_a_goodbye_without_its_cause(world, p1):
    answer = p1.ask_for(without(goodbye(p1), 273))
    assert answer.code == 5005
    assert [(avp.code, avp.payload) for avp in answer.failed] == [(273, bytes(4))]


@pytest.mark.rule("T062")
def test_T062_a_goodbye_right_after_a_request(world, a1):
    with world.peer() as peer:
        gy = Dialogue(peer, a1)
        assert gy.initial(mscc(100, {})).code == 2001
        update = gy.message(2, mscc(100, {}, {"total": 1_000_000}))
        leave = goodbye(peer)
        peer.send(update + leave)
        answers = peer.collect([update, leave])
        assert [answer.code for answer in answers] == [2001, 2001]
    world.check_money(a1, "9.95", "0.50")
