"""The messages of real gateways, each with its profile: answers that keep it working, and money.

The requests are the shapes of tests/support/gateway_messages.py; every answer passes the grammar
of the strictest client (tests/support/client_grammar.py).
"""

import pytest

from protocol.base import DeviceWatchdogRequest
from protocol.codec import encode_grouped, encode_u32
from protocol.credit_control import RequestType, ServiceUnits
from tests.support import gateway_messages as shapes
from tests.support.blackbox import World
from tests.support.blackbox_client import (
    Answer,
    Dialogue,
    Peer,
    mscc,
    new_session_id,
    padded,
    with_more,
)
from tests.support.client_grammar import problems_of

RELAY_APPLICATION = 0xFFFFFFFF
VALIDITY_TIME, FINAL = 4, 2


def ask(peer: Peer, message: bytes) -> Answer:
    """Send a shape and return its answer, which any client could read."""
    answer = peer.ask_for(peer.stamped(message))
    assert problems_of(answer) == []
    return answer


# ----------------------------------------------------------------------------------- Open5GS


@pytest.fixture
def smf(world):
    with world.peer("smf.net.example") as peer:
        yield peer


def open5gs_session() -> str:
    return new_session_id("smf.net.example")


@pytest.mark.parametrize("with_msisdn", [True, False])
def test_open5gs_session(world, smf, a1, with_msisdn):
    name = open5gs_session()
    who = {"imsi": a1.imsi, "msisdn": a1.msisdn if with_msisdn else None}
    service = ask(smf, shapes.open5gs_initial(name, **who)).service
    assert service.granted == ServiceUnits(total_octets=1_000_000)
    assert service.rating_group is None and service.validity_time > 0
    world.check_money(a1, "10.00", "0.05")
    service = ask(smf, shapes.open5gs_update(name, **who)).service
    assert service.granted == ServiceUnits(total_octets=1_000_000)
    world.check_money(a1, "9.95", "0.05")
    answer = ask(smf, shapes.open5gs_termination(name, **who))
    assert answer.code == 2001 and answer.service.granted is None
    world.check_money(a1, "9.95", "0")


@pytest.mark.rule("D24")
@pytest.mark.parametrize("reason", [1, FINAL, VALIDITY_TIME, 9])
def test_open5gs_never_gets_a_success_without_units(world, smf, a1, reason):
    """Without granted units it would let everything pass."""
    name = open5gs_session()
    ask(smf, shapes.open5gs_initial(name, imsi=a1.imsi))
    answer = ask(smf, shapes.open5gs_update(name, imsi=a1.imsi, reason=reason))
    assert answer.granted == ServiceUnits(total_octets=1_000_000)
    world.check_money(a1, "9.95", "0.05")


@pytest.mark.rule("D24")
@pytest.mark.parametrize("account", ["A3", "A8"])
def test_open5gs_without_money(world, smf, account):
    poor = world.account(account)
    service = ask(smf, shapes.open5gs_initial(open5gs_session(), imsi=poor.imsi)).service
    assert (service.result_code, service.granted, service.final_unit) == (4012, None, None)
    world.check_money(poor, "0", "0")


@pytest.mark.parametrize("by_relay", [False, True])
def test_open5gs_with_its_last_money(world, smf, p2, by_relay):
    """It would execute any final action at its next report, and no request from us reaches it."""
    poor = world.account("A9", balance="0.05")
    peer = p2 if by_relay else smf
    service = ask(peer, shapes.open5gs_initial(open5gs_session(), imsi=poor.imsi)).service
    assert service.granted == ServiceUnits(total_octets=1_000_000)
    assert service.final_unit is None
    assert 0 < service.validity_time <= 60
    assert service.volume_quota_threshold is None
    world.check_money(poor, "0.05", "0.05")


def test_open5gs_of_an_unknown_subscriber(world, smf):
    answer = smf.ask_for(smf.stamped(shapes.open5gs_initial(open5gs_session(), imsi="999700000")))
    assert answer.code == 5030


@pytest.mark.rule("P-013")
def test_open5gs_feels_a_top_up_at_its_next_report(world, smf):
    """Nothing is sent to it; the short validity of its last units makes it ask."""
    poor = world.account("A9", balance="0.05")
    name = open5gs_session()
    last = ask(smf, shapes.open5gs_initial(name, imsi=poor.imsi)).service
    assert last.validity_time <= 60
    world.top_up(poor, "5.00")
    report = shapes.open5gs_update(name, imsi=poor.imsi, reason=VALIDITY_TIME)
    assert ask(smf, report).granted == ServiceUnits(total_octets=1_000_000)
    world.check_money(poor, "5.00", "0.05")


