"""What a client is told about metering beside a grant: announcements, triggers, kinds of time.

Immutable values of a catalogue (TS 32.299 6.5). Read by loading.quota, part of a QuotaPolicy.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a client plays to a party of the call (Announcement-Information of TS 32.299)."""

    identifier: int
    seconds_before_end: int | None = None
    """How long before the end of the quota; None: before the service starts."""
    uses_quota: bool | None = None
    """Whether quota is used while it plays; None leaves it to the client."""
    language: str = ""
    plays_to: int | None = None
    """0 the served party, 1 the remote one; None leaves it to the client."""


@dataclass(frozen=True, slots=True)
class Metering:
    """What a client is told about metering beside a grant (TS 32.299 6.5)."""

    consumption_seconds: int = 0
    """Time goes on counting through gaps up to this long; 0 leaves it out."""
    time_type: int | None = None
    """Time-Quota-Type: 0 whole base intervals, 1 until an idle base interval; None: neither."""
    base_interval_seconds: int = 0
    triggers: tuple[int, ...] | None = None
    """Trigger-Types that make the client ask again; () disarms all, None leaves it to it."""
    envelopes: int | None = None
    """Envelope-Reporting, told in the first answer of a session; None leaves it out."""
    furnish: str = ""
    """PS-Free-Format-Data for the client's own records; empty sends none."""
    announcement: Announcement | None = None
