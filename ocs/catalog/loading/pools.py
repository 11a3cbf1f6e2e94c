"""Credit pools of a catalogue file, and services that count the same requests in two units.

Called by loading.document and loading.plans.
"""

from collections.abc import Mapping as AbstractMapping

from ocs.catalog.loading.values import check_code, parse_rate
from ocs.catalog.model import Pool, PriceRule, Service
from ocs.catalog.pools import multiplier
from ocs.marked import Mapping, Node, unknown_word

MAX_POOLS = 1_000
MAX_POOL_NUMBER = (1 << 32) - 1
"""G-S-U-Pool-Identifier is an Unsigned32 (RFC 8506 8.31)."""


def read_pools(root: Mapping) -> dict[str, Pool]:
    """Return the pools of the file by code; numbers are unique."""
    pools: dict[str, Pool] = {}
    lines: dict[int, int] = {}
    for key, node in root.mapping("pools").members():
        code = check_code(key, "pool")
        if len(pools) >= MAX_POOLS:
            key.problem(f"there are more than {MAX_POOLS} pools")
            break
        if not isinstance(node, Mapping):
            node.problem(f"pool '{code}' needs a group of keys")
            continue
        number = node.integer("number", minimum=1, maximum=MAX_POOL_NUMBER)
        worth = node.parsed("unit", _worth, (1, 1), required=True)
        first = lines.setdefault(number, key.line)
        if first != key.line:
            (node.get("number") or key).problem(f"pool {number} is defined in line {first} already")
        node.finish()
        pools[code] = Pool(code, number, *worth)
    return pools


def _worth(text: str) -> tuple[int, int]:
    rate_micro, per = parse_rate(text)
    if not rate_micro:
        raise ValueError("a unit of a pool is worth more than nothing, such as 0.000001")
    return rate_micro, per


def pool_of(group: Mapping, pools: AbstractMapping[str, Pool]) -> str:
    """Return the pool that a service names, "" for none."""
    node = group.scalar("pool")
    if node is None:
        return ""
    if node.text not in pools:
        node.problem(unknown_word(node.text, "no pool of this catalogue", pools))
        return ""
    return node.text


def partners(services: Mapping) -> set[str]:
    """Return the codes that services name as the one they are granted together with."""
    return {
        node.text
        for _, group in services.members()
        if isinstance(group, Mapping) and (node := group.scalar("together_with")) is not None
    }


def check_partners(root: Mapping, services: AbstractMapping[str, Service]) -> None:
    """Note where two services cannot be granted together."""
    groups = root.mapping("services")
    for service in services.values():
        if not service.together_with:
            continue
        place = groups.mapping(service.code).entries["together_with"]
        other = services.get(service.together_with)
        if other is None:
            place.problem(
                unknown_word(service.together_with, "no service of this catalogue", {*services})
            )
        elif other.unit is service.unit:
            place.problem(f"'{other.code}' is counted in {other.unit.label} too")
        elif other.together_with:
            place.problem(f"'{other.code}' is itself granted together with another service")
        elif not set(service.contexts) <= set(other.contexts):
            place.problem(f"'{other.code}' must have all contexts of '{service.code}'")


def check_pooled(pool: Pool, rule: PriceRule, place: Node) -> None:
    """Note a price that has no exact multiplier in the pool of its service."""
    if multiplier(pool, rule.price) is None:
        place.problem(
            f"this price is no exact decimal number of units of pool '{pool.code}'; a pool needs "
            "prices above zero, without tiers, maximum or counted, whose divisor has no other "
            "factors than 2 and 5"
        )
