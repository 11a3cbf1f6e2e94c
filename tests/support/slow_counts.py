"""What is counted for the limits of a plan, unit by unit: slow, obvious (K-207, K-208).

Used by slow_account; shares nothing with the server but the values of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo

from ocs.amounts import Unit
from ocs.catalog.limits import Limit
from ocs.catalog.model import Catalog, Period, Plan
from ocs.ledger.details import Cap
from tests.support.slow_clock import period_of

Key = tuple[str, int, date]
"""What is counted, for which member (0: all), and the first day of its period."""


class SlowCounts:
    """How much of each limit was used or spent, and what open sessions may use still."""

    def __init__(
        self, catalog: Catalog, plan: Plan, zone: ZoneInfo, caps: tuple[Cap, ...] = ()
    ) -> None:
        self._catalog, self._zone = catalog, zone
        # A cap of the customer's own is a limit on money, for one member or for all.
        self.bounds = [(one, 0) for one in plan.limits] + [
            (Limit(f"own {one.code}", Unit.MONEY, one.amount_micro, one.period, one.services),
             one.subscriber_id)
            for one in caps
        ]  # fmt: skip
        self.used: dict[Key, int] = {}
        """Units, or micro units of money."""
        self._promised: dict[Key, int] = {}

    def promise(self, service: str, member: int, at_s: int, units: int) -> None:
        """Note what a session may use still; negative: may not any more."""
        for limit, key in self._of(service, member, at_s):
            if limit.unit is not Unit.MONEY:
                self._promised[key] = self._promised.get(key, 0) + units

    def use(self, service: str, member: int, at_s: int) -> bool:
        """Count one unit; tell whether it is the last before a limit that changes prices."""
        last = False
        for limit, key in self._of(service, member, at_s):
            if limit.unit is not Unit.MONEY:
                self.used[key] = self.used.get(key, 0) + 1
                last = last or (limit.changes_price and self._left(limit, key) == 0)
        return last

    def spend(self, service: str, member: int, at_s: int, amount_micro: int) -> None:
        """Count money."""
        for limit, key in self._of(service, member, at_s):
            if limit.unit is Unit.MONEY:
                self.used[key] = self.used.get(key, 0) + amount_micro

    def reached(self, service: str, member: int, at_s: int) -> str:
        """Return the last of the limits that change prices and are used up or granted."""
        found = [
            limit.code
            for limit, key in self._of(service, member, at_s)
            if limit.changes_price and self._left(limit, key) <= 0
        ]
        return found[-1] if found else ""

    def _left(self, limit: Limit, key: Key) -> int:
        return limit.amount - self.used.get(key, 0) - self._promised.get(key, 0)

    def _of(self, service: str, member: int, at_s: int) -> Iterator[tuple[Limit, Key]]:
        unit = self._catalog.services[service].unit
        for limit, only in self.bounds:
            concerns = only in (0, member) and (not limit.services or service in limit.services)
            if concerns and limit.unit in (Unit.MONEY, unit):
                day = period_of(self._zone, Period(limit.period), at_s)
                yield limit, (limit.code, member if limit.by_member else 0, day)
