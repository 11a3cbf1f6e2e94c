"""Units and attributes that a catalogue declares: what they become, and each mistake's place."""

import pytest

from ocs import yamldoc
from ocs.amounts import (
    NamedUnit,
    Unit,
    format_measure,
    format_quantity,
    measured,
    parse_quantity,
)
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Condition, Period, Price
from ocs.charging.model.messages import RatingAttributes
from ocs.errors import DocumentError

TEXT = """\
name: Test
currency: EUR
units:
  kWh: {decimals: 3}
  calls: {}
attributes:
  meter: [day, night]
  site: any
services:
  energy:
    unit: kWh
  api:
    unit: calls
plans:
  home:
    services:
      energy:
        prices:
          - {when: {meter: night}, price: 0.10}
          - {when: {site: roof, meter: night}, price: 0.05}
          - {when: {site: [roof, yard]}, price: 0.08}
          - {price: 0.25}
      api: {price: 0.0000002, counted: month}
    allowances:
      solar: {unit: kWh, amount: 20.5 kWh, services: energy}
"""
KWH = NamedUnit("kWh", 3)


def load(text=TEXT):
    return load_catalog(yamldoc.parse(text, "test.yaml"))


def problems(old, new):
    assert old in TEXT
    with pytest.raises(DocumentError) as refusal:
        load(TEXT.replace(old, new))
    return [(one.line, one.column, one.message) for one in refusal.value.problems]


@pytest.mark.rule("K-300")
def test_a_named_unit_is_counted_in_its_smallest_parts():
    catalog = load()
    energy, plan = catalog.services["energy"], catalog.plans["home"]
    assert (energy.unit, energy.counted_in, energy.measure) == (Unit.EVENTS, KWH, "kWh/3")
    assert catalog.units == {"kWh": KWH, "calls": NamedUnit("calls", 0)}
    assert plan.terms["energy"].rules[-1].price == Price(250_000, per=1_000)
    assert plan.terms["api"].rules[0].price == Price(2, per=10, counted=Period.MONTH)
    (solar,) = plan.allowances
    assert (solar.unit, solar.counted_in, solar.amount) == (Unit.EVENTS, KWH, 20_500)


@pytest.mark.rule("K-300")
@pytest.mark.parametrize(
    "text,parts,back",
    [
        ("1.5 kWh", 1_500, "1.5 kWh"),
        ("20", 20_000, "20 kWh"),
        ("0.001KWH", 1, "0.001 kWh"),
        ("0", 0, "0 kWh"),
    ],
)
def test_a_quantity_is_read_and_shown_in_its_unit(text, parts, back):
    assert parse_quantity(text, KWH) == parts
    assert format_quantity(parts, KWH) == back
    assert format_quantity(-parts, KWH) == (f"-{back}" if parts else back)
    assert measured(Unit.EVENTS, KWH.measure) == KWH


@pytest.mark.rule("K-300")
@pytest.mark.parametrize(
    "text,message",
    [
        ("1 Wh", "'1 Wh': 'Wh' is no measure of kWh (known: kWh)"),
        ("0.0001 kWh", "'0.0001 kWh' is finer than 0.001 kWh, the least counted"),
        ("-1", "'-1' is not a quantity of kWh"),
    ],
)
def test_a_quantity_that_cannot_be_counted_is_refused(text, message):
    with pytest.raises(ValueError) as refusal:
        parse_quantity(text, KWH)
    assert str(refusal.value) == message


@pytest.mark.rule("K-301")
def test_a_service_without_contexts_is_meant_by_no_request():
    index = CatalogIndex(load())
    assert index.catalog.services["energy"].contexts == ()
    assert not index.knows_context("")


