"""What an operator reads about requests that are refused."""

import pytest

from ocs.clock import NS_PER_SECOND
from ocs.service.watching.quiet import PAUSE_NS
from ocs.service.watching.quiet import REMEMBERED_MAX as MISTAKES_MAX
from ocs.service.wire.refusals import RefusalLog
from protocol.credit_control import SubscriptionId
from protocol.credit_control_writer import write_ccr
from tests.support.service import P1, Harness, ccr, mscc


@pytest.fixture
def harness():
    return Harness()


def said(capsys):
    """The warnings since the last call."""
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if "request refused" in line and "warning" in line]


def test_an_unknown_subscriber_is_named_without_saying_its_whole_number(harness, capsys):
    stranger = [SubscriptionId(0, "4930123456789")]
    assert harness.open().ccr(ccr(1, 0, mscc(), subscription_ids=stranger)).result_code == 5030
    (line,) = said(capsys)
    assert "no such subscriber" in line
    assert P1 in line
    assert "result_code=5030" in line
    assert "49301" in line
    assert "4930123456789" not in line


def test_an_unknown_rating_group_is_named(harness, capsys):
    answer = harness.open().ccr(ccr(1, 0, mscc(group=4242)))
    assert answer.services[0].result_code == 5031
    (line,) = said(capsys)
    assert "rating group 4242" in line
    assert "result_code=5031" in line


def test_a_malformed_avp_is_named_with_its_place(harness, capsys):
    wire = harness.open()
    message = bytearray(write_ccr(ccr(1, 0, mscc()), 1, 1))
    place = message.index((415).to_bytes(4, "big"))
    message[place + 5 : place + 8] = b"\x00\x00\x0b"
    wire.send(bytes(message))
    wire.received()
    (line,) = said(capsys)
    assert f"AVP 415 at octet {place}" in line
    assert "result_code=5014" in line


def test_a_repeated_mistake_is_said_once_a_minute_with_the_number_left_out(harness, capsys):
    log = RefusalLog(harness.clock)
    for _ in range(4):
        log.unread(P1, "s", 5014, "wrong")
    log.unread("pgw2.net.example", "s", 5014, "wrong")
    assert len(said(capsys)) == 2
    harness.clock.advance(PAUSE_NS // NS_PER_SECOND)
    log.unread(P1, "s", 5014, "wrong")
    (line,) = said(capsys)
    assert "left_out=3" in line


def test_what_is_remembered_is_bounded(harness, capsys):
    log = RefusalLog(harness.clock)
    for number in range(MISTAKES_MAX + 1):
        log.unread(f"pgw{number}.net.example", "s", 5014, "wrong")
    log.unread(f"pgw{MISTAKES_MAX}.net.example", "s", 5014, "wrong")
    assert len(said(capsys)) == MISTAKES_MAX + 1
    log.unread("pgw0.net.example", "s", 5014, "wrong")
    assert len(said(capsys)) == 1


def test_ordinary_refusals_are_not_said(harness, capsys):
    wire = harness.open()
    assert wire.ccr(ccr(2, 1, mscc(used=1000), session="nobody")).result_code == 5002
    assert said(capsys) == []


@pytest.mark.rule("C-104")
@pytest.mark.parametrize("cause", [1, 3, 4, 11, None])
def test_a_client_that_could_not_use_an_answer_is_named(harness, capsys, cause):
    wire = harness.open()
    wire.ccr(ccr(1, 0, mscc()))
    capsys.readouterr()
    assert wire.ccr(ccr(3, 1, termination_cause=cause)).result_code == 2001
    lines = capsys.readouterr().out.splitlines()
    warned = [line for line in lines if "could not use our answer" in line and "warning" in line]
    assert len(warned) == (cause == 3)
    assert all(P1 in line for line in warned)
    (end,) = [one for one in harness.store.stored_records(1001) if one.key.kind == 3]
    assert end.record.termination_cause == (-1 if cause is None else cause)
