"""Section 4.12: prices that depend on what Service-Information says of bearers, calls, messages."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.proof import why
from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_u32, encode_utf8
from protocol.credit_control import ServiceUnits
from protocol.dictionary import AvpType, lookup
from tests.support.blackbox import World, catalogue_text
from tests.support.blackbox_client import IMS, SMS, TGPP, Dialogue, mscc

PS_INFORMATION, IMS_INFORMATION, SMS_INFORMATION = 874, 876, 2000
RAT_CHANGE, RATING_CONDITION_CHANGE = 4, 6
DEBIT = 0

ZONES = """currency: EUR
destinations:
  germany: [49]
networks:
  home: [001-01]
  abroad: [262, 208]
"""
PLANS = """
  travel:
    services:
      data:
        prices:
          - {when: {visited: abroad}, price: 1.00, per: 1 MB, increment: 1 MB}
          - {when: {apn: ims}, price: 0.01, per: 1 MB, increment: 1 MB}
          - {when: {rat: nr}, price: 0.08, per: 1 MB, increment: 1 MB}
          - {price: 0.05, per: 1 MB, increment: 1 MB}
      call-by-second:
        prices:
          - {when: {role: terminating, roaming: true}, price: 0.06, per: 1 min, increment: 1 s}
          - {when: {media: video}, price: 0.60, per: 1 min, increment: 1 s}
          - {price: 0.12, per: 1 min, increment: 1 s}
      call-with-setup: {price: 0.10, per: 1 min, increment: 1 s, setup: 0.03}
      message:
        prices:
          - {when: {recipient: numeric-shortcode}, price: 1.00}
          - {destination: germany, price: 0.11}
          - {price: 0.07}
