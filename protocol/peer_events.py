"""What `peer` tells its owner: the events of one connection, in the order they happened."""

from dataclasses import dataclass
from enum import Enum, auto

from protocol.base import (
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
    DisconnectCause,
)
from protocol.codec import Header

Capabilities = CapabilitiesExchangeRequest | CapabilitiesExchangeAnswer


class PeerState(Enum):
    """Where the connection is (RFC 6733 section 5.6, seen from one side)."""

    WAIT_CER = auto()
    WAIT_CEA = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


WAIT_CER, WAIT_CEA, OPEN, CLOSING, CLOSED = PeerState
"""The states under names of their own, for what runs for every message: Python 3.11 finds a name
ten times faster than a member of an enumeration."""


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The connection is open; `capabilities` is the peer's CER, or its CEA where we called it."""

    capabilities: Capabilities


@dataclass(slots=True)
class RequestReceived:
    """A request to be answered once with `send_answer`; mutable only because that is cheaper."""

    header: Header
    message: bytes


@dataclass(slots=True)
class AnswerReceived:
    """The answer to a request of ours; its hop-by-hop id is the one `send_request` returned."""

    header: Header
    message: bytes


@dataclass(frozen=True, slots=True)
class DisconnectRequested:
    """The peer said goodbye: new requests are refused, those in flight are still to be answered."""

    cause: DisconnectCause


@dataclass(frozen=True, slots=True)
class PeerSuspect:
    """The peer missed a watchdog: send nothing new and fail `unanswered` over to another peer."""

    unanswered: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PeerRecovered:
    """The peer is trusted again; requests may be sent."""


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The last event: the connection is over; `unanswered` are our requests left without answer.

    `by_watchdog` says that the peer had stopped answering, or had not yet proved itself again.
    """

    reason: str
    unanswered: tuple[bytes, ...] = ()
    by_watchdog: bool = False


Event = (
    PeerUp
    | RequestReceived
    | AnswerReceived
    | DisconnectRequested
    | PeerSuspect
    | PeerRecovered
    | PeerClosed
)
