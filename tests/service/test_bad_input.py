"""Whatever a peer sends: one answer to each request, no crash, and the next request is served."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.codec import FLAG_REQUEST, HEADER_SIZE, find_avp
from tests.support.gateway_messages import all_shapes
from tests.support.service import Harness, ccr, mscc

SHAPES = sorted(all_shapes().items())
REALMS = ("epc.mnc001.mcc001.3gppnetwork.org", "ims.example")


@st.composite
def damaged(draw):
    """A CCR of a real gateway with some octets of its AVPs replaced."""
    _, message = draw(st.sampled_from(SHAPES))
    octets = bytearray(message)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(HEADER_SIZE, len(octets) - 1))
        octets[place] = draw(st.integers(0, 255))
    return bytes(octets)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(damaged(), min_size=1, max_size=4))
def test_damaged_requests_are_answered_once_each_and_hurt_nobody(messages):
    harness = Harness(options={"realms": REALMS})
    wire = harness.open()
    wire.send(b"".join(messages))
    answers = wire.received()
    assert len(answers) == len(messages)
    for header, answer in answers:
        assert not header.flags & FLAG_REQUEST
        # Not read whole: a Session-Id that is no text is repeated as it came.
        assert find_avp(answer, HEADER_SIZE, len(answer), 268)
    assert wire.protocol.connection.unanswered == 0
    assert harness.server.metrics.errors["command"] == 0, "answered, but as a fault of ours"
    assert wire.ccr(ccr(1, 0, mscc(), session="afterwards")).result_code == 2001


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([257, 258, 272, 274, 275, 280, 999]))
def test_any_octets_as_avps_of_any_command_hurt_nobody(avps, command):
    harness = Harness()
    wire = harness.open()
    avps += bytes(-len(avps) % 4)
    length = (HEADER_SIZE + len(avps)).to_bytes(3, "big")
    head = b"\x01" + length + b"\xc0" + command.to_bytes(3, "big") + (4).to_bytes(4, "big")
    wire.send(head + bytes(8) + avps)
    assert len(wire.received()) == 1
    assert wire.ccr(ccr(1, 0, mscc())).result_code == 2001
