"""Counted prices and limits in catalogue files: what is refused, and where."""

import pytest

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.model import Catalog, Period
from ocs.errors import DocumentError
from ocs.provisioning.catalogues.catalog_diff import differences

HEAD = """
name: Counts
currency: EUR
time_zone: Europe/Madrid
time_bands: {night: {from: 22:00, to: 06:00}}
units: {kwh: {decimals: 3}}
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {slice: 1 MB}}
  call: {contexts: 32260@3gpp.org, default: true, unit: seconds, quota: {slice: 60}}
  power: {unit: kwh}
plans:
  basic:
"""
SERVICES = """
    services:
      web: WEB
      call: CALL
      power: {price: 0.20}
"""
WEB = "{price: 0.01, per: 1 MB, increment: 1 MB}"
DAYTIME = "{price: 0.10, per: 60, increment: 1}"
CALL = f"[{DAYTIME}, {{time_band: night, price: 0.05, per: 60, increment: 1}}]"
COUNTED_CALL = CALL.replace("increment: 1}", "increment: 1, counted: day}", 1)


def text(limits: str = "", web: str = WEB, call: str = f"{{prices: {CALL}}}") -> str:
    services = SERVICES.replace("WEB", web).replace("CALL", call)
    return HEAD + (f"    limits: {limits}" if limits else "    name: Basic") + services


def load(**parts: str) -> Catalog:
    return load_catalog(yamldoc.parse(text(**parts), "counts.yaml"))


def problems(**parts: str) -> list[tuple[str, str]]:
    """What stands where each mistake is, and what is said of it."""
    with pytest.raises(DocumentError) as caught:
        load(**parts)
    lines = text(**parts).splitlines()
    return [(lines[one.line - 1][one.column - 1 :], one.message) for one in caught.value.problems]


@pytest.mark.rule("K-200")
@pytest.mark.parametrize(
    ("more", "period", "by_member"),
    [
        ("", Period.SESSION, False), (", counted: session", Period.SESSION, False),
        (", counted: day", Period.DAY, False), (", counted: week", Period.WEEK, False),
        (", counted: month, counted_for: member", Period.MONTH, True),
    ],
)
def test_what_a_price_counts_over(more, period, by_member):
    terms = load(web=f"{{price: 1, package: 1 MB{more}}}").plans["basic"].terms["web"]
    price = terms.rules[0].price
    assert (price.counted, price.by_member, terms.counted) == (period, by_member, bool(period))


@pytest.mark.rule("K-200")
@pytest.mark.parametrize(
    ("parts", "place", "words"),
    [
        ({"web": "{flat: 1, counted: year}"}, "year}", "'year' is no counted"),
        ({"web": "{flat: 1, counted_for: member}"}, "counted_for:", "'counted_for' goes with"),
        ({"web": "{flat: 1, counted: day, counted_for: all}"}, "all}", "no counted for"),
        (
            {"call": f"{{prices: {COUNTED_CALL}}}"},
            "{price: 0.10", "'counted' does not go with time bands for seconds",
        ),
    ],
)
def test_counts_that_cannot_be(parts, place, words):
    (problem,) = problems(**parts)
    assert problem[0].startswith(place)
    assert words in problem[1]


SLOW = (
    "{prices: [{price: 1, package: 1 MB}, {when: {limit: fair}, price: 0, package: 1 MB}]}"
)


@pytest.mark.rule("K-207", "K-208")
def test_limits_are_read():
    limits = """
      fair: {unit: octets, amount: 1 GB, every: month, services: web, then: price}
      spend: {unit: money, amount: 10, every: week, for: member}
      power: {unit: kwh, amount: 1.5, every: day}
"""
    plan = load(limits=limits, web=SLOW).plans["basic"]
    fair, spend, power = plan.limits
    assert (fair.amount, fair.services, fair.changes_price) == (10**9, ("web",), True)
    assert (spend.unit, spend.amount, spend.by_member) == (Unit.MONEY, 10_000_000, True)
    assert (power.unit, power.measure, power.amount) == (Unit.EVENTS, "kwh/3", 1500)
    assert plan.terms["web"].limited
    assert not plan.terms["call"].limited


@pytest.mark.rule("K-207", "K-208")
@pytest.mark.parametrize(
    ("limits", "place", "words"),
    [
        ("{a: {unit: octets, amount: 0, every: day}}", "0, every", "not more than zero"),
        ("{a: {unit: octets, amount: 1 GB}}", "a: {", "'every' is missing"),
        ("{a: {unit: litres, amount: 1, every: day}}", "litres", "'litres' is no unit"),
        ("{a: {unit: octets, amount: 1 GB, every: hour}}", "hour}", "'hour' is no every"),
        ("{a: {unit: octets, amount: 1 GB, every: day, services: call}}", "call}}",
         "service 'call' is counted in seconds, this limit in octets"),
        ("{a: {unit: octets, amount: 1 GB, every: day, services: none}}", "none}}",
         "no service of this catalogue"),
        ("{a: {unit: events, amount: 1, every: day}}", "a: {", "counted in events"),
        ("{a: {unit: money, amount: 1, every: day, then: price}}", "price}}", "only limits"),
        ("{a: {unit: octets, amount: 1 GB, every: day, then: price}}", "a: {",
         "no price holds when limit 'a' is reached"),
        ("{a: {unit: octets, amount: 1 GB, every: day, size: 3}}", "size: 3", "size"),
        ("{a: 5}", "5}", "needs a group"),
    ],
)
def test_limits_that_cannot_be(limits, place, words):
    found = problems(limits=limits)
    assert any(where.startswith(place) and words in said for where, said in found), found


@pytest.mark.rule("K-208")
def test_a_price_names_a_limit_of_its_plan():
    found = problems(web=SLOW)
    assert any(
        where.startswith("fair}") and "'fair' is no limit of this catalogue" in said
        for where, said in found
    )


def test_differences_in_words():
    limits = "{a: {unit: octets, amount: 1 GB, every: day, services: web}}"
    old, new = load(limits=limits), load(limits=limits.replace("day", "week"))
    assert [(one.path, one.before, one.after) for one in differences(old, new)] == [
        (("plans", "basic", "limits", "a", "every"), "day", "week")
    ]
    added = [one for one in differences(load(), old) if one.kind == "added"]
    assert [one.path for one in added] == [("plans", "basic", "limits", "a")]
    (changed,) = differences(load(), load(web=WEB.replace("}", ", counted: month}")))
    assert changed.after.endswith("counted over a month")
