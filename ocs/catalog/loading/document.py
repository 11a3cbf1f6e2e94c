"""Catalogue files: a marked document becomes a Catalog, or the list of all its mistakes.

The format is described in docs/catalogue.md. Called when a catalogue is checked or published, and
when a stored one is read back.
"""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ocs.amounts import Measured, NamedUnit, Unit
from ocs.catalog.calendar import bands_that_hold
from ocs.catalog.conditions import HOME
from ocs.catalog.loading.bands import read_bands
from ocs.catalog.loading.conditions import (
    Names,
    read_locations,
    read_networks,
    read_own_numbers,
)
from ocs.catalog.loading.examples import ExampleReader
from ocs.catalog.loading.exchange import check_exchanged, read_currencies
from ocs.catalog.loading.notify import read_notify
from ocs.catalog.loading.number_plans import DestinationReader
from ocs.catalog.loading.offers import read_promotions
from ocs.catalog.loading.plans import read_plans
from ocs.catalog.loading.pools import check_partners, partners, pool_of, read_pools
from ocs.catalog.loading.prices import Offer
from ocs.catalog.loading.quota import read_quota
from ocs.catalog.loading.taxes import Taxes
from ocs.catalog.loading.units import countable, read_attributes, read_units, split_unit
from ocs.catalog.loading.values import check_code, instant_in
from ocs.catalog.matching import normalise_context
from ocs.catalog.model import Catalog, Plan, Pool, QuotaPolicy, Service
from ocs.currencies import NUMERIC_BY_CODE
from ocs.marked import Document, Mapping, Node, unknown_word

MAX_SERVICES = 1_000
MAX_NUMBER = (1 << 32) - 1
"""Rating-Group and Service-Identifier are Unsigned32 (RFC 8506 8.28, 8.29)."""

_OF_REQUESTS = (
    "rating_groups", "service_identifiers", "default", "quota", "together_with", "pool",
)
"""Keys of a service that say nothing where no gateway asks for it."""
_CONTEXT = re.compile(r"[^\s@]+@[^\s@]+")


def load_catalog(document: Document, source_name: str = "") -> Catalog:
    """Return the catalogue in a document; version 0, and the text as its source.

    ``source_name`` replaces the name that problems give the document. Raises DocumentError with
    every mistake; nothing is half-loaded.
    """
    document.source = source_name or document.source
    root = document.root
    name = root.text("name")
    currency = root.choice("currency", {code: code for code in NUMERIC_BY_CODE})
    time_zone = root.parsed("time_zone", _time_zone, "UTC")
    effective_ns = root.parsed("effective", instant_in(ZoneInfo(time_zone)), 0)
    bands = read_bands(root)
    names = Names(
        DestinationReader(root).read(), read_networks(root), read_locations(root),
        read_attributes(root), read_own_numbers(root),
    )  # fmt: skip
    pools, units, taxes = read_pools(root), read_units(root), Taxes(root)
    services = _read_services(root, pools, units, taxes)
    week = bands_that_hold(bands)
    offer = Offer(
        taxes=taxes,
        services=services,
        names=names,
        pools=pools,
        bands={band.name: band.name in week or not band.spans for band in bands},
        gap_band="" in week,
        bands_sound=all(band.spans for band in bands),
        units=units,
        notify=read_notify(root, names.networks),
        promotions=read_promotions(root, time_zone),
        currencies=read_currencies(root, currency),
    )
    plans = read_plans(root, offer)
    examples = ExampleReader(services, plans, names, time_zone).read(root)
    root.finish()
    _check_bands(root, offer)
    if plans:
        _check_unused(root, offer, plans)
    document.check()
    return Catalog(
        name=name,
        currency=currency,
        time_zone=time_zone,
        services=services,
        plans=plans,
        zones=names.zones,
        networks=names.networks,
        locations=names.locations,
        own_numbers=names.own_numbers,
        bands=bands,
        pools=pools,
        units=units,
        attributes=names.attributes,
        promotions=offer.promotions,
        currencies=offer.currencies,
        source=document.text,
        examples=examples,
        effective_ns=effective_ns,
    )


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        what = "no time zone such as Europe/Madrid"
        # Names without a slash are abbreviations, whose nearest ones are somewhere else.
        words = unknown_word(text, what, available_timezones()) if "/" in text else ""
        raise ValueError(words or f"'{text}' is {what}") from error
    return text


def _read_services(
    root: Mapping, pools: dict[str, Pool], units: dict[str, NamedUnit], taxes: Taxes
) -> dict[str, Service]:
    group = root.mapping("services", required=True)
    counted = countable(units)
    meant = partners(group)
    services: dict[str, Service] = {}
    claims: dict[tuple[str, str, int], str] = {}
    for key, node in group.members():
        code = check_code(key, "service")
        if len(services) >= MAX_SERVICES:
            key.problem(f"there are more than {MAX_SERVICES} services")
            break
        if isinstance(node, Mapping):
            taxes.enter_service(code, node)
            services[code] = _ServiceReader(code, node, claims).read(pools, meant, counted)
        else:
            node.problem(f"service '{code}' needs a group of keys")
    if root.has("services") and not group.entries:
        group.problem("there is no service")
    check_partners(root, services)
    return services


