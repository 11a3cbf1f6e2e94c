"""Simulated sessions: they use what they are granted, and do what they are told."""

import random
from collections import Counter
from typing import Any

import pytest

from protocol.credit_control import (
    CreditControlAnswer,
    FinalUnitAction,
    FinalUnitIndication,
    MultipleServices,
    ReportingReason,
    RequestType,
    ServiceUnits,
)
from simulators.scenarios.services import (
    DataService,
    RatingGroupUse,
    SmsService,
    VoiceService,
)
from simulators.scenarios.values import Destination, Distribution, fixed
from simulators.traffic.quota import MANNERS, NEVER, Quota, QuotaState, Unit
from simulators.traffic.starting import start_session

INITIAL, UPDATE, TERMINATION = RequestType.INITIAL, RequestType.UPDATE, RequestType.TERMINATION


class Server:
    """Answers a session's demands, one canned part for each service, and drives its time."""

    def __init__(self, session, tally) -> None:
        self.session = session
        self.tally = tally
        self.now = 0.0

    def next(self):
        """Go to the session's next instant; the demand it then makes, or None."""
        for _ in range(100):
            instant = self.session.next_instant()
            if instant == NEVER:
                return None
            self.now = max(self.now, instant)
            demand = self.session.act(self.now)
            if demand is not None:
                return demand
            if self.session.done:
                return None
        raise AssertionError("the session turns around itself")

    def answer(self, *parts: MultipleServices, code=2001):
        services = []
        for report, part in zip(self.session.asked.services, parts, strict=False):
            part.rating_group = report.rating_group
            services.append(part)
        answer = CreditControlAnswer("s", code, "ocs", "example", services=services)
        self.session.answered(self.now, answer)


def granted(octets=None, *, seconds=None, **more: Any):
    units = ServiceUnits(total_octets=octets, time=seconds)
    return MultipleServices(result_code=2001, granted=units, **more)


def refused(code):
    return MultipleServices(result_code=code)


def done():
    return MultipleServices(result_code=2001)


def data(*rates: float, lasts=1000.0, shape="generic", **use: Any):
    groups = tuple(
        RatingGroupUse(rating_group=100 * (i + 1), octets_per_second=fixed(rate), **use)
        for i, rate in enumerate(rates)
    )
    service = DataService(kind="data", duration_seconds=fixed(lasts), rating_groups=groups)
    return begin(service, shape)


def begin(service, shape="generic", abandon=0.0):
    tally: Counter[str] = Counter()
    session = start_session(
        service, "s;1", (("msisdn", "+15550001"),), MANNERS[shape], 0.0, random.Random(1), tally,
        abandon,
    )  # fmt: skip
    return Server(session, tally)


def test_a_session_asks_uses_reports_and_ends():
    server = data(100)
    first = server.next()
    assert (first.request_type, first.number) == (INITIAL, 0)
    assert (first.services[0].wanted, first.services[0].used) == (0, None)
    server.answer(granted(5000))
    update = server.next()
    assert server.now == pytest.approx(50)
    assert (update.request_type, update.number) == (UPDATE, 1)
    assert update.services[0].used == 5000
    assert update.services[0].reason is ReportingReason.QUOTA_EXHAUSTED
    server.answer(granted(1_000_000))
    last = server.next()
    assert server.now == pytest.approx(1000)
    assert (last.request_type, last.termination_cause) == (TERMINATION, 1)
    assert last.services[0].used == 95_000
    assert last.services[0].reason is ReportingReason.FINAL
    assert last.services[0].wanted is None
    server.answer(done())
    assert server.session.done
    assert server.tally["used octets"] == 100_000


def test_the_end_of_a_run_does_not_lengthen_a_session_that_is_behind_its_time():
    server = data(100, lasts=60.0)
    server.next()
    server.answer(granted(5000))
    server.session.finish(10_000.0)  # the answer was that late
    assert server.next().services[0].used == 5000
    server.answer(granted(5000))
    last = server.next()
    assert server.now == pytest.approx(60)
    assert (last.request_type, last.services[0].used) == (TERMINATION, 1000)


def test_nothing_is_used_while_the_quota_is_empty():
    server = data(100)
    server.next()
    server.answer(granted(1000))
    server.next()
    server.now += 30  # the server takes its time
    server.answer(granted(1000))
    assert server.next().services[0].used == 1000
    assert server.now == pytest.approx(50)


def test_use_goes_on_behind_a_threshold_and_counts_against_the_new_grant():
    server = data(100)
    server.next()
    server.answer(granted(1000, volume_quota_threshold=200))
    update = server.next()
    assert server.now == pytest.approx(8)
    assert (update.services[0].used, update.services[0].reason) == (800, ReportingReason.THRESHOLD)
    server.now += 1  # 100 octets of the old grant are used meanwhile
    server.answer(granted(500))
    update = server.next()
    assert server.now == pytest.approx(13)
    assert update.services[0].used == 500


