"""What differs between two catalogues in meaning, not in text. Called by `ocs catalog diff`.

A catalogue becomes a tree under the names of its file: groups by key, facts with the value that is
compared and the words that are shown, and members of lists whose order says nothing. Fields of the
model that are not treated below appear by themselves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from fractions import Fraction
from math import gcd
from typing import Any

from ocs.amounts import Measured, NamedUnit, Unit, format_amount, format_quantity, measured
from ocs.catalog.exchange import Rate
from ocs.catalog.limits import Limit
from ocs.catalog.model import (
    Allowance,
    BandSpan,
    Catalog,
    Condition,
    Example,
    Pool,
    Price,
    PriceRule,
    Service,
    Tier,
    TimeBand,
)
from ocs.catalog.offers import Bonus, Extension
from ocs.catalog.recurring import Cycle, Recurring, cycle_text
from ocs.catalog.taxes import Tax
from ocs.provisioning.instants import format_instant
from ocs.rating.explain import price_text

SUMMARY_MAX = 160
_NAMES = {
    "terms": "services", "rules": "prices", "zones": "destinations", "bands": "time_bands",
    "named": "named unit", "zone": "destination", "band": "time_band", "subscriber_clock": "clock",
    "credit_limit_micro": "credit_limit", "low_balance_micro": "low_balance",
    "validity_seconds": "validity", "short_validity_seconds": "short_validity",
    "threshold_percent": "threshold", "quota_holding_seconds": "quota_holding_time",
    "consumption_seconds": "consumption_time", "expires_after_seconds": "expires_after",
    "cycle": "every", "fee_micro": "fee", "retry_seconds": "retry",
    "restriction_filter_rules": "filter_rules", "mode": "charge",
    "period": "every", "changes_price": "then another price", "by_member": "for each member",
    "keeps_version": "open_sessions", "ends_with_plan": "on_plan_change",
    "from_micro": "from", "up_to_micro": "up_to", "share_percent": "share",
    "maximum_micro": "maximum", "minimum_micro": "minimum", "daily_micro": "daily",
    "keeps_micro": "keeps", "grace_seconds": "grace", "barred_seconds": "barred",
    "longest_seconds": "longest_validity", "extensions": "top_up_validity",
    "first_use": "from the first use", "forfeits": "expires at close", "starts_ns": "from",
    "ends_ns": "to",
}  # fmt: skip
"""Keys of the file for fields of the model that are called otherwise."""
_QUANTITIES = frozenset({"slice", "maximum", "minimum_useful", "threshold_maximum", "amount"})
_UNSAID = frozenset({"version", "source", "code", "service", "effective_ns"})
"""Fields that are said by the path, or are no part of what a catalogue means."""
_NOTHING = frozenset({"", "none", "no", "empty"})
_IN_ORDER = frozenset({"restriction_filter_rules", "filter_ids"})
_BY_CODE = frozenset({"rules", "allowances", "bands", "recurring", "limits", "top_up_bonus"})
"""Lists of things with codes, which are groups."""
_THRESHOLDS = {
    "used": "used_percent", "caps": "caps_percent", "low_balance": "low_balance_micro",
    "expiry": "expiry_seconds",
}  # fmt: skip
"""Lists of notify, and names that say what their numbers are."""
_EPOCH = date(1970, 1, 1)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``kind`` is added, removed, changed or reordered."""

    path: tuple[str, ...]
    kind: str
    before: str = ""
    after: str = ""
    added: tuple[str, ...] = ()
    """Members of a list that only the new one has."""
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fact:
    value: object
    text: str


@dataclass(frozen=True, slots=True)
class _Group:
    parts: Mapping[str, "_Node"]
    order: tuple[str, ...] = ()
    """Keys whose order has a meaning."""


_Node = _Group | _Fact | frozenset[str]


def differences(old: Catalog, new: Catalog) -> list[Change]:
    """Return every difference in meaning, in the order of the file; none for the same catalogue."""
    return list(_compare((), _Trees(old).root(), _Trees(new).root()))


def changes_view(changes: list[Change]) -> list[dict[str, Any]]:
    """Return differences for output."""
    return [
        {
            "path": list(one.path),
            "change": one.kind,
            "before": one.before,
            "after": one.after,
            "added": list(one.added),
            "removed": list(one.removed),
        }
        for one in changes
    ]


