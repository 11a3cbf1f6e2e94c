"""Conditions and metering options of catalogue files; each mistake with its place and a hint."""

import pytest

from ocs import yamldoc
from ocs.catalog.loading import conditions as loader_conditions
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.metering import Announcement, Metering
from ocs.catalog.model import Condition, QuotaPolicy
from ocs.errors import DocumentError

BASE = """\
name: Test
currency: EUR
time_zone: Europe/Madrid
time_bands:
  peak: {days: mon-fri, from: 08:00, to: 20:00}
destinations:
  spain: [34]
networks:
  home: [214-07, 21408]
  eu: [208, 262-01]
locations:
  campus: [214-07/5001/12, 21407/77, 214-07//0999]
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
    quota: {slice: 60 s}
plans:
  basic:
    services:
      web:
        clock: subscriber
        prices:
          - {when: {visited: eu, rat: [eutran, 10]}, price: 2, per: 1 MB, increment: 1 MB}
          - {when: {location: campus}, price: 0, per: 1 MB, increment: 1 MB}
          - {time_band: peak, price: 2, per: 1 MB, increment: 1 MB}
          - {price: 1, per: 1 MB, increment: 1 MB}
      call:
        prices:
          - {when: {role: terminating, roaming: true}, price: 3, per: 60, increment: 1}
          - {when: {media: video}, destination: spain, price: 2, per: 60, increment: 1}
          - {price: 1, per: 60, increment: 1}
"""
EU = "{when: {visited: eu, rat: [eutran, 10]}, "


def load(text):
    return load_catalog(yamldoc.parse(text, "test.yaml"))


def mistakes(text):
    with pytest.raises(DocumentError) as refusal:
        load(text)
    return [(one.line, one.column, one.message) for one in refusal.value.problems]


def test_what_the_sample_says():
    catalog = load(BASE)
    assert catalog.networks == {"home": ("21407", "21408"), "eu": ("208", "26201")}
    assert catalog.locations == {"campus": ("21407/5001/12", "21407/77", "21407//999")}
    terms = catalog.plans["basic"].terms
    web, call = terms["web"], terms["call"]
    assert web.rules[0].when == (Condition("visited", ("eu",)), Condition("rat", ("eutran", "nr")))
    codes = ["web.eu.eutran-nr", "web.campus", "web.peak", "web"]
    assert [rule.code for rule in web.rules] == codes
    codes = ["call.terminating.roaming", "call.video.spain", "call"]
    assert [rule.code for rule in call.rules] == codes
    assert (web.subscriber_clock, call.subscriber_clock) == (True, False)
    assert web.conditional
    assert call.prices_terminating


