"""Units and attributes that a catalogue file declares: kWh, GB-hours, the region of a server.

Called by loading.document before services are read. A named unit is counted in whole parts of its
decimals; an attribute is what recorded usage says of itself and prices may look at.
"""

import re

from ocs.amounts import UNIT_DECIMALS_MAX, Measured, NamedUnit, Unit, unit_name_problem
from ocs.catalog.conditions import CLOCK, DIMENSIONS
from ocs.catalog.exchange import purse_currency
from ocs.catalog.loading.values import check_code
from ocs.marked import Mapping, Scalar

MAX_UNITS = 100
MAX_ATTRIBUTES = 50
MAX_VALUES = 1_000
ATTRIBUTE_VALUE = r"[^\s,]{1,64}"
"""What an attribute may be: a word, which is what a price context can keep."""
ANY = "any"
_VALUE = re.compile(ATTRIBUTE_VALUE)
_TAKEN = {*(one.name for one in DIMENSIONS), CLOCK, "destination", "time_band", "when"}
_COUNTED: dict[str, Measured] = {
    unit.label: unit for unit in (Unit.OCTETS, Unit.SECONDS, Unit.EVENTS)
}


def read_units(root: Mapping) -> dict[str, NamedUnit]:
    """Return the units under ``units`` by name; no two differ in the size of letters only."""
    units: dict[str, NamedUnit] = {}
    small: dict[str, Scalar] = {}
    for key, node in root.mapping("units").members():
        if len(units) >= MAX_UNITS:
            key.problem(f"there are more than {MAX_UNITS} units")
            break
        if problem := unit_name_problem(key.text):
            key.problem(problem)
        first = small.setdefault(key.text.lower(), key)
        if first is not key:
            key.problem(f"'{key.text}' cannot be told from '{first.text}' in line {first.line}")
        if not isinstance(node, Mapping):
            node.problem(f"unit '{key.text}' needs a group of keys, such as {{decimals: 3}}")
            continue
        decimals = node.integer("decimals", 0, minimum=0, maximum=UNIT_DECIMALS_MAX)
        node.finish()
        units[key.text] = NamedUnit(key.text, decimals)
        if purse_currency(units[key.text].measure):
            key.problem(f"'{key.text}' is a currency, and would be paid from money in it")
    return units


def countable(units: dict[str, NamedUnit]) -> dict[str, Measured]:
    """Return everything that a service may be counted in, by the word for it."""
    return {**_COUNTED, **units}


def split_unit(counted: Measured) -> tuple[Unit, NamedUnit | None]:
    """Return the kind of unit and the name it has in this catalogue, if it has one of its own."""
    return (Unit.EVENTS, counted) if isinstance(counted, NamedUnit) else (counted, None)


def read_attributes(root: Mapping) -> dict[str, tuple[str, ...]]:
    """Return the attributes under ``attributes``: the values each may have, () where it is any."""
    attributes: dict[str, tuple[str, ...]] = {}
    group = root.mapping("attributes")
    for key, _ in group.members():
        if len(attributes) >= MAX_ATTRIBUTES:
            key.problem(f"there are more than {MAX_ATTRIBUTES} attributes")
            break
        name = check_code(key, "attribute")
        if name in _TAKEN:
            key.problem(f"'{name}' is something that prices look at in every catalogue")
        values: list[str] = []
        for scalar in group.scalars(name):
            value = attribute_value(scalar)
            if value in values:
                scalar.problem(f"{scalar.describe()} is given twice")
            elif len(values) >= MAX_VALUES:
                scalar.problem(f"there are more than {MAX_VALUES} values of '{name}'")
                break
            elif value:
                values.append(value)
        if not group.sequence(name):
            key.problem(f"attribute '{name}' needs its values, or the word {ANY}")
        if ANY in values and len(values) > 1:
            key.problem(f"'{ANY}' stands alone: it means every value")
        attributes[name] = () if values == [ANY] else tuple(values)
    return attributes


def attribute_value(scalar: Scalar) -> str:
    """Return a value of an attribute, "" after a problem."""
    if _VALUE.fullmatch(scalar.text):
        return scalar.text
    scalar.problem(f"{scalar.describe()} is no value: a word without spaces and commas, at most 64")
    return ""
