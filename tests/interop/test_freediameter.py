"""freeDiameter between a gateway and the server, as the relay agents of operators are.

freeDiameter calls both: the server through a tap, and the gateway, which is ours.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ocs.provisioning import session_requests
from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    CommandCode,
    DeviceWatchdogRequest,
    DisconnectPeerRequest,
)
from protocol.codec import (
    encode_avp,
    encode_grouped,
    encode_message,
    encode_utf8,
    read_header,
)
from protocol.credit_control import RequestType, SubscriptionId
from tests.support import gateway_fixtures
from tests.support.blackbox import World
from tests.support.blackbox_asking import Asked, answer, next_asked, row_of, until_state
from tests.support.blackbox_client import SMS, Answer, Dialogue, Peer, avps_in, mscc, rebuilt
from tests.support.freediameter import START_SECONDS, Called, FreeDiameter, free_listener
from tests.support.ocs_process import OcsProcess
from tests.support.wiretap import Seen, Wiretap

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("freediameter")]
RELAY, SECOND_RELAY, GATEWAY = "dra1.net.example", "dra2.net.example", "pgw9.net.example"
REALM = "net.example"
SERVER, OTHER_SERVER = "ocs1.ocs.example", "ocs2.other.example"
RELAY_APPLICATION = 0xFFFFFFFF
AA_REQUEST = 265
DEBIT = 0
MB = 1_000_000
PROXY_INFO, ROUTE_RECORD = 284, 282
TW, JITTER, SLACK = 6, 2, 3
PROXIES = b"".join(
    encode_grouped(PROXY_INFO, encode_utf8(280, host) + encode_avp(33, state))
    for host, state in (("proxy1.net.example", b"\0\1\0"), ("proxy2.net.example", b"\xff" * 7))
)


class Relay(NamedTuple):
    """A running freeDiameter and what it is connected with."""

    gateway: Peer
    """The gateway behind it."""
    tap: Wiretap
    """Its connection with the server."""
    other_tap: Wiretap
    """Its connection with the other server, which it probes itself."""
    other: OcsProcess


@pytest.fixture(scope="module")
def relay(
    needs_freediameter, interop_world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Relay]:
    """A freeDiameter with open connections to the gateway and to two servers.

    The server probes it after 6 silent seconds; the other one leaves that to freeDiameter.
    """
    with contextlib.ExitStack() as stack:
        directory = tmp_path_factory.mktemp("other")
        identity = {"origin_host": OTHER_SERVER, "origin_realm": "other.example"}
        other = OcsProcess(directory, diameter={**identity, "watchdog_seconds": 30})
        other.settings["diameter"]["peers"] = [{"origin_host": RELAY, "relay": True}]
        other.create_database()
        stack.enter_context(other)
        tap = stack.enter_context(Wiretap(interop_world.server.addresses[0]))
        other_tap = stack.enter_context(Wiretap(other.addresses[0]))
        listener = stack.enter_context(free_listener())
        running = FreeDiameter(
            needs_freediameter,
            directory,
            RELAY,
            REALM,
            Called(SERVER, tap.address, watchdog_seconds=30),
            Called(OTHER_SERVER, other_tap.address, watchdog_seconds=TW),
            Called(GATEWAY, listener.getsockname(), watchdog_seconds=30),
        )
        stack.enter_context(running)
        gateway = stack.enter_context(called(listener, interop_world))
        running.wait_open(SERVER, OTHER_SERVER, GATEWAY)
        yield Relay(gateway, tap, other_tap, other)


def called(listener, world: World) -> Peer:
    """Return the gateway when freeDiameter has called it and exchanged capabilities."""
    listener.settimeout(START_SECONDS)
    connection, _ = listener.accept()
    gateway = Peer(connection, GATEWAY, world.now_ns, timeout=START_SECONDS)
    header, message = gateway.receive()
    assert CapabilitiesExchangeRequest.read(message).origin_host == RELAY
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


def at_the_server(tap: Wiretap, message: bytes) -> tuple[list[Seen], list[Seen]]:
    """Return the copies of a request that reached the server, and its answers to them."""
    header = read_header(message)
    asked, answered = (
        [
            one
            for one in tap.seen(header.command_code, from_client=request, request=request)
            if one.header.end_to_end == header.end_to_end
        ]
        for request in (True, False)
    )
    return asked, answered


def without_route(message: bytes) -> bytes:
    """Return a message without Route-Record: freeDiameter adds one to answers as well."""
    kept = [avp.raw for avp in avps_in(message) if avp.code != ROUTE_RECORD]
    return rebuilt(message, kept)


def through(relay: Relay, message: bytes) -> Answer:
    """Send a request through the relay; check what the server saw and said, return the latter."""
    _, received = relay.gateway.ask(message)
    return passed_on(relay, message, received)


def passed_on(relay: Relay, message: bytes, received: bytes) -> Answer:
    """Check one exchange at both ends of the relay and return the server's answer."""
    asked, answered = at_the_server(relay.tap, message)
    request, answer = asked[-1], answered[-1]
    records = [avp.payload for avp in avps_in(request.message) if avp.code == ROUTE_RECORD]
    assert records == [GATEWAY.encode()]
    assert without_route(request.message)[20:] == message[20:]
    checked = Answer(request.message, answer.message).check()
    # The gateway gets the server's octets under its own hop-by-hop id.
    assert received[12:16] == message[12:16]
    expected = without_route(answer.message)
    arrived = without_route(received)
    assert arrived[:12] + arrived[16:] == expected[:12] + expected[16:]
    return checked


