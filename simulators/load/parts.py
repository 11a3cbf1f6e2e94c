"""What each process of a shared run carries: connections of its own, its part of the load, dice.

Called by `processes`.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from simulators.scenarios.model import Gateway, Load, Scenario

_RATES = ("per_second", "burst_per_second", "from_per_second", "to_per_second")


def parts_of(scenario: Scenario, count: int) -> list[Scenario]:
    """What each of so many processes carries; ValueError when there is not enough for all."""
    return [
        scenario.model_copy(
            update={
                "seed": _seed(scenario.seed, number, count),
                "gateways": tuple(_gateways(scenario, number, count)),
                "load": _load(scenario.load, number, count),
            }
        )
        for number in range(count)
    ]


def _seed(seed: int, number: int, count: int) -> int:
    text = f"{seed} part {number} of {count}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def _gateways(scenario: Scenario, number: int, count: int) -> Iterator[Gateway]:
    for gateway in scenario.gateways:
        hosts = gateway.origin_hosts()
        if len(hosts) < count:
            raise ValueError(
                f"{gateway.origin_host} has {len(hosts)} connections: {count} processes need as"
                " many, with {n} in origin_host"
            )
        for host in hosts[number::count]:
            yield gateway.model_copy(update={"origin_host": host, "connections": 1})


def _load(whole: Load, number: int, count: int) -> Load:
    changes: dict[str, Any] = {}
    for name in ("concurrency", "sessions"):
        amount = getattr(whole, name)
        if amount is not None:
            if amount < count:
                raise ValueError(f"{name}: {amount} cannot be shared by {count} processes")
            changes[name] = amount // count + (number < amount % count)
    for name in ("arrivals_per_second", "requests_per_second"):
        rate = getattr(whole, name)
        if rate is not None:
            changes[name] = rate / count
    if whole.arrivals is not None:
        rates = {
            name: getattr(whole.arrivals, name) / count
            for name in _RATES
            if hasattr(whole.arrivals, name)
        }
        changes["arrivals"] = whole.arrivals.model_copy(update=rates)
    return whole.model_copy(update=changes)
