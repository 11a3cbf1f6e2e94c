"""One price of a catalogue file, in whichever model: plain, package, flat, stepped or volume.

Called by loading.prices and loading.plans. What a model means is said in docs/catalogue.md, what it
costs by rating.pricing.
"""

from ocs.amounts import (
    AMOUNT_MAX_MICRO,
    Measured,
    NamedUnit,
    Unit,
    format_amount,
    format_quantity,
)
from ocs.catalog.loading.values import amount_from_zero, at_least, parse_rate
from ocs.catalog.model import SESSION, Period, Price, PriceRule, QuotaPolicy, Tier
from ocs.marked import Mapping, Node

MAX_TIERS = 50
MODELS = ("price", "flat", "stepped", "volume")
"""The keys of which a price has exactly one."""
PRICE_KEYS = (
    "flat", "stepped", "volume", "package", "per", "increment", "minimum", "setup", "maximum",
    "counted", "counted_for",
)
"""What belongs to one price, beside ``price`` itself."""
PERIODS = {"session": SESSION, "day": Period.DAY, "week": Period.WEEK, "month": Period.MONTH}
COUNTED_FOR = {"account": False, "member": True}
_TIERS = ("stepped", "volume")


def read_price(group: Mapping, unit: Measured) -> Price:
    """Return the price that a group gives in one of MODELS, with increments and bounds.

    Events are counted one by one, a named unit in its parts at a price for a whole one; for octets
    and seconds ``per`` and ``increment`` must be said, or a ``package``, which is both.
    """
    given = [model for model in MODELS if group.has(model)]
    if not given:
        group.missing("price", "give what it costs: price, flat, stepped or volume")
        return Price(0)
    for other in given[1:]:
        group.keys[other].problem(f"'{other}' does not go with '{given[0]}'; give one of them")
    counted, by_member = _read_counted(group)
    if given[0] == "flat":
        return _flat(group, counted, by_member=by_member)
    per, increment = _counted(group, unit)
    tiers = _tiers(group, given[0], unit, per) if given[0] in _TIERS else ()
    if tiers:
        rate_micro, per = tiers[0].rate_micro, tiers[0].per
    else:
        rate_micro, divisor = group.parsed("price", parse_rate, (0, 1))
        per *= divisor
    setup_micro = group.parsed("setup", amount_from_zero, 0)
    price = Price(
        rate_micro=rate_micro,
        per=per,
        increment=increment,
        minimum=group.parsed("minimum", at_least(0, unit), 0),
        setup_micro=setup_micro,
        tiers=tiers,
        volume=bool(tiers) and given[0] == "volume",
        maximum_micro=(
            group.parsed("maximum", amount_from_zero, 0) if group.has("maximum") else None
        ),
        counted=counted,
        by_member=by_member,
    )
    if price.maximum_micro is not None and price.maximum_micro < setup_micro:
        group.keys["maximum"].problem(
            f"the maximum is less than the setup fee of {format_amount(setup_micro)}"
        )
    _check_tiers(group, given[0], price, unit)
    return price


def _read_counted(group: Mapping) -> tuple[Period, bool]:
    """Return over what the units of a price are cumulative, and whether for each member."""
    period: Period = group.choice("counted", PERIODS, default=SESSION)
    by_member: bool = group.choice("counted_for", COUNTED_FOR, default=False)
    if group.has("counted_for") and not period:
        group.keys["counted_for"].problem(
            "'counted_for' goes with 'counted': day, week or month"
        )
    return period, by_member


def _flat(group: Mapping, counted: Period, *, by_member: bool) -> Price:
    for key in ("package", "per", "increment", "minimum", "setup", "maximum"):
        if group.has(key):
            group.keys[key].problem(f"'{key}' does not go with 'flat', which is charged once")
    setup_micro = group.parsed("flat", amount_from_zero, 0)
    return Price(0, setup_micro=setup_micro, counted=counted, by_member=by_member)


def _counted(group: Mapping, unit: Measured) -> tuple[int, int]:
    """Return what the price is for and the increment, in base units."""
    whole = at_least(1, unit)
    if group.has("package"):
        for key in ("per", "increment"):
            if group.has(key):
                group.keys[key].problem(f"'{key}' does not go with 'package', which is both")
        package = group.parsed("package", whole, 1)
        return package, package
    one = unit.one if isinstance(unit, NamedUnit) else 1
    counted = unit is Unit.EVENTS or isinstance(unit, NamedUnit)
    if not counted and not group.has("increment"):
        group.missing("increment", "say how usage is rounded up, such as 1 MB or 60 s")
    if not counted and not group.has("per"):
        group.missing("per", "say what the price is for, such as 1 MB or 1 min")
    return group.parsed("per", whole, one), group.parsed("increment", whole, 1)


