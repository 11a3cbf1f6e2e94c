"""Credit pools and services granted together: what a file may say, and exact multipliers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.amounts import INT64_MAX, Unit
from ocs.catalog.filter_rules import Endpoint, FilterRule, parse_filter_rule
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.model import FinalUnitAction, Pool, Price
from ocs.catalog.pools import exact_decimal, multiplier
from ocs.errors import DocumentError

BASE = """\
name: Test
currency: EUR
pools:
  shared: {number: 7, unit: 0.0000001}
services:
  web:
    contexts: [32251@3gpp.org]
    rating_groups: [100]
    unit: octets
    together_with: web-time
    pool: shared
    quota: {slice: 10 MB}
  web-time:
    contexts: [32251@3gpp.org]
    unit: seconds
    quota: {slice: 10 min}
plans:
  basic:
    final_unit: {action: restrict, qos: true, filter_rules: permit out ip from any to assigned}
    services:
      web: {price: 1.00, per: 1 MB, increment: 1 MB}
      web-time: {price: 0.12, per: 1 min, increment: 1 s}
"""


def load(text):
    return load_catalog(yamldoc.parse(text, "test.yaml"))


def test_what_the_file_says():
    catalog = load(BASE)
    assert catalog.pools == {"shared": Pool("shared", 7, 1, 10)}
    assert catalog.services["web"].pool == "shared"
    assert catalog.services["web"].together_with == "web-time"
    other = catalog.services["web-time"]
    assert (other.unit, other.rating_groups, other.pool) == (Unit.SECONDS, frozenset(), "")
    final = catalog.plans["basic"].final_unit
    assert (final.action, final.qos) == (FinalUnitAction.RESTRICT_ACCESS, True)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("number: 7, ", "", "'number' is missing"),
        ("number: 7", "number: 0", "out of range"),
        ("unit: 0.0000001", "unit: 0", "worth more than nothing"),
        ("unit: 0.0000001", "unit: -1", "negative"),
        ("  shared: {", "  other: {number: 7, unit: 1}\n  shared: {", "in line 4 already"),
        ("shared: {number: 7, unit: 0.0000001}", "shared: 7", "needs a group of keys"),
        ("unit: 0.0000001}", "unit: 0.0000001, more: 1}", "no key"),
        ("pool: shared", "pool: shard", "did you mean 'shared'"),
        ("together_with: web-time", "together_with: web-tim", "did you mean 'web-time'"),
        ("together_with: web-time", "together_with: web", "counted in octets too"),
        ("    unit: seconds", "    unit: seconds\n    together_with: web", "itself granted"),
        ("    contexts: [32251@3gpp.org]\n    unit", "    contexts: [1@x.y]\n    unit", "contexts"),
        ("    together_with: web-time\n", "", "no request means this service"),
        ("web: {price: 1.00", "web: {price: 0", "no exact decimal"),
        ("web: {price: 1.00, per: 1 MB", "web: {price: 1.00, per: 3 MB", "no exact decimal"),
        ("action: restrict", "action: terminate", "qos is not for"),
        ("permit out ip from any to assigned", "permit out ip from any to x", "no address"),
        ("to assigned}", "to assigned established}", "all that QoS can say"),
    ],
)
def test_mistakes(old, new, words):
    assert old in BASE
    with pytest.raises(DocumentError, match=words):
        load(BASE.replace(old, new))


@pytest.mark.rule("G16", "T250")
def test_multipliers_of_the_golden_pool():
    pool = Pool("shared", 1, 1, 10)
    assert multiplier(pool, Price(1_000_000, per=1_000_000)) == (10, 0)
    assert multiplier(pool, Price(500_000, per=1_000_000)) == (5, 0)
    assert multiplier(pool, Price(100_000, per=1 << 20)) == (95367431640625, -14)
    assert multiplier(pool, Price(1, per=3)) is None
    assert multiplier(pool, Price(0)) is None


@given(st.integers(1, 10**17), st.integers(1, 10**12))
def test_decimals_are_exact_or_none(numerator, denominator):
    found = exact_decimal(numerator, denominator)
    if found is None:
        rest = Fraction(numerator, denominator).denominator
        while rest % 2 == 0:
            rest //= 2
        while rest % 5 == 0:
            rest //= 5
        whole = rest == 1
        assert not whole or Fraction(numerator, denominator) * 10**18 > INT64_MAX or (
            (Fraction(numerator, denominator) * 10**18).denominator != 1
        )
    else:
        digits, exponent = found
        assert Fraction(digits) * Fraction(10) ** exponent == Fraction(numerator, denominator)
        assert -18 <= exponent <= 0
        assert 0 < digits <= INT64_MAX


def test_filter_rules():
    assert parse_filter_rule("permit out ip from 192.0.2.80 to assigned") == FilterRule(
        True, False, None, Endpoint("192.0.2.80", 32), Endpoint(assigned=True)
    )
    assert parse_filter_rule("deny in 17 from !assigned 53,1000-2000 to 2001:DB8::1/32") == (
        FilterRule(
            False, True, 17, Endpoint(assigned=True, negated=True, ports=((53, 53), (1000, 2000))),
            Endpoint("2001:db8::", 32),
        )
    )
    for text in (
        "permit out 256 from any to any", "permit out ip from any 0-65536 to any",
        "permit out ip from any 9-3 to any", "permit out ip from any - to any", "allow",
    ):
        with pytest.raises(ValueError, match=r"port|protocol|form"):
            parse_filter_rule(text)
