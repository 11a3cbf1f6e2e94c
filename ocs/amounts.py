"""Units, money and rounding: integers only (rules M-001 and M-018). Used by every layer.

Money is a count of micro units (10^-6 of the currency unit) beside an ISO 4217 code; quantities
are counts of octets, seconds or events, or of the smallest parts of a unit that a catalogue names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

MICRO = 1_000_000
INT64_MAX = (1 << 63) - 1
AMOUNT_MAX_MICRO = 10**17
"""Largest amount accepted from outside: a hundred thousand million currency units."""


class Unit(IntEnum):
    """What a bucket, price or quota counts. The numbers are stored."""

    MONEY = 0
    OCTETS = 1
    SECONDS = 2
    EVENTS = 3

    @property
    def label(self) -> str:
        """The unit's name in files and output."""
        return self.name.lower()


MONEY, OCTETS, SECONDS, EVENTS = Unit
"""The units under names of their own, for what runs for every request: Python 3.11 finds a name
ten times faster than a member of an enumeration."""

UNIT_DECIMALS_MAX = 9
_UNIT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,19}")


@dataclass(frozen=True, slots=True)
class NamedUnit:
    """A unit that a catalogue declares, such as kWh: counted as EVENTS, in parts of 10**-decimals.

    What is counted in it is a ``measure``, a text that buckets keep: it says the decimals too, so
    that an amount never changes its meaning with a catalogue (K-300).
    """

    name: str
    decimals: int = 0

    @property
    def label(self) -> str:
        """The unit's name in files and output."""
        return self.name

    @property
    def measure(self) -> str:
        """What a bucket of this unit keeps, such as ``kWh/3``."""
        return f"{self.name}/{self.decimals}"

    @property
    def one(self) -> int:
        """How many parts one whole unit has."""
        return int(10**self.decimals)


Measured = Unit | NamedUnit
"""What a quantity is counted in, for people."""


_OCTET_MEASURES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
_MINUTE = 60


def unit_name_problem(name: str) -> str:
    """Return why a text cannot name a unit, or nothing."""
    if not _UNIT_NAME.fullmatch(name):
        return f"'{name[:40]}' cannot name a unit: a letter, then letters, digits, - and _"
    if name.lower() in {unit.label for unit in Unit}:
        return f"'{name}' is a unit that every catalogue has"
    return ""


def measured(unit: int, measure: str) -> Measured:
    """Return what an amount of ``unit`` and ``measure`` is counted in."""
    if not measure or unit != Unit.EVENTS:
        return Unit(unit)
    name, _, decimals = measure.partition("/")
    return NamedUnit(name, int(decimals) if decimals.isdecimal() else 0)


