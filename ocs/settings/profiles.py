"""An operator's own client profiles, read from the settings: derived from known ones, key by key.

Called by ``reading`` for ``diameter.profiles``. The keys are the fields of
``charging.model.profile.ClientProfile`` by their names, with times and amounts in people's units.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from ocs.amounts import parse_amount
from ocs.charging.model.profile import GENERIC, ClientProfile
from ocs.clock import NS_PER_MILLISECOND
from ocs.marked import Mapping, Scalar, unknown_word
from ocs.profiles import AUTO, ODDITIES, PROFILES_BY_NAME, Profile, Signs, WireRules

FAILURE_HANDLING = {"terminate": 0, "continue": 1, "retry-and-terminate": 2}
"""Credit-Control-Failure-Handling (RFC 8506 8.14)."""
DEBIT_FAILURE_HANDLING = {"terminate-or-buffer": 0, "continue": 1}
"""Direct-Debiting-Failure-Handling (RFC 8506 8.15)."""
FAILOVER = {"not-supported": 0, "supported": 1}
"""CC-Session-Failover (RFC 8506 8.4)."""

ANSWER_WITHIN_MS = (100, 10_000)
SECONDS_MAX = 86_400
OCTETS_MAX = 2**53

_WORDS: dict[str, dict[str, int]] = {
    "cc_session_failover": FAILOVER,
    "credit_control_failure_handling": FAILURE_HANDLING,
    "direct_debiting_failure_handling": DEBIT_FAILURE_HANDLING,
}
"""Fields that are given as words, and mean numbers of the wire."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_NUMBERED_AVP = re.compile(r"([0-9]{1,10}):([0-9]{1,10})")
_AVP_MAX = (1 << 32) - 1


def read_profiles(group: Mapping) -> tuple[Profile, ...]:
    """Return the profiles of the list ``profiles``; mistakes are noted in the document."""
    found: dict[str, Profile] = {}
    for entry in group.mappings("profiles"):
        name = entry.parsed("name", _name, "", required=True)
        if name in found:
            entry.entries["name"].problem(f"profile '{name}' is given twice")
        like = _read_model(entry, name, {**PROFILES_BY_NAME, **found})
        found[name] = _read_profile(entry, name, like, keeps_signs=like.name == name)
    return tuple(found.values())


def _read_model(entry: Mapping, name: str, known: dict[str, Profile]) -> Profile:
    """Return what a profile is derived from; one named like a built-in is that with changes."""
    usual = PROFILES_BY_NAME.get(name, PROFILES_BY_NAME[GENERIC.name])
    like = entry.scalar("like")
    if like is None:
        return usual
    if like.text not in known:
        like.problem(unknown_word(like.text, "no client profile", known))
    return known.get(like.text, usual)


def _read_profile(entry: Mapping, name: str, like: Profile, *, keeps_signs: bool) -> Profile:
    values = {
        field.name: _read_value(entry, field.name, getattr(like.charging, field.name))
        for field in fields(ClientProfile)
        if field.name != "name"
    }
    profile = Profile(
        charging=replace(like.charging, name=name, **values),
        title=entry.text("title", like.title if keeps_signs else f"like {like.name}"),
        signs=_read_signs(entry, like.signs if keeps_signs else Signs()),
        wire=_read_wire(entry.mapping("wire"), like.wire),
    )
    charging = profile.charging
    trusting = charging.refund_without_reference_micro or not charging.bound_usage
    if trusting and profile.signs != Signs():
        # Whoever shows the signs would get what only known peers may be given.
        entry.title.problem(
            "a profile that refunds without reference or believes any usage must be named by a"
            " peer entry: give it a name of its own and no signs"
        )
    entry.finish()
    return profile


