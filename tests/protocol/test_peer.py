"""A peer connection seen from the wire: framing, ids, watchdog, disconnect."""

import pytest

from protocol import base, codec
from protocol.base import DisconnectCause
from protocol.errors import LocalProtocolError
from protocol.peer import (
    AnswerReceived,
    DisconnectRequested,
    EndToEndIds,
    ErrorKind,
    PeerClosed,
    PeerDecision,
    PeerRecovered,
    PeerSettings,
    PeerState,
    PeerSuspect,
    PeerUp,
    RequestReceived,
)
from tests.support.connection_pair import (
    CREDIT_CONTROL,
    DPR,
    DWR,
    SERVER,
    ConnectionPair,
    Wire,
    answer_to,
    avp,
    avps_of,
    capabilities_request,
    events_of,
    header_of,
    request,
    result_code,
)

# Framing on an open connection.


@pytest.mark.rule("B-006", "R-5015")
@pytest.mark.parametrize(
    "length",
    [
        pytest.param(16, marks=pytest.mark.rule("T008")),
        pytest.param(67, marks=pytest.mark.rule("T010")),
        0xFFFFFC,
    ],
)
def test_an_impossible_length_ends_the_connection(length):
    wire, other = Wire().open(), Wire().open(origin_host="pgw2.net.example")
    broken = (1 << 24 | length).to_bytes(4, "big") + request()[4:]
    (answer,) = wire.say(request(hop_by_hop=9), broken, DWR)
    assert result_code(answer) == 5015
    assert header_of(answer).hop_by_hop == 0x01020304
    assert wire.peer.abort
    assert wire.kinds == [PeerUp, RequestReceived, PeerClosed]
    (watchdog,) = other.say(DWR)
    assert result_code(watchdog) == 2001


@pytest.mark.rule("T011", "B-007")
def test_another_version_is_refused_in_version_1():
    wire = Wire().open()
    (answer,) = wire.say(b"\2" + DWR[1:])
    header = header_of(answer)
    assert (header.version, header.hop_by_hop, header.end_to_end) == (1, 5, 6)
    assert not header.is_request
    assert result_code(answer) == 5011
    assert wire.peer.wants_close
    assert wire.peer.counters.errors[ErrorKind.INVALID_VERSION] == 1


@pytest.mark.rule("B-005")
def test_many_messages_in_one_segment_and_one_in_many():
    wire = Wire().open()
    stream = b"".join(request(hop_by_hop=n) for n in range(50))
    for start in range(0, len(stream), 33):
        wire.say(stream[start : start + 33])
    received = [e.header.hop_by_hop for e in wire.events if type(e) is RequestReceived]
    assert received == list(range(50))
    assert wire.peer.unanswered == 50


# Headers and answers.


@pytest.mark.rule("T074")
def test_an_unknown_command_of_application_0():
    wire = Wire().open()
    proxy = codec.encode_grouped(284, codec.encode_avp(33, b"\0\1\0"))
    avps = codec.encode_utf8(263, "s;1") + proxy
    (answer,) = wire.say(request(avps, command=300, application=0))
    assert result_code(answer) == 3001
    assert header_of(answer).flags == codec.FLAG_ERROR | codec.FLAG_PROXIABLE
    assert avps_of(answer)[0] == (263, b"s;1")
    assert proxy in answer
    assert wire.peer.state is PeerState.OPEN


@pytest.mark.rule("T076", "B-021")
@pytest.mark.parametrize("command,application", [(CREDIT_CONTROL, 4), (280, 0)])
def test_the_error_bit_in_a_request(command, application):
    wire = Wire().open()
    message = request(command=command, application=application, flags=0xE0)
    (answer,) = wire.say(message)
    assert result_code(answer) == 3008
    assert header_of(answer).is_error
    assert wire.kinds == [PeerUp]


@pytest.mark.rule("T077", "T079", "T080", "B-020")
def test_reserved_flags_are_ignored_and_ids_come_back():
    wire = Wire().open()
    assert wire.say(request(flags=0xCF, hop_by_hop=0, end_to_end=0xFFFFFFFF)) == []
    received = wire.events[-1]
    wire.peer.send_answer(base.error_answer(SERVER.origin, received.header, 5030))
    (answer,) = wire.heard()
    header = header_of(answer)
    assert header.flags == codec.FLAG_PROXIABLE
    assert (header.hop_by_hop, header.end_to_end) == (0, 0xFFFFFFFF)


