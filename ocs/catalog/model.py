"""The catalogue as immutable values: services, plans, price rules, allowances, quota policies.

Made by loading.document, read by rating and charging. A catalogue has a version number given when
it is published; sessions and movements name the version they were priced with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from math import lcm

from ocs.amounts import Measured, NamedUnit, Unit
from ocs.catalog.exchange import Exchange, Rate
from ocs.catalog.limits import BucketCap, Limit, Rollover
from ocs.catalog.metering import Metering
from ocs.catalog.notify import NotifyPolicy
from ocs.catalog.offers import Bonus, LifeCycle, Promotion, Transfers
from ocs.catalog.recurring import Recurring
from ocs.catalog.taxes import Tax

ALWAYS = ""
"""The band name of a rule that holds at all times."""
RELATION = "relation"
"""The dimension of prices that look at who is called, or calls, the subscriber (K-214)."""
LIMIT = "limit"
"""The dimension of prices that hold when a limit of the plan is reached (K-208)."""
TERMINATING = "terminating"
"""The label of a call's role that has no price unless a rule names it (TS 32.260 5.2)."""


class FinalUnitAction(IntEnum):
    """What the client does after the last units (RFC 8506 8.35). The numbers are the wire's."""

    TERMINATE = 0
    REDIRECT = 1
    RESTRICT_ACCESS = 2


class ChargeMode(IntEnum):
    """How a plan treats a service (D18)."""

    PRICED = 0
    FREE = 1
    """Metered and granted, costs nothing, reserves nothing."""
    UNCONTROLLED = 2
    """No credit control: the client is told to let it pass."""


PRICED, FREE, UNCONTROLLED = ChargeMode
"""The modes under names of their own, for what runs for every request: see amounts.MONEY."""


class Period(IntEnum):
    """Over what a cumulative count runs; days, weeks from Monday on, and months are those of the
    catalogue's time zone. The numbers are stored.
    """

    SESSION = 0
    """A session and its tariff slot, or one event."""
    DAY = 1
    WEEK = 2
    MONTH = 3


SESSION = Period.SESSION
"""The usual count, under a name of its own: see amounts.MONEY."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of billed units up to ``up_to`` in all, that unit included; 0 = without end.

    ``rate_micro / per`` as in Price, and ``flat_micro`` once for reaching the tier.
    """

    up_to: int
    rate_micro: int
    per: int = 1
    flat_micro: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """Tiers made ready to compute with: ``billed`` units in step ``i`` cost
    ``(offsets[i] + billed * slopes[i]) / divisor`` micro units, exactly.
    """

    ends: tuple[int, ...]
    """The last billed unit of every step but the last, which has no end."""
    offsets: tuple[int, ...]
    slopes: tuple[int, ...]
    divisor: int
    maximum_micro: int | None
    lowest: int
    """The least that is billed, 0 where that is one increment."""


