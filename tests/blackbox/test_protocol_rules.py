"""Rules of Gy and Ro that have no number in the list of black-box tests, and a few that have."""

from typing import Any

import pytest

from protocol.base import DeviceWatchdogRequest
from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_u64
from protocol.codec import encode_utf8 as text
from tests.support.blackbox_client import (
    IMS,
    SMS,
    TGPP,
    Dialogue,
    mscc,
    with_flags,
    with_more,
    without,
)

INITIAL, UPDATE, TERMINATION = 1, 2, 3
MB = 1_000_000
UNKNOWN = encode_avp(65000, b"what?")
INFORMATION, PS_INFORMATION, IMS_INFORMATION = 873, 874, 876


def in_3gpp(code: int, contents: bytes) -> bytes:
    return encode_avp(code, contents, TGPP)


@pytest.mark.rule("C-020", "T164")
@pytest.mark.parametrize("indicator", [None, 0, 1])
def test_services_are_answered_as_services_whatever_was_announced(world, gy, indicator):
    answer = gy.initial(mscc(100, {}), multiple_services_indicator=indicator)
    assert answer.code == answer.service.result_code == 2001
    assert answer.granted.total_octets == 10 * MB
    assert not answer.all(431) and not answer.all(448) and not answer.all(430)
    world.check_money(gy.subscriber, "10.00", "0.50")


@pytest.mark.rule("B-022", "D08")
def test_requests_with_and_without_the_flag_of_proxies(world, gy):
    """CCR with P clear and base requests with P set are processed; answers have P as it was."""
    opened = gy.peer.ask_for(with_flags(gy.message(INITIAL, mscc(100, {})), 0x80))
    assert opened.code == 2001 and opened.header.flags == 0
    world.check_money(gy.subscriber, "10.00", "0.50")
    watchdog = DeviceWatchdogRequest(gy.peer.origin_host, gy.peer.origin_realm)
    answer = gy.peer.ask_for(with_flags(watchdog.write(*gy.peer.ids()), 0xC0))
    assert answer.code == 2001 and answer.header.flags == 0x40


@pytest.mark.rule("B-024", "T088", "T181")
@pytest.mark.parametrize("first,second", [(0xD0, 0xC0), (0xC0, 0xC0), (0xC0, 0xD0), (0xD0, 0xD0)])
def test_the_flag_of_retransmission_decides_nothing(world, gy, first, second):
    """New is what is not stored, a repeat what is, whichever of the two has the flag."""
    gy.initial(mscc(100, {}))
    message = gy.message(UPDATE, mscc(100, {}, {"total": 3 * MB}))
    answer = gy.peer.ask_for(with_flags(message, first))
    assert answer.granted.total_octets == 10 * MB
    again = gy.peer.ask_for(gy.peer.stamped(with_flags(message, second)))
    assert again.message[20:] == answer.message[20:]
    world.check_money(gy.subscriber, "9.85", "0.50")


@pytest.mark.rule("B-107", "D14", "T065")
def test_a_request_for_another_host_is_not_forwarded(world, gy):
    other = Dialogue(gy.peer, gy.subscriber)
    gy.initial(mscc(100, {}))
    refused = gy.update(mscc(100, {}, {"total": MB}), destination_host="ocs2.ocs.example")
    assert refused.code == 3002 and refused.header.is_error
    assert not refused.all(282), "it went nowhere"
    assert world.session_state(gy.session_id) == "open"
    world.check_money(gy.subscriber, "10.00", "0.50")
    assert other.initial(mscc(200, {})).code == 2001


@pytest.mark.rule("D23")
@pytest.mark.parametrize("kind", [UPDATE, TERMINATION])
@pytest.mark.parametrize(
    "edit,code",
    [
        pytest.param(lambda m: with_more(m, UNKNOWN), 5001, id="5001"),
        pytest.param(lambda m: with_more(m, encode_i32(455, 7)), 5004, id="5004"),
        pytest.param(lambda m: without(m, 461), 5005, id="5005"),
        pytest.param(lambda m: with_more(m, encode_u32(415, 9)), 5009, id="5009"),
        pytest.param(lambda m: with_more(m, encode_avp(55, b"\0")), 5014, id="5014"),
    ],
)
def test_what_cannot_be_read_leaves_its_session_alone(world, gy, kind, edit, code):
    """Nothing is debited, held or released, and the same number can be used for the correct one."""
    gy.initial(mscc(100, {}))
    report = mscc(100, {} if kind == UPDATE else None, {"total": 3 * MB})
    plain = without(gy.message(kind, report), 55)
    assert gy.peer.ask_for(edit(plain)).code == code
    assert world.session_state(gy.session_id) == "open"
    world.check_money(gy.subscriber, "10.00", "0.50")
    assert gy.peer.ask_for(gy.peer.stamped(plain)).code == 2001
    world.check_money(gy.subscriber, "9.85", "0.50" if kind == UPDATE else "0")


