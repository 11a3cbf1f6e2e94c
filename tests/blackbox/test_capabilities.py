"""Section 4.2: the exchange of capabilities."""

import pytest

from protocol.base import VendorSpecificApplication
from protocol.codec import encode_avp, encode_u32, encode_utf8
from tests.support.blackbox_client import Dialogue, mscc, with_more, with_other, without

CREDIT_CONTROL = (4).to_bytes(4, "big")
UNKNOWN = encode_avp(65000, b"what?")


@pytest.fixture
def peer(world):
    """A connection of P1 that has said nothing."""
    with world.connect() as peer:
        yield peer


@pytest.mark.rule("T025")
def test_T025_what_a_cea_says(peer):
    answer = peer.ask_for(peer.capabilities())
    assert answer.code == 2001
    assert answer.header.flags == 0 and answer.header.application_id == 0
    assert answer.one(257).payload == b"\x00\x01\x7f\x00\x00\x01"
    assert len(answer.one(266).payload) == 4
    product = answer.one(269)
    assert product.payload and not product.flags & 0x40
    assert answer.one(258).payload == CREDIT_CONTROL
    assert (10415).to_bytes(4, "big") in [avp.payload for avp in answer.all(265)]
    assert int.from_bytes(answer.one(278).payload, "big") > 0


@pytest.mark.rule("G-106", "T026", "T028", "T029", "T043")
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            {
                "auth_application_ids": (),
                "vendor_specific_applications": (
                    VendorSpecificApplication(10415, auth_application_id=4),
                ),
            },
            id="T026-inside-vendor-specific-application-id",
        ),
        pytest.param(
            {"auth_application_ids": (), "acct_application_ids": (4,)}, id="T028-accounting"
        ),
        pytest.param({"auth_application_ids": (0xFFFFFFFF,)}, id="T029-relay"),
        pytest.param(
            {"firmware_revision": None, "origin_state_id": None}, id="T043-nothing-optional"
        ),
    ],
)
def test_T026_T028_T029_T043_capabilities_that_are_enough(world, peer, a1, said):
    if said.get("auth_application_ids") == (0xFFFFFFFF,):
        peer.origin_host = "dra1.net.example"
    assert peer.ask_for(peer.capabilities(**said)).code == 2001
    assert Dialogue(peer, a1).initial(mscc(100, {})).code == 2001


@pytest.mark.rule("B-122", "R-5010", "T031")
def test_T031_no_common_application(peer):
    answer = peer.refused(peer.capabilities(auth_application_ids=()))
    assert answer.code == 5010 and not answer.header.is_error


@pytest.mark.rule("B-122", "R-3010", "T032")
def test_T032_an_unknown_peer(world):
    with world.connect("x.evil.example") as peer:
        answer = peer.refused(peer.capabilities())
        assert answer.code == 3010 and answer.header.is_error


def _two_realms(message: bytes) -> bytes:
    return with_more(message, encode_utf8(296, "other.example"))


def _application_without_id(message: bytes) -> bytes:
    return with_other(message, 258, encode_avp(260, encode_u32(266, 10415)))


@pytest.mark.rule("B-122", "T034", "T035", "T037", "T038", "T040")
@pytest.mark.parametrize(
    "edit,code,failed",
    [
        pytest.param(lambda m: without(m, 264), 5005, [(264, b"")], id="T034"),
        pytest.param(lambda m: without(m, 257), 5005, [(257, None)], id="T035"),
        pytest.param(_two_realms, 5009, [(296, b"other.example")], id="T037"),
        pytest.param(_application_without_id, 5005, [(258, bytes(4)), (259, bytes(4))], id="T038"),
        pytest.param(lambda m: with_more(m, UNKNOWN), 5001, [(65000, b"what?")], id="T040"),
    ],
)
def test_T034_T035_T037_T038_T040_a_cer_that_is_wrong(peer, edit, code, failed):
    answer = peer.refused(edit(peer.capabilities()))
    assert answer.code == code
    assert [avp.code for avp in answer.failed] == [number for number, _ in failed]
    for avp, (_, payload) in zip(answer.failed, failed, strict=True):
        assert payload is None or avp.payload == payload


@pytest.mark.rule("T041")
def test_T041_an_unknown_avp_that_is_not_mandatory(peer):
    unknown = encode_avp(65000, b"what?", flags=0)
    assert peer.ask_for(with_more(peer.capabilities(), unknown)).code == 2001


@pytest.mark.rule("B-127", "T044")
def test_T044_names_are_compared_without_case(world, a1):
    with world.connect("PGW1.Net.Example") as peer:
        assert peer.ask_for(peer.capabilities()).code == 2001
        gy = Dialogue(peer, a1)
        assert gy.initial(mscc(100, {})).code == 2001
        with world.connect() as second:
            second.send(second.capabilities())
            said = second.last_words()
            assert said is None or said.code != 2001, "it is the same peer"
        assert gy.update(mscc(100, {}, {"total": 1})).code == 2001


@pytest.mark.rule("T047")
def test_T047_a_second_cer_on_the_same_connection(world, p1, a1):
    gy = Dialogue(p1, a1)
    assert gy.initial(mscc(100, {})).code == 2001
    assert p1.ask_for(p1.capabilities()).code == 2001
    assert gy.update(mscc(100, {}, {"total": 1})).code == 2001
    world.check_money(a1, "9.95", "0.50")


@pytest.mark.rule("T049")
def test_T049_a_restarted_client_loses_its_sessions(world, a1):
    dialogues = []
    with world.peer("pgw2.net.example", origin_state_id=100) as peer:
        for _ in range(2):
            dialogues.append(Dialogue(peer, a1))
            assert dialogues[-1].initial(mscc(100, {})).code == 2001
    world.check_money(a1, "10.00", "1.00")
    world.advance(1)
    with world.peer("pgw2.net.example", origin_state_id=101):
        world.eventually(lambda: world.money(a1)[1] == 0)
    assert {world.session_state(one.session_id) for one in dialogues} == {"lost"}
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("T050")
def test_T050_a_client_that_did_not_restart_keeps_its_sessions(world, a1):
    name = "pgw3.net.example"
    with world.peer(name, origin_state_id=100) as peer:
        gy = Dialogue(peer, a1)
        assert gy.initial(mscc(100, {})).code == 2001
    for state in (100, 99, 0, None):
        with world.peer(name, origin_state_id=state) as peer:
            gy.peer = peer
            answer = gy.update(mscc(100, {}, {"total": 1_000_000}))
            assert answer.code == 2001 and answer.granted.total_octets == 10_000_000
            assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "9.80", "0.50")
