"""Which published version of the catalogue is in force when. Pure; kept by the store as rows.

The version with the latest effective instant that has come is in force; of two with the same, the
one published later. So what is published at once holds until the next one that was announced.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

WITHDRAWN_NS = -1
"""The effective instant of a version that was announced and taken back before it came."""
IN_FORCE, ANNOUNCED, PAST, WITHDRAWN = "in force", "announced", "past", "withdrawn"
"""What can be said of a version at an instant."""


class Announcement(NamedTuple):
    """When a version takes effect; in the order in which they rank."""

    effective_ns: int
    version: int
    at_once: bool = False
    """It was published to hold at once, whatever a slow clock says."""


class Schedule:
    """All versions that were not withdrawn, in the order in which they take effect."""

    def __init__(self, announced: Iterable[Announcement] = ()) -> None:
        self.announced = sorted(one for one in announced if one.effective_ns != WITHDRAWN_NS)

    def at(self, now_ns: int) -> int:
        """Return the version in force at an instant; 0 when there is none yet."""
        come = self._come(now_ns)
        return come[-1].version if come else 0

    def then(self, instant_ns: int) -> int:
        """Return the version that was in force at an instant of the past; 0 when none was yet."""
        come = bisect_right(self.announced, instant_ns, key=lambda one: one.effective_ns)
        return self.announced[come - 1].version if come else 0

    def before(self, now_ns: int) -> int:
        """Return the version that was in force before the one of an instant, or 0."""
        come = self._come(now_ns)
        return come[-2].version if len(come) > 1 else 0

    def next(self, now_ns: int) -> Announcement | None:
        """Return what takes effect next."""
        return next(
            (one for one in self.announced if one.effective_ns > now_ns and not one.at_once), None
        )

    def state(self, version: int, now_ns: int) -> str:
        """Return what can be said of a version at an instant."""
        if version == self.at(now_ns):
            return IN_FORCE
        for one in self.announced:
            if one.version == version:
                return PAST if one.at_once or one.effective_ns <= now_ns else ANNOUNCED
        return WITHDRAWN

    def _come(self, now_ns: int) -> list[Announcement]:
        return [one for one in self.announced if one.at_once or one.effective_ns <= now_ns]