@pytest.mark.rule("S-08", "D23")
def test_the_last_report_of_a_blocked_subscriber_is_taken(world, gy):
    """A CCR-T that can be read has nothing that could fail; one that cannot is answered only."""
    from ocs.provisioning.customers import subscribers

    gy.initial(mscc(100, {}))
    wrong = with_more(gy.message(TERMINATION, mscc(100, used={"total": 3 * MB})), UNKNOWN)
    assert gy.peer.ask_for(wrong).code == 5001
    assert world.session_state(gy.session_id) == "open"
    world.check_money(gy.subscriber, "10.00", "0.50")
    subscribers.set_blocked(world.desk, gy.subscriber.found, blocked=True)
    answer = gy.terminate(mscc(100, used={"total": 3 * MB}))
    assert answer.code == 2001 and answer.granted is None
    assert world.session_state(gy.session_id) == "closed"
    world.check_money(gy.subscriber, "9.85", "0")


@pytest.mark.rule("G-101", "G-102")
def test_an_event_with_a_hold_is_an_opening_and_an_end(world, p1, a1):
    """ECUR: held while it is delivered, then debited, or given back where it was not."""
    for used, balance in (({"events": 1}, "9.93"), ({"events": 0}, "9.93")):
        message = Dialogue(p1, a1, SMS)
        opened = message.initial(mscc(1, {"events": 1}))
        assert opened.granted.service_specific == 1
        assert world.money(a1)[1] == 70_000
        ended = message.terminate(mscc(1, used=used))
        assert ended.code == 2001 and ended.granted is None
        world.check_money(a1, balance, "0")
        assert world.session_state(message.session_id) == "closed"


REASONS = {
    "THRESHOLD": (0, True),
    "QHT": (1, False),
    "FINAL": (2, False),
    "QUOTA_EXHAUSTED": (3, True),
    "VALIDITY_TIME": (4, True),
    "OTHER_QUOTA_TYPE": (5, True),
    "RATING_CONDITION_CHANGE": (6, True),
    "FORCED_REAUTHORISATION": (7, True),
    "POOL_EXHAUSTED": (8, True),
    "UNUSED_QUOTA_TIMER": (9, False),
}


@pytest.mark.rule("G-127", "G-141", "G-142", "G-143", "T262", "T263")
@pytest.mark.parametrize("where", ["beside", "inside"])
@pytest.mark.parametrize("name", REASONS)
def test_T262_T263_what_a_reason_for_reporting_leads_to(world, gy, name, where):
    """Each debits the usage; only those that are no end of the quota bring a new one."""
    reason, goes_on = REASONS[name]
    gy.initial(mscc(100, {}))
    used: dict[str, Any] = {"total": 700_000}
    if where == "inside":
        report = mscc(100, {}, {**used, "reason": reason})
    else:
        report = mscc(100, {}, used, reason=reason)
    answer = gy.update(report)
    assert answer.code == answer.service.result_code == 2001
    assert (answer.granted is not None) == goes_on
    world.check_money(gy.subscriber, "9.95", "0.50" if goes_on else "0")
    assert gy.update(mscc(100, {})).granted.total_octets == 10 * MB, "it may ask again"


@pytest.mark.rule("T271", "G-127")
@pytest.mark.parametrize("reason", [1, 2, 9])
def test_T271_a_reason_that_stands_beside_the_services(world, gy, reason):
    gy.initial(mscc(100, {}))
    update = gy.message(UPDATE, mscc(100, {}, {"total": 700_000}))
    answer = gy.peer.ask_for(with_more(update, encode_i32(872, reason, TGPP)))
    assert answer.code == 2001 and answer.granted.total_octets == 10 * MB
    world.check_money(gy.subscriber, "9.95", "0.50")


