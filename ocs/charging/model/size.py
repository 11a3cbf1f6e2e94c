"""A grant before it is told to the client: its size, its holds, and who says what more costs.

Made by quotas.sizing; limits, pools and granting note on it what they know.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from ocs.ledger.account import Counter, Hold


class Payer(Protocol):
    """Who says what more units of a quota cost; quotas.sizing has the real one."""

    def affordable(self, already: int, budget_micro: int, wanted: int) -> int:
        """Return the units after ``already`` new ones that the budget pays, at most ``wanted``."""

    def surely_more(self, paid: int, left_micro: int) -> bool:
        """Tell cheaply that one more increment is affordable; False means: look closer."""

    def dearest(self, already: int, units: int) -> int:
        """Return what units after ``already`` new ones cost at most, in micro units, however many
        others of the same count use first.
        """

    def alone(self, units: int) -> int:
        """Return what units cost, in micro units, when no others of the same count come first."""

    def charge(self, units: int) -> int:
        """Return what so many more units can cost at most, in micro units."""


class Size(msgspec.Struct):
    """A grant before it is told to the client."""

    units: int = 0
    holds: list[Hold] = []
    reserved_micro: int = 0
    promised_micro: int = 0
    """How much more everything granted of ``counter`` can cost with this grant: not what is held
    for it, where more is held because others ended. Known where the account has limits."""
    final: bool = False
    """Nothing more can be paid after it."""
    short_of_others: bool = False
    """The shortage is due to other reservations only (D16)."""
    near_end: bool = False
    """The account cannot pay for as much again; judged where the client's profile asks for it."""
    bucket_expiry_ns: int = 0
    switch_ns: int = 0
    """Where the tariff changes inside the validity time; 0 = nowhere."""
    wanted: int = 0
    paid: int = 0
    """Those of the units that money pays for."""
    left_micro: int = 0
    """What the account could still pay after this grant."""
    payer: Payer | None = None
    """Who says what more would cost; None where another increment can surely be paid."""
    after_units: int = 0
    """Units of a second quota, behind the tariff switch (C-063)."""
    counter: Counter | None = None
    """The count that the paid units are part of, where their price counts over sessions."""
    dearest_micro: int = 0
    """What they cost at most, however many units of it others use first (K-219). Known where a
    limit in money is of one member, and the count of all."""
