"""What a price means: everything that decides it, and nothing else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ocs.amounts import Unit
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    ChargeMode,
    Condition,
    FinalUnitPolicy,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    TimeBand,
)

pytestmark = pytest.mark.rule("C-091")

WEEK = frozenset(range(7))
NIGHT = TimeBand("night", (BandSpan(WEEK, 0, 360),))
NOON = TimeBand("noon", (BandSpan(WEEK, 720, 780),))
EARLY = TimeBand("early", (BandSpan(WEEK, 300, 420),))
RULES = (
    PriceRule("any", Price(3)),
    PriceRule("eu", Price(2), zone="eu"),
    PriceRule("night", Price(1), band="night"),
    PriceRule("there", Price(4), when=(Condition("visited", ("alps",)),)),
    PriceRule("abroad", Price(5), when=(Condition("roaming", ("yes",)),)),
    PriceRule("game", Price(6), when=(Condition("location", ("stadium",)),)),
    PriceRule("hotline", Price(7), when=(Condition("origin", ("desk",)),)),
)


def catalog(rules: tuple[PriceRule, ...] = RULES) -> Catalog:
    """Every kind of definition, one that the rules name and one that they do not."""
    service = Service(
        "call", ("32260@3gpp.org",), Unit.SECONDS, QuotaPolicy(60, 60), frozenset({10}),
        destination_rated=True,
    )
    plan = Plan("basic", "Basic", {"call": ServiceTerms("call", ChargeMode.PRICED, rules)})
    return Catalog(
        "all", "EUR", "Europe/Berlin", {"call": service}, {"basic": plan},
        zones={"eu": ("43", "44"), "us": ("1",), "desk": ("49800",)},
        networks={"alps": ("232", "228"), "home": ("26201",), "sea": ("90112",)},
        locations={"stadium": ("26201/7",), "shop": ("23201/9",)},
        bands=(NIGHT, NOON),
    )


def terms_with(one: Catalog, **changes: Any) -> Catalog:
    plan = one.plans["basic"]
    terms = replace(plan.terms["call"], **changes)
    return replace(one, plans={"basic": replace(plan, terms={"call": terms})})


def service_with(one: Catalog, **changes: Any) -> Catalog:
    return replace(one, services={"call": replace(one.services["call"], **changes)})


def zones_with(**zones: tuple[str, ...]) -> Callable[[Catalog], Catalog]:
    return lambda one: replace(one, zones={**one.zones, **zones})


def networks_with(**networks: tuple[str, ...]) -> Callable[[Catalog], Catalog]:
    return lambda one: replace(one, networks={**one.networks, **networks})


def locations_with(**locations: tuple[str, ...]) -> Callable[[Catalog], Catalog]:
    return lambda one: replace(one, locations={**one.locations, **locations})


def bands(*wanted: TimeBand) -> Callable[[Catalog], Catalog]:
    return lambda one: replace(one, bands=wanted)


def meaning(one: Catalog) -> object:
    return CatalogIndex(one).meaning("basic", "call")


@pytest.mark.parametrize(
    "changed",
    [
        lambda one: replace(one, name="other", version=9, source="text"),
        lambda one: service_with(one, quota=QuotaPolicy(600, 600, validity_seconds=9)),
        lambda one: service_with(one, rating_groups=frozenset({10, 11}), default=True),
        lambda one: terms_with(one, quota=QuotaPolicy(9, 9), final_unit=FinalUnitPolicy()),
        zones_with(moon=("999",)),
        zones_with(us=("1", "1809")),
        zones_with(eu=("43", "44", "4420")),
        networks_with(sea=("90112", "90114")),
        locations_with(shop=("23201/9", "23201/10")),
        bands(NIGHT),
        bands(NIGHT, NOON, EARLY),
        bands(NOON, NIGHT),
    ],
)
def test_what_is_no_part_of_a_price(changed: Callable[[Catalog], Catalog]) -> None:
    assert meaning(changed(catalog())) == meaning(catalog())


@pytest.mark.parametrize(
    "changed",
    [
        lambda one: replace(one, time_zone="Asia/Tokyo"),
        lambda one: service_with(one, unit=Unit.OCTETS),
        lambda one: service_with(one, destination_rated=False),
        lambda one: terms_with(one, mode=ChargeMode.FREE),
        lambda one: terms_with(one, rules=RULES[1:]),
        lambda one: terms_with(one, rules=(PriceRule("any", Price(3, setup_micro=1)), *RULES[1:])),
        lambda one: terms_with(one, subscriber_clock=True),
        zones_with(eu=("43",)),
        zones_with(desk=("49801",)),
        zones_with(us=("1", "4420")),
        networks_with(alps=("232",)),
        networks_with(home=("26202",)),
        networks_with(sea=("90112", "23205")),
        locations_with(stadium=("26201/8",)),
        locations_with(shop=("23201/9", "26201/7/5")),
        bands(NOON),
        bands(EARLY, NIGHT, NOON),
    ],
)
def test_what_is_part_of_a_price(changed: Callable[[Catalog], Catalog]) -> None:
    """Also a zone or a band that takes something away from one that a rule names."""
    assert meaning(changed(catalog())) != meaning(catalog())


def test_without_rules_for_them_places_and_clocks_are_no_part_of_a_price() -> None:
    one = catalog(RULES[:1])
    other = replace(one, time_zone="UTC", zones={}, networks={}, locations={}, bands=())
    assert meaning(other) == meaning(one)


def test_holidays_of_bands_that_rules_name_and_of_bands_before_them() -> None:
    night, noon = (
        replace(band, spans=(*band.spans, BandSpan(frozenset(), 0, 1440, frozenset({20_000}))))
        for band in (NIGHT, NOON)
    )
    one = meaning(bands(night)(catalog()))
    assert one != meaning(bands(NIGHT)(catalog()))
    assert one == meaning(bands(night, noon)(catalog()))
    assert one != meaning(bands(noon, night)(catalog()))


def test_a_home_network_that_is_said_for_the_first_time() -> None:
    one = catalog()
    unsaid = replace(one, networks={"alps": one.networks["alps"]})
    assert meaning(replace(one, networks={**unsaid.networks, "home": ()})) != meaning(unsaid)


def test_a_service_that_is_not_sold_means_nothing() -> None:
    index = CatalogIndex(catalog())
    assert index.meaning("basic", "sms") is None
    assert index.meaning("gold", "call") is None
    assert index.meaning("basic", "call") is index.meaning("basic", "call")