def test_a_threshold_that_is_no_part_of_the_grant_is_ignored():
    server = data(100)
    server.next()
    server.answer(granted(1000, volume_quota_threshold=1000))
    assert server.next().services[0].reason is ReportingReason.QUOTA_EXHAUSTED


def test_validity_time_makes_a_report():
    server = data(100)
    server.next()
    server.answer(granted(1_000_000, validity_time=30))
    update = server.next()
    assert server.now == pytest.approx(30)
    assert update.services[0].used == 3000
    assert update.services[0].reason is ReportingReason.VALIDITY_TIME
    assert update.services[0].wanted is not None


def test_only_the_rating_group_that_has_something_to_say_is_in_an_update():
    server = data(100, 1)
    assert len(server.next().services) == 2
    server.answer(granted(1000), granted(1000))
    assert [one.rating_group for one in server.next().services] == [100]
    server.answer(refused(4012))
    server.session.act(server.now)
    assert server.session.quotas[0].state is QuotaState.STOPPED
    assert server.session.quotas[1].state is QuotaState.ACTIVE


def test_a_rating_group_that_begins_later_asks_when_it_begins():
    server = data(100, start_after_seconds=fixed(20))
    first = server.next()
    assert (first.request_type, first.services) == (INITIAL, ())
    server.answer()
    update = server.next()
    assert server.now == pytest.approx(20)
    assert (update.request_type, update.services[0].used) == (UPDATE, None)


@pytest.mark.rule("C-041")
def test_terminate_ends_the_service_after_the_last_units():
    server = data(100, 1)
    server.next()
    last_units = granted(500, final_unit=FinalUnitIndication(FinalUnitAction.TERMINATE))
    server.answer(last_units, granted(100_000))
    update = server.next()
    assert update.request_type is UPDATE
    assert (update.services[0].used, update.services[0].wanted) == (500, None)
    assert update.services[0].reason is ReportingReason.FINAL
    server.answer(done())
    assert server.session.quotas[0].state is QuotaState.STOPPED
    ended = server.next()
    assert ended.request_type is TERMINATION
    assert [one.rating_group for one in ended.services] == [200]


@pytest.mark.rule("C-041")
def test_terminate_of_the_only_service_ends_the_session():
    server = data(100)
    server.next()
    server.answer(granted(500, final_unit=FinalUnitIndication(FinalUnitAction.TERMINATE)))
    ended = server.next()
    assert (ended.request_type, ended.services[0].used) == (TERMINATION, 500)
    assert server.now == pytest.approx(5)


@pytest.mark.rule("C-044", "C-045")
@pytest.mark.parametrize("action", [FinalUnitAction.REDIRECT, FinalUnitAction.RESTRICT_ACCESS])
def test_redirect_reports_without_asking_and_tries_again_when_validity_ends(action):
    server = data(100)
    server.next()
    server.answer(granted(500, final_unit=FinalUnitIndication(action)))
    update = server.next()
    assert (update.services[0].used, update.services[0].wanted) == (500, None)
    server.answer(MultipleServices(result_code=2001, validity_time=60))
    again = server.next()
    assert server.now == pytest.approx(65)
    assert (again.services[0].used, again.services[0].wanted) == (None, 0)
    server.answer(granted(1000))
    assert server.session.quotas[0].state is QuotaState.ACTIVE
    assert server.next().services[0].used == 1000


@pytest.mark.rule("C-046", "C-047")
@pytest.mark.parametrize("units", [None, ServiceUnits(total_octets=0)])
def test_an_action_without_units_is_executed_at_once(units):
    for action, state in [
        (FinalUnitAction.REDIRECT, QuotaState.RESTRICTED),
        (FinalUnitAction.TERMINATE, QuotaState.STOPPED),
    ]:
        server = data(100)
        server.next()
        part = MultipleServices(
            result_code=2001,
            granted=units,
            validity_time=60,
            final_unit=FinalUnitIndication(action),
        )
        server.answer(part)
        assert server.session.quotas[0].state is state


def test_gateways_that_only_terminate_never_redirect():
    server = data(100, shape="open5gs")
    server.next()
    server.answer(granted(500, final_unit=FinalUnitIndication(FinalUnitAction.REDIRECT)))
    assert server.next().request_type is TERMINATION


def test_grants_add_up_for_a_gateway_that_adds():
    for shape, used in [("generic", 500), ("magma", 700)]:
        server = data(100, shape=shape)
        server.next()
        server.answer(granted(1000, volume_quota_threshold=200))
        server.next()
        server.answer(granted(500))
        assert server.next().services[0].used == used


def test_quota_holding_time_gives_an_idle_quota_back():
    active, idle = Distribution(fixed=10), Distribution(fixed=100)
    server = data(100, active_seconds=active, idle_seconds=idle)
    server.next()
    server.answer(granted(1_000_000, quota_holding_time=30))
    update = server.next()
    assert server.now == pytest.approx(40)
    assert update.services[0].reason is ReportingReason.QHT
    assert (update.services[0].used, update.services[0].wanted) == (1000, None)
    server.answer(done())
    update = server.next()
    assert server.now == pytest.approx(110)
    assert (update.services[0].used, update.services[0].wanted) == (None, 0)


