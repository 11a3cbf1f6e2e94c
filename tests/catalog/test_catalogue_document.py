"""docs/catalogue.md: its catalogues load, its costs are right, and it names every key there is."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from ocs import yamldoc
from ocs.amounts import parse_amount, parse_quantity
from ocs.catalog.loader import load_catalog
from ocs.catalog.matching import CatalogIndex
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


def test_every_catalogue_comes_with_costs():
    assert len(EXAMPLES) == 2
    assert all(table for _, table in EXAMPLES)


@pytest.mark.rule("M-002")
@pytest.mark.parametrize("catalogue,row", COSTS)
def test_cost_in_the_document_is_what_is_charged(catalogue, row):
    index = CatalogIndex(load_catalog(yamldoc.parse(catalogue, DOCUMENT.name)))
    service = index.catalog.services[row["service"]]
    terms = index.catalog.plans[row["plan"]].terms[row["service"]]
    when = datetime.fromisoformat(row.get("at", "2025-01-01T00:00+00:00"))
    slot = index.tariff_at(terms, index.zone_of(row.get("to", "")), int(when.timestamp()) * 10**9)
    assert slot.rule is not None
    assert slot.rule.code == row.get("price", row["service"])
    used = parse_quantity(row["used"], service.unit)
    assert cost_micro(slot.rule.price, used) == parse_amount(row["costs"])


def test_every_key_the_loader_knows_is_in_the_document():
    folder = DOCUMENT.parents[1] / "ocs" / "catalog"
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("loader*.py"))
    readers = "text|integer|boolean|choice|parsed|mapping|mappings|scalar|scalars|sequence"
    keys = set(re.findall(rf"\.(?:{readers})\(\s*\"(\w+)\"", source))
    keys |= set(re.findall(r"_(?:name|numbers)\((?:group, )?\"(\w+)\"", source))
    keys |= {"final_unit", "url", "ipv4", "ipv6", "sip"}
    assert len(keys) > 35
    assert {key for key in keys if f"`{key}`" not in TEXT and f"`{key}:" not in TEXT} == set()