@pytest.mark.rule("T029", "B-042")
def test_capabilities_of_a_relay(relay):
    (cer,) = relay.tap.seen(257, from_client=True, request=True)
    (cea,) = relay.tap.seen(257, from_client=False, request=False)
    said = CapabilitiesExchangeRequest.read(cer.message)
    assert said.product_name == "freeDiameter"
    assert said.auth_application_ids == (RELAY_APPLICATION,)
    assert Answer(cer.message, cea.message).check().code == 2001


@pytest.mark.rule("B-071", "T071", "T079", "T082")
def test_a_session_through_the_relay(world, relay):
    a1 = world.account()
    gy = Dialogue(relay.gateway, a1)
    opening = gy.message(RequestType.INITIAL, mscc(100, {}), proxy_infos=PROXIES)
    assert through(relay, opening).granted.total_octets == 10 * MB
    world.check_money(a1, "10.00", "0.50")
    report = gy.message(RequestType.UPDATE, mscc(100, {}, {"total": 10 * MB}), proxy_infos=PROXIES)
    assert through(relay, report).granted.total_octets == 10 * MB
    world.check_money(a1, "9.50", "0.50")
    end = gy.message(
        RequestType.TERMINATION, mscc(100, used={"total": 3 * MB + 1}), proxy_infos=PROXIES
    )
    answer = through(relay, end)
    assert answer.code == 2001
    assert [avp.raw for avp in answer.all(PROXY_INFO)] == [avp.raw for avp in avps_in(PROXIES, 0)]
    world.check_money(a1, "9.30", "0")
    assert world.session_state(gy.session_id) == "closed"


@pytest.mark.rule("B-020", "B-025")
def test_answers_find_their_requests_through_the_relay(world, relay):
    accounts = [world.account() for _ in range(20)]
    opened = [Dialogue(relay.gateway, account) for account in accounts]
    sent = [
        one.message(RequestType.INITIAL, mscc(100, {"total": number * MB}))
        for number, one in enumerate(opened, 1)
    ]
    relay.gateway.send(b"".join(sent))
    by_hop: dict[int, bytes] = {}
    while len(by_hop) < len(sent):
        header, received = relay.gateway.receive()
        by_hop[header.hop_by_hop] = received
    for number, (message, account) in enumerate(zip(sent, accounts, strict=True), 1):
        received = by_hop[int.from_bytes(message[12:16], "big")]
        answer = passed_on(relay, message, received)
        assert answer.granted.total_octets == min(number, 10) * MB
        world.check_money(account, "10.00", f"{min(number, 10) * 0.05:.2f}")


@pytest.mark.rule("P-002", "P-003")
def test_clients_behind_the_relay_are_recognised_one_by_one(world, relay):
    """The relay says the Product-Name that Open5GS says too; what tells them is their requests."""
    for shape, client, profile in (
        ("open5gs-i", "smf.net.example", "open5gs"),
        ("kamailio-i-tel", "scscf.net.example", "kamailio"),
        ("pgw-i", "pgw1.net.example", "generic"),
    ):
        message = relay.gateway.stamped(gateway_fixtures.load(shape).request)
        assert through(relay, message).code == 5030, "nobody knows the subscriber"

        def noted(client=client, profile=profile) -> bool:
            return any(
                (one.origin_host, one.peer, one.profile) == (client, RELAY, profile)
                for one in world.store.clients()
            )

        world.eventually(noted)
    (about_the_relay,) = (one for one in world.store.clients() if one.origin_host == RELAY)
    assert about_the_relay.relay
    assert about_the_relay.product_name == "freeDiameter"


@pytest.mark.rule("T208")
def test_an_event_through_the_relay(world, relay):
    a1 = world.account()
    sms = Dialogue(relay.gateway, a1, SMS)
    message = sms.message(RequestType.EVENT, mscc(1, {"events": 2}), requested_action=DEBIT)
    assert through(relay, message).granted.service_specific == 2
    world.check_money(a1, "9.86", "0")


