"""Other currencies of a file, and plans that take them: read, or refused at their place."""

from __future__ import annotations

import pytest

from ocs import yamldoc
from ocs.catalog.exchange import Exchange, Rate, purse_currency, purse_unit, rate_of
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.loading.exchange import MAX_CURRENCIES
from ocs.catalog.matching import CatalogIndex
from ocs.currencies import NUMERIC_BY_CODE
from ocs.errors import DocumentError
from ocs.provisioning.catalogues.catalog_diff import differences

TEXT = """\
name: Exchange
currency: EUR
HEAD
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {slice: 1 MB}}
plans:
  basic:
    services:
      web: {price: 0.01, per: 1 MB, increment: 1 MB}
    BODY
"""
AT_TOP_UP = "exchange: at-top-up"


def load(head: str, body: str = AT_TOP_UP):
    text = TEXT.replace("HEAD", head).replace("BODY", body)
    return load_catalog(yamldoc.parse(text, "exchange.yaml"))


def refused(head: str, body: str = AT_TOP_UP) -> list[str]:
    with pytest.raises(DocumentError) as raised:
        load(head, body)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.rule("K-323", "K-324")
def test_rates_are_exact() -> None:
    catalog = load("currencies: {USD: 0.92170, JPY: '0.006172840001', KWD: 3, IDR: 1_000_000_000}")
    assert catalog.currencies == {
        "USD": Rate("USD", 92_170, 100_000),
        "JPY": Rate("JPY", 6_172_840_001, 10**12),
        "KWD": Rate("KWD", 3, 1),
        "IDR": Rate("IDR", 10**9, 1),
    }
    assert catalog.plans["basic"].exchange is Exchange.AT_TOP_UP
    texts = [rate.text() for rate in catalog.currencies.values()]
    assert texts == ["0.9217", "0.006172840001", "3", "1000000000"]
    assert rate_of("USD 0.9217").exchanged(10**9) == 921_700_000


@pytest.mark.rule("K-323")
def test_without_a_word_nothing_is_exchanged() -> None:
    catalog = load("time_zone: UTC", "name: Basic")
    assert catalog.currencies == {}
    assert catalog.plans["basic"].exchange is Exchange.NEVER


@pytest.mark.rule("K-329")
def test_a_plan_may_keep_money_until_it_is_needed() -> None:
    catalog = load("currencies: {USD: 0.92}", "exchange: when-needed")
    assert catalog.plans["basic"].exchange is Exchange.WHEN_NEEDED
    assert CatalogIndex(catalog).keeps_purses
    before = load("currencies: {USD: 0.92}")
    assert not CatalogIndex(before).keeps_purses
    changes = [(one.path, one.before, one.after) for one in differences(before, catalog)]
    assert changes == [(("plans", "basic", "exchange"), "at-top-up", "when-needed")]


@pytest.mark.rule("K-329")
def test_no_unit_is_paid_out_of_a_purse() -> None:
    words = "'USD' is a currency, and would be paid from money in it"
    for decimals, is_refused in ((6, True), (2, False)):
        problems = refused(f"units: {{USD: {{decimals: {decimals}}}}}", "name: Basic")
        assert any(words in one for one in problems) == is_refused


@pytest.mark.rule("K-328")
@pytest.mark.parametrize(
    "head,body,problem",
    [
        ("currencies: {USB: 2}", AT_TOP_UP, "3:14: 'USB' is no currency of ISO 4217"),
        ("currencies: {usd: 2}", AT_TOP_UP, "3:14: 'usd' is no currency of ISO 4217"),
        ("currencies: {EUR: 1}", AT_TOP_UP, "3:14: EUR is the currency of all amounts"),
        ("currencies: {USD: 0}", AT_TOP_UP, "3:19: '0' is no rate above 0 and up to 1000000000"),
        ("currencies: {USD: -1}", AT_TOP_UP, "3:19: '-1' is no rate above 0"),
        ("currencies: {USD: 1000000000.1}", AT_TOP_UP, "3:19: '1000000000.1' is no rate above 0"),
        ("currencies: {USD: much}", AT_TOP_UP, "3:19: 'much' is not a decimal number"),
        ("currencies: {USD: 0.0000000000001}", AT_TOP_UP, "3:19: '0.0000000000001' has more than"),
        ("currencies: {USD: {rate: 2}}", AT_TOP_UP, "3:19: currency 'USD' needs a rate"),
        ("currencies: {USD: 2}", "name: Basic", "3:1: no plan takes them: say exchange"),
        ("time_zone: UTC", AT_TOP_UP, "10:15: there is nothing to exchange: give currencies"),
        ("currencies: {USD: 2}", "exchange: always", "10:15: 'always' is no exchange"),
        ("units: {USD: {decimals: 6}}\ncurrencies: {USD: 2}", AT_TOP_UP,
         "4:14: 'USD' is a unit of this catalogue too"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_at_its_place(head, body, problem) -> None:
    assert any(one.startswith(f"exchange.yaml:{problem}") for one in refused(head, body))


@pytest.mark.rule("K-328")
def test_there_are_not_too_many() -> None:
    codes = [code for code in NUMERIC_BY_CODE if code != "EUR"][: MAX_CURRENCIES + 1]
    head = "currencies: {" + ", ".join(f"{code}: 2" for code in codes) + "}"
    assert any("more than 50 currencies" in one for one in refused(head))


@pytest.mark.rule("K-323")
def test_a_difference_says_the_rates() -> None:
    old, new = load("currencies: {USD: 0.920, JPY: 2}"), load("currencies: {USD: 0.92, KWD: 3.10}")
    changes = [(one.path, one.kind, one.before, one.after) for one in differences(old, new)]
    assert changes == [
        (("currencies", "JPY"), "removed", "2", ""),
        (("currencies", "KWD"), "added", "", "3.1"),
    ]
    none = load("time_zone: UTC", "name: basic")
    changes = [(one.path, one.kind, one.before, one.after) for one in differences(none, new)]
    assert (("plans", "basic", "exchange"), "changed", "never", "at-top-up") in changes


@pytest.mark.rule("K-323")
def test_a_purse_is_known_by_its_measure() -> None:
    assert purse_currency(purse_unit("USD").measure) == "USD"
    for measure in ("", "USD", "USD/3", "kWh/6", "octets/6"):
        assert purse_currency(measure) == ""
