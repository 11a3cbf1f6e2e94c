"""Examples inside a catalogue: computed by check, refused by publish, described in the document."""

import re
from pathlib import Path

import pytest

from ocs import yamldoc
from ocs.catalog.loading import examples as loader_examples
from ocs.catalog.matching import CatalogIndex
from ocs.errors import DocumentError
from ocs.provisioning.catalogues import catalogs, prices
from ocs.provisioning.catalogues.prices import Question
from tests.support.desks import CATALOGUE, NOON_NS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")

BASE = """\
name: Exemplary
currency: EUR
time_zone: Europe/Madrid
time_bands:
  day: {from: 08:00, to: 20:00}
destinations:
  near: [34]
networks:
  home: [214-07]
  eu: [208]
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {slice: 1 MB}}
  free-web: {contexts: 32251@3gpp.org, rating_groups: [2], unit: octets, quota: {slice: 1 MB}}
  sms: {contexts: 32274@3gpp.org, default: true, unit: events, quota: {slice: 1}}
  call:
    {contexts: 32260@3gpp.org, default: true, unit: seconds, destination_rated: true,
     quota: {slice: 1 min}}
plans:
  basic:
    services:
      free-web: free
      web:
        prices:
          - {when: {visited: eu, rat: nr}, price: 3, per: 1 MB, increment: 1 MB}
          - {when: {roaming: true}, price: 2, per: 1 MB, increment: 1 MB}
          - {price: 1, per: 1 MB, increment: 1 MB}
      call:
        clock: subscriber
        prices:
          - {destination: near, price: 0.12, per: 1 min, increment: 1 s, setup: 0.10}
          - {time_band: day, price: 0.60, per: 1 min, increment: 60 s}
          - {price: 0.30, per: 1 min, increment: 60 s}
  messages:
    services:
      sms: {price: 0.07, code: message}
"""


def with_examples(*examples: str) -> str:
    return BASE + "examples:\n" + "".join(f"  - {{{one}}}\n" for one in examples)


