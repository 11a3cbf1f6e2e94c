"""What the random lives of an account and the random sessions have in common: services with small
grants, films counted in two units, catalogues with a tariff switch, clients.
"""

from __future__ import annotations

from dataclasses import replace

from ocs.amounts import Unit
from ocs.catalog.model import (
    BandSpan,
    Catalog,
    Condition,
    Price,
    PriceRule,
    QuotaPolicy,
    TimeBand,
)
from ocs.charging.model.messages import Units
from ocs.charging.model.profile import ClientProfile
from tests.support import charging
from tests.support.tariffs import T_DATA_DEARER, make_catalog

GROUPS = (100, 101, 102, 200, 310, 500, 600, 700)
TIME_GROUP, FILM_GROUP = 500, 700
CLIENTS: dict[str, ClientProfile] = {
    name: replace(charging.CLIENTS[name], bound_usage=False)
    for name in ("generic", "open5gs", "magma", "kamailio", "rfc")
}
"""Among them one that knows pools and takes two quotas around a tariff switch."""


def make_small_catalog(validity_seconds: int) -> Catalog:
    """The golden catalogue with grants small enough that money ends often, and films, which cost
    by octets and by minutes.
    """
    catalog = with_films(make_catalog())
    small = QuotaPolicy(
        3_000_000, 5_000_000, validity_seconds=validity_seconds, short_validity_seconds=10
    )
    services = {
        code: replace(service, quota=small) if service.unit is Unit.OCTETS else service
        for code, service in catalog.services.items()
    }
    return replace(catalog, services=services)


def with_films(catalog: Catalog) -> Catalog:
    """Return the catalogue with a service that costs by octets and by seconds."""
    film = replace(
        catalog.services["data"], code="film", rating_groups=frozenset({FILM_GROUP}),
        default=False, together_with="film-time",
    )
    clock = replace(catalog.services["lease"], code="film-time", rating_groups=frozenset())
    plans = {
        code: replace(plan, terms={
            **plan.terms,
            **{
                new: replace(
                    plan.terms[like], service=new,
                    rules=tuple(replace(one, code=new) for one in plan.terms[like].rules),
                )
                for new, like in (("film", "fine"), ("film-time", "lease"))
            },
        })
        for code, plan in catalog.plans.items()
    }
    services = catalog.services | {"film": film, "film-time": clock}
    return replace(catalog, services=services, plans=plans)


def with_switch(catalog: Catalog) -> Catalog:
    """Return the catalogue with volume and time getting dearer a minute after the start."""
    late = TimeBand("late", (BandSpan(frozenset(range(7)), 12 * 60 + 1, 24 * 60),))
    plans = {}
    for code, plan in catalog.plans.items():
        terms = dict(plan.terms)
        for service, price in (("data", T_DATA_DEARER), ("lease", Price(240_000, per=60))):
            rules = (*terms[service].rules, PriceRule(f"{service}-late", price, band="late"))
            terms[service] = replace(terms[service], rules=rules)
        plans[code] = replace(plan, terms=terms)
    return replace(catalog, plans=plans, bands=(late,))


def with_dearer_data(catalog: Catalog) -> Catalog:
    """Return the catalogue with another price of data under the same name."""
    plans = {
        code: replace(
            plan,
            terms={
                **plan.terms,
                "data": replace(plan.terms["data"], rules=(PriceRule("data", T_DATA_DEARER),)),
            },
        )
        for code, plan in catalog.plans.items()
    }
    return replace(catalog, plans=plans)


def with_conditions(catalog: Catalog) -> Catalog:
    """Return the catalogue with volume and time dearer by one radio access."""
    plans = {}
    for code, plan in catalog.plans.items():
        terms = dict(plan.terms)
        for service, price in (("data", T_DATA_DEARER), ("lease", Price(240_000, per=60))):
            fast = PriceRule(f"{service}-nr", price, when=(Condition("rat", ("nr",)),))
            terms[service] = replace(terms[service], rules=(*terms[service].rules, fast))
        plans[code] = replace(plan, terms=terms)
    return replace(catalog, plans=plans)


def units_of(group: int, amount: int) -> Units:
    """Return usage of a rating group in what it counts."""
    if group == FILM_GROUP:
        return Units(seconds=amount // 50_000, octets=amount)
    return Units(seconds=amount) if group == TIME_GROUP else Units(octets=amount)


CATALOG = make_small_catalog(30)
CATALOGS = (
    CATALOG,
    with_switch(make_small_catalog(900)),
    with_conditions(CATALOG),
    with_conditions(with_switch(make_small_catalog(900))),
)
LATER_CATALOGS = (*CATALOGS, with_dearer_data(make_small_catalog(30)))