def _compare(path: tuple[str, ...], old: _Node, new: _Node) -> Iterator[Change]:
    if isinstance(old, _Group) and isinstance(new, _Group):
        for key in dict.fromkeys((*old.parts, *new.parts)):
            before, after = old.parts.get(key), new.parts.get(key)
            if before is None and after is not None:
                yield Change((*path, key), "added", after=_summary(after))
            elif after is None and before is not None:
                yield Change((*path, key), "removed", before=_summary(before))
            elif before is not None and after is not None:
                yield from _compare((*path, key), before, after)
        both = {*old.order} & {*new.order}
        first, second = ([key for key in one.order if key in both] for one in (old, new))
        if first != second:
            yield Change(path, "reordered", ", ".join(first), ", ".join(second))
    elif isinstance(old, frozenset) and isinstance(new, frozenset):
        if old != new:
            yield Change(
                path, "changed", added=tuple(sorted(new - old)), removed=tuple(sorted(old - new))
            )
    elif isinstance(old, _Fact) and isinstance(new, _Fact):
        if old.value != new.value:
            yield Change(path, "changed", old.text, new.text)
    else:
        yield Change(path, "changed", _summary(old), _summary(new))


def _summary(node: _Node) -> str:
    """Return what a part says in a line."""
    if isinstance(node, _Fact):
        return node.text
    if isinstance(node, frozenset):
        words = ", ".join(sorted(node)[:SUMMARY_MAX]) or "empty"
    else:
        shown = (
            (key, _summary(part))
            for key, part in node.parts.items()
            if not isinstance(part, _Group) or key == "prices" or "price" in part.parts
        )
        words = ", ".join(f"{key}: {text}" for key, text in shown if text not in _NOTHING)
    return words if len(words) <= SUMMARY_MAX else f"{words[: SUMMARY_MAX - 3]}..."


class _Trees:
    """Makes the tree of one catalogue, which says what its prices and quotas are counted in."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def root(self) -> _Node:
        return self._node("", self._catalog, Unit.EVENTS)

    def _node(self, name: str, value: Any, unit: Measured) -> _Node:
        """Return the tree of a field's value; ``unit`` is what its quantities are counted in."""
        if isinstance(value, Price):
            return _Fact(_reduced(value), price_text(value, unit, self._catalog.currency))
        if isinstance(value, Pool):
            worth = f"{value.rate_micro}/{value.per} micro units"
            return _Group({
                "number": _Fact(value.number, str(value.number)),
                "unit": _Fact(_lowest(value.rate_micro, value.per), worth),
            })  # fmt: skip
        if isinstance(value, NamedUnit):
            return _Fact(value, f"{value.name} in steps of {format_quantity(1, value)}")
        if isinstance(value, Tax):
            return _Fact(value, f"{value.text()}, {'' if value.included else 'not '}included")
        if isinstance(value, Rate):
            return _Fact(Fraction(value.numerator, value.denominator), value.text())
        if isinstance(value, Cycle):
            return _Fact(value, cycle_text(value))
        if is_dataclass(value):
            return self._group(value, self._unit_of(value, unit))
        if isinstance(value, Mapping):
            return _Group({str(key): self._node("", one, unit) for key, one in value.items()})
        if isinstance(value, tuple | frozenset):
            return self._list(name, value, unit)
        return _Fact(value, _text(name, value, unit))

    def _group(self, value: Any, unit: Measured) -> _Group:
        return _Group({
            _NAMES.get(one.name, one.name): self._node(one.name, getattr(value, one.name), unit)
            for one in fields(value)
            if one.init and one.compare and one.name not in _UNSAID
        })  # fmt: skip

    def _unit_of(self, value: Any, unit: Measured) -> Measured:
        if isinstance(value, Service | Allowance | Bonus):
            return value.counted_in
        if isinstance(value, Limit):
            return measured(value.unit, value.measure)
        code = getattr(value, "service", None)
        service = self._catalog.services.get(code) if isinstance(code, str) else None
        return unit if service is None else service.counted_in

    def _list(self, name: str, values: Any, unit: Measured) -> _Node:
        """Return lists of things with codes by their code, others as facts or members."""
        first = next(iter(values), None)
        if isinstance(first, Recurring):
            items = {one.code: self._node("", one, unit) for one in values}
            return _Group(items, tuple(items))
        if name == "retry_seconds":
            return _Fact(values, ", ".join(_text(name, one, unit) for one in values))
        if isinstance(first, PriceRule | Allowance | Limit | Bonus):
            parts = {one.code: self._node("", one, unit) for one in values}
            return _Group(parts, tuple(one.code for one in _ordered(values)))
        if isinstance(first, TimeBand):
            bands = {one.name: self._node("", one.spans, unit) for one in values}
            return _Group(bands, tuple(bands))
        if not values and name in _BY_CODE:
            return _Group({})
        if isinstance(first, Condition):
            return _Fact(frozenset((one.dimension, frozenset(one.labels)) for one in values),
                         " ".join(map(_condition, values)))  # fmt: skip
        if isinstance(first, BandSpan):
            return frozenset(map(_span, values))
        if isinstance(first, Example):
            return frozenset(map(self._example, values))
        if isinstance(first, Extension):
            return frozenset(
                f"{one.seconds} s from {format_amount(one.from_micro)}" for one in values
            )
        if name in _THRESHOLDS and values:
            return frozenset(_text(_THRESHOLDS[name], one, unit) for one in values)
        if name in _IN_ORDER or name == "when":
            return _Fact(values or frozenset(), "; ".join(map(str, values)))
        return frozenset(map(str, values))

    def _example(self, example: Example) -> str:
        unit = self._unit_of(example, Unit.EVENTS)
        words = [f"{example.plan}: {format_quantity(example.used, unit)}"]
        words.append(f"of {example.service}")
        if example.before:
            words.append(f"after {example.before}")
        if example.destination:
            words.append(f"to {example.destination}")
        if example.at_ns:
            words.append(f"at {format_instant(example.at_ns)}")
        words.extend(map(_condition, example.when))
        if example.clock:
            words.append(f"clock={example.clock}")
        words.append(f"costs {format_amount(example.costs_micro)}")
        if example.price:
            words.append(f"by price {example.price}")
        return " ".join(words)


