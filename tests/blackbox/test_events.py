"""Section 4.9: one-time events: debits, refunds, balance checks, prices."""

from fractions import Fraction

import pytest

from ocs.charging.model.messages import Identity
from ocs.provisioning.customers import subscribers
from protocol.codec import encode_avp, encode_grouped, encode_i32, encode_utf8
from protocol.credit_control import ServiceUnits, SubscriptionId
from tests.support.blackbox import Subscriber
from tests.support.blackbox_client import EUR, SMS, TGPP, Dialogue, mscc

DEBIT, REFUND, CHECK, PRICE = range(4)
ENOUGH, NOT_ENOUGH = 0, 1


@pytest.fixture
def sms(p1, a1):
    """Messages of A1."""
    return Dialogue(p1, a1, SMS)


def worth(money) -> Fraction:
    return Fraction(money.value_digits) * Fraction(10) ** int(money.exponent)


@pytest.mark.rule("C-151", "G-101", "G-105", "S-03", "T208")
@pytest.mark.parametrize("in_services", [True, False], ids=["T207", "T208"])
def test_T208_a_message_is_debited_at_once(world, sms, a1, in_services):
    if in_services:
        answer = sms.event(DEBIT, mscc(1, {"events": 1}))
        assert answer.granted == ServiceUnits(service_specific=1)
        assert answer.service.rating_group == 1
    else:
        answer = sms.event(DEBIT, requested=ServiceUnits(service_specific=1), service_identifier=5)
        assert answer.cca.granted == ServiceUnits(service_specific=1)
        assert not answer.cca.services
    assert answer.code == 2001
    world.check_money(a1, "9.93", "0")
    assert world.session_state(sms.session_id) == ""


@pytest.mark.rule("C-151", "G25", "G-104", "T209")
def test_T209_an_amount_is_debited(world, sms, a1):
    answer = sms.event(DEBIT, mscc(1, {"money": (125, -2, EUR)}))
    money = answer.granted.money
    assert (worth(money), money.currency_code) == (Fraction(5, 4), EUR)
    world.check_money(a1, "8.75", "0")


@pytest.mark.rule("S-04", "T211")
def test_T211_an_event_of_nobody(sms):
    nobody = [SubscriptionId(0, "19990000")]
    assert sms.event(DEBIT, mscc(1, {"events": 1}), subscription_ids=nobody).code == 5030


@pytest.mark.rule("C-121", "T212")
def test_T212_an_event_without_its_action(world, sms, a1):
    answer = sms.event(None, mscc(1, {"events": 1}))
    assert answer.code == 5005
    assert [avp.raw for avp in answer.failed] == [encode_i32(436, 0)]
    world.check_money(a1, "10.00", "0")


def test_an_action_that_is_none(world, sms, a1):
    answer = sms.event(4, mscc(1, {"events": 1}))
    assert answer.code == 5004
    assert [avp.raw for avp in answer.failed] == [encode_i32(436, 4)]
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("C-152", "G18", "G-128", "T214", "T215")
@pytest.mark.parametrize("in_services", [True, False])
def test_T214_T215_a_debit_is_refunded_once(world, p1, a1, in_services):
    answer = Dialogue(p1, a1, SMS).event(DEBIT, mscc(1, {"events": 1}))
    token = answer.service.refund_information
    assert token
    world.check_money(a1, "9.93", "0")

    def refund():
        service = mscc(1, {"events": 1})
        if in_services:
            service.refund_information = token
            return Dialogue(p1, a1, SMS).event(REFUND, service)
        return Dialogue(p1, a1, SMS).event(REFUND, service, refund_information=token)

    refunded = refund()
    assert refunded.code == 2001 and refunded.granted == ServiceUnits(service_specific=1)
    world.check_money(a1, "10.00", "0")
    assert refund().code == 5012
    world.check_money(a1, "10.00", "0")
    assert [line["amount"] for line in world.ledger(a1)] == [-70_000, 70_000]


@pytest.mark.rule("C-152", "T217")
@pytest.mark.parametrize("token", [b"nobody-knows", b"\x00\xff", b"0" * 32 + b".0"])
def test_T217_a_refund_of_nothing(world, sms, a1, token):
    service = mscc(1, {"events": 1})
    service.refund_information = token
    assert sms.event(REFUND, service).code in {5004, 5012}
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("C-138", "C-153", "T218", "T220")
def test_T218_T220_a_balance_is_checked(world, p1, sms, a1):
    answer = sms.event(CHECK, mscc(1, {"events": 1}))
    assert (answer.code, answer.cca.check_balance_result) == (2001, ENOUGH)
    assert not answer.all(431)
    world.check_money(a1, "10.00", "0")
    a7 = world.account("A7")
    Dialogue(p1, a7).initial(mscc(200, {"total": 4_000_000}))
    world.check_money(a7, "1.00", "0.80")
    answer = Dialogue(p1, a7, SMS).event(CHECK, mscc(1, {"money": (50, -2, EUR)}))
    assert (answer.code, answer.cca.check_balance_result) == (2001, NOT_ENOUGH)
    world.check_money(a7, "1.00", "0.80")


