"""Messages out of streams that have holes, begin in the middle or are no Diameter."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.replay.cutter import SEARCH_OCTETS_MAX, MessageCutter
from simulators.replay.streams import Piece
from tests.support.captures import cca, ccr

MESSAGES = [ccr(number=number) for number in range(3)] + [cca(ccr())]
STREAM = b"".join(MESSAGES)


def cut(cutter, *parts: bytes | int):
    """The messages in parts; a number before a part is the size of a gap."""
    found, gap = [], 0
    for part in parts:
        if isinstance(part, int):
            gap = part
            continue
        found += [one.message for one in cutter.feed(Piece(part, 5, 6, gap))]
        gap = 0
    return found


@pytest.mark.rule("X-055")
@given(places=st.sets(st.integers(1, len(STREAM) - 1), max_size=20))
def test_messages_end_in_any_segment(places):
    borders = [0, *sorted(places), len(STREAM)]
    parts = [STREAM[a:b] for a, b in pairwise(borders)]
    assert cut(MessageCutter(from_start=True), *parts) == MESSAGES


@pytest.mark.rule("X-055")
@settings(max_examples=150, deadline=None)
@given(start=st.integers(1, len(STREAM) - 1), size=st.integers(1, 400))
def test_behind_a_gap_it_goes_on_with_the_next_whole_message(start, size):
    end = min(start + size, len(STREAM))
    borders = [sum(map(len, MESSAGES[:n])) for n in range(len(MESSAGES) + 1)]
    whole = [
        message
        for message, begins, ends in zip(MESSAGES, borders, borders[1:], strict=False)
        if ends <= start or begins >= end
    ]
    cutter = MessageCutter(from_start=True)
    assert cut(cutter, STREAM[:start], end - start, STREAM[end:]) == whole
    assert not cutter.hopeless


@pytest.mark.rule("X-055")
@given(start=st.integers(0, len(MESSAGES[0])))
def test_a_capture_that_begins_in_the_middle_of_a_message(start):
    expected = MESSAGES if start == 0 else MESSAGES[1:]
    assert cut(MessageCutter(from_start=False), STREAM[start:]) == expected


@pytest.mark.rule("X-055")
@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" * 5]
)
def test_what_is_no_diameter_from_its_beginning_is_given_up(data):
    cutter = MessageCutter(from_start=True)
    assert cut(cutter, data, STREAM) == []
    assert cutter.hopeless


@pytest.mark.rule("X-055")
def test_in_the_middle_of_something_else_the_search_ends():
    cutter = MessageCutter(from_start=False)
    for _ in range(SEARCH_OCTETS_MAX // 4096 + 2):
        assert cut(cutter, bytes(4096)) == []
    assert cutter.hopeless


@pytest.mark.rule("X-055")
@pytest.mark.parametrize("damage", [b"\x02", b"\x01\xff\xff\xff", b"\x01\x00\x00\x03"])
def test_behind_a_broken_header_it_goes_on(damage):
    broken = damage + MESSAGES[1][len(damage) :]
    cutter = MessageCutter(from_start=True)
    assert cut(cutter, MESSAGES[0] + broken + MESSAGES[2]) == [MESSAGES[0], MESSAGES[2]]
    assert cutter.skipped_octets == len(broken)
