"""A TCP stream put together again, whatever order and number its segments came in."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.replay.streams import AHEAD_OCTETS_MAX, AHEAD_SEGMENTS_MAX, Stream

FIRST = (1 << 32) - 20
"""The sequence numbers pass through zero early."""


def together(stream, segments, base=FIRST):
    """The octets, with a mark for each gap."""
    pieces = []
    for number, (position, data) in enumerate(segments):
        pieces += stream.add((base + 1 + position) % (1 << 32), data, number, number)
    pieces += stream.finish()
    return "".join(f"[{one.gap}]" * bool(one.gap) + one.data.decode("latin-1") for one in pieces)


@st.composite
def deliveries(draw):
    """A text, and segments that cover all of it: in any order, overlapping, some more than once."""
    text = bytes(draw(st.lists(st.integers(97, 122), min_size=1, max_size=80)))
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)) | {0, len(text)})
    segments = []
    for start, end in pairwise(cuts):
        more = draw(st.integers(0, 6))
        segments.append((start, text[start : min(end + more, len(text))]))
    again = draw(st.lists(st.sampled_from(segments), max_size=5)) if segments else []
    return text, draw(st.permutations(segments + again))


@pytest.mark.rule("X-054")
@settings(max_examples=400)
@given(made=deliveries())
def test_any_order_and_repetition_gives_the_text(made):
    text, segments = made
    stream = Stream()
    assert stream.synchronise(FIRST)
    assert together(stream, segments) == text.decode()
    assert stream.gaps == 0


@pytest.mark.rule("X-054")
@settings(max_examples=300)
@given(made=deliveries(), data=st.data())
def test_what_is_missing_is_a_gap_and_nothing_else_is_lost(made, data):
    text, segments = made
    dropped = data.draw(st.integers(0, max(len(segments) - 1, 0)))
    kept = segments[:dropped] + segments[dropped + 1 :]
    seen = bytearray(len(text))
    for position, part in kept:
        seen[position : position + len(part)] = b"\1" * len(part)
    expected, missing = "", 0
    for place, octet in enumerate(text):
        if seen[place]:
            expected += f"[{missing}]" * bool(missing) + chr(octet)
            missing = 0
        else:
            missing += 1
    stream = Stream()
    stream.synchronise(FIRST)
    assert together(stream, kept) == expected


@pytest.mark.rule("X-054")
def test_what_was_seen_first_counts():
    stream = Stream()
    stream.synchronise(FIRST)
    assert together(stream, [(0, b"abcdef"), (3, b"XXXghi"), (0, b"YYYYYYYYYjk")]) == "abcdefghijk"
    assert stream.retransmissions == 2


@pytest.mark.rule("X-054")
def test_keep_alives_and_repetitions_add_nothing():
    stream = Stream()
    stream.synchronise(FIRST)
    assert together(stream, [(0, b"abc"), (2, b"c"), (0, b"abc"), (2, b"\0"), (3, b"d")]) == "abcd"


@pytest.mark.rule("X-054")
def test_without_its_beginning_a_stream_begins_with_the_first_segment():
    stream = Stream()
    assert together(stream, [(100, b"abc"), (103, b"def"), (50, b"older")]) == "abcdef"
    assert not stream.from_start


@pytest.mark.rule("X-054")
def test_another_first_number_is_another_connection():
    stream = Stream()
    assert stream.synchronise(5)
    assert stream.synchronise(5), "a SYN that came again"
    assert not stream.synchronise(6)


@pytest.mark.rule("X-054")
def test_a_beginning_that_was_captured_late_is_that_of_the_same_connection():
    stream = Stream()
    stream.add(FIRST + 1, b"abc", 0, 0)
    assert stream.synchronise(FIRST)
    assert [one.data for one in stream.add((FIRST + 4) % (1 << 32), b"def", 1, 1)] == [b"def"]
    assert not stream.synchronise(FIRST - (1 << 21))


@pytest.mark.rule("X-054")
def test_octets_that_were_not_captured_are_a_gap_at_once():
    stream = Stream()
    stream.synchronise(0)
    assert [one.data for one in stream.add(1, b"ab", 0, 0, lost=3)] == [b"ab"]
    [piece] = stream.add(6, b"cd", 1, 1)
    assert (piece.data, piece.gap) == (b"cd", 3)


@pytest.mark.rule("X-051")
@pytest.mark.parametrize("octets", [1, 4096])
def test_what_waits_for_a_missing_segment_is_bounded(octets):
    stream = Stream()
    stream.synchronise(0)
    gaps = 0
    for number in range(2 * AHEAD_SEGMENTS_MAX):
        pieces = stream.add(2 + number * (octets + 1), b"x" * octets, number, number)
        gaps += sum(bool(one.gap) for one in pieces)
        assert stream._ahead_octets <= AHEAD_OCTETS_MAX
        assert len(stream._ahead) <= AHEAD_SEGMENTS_MAX
    assert gaps >= AHEAD_SEGMENTS_MAX
