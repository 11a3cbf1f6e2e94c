"""Who may connect and who is connected: the peer list, its rules, and the open connections.

Asked when a connection comes (its address), and by ``diameter`` when a CER arrives (RFC 6733 5.3
and 13.1, decisions D15 and D19). The list joins the configuration's peers with those of the store,
which the supervisor reads again when it changed.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import structlog

from ocs.clock import Clock, SystemClock
from ocs.profiles import AUTO
from ocs.service.watching.quiet import Repeated
from ocs.store.interface import PeerEntry
from protocol.answers import ResultCode
from protocol.base import DisconnectCause
from protocol.grammar import identity_key
from protocol.opening import wins_election
from protocol.peer_settings import Caller, PeerDecision

DOWN_REMEMBERED_MAX = 10_000
NO_FACTS: Mapping[str, object] = MappingProxyType({})
HOST_MAX = 255
"""As much of a stranger's name as is shown and remembered."""

_log = structlog.get_logger(__name__)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""Where IPv4 addresses are written as IPv6 addresses."""


class OpenPeer(Protocol):
    """An open connection as the directory needs it."""

    def probe(self) -> None:
        """Find out at once whether the other side is still there."""


class PeerWatcher(Protocol):
    """Who calls a peer, and so wants to know whether it is connected; see dialing.PeerCall."""

    @property
    def awaits_answer(self) -> bool:
        """Whether our CER is on its way to the peer."""

    def abandon(self) -> None:
        """Close the connection on which our CER is on its way."""

    def opened(self, peer: OpenPeer) -> None:
        """The peer is connected, whoever began it."""

    def leaving(self, cause: DisconnectCause) -> None:
        """The peer said goodbye."""

    def closed(self) -> None:
        """The peer is not connected any more."""


@dataclass(frozen=True, slots=True)
class PeerRules:
    """What holds for peers that nobody has named."""

    accept_unknown: bool = False
    unknown_profile: str = AUTO
    refuse_silently: bool = False
    """Close the connection of an unknown peer without an answer (B-044)."""
    allow_options: str = ""
    """What `ocs peer allow` needs besides the name to find this server's database."""
    origin_host: str = ""
    """Our own name, which decides elections."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a connection may not be a peer's: what the peer is told, and what the log says."""

    reason: str
    event: str
    facts: Mapping[str, object] = field(default_factory=dict)
    result_code: ResultCode = ResultCode.UNKNOWN_PEER


