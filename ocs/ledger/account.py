"""Account, Bucket and Movement: the state of one account as the ledger's verbs change it.

These are the rows of the store and the working values of a decision at once, so they are slotted
structs rather than frozen ones: a decision changes its own copy, the store writes what changed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from enum import IntEnum

import msgspec

from ocs.ledger.details import AccountDetails

NEVER_NS = 0
"""``expires_ns`` of a bucket that does not expire, ``due_ns`` of an account with nothing to do."""
COUNTERS_MAX = 4096
"""What one account counts at a time; the oldest period makes room. Enough for one thing counted by
day for each of 1,000 members, with the days before that are kept for late usage."""
COUNTERS_UNORDERED_MAX = 64
"""So many counters are looked through one by one; more than these are kept in order."""


class AccountStatus(IntEnum):
    """Whether an account may be charged. The numbers are stored."""

    ACTIVE = 0
    BLOCKED = 1
    """By an operator."""
    REMOVED = 2
    PRE_ACTIVE = 3
    """Waits for its first use."""
    GRACE = 4
    """Its validity is over: only what costs nothing may be used."""
    BARRED = 5
    """Nothing may be used until it is topped up."""
    CLOSED = 6


ACTIVE, BLOCKED, REMOVED, PRE_ACTIVE, GRACE, BARRED, CLOSED = AccountStatus
"""The states under names of their own, for what runs for every request: see amounts.MONEY."""


class Contra(IntEnum):
    """The other side of a movement. The numbers are stored; positive amounts enter the bucket."""

    REVENUE = 1
    TOP_UP = 2
    ADJUSTMENT = 3
    REFUND = 4
    EXPIRY = 5
    ALLOWANCE = 6
    """Free units given by a plan."""
    CARRIED_FORWARD = 7
    """Sum of pruned movements with the sides of the others kept in ``rule``."""
    FEE = 8
    """A recurring fee of the plan, ``rule``, for a period from ``slot_ns`` on: for its days from
    ``units_before`` to ``units_after``."""
    TRANSFER = 9
    """Another account, named in ``rule``."""
    BONUS = 10
    """Given on top of a top-up by the plan's bonus ``rule``."""
    TAX = 11
    """The tax in the charge or fee whose other line says the same (K-280)."""
    EXCHANGE = 12
    """Money in another currency, at the rate ``rule``: out of a purse, into main money (K-323)."""
    SPONSOR = 13
    """The sponsor ``rule``, who pays the charge in the next line (K-216)."""


class AccountFlag(IntEnum):
    """Bits of Account.flags that ask for a person's attention."""

    OVER_USAGE = 1
    """Usage went beyond grant and credit limit (D05)."""
    PARKED_USAGE = 2
    """Usage that cannot be true is waiting for a decision (D05)."""
    UNPAID = 4
    """A fee of its plan is unpaid, and the plan lets it use nothing meanwhile (K-266)."""


class Counter(msgspec.Struct, array_like=True):
    """What was used or spent of one thing in one period; fields are only appended."""

    code: str
    """What is counted: see charging.counts.counters."""
    subscriber_id: int
    """The member it is about; 0 is the account as a whole."""
    period_ns: int
    """Where its period began."""
    units: int = 0
    charged_micro: int = 0
    told: int = 0
    """The highest threshold, in percent, of which the customer was told."""
    ends_ns: int = 0
    """Where its period ends; 0 = never."""
    granted: int = 0
    """Units that open sessions may use still and that will be counted here."""
    reserved_micro: int = 0
    """Money that open sessions may spend still and that will be counted here."""
    holds: list[Hold] = []
    """Money held for all that is granted here: what a unit costs depends on who uses it first."""


def _order(counter: Counter) -> tuple[int, int, str]:
    return counter.subscriber_id, counter.period_ns, counter.code


def _member(counter: Counter) -> int:
    return counter.subscriber_id


