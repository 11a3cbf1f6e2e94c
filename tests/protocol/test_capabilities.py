"""Capabilities exchange seen from the wire: who is let in, who is told why not, who is ignored."""

from dataclasses import replace

import pytest

from protocol import base, codec
from protocol.peer import (
    ErrorKind,
    PeerClosed,
    PeerDecision,
    PeerState,
    PeerUp,
    RequestReceived,
)
from tests.support.connection_pair import (
    CLIENT,
    DWR,
    SERVER,
    ConnectionPair,
    Wire,
    answer_to,
    avp,
    avps_of,
    capabilities_request,
    connection,
    events_of,
    header_of,
    raw_cer,
    request,
    result_code,
    split,
)

BROKEN_LENGTHS = [16, 0, 67, 0xFFFFFF, 0xFFFFFC]


def refused(message: bytes) -> bytes:
    """The CEA of a CER that must not open the connection."""
    wire = Wire()
    (answer,) = wire.say(message)
    assert wire.peer.state is PeerState.CLOSED
    assert wire.peer.wants_close
    assert not wire.peer.abort
    assert [type(event) for event in wire.events] == [PeerClosed]
    codes = [code for code, _ in avps_of(answer)]
    assert {264, 296, 257, 266, 269} <= set(codes)
    return answer


# Capabilities exchange.


@pytest.mark.rule("B-041", "B-121", "T001", "T025")
def test_a_capabilities_answer_says_all_about_us():
    wire = Wire()
    (answer,) = wire.say(capabilities_request())
    header = header_of(answer)
    assert (header.flags, header.command_code, header.application_id) == (0, 257, 0)
    assert (header.hop_by_hop, header.end_to_end) == (0x11, 0x22)
    read = base.CapabilitiesExchangeAnswer.read(answer)
    assert read == base.CapabilitiesExchangeAnswer(
        "ocs1.ocs.example",
        "ocs.example",
        result_code=2001,
        host_ip_addresses=("192.0.2.10",),
        vendor_id=0,
        product_name=SERVER.product_name,
        origin_state_id=7,
        supported_vendor_ids=(10415,),
        auth_application_ids=(4,),
        firmware_revision=1,
    )
    product = next(
        flags
        for code, _, flags, *_ in codec.iter_avps(answer, codec.HEADER_SIZE, len(answer))
        if code == 269
    )
    assert product == 0
    assert wire.events == [PeerUp(base.CapabilitiesExchangeRequest.read(capabilities_request()))]


@pytest.mark.rule("T002")
def test_a_request_that_comes_octet_by_octet_is_answered():
    wire = Wire()
    for octet in capabilities_request()[:-1]:
        assert wire.say(bytes([octet])) == []
    (answer,) = wire.say(capabilities_request()[-1:])
    assert result_code(answer) == 2001


@pytest.mark.rule("B-042")
@pytest.mark.parametrize(
    "application",
    [
        pytest.param(
            codec.encode_grouped(260, codec.encode_u32(266, 10415) + codec.encode_u32(258, 4)),
            marks=pytest.mark.rule("T026"),
        ),
        pytest.param(
            codec.encode_grouped(260, codec.encode_u32(266, 13019) + codec.encode_u32(259, 4)),
            id="another-vendor",
        ),
        pytest.param(codec.encode_u32(259, 4), marks=pytest.mark.rule("T028")),
        pytest.param(codec.encode_u32(258, 0xFFFFFFFF), marks=pytest.mark.rule("T029")),
        pytest.param(codec.encode_u32(258, 3) + codec.encode_u32(258, 4), id="one-of-two"),
    ],
)
def test_the_application_may_be_advertised_in_any_of_the_ways(application):
    wire = Wire()
    (answer,) = wire.say(raw_cer(application=application))
    assert result_code(answer) == 2001
    assert wire.peer.state is PeerState.OPEN
    assert wire.peer.capabilities.supports(4)


@pytest.mark.rule("T031", "B-042")
@pytest.mark.parametrize("application", [b"", codec.encode_u32(258, 16777238)])
def test_no_common_application(application):
    answer = refused(raw_cer(application=application))
    assert result_code(answer) == 5010
    assert header_of(answer).flags == 0


@pytest.mark.rule("T032", "B-044")
def test_an_unknown_peer_is_told_with_the_error_bit():
    wire = Wire(policy=lambda cer: PeerDecision(accept=False, reason=f"{cer.origin_host}: no"))
    (answer,) = wire.say(capabilities_request(origin_host="x.evil.example"))
    assert result_code(answer) == 3010
    assert header_of(answer).flags == codec.FLAG_ERROR
    assert avp(answer, 281) == b"x.evil.example: no"
    assert wire.events == [PeerClosed("x.evil.example: no")]


@pytest.mark.rule("B-044")
def test_an_unknown_peer_may_be_left_without_a_word():
    wire = Wire(policy=lambda _: PeerDecision(accept=False, silent=True))
    assert wire.say(capabilities_request()) == []
    assert wire.peer.wants_close


