"""Section 4.8: the last units, and what follows when the money is gone."""

import pytest

from protocol.codec import encode_grouped, encode_i32, encode_utf8
from protocol.credit_control import FinalUnitIndication
from tests.support.blackbox_client import EUR, Dialogue, avps_in, mscc

TERMINATE, REDIRECT, RESTRICT = 0, 1, 2
TO_THE_PORTAL = FinalUnitIndication(REDIRECT, 2, "http://topup.example/")
RATING_CONDITION_CHANGE = 6


def final_unit_octets(answer):
    """The Final-Unit-Indication of the only MSCC as it came."""
    (found,) = [avp for avp in avps_in(answer.one(456).payload, 0) if avp.code == 430]
    return found.raw


@pytest.mark.rule("T191", "T193", "G04")
def test_T191_T193_the_last_units_end_the_service(world, p1):
    a2 = world.account("A2")
    gy = Dialogue(p1, a2)
    answer = gy.initial(mscc(100, {}))
    assert answer.granted.total_octets == 4_000_000
    assert final_unit_octets(answer) == encode_grouped(430, encode_i32(449, TERMINATE))
    assert answer.service.volume_quota_threshold is None
    world.check_money(a2, "0.23", "0.20")
    assert gy.terminate(mscc(100, used={"total": 4_000_000})).code == 2001
    world.check_money(a2, "0.03", "0")
    assert Dialogue(p1, a2).initial(mscc(100, {})).service.result_code == 4012


def redirected(world, p1) -> Dialogue:
    """A session of A9 whose client has used its last units and is at the portal."""
    a9 = world.account("A9")
    gy = Dialogue(p1, a9)
    answer = gy.initial(mscc(100, {}))
    assert answer.granted.total_octets == 4_000_000
    assert answer.service.final_unit == TO_THE_PORTAL
    world.check_money(a9, "0.23", "0.20")
    reported = gy.update(mscc(100, used={"total": 4_000_000}))
    assert reported.service.result_code == 2001
    assert reported.granted is None and reported.service.validity_time > 0
    world.check_money(a9, "0.03", "0")
    return gy


@pytest.mark.rule("T194", "C-044")
def test_T194_the_last_units_lead_to_the_portal(world, p1):
    gy = redirected(world, p1)
    assert world.session_state(gy.session_id) == "open"


@pytest.mark.rule("T194")
def test_T194_how_a_redirection_is_written(world, p1):
    answer = Dialogue(p1, world.account("A9")).initial(mscc(100, {}))
    server = encode_grouped(434, encode_i32(433, 2) + encode_utf8(435, "http://topup.example/"))
    assert final_unit_octets(answer) == encode_grouped(430, encode_i32(449, REDIRECT) + server)


@pytest.mark.rule("T196")
def test_T196_still_no_money_when_the_redirection_runs_out(world, p1):
    gy = redirected(world, p1)
    world.advance(31)
    service = gy.update(mscc(100, {})).service
    assert service.granted is None
    if service.result_code == 2001:
        assert service.final_unit == TO_THE_PORTAL and service.validity_time > 0
    else:
        assert service.result_code == 4012
    world.check_money(gy.subscriber, "0.03", "0")


@pytest.mark.rule("T197")
@pytest.mark.parametrize("ask", [{}, None], ids=["with-request", "without-request"])
def test_T197_a_top_up_ends_the_redirection(world, p1, ask):
    gy = redirected(world, p1)
    world.top_up(gy.subscriber, "5.00")
    world.advance(31)
    answer = gy.update(mscc(100, ask))
    assert answer.granted.total_octets == 10_000_000
    assert answer.service.final_unit is None
    world.check_money(gy.subscriber, "5.03", "0.50")


@pytest.mark.rule("C-046")
def test_an_empty_account_is_led_to_the_portal_at_once(world, p1):
    service = Dialogue(p1, world.account("A8")).initial(mscc(100, {})).service
    assert (service.result_code, service.granted) == (2001, None)
    assert service.final_unit == TO_THE_PORTAL and service.validity_time > 0


