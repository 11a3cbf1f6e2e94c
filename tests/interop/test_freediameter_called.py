"""freeDiameter called by the server: a relay behind a connection that the server began.

Its gateway is ours, and it calls that one. It knows the server as a peer to call too: with a port
where nobody listens, or with the right one, so that both sides call each other.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.base import CapabilitiesExchangeAnswer
from protocol.credit_control import CreditControlRequest
from tests.support.blackbox import World
from tests.support.blackbox_client import Answer, Dialogue, Peer, mscc
from tests.support.freediameter import (
    START_SECONDS,
    Called,
    FreeDiameter,
    free_listener,
    own_address,
)

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("freediameter")]
SERVER, GATEWAY, REALM = "ocs1.ocs.example", "pgw9.net.example", "net.example"
LESS, GREATER = "dra1.net.example", "zzz.net.example"
QUIET_SECONDS = 4
TC = 1


class Gateway(Peer):
    """A gateway behind freeDiameter, which adds a Route-Record to answers as well."""

    def ask_for(self, message: bytes | CreditControlRequest) -> Answer:
        sent = message if isinstance(message, bytes) else self.message(message)
        return Answer(sent, self.ask(sent)[1])


class Stage:
    """A server that calls freeDiameter, which calls a gateway."""

    def __init__(self, world: World, relay: FreeDiameter, gateway: Peer) -> None:
        self.world = world
        self.relay = relay
        self.gateway = gateway

    def events(self, host: str) -> list[str]:
        """What the server says of the relay's connections."""
        names = ("peer connected", "peer disconnected")
        return [
            line["event"]
            for line in self.world.server.log
            if line.get("origin_host") == host and line["event"] in names
        ]


@contextlib.contextmanager
def staged(
    program: Path, directory: Path, host: str, *, both_call: bool
) -> Iterator[Stage]:
    ip, port = own_address()
    if not ip:
        pytest.skip("the machine has no address but loopback; give it one")
    peers = [
        {"origin_host": host, "relay": True, "connect": f"{ip}:{port}"},
        {"origin_host": GATEWAY},
    ]
    with contextlib.ExitStack() as stack:
        diameter = {"peers": peers, "reconnect_seconds": TC}
        world = stack.enter_context(World(directory, diameter=diameter))
        listener = stack.enter_context(free_listener())
        own_port = world.server.addresses[0][1] if both_call else 1
        relay = FreeDiameter(
            program,
            directory,
            host,
            REALM,
            Called(SERVER, ("127.0.0.1", own_port)),
            Called(GATEWAY, listener.getsockname()),
            listen_on=(ip, port),
        )
        stack.enter_context(relay)
        gateway = stack.enter_context(answered(listener, world))
        relay.wait_open(SERVER, GATEWAY)
        yield Stage(world, relay, gateway)
        world.check()


def answered(listener, world: World) -> Peer:
    """Return the gateway when freeDiameter has called it and exchanged capabilities."""
    listener.settimeout(START_SECONDS)
    connection, _ = listener.accept()
    gateway = Gateway(connection, GATEWAY, world.now_ns, timeout=START_SECONDS)
    header, _ = gateway.receive()
    answer = CapabilitiesExchangeAnswer(
        GATEWAY,
        REALM,
        host_ip_addresses=("127.0.0.1",),
        vendor_id=0,
        product_name="test client",
        auth_application_ids=(4,),
        result_code=2001,
    )
    gateway.send(answer.write(header))
    return gateway


@pytest.mark.rule("B-008", "B-040")
def test_a_session_through_a_relay_that_the_server_called(needs_freediameter, tmp_path):
    with staged(needs_freediameter, tmp_path, LESS, both_call=False) as stage:
        account = stage.world.account()
        gy = Dialogue(stage.gateway, account)
        assert gy.initial(mscc(100, {})).granted.total_octets == 10_000_000
        assert gy.terminate(mscc(100, used={"total": 1_000_000})).code == 2001
        stage.world.check_money(account, "9.95", "0")


@pytest.mark.slow
@pytest.mark.rule("B-008", "B-047")
@pytest.mark.parametrize("host", [LESS, GREATER])
def test_where_both_sides_call_one_connection_stays(needs_freediameter, tmp_path, host):
    with staged(needs_freediameter, tmp_path, host, both_call=True) as stage:
        seen = stage.events(host)
        began = time.monotonic()
        stage.world.eventually(lambda: time.monotonic() - began > QUIET_SECONDS)
        assert stage.events(host) == seen, "nothing flaps"
        assert seen.count("peer connected") - seen.count("peer disconnected") == 1
        account = stage.world.account()
        assert Dialogue(stage.gateway, account).initial(mscc(100, {})).code == 2001
