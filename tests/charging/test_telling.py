"""What clients are told beside units: thresholds, metering, costs and tariffs, what remains."""

from dataclasses import replace
from typing import Any

import pytest

from ocs.amounts import Unit
from ocs.catalog import metering as catalogue_metering
from ocs.catalog.model import Catalog
from ocs.charging.model.decision import WITH_RESERVATIONS, WITHOUT_RESERVATIONS
from ocs.charging.model.messages import Advice, Announcement, Metering, RatePart, RatingAttributes
from tests.support.charging import NOON_NS, Scenario
from tests.support.tariffs import T_SETUP, make_banded_catalog, make_catalog

SECOND = 10**9


def catalog_with(service="data", **policy: Any) -> Catalog:
    """The golden catalogue with another quota policy for one service."""
    catalog = make_catalog()
    known = catalog.services[service]
    services = {**catalog.services, service: replace(known, quota=replace(known.quota, **policy))}
    return replace(catalog, services=services)


def told(catalog: Catalog, *lines: str, unit=Unit.OCTETS, charging_id=-1) -> list[Metering | None]:
    """What the first service of each reply says about metering."""
    scenario = Scenario(catalog, unit=unit)
    found = []
    for line in lines:
        request = scenario.request(line)
        request.attributes = RatingAttributes(charging_id=charging_id)
        found.append(scenario.send(request).services[0].metering)
    return found


@pytest.mark.rule("G-004", "T257", "G-121")
@pytest.mark.parametrize(
    "percent,most,threshold",
    [(20, 0, 2_000_000), (20, 500_000, 500_000), (20, 9_000_000, 2_000_000), (0, 500_000, 0),
     (99, 0, 9_900_000)],
)  # fmt: skip
def test_a_threshold_is_a_share_of_the_grant_but_no_more_than_its_maximum(percent, most, threshold):
    catalog = catalog_with(threshold_percent=percent, threshold_maximum=most)
    Scenario(catalog).play(f"I 0  100 rsu => 100 ok 10000000 thr={threshold} | R=0.50")


@pytest.mark.rule("T260", "G-122")
@pytest.mark.parametrize("seconds", [None, 0, 300])
def test_a_quota_holding_time_is_said_as_it_is_set(seconds):
    scenario = Scenario(catalog_with(quota_holding_seconds=seconds))
    reply = scenario.send(scenario.request("I 0  100 rsu"))
    assert reply.services[0].quota_holding_seconds == seconds


@pytest.mark.rule("G-125", "T269")
def test_triggers_are_said_in_every_grant_and_no_triggers_too():
    lines = ["I 0  100 rsu", "U 1  100 used=1 rsu", "U 2  100 used=1"]
    for triggers in ((), (4, 3)):
        catalog = catalog_with(metering=catalogue_metering.Metering(triggers=triggers))
        first, second, without_grant = told(catalog, *lines)
        assert first == second == Metering(triggers=triggers)
        assert without_grant is None
    assert told(make_catalog(), lines[0]) == [None]


@pytest.mark.rule("G-123")
def test_how_time_is_counted_goes_with_granted_time_only():
    said = catalogue_metering.Metering(consumption_seconds=10)
    (metering,) = told(catalog_with("lease", metering=said), "I 0  500 rsu", unit=Unit.SECONDS)
    assert metering == Metering(10)
    (metering,) = told(catalog_with(metering=said), "I 0  100 rsu")
    assert metering == Metering()
    said = catalogue_metering.Metering(time_type=1, base_interval_seconds=60)
    (metering,) = told(catalog_with("lease", metering=said), "I 0  500 rsu", unit=Unit.SECONDS)
    assert metering == Metering(time_type=1, base_interval_seconds=60)


@pytest.mark.rule("G-124")
def test_envelopes_are_settled_by_the_first_answer():
    catalog = catalog_with(metering=catalogue_metering.Metering(envelopes=2))
    said = told(catalog, "I 0  100 rsu", "U 1  100 used=1 rsu")
    assert said == [Metering(envelopes=2), Metering()]


def test_records_are_furnished_once_for_a_bearer_that_has_an_id():
    catalog = catalog_with(metering=catalogue_metering.Metering(furnish="gold"))
    lines = ["I 0  100 rsu", "U 1  100 used=1 rsu"]
    assert told(catalog, *lines, charging_id=7) == [
        Metering(furnish="gold", charging_id=7), Metering(),
    ]  # fmt: skip
    assert told(catalog, *lines) == [Metering(), Metering()]


@pytest.mark.parametrize("before_end,later", [(20, True), (None, False)])
def test_an_announcement_before_the_service_is_said_once(before_end, later):
    said = catalogue_metering.Announcement(5, before_end, True, "en", 0)
    catalog = catalog_with(metering=catalogue_metering.Metering(announcement=said))
    first, second = told(catalog, "I 0  100 rsu", "U 1  100 used=1 rsu")
    expected = Metering(announcement=Announcement(5, before_end, True, "en", 0))
    assert first == expected
    assert second == (expected if later else Metering())


# ---------------------------------------------------------------------------- advice of charge

USAGE = RatePart(Unit.OCTETS, 50_000, 1_000_000)


def advised(catalog: Catalog, *lines: str, unit=Unit.OCTETS) -> list[tuple[Advice | None, Any]]:
    scenario = Scenario(catalog, unit=unit)
    replies = [scenario.send(scenario.request(line)) for line in lines]
    return [(reply.advice, reply.cost_micro) for reply in replies]


