"""The neutral request and reply: what Diameter, and later HTTP fronts, translate to and from.

No AVP, JSON or SQL type appears here. Replies are stored as they stand and answered again to a
duplicate, so their structs are array-like and fields are only ever appended.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from ocs.charging.model.profile import GENERIC, ClientProfile
from ocs.ledger.account import Hold


class RequestKind(IntEnum):
    """What is asked; the first four have the numbers of CC-Request-Type. The numbers are stored."""

    INITIAL = 1
    UPDATE = 2
    TERMINATION = 3
    EVENT = 4
    OPERATOR = 10
    """Top-up, adjustment, refund by a person: makes the same record as a request."""
    TIMER = 11
    """Expiry, supervision timer, allowance: made by the server itself."""


INITIAL, UPDATE, TERMINATION, EVENT = tuple(RequestKind)[:4]
"""The kinds a client can send, under names of their own: see amounts.MONEY."""


class EventAction(IntEnum):
    """Requested-Action (RFC 8506 8.41)."""

    DIRECT_DEBITING = 0
    REFUND_ACCOUNT = 1
    CHECK_BALANCE = 2
    PRICE_ENQUIRY = 3


class Outcome(IntEnum):
    """How a request, or one service of it, was decided. The numbers are stored.

    service/diameter.py maps them to Result-Codes (protocol section 6.4).
    """

    SUCCESS = 0
    END_USER_SERVICE_DENIED = 1
    NOT_APPLICABLE = 2
    CREDIT_LIMIT_REACHED = 3
    UNKNOWN_SESSION = 4
    NOT_ENTITLED = 5
    INVALID_VALUE = 6
    USER_UNKNOWN = 7
    RATING_FAILED = 8
    UNABLE_TO_COMPLY = 9
    TOO_BUSY = 10
    RESOURCES_EXCEEDED = 11


SUCCESS, TOO_BUSY = Outcome.SUCCESS, Outcome.TOO_BUSY
"""What every outcome is compared with, under names of their own: see amounts.MONEY."""


class ReportingReason(IntEnum):
    """Reporting-Reason (TS 32.299 7.2.175)."""

    THRESHOLD = 0
    QUOTA_HOLDING_TIME = 1
    FINAL = 2
    QUOTA_EXHAUSTED = 3
    VALIDITY_TIME = 4
    OTHER_QUOTA_TYPE = 5
    RATING_CONDITION_CHANGE = 6
    FORCED_REAUTHORISATION = 7
    POOL_EXHAUSTED = 8
    UNUSED_QUOTA_TIMER = 9


class TariffSide(IntEnum):
    """Tariff-Change-Usage (RFC 8506 8.27)."""

    BEFORE = 0
    AFTER = 1
    INDETERMINATE = 2


class Units(msgspec.Struct, array_like=True):
    """An amount of service in the kinds the client named; all None means: the server chooses."""

    seconds: int | None = None
    octets: int | None = None
    """CC-Total-Octets, or input + output where only those are known (G-002)."""
    input_octets: int | None = None
    output_octets: int | None = None
    events: int | None = None
    money_micro: int | None = None
    money_currency: str = ""
    """Alphabetic code; empty when the client left the currency out."""


class UsedUnits(msgspec.Struct, array_like=True):
    """One report of usage."""

    units: Units
    side: int = TariffSide.BEFORE
    side_given: bool = False
    reason: int = -1
    """ReportingReason, or -1 when none was given here."""


class ServiceDetails(msgspec.Struct, array_like=True):
    """What few requests say of a service besides its units; kept in the record."""

    triggers: tuple[int, ...] = ()
    """Trigger-Types of what has changed."""
    infos: tuple[tuple[int, str], ...] = ()
    """Type (-1 where there is none) and text of each Service-Specific-Info."""
    af_identifiers: tuple[str, ...] = ()
    """AF-Charging-Identifiers: the IMS sessions that the service belongs to."""
    envelopes: tuple[tuple[int, int, int], ...] = ()
    """Start and end (ns UTC, 0 = still open) and octets or events of each Envelope."""
    event_times_ns: tuple[int, ...] = ()
    rat_type: int = -1
    """3GPP-RAT-Type of this service, which may differ from the bearer's."""


class ServiceRequest(msgspec.Struct, array_like=True):
    """One Multiple-Services-Credit-Control, or the command-level units of a client without it."""

    rating_group: int | None = None
    service_identifiers: tuple[int, ...] = ()
    requested: Units | None = None
    """None: no new quota wanted. Units(): the server chooses the size."""
    used: tuple[UsedUnits, ...] = ()
    reason: int = -1
    command_level: bool = False
    rate_octets_per_second: int = 0
    """The bearer's known upper rate, both directions; 0 = unknown (for D05)."""
    invalid: str = ""
    """Set by the front when a value of this service cannot be used: what is wrong with it."""
    details: ServiceDetails | None = None
    service: str = ""
    """Code of the service, where it is named as the catalogue does: usage that is recorded."""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """One way to name a subscriber: kind is msisdn, imsi, sip, nai or private; value normalised."""

    kind: str
    value: str