@pytest.mark.rule("T199", "G28")
@pytest.mark.parametrize("balance", ["0", "0.04"])
def test_T199_an_empty_account_that_ends(world, p1, balance):
    account = world.account("A3", balance=balance)
    service = Dialogue(p1, account).initial(mscc(100, {})).service
    assert (service.result_code, service.granted, service.final_unit) == (4012, None, None)
    world.check_money(account, balance, "0")


@pytest.mark.rule("T200")
def test_T200_the_last_units_restrict_the_access(world, p1):
    account = world.account("A2", plan="restrict")
    answer = Dialogue(p1, account).initial(mscc(100, {}))
    assert answer.granted.total_octets == 4_000_000
    assert answer.service.final_unit == FinalUnitIndication(
        RESTRICT,
        restriction_filter_rules=("permit out ip from 192.0.2.80 to assigned",),
        filter_ids=("operator-pages",),
    )
    members = avps_in(final_unit_octets(answer)[8:], 0)
    assert [(avp.code, avp.vendor) for avp in members] == [(449, 0), (438, 0), (11, 0)]
    world.check_money(account, "0.23", "0.20")


@pytest.mark.rule("T202", "C-047")
def test_T202_a_grant_of_nothing_says_that_it_is_over(world, p1):
    account = world.account("A2", plan="zero-grant")
    gy = Dialogue(p1, account)
    gy.initial(mscc(100, {}))
    service = gy.update(mscc(100, {}, {"total": 4_000_000})).service
    assert service.granted.total_octets == 0
    assert service.final_unit == FinalUnitIndication(TERMINATE)
    assert service.result_code == 2001
    world.check_money(account, "0.03", "0")


@pytest.mark.rule("T203")
def test_T203_a_shortage_of_other_sessions_making_is_not_final(world, p1):
    a7 = world.account("A7")
    Dialogue(p1, a7).initial(mscc(100, {}), mscc(200, {"total": 2_000_000}))
    world.check_money(a7, "1.00", "0.90")
    service = Dialogue(p1, a7).initial(mscc(100, {})).service
    assert service.granted.total_octets == 2_000_000 and service.final_unit is None
    assert 0 < service.validity_time < 30
    world.check_money(a7, "1.00", "1.00")
    third = Dialogue(p1, a7).initial(mscc(100, {})).service
    assert (third.result_code, third.final_unit) == (4012, None)


@pytest.mark.rule("T205", "C-050")
def test_T205_the_last_units_are_divided_again(world, p1):
    a2 = world.account("A2")
    gy = Dialogue(p1, a2)
    gy.initial(mscc(100, {}))
    answer = gy.update(mscc(100, {}, {"total": 1_000_000}, reason=RATING_CONDITION_CHANGE))
    assert answer.granted.total_octets == 3_000_000
    assert answer.service.final_unit == FinalUnitIndication(TERMINATE)
    world.check_money(a2, "0.18", "0.15")


@pytest.mark.rule("G14")
@pytest.mark.parametrize("last,balance", [(2_000_000, "-0.50"), (2_400_000, "-0.55")])
def test_G14_a_credit_limit(world, p1, last, balance):
    a5 = world.account("A5")
    gy = Dialogue(p1, a5)
    assert gy.initial(mscc(100, {})).granted.total_octets == 10_000_000
    world.check_money(a5, "0.10", "0.50")
    answer = gy.update(mscc(100, {}, {"total": 10_000_000}))
    assert answer.granted.total_octets == 2_000_000
    assert answer.service.final_unit == FinalUnitIndication(TERMINATE)
    world.check_money(a5, "-0.40", "0.10")
    assert gy.terminate(mscc(100, used={"total": last})).code == 2001
    world.check_money(a5, balance, "0")
    assert Dialogue(p1, a5).initial(mscc(100, {})).service.result_code == 4012


@pytest.mark.rule("G19", "G-104")
def test_G19_money_that_the_client_rates_itself(world, gy, a1):
    answer = gy.initial(mscc(100, {"money": (125, -2, EUR)}))
    money = answer.granted.money
    assert (money.value_digits, money.exponent, money.currency_code) == (125, -2, EUR)
    world.check_money(a1, "10.00", "1.25")
    gy.terminate(mscc(100, used={"money": (8, -1, EUR)}))
    world.check_money(a1, "9.20", "0")
