"""Prices that depend on conditions, through the whole engine: what holds when, and for what."""

from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    ChargeMode,
    Condition,
    Plan,
    Price,
    PriceRule,
    Service,
    ServiceTerms,
    TimeBand,
)
from ocs.charging.model.circumstances import remembered
from ocs.charging.model.messages import RatingAttributes, ServiceDetails
from ocs.ledger.account import Bucket
from tests.support.charging import Scenario
from tests.support.tariffs import DATA_QUOTA, EVENT_QUOTA, IMS, PS, SMS, TIME_QUOTA

MB = 1_000_000


def per_mb(micro):
    return Price(micro, per=MB, increment=MB)


def per_minute(micro):
    return Price(micro, per=60)


def rule(code, price, zone="", band="", **when: str):
    conditions = tuple(Condition(name, (label,)) for name, label in when.items())
    return PriceRule(code, price, zone, band, conditions)


DATA_RULES = (
    rule("data", per_mb(50_000)),
    rule("fast", per_mb(80_000), rat="nr"),
    rule("eu", per_mb(1_000_000), visited="eu"),
)
CALL_RULES = (
    rule("call", per_minute(120_000)),
    rule("france", per_minute(240_000), zone="france"),
    rule("video", per_minute(600_000), media="video"),
    rule("in-abroad", per_minute(60_000), role="terminating", roaming="yes"),
    rule("forwarded", per_minute(180_000), zone="france", role="forwarding"),
)
SMS_RULES = (
    rule("sms", Price(70_000)),
    rule("premium", Price(1_000_000), recipient="numeric-shortcode"),
    rule("sms-france", Price(100_000), zone="france"),
)


def make_catalog(subscriber_clock=False) -> Catalog:
    services = {
        "data": Service("data", (PS,), Unit.OCTETS, DATA_QUOTA, frozenset({100}), default=True),
        "other": Service("other", (PS,), Unit.OCTETS, DATA_QUOTA, frozenset({200})),
        "call": Service(
            "call", (IMS,), Unit.SECONDS, TIME_QUOTA, frozenset({10}), default=True,
            destination_rated=True,
        ),
        "sms": Service(
            "sms", (SMS,), Unit.EVENTS, EVENT_QUOTA, frozenset({1}), default=True,
            destination_rated=True,
        ),
    }  # fmt: skip
    data: tuple[PriceRule, ...] = DATA_RULES
    if subscriber_clock:
        data = (*data, rule("evening", per_mb(10_000), band="evening"))
    terms = {
        "data": ServiceTerms(
            "data", ChargeMode.PRICED, data, subscriber_clock=subscriber_clock
        ),
        "other": ServiceTerms("other", ChargeMode.PRICED, DATA_RULES),
        "call": ServiceTerms("call", ChargeMode.PRICED, CALL_RULES),
        "sms": ServiceTerms("sms", ChargeMode.PRICED, SMS_RULES),
    }
    evening = TimeBand("evening", (BandSpan(frozenset(range(7)), 18 * 60, 24 * 60),))
    return Catalog(
        "conditions", "EUR", "UTC", services, {"basic": Plan("basic", "Basic", terms)},
        zones={"france": ("33",)},
        networks={"home": ("21407",), "eu": ("208",)},
        bands=(evening,) if subscriber_clock else (),
    )  # fmt: skip


