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
