"""IP packets put together from fragments, with headers built octet by octet."""

import random
from collections import Counter

import pytest

from simulators.replay import fragments as module
from simulators.replay.capture_file import Packet
from simulators.replay.findings import Findings
from simulators.replay.fragments import Fragment, Fragments
from simulators.replay.loading import load_capture
from simulators.replay.packets import parts_of
from tests.support.captures import (
    SECOND,
    Made,
    Talk,
    fragments4,
    fragments6,
    ipv4,
    ipv6,
    session,
    tcp,
)
from tests.support.simulated import capture

DATA = bytes(range(256)) * 4
CUT = {"IPv4": lambda data, size: fragments4(ipv4(data), size),
       "IPv6": lambda data, size: fragments6(ipv6(data), size)}  # fmt: skip
NOT_WHOLE = "IP fragments of packets that are not whole"
CONTRADICTING = "IP fragments that contradict each other"


def read(packets, seconds=None):
    """The segments in these packets, one after another, and what was counted."""
    known, found = Fragments(), []
    counts: Counter[str] = Counter()
    for number, data in enumerate(packets):
        at_ns = seconds[number] * SECOND if seconds else number * 1_000_000
        found += parts_of(Packet(number + 1, at_ns, 101, data), counts, known)
    known.finish(counts)
    return found, counts


@pytest.mark.rule("X-065")
@pytest.mark.parametrize("version", CUT)
@pytest.mark.parametrize("size", [8, 64, 512])
def test_fragments_in_any_order_and_repeated_make_one_segment(version, size):
    whole = CUT[version](tcp(DATA, 77), size)
    assert len(whole) == -(-len(tcp(DATA)) // size)
    for seed in range(5):
        dice = random.Random(seed)
        last = dice.randrange(len(whole))
        order = [one for index, one in enumerate(whole) if index != last]
        order += dice.choices(order, k=3) if order else []
        dice.shuffle(order)
        [segment], counts = read([*order, whole[last]])
        assert (segment.sequence, segment.data, segment.lost) == (77, DATA, 0)
        assert segment.number == len(order) + 1, "it is whole with its last fragment"
        assert not counts


@pytest.mark.rule("X-065")
def test_fragments_may_overlap_if_they_agree():
    packet = ipv4(tcp(DATA))
    wide, narrow = fragments4(packet, 512), fragments4(packet, 64)
    [segment], counts = read([wide[0], *narrow[3:]])
    assert segment.data == DATA
    assert not counts
    other = fragments4(ipv4(tcp(bytes(len(DATA)))), 64)
    found, counts = read([wide[0], *other[3:]])
    assert found == []
    assert counts[CONTRADICTING] > 10
    found, counts = read([narrow[0], other[0], *narrow[1:]])
    assert found == []
    assert counts[CONTRADICTING] == 1


@pytest.mark.rule("X-065")
@pytest.mark.parametrize("version", CUT)
def test_what_is_not_whole_is_counted(version):
    first, *rest = CUT[version](tcp(DATA), 256)
    assert read(rest) == ([], Counter({NOT_WHOLE: len(rest)}))
    found, counts = read([first[:-1], *rest])
    assert found == []
    assert counts == {"packets that are cut short or malformed": 1, NOT_WHOLE: len(rest)}
    found, counts = read([first, *rest], [0, *(61 for _ in rest)])
    assert (found, counts[NOT_WHOLE]) == ([], len(rest) + 1)  # its number is another packet's


@pytest.mark.rule("X-065")
def test_other_packets_have_other_numbers_directions_and_protocols():
    here = fragments4(ipv4(tcp(DATA)), 512)
    there = fragments4(ipv4(tcp(DATA, back=True), back=True), 512)
    third = fragments4(ipv4(tcp(DATA[::-1])), 512, name=8)
    mixed = [one for parts in zip(here, there, third, strict=True) for one in parts]
    found, counts = read(mixed)
    assert [one.data for one in found] == [DATA, DATA, DATA[::-1]]
    assert found[0].source == found[1].target
    assert not counts


@pytest.mark.rule("X-065")
def test_an_ipv6_packet_may_be_one_fragment_and_have_headers_inside():
    inside = bytes((6, 0)) + bytes(6)  # destination options, then TCP
    packet = ipv6(tcp(DATA), protocol=60, before=inside)
    for size in (64, 4096):
        [segment], counts = read(fragments6(packet, size))
        assert segment.data == DATA
        assert not counts


@pytest.mark.rule("X-065", "X-051")
def test_memory_is_bounded():
    known = Fragments()
    counts: Counter[str] = Counter()
    for name in range(module.WAITING_PACKETS_MAX + 50):
        known.add(name, Fragment(0, 8, False, 6, bytes(8)), counts)
    assert counts == {NOT_WHOLE: 50}
    many = module.WAITING_OCTETS_MAX // 60_000 + 10
    for name in range(many):
        known.add(("large", name), Fragment(0, 0, False, 6, bytes(60_000)), counts)
    assert known._octets <= module.WAITING_OCTETS_MAX
    known.finish(counts)
    assert known._octets == 0
    assert counts == {NOT_WHOLE: module.WAITING_PACKETS_MAX + 50 + many}


@pytest.mark.rule("X-065", "X-051")
def test_garbage_in_fragments_costs_nothing():
    dice = random.Random(1)
    known = Fragments()
    counts: Counter[str] = Counter()
    for _ in range(3000):
        fragment = Fragment(
            0, 8 * dice.randrange(8200), dice.random() < 0.3, 6, bytes(dice.randrange(70))
        )
        known.add(dice.randrange(20), fragment, counts)
    known.finish(counts)
    assert known._octets == 0
    assert counts["packets that are cut short or malformed"] > 100


@pytest.mark.rule("X-065")
def test_a_capture_of_fragments_is_loaded(tmp_path):
    talk = Talk().open().exchange_all(session())
    packets = []
    for number, (at_ns, data, _) in enumerate(talk.packets):
        parts = fragments4(data, 128, number)
        packets += [Made(at_ns + index, one) for index, one in enumerate(reversed(parts))]
    assert len(packets) > 2 * len(talk.packets)
    path, findings = capture(tmp_path, packets), Findings()
    loaded = load_capture(path, findings)
    assert [(one.request, one.answer) for one in loaded.exchanges] == session()
    assert not findings.notes
    assert findings.problems == []