VIDEO = """\
          - {code: x, when: {media: video}, destination: spain, price: 2, per: 60, increment: 1}
"""
MISTAKES = [
    ("home: [214-07", "home: [21-07", 9, 10, "neither an MCC such as 214 nor a network"),
    ("21408", "214-07", 9, 18, "given twice; the first is in line 9"),
    ("[208, 262-01]", "[]", 10, 3, "network 'eu' has no members"),
    ("  eu: [208", "  Eu: [208", 10, 3, "cannot be the code of a network"),
    ("  eu: [208", "  asia: [440]\n  eu: [208", 10, 3, "network 'asia' is used by no price"),
    ("21407/77", "21407", 12, 28, "no place: network, area and cell"),
    ("21407/77", "21407/", 12, 28, "no place: network, area and cell"),
    ("  campus: [", "  moon: [214-07/1]\n  campus: [", 12, 3, "'moon' is used by no price"),
    ("visited: eu,", "visited: ue,", 31, 30, "'ue' is no network of this catalogue"),
    ("visited: eu,", "visitted: eu,", 31, 21, "did you mean 'visited'?"),
    ("[eutran, 10]", "[lte]", 31, 40, "'lte' is no radio access"),
    ("[eutran, 10]", "[nr, 51]", 31, 44, "'51' is given twice"),
    ("[eutran, 10]", "[256]", 31, 40, "out of range"),
    ("[eutran, 10]", "[]", 31, 34, "'rat' names nothing"),
    ("{visited: eu, rat: [eutran, 10]}", "{}", 31, 20, "there is no condition"),
    ("{visited: eu, rat: [eutran, 10]}", "eu", 31, 20, "a group of keys is needed"),
    ("location: campus", "location: kampus", 32, 31, "did you mean 'campus'?"),
    ("rat: [eutran, 10]", "apn: Inter net", 31, 39, "no access point name"),
    ("rat: [eutran, 10]", "rule_base: 'a, b'", 31, 45, "no name of a rule base"),
    ("rat: [eutran, 10]", "charging_characteristics: 080", 31, 60, "not four hexadecimal"),
    ("rat: [eutran, 10]", "recipient: shortcode", 31, 45, "'shortcode' is no recipient"),
    ("rat: [eutran, 10]", "origin: spian", 31, 42, "did you mean 'spain'?"),
    ("role: terminating", "role: terminator", 37, 27, "did you mean 'terminating'?"),
    ("media: video", "media: vidio", 38, 28, "did you mean 'video'?"),
    ("roaming: true", "roaming: yes", 37, 49, "neither true nor false"),
    ("  home: [214-07, 21408]\n", "", 36, 40, "needs a network 'home'"),
    ("time_band: peak, ", "", 34, 13, "the same code"),
    ("clock: subscriber", "clock: utc", 29, 16, "'utc' is no clock"),
    ("      call:\n", "      call:\n        clock: subscriber\n", 36, 16, "there are none"),
    (
        "          - {price: 1, per: 60, increment: 1}\n",
        "",
        36,
        9,
        "in time band 'peak' when no condition holds; add a price without when,",
    ),
    (
        "          - {price: 1, per: 60,",
        VIDEO + "          - {price: 1, per: 60,",
        39,
        13,
        "this price never holds: the one in line 38 holds in the same cases",
    ),
    (
        "roaming: true}, ",
        "roaming: true}, time_band: peak, ",
        37,
        13,
        "needs one without a time band beside it",
    ),
    (
        "      call:\n        prices:\n",
        "      call:\n        when: {media: video}\n        prices:\n",
        36,
        9,
        "'when' belongs to each of the prices",
    ),
]


@pytest.mark.rule("G-174")
@pytest.mark.parametrize("old,new,line,column,words", MISTAKES)
def test_mistake_is_named_at_its_place(old, new, line, column, words):
    assert old in BASE
    found = mistakes(BASE.replace(old, new, 1))
    assert any(one[:2] == (line, column) and words in one[2] for one in found), found


def test_a_single_price_has_no_conditions():
    single = BASE[: BASE.index("      call:\n        prices")]
    text = single + "      call: {when: {media: video}, price: 1, per: 60, increment: 1}\n"
    found = mistakes(text)
    assert any("'when' belongs to one of several prices" in one[2] for one in found), found


def test_prices_that_overlap_or_differ_in_time_are_fine():
    more = (
        f"          - {EU}code: c, time_band: peak, price: 1, per: 1 MB, increment: 1 MB}}\n"
        "          - {when: {visited: eu, rat: [nr, wlan]}, code: a, price: 2, per: 1 MB, "
        "increment: 1 MB}\n"
        "          - {when: {role: terminating}, code: d, price: 1, per: 1 MB, increment: 1 MB}\n"
        "          - {when: {role: terminating, visited: eu}, time_band: peak, code: e, price: 2, "
        "per: 1 MB, increment: 1 MB}\n"
        "          - {time_band: peak,"
    )
    load(BASE.replace("          - {time_band: peak,", more))


def test_a_zone_has_a_bounded_number_of_members(monkeypatch):
    monkeypatch.setattr(loader_conditions, "MAX_MEMBERS", 3)
    found = mistakes(BASE.replace("[208, 262-01]", "[208, 262-01, 222]"))
    assert any("more than 3 members of networks" in one[2] for one in found)


