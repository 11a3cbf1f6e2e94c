"""What was counted for one block of `expect`: enough to judge it again, together with other runs.

`simulators.verdicts.tallies` makes it, reports keep it, and `simulators.load.joining` adds it up.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Granted:
    """Grants of one rating group in one unit (octets, seconds, events)."""

    rating_group: int | None
    unit: str
    count: int
    total: int
    """Units of all of them."""
    lowest: int
    """Units of the smallest; 0 of none."""
    highest: int


def added_grants(one: Granted, other: Granted) -> Granted:
    """Both together, as grants of `one`; what was never granted has no lowest."""
    if not one.count or not other.count:
        return one if one.count else other
    return Granted(
        one.rating_group,
        one.unit,
        one.count + other.count,
        one.total + other.total,
        min(one.lowest, other.lowest),
        max(one.highest, other.highest),
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """The counts of one block."""

    block: dict[str, Any]
    """The block as the scenario has it."""
    begins_seconds: float
    """Real seconds of traffic, of each run by itself, in which its requests were due, ..."""
    ends_seconds: float | None
    """... and when that was over; None: with the run."""
    requests: int
    answered: int
    """Those with an answer other than "busy"."""
    codes: dict[str, int]
    service_codes: dict[str, int]
    histogram: str
    """Their latencies, as in `Report.histograms`; empty of none."""
    granted: list[Granted]
    final_units: dict[str, int]