@pytest.mark.rule("T083", "T145")
def test_a_refusal_through_the_relay(world, relay):
    gy = Dialogue(relay.gateway, world.account())
    nobody = [SubscriptionId(0, "19990000")]
    message = gy.message(
        RequestType.INITIAL, mscc(100, {}), subscription_ids=nobody, proxy_infos=PROXIES
    )
    answer = through(relay, message)
    assert answer.code == 5030
    assert [avp.raw for avp in answer.all(PROXY_INFO)] == [avp.raw for avp in avps_in(PROXIES, 0)]


@pytest.mark.rule("T073", "B-072")
def test_a_protocol_error_through_the_relay(world, relay):
    gy = Dialogue(relay.gateway, world.account())
    ccr = gy.message(RequestType.INITIAL, mscc(100, {}))
    hop_by_hop, end_to_end = relay.gateway.ids()
    message = encode_message(AA_REQUEST, 4, 0xC0, hop_by_hop, end_to_end, ccr[20:])
    answer = through(relay, message)
    assert answer.code == 3001 and answer.header.is_error


@pytest.fixture
def direct(world) -> Iterator[Peer]:
    """The same gateway, connected with the server without the relay."""
    with world.peer(GATEWAY) as peer:
        yield peer


@pytest.mark.rule("T173")
@pytest.mark.parametrize("relay_first", [True, False])
def test_copies_by_both_ways_at_once_are_charged_once(world, relay, direct, relay_first):
    a1 = world.account()
    gy = Dialogue(direct, a1)
    assert gy.initial(mscc(100, {})).code == 2001
    report = gy.message(RequestType.UPDATE, mscc(100, {}, {"total": 10 * MB}))
    over_relay, over_direct = relay.gateway.again(report), direct.again(report)

    def send_to_relay() -> None:
        relay.gateway.send(over_relay)
        relay.tap.wait_for(lambda: bool(at_the_server(relay.tap, over_relay)[0]))

    def send_directly() -> None:
        direct.send(over_direct)
        watchdog = DeviceWatchdogRequest(GATEWAY, REALM)
        direct.ask_for(watchdog.write(*direct.ids()))

    ways = [send_to_relay, send_directly]
    with world.writes_held():
        for way in ways if relay_first else reversed(ways):
            way()
    (answer,) = direct.collect([over_direct])
    _, received = relay.gateway.receive()
    assert passed_on(relay, over_relay, received).message[20:] == answer.message[20:]
    assert answer.code == 2001
    world.check_money(a1, "9.50", "0.50")


@pytest.mark.rule("T169", "T170", "T173")
def test_a_session_that_changes_its_way_is_charged_once(world, relay, direct):
    a1 = world.account()
    gy = Dialogue(relay.gateway, a1)
    opening = gy.message(RequestType.INITIAL, mscc(100, {}))
    first = through(relay, opening)
    assert direct.ask_for(direct.again(opening)).message[20:] == first.message[20:]
    world.check_money(a1, "10.00", "0.50")
    report = gy.message(RequestType.UPDATE, mscc(100, {}, {"total": 4 * MB}))
    answer = direct.ask_for(report)
    for _ in range(2):
        assert through(relay, relay.gateway.again(report)).message[20:] == answer.message[20:]
    assert answer.code == 2001
    world.check_money(a1, "9.80", "0.50")


def told_by_the_relay(relay: Relay, asked: Asked, code: int) -> None:
    """Answer through the relay; the server must have got it under its own Hop-by-Hop id."""
    (sent,) = [
        one
        for one in relay.tap.seen(asked.header.command_code, from_client=False, request=True)
        if one.header.end_to_end == asked.header.end_to_end
    ]
    assert sent.message[20:] == without_route(asked.message)[20:]
    records = [avp.payload for avp in asked.avps if avp.code == ROUTE_RECORD]
    assert records == [SERVER.encode()], "freeDiameter says where it came from"
    answer(relay.gateway, asked, code)
    relay.tap.wait_for(
        lambda: any(
            one.header.hop_by_hop == sent.header.hop_by_hop
            for one in relay.tap.seen(asked.header.command_code, from_client=True, request=False)
        )
    )


@pytest.mark.rule("B-025", "B-151", "B-152", "C-092", "T227", "T235")
def test_a_report_is_asked_for_through_the_relay(world, relay):
    a1 = world.account()
    gy = Dialogue(relay.gateway, a1)
    through(relay, gy.message(RequestType.INITIAL, mscc(100, {})))
    session_requests.reauth(world.desk, gy.session_id, None, rating_group=100)
    asked = next_asked(relay.gateway, gy.session_id)
    assert asked.request.destination_host == GATEWAY
    assert (asked.header.command_code, asked.request.rating_group) == (258, 100)
    told_by_the_relay(relay, asked, 2002)
    until_state(world, gy.session_id, "answered")
    report = gy.message(RequestType.UPDATE, mscc(100, {}, {"total": 3 * MB}, reason=7))
    assert through(relay, report).granted.total_octets == 10 * MB
    world.check_money(a1, "9.85", "0.50")


