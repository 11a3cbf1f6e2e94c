"""Two catalogues compared by meaning: nothing that matters is missed, nothing else is reported."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from ocs import yamldoc
from ocs.catalog.model import Catalog, Price
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalog_diff import changes_view, differences
from tests.support.catalogue_parts import TIERS_AND_CALLS

SAMPLES = sorted((Path(__file__).parents[2] / "config" / "catalogues").glob("*.yaml"))

RICH = """\
name: Rich
currency: EUR
time_zone: Europe/Madrid
time_bands:
  day: {days: mon-fri, from: 08:00, to: 20:00}
  night: {from: 22:00, to: 06:00}
destinations:
  near: [34, 346]
networks:
  home: [214-07]
  eu: [208]
locations:
  campus: [214-07/5001]
pools:
  shared: {number: 1, unit: 0.000001}
services:
  web:
    contexts: 32251@3gpp.org
    rating_groups: [1]
    service_identifiers: [7]
    unit: octets
    pool: shared
    quota: {slice: 1 MB, triggers: [rat], furnish: hello}
""" + TIERS_AND_CALLS + """\
plans:
  basic:
    name: Basic
    low_balance: 1
    final_unit: {action: restrict, filter_rules: [permit out ip from 192.0.2.1 to assigned]}
    services:
      web:
        final_unit: {action: redirect, url: http://topup.example/}
        quota: {slice: 2 MB}
        price: 0.02
        per: 1 MB
        increment: 100 kB
      tiers:
        stepped:
          - {up_to: 1 GB, price: 0.02, flat: 0.01}
          - {price: 0.01}
        per: 1 MB
        increment: 1 MB
        maximum: 40
      call:
        prices:
          - {when: {visited: eu}, price: 2, per: 1 min, increment: 1 s}
          - {when: {rat: nr, location: campus}, price: 3, per: 1 min, increment: 1 s}
          - {destination: near, price: 0.12, per: 1 min, increment: 1 s, setup: 0.10}
          - {time_band: day, price: 0.60, per: 1 min, increment: 60 s, minimum: 60 s}
          - {time_band: night, price: 0.20, per: 1 min, increment: 60 s}
          - {price: 0.30, per: 1 min, increment: 60 s}
    allowances:
      first: {unit: octets, amount: 1 GB, services: web, expires_after: 30 d}
      second: {unit: octets, amount: 1 GB, services: web, expires_after: 30 d}
examples:
  - plan: basic
    service: call
    before: 60
    used: 60
    to: 34911
    at: 2025-03-04T12:00
    clock: "+01:00"
    when: {rat: wlan}
    costs: 0.12
    price: call.near
"""


def read(text: str) -> Catalog:
    return catalogs.check(text, "rich.yaml")


CATALOG = read(RICH)


def other_values(value: Any, keyed: bool = False) -> Iterator[tuple[str, Any]]:
    """Values that differ from ``value`` in one place, and where."""
    if is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            said = keyed and one.name in {"code", "service"}
            if not one.init or not one.compare or one.name in {"version", "source"} or said:
                continue
            if isinstance(value, Price) and not value.tiers and one.name == "volume":
                continue
            for where, other in other_values(getattr(value, one.name)):
                yield f"{one.name}.{where}", replace(value, **{one.name: other})
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield key, {name: kept for name, kept in value.items() if name != key}
            for where, other in other_values(member, keyed=True):
                yield f"{key}.{where}", {**value, key: other}
    elif isinstance(value, tuple):
        for index, member in enumerate(value):
            yield f"-{index}", (*value[:index], *value[index + 1 :])
            for where, other in other_values(member):
                yield f"{index}.{where}", (*value[:index], other, *value[index + 1 :])
    elif isinstance(value, frozenset):
        yield "+", value ^ {6}
    elif isinstance(value, bool):
        yield "not", not value
    elif isinstance(value, IntEnum):
        yield "other", next(one for one in type(value) if one is not value)
    elif isinstance(value, int):
        yield "+", value + 1000
    elif isinstance(value, str):
        yield "x", f"{value}x"


CHANGED = list(other_values(CATALOG))


@pytest.mark.rule("K-103")
def test_every_field_of_the_model_makes_a_difference():
    assert len(CHANGED) > 250
    ends = {"plans.basic.terms.tiers.rules.0.price.tiers.0.up_to.+", "bands.1.spans.0.weekdays.+"}
    assert ends <= {where for where, _ in CHANGED}
    missed = [where for where, changed in CHANGED if not differences(CATALOG, changed)]
    assert missed == []


@pytest.mark.rule("K-103")
def test_order_and_spelling_make_no_difference():
    respelled = (
        RICH.replace("slice: 1 MB,", "slice: 1_000 kB,")
        .replace("price: 0.30, per: 1 min", "price: 0.005, per: 1 s")
        .replace("near: [34, 346]", "near: [+346, 34]")
        .replace("first: {unit: octets, amount: 1 GB", "first: {unit: octets, amount: 1000 MB")
    )
    assert respelled.count("\n") == RICH.count("\n")
    line = "          - {price: 0.005, per: 1 s, increment: 60 s}\n"
    above = "          - {destination: near,"
    reordered = respelled.replace(line, "").replace(above, line + above)
    assert differences(CATALOG, read(f"# something said\n{reordered}")) == []


@pytest.mark.rule("K-103")
@pytest.mark.parametrize(
    "old,new,path,kind,before,after",
    [
        (
            "price: 0.02\n", "price: 0.03\n", "plans basic services web prices web price",
            "changed", "0.02 EUR per 1000000 octets, in steps of 100000",
            "0.03 EUR per 1000000 octets, in steps of 100000",
        ),
        (
            "second: {unit: octets", "third: {unit: octets", "plans basic allowances second",
            "removed",
            ("unit: octets, amount: 1000000000 octets, services: web, priority: 100, "
             "expires_after: 2592000 s, on_plan_change: keep"), "",
        ),
        (
            "quota: {slice: 2 MB}", "quota: {slice: 3 MB}",
            "plans basic services web quota slice", "changed", "2000000 octets", "3000000 octets",
        ),
        (
            "day: {days: mon-fri, from: 08:00, to: 20:00}\n  night: {from: 22:00, to: 06:00}",
            "night: {from: 22:00, to: 06:00}\n  day: {days: mon-fri, from: 08:00, to: 20:00}",
            "time_bands", "reordered", "day, night", "night, day",
        ),
        ("    low_balance: 1\n", "", "plans basic low_balance", "changed", "1.00", "none"),
        ("triggers: [rat]", "triggers: []", "services web quota metering triggers", "changed",
         "", ""),
    ],
)  # fmt: skip
def test_a_difference_says_where_and_what(old, new, path, kind, before, after):
    assert RICH.count(old) == 1
    first = changes_view(differences(CATALOG, read(RICH.replace(old, new))))[0]
    assert (" ".join(first["path"]), first["change"]) == (path, kind)
    assert (first["before"], first["after"]) == (before, after)


@pytest.mark.rule("K-103")
def test_members_of_a_list_are_told_one_by_one():
    [change] = differences(CATALOG, read(RICH.replace("near: [34, 346]", "near: [34, 347, 348]")))
    assert (change.path, change.added, change.removed) == (
        ("destinations", "near"), ("347", "348"), ("346",)
    )  # fmt: skip


@pytest.mark.rule("K-103")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_catalogue_does_not_differ_from_itself_but_from_others(path):
    catalog = catalogs.check(yamldoc.read_text(path), path.name)
    assert differences(catalog, catalogs.check(yamldoc.read_text(path), "again")) == []
    assert differences(catalog, CATALOG)
