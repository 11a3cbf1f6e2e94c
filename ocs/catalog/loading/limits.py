"""Limits of a plan in a catalogue file: caps on units and money, and fair use.

Called by loading.plans, before the prices that may look at them.
"""

from collections.abc import Callable, Collection, Iterable
from collections.abc import Mapping as AbstractMapping

from ocs.amounts import Measured, Unit, parse_amount, parse_quantity
from ocs.catalog.limits import BucketCap, Limit, Rollover
from ocs.catalog.loading.models import COUNTED_FOR
from ocs.catalog.loading.units import split_unit
from ocs.catalog.loading.values import check_code
from ocs.catalog.model import LIMIT, Period, Plan, Service, ServiceTerms
from ocs.marked import Mapping, Scalar, unknown_word

MAX_LIMITS = 20
MAX_PERIODS = 60
EVERY = {"day": Period.DAY, "week": Period.WEEK, "month": Period.MONTH}
THEN = {"stop": False, "price": True}


def read_limits(
    group: Mapping, services: AbstractMapping[str, Service],
    units: AbstractMapping[str, Measured], sold: Collection[str],
) -> tuple[Limit, ...]:
    """Return the limits under ``limits``; ``sold`` are the codes of the plan's services."""
    limits: list[Limit] = []
    for key, node in group.mapping("limits").members():
        code = check_code(key, "limit")
        if not isinstance(node, Mapping):
            node.problem(f"limit '{code}' needs a group of keys")
        elif len(limits) >= MAX_LIMITS:
            key.problem(f"there are more than {MAX_LIMITS} limits")
            break
        else:
            limits.append(_read_limit(code, node, services, units, sold))
    return tuple(limits)


def _read_limit(
    code: str, group: Mapping, services: AbstractMapping[str, Service],
    units: AbstractMapping[str, Measured], sold: Collection[str],
) -> Limit:
    counted = group.choice("unit", units)
    unit, named = split_unit(counted)
    measure = named.measure if named is not None else ""

    def parse(text: str) -> int:
        amount = parse_amount(text) if unit is Unit.MONEY else parse_quantity(text, counted)
        if amount <= 0:
            raise ValueError(f"'{text}' is not more than zero")
        return amount

    amount = group.parsed("amount", parse, 1, required=True)
    changes_price = group.choice("then", THEN, default=False)
    if changes_price and unit is Unit.MONEY:
        group.entries["then"].problem("only limits of units change prices; money has tiers")
    codes = []
    for scalar in group.scalars("services"):
        service = services.get(scalar.text)
        if service is None:
            scalar.problem(unknown_word(scalar.text, "no service of this catalogue", services))
        elif scalar.text not in sold:
            scalar.problem(f"the plan does not sell service '{scalar.text}'")
        elif unit is not Unit.MONEY and (service.unit, service.measure) != (unit, measure):
            scalar.problem(
                f"service '{scalar.text}' is counted in {service.counted_in.label}, this limit "
                f"in {counted.label}"
            )
        else:
            codes.append(scalar.text)
    if not group.has("services") and unit is not Unit.MONEY and not any(
        (services[name].unit, services[name].measure) == (unit, measure)
        for name in sold if name in services
    ):
        group.title.problem(f"no service of the plan is counted in {counted.label}")
    limit = Limit(
        code, unit, amount, group.choice("every", EVERY), tuple(codes),
        group.choice("for", COUNTED_FOR, default=False), changes_price, measure,
    )
    group.finish()
    return limit


def read_rollover(group: Mapping, amount_of: Callable[[str], int]) -> Rollover | None:
    """Return what of an allowance is carried over: a word, or a group of bounds."""
    node = group.get("rollover")
    if node is None:
        return None
    if isinstance(node, Scalar):
        return Rollover() if group.boolean("rollover", default=False) else None
    bounds = group.mapping("rollover")
    rule = Rollover(
        periods=bounds.integer("periods", 1, minimum=1, maximum=MAX_PERIODS),
        percent=bounds.parsed("share", _percent, 100),
        maximum=bounds.parsed("maximum", amount_of, 0) if bounds.has("maximum") else None,
    )
    bounds.finish()
    return rule


def read_bucket_cap(
    group: Mapping, counted: Measured, amount_of: Callable[[str], int]
) -> BucketCap | None:
    """Return how much of an allowance is used in a period at most."""
    if not group.has("at_most"):
        return None
    if counted is Unit.MONEY:
        group.keys["at_most"].problem(
            "'at_most' is for allowances of units; what is spent of money is bounded by limits"
        )
    bound = group.mapping("at_most")
    cap = BucketCap(
        bound.parsed("amount", amount_of, 1, required=True), bound.choice("every", EVERY)
    )
    bound.finish()
    return cap


def _percent(text: str) -> int:
    digits = text.removesuffix("%").strip()
    if not digits.isdecimal() or not 0 < int(digits) <= 100:
        raise ValueError(f"'{text}' is no share such as 50 %")
    return int(digits)


def check_rollovers(group: Mapping, plan: Plan) -> None:
    """Note allowances that are to be carried over and are never renewed."""
    renewed = {code for item in plan.recurring for code in item.allowances}
    for one in plan.allowances:
        if one.rollover is not None and one.code not in renewed:
            group.mapping("allowances").mapping(one.code).keys["rollover"].problem(
                f"allowance '{one.code}' is not renewed, so there is nothing to carry over: "
                "name it under recurring"
            )


def check_used(group: Mapping, limits: tuple[Limit, ...], terms: Iterable[ServiceTerms]) -> None:
    """Note limits after which a price is to change, and no price says to what."""
    rules = [rule for one in terms for rule in one.rules]
    for limit in limits:
        if limit.changes_price and not any(rule.names(LIMIT, limit.code) for rule in rules):
            group.mapping("limits").keys[limit.code].problem(
                f"no price holds when limit '{limit.code}' is reached: give one with "
                f"when: {{limit: {limit.code}}}"
            )