@pytest.mark.rule("K-303")
@pytest.mark.parametrize(
    "said,rule",
    [
        ((), "energy"),
        ((("meter", "day"),), "energy"),
        ((("meter", "night"),), "energy.night"),
        ((("site", "roof"),), "energy.roof-yard"),
        ((("meter", "night"), ("site", "yard")), "energy.night"),
        ((("site", "roof"), ("meter", "night")), "energy.night.roof"),
        ((("site", "cellar"),), "energy"),
    ],
)
def test_attributes_choose_the_price_in_the_order_they_are_declared_in(said, rule):
    index = CatalogIndex(load())
    terms = index.catalog.plans["home"].terms["energy"]
    key = index.context_key(terms, "", RatingAttributes(named=said))
    slot = index.tariff_at(terms, key, 0)
    assert slot.rule is not None
    assert slot.rule.code == rule
    again = CatalogIndex(load())
    found = again.tariff_at(again.catalog.plans["home"].terms["energy"], key, 0)
    assert found.rule == slot.rule


@pytest.mark.rule("K-303")
def test_conditions_on_attributes_are_conditions():
    rules = load().plans["home"].terms["energy"].rules
    assert rules[1].when == (Condition("meter", ("night",)), Condition("site", ("roof",)))


@pytest.mark.rule("K-300", "K-301", "K-303")
@pytest.mark.parametrize(
    "old,new,line,column,message",
    [
        ("kWh: {decimals: 3}", "kWh: {decimals: 10}", 4, 19, "10 is out of range: 0 to 9"),
        ("  calls: {}", "  KWH: {}", 5, 3, "'KWH' cannot be told from 'kWh' in line 4"),
        ("  calls: {}", "  events: {}", 5, 3, "'events' is a unit that every catalogue has"),
        ("  calls: {}", "  calls: {}\n  idle: {}", 6, 3,
         "unit 'idle' is what nothing is counted in"),
        ("    unit: calls", "    unit: call", 13, 11,
         "'call' is no unit; did you mean 'calls'?"),
        ("    unit: calls", "    unit: calls\n    quota: {slice: 1}", 14, 5,
         "'quota' is about requests of gateways; give contexts, such as 32251@3gpp.org"),
        ("  site: any", "  apn: any", 8, 3,
         "'apn' is something that prices look at in every catalogue"),
        ("[day, night]", "[day, any]", 7, 3, "'any' stands alone: it means every value"),
        ("{meter: night}", "{meter: dusk}", 19, 28,
         "'dusk' is no value of 'meter'; known: day, night"),
        ("{site: [roof, yard]}", "{place: roof}", 21, 21, "'place' is no key that is known here"),
        ("amount: 20.5 kWh", "amount: 20 calls", 25, 34,
         "'20 calls': 'calls' is no measure of kWh (known: kWh)"),
        ("services: energy", "services: api", 25, 54,
         "service 'api' is counted in calls, this allowance in kWh"),
        ("      api: {price: 0.0000002, counted: month}", "      api: {price: 0.0000002}", 23, 12,
         "1 calls costs a fraction of 0.000001, which is lost with everything recorded; say"),
        ("          - {price: 0.25}", "          - {price: 0.0003333}", 22, 13,
         "0.001 kWh costs a fraction of 0.000001"),
        ("price: 0.0000002, counted: month}", "price: 1, quota: {slice: 2}}", 23, 23,
         "'quota' is about requests of gateways, and service 'api' has no contexts"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_at_its_place(old, new, line, column, message):
    found = problems(old, new)
    assert any(one[:2] == (line, column) and one[2].startswith(message) for one in found), found


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, Unit.OCTETS, "0 octets"),
        (999, Unit.OCTETS, "999 octets"),
        (1_000, Unit.OCTETS, "1 kB"),
        (20 * 10**9, Unit.OCTETS, "20 GB"),
        (7_300_000, Unit.OCTETS, "7.3 MB"),
        (999_999_999, Unit.OCTETS, "999.999 MB"),
        (-1_500_000_000_000, Unit.OCTETS, "-1.5 TB"),
        (59, Unit.SECONDS, "59 seconds"),
        (3_900, Unit.SECONDS, "1 h 5 min"),
        (360_061, Unit.SECONDS, "100 h 1 min 1 s"),
        (200, Unit.EVENTS, "200 events"),
        (1_500_000, Unit.MONEY, "1.50"),
        (1_500, NamedUnit("kWh", 3), "1.5 kWh"),
    ],
)
def test_people_read_quantities_in_the_measure_they_think_in(value, unit, shown):
    assert format_measure(value, unit) == shown
