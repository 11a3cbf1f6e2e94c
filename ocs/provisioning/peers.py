"""The peers that may connect, kept in the database and effective at once (RFC 6733 2.1, B-044).

Called by the command line; the running server notices the change by the store's generation.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ocs.errors import NotFoundError, UsageError
from ocs.profiles import AUTO, Profile, with_own
from ocs.provisioning.desk import Desk
from ocs.settings.addresses import call_address
from ocs.store.interface import ClientNote, PeerEntry

HOST_MAX = 255
COMMENT_MAX = 200
NOWHERE = "nowhere"
"""What takes the address away at which a peer is called."""
ANYWHERE = "anywhere"
"""What is typed to let a peer come from every network again."""
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")


class KnownPeer(NamedTuple):
    """A line of the peer list: who may connect, who has, and what it was recognised as."""

    entry: PeerEntry | None
    """None: nobody has allowed it by name; it is behind a relay, or unknown peers are let in."""
    configured: bool
    """Its entry is in the configuration file, not in the database."""
    note: ClientNote | None
    """None: no server has met it."""

    @property
    def origin_host(self) -> str:
        """Who it is."""
        return self.entry.origin_host if self.entry else self.note.origin_host if self.note else ""


def listing(desk: Desk, configured: Iterable[PeerEntry] = ()) -> list[KnownPeer]:
    """Return every known peer and client, by Origin-Host; ``configured`` are the settings'."""
    stored = {one.origin_host: (one, False) for one in desk.store.peers()}
    entries = stored | {one.origin_host: (one, True) for one in configured}
    found: list[KnownPeer] = []
    met: set[str] = set()
    for note in desk.store.clients():
        entry, is_configured = entries.get(note.origin_host, (None, False))
        found.append(KnownPeer(entry, is_configured, note))
        met.add(note.origin_host)
    found += [
        KnownPeer(entry, is_configured, None)
        for host, (entry, is_configured) in entries.items()
        if host not in met
    ]
    return sorted(found, key=lambda one: (one.origin_host, one.note.peer if one.note else ""))


def amended(desk: Desk, origin_host: str, changes: Mapping[str, Any]) -> PeerEntry:
    """Return the entry of a peer, or a new one, with ``changes``; those that are None change
    nothing. Raises UsageError for a name that no peer can have.
    """
    host = normalise_host(origin_host)
    stored = {one.origin_host: one for one in desk.store.peers()}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(stored.get(host, PeerEntry(host)), **given)


def networks(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the networks that were typed: none at all for anywhere; None when nothing was."""
    if not words:
        return None
    if ANYWHERE not in words:
        return tuple(words)
    if len(words) > 1:
        raise UsageError(f"'{ANYWHERE}' goes together with no network")
    return ()


def allow(desk: Desk, peer: PeerEntry, own_profiles: Iterable[Profile] = ()) -> PeerEntry:
    """Add a peer or replace its entry; returns it as it is stored. Raises UsageError.

    ``own_profiles`` are those of the settings, which an entry may name besides the built-in ones.
    """
    entry = PeerEntry(
        origin_host=normalise_host(peer.origin_host),
        profile=peer.profile,
        relay=peer.relay,
        source_networks=tuple(_network(text) for text in peer.source_networks),
        comment=peer.comment,
        require_tls=peer.require_tls,
        tls_names=tuple(normalise_host(name) for name in peer.tls_names),
        connect=_address(peer.connect),
    )
    known = {AUTO, *with_own(own_profiles)}
    if entry.profile not in known:
        raise UsageError(
            f"there is no client profile '{entry.profile}'; use one of {', '.join(sorted(known))}"
            " (profiles of your own are known with --config)"
        )
    if len(entry.comment) > COMMENT_MAX or not entry.comment.isprintable():
        raise UsageError(f"a comment is at most {COMMENT_MAX} printable characters")
    action = desk.action(
        "peer allow", entry.origin_host, profile=entry.profile, relay=entry.relay,
        source_networks=list(entry.source_networks), comment=entry.comment,
        require_tls=entry.require_tls, tls_names=list(entry.tls_names), connect=entry.connect,
    )  # fmt: skip
    desk.store.allow_peer(entry, action)
    return entry


def remove(desk: Desk, origin_host: str) -> str:
    """Remove a peer; a server disconnects it as soon as it knows. Raises NotFoundError."""
    host = normalise_host(origin_host)
    if not desk.store.remove_peer(host, desk.action("peer remove", host)):
        raise NotFoundError(f"there is no peer {host} in the database; see `ocs peer list`")
    return host


def normalise_host(text: str) -> str:
    """Return a DiameterIdentity as it is compared: lower case, a host name. Raises UsageError."""
    host = text.strip().lower().rstrip(".")
    if not host or len(host) > HOST_MAX or not all(
        _LABEL.fullmatch(part) for part in host.split(".")
    ):
        raise UsageError(f"'{text}' is no Origin-Host such as pgw1.example.com")
    return host


def _address(text: str) -> str:
    if text in {"", NOWHERE}:
        return ""
    try:
        return call_address(text)
    except ValueError as error:
        raise UsageError(f"{error}; '{NOWHERE}' lets the peer call again") from None


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise UsageError(f"'{text}' is no network such as 192.0.2.0/24 or 2001:db8::/32") from None
