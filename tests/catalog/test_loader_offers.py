"""Life cycle, top-up bonus, promotions and transfers of a file: read, or refused at their place."""

from __future__ import annotations

import pytest

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.offers import Bonus, Extension, LifeCycle, Promotion, Transfers
from ocs.errors import DocumentError
from ocs.provisioning.catalogues.catalog_diff import differences

TEXT = """\
name: Offers
currency: EUR
time_zone: Europe/Madrid
promotions: {PROMOTIONS}
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {slice: 1 MB}}
  gratis: {contexts: 32251@3gpp.org, rating_groups: [2], unit: octets, quota: {slice: 1 MB}}
  hidden: {contexts: 32251@3gpp.org, rating_groups: [3], unit: seconds, quota: {slice: 1 min}}
plans:
  basic:
    services:
      web: {price: 0.01, per: 1 MB, increment: 1 MB}
      gratis: free
    BODY
  other:
    services:
      hidden: {price: 0.01, per: 1 min, increment: 1 min}
"""


def load(body: str, promotions: str = ""):
    text = TEXT.replace("PROMOTIONS", promotions).replace("BODY", body)
    return load_catalog(yamldoc.parse(text, "offers.yaml"))


def refused(body: str, promotions: str = "") -> list[str]:
    with pytest.raises(DocumentError) as raised:
        load(body, promotions)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.rule("K-240", "K-243", "K-244")
def test_everything_a_life_cycle_may_say() -> None:
    plan = load(
        "life_cycle: {starts: first-use, validity: 90 d, grace: 30 d, barred: 60 d, "
        "top_up_validity: [{validity: 1 d}, {from: 5, validity: 30 d}], longest_validity: 200 d, "
        "at_close: expire}"
    ).plans["basic"]
    day = 86_400
    assert plan.life_cycle == LifeCycle(
        True, 90 * day, 30 * day, 60 * day, (Extension(0, day), Extension(5_000_000, 30 * day)),
        200 * day, True,
    )  # fmt: skip
    assert load("life_cycle: {starts: first-use}").plans["basic"].life_cycle == LifeCycle(True)
    assert load("name: Basic").plans["basic"].life_cycle is None


@pytest.mark.rule("K-220", "K-221")
def test_everything_a_bonus_may_say() -> None:
    catalog = load(
        "top_up_bonus: {a: {share: 20 %, maximum: 5, from: 10, up_to: 100, services: web, "
        "priority: 7, expires_after: 30 d, promotion: x}, "
        "b: {unit: octets, amount: 1 GB}, c: {amount: 2.50}}",
        "x: {from: 2026-03-29, to: 2026-03-30T12:00, times: 2}",
    )
    assert catalog.plans["basic"].top_up_bonus == (
        Bonus("a", Unit.MONEY, 0, 20, 5_000_000, 10_000_000, 100_000_000, ("web",), 7, 2_592_000,
              "x"),
        Bonus("b", Unit.OCTETS, 1_000_000_000),
        Bonus("c", Unit.MONEY, 2_500_000),
    )  # fmt: skip
    # The clocks of Madrid go forward on that night: from 23:00 UTC to 10:00 UTC.
    assert catalog.promotions == {
        "x": Promotion("x", 1_774_738_800 * 10**9, 1_774_864_800 * 10**9, 2)
    }


@pytest.mark.rule("K-252")
def test_everything_transfers_may_say() -> None:
    terms = "transfers: {fee: 0.10, minimum: 1, maximum: 5, daily: 9, daily_count: 3, keeps: 0.5}"
    assert load(terms).plans["basic"].transfers == Transfers(
        100_000, 1_000_000, 5_000_000, 9_000_000, 3, 500_000
    )
    assert load("transfers: {fee: 0}").plans["basic"].transfers == Transfers()
    assert load("name: Basic").plans["basic"].transfers is None