@pytest.mark.rule("C-137", "C-154", "C-184", "T221")
def test_T221_a_price_is_told_to_an_empty_account(world, p1):
    a3 = world.account("A3")
    answer = Dialogue(p1, a3, SMS).event(PRICE, mscc(1, {"events": 3}))
    cost = answer.cca.cost_information.cost
    assert answer.code == 2001
    assert (worth(cost), cost.currency_code) == (Fraction(21, 100), EUR)
    assert not answer.all(431) and answer.cca.granted is None
    assert all(service.granted is None for service in answer.cca.services)
    world.check_money(a3, "0", "0")


@pytest.mark.rule("C-105", "C-155", "T223")
def test_T223_an_event_leaves_no_session(world, sms, a1):
    assert sms.event(DEBIT, mscc(1, {"events": 1})).code == 2001
    assert sms.update(mscc(1, used={"events": 1})).code == 5002
    world.check_money(a1, "9.93", "0")


@pytest.mark.rule("T224")
def test_T224_a_message_to_three(world, sms, a1):
    recipients = b"".join(
        encode_grouped(
            2026,
            encode_grouped(
                1201, encode_i32(899, 1, TGPP) + encode_utf8(897, f"1777000{one}", TGPP), TGPP
            ),
            TGPP,
        )
        for one in range(3)
    )
    information = encode_avp(2000, recipients, TGPP)
    answer = sms.event(DEBIT, mscc(1, {"events": 3}), service_information=information)
    assert answer.code == 2001 and answer.granted.service_specific == 3
    world.check_money(a1, "9.79", "0")


@pytest.mark.rule("C-185", "R-4010", "S-04", "T226")
def test_T226_a_blocked_account(world, p1):
    a4 = world.account("A4")
    assert Dialogue(p1, a4, SMS).event(DEBIT, mscc(1, {"events": 1})).code == 4010
    opening = Dialogue(p1, a4)
    assert opening.initial(mscc(100, {})).code == 4010
    assert world.session_state(opening.session_id) == ""
    world.check_money(a4, "10.00", "0")


@pytest.mark.rule("C-151", "G17")
def test_G17_an_event_is_paid_in_full_or_not_at_all(world, p1):
    account = world.account("A2")
    assert Dialogue(p1, account, SMS).event(DEBIT, mscc(1, {"events": 4})).code == 4012
    world.check_money(account, "0.23", "0")
    assert Dialogue(p1, account, SMS).event(DEBIT, mscc(1, {"events": 3})).code == 2001
    world.check_money(account, "0.02", "0")


def refund(peer, subscriber, token, ask):
    service = mscc(1, ask)
    service.refund_information = token
    return Dialogue(peer, subscriber, SMS).event(REFUND, service)


@pytest.mark.rule("M-014", "T214", "T215")
def test_a_part_of_a_debit_is_refunded_from_another_session(world, p1, p2, a1):
    token = Dialogue(p1, a1, SMS).event(DEBIT, mscc(1, {"events": 3})).service.refund_information
    world.check_money(a1, "9.79", "0")
    assert refund(p1, a1, token, {"events": 4}).code == 5004
    answer = refund(p2, a1, token, {"events": 2})
    assert answer.code == 2001 and answer.granted == ServiceUnits(service_specific=2)
    assert worth(answer.cca.cost_information.cost) == Fraction(-14, 100)
    world.check_money(a1, "9.93", "0")
    assert refund(p1, a1, token, {"events": 1}).code == 5012
    world.check_money(a1, "9.93", "0")


@pytest.mark.rule("M-014")
def test_messages_that_were_reserved_first_are_refunded(world, p1, a1):
    reserved = Dialogue(p1, a1, SMS)
    reserved.initial(mscc(1, {"events": 3}))
    ended = reserved.terminate(mscc(1, used={"events": 3}))
    world.check_money(a1, "9.79", "0")
    token = ended.service.refund_information
    assert refund(p1, a1, token, {"events": 1}).code == 2001
    world.check_money(a1, "9.86", "0")
    assert refund(p1, a1, token, {}).code == 5012
    world.check_money(a1, "9.86", "0")


@pytest.mark.rule("M-014", "T217")
def test_a_refund_of_somebody_elses_debit(world, p1, a1):
    token = Dialogue(p1, a1, SMS).event(DEBIT, mscc(1, {"events": 1})).service.refund_information
    other = world.account("A2")
    assert refund(p1, other, token, {"events": 1}).code == 5004
    world.check_money(other, "0.23", "0")
    world.check_money(a1, "9.93", "0")


@pytest.mark.rule("D21", "T170")
def test_an_event_is_charged_once_although_its_number_moves(world, p1, a1):
    sent = Dialogue(p1, a1, SMS).message(4, mscc(1, {"events": 1}), requested_action=DEBIT)
    answer = p1.ask_for(sent)
    assert answer.code == 2001
    subscribers.remove(world.desk, a1.found, forfeit=True)
    number = (Identity("msisdn", a1.msisdn),)
    new = subscribers.NewSubscriber(number, "basic", 10_000_000)
    shown = subscribers.add(world.desk, new, world.catalogues.current())
    heir = Subscriber(int(shown["account_id"]), a1.msisdn, a1.imsi, a1.sip)
    world.eventually(lambda: Dialogue(p1, heir, SMS).event(PRICE, mscc(1, {})).code == 2001)
    for repeated in (p1.again(sent), p1.stamped(sent)):
        again = p1.ask_for(repeated)
        assert again.avps == answer.avps
    world.check_money(heir, "10.00", "0")
    assert Dialogue(p1, heir, SMS).event(DEBIT, mscc(1, {"events": 1})).code == 2001
    world.check_money(heir, "9.93", "0")
