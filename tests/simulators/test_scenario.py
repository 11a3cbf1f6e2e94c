"""Scenario files: what is accepted, and how every mistake is reported."""

import random

import pytest
import yaml

from config import config_path
from simulators.scenarios.document import SIZE_MAX, DocumentError
from simulators.scenarios.model import load_scenario, parse_scenario
from simulators.scenarios.services import DataService
from simulators.scenarios.values import Distribution

GOOD = """\
name: small
load: {concurrency: 2, duration_seconds: 3}
gateways:
  - {origin_host: pgw1.net.example, origin_realm: net.example}
subscribers:
  - count: 10
    identities: [{type: msisdn, pattern: "+155500000##"}]
services:
  - kind: data
    duration_seconds: {uniform: [3, 5]}
    rating_groups: [{rating_group: 100, octets_per_second: 1000}]
"""


def problems_of(text):
    with pytest.raises(DocumentError) as caught:
        parse_scenario(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_a_small_scenario_gets_every_default():
    scenario = parse_scenario(GOOD, "s.yaml")
    assert (scenario.mode, scenario.seed, scenario.speed_up) == ("subscribers", 1, 1.0)
    assert scenario.gateways[0].window == 32
    service = scenario.services[0]
    assert isinstance(service, DataService)
    assert service.service_context == "32251@3gpp.org"
    assert service.rating_groups[0].requested_octets is None
    assert scenario.identities_of(0) == (("msisdn", "+15550000001"),)
    assert scenario.identities_of(9) == (("msisdn", "+15550000010"),)


@pytest.mark.parametrize("name", ["demo", "soak", "lab", "load"])
def test_the_scenarios_that_come_along_are_right(name):
    scenario = load_scenario(config_path(f"scenarios/{name}.yaml"))
    assert scenario.name == name
    assert scenario.description


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: small", "name: small\nseeds: 3", "s.yaml:2:1: seeds: unknown key"),
        ("name: small\n", "", "s.yaml:1:1: name: is missing"),
        ("name: small", "name: small\nseed: yes", "s.yaml:2:1: seed: should be a valid integer"),
        ("name: small", "name: small\nseed: 1\nseed: 2", "s.yaml:3:1: seed: this key occurs twice"),
        ("concurrency: 2", "concurrency: 0",
         "s.yaml:2:8: load.concurrency: should be greater than or equal to 1"),
        ("concurrency: 2, ", "",
         "s.yaml:2:1: load: give exactly one of concurrency, arrivals and arrivals_per_second"),
        (", duration_seconds: 3}", "}",
         "s.yaml:2:1: load: give duration_seconds or sessions, or it would never end"),
        ("{uniform: [3, 5]}", "{uniform: [5, 3]}",
         "s.yaml:10:5: services[0].duration_seconds: uniform needs the smaller number first"),
        ("{uniform: [3, 5]}", "{uniform: [3, 5], fixed: 4}",
         ("s.yaml:10:5: services[0].duration_seconds:"
         " give a number or exactly one of uniform, exponential, one_of")),
        ("kind: data", "kind: fax",
         ("s.yaml:9:5: services[0]: kind should be data, voice, sms, mms, balance_check or"
          " price_enquiry")),
        ("rating_group: 100", "rating_group: -1",
         ("s.yaml:11:22: services[0].rating_groups[0].rating_group:"
         " should be greater than or equal to 0")),
        ("count: 10", "count: 100",
         "s.yaml:6:5: subscribers[0]: '+155500000##' has room for numbers up to 99, not for 100"),
        ("+155500000##", "+1555#0#",
         ("s.yaml:7:18: subscribers[0].identities[0]:"
         " needs one run of # characters for the subscriber's number")),
        ("realm: net.example}", "realm: net.example, connections: 2}",
         ("s.yaml:4:5: gateways[0]:"
         " several connections need {n} in origin_host: a host connects once")),
        ("realm: net.example}", "realm: net.example, services: [sms]}",
         "s.yaml:1:1: no gateway carries data"),
        ("name: small", "name: small\nmode: prepared\nspeed_up: 0",
         "s.yaml:3:1: speed_up: should be greater than 0"),
        ("[{rating_group: 100, octets_per_second: 1000}]", "[]",
         "s.yaml:11:5: services[0].rating_groups: must not be empty"),
        ("name: small", "name: [small", ("s.yaml:3:9: not readable as YAML: did not find expected"
         " ',' or ']'")),
        ("name: small", "name: &n small\ndescription: *n",
         "s.yaml:2:14: aliases are not allowed; write the value again"),
    ],
)  # fmt: skip
def test_each_mistake_is_reported_at_its_place(old, new, problem):
    assert old in GOOD
    found = problems_of(GOOD.replace(old, new))
    if "not readable" in problem:  # the words are PyYAML's, and the place its own
        assert len(found) == 1
        assert "not readable as YAML" in found[0]
    else:
        assert found == [problem]


