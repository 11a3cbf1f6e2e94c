"""Taxes: lines of their own in the ledger, whose sum does not depend on how usage was cut."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.amounts import Unit, round_half_up
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.taxes import Tax
from ocs.errors import DocumentError
from ocs.ledger.account import Bucket, Contra
from tests.support.charging import ACCOUNT, Scenario

TEXT = """
name: Taxed
currency: EUR
taxes:
  vat: {rate: 21 %}
  net: {rate: 7.5 %, included: false}
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [100], unit: octets, tax: vat,
        quota: {slice: 1 MB, maximum: 100 MB}}
  other: {contexts: 32251@3gpp.org, rating_groups: [200], unit: octets, tax: net,
          quota: {slice: 1 MB, maximum: 100 MB}}
  sms: {contexts: 32274@3gpp.org, default: true, unit: events, tax: vat, quota: {slice: 1}}
plans:
  basic:
    services:
      web: {price: 0.07, per: 1 kB, increment: 1 kB}
      other: {price: 0.10, per: 1 kB, increment: 1 kB, setup: 0.33, maximum: 5.01}
      sms: {price: 0.07}
  exempt:
    tax: none
    services: {web: {price: 0.07, per: 1 kB, increment: 1 kB}}
  business:
    tax: net
    services: {web: {price: 0.07, per: 1 kB, increment: 1 kB}}
    recurring:
      line: {every: month, fee: 10}
  private:
    services: {web: free}
    recurring:
      line: {every: month, fee: 12.10, tax: vat}
