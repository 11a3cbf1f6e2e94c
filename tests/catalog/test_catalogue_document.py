"""docs/catalogue.md: its catalogues load, its costs are right, and it names every key there is."""

import re
from datetime import datetime

import pytest

from ocs import yamldoc
from ocs.amounts import parse_amount, parse_quantity
from ocs.catalog.conditions import DIMENSIONS
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.loading.quota import TRIGGERS
from ocs.catalog.loading.schema import catalogue_schema
from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.decision import ROLE_TERMINATING
from ocs.charging.model.messages import RatingAttributes
from ocs.errors import DocumentError
from ocs.provisioning.catalogues import catalogs
from ocs.rating.pricing import cost_micro
from tests.support.worked import DOCUMENT, EXAMPLES, TEXT, worked_life

COSTS = [
    (catalogue, row)
    for catalogue, tables in EXAMPLES for table in tables if "plan" in table[0] for row in table
]  # fmt: skip
LIVES = [
    (catalogue, table)
    for catalogue, tables in EXAMPLES for table in tables if "happens" in table[0]
]  # fmt: skip


def attributes(text):
    """What a client has said, from words such as ``rat_type=10 apn=fast``."""
    said = RatingAttributes()
    for name, _, value in (word.partition("=") for word in text.split()):
        kind = type(getattr(said, name))
        setattr(said, name, kind(value))
    return said


def test_every_catalogue_comes_with_what_it_costs_or_what_happens():
    assert len(EXAMPLES) >= 5
    assert all(tables for _, tables in EXAMPLES)
    assert len(COSTS) + sum(len(table) for _, table in LIVES) == sum(
        len(table) for _, tables in EXAMPLES for table in tables
    )


@pytest.mark.parametrize("catalogue,table", LIVES)
def test_the_life_of_an_account_is_what_the_document_says(catalogue, table, tmp_path):
    with worked_life(f"sqlite:///{tmp_path}/ocs.db", catalogue) as life:
        for row in table:
            life.play(row)


@pytest.mark.rule("M-002")
@pytest.mark.parametrize("catalogue,row", COSTS)
def test_cost_in_the_document_is_what_is_charged(catalogue, row):
    index = CatalogIndex(load_catalog(yamldoc.parse(catalogue, DOCUMENT.name)))
    service = index.catalog.services[row["service"]]
    terms = index.catalog.plans[row["plan"]].terms[row["service"]]
    when = datetime.fromisoformat(row.get("at", "2025-01-01T00:00+00:00"))
    said = attributes(row.get("said", ""))
    key = index.context_key(terms, index.zone_of(row.get("to", "")), said)
    slot = index.tariff_at(terms, key, int(when.timestamp()) * 10**9)
    if row.get("price") == "free":
        assert said.role_of_node == ROLE_TERMINATING
        assert slot.rule is None
        return
    assert slot.rule is not None
    assert slot.rule.code == row.get("price", row["service"])
    used = parse_quantity(row["used"], service.unit)
    assert cost_micro(slot.rule.price, used) == parse_amount(row["costs"])
    if "tax" in row:
        part = terms.tax.part_of(parse_amount(row["costs"])) if terms.tax else 0
        assert part == parse_amount(row["tax"])


@pytest.mark.parametrize("catalogue", [catalogue for catalogue, _ in EXAMPLES])
def test_every_catalogue_is_fit_to_be_published(catalogue):
    catalogs.check(catalogue, DOCUMENT.name)


def test_an_example_of_the_document_that_came_to_something_else_would_be_told():
    told = next(catalogue for catalogue, _ in EXAMPLES if "\nexamples:" in catalogue)
    with pytest.raises(DocumentError, match=r"0\.40"):
        catalogs.check(told.replace("costs: 0.40", "costs: 0.39"), DOCUMENT.name)


NOT_PLAYED = {
    "attributes", "charging_characteristics", "envelopes", "filter_ids", "filter_rules", "furnish",
    "interval", "ipv4", "ipv6", "plays_to", "qos", "rule_base", "sip", "time_mechanism", "type",
    "uses_quota", "zero_grant",
}
"""Keys of the schema without a worked example: words for gateways and kinds of addresses, which
have tests of their own."""


def keys_of(schema):
    """The keys of every group in a schema."""
    if isinstance(schema, list):
        return set().union(*map(keys_of, schema))
    if not isinstance(schema, dict):
        return set()
    groups = schema.get("properties", {})
    return {*groups} | set().union(*map(keys_of, schema.values()))


def test_every_key_is_in_a_worked_example():
    played = "".join(catalogue for catalogue, _ in EXAMPLES)
    missing = {key for key in keys_of(catalogue_schema()) if f"{key}:" not in played}
    assert missing <= NOT_PLAYED


def test_every_key_the_loader_knows_is_in_the_document():
    folder = DOCUMENT.parents[1] / "ocs" / "catalog"
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("loader*.py"))
    readers = "text|integer|boolean|choice|parsed|mapping|mappings|scalar|scalars|sequence"
    keys = set(re.findall(rf"\.(?:{readers})\(\s*\"(\w+)\"", source))
    keys |= set(re.findall(r"_(?:name|numbers|words|declared)\(\s*(?:group, )?\"(\w+)\"", source))
    keys |= set(TRIGGERS) | {dimension.name for dimension in DIMENSIONS}
    keys |= {"final_unit", "url", "ipv4", "ipv6", "sip"}
    assert len(keys) > 35
    assert {key for key in keys if f"`{key}`" not in TEXT and f"`{key}:" not in TEXT} == set()