_FACTORS: dict[Unit, dict[str, int]] = {
    Unit.OCTETS: {
        "": 1, "b": 1, "octet": 1, "octets": 1,
        "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
        "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    },
    Unit.SECONDS: {
        "": 1, "s": 1, "second": 1, "seconds": 1, "min": 60, "minute": 60, "minutes": 60,
        "h": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
    },
    Unit.EVENTS: {"": 1, "event": 1, "events": 1},
}
_USUAL = {
    Unit.OCTETS: "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
    Unit.SECONDS: "s, min, h, d",
    Unit.EVENTS: "events",
}
"""How the measures are written, for messages."""
_QUANTITY = re.compile(
    r"^\s*([0-9][0-9_]*)(?:\.([0-9]+))?\s*((?:[a-zA-Z][a-zA-Z0-9_-]*)?)\s*$"
)
_AMOUNT = re.compile(r"^\s*(-?)([0-9][0-9_]*)(?:\.([0-9]+))?\s*$")


def round_half_up(numerator: int, denominator: int) -> int:
    """Return numerator/denominator to the nearest integer, halves towards plus infinity.

    ``denominator`` must be positive.
    """
    return (2 * numerator + denominator) // (2 * denominator)


def parse_decimal(text: str) -> tuple[int, int]:
    """Return a decimal text as an exact fraction (numerator, power of ten).

    Raises ValueError with a sentence for people.
    """
    match = _AMOUNT.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not a decimal number such as 10 or 0.05")
    sign, whole, fraction = match.groups()
    fraction = fraction or ""
    digits = int(whole.replace("_", "") + fraction)
    return (-digits if sign else digits), int(10 ** len(fraction))


def parse_amount(text: str) -> int:
    """Return the micro units of a decimal text such as ``10``, ``0.05`` or ``-1.25``.

    Raises ValueError when it is no number, finer than a micro unit or out of range.
    """
    digits, scale = parse_decimal(text)
    micro, rest = divmod(digits * MICRO, scale)
    if rest:
        raise ValueError(f"'{text}' is finer than 0.000001, the smallest amount kept")
    if abs(micro) > AMOUNT_MAX_MICRO:
        raise ValueError(f"'{text}' is beyond the largest amount of {AMOUNT_MAX_MICRO // MICRO}")
    return micro


def format_amount(amount_micro: int) -> str:
    """Return micro units as a decimal text with at least two decimals and no noise."""
    sign = "-" if amount_micro < 0 else ""
    whole, micro = divmod(abs(amount_micro), MICRO)
    fraction = f"{micro:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{fraction}"


def parse_quantity(text: str, unit: Measured) -> int:
    """Return base units of a text such as ``10 MB``, ``5 min``, ``1.5 kWh`` or ``20``.

    Raises ValueError when the suffix does not belong to ``unit`` or the value is not whole.
    """
    match = _QUANTITY.match(text)
    factors = {"": unit.one, unit.name.lower(): unit.one} if isinstance(unit, NamedUnit) else (
        _FACTORS.get(unit)
    )
    if match is None or factors is None:
        raise ValueError(f"'{text}' is not a quantity of {unit.label}")
    whole, fraction, suffix = match.groups()
    factor = factors.get(suffix.lower())
    if factor is None:
        known = unit.name if isinstance(unit, NamedUnit) else (
            _USUAL[unit]
        )
        raise ValueError(f"'{text}': '{suffix}' is no measure of {unit.label} (known: {known})")
    fraction = fraction or ""
    scale = int(10 ** len(fraction))
    value, rest = divmod(int(whole.replace("_", "") + fraction) * factor, scale)
    if rest and isinstance(unit, NamedUnit):
        raise ValueError(f"'{text}' is finer than {format_quantity(1, unit)}, the least counted")
    if rest:
        raise ValueError(f"'{text}' is not a whole number of {unit.label}")
    if value > INT64_MAX:
        raise ValueError(f"'{text}' is too large")
    return value


def format_quantity(value: int, unit: Measured) -> str:
    """Return a quantity for people: money as decimals, the rest as a count with its unit."""
    if unit is Unit.MONEY:
        return format_amount(value)
    if not isinstance(unit, NamedUnit) or not unit.decimals:
        return f"{value} {unit.label}"
    sign = "-" if value < 0 else ""
    whole, parts = divmod(abs(value), unit.one)
    fraction = f"{parts:0{unit.decimals}d}".rstrip("0")
    return f"{sign}{whole}.{fraction} {unit.name}" if fraction else f"{sign}{whole} {unit.name}"


def format_measure(value: int, unit: Measured) -> str:
    """Return a quantity in the measure people think in: ``20 GB``, ``1 h 5 min``.

    Octets are cut to three decimals, never rounded up; seconds are exact, other units as
    ``format_quantity`` says them.
    """
    sign, count = "-" if value < 0 else "", abs(value)
    if unit is Unit.OCTETS:
        one, name = next((each for each in _OCTET_MEASURES if count >= each[0]), (0, ""))
        if one:
            whole, parts = divmod(count * 1000 // one, 1000)
            return f"{sign}{whole}.{parts:03d}".rstrip("0").rstrip(".") + f" {name}"
    elif unit is Unit.SECONDS and count >= _MINUTE:
        minutes, seconds = divmod(count, _MINUTE)
        hours, minutes = divmod(minutes, _MINUTE)
        parts_of = ((hours, "h"), (minutes, "min"), (seconds, "s"))
        return sign + " ".join(f"{number} {name}" for number, name in parts_of if number)
    return format_quantity(value, unit)


def unit_value(amount_micro: int) -> tuple[int, int]:
    """Return (Value-Digits, Exponent) of an amount, trailing zeros stripped (M-018)."""
    if amount_micro == 0:
        return 0, 0
    digits, exponent = amount_micro, -6
    while exponent < 0 and digits % 10 == 0:
        digits //= 10
        exponent += 1
    return digits, exponent


def micro_from_unit_value(digits: int, exponent: int) -> int | None:
    """Return the micro units of a Unit-Value, or None when it cannot be kept exactly.

    Accepts exponents -18..18 (M-018); None also stands for an amount out of range.
    """
    if not -18 <= exponent <= 18:
        return None
    shift = exponent + 6
    if shift >= 0:
        micro = digits * int(10**shift)
    else:
        micro, rest = divmod(digits, int(10**-shift))
        if rest:
            return None
    return micro if abs(micro) <= AMOUNT_MAX_MICRO else None