@pytest.mark.rule("G-126", "G-161")
@pytest.mark.parametrize("triggers", [(), (2,), (1, 3, 30, 76), (4_000_000,), (77, 77, 2**31 - 1)])
def test_triggers_that_brought_a_report(world, gy, triggers):
    gy.initial(mscc(100, {}))
    fired = in_3gpp(1264, b"".join(encode_i32(870, one, TGPP) for one in triggers))
    service = encode_u32(432, 100) + encode_grouped(437, b"") + fired
    service += encode_grouped(446, encode_u64(421, 700_000)) + encode_i32(872, 6, TGPP)
    update = with_more(gy.message(UPDATE), encode_grouped(456, service))
    answer = gy.peer.ask_for(update)
    assert answer.code == 2001 and answer.granted.total_octets == 10 * MB
    world.check_money(gy.subscriber, "9.95", "0.50")


@pytest.mark.rule("T283", "G-183")
@pytest.mark.parametrize(
    "parties",
    [
        ("sip:user@net.example", "tel:+15550001"),
        ("unknown",),
        ("unknown", "sip:anonymous@anonymous.invalid", "tel:+15550001"),
        (),
    ],
)
def test_T283_whoever_calls(world, p1, a1, parties):
    calling = b"".join(text(831, one, TGPP) for one in parties)
    called = text(832, "tel:+15550002", TGPP) + encode_i32(829, 0, TGPP)
    call = Dialogue(p1, a1, IMS)
    message = call.message(INITIAL, mscc(10, {}))
    information = in_3gpp(INFORMATION, in_3gpp(IMS_INFORMATION, calling + called))
    answer = p1.ask_for(with_more(message, information))
    assert answer.code == 2001 and answer.granted.time > 0
    assert world.money(a1)[1] > 0


@pytest.mark.rule("G-181")
def test_who_pays_for_a_call_is_not_who_calls(world, p1, a1):
    caller = world.account()
    call = Dialogue(p1, a1, IMS)
    party = text(831, f"tel:+{caller.msisdn}", TGPP) + text(831, caller.sip, TGPP)
    information = in_3gpp(INFORMATION, in_3gpp(IMS_INFORMATION, party))
    opened = p1.ask_for(with_more(call.message(INITIAL, mscc(10, {})), information))
    assert opened.code == 2001
    assert call.terminate(mscc(10, used={"time": 61})).code == 2001
    world.check_money(a1, "9.878", "0")
    world.check_money(caller, "10.00", "0")


@pytest.mark.rule("T290")
@pytest.mark.parametrize("where", ["service", "ps"])
@pytest.mark.parametrize("whose", ["own", "another", "nobody"])
def test_T290_an_identity_inside_service_information(world, gy, where, whose):
    """Who pays is said at the top of the request; what is inside disturbs nothing."""
    another = world.account()
    number = {"own": gy.subscriber.msisdn, "another": another.msisdn, "nobody": "19990000"}[whose]
    identity = encode_grouped(443, encode_i32(450, 0) + text(444, number))
    inside = identity if where == "service" else in_3gpp(PS_INFORMATION, identity)
    message = with_more(gy.message(INITIAL, mscc(100, {})), in_3gpp(INFORMATION, inside))
    answer = gy.peer.ask_for(message)
    assert answer.code == 2001 and answer.granted.total_octets == 10 * MB
    world.check_money(gy.subscriber, "10.00", "0.50")
    world.check_money(another, "10.00", "0")


@pytest.mark.rule("G-005", "C-006")
def test_what_is_used_while_an_answer_is_under_way(world, gy):
    """It counts against the new grant: what was left of the old one is not added to it."""
    gy.initial(mscc(100, {}))
    threshold = gy.update(mscc(100, {}, {"total": 8 * MB}, reason=0))
    assert threshold.granted.total_octets == 10 * MB
    world.check_money(gy.subscriber, "9.60", "0.50")
    # 1,500,000 octets while the answer came and 8,500,000 after it: ten million of the new grant.
    last = gy.update(mscc(100, {}, {"total": 10 * MB}, reason=3))
    assert last.granted.total_octets == 10 * MB
    world.check_money(gy.subscriber, "9.10", "0.50")
    assert not world.parked(gy.subscriber), "it was all granted"
