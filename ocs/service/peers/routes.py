"""The ways to a client for requests of ours: its own connection, the agent it was last heard by,
any agent (RFC 6733 6.1). ``diameter`` says who is connected, ``server_requests`` asks.

Only peers that said they speak credit control, or relay everything, are ways (RFC 6733 5.3), and
only while their watchdog trusts them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from protocol.base import RELAY_APPLICATION
from protocol.credit_control import CREDIT_CONTROL_APPLICATION
from protocol.grammar import identity_key
from protocol.peer_events import Capabilities


class OpenConnection(Protocol):
    """A connection as a request of ours needs it; see transport.DiameterProtocol."""

    @property
    def can_send_requests(self) -> bool:
        """Whether ``send_request`` may be called."""

    def send_request(self, message: bytes) -> int:
        """Queue a request; return its hop-by-hop id. Raises LocalProtocolError if it may not."""

    def forget_request(self, hop_by_hop: int) -> None:
        """Expect no answer any more."""


class Target(NamedTuple):
    """Whom a request is for: the client, its realm, and the peer it was last heard by."""

    origin_host: str
    origin_realm: str
    peer: str


class Route:
    """One way: an open connection and how many requests of ours are on it."""

    __slots__ = ("conn", "host", "in_flight", "is_agent", "realm")

    def __init__(self, conn: OpenConnection, host: str, realm: str, *, is_agent: bool) -> None:
        self.conn = conn
        self.host = host
        self.realm = realm
        self.is_agent = is_agent
        """It may speak for others, so others can be reached by it."""
        self.in_flight = 0


FULL = ""
"""No name of a peer: there is a way, and as much on it as may be at a time."""


@dataclass(slots=True)
class Reach:
    """Who could be sent how many requests at one moment; handed to the store's thread, which counts
    down what it plans to send.
    """

    room: dict[str, int] = field(default_factory=dict)
    agents: tuple[str, ...] = ()

    def reserve(self, target: Target, *, by_any_agent: bool) -> str | None:
        """Return the peer by which a request would go, FULL, or None when there is no way."""
        ways = [identity_key(target.origin_host), identity_key(target.peer)]
        if by_any_agent:
            ways += self.agents
        known = [host for host in ways if host in self.room]
        for host in known:
            if self.room[host] > 0:
                self.room[host] -= 1
                return host
        return FULL if known else None


class Routes:
    """All open connections by the Origin-Host of their peer."""

    def __init__(self, per_peer_max: int) -> None:
        self._per_peer_max = per_peer_max
        self._routes: dict[OpenConnection, Route] = {}

    def opened(self, conn: OpenConnection, said: Capabilities, *, is_agent: bool) -> None:
        """A connection opened; ``said`` is the peer's CER or CEA."""
        relays = RELAY_APPLICATION in said.applications
        if not relays and CREDIT_CONTROL_APPLICATION not in said.applications:
            return
        host, realm = identity_key(said.origin_host), identity_key(said.origin_realm)
        self._routes[conn] = Route(conn, host, realm, is_agent=is_agent)

    def is_agent(self, conn: OpenConnection, is_agent: bool) -> None:
        """An operator has said whether a connected peer is an agent."""
        route = self._routes.get(conn)
        if route is not None:
            route.is_agent = is_agent

    def closed(self, conn: OpenConnection) -> None:
        """A connection is gone."""
        self._routes.pop(conn, None)

    def host_of(self, conn: OpenConnection) -> str:
        """Return the peer of a connection; empty when no request could go there."""
        route = self._routes.get(conn)
        return route.host if route else ""

    def reach(self) -> Reach:
        """Return how many requests could be sent to whom now."""
        usable = [route for route in self._routes.values() if route.conn.can_send_requests]
        return Reach(
            {route.host: self._per_peer_max - route.in_flight for route in usable},
            tuple(sorted(route.host for route in usable if route.is_agent)),
        )

    def choose(
        self, target: Target, tried: Collection[str], *, by_any_agent: bool
    ) -> Route | None:
        """Return the best way that was not tried; None when there is none."""
        client, peer = identity_key(target.origin_host), identity_key(target.peer)
        realm = identity_key(target.origin_realm)

        def rank(route: Route) -> int:
            if route.host == client:
                return 0
            if route.host == peer:
                return 1
            if not by_any_agent or not route.is_agent:
                return _NO_WAY
            return 2 if route.realm == realm else 3

        ways = [
            (rank(route), route.in_flight, route.host, route)
            for route in self._routes.values()
            if route.host not in tried and route.conn.can_send_requests
        ]
        best = min(ways, key=lambda way: way[:3], default=None)
        return best[3] if best and best[0] < _NO_WAY else None


_NO_WAY = 9
