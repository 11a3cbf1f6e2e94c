"""Packets out of pcap and pcapng files, whole and damaged."""

import gzip
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.replay.capture_file import PACKET_OCTETS_MAX, read_packets
from simulators.replay.findings import Findings, UnusableError
from tests.support.captures import (
    SECOND,
    START_NS,
    Made,
    block,
    interface,
    packet_block,
    pcap,
    section,
)

PACKETS = [Made(START_NS + 1_234_567_000, b"first"), Made(START_NS + 2 * SECOND, b"second one")]


def read(path, data):
    path.write_bytes(data)
    findings = Findings()
    return list(read_packets(path, findings)), findings


@pytest.mark.rule("X-050")
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_the_classic_format(tmp_path, order, nanoseconds, packed):
    data = pcap(PACKETS, 113, order=order, nanoseconds=nanoseconds)
    found, findings = read(tmp_path / "a", gzip.compress(data) if packed else data)
    assert [(one.number, one.at_ns, one.link_type, one.data) for one in found] == [
        (1, START_NS + 1_234_567_000, 113, b"first"),
        (2, START_NS + 2 * SECOND, 113, b"second one"),
    ]
    assert findings.problems == []


@pytest.mark.rule("X-050")
@pytest.mark.parametrize("order", ["<", ">"])
def test_blocks_with_a_clock_for_each_interface(tmp_path, order):
    data = b"".join(
        (
            section(order),
            block(0x0BAD, b"what nobody knows", order),
            interface(1, order),
            interface(276, order, resolution=9, offset=100),
            interface(101, order, resolution=0x80 | 10),
            packet_block(5_000_001, b"micro", 0, order),
            packet_block(5_000_000_001, b"nano", 1, order),
            packet_block(3 << 10, b"binary", 2, order),
            block(3, struct.pack(f"{order}I", 6) + b"simple", order),
            block(2, struct.pack(f"{order}HHIIII", 1, 0, 1, 0, 3, 3) + b"old", order),
            section(order),
            interface(113, order),
            packet_block(1, b"again", 0, order),
        )
    )
    found, findings = read(tmp_path / "a", data)
    assert [(one.at_ns, one.link_type, one.data) for one in found] == [
        (5_000_001_000, 1, b"micro"),
        (105_000_000_001, 276, b"nano"),
        (3 * SECOND, 101, b"binary"),
        (3 * SECOND, 1, b"simple"),
        ((1 << 32) + 100 * SECOND, 276, b"old"),
        (1000, 113, b"again"),
    ]
    assert findings.problems == []


@pytest.mark.rule("X-050")
def test_what_was_cut_off_each_packet_is_known(tmp_path):
    found, _ = read(tmp_path / "a", pcap([Made(START_NS, b"0123456789", cut=4)]))
    assert (found[0].data, found[0].lost) == (b"012345", 4)


WHOLE = {
    "pcap": pcap(PACKETS),
    "pcapng": section() + interface(1) + packet_block(1, b"first") + packet_block(2, b"second"),
    "gzip": gzip.compress(pcap(PACKETS)),
}


@pytest.mark.rule("X-051")
@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_is_cut_off_anywhere_gives_what_came_before(tmp_path, name):
    whole = WHOLE[name]
    counts = set()
    for length in range(4, len(whole)):
        try:
            found, findings = read(tmp_path / "a", whole[:length])
        except UnusableError:
            assert name == "gzip"  # not even four octets of what is packed
            continue
        counts.add(len(found))
        assert len(found) <= 2
        if not findings.problems:
            assert name != "gzip"
            continue
        [problem] = findings.problems
        assert f"after packet {len(found)}" in problem
    assert counts >= {0, 1}


@pytest.mark.rule("X-051")
@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=400), head=st.sampled_from([b"", *[one[:60] for one in WHOLE.values()]])
)
def test_garbage_never_does_more_than_complain(tmp_path_factory, data, head):
    path = tmp_path_factory.getbasetemp() / "garbage"
    try:
        read(path, head + data)
    except UnusableError as error:
        assert str(path) in str(error)  # noqa: PT017 - what it says is looked at in both cases


@pytest.mark.rule("X-051")
@pytest.mark.parametrize(
    "data, words",
    [
        (b"Frame 1: 74 bytes on wire", "neither pcap nor pcapng"),
        (b"\x0a\x0d", "too short for a capture"),
        (b"", "too short for a capture"),
    ],
)
def test_what_is_no_capture_is_said_at_once(tmp_path, data, words):
    with pytest.raises(UnusableError, match=words):
        read(tmp_path / "a", data)


GIGANTIC = {
    "packet": pcap(PACKETS) + struct.pack("<IIII", 1, 0, 0xFFFFFFFF, 0xFFFFFFFF) + b"x",
    "limit": pcap(PACKETS) + struct.pack("<IIII", 1, 0, PACKET_OCTETS_MAX + 1, 1) + b"x",
    "block": WHOLE["pcapng"] + struct.pack("<II", 6, 0xFFFFFFFC) + b"x",
    "inside": WHOLE["pcapng"] + block(6, struct.pack("<IIIII", 0, 0, 1, 0xFFFFFF, 1)),
    "unknown interface": WHOLE["pcapng"] + packet_block(1, b"x", 7),
}


@pytest.mark.rule("X-051")
@pytest.mark.parametrize("name", GIGANTIC)
def test_lengths_that_cannot_be_cost_no_memory(tmp_path, name):
    tracemalloc.start()
    try:
        found, findings = read(tmp_path / "a", GIGANTIC[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) == 2
    [problem] = findings.problems
    assert "is damaged after packet 2" in problem
    assert peak < 2 << 20
