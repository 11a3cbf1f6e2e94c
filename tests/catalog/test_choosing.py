"""Why a price is taken, and why each of the others is not."""

import pytest

from ocs import yamldoc
from ocs.catalog.choosing import Situation, reasons, situation_of
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex

TEXT = """
name: Choice
currency: EUR
time_zone: Europe/Madrid
time_bands:
  night: {from: 22:00, to: 06:00}
destinations:
  national: [34]
  mobile: [346]
networks:
  home: [214-07]
  eu: [208]
  usa: [310]
services:
  voice:
    contexts: 32260@3gpp.org
    default: true
    unit: seconds
    destination_rated: true
    quota: {slice: 2 min}
plans:
  talk:
    services:
      voice:
        prices:
          - {when: {visited: eu, rat: nr}, price: 0.10, per: 1 min, increment: 1 s, code: eu-nr}
          - {when: {visited: eu}, price: 0.20, per: 1 min, increment: 1 s, code: eu}
          - {when: {visited: [eu, usa]}, price: 0.21, per: 1 min, increment: 1 s, code: abroad}
          - {when: {roaming: true}, price: 0.90, per: 1 min, increment: 1 s, code: roaming}
          - {destination: mobile, price: 0.30, per: 1 min, increment: 1 s, code: mobile}
          - {destination: national, price: 0.15, per: 1 min, increment: 1 s, code: national}
          - {time_band: night, price: 0.05, per: 1 min, increment: 1 s, code: night}
          - {price: 0.60, per: 1 min, increment: 1 s, code: rest}
"""
INDEX = CatalogIndex(load_catalog(yamldoc.parse(TEXT, "choice.yaml")))
RULES = INDEX.catalog.plans["talk"].terms["voice"].rules
BY_CODE = {rule.code: rule for rule in RULES}


def said(code: str, situation: Situation) -> dict[str, str]:
    found = reasons(RULES, BY_CODE[code], INDEX.places.dimensions, situation)
    assert [one.rule for one in found if one.chosen] == [code]
    assert found[0].chosen
    assert {one.rule for one in found} == set(BY_CODE)
    return {one.rule: one.words for one in found}


@pytest.mark.rule("K-360")
def test_conditions_decide_in_their_order():
    labels = {"visited": "eu", "roaming": "yes", "rat": "eutran"}
    words = said("eu", Situation("mobile", labels, ""))
    assert words == {
        "eu": "it is the most specific that holds: visited eu",
        "eu-nr": "wants rat nr, and it is rat eutran",
        "abroad": "names the same things as 'eu', which stands before it",
        "roaming": "holds too, but 'eu' is more specific: it names visited",
        "mobile": "holds too, but 'eu' is more specific: it names visited",
        "national": "is for destination 'national', and it is 'mobile'",
        "night": "holds in time band 'night', and it is none",
        "rest": "holds too, but 'eu' is more specific: it names visited",
    }


@pytest.mark.rule("K-360")
def test_destination_goes_before_time_band():
    words = said("mobile", Situation("mobile", {}, "night"))
    assert words["mobile"] == "it is the most specific that holds: destination 'mobile'"
    assert words["night"] == "holds too, but 'mobile' is more specific: it names the destination"
    assert words["eu"] == "wants visited eu, which was not said"
    words = said("night", Situation("", {}, "night"))
    assert words["rest"] == "holds too, but 'night' is more specific: it names the time band"
    assert words["mobile"] == "is for destination 'mobile', and it is none"
    assert words["roaming"] == "wants roaming, which was not said"


@pytest.mark.rule("K-360")
def test_what_a_charge_remembers_is_said_and_no_more():
    """The key of a price context has only what decided."""
    situation = situation_of("mobile", "night")
    assert situation == Situation("mobile", {}, "night", complete=False)
    words = said("mobile", situation)
    assert words["eu"] == "wants visited eu, which was not so"
    assert words["night"] == "holds too, but 'mobile' is more specific: it names the destination"
    situation = situation_of("mobile visited=eu,.. clock=+02:00", "")
    assert situation.labels == {"visited": "eu"}
    words = said("eu", situation)
    assert words["eu-nr"] == "wants rat nr, which was not so"
    assert words["roaming"] == "comes after 'eu', which is more specific: it names visited"


@pytest.mark.rule("K-360")
def test_a_price_that_is_alone_or_wants_nothing():
    rest = BY_CODE["rest"]
    (only,) = reasons((rest,), rest, INDEX.places.dimensions, Situation("", {}, ""))
    assert (only.rule, only.chosen, only.words) == ("rest", True, "it is the only price")
    assert said("rest", Situation("", {}, ""))["rest"] == "no price that wants more holds"


@pytest.mark.rule("K-360")
def test_a_terminating_call_has_prices_of_its_own():
    text = TEXT.replace(
        "        prices:\n",
        "        prices:\n          - {when: {role: terminating}, price: 0.01, per: 1 min, "
        "increment: 1 s, code: called}\n",
    )
    rules = load_catalog(yamldoc.parse(text, "x")).plans["talk"].terms["voice"].rules
    situation = Situation("mobile", {"role": "terminating"}, "")
    found = reasons(rules, rules[0], INDEX.places.dimensions, situation)
    words = {one.rule: one.words for one in found}
    assert words["mobile"] == "a terminating call has only prices that say role: terminating"