@pytest.mark.rule("D20", "P-017")
def test_open5gs_gets_no_late_answer(tmp_path):
    """It breaks on one that comes after its own transaction is over; the decision is kept."""
    peers = [{"origin_host": "smf.net.example"}, {"origin_host": "pgw1.net.example"}]
    impatient = {"answer_within_ms": 300}
    with World(tmp_path, diameter={"peers": peers}, charging=impatient) as world:
        account, other = world.account(), world.account()
        smf, pgw = world.peer("smf.net.example", product_name="freeDiameter"), world.peer()
        with smf, pgw:
            name = open5gs_session()
            request = smf.stamped(shapes.open5gs_initial(name, imsi=account.imsi))
            later = Dialogue(pgw, other).message(RequestType.INITIAL, mscc(100, {}))
            with world.writes_held():
                smf.send(request)
                still_there(smf)
                # This one was sent later and is told that it is late.
                assert pgw.ask_for(later).code == 3004
            world.eventually(lambda: world.session_state(name) == "open")
            answers = [smf.ask_for(smf.again(request))]
            still_there(smf)
            assert [answer.code for answer in answers] == [2001]
            assert not smf.unexpected, "the first request was answered late"
            world.check_money(account, "10.00", "0.05")


def still_there(peer: Peer) -> None:
    """Exchange a watchdog, behind which everything sent before has been read."""
    probe = DeviceWatchdogRequest(peer.origin_host, peer.origin_realm)
    assert peer.ask_for(probe.write(*peer.ids())).code == 2001


# ------------------------------------------------------------------------------------- Magma


@pytest.fixture
def feg(world):
    with world.peer("feg.net.example", origin_state_id=1_700_000_000) as peer:
        yield peer


def magma_session(subscriber) -> str:
    return f"{new_session_id('feg.net.example')};IMSI{subscriber.imsi}"


@pytest.mark.parametrize("requested", [100_000, None], ids=["sized", "empty"])
def test_magma_session(world, feg, a1, requested):
    name, groups = magma_session(a1), (100, 200)
    who = {"imsi": a1.imsi, "msisdn": a1.msisdn, "rating_groups": groups}
    answer = ask(feg, shapes.magma_initial(name, requested=100_000, **who))
    assert [service.rating_group for service in answer.cca.services] == [200, 100]
    for service in answer.cca.services:
        assert service.granted == ServiceUnits(total_octets=100_000)
        assert service.result_code == 2001 and service.validity_time > 0
    world.check_money(a1, "10.00", "0.25")
    # What it has left stays with it: 20,000 octets of the first grant, inside what is paid.
    answer = ask(feg, shapes.magma_update(name, number=4, requested=requested, **who))
    size = requested or 10_000_000
    for service in answer.cca.services:
        assert service.granted == ServiceUnits(total_octets=size)
    world.check_money(a1, "9.75", "0" if requested else "2.50")
    answer = ask(feg, shapes.magma_termination(name, number=9, **who))
    assert answer.code == 2001 and len(answer.cca.services) == 2
    world.check_money(a1, "9.75", "0")


@pytest.mark.rule("P-023")
def test_magma_sends_updates_in_parallel(world, feg, a1):
    name = magma_session(a1)
    who = {"imsi": a1.imsi, "msisdn": a1.msisdn, "rating_groups": (100,)}
    ask(feg, shapes.magma_initial(name, requested=2_000_000, **who))
    both = [
        feg.stamped(shapes.magma_update(name, number, used=900_000, requested=900_000, **who))
        for number in (3, 4)
    ]
    feg.send(b"".join(both))
    for answer in feg.collect(both):
        assert answer.service.result_code == 2001
        assert answer.granted == ServiceUnits(total_octets=900_000)
    world.check_money(a1, "9.90", "0.10")


def test_magma_asks_for_authorization_only(world, feg, a1):
    message = shapes.magma_initial(
        magma_session(a1), imsi=a1.imsi, msisdn=a1.msisdn, rating_groups=()
    )
    answer = ask(feg, message)
    assert answer.code == 2001 and not answer.cca.services
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("C-105")
def test_magma_ends_what_never_began(world, feg, a1):
    message = shapes.magma_termination(
        magma_session(a1), imsi=a1.imsi, msisdn=a1.msisdn, rating_groups=(100,)
    )
    answer = feg.ask_for(feg.stamped(message))
    assert answer.code == 5002
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("D24")
def test_magma_without_money(world, feg):
    a3 = world.account("A3")
    message = shapes.magma_initial(
        magma_session(a3), imsi=a3.imsi, msisdn=a3.msisdn, rating_groups=(100, 310, 300)
    )
    answer = ask(feg, message)
    found = {one.rating_group: (one.result_code, one.granted) for one in answer.cca.services}
    units = ServiceUnits(total_octets=100_000)
    # Even what needs no control is granted: without units it would drop the credit.
    assert found == {100: (4012, None), 310: (2001, units), 300: (2001, units)}


# ----------------------------------------------------------------------------------- Kamailio


@pytest.fixture
def scscf(world):
    with world.peer("scscf.net.example") as peer:
        yield peer