@pytest.mark.rule("B-151", "C-094", "T235", "T239")
def test_a_session_is_aborted_through_the_relay(world, relay):
    a1 = world.account()
    gy = Dialogue(relay.gateway, a1)
    through(relay, gy.message(RequestType.INITIAL, mscc(100, {})))
    session_requests.abort(world.desk, gy.session_id)
    asked = next_asked(relay.gateway, gy.session_id)
    assert asked.header.command_code == 274
    told_by_the_relay(relay, asked, 2001)
    until_state(world, gy.session_id, "answered")
    end = gy.message(RequestType.TERMINATION, mscc(100, used={"total": 3 * MB}))
    assert through(relay, end).code == 2001
    world.check_money(a1, "9.85", "0")


@pytest.mark.rule("C-093", "T232")
def test_a_relay_that_cannot_deliver_keeps_the_session(world, relay):
    """The relay passes on that a gateway is not there; nothing is released."""
    a1 = world.account()
    gy = Dialogue(relay.gateway, a1)
    gone = {"origin_host": "pgw-gone.net.example"}
    through(relay, gy.message(RequestType.INITIAL, mscc(100, {}), **gone))
    session_requests.reauth(world.desk, gy.session_id, None)
    asked = next_asked(relay.gateway, gy.session_id)
    assert asked.request.destination_host == "pgw-gone.net.example", "sent to its realm"
    answer(relay.gateway, asked, 3002)
    world.eventually(lambda: row_of(world, gy.session_id).get("result_code") == 3002)
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")
    said = relay.tap.seen(258, from_client=True, request=False)
    assert any(one.header.is_error for one in said)
    through(relay, gy.message(RequestType.TERMINATION, **gone))


@pytest.mark.rule("B-152", "T227")
def test_the_direct_way_goes_before_the_relay(world, relay, direct):
    a1 = world.account()
    gy = Dialogue(direct, a1)
    gy.initial(mscc(100, {}))
    session_requests.reauth(world.desk, gy.session_id, None)
    asked = next_asked(direct, gy.session_id)
    assert not [avp for avp in asked.avps if avp.code == ROUTE_RECORD]
    answer(direct, asked, 2002)
    assert gy.update(mscc(100, {}, {"total": MB}, reason=7)).granted.total_octets == 10 * MB
    world.check_money(a1, "9.95", "0.50")


def watchdogs(tap: Wiretap, *, from_client: bool) -> bool:
    """Whether one side was asked by the other and said that all is well."""
    answers = tap.seen(280, from_client=not from_client, request=False)
    asked = {one.header.hop_by_hop for one in tap.seen(280, from_client=from_client, request=True)}
    return any(
        one.header.hop_by_hop in asked and Answer(b"", one.message).code == 2001 for one in answers
    )


@pytest.mark.slow
@pytest.mark.rule("B-060", "B-061", "B-064", "B-128", "T052", "T053", "T059")
def test_watchdogs_both_ways_and_a_server_that_leaves(world, relay):
    relay.tap.wait_for(lambda: watchdogs(relay.tap, from_client=False), TW + JITTER + SLACK)
    relay.other_tap.wait_for(
        lambda: watchdogs(relay.other_tap, from_client=True), TW + JITTER + SLACK
    )
    assert not [
        line
        for line in world.server.log
        if line.get("event") == "peer changed" and line.get("origin_host") == RELAY
    ]
    assert relay.other.stop() == 0
    (goodbye,) = relay.other_tap.seen(CommandCode.DISCONNECT_PEER, from_client=False, request=True)
    (answer,) = relay.other_tap.seen(CommandCode.DISCONNECT_PEER, from_client=True, request=False)
    assert DisconnectPeerRequest.read(goodbye.message).disconnect_cause == 0
    assert Answer(b"", answer.message).code == 2001


@pytest.mark.rule("B-040", "B-133", "T059")
def test_freediameter_says_goodbye(needs_freediameter, world, tap, tmp_path):
    server = Called(SERVER, tap.address)
    running = FreeDiameter(needs_freediameter, tmp_path, SECOND_RELAY, REALM, server)
    with running:
        running.wait_open(SERVER)
    (goodbye,) = tap.seen(CommandCode.DISCONNECT_PEER, from_client=True, request=True)
    (answer,) = tap.seen(CommandCode.DISCONNECT_PEER, from_client=False, request=False)
    assert Answer(goodbye.message, answer.message).check().code == 2001
    assert running.process.returncode == 0