@pytest.mark.rule("G-011", "T253")
def test_a_client_that_asks_in_full_is_told_costs_and_the_tariff():
    said = advised(
        make_catalog(), "I 0  100 rsu advice=1", "U 1  100 used=1400000 rsu advice=1",
        "U 2  100 used=700000 rsu advice=1", "T 3  100 used=1 advice=1",
    )  # fmt: skip
    assert said == [
        (Advice(0, 0, (USAGE,)), None),
        (Advice(100_000, 100_000, (USAGE,)), 100_000),
        (Advice(150_000, 50_000, (USAGE,)), 150_000),
        (Advice(150_000, 0), 150_000),
    ]


@pytest.mark.rule("G-011")
def test_a_client_may_ask_for_costs_or_for_the_tariff_only():
    lines = ["I 0  100 rsu advice={}", "U 1  100 used=1 rsu advice={}", "T 2  100 advice={}"]
    costs = advised(make_catalog(), *(line.format(2) for line in lines))
    assert costs == [
        (Advice(0, 0), None), (Advice(50_000, 50_000), 50_000), (Advice(50_000, 0), 50_000),
    ]  # fmt: skip
    tariff = advised(make_catalog(), *(line.format(3) for line in lines))
    assert tariff == [
        (Advice(tariff=(USAGE,)), None), (Advice(tariff=(USAGE,)), None), (Advice(), 50_000),
    ]  # fmt: skip


@pytest.mark.rule("G-011", "T253")
def test_who_does_not_ask_is_told_the_total_at_the_end_only():
    said = advised(make_catalog(), "I 0  100 rsu", "U 1  100 used=1 rsu", "T 2  100 used=1")
    assert said == [(None, None), (None, None), (None, 50_000)]


@pytest.mark.rule("G-011")
def test_a_setup_fee_and_several_services_are_parts_of_the_tariff():
    ((advice, _),) = advised(
        make_catalog(), "I 0  12 rsu; 10 rsu; 10 rsu context=32260@3gpp.org advice=3",
        unit=Unit.SECONDS,
    )  # fmt: skip
    assert advice == Advice(tariff=(
        RatePart(Unit.MONEY, T_SETUP.setup_micro), RatePart(Unit.SECONDS, 100_000, 60),
        RatePart(Unit.SECONDS, 120_000, 60),
    ))  # fmt: skip


@pytest.mark.rule("G-011")
def test_the_next_tariff_is_told_with_its_beginning():
    ((advice, _),) = advised(make_banded_catalog(), "I 0  100 rsu advice=3")
    assert advice is not None
    assert advice.tariff == (USAGE,)
    assert advice.next_tariff == (RatePart(Unit.OCTETS, 80_000, 1_000_000),)
    assert advice.change_ns == NOON_NS + 600 * SECOND


@pytest.mark.rule("G-011")
@pytest.mark.parametrize(
    "group,parts",
    [("300", None), ("310", (RatePart(Unit.OCTETS, 0, 1),)), ("999", None), ("400", None)],
)
def test_what_costs_nothing_or_is_not_sold_has_a_tariff_of_its_own(group, parts):
    ((advice, _),) = advised(make_catalog(), f"I 0  {group} rsu advice=3")
    assert advice == Advice(tariff=parts)


@pytest.mark.rule("G-011", "T221")
@pytest.mark.parametrize(
    "action,cost", [(0, 210_000), (3, 210_000), (2, None)], ids=["debit", "enquiry", "check"]
)
def test_an_event_is_advised_what_it_costs(action, cost):
    ((advice, said),) = advised(
        make_catalog(), f"E 0  1 rsu=3 context=32274@3gpp.org action={action} advice=1",
        unit=Unit.EVENTS,
    )  # fmt: skip
    assert advice == Advice(cost, tariff=(RatePart(Unit.EVENTS, 70_000, 1),))
    assert said == cost


@pytest.mark.rule("G-011")
def test_a_refused_request_is_advised_nothing():
    scenario = Scenario(make_catalog())
    reply = scenario.send(scenario.request("U 1  100 used=1 rsu advice=1"))
    assert reply.advice is None


# ---------------------------------------------------------------------------- what remains


@pytest.mark.rule("G-010", "T256")
@pytest.mark.parametrize(
    "told_as,amounts",
    [
        (0, [None, None, None]),
        (WITH_RESERVATIONS, [10_000_000, 9_950_000, 9_950_000]),
        (WITHOUT_RESERVATIONS, [9_500_000, 9_450_000, 9_950_000]),
    ],
)
def test_the_remaining_balance_is_that_after_the_transaction(told_as, amounts):
    scenario = Scenario(make_catalog())
    scenario.policy = replace(scenario.policy, remaining_balance=told_as)
    lines = ["I 0  100 rsu", "U 1  100 used=1 rsu", "T 2"]
    replies = [scenario.send(scenario.request(line)) for line in lines]
    assert [reply.remaining_micro for reply in replies] == amounts
    if told_as:
        assert {reply.currency for reply in replies} == {"EUR"}


@pytest.mark.rule("G-010")
def test_a_price_enquiry_and_a_refusal_say_nothing_of_the_balance():
    scenario = Scenario(make_catalog(), unit=Unit.EVENTS)
    scenario.policy = replace(scenario.policy, remaining_balance=WITH_RESERVATIONS)
    enquiry = "E 0  1 rsu=3 context=32274@3gpp.org action=3"
    assert scenario.send(scenario.request(enquiry)).remaining_micro is None
    debit = "E 1  1 rsu=3 context=32274@3gpp.org action=0"
    assert scenario.send(scenario.request(debit)).remaining_micro == 9_790_000
    assert scenario.send(scenario.request("U 9  100 used=1")).remaining_micro is None