@dataclass(frozen=True, slots=True)
class Price:
    """An exact rational price with its increments (M-001, M-002).

    ``rate_micro / per`` micro units of money per base unit of the service; usage is billed in
    whole ``increment`` units, at least ``minimum`` of them once anything is used, plus
    ``setup_micro`` once. With ``tiers`` they say the rate instead, each that of the billed units
    in it, or with ``volume`` the one reached that of all; rate and per then repeat the first's.
    ``maximum_micro`` bounds the whole cost, setup included. K-001 to K-006.

    ``counted`` is over what the units are cumulative: beyond SESSION all that an account, or with
    ``by_member`` each of its subscribers, uses at this price in a period is one count (K-200).
    """

    rate_micro: int
    per: int = 1
    increment: int = 1
    minimum: int = 0
    setup_micro: int = 0
    tiers: tuple[Tier, ...] = ()
    volume: bool = False
    maximum_micro: int | None = None
    counted: Period = SESSION
    by_member: bool = False
    twice_rate: int = field(init=False, compare=False, repr=False, default=0)
    twice_per: int = field(init=False, compare=False, repr=False, default=0)
    """Both doubled, for the rounding of what every request asks several times."""
    steps: Steps | None = field(init=False, compare=False, repr=False, default=None)
    """None for a plain price, which has one rate and no end."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice_rate", 2 * self.rate_micro)
        object.__setattr__(self, "twice_per", 2 * self.per)
        if self.tiers or self.maximum_micro is not None:
            object.__setattr__(self, "steps", _steps(self))


def _steps(price: Price) -> Steps:
    tiers = price.tiers or (Tier(0, price.rate_micro, price.per),)
    divisor = lcm(*(tier.per for tier in tiers))
    offsets, slopes = [], []
    start = reached = 0
    for tier in tiers:
        slope = tier.rate_micro * (divisor // tier.per)
        flat = tier.flat_micro * divisor
        # ``reached`` is what the units up to ``start`` cost, in graduated tiers only.
        offsets.append(flat if price.volume else reached + flat - start * slope)
        slopes.append(slope)
        reached += flat + (tier.up_to - start) * slope
        start = tier.up_to
    return Steps(
        ends=tuple(tier.up_to for tier in tiers[:-1]),
        offsets=tuple(offsets),
        slopes=tuple(slopes),
        divisor=divisor,
        maximum_micro=price.maximum_micro,
        lowest=price.minimum if price.minimum >= price.increment else 0,
    )


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing a price rule looks at: what a request says in a dimension is one of ``labels``.

    The dimensions and their labels are those of catalog.conditions.
    """

    dimension: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PriceRule:
    """One line of a plan's price list. ``code`` is unique in the plan and is stored."""

    code: str
    price: Price
    zone: str = ""
    """Destination zone it holds for; empty matches every destination."""
    band: str = ALWAYS
    """Time band it holds in; empty matches at all times."""
    when: tuple[Condition, ...] = ()
    """All of these must hold too."""
    sponsor: str = ""
    """Who pays it instead of the account, which pays nothing then (K-216)."""

    def names(self, dimension: str, label: str) -> bool:
        """Tell whether a condition asks for this very label."""
        return any(one.dimension == dimension and label in one.labels for one in self.when)


@dataclass(frozen=True, slots=True)
class BandSpan:
    """Part of some days: weekdays (0 = Monday) or dates, and local minutes, end exclusive.

    A span with ``end_minute <= start_minute`` runs over midnight into the next day.
    """

    weekdays: frozenset[int]
    start_minute: int
    end_minute: int
    dates: frozenset[int] = frozenset()
    """Single days, counted from 1 January 1970, besides the weekdays."""


@dataclass(frozen=True, slots=True)
class TimeBand:
    """A named set of spans; the first band of the catalogue that covers an instant wins."""

    name: str
    spans: tuple[BandSpan, ...]


@dataclass(frozen=True, slots=True)
class QuotaPolicy:
    """How much is granted at a time and under which conditions (sections 2.6, 2.9, 3.6).

    Quantities are in the service's unit. ``threshold_percent`` 0 sends no threshold;
    ``quota_holding_seconds`` None leaves the AVP out, 0 is sent as 0.
    """

    slice: int
    """Granted when the client leaves the size to the server."""
    maximum: int
    """Never more than this in one grant."""
    minimum_useful: int = 1
    """A grant below this counts as exhausted (M-005)."""
    validity_seconds: int = 3600
    short_validity_seconds: int = 60
    """Used while restricted, and when other sessions hold the money (D16)."""
    threshold_percent: int = 20
    threshold_maximum: int = 0
    """Never a larger threshold than this; 0 = no limit of its own (G-004)."""
    quota_holding_seconds: int | None = None
    metering: Metering | None = None
    """None says nothing about metering."""


