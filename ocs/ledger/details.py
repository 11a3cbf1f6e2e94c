"""What is kept of an account beside its amounts and changes rarely; one blob of its row.

Fields are only appended, each with the default that holds for an account that knows nothing of it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

CAPS_UNORDERED_MAX = 10
"""So many caps are looked through one by one; more than these are in order of members."""


class Told(msgspec.Struct, array_like=True):
    """Of which part of a bucket the customer was told; fields are only appended."""

    bucket_id: int
    expires_ns: int
    """The bucket's end when it was told: another one is another period."""
    full: int
    """What counts as the whole bucket."""
    percent: int = 0
    """The highest threshold that was told."""


class Visit(msgspec.Struct, array_like=True):
    """A foreign country in which a subscriber was welcomed; fields are only appended."""

    subscriber_id: int
    country: str
    """MCC."""
    told_ns: int
    here: bool = True
    """Whether the subscriber is there still."""


class Life(msgspec.Struct, omit_defaults=True):
    """Where an account is in its life (K-240); its state is the account's status. Instants: ns UTC.

    Fields are only appended.
    """

    activated_ns: int = 0
    """When it was used first, or opened; 0 = not yet, or before there were life cycles."""
    since_ns: int = 0
    """When its state began."""
    until_ns: int = 0
    """When its state ends by itself; 0 = never."""
    blocked: int = 0
    """While an operator blocks it: the status that comes back."""


class Lapsed(msgspec.Struct, array_like=True):
    """What expired in a bucket while a renewal was unpaid that carries it over when it is paid.

    Fields are only appended.
    """

    bucket_id: int
    name: str
    """The allowance."""
    amount: int


class Recurrence(msgspec.Struct, array_like=True):
    """Where an account is with one recurring item of its plan; fields are only appended."""

    code: str
    anchor_ns: int
    """When it began: anniversaries are counted from here."""
    start_ns: int
    """Where the period begins that was run last."""
    end_ns: int
    """Where it ends and the next one is due."""
    retry_ns: int = 0
    """When its fee is tried again by itself; 0 = not any more."""
    tries: int = 0
    """How often the balance was short for it."""
    paid_micro: int = 0
    """What was taken for this period."""
    days: int = 0
    """For so many days of it."""
    unpaid: bool = False
    """The period was not run: what it would have brought is missing."""
    awaits: tuple[str, ...] = ()
    """Allowances of which something is carried over when this period is paid after all."""
    lapsed: list[Lapsed] = msgspec.field(default_factory=list)
    """What of them expired while it was unpaid; at most charging.accounts.rollover.LAPSED_MAX."""


class Cap(msgspec.Struct, array_like=True):
    """The most that a customer wants to spend in a period; fields are only appended."""

    code: str
    amount_micro: int
    period: int
    """catalog.model.Period."""
    services: tuple[str, ...] = ()
    """What counts; empty means everything."""
    subscriber_id: int = 0
    """Only what this member of the account spends; 0 = all of it."""


class Friend(msgspec.Struct, array_like=True):
    """A number of a subscriber's friends and family; fields are only appended."""

    subscriber_id: int
    number: str
    """Digits in international format without +."""


class AccountDetails(msgspec.Struct, omit_defaults=True):
    """Life cycle, recurring charges and the customer's own limits."""

    agenda: dict[str, int] = msgspec.field(default_factory=dict)
    """When (ns UTC) something of each kind has to be done: see charging.accounts.agenda."""

    recurring: list[Recurrence] = msgspec.field(default_factory=list)
    """What falls due again and again: see charging.accounts.recurring."""
    recurring_plan: str = ""
    """The plan that these belong to."""
    carried: dict[int, int] = msgspec.field(default_factory=dict)
    """How often buckets were carried over into another period, by their ids."""
    friends: list[Friend] = msgspec.field(default_factory=list)
    """At most provisioning.customers.friends.FRIENDS_MAX."""
    caps: list[Cap] = msgspec.field(default_factory=list)
    """The customer's own limits; more than CAPS_UNORDERED_MAX are in order of their members."""
    told: list[Told] = msgspec.field(default_factory=list)
    """At most charging.accounts.notices.REMEMBERED_MAX, like the visits."""
    visits: list[Visit] = msgspec.field(default_factory=list)
    warned_ns: int = 0
    """Up to when notices of coming expiries were told."""
    life: Life | None = None
    """None: it has no life cycle."""
    promotions: dict[str, int] = msgspec.field(default_factory=dict)
    """How often it had each bonus of promotions that count, PROMOTION/BONUS: accounts.top_ups."""

    def caps_for(self, subscriber_id: int) -> Sequence[Cap]:
        """Return the caps of the account as a whole, and those of this member."""
        caps = self.caps
        if len(caps) <= CAPS_UNORDERED_MAX:
            return [one for one in caps if one.subscriber_id in (0, subscriber_id)]
        found = caps[: bisect_right(caps, 0, key=_member)]
        if subscriber_id:
            first = bisect_left(caps, subscriber_id, key=_member)
            found += caps[first : bisect_right(caps, subscriber_id, key=_member)]
        return found


def _member(cap: Cap) -> int:
    return cap.subscriber_id


NOTHING = AccountDetails()
"""To compare with, never to change."""