class PeerDirectory:
    """The known peers and the open ones, by Origin-Host; used on the reactor's thread only."""

    def __init__(
        self,
        rules: PeerRules,
        configured: Iterable[PeerEntry] = (),
        clock: Clock | None = None,
    ) -> None:
        self._rules = rules
        self._repeated = Repeated(clock or SystemClock())
        self._configured = {identity_key(entry.origin_host): entry for entry in configured}
        self._entries = dict(self._configured)
        self._networks = self._all_networks()
        self._open: dict[str, OpenPeer] = {}
        self._gave_up: dict[str, None] = {}
        self._watchers: dict[str, PeerWatcher] = {}
        self.on_entries: Callable[[], None] | None = None
        """Called after the list has changed."""

    def replace_stored(self, entries: Iterable[PeerEntry]) -> None:
        """Take over the peers of the store; one of the configuration goes before its namesake."""
        stored = {identity_key(entry.origin_host): entry for entry in entries}
        self._entries = stored | self._configured
        self._networks = self._all_networks()
        if self.on_entries is not None:
            self.on_entries()

    def watch(self, origin_host: str, watcher: PeerWatcher) -> None:
        """Let somebody know what becomes of a peer's connections; one at most for each peer."""
        self._watchers[identity_key(origin_host)] = watcher

    def unwatch(self, origin_host: str, watcher: PeerWatcher) -> None:
        """Let him know no more."""
        if self.is_watched_by(origin_host, watcher):
            del self._watchers[identity_key(origin_host)]

    def is_watched_by(self, origin_host: str, watcher: PeerWatcher) -> bool:
        """Tell whether he is let know."""
        return self._watchers.get(identity_key(origin_host)) is watcher

    def _all_networks(self) -> tuple[Network, ...] | None:
        """Where peers may come from; None when one may come from anywhere."""
        if self._rules.accept_unknown:
            return None
        texts: set[str] = set()
        for entry in self._entries.values():
            if not entry.source_networks:
                return None
            texts.update(entry.source_networks)
        return _parsed(tuple(sorted(texts)))

    def admits(self, address: str) -> bool:
        """Tell whether a peer may come from ``address``: asked before any octet is read."""
        return self._networks is None or _is_in(self._networks, address)

    @property
    def entries(self) -> tuple[PeerEntry, ...]:
        """Everybody who may connect by name."""
        return tuple(self._entries.values())

    def is_open(self, origin_host: str) -> bool:
        """Tell whether a peer is connected."""
        return identity_key(origin_host) in self._open

    @property
    def open_hosts(self) -> list[str]:
        """The Origin-Hosts that are connected."""
        return sorted(self._open)

    def entry_for(self, origin_host: str) -> PeerEntry:
        """Return what is known about a peer that was accepted."""
        host = identity_key(origin_host)
        entry = self._entries.get(host)
        return entry or PeerEntry(host, profile=self._rules.unknown_profile)

    def known(self, origin_host: str) -> PeerEntry | None:
        """Return the entry of a peer or of a client behind a relay, if there is one."""
        return self._entries.get(identity_key(origin_host))

    def objection(self, origin_host: str, caller: Caller) -> Objection | None:
        """Return why this connection may not be this peer's; None when it may.

        Asked when it says who it is, and again of a connected one when the list has changed.
        """
        host = identity_key(origin_host)
        entry = self._entries.get(host)
        if entry is None and not self._rules.accept_unknown:
            advice = f"; to allow it: {self._allow_command(host)}"
            reason = f"{host[:HOST_MAX]} is not an allowed peer"
            return Objection(reason, "unknown peer refused" + advice)
        if entry is None:
            entry = PeerEntry(host)
        if (
            entry.source_networks
            and not caller.is_called
            and not _is_in(_parsed(entry.source_networks), caller.address)
        ):
            return Objection(
                f"{host} must not connect from {caller.address}",
                "peer refused: it comes from a network it must not come from",
                {"allowed": list(entry.source_networks)},
            )
        certificate = caller.certificate
        if certificate is None:
            if not entry.require_tls and not entry.tls_names:
                return None
            return Objection(
                f"{host} must connect with TLS",
                "peer refused: it must connect with TLS, and came in clear",
                result_code=ResultCode.NO_COMMON_SECURITY,
            )
        names = entry.tls_names or (host,)
        if any(certificate.is_for(name) for name in names):
            return None
        return Objection(
            f"the certificate is not that of {host}",
            "peer refused: its certificate has another name",
            {"needed": list(names), "certificate": list(certificate.names)},
        )

    def decide(self, origin_host: str, caller: Caller) -> PeerDecision:
        """Say whether the peer of a CER may open this connection."""
        host, address = identity_key(origin_host), caller.address
        entry = self._entries.get(host)
        objection = self.objection(origin_host, caller)
        if objection is not None:
            self._warn(objection.event, host, address, objection.facts)
            return PeerDecision(
                accept=False,
                result_code=objection.result_code,
                silent=self._rules.refuse_silently,
                reason=objection.reason,
            )
        older = self._open.get(host)
        if older is not None:
            self._warn(
                "second connection of a peer refused; the first is being probed", host, address
            )
            older.probe()
            return PeerDecision(
                accept=False,
                result_code=ResultCode.UNABLE_TO_COMPLY,
                reason=f"{host} is connected already",
            )
        watcher = self._watchers.get(host)
        if watcher is not None and watcher.awaits_answer:
            won = wins_election(self._rules.origin_host, host)
            _log.info("both sides call; an election is held", origin_host=host, won=won)
            if not won:
                return PeerDecision(
                    accept=False,
                    result_code=ResultCode.ELECTION_LOST,
                    reason="the connection that this server began is kept",
                )
            watcher.abandon()
        if entry is None:
            self._warn(
                f"unknown peer accepted, because accept_unknown is on;"
                f" to make it known: {self._allow_command(host)}",
                host,
                address,
            )
        return PeerDecision(accept=True, after_down=host in self._gave_up)

    def decide_called(self, origin_host: str, said_host: str, caller: Caller) -> PeerDecision:
        """Say whether who answered our call is the peer of this name, and may be it."""
        host = identity_key(origin_host)
        if identity_key(said_host) != host:
            return PeerDecision(accept=False, reason=f"it says that it is {said_host!r}")
        if host in self._open:
            return PeerDecision(accept=False, reason=f"{host} is connected already")
        objection = self.objection(host, caller)
        if objection is not None:
            return PeerDecision(accept=False, reason=objection.reason)
        return PeerDecision(accept=True, after_down=host in self._gave_up)

    def _warn(
        self, event: str, host: str, address: str, facts: Mapping[str, object] = NO_FACTS
    ) -> None:
        """Say it once a minute of the same peer, which tries again and again; else at debug."""
        host = host[:HOST_MAX]
        due, left_out = self._repeated.left_out((host, event.partition(";")[0]))
        say = _log.warning if due else _log.debug
        say(event, origin_host=host, address=address, left_out=left_out, **facts)

    def _allow_command(self, host: str) -> str:
        # The name comes from the wire, and the line is for pasting into a shell.
        name = shlex.quote(host[:HOST_MAX])
        return f"ocs peer allow {name} {self._rules.allow_options}".rstrip()

    def opened(self, origin_host: str, peer: OpenPeer) -> None:
        """Remember an open connection."""
        host = identity_key(origin_host)
        self._gave_up.pop(host, None)
        self._open[host] = peer
        if host in self._watchers:
            self._watchers[host].opened(peer)

    def leaving(self, origin_host: str, cause: DisconnectCause) -> None:
        """Take note of a peer's goodbye."""
        watcher = self._watchers.get(identity_key(origin_host))
        if watcher is not None:
            watcher.leaving(cause)

    def closed(self, origin_host: str, peer: OpenPeer, *, by_watchdog: bool) -> None:
        """Forget a connection; after a watchdog failure the next one must prove itself (B-062)."""
        host = identity_key(origin_host)
        if self._open.get(host) is peer:
            del self._open[host]
            if by_watchdog:
                self._gave_up[host] = None
                if len(self._gave_up) > DOWN_REMEMBERED_MAX:
                    del self._gave_up[next(iter(self._gave_up))]
            if host in self._watchers:
                self._watchers[host].closed()


def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(_plain(ipaddress.ip_network(text, strict=False)) for text in networks)


def _plain(network: Network) -> Network:
    """Return a network of IPv4 as such, also where it is written as one of IPv6."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(MAPPED):
        low_bits = int(network.network_address) & 0xFFFF_FFFF
        return ipaddress.IPv4Network((low_bits, network.prefixlen - MAPPED.prefixlen))
    return network


def _is_in(networks: tuple[Network, ...], address: str) -> bool:
    try:
        source = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    source = getattr(source, "ipv4_mapped", None) or source
    return any(source in network for network in networks)