"""


def make_catalogue() -> str:
    """The catalogue of the list, with a plan whose prices have conditions."""
    text = catalogue_text().replace("currency: EUR\n", ZONES, 1) + PLANS
    message = "    service_identifiers: [1, 5]\n"
    assert message in text
    # A session that says nothing is over after twice this: later than any call takes here.
    assert "validity: 30 s" in text
    text = text.replace("validity: 30 s", "validity: 10 min")
    return text.replace(message, message + "    destination_rated: true\n", 1)


@pytest.fixture(scope="module")
def content_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("content"))
    catalogs.publish(world.desk, make_catalogue(), "content.yaml")
    with world:
        yield world


@pytest.fixture
def world(content_world: World) -> Iterator[World]:
    yield content_world
    content_world.check()


@pytest.fixture
def a1(world):
    """Account A1 with the plan whose prices have conditions."""
    return world.account("A1", plan="travel")


def vm(code, payload):
    return encode_avp(code, payload, TGPP)


def v(code, payload):
    return encode_avp(code, payload, TGPP, flags=0)


def said(group: int, *members: bytes) -> bytes:
    """The payload of Service-Information with one group in it."""
    return encode_grouped(group, b"".join(members), TGPP)


def ps(*members: bytes):
    return said(PS_INFORMATION, *members)


def ims(*members: bytes):
    return said(IMS_INFORMATION, *members)


def role(number):
    return encode_i32(829, number, TGPP)


# ---------------------------------------------------------------------------------------- data


def full_ps_information() -> bytes:
    """Every member of PS-Information that rating may use, every other one without the M flag."""
    table = Path(__file__).parents[1] / "protocol" / "avps.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    values = {
        2: b"\0\0\0\x07", 10: b"5", 12: b"0", 13: b"0800", 18: b"00101", 21: b"\x06",
        22: bytes.fromhex("8200f110000100f11000000001"), 23: b"\x40\x00", 1: b"001010000000001",
        8: b"00101", 9: b"00101",
    }  # fmt: skip
    members = encode_utf8(30, "internet")
    for number, row in enumerate(row for row in rows if row["table"] == "E"):
        code, vendor = int(row["code"]), int(row["vendor"])
        known = lookup(vendor, code)
        assert known is not None
        payload = values.get(code, bytes(known.minimum_octets))
        if known.type is AvpType.ADDRESS:
            payload = b"\0\x01\xc0\0\x02\x01"
        members += encode_avp(code, payload, vendor, 0x40 if number % 2 else 0)
    return encode_grouped(PS_INFORMATION, members, TGPP)


@pytest.mark.rule("T274", "B-033", "G-009", "G-171")
def test_T274_everything_that_can_be_said_of_a_bearer(world, p1, a1):
    gy = Dialogue(p1, a1)
    answer = gy.initial(mscc(100, {}), service_information=full_ps_information())
    assert answer.code == 2001
    world.check_money(a1, "10.00", "0.50")
    kept = next(one for one in world.records(a1) if one.record.session_id).record.attributes
    place = (kept.visited_network, kept.location, kept.time_zone)
    assert place == ("00101", "00101/1/1", "+01:00")
    assert (kept.rat_type, kept.apn, kept.charging_id) == (6, "internet", 7)
    assert kept.charging_characteristics == "0800"
    assert gy.terminate().code == 2001


@pytest.mark.rule("T275", "G-009", "G-171")
@pytest.mark.parametrize(
    "member,held",
    [
        (vm(18, b"26201"), "10.00"),
        (vm(18, b"20810"), "10.00"),
        (vm(18, b"00101"), "0.50"),
        (vm(18, b"99901"), "0.50"),
        (vm(22, bytes.fromhex("8062f2100001")), "10.00"),
        (vm(18, bytes.fromhex("62f210")), "10.00"),
    ],
    ids=["german", "french", "home", "elsewhere", "by-location", "as-octets"],
)
def test_T275_a_visited_network(world, p1, a1, member, held):
    gy = Dialogue(p1, a1)
    answer = gy.initial(mscc(100, {}), service_information=ps(member))
    assert answer.granted == ServiceUnits(total_octets=10_000_000)
    world.check_money(a1, "10.00", held)
    assert gy.terminate(mscc(100, used={"total": 2_000_000})).code == 2001
    spent = "8.00" if held == "10.00" else "9.90"
    world.check_money(a1, spent, "0")


@pytest.mark.rule("T277", "B-033", "G-009", "G-171")
@pytest.mark.parametrize(
    "member", [v(21, b"\x0a"), vm(21, b"\x0a"), v(21, b"10"), vm(21, b"10"), v(21, b"\x33")]
)
def test_T277_a_radio_access_with_and_without_the_flag(world, p1, a1, member):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}), service_information=ps(member))
    world.check_money(a1, "10.00", "0.80")
    gy.terminate()


@pytest.mark.rule("T278", "G-009", "G-171")
@pytest.mark.parametrize(
    "name,held",
    [("ims", "0.10"), ("IMS.mnc001.mcc001.gprs", "0.10"), ("internet", "0.50"), ("ims2", "0.50")],
)
def test_T278_an_access_point_name(world, p1, a1, name, held):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}), service_information=ps(encode_utf8(30, name)))
    world.check_money(a1, "10.00", held)
    gy.terminate()


@pytest.mark.rule("T268", "G20", "G-009", "G-126")
def test_T268_a_change_of_radio_access(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}), service_information=ps(vm(21, b"\x06")))
    world.check_money(a1, "10.00", "0.50")
    report = mscc(100, {}, {"total": 4_300_000}, reason=RATING_CONDITION_CHANGE)
    report.trigger_types = (RAT_CHANGE,)
    answer = gy.update(report, service_information=ps(vm(21, b"\x0a")))
    assert answer.granted == ServiceUnits(total_octets=10_000_000)
    world.check_money(a1, "9.75", "0.80")
    assert gy.terminate(mscc(100, used={"total": 2_100_000})).code == 2001
    world.check_money(a1, "9.51", "0")
    update = next(one for one in world.records(a1) if one.number == 1)
    assert update.record.services[0].details.triggers == (RAT_CHANGE,)
    rules = [(line["rule"], line["zone"]) for line in world.ledger(a1)]
    assert sorted(rules) == [("data", ""), ("data.nr", "rat=nr")]


@pytest.mark.rule("G-009")
def test_what_is_left_out_of_an_update_stays_as_it_was(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {"total": 1_000_000}), service_information=ps(vm(18, b"26201")))
    world.check_money(a1, "10.00", "1.00")
    gy.update(mscc(100, {"total": 1_000_000}, {"total": 1_000_000}))
    world.check_money(a1, "9.00", "1.00")
    gy.update(mscc(100, {"total": 1_000_000}), service_information=ps(vm(18, b"00101")))
    world.check_money(a1, "9.00", "0.05")
    gy.terminate()


# --------------------------------------------------------------------------------------- calls


@pytest.mark.rule("T280", "G07", "G-183")
def test_T280_a_call_is_free_while_it_rings_and_paid_by_the_second(world, p1, a1):
    ro = Dialogue(p1, a1, IMS)
    called = encode_utf8(832, "tel:+491511234567", TGPP)
    answer = ro.initial(mscc(10, {}), service_information=ims(role(0), called))
    assert answer.granted == ServiceUnits(time=600)
    answer = ro.update(mscc(10, {}, {"time": 0}), service_information=ims(role(0), called))
    assert answer.service.result_code == 2001
    world.check_money(a1, "10.00", "1.20")
    world.advance(61)
    assert ro.terminate(mscc(10, used={"time": 61})).code == 2001
    world.check_money(a1, "9.878", "0")


@pytest.mark.rule("T281", "M-009")
@pytest.mark.parametrize("used", [None, {"time": 0}])
def test_T281_a_call_that_is_not_answered(world, p1, a1, used):
    ro = Dialogue(p1, a1, IMS)
    assert ro.initial(mscc(12, {}), service_information=ims(role(0))).code == 2001
    failed = ims(role(0), encode_i32(861, 486, TGPP))
    assert ro.terminate(mscc(12, used=used), service_information=failed).code == 2001
    world.check_money(a1, "10.00", "0")
    assert world.ledger(a1) == []


@pytest.mark.rule("T283", "G-181")
def test_T283_several_who_call(world, p1, a1):
    ro = Dialogue(p1, a1, IMS)
    callers = ("sip:+15550001@ims.example", "tel:+15550001", "unknown")
    information = ims(role(0), *(encode_utf8(831, one, TGPP) for one in callers))
    assert ro.initial(mscc(10, {}), service_information=information).code == 2001
    assert ro.terminate(service_information=information).code == 2001


@pytest.mark.rule("T284", "G-184")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_T284_an_emergency_call_of_an_empty_account(world, p1, number):
    a3 = world.account("A3", plan="travel")
    ro = Dialogue(p1, a3, IMS)
    information = ims(role(number), encode_i32(2322, 1, TGPP), encode_utf8(832, "112", TGPP))
    answer = ro.initial(mscc(10, {}), service_information=information)
    assert (answer.code, answer.service.result_code) == (2001, 2001)
    assert answer.granted.time == 600
    world.advance(30)
    assert ro.terminate(mscc(10, used={"time": 30})).code == 2001
    world.check_money(a3, "0", "0")


@pytest.mark.rule("T286", "G-009")
@pytest.mark.parametrize(
    "names,held", [(["audio"], "0.12"), (["m=audio 4 RTP/AVP 0", "video"], "0.60")]
)
def test_T286_audio_and_video(world, p1, a1, names, held):
    ro = Dialogue(p1, a1, IMS)
    media = (encode_grouped(843, encode_utf8(844, name, TGPP), TGPP) for name in names)
    ro.initial(mscc(10, {"time": 60}), service_information=ims(role(0), *media))
    world.check_money(a1, "10.00", held)
    ro.terminate()


@pytest.mark.rule("G-009", "G-182")
@pytest.mark.parametrize(
    "number,network,spent",
    [(1, "001001", "10.00"), (1, "262001", "9.94"), (2, "262001", "9.88"), (0, "262001", "9.88")],
    ids=["received at home", "received abroad", "forwarded", "made abroad"],
)
def test_who_pays_for_which_leg_of_a_call(world, p1, a1, number, network, spent):
    ro = Dialogue(p1, a1, IMS)
    place = f"ims.mnc{network[3:]}.mcc{network[:3]}.3gppnetwork.org"
    information = ims(role(number), encode_utf8(2713, place, TGPP))
    assert ro.initial(mscc(10, {}), service_information=information).code == 2001
    world.advance(60)
    ro.terminate(mscc(10, used={"time": 60}))
    world.check_money(a1, spent, "0")


# ------------------------------------------------------------------------------------ messages


def message_to(*recipients: tuple[int, str]):
    """SMS-Information with recipients by Address-Type and Address-Data."""
    infos = (
        encode_grouped(
            2026,
            encode_grouped(
                1201, encode_i32(899, kind, TGPP) + encode_utf8(897, data, TGPP), TGPP
            ),
            TGPP,
        )
        for kind, data in recipients
    )
    return said(SMS_INFORMATION, *infos)


@pytest.mark.rule("T287", "G-009", "G-191")
@pytest.mark.parametrize(
    "recipient,spent",
    [((1, "491511234567"), "9.89"), ((1, "+491511234567"), "9.89"), ((1, "15550002"), "9.93"),
     ((4, "49200"), "9.00")],
)  # fmt: skip
def test_T287_the_recipient_of_a_message(world, p1, a1, recipient, spent):
    sms = Dialogue(p1, a1, SMS)
    answer = sms.event(DEBIT, mscc(1, {"events": 1}), service_information=message_to(recipient))
    assert answer.code == 2001
    world.check_money(a1, spent, "0")


@pytest.mark.rule("T289", "G-191")
def test_T289_a_message_is_charged_as_it_is_asked(world, p1, a1):
    sms = Dialogue(p1, a1, SMS)
    two = message_to((1, "15550002"), (1, "15550003"))
    answer = sms.event(DEBIT, mscc(1, {"events": 1}), service_information=two)
    assert answer.granted == ServiceUnits(service_specific=1)
    world.check_money(a1, "9.93", "0")


@pytest.mark.rule("G-009", "G-191")
def test_the_server_counts_messages_where_it_is_left_to_it(world, p1, a1):
    sms = Dialogue(p1, a1, SMS)
    two = message_to((1, "15550002"), (1, "15550003"))
    answer = sms.event(DEBIT, mscc(1, {}), service_information=two)
    assert answer.granted == ServiceUnits(service_specific=2)
    counted = said(SMS_INFORMATION, encode_u32(2019, 3, TGPP))
    answer = sms.event(DEBIT, mscc(1, {}), service_information=counted, number=1)
    assert answer.granted == ServiceUnits(service_specific=3)
    world.check_money(a1, "9.65", "0")


@pytest.mark.rule("T290")
def test_T290_a_subscription_id_inside_service_information(world, p1, a1):
    gy = Dialogue(p1, a1)
    other = encode_grouped(443, encode_i32(450, 0) + encode_utf8(444, "+15559999999"))
    answer = gy.initial(mscc(100, {}), service_information=other + ps(vm(21, b"\x06")))
    assert answer.code == 2001
    world.check_money(a1, "10.00", "0.50")
    gy.terminate()


@pytest.mark.rule("G-009")
def test_a_charge_under_conditions_can_be_explained(world, p1, a1):
    gy = Dialogue(p1, a1)
    gy.initial(mscc(100, {}), service_information=ps(vm(18, b"26201")))
    gy.terminate(mscc(100, used={"total": 1_500_000}))
    (line,) = world.ledger(a1)
    told = why.explain(world.desk, world.catalogues, line["entry"])
    assert told["matches"] and told["recomputed"] == "2.00"
    assert any("visited abroad" in step for step in told["steps"])
    assert told["request"]["plan"] == "travel"
