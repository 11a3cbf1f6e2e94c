"""What connections may cost: who is let in, and when one of them is not read for a while.

Pure counting by the reactor's clock, asked by `transport` once per new connection and once per turn
of the reactor and connection, never per message. None of it comes from a standard: a peer, or
whoever pretends to be one, must not be able to harm the others.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Generic, TypeVar

from protocol.peer import PeerConnection
from protocol.peer_settings import ErrorKind

SECOND = 1.0
ADDRESSES_MAX = 4096
"""Addresses without a connection that are remembered for what is left of their second."""
_IPV6_SUBSCRIBER_BITS = 64

C = TypeVar("C", bound=Hashable)


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What the connections of a server may cost, all together, of one address, and each.

    An address is an IPv4 address or the IPv6 network of 64 bits that one subscriber has. A
    connection is unidentified until its CER is accepted.
    """

    max_connections: int = 1024
    max_connections_per_address: int = 256
    max_unidentified_connections: int = 256
    """Beyond this the oldest unidentified connection makes room for a new one."""
    max_new_connections_per_second: int = 1000
    max_new_connections_per_address: int = 100
    """Per second."""
    max_unanswered_requests: int = 1024
    """Of one connection: it is not read above this, and again below half of it."""
    max_unanswered_octets: int = 8 << 20
    """The same, by what those requests measure."""
    max_fruitless_messages_per_second: int = 500
    """Of one connection: messages with nothing to decide. Beyond this it is not read until the
    second is over."""
    max_messages_per_turn: int = 128
    """Of one connection, before the others have their turn."""


class _Visitor:
    """What is known of one address."""

    __slots__ = ("new", "open", "second")

    def __init__(self, now: float) -> None:
        self.open = 0
        self.new = 0
        self.second = now


class Admission(Generic[C]):
    """Who may connect. Every connection that was admitted is to be entered, and left once."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._visitors: dict[str, _Visitor] = {}
        self._unidentified: dict[C, None] = {}
        self._open = 0
        self._everybody = _Visitor(0.0)

    @property
    def unidentified(self) -> int:
        """Connections whose CER is still to come."""
        return len(self._unidentified)

    def refusal(self, address: str, now: float) -> ErrorKind | None:
        """Why a connection from an IP address may not be made at `now` seconds, or None."""
        limits = self._limits
        visitor = self._visitor(address, now)
        if _is_beyond(visitor, now, limits.max_new_connections_per_address):
            return ErrorKind.CONNECTION_RATE
        if _is_beyond(self._everybody, now, limits.max_new_connections_per_second):
            return ErrorKind.CONNECTION_RATE
        if visitor.open >= limits.max_connections_per_address:
            return ErrorKind.TOO_MANY_OF_ADDRESS
        if self._open >= limits.max_connections and not self._unidentified:
            return ErrorKind.TOO_MANY_CONNECTIONS
        return None

    def entered(self, connection: C, address: str, now: float) -> C | None:
        """Count a new connection in; returns the one that is to be reset for it, if any."""
        self._visitor(address, now).open += 1
        self._open += 1
        victim = None
        limits = self._limits
        if (
            len(self._unidentified) >= limits.max_unidentified_connections
            or self._open > limits.max_connections
        ):
            victim = next(iter(self._unidentified), None)
            if victim is not None:
                del self._unidentified[victim]
        self._unidentified[connection] = None
        return victim

    def identified(self, connection: C) -> None:
        """The connection's CER was accepted."""
        self._unidentified.pop(connection, None)

    def left(self, connection: C, address: str) -> None:
        """The connection is gone."""
        self._unidentified.pop(connection, None)
        self._open -= 1
        visitor = self._visitors.get(network_of(address))
        if visitor is not None:
            visitor.open -= 1

    def _visitor(self, address: str, now: float) -> _Visitor:
        key = network_of(address)
        visitor = self._visitors.get(key)
        if visitor is None:
            if len(self._visitors) >= ADDRESSES_MAX + self._open:
                self._visitors = {k: one for k, one in self._visitors.items() if one.open}
            visitor = self._visitors[key] = _Visitor(now)
        return visitor


def _is_beyond(visitor: _Visitor, now: float, limit: int) -> bool:
    if now - visitor.second >= SECOND:
        visitor.second, visitor.new = now, 0
    visitor.new += 1
    return visitor.new > limit


def network_of(address: str) -> str:
    """An IPv4 address as it is, an IPv6 address as the network of its subscriber."""
    if ":" not in address:
        return address
    parsed = ip_address(address)
    return str(ip_network((int(parsed) >> _IPV6_SUBSCRIBER_BITS << _IPV6_SUBSCRIBER_BITS, 64)))


class ReadingGate:
    """Whether one connection is to be read: not while it has more in work than it may."""

    __slots__ = ("_limits", "_second", "_shut_until", "shut_by")

    def __init__(self, limits: TransportLimits, now: float) -> None:
        self._limits = limits
        self._second = now
        """Since when fruitless messages are counted."""
        self._shut_until = 0.0
        self.shut_by: ErrorKind | None = None
        """Why it is not read; None while it is."""

    def is_open(self, connection: PeerConnection) -> bool:
        """Whether to read on at the connection's time; counts each closing as a fault."""
        limits = self._limits
        if connection.fruitless > limits.max_fruitless_messages_per_second:
            self._count_fruitless(connection)
        if self.shut_by is None:
            if (
                connection.unanswered > limits.max_unanswered_requests
                or connection.unanswered_octets > limits.max_unanswered_octets
            ):
                self._shut(connection, ErrorKind.TOO_MANY_UNANSWERED)
        elif (
            connection.now >= self._shut_until
            and connection.unanswered <= limits.max_unanswered_requests // 2
            and connection.unanswered_octets <= limits.max_unanswered_octets // 2
        ):
            self.shut_by = None
        return self.shut_by is None

    @property
    def opens_at(self) -> float | None:
        """When to ask again although nothing has happened, if it is the time that shuts it."""
        return self._shut_until if self.shut_by is ErrorKind.FRUITLESS else None

    def _count_fruitless(self, connection: PeerConnection) -> None:
        connection.fruitless = 0
        over = self._second + SECOND
        if connection.now >= over:
            self._second = connection.now
        else:
            self._second = self._shut_until = over
            self._shut(connection, ErrorKind.FRUITLESS)

    def _shut(self, connection: PeerConnection, why: ErrorKind) -> None:
        self.shut_by = why
        connection.counters.error(why)
