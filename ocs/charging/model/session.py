"""The stored record of one credit-control session (RFC 8506 2.1 of the rule book): what is held,
what was reported, which numbers were seen.

A session is one (Session-Id, CC-Sub-Session-Id); engine.py changes it, the store keeps it as one
blob beside the account. Fields are only ever appended.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

import msgspec

from ocs.charging.model.messages import RatingAttributes
from ocs.ledger.account import Hold

SEEN_SPANS_MAX = 64
"""More gaps than this are merged; a merged number is looked up and found new."""


QUOTAS_MAX = 1000
"""Quota keys of one session; it is read and written whole with each of its requests."""


class SessionState(IntEnum):
    """RFC 8506 table 6. The numbers are stored."""

    OPEN = 1
    CLOSED = 2
    """By CCR-T, STR or an operator."""
    FAILED = 3
    """By a failed command-level update (Table 6: Open -> Idle)."""
    LOST = 4
    """By the supervision timer Tcc or a restarted client."""


OPEN = SessionState.OPEN
"""The usual state, under a name of its own: see amounts.MONEY."""


FAMILY_OCTETS = 8
"""So many octets at the beginning of a session key name its Session-Id alone."""


def make_session_key(session_id: str, sub_session_id: int | None) -> bytes:
    """Return the 16 octets that name a session in the store.

    Keys of one Session-Id begin alike, so that its sub-sessions are found beside it.
    """
    key = blake2b(session_id.encode(), digest_size=16).digest()
    if sub_session_id is None:
        return key
    rest = blake2b(f"{session_id}\x00{sub_session_id}".encode(), digest_size=8).digest()
    return key[:FAMILY_OCTETS] + rest


def make_event_key(session_key: bytes, number: int, content_hash: int) -> bytes:
    """Return the 16 octets by which the directory finds the account that answered an event.

    Of one content only: another event under the same name and number is not meant.
    """
    text = session_key + number.to_bytes(8, "big") + content_hash.to_bytes(8, "big")
    return blake2b(text, digest_size=16, person=b"event").digest()


class ChargeContext(msgspec.Struct, array_like=True):
    """Cumulative usage of one (quota, rule, tariff slot): increments are counted in it (M-002)."""

    rule: str
    slot_ns: int
    """Start of the tariff slot; for time quotas start of the measurement."""
    zone: str = ""
    """Destination zone and other conditions, as in QuotaState."""
    paid_units: int = 0
    """Units paid with money so far; bucket usage excluded (M-012)."""
    charged_micro: int = 0


class Claim(msgspec.Struct, array_like=True):
    """What a quota may use still of something that its account counts: see charging.counts."""

    code: str
    subscriber_id: int
    period_ns: int
    units: int = 0
    micro: int = 0


class QuotaState(msgspec.Struct, array_like=True):
    """One quota key of a session: its outstanding grant, holds and counters (C-021)."""

    service: str
    rating_group: int | None
    service_identifiers: tuple[int, ...]
    rule: str = ""
    """Price rule of the outstanding grant; usage is rated under it (RATING_CONDITION_CHANGE)."""
    granted: int = 0
    """Units outstanding at the client, in the service's unit."""
    granted_ns: int = 0
    """When it was granted, by the client's clock: the instant that its price is of."""
    slot_ns: int = 0
    """Tariff slot of the outstanding grant."""
    zone: str = ""
    """What the grant's price depends on besides time: destination zone and other conditions, as
    CatalogIndex.context_key writes them."""
    started_ns: int = 0
    """For time quotas: instant of the first second measured; 0 = nothing used yet."""
    tariff_change_ns: int = 0
    """Where the grant carried Tariff-Time-Change."""
    expires_ns: int = 0
    """End of the validity time; 0 = none."""
    holds: list[Hold] = []
    restricted: bool = False
    """The client was told to redirect or restrict after its final units (C-044)."""
    final: bool = False
    contexts: list[ChargeContext] = []
    used_units: int = 0
    bucket_units: int = 0
    reported_ns: int = 0
    """Event time of the last report (or of the first grant), for plausibility (D05)."""
    refused: bool = False
    """The last request for units was refused because nothing could pay for them."""
    limited: bool = False
    """A limit in another kind of unit was granted beside what is charged (G-001)."""
    pool: int = 0
    """Identifier of the credit pool that the grant belongs to; 0 = none."""
    free: bool = False
    """The outstanding grant costs nothing, whatever the price list says."""
    claims: list[Claim] = []
    """Counters of the account that the outstanding grant is promised by."""


class Session(msgspec.Struct, array_like=True):
    """One session with everything the next request needs."""

    session_id: str
    sub_session_id: int | None
    account_id: int
    subscriber_id: int
    identity: str
    service_context: str
    origin_host: str
    origin_realm: str
    peer: str
    node: int
    origin_state_id: int
    plan: str
    catalogue_version: int
    state: int
    started_ns: int
    last_request_ns: int
    deadline_ns: int
    """When Tcc runs out, or the tombstone of a closed session (ns UTC)."""
    seen: list[int]
    """Numbers seen, as flattened inclusive spans [lo, hi, lo, hi, ...] in rising order."""
    quotas: list[QuotaState] = []
    charged_micro: int = 0
    longest_validity_seconds: int = 0
    profile: str = "generic"
    closed_ns: int = 0
    close_reason: str = ""
    role_of_node: int = -1
    """What the client last said of the call; later requests may leave it out (G-009)."""
    emergency: bool = False
    called_party: str = ""
    aborted: bool = False
    """An operator has ended it: it is granted nothing more, its next report closes it."""
    rate_octets_per_second: int = 0
    """The highest rate of the bearer that the client has said, both directions; 0 = never."""
    said: RatingAttributes | None = None
    """What the client last said that prices of its plan may look at; None where none does."""

    @property
    def key(self) -> bytes:
        """The 16 octets the store knows it by."""
        return make_session_key(self.session_id, self.sub_session_id)

    def has_seen(self, number: int) -> bool:
        """Tell whether ``number`` may have been processed; the store's answers decide."""
        spans = self.seen
        return any(
            spans[index] <= number <= spans[index + 1] for index in range(0, len(spans), 2)
        )

    def note_seen(self, number: int) -> None:
        """Remember ``number``; spans are merged so that the record stays bounded."""
        spans = self.seen
        if spans and spans[-1] + 1 == number:
            spans[-1] = number
            return
        if self.has_seen(number):
            return
        pairs = sorted([*zip(spans[::2], spans[1::2], strict=True), (number, number)])
        merged: list[int] = []
        for low, high in pairs:
            if merged and low <= merged[-1] + 1:
                merged[-1] = max(merged[-1], high)
            else:
                merged += (low, high)
        if len(merged) > 2 * SEEN_SPANS_MAX:
            merged[1:3] = []
        self.seen = merged

    def quota_for(
        self, service: str, rating_group: int | None, identifiers: tuple[int, ...]
    ) -> QuotaState | None:
        """Return the quota of this key (C-021: identifiers if present, else rating group)."""
        for quota in self.quotas:
            if quota.service == service and (
                quota.service_identifiers == identifiers
                and (bool(identifiers) or quota.rating_group == rating_group)
            ):
                return quota
        return None