"""
CATALOG = load_catalog(yamldoc.parse(TEXT, "taxed.yaml"))


def scenario(
    plan: str = "basic", balance: str = "10.00", buckets: tuple[Bucket, ...] = (),
    unit: Unit = Unit.OCTETS,
) -> Scenario:
    return Scenario(CATALOG, balance, plan, buckets=buckets, unit=unit)


def tax_on(plan: str, service: str) -> Tax:
    tax = CATALOG.plans[plan].terms[service].tax
    assert tax is not None
    return tax


def sums(played: Scenario) -> dict[Contra, int]:
    found: dict[Contra, int] = {}
    for line in played.store.movements(ACCOUNT):
        if line.contra in (Contra.REVENUE, Contra.TAX):
            found[Contra(line.contra)] = found.get(Contra(line.contra), 0) - line.amount
    return found


@pytest.mark.rule("K-280")
def test_the_tax_in_a_charge_is_a_line_of_its_own():
    played = scenario()
    played.play("""
        I 0  100 rsu=1000000
        T 1  100 used=10000   => 2001 | B=9.30 R=0
    """)
    assert sums(played) == {Contra.REVENUE: 578_512, Contra.TAX: 121_488}
    tax, = [line for line in played.store.movements(ACCOUNT) if line.contra == Contra.TAX]
    net, = [line for line in played.store.movements(ACCOUNT) if line.contra == Contra.REVENUE]
    assert (tax.service, tax.rule, tax.units_before, tax.units_after) == (
        net.service, net.rule, net.units_before, net.units_after
    )  # fmt: skip


@pytest.mark.rule("K-282")
def test_a_price_without_tax_gets_it_exactly_when_it_is_loaded():
    price = CATALOG.plans["basic"].terms["other"].rules[0].price
    assert Fraction(price.rate_micro, price.per) == Fraction(100_000, 1000) * Fraction(1075, 1000)
    assert (price.setup_micro, price.maximum_micro) == (354_750, 5_385_750)
    played = scenario()
    played.play("""
        I 0  200 rsu=1000000
        T 1  200 used=10000   => 2001 | B=8.57025 R=0
    """)
    assert sums(played) == {Contra.REVENUE: 1_330_000, Contra.TAX: 99_750}


@pytest.mark.rule("K-280")
def test_events_and_what_several_buckets_pay_are_taxed_alike():
    bonus = Bucket(ACCOUNT, 7, 0, "bonus", 50_000, priority=1)
    played = scenario(buckets=(bonus,), unit=Unit.EVENTS)
    played.play("E 0  - rsu=3 action=0 context=32274@3gpp.org => - ok 3 | B=9.84 R=0")
    assert sums(played) == {Contra.REVENUE: 173_554, Contra.TAX: 36_446}
    (record,) = [one.record for one in played.store.stored_records(ACCOUNT) if one.record.charged]
    assert [(line.charged_micro, line.tax_micro) for line in record.charged] == [(210_000, 36_446)]
    by_bucket: dict[bool, list[tuple[int, int]]] = {}
    for line in played.store.movements(ACCOUNT):
        if line.contra in (Contra.REVENUE, Contra.TAX):
            by_bucket.setdefault(line.bucket_id == 7, []).append((line.contra, line.amount))
    assert by_bucket == {
        True: [(Contra.REVENUE, -50_000)],
        False: [(Contra.REVENUE, -123_554), (Contra.TAX, -36_446)],
    }


@pytest.mark.rule("K-281")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=8), st.sampled_from(["100", "200"]))
def test_the_tax_of_all_reports_is_that_of_the_whole(reports, group):
    played = scenario(balance="1000.00")
    played.play(f"I 0  {group} rsu=1000000")
    for number, used in enumerate(reports, 1):
        played.play(f"U {number}  {group} used={used} rsu=1000000")
    played.play(f"T {len(reports) + 1}")
    found = sums(played)
    whole = found.get(Contra.REVENUE, 0) + found.get(Contra.TAX, 0)
    rate = Fraction(21, 121) if group == "100" else Fraction(75, 1075)
    assert found.get(Contra.TAX, 0) == round_half_up(
        whole * rate.numerator, rate.denominator
    )


@pytest.mark.rule("K-281")
@given(
    st.integers(1, 10**6), st.integers(10**6, 10**9), st.integers(0, 10**12),
    st.integers(0, 10**6),
)  # fmt: skip
def test_a_tax_is_never_more_than_its_charge(numerator, denominator, before, more):
    tax = Tax("t", numerator, denominator)
    part = tax.part_of(before + more) - tax.part_of(before)
    assert 0 <= part <= more


@pytest.mark.rule("K-283")
def test_a_plan_may_say_another_tax_or_none():
    plans = CATALOG.plans
    assert plans["exempt"].terms["web"].tax is None
    assert tax_on("business", "web").code == "net"
    for plan, fee_micro, part_micro in (
        ("business", 10_750_000, 750_000), ("private", 12_100_000, 2_100_000),
    ):  # fmt: skip
        (item,) = plans[plan].recurring
        assert item.tax is not None
        assert (item.fee_micro, item.tax.part_of(fee_micro)) == (fee_micro, part_micro)
    assert plans["private"].terms["web"].tax is None
    played = scenario("exempt")
    played.play("""
        I 0  100 rsu=1000000
        T 1  100 used=10000   => 2001 | B=9.30 R=0
    """)
    assert sums(played) == {Contra.REVENUE: 700_000}


@pytest.mark.rule("K-283")
@pytest.mark.parametrize(
    "old,new,said",
    [
        ("rate: 21 %", "rate: 21", "'21' is no rate such as 21 % or 7.5 %"),
        ("rate: 21 %", "rate: 0 %", "is not more than 0 % and at most 100 %"),
        ("rate: 21 %", "rate: 0.0000001 %", "has more than 6 decimals"),
        ("rate: 21 %", "rate: much %", "is not a decimal number"),
        ("vat: {rate: 21 %}", "vat: {}", "rate"),
        ("  vat: {", "  old: {rate: 1 %}\n  vat: {", "tax 'old' is named by no service, plan"),
        ("  vat: {", "  none: {rate: 1 %}\n  vat: {", "'none' cannot be the code of a tax"),
        ("tax: vat,\n        quota", "tax: var,\n        quota", "'var' is no tax of this"),
        ("tax: none", "tax: non", "'non' is no tax of this catalogue"),
    ],
)
def test_a_mistake_about_a_tax_is_told(old, new, said):
    assert old in TEXT
    with pytest.raises(DocumentError, match=said.replace("(", r"\(")):
        load_catalog(yamldoc.parse(TEXT.replace(old, new, 1), "taxed.yaml"))


def test_a_rate_is_written_as_it_was_given():
    taxes = [tax_on("basic", name) for name in ("web", "other")]
    assert [tax.text() for tax in taxes] == ["vat 21 %", "net 7.5 %"]
    assert replace(taxes[0], numerator=1, denominator=300).text() == "vat 0.333333 %"
