"""How much an account may use or spend in a day, a week or a month, as values of a plan (K-207).

Immutable; read by loading.limits, used by charging.counts. A customer's own caps
(ledger.details) are the same thing with a name of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocs.amounts import Unit


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` of ``unit`` in each period; of money in micro units."""

    code: str
    unit: Unit
    amount: int
    period: int
    """model.Period; DAY, WEEK or MONTH."""
    services: tuple[str, ...] = ()
    """What counts; empty means every service of its unit, for money all."""
    by_member: bool = False
    """Every subscriber of the account has as much for himself."""
    changes_price: bool = False
    """Usage goes on at the prices for a reached limit; else it stops."""
    measure: str = ""
    """The named unit of the catalogue that it is in; empty: plain octets and so on."""


@dataclass(frozen=True, slots=True)
class BucketCap:
    """At most so much of an allowance is used in each period; then the next one pays (K-217)."""

    amount: int
    period: int
    """model.Period; DAY, WEEK or MONTH."""


@dataclass(frozen=True, slots=True)
class Rollover:
    """How much of an allowance is carried over into the next period, and how often (K-212)."""

    periods: int = 1
    """So many periods longer it can be used at most."""
    percent: int = 100
    """Of the allowance: no more of one period is carried over."""
    maximum: int | None = None
    """No more than this is carried over of all earlier periods together; None = no ceiling."""