def _ordered(values: Any) -> list[Any]:
    """Return those of a list whose order decides something: prices under conditions, of which the
    first holds, and allowances, of which the first of equals is spent first.
    """
    if isinstance(values[0], Limit):
        return [one for one in values if one.changes_price]
    if isinstance(values[0], PriceRule):
        return [one for one in values if one.when]
    return sorted(values, key=lambda one: (one.priority, one.expires_after_seconds))


def _text(name: str, value: object, unit: Measured) -> str:
    if value is None:
        return "none"
    if name == "keeps_version":
        return "keep" if value else "change"
    if name == "ends_with_plan":
        return "end" if value else "keep"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Unit):
        return value.label
    if isinstance(value, IntEnum):
        return value.name.lower().replace("_", "-")
    if isinstance(value, int):
        if name.endswith("_micro"):
            return format_amount(value)
        if name.endswith("_ns"):
            return format_instant(value)
        if name.endswith("_seconds"):
            return f"{value} s"
        if name.endswith("_percent"):
            return f"{value} %"
        if name in _QUANTITIES:
            return format_quantity(value, unit)
    return str(value)


def _condition(one: Condition) -> str:
    return f"{one.dimension}={','.join(one.labels)}"


def _span(span: BandSpan) -> str:
    daily = len(span.weekdays) == len(_DAYS)
    words = ["daily" if daily else ",".join(_DAYS[day] for day in sorted(span.weekdays))]
    words += [(_EPOCH + timedelta(days=day)).isoformat() for day in sorted(span.dates)]
    start, end = span.start_minute, span.end_minute
    words.append(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")
    return " ".join(word for word in words if word)


def _lowest(rate_micro: int, per: int) -> tuple[int, int]:
    divisor = gcd(rate_micro, per)
    return rate_micro // divisor, per // divisor


def _reduced(price: Price) -> Price:
    """Return the same price in lowest terms: 0.60 a minute is 0.01 a second."""
    rate_micro, per = _lowest(price.rate_micro, price.per)
    tiers = []
    for tier in price.tiers:
        rate, divisor = _lowest(tier.rate_micro, tier.per)
        tiers.append(Tier(tier.up_to, rate, divisor, tier.flat_micro))
    return replace(price, rate_micro=rate_micro, per=per, tiers=tuple(tiers))