@pytest.mark.rule("K-222")
@pytest.mark.parametrize(
    ("body", "promotions", "said"),
    [
        ("life_cycle: {grace: 1 d}", "", "'grace' has no meaning without 'validity'"),
        ("life_cycle: {starts: now, validity: 1 d}", "", "'now' is no starts"),
        ("life_cycle: {starts: at-once, validity: 0}", "", "too small"),
        ("life_cycle: {validity: 1 d, at_close: expire}", "", "only where 'barred' has an end"),
        ("life_cycle: {validity: 1 d, top_up_validity: {from: 5}}", "", "'validity' is missing"),
        (
            (
                "life_cycle: {validity: 1 d, "
                "top_up_validity: [{from: 5, validity: 1 d}, {from: 5, validity: 2 d}]}"
            ),
            "", "the amounts must rise",
        ),
        ("life_cycle: {validity: 100000 d}", "", "too long"),
        ("life_cycle: {starts: first-use, valid: 1 d}", "", "did you mean 'validity'?"),
        ("top_up_bonus: {a: {}}", "", "either a 'share' of the top-up or a fixed 'amount'"),
        ("top_up_bonus: {a: {share: 1 %, amount: 1}}", "", "either a 'share'"),
        ("top_up_bonus: {a: {share: 0 %}}", "", "'0 %' is no share"),
        ("top_up_bonus: {a: {share: 1001 %}}", "", "at most 1000 %"),
        ("top_up_bonus: {a: {share: 10 %, unit: octets}}", "", "a share of a top-up is money"),
        ("top_up_bonus: {a: {amount: 0}}", "", "'0' is not more than zero"),
        ("top_up_bonus: {a: {amount: 1, maximum: 2}}", "", "'maximum' is for a share"),
        ("top_up_bonus: {a: {amount: 1, from: 5, up_to: 4}}", "", "no top-up brings it"),
        ("top_up_bonus: {a: {unit: seconds, amount: 60}}", "", "can use this bonus"),
        ("top_up_bonus: {a: {amount: 1, services: wob}}", "", "did you mean 'web'?"),
        ("top_up_bonus: {a: {amount: 1, services: gratis}}", "", "costs nothing in plan 'basic'"),
        ("top_up_bonus: {a: {amount: 1, services: hidden}}", "", "does not sell service 'hidden'"),
        (
            "top_up_bonus: {a: {unit: events, amount: 1, services: web}}", "",
            "service 'web' is counted in octets, this bonus in events",
        ),
        ("top_up_bonus: {a: {amount: 1, promotion: y}}", "", "'y' is no promotion"),
        ("top_up_bonus: {A: {amount: 1}}", "", "cannot be the code of a bonus"),
        ("name: B", "x: {from: 2026-01-01, to: 2026-01-02}", "promotion 'x' is used by no bonus"),
        (
            "top_up_bonus: {a: {amount: 1, promotion: x}}",
            "x: {from: 2026-01-02, to: 2026-01-02}", "the window ends before it begins",
        ),
        (
            "top_up_bonus: {a: {amount: 1, promotion: x}}",
            "x: {from: 2026-03-29T02:30, to: 2026-04-01}", "happens twice or not at all",
        ),
        (
            "top_up_bonus: {a: {amount: 1, promotion: x}}", "x: {from: soon, to: 2026-04-01}",
            "'soon' is no time such as",
        ),
        (
            "top_up_bonus: {a: {amount: 1, promotion: x}}", "x: {from: 2026-01-01, to: 9999-12-31}",
            "'9999-12-31' is not between 1970 and 2200",
        ),
        ("transfers: {minimum: 5, maximum: 4}", "", "'maximum' is less than 'minimum'"),
        ("transfers: {minimum: 5, daily: 4}", "", "'daily' is less than 'minimum'"),
        ("transfers: {fee: -1}", "", "negative"),
        ("transfers: {count: 1}", "", "no key that is known here"),
    ],
)  # fmt: skip
def test_mistakes_have_their_place(body: str, promotions: str, said: str) -> None:
    problems = refused(body, promotions)
    assert len(problems) == 1, problems
    assert said in problems[0]
    place = problems[0].split(":")
    assert place[0] == "offers.yaml"
    assert place[1].isdecimal()
    assert place[2].isdecimal()


def test_what_differs_between_offers_is_named() -> None:
    before = load("top_up_bonus: {a: {share: 10 %}}\n    life_cycle: {validity: 30 d}")
    after = load("top_up_bonus: {a: {share: 20 %}}\n    life_cycle: {validity: 60 d}")
    found = {(".".join(one.path), one.before, one.after) for one in differences(before, after)}
    assert found == {
        ("plans.basic.top_up_bonus.a.share", "10 %", "20 %"),
        ("plans.basic.life_cycle.validity", "2592000 s", "5184000 s"),
    }