@pytest.mark.rule("T086", "B-025")
def test_an_answer_nobody_waits_for_is_ignored():
    wire = Wire().open()
    for unknown in (answer_to(request()), answer_to(DWR), answer_to(DPR)):
        assert wire.say(unknown) == []
    assert wire.events[1:] == []
    assert wire.peer.counters.errors[ErrorKind.UNKNOWN_ANSWER] == 3
    assert result_code(wire.say(DWR)[0]) == 2001


@pytest.mark.rule("B-025", "B-026")
def test_requests_of_ours_are_matched_by_hop_by_hop_id():
    pair = ConnectionPair()
    pair.exchange()
    for peer, events in [
        (pair.server, pair.server_events),
        (pair.client, pair.client_events),
    ]:
        ids = [peer.send_request(request(command=258, end_to_end=n)) for n in (70, 71)]
        assert len(set(ids)) == 2
        pair.exchange()
        other = pair.client if peer is pair.server else pair.server
        heard = pair.client_events if peer is pair.server else pair.server_events
        received = [event for event in heard if type(event) is RequestReceived]
        for event in reversed(received):
            other.send_answer(answer_to(event.message))
        pair.exchange()
        answers = [event for event in events if type(event) is AnswerReceived]
        assert [a.header.hop_by_hop for a in answers] == ids[::-1]
        assert [a.header.end_to_end for a in answers] == [71, 70]


@pytest.mark.rule("B-025")
def test_an_answer_to_another_command_does_not_match():
    wire = Wire().open()
    hop_by_hop = wire.peer.send_request(request(command=258))
    (sent,) = wire.heard()
    wire.say(answer_to(request(command=272, hop_by_hop=hop_by_hop)))
    assert wire.kinds == [PeerUp]
    wire.say(answer_to(sent))
    assert wire.kinds[-1] is AnswerReceived


def test_a_forgotten_request_is_not_answered_any_more():
    wire = Wire().open()
    wire.peer.forget_request(wire.peer.send_request(request(command=258)))
    wire.say(answer_to(wire.heard()[0]))
    assert wire.kinds[-1] is PeerUp


@pytest.mark.rule("B-026")
def test_end_to_end_ids_are_time_and_chance_and_wrap():
    ids = EndToEndIds(0x12345FFF, 0xFFFFFF)
    assert [ids(), ids()] == [0xFFFFFFFF, 0]
    assert EndToEndIds(0x12345ABC, 0x12345)() == 0xABC12345


# Watchdog.


@pytest.mark.rule("B-064", "B-123", "T052")
def test_a_watchdog_answer():
    wire = Wire().open()
    (answer,) = wire.say(DWR)
    assert base.DeviceWatchdogAnswer.read(answer) == base.DeviceWatchdogAnswer(
        2001, "ocs1.ocs.example", "ocs.example", origin_state_id=7
    )
    assert header_of(answer).flags == 0
    assert {code for code, _ in avps_of(answer)} == {268, 264, 296, 278}


@pytest.mark.rule("T053", "B-060")
def test_silence_for_tw_brings_one_watchdog_request():
    wire = Wire().open()
    assert wire.wait(5.9) == []
    (sent,) = wire.wait(0.1)
    header = header_of(sent)
    assert (header.command_code, header.application_id) == (280, 0)
    assert header.flags == codec.FLAG_REQUEST
    assert base.DeviceWatchdogRequest.read(sent).origin_state_id == 7
    wire.say(answer_to(sent))
    assert wire.wait(5.9) == []
    assert len(wire.wait(0.1)) == 1


@pytest.mark.rule("B-060")
def test_traffic_keeps_the_watchdog_quiet():
    wire = Wire().open()
    for _ in range(10):
        assert wire.wait(5.0) == []
        wire.say(request())
    assert wire.wait(5.9) == []
    assert len(wire.wait(0.2)) == 1


