"""What a plan promises besides prices: how its accounts live, what top-ups bring, transfers.

Immutable values of a catalogue (K-240 to K-246, K-220 to K-223). Read by loading.offers, used by
charging.accounts.account_life and charging.accounts.top_ups and by provisioning.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocs.amounts import Unit


@dataclass(frozen=True, slots=True)
class Extension:
    """A top-up of at least ``from_micro`` makes an account valid for ``seconds`` from then on."""

    from_micro: int
    seconds: int


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """How long accounts of a plan may be used, and what becomes of them afterwards; seconds."""

    first_use: bool = False
    """An account is pre-active until it is first used; else it is active from the start."""
    validity_seconds: int = 0
    """Active this long, counted from when it became active; 0 = without end."""
    grace_seconds: int = 0
    """Then this long only what costs nothing; 0 = no grace."""
    barred_seconds: int | None = None
    """Then barred this long before it is closed; None = barred until somebody tops it up."""
    extensions: tuple[Extension, ...] = ()
    """What top-ups do, rising by amount: the last that is reached counts."""
    longest_seconds: int = 0
    """No top-up makes it valid for longer than this from then on; 0 = no limit."""
    forfeits: bool = False
    """What is left expires when the account is closed."""

    def extension_seconds(self, amount_micro: int) -> int:
        """Return for how long a top-up makes an account valid; 0 = it changes nothing."""
        seconds = 0
        for one in self.extensions:
            if amount_micro >= one.from_micro:
                seconds = one.seconds
        return min(seconds, self.longest_seconds) if self.longest_seconds else seconds


@dataclass(frozen=True, slots=True)
class Promotion:
    """A window of time (ns UTC, end exclusive) for bonuses."""

    code: str
    starts_ns: int
    ends_ns: int
    times: int = 0
    """How often one account may have each bonus bound to it; 0 = as often as it likes."""

    def holds_at(self, instant_ns: int) -> bool:
        """Tell whether the window is open."""
        return self.starts_ns <= instant_ns < self.ends_ns


@dataclass(frozen=True, slots=True)
class Bonus:
    """Given on top of a top-up between two amounts: a share of it, or a fixed amount of a unit."""

    code: str
    """Name of the bucket it comes in."""
    unit: Unit
    amount: int = 0
    """In the unit's base; 0 where it is a share."""
    share_percent: int = 0
    """Of the top-up, in money."""
    maximum_micro: int = 0
    """Never more than this; 0 = no limit."""
    from_micro: int = 0
    up_to_micro: int = 0
    """The largest top-up that brings it; 0 = any."""
    services: tuple[str, ...] = ()
    priority: int = 100
    expires_after_seconds: int = 0
    promotion: str = ""
    """Only in this promotion's window."""

    @property
    def counted_in(self) -> Unit:
        """What it is counted in, for people."""
        return self.unit

    def given_for(self, amount_micro: int) -> int:
        """Return how much a top-up brings, in the unit's base; halves of a micro unit go down."""
        if amount_micro < self.from_micro or 0 < self.up_to_micro < amount_micro:
            return 0
        if not self.share_percent:
            return self.amount
        share = amount_micro * self.share_percent // 100
        return min(share, self.maximum_micro) if self.maximum_micro else share


@dataclass(frozen=True, slots=True)
class Transfers:
    """What customers of a plan may give to others out of their main money; a day is a local one."""

    fee_micro: int = 0
    """Paid by the giver on top, for each transfer."""
    minimum_micro: int = 1
    maximum_micro: int = 0
    """Of one transfer; 0 = no limit."""
    daily_micro: int = 0
    """Of all of a day, fees left out; 0 = no limit."""
    daily_count: int = 0
    """0 = no limit."""
    keeps_micro: int = 0
    """What the giver must have left."""
