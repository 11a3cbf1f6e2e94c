"""Section 4.1: framing and the transport, seen from the sockets."""

import threading
import time

import pytest

from protocol.base import DeviceWatchdogRequest
from protocol.codec import encode_avp
from tests.blackbox.conftest import CER_TIMEOUT_SECONDS
from tests.support.blackbox_client import Dialogue, mscc, with_more

MESSAGE_OCTETS = 250 * 1024
AT_ONCE_SECONDS = 5
"""Long enough for a busy machine, and sooner than the next watchdog."""


def pause(seconds: float) -> None:
    """The pace of a slow sender."""
    threading.Event().wait(seconds)


@pytest.mark.rule("B-121", "T001")
def test_T001_a_valid_cer_is_answered_at_once(world):
    with world.connect() as peer:
        began = time.monotonic()
        answer = peer.ask_for(peer.capabilities())
        assert answer.code == 2001
        assert time.monotonic() - began < AT_ONCE_SECONDS


@pytest.mark.rule("T002")
def test_T002_a_cer_octet_by_octet(world):
    with world.connect() as peer:
        message = peer.capabilities()
        for position in range(len(message)):
            peer.send(message[position : position + 1])
            pause(0.001)
        header, answer = peer.receive()
        assert header.command_code == 257 and b"\x00\x00\x07\xd1" in answer


@pytest.mark.rule("B-125", "T004")
def test_T004_a_request_in_three_segments(world, gy, a1):
    message = gy.message(1, mscc(100, {}))
    for part in (message[:3], message[3:21]):
        gy.peer.send(part)
        pause(0.2)
    gy.peer.send(message[21:])
    (answer,) = gy.peer.collect([message])
    assert answer.code == 2001 and answer.granted.total_octets == 10_000_000
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("T005")
def test_T005_a_silent_connection_is_closed(world):
    with world.connect() as peer:
        began = time.monotonic()
        assert peer.socket.recv(1) == b""
        waited = time.monotonic() - began
        assert CER_TIMEOUT_SECONDS - 0.5 <= waited <= CER_TIMEOUT_SECONDS + AT_ONCE_SECONDS


@pytest.mark.rule("T007")
def test_T007_nothing_goes_before_the_cer(world, a1):
    with world.connect() as peer:
        gy = Dialogue(peer, a1)
        peer.send(gy.message(1, mscc(100, {})))
        assert peer.is_ended()
        assert world.session_state(gy.session_id) == ""
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("T008", "T010")
@pytest.mark.parametrize("length", [pytest.param(16, id="T008"), pytest.param(67, id="T010")])
def test_T008_T010_a_wrong_length_loses_the_connection_and_no_other(world, a1, p2, length):
    with world.peer() as peer:
        gy = Dialogue(peer, a1)
        assert gy.initial(mscc(100, {})).code == 2001
        header = bytearray(gy.message(2, mscc(100, {}))[:20])
        header[1:4] = length.to_bytes(3, "big")
        peer.send(bytes(header) + bytes(80))
        said = peer.last_words()
        assert said is None or said.code == 5015
    other = Dialogue(p2, world.account())
    assert other.initial(mscc(100, {})).code == 2001
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("R-5011", "T011")
def test_T011_an_unknown_version(world):
    with world.peer() as peer:
        watchdog = DeviceWatchdogRequest(peer.origin_host, peer.origin_realm)
        message = watchdog.write(*peer.ids())
        peer.send(b"\x02" + message[1:])
        said = peer.last_words()
        if said is not None:
            assert said.code == 5011 and said.message[0] == 1
            assert said.message[12:20] == message[12:20]


@pytest.mark.rule("T013")
def test_T013_the_ipv6_listener(world):
    with world.connect(index=1) as peer:
        answer = peer.ask_for(peer.capabilities())
        assert answer.code == 2001
        assert answer.one(257).payload == b"\x00\x02" + bytes(15) + b"\x01"


@pytest.mark.rule("T019", "T020")
@pytest.mark.parametrize("offered", [(), (0, 1)], ids=["T020", "T019"])
def test_T019_T020_no_security_inside_the_connection(world, a1, offered):
    with world.connect() as peer:
        assert peer.ask_for(peer.capabilities(inband_security_ids=offered)).code == 2001
        assert Dialogue(peer, a1).initial(mscc(100, {})).code == 2001


@pytest.mark.rule("B-126", "T022")
def test_T022_a_reset_in_the_middle_of_a_request(world, a1, p2):
    peer = world.peer()
    gy = Dialogue(peer, a1)
    assert gy.initial(mscc(100, {})).code == 2001
    peer.send(gy.message(2, mscc(100, {}, {"total": 1}))[:50])
    peer.reset()
    assert Dialogue(p2, world.account()).initial(mscc(100, {})).code == 2001
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("T023")
def test_T023_a_request_full_of_unknown_avps(world, gy, a1):
    message = gy.message(1, mscc(100, {}))
    filler = encode_avp(65000, bytes(992), flags=0)
    count = (MESSAGE_OCTETS - len(message)) // len(filler)
    answer = gy.peer.ask_for(with_more(message, *[filler] * count))
    assert answer.code == 2001
    world.check_money(a1, "10.00", "0.50")
