"""Which price rule of a plan's service holds: by destination, time and the other conditions.

What the choice depends on besides time is one text, the key of a price context: the destination
zone, then conditions such as ``visited=eu``. It is stored with what was charged and leads to the
same rule again in every process. Made by catalog.matching, one object for each price list.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from ocs.catalog.calendar import Calendar, Timeline
from ocs.catalog.conditions import (
    CLOCK,
    DIMENSIONS,
    OTHERS_TOO,
    ROLE,
    Circumstances,
    Dimension,
    Places,
)
from ocs.catalog.model import ALWAYS, TERMINATING, PriceRule, ServiceTerms, TariffSlot
from ocs.catalog.periods import Periods

KEYS_REMEMBERED_MAX = 4_096
"""Keys, and tariffs by key, that one price list remembers; beyond it starts anew."""


def rules_by_place(rules: Sequence[PriceRule]) -> dict[tuple[str, str], int]:
    """Return the position of each rule in a price list by (zone, band)."""
    return {(rule.zone, rule.band): index for index, rule in enumerate(rules)}


def best_rule(by_place: Mapping[tuple[str, str], int], zone: str, band: str) -> int:
    """Return the position of the most specific rule for a zone and band, -1 when none holds.

    A rule for the zone goes before one for the band.
    """
    for place in ((zone, band), (zone, ALWAYS), ("", band), ("", ALWAYS)):
        if (index := by_place.get(place)) is not None:
            return index
    return -1


class Tariff:
    """The rules of one price context over time, with the slot that was asked for last."""

    __slots__ = ("_from_ns", "_last", "_periods", "_rules", "_timeline")

    def __init__(
        self, timeline: Timeline[int], rules: Sequence[PriceRule | None], periods: Periods
    ) -> None:
        """Take positions in ``rules`` over time; the last of the rules, -1, is None."""
        self._timeline = timeline
        self._rules = rules
        self._periods = periods
        self._from_ns = 0
        """Since when the last slot holds, which need not be where its count began."""
        self._last = self._look_up(0)

    def at(self, instant_ns: int) -> TariffSlot:
        """Return the rule in force at an instant, and its whole slot."""
        last = self._last
        if self._from_ns <= instant_ns and (not last.end_ns or instant_ns < last.end_ns):
            return last
        self._last = slot = self._look_up(instant_ns)
        return slot

    def _look_up(self, instant_ns: int) -> TariffSlot:
        index, start_ns, end_ns = self._timeline.at(instant_ns)
        rule = self._rules[index]
        self._from_ns = start_ns
        if rule is None or not rule.price.counted:
            return TariffSlot(rule, start_ns, end_ns)
        period_ns, next_ns = self._periods.around(instant_ns, rule.price.counted)
        self._from_ns = max(start_ns, period_ns)
        return TariffSlot(rule, period_ns, min(end_ns or next_ns, next_ns))


class PlainRules:
    """A price list that looks at destination and time only: its keys are destination zones."""

    __slots__ = ("_anywhere", "tariffs", "terms")

    def __init__(
        self, terms: ServiceTerms, bands: Sequence[str], calendar: Calendar, periods: Periods
    ) -> None:
        self.terms = terms
        """Kept alive here, so that its identity cannot become another's."""
        by_place = rules_by_place(terms.rules)
        rules: list[PriceRule | None] = [*terms.rules, None]
        self.tariffs: dict[str, Tariff] = {}
        for zone in dict.fromkeys(["", *(rule.zone for rule in terms.rules)]):
            labels = {band: best_rule(by_place, zone, band) for band in bands}
            self.tariffs[zone] = Tariff(calendar.timeline.relabel(labels), rules, periods)
        self._anywhere = self.tariffs[""]

    def key(self, zone: str, _said: Circumstances) -> str:
        """Return the key of the price context for a destination zone."""
        return zone

    def key_of(self, zone: str, _labels: Mapping[str, str], _clock: str = "") -> str:
        """Return the key of the price context for a destination zone."""
        return zone

    def other(self, _key: str) -> Tariff:
        """Return the tariff of a key that is not in ``tariffs``."""
        return self._anywhere