def problems_of(*examples: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        catalogs.check(with_examples(*examples), "test.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.rule("K-101")
@pytest.mark.parametrize(
    "example",
    [
        "plan: basic, service: web, used: 1 MB, costs: 1, price: web",
        "plan: basic, service: web, used: 1, before: 1 MB, costs: 1.00",
        "plan: basic, service: web, used: 1, before: 1.5 MB, costs: 0",
        "plan: basic, service: web, used: 0, costs: 0",
        "plan: basic, service: web, used: 1 MB, when: {roaming: true}, costs: 2",
        "plan: basic, service: web, used: 1 MB, when: {visited: eu}, costs: 2",
        "plan: basic, service: web, used: 1 MB, when: {visited: home}, costs: 1",
        "plan: basic, service: web, used: 1 MB, when: {visited: eu, rat: nr}, costs: 3",
        "plan: basic, service: free-web, used: 1 GB, costs: 0",
        "plan: messages, service: sms, used: 3, costs: 0.21, price: message",
        "plan: basic, service: call, to: +34911, at: 2025-03-04T12:00, used: 30 s, costs: 0.16",
        "plan: basic, service: call, to: 44, at: 2025-03-04T12:00, used: 30 s, costs: 0.60",
        "plan: basic, service: call, at: 2025-03-04T19:59+01:00, used: 2 min, costs: 0.90",
        "plan: basic, service: call, at: 2025-07-04T18:00Z, used: 2 min, costs: 0.60",
        'plan: basic, service: call, at: 2025-03-04T12:00, clock: "-08:00", used: 1, costs: 0.30',
    ],
)
def test_an_example_that_costs_what_it_says(example):
    catalog = catalogs.check(with_examples(example), "test.yaml")
    assert len(catalog.examples) == 1


LIMITED = """
name: Limited
currency: EUR
services:
  film: {contexts: 32251@3gpp.org, rating_groups: [1], unit: octets, quota: {slice: 1 MB}}
plans:
  fair:
    limits: {fast: {unit: octets, amount: 1 GB, every: day, then: price}}
    services:
      film:
        prices:
          - {price: 0.02, per: 1 MB, increment: 1 MB}
          - {when: {limit: fast}, price: 0.01, per: 1 MB, increment: 1 MB, code: slow}
  stopped:
    limits: {all: {unit: octets, amount: 1 GB, every: day}}
    services:
      film: {price: 0.02, per: 1 MB, increment: 1 MB}
examples:
  - {plan: fair, service: film, used: 5 MB, costs: 0.10}
  - {when: {limit: fast}, plan: fair, service: film, used: 5 MB, costs: 0.05, price: slow}
"""


@pytest.mark.rule("K-362")
def test_an_example_behind_a_limit_of_its_plan():
    assert len(catalogs.check(LIMITED, "test.yaml").examples) == 2
    with pytest.raises(DocumentError, match=r"but it costs 0\.05 EUR by price 'slow'"):
        catalogs.check(LIMITED.replace("costs: 0.05", "costs: 0.10"), "test.yaml")
    with pytest.raises(DocumentError, match="'fast' is no limit of this catalogue; there are"):
        catalogs.check(LIMITED.replace("fast}, plan: fair", "fast}, plan: stopped"), "test.yaml")


@pytest.mark.rule("K-101")
@pytest.mark.parametrize(
    "example,said",
    [
        (
            "plan: basic, service: web, used: 1 MB, costs: 3",
            "the example expects 3.00 EUR, but it costs 1.00 EUR by price 'web'",
        ),
        (
            "plan: basic, service: free-web, used: 1 MB, costs: 0.01",
            "expects 0.01 EUR, but it costs 0.00 EUR because plan 'basic' makes 'free-web' free",
        ),
        (
            "plan: basic, service: web, used: 1 MB, price: other, costs: 1",
            "expects price 'other', but it costs what it should by price 'web'",
        ),
        (
            "plan: basic, service: web, used: 1, when: {visited: eu, roaming: false}, costs: 1",
            "but there is no price: visited=eu is roaming",
        ),
    ],
)
def test_an_example_that_does_not_is_a_mistake_with_its_place(example, said):
    [problem] = problems_of(example)
    line = BASE.count("\n") + 2
    column = f"  - {{{example}}}".index("costs: ") + len("costs: ") + 1
    assert problem.startswith(f"test.yaml:{line}:{column}:")
    assert said in problem


@pytest.mark.rule("K-101")
@pytest.mark.parametrize(
    "example,said",
    [
        ("plan: bsic, service: web, used: 1, costs: 0", "did you mean 'basic'"),
        ("plan: basic, service: wab, used: 1, costs: 0", "did you mean 'web'"),
        ("plan: messages, service: web, used: 1, costs: 0", "does not sell service 'web'"),
        ("plan: basic, service: web, costs: 0", "'used' is missing"),
        ("plan: basic, service: web, used: 1", "'costs' is missing"),
        ("service: web, used: 1, costs: 0", "'plan' is missing"),
        ("plan: basic, service: web, used: 1 min, costs: 0", "no measure of octets"),
        ("plan: basic, service: web, used: 1, costs: 0.0000001", "finer than"),
        ("plan: basic, service: web, used: 1, to: 34, costs: 1", "not rated by destination"),
        ("plan: basic, service: web, used: 1, cost: 1, costs: 1", "did you mean 'costs'"),
        ("plan: basic, service: web, used: 1, when: {visited: us}, costs: 1", "no network"),
        ("plan: basic, service: web, used: 1, when: {rat: [nr, wlan]}, costs: 1", "single value"),
        ("plan: basic, service: call, used: 1, costs: 1", "its price depends on the time"),
        ("plan: basic, service: call, used: 1, at: now, costs: 1", "'now' is no time"),
        ("plan: basic, service: call, used: 1, at: 2025-03-30T02:30, costs: 1", "twice or not"),
        ("plan: basic, service: call, used: 1, at: 2025-10-26T02:30, costs: 1", "twice or not"),
        ("plan: basic, service: call, used: 1, at: 1969-01-01, costs: 1", "not between 1970"),
        ("plan: basic, service: call, used: 1, at: 2025-01-01, to: x, costs: 1", "no number of 1"),
        ("plan: basic, service: call, used: 1, at: 2025-01-01, clock: 2, costs: 1", "no clock"),
    ],
)
def test_an_example_that_asks_for_nothing_is_a_mistake(example, said):
    assert said in " ".join(problems_of(example))


@pytest.mark.rule("K-101")
def test_every_wrong_example_is_listed(monkeypatch):
    wrong = "plan: messages, service: sms, used: 1, costs: 1"
    right = "plan: messages, service: sms, used: 1, costs: 0.07"
    assert len(problems_of(wrong, right, wrong)) == 2
    monkeypatch.setattr(loader_examples, "MAX_EXAMPLES", 2)
    assert "there are more than 2 examples" in problems_of(right, right, right)[0]


@pytest.mark.rule("K-102")
def test_a_wrong_example_is_not_published_and_one_in_force_disturbs_nothing(office):
    text = yamldoc.read_text(CATALOGUE)
    text += "examples:\n  - {plan: basic, service: data, used: 1 MB, costs: 0.04}\n"
    with pytest.raises(DocumentError, match=r"expects 0\.04 EUR, but it costs 0\.05 EUR"):
        catalogs.publish(office.desk, text, "wrong.yaml")
    assert office.desk.store.generations().catalogue == 1
    action = office.desk.action("catalog publish", "wrong")
    version = office.desk.store.publish_catalogue(text, "wrong", action)
    assert office.catalogues.version(version).catalog.examples[0].costs_micro == 40_000
    right = catalogs.publish(office.desk, text.replace("0.04", "0.05"), "right.yaml")
    assert right.version == version + 1


@pytest.mark.rule("K-101")
def test_a_price_for_a_visited_network_is_one_for_roaming():
    index = CatalogIndex(catalogs.check(BASE, "test.yaml"))
    shown = prices.quote(index, Question("web", "basic", "1", at_ns=NOON_NS, when=("visited=eu",)))
    assert (shown["conditions"], shown["cost"]) == ("roaming=yes", "2.00")


@pytest.mark.rule("K-101")
def test_the_examples_of_the_document_hold():
    block = re.search(r"^```yaml\n(name: Self-checked.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert block is not None
    catalog = catalogs.check(block[1], "catalogue.md")
    assert len(catalog.examples) == 3


@pytest.mark.rule("K-101")
def test_the_sample_catalogue_has_examples_of_its_plans():
    path = ROOT / "config" / "catalogues" / "mobile.yaml"
    catalog = catalogs.check(yamldoc.read_text(path), path.name)
    assert {one.plan for one in catalog.examples} >= {"basic", "plus", "traveller"}