class RatingAttributes(msgspec.Struct, array_like=True):
    """What rating may look at besides units; empty or -1 when the client said nothing."""

    called_party: str = ""
    """Digits in international format without +, or a URI."""
    calling_party: str = ""
    role_of_node: int = -1
    cause_code: int | None = None
    apn: str = ""
    visited_network: str = ""
    """MCC and MNC digits."""
    rat_type: int = -1
    recipients: tuple[str, ...] = ()
    emergency: bool = False
    answered: bool = True
    location: str = ""
    """``PLMN/area/cell`` in decimal numbers, parts left out where they are not known."""
    time_zone: str = ""
    """How far the subscriber's clock is ahead of UTC, such as ``+02:00``."""
    charging_characteristics: str = ""
    rule_base: str = ""
    media: str = ""
    """The most demanding media of a call, as catalog.conditions orders them."""
    recipient_type: int = -1
    """Address-Type of the first recipient."""
    messages: int = 0
    """How many messages the client says it sends; 0 = it does not say."""
    charging_id: int = -1
    """3GPP-Charging-Id of the bearer."""
    call_id: str = ""
    """IMS-Charging-Identifier, which networks and clients have in common."""
    access_network: str = ""
    """P-Access-Network-Info of a call, as it was sent."""
    routing_number: str = ""
    """Number-Portability-Routing-Information."""
    rate_octets_per_second: int = 0
    """The bearer's upper rate, both directions; 0 = unknown (for D05)."""
    named: tuple[tuple[str, str], ...] = ()
    """Attributes that the catalogue declares, with what recorded usage says of them."""
    limit: str = ""
    """The limit of the plan that is reached; no client says this (charging.counts.limits)."""
    relation: str = ""
    """How the other party is related to the subscriber; no client says this either."""


class ChargingRequest(msgspec.Struct):
    """One credit-control request in neutral words. Instants are ns UTC."""

    session_id: str
    session_key: bytes
    """16 octets naming (session_id, sub_session_id): see session.make_session_key."""
    kind: int
    number: int
    received_ns: int
    deadline_ns: int
    """After this instant (monotonic clock, ns) it is not decided any more (D20)."""
    content_hash: int
    """63 bits over everything that must be equal in a retransmission."""
    service_context: str
    identities: tuple[Identity, ...] = ()
    services: tuple[ServiceRequest, ...] = ()
    sub_session_id: int | None = None
    event_ns: int = 0
    """Event-Timestamp where it was given and plausible, else received_ns (C-009)."""
    action: int = -1
    origin_host: str = ""
    origin_realm: str = ""
    peer: str = ""
    """Identity of the connection it came by (a relay, perhaps)."""
    origin_state_id: int = 0
    end_to_end: int = 0
    retransmitted: bool = False
    termination_cause: int = -1
    attributes: RatingAttributes = msgspec.field(default_factory=RatingAttributes)
    refund_reference: str = ""
    profile: ClientProfile = GENERIC
    account_id: int = 0
    """Filled in by the identity look-up before the decision; 0 = unknown."""
    anomaly: str = ""
    """What was odd about it although it is accepted (identities of two accounts, ...)."""
    subscriber_id: int = 0
    advice: int = 0
    """AoC-Request-Type (TS 32.299 7.2.18): 0 none, 1 costs and tariff, 2 costs, 3 tariff."""
    equipment: str = ""
    """The subscriber's device, such as ``imei:353490069873319``; empty when nothing was said."""
    overdraw: bool = False
    """An event that has happened: it is debited although the account cannot pay."""
    catalogue_version: int = 0
    """By which an event is priced, where it is not the one in force: it was used before that."""


class FinalUnit(msgspec.Struct, array_like=True):
    """Final-Unit-Indication in neutral words; action as catalog.model.FinalUnitAction."""

    action: int
    redirect_address_type: int = 2
    redirect_address: str = ""
    restriction_filter_rules: tuple[str, ...] = ()
    filter_ids: tuple[str, ...] = ()
    qos: bool = False
    """To be said as QoS-Final-Unit-Indication besides."""


class PoolShare(msgspec.Struct, array_like=True):
    """A grant's share in a credit pool: each of its units of this kind takes the multiplier,
    ``digits * 10**exponent`` units of the pool (RFC 8506 8.30).
    """

    number: int
    unit: int
    digits: int
    exponent: int = 0


class Announcement(msgspec.Struct, array_like=True):
    """What the client plays to a party; None leaves the choice to it."""

    identifier: int
    seconds_before_end: int | None = None
    """None: before the service starts."""
    uses_quota: bool | None = None
    language: str = ""
    plays_to: int | None = None
    """0 the served party, 1 the remote one."""