class ConditionalRules:
    """A price list with conditions.

    Of the rules that hold the most specific wins: the one that names the first dimension in which
    they differ, in the order of conditions.DIMENSIONS, then destination, then time band; of two
    that name the same, the one that stands first. A terminating call has only rules that say so.
    """

    __slots__ = ("_bands", "_calendar", "_classes", "_dimensions", "_get", "_keys", "_order",
                 "_periods", "_places", "tariffs", "terms")  # fmt: skip

    def __init__(
        self, terms: ServiceTerms, bands: Sequence[str], calendar: Calendar, places: Places,
        periods: Periods,
    ) -> None:
        self.terms = terms
        self.tariffs: dict[str, Tariff] = {}
        self._bands, self._calendar, self._places = bands, calendar, places
        self._periods = periods
        self._dimensions = places.dimensions
        ranks = [rank(rule, self._dimensions) for rule in terms.rules]
        self._order = sorted(range(len(ranks)), key=lambda index: (-ranks[index], index))
        self._classes = label_classes(terms.rules)
        attributes = [one.attribute for one in self._dimensions if one.name in self._classes]
        if terms.subscriber_clock:
            attributes.append("time_zone")
        self._get = attrgetter(*dict.fromkeys(attributes))
        self._keys: dict[tuple[str, object], str] = {}

    def key(self, zone: str, said: Circumstances) -> str:
        """Return the key of the price context of a request to a destination zone."""
        raw = zone, self._get(said)
        key = self._keys.get(raw)
        if key is None:
            if len(self._keys) >= KEYS_REMEMBERED_MAX:
                self._keys.clear()
            labels = {
                one.name: one.label(self._places, getattr(said, one.attribute))
                for one in self._dimensions
                if one.name in self._classes
            }
            self._keys[raw] = key = self.key_of(zone, labels, said.time_zone)
        return key

    def key_of(self, zone: str, labels: Mapping[str, str], clock: str = "") -> str:
        """Return the key of the price context for these labels by dimension.

        It names only what decides between rules, so that a change that means no other price does
        not begin another context.
        """
        rules = self.terms.rules
        winners = self._winners(zone, labels)
        deciding = {one.dimension for index in winners.values() if index >= 0
                    for one in rules[index].when}  # fmt: skip
        if labels.get(ROLE) == TERMINATING:
            deciding.add(ROLE)
        parts = [zone] if zone else []
        parts += [
            f"{one.name}={self._classes[one.name][labels[one.name]]}"
            for one in self._dimensions
            if one.name in deciding and one.name in self._classes
        ]
        if self.terms.subscriber_clock and clock and len(set(winners.values())) > 1:
            parts.append(f"{CLOCK}={clock}")
        return " ".join(parts)

    def other(self, key: str) -> Tariff:
        """Return the tariff of a key that is not in ``tariffs``."""
        zone, clock = "", ""
        labels: dict[str, str] = {}
        for part in key.split():
            name, given, label = part.partition("=")
            if not given:
                zone = part
            elif name == CLOCK:
                clock = label
            else:
                labels[name] = label.removesuffix(OTHERS_TOO)
        timeline = self._calendar.on_clock(clock) if clock else self._calendar.timeline
        rules: list[PriceRule | None] = [*self.terms.rules, None]
        tariff = Tariff(timeline.relabel(self._winners(zone, labels)), rules, self._periods)
        if len(self.tariffs) >= KEYS_REMEMBERED_MAX:
            self.tariffs.clear()
        self.tariffs[key] = tariff
        return tariff

    def _winners(self, zone: str, labels: Mapping[str, str]) -> dict[str, int]:
        """Return the position of the best rule by time band, -1 where none holds."""
        terminating = labels.get(ROLE) == TERMINATING
        holding = [
            (index, rule.band)
            for index in self._order
            if (rule := self.terms.rules[index]).zone in ("", zone)
            and all(labels.get(one.dimension) in one.labels for one in rule.when)
            and (not terminating or rule.names(ROLE, TERMINATING))
        ]
        return {
            band: next((index for index, own in holding if own in (ALWAYS, band)), -1)
            for band in self._bands
        }


PriceList = PlainRules | ConditionalRules


def price_list(
    terms: ServiceTerms, bands: Sequence[str], calendar: Calendar, places: Places,
    periods: Periods,
) -> PriceList:
    """Return the rules of one plan's service, made ready for look-ups."""
    if terms.conditional:
        return ConditionalRules(terms, bands, calendar, places, periods)
    return PlainRules(terms, bands, calendar, periods)


def rank(rule: PriceRule, dimensions: Sequence[Dimension] = DIMENSIONS) -> int:
    """Return how specific a rule is; the larger wins."""
    named = {one.dimension for one in rule.when}
    score = 0
    for dimension in dimensions:
        score = score * 2 + (dimension.name in named)
    return score * 4 + bool(rule.zone) * 2 + bool(rule.band)


def label_classes(rules: Sequence[PriceRule]) -> dict[str, dict[str, str]]:
    """Return, by dimension, how each label that rules name is written in a key.

    Labels that every rule names together or not at all are one class, written as the first of
    them. Roles stay apart, because terminating calls are chosen for in another way.
    """
    found: dict[str, dict[str, set[int]]] = {}
    for index, rule in enumerate(rules):
        for one in rule.when:
            for label in one.labels:
                found.setdefault(one.dimension, {}).setdefault(label, set()).add(index)
    classes: dict[str, dict[str, str]] = {}
    for dimension, labels in found.items():
        members: dict[object, list[str]] = {}
        for label, named in sorted(labels.items()):
            signature = label if dimension == ROLE else frozenset(named)
            members.setdefault(signature, []).append(label)
        classes[dimension] = {
            label: group[0] + OTHERS_TOO if len(group) > 1 else label
            for group in members.values()
            for label in group
        }
    return classes
