"""What other currencies are worth in the one that accounts are kept in (K-323). Pure.

A catalogue names exact rates. Money in another currency is kept in a purse, a bucket that counts
the millionths of that currency as a unit of its own, so that nothing sums it with other money and
nothing is paid with it.
Read by loading.exchange, used by charging.accounts.exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ocs.amounts import NamedUnit, parse_decimal
from ocs.currencies import NUMERIC_BY_CODE

PURSE_DECIMALS = 6
"""A purse counts what all money is counted in: micro units."""


class Exchange(IntEnum):
    """When money in another currency becomes the account's own."""

    NEVER = 0
    AT_TOP_UP = 1
    WHEN_NEEDED = 2
    """It stays in its purse until the account's own money cannot pay (K-329)."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One unit of ``currency`` is worth ``numerator / denominator`` of the account's currency."""

    currency: str
    numerator: int
    denominator: int

    def exchanged(self, amount_micro: int) -> int:
        """Return what an amount comes to, rounded down to a micro unit (K-324)."""
        return amount_micro * self.numerator // self.denominator

    def least_for(self, own_micro: int) -> int:
        """Return the least amount that comes to ``own_micro`` or, where one micro unit is worth
        more than one, to just above (K-330).
        """
        return -(-own_micro * self.denominator // self.numerator)

    def text(self) -> str:
        """Return the rate as the decimal number that it is."""
        decimals = len(str(self.denominator)) - 1
        whole, part = divmod(self.numerator, self.denominator)
        fraction = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
        return f"{whole}.{fraction}" if fraction else str(whole)


def rate_of(text: str) -> Rate:
    """Return the rate that a ledger line names, such as ``USD 0.92``. Raises ValueError."""
    currency, _, number = text.partition(" ")
    return Rate(currency, *parse_decimal(number))


def purse_currency(measure: str) -> str:
    """Return the currency that a bucket of this measure keeps; empty when it is no purse."""
    name, _, decimals = measure.partition("/")
    return name if decimals == str(PURSE_DECIMALS) and name in NUMERIC_BY_CODE else ""


def purse_unit(currency: str) -> NamedUnit:
    """Return what a purse of this currency is counted in."""
    return NamedUnit(currency, PURSE_DECIMALS)
