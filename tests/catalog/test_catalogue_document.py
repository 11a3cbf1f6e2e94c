"""docs/catalogue.md: its catalogues load, its costs are right, and it names every key there is."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from ocs import yamldoc
from ocs.amounts import parse_amount, parse_quantity
from ocs.catalog.conditions import DIMENSIONS
from ocs.catalog.loader import load_catalog
from ocs.catalog.loader_quota import TRIGGERS
from ocs.catalog.matching import CatalogIndex
from ocs.charging.decision import ROLE_TERMINATING
from ocs.charging.messages import RatingAttributes
from ocs.rating.pricing import cost_micro

DOCUMENT = Path(__file__).parents[2] / "docs" / "catalogue.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```yaml\n(.*?)^```\n(.*?)(?=^```|^#|\Z)", re.MULTILINE | re.DOTALL)


def rows(text):
    """The rows of the tables in a text, as dictionaries by column title."""
    table = [line.strip("|").split("|") for line in text.split("\n") if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in table]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]] if cells else []


EXAMPLES = [(catalogue, rows(after)) for catalogue, after in BLOCK.findall(TEXT)]
COSTS = [(catalogue, row) for catalogue, table in EXAMPLES for row in table]


def attributes(text):
    """What a client has said, from words such as ``rat_type=10 apn=fast``."""
    said = RatingAttributes()
    for name, _, value in (word.partition("=") for word in text.split()):
        kind = type(getattr(said, name))
        setattr(said, name, kind(value))
    return said


def test_every_catalogue_comes_with_costs():
    assert len(EXAMPLES) == 5
    assert all(table for _, table in EXAMPLES)


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
