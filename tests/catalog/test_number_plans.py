"""Number plans in CSV files: one text with the catalogue, each mistake with its place, fast."""

import random
import time
from typing import Any, ClassVar

import pytest

from ocs import yamldoc
from ocs.catalog.loading import number_plans
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.errors import DocumentError
from ocs.provisioning.catalogues import catalogs

TEXT = """\
name: Test
currency: EUR
destinations:
  national: [34]
number_plans:
  - {file: prefixes.csv}
services:
  call:
    contexts: 32260@3gpp.org
    default: true
    unit: seconds
    destination_rated: true
    quota: {slice: 60 s}
plans:
  basic:
    services:
      call:
        prices:
          - {destination: national, price: 1, per: 60, increment: 1}
          - {destination: mobile, price: 2, per: 60, increment: 1}
          - {price: 3, per: 60, increment: 1}
"""
PLAN = """\
prefix;destination;comment
# Spain
346;mobile;anyone

"347";"mobile"
34900;free-phone
"""


@pytest.fixture
def catalogue(tmp_path):
    def write(text=TEXT, prefixes=PLAN):
        for name, content in (("prefixes", prefixes), ("empty", "prefix,destination\n")):
            (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
        path = tmp_path / "catalogue.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def load(path):
    return load_catalog(yamldoc.parse(catalogs.read(path), str(path)))


def problems(path):
    with pytest.raises(DocumentError) as refusal:
        load(path)
    return [
        (one.source.rpartition("/")[2], one.line, one.column, one.message)
        for one in refusal.value.problems
    ]


@pytest.mark.rule("K-020")
def test_destinations_of_the_file_and_of_the_catalogue_are_one_plan(catalogue):
    catalog = load(catalogue())
    assert catalog.zones == {
        "national": ("34",), "mobile": ("346", "347"), "free-phone": ("34900",)
    }
    index = CatalogIndex(catalog)
    assert [index.zone_of(number) for number in ("34911", "34699", "349001", "44")] == [
        "national", "mobile", "free-phone", ""
    ]


@pytest.mark.rule("K-021")
def test_what_is_published_needs_no_file(catalogue, tmp_path):
    path = catalogue()
    whole = catalogs.read(path)
    assert whole.startswith(TEXT)
    (tmp_path / "prefixes.csv").unlink()
    again = tmp_path / "published.yaml"
    again.write_text(whole, encoding="utf-8")
    assert catalogs.read(again) == whole
    assert load(again).zones == load_catalog(yamldoc.parse(whole, "version 1")).zones
    assert load(again).source == whole
    assert load(again).zones["mobile"] == ("346", "347")


@pytest.mark.rule("K-021")
def test_a_catalogue_without_number_plans_is_its_text(catalogue):
    text = TEXT.replace("number_plans:\n  - {file: prefixes.csv}\n", "").replace(
        "  national: [34]", "  national: [34]\n  mobile: [346]"
    )
    assert catalogs.read(catalogue(text)) == text


@pytest.mark.rule("K-020")
@pytest.mark.parametrize(
    "plan,place,words",
    [
        ("346,mobile\n34x,mobile\n", (2, 1), "'34x' is no prefix of 1 to 15 digits"),
        ("346,mobile\n346,national\n", (2, 1), "given twice; the first is in line 1 of prefixes"),
        ("346,mobile\n34,mobile\n", (2, 1), "given twice; the first is in line 4"),
        ("346,mobile\n347\n", (2, 1), "a line needs a prefix and a destination"),
        ("346,mobile\n347,Mobile!\n", (2, 5), "cannot be the code of a destination"),
    ],
)
def test_a_mistake_has_its_line_in_the_file(catalogue, plan, place, words):
    (found,) = problems(catalogue(prefixes=plan))
    assert found[:3] == ("prefixes.csv", *place)
    assert words in found[3]


@pytest.mark.rule("K-020")
@pytest.mark.parametrize(
    "old,new,place,words",
    [
        ("prefixes.csv", "other.csv", (6, 12), "the file other.csv is not there"),
        ("prefixes.csv", "../prefixes.csv", (6, 12), "is no file name such as prefixes.csv"),
        ("prefixes.csv", "/etc/passwd", (6, 12), "is no file name such as prefixes.csv"),
        ("{file: prefixes.csv}", "{name: 5}", (6, 6), "'name' is no key"),
        ("csv}", "csv}\n  - {file: prefixes.csv}", (7, 12), "named twice"),
        ("prefixes.csv", "empty.csv", (6, 12), "has no prefixes"),
    ],
)
def test_a_mistake_has_its_place_in_the_catalogue(catalogue, old, new, place, words):
    found = problems(catalogue(TEXT.replace(old, new)))
    assert any(one[1:3] == place and words in one[3] for one in found), found


@pytest.mark.rule("K-022")
def test_the_longest_of_fifty_thousand_prefixes_is_found():
    chance = random.Random(7)
    rows = {
        str(chance.randrange(10 ** chance.randint(2, 9))): f"zone-{chance.randrange(400)}"
        for _ in range(70_000)
    }
    plan = dict(sorted(rows.items())[:50_000])
    plan["346"] = "mobile"
    text = TEXT.replace("  national: [34]", "  national: [0034]")
    content = "".join(f"{prefix},{zone}\n" for prefix, zone in plan.items())
    document = yamldoc.parse(number_plans.attach(text, {"prefixes.csv": content}), "large.yaml")
    began = time.process_time()
    index = CatalogIndex(load_catalog(document))
    assert time.process_time() - began < 20
    plan["0034"] = "national"
    for _ in range(2_000):
        number = str(chance.randrange(10**11))
        longest = max((one for one in (number[:length] for length in range(1, 12)) if one in plan),
                      key=len, default="")  # fmt: skip
        assert index.zone_of(number) == plan.get(longest, "")


class Number(str):
    """Digits that count how often a part of them is looked at."""

    __slots__ = ()
    looks: ClassVar[int] = 0

    def __getitem__(self, part: Any) -> str:
        Number.looks += 1
        return super().__getitem__(part)


@pytest.mark.rule("K-022")
def test_a_look_up_does_not_grow_with_the_plan():
    def looks(prefixes):
        rows = [f"{99_000_000 + one},mobile\n" for one in range(prefixes)]
        text = number_plans.attach(TEXT, {"prefixes.csv": "346,mobile\n" + "".join(rows)})
        index = CatalogIndex(load_catalog(yamldoc.parse(text, "plan.yaml")))
        number = Number("44123456789")
        Number.looks = 0
        assert index.zone_of(number) == ""
        return number.looks

    assert looks(10) == looks(20_000) == 3
