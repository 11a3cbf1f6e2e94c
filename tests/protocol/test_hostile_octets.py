"""Whatever octets arrive, the readers answer with a value or with RemoteProtocolError."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import MessageBuffer, encode_message, read_header
from protocol.credit_control_reader import partial_ccr_fields, read_cca, read_ccr
from protocol.describe import describe
from protocol.errors import RemoteProtocolError
from protocol.members import LENIENT, STRICT
from protocol.service_information import read_service_information
from protocol.session_commands import read_session_answer, read_session_request
from tests.support import gateway_messages

SHAPES = list(gateway_messages.all_shapes().values())
KNOWN_CODES = [
    1,
    55,
    258,
    260,
    263,
    264,
    284,
    415,
    416,
    431,
    437,
    443,
    446,
    456,
    458,
    873,
    874,
    876,
]


@st.composite
def avp_like(draw: st.DrawFn) -> bytes:
    """Octets that often look like an AVP, with lengths that are often wrong."""
    code = draw(st.sampled_from(KNOWN_CODES) | st.integers(0, 2**32 - 1))
    flags = draw(st.sampled_from([0x40, 0xC0, 0, 0x80, 0xFF]))
    payload = draw(st.binary(max_size=24))
    length = 8 + len(payload) + draw(st.sampled_from([0, 0, 0, 1, -1, 4, 200, -9]))
    head = code.to_bytes(4, "big") + (flags << 24 | max(length, 0)).to_bytes(4, "big")
    return head + payload + bytes(-len(payload) % 4)


@st.composite
def mutated_requests(draw: st.DrawFn) -> bytes:
    """A valid request with a few octets changed, inserted or cut."""
    message = bytearray(draw(st.sampled_from(SHAPES)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(20, len(message) - 1))
        kind = draw(st.sampled_from(["set", "set", "insert", "cut"]))
        if kind == "set":
            message[place] = draw(st.integers(0, 255))
        elif kind == "insert":
            message[place:place] = draw(st.binary(max_size=8))
        elif len(message) > 60:
            del message[place : place + draw(st.integers(1, 8))]
    return bytes(message)


def read_everything(message: bytes) -> None:
    header = read_header(message)
    partial_ccr_fields(message)
    for leniency in (LENIENT, STRICT):
        with suppress(RemoteProtocolError):
            request = read_ccr(message, header, leniency)
            if request.service_information is not None:
                read_service_information(request.service_information, leniency)
        with suppress(RemoteProtocolError):
            read_session_request(message, header, leniency)
    for read in (read_cca, read_session_answer):
        with suppress(RemoteProtocolError):
            read(message)
    assert describe(message)


@pytest.mark.rule("B-036")
@settings(deadline=None)
@given(st.lists(avp_like(), max_size=8).map(b"".join))
def test_arbitrary_avps_are_read_or_refused(avps):
    read_everything(encode_message(272, 4, 0xC0, 1, 1, avps))


@settings(deadline=None)
@given(st.binary(min_size=20, max_size=200))
def test_arbitrary_octets_are_read_or_refused(message):
    read_everything(message)


@settings(deadline=None)
@given(mutated_requests())
def test_mutated_requests_are_read_or_refused(message):
    read_everything(message)


@given(st.lists(avp_like(), max_size=6).map(b"".join) | st.binary(max_size=60))
def test_arbitrary_service_information_is_read_or_refused(payload):
    with suppress(RemoteProtocolError):
        read_service_information(payload)


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_an_arbitrary_stream_is_cut_or_refused(chunks):
    buffer = MessageBuffer()
    with suppress(RemoteProtocolError):
        for chunk in chunks:
            buffer.feed(chunk)
            while (message := buffer.next_message()) is not None:
                assert read_header(message).length == len(message)
    assert buffer.pending_octets <= sum(map(len, chunks))
