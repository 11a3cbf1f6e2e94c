"""The JSON Schema of catalogues and the loader know the same keys and refuse the same mistakes."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ocs import yamldoc
from ocs.catalog.loading import number_plans
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.loading.schema import catalogue_schema
from ocs.errors import DocumentError
from ocs.marked import Document, Mapping, Node, Scalar, Sequence
from tests.support.catalogue_parts import TIERS_AND_CALLS
from tests.support.worked import with_files

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "catalogues"
SCHEMA = catalogue_schema()

RICH = number_plans.attach("""\
name: Rich
currency: EUR
time_zone: Europe/Madrid
effective: 2026-03-01T00:00
taxes:
  vat: {rate: 7.5 %, included: false}
holidays:
  national: [2026-12-25]
time_bands:
  day: {days: [mon-fri, holidays], from: 08:00, to: 20:00}
destinations:
  near: [34, +346]
number_plans:
  - {file: prefixes.csv}
networks:
  home: 214-07
  eu: [208]
locations:
  campus: [214-07/5001, 214-07//12]
units:
  kWh: {decimals: 3}
attributes:
  meter: [day, night]
  site: any
pools:
  shared: {number: 1, unit: 0.000001}
notify: {used: [50 %, 80], low_balance: 5.00, expiry: [7 d, 1 d], caps: 100 %}
services:
  energy: {unit: kWh}
  web:
    contexts: 32251@3gpp.org
    rating_groups: 1
    unit: octets
    pool: shared
    quota: {slice: 1 MB, threshold: 20 %, triggers: [rat, 60], envelopes: time}
""" + TIERS_AND_CALLS + """\
plans:
  basic:
    open_sessions: keep
    final_unit: {action: restrict, filter_ids: [menu]}
    notify: {roaming: true, renewal: true, life_cycle: true, used: []}
    services:
      web: {price: 0.02, per: 1 MB, increment: 100 kB}
      tiers: {stepped: [{up_to: 1 GB, price: 0.02}, {price: 0.01}], per: 1 MB, increment: 1 MB}
      call:
        clock: subscriber
        prices:
          - {when: {visited: eu, rat: [nr, 9]}, price: 2, per: 1 min, increment: 1 s}
          - {when: {location: campus, roaming: false}, price: 1, per: 1 min, increment: 1 s}
          - {destination: near, price: 0.12, per: 1 min, increment: 1 s, setup: 0.10}
          - {time_band: day, price: 0.60, per: 1 min, increment: 60 s, code: by-day}
          - {price: 0.30, per: 1 min, increment: 60 s}
  other:
    services:
      web: free
      tiers: {flat: 1.50}
      call: {charge: uncontrolled}
    allowances: {}
  third:
    services:
      tiers: {price: 0.02, package: 1 MB}
      energy:
        prices:
          - {when: {meter: night, site: [a, b]}, price: 0.10, increment: 1 kWh}
          - {price: 0.20, increment: 1 kWh}
    allowances:
      solar: {unit: kWh, amount: 20 kWh}
      first: {unit: octets, amount: 1 GB, services: tiers, expires_after: 30 d}
    recurring:
      base:
        every: 3 months
        day: 1
        at: 06:30
        fee: 9.99
        allowances: [solar]
        prorate: true
        retry: [1 h, 1 d]
        unpaid: bar
        tax: vat
examples:
  - {plan: basic, service: web, used: 1 MB, when: {rat: wlan}, costs: 0.02}
  - {plan: basic, service: call, used: 1, to: +34911, at: 2025-03-04, costs: 0.102}
""", {"prefixes.csv": "33,near\n"})  # fmt: skip
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def texts() -> dict[str, str]:
    """The catalogues that there are: samples, those of the document, and the one above."""
    found = {path.name: yamldoc.read_text(path) for path in sorted(FOLDER.glob("*.yaml"))}
    document = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    blocks = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks.findall(document)):
        found[f"catalogue.md:{number}"] = with_files(block)
    return {**found, "rich": RICH}


TEXTS = texts()


@cache
def loaded(name: str) -> Document:
    document = yamldoc.parse(TEXTS[name], name)
    load_catalog(document)
    return document


def plain(node: Node) -> Any:
    """What an editor makes of a value: numbers, booleans and texts of YAML 1.2."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(value) for value in node.items]
    assert isinstance(node, Scalar)
    if node.plain and node.text in _NULLS:
        return None
    if node.plain and node.text.lower() in {"true", "false"}:
        return node.text.lower() == "true"
    if node.plain and (match := _NUMBER.fullmatch(node.text)):
        return float(node.text) if match[2] or match[3] else int(node.text)
    return node.text


def mistakes(text: str) -> list[str]:
    """What the schema finds wrong with a catalogue."""
    validator = jsonschema.Draft7Validator(SCHEMA)
    document = plain(yamldoc.parse(text, "text.yaml").root)
    return [error.message for error in validator.iter_errors(document)]


def groups(node: Node, schema: dict[str, Any], name: str) -> Iterator[tuple[str, Mapping, Any]]:
    """Every group of a document with known keys, its schema and what the schema calls it."""
    while "$ref" in schema or "allOf" in schema:
        reference = schema["$ref"] if "$ref" in schema else schema["allOf"][0]["$ref"]
        name = reference.rpartition("/")[2]
        schema = SCHEMA["definitions"][name]
    kind = "array" if isinstance(node, Sequence) else "object"
    for branch in schema.get("anyOf", ()):
        if "$ref" in branch or branch.get("type") == kind:
            fits = isinstance(node, Sequence) == (branch.get("type") == "array")
            if fits and not isinstance(node, Scalar):
                yield from groups(node, branch, name)
    if isinstance(node, Sequence) and "items" in schema:
        for member in node.items:
            yield from groups(member, schema["items"], name)
    elif isinstance(node, Mapping) and "properties" in schema:
        yield name, node, schema
        for key, member in node.entries.items():
            declared = schema["additionalProperties"]
            known = schema["properties"].get(key, declared) if declared else (
                schema["properties"][key]
            )
            yield from groups(member, known, f"{name}.{key}")
    elif isinstance(node, Mapping) and isinstance(schema.get("additionalProperties"), dict):
        for member in node.entries.values():
            yield from groups(member, schema["additionalProperties"], name)


@pytest.mark.rule("K-104")
def test_the_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.rule("K-104")
def test_the_file_is_the_schema():
    path = FOLDER / "catalogue.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == SCHEMA


@pytest.mark.rule("K-104")
@pytest.mark.parametrize("name", TEXTS)
def test_the_schema_accepts_what_the_loader_does(name):
    assert loaded(name)
    assert mistakes(TEXTS[name]) == []


@pytest.mark.rule("K-104")
def test_schema_and_loader_know_the_same_keys_in_every_group():
    asked: dict[str, set[str]] = {}
    known: dict[str, set[str]] = {}
    for name in TEXTS:
        for group, node, schema in groups(loaded(name).root, SCHEMA, "catalogue"):
            asked.setdefault(group, set()).update(node._known)
            known[group] = {*schema["properties"]}
    for name in TEXTS:
        asked["when"] -= {*loaded(name).root.mapping("attributes").keys}
    asked["terms"].discard("when")  # asked for in order to say that it stands in the wrong place
    assert asked == known
    assert {*SCHEMA["definitions"]} <= {*known}


@pytest.mark.rule("K-104")
@pytest.mark.parametrize(
    "old,new",
    [
        ("name: Rich\n", ""),
        ("name: Rich", "nmae: Rich\nname: Rich"),
        ("currency: EUR", "currency: EURO"),
        ("national: [2026-12-25]", "national: [25 December]"),
        ("from: 08:00", "from: 25:00"),
        ("from: 08:00", "form: 08:00"),
        ("near: [34, +346]", "near: [34, three]"),
        ("{file: prefixes.csv}", "{files: prefixes.csv}"),
        ("{file: prefixes.csv}", "{file: ../prefixes.csv}"),
        ("home: 214-07", "home: Spain"),
        ("214-07//12", "214-07"),
        ("  web:\n    contexts", "  Web:\n    contexts"),
        ("number: 1,", "number: 0,"),
        ("unit: 0.000001", "unit: much"),
        ("    contexts: 32260@3gpp.org\n", ""),
        ("rating_groups: 1\n", "rating_groups: 4294967296\n"),
        ("rating_groups: [2]", "rating_groups: [two]"),
        ("default: true", "default: maybe"),
        ("unit: seconds", "unit: 5 minutes"),
        ("    unit: seconds\n", ""),
        ("slice: 1 MB, threshold", "slices: 1 MB, threshold"),
        ("slice: 1 min", "slice: -1"),
        ("threshold: 20 %", "threshold: 120 %"),
        ("triggers: [rat, 60]", "triggers: [rats]"),
        ("envelopes: time", "envelopes: weight"),
        ("type: discrete", "type: discreet"),
        ("type: discrete, interval: 6 s", "type: discrete"),
        ("identifier: 4", "identifier: four"),
        ("action: restrict,", "action: forbid,"),
        ("action: restrict, ", ""),
        ("final_unit: {action: restrict, filter_ids: [menu]}", "final_unit: redirect"),
        ("web: free", "web: fre"),
        ("charge: uncontrolled", "charge: 5"),
        ("web: {price: 0.02", "web: {flat: 1, price: 0.02"),
        ("web: {price: 0.02, ", "web: {"),
        ("price: 0.60", "price: -0.60"),
        ("price: 0.60", "price: dear"),
        ("price: 0.30,", ""),
        ("flat: 1.50", "flat: -1"),
        ("{up_to: 1 GB, price: 0.02}, ", ""),
        ("up_to: 1 GB, price: 0.02", "up_to: 1 GB"),
        ("code: by-day", "code: By Day"),
        ("rat: [nr, 9]", "rat: [5g]"),
        ("rat: [nr, 9]", "rat: [nr, 256]"),
        ("{meter: night, site", "{meter: late night, site"),
        ("roaming: false", "roaming: eu"),
        ("{visited: eu, rat: [nr, 9]}", "{}"),
        ("clock: subscriber", "clock: wall"),
        ("unit: octets, amount: 1 GB", "unit: 8 bits, amount: 1 GB"),
        ("amount: 1 GB, ", ""),
        ("expires_after: 30 d", "expires_after: 30 d, priority: 1001"),
        (", costs: 0.102", ""),
        ("to: +34911", "to: somebody"),
        ("costs: 0.02", "costs: 0.02, cost: 0.02"),
    ],
)
def test_mistakes_that_a_schema_can_see_are_refused_by_both(old, new):
    assert RICH.count(old) == 1
    text = RICH.replace(old, new)
    assert mistakes(text)
    with pytest.raises(DocumentError):
        load_catalog(yamldoc.parse(text, "text.yaml"))
