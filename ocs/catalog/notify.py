"""What a plan's customers are told of (section ``notify`` of a catalogue), as immutable values.

Read by charging.accounts.notices; a plan without the section has None and pays nothing for it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NotifyPolicy:
    """When a notification is written, by kind; what is empty or False is not told."""

    used: tuple[int, ...] = ()
    """Percent of a bucket of units, 1 to 100, rising."""
    low_balance: tuple[int, ...] = ()
    """Balances in micro units, falling; told when the balance comes down to one."""
    expiry: tuple[int, ...] = ()
    """Seconds before a bucket expires, falling; above zero."""
    caps: tuple[int, ...] = ()
    """Percent of a cap, a fair-use limit or a spending limit, 1 to 100, rising."""
    roaming: bool = False
    """On coming into a foreign network of another country."""
    renewal: bool = False
    """On renewals, and on those that fail."""
    life_cycle: bool = False
    """On changes of the account's state."""
