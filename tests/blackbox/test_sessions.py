"""Section 4.6: sessions of data, time and money, from the opening to the release."""

import pytest

from protocol.codec import encode_avp, encode_u32
from protocol.credit_control import MultipleServices, ServiceUnits, SubscriptionId, UsedServiceUnit
from tests.support.blackbox_client import IMS, USD, Dialogue, mscc, with_more, without

GRANT = 10_000_000


@pytest.mark.rule("C-161", "G-104", "S-01", "T124")
def test_T124_a_grant_of_what_was_asked(world, gy, a1):
    answer = gy.initial(mscc(100, {"total": 3_000_000}))
    assert answer.code == answer.service.result_code == 2001
    assert answer.granted == ServiceUnits(total_octets=3_000_000)
    assert answer.service.rating_group == 100
    world.check_money(a1, "10.00", "0.15")


@pytest.mark.rule("T125")
def test_T125_a_grant_is_bounded_by_the_maximum(world, gy, a1):
    assert gy.initial(mscc(100, {"total": 500_000_000})).granted.total_octets == GRANT
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("D12")
@pytest.mark.parametrize("kinds", [("total",), ("up", "down", "total")])
def test_asking_for_all_that_can_be_written_gets_the_maximum(world, gy, a1, kinds):
    answer = gy.initial(mscc(100, dict.fromkeys(kinds, 2**64 - 1)))
    assert answer.service.result_code == 2001
    assert answer.granted == ServiceUnits(total_octets=GRANT)
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("C-161", "T127")
def test_T127_time_is_granted_without_a_tariff_change(world, gy, a1):
    answer = gy.initial(mscc(500, {"time": 60}))
    assert answer.granted == ServiceUnits(time=60)
    world.check_money(a1, "10.00", "0.12")


@pytest.mark.rule("T128")
def test_T128_a_session_may_open_without_services(world, gy, a1):
    answer = gy.initial()
    assert answer.code == 2001 and not answer.cca.services
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("C-123", "C-136", "T130")
def test_T130_two_services_are_answered_in_their_order(world, gy, a1):
    answer = gy.initial(mscc(100, {}), mscc(200, {"total": 2_000_000}))
    first, second = answer.cca.services
    assert (first.rating_group, first.granted.total_octets) == (100, GRANT)
    assert (second.rating_group, second.granted.total_octets) == (200, 2_000_000)
    world.check_money(a1, "10.00", "0.90")


@pytest.mark.rule("C-115", "T131")
def test_T131_any_request_number_is_echoed(world, gy, a1):
    answer = gy.initial(mscc(100, {}), number=7)
    assert answer.code == 2001 and answer.cca.request_number == 7
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("T133")
def test_T133_a_report_without_a_request_gets_no_new_units(world, gy, a1):
    gy.initial(mscc(100, {}))
    answer = gy.update(mscc(100, used={"total": 2_500_000}))
    assert answer.service == MultipleServices(rating_group=100, result_code=2001)
    world.check_money(a1, "9.85", "0")


@pytest.mark.rule("T134")
def test_T134_a_service_that_is_not_mentioned_keeps_its_quota(world, gy, a1):
    gy.initial(mscc(100, {}))
    answer = gy.update(mscc(200, {"total": 1_000_000}))
    assert (answer.service.rating_group, answer.granted.total_octets) == (200, 1_000_000)
    world.check_money(a1, "10.00", "0.70")


@pytest.mark.rule("T136")
def test_T136_usage_beyond_the_grant_is_debited_in_full(world, gy, a1):
    gy.initial(mscc(100, {}))
    answer = gy.update(mscc(100, {}, {"total": 10_600_000}))
    assert answer.service.result_code == 2001 and answer.granted.total_octets == GRANT
    world.check_money(a1, "9.45", "0.50")


@pytest.mark.rule("T137")
def test_T137_usage_that_was_never_granted_is_debited(world, gy, a1):
    gy.initial()
    answer = gy.update(mscc(200, used={"total": 100}))
    assert answer.service.result_code == 2001 and answer.granted is None
    world.check_money(a1, "9.80", "0")


@pytest.mark.rule("S-07", "T139")
def test_T139_a_termination_without_a_report_releases_everything(world, gy, a1):
    gy.initial(mscc(100, {}))
    answer = gy.terminate()
    assert answer.code == 2001 and not answer.cca.services
    world.check_money(a1, "10.00", "0")
    assert world.session_state(gy.session_id) == "closed"


