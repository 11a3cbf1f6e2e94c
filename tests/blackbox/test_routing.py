"""Section 4.4: routing and header checks."""

from typing import Any

import pytest

from protocol.base import DeviceWatchdogRequest
from protocol.codec import encode_avp, encode_grouped, encode_message, encode_u32, encode_utf8
from protocol.credit_control import SubscriptionId
from protocol.session_commands import SessionCommand, SessionRequest, write_session_request
from tests.support.blackbox_client import (
    OCS_HOST,
    avps_in,
    mscc,
    padded,
    rebuilt,
    with_flags,
    with_more,
    without,
)

PROXIES = [
    encode_grouped(284, encode_utf8(280, host) + encode_avp(33, state))
    for host, state in (
        ("dra1.net.example", b"\x00\x01\x00"),
        ("dra2.net.example", b"\x00\x00\x00\x00\x00"),
        ("dra1.net.example", b""),
    )
]


def ask(gy, message=None, **changes: Any):
    return gy.peer.ask_for(message or gy.message(1, mscc(100, {}), **changes))


def proxies_of(answer) -> list[bytes]:
    return [padded(avp.raw) for avp in answer.all(284)]


def assert_refused(world, gy, answer, code):
    assert answer.code == code
    assert not answer.all(456) and not answer.all(431)
    assert world.session_state(gy.session_id) == ""
    world.check_money(gy.subscriber, "10.00", "0")


def assert_served(world, gy, answer):
    assert answer.code == 2001 and answer.granted.total_octets == 10_000_000
    world.check_money(gy.subscriber, "10.00", "0.50")


@pytest.mark.rule("R-3002", "R-3003", "R-3005", "T064", "T065", "T070")
@pytest.mark.parametrize(
    "changes,code",
    [
        pytest.param({"destination_realm": "other.example"}, 3003, id="T064"),
        pytest.param({"destination_host": "ocs2.ocs.example"}, 3002, id="T065"),
        pytest.param({"route_records": [OCS_HOST]}, 3005, id="T070"),
    ],
)
def test_T064_T065_T070_requests_that_are_not_for_us(world, gy, changes, code):
    answer = ask(gy, **changes)
    assert answer.header.is_error
    assert_refused(world, gy, answer, code)


@pytest.mark.rule("C-116", "T067")
def test_T067_our_name_goes_before_a_foreign_realm(world, gy):
    answer = ask(gy, destination_host=OCS_HOST, destination_realm="other.example")
    assert_served(world, gy, answer)


@pytest.mark.rule("C-112", "T068")
def test_T068_a_request_without_a_destination(world, gy):
    answer = ask(gy, destination_realm=None)
    assert_refused(world, gy, answer, 5005)
    assert [(avp.code, avp.payload) for avp in answer.failed] == [(283, b"")]


@pytest.mark.rule("C-126", "T071")
def test_T071_a_request_that_was_routed(world, gy):
    answer = ask(gy, route_records=["pgw9.net.example", "dra1.net.example"])
    assert_served(world, gy, answer)


@pytest.mark.rule("R-3001", "T073", "T074")
@pytest.mark.parametrize("command,application", [(265, 4), (300, 0)], ids=["T073", "T074"])
def test_T073_T074_commands_that_nobody_knows(world, gy, command, application):
    avps = b"".join(padded(avp.raw) for avp in avps_in(gy.message(1)))
    hop_by_hop, end_to_end = gy.peer.ids()
    message = encode_message(command, application, 0xC0, hop_by_hop, end_to_end, avps)
    answer = gy.peer.ask_for(message)
    assert answer.code == 3001 and answer.header.is_error
    assert world.session_state(gy.session_id) == ""


@pytest.mark.rule("B-021", "R-3008", "T076")
def test_T076_an_error_flag_in_a_request(world, gy):
    answer = ask(gy, with_flags(gy.message(1, mscc(100, {})), 0xE0))
    assert answer.header.is_error
    assert_refused(world, gy, answer, 3008)


@pytest.mark.rule("T077", "T079", "T088")
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(0xCF, id="T077-reserved"),
        pytest.param(0xC0, id="T079-proxiable"),
        pytest.param(0x80, id="D08-not-proxiable"),
        pytest.param(0xD0, id="T088-retransmitted"),
    ],
)
def test_T077_T079_T088_flags_of_a_request(world, gy, flags):
    answer = ask(gy, with_flags(gy.message(1, mscc(100, {})), flags))
    assert answer.header.flags == flags & 0x40
    assert_served(world, gy, answer)


@pytest.mark.rule("T080")
def test_T080_identifiers_at_their_ends(world, gy):
    message = gy.message(1, mscc(100, {}))
    answer = ask(gy, message[:12] + bytes(4) + b"\xff" * 4 + message[20:])
    assert (answer.header.hop_by_hop, answer.header.end_to_end) == (0, 0xFFFFFFFF)
    assert_served(world, gy, answer)


@pytest.mark.rule("C-126", "C-142", "T082")
def test_T082_proxies_find_their_state_again(world, gy):
    answer = ask(gy, proxy_infos=b"".join(PROXIES))
    assert proxies_of(answer) == PROXIES
    assert_served(world, gy, answer)


@pytest.mark.rule("T083")
@pytest.mark.parametrize(
    "changes,missing,code",
    [
        ({"destination_realm": "other.example"}, 0, 3003),
        ({}, 461, 5005),
        ({"subscription_ids": [SubscriptionId(0, "19990000")]}, 0, 5030),
    ],
)
def test_T083_proxies_find_their_state_in_refusals(world, gy, changes, missing, code):
    message = gy.message(1, mscc(100, {}), proxy_infos=b"".join(PROXIES), **changes)
    answer = ask(gy, without(message, missing) if missing else message)
    assert proxies_of(answer) == PROXIES
    assert_refused(world, gy, answer, code)


@pytest.mark.rule("C-111", "T085")
def test_T085_the_session_id_may_come_last(world, gy):
    message = gy.message(1, mscc(100, {}))
    session_id = next(avp.raw for avp in avps_in(message) if avp.code == 263)
    answer = ask(gy, with_more(without(message, 263), session_id))
    assert_served(world, gy, answer)


@pytest.mark.rule("T086")
def test_T086_an_answer_nobody_waits_for(world, gy):
    stray = with_flags(rebuilt(gy.message(1), [encode_u32(268, 2001)]), 0x40)
    gy.peer.send(stray)
    watchdog = DeviceWatchdogRequest("pgw1.net.example", "net.example")
    assert gy.peer.ask_for(watchdog.write(*gy.peer.ids())).code == 2001


@pytest.mark.rule("T089")
def test_T089_a_re_auth_from_a_client(world, gy):
    request = SessionRequest(
        SessionCommand.RE_AUTH,
        gy.session_id,
        "pgw1.net.example",
        "net.example",
        "ocs.example",
        re_auth_request_type=0,
    )
    answer = gy.peer.ask_for(write_session_request(request, *gy.peer.ids()))
    assert answer.code in {3001, 5002}