def _read_value(entry: Mapping, field: str, default: Any) -> Any:
    """Read one field of ClientProfile under the name that people use for it."""
    if isinstance(default, bool):
        return entry.boolean(field, default)
    if field in _WORDS:
        return entry.choice(field, _WORDS[field], default)
    if field.endswith("_ns"):
        key = f"{field.removesuffix('_ns')}_ms"
        low, high = ANSWER_WITHIN_MS
        shown = default // NS_PER_MILLISECOND
        return entry.integer(key, shown, minimum=low, maximum=high) * NS_PER_MILLISECOND
    if field.endswith("_micro"):
        return entry.parsed(field.removesuffix("_micro"), _amount, default)
    most = SECONDS_MAX if field.endswith("_seconds") else OCTETS_MAX
    return entry.integer(field, default, minimum=0, maximum=most)


def value_keys() -> tuple[str, ...]:
    """Return the keys of a profile that mean a field of ClientProfile."""
    names = [field.name for field in fields(ClientProfile) if field.name != "name"]
    shown = [
        f"{name.removesuffix('_ns')}_ms" if name.endswith("_ns") else name.removesuffix("_micro")
        for name in names
    ]
    return tuple(shown)


def _read_signs(entry: Mapping, default: Signs) -> Signs:
    if not entry.has("signs"):
        return default
    group = entry.mapping("signs")
    signs = Signs(
        product_names=_patterns(group, "product_names"),
        origin_hosts=_patterns(group, "origin_hosts"),
        contexts=_patterns(group, "contexts"),
        order=_texts(group, "order", _avp_name),
        contains=_texts(group, "contains", _avp_name),
        without=_texts(group, "without", _avp_name),
    )
    group.finish()
    if not any(group.has(key) for key in ("product_names", "contexts", "order", "contains")):
        group.title.problem("nothing to recognise a client by: no product name, context or AVP")
    return signs


def _read_wire(group: Mapping, default: WireRules) -> WireRules:
    refuse = default.refuse
    if group.has("refuse"):
        names = group.scalars("refuse")
        for scalar in names:
            if scalar.text not in ODDITIES:
                scalar.problem(unknown_word(scalar.text, "no oddity", set(ODDITIES)))
        refuse = tuple(dict.fromkeys(scalar.text for scalar in names))
    allowed = default.allow_unknown
    if group.has("allow_unknown"):
        allowed = _texts(group, "allow_unknown", _numbered_avp)
    rules = WireRules(group.boolean("strict", default.strict), refuse, allowed)
    group.finish()
    return rules


def _patterns(group: Mapping, key: str) -> tuple[str, ...]:
    return _texts(group, key, _pattern)


def _texts(group: Mapping, key: str, parse: Callable[[str], Any]) -> tuple[Any, ...]:
    values = [_parsed(scalar, parse) for scalar in group.scalars(key)]
    return tuple(value for value in values if value is not None)


def _parsed(scalar: Scalar, parse: Callable[[str], Any]) -> Any:
    return scalar.parsed(parse, None)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or text == AUTO:
        raise ValueError(
            f"'{text}' is no name for a profile: use small letters, digits and '-', not 'auto'"
        )
    return text


def _amount(text: str) -> int:
    amount_micro = parse_amount(text)
    if amount_micro < 0:
        raise ValueError(f"'{text}' is negative")
    return amount_micro


def _pattern(text: str) -> str:
    if not text.isprintable() or len(text) > 255 or not text.strip("*? "):
        raise ValueError(f"'{text}' is no pattern such as smf*.example")
    return text


def _avp_name(text: str) -> str:
    # Every other command of ours does without the dictionary, which takes long to load.
    from protocol.dictionary import definition  # noqa: PLC0415

    try:
        definition(text)
    except KeyError:
        raise ValueError(f"there is no AVP called '{text}'") from None
    return text


def _numbered_avp(text: str) -> tuple[int, int]:
    match = _NUMBERED_AVP.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) > _AVP_MAX:
        raise ValueError(f"'{text}' is no vendor and code such as '10415:3954'")
    return int(match[1]), int(match[2])
