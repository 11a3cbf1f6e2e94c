"""Who may connect and who is connected: the peer list, its rules, and the open connections.

Asked by ``diameter`` when a CER arrives (RFC 6733 5.3, decisions D15 and D19). The list joins the
configuration's peers with those of the store, which the supervisor reads again when it changed.
"""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from ocs.profiles import AUTO
from ocs.store.interface import PeerEntry
from protocol.answers import ResultCode
from protocol.grammar import identity_key
from protocol.peer_settings import PeerDecision

DOWN_REMEMBERED_MAX = 10_000

_log = structlog.get_logger(__name__)


class OpenPeer(Protocol):
    """An open connection as the directory needs it."""

    def probe(self) -> None:
        """Find out at once whether the other side is still there."""


@dataclass(frozen=True, slots=True)
class PeerRules:
    """What holds for peers that nobody has named."""

    accept_unknown: bool = False
    unknown_profile: str = AUTO
    refuse_silently: bool = False
    """Close the connection of an unknown peer without an answer (B-044)."""
    allow_options: str = ""
    """What `ocs peer allow` needs besides the name to find this server's database."""


class PeerDirectory:
    """The known peers and the open ones, by Origin-Host; used on the reactor's thread only."""

    def __init__(self, rules: PeerRules, configured: Iterable[PeerEntry] = ()) -> None:
        self._rules = rules
        self._configured = {identity_key(entry.origin_host): entry for entry in configured}
        self._entries = dict(self._configured)
        self._open: dict[str, OpenPeer] = {}
        self._gave_up: dict[str, None] = {}

    def replace_stored(self, entries: Iterable[PeerEntry]) -> None:
        """Take over the peers of the store; one of the configuration goes before its namesake."""
        stored = {identity_key(entry.origin_host): entry for entry in entries}
        self._entries = stored | self._configured

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

    def is_welcome(self, origin_host: str) -> bool:
        """Tell whether a connected peer may stay."""
        return self._rules.accept_unknown or identity_key(origin_host) in self._entries

    def decide(self, origin_host: str, address: str) -> PeerDecision:
        """Say whether the peer of a CER may open a connection from ``address``."""
        host = identity_key(origin_host)
        entry = self._entries.get(host)
        if entry is None and not self._rules.accept_unknown:
            _log.warning(
                f"unknown peer refused; to allow it: {self._allow_command(host)}",
                origin_host=host,
                address=address,
            )
            return PeerDecision(
                accept=False,
                result_code=ResultCode.UNKNOWN_PEER,
                silent=self._rules.refuse_silently,
                reason=f"{host} is not an allowed peer",
            )
        if entry is not None and not _comes_from(entry.source_networks, address):
            _log.warning(
                "peer refused: it comes from a network it must not come from",
                origin_host=host,
                address=address,
                allowed=list(entry.source_networks),
            )
            return PeerDecision(
                accept=False,
                result_code=ResultCode.UNKNOWN_PEER,
                silent=self._rules.refuse_silently,
                reason=f"{host} must not connect from {address}",
            )
        older = self._open.get(host)
        if older is not None:
            _log.warning(
                "second connection of a peer refused; the first is being probed",
                origin_host=host,
                address=address,
            )
            older.probe()
            return PeerDecision(
                accept=False,
                result_code=ResultCode.UNABLE_TO_COMPLY,
                reason=f"{host} is connected already",
            )
        if entry is None:
            _log.warning(
                f"unknown peer accepted, because accept_unknown is on;"
                f" to make it known: {self._allow_command(host)}",
                origin_host=host,
                address=address,
            )
        return PeerDecision(accept=True, after_down=host in self._gave_up)

    def _allow_command(self, host: str) -> str:
        # The name comes from the wire, and the line is for pasting into a shell.
        return f"ocs peer allow {shlex.quote(host)} {self._rules.allow_options}".rstrip()

    def opened(self, origin_host: str, peer: OpenPeer) -> None:
        """Remember an open connection."""
        host = identity_key(origin_host)
        self._gave_up.pop(host, None)
        self._open[host] = peer

    def closed(self, origin_host: str, peer: OpenPeer, *, by_watchdog: bool) -> None:
        """Forget a connection; after a watchdog failure the next one must prove itself (B-062)."""
        host = identity_key(origin_host)
        if self._open.get(host) is peer:
            del self._open[host]
            if by_watchdog:
                self._gave_up[host] = None
                if len(self._gave_up) > DOWN_REMEMBERED_MAX:
                    del self._gave_up[next(iter(self._gave_up))]


def _comes_from(networks: tuple[str, ...], address: str) -> bool:
    if not networks:
        return True
    try:
        source = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(source, "ipv4_mapped", None)
    if mapped is not None:
        source = mapped
    return any(source in ipaddress.ip_network(network, strict=False) for network in networks)
