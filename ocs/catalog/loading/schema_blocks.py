"""The building blocks of the JSON Schema of catalogue files: what many of its parts are made of.

Used by catalog.schema alone.
"""

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

CODE = "^[a-z0-9]([a-z0-9_-]{0,38}[a-z0-9])?$"
DIGITS = "[0-9][0-9_]*"
UNIT_NAME = "^[A-Za-z][A-Za-z0-9_-]{0,19}$"
TIME = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
TEXT: Schema = {"type": ["string", "number", "boolean"]}
BOOLEAN: Schema = {"type": "boolean"}
AMOUNT: Schema = {"type": ["number", "string"], "pattern": rf"^\s*-?{DIGITS}(\.[0-9]+)?\s*$"}
AMOUNT_FROM_ZERO: Schema = {**AMOUNT, "minimum": 0, "pattern": rf"^\s*{DIGITS}(\.[0-9]+)?\s*$"}
QUANTITY: Schema = {
    "type": ["number", "string"], "minimum": 0,
    "pattern": rf"^\s*{DIGITS}(\.[0-9]+)?\s*[A-Za-z]*\s*$",
}  # fmt: skip


def group_of(keys: dict[str, tuple[Schema, str]], *required: str) -> Schema:
    """Return a group of known keys, each with its schema and what it means."""
    properties = {
        key: {"allOf": [schema], "description": words} if "$ref" in schema else
        {**schema, "description": words}
        for key, (schema, words) in keys.items()
    }  # fmt: skip
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


def ref(name: str) -> Schema:
    """Return a reference to a definition of the schema."""
    return {"$ref": f"#/definitions/{name}"}


def word(words: Iterable[str]) -> Schema:
    """Return one of these words."""
    return {"enum": sorted(words)}


def counted(*words: str) -> Schema:
    """Return one of the words, or the name of a unit under ``units``."""
    return {"anyOf": [word(words), {"type": "string", "pattern": UNIT_NAME}]}


def matching(pattern: str) -> Schema:
    """Return the schema of a word; one of digits only is a number for an editor."""
    return {"type": ["string", "number"], "pattern": pattern}


def many(member: Schema) -> Schema:
    """Return a list; a list of one value may be written without brackets."""
    return {"anyOf": [member, {"type": "array", "items": member}]}


def named(member: Schema) -> Schema:
    """Return a group whose keys are codes."""
    return {
        "type": "object",
        "propertyNames": {"pattern": CODE},
        "additionalProperties": member,
    }


def integer(minimum: int, maximum: int) -> Schema:
    """Return a whole number within bounds, which may be written with underscores."""
    return {
        "type": ["integer", "string"], "minimum": minimum, "maximum": maximum,
        "pattern": f"^{DIGITS}$",
    }  # fmt: skip
