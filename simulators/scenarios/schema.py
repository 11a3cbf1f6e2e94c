"""The JSON Schema of scenario files, for editors that complete and check while one types.

Printed by `ocs simulate schema`; the same is in config/scenarios. It is made from the models of the
loader; what depends on several keys at once only the loader knows.
"""

from typing import Any

from simulators.scenarios.model import Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER = {"type": "number", "minimum": 0}


def scenario_schema() -> dict[str, Any]:
    """Return the schema of a whole scenario file."""
    schema: dict[str, Any] = _plain(Scenario.model_json_schema())
    schema["$defs"]["Distribution"] = _distribution(schema["$defs"]["Distribution"])
    return {"$schema": DIALECT, **schema, "title": "Scenario of simulated gateways"}


def _distribution(group: dict[str, Any]) -> dict[str, Any]:
    """A number stands for a distribution too, and a group has one form only."""
    words = group.pop("description")
    return {
        "description": words,
        "anyOf": [_NUMBER, {**group, "minProperties": 1, "maxProperties": 1}],
    }


def _plain(value: Any) -> Any:
    """Without defaults that are groups, which a file would write in another way."""
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _plain(member)
        for key, member in value.items()
        if not (key == "default" and isinstance(member, dict))
    }
