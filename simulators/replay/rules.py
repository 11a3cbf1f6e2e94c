"""The rules of a replay: who asks, about whom, when it is, and which differences matter.

Read from a YAML file (docs/simulator.md) or made of options; used by `rewriting` and `compare`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulators.scenarios.document import Document, read_document

RULES_MAX = 1000

IdentityType = Literal["msisdn", "imsi", "sip", "nai", "private"]
Aspect = Literal[
    "result_code",
    "services",
    "granted",
    "validity_time",
    "final_unit",
    "thresholds",
    "holding_times",
    "triggers",
    "pools",
    "money",
    "failure_handling",
    "proxy_info",
]
"""What an answer can differ in."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Rewrite(_Model):
    """A text that as a whole matches a regular expression becomes another, with its groups."""

    match: Annotated[str, Field(min_length=1, max_length=1000)]
    replace: Annotated[str, Field(max_length=1000)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            pattern = re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match is no regular expression: {error}") from None
        try:
            pattern.sub(self.replace, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"replace cannot be used: {error}") from None
        return self

    def apply(self, text: str) -> str | None:
        """The new text, or None where the rule does not match."""
        found = re.fullmatch(self.match, text)
        return None if found is None else found.expand(self.replace)


class SubscriberRewrite(Rewrite):
    """The same for identities, if given of one type only."""

    type: IdentityType | None = None


class Tolerances(_Model):
    """How far two answers may differ and still count as the same."""

    granted_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    validity_seconds: Annotated[int, Field(ge=0)] = 0
    thresholds_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    holding_seconds: Annotated[int, Field(ge=0)] = 0
    money_percent: Annotated[float, Field(ge=0, le=100)] = 0.0


_Rewrites = Annotated[tuple[Rewrite, ...], Field(max_length=RULES_MAX)]


class Rules(_Model):
    """A rules file. Of several rules for a text the first that matches is applied."""

    origin_host: _Rewrites = ()
    origin_realm: _Rewrites = ()
    destination_host: Literal["server", "keep", "drop"] | _Rewrites = "server"
    """`server`: the name that the server gives itself, where the request names one."""
    destination_realm: Literal["server", "keep"] | _Rewrites = "server"
    session_id: Literal["fresh", "keep"] | _Rewrites = "fresh"
    subscriber: Annotated[tuple[SubscriberRewrite, ...], Field(max_length=RULES_MAX)] = ()
    timestamps: Literal["move", "keep"] = "move"
    """`move`: by as much as the request is sent later than it was."""
    proxy_info: Literal["keep", "drop"] = "keep"
    agent: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,200}$")] | None = None
    """One connection with this Origin-Host carries the requests of all, as a relay would."""
    tolerances: Tolerances = Tolerances()
    ignore: tuple[Aspect, ...] = ()


def load_rules(path: Path) -> Rules:
    """Read a rules file; DocumentError with every problem, OSError if it cannot be read."""
    return parse_rules(path.read_text(encoding="utf-8"), str(path))


def parse_rules(text: str, source: str) -> Rules:
    """Check rules given as text; `source` names it in problems."""
    document = read_document(text, source)
    rules = None
    try:
        rules = Rules.model_validate(document.value)
    except ValidationError as error:
        for path, message in _problems(document, error):
            document.add(path, message)
    document.check()
    assert rules is not None  # a ValidationError always leaves a problem
    return rules


def _problems(
    document: Document, error: ValidationError
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    seen = set()
    for one in error.errors(include_url=False, include_input=False):
        path: tuple[str | int, ...] = ()
        for part in one["loc"]:
            # Validation adds the names of the members of a union, which are not in the file.
            if isinstance(part, int) or (*path, part) in document.places:
                path = (*path, part)
        if one["type"] in {"extra_forbidden", "missing"}:
            path = (*path, one["loc"][-1]) if path[-1:] != one["loc"][-1:] else path
        said = _IN_WORDS.get(one["type"], one["msg"].removeprefix("Value error, "))
        if (path, said) not in seen:
            seen.add((path, said))
            yield path, said[:1].lower() + said[1:]


_IN_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "unknown key",
    "model_type": "should be a mapping of keys and values",
    "tuple_type": "should be a list of rules",
}


def with_options(rules: Rules, **values: Any) -> Rules:
    """Rules with what the command line says otherwise; ValueError for what cannot be."""
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return Rules.model_validate({**_plain(rules), **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(one) for one in first["loc"][:1])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise ValueError(f"{where}: {said}") from None


def _plain(rules: Rules) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in Rules.model_fields}


def single_rewrite(text: str) -> Rewrite:
    """An option `MATCH=REPLACE`, or only what replaces everything; ValueError if it is neither."""
    match, equals, replace = text.rpartition("=")
    if not equals:
        return Rewrite(match=".*", replace=re.sub(r"\\", r"\\\\", text))
    return Rewrite(match=match, replace=replace)
