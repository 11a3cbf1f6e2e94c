"""Catalogue files: what they mean, and each mistake with its place."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import black_box_catalogue_path, sample_catalogue_path
from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading import document as loader
from ocs.catalog.loading import number_plans
from ocs.catalog.loading import prices as loader_prices
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import (
    BandSpan,
    ChargeMode,
    FinalUnitAction,
    FinalUnitPolicy,
    Price,
    PriceRule,
    QuotaPolicy,
)
from ocs.errors import DocumentError

BASE = """\
name: Test
currency: EUR
time_zone: Europe/Madrid
time_bands:
  peak: {days: mon-fri, from: 08:00, to: 20:00}
destinations:
  spain: [34, 35]
services:
  web:
    contexts: [32251@3gpp.org]
    rating_groups: [100]
    unit: octets
    quota: {slice: 10 MB}
  call:
    contexts: [32260@3gpp.org]
    default: true
    unit: seconds
    destination_rated: true
    quota: {slice: 60 s, maximum: 10 min}
plans:
  basic:
    services:
      web: {price: 0.05, per: 1 MB, increment: 1 MB}
      call:
        prices:
          - {destination: spain, price: 0.10, per: 1 min, increment: 1 s}
          - {time_band: peak, price: 0.30, per: 1 min, increment: 1 s}
          - {price: 0.20, per: 1 min, increment: 1 s}
    allowances:
      data: {unit: octets, amount: 1 GB}
