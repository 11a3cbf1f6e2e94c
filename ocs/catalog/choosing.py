"""Why one price of a list holds and the others do not, in words. For `ocs price` and `ocs why`.

Says what catalog.tariffs decides: the conditions in their order, then destination, then time band.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ocs.catalog.conditions import CLOCK, OTHERS_TOO, ROLE, YES, Dimension
from ocs.catalog.model import TERMINATING, Condition, PriceRule
from ocs.catalog.tariffs import rank

REASONS_MAX = 100
"""Prices of a list about which something is said; the most specific of them."""


class Situation(NamedTuple):
    """What a price is looked for in. ``labels`` are conditions that are fulfilled."""

    zone: str
    labels: Mapping[str, str]
    band: str
    complete: bool = True
    """What ``labels`` leaves out was not said; else it is not known, except that nothing more
    specific than the price that was taken can have held."""


class Reason(NamedTuple):
    """What is to be said of one price."""

    rule: str
    chosen: bool
    words: str


def situation_of(key: str, band: str) -> Situation:
    """Return what the key of a price context (tariffs.ConditionalRules) says of a situation."""
    zone, labels = "", {}
    for part in key.split():
        name, given, label = part.partition("=")
        if not given:
            zone = part
        elif name != CLOCK:
            labels[name] = label.removesuffix(OTHERS_TOO)
    return Situation(zone, labels, band, complete=False)


def reasons(
    rules: Sequence[PriceRule], chosen: PriceRule, dimensions: Sequence[Dimension],
    situation: Situation,
) -> list[Reason]:
    """Return why ``chosen`` holds and each of the other rules does not, the most specific first."""
    ranks = {rule.code: rank(rule, dimensions) for rule in rules}
    ordered = sorted(rules, key=lambda rule: -ranks[rule.code])
    found = [Reason(chosen.code, True, _why_chosen(chosen, len(rules)))]
    for rule in ordered[:REASONS_MAX]:
        if rule.code != chosen.code:
            words = _why_not(rule, situation)
            if not words:
                words = _comes_after(rule, chosen, ranks, dimensions, situation)
            found.append(Reason(rule.code, False, words))
    return found


def _why_chosen(rule: PriceRule, count: int) -> str:
    if count == 1:
        return "it is the only price"
    wants = [_condition(one) for one in rule.when]
    if rule.zone:
        wants.append(f"destination '{rule.zone}'")
    if rule.band:
        wants.append(f"time band '{rule.band}'")
    if not wants:
        return "no price that wants more holds"
    return f"it is the most specific that holds: {', '.join(wants)}"


def _why_not(rule: PriceRule, situation: Situation) -> str:
    """Return what is known not to be as a rule wants it; empty when nothing is."""
    zone, labels, band, complete = situation
    for one in rule.when:
        label = labels.get(one.dimension, "")
        if label and label not in one.labels:
            return f"wants {_condition(one)}, and it is {_label(one.dimension, label)}"
        if not label and complete:
            return f"wants {_condition(one)}, which was not said"
    if labels.get(ROLE) == TERMINATING and not rule.names(ROLE, TERMINATING):
        return "a terminating call has only prices that say role: terminating"
    if rule.zone and rule.zone != zone:
        return f"is for destination '{rule.zone}', and it is {_quoted(zone)}"
    if rule.band and rule.band != band:
        return f"holds in time band '{rule.band}', and it is {_quoted(band)}"
    return ""


def _comes_after(
    rule: PriceRule, chosen: PriceRule, ranks: Mapping[str, int],
    dimensions: Sequence[Dimension], situation: Situation,
) -> str:  # fmt: skip
    holds = situation.complete or all(one.dimension in situation.labels for one in rule.when)
    if ranks[rule.code] > ranks[chosen.code]:
        wants = ", ".join(
            _condition(one) for one in rule.when if one.dimension not in situation.labels
        )
        return f"wants {wants}, which was not so"
    if ranks[rule.code] == ranks[chosen.code]:
        return f"names the same things as '{chosen.code}', which stands before it"
    named = _first_difference(rule, chosen, dimensions)
    words = f"holds too, but '{chosen.code}'" if holds else f"comes after '{chosen.code}', which"
    return f"{words} is more specific: it names {named}"


def _first_difference(
    rule: PriceRule, chosen: PriceRule, dimensions: Sequence[Dimension]
) -> str:
    own = {one.dimension for one in rule.when}
    theirs = {one.dimension for one in chosen.when}
    for dimension in dimensions:
        if dimension.name in theirs and dimension.name not in own:
            return dimension.name.replace("_", " ")
    return "the destination" if chosen.zone and not rule.zone else "the time band"


def _condition(one: Condition) -> str:
    return " or ".join(_label(one.dimension, label) for label in one.labels)


def _label(dimension: str, label: str) -> str:
    if dimension == "roaming":
        return "roaming" if label == YES else "at home"
    return f"{dimension.replace('_', ' ')} {label}"


def _quoted(name: str) -> str:
    return f"'{name}'" if name else "none"
