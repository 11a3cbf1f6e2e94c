"""What product managers get wrong, and what they are told: the place, and what to do about it."""

import pytest

from ocs.errors import DocumentError
from ocs.provisioning.catalogues import catalogs

GOOD = """name: Good
currency: EUR
time_zone: Europe/Madrid
holidays:
  national: [2026-12-25]
time_bands:
  day: {days: mon-fri, from: 08:00, to: 20:00}
  free: {days: national}
destinations:
  near: [34]
services:
  web:
    contexts: 32251@3gpp.org
    rating_groups: [1]
    unit: octets
    quota: {slice: 1 MB}
  voice:
    contexts: 32260@3gpp.org
    default: true
    unit: seconds
    destination_rated: true
    quota: {slice: 60 s}
plans:
  basic:
    services:
      web: {price: 0.05, per: 1 MB, increment: 1 MB}
      voice:
        prices:
          - {destination: near, price: 0.1, per: 1 min, increment: 1 s}
          - {time_band: day, price: 0.2, per: 1 min, increment: 1 s}
          - {time_band: free, price: 0.05, per: 1 min, increment: 1 s}
          - {price: 0.3, per: 1 min, increment: 1 s}
    allowances:
      data: {unit: octets, amount: 1 GB, services: [web]}
"""
REST = "          - {price: 0.3, per: 1 min, increment: 1 s}\n"
WEB = "      web: {price: 0.05, per: 1 MB, increment: 1 MB}"
ALLOWANCE = "data: {unit: octets, amount: 1 GB, services: [web]}"


def mistakes(old: str, new: str) -> list[str]:
    assert old in GOOD
    with pytest.raises(DocumentError) as error:
        catalogs.check(GOOD.replace(old, new, 1), "c.yaml")
    return [str(one) for one in error.value.problems]


def test_the_catalogue_is_good_before_it_is_damaged():
    assert catalogs.check_closely(GOOD, "c.yaml")[1] == []


@pytest.mark.rule("K-361")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # Overlapping bands.
        ("free: {days: national}", "free: {days: mon, from: 09:00, to: 10:00}",
         "c.yaml:8:3: time band 'free' never holds: those before it cover its times"),
        # Gaps.
        (REST, "",
         "c.yaml:28:9: there is no price for all other destinations when no time band holds; add"),
        # Unknown references.
        ("time_band: day,", "time_band: dya,",
         "c.yaml:30:25: 'dya' is no time band of this catalogue; did you mean 'day'?"),
        ("destination: near,", "destination: naer,",
         "c.yaml:29:27: 'naer' is no destination of this catalogue; did you mean 'near'?"),
        (WEB, WEB.replace("web", "wbe"),
         "c.yaml:26:7: 'wbe' is no service of this catalogue; did you mean 'web'?"),
        ("services: [web]}", "services: [wbe]}",
         "c.yaml:34:53: 'wbe' is no service of this catalogue; did you mean 'web'?"),
        # Decimals.
        ("price: 0.05, per: 1 MB", "price: 0.0512345678901234567, per: 1 MB",
         "c.yaml:26:20: '0.0512345678901234567' is too large, or has more than 18 decimals"),
        ("increment: 1 MB}", "increment: 1 MB, setup: 0.1234567}",
         "c.yaml:26:61: '0.1234567' is finer than 0.000001, the smallest amount kept"),
        # Holidays.
        ("days: national", "days: 2026-12-24",
         "c.yaml:8:16: 2026-12-24 is a day and in no calendar that is named here; put it into one"),
        ("days: national", "days: nationl",
         "c.yaml:8:16: 'nationl' is no weekday, and no calendar under holidays; did you mean"),
        ("  free: {days: national}\n", "  free: {days: sat}\n",
         "c.yaml:5:3: calendar 'national' is used by no time band"),
        ("[2026-12-25]", "[2026-02-30]", "c.yaml:5:14: '2026-02-30' is no day such as 2026-12-25"),
        # Allowances that nothing can use.
        (ALLOWANCE, "data: {unit: events, amount: 10}",
         "c.yaml:34:7: no service with a price in plan 'basic' can use this allowance"),
        ("services: [web]}", "services: [voice]}",
         "c.yaml:34:53: service 'voice' is counted in seconds, this allowance in octets"),
        (WEB, "      web: free", "c.yaml:34:53: service 'web' costs nothing in plan 'basic'"),
        # Numbers, units and words as they are written elsewhere.
        (WEB, WEB.replace("0.05", "0,05"),
         "c.yaml:26:22: '05' is no key that is known here; write decimals with a point, such as"),
        ("slice: 1 MB", "slice: 8 Mbit",
         "c.yaml:16:20: '8 Mbit': 'Mbit' is no measure of octets (known: B, kB, MB, GB, TB, KiB,"),
        ("currency: EUR", "currency: eur",
         "c.yaml:2:11: 'eur' is no currency; did you mean 'EUR'?"),
        ("Europe/Madrid", "europe/madrid",
         ("c.yaml:3:12: 'europe/madrid' is no time zone such as Europe/Madrid; did you mean "
          "'Europe/Madrid'?")),
        ("Europe/Madrid", "CEST", "c.yaml:3:12: 'CEST' is no time zone such as Europe/Madrid ("),
        # Circles.
        ("    unit: octets\n", "    unit: octets\n    together_with: web\n", "c.yaml:16:"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(old, new, said):
    assert any(one.startswith(said) for one in mistakes(old, new)), mistakes(old, new)


@pytest.mark.rule("K-361")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("days: mon-fri", "days: mon-fir"),
        ("days: mon-fri", "days: [sat, fir]"),
        ("days: national", "days: nationl"),
        ("[2026-12-25]", "[2026-02-30]"),
        ("from: 08:00", "from: 8:00"),
        ("to: 20:00", "to: 25:00"),
        ("{days: mon-fri, from: 08:00, to: 20:00}", "{days: dya}"),
        ("from: 08:00, to: 20:00", "from: 08:00, to: 08:00"),
    ],
)
def test_nothing_follows_from_a_wrong_time_of_a_band(old, new):
    assert len(mistakes(old, new)) == 1, mistakes(old, new)