"""


def load(text):
    return load_catalog(yamldoc.parse(text, "test.yaml"))


def mistakes(text):
    with pytest.raises(DocumentError) as refusal:
        load(text)
    return refusal.value.problems


MISTAKES = [
    ("name: Test\n", "", 1, 1, "'name' is missing"),
    ("currency: EUR", "currency: EURO", 2, 11, "did you mean 'EUR'?"),
    ("currency: EUR", "curency: EUR", 2, 1, "'curency' is no key that is known here"),
    ("Europe/Madrid", "Europe/Madird", 3, 12, "no time zone such as"),
    ("Europe/Madrid", "../../etc/passwd", 3, 12, "no time zone such as"),
    ("Europe/Madrid", "Europe", 3, 12, "no time zone such as"),
    ("time_zone: Europe/Madrid\n", "", 1, 1, "'time_zone' is missing"),
    ("mon-fri", "mon-fir", 5, 16, "no calendar under holidays; did you mean 'fri'?"),
    ("from: 08:00", "from: 8:00", 5, 31, "no time of day from 00:00 to 24:00"),
    ("from: 08:00", "from: 24:00", 5, 9, "'from' is the end of the day"),
    ("from: 08:00", "from: 20:00", 5, 9, "'from' and 'to' are the same"),
    ("to: 20:00", "till: 20:00", 5, 38, "'till' is no key that is known here"),
    ("{days: mon-fri, from: 08:00, to: 20:00}", "[]", 5, 3, "time band 'peak' has no times"),
    (
        "destinations:",
        "  late: {days: tue, from: 09:00, to: 10:00}\ndestinations:",
        6,
        3,
        "time band 'late' never holds",
    ),
    ("  peak: {", "  Peak: {", 5, 3, "cannot be the code of a time band"),
    ("[34, 35]", "[34, 3x]", 7, 15, "no prefix of 1 to 15 digits"),
    ("[34, 35]", "[34, +34]", 7, 15, "the prefix 34 is given twice; the first is in line 7"),
    ("[34, 35]", "[]", 7, 3, "destination 'spain' has no prefixes"),
    ("[34, 35]\n", "[34]\n  moon: [99]\n", 8, 3, "destination 'moon' is used by no price"),
    ("[34, 35]\n", "[34]\n  moon: [34]\n", 8, 10, "the prefix 34 is given twice"),
    ("32251@3gpp.org", "32251", 10, 16, "no context such as"),
    ("[32251@3gpp.org]", "[32251@3gpp.org, 8.32251@3GPP.org]", 10, 32, "given twice"),
    ("    contexts: [32251@3gpp.org]\n", "", 10, 5, "'rating_groups' is about requests of"),
    ("    rating_groups: [100]\n", "", 9, 3, "no request means this service"),
    ("[100]", "[100, 4294967296]", 11, 26, "out of range"),
    ("[100]", "[100, 0x64]", 11, 26, "not a whole number"),
    ("[100]", "['100']", 11, 21, "'100' in quotes is not a whole number"),
    ("[100]", "[100, 100]", 11, 26, "rating group 100 is given twice"),
    ("unit: octets\n", "unit: bytes\n", 12, 11, "'bytes' is no unit"),
    ("    unit: octets\n", "", 9, 3, "'unit' is missing"),
    ("    quota: {slice: 10 MB}\n", "", 9, 3, "'quota' is missing"),
    ("{slice: 10 MB}", "{slice: 10 min}", 13, 20, "'min' is no measure of octets"),
    ("{slice: 10 MB}", "{slice: 0}", 13, 20, "too small"),
    ("{slice: 10 MB}", "{maximum: 10 MB}", 13, 5, "'slice' is missing"),
    ("{slice: 10 MB}", "{slice: 10 MB, maximum: 5 MB}", 13, 20, "more than maximum"),
    ("{slice: 10 MB}", "{slice: 10 MB, minimum_useful: 11 MB}", 13, 43, "more than slice"),
    ("{slice: 10 MB}", "{slice: 10 MB, threshold: 100 %}", 13, 38, "no percentage"),
    ("{slice: 10 MB}", "{slice: 10 MB, validity: 0}", 13, 37, "too small"),
    ("{slice: 10 MB}", "{slice: 10 MB, validity: 99 d}", 13, 37, "too long"),
    ("{slice: 10 MB}", "{slice: 10 MB, short_validity: 2 h}", 13, 43, "more than validity"),
    ("[32260@3gpp.org]", "[32251@3gpp.org]\n    rating_groups: [100]", 16, 21, "'web' already"),
    ("default: true", "default: yes", 16, 14, "neither true nor false"),
    ("    destination_rated: true\n", "", 25, 14, "is not rated by destination"),
    (
        "          - {destination: spain, price: 0.10, per: 1 min, increment: 1 s}\n",
        "",
        18,
        24,
        "no price of service 'call' names a destination",
    ),
    ("plans:", "plan:", 20, 1, "did you mean 'plans'?"),
    ("  basic:", "  Basic:", 21, 3, "cannot be the code of a plan"),
    ("      web: {price", "      wbe: {price", 23, 7, "did you mean 'web'?"),
    ("web: {price: 0.05, per: 1 MB, increment: 1 MB}", "web: gratis", 23, 12, "is no charge"),
    ("price: 0.05", "price: 0,05", 23, 22, "'05' is no key that is known here"),
    ("price: 0.05", "price: -0.05", 23, 20, "negative"),
    ("price: 0.05", "price: five", 23, 20, "is not a decimal number"),
    ("price: 0.05", "price: 1e3", 23, 20, "is not a decimal number"),
    ("price: 0.05", "price: 200000000000", 23, 20, "too large"),
    ("price: 0.05", "price: 0.0000000000000000001", 23, 20, "more than 18 decimals"),
    ("price: 0.05", "price: 90000000000", 23, 12, "would cost more than the largest amount"),
    ("0.05, per: 1 MB, ", "0.05, ", 23, 7, "'per' is missing"),
    ("0.05, per: 1 MB, increment: 1 MB", "0.05, per: 1 MB", 23, 7, "'increment' is missing"),
    ("per: 1 MB, increment: 1 MB", "per: 0, increment: 1 MB", 23, 31, "too small"),
    ("increment: 1 MB", "increment: 11 MB", 23, 12, "larger than the slice"),
    ("price: 0.05", "charge: free, price: 0.05", 23, 12, "give exactly one of price, flat,"),
    ("price: 0.05", "setup: -1, price: 0.05", 23, 20, "negative"),
    ("destination: spain", "destination: spian", 26, 27, "did you mean 'spain'?"),
    ("time_band: peak", "time_band: weekend", 27, 25, "no time band of this catalogue"),
    (
        "          - {price: 0.20, per: 1 min, increment: 1 s}\n",
        "",
        25,
        9,
        "no price for all other destinations when no time band holds",
    ),
    (
        "{price: 0.20,",
        "{time_band: peak, price: 0.20,",
        28,
        13,
        "the same code as the one in line 27",
    ),
    (
        "{price: 0.20,",
        "{code: other, time_band: peak, price: 0.20,",
        27,
        13,
        "this price never holds",
    ),
    ("{price: 0.20,", "{code: Bad Code, price: 0.20,", 28, 20, "cannot be the code of a price"),
    ("        prices:\n", "        per: 1 min\n        prices:\n", 25, 9, "each of the prices"),
    ("amount: 1 GB", "amount: 0", 30, 36, "too small"),
    ("amount: 1 GB", "amount: 1 GB, services: [call]", 30, 53, "is counted in seconds"),
    ("amount: 1 GB", "amount: 1 GB, services: [sms]", 30, 53, "no service of this catalogue"),
    ("amount: 1 GB", "amount: 1 GB, priority: 1001", 30, 52, "out of range: 0 to 1000"),
    ("octets, amount: 1 GB", "events, amount: 9", 30, 7, "no service with a price in plan"),
    ("octets, amount: 1 GB", "money, amount: -5", 30, 35, "not more than zero"),
    ("    allowances:\n", "    low_balance: x\n    allowances:\n", 29, 18, "not a decimal number"),
    ("    allowances:\n", "    credit_limit: -1\n    allowances:\n", 29, 19, "negative"),
    (
        "    allowances:\n",
        "    final_unit: redirect\n    allowances:\n",
        29,
        17,
        "needs an address",
    ),
    ("    allowances:\n", "    final_unit: stop\n    allowances:\n", 29, 17, "'stop' is no action"),
]


@pytest.mark.parametrize("old,new,line,column,words", MISTAKES)
def test_mistake_is_named_at_its_place(old, new, line, column, words):
    assert BASE.count(old) >= 1
    problems = mistakes(BASE.replace(old, new, 1))
    found = [(problem.line, problem.column, problem.message) for problem in problems]
    assert any(entry[:2] == (line, column) and words in entry[2] for entry in found), found
    assert all(problem.source == "test.yaml" for problem in problems)


FINAL_UNITS = [
    ("{action: redirect, ipv4: 192.0.2.300}", "no IPv4 address"),
    ("{action: redirect, ipv6: '2001:db8::x'}", "no IPv6 address"),
    ("{action: redirect, url: 'ftp://x'}", "no URL such as"),
    ("{action: redirect, url: 'http://'}", "no URL such as"),
    ("{action: redirect, url: 'http://a:99999/'}", "no URL such as"),
    ("{action: redirect, sip: topup}", "no SIP URI"),
    ("{action: redirect}", "exactly one of"),
    ("{action: redirect, ipv4: 192.0.2.1, url: 'http://x/'}", "exactly one of"),
    ("{action: terminate, url: 'http://x/'}", "only for the action redirect"),
    ("{action: terminate, filter_ids: [x]}", "not for the action terminate"),
    ("{action: restrict, zero_grant: true}", "only for the action terminate"),
    ("{action: restrict, filter_rules: [allow all]}", "no filter rule such as"),
    ("{url: 'http://x/'}", "'action' is missing"),
    ("[terminate]", "needed"),
]


@pytest.mark.parametrize("value,words", FINAL_UNITS)
def test_mistake_in_a_final_unit_action(value, words):
    text = BASE.replace("    allowances:\n", f"    final_unit: {value}\n    allowances:\n")
    problems = mistakes(text)
    assert any(words in problem.message and problem.line == 29 for problem in problems), problems


def test_base_of_the_table_is_without_mistakes():
    catalog = load(BASE)
    assert catalog.source == BASE
    assert catalog.version == 0
    assert list(catalog.services) == ["web", "call"]
    assert catalog.zones == {"spain": ("34", "35")}
    assert catalog.bands[0].spans == (BandSpan(frozenset(range(5)), 480, 1200),)
    call = catalog.plans["basic"].terms["call"]
    assert [(rule.code, rule.zone, rule.band) for rule in call.rules] == [
        ("call.spain", "spain", ""),
        ("call.peak", "", "peak"),
        ("call", "", ""),
    ]
    assert catalog.services["web"].quota == QuotaPolicy(slice=10_000_000, maximum=10_000_000)


def test_all_mistakes_are_listed_at_once():
    text = BASE
    changes = {1: "name:", 2: "currency: E", 7: "  spain: [x]", 13: "    quota: {slice: 1 h}"}
    lines = text.split("\n")
    for line, replacement in changes.items():
        lines[line - 1] = replacement
    assert {problem.line for problem in mistakes("\n".join(lines))} >= set(changes)


def test_name_given_to_the_loader_names_the_problems():
    with pytest.raises(DocumentError) as refusal:
        load_catalog(yamldoc.parse("", "a"), "version 3")
    assert {problem.source for problem in refusal.value.problems} == {"version 3"}


@pytest.mark.rule("M-001")
@pytest.mark.parametrize(
    "price,per,expected",
    [
        ("0.05", "1 MB", Price(50_000, 1_000_000)),
        ("0.10", "1048576", Price(100_000, 1_048_576)),
        ("0.0000005", "1 kB", Price(5, 10_000)),
        ("0.123456789012345678", "1", Price(123_456_789_012_345_678, 10**12)),
        ("1_000", "1 GB", Price(10**9, 10**9)),
        ("0", "1 MB", Price(0, 1_000_000)),
    ],
)
def test_prices_are_exact(price, per, expected):
    text = BASE.replace("price: 0.05, per: 1 MB", f"price: {price}, per: {per}")
    rule = load(text).plans["basic"].terms["web"].rules[0]
    assert rule == PriceRule("web", Price(expected.rate_micro, expected.per, 1_000_000))


def test_quota_of_a_plan_changes_only_what_it_says():
    text = BASE.replace(
        "web: {price: 0.05,", "web: {quota: {slice: 20 MB, quota_holding_time: 0}, price: 0.05,"
    ).replace("{slice: 10 MB}", "{slice: 10 MB, validity: 5 min, threshold: 10}")
    terms = load(text).plans["basic"].terms["web"]
    assert terms.quota == QuotaPolicy(
        slice=20_000_000,
        maximum=20_000_000,
        validity_seconds=300,
        threshold_percent=10,
        quota_holding_seconds=0,
    )


@pytest.mark.parametrize(
    "value,expected",
    [
        ("terminate", FinalUnitPolicy()),
        ("{action: terminate, zero_grant: true}", FinalUnitPolicy(zero_grant=True)),
        ("restrict", FinalUnitPolicy(FinalUnitAction.RESTRICT_ACCESS)),
        (
            "{action: redirect, ipv6: '2001:0db8:0::0001'}",
            FinalUnitPolicy(FinalUnitAction.REDIRECT, 1, "2001:db8::1"),
        ),
        (
            "{action: redirect, ipv4: 192.0.2.1, filter_ids: [a, b]}",
            FinalUnitPolicy(FinalUnitAction.REDIRECT, 0, "192.0.2.1", filter_ids=("a", "b")),
        ),
        (
            "{action: redirect, sip: 'sip:topup@ims.example'}",
            FinalUnitPolicy(FinalUnitAction.REDIRECT, 3, "sip:topup@ims.example"),
        ),
        (
            "{action: restrict, filter_rules: [permit in ip from any to 192.0.2.1 80]}",
            FinalUnitPolicy(
                FinalUnitAction.RESTRICT_ACCESS,
                restriction_filter_rules=("permit in ip from any to 192.0.2.1 80",),
            ),
        ),
    ],
)
def test_final_unit_actions(value, expected):
    text = BASE.replace("    allowances:\n", f"    final_unit: {value}\n    allowances:\n")
    assert load(text).plans["basic"].final_unit == expected


@pytest.mark.parametrize(
    "days,expected",
    [("sat", {5}), ("fri-mon", {4, 5, 6, 0}), ("[mon, wed-thu]", {0, 2, 3}), ("Sun", {6})],
)
def test_weekdays_and_ranges(days, expected):
    catalog = load(BASE.replace("mon-fri", days))
    assert catalog.bands[0].spans[0].weekdays == expected


def test_black_box_catalogue_has_the_services_of_its_tests():
    path = black_box_catalogue_path()
    index = CatalogIndex(load_catalog(yamldoc.parse(yamldoc.read_text(path), str(path))))
    basic = index.catalog.plans["basic"].terms
    found = {}
    for context, groups in (
        ("12.32251@3gpp.org", (100, 101, 102, 200, 300, 310, 400, 500, 999)),
        ("12.32260@3gpp.org", (10, 11, 12)),
        ("12.32274@3gpp.org", (1,)),
    ):
        for group in groups:
            service = index.match_service(context, group, ())
            terms = basic.get(service.code) if service else None
            slot = index.tariff_at(terms, "", 0) if terms else None
            price = slot.rule.price if slot and slot.rule else None
            found[group] = (service is not None, terms and terms.mode, price)
    priced, free, none = ChargeMode.PRICED, ChargeMode.FREE, ChargeMode.UNCONTROLLED
    assert found == {
        100: (True, priced, Price(50_000, 10**6, 10**6)),
        101: (True, priced, Price(1_000_000, 10**6, 10**6)),
        102: (True, priced, Price(500_000, 10**6, 10**6)),
        200: (True, priced, Price(200_000, 10**6, 10**6)),
        300: (True, none, None),
        310: (True, free, None),
        400: (True, None, None),
        500: (True, priced, Price(120_000, 60, 1)),
        999: (False, None, None),
        10: (True, priced, Price(120_000, 60, 1)),
        11: (True, priced, Price(120_000, 60, 60, 60)),
        12: (True, priced, Price(100_000, 60, 1, 0, 30_000)),
        1: (True, priced, Price(70_000)),
    }


def test_sample_catalogue_has_something_of_everything():
    path = sample_catalogue_path()
    catalog = load_catalog(yamldoc.parse(yamldoc.read_text(path), str(path)))
    terms = [terms for plan in catalog.plans.values() for terms in plan.terms.values()]
    allowances = [entry for plan in catalog.plans.values() for entry in plan.allowances]
    assert {entry.mode for entry in terms} == set(ChargeMode)
    assert {plan.final_unit.action for plan in catalog.plans.values()} == set(FinalUnitAction)
    assert {entry.unit for entry in allowances} == set(Unit)
    assert any(rule.zone and rule.band for entry in terms for rule in entry.rules)
    assert any(plan.conditional for plan in catalog.plans.values())
    assert any(entry.subscriber_clock and entry.quota for entry in terms)


@pytest.mark.parametrize("path", [sample_catalogue_path(), black_box_catalogue_path()])
def test_every_service_and_plan_of_a_sample_can_be_indexed_and_priced(path):
    index = CatalogIndex(load_catalog(yamldoc.parse(yamldoc.read_text(path), str(path))))
    for plan in index.catalog.plans.values():
        for terms in plan.terms.values():
            for rule in terms.rules:
                assert index.rule(plan.code, terms.service, rule.code) == rule
            if terms.mode is ChargeMode.PRICED:
                for hour in range(0, 7 * 24 * 3600, 3600):
                    for zone in ("", *index.catalog.zones):
                        assert index.tariff_at(terms, zone, hour * 10**9).rule is not None


@pytest.mark.parametrize(
    "module,limit,words",
    [
        (number_plans, "MAX_PREFIXES", "more than 1 prefixes"),
        (loader, "MAX_SERVICES", "more than 1 services"),
        (loader_prices, "MAX_RULES", "more than 1 prices"),
    ],
)
def test_catalogue_is_bounded(monkeypatch, module, limit, words):
    monkeypatch.setattr(module, limit, 1)
    assert any(words in problem.message for problem in mistakes(BASE))


def test_many_prefixes_are_loaded_and_found():
    prefixes = ", ".join(f"34{number:05d}" for number in range(50_000))
    catalog = load(BASE.replace("[34, 35]", f"[{prefixes}]"))
    assert len(catalog.zones["spain"]) == 50_000
    index = CatalogIndex(catalog)
    started = time.perf_counter()
    assert all(index.zone_of(f"34{number:05d}123") == "spain" for number in range(10_000))
    assert time.perf_counter() - started < 2


SAMPLES = [
    BASE,
    sample_catalogue_path().read_text(encoding="utf-8"),
    black_box_catalogue_path().read_text(encoding="utf-8"),
]
SNIPPETS = [
    "", " ", "\n", ":", "-", "[", "]", "{", "}", "x", "0", "-1", "1 MB", "99999999999999999999",
    "null", "true", "&a", "*a", "!!int", "'", '"', "\t", "- a: 1", "free", "[]", "{}", "é",
    "peak", "32251@3gpp.org", "1e400", "0.00000000000000000000000001",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_catalogues_are_loaded_or_refused_and_nothing_else(data):
    text = data.draw(st.sampled_from(SAMPLES))
    for _ in range(data.draw(st.integers(1, 3))):
        if data.draw(st.booleans()):
            lines = text.split("\n")
            line = data.draw(st.integers(0, len(lines) - 1))
            moved = lines.pop(line)
            lines.insert(
                data.draw(st.integers(0, len(lines))), moved * data.draw(st.integers(0, 2))
            )
            text = "\n".join(lines)
        else:
            start = data.draw(st.integers(0, len(text)))
            end = start + data.draw(st.integers(0, 12))
            text = text[:start] + data.draw(st.sampled_from(SNIPPETS)) + text[end:]
    with suppress(DocumentError):
        CatalogIndex(load(text))