def test_all_mistakes_are_reported_together_in_the_order_of_their_lines():
    text = GOOD.replace("concurrency: 2", "concurrency: x").replace("count: 10", "count: -1")
    text = text.replace("kind: data", "kind: data\n    colour: red")
    lines = [int(problem.split(":")[1]) for problem in problems_of(text)]
    assert len(lines) == 3
    assert lines == sorted(lines)


@pytest.mark.rule("X-002")
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("", "", "mode: prepared knows data, voice and sms with manner: iec only"),
        ("manner: ecur", "manner: iec", ""),
        ("concurrency: 2, duration_seconds: 3", "arrivals_per_second: 2, duration_seconds: 3",
         "mode: prepared needs load.concurrency and load.duration_seconds"),
        ("net.example}", "net.example, shape: kamailio, services: [voice]}", "no gateway carries"),
    ],
)  # fmt: skip
def test_prepared_load_is_simple(old, new, problem):
    text = GOOD.replace("name: small", "name: small\nmode: prepared") + (
        '  - {kind: sms, manner: ecur, destinations: [{number: "1"}]}\n'
    )
    text = text.replace(old, new)
    if problem:
        assert problem in problems_of(text)[0]
    else:
        assert parse_scenario(text, "s.yaml").mode == "prepared"


@pytest.mark.parametrize("text", ["", "[]", "7", "x: " + "y" * SIZE_MAX, "[" * 1200])
def test_what_is_no_scenario_at_all_is_refused(text):
    assert problems_of(text)


def test_two_gateways_cannot_be_the_same_host():
    document = yaml.safe_load(GOOD)
    document["gateways"] *= 2
    text = yaml.dump(document, Dumper=_NoAliases)
    assert any("two connections would be pgw1.net.example" in one for one in problems_of(text))


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True


def test_open5gs_has_one_rating_group():
    text = GOOD.replace("realm: net.example}", "realm: net.example, shape: open5gs}")
    parse_scenario(text, "s.yaml")
    twice = text.replace(
        "[{rating_group: 100, octets_per_second: 1000}]",
        "[{octets_per_second: 1}, {rating_group: 2, octets_per_second: 1}]",
    )
    assert "charges a bearer as one" in problems_of(twice)[0]


@pytest.mark.parametrize(
    ("form", "low", "high"),
    [
        ({"fixed": 4}, 4, 4),
        ({"uniform": (2, 6)}, 2, 6),
        ({"exponential": 5}, 0, 50),
        ({"one_of": (1, 9)}, 1, 9),
    ],
)
def test_distributions_stay_in_their_range(form, low, high):
    distribution = Distribution(**form)
    dice = random.Random(5)
    values = [distribution.sample(dice) for _ in range(500)]
    assert low <= min(values) <= max(values) <= high
    again = random.Random(5)
    assert values == [distribution.sample(again) for _ in range(500)]
