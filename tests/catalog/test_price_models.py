"""Price models in a catalogue file: what they become, and each mistake with its place."""

import pytest

from ocs import yamldoc
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.model import Price, Tier
from ocs.errors import DocumentError

BASE = """\
name: Test
currency: EUR
time_zone: Europe/Madrid
time_bands:
  peak: {days: mon-fri, from: 08:00, to: 20:00}
pools:
  shared: {number: 1, unit: 0.0000001}
services:
  web:
    contexts: [32251@3gpp.org]
    rating_groups: [100]
    unit: octets
    quota: {slice: 10 MB}
  call:
    contexts: [32260@3gpp.org]
    rating_groups: [100]
    unit: seconds
    quota: {slice: 60 s, maximum: 10 min}
  sms:
    contexts: [32274@3gpp.org]
    rating_groups: [100]
    unit: events
    quota: {slice: 5, maximum: 10}
plans:
  basic:
    services:
      web: WEB
      call: CALL
      sms: SMS
"""
PLAIN = {
    "web": "{price: 0.05, per: 1 MB, increment: 1 MB}",
    "call": "{prices: [{price: 1, per: 60, increment: 1}, "
    "{time_band: peak, price: 2, per: 60, increment: 1}]}",
    "sms": "{price: 0.07}",
}
MB = 1_000_000


def text_of(prices, pooled=False):
    text = BASE
    if pooled:
        text = text.replace("    unit: octets", "    unit: octets\n    pool: shared", 1)
    for service, price in (PLAIN | prices).items():
        text = text.replace(service.upper(), price)
    return text


def price_of(service, text):
    whole = text_of({service: text})
    if service == "call":
        whole = whole.replace("time_bands:\n  peak: {days: mon-fri, from: 08:00, to: 20:00}\n", "")
    catalog = load_catalog(yamldoc.parse(whole, "test.yaml"))
    (rule,) = catalog.plans["basic"].terms[service].rules
    return rule.price


def problems(prices, pooled=False):
    with pytest.raises(DocumentError) as refusal:
        load_catalog(yamldoc.parse(text_of(prices, pooled), "test.yaml"))
    return [(one.line, one.column, one.message) for one in refusal.value.problems]


@pytest.mark.rule("K-001", "K-002", "K-003", "K-004", "K-006", "K-008")
@pytest.mark.parametrize(
    "service,text,expected",
    [
        ("web", "{price: 2, package: 10 MB}", Price(2_000_000, 10 * MB, 10 * MB)),
        ("sms", "{price: 2, package: 5, maximum: 7}",
         Price(2_000_000, 5, 5, maximum_micro=7_000_000)),
        ("sms", "{flat: 0.30}", Price(0, setup_micro=300_000)),
        ("call", "{flat: 1}", Price(0, setup_micro=1_000_000)),
        (
            "web",
            ("{stepped: [{up_to: 5 MB, price: 0.05}, {price: 0.0000003, flat: 1}], per: 1 MB, "
            "increment: 1 kB, minimum: 1 MB, setup: 0.1}"),
            Price(
                50_000, MB, 1_000, MB, 100_000,
                (Tier(5 * MB, 50_000, MB), Tier(0, 3, 10 * MB, 1_000_000)),
            ),
        ),
        (
            "call",
            "{volume: [{up_to: 1 h, price: 0.06}, {price: 0}], per: 1 min, increment: 1}",
            Price(60_000, 60, tiers=(Tier(3600, 60_000, 60), Tier(0, 0, 60)), volume=True),
        ),
        (
            "sms",
            "{stepped: [{up_to: 10, price: 0.1}, {price: 0.04}]}",
            Price(100_000, tiers=(Tier(10, 100_000), Tier(0, 40_000))),
        ),
    ],
)
def test_every_model_means_a_price(service, text, expected):
    assert price_of(service, text) == expected


@pytest.mark.rule("K-001")
@pytest.mark.parametrize(
    "service,text,place,words",
    [
        ("sms", "{price: 1, flat: 2}", (29, 23), "'flat' does not go with 'price'"),
        ("sms", "{per: 1}", (29, 12), "give exactly one of"),
        ("sms", "{prices: [{per: 1}]}", (29, 22), "'price' is missing; give what it costs"),
        ("sms", "{flat: 2, per: 1}", (29, 22), "does not go with 'flat'"),
        ("web", "{price: 2, package: 1 MB, per: 1 MB}", (27, 38), "does not go with 'package'"),
        ("sms", "{stepped: [{price: 1}]}", (29, 13), "two tiers or more"),
        ("sms", "{stepped: [{price: 1}, {price: 2}]}", (29, 23), "'up_to' is missing"),
        ("sms", "{stepped: [{up_to: 3, price: 1}, {up_to: 4, price: 2}]}", (29, 46),
         "the last tier has no end"),
        ("sms", "{volume: [{up_to: 3, price: 1}, {up_to: 3, price: 1}, {price: 2}]}", (29, 45),
         "not after the one before it"),
        ("sms", "{stepped: [{up_to: 3, price: 1, per: 2}, {price: 2}]}", (29, 44), "'per' is"),
        ("sms", "{volume: [{up_to: 3, price: 1}, {price: 2}], minimum: 4}", (29, 22),
         "nothing is ever billed in this tier"),
        ("web", ("{volume: [{up_to: 5 MB, price: 1}, {up_to: 5.5 MB, price: 2}, {price: 3}], "
         "per: 1 MB, increment: 1 MB}"), (27, 47), "nothing is ever billed in this tier"),
        ("sms", "{price: 1, setup: 2, maximum: 1.50}", (29, 33), "less than the setup fee of 2"),
        ("sms", "{stepped: [{up_to: 1, price: 0.0000000000000000001}, {price: 1}]}", (29, 41),
         "decimals"),
        ("sms", "{prices: [{price: 1}], maximum: 1}", (29, 35), "belongs to each of the prices"),
        ("sms", "{stepped: 5, volume: [{price: 1}]}", (29, 22), "is a list of groups"),
    ],
)
def test_every_mistake_has_its_place(service, text, place, words):
    found = problems({service: text})
    assert any((line, column) == place and words in message for line, column, message in found), (
        found
    )


@pytest.mark.rule("K-005")
@pytest.mark.parametrize("more", ["maximum: 5", ""])
def test_seconds_in_time_bands_take_no_tiers(more):
    price = (
        f"price: 1, {more}" if more else "stepped: [{up_to: 60, price: 1}, {price: 2}]"
    ) + ", per: 60, increment: 1"
    listed = f"[{{{price}}}, {{time_band: peak, price: 2, per: 60, increment: 1}}]"
    (problem,) = problems({"call": f"{{prices: {listed}}}"})
    assert problem[:2] == (28, 23)
    assert "no price sees all of its seconds" in problem[2]


@pytest.mark.rule("K-001", "C-064")
def test_a_pool_takes_no_tiers():
    tiers = "{stepped: [{up_to: 5 MB, price: 1}, {price: 2}], per: 1 MB, increment: 1 MB}"
    (problem,) = problems({"web": tiers}, pooled=True)
    assert "without tiers, maximum or counted" in problem[2]


def test_more_tiers_than_anyone_needs():
    tiers = ", ".join(f"{{up_to: {number}, price: 1}}" for number in range(1, 51))
    (problem,) = problems({"sms": f"{{stepped: [{tiers}, {{price: 1}}]}}"})
    assert "more than 50 tiers" in problem[2]
