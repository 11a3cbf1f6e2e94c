"""TCP segments out of packets of every kind of link that is read here."""

import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.replay.capture_file import Packet
from simulators.replay.packets import Chunk, UnknownLinkError, endpoint_text, parts_of
from tests.support.captures import (
    CLIENT4,
    CLIENT6,
    CLIENT_PORT,
    LINKS,
    SERVER4,
    SERVER6,
    SERVER_PORT,
    ethernet,
    ipv4,
    ipv6,
    tcp,
)

DATA = b"what TCP carries"
HOP_BY_HOP = bytes((43, 0)) + bytes(6)
ROUTING = bytes((51, 1)) + bytes(14)
AUTHENTICATION = bytes((6, 4)) + bytes(22)


def parts(link_type, data, lost=0):
    counts: Counter[str] = Counter()
    return parts_of(Packet(3, 99, link_type, data, lost), counts), counts


@pytest.mark.rule("X-052")
@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("version", [4, 6])
def test_every_link(name, version):
    link_type, wrap = LINKS[name]
    packet = ipv4(tcp(DATA, 77)) if version == 4 else ipv6(tcp(DATA, 77))
    [segment], counts = parts(link_type, wrap(packet))
    assert segment.source == (CLIENT4 if version == 4 else CLIENT6, CLIENT_PORT)
    assert segment.target == (SERVER4 if version == 4 else SERVER6, SERVER_PORT)
    assert (segment.sequence, segment.data, segment.lost) == (77, DATA, 0)
    assert (segment.number, segment.at_ns) == (3, 99)
    assert not counts


@pytest.mark.rule("X-052")
@pytest.mark.parametrize(
    "packet",
    [
        ipv4(tcp(DATA, options=bytes(12)), options=bytes(8)),
        ipv4(tcp(DATA), total=0),
        ipv6(tcp(DATA), protocol=0, before=HOP_BY_HOP + ROUTING + AUTHENTICATION),
        ipv4(tcp(DATA), fragment=0),
    ],
    ids=["options", "cut into segments by the card", "extension headers", "no flags"],
)
def test_headers_are_stepped_over(packet):
    [segment], _ = parts(101, packet)
    assert segment.data == DATA


@pytest.mark.rule("X-052")
def test_what_was_not_captured_of_a_segment_is_counted():
    [segment], _ = parts(1, ethernet(ipv4(tcp(DATA)))[:-5], lost=5)
    assert (segment.data, segment.lost) == (DATA[:-5], 5)


@pytest.mark.rule("X-052")
@pytest.mark.parametrize(
    "link_type, data, words",
    [
        (1, bytes(12) + b"\x08\x06" + bytes(28), "packets that are not IP"),
        (101, ipv4(bytes(8), protocol=17), "packets that are neither TCP nor SCTP"),
        (101, ipv4(tcp(DATA))[:25], "packets that are cut short or malformed"),
        (101, ipv4(tcp(DATA)[:12] + b"\xf0" + tcp(DATA)[13:]), "cut short or malformed"),
        (101, b"", "packets that are cut short or malformed"),
        (113, b"short", "packets that are cut short or malformed"),
    ],
)
def test_everything_else_is_counted(link_type, data, words):
    found, counts = parts(link_type, data)
    assert found == []
    [name] = counts
    assert words in name


@given(
    link=st.sampled_from([one[0] for one in LINKS.values()]),
    data=st.binary(max_size=120),
    real=st.booleans(),
    place=st.integers(0, 60),
)
@pytest.mark.rule("X-051")
def test_no_packet_is_too_odd(link, data, real, place):
    if real:
        whole = ethernet(ipv4(tcp(DATA)))
        data = whole[:place] + data[:8] + whole[place + 8 :]
    found, _ = parts(link, data)
    assert len(found) <= len(data)


@pytest.mark.rule("X-053")
def test_a_link_that_is_not_read_here():
    with pytest.raises(UnknownLinkError, match="link type 127"):
        parts(127, bytes(100))


@pytest.mark.rule("X-052")
def test_sctp_carries_chunks():
    first = struct.pack(">BBHIHHI", 0, 3, 16 + 5, 10, 4, 0, 46) + b"hello" + bytes(3)
    other = struct.pack(">BBH", 3, 0, 16) + bytes(12)
    second = struct.pack(">BBHIHHI", 0, 2, 16 + 2, 11, 4, 1, 46) + b"he" + bytes(2)
    header = struct.pack(">HHII", CLIENT_PORT, SERVER_PORT, 1, 0)
    found, _ = parts(101, ipv4(header + first + other + second, protocol=132))
    ends = ((CLIENT4, CLIENT_PORT), (SERVER4, SERVER_PORT))
    assert found == [
        Chunk(3, 99, *ends, 10, 4, True, True, b"hello"),
        Chunk(3, 99, *ends, 11, 4, True, False, b"he"),
    ]


def test_endpoints_for_people():
    assert endpoint_text((CLIENT4, 3868)) == "10.1.2.3:3868"
    assert endpoint_text((CLIENT6, 3868)) == "[fd00::1]:3868"