class Metering(msgspec.Struct, array_like=True):
    """What a client is told about metering beside a grant (TS 32.299 6.5)."""

    consumption_seconds: int = 0
    """0 = none is sent."""
    time_type: int | None = None
    """Time-Quota-Type, with its base interval; None: neither."""
    base_interval_seconds: int = 0
    triggers: tuple[int, ...] | None = None
    """Trigger-Types that make the client ask again; () disarms all, None says nothing."""
    envelopes: int | None = None
    """Envelope-Reporting."""
    furnish: str = ""
    """Text for the client's own records of the bearer ``charging_id``."""
    charging_id: int = 0
    announcement: Announcement | None = None


class ServiceReply(msgspec.Struct, array_like=True):
    """The decision about one service of a request, in the order they were asked."""

    rating_group: int | None
    service_identifiers: tuple[int, ...]
    outcome: int = SUCCESS
    granted: Units | None = None
    validity_seconds: int = 0
    """0 = none is sent."""
    final_unit: FinalUnit | None = None
    volume_threshold_octets: int = 0
    time_threshold_seconds: int = 0
    unit_threshold_events: int = 0
    quota_holding_seconds: int | None = None
    tariff_change_ns: int = 0
    command_level: bool = False
    reason: str = ""
    """Why it was refused, in words for an operator."""
    pools: tuple[PoolShare, ...] = ()
    tariff_side: int = -1
    """TariffSide of one of two quotas around a tariff switch; -1 = there is one quota."""
    metering: Metering | None = None


class RatePart(msgspec.Struct, array_like=True):
    """One part of a tariff: what ``per`` units of this kind cost; 0 = once."""

    unit: int
    cost_micro: int
    per: int = 0


class Advice(msgspec.Struct, array_like=True):
    """Advice of charge (TS 32.280): what was spent, and what is charged now and later.

    None leaves a part out.
    """

    accumulated_micro: int | None = None
    """Cost of the session so far, or of the event; without reservations."""
    incremental_micro: int | None = None
    """What of it this request has added."""
    tariff: tuple[RatePart, ...] | None = None
    next_tariff: tuple[RatePart, ...] | None = None
    change_ns: int = 0
    """When the next tariff begins."""


class ChargingReply(msgspec.Struct, array_like=True):
    """The decision about one request; exactly what a duplicate is answered with."""

    outcome: int
    services: list[ServiceReply] = []
    reason: str = ""
    """Why it was refused, in words for an operator; goes out as Error-Message."""
    failed: str = ""
    """Which part of the request was wrong: a name the front end knows how to show."""
    cost_micro: int | None = None
    currency: str = ""
    enough_credit: bool | None = None
    """CHECK_BALANCE's result."""
    refund_reference: str = ""
    """Token a later refund of this debit must carry."""
    low_balance: bool = False
    advice: Advice | None = None
    remaining_micro: int | None = None
    """What the client is told as Remaining-Balance; None: nothing."""


class Counted(msgspec.Struct, array_like=True):
    """Units of a charge that belong to a count of their account, so that a refund can find it."""

    rule: str
    subscriber_id: int
    period_ns: int
    units: int
    charged_micro: int


class Sponsored(msgspec.Struct, array_like=True):
    """Units that a sponsor pays (K-216)."""

    sponsor: str
    units: int
    amount_micro: int


class ChargedLine(msgspec.Struct, array_like=True):
    """What one service of a request cost, for the charging data record."""

    service: str
    rating_group: int | None
    unit: int
    used: int
    from_buckets: int
    charged_micro: int
    granted: int
    reserved_micro: int
    taken: list[Hold] = []
    """What was taken from which bucket, so that a refund can put it back."""
    measure: str = ""
    """The named unit that its events are counted in (amounts.NamedUnit)."""
    counted: list[Counted] = []
    """What of it belongs to counts of the account."""
    tax_micro: int = 0
    """What of the charge is tax (K-280)."""
    sponsored: list[Sponsored] = []
    """What sponsors pay, which is no part of the charge."""
    subscriber_id: int = 0
    """Whose limits have counted it, where there are any; 0 = nobody's."""
    counted_ns: int = 0
    """When it was granted (ns UTC), where it was counted in the periods of that instant; 0 = it was
    in those of the request."""


class ChargingRecord(msgspec.Struct, array_like=True):
    """What one request asked, meant and cost: the charging data record and the stored answer.

    Kept with the movements in one transaction; fields are only ever appended.
    """

    session_id: str
    sub_session_id: int | None
    kind: int
    number: int
    identity: str
    """The identity the account was found by, ``kind:value``."""
    service_context: str
    origin_host: str
    peer: str
    end_to_end: int
    event_ns: int
    action: int
    services: tuple[ServiceRequest, ...]
    attributes: RatingAttributes
    reply: ChargingReply
    charged: list[ChargedLine]
    balance_micro: int
    """Money of the account after this request, holds included."""
    held_micro: int
    catalogue_version: int
    plan: str
    termination_cause: int = -1
    anomaly: str = ""
    note: str = ""
    """Operator's reason, or the timer's."""
    operator: str = ""
    equipment: str = ""
    """The subscriber's device, such as ``imei:353490069873319``."""
