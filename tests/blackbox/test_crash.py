"""Section 4.7: what a crash, a restart and a slow database do; each test has its own server."""

from contextlib import contextmanager
from typing import Any

import pytest

from protocol.credit_control import ServiceUnits
from tests.blackbox.conftest import PEERS
from tests.blackbox.test_duplicates import send_and_know
from tests.support.blackbox import World
from tests.support.blackbox_client import Dialogue, mscc

INITIAL, UPDATE = 1, 2
MB = 1_000_000
ACCOUNTS, SESSIONS = 20, 50
WINDOW = 200


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def new_world(request, tmp_path):
    """Make a world on either database; the invariants hold at its end."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")

    @contextmanager
    def make(**charging: Any):
        with World(tmp_path, url, charging=charging, diameter={"peers": PEERS}) as world:
            yield world
            world.check()

    return make


@pytest.mark.rule("C-133", "C-139", "C-182", "T167")
def test_T167_what_clients_do_when_we_are_gone(tmp_path):
    charging = {
        "cc_session_failover": "supported",
        "credit_control_failure_handling": "retry-and-terminate",
        "direct_debiting_failure_handling": "continue",
    }
    with World(tmp_path, charging=charging) as world, world.peer() as peer:
        answer = Dialogue(peer, world.account()).initial(mscc(100, {}))
        for code, value in ((418, 1), (427, 2), (428, 1)):
            avp = answer.one(code)
            assert int.from_bytes(avp.payload, "big") == value
            assert avp.flags & 0x40
        world.check()


@pytest.mark.slow
@pytest.mark.rule("B-144", "T187")
def test_T187_a_kill_before_and_one_after_the_commit(new_world):
    with new_world() as world:
        account = world.account()
        with world.peer() as peer:
            gy = Dialogue(peer, account)
            gy.initial(mscc(100, {}))
            report = gy.message(UPDATE, mscc(100, {}, {"total": 3 * MB}))
            with world.writes_held():
                send_and_know(peer, report)
                world.server.kill()
        world.check_money(account, "10.00", "0.50")
        world.server.start()
        with world.peer() as peer:
            answer = peer.ask_for(peer.again(report))
            assert answer.code == 2001 and answer.granted.total_octets == 10 * MB
            world.server.kill()
        world.server.start()
        with world.peer() as peer:
            again = peer.ask_for(peer.again(report))
            assert again.without_hop() == answer.without_hop()
        world.check_money(account, "9.85", "0.50")


@pytest.mark.slow
@pytest.mark.rule("B-049", "C-102", "T188")
def test_T188_a_restart_keeps_a_thousand_sessions(new_world):
    with new_world() as world:
        accounts = [world.account() for _ in range(ACCOUNTS)]
        with world.connect() as peer:
            state_id = peer.ask_for(peer.capabilities()).one(278).payload
            dialogues = [Dialogue(peer, accounts[n % ACCOUNTS]) for n in range(1000)]
            ask_all(peer, [one.message(INITIAL, mscc(100, {"total": MB})) for one in dialogues])
            world.server.kill()
        for account in accounts:
            world.check_money(account, "10.00", "2.50")
        world.server.start()
        with world.connect() as peer:
            assert peer.ask_for(peer.capabilities()).one(278).payload == state_id
            for one in dialogues:
                one.peer = peer
            service = mscc(100, {"total": 2 * MB}, {"total": MB})
            ask_all(peer, [one.message(UPDATE, service) for one in dialogues])
        for account in accounts:
            world.check_money(account, "7.50", "5.00")


def ask_all(peer, messages) -> None:
    """Send them a window at a time; every answer is a success with a grant."""
    for start in range(0, len(messages), WINDOW):
        part = messages[start : start + WINDOW]
        peer.send(b"".join(part))
        for answer in peer.collect(part):
            assert answer.code == answer.service.result_code == 2001
            assert isinstance(answer.granted, ServiceUnits)


@pytest.mark.rule("D20", "R-3004", "T190")
def test_T190_what_is_not_decided_in_time_is_not_done(new_world):
    with new_world(answer_within_ms=300) as world:
        waiting, queued = world.account(), world.account()
        with world.peer() as peer:
            first = Dialogue(peer, waiting).message(INITIAL, mscc(100, {}))
            second = Dialogue(peer, queued).message(INITIAL, mscc(100, {}))
            with world.writes_held():
                send_and_know(peer, first)
                send_and_know(peer, second)
                answers = peer.collect([first, second])
            for answer in answers:
                assert answer.code == 3004 and answer.header.is_error
            # The second was never looked at; the first may have been in the database's hands.
            for message in (Dialogue(peer, queued).message(INITIAL, mscc(100, {})), first):
                world.eventually(lambda sent=message: peer.ask_for(peer.again(sent)).code == 2001)
            world.check_money(queued, "10.00", "0.50")
            world.check_money(waiting, "10.00", "0.50")