@pytest.mark.rule("K-361")
@pytest.mark.parametrize(
    ("band", "when"),
    [
        ("{days: mon-fri, from: 19:00, to: 22:00}", "mon 19:00-20:00"),
        ("{days: [sun, wed], from: 18:30, to: 24:00}", "wed 18:30-20:00"),
        ("{days: tue, from: 19:00, to: 06:00}", "tue 19:00-20:00"),
        ("[{days: [sat, national]}, {days: fri, from: 07:00, to: 08:01}]", "fri 08:00-08:01"),
    ],
)
def test_bands_that_overlap_are_warned_of(band, when):
    text = GOOD.replace("free: {days: national}", f"free: {band}", 1)
    if "national" not in band:
        text = text.replace("holidays:\n  national: [2026-12-25]\n", "", 1)
    (warning,) = catalogs.check_closely(text, "c.yaml")[1]
    line = 8 if "national" in band else 6
    assert str(warning).startswith(
        f"c.yaml:{line}:3: time band 'free' covers {when} too, which 'day' has because it stands "
        "before it"
    )


PLAIN = """
name: Plain
currency: EUR
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {slice: 1 MB}}
  sms: {contexts: 32274@3gpp.org, default: true, unit: events, quota: {slice: 1, validity: 600}}
plans:
  basic:
    friends: 1
    services:
      web: {price: 0.05, per: 1 MB, increment: 1 MB, minimum: 1_500}
      sms: {prices: [{when: {relation: friends}, price: 0.01}, {price: 0.07, minimum: 2}]}
    allowances:
      data: {unit: octets, amount: 1 GB, expires_after: 30 d}
    life_cycle: {validity: 90 d, grace: 0, top_up_validity: [{from: 5, validity: 864_000}]}
    transfers: {minimum: 1.00}
"""


@pytest.mark.rule("K-363")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("amount: 1 GB", "amount: 1 Gb", "14:36: '1 Gb' is read as octets, and Gb is how bits are"),
        ("slice: 1 MB", "slice: 1Mb", "5:84: '1Mb' is read as octets, and Mb is how bits are"),
        ("after: 30 d", "after: 30", "14:57: '30' is 30 seconds; write the unit, such as 30 d or"),
        ("{validity: 90 d", "{validity: 90", "15:28: '90' is 90 seconds; write the unit, such as"),
        ("864_000", "30", "15:82: '30' is 30 seconds; write the unit, such as 30 d or 30 s"),
        ("minimum: 2", "minimum: 2.00", "12:87: '2.00' is how much is billed at least, a quantity"),
        ("friends: 1\n", "friends:\n", "9:13: 'friends' has no value, so it counts as not given"),
        ("    friends: 1\n", "", "8:3: plan 'basic' has prices for friends and lets nobody"),
        ("currency: EUR", "currency: EUR\nholidays:", "4:10: 'holidays' has no value"),
    ],
)
def test_what_is_allowed_and_probably_a_slip_is_warned_of(old, new, said):
    assert catalogs.check_closely(PLAIN, "c.yaml")[1] == []
    assert old in PLAIN
    warnings = catalogs.check_closely(PLAIN.replace(old, new, 1), "c.yaml")[1]
    assert any(str(one).startswith(f"c.yaml:{said}") for one in warnings), warnings


@pytest.mark.parametrize(
    "band", ["{from: 00:00, to: 24:00}", "{days: sat-sun}", "{days: national}"]
)
def test_bands_for_the_rest_and_for_holidays_are_meant_so(band):
    text = GOOD.replace("free: {days: national}", f"free: {band}", 1)
    if "national" not in band:
        text = text.replace("holidays:\n  national: [2026-12-25]\n", "", 1)
        if "24:00" in band:
            text = text.replace(REST, "", 1)
    assert catalogs.check_closely(text, "c.yaml")[1] == []