def _tiers(group: Mapping, model: str, unit: Measured, per: int) -> tuple[Tier, ...]:
    entries = group.mappings(model)
    if len(entries) > MAX_TIERS:
        entries[MAX_TIERS].problem(f"there are more than {MAX_TIERS} tiers")
        return ()
    if len(entries) < 2:
        group.keys[model].problem("give two tiers or more; a single one is a plain price")
    tiers: list[Tier] = []
    start = 0
    for number, entry in enumerate(entries, 1):
        up_to = entry.parsed("up_to", at_least(1, unit), 0)
        if number == len(entries):
            if entry.has("up_to"):
                entry.keys["up_to"].problem(
                    "the last tier has no end, or what lies beyond had no price; leave up_to out"
                )
            up_to = 0
        elif not entry.has("up_to"):
            entry.missing("up_to", "say where the tier ends, such as 1 GB; only the last has none")
        elif up_to <= start:
            entry.keys["up_to"].problem(
                f"the tier ends at {format_quantity(up_to, unit)}, not after the one before it, "
                f"which ends at {format_quantity(start, unit)}"
            )
        rate_micro, divisor = entry.parsed("price", parse_rate, (0, 1), required=True)
        flat_micro = entry.parsed("flat", amount_from_zero, 0)
        entry.finish()
        start = max(start, up_to)
        tiers.append(Tier(up_to, rate_micro, per * divisor, flat_micro))
    return tuple(tiers)


def _check_tiers(group: Mapping, model: str, price: Price, unit: Measured) -> None:
    """Note tiers of a volume price that no quantity billed can be in."""
    if not price.volume or price.steps is None:
        return
    entries = [entry for entry in group.sequence(model) if isinstance(entry, Mapping)]
    start = 0
    for tier, entry in zip(price.tiers, entries, strict=True):
        last = max(tier.up_to // price.increment * price.increment, price.steps.lowest)
        if tier.up_to and not start < last <= tier.up_to:
            entry.problem(
                f"nothing is ever billed in this tier, up to {format_quantity(tier.up_to, unit)}: "
                "usage is rounded up to whole increments, and to the minimum, beyond it"
            )
        start = tier.up_to


def check_price(price: Price, unit: Measured, quota: QuotaPolicy, place: Node) -> None:
    """Note where a price and the quota policy it is granted under cannot work together."""
    if price.increment > quota.slice:
        place.problem(
            f"the increment of {format_quantity(price.increment, unit)} is larger than the slice "
            f"of {format_quantity(quota.slice, unit)}, so nothing could ever be granted"
        )
    largest = max(quota.maximum, price.minimum) + price.increment
    tiers = price.tiers or (Tier(0, price.rate_micro, price.per),)
    cost = max(largest * tier.rate_micro // tier.per for tier in tiers)
    cost += price.setup_micro + sum(tier.flat_micro for tier in price.tiers)
    if cost > AMOUNT_MAX_MICRO:
        place.problem("the largest grant would cost more than the largest amount kept")


def check_recorded(price: Price, unit: Measured, place: Node) -> None:
    """Note a price of single events that would lose fractions of the smallest amount (K-320)."""
    tiers = price.tiers or (Tier(0, price.rate_micro, price.per),)
    if not price.counted and any(price.increment * one.rate_micro % one.per for one in tiers):
        place.problem(
            f"{format_quantity(price.increment, unit)} costs a fraction of 0.000001, which is lost "
            "with everything recorded; say counted: month, or day or week, and it adds up exactly"
        )


def check_clocked(rules: tuple[PriceRule, ...], unit: Unit, places: list[Node]) -> None:
    """Note prices of seconds that no cumulative count can give an exact cost over time bands.

    A quota of seconds runs through bands in its midst, each second at the price of its own band
    (M-011), so no one price sees all seconds that its tiers or its maximum would count.
    """
    if unit is not Unit.SECONDS or not any(rule.band for rule in rules):
        return
    for rule, place in zip(rules, places, strict=True):
        if rule.sponsor:
            place.problem(
                "'sponsor' does not go with time bands for seconds: one call may run through "
                "several bands, and one part of it would be charged as the other; leave "
                "time_band out of this list, or sponsor"
            )
        elif rule.price.counted:
            place.problem(
                "'counted' does not go with time bands for seconds: one call may run through "
                "several bands, and no count sees all of its seconds; leave time_band out of "
                "this list, or counted"
            )
        elif rule.price.steps is not None:
            place.problem(
                "tiers and a maximum do not go with time bands for seconds: one call may run "
                "through several bands, and no price sees all of its seconds; leave time_band "
                "out of this list, or use per and increment"
            )
