"""A catalogue made ready for look-ups: service of a request, zone of a number, rule of an instant.

Service-Context-Id per TS 32.299 7.1.12. Compiled once when a catalogue is published; the engine
and rating ask it for every request, so nothing here searches.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ocs.catalog.calendar import Calendar, Timeline
from ocs.catalog.model import ALWAYS, Catalog, PriceRule, Service, ServiceTerms, TariffSlot
from ocs.errors import NotFoundError

NO_TARIFF = TariffSlot(None, 0, 0)
_WITHOUT_AT = re.compile(r"(?:^|\.)([0-9]{5})\.3gpp\.org$")


@lru_cache(maxsize=1024)
def normalise_context(text: str) -> str:
    """Return the part of a Service-Context-Id that says which service it is: ``label@domain``.

    MNC, MCC, release and extensions are dropped, letters become small, and the spelling
    ``32251.3gpp.org`` of some clients is understood (TS 32.299 7.1.12).
    """
    text = text.strip().lower()
    local, at, domain = text.rpartition("@")
    if at:
        return f"{local.rpartition('.')[2]}@{domain}"
    lenient = _WITHOUT_AT.search(text)
    return f"{lenient[1]}@3gpp.org" if lenient else text


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


class _Tariff:
    """The rules of one plan, service and zone over time, with the slot that was asked for last."""

    __slots__ = ("_last", "_rules", "_timeline")

    def __init__(self, timeline: Timeline[int], rules: Sequence[PriceRule | None]) -> None:
        self._timeline = timeline
        self._rules = rules
        # Never replaced when the rule never changes.
        self._last = self._look_up(0)

    def at(self, instant_ns: int) -> TariffSlot:
        last = self._last
        if last.start_ns <= instant_ns < last.end_ns or not last.end_ns:
            return last
        self._last = slot = self._look_up(instant_ns)
        return slot

    def _look_up(self, instant_ns: int) -> TariffSlot:
        index, start_ns, end_ns = self._timeline.at(instant_ns)
        return TariffSlot(self._rules[index], start_ns, end_ns)


class _TermsIndex:
    """The price rules of one plan and service by zone."""

    __slots__ = ("anywhere", "by_zone", "terms")

    def __init__(self, terms: ServiceTerms, bands: Sequence[str], calendar: Calendar) -> None:
        self.terms = terms
        """Kept alive here, so that its identity cannot become another's."""
        by_place = rules_by_place(terms.rules)
        rules: list[PriceRule | None] = [*terms.rules, None]
        self.by_zone: dict[str, _Tariff] = {}
        for zone in dict.fromkeys(["", *(rule.zone for rule in terms.rules)]):
            # -1, where no rule holds, is the place of None at the end of the list.
            labels = {band: best_rule(by_place, zone, band) for band in bands}
            self.by_zone[zone] = _Tariff(calendar.timeline.relabel(labels), rules)
        self.anywhere = self.by_zone[""]


class CatalogIndex:
    """One catalogue, whole and unchanging, with everything needed to find things in it fast."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.calendar = Calendar(catalog.bands, catalog.time_zone)
        self._bands = ("", *(band.name for band in catalog.bands))
        self._services: dict[str, _ContextIndex] = {}
        for service in catalog.services.values():
            for context in service.contexts:
                key = normalise_context(context)
                self._services.setdefault(key, _ContextIndex()).add(service)
        self._zones = {
            prefix: zone for zone, prefixes in catalog.zones.items() for prefix in prefixes
        }
        self._prefix_lengths = sorted({len(prefix) for prefix in self._zones}, reverse=True)
        self._terms = {
            id(terms): _TermsIndex(terms, self._bands, self.calendar)
            for plan in catalog.plans.values()
            for terms in plan.terms.values()
        }
        self._rules = {
            (plan.code, terms.service, rule.code): rule
            for plan in catalog.plans.values()
            for terms in plan.terms.values()
            for rule in terms.rules
        }

    def knows_context(self, context: str) -> bool:
        """Whether any service is offered under this Service-Context-Id, in any spelling."""
        return normalise_context(context) in self._services

    def match_service(
        self, context: str, rating_group: int | None, identifiers: Sequence[int]
    ) -> Service | None:
        """Return the service that a request means: by the first service identifier that is known,
        else by rating group, else, when it names neither, the context's default.
        """
        index = self._services.get(normalise_context(context))
        if index is None:
            return None
        for identifier in identifiers:
            if (service := index.by_identifier.get(identifier)) is not None:
                return service
        if rating_group is not None:
            return index.by_rating_group.get(rating_group)
        return None if identifiers else index.default

    def zone_of(self, number_digits: str) -> str:
        """Return the destination zone with the longest prefix of an international number (digits
        without +), "" when none has one.
        """
        zones = self._zones
        for length in self._prefix_lengths:
            zone = zones.get(number_digits[:length])
            if zone is not None:
                return zone
        return ""

    def tariff_at(self, terms: ServiceTerms, zone: str, instant_ns: int) -> TariffSlot:
        """Return the price rule in force for calls to ``zone`` at an instant, and its whole slot.

        The most specific rule wins: zone and band, zone, band, any. Neighbouring bands under one
        rule are one slot.
        """
        index = self._terms.get(id(terms))
        if index is None or index.terms is not terms:
            index = _TermsIndex(terms, self._bands, self.calendar)
        return index.by_zone.get(zone, index.anywhere).at(instant_ns)

    def rule(self, plan_code: str, service_code: str, rule_code: str) -> PriceRule:
        """Return the rule that a stored charge names. Raises NotFoundError."""
        rule = self._rules.get((plan_code, service_code, rule_code))
        if rule is None:
            raise NotFoundError(
                f"catalogue version {self.catalog.version} has no price rule '{rule_code}' for "
                f"service '{service_code}' in plan '{plan_code}'"
            )
        return rule


class _ContextIndex:
    """The services under one Service-Context-Id."""

    __slots__ = ("by_identifier", "by_rating_group", "default")

    def __init__(self) -> None:
        self.by_identifier: dict[int, Service] = {}
        self.by_rating_group: dict[int, Service] = {}
        self.default: Service | None = None

    def add(self, service: Service) -> None:
        """Take a service in; the first of two that claim the same stays."""
        for identifier in service.service_identifiers:
            self.by_identifier.setdefault(identifier, service)
        for rating_group in service.rating_groups:
            self.by_rating_group.setdefault(rating_group, service)
        if service.default and self.default is None:
            self.default = service
