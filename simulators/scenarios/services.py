"""What subscribers do: data sessions, calls, messages, and questions about money.

The services of a scenario (`model`), each with the context that its specification gives it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from simulators.scenarios.values import (
    Destination,
    Distribution,
    Probability,
    Strict,
    Unsigned32,
    fixed,
)

ServiceKind = Literal["data", "voice", "sms", "mms", "balance_check", "price_enquiry"]
KINDS: tuple[ServiceKind, ...] = ("data", "voice", "sms", "mms", "balance_check", "price_enquiry")
Context = Annotated[str, Field(min_length=1, max_length=200)]
RadioAccess = Literal["utran", "geran", "wlan", "eutran", "nbiot", "nr"]


class RatingGroupUse(Strict):
    """What one rating group of a data session consumes; without a number it is not named."""

    rating_group: Unsigned32 | None = None
    service_identifier: Unsigned32 | None = None
    octets_per_second: Distribution
    requested_octets: Annotated[int, Field(ge=1, lt=1 << 63)] | None = None
    """None leaves the size to the server: an empty Requested-Service-Unit."""
    start_after_seconds: Distribution = fixed(0)
    active_seconds: Distribution | None = None
    idle_seconds: Distribution | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.active_seconds is None) != (self.idle_seconds is None):
            raise ValueError("active_seconds and idle_seconds belong together")
        return self


class Place(Strict):
    """Where a subscriber is: the visited network (MCC and MNC) and how the radio works there."""

    plmn: Annotated[str, Field(pattern=r"^[0-9]{5,6}$")] = "00101"
    rat: RadioAccess = "eutran"


class Move(Place):
    """A change of place in the middle of a session, so long after its beginning."""

    after_seconds: Distribution


class _Service(Strict):
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What `uses` of a group of subscribers calls it; without one, its kind."""
    weight: Annotated[float, Field(gt=0)] = 1
    service_context: Context


class DataService(_Service):
    """A data session with one or more rating groups (TS 32.251)."""

    kind: Literal["data"]
    service_context: Context = "32251@3gpp.org"
    duration_seconds: Distribution
    rating_groups: Annotated[tuple[RatingGroupUse, ...], Field(min_length=1, max_length=64)]
    apn: Annotated[str, Field(max_length=100)] = "internet"
    place: Place | None = None
    """Where the session begins; without it, at home: the network of the IMSI."""
    moves: Annotated[tuple[Move, ...], Field(max_length=16)] = ()


class VoiceService(_Service):
    """A call (TS 32.260): reserved at the INVITE, charged from the answer on."""

    kind: Literal["voice"]
    service_context: Context = "32260@3gpp.org"
    rating_group: Unsigned32 | None = None
    service_identifier: Unsigned32 | None = None
    duration_seconds: Distribution
    ring_seconds: Distribution = fixed(5)
    answered_probability: Probability = 1.0
    unanswered_causes: Annotated[
        tuple[Annotated[int, Field(ge=400, le=699)], ...], Field(min_length=1)
    ] = (486,)
    """SIP status codes of calls that nobody takes: 486 busy, 480 not there, 487 given up."""
    requested_seconds: Annotated[int, Field(ge=1, lt=1 << 31)] | None = None
    role: Literal["originating", "terminating"] = "originating"
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]
    """Who is called; of a terminating call, who calls."""


class MessageService(_Service):
    """What SMS and MMS have in common."""

    rating_group: Unsigned32 | None = None
    service_identifier: Unsigned32 | None = None
    manner: Literal["iec", "ecur"] = "iec"
    """Debited at once with one request, or reserved and then debited (TS 32.299 section 5.2.2)."""
    messages: Distribution = fixed(1)
    delivery_seconds: Distribution = fixed(2)
    """ecur: how long the units stay reserved."""
    delivered_probability: Probability = 1.0
    """ecur: what is not delivered is reported without use."""
    refunded_probability: Probability = 0.0
    """Chance that what was debited is given back later (TS 32.299 section 5.2.2)."""
    refund_after_seconds: Distribution = fixed(5)
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]


class SmsService(MessageService):
    """Short messages (TS 32.274)."""

    kind: Literal["sms"]
    service_context: Context = "32274@3gpp.org"


class MmsService(MessageService):
    """Multimedia messages (TS 32.270)."""

    kind: Literal["mms"]
    service_context: Context = "32270@3gpp.org"
    message_octets: Annotated[int, Field(ge=0, lt=1 << 32)] = 60_000


class _Question(_Service):
    service_context: Context = "32274@3gpp.org"
    rating_group: Unsigned32 | None = None
    service_identifier: Unsigned32 | None = None
    unit: Literal["events", "seconds", "octets"] = "events"
    amount: Distribution = fixed(1)
    destinations: tuple[Destination, ...] = ()


class BalanceCheck(_Question):
    """Whether the account could pay for so much of a service (RFC 8506 section 6.2)."""

    kind: Literal["balance_check"]


class PriceEnquiry(_Question):
    """What so much of a service would cost (RFC 8506 section 6.1)."""

    kind: Literal["price_enquiry"]


Service = DataService | VoiceService | SmsService | MmsService | BalanceCheck | PriceEnquiry
EventService = SmsService | MmsService | BalanceCheck | PriceEnquiry


def name_of(service: Service) -> str:
    """What a service is called: its name, or its kind if it has none."""
    return service.name or service.kind