def test_an_uncontrolled_rating_group_asks_no_more():
    server = data(100)
    server.next()
    server.answer(refused(4011))
    last = server.next()
    assert (last.request_type, last.services) == (TERMINATION, ())
    assert server.now == pytest.approx(1000)


@pytest.mark.parametrize("code", [4010, 4012, 5003, 5031])
def test_refusal_of_the_only_service_ends_the_session(code):
    server = data(100)
    server.next()
    server.answer(refused(code))
    assert server.next().request_type is TERMINATION
    assert server.tally[f"refused {code}"] == 1


def test_a_refused_initial_request_leaves_no_session():
    server = data(100)
    server.next()
    server.answer(code=5030)
    assert server.session.done
    assert server.next() is None


def test_a_refused_update_closes_the_session():
    server = data(100)
    server.next()
    server.answer(granted(500))
    server.next()
    server.answer(code=4010)
    assert server.session.done


def test_an_update_that_was_not_processed_is_reported_again_at_the_end():
    for fail in [lambda one: one.answer(code=3004), lambda one: one.session.unanswered(one.now)]:
        server = data(100)
        server.next()
        server.answer(granted(500))
        server.next()
        fail(server)
        last = server.next()
        assert (last.request_type, last.services[0].used) == (TERMINATION, 500)
        server.answer(done())
        assert server.tally["used octets"] == 500


def test_reauthorisation_reports_and_asks_for_everything():
    server = data(100, 10)
    server.next()
    server.answer(granted(100_000), granted(100_000))
    server.now = 7.0
    assert server.session.reauthorise()
    demand = server.session.act(7.0)
    assert [(one.used, one.wanted) for one in demand.services] == [(700, 0), (70, 0)]
    assert {one.reason for one in demand.services} == {ReportingReason.FORCED_REAUTHORISATION}


def test_an_aborted_session_reports_what_it_used():
    server = data(100)
    server.next()
    server.answer(granted(100_000))
    assert server.session.abort(3.0)
    server.now = 3.0
    last = server.next()
    assert (last.request_type, last.termination_cause) == (TERMINATION, 4)
    assert last.services[0].used == 300


def test_an_abandoned_session_goes_silent():
    service = DataService(
        kind="data",
        duration_seconds=fixed(100),
        rating_groups=(RatingGroupUse(rating_group=1, octets_per_second=fixed(1)),),
    )
    server = begin(service, abandon=1.0)
    server.next()
    server.answer(granted(100_000))
    assert server.next() is None
    assert server.session.done
    assert server.tally["abandoned"] == 1


CALL = VoiceService(
    kind="voice",
    duration_seconds=fixed(100),
    ring_seconds=fixed(8),
    destinations=(Destination(number="+49301######"),),
)


def test_ringing_costs_nothing_and_seconds_run_from_the_answer():
    server = begin(CALL)
    assert server.next().services[0].unit is Unit.SECONDS
    server.answer(granted(seconds=60))
    picked_up = server.next()
    assert server.now == pytest.approx(8)
    assert (picked_up.services[0].used, picked_up.services[0].wanted) == (0, 0)
    server.answer(granted(seconds=60))
    update = server.next()
    assert server.now == pytest.approx(68)
    assert update.services[0].used == 60
    server.answer(granted(seconds=60))
    last = server.next()
    assert server.now == pytest.approx(108)
    assert (last.services[0].used, last.cause_code) == (40, 0)


def test_kamailio_does_not_report_the_answer():
    server = begin(CALL, "kamailio")
    server.next()
    server.answer(granted(seconds=60))
    update = server.next()
    assert server.now == pytest.approx(68)
    assert update.services[0].used == 60


def test_a_call_that_nobody_takes_has_no_use():
    server = begin(CALL.model_copy(update={"answered_probability": 0.0}))
    server.next()
    server.answer(granted(seconds=60))
    last = server.next()
    assert server.now == pytest.approx(8)
    assert (last.request_type, last.services, last.cause_code) == (TERMINATION, (), 486)


def test_a_message_is_one_event():
    service = SmsService(
        kind="sms", messages=fixed(2), destinations=(Destination(number="+4917#"),)
    )
    for parts, code, word in [
        ((done(),), 2001, "events charged"),
        ((refused(4012),), 2001, "refused 4012"),
        ((), 4012, "refused 4012"),
    ]:
        server = begin(service)
        demand = server.next()
        assert (demand.request_type, demand.services[0].wanted) == (RequestType.EVENT, 2)
        server.answer(*parts, code=code)
        assert server.session.done
        assert server.tally[word] == 1


def test_a_gateway_that_does_not_stop_reports_more_than_it_was_granted():
    quota = Quota(Unit.OCTETS, 100.0, MANNERS["open5gs"])
    asked = quota.report(0.0)
    assert asked is not None
    quota.answered(0.0, asked, granted(1000))
    quota.advance(15.0)
    report = quota.report(15.0)
    assert report is not None
    assert (report.used, report.reason) == (1500, ReportingReason.QUOTA_EXHAUSTED)
