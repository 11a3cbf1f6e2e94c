"""Multipliers of credit pools: a price as an exact decimal of pool units (RFC 8506 5.1.2, 8.30).

Called by the loader, which refuses prices that are none, and by charging for each pooled grant.
"""

from math import gcd

from ocs.amounts import INT64_MAX
from ocs.catalog.model import Pool, Price

EXPONENT_MIN = -18


def exact_decimal(numerator: int, denominator: int) -> tuple[int, int] | None:
    """Return (digits, exponent <= 0) of a fraction, or None when no such decimal is exact.

    ``denominator`` must be positive; digits fit Value-Digits, the exponent is at least -18.
    """
    common = gcd(numerator, denominator)
    numerator, rest = numerator // common, denominator // common
    exponent = 0
    while rest % 10 == 0:
        rest, exponent = rest // 10, exponent - 1
    for factor, times in ((2, 5), (5, 2)):
        while rest % factor == 0:
            rest, numerator, exponent = rest // factor, numerator * times, exponent - 1
    if rest != 1 or exponent < EXPONENT_MIN or abs(numerator) > INT64_MAX:
        return None
    return numerator, exponent


def multiplier(pool: Pool, price: Price) -> tuple[int, int] | None:
    """Return how many pool units one unit costs as (digits, exponent); None when it is not exact.

    A price of nothing has none: its usage would not draw on the pool. Neither has one with tiers
    or a maximum, whose units are not all worth the same, nor one that counts over sessions, whose
    money is held with its count.
    """
    if price.rate_micro <= 0 or price.steps is not None or price.counted:
        return None
    return exact_decimal(price.rate_micro * pool.per, price.per * pool.rate_micro)