class _ServiceReader:
    """Reads one service; ``claims`` tells which service each number of a context means."""

    def __init__(self, code: str, group: Mapping, claims: dict[tuple[str, str, int], str]) -> None:
        self._code = code
        self._group = group
        self._claims = claims
        self._contexts = self._read_contexts()

    def read(
        self, pools: dict[str, Pool], meant: set[str], counted: dict[str, Measured]
    ) -> Service:
        """Return the service, whatever is wrong with it.

        ``meant`` are those that other services are granted together with, ``counted`` the units.
        """
        group = self._group
        measured = group.choice("unit", counted)
        unit, named = split_unit(measured)
        if not self._contexts and not group.sequence("contexts"):
            return self._recorded_only(unit, named)
        rating_groups = self._numbers("rating_groups", "rating group")
        identifiers = self._numbers("service_identifiers", "service identifier")
        default = group.boolean("default", default=False)
        if default:
            self._claim(group.entries["default"], "default", 0)
        elif self._code not in meant and not (
            group.has("rating_groups") or group.has("service_identifiers")
        ):
            group.title.problem(
                "no request means this service: give rating_groups, service_identifiers or "
                "default: true"
            )
        service = Service(
            code=self._code,
            contexts=self._contexts,
            unit=unit,
            quota=self._quota(measured),
            rating_groups=rating_groups,
            service_identifiers=identifiers,
            default=default,
            destination_rated=group.boolean("destination_rated", default=False),
            together_with=group.text("together_with", ""),
            pool=pool_of(group, pools),
            named=named,
        )
        group.finish()
        return service

    def _recorded_only(self, unit: Unit, named: NamedUnit | None) -> Service:
        """Return a service that no request of a gateway means: its usage is recorded (K-301)."""
        group = self._group
        for key in _OF_REQUESTS:
            if group.has(key):
                group.keys[key].problem(
                    f"'{key}' is about requests of gateways; give contexts, such as 32251@3gpp.org"
                )
        service = Service(
            self._code, (), unit, QuotaPolicy(slice=1, maximum=1), named=named,
            destination_rated=group.boolean("destination_rated", default=False),
        )
        group.finish()
        return service

    def _quota(self, unit: Measured) -> QuotaPolicy:
        group = self._group.mapping("quota")
        if not self._group.has("quota"):
            self._group.missing("quota", "say at least the slice that is granted at a time")
            return QuotaPolicy(slice=1, maximum=1)
        return read_quota(group, unit)

    def _read_contexts(self) -> tuple[str, ...]:
        contexts: list[str] = []
        for scalar in self._group.scalars("contexts"):
            context = normalise_context(scalar.text)
            if not _CONTEXT.fullmatch(context):
                scalar.problem(f"{scalar.describe()} is no context such as 32251@3gpp.org")
            elif context in contexts:
                scalar.problem(f"{scalar.describe()} means {context}, which is given twice")
            else:
                contexts.append(context)
        return tuple(contexts)

    def _numbers(self, key: str, what: str) -> frozenset[int]:
        numbers: set[int] = set()
        for scalar in self._group.scalars(key):
            number = scalar.integer(0, MAX_NUMBER, -1)
            if number in numbers:
                scalar.problem(f"{what} {number} is given twice")
            elif number >= 0:
                numbers.add(number)
                self._claim(scalar, what, number)
        return frozenset(numbers)

    def _claim(self, place: Node, what: str, number: int) -> None:
        for context in self._contexts:
            owner = self._claims.setdefault((context, what, number), self._code)
            if owner != self._code:
                taken = what if what == "default" else f"{what} {number}"
                place.problem(f"the {taken} of {context} is service '{owner}' already")


def _check_bands(root: Mapping, offer: Offer) -> None:
    keys = root.mapping("time_bands").keys
    for band, holds in offer.bands.items():
        if not holds:
            keys[band].problem(f"time band '{band}' never holds: those before it cover its times")
    if offer.bands and not root.has("time_zone"):
        root.missing("time_zone", "time bands need one, such as Europe/Madrid")


def _check_unused(root: Mapping, offer: Offer, plans: dict[str, Plan]) -> None:
    """Note services, destinations and time bands that no plan uses, and vain destination rating."""
    offer.taxes.check_unused(root)
    check_exchanged(root, plans)
    for section, kind, words in (
        ("services", "service", "is sold by no plan"),
        ("destinations", "destination", "is used by no price"),
        ("networks", "network", "is used by no price"),
        ("locations", "location", "is used by no price"),
        ("units", "unit", "is what nothing is counted in"),
        ("time_bands", "time_band", "is used by no price"),
        ("promotions", "promotion", "is used by no bonus"),
    ):
        for name, key in root.mapping(section).keys.items():
            if (kind, name) not in offer.used and (kind, name) != ("network", HOME):
                key.problem(f"{kind.replace('_', ' ')} '{name}' {words}")
    for code, service in offer.services.items():
        if service.destination_rated and ("rated", code) not in offer.used:
            root.mapping("services").mapping(code).entries["destination_rated"].problem(
                f"no price of service '{code}' names a destination"
            )