@pytest.mark.rule("T140")
def test_T140_a_termination_releases_what_it_does_not_mention(world, gy, a1):
    gy.initial(mscc(100, {}), mscc(200, {"total": 2_000_000}))
    answer = gy.terminate(mscc(100, used={"total": 4_000_000}))
    assert answer.code == 2001
    assert answer.service == MultipleServices(rating_group=100, result_code=2001)
    world.check_money(a1, "9.80", "0")


@pytest.mark.rule("R-5002", "S-10", "T142")
def test_T142_a_termination_of_an_unknown_session(world, gy, a1):
    assert gy.terminate(mscc(100, used={"total": 4_000_000})).code == 5002
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("S-09", "T143")
def test_T143_a_silent_session_loses_its_reservation_and_no_money(world, gy, a1):
    assert gy.initial(mscc(100, {})).service.validity_time == 30
    world.check_money(a1, "10.00", "0.50")
    world.advance(61)
    world.eventually(lambda: world.money(a1)[1] == 0)
    world.check_money(a1, "10.00", "0")
    assert gy.update(mscc(100, {}, {"total": 3_000_000})).code == 5002
    (orphan,) = world.orphans(a1)
    assert (orphan["units"], orphan["amount_micro"]) == (3_000_000, 150_000)
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("C-185", "R-5030", "S-02", "T145")
def test_T145_an_unknown_subscriber(world, gy):
    answer = gy.initial(mscc(100, {}), subscription_ids=[SubscriptionId(0, "+19990000")])
    assert answer.code == 5030 and not answer.cca.services
    assert world.session_state(gy.session_id) == ""


@pytest.mark.rule("T146")
def test_T146_a_request_that_names_nobody(world, gy, a1):
    answer = gy.initial(mscc(100, {}), subscription_ids=[])
    assert answer.code in {5005, 5030, 5031}
    assert answer.failed[0].code == 443
    assert world.session_state(gy.session_id) == ""


@pytest.mark.rule("G-151", "R-4012", "T148")
def test_T148_an_empty_account_is_refused_in_its_service(world, p1):
    a3 = world.account("A3")
    gy = Dialogue(p1, a3)
    answer = gy.initial(mscc(100, {}))
    assert answer.code == 2001
    assert answer.service.result_code == 4012 and answer.granted is None
    assert world.session_state(gy.session_id) == "open"
    world.check_money(a3, "0", "0")


def assert_not_granted(world, gy, rating_group, code):
    answer = gy.initial(mscc(rating_group, {}))
    assert answer.code == 2001
    assert answer.service.result_code == code and answer.granted is None
    assert answer.service.final_unit is None
    world.check_money(gy.subscriber, "10.00", "0")


@pytest.mark.rule("G-151", "R-5003", "T149")
def test_T149_a_service_that_the_plan_does_not_sell(world, gy):
    assert_not_granted(world, gy, 400, 5003)


@pytest.mark.rule("C-185", "G-151", "R-4011", "T151")
def test_T151_a_service_that_needs_no_control(world, gy):
    assert_not_granted(world, gy, 300, 4011)


@pytest.mark.rule("G-151", "R-5031")
def test_a_rating_group_that_nobody_knows(world, gy):
    assert_not_granted(world, gy, 999, 5031)


@pytest.mark.rule("T152")
def test_T152_a_free_service_is_metered(world, gy, a1):
    assert gy.initial(mscc(310, {})).granted.total_octets == GRANT
    world.check_money(a1, "10.00", "0")
    assert gy.terminate(mscc(310, used={"total": 7_000_000})).code == 2001
    world.check_money(a1, "10.00", "0")
    (charged,) = world.records(a1)[-1].record.charged
    assert (charged.rating_group, charged.used, charged.charged_micro) == (310, 7_000_000, 0)


@pytest.mark.rule("C-114", "R-5031", "T154")
def test_T154_an_unknown_service_context_cannot_be_rated(world, p1, a1):
    gy = Dialogue(p1, a1, "9.99999@3gpp.org")
    answer = gy.initial(mscc(100, {}))
    assert answer.code == 5031
    assert [(avp.code, avp.payload) for avp in answer.failed] == [(461, b"9.99999@3gpp.org")]
    assert world.session_state(gy.session_id) == ""


@pytest.mark.rule("C-124", "R-5031", "T155")
def test_T155_an_unknown_service_parameter_cannot_be_rated(world, gy, a1):
    info = encode_avp(440, encode_u32(441, 77) + encode_avp(442, b"x"))
    message = with_more(gy.message(1, mscc(100, {})), info)
    answer = gy.peer.ask_for(message)
    assert answer.code == 5031
    assert [avp.raw for avp in answer.failed] == [info]
    assert world.session_state(gy.session_id) == ""