@pytest.mark.parametrize(
    "message,code,shown",
    [
        pytest.param(
            raw_cer(host=b""),
            5005,
            bytes.fromhex("0000010840000008"),
            marks=pytest.mark.rule("T034"),
        ),
        pytest.param(
            raw_cer(address=b""),
            5005,
            bytes.fromhex("0000010140000008"),
            marks=pytest.mark.rule("T035"),
        ),
        pytest.param(
            raw_cer(codec.encode_utf8(296, "second.example")),
            5009,
            codec.encode_utf8(296, "second.example"),
            marks=pytest.mark.rule("T037"),
        ),
        pytest.param(
            raw_cer(application=codec.encode_grouped(260, codec.encode_u32(266, 10415))),
            5005,
            codec.encode_u32(258, 0) + codec.encode_u32(259, 0),
            marks=pytest.mark.rule("T038", "B-043"),
        ),
        pytest.param(
            raw_cer(codec.encode_avp(65000, b"what")),
            5001,
            codec.encode_avp(65000, b"what"),
            marks=pytest.mark.rule("T040"),
        ),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_wrong(message, code, shown):
    answer = refused(message)
    assert result_code(answer) == code
    assert avp(answer, 279) == shown
    assert not header_of(answer).is_error


@pytest.mark.rule("T041")
def test_an_unknown_optional_avp_is_ignored():
    (answer,) = Wire().say(raw_cer(codec.encode_avp(65000, b"what", flags=0)))
    assert result_code(answer) == 2001


@pytest.mark.rule("T043", "T020")
def test_the_optional_avps_may_be_missing():
    wire = Wire()
    (answer,) = wire.say(raw_cer())
    assert result_code(answer) == 2001
    assert wire.peer.capabilities.firmware_revision is None
    assert wire.peer.capabilities.origin_state_id is None


@pytest.mark.rule("B-003", "R-5017", "T019")
def test_security_is_in_clear_or_not_at_all():
    none, tls = codec.encode_u32(299, 0), codec.encode_u32(299, 1)
    (answer,) = Wire().say(raw_cer(none, tls))
    assert result_code(answer) == 2001
    answer = refused(raw_cer(tls))
    assert result_code(answer) == 5017
    assert header_of(answer).flags == 0


@pytest.mark.rule("T044")
def test_letters_do_not_make_another_peer():
    wire = Wire().open()
    (answer,) = wire.say(capabilities_request(origin_host="PGW1.Net.Example"))
    assert result_code(answer) == 2001


@pytest.mark.rule("T047", "B-046")
def test_a_second_request_is_answered_again_and_the_connection_works_on():
    wire = Wire().open()
    (answer,) = wire.say(capabilities_request())
    assert result_code(answer) == 2001
    assert wire.say(request()) == []
    assert type(wire.events[-1]) is RequestReceived
    for bad, code in [
        (raw_cer(host=b""), 5005),
        (capabilities_request(origin_host="pgw2.net.example"), 3010),
    ]:
        (answer,) = wire.say(bad)
        assert result_code(answer) == code
        assert wire.peer.state is PeerState.OPEN


# Connections that do not open.


@pytest.mark.rule("T005", "B-045")
def test_silence_ends_without_a_word():
    wire = Wire()
    assert wire.wait(4.9) == []
    assert wire.peer.state is PeerState.WAIT_CER
    assert wire.wait(0.1) == []
    assert wire.peer.wants_close
    assert wire.events == [PeerClosed("no CER within 5.0 s")]


@pytest.mark.rule("B-045")
def test_a_trickle_of_octets_does_not_move_the_deadline():
    wire = Wire()
    for octet in capabilities_request()[:5]:
        wire.say(bytes([octet]))
        wire.wait(1.0)
    assert wire.peer.state is PeerState.CLOSED


@pytest.mark.rule("T007", "B-045")
@pytest.mark.parametrize(
    "first",
    [
        request(),
        DWR,
        answer_to(capabilities_request()),
        request(command=257, application=4),
    ],
)
def test_another_first_message_closes_without_an_answer(first):
    wire = Wire()
    assert wire.say(first, capabilities_request()) == []
    assert wire.peer.wants_close
    assert wire.peer.counters.errors[ErrorKind.NOT_OPEN] == 1


def test_the_error_bit_in_the_first_request():
    wire = Wire()
    (answer,) = wire.say(codec.encode_message(257, 0, 0xA0, 1, 2, raw_cer()[codec.HEADER_SIZE :]))
    assert result_code(answer) == 3008
    assert wire.peer.wants_close


@pytest.mark.rule("B-006")
@pytest.mark.parametrize("length", BROKEN_LENGTHS)
def test_nonsense_before_the_connection_opens_is_reset_without_a_word(length):
    wire = Wire()
    assert wire.say((1 << 24 | length).to_bytes(4, "big") + bytes(16)) == []
    assert wire.peer.abort


# The other role.


def test_an_initiator_gives_up_when_it_is_refused():
    pair = ConnectionPair(policy=lambda _: PeerDecision(accept=False, reason="not you"))
    pair.exchange()
    assert pair.client_events == [PeerClosed("CEA 3010: not you")]


def test_an_initiator_waits_for_the_answer_only_so_long():
    client = connection(CLIENT, role="initiator")
    assert len(split(client.data_to_send())) == 1
    client.tick(10.0)
    assert events_of(client) == [PeerClosed("no CEA within 10.0 s")]


@pytest.mark.parametrize("first", [request(), answer_to(capabilities_request()), DWR])
def test_an_initiator_accepts_nothing_before_the_answer(first):
    client = connection(CLIENT, role="initiator")
    client.receive_data(first)
    assert [type(event) for event in events_of(client)] == [PeerClosed]


def test_an_initiator_needs_a_common_application():
    pair = ConnectionPair(server=replace(SERVER, auth_application_ids=(4, 5)))
    pair.exchange()
    assert pair.client.state is PeerState.OPEN
    foreign = connection(replace(CLIENT, auth_application_ids=(9,)), role="initiator")
    (cer,) = split(foreign.data_to_send())
    avps = codec.encode_u32(268, 2001) + SERVER.origin.avps + codec.encode_u32(258, 4)
    header = header_of(cer)
    foreign.receive_data(
        codec.encode_message(257, 0, 0, header.hop_by_hop, header.end_to_end, avps)
    )
    assert events_of(foreign) == [PeerClosed("the CEA names no common application")]
