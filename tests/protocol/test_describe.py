"""The printer names what it knows, shows the octets of what it does not, and marks faults."""

import pytest

from protocol.codec import (
    Limits,
    encode_address,
    encode_avp,
    encode_message,
    encode_time,
    encode_utf8,
)
from protocol.describe import describe
from protocol.errors import RemoteProtocolError
from tests.support import gateway_messages as gateways


def lines(*avps: bytes, limits: Limits | None = None) -> list[str]:
    message = encode_message(272, 4, 0xC0, 0x01020304, 5, b"".join(avps))
    return describe(message, limits or Limits()).splitlines()


def test_the_first_line_is_the_header():
    assert lines() == [
        (
            "Credit-Control-Request (272) flags=RP-- application=4 hop-by-hop=0x01020304 "
            "end-to-end=0x00000005 length=20 version=1"
        )
    ]


def test_values_are_shown_by_their_type():
    shown = lines(
        encode_utf8(263, "a;1"),
        encode_time(55, 0),
        encode_address(257, "192.0.2.1"),
        encode_avp(7, b"x\x01", 99999, flags=0),
        encode_avp(443, encode_avp(450, b"\0\0\0\1")),
    )
    assert shown[1:] == [
        "  Session-Id (263) -M- = 'a;1'",
        "  Event-Timestamp (55) -M- = 1970-01-01T00:00:00Z",
        "  Host-IP-Address (257) -M- = 192.0.2.1",
        "  Unknown (99999/7) V-- = 0x7801",
        "  Subscription-Id (443) -M-",
        "    Subscription-Id-Type (450) -M- = 1",
    ]


def test_faults_stand_where_they_are():
    shown = lines(encode_avp(416, b"\1"), bytes.fromhex("000001b0400000ff"))
    assert "! not Integer32" in shown[1]
    assert shown[2].startswith("  ! impossible length of AVP 432")
    message = encode_message(272, 4, 0xC0, 1, 1, b"")
    assert "length field says 20, there are 21" in describe(message + b"\0")


@pytest.mark.rule("B-036")
def test_depth_and_number_are_bounded():
    deep = b""
    for _ in range(5):
        deep = encode_avp(456, deep)
    assert "nested deeper than 3" in lines(deep, limits=Limits(max_depth=3))[-1]
    few = lines(encode_utf8(1, "x") * 5, limits=Limits(max_avps=2))
    assert few[-1] == "  ! more than 2 AVPs"
    assert len(few) == 4


def test_long_octets_are_cut():
    (_, line) = lines(encode_avp(7, bytes(100), 99999))
    assert line.endswith("... (100 octets)")


def test_without_a_header_there_is_nothing_to_show():
    with pytest.raises(RemoteProtocolError):
        describe(b"\x01\x00")


@pytest.mark.parametrize("name, message", gateways.all_shapes().items())
def test_the_shapes_of_gateways_are_shown_without_a_fault(name, message):
    text = describe(message)
    assert "!" not in text
    assert "Session-Id (263)" in text, name
