"""A catalogue made ready for look-ups: service of a request, zone of a number, rule of an instant.

Service-Context-Id per TS 32.299 7.1.12. Compiled once when a catalogue is published; the engine
and rating ask it for every request, so nothing here searches.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from ocs.catalog.calendar import Calendar
from ocs.catalog.conditions import Circumstances, Places
from ocs.catalog.exchange import Exchange
from ocs.catalog.meaning import meaning_of
from ocs.catalog.model import Catalog, PriceRule, Service, ServiceTerms, TariffSlot
from ocs.catalog.periods import Periods
from ocs.catalog.tariffs import PriceList, price_list
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


class CatalogIndex:
    """One catalogue, whole and unchanging, with everything needed to find things in it fast."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.calendar = Calendar(catalog.bands, catalog.time_zone)
        self.periods = Periods(catalog.time_zone)
        self._bands = ("", *(band.name for band in catalog.bands))
        self._services: dict[str, _ContextIndex] = {}
        for service in catalog.services.values():
            for context in service.contexts:
                key = normalise_context(context)
                self._services.setdefault(key, _ContextIndex()).add(service)
        self.places = Places(catalog)
        self._price_lists = {
            id(terms): price_list(terms, self._bands, self.calendar, self.places, self.periods)
            for plan in catalog.plans.values()
            for terms in plan.terms.values()
        }
        self._rules = {
            (plan.code, terms.service, rule.code): rule
            for plan in catalog.plans.values()
            for terms in plan.terms.values()
            for rule in terms.rules
        }
        self.keeps_purses = any(
            plan.exchange is Exchange.WHEN_NEEDED for plan in catalog.plans.values()
        )
        """Whether accounts of any plan may have money in other currencies (K-329)."""
        self._meanings: dict[tuple[str, str], tuple[object, ...] | None] = {}

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
        return self.places.zone_of(number_digits)

    def context_key(self, terms: ServiceTerms, zone: str, said: Circumstances) -> str:
        """Return what the price of ``terms`` depends on besides time: the destination zone and the
        conditions that decide. The text is stored with charges and is what ``tariff_at`` wants.
        """
        return self.price_list(terms).key(zone, said)

    def tariff_at(self, terms: ServiceTerms, key: str, instant_ns: int) -> TariffSlot:
        """Return the price rule in force at an instant in the price context of ``key``, and its
        whole slot. Without conditions a key is a destination zone.

        The most specific rule wins: see tariffs.ConditionalRules. Neighbouring bands under one
        rule are one slot.
        """
        known = self._price_lists.get(id(terms))
        if known is None or known.terms is not terms:
            known = self.price_list(terms)
        tariff = known.tariffs.get(key)
        return (known.other(key) if tariff is None else tariff).at(instant_ns)

    def price_list(self, terms: ServiceTerms) -> PriceList:
        """Return the rules of ``terms`` made ready for look-ups."""
        known = self._price_lists.get(id(terms))
        if known is None or known.terms is not terms:
            return price_list(terms, self._bands, self.calendar, self.places, self.periods)
        return known

    def meaning(self, plan_code: str, service_code: str) -> tuple[object, ...] | None:
        """Return everything that the price of a service in a plan depends on, to be compared with
        that of another catalogue or plan; None where the plan does not include the service.
        """
        key = plan_code, service_code
        if key not in self._meanings:
            self._meanings[key] = meaning_of(self.catalog, *key)
        return self._meanings[key]

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
