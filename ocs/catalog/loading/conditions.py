"""Conditions in a catalogue file: zones of networks and locations, and the ``when`` of a price.

Called by loading.document for what is declared once, and by loading.plans for each price. The words
are those of catalog.conditions.
"""

import re
from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ocs.catalog.conditions import (
    DIMENSIONS,
    FRIENDS,
    HOME,
    MEDIA,
    NO,
    RAT_NAMES,
    RECIPIENTS,
    RELATIONS,
    ROLES,
    YES,
    access_point,
)
from ocs.catalog.loading.units import attribute_value
from ocs.catalog.loading.values import check_code
from ocs.catalog.model import LIMIT, RELATION, Condition
from ocs.marked import Mapping, Scalar, unknown_word

MAX_MEMBERS = 200_000
MAX_RAT = 255

_OWN_NUMBER = re.compile(r"[0-9]{1,15}")
_NETWORK = re.compile(r"([0-9]{3})(?:-?([0-9]{2,3}))?")
_LOCATION = re.compile(r"([0-9]{3})-?([0-9]{2,3})/([0-9]{0,10})(?:/([0-9]{1,11}))?")
_APN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,98}[a-z0-9])?")
_RULE_BASE = re.compile(r"[^\s,]{1,64}")
_CHARACTERISTICS = re.compile(r"[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Names:
    """What conditions may refer to: zones declared in the same file."""

    zones: dict[str, tuple[str, ...]]
    networks: dict[str, tuple[str, ...]]
    locations: dict[str, tuple[str, ...]]
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values that recorded usage may say of itself; () = any."""
    own_numbers: tuple[str, ...] = ()
    """Prefixes of the numbers of our own network."""


def read_own_numbers(root: Mapping) -> tuple[str, ...]:
    """Return the prefixes of the numbers of our own network."""
    found: dict[str, Scalar] = {}
    for scalar in root.scalars("own_numbers"):
        digits = scalar.text.removeprefix("+")
        if not _OWN_NUMBER.fullmatch(digits):
            scalar.problem(f"{scalar.describe()} is no prefix of 1 to 15 digits such as 34600")
        elif found.setdefault(digits, scalar) is not scalar:
            scalar.problem(
                f"{scalar.describe()} is given twice; the first is in line {found[digits].line}"
            )
    return tuple(found)


def read_networks(root: Mapping) -> dict[str, tuple[str, ...]]:
    """Return the network zones: MCCs and PLMNs by name."""
    return _read_zones(root, "networks", "network", _network)


def read_locations(root: Mapping) -> dict[str, tuple[str, ...]]:
    """Return the location zones: areas and cells by name."""
    return _read_zones(root, "locations", "location", _location)


def _read_zones(
    root: Mapping, section: str, what: str, parse: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    group = root.mapping(section)
    zones: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    for key, _ in group.members():
        name = check_code(key, what)
        members = []
        for scalar in group.scalars(key.text):
            member = scalar.parsed(parse, "")
            if not member:
                continue
            if (line := lines.get(member)) is not None:
                scalar.problem(f"{scalar.describe()} is given twice; the first is in line {line}")
            elif len(lines) >= MAX_MEMBERS:
                scalar.problem(f"there are more than {MAX_MEMBERS} members of {section}")
                return zones
            else:
                lines[member] = scalar.line
                members.append(member)
        if not group.sequence(key.text):
            key.problem(f"{what} '{name}' has no members")
        zones[name] = tuple(members)
    return zones


def _network(text: str) -> str:
    match = _NETWORK.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is neither an MCC such as 214 nor a network such as 214-07")
    return match[1] + (match[2] or "")


def _location(text: str) -> str:
    match = _LOCATION.fullmatch(text)
    if match is None or not (match[3] or match[4]):
        raise ValueError(
            f"'{text}' is no place: network, area and cell, such as 214-07/5001, "
            "214-07/5001/12 or 214-07//12"
        )
    place = f"{match[1]}{match[2]}/{_plain(match[3])}"
    return place if match[4] is None else f"{place}/{_plain(match[4])}"


def _plain(digits: str) -> str:
    return str(int(digits)) if digits else ""


NO_LIMITS: AbstractMapping[str, object] = MappingProxyType({})


class ConditionReader:
    """Reads ``when`` groups and remembers which declared names they use."""

    def __init__(
        self, names: Names, used: set[tuple[str, str]],
        limits: AbstractMapping[str, object] = NO_LIMITS,
    ) -> None:
        self._names = names
        self._limits = limits
        """Those of the plan after which a price changes."""
        self._used = used
        self.sound = True
        """Whether every word so far was known."""

    def read(self, group: Mapping) -> tuple[Condition, ...]:
        """Return the conditions under ``when``, in the order in which they decide."""
        when = group.mapping("when")
        if group.has("when") and not when.entries:
            when.problem("there is no condition; leave 'when' out")
        readers: dict[str, Callable[[Mapping], tuple[str, ...]]] = {
            LIMIT: lambda group: self._declared(group, LIMIT, "limit", self._limits),
            RELATION: self._relation,
            "role": lambda group: self._words(group, "role", set(ROLES.values())),
            "visited": lambda group: self._declared(
                group, "visited", "network", self._names.networks
            ),
            "roaming": self._roaming,
            "location": lambda group: self._declared(
                group, "location", "location", self._names.locations
            ),
            "recipient": lambda group: self._words(group, "recipient", set(RECIPIENTS.values())),
            "media": lambda group: self._words(group, "media", set(MEDIA)),
            "rat": lambda group: self._parsed(group, "rat", self._rat),
            "apn": lambda group: self._parsed(group, "apn", _apn),
            "rule_base": lambda group: self._parsed(group, "rule_base", _rule_base),
            "charging_characteristics": lambda group: self._parsed(
                group, "charging_characteristics", _characteristics
            ),
            "origin": lambda group: self._declared(
                group, "origin", "destination", self._names.zones
            ),
        }
        conditions = []
        for dimension in DIMENSIONS:
            labels = readers[dimension.name](when)
            if labels:
                conditions.append(Condition(dimension.name, labels))
        for name, values in self._names.attributes.items():
            labels = self._attribute(when, name, values)
            if labels:
                conditions.append(Condition(name, labels))
        when.finish()
        return tuple(conditions)

    def _parsed(
        self, group: Mapping, key: str, parse: Callable[[Scalar], str]
    ) -> tuple[str, ...]:
        """Return the labels under ``key``, each once."""
        if not group.has(key):
            return ()
        labels: list[str] = []
        for scalar in group.scalars(key):
            label = parse(scalar)
            if not label:
                self.sound = False
            elif label in labels:
                scalar.problem(f"{scalar.describe()} is given twice")
            else:
                labels.append(label)
        if not group.sequence(key):
            group.keys[key].problem(f"'{key}' names nothing")
            self.sound = False
        return tuple(labels)

    def _words(self, group: Mapping, key: str, words: set[str]) -> tuple[str, ...]:
        def parse(scalar: Scalar) -> str:
            if scalar.text in words:
                return scalar.text
            scalar.problem(unknown_word(scalar.text, f"no {key}", words))
            return ""

        return self._parsed(group, key, parse)

    def _declared(
        self, group: Mapping, key: str, kind: str, known: AbstractMapping[str, object]
    ) -> tuple[str, ...]:
        def parse(scalar: Scalar) -> str:
            self._used.add((kind, scalar.text))
            if scalar.text in known:
                return scalar.text
            scalar.problem(unknown_word(scalar.text, f"no {kind} of this catalogue", known))
            return ""

        return self._parsed(group, key, parse)

    def _attribute(self, group: Mapping, name: str, values: tuple[str, ...]) -> tuple[str, ...]:
        def parse(scalar: Scalar) -> str:
            if not values or scalar.text in values:
                return attribute_value(scalar)
            scalar.problem(unknown_word(scalar.text, f"no value of '{name}'", set(values)))
            return ""

        if group.has(name):
            self._used.add(("attribute", name))
        return self._parsed(group, name, parse)

    def _roaming(self, group: Mapping) -> tuple[str, ...]:
        if not group.has("roaming"):
            return ()
        roams = group.boolean("roaming", default=True)
        if HOME not in self._names.networks:
            group.keys["roaming"].problem(
                f"'roaming' needs a network '{HOME}' under networks, with your own networks"
            )
            self.sound = False
        return (YES if roams else NO,)

    def _relation(self, group: Mapping) -> tuple[str, ...]:
        labels = self._words(group, RELATION, set(RELATIONS))
        if set(labels) - {FRIENDS} and not self._names.own_numbers:
            group.keys[RELATION].problem(
                "on-net and off-net need own_numbers, the prefixes of your own network"
            )
            self.sound = False
        return labels

    def _rat(self, scalar: Scalar) -> str:
        if scalar.text in RAT_NAMES.values():
            return scalar.text
        if scalar.text.isdecimal():
            number = scalar.integer(0, MAX_RAT, -1)
            return "" if number < 0 else RAT_NAMES.get(number) or str(number)
        scalar.problem(unknown_word(scalar.text, "no radio access", set(RAT_NAMES.values())))
        return ""


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Scalar], str]:
    def parse(scalar: Scalar) -> str:
        if pattern.fullmatch(scalar.text):
            return scalar.text
        scalar.problem(f"{scalar.describe()} is no {what}")
        return ""

    return parse


_rule_base = _matching(_RULE_BASE, "name of a rule base without spaces and commas")


def _apn(scalar: Scalar) -> str:
    name = access_point(scalar.text)
    if _APN.fullmatch(name):
        return name
    scalar.problem(f"{scalar.describe()} is no access point name such as internet")
    return ""


def _characteristics(scalar: Scalar) -> str:
    digits = scalar.text.lower()
    if _CHARACTERISTICS.fullmatch(digits):
        return digits
    scalar.problem(f"{scalar.describe()} is not four hexadecimal digits such as 0800")
    return ""


def condition_code(conditions: tuple[Condition, ...]) -> list[str]:
    """Return the parts that conditions add to a price's default code."""
    return [
        ("roaming" if one.labels[0] == YES else HOME)
        if one.dimension == "roaming"
        else "-".join(one.labels)
        for one in conditions
    ]