@pytest.mark.rule("C-101", "C-132", "T157")
def test_T157_sub_sessions_are_sessions_of_their_own(world, gy, a1):
    for number in (1, 2):
        answer = gy.initial(mscc(100, {}), sub_session_id=number, number=0)
        assert answer.code == 2001 and answer.cca.sub_session_id == number
    world.check_money(a1, "10.00", "1.00")
    assert gy.terminate(sub_session_id=1).cca.sub_session_id == 1
    world.check_money(a1, "10.00", "0.50")
    assert world.session_state(gy.session_id, 1) == "closed"
    assert world.session_state(gy.session_id, 2) == "open"


@pytest.mark.rule("C-119", "C-135", "G-105", "T158")
def test_T158_a_client_without_services_is_answered_at_command_level(world, gy, a1):
    answer = gy.initial(
        multiple_services_indicator=0,
        service_identifier=5,
        requested=ServiceUnits(total_octets=1_000_000),
    )
    cca = answer.cca
    assert cca.granted == ServiceUnits(total_octets=1_000_000) and cca.validity_time == 30
    assert not cca.services
    world.check_money(a1, "10.00", "0.05")
    used = UsedServiceUnit(total_octets=900_000)
    assert gy.terminate(service_identifier=5, used=[used]).code == 2001
    world.check_money(a1, "9.95", "0")


@pytest.mark.rule("T160")
def test_T160_money_of_another_currency(world, gy, a1):
    answer = gy.initial(mscc(100, {"money": (125, -2, USD)}))
    assert answer.code == 2001 and answer.service.result_code in {5031, 5004}
    assert answer.granted is None
    world.check_money(a1, "10.00", "0")


@pytest.mark.rule("C-118", "C-201", "T161")
def test_T161_an_identity_in_its_extension(world, gy, a1):
    message = without(gy.message(1, mscc(100, {})), 443)
    extension = encode_avp(659, encode_avp(660, a1.msisdn.encode(), flags=0), flags=0)
    answer = gy.peer.ask_for(with_more(message, extension))
    assert answer.code == 2001 and answer.granted.total_octets == GRANT
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("C-118", "T163")
@pytest.mark.parametrize("imsi_first", [True, False])
def test_T163_two_identities_of_one_subscriber(world, gy, a1, imsi_first):
    both = [SubscriptionId(1, a1.imsi), SubscriptionId(0, f"+{a1.msisdn}")]
    names = both if imsi_first else both[::-1]
    assert gy.initial(mscc(100, {}), subscription_ids=names).code == 2001
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("T164")
def test_T164_services_without_the_indicator(world, gy, a1):
    answer = gy.initial(mscc(100, {}), multiple_services_indicator=None)
    assert answer.code == 2001 and answer.granted.total_octets == GRANT
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("T166")
def test_T166_a_long_session_id_comes_back_octet_by_octet(world, p1, a1):
    name = "pgw1.net.example;" + "ü∅Ω" * 40
    gy = Dialogue(p1, a1, session_id=name + "x" * (300 - len(name.encode())))
    assert len(gy.session_id.encode()) == 300
    assert gy.initial(mscc(100, {})).code == 2001
    world.check_money(a1, "10.00", "0.50")


@pytest.mark.rule("G01", "G02", "G03", "G26", "G-103", "S-05")
@pytest.mark.parametrize(
    "reports,balance",
    [((7_300_000,), "9.60"), ((1_400_000, 400_000), "9.90"), ((10_600_000,), "9.45")],
)
def test_golden_reports_of_data(world, gy, a1, reports, balance):
    gy.initial(mscc(100, {}))
    for octets in reports[:-1]:
        assert gy.update(mscc(100, {}, {"total": octets})).granted.total_octets == GRANT
    gy.terminate(mscc(100, used={"total": reports[-1]}))
    world.check_money(a1, balance, "0")


@pytest.mark.rule("G08", "G10")
@pytest.mark.parametrize(
    "rating_group,balance,granted,held,used,left",
    [(11, "0.30", 120, "0.24", 61, "0.06"), (12, "0.10", 42, "0.10", 42, "0")],
)
def test_golden_calls(world, p1, rating_group, balance, granted, held, used, left):
    account = world.account("A1", balance=balance)
    call = Dialogue(p1, account, IMS)
    assert call.initial(mscc(rating_group, {})).granted.time == granted
    world.check_money(account, balance, held)
    call.terminate(mscc(rating_group, used={"time": used}))
    world.check_money(account, left, "0")