@pytest.mark.rule("T055", "B-061")
def test_a_dead_peer_is_given_up_after_three_intervals():
    wire = Wire().open()
    wire.peer.send_request(request(command=258, end_to_end=99))
    (ours,) = wire.heard()
    assert len(wire.wait(6.0)) == 1
    assert wire.wait(6.0) == []
    assert wire.events[-1] == PeerSuspect((ours,))
    with pytest.raises(LocalProtocolError):
        wire.peer.send_request(request(command=258))
    assert wire.wait(5.9) == []
    assert not wire.peer.wants_close
    assert wire.wait(0.1) == []
    assert wire.peer.wants_close
    assert wire.events[-1] == PeerClosed(
        "the peer did not answer the watchdog", (ours,), by_watchdog=True
    )


@pytest.mark.rule("T056", "B-063")
def test_a_suspected_peer_that_asks_is_answered_and_trusted_again():
    wire = Wire().open()
    wire.wait(13.0)
    assert wire.kinds[-1] is PeerSuspect
    wire.say(request())
    assert wire.kinds[-2:] == [PeerRecovered, RequestReceived]
    wire.peer.send_answer(answer_to(wire.events[-1].message))
    assert len(wire.heard()) == 1
    assert wire.peer.can_send_requests
    wire.wait(5.9)
    assert not wire.peer.wants_close


@pytest.mark.rule("T058")
def test_a_watchdog_request_without_origin_host():
    wire = Wire().open()
    (answer,) = wire.say(
        codec.encode_message(280, 0, codec.FLAG_REQUEST, 5, 6, codec.encode_utf8(296, "net"))
    )
    assert result_code(answer) == 5005
    assert avp(answer, 279) == bytes.fromhex("0000010840000008")
    assert not header_of(answer).is_error
    assert wire.peer.state is PeerState.OPEN


@pytest.mark.rule("T046", "B-047")
def test_a_probed_dead_connection_is_gone_within_two_intervals():
    wire = Wire().open()
    wire.wait(3.0)
    wire.peer.probe()
    wire.peer.probe()
    assert len(wire.heard()) == 1
    wire.wait(12.0)
    assert wire.peer.wants_close


@pytest.mark.rule("B-062")
def test_a_peer_that_had_failed_is_asked_three_times_before_it_is_used():
    wire = Wire(policy=lambda _: PeerDecision(after_down=True))
    answer, first = wire.say(capabilities_request())
    assert result_code(answer) == 2001
    sent = [first]
    for _ in range(2):
        assert not wire.peer.can_send_requests
        wire.say(answer_to(sent[-1]))
        sent += wire.wait(6.0)
    wire.say(answer_to(sent[-1]))
    assert len(sent) == 3
    assert wire.peer.can_send_requests
    assert wire.events[-1] == PeerRecovered()


def test_the_watchdog_may_not_be_hectic():
    with pytest.raises(LocalProtocolError):
        PeerSettings("a", "b", watchdog_seconds=5.9)


# Disconnect.


@pytest.mark.rule("B-063", "B-124", "T059")
def test_the_peer_says_goodbye():
    wire = Wire().open()
    (answer,) = wire.say(DPR)
    assert base.DisconnectPeerAnswer.read(answer) == base.DisconnectPeerAnswer(
        2001, "ocs1.ocs.example", "ocs.example"
    )
    assert wire.events[-1] == DisconnectRequested(DisconnectCause.REBOOTING)
    assert wire.peer.state is PeerState.CLOSING
    with pytest.raises(LocalProtocolError):
        wire.peer.send_request(request(command=258))
    assert [result_code(m) for m in wire.say(request(), DWR)] == [3004, 2001]
    assert wire.wait(4.9) == []
    assert not wire.peer.wants_close
    assert wire.wait(0.1) == []
    assert wire.peer.wants_close


@pytest.mark.rule("B-132")
@pytest.mark.parametrize("cause", list(DisconnectCause))
def test_every_cause_of_disconnect_is_understood(cause):
    wire = Wire().open()
    (answer,) = wire.say(base.DisconnectPeerRequest("a", "b", cause).write(7, 8))
    assert result_code(answer) == 2001
    assert wire.events[-1] == DisconnectRequested(cause)


