"""What a plan's price for a service comes to, so that two catalogues can be compared by it.

Only what prices: not how much is granted at a time, nor what happens at the end of the money, nor
zones and bands that no rule of the service names. Called by catalog.matching, which remembers it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby

from ocs.catalog.calendar import week_of
from ocs.catalog.conditions import HOME
from ocs.catalog.model import ALWAYS, Catalog, TimeBand

ELSEWHERE = ""
"""Stands for every zone that no rule names."""


def meaning_of(
    catalog: Catalog, plan_code: str, service_code: str
) -> tuple[object, ...] | None:
    """Return everything the price depends on; None where the plan does not include the service.

    Equal meanings charge equal usage alike.
    """
    plan, service = catalog.plans.get(plan_code), catalog.services.get(service_code)
    terms = plan.terms.get(service_code) if plan else None
    if service is None or terms is None:
        return None
    named: dict[str, set[str]] = {}
    for rule in terms.rules:
        for one in rule.when:
            named.setdefault(one.dimension, set()).update(one.labels)
    numbers = set(named.get("origin", ()))
    if service.destination_rated:
        numbers.update(rule.zone for rule in terms.rules if rule.zone)
    networks = set(named.get("visited", ()))
    if "roaming" in named:
        networks.add(HOME)
    bands = {rule.band for rule in terms.rules if rule.band != ALWAYS}
    return (
        service.unit, service.named, service.destination_rated, terms.mode, terms.rules,
        terms.subscriber_clock,
        terms.tax,
        _numbers(catalog.zones, numbers),
        _members(catalog.networks, networks, lambda network: network[:3]),
        "roaming" in named and HOME in catalog.networks,
        catalog.own_numbers if "relation" in named else (),
        _members(
            catalog.locations, named.get("location", ()), lambda place: place.partition("/")[0]
        ),
        _week(catalog.bands, bands),
        catalog.time_zone if bands or terms.counted else "",
    )  # fmt: skip


def _numbers(zones: Mapping[str, tuple[str, ...]], named: Collection[str]) -> tuple[object, ...]:
    """Return which numbers are in the zones that are named, whatever else divides the world.

    The longest prefix of a number says its zone; a prefix that says no more than a shorter one is
    left out.
    """
    if not named:
        return ()
    zone_by_prefix = {
        prefix: zone if zone in named else ELSEWHERE
        for zone, prefixes in zones.items()
        for prefix in prefixes
    }
    kept: dict[str, str] = {}
    for prefix in sorted(zone_by_prefix, key=len):
        shorter = (prefix[:length] for length in range(len(prefix) - 1, -1, -1))
        said = next((kept[one] for one in shorter if one in kept), ELSEWHERE)
        if zone_by_prefix[prefix] != said:
            kept[prefix] = zone_by_prefix[prefix]
    return tuple(sorted(kept.items()))


def _members(
    zones: Mapping[str, tuple[str, ...]], named: Collection[str], family: Callable[[str], str]
) -> tuple[object, ...]:
    """Return the members of the zones that are named, and others of the same families, which may
    take something away from them.
    """
    own = [(one, zone) for zone in named for one in zones.get(zone, ())]
    families = {family(one) for one, _ in own}
    others = [
        (one, ELSEWHERE)
        for zone, members in zones.items()
        for one in members
        if zone not in named and family(one) in families
    ]
    return tuple(sorted(own + others))


def _week(bands: Sequence[TimeBand], named: Collection[str]) -> tuple[object, ...]:
    """Return when the bands that are named hold, whatever else divides the week."""
    if not named:
        return ()
    labels = {band.name: band.name if band.name in named else ALWAYS for band in bands}
    if any(span.dates for band in bands for span in band.spans):
        # To compare every week with a holiday would take too long while requests wait.
        last = max((index for index, band in enumerate(bands) if labels[band.name]), default=-1)
        return tuple((labels[band.name], band.spans) for band in bands[: last + 1])
    week = [labels.get(name, ALWAYS) for name in week_of(bands)]
    return tuple((label, len(list(minutes))) for label, minutes in groupby(week))
