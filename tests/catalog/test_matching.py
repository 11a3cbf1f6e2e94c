"""Look-ups in a catalogue: contexts, services, longest prefix, most specific rule."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.matching import NO_TARIFF, CatalogIndex, normalise_context
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    ChargeMode,
    Plan,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
    TimeBand,
)
from ocs.errors import NotFoundError

PS = "32251@3gpp.org"
QUOTA = QuotaPolicy(slice=10, maximum=100)
EVENING = TimeBand("evening", (BandSpan(frozenset(range(7)), 18 * 60, 22 * 60),))
NIGHT = TimeBand("night", (BandSpan(frozenset(range(7)), 22 * 60, 6 * 60),))


def service(name, **values: Any):
    return Service(code=name, contexts=(PS,), unit=Unit.OCTETS, quota=QUOTA, **values)


def catalog(services=(), rules=(), zones=None, bands=(EVENING, NIGHT)):
    terms = ServiceTerms("web", ChargeMode.PRICED, rules)
    return Catalog(
        name="test",
        currency="EUR",
        time_zone="Europe/Madrid",
        services={entry.code: entry for entry in services},
        plans={"basic": Plan("basic", "Basic", {"web": terms})},
        zones=zones or {},
        bands=bands,
        version=7,
    )


def rule(name, zone="", band=""):
    return PriceRule(name, Price(1), zone, band)


def code(slot):
    return slot.rule.code if slot.rule else None


def at(day, hour):
    return int(datetime(2024, 1, day, hour, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.rule("G-111")
@pytest.mark.parametrize(
    "text,expected",
    [
        ("32251@3gpp.org", "32251@3gpp.org"),
        ("12.32251@3gpp.org", "32251@3gpp.org"),
        ("ext.01.001.8.32260@3gpp.org", "32260@3gpp.org"),
        ("ext.001.001.15.32274@3GPP.ORG", "32274@3gpp.org"),
        ("32251.3gpp.org", "32251@3gpp.org"),
        ("8.32251.3gpp.org", "32251@3gpp.org"),
        ("open5gs-smfd@open5gs.org", "open5gs-smfd@open5gs.org"),
        (" 32251@3gpp.org ", "32251@3gpp.org"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_context_is_its_service_and_domain(text, expected):
    assert normalise_context(text) == expected


@given(st.text(max_size=40))
def test_normalising_a_context_twice_changes_nothing(text):
    once = normalise_context(text)
    assert normalise_context(once) == once


@pytest.mark.parametrize(
    "rating_group,identifiers,expected",
    [
        (100, (), "web"),
        (101, (), "web"),
        (100, (7,), "mail"),
        (100, (8,), "web"),
        (None, (8, 7), "mail"),
        (None, (), "other"),
        (999, (), None),
        (None, (8,), None),
    ],
)
def test_service_is_found_by_identifier_then_rating_group_then_default(
    rating_group, identifiers, expected
):
    index = CatalogIndex(
        catalog(
            [
                service("web", rating_groups=frozenset({100, 101})),
                service("mail", service_identifiers=frozenset({7})),
                service("other", default=True),
            ]
        )
    )
    found = index.match_service("12.32251@3gpp.org", rating_group, identifiers)
    assert (found.code if found else None) == expected


@pytest.mark.rule("G-111")
def test_services_of_another_context_are_not_meant():
    index = CatalogIndex(catalog([service("web", rating_groups=frozenset({100}), default=True)]))
    assert index.knows_context("8.32251.3gpp.org")
    assert not index.knows_context("32260@3gpp.org")
    assert index.match_service("32260@3gpp.org", 100, ()) is None
    assert index.match_service("32260@3gpp.org", None, ()) is None


digits = st.text("01", min_size=1, max_size=6)


@given(
    st.dictionaries(digits, st.sampled_from(["alpha", "beta", "gamma"]), max_size=12),
    st.lists(st.text("01", max_size=8), min_size=1, max_size=10),
)
def test_zone_is_the_longest_prefix(zone_by_prefix, numbers):
    zones: dict[str, tuple[str, ...]] = {}
    for prefix, zone in zone_by_prefix.items():
        zones[zone] = (*zones.get(zone, ()), prefix)
    index = CatalogIndex(catalog(zones=zones))
    for number in numbers:
        matching = [prefix for prefix in zone_by_prefix if number.startswith(prefix)]
        expected = zone_by_prefix[max(matching, key=len)] if matching else ""
        assert index.zone_of(number) == expected


@pytest.mark.parametrize(
    "zone,hour,expected",
    [
        ("spain", 18, "spain-evening"),
        ("spain", 23, "spain"),
        ("france", 18, "evening"),
        ("france", 12, "any"),
        ("", 18, "evening"),
        ("", 12, "any"),
    ],
)
def test_most_specific_rule_wins(zone, hour, expected):
    index = CatalogIndex(
        catalog(
            rules=(
                rule("any"),
                rule("evening", band="evening"),
                rule("spain", zone="spain"),
                rule("spain-evening", zone="spain", band="evening"),
            ),
            zones={"spain": ("34",), "france": ("33",)},
        )
    )
    terms = index.catalog.plans["basic"].terms["web"]
    assert code(index.tariff_at(terms, zone, at(10, hour))) == expected


def test_neighbouring_bands_under_one_rule_are_one_slot():
    index = CatalogIndex(catalog(rules=(rule("any"), rule("evening", band="evening"))))
    terms = index.catalog.plans["basic"].terms["web"]
    slot = index.tariff_at(terms, "", at(10, 2))
    # Night and the day without a band are both priced by "any": 22:00 to 18:00 local (UTC + 1).
    assert (code(slot), slot.start_ns, slot.end_ns) == ("any", at(9, 21), at(10, 17))


def test_rule_that_never_changes_has_no_ends():
    index = CatalogIndex(catalog(rules=(rule("any"), rule("spain", zone="spain"))))
    terms = index.catalog.plans["basic"].terms["web"]
    for zone in ("", "spain"):
        slot = index.tariff_at(terms, zone, at(10, 2))
        assert (slot.start_ns, slot.end_ns) == (0, 0)
        assert index.tariff_at(terms, zone, at(20, 2)) is slot


def test_time_without_a_rule_is_a_slot_without_a_rule():
    index = CatalogIndex(catalog(rules=(rule("evening", band="evening"),)))
    terms = index.catalog.plans["basic"].terms["web"]
    slot = index.tariff_at(terms, "", at(10, 12))
    assert (slot.rule, slot.start_ns, slot.end_ns) == (None, at(9, 21), at(10, 17))


def test_terms_without_rules_have_no_tariff():
    index = CatalogIndex(catalog())
    terms = index.catalog.plans["basic"].terms["web"]
    assert index.tariff_at(terms, "", at(10, 12)) == NO_TARIFF


def test_terms_of_no_plan_are_answered_too():
    index = CatalogIndex(catalog())
    terms = ServiceTerms("web", ChargeMode.PRICED, (rule("any"),))
    assert code(index.tariff_at(terms, "", at(10, 12))) == "any"


def test_going_back_and_forth_in_time_gives_the_same_slots():
    index = CatalogIndex(catalog(rules=(rule("any"), rule("evening", band="evening"))))
    terms = index.catalog.plans["basic"].terms["web"]
    hours = [2, 18, 2, 23, 18, 12]
    slots = [index.tariff_at(terms, "", at(10, hour)) for hour in hours]
    fresh = [CatalogIndex(index.catalog).tariff_at(terms, "", at(10, hour)) for hour in hours]
    assert slots == fresh


def test_rule_is_found_by_the_names_a_charge_keeps():
    index = CatalogIndex(catalog(rules=(rule("any"),)))
    assert index.rule("basic", "web", "any").code == "any"
    with pytest.raises(NotFoundError, match="version 7 has no price rule 'gone'"):
        index.rule("basic", "web", "gone")
