"""The JSON Schema of scenarios and the loader know the same keys and refuse the same mistakes."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from simulators.scenarios.model import Scenario
from simulators.scenarios.schema import scenario_schema
from tests.support.sources import ROOT

FOLDER = ROOT / "config" / "scenarios"
SCHEMA = scenario_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
LIBRARY = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in FOLDER.glob("*.yaml")}

RICH = yaml.safe_load("""\
name: rich
seed: 1
load:
  concurrency: 3
  think_seconds: {one_of: [1, 2.5]}
  think_time: real
  duration_seconds: 3
  warm_up_seconds: 1
gateways:
  - origin_host: pgw{n}.net.example
    origin_realm: net.example
    shape: generic
    connections: 2
    window: 3
    answer_timeout_seconds: 1.5
    retransmissions_max: 0
subscribers:
  - {name: a, count: 3, first: 7, share: 2, uses: [calls], plan: basic, balance: "1.50",
     activity: {zipf: 1.5}, identities: [{type: sip, pattern: "sip:##@net.example"}]}
services:
  - {kind: voice, name: calls, duration_seconds: 1, ring_seconds: {uniform: [1, 2]},
     answered_probability: 0.5, unanswered_causes: [480], requested_seconds: 3, role: terminating,
     rating_group: 1, service_identifier: 2, destinations: [{number: "+1#", weight: 2}]}
  - {kind: data, duration_seconds: {exponential: 3}, apn: ims, place: {plmn: "26201", rat: nr},
     moves: [{after_seconds: 3, plmn: "310260"}], rating_groups: [{octets_per_second: 1}]}
expect:
  - {name: all, service: calls, subscribers: a, request: initial, from_seconds: 1, to_seconds: 2.5,
     requests: {exactly: 3}, answered: {at_least: 0.5, at_most: 1}, nothing_lost: true,
     result_codes: [{code: 2001, of: service, count: {at_most: 3}},
                    {code: 4012, share: {exactly: 0}}],
     no_other_result_codes: true, final_units: [{action: redirect, count: {at_least: 1}}],
     granted: [{rating_group: 1, unit: seconds, each: {at_least: 1}, total: {at_least: 1}}],
     latency_ms: {p50: 1, max: 3.5}, rates: {answers_per_second: {at_least: 1}}}
  - {spent: {at_most: "3.50"}, held: {exactly: "0"}, balance: {at_least: "-1"}, reconciled: true}
""")
DOCUMENTS = {**LIBRARY, "rich": RICH}
WRONG: tuple[Any, ...] = (None, "x", "", -1, 0, 1 << 70, 0.5, True, [], {}, ["x"], {"x": 1}, [[]])
"""Each of these stands in place of each value of a document."""


def strict(value: Any) -> Any:
    """As the loader has it: lists are tuples."""
    if isinstance(value, list):
        return tuple(strict(member) for member in value)
    if isinstance(value, dict):
        return {key: strict(member) for key, member in value.items()}
    return value


def refusals(document: Any) -> set[str]:
    """The types of the loader's problems."""
    try:
        Scenario.model_validate(strict(document))
    except ValidationError as error:
        return {one["type"] for one in error.errors()}
    return set()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a document."""
    if path:
        yield path
    members: Any = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    for key, member in members:
        yield from places(member, (*path, key))


def changed(document: Any, path: tuple[Any, ...], change: Any) -> Any:
    """A copy in which `change` was called with what holds the value, and its key."""
    other = copy.deepcopy(document)
    holder = other
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return other


def disagreement(document: Any) -> str:
    """How schema and loader differ about a document; "" when they do not.

    What depends on several keys at once, a value_error, only the loader knows; a list with a wrong
    item then counts as too short, too.
    """
    refused = refusals(document)
    mistakes = [error.message for error in VALIDATOR.iter_errors(document)]
    if mistakes and not refused:
        return f"the schema alone refuses it: {mistakes[0]}"
    several_keys = {"value_error", "too_short"} if "value_error" in refused else set()
    if refused - several_keys and not mistakes:
        return f"the loader alone refuses it: {refused}"
    return ""


@pytest.mark.rule("X-003")
def test_the_schema_is_a_schema_and_the_file_is_it():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    path = FOLDER / "scenario.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == SCHEMA, (
        "make it again: ocs simulate schema > config/scenarios/scenario.schema.json"
    )


@pytest.mark.rule("X-003")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schema_accepts_what_the_loader_does(name):
    assert refusals(DOCUMENTS[name]) == set()
    assert [error.message for error in VALIDATOR.iter_errors(DOCUMENTS[name])] == []


@pytest.mark.rule("X-003")
@pytest.mark.parametrize("name", ["rich", "enquiries", "knee", "burst", "refunds"])
def test_both_refuse_the_same_mistakes(name):
    document = DOCUMENTS[name]
    found = []
    for path in places(document):
        absent = changed(document, path, lambda holder, key: holder.pop(key))
        found.append((path, "absent", disagreement(absent)))
        for value in WRONG:
            other = changed(
                document, path, lambda holder, key, v=value: holder.__setitem__(key, v)
            )
            found.append((path, repr(value), disagreement(other)))
    wrong = [one for one in found if one[2]]
    assert wrong == [], "\n".join(map(str, wrong))


@pytest.mark.rule("X-002")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_both_refuse_a_key_that_nobody_knows_in_every_group(name):
    document = DOCUMENTS[name]
    groups = [(), *(path for path in places(document) if isinstance(at(document, path), dict))]
    for path in groups:
        other = copy.deepcopy(document)
        at(other, path)["colour"] = "red"
        assert refusals(other) & {"extra_forbidden", "value_error"}, path
        assert list(VALIDATOR.iter_errors(other)), path


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document
