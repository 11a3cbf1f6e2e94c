"""Whatever a peer sends or fails to read: bounded memory, no exception, no harm to others."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec
from protocol.peer import (
    PeerClosed,
)
from tests.support.connection_pair import (
    DPR,
    DWR,
    SERVER,
    Wire,
    answer_to,
    capabilities_request,
    events_of,
    raw_cer,
    request,
    result_code,
)


@pytest.mark.rule("B-009")
def test_a_peer_that_does_not_read_is_given_up():
    wire = Wire(replace(SERVER, max_pending_output_octets=2000)).open()
    wire.peer.receive_data(DWR * 100)
    wire.events += events_of(wire.peer)
    assert wire.peer.abort
    assert wire.peer.data_to_send() == b""
    assert wire.events[-1] == PeerClosed("the peer does not read what it is sent")


@pytest.mark.rule("B-075")
def test_what_a_peer_sent_is_not_quoted_at_any_length():
    wire = Wire().open()
    avps = codec.encode_utf8(293, "h" * 100_000)
    (answer,) = wire.say(request(avps, command=300, application=0))
    assert result_code(answer) == 3002
    assert len(answer) < 1000


def test_too_many_avps_are_refused():
    wire = Wire().open()
    many = codec.encode_avp(65000, b"", flags=0) * 5000
    (answer,) = wire.say(codec.encode_message(280, 0, 0x80, 5, 6, many))
    assert result_code(answer) == 5012


headers = st.builds(
    lambda version, length, flags, command, application, rest: (
        bytes([version])
        + length.to_bytes(3, "big")
        + bytes([flags])
        + command.to_bytes(3, "big")
        + application.to_bytes(4, "big")
        + rest
    ),
    st.sampled_from([1, 1, 1, 1, 2, 0]),
    st.sampled_from([20, 24, 28, 32, 40, 44, 64, 19, 0xFFFFFF]),
    st.integers(0, 255),
    st.sampled_from([257, 280, 282, 272, 258, 1]),
    st.sampled_from([0, 4, 0xFFFFFFFF]),
    st.binary(min_size=8, max_size=60),
)
pieces = st.one_of(
    st.binary(max_size=80),
    headers,
    st.sampled_from([DWR, DPR, request(), capabilities_request(), raw_cer(), answer_to(DWR)]),
)


@settings(max_examples=150, deadline=None)
@given(
    before=st.booleans(),
    stream=st.lists(pieces, max_size=12),
    chunk=st.integers(1, 97),
    pause=st.sampled_from([0.0, 0.7, 7.0]),
)
def test_no_octets_in_no_order_do_any_harm(before, stream, chunk, pause):
    """Nothing raises, nothing grows, the end comes once, and another peer notices nothing."""
    wire, good = Wire(), Wire().open(origin_host="pgw2.net.example")
    if before:
        wire.open()
    data = b"".join(stream)
    for start in range(0, len(data), chunk):
        wire.now += pause
        wire.peer.tick(wire.now)
        wire.peer.receive_data(data[start : start + chunk])
        wire.events += events_of(wire.peer)
        wire.heard()  # which are whole messages
    wire.wait(60.0)
    closed = [n for n, event in enumerate(wire.events) if type(event) is PeerClosed]
    assert closed in ([], [len(wire.events) - 1])
    assert wire.peer.pending_output_octets == 0
    assert result_code(good.say(DWR)[0]) == 2001