def play(text, unit=Unit.OCTETS, catalog=None, **account: object) -> Scenario:
    scenario = Scenario(catalog or make_catalog(), unit=unit, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def contexts(scenario):
    """(rule, key) of every charge context, over all sessions."""
    _, _, sessions = scenario.load()
    return [
        (one.rule, one.zone)
        for session in sessions for quota in session.quotas for one in quota.contexts
    ]  # fmt: skip


@pytest.mark.rule("G20", "T268", "G-009", "M-002")
def test_usage_is_priced_as_it_was_granted_and_the_grant_by_what_holds_now():
    scenario = play("""
        I 0  100 rsu rat_type=6                   => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 used=4300000 reason=RATING_CONDITION_CHANGE rsu rat_type=10 => 100 ok 10000000 | B=9.75 R=0.80
        T 2  100 used=2100000 rat_type=6          => 100 ok          | B=9.51 R=0
    """)  # noqa: E501
    assert contexts(scenario) == [("data", ""), ("fast", "rat=nr")]


@pytest.mark.rule("G-009", "M-002")
def test_a_condition_that_comes_back_goes_on_where_it_was():
    play("""
        I 0  100 rsu rat_type=6              => 100 ok 10000000 | B=10.00 R=0.50
        U 1  100 used=400000 rsu rat_type=10 => 100 ok 10000000 | B=9.95 R=0.80
        U 2  100 used=400000 rsu rat_type=6  => 100 ok 10000000 | B=9.87 R=0.50
        T 3  100 used=600000                 => 100 ok          | B=9.87 R=0
    """)


@pytest.mark.rule("T275", "G-009")
def test_a_visited_network_has_its_price_until_another_is_named():
    play("""
        I 0  100 rsu visited_network=20801   => 100 ok 10000000 fui=terminate | B=10.00 R=10.00
        U 1  100 used=1000000 rsu            => 100 ok 9000000 fui=terminate | B=9.00 R=9.00
        U 2  100 used=100 rsu rat_type=6 visited_network=21407 => 100 ok 10000000 | B=8.00 R=0.50
        T 3  100 used=100                    => 100 ok          | B=7.95 R=0
    """)


@pytest.mark.rule("G-009")
def test_every_quota_keeps_the_conditions_it_was_granted_under():
    play("""
        I 0  100 rsu; 200 rsu rat_type=6      => 100 ok 10000000; 200 ok 10000000 | B=10.00 R=1.00
        U 1  100 used=1000000 rsu rat_type=10 => 100 ok 10000000                  | B=9.95 R=1.30
        U 2  200 used=1000000 rsu             => 200 ok 10000000                  | B=9.90 R=1.60
        T 3  100 used=1; 200 used=1           => 100 ok; 200 ok                   | B=9.74 R=0
    """)


def test_usage_that_was_never_granted_is_priced_by_what_holds_now():
    play("""
        I 0  rat_type=10     =>                | B=10.00 R=0
        U 1  100 used=100    => 100 ok         | B=9.92 R=0
        T 2                  => 2001           | B=9.92 R=0
    """)


def test_a_radio_access_beside_a_service_is_that_services_own():
    scenario = Scenario(make_catalog())
    request = scenario.request("I 0  100 rsu; 200 rsu rat_type=6")
    request.services[1].details = ServiceDetails(rat_type=10)
    scenario.send(request)
    assert scenario.money() == (10_000_000, 500_000 + 800_000)


@pytest.mark.rule("M-011", "G-009")
def test_time_bands_may_be_those_of_the_subscriber():
    catalog = make_catalog(subscriber_clock=True)
    play("""
        I 0  100 rsu time_zone=+07:00       => 100 ok 10000000 | B=10.00 R=0.10
        U 1  100 used=1000000 rsu time_zone=+00:00 => 100 ok 10000000 | B=9.99 R=0.50
        T 2  100 used=1000000               => 100 ok          | B=9.94 R=0
    """, catalog=catalog)  # fmt: skip


@pytest.mark.rule("G-009", "T280")
def test_seconds_of_a_call_begin_anew_under_another_price():
    scenario = play(
        """
        I 0  10 rsu context=32260@3gpp.org media=audio => 10 ok 600 | B=10.00 R=1.20
        wait 60
        U 1  10 used=60 rsu media=video           => 10 ok 600      | B=9.88 R=6.00
        wait 30
        U 2  10 used=30 rsu media=audio           => 10 ok 600      | B=9.58 R=1.20
        wait 60
        T 3  10 used=60                           => 10 ok          | B=9.46 R=0
        """,
        unit=Unit.SECONDS,
    )
    assert contexts(scenario) == [("call", ""), ("video", "media=video"), ("call", "")]


@pytest.mark.rule("G-009", "G-182")
def test_a_terminating_call_costs_only_where_a_price_says_so():
    scenario = play(
        """
        I 0  10 rsu context=32260@3gpp.org role=1 visited_network=21407 => 10 ok 600 | B=10.00 R=0
        wait 60
        T 1  10 used=60                           => 10 ok          | B=10.00 R=0
        I 0  @abroad 10 rsu context=32260@3gpp.org role=1 visited_network=20801 => 10 ok 600 | B=10.00 R=0.60
        wait 60
        T 1  @abroad 10 used=60                   => 10 ok          | B=9.94 R=0
        """,  # noqa: E501
        unit=Unit.SECONDS,
    )
    assert contexts(scenario) == [("in-abroad", "role=terminating roaming=yes")]


@pytest.mark.rule("G-009", "G-182")
def test_a_terminating_call_that_crosses_the_border_is_paid_on_the_other_side_only():
    play(
        """
        I 0  10 rsu context=32260@3gpp.org role=1 visited_network=21407 => 10 ok 600 | B=10.00 R=0
        wait 60
        U 1  10 used=60 rsu visited_network=20801 => 10 ok 600 | B=10.00 R=0.60
        wait 60
        U 2  10 used=60 rsu visited_network=21407 => 10 ok 600 | B=9.94 R=0
        wait 60
        T 3  10 used=60 visited_network=20801     => 10 ok     | B=9.94 R=0
        """,
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("G-009", "G-182")
def test_free_units_are_not_spent_on_terminating_calls_at_home():
    minutes = Bucket(0, 7, Unit.SECONDS, "minutes", available=600, services=("call",))
    scenario = Scenario(make_catalog(), unit=Unit.SECONDS, buckets=[minutes])
    scenario.play("""
        I 0  10 rsu context=32260@3gpp.org role=1 visited_network=21407 => 10 ok 600 | B=10.00 R=0
        wait 60
        T 1  10 used=60                           => 10 ok | B=10.00 R=0
    """)
    _, buckets, _ = scenario.load()
    assert {bucket.name: bucket.available for bucket in buckets}["minutes"] == 600


@pytest.mark.rule("G-009", "G-182")
def test_a_forwarded_call_costs_what_it_goes_to():
    play(
        """
        I 0  10 rsu=60 context=32260@3gpp.org role=2 called=331234 => 10 ok 60 | B=10.00 R=0.18
        T 1  10 used=60                                            => 10 ok    | B=9.82 R=0
        I 0  @home 10 rsu=60 context=32260@3gpp.org role=2 called=341 => 10 ok 60 | B=9.82 R=0.12
        T 1  @home 10 used=60                                      => 10 ok    | B=9.70 R=0
        """,
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("T284", "G-009", "G-184")
@pytest.mark.parametrize("role", [0, 1, 2])
def test_an_emergency_call_is_never_charged_wherever_it_is_made(role):
    play(
        f"""
        I 0  10 rsu context=32260@3gpp.org role={role} emergency=1 visited_network=20801 => 10 ok 600 | B=0 R=0
        T 1  10 used=60                           => 10 ok          | B=0 R=0
        """,  # noqa: E501
        unit=Unit.SECONDS, balance="0",
    )


def test_an_emergency_that_is_noticed_late_costs_nothing_from_the_beginning():
    play(
        """
        I 0  10 rsu context=32260@3gpp.org role=1 visited_network=20801 => 10 ok 600 | B=10.00 R=0.60
        T 1  10 used=60 emergency=1               => 10 ok          | B=10.00 R=0
        """,  # noqa: E501
        unit=Unit.SECONDS,
    )


@pytest.mark.rule("T287", "G-009", "G-191")
def test_messages_are_priced_by_the_kind_of_their_recipient_and_where_it_is():
    play(
        """
        E 0  1 rsu=1 context=32274@3gpp.org action=0 recipient_type=4     => 1 ok 1 | B=9.00 R=0
        E 1  1 rsu=2 context=32274@3gpp.org action=0 recipients=331,331   => 1 ok 2 | B=8.80 R=0
        E 2  1 rsu=1 context=32274@3gpp.org action=0 recipients=341       => 1 ok 1 | B=8.73 R=0
        """,
        unit=Unit.EVENTS,
    )


@pytest.mark.rule("T287", "G-191", "T289")
def test_a_message_to_several_costs_for_each_what_its_destination_costs():
    sms = "1 rsu={} context=32274@3gpp.org action={} recipients=331,341,332"
    play(
        f"""
        E 0  {sms.format(3, 3)} => 2001 cost=0.27                     | B=10.00 R=0
        E 1  {sms.format(3, 0)} => 1 ok 3                             | B=9.73 R=0
        E 2  {sms.format('', 0).replace('rsu=', 'rsu')} => 1 ok 3     | B=9.46 R=0
        E 3  {sms.format(1, 0)} => 1 ok 1                             | B=9.36 R=0
        E 4  {sms.format(3, 2)} => 2001 enough=yes                    | B=9.36 R=0
        """,
        unit=Unit.EVENTS,
    )
    play(f"E 0  {sms.format(3, 0)} => 4012 | B=0.26 R=0", unit=Unit.EVENTS, balance="0.26")


def test_a_debit_for_several_destinations_is_refunded_as_a_whole():
    scenario = play(
        "E 0  1 rsu=2 context=32274@3gpp.org action=0 recipients=331,341 => 1 ok 2 | B=9.83 R=0",
        unit=Unit.EVENTS,
    )
    token = scenario.reply.refund_reference
    scenario.play(
        f"E 1  @s2 1 rsu=2 context=32274@3gpp.org action=1 refund={token} => 2001 | B=10.00 R=0"
    )


@pytest.mark.parametrize(
    "said,messages",
    [("messages=3", 3), ("recipients=341,342", 2), ("messages=3 recipients=341,342", 3), ("", 1)],
)
def test_the_server_counts_messages_where_the_client_leaves_it_to_it(said, messages):
    play(
        f"E 0  1 rsu context=32274@3gpp.org action=0 {said} => 1 ok {messages} | R=0",
        unit=Unit.EVENTS,
    )


def test_a_session_of_a_plan_without_conditions_remembers_nothing():
    catalog = make_catalog()
    plan = catalog.plans["basic"]
    terms = {"data": ServiceTerms("data", ChargeMode.PRICED, DATA_RULES[:1])}
    catalog = replace(catalog, plans={"basic": replace(plan, terms=terms)})
    scenario = play("I 0  100 rsu rat_type=6 => 100 ok 10000000 | B=10.00 R=0.50", catalog=catalog)
    assert [session.said for session in scenario.load()[2]] == [None]


def test_what_is_left_out_stays_as_it_was_but_no_place_outlives_its_network():
    first = remembered(None, RatingAttributes(apn="web", visited_network="1", location="1/2"))
    second = remembered(first, RatingAttributes(rat_type=6))
    assert (second.apn, second.rat_type, second.location) == ("web", 6, "1/2")
    assert remembered(second, RatingAttributes(visited_network="1")).location == "1/2"
    assert remembered(second, RatingAttributes(visited_network="9")).location == ""
    assert remembered(second, RatingAttributes(location="1/3")).location == "1/3"
