"""What a peer connection is told and what it counts: settings, the owner's decision, ids, counters.

Given to `peer` and `transport` by whoever owns the connection: the server or the simulator.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    Origin,
    ResultCode,
)
from protocol.codec import Limits
from protocol.errors import LocalProtocolError
from protocol.tls import PeerCertificate
from protocol.watchdog import MIN_TW_SECONDS


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """One connection's side of ours; times in seconds.

    `realms` are served besides `origin_realm`. `vendor_specific_applications` are pairs of vendor
    and authentication application offered in addition. `drain_timeout` is how long a disconnect
    waits for requests in flight; `dpa_timeout` how long it then waits for the peer. Until the
    connection is open no message may be longer than `max_opening_octets`.
    """

    origin_host: str
    origin_realm: str
    host_ip_addresses: tuple[str, ...] = ()
    vendor_id: int = 0
    product_name: str = "Gyro OCS"
    firmware_revision: int | None = None
    origin_state_id: int | None = None
    auth_application_ids: tuple[int, ...] = (4,)
    supported_vendor_ids: tuple[int, ...] = (10415,)
    vendor_specific_applications: tuple[tuple[int, int], ...] = ()
    realms: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    watchdog_seconds: float = 30.0
    cer_timeout: float = 10.0
    dpa_timeout: float = 5.0
    drain_timeout: float = 3.0
    max_pending_output_octets: int = 4 << 20
    max_pending_requests: int = 65_536
    max_opening_octets: int = 65_536

    def __post_init__(self) -> None:
        if self.watchdog_seconds < MIN_TW_SECONDS:
            raise LocalProtocolError(
                f"watchdog_seconds is {self.watchdog_seconds},"
                f" but RFC 3539 allows no less than {MIN_TW_SECONDS}"
            )

    @property
    def opening_limits(self) -> Limits:
        """What a message may cost that comes from somebody who is still unknown."""
        octets = min(self.limits.max_message, self.max_opening_octets)
        return replace(self.limits, max_message=octets)

    @property
    def origin(self) -> Origin:
        """Who we are in every message we send."""
        return Origin(self.origin_host, self.origin_realm, self.origin_state_id)


@dataclass(frozen=True, slots=True)
class PeerDecision:
    """The owner's word on a peer whose CER is in order.

    A refusal is answered with `result_code`, or not at all when `silent`; `reason` goes into the
    Error-Message and to the owner's log. `after_down` says that the watchdog gave this peer's last
    connection up, so that the new one has to prove itself first (RFC 3539 REOPEN).
    """

    accept: bool = True
    result_code: int = ResultCode.UNKNOWN_PEER
    silent: bool = False
    reason: str = ""
    after_down: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """What a connection shows of the other side, whatever it says about itself.

    `address` is its IP address, without zone, IPv4 where it came mapped into IPv6; `certificate`
    what it has proved to own, None on a connection in clear; `is_called` that we began it.
    """

    address: str
    certificate: PeerCertificate | None = None
    is_called: bool = False


PeerPolicy = Callable[[CapabilitiesExchangeRequest], PeerDecision]
AnswerPolicy = Callable[[CapabilitiesExchangeAnswer], PeerDecision]


def accept_all(
    _: CapabilitiesExchangeRequest | CapabilitiesExchangeAnswer,
) -> PeerDecision:
    """The policy of who lets everybody in."""
    return PeerDecision()


class EndToEndIds:
    """End-to-End identifiers that do not repeat within four minutes, also across a restart.

    The high 12 bits start as the low bits of the time in seconds, the low 20 bits as a random
    number (RFC 6733 section 3); both come from the caller.
    """

    __slots__ = ("_next",)

    def __init__(self, unix_seconds: int, random_bits: int) -> None:
        self._next = (unix_seconds & 0xFFF) << 20 | random_bits & 0xFFFFF

    def __call__(self) -> int:
        """The next identifier, 0 <= id < 2**32."""
        value = self._next
        self._next = (value + 1) & 0xFFFFFFFF
        return value


class ErrorKind(StrEnum):
    """What went wrong on a connection, as a small fixed set of metric labels."""

    INVALID_LENGTH = "invalid_length"
    INVALID_VERSION = "invalid_version"
    NOT_OPEN = "not_open"
    REFUSED = "refused"
    OPEN_TIMEOUT = "open_timeout"
    HEADER_BITS = "header_bits"
    BAD_BASE_MESSAGE = "bad_base_message"
    UNSUPPORTED = "unsupported"
    CLOSING = "closing"
    UNKNOWN_ANSWER = "unknown_answer"
    LATE_ANSWER = "late_answer"
    WATCHDOG = "watchdog"
    OUTPUT_BACKLOG = "output_backlog"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"
    TOO_MANY_UNIDENTIFIED = "too_many_unidentified"
    CONNECTION_RATE = "connection_rate"
    TOO_MANY_UNANSWERED = "too_many_unanswered"
    FRUITLESS = "fruitless"
    FOREIGN_ADDRESS = "foreign_address"
    TLS = "tls"


class PeerCounters:
    """Totals of a connection, or of many added up, since it began."""

    __slots__ = ("errors", "messages_in", "messages_out", "octets_in", "octets_out")

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.octets_in = 0
        self.octets_out = 0
        self.errors = dict.fromkeys(ErrorKind, 0)

    def error(self, kind: ErrorKind) -> None:
        """Count one fault."""
        self.errors[kind] += 1

    def add(self, other: "PeerCounters") -> None:
        """Add another connection's totals to these."""
        self.messages_in += other.messages_in
        self.messages_out += other.messages_out
        self.octets_in += other.octets_in
        self.octets_out += other.octets_out
        for kind, count in other.errors.items():
            self.errors[kind] += count