# ------------------------------------------------------------------------------------ metering


def quota_of(options, service="call"):
    slice_ = "{slice: 60 s" if service == "call" else "{slice: 10 MB"
    return load(BASE.replace(slice_, f"{slice_}, {options}")).services[service].quota


@pytest.mark.parametrize(
    "options,metering",
    [
        ("consumption_time: 10 s", Metering(consumption_seconds=10)),
        (
            "time_mechanism: {type: discrete, interval: 1 min}",
            Metering(time_type=0, base_interval_seconds=60),
        ),
        (
            "time_mechanism: {type: continuous, interval: 30}",
            Metering(time_type=1, base_interval_seconds=30),
        ),
        ("triggers: []", Metering(triggers=())),
        ("triggers: [rat, location, 99]", Metering(triggers=(4, 3, 99))),
        ("envelopes: volume", Metering(envelopes=2)),
        ("envelopes: none", Metering(envelopes=0)),
        ("furnish: gold", Metering(furnish="gold")),
        ("announcement: {identifier: 7}", Metering(announcement=Announcement(7))),
        (
            "announcement: {identifier: 7, before_end: 20 s, uses_quota: true, plays_to: remote}",
            Metering(announcement=Announcement(7, 20, True, "", 1)),
        ),
        (
            "announcement: {identifier: 7, language: en, plays_to: served}",
            Metering(announcement=Announcement(7, language="en", plays_to=0)),
        ),
    ],
)
def test_options_of_metering(options, metering):
    assert quota_of(options).metering == metering


@pytest.mark.rule("G-004")
def test_thresholds_have_a_share_and_a_maximum():
    assert quota_of("threshold: 30 %, threshold_maximum: 2 MB", "web") == QuotaPolicy(
        10_000_000, 10_000_000, threshold_percent=30, threshold_maximum=2_000_000
    )


def test_nothing_about_metering_is_nothing():
    assert quota_of("validity: 5 min").metering is None


def test_a_plan_changes_single_options():
    text = BASE.replace("{slice: 60 s}", "{slice: 60 s, consumption_time: 10 s, triggers: [rat]}")
    call = "      call:\n"
    text = text.replace(call, f"{call}        quota: {{triggers: []}}\n")
    catalog = load(text)
    quota = catalog.plans["basic"].terms["call"].quota
    assert quota is not None
    assert quota.metering == Metering(consumption_seconds=10, triggers=())


@pytest.mark.rule("G-123")
@pytest.mark.parametrize(
    "options,service,words",
    [
        ("consumption_time: 5", "web", "for services counted in seconds"),
        ("time_mechanism: {type: discrete, interval: 5}", "web", "counted in seconds"),
        ("time_mechanism: {type: discrete}", "call", "'interval' is missing"),
        ("time_mechanism: {interval: 5}", "call", "'type' is missing"),
        (
            "consumption_time: 5, time_mechanism: {type: discrete, interval: 5}",
            "call",
            "not both",
        ),
        ("triggers: [locations]", "call", "did you mean 'location'?"),
        ("triggers: [rat, rat]", "call", "given twice"),
        ("triggers: [qos, qos-delay-class]", "call", "'qos' goes without the changes"),
        ("triggers: [location, 35]", "call", "'location' goes without the changes"),
        ("envelopes: all", "call", "'all' is no envelopes"),
        (f"furnish: {'x' * 161}", "call", "longer than 160 octets"),
        ("announcement: {before_end: 5}", "call", "'identifier' is missing"),
        ("announcement: {identifier: 1, plays_to: both}", "call", "'both' is no plays to"),
        ("threshold_maximum: 0", "call", "too small"),
    ],
)
def test_mistakes_about_metering(options, service, words):
    slice_ = "{slice: 60 s" if service == "call" else "{slice: 10 MB"
    found = mistakes(BASE.replace(slice_, f"{slice_}, {options}"))
    assert any(words in one[2] for one in found), found
