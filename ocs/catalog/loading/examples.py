"""Examples of a catalogue file: usage, and what it must cost before the file may be published.

Called by loading.document after everything else is read. What an example comes to is computed by
provisioning.catalogues.examples; here is only whether it asks for something that exists.
"""

import re
from collections.abc import Mapping as AbstractMapping
from typing import TypeVar
from zoneinfo import ZoneInfo

from ocs.amounts import parse_amount
from ocs.catalog.loading.conditions import ConditionReader, Names
from ocs.catalog.loading.values import at_least, instant_in
from ocs.catalog.model import Condition, Example, Plan, Service
from ocs.marked import Mapping, unknown_word

Entry = TypeVar("Entry")

MAX_EXAMPLES = 1_000
_KEYS = ("used", "before", "to", "at", "when", "clock", "costs", "price")
_NUMBER = re.compile(r"\+?([0-9]{1,15})")
_CLOCK = re.compile(r"[-+](?:0[0-9]|1[0-9]):[0-5][0-9]")


class ExampleReader:
    """Reads the examples of one catalogue; ``time_zone`` is that of times without an offset."""

    def __init__(
        self, services: dict[str, Service], plans: dict[str, Plan], names: Names, time_zone: str
    ) -> None:
        self._services = services
        self._plans = plans
        self._names = names
        self._zone = ZoneInfo(time_zone)

    def read(self, root: Mapping) -> tuple[Example, ...]:
        """Return the examples in the order of the file; those that ask for nothing are left out."""
        examples: list[Example] = []
        for group in root.mappings("examples"):
            if len(examples) >= MAX_EXAMPLES:
                group.problem(f"there are more than {MAX_EXAMPLES} examples")
                break
            example = self._read(group)
            if example is not None:
                examples.append(example)
        return tuple(examples)

    def _read(self, group: Mapping) -> Example | None:
        plan = _named(group, "plan", self._plans)
        service = _named(group, "service", self._services)
        if plan is None or service is None:
            for key in _KEYS:
                group.get(key)
            group.finish()
            return None
        terms = plan.terms.get(service.code)
        if terms is None:
            group.entries["service"].problem(
                f"plan '{plan.code}' does not sell service '{service.code}'"
            )
        elif any(rule.band for rule in terms.rules) and not group.has("at"):
            group.missing("at", "its price depends on the time, such as 2025-03-04T12:00")
        if group.has("to") and not service.destination_rated:
            group.keys["to"].problem(f"service '{service.code}' is not rated by destination")
        whole = at_least(0, service.counted_in)
        costs = group.get("costs") or group
        example = Example(
            plan=plan.code,
            service=service.code,
            used=group.parsed("used", whole, 0, required=True),
            before=group.parsed("before", whole, 0),
            destination=group.parsed("to", _number, ""),
            at_ns=group.parsed("at", instant_in(self._zone), 0),
            when=self._when(group, plan),
            clock=group.parsed("clock", _clock, ""),
            costs_micro=group.parsed("costs", parse_amount, 0, required=True),
            price=group.text("price", ""),
            line=costs.line,
            column=costs.column,
        )
        group.finish()
        return example

    def _when(self, group: Mapping, plan: Plan) -> tuple[Condition, ...]:
        """Return what is true of the usage: one label in each condition that is given."""
        limits = {one.code: one for one in plan.limits if one.changes_price}
        conditions = ConditionReader(self._names, set(), limits).read(group)
        for one in conditions:
            if len(one.labels) != 1:
                group.mapping("when").entries[one.dimension].problem(
                    f"usage has one {one.dimension.replace('_', ' ')}; give a single value"
                )
        return conditions


def _named(group: Mapping, key: str, known: AbstractMapping[str, Entry]) -> Entry | None:
    """Return what the code under ``key`` names."""
    node = group.scalar(key, required=True)
    if node is None:
        return None
    if node.text not in known:
        node.problem(unknown_word(node.text, f"no {key} of this catalogue", known))
    return known.get(node.text)


def _number(text: str) -> str:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no number of 1 to 15 digits such as +34600123456")
    return match[1]


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError(f"'{text}' is no clock such as +02:00")
    return text