@pytest.mark.rule("T061")
def test_a_goodbye_without_cause():
    wire = Wire().open()
    avps = codec.encode_utf8(264, "a") + codec.encode_utf8(296, "b")
    (answer,) = wire.say(codec.encode_message(282, 0, codec.FLAG_REQUEST, 5, 6, avps))
    assert result_code(answer) == 5005
    assert avp(answer, 279) == bytes.fromhex("000001114000000c00000000")
    assert wire.peer.state is PeerState.OPEN


@pytest.mark.rule("T062")
def test_what_is_in_flight_is_answered_before_the_goodbye():
    wire = Wire().open()
    assert wire.say(request(hop_by_hop=1), request(hop_by_hop=2), DPR) == []
    first, second = [event for event in wire.events if type(event) is RequestReceived]
    wire.peer.send_answer(answer_to(second.message))
    assert [header_of(m).command_code for m in wire.heard()] == [272]
    wire.peer.send_answer(answer_to(first.message))
    assert [header_of(m).command_code for m in wire.heard()] == [272, 282]


@pytest.mark.rule("B-129", "T062")
def test_a_goodbye_does_not_wait_for_ever():
    wire = Wire().open()
    wire.say(request(), DPR)
    (goodbye,) = wire.wait(SERVER.drain_timeout)
    assert result_code(goodbye) == 2001
    wire.peer.send_answer(answer_to(request()))
    assert len(wire.heard()) == 1


def test_a_request_nobody_will_answer_holds_nothing_up():
    wire = Wire().open()
    wire.say(request(), DPR)
    wire.peer.release_request()
    assert [header_of(m).command_code for m in wire.heard()] == [282]


@pytest.mark.rule("B-070", "B-128", "B-133")
def test_a_graceful_stop_answers_first_then_leaves():
    pair = ConnectionPair()
    pair.exchange()
    assert [type(e) for e in pair.client_events + pair.server_events] == [PeerUp, PeerUp]
    pair.client.send_request(request())
    pair.exchange()
    pair.server.start_disconnect()
    pair.exchange()
    assert pair.client.state is PeerState.OPEN
    pair.client.send_request(request(end_to_end=77))
    pair.exchange()
    late = pair.client_events[-1]
    assert (late.header.end_to_end, result_code(late.message)) == (77, 3004)
    pair.server.send_answer(answer_to(pair.server_events[-1].message))
    pair.exchange()
    assert type(pair.client_events[-2]) is AnswerReceived
    assert pair.client_events[-1] == DisconnectRequested(DisconnectCause.REBOOTING)
    assert pair.server_events[-1] == PeerClosed("disconnected by us")
    assert pair.server.wants_close


@pytest.mark.rule("B-129")
def test_a_goodbye_that_is_not_answered_ends_by_itself():
    wire = Wire().open()
    wire.peer.start_disconnect(DisconnectCause.BUSY)
    (sent,) = wire.heard()
    assert base.DisconnectPeerRequest.read(sent).disconnect_cause is DisconnectCause.BUSY
    assert wire.wait(5.0) == []
    assert wire.peer.wants_close


@pytest.mark.rule("B-129")
def test_goodbyes_that_cross_are_both_answered():
    pair = ConnectionPair()
    pair.exchange()
    pair.client.start_disconnect()
    pair.server.start_disconnect()
    pair.exchange()
    assert pair.client.wants_close
    assert pair.server.wants_close


@pytest.mark.rule("B-124")
def test_repeated_goodbyes_do_not_delay_the_end():
    wire = Wire().open()
    wire.say(DPR)
    for _ in range(4):
        wire.wait(1.5)
        wire.say(DPR)
    assert wire.peer.wants_close


def test_an_answer_after_the_end_is_dropped_and_counted():
    wire = Wire().open()
    wire.say(request())
    wire.peer.connection_lost("reset")
    assert events_of(wire.peer) == [PeerClosed("reset")]
    wire.peer.send_answer(answer_to(request()))
    assert wire.heard() == []
    assert wire.peer.counters.errors[ErrorKind.LATE_ANSWER] == 1


def test_our_own_nonsense_is_refused():
    wire = Wire().open()
    with pytest.raises(LocalProtocolError):
        wire.peer.send_answer(answer_to(request()))
    with pytest.raises(LocalProtocolError):
        wire.peer.send_request(answer_to(request()))
    wire.say(request())
    with pytest.raises(LocalProtocolError):
        wire.peer.send_answer(request())
