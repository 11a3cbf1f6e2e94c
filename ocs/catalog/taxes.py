"""Taxes on what is sold: how much of a charge is tax, and what comes on top of a price (K-280).

Everything is computed with prices that have their tax in them: one that is given without gets it
when a catalogue is loaded. So a charge is what is paid, and its tax is a part of it. Pure; called
by the loader, by ledger.entries for each charge, and by what explains charges.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from ocs.amounts import round_half_up


@dataclass(frozen=True, slots=True)
class Tax:
    """A rate of ``numerator / denominator`` of the price without tax, such as 21 / 100."""

    code: str
    numerator: int
    denominator: int
    included: bool = True
    """Whether the prices of the catalogue are given with it."""

    def part_of(self, charged_micro: int) -> int:
        """Return how much of a cumulative charge is tax, rounded half up to a micro unit.

        The tax of a charge is the part of the count after it minus that of the count before it, so
        that the sum does not depend on how usage was cut into reports (K-281).
        """
        return round_half_up(charged_micro * self.numerator, self.denominator + self.numerator)

    def on_top(self, amount_micro: int) -> int:
        """Return an amount without tax with it, rounded half up to a micro unit."""
        return round_half_up(amount_micro * (self.denominator + self.numerator), self.denominator)

    def on_rate(self, rate_micro: int, per: int) -> tuple[int, int]:
        """Return an exact rate with the tax, for as many units as before where that is whole."""
        rate_micro *= self.denominator + self.numerator
        divisor = gcd(rate_micro, self.denominator)
        return rate_micro // divisor, per * (self.denominator // divisor)

    def text(self) -> str:
        """Return code and rate in words."""
        hundredths = f"{self.numerator * 100 * 10**6 // self.denominator:07d}"
        decimals = hundredths[-6:].rstrip("0")
        return f"{self.code} {hundredths[:-6]}{'.' if decimals else ''}{decimals} %"