class Account(msgspec.Struct):
    """The one lock of everything that belongs to an account."""

    account_id: int
    currency: str
    plan: str
    status: int = AccountStatus.ACTIVE
    credit_limit_micro: int = 0
    """How far below zero the money may go, >= 0 (M-013)."""
    flags: int = 0
    version: int = 0
    due_ns: int = NEVER_NS
    """When something has to be done for it without a request: a renewal, a step of its life."""
    counters: list[Counter] = msgspec.field(default_factory=list)
    """At most COUNTERS_MAX; beyond COUNTERS_UNORDERED_MAX in order, for ``counter``."""
    details: AccountDetails = msgspec.field(default_factory=AccountDetails)

    def counter(self, code: str, subscriber_id: int, period_ns: int) -> Counter | None:
        """Return what counts this in the period that began then, if anything does."""
        counters = self.counters
        if len(counters) <= COUNTERS_UNORDERED_MAX:
            for one in counters:
                if (
                    one.period_ns == period_ns
                    and one.code == code
                    and one.subscriber_id == subscriber_id
                ):
                    return one
            return None
        name = subscriber_id, period_ns, code
        place = bisect_left(counters, name, key=_order)
        if place < len(counters) and _order(counters[place]) == name:
            return counters[place]
        return None

    def counters_of(self, subscriber_id: int) -> list[Counter]:
        """Return at least what is counted for this member; 0: everything."""
        counters = self.counters
        if not subscriber_id or len(counters) <= COUNTERS_UNORDERED_MAX:
            return counters
        first = bisect_left(counters, subscriber_id, key=_member)
        return counters[first : bisect_right(counters, subscriber_id, key=_member)]

    def add_counter(self, counter: Counter) -> None:
        """Count one thing more, which was not counted before."""
        counters = self.counters
        if len(counters) < COUNTERS_UNORDERED_MAX:
            counters.append(counter)
            return
        if len(counters) == COUNTERS_UNORDERED_MAX:
            counters.sort(key=_order)
        insort(counters, counter, key=_order)


class Bucket(msgspec.Struct):
    """An amount of one unit. Its balance is ``available + held``; held is promised to sessions.

    ``available`` of a money bucket may be negative down to the credit limit and beyond it by
    over-usage only; other units never go below zero.
    """

    account_id: int
    bucket_id: int
    unit: int
    name: str
    available: int = 0
    held: int = 0
    priority: int = 1000
    expires_ns: int = NEVER_NS
    services: tuple[str, ...] = ()
    """Service codes it may pay for; empty means all."""
    subscriber_id: int = 0
    """Personal to this member of the account; 0 means shared by all."""
    version: int = 0
    asked: bool = False
    """Clients that hold of it were asked to report after it expired; kept in ``due_ns``."""
    measure: str = ""
    """Which money or named unit it is where ``unit`` does not say it; empty: the account's own."""
    starts_ns: int = 0
    """Nothing is paid with it before."""

    @property
    def balance(self) -> int:
        """What the bucket is worth, held parts included."""
        return self.available + self.held


class Movement(msgspec.Struct):
    """One append-only ledger line; it names both sides, so it cannot fail to balance.

    ``amount`` > 0 goes from the contra side into the bucket, < 0 the other way. For usage,
    ``units_before`` and ``units_after`` are the cumulative paid units of the charge context
    (service, rule, zone, slot) around this debit: enough to compute the price again.
    """

    account_id: int
    request_id: int
    line: int
    bucket_id: int
    unit: int
    contra: int
    amount: int
    event_ns: int
    service: str = ""
    rule: str = ""
    zone: str = ""
    slot_ns: int = 0
    units_before: int = 0
    units_after: int = 0
    catalogue_version: int = 0


class Hold(msgspec.Struct, array_like=True):
    """Part of a bucket promised to one quota of one session."""

    bucket_id: int
    amount: int


class Identifier(msgspec.Struct, frozen=True):
    """A name a subscriber is found by; unique over all accounts."""

    kind: str
    """msisdn, imsi, sip, nai or private."""
    value: str
    account_id: int
    subscriber_id: int = 0


class OperatorAction(msgspec.Struct):
    """Who did what and why; written in the transaction of what was done."""

    action_id: int
    at_ns: int
    operator: str
    action: str
    """The command, such as ``account topup``."""
    target: str
    """What it was done to, as the operator named it."""
    reason: str
    details: str = ""
    """JSON text of the arguments and results."""
    account_id: int = 0