@dataclass(frozen=True, slots=True)
class FinalUnitPolicy:
    """What happens to a service when the money ends."""

    action: FinalUnitAction = FinalUnitAction.TERMINATE
    redirect_address_type: int = 2
    """0 IPv4, 1 IPv6, 2 URL, 3 SIP URI (RFC 8506 8.38)."""
    redirect_address: str = ""
    restriction_filter_rules: tuple[str, ...] = ()
    filter_ids: tuple[str, ...] = ()
    zero_grant: bool = False
    """Answer an exhausted account with zero units and TERMINATE instead of 4012 (C-047)."""
    qos: bool = False
    """Say it as QoS-Final-Unit-Indication too, to clients that understand it (C-049)."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A credit pool (RFC 8506 5.1.2): services of one session whose quotas are drawn on together.

    One unit of the pool is worth ``rate_micro / per`` micro units of money, so that a service's
    multiplier is its price in such units.
    """

    code: str
    number: int
    """G-S-U-Pool-Identifier, from 1 on."""
    rate_micro: int
    per: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """Something that can be charged, and which requests mean it.

    A request matches by the Service-Context-Id's suffix and then by service identifier, else by
    rating group, else by being the context's default. Empty sets match nothing by themselves.
    """

    code: str
    contexts: tuple[str, ...]
    """Service-Context-Id suffixes, lower case, such as ``32251@3gpp.org``; none where only
    recorded usage is charged."""
    unit: Unit
    quota: QuotaPolicy
    rating_groups: frozenset[int] = frozenset()
    service_identifiers: frozenset[int] = frozenset()
    default: bool = False
    """Meant when a request of this context names neither rating group nor service identifier."""
    destination_rated: bool = False
    """Whether price rules look at the called party or recipient."""
    together_with: str = ""
    """The service that counts the same requests in another unit: both are granted together, and
    what they cost is the sum (G-001, M-015)."""
    pool: str = ""
    """The credit pool its quotas belong to, for clients that understand pools."""
    named: NamedUnit | None = None
    """What its events are counted in, where the catalogue has a name for it (K-300)."""
    measure: str = field(init=False, default="")
    """The measure of buckets of free units that may pay for it; empty: plain octets and so on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "measure", self.named.measure if self.named else "")

    @property
    def counted_in(self) -> Measured:
        """What its quantities are counted in, for people."""
        return self.named or self.unit


@dataclass(frozen=True, slots=True)
class Allowance:
    """Free units (or bonus money) that an account receives with its plan."""

    code: str
    unit: Unit
    amount: int
    services: tuple[str, ...] = ()
    """Service codes it may pay for; empty means every service of its unit."""
    priority: int = 100
    """Smaller is spent first; then the earlier expiry."""
    expires_after_seconds: int = 0
    """0 = never."""
    named: NamedUnit | None = None
    """The unit of the catalogue's own that its events are counted in."""
    rollover: Rollover | None = None
    """What of it is carried over when it is renewed; None: nothing."""
    at_most: BucketCap | None = None
    """What of it is used in a period at most; None: all that is left."""
    ends_with_plan: bool = False
    """Whether what is left of it ends when the account gets another plan."""

    @property
    def counted_in(self) -> Measured:
        """What it is counted in, for people."""
        return self.named or self.unit