@pytest.mark.rule("B-041")
def test_kamailio_is_told_of_the_application_it_looks_for(world):
    """It announces 3GPP's application only, and sends nothing to a peer that does not."""
    vendor_specific = encode_grouped(260, encode_u32(266, 10415) + encode_u32(258, 4))
    with world.connect("scscf.net.example") as peer:
        plain = peer.capabilities(auth_application_ids=(), product_name="CDiameterPeer")
        answer = peer.ask_for(with_more(plain, vendor_specific))
    assert answer.code == 2001
    assert vendor_specific in [padded(avp.raw) for avp in answer.all(260)]
    assert [avp.payload for avp in answer.all(258)] == [bytes([0, 0, 0, 4])]


@pytest.mark.parametrize("by_uri", [False, True])
def test_kamailio_call(world, scscf, a1, by_uri):
    name = new_session_id("scscf.net.example")
    party = (2, a1.sip) if by_uri else (0, f"+{a1.msisdn}")
    service = ask(scscf, shapes.kamailio_initial(name, party=party)).service
    assert service.granted == ServiceUnits(time=30) and service.result_code == 2001
    assert (service.rating_group, service.service_identifiers) == (100, (1000,))
    world.check_money(a1, "10.00", "0.06")
    service = ask(scscf, shapes.kamailio_update(name, party=party)).service
    assert service.granted == ServiceUnits(time=30)
    world.check_money(a1, "9.94", "0.06")
    assert ask(scscf, shapes.kamailio_termination(name, party=party)).code == 2001
    world.check_money(a1, "9.916", "0")


def test_kamailio_without_money_is_refused_as_a_whole(world, scscf):
    a3 = world.account("A3")
    name = new_session_id("scscf.net.example")
    answer = ask(scscf, shapes.kamailio_initial(name, party=(0, f"+{a3.msisdn}")))
    assert answer.code == 4012 and not answer.cca.services
    assert world.session_state(name) == ""


def test_kamailio_call_that_ends_before_its_answer(world, scscf, a1):
    name = new_session_id("scscf.net.example")
    party = (0, f"+{a1.msisdn}")
    first = scscf.stamped(shapes.kamailio_initial(name, party=party))
    last = scscf.stamped(shapes.kamailio_termination(name, number=1, used=None, party=party))
    scscf.send(first + last)
    assert [answer.code for answer in scscf.collect([first, last])] == [2001, 2001]
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("D05")
def test_kamailio_reports_more_seconds_than_there_were(world, scscf, a1):
    name = new_session_id("scscf.net.example")
    party = (0, f"+{a1.msisdn}")
    ask(scscf, shapes.kamailio_initial(name, party=party))
    absurd = shapes.kamailio_termination(name, number=1, used=71_582_788, party=party)
    assert ask(scscf, absurd).code == 2001
    # The tolerance of five minutes, and the seconds that this test has taken.
    balance, held = world.money(a1)
    assert 10_000_000 - 330 * 2_000 <= balance <= 10_000_000 - 300 * 2_000
    assert held == 0
    (item,) = world.parked(a1)
    debited = (10_000_000 - balance) // 2_000
    assert item["units"] == 71_582_788 - debited


# ------------------------------------------------------------------------------ siphon, PyHSS


@pytest.fixture
def sip(world):
    with world.peer("sip.net.example") as peer:
        yield peer


def test_siphon_messages(world, sip, a1):
    name = new_session_id("sip.net.example")
    answer = ask(sip, shapes.siphon_event_sms(name, msisdn=a1.msisdn, messages=2))
    assert answer.granted == ServiceUnits(service_specific=2)
    world.check_money(a1, "9.86", "0")


def test_siphon_call_without_services(world, sip, a1):
    name = new_session_id("sip.net.example")
    answer = ask(sip, shapes.siphon_initial_without_services(name, uri=a1.sip))
    assert answer.code == 2001 and not answer.cca.services
    assert answer.cca.granted == ServiceUnits(time=600) and answer.cca.validity_time > 0
    world.check_money(a1, "10.00", "1.20")


def test_pyhss_generator(world, a1):
    with world.peer("hss.net.example") as peer:
        name = new_session_id("hss.net.example")
        answer = ask(peer, shapes.pyhss_initial(name, imsi=a1.imsi, msisdn=a1.msisdn))
        assert answer.code == 2001 and answer.granted == ServiceUnits(total_octets=10_000_000)
    # Zero units asked mean as little as none named: the server chooses.
    world.check_money(a1, "10.00", "0.50")


def test_every_shape_is_answered_whoever_sends_it(world, p2):
    """Through a relay, about subscribers that nobody knows: refused, each with one answer."""
    for name, message in shapes.all_shapes().items():
        answer = p2.ask_for(p2.stamped(message))
        assert answer.code in {5002, 5030, 5031, 3003}, name