@dataclass(frozen=True, slots=True)
class TariffSlot:
    """The price rule in force at an instant, and from when to when it is (ns UTC, end exclusive).

    ``rule`` None: the plan has no price there. ``end_ns`` 0: it holds for ever from then on;
    ``start_ns`` 0: it always did before. Under a counted price a slot ends with the period at the
    latest, and ``start_ns`` is where the period began: what the count is known by (K-201).
    """

    rule: PriceRule | None
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class ServiceTerms:
    """What a plan says about one service."""

    service: str
    mode: ChargeMode
    rules: tuple[PriceRule, ...] = ()
    quota: QuotaPolicy | None = None
    """Overrides the service's own policy."""
    final_unit: FinalUnitPolicy | None = None
    """Overrides the plan's policy."""
    subscriber_clock: bool = False
    """Time bands are those of the clock where the subscriber is, where the client says it."""
    tax: Tax | None = None
    """What part of each charge is; prices have it in them (K-280)."""
    conditional: bool = field(init=False, default=False)
    """Whether the price depends on more than destination and the catalogue's clock."""
    prices_terminating: bool = field(init=False, default=False)
    """Whether a rule is for terminating calls, which are free otherwise."""
    counted: bool = field(init=False, default=False)
    """Whether a rule counts over more than a session, or has a sponsor: a quota then belongs to one
    rule, and ends at every tariff switch."""
    sponsored: bool = field(init=False, default=False)
    """Whether a rule has a sponsor."""
    limited: bool = field(init=False, default=False)
    """Whether a rule holds when a limit of the plan is reached."""
    related: bool = field(init=False, default=False)
    """Whether a rule looks at how the other party is related to the subscriber."""

    def __post_init__(self) -> None:
        conditional = self.subscriber_clock or any(rule.when for rule in self.rules)
        object.__setattr__(self, "conditional", conditional)
        terminating = any(rule.names("role", TERMINATING) for rule in self.rules)
        object.__setattr__(self, "prices_terminating", terminating)
        sponsored = any(rule.sponsor for rule in self.rules)
        object.__setattr__(self, "sponsored", sponsored)
        counted = sponsored or any(rule.price.counted for rule in self.rules)
        object.__setattr__(self, "counted", counted)
        limited = any(one.dimension == LIMIT for rule in self.rules for one in rule.when)
        object.__setattr__(self, "limited", limited)
        related = any(one.dimension == RELATION for rule in self.rules for one in rule.when)
        object.__setattr__(self, "related", related)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscriber has bought. A service that has no terms here is not allowed (5003)."""

    code: str
    name: str
    terms: dict[str, ServiceTerms]
    allowances: tuple[Allowance, ...] = ()
    final_unit: FinalUnitPolicy = FinalUnitPolicy()
    credit_limit_micro: int = 0
    """Given to new accounts of this plan unless said otherwise."""
    low_balance_micro: int | None = None
    keeps_version: bool = False
    """Open sessions stay with the version of the catalogue that they began under."""
    notify: NotifyPolicy | None = None
    """What its customers are told of."""
    friends: int = 0
    """How many numbers each subscriber may name as friends and family."""
    limits: tuple[Limit, ...] = ()
    """How much may be used or spent in a period."""
    life_cycle: LifeCycle | None = None
    """None: accounts are active until an operator says otherwise."""
    top_up_bonus: tuple[Bonus, ...] = ()
    transfers: Transfers | None = None
    """What customers may give to others; None: nothing."""
    recurring: tuple[Recurring, ...] = ()
    """Fees, and allowances that are renewed, in the order in which they fall due at one instant."""
    exchange: Exchange = Exchange.NEVER
    """When money in another currency becomes the account's own."""
    conditional: bool = field(init=False, default=False)
    """Whether any of its prices looks at more than destination and the catalogue's clock."""
    bucket_caps: dict[str, BucketCap] = field(init=False, compare=False, repr=False)
    """What of an allowance is used in a period at most, by its code, where that is bounded."""

    def __post_init__(self) -> None:
        conditional = any(terms.conditional for terms in self.terms.values())
        object.__setattr__(self, "conditional", conditional)
        caps = {one.code: one.at_most for one in self.allowances if one.at_most is not None}
        object.__setattr__(self, "bucket_caps", caps)

    @property
    def given_once(self) -> tuple[Allowance, ...]:
        """The allowances that come with the plan and are not renewed."""
        renewed = {code for item in self.recurring for code in item.allowances}
        return tuple(one for one in self.allowances if one.code not in renewed)


@dataclass(frozen=True, slots=True)
class Example:
    """Usage and what it must cost, or the catalogue is not published."""

    plan: str
    service: str
    used: int
    """In the service's unit, after ``before``, used in the same session."""
    costs_micro: int
    before: int = 0
    destination: str = ""
    at_ns: int = 0
    when: tuple[Condition, ...] = ()
    """What is true of the usage, one label each."""
    clock: str = ""
    """Of the place where the subscriber is, such as ``+02:00``."""
    price: str = ""
    """Code of the price that must hold; empty leaves it open."""
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything sold, whole and consistent. ``version`` 0 means not published."""

    name: str
    currency: str
    time_zone: str
    services: dict[str, Service]
    plans: dict[str, Plan]
    zones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Number prefixes (digits, international format without +) by zone name."""
    networks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """MCCs and PLMNs (digits) by the name of their zone; the zone ``home`` is our own."""
    locations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Places (``PLMN/area/cell``, ``PLMN/area`` or ``PLMN//cell``) by the name of their zone."""
    own_numbers: tuple[str, ...] = ()
    """Prefixes (digits) of the numbers of our own network, as far as they are not ported."""
    bands: tuple[TimeBand, ...] = ()
    pools: dict[str, Pool] = field(default_factory=dict)
    units: dict[str, NamedUnit] = field(default_factory=dict)
    """Units besides octets, seconds and events, by name."""
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What recorded usage may say of itself, and the values it may have; () = any."""
    promotions: dict[str, Promotion] = field(default_factory=dict)
    currencies: dict[str, Rate] = field(default_factory=dict)
    """What other currencies are worth, by their codes."""
    version: int = 0
    source: str = ""
    """The document's text as it was published."""
    examples: tuple[Example, ...] = ()
    effective_ns: int = field(default=0, compare=False)
    """From when on it is to hold (ns UTC), 0 = from when it is published; of a published one
    since when it does."""
