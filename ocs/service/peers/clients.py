"""The clients on the open connections: who they are, and which profile holds for their requests.

Kept by ``diameter``. A connection is one client's own, or a relay's with any number of clients
behind it; each is looked at once, when its first request arrives, and remembered with the
connection. What was found is written down for operators (``notes``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import structlog

from ocs.charging.model.profile import GENERIC, ClientProfile
from ocs.clock import Clock
from ocs.service.peers.directory import HOST_MAX, PeerDirectory
from ocs.service.peers.profiles import (
    NO_REQUEST_YET,
    NOTHING_SPECIAL,
    RELAY,
    Choice,
    ProfileBook,
    Recognised,
    shown,
)
from ocs.service.wire.attributes import AttributeReader
from ocs.store.interface import ClientNote, PeerEntry
from protocol.answers import ResultCode
from protocol.base import (
    RELAY_APPLICATION,
    CapabilitiesExchangeAnswer,
    CapabilitiesExchangeRequest,
)
from protocol.codec import encode_avp
from protocol.credit_control import CreditControlRequest
from protocol.errors import RemoteProtocolError
from protocol.grammar import identity_key
from protocol.members import Leniency
from protocol.transport import DiameterProtocol

_ORIGIN_HOST = 264
LOOKS_MAX = 8
"""Requests of a client that are looked at for signs of its family before it counts as generic."""
CLIENTS_MAX = 1_000
"""Remembered of one connection; a relay with more of them has its oldest looked at again."""

Said = CapabilitiesExchangeRequest | CapabilitiesExchangeAnswer
"""How a peer introduced itself."""

_log = structlog.get_logger(__name__)


class Client(NamedTuple):
    """What the requests of one client need."""

    profile: ClientProfile
    read_attributes: AttributeReader
    choice: Choice


class Link:
    """One open connection with what is known about the peer at its other end."""

    __slots__ = (
        "clients", "conn", "entry", "leniency", "looks", "origin_host", "product_name", "relay",
        "says_relay", "state_again_ns", "state_id",
    )

    def __init__(self, conn: DiameterProtocol, entry: PeerEntry, said: Said) -> None:
        self.conn = conn
        self.origin_host = entry.origin_host
        self.product_name = said.product_name or ""
        self.says_relay = RELAY_APPLICATION in said.applications
        """It calls itself an agent; an operator must have said so too, where peers are named."""
        self.relay = False
        """It may speak for others."""
        self.state_id = said.origin_state_id or 0
        """The Origin-State-Id that the peer said last; 0 = none yet."""
        self.state_again_ns = 0
        """From when on another one is looked at, by the monotonic clock."""
        self.clients: dict[str, Client] = {}
        """By Origin-Host as it stands in requests."""
        self.looks: dict[str, int] = {}
        """How often the requests of a client had no sign, while more of them are looked at."""
        self.entry: PeerEntry
        self.leniency: Leniency
        """For reading what comes, before it is known who says it."""


class Clients:
    """Makes links and recognises the clients on them; used on the reactor's thread only."""

    def __init__(
        self,
        book: ProfileBook,
        directory: PeerDirectory,
        reader_for: Callable[[Leniency], AttributeReader],
        clock: Clock,
        note: Callable[[ClientNote], None],
    ) -> None:
        self._book = book
        self._directory = directory
        self._reader_for = reader_for
        self._readers: dict[Leniency, AttributeReader] = {}
        self._clock = clock
        self._note = note

    def connected(self, conn: DiameterProtocol, entry: PeerEntry, said: Said) -> Link:
        """Return the link of a connection on which capabilities were exchanged."""
        link = Link(conn, entry, said)
        self.update(link, entry)
        return link

    def update(self, link: Link, entry: PeerEntry) -> None:
        """Take over what an operator has changed; requests in work keep what they had."""
        link.entry = entry
        link.clients.clear()
        link.looks.clear()
        unnamed = self._directory.known(link.origin_host) is None
        link.relay = entry.relay or (unnamed and link.says_relay)
        if link.says_relay and not link.relay:
            _log.warning(
                "peer calls itself a relay, but may speak for itself only; to let it speak for"
                " others: ocs peer allow HOST --relay",
                origin_host=link.origin_host,
            )
        if not self._book.knows(entry.profile):
            _log.warning(
                "peer has an unknown client profile; it is recognised by its signs instead",
                origin_host=link.origin_host,
                profile=entry.profile,
            )
        if link.relay:
            recognised = Recognised(GENERIC.name, RELAY)
        else:
            recognised = self._book.by_capabilities(
                link.product_name, link.origin_host
            ) or Recognised(GENERIC.name, NO_REQUEST_YET)
        choice = self._book.choose(entry.profile, recognised)
        link.leniency = choice.leniency
        self._write_down(link, link.origin_host, choice)

    def meet(self, link: Link, ccr: CreditControlRequest, message: bytes) -> Client:
        """Return what holds for a client whose first request on this link this is.

        Raises RemoteProtocolError when this peer may not speak for it.
        """
        host = identity_key(ccr.origin_host)
        check_sender(link, host)
        own = host == link.origin_host
        found = self._book.by_request(message, ccr.service_context_id)
        if found is None and own and not link.relay:
            found = self._book.by_capabilities(link.product_name, host)
        choice = self._book.choose(
            self._configured(link, host), found or Recognised(GENERIC.name, NOTHING_SPECIAL)
        )
        client = Client(choice.charging, self._reader(choice.leniency), choice)
        looks = link.looks.pop(ccr.origin_host, 0)
        may_show_signs = found is None and not self._book.names(choice.configured)
        if may_show_signs and looks < LOOKS_MAX and len(link.looks) < CLIENTS_MAX:
            # One odd request must not decide for all that follow.
            link.looks[ccr.origin_host] = looks + 1
            if looks:
                return client
        else:
            if len(link.clients) >= CLIENTS_MAX:
                del link.clients[next(iter(link.clients))]
            link.clients[ccr.origin_host] = client
        if own and not link.relay:
            link.leniency = choice.leniency
        self._tell(link, host, choice)
        self._write_down(link, host, choice)
        return client

    def _configured(self, link: Link, host: str) -> str:
        """The operator's word about a client: its own entry, else that of the relay before it."""
        if link.relay:
            entry = self._directory.known(host)
            if entry is not None:
                return entry.profile
        return link.entry.profile

    def _reader(self, lenient: Leniency) -> AttributeReader:
        reader = self._readers.get(lenient)
        if reader is None:
            reader = self._readers[lenient] = self._reader_for(lenient)
        return reader

    def _tell(self, link: Link, host: str, choice: Choice) -> None:
        words = {
            "origin_host": host,
            "via": "" if host == link.origin_host else link.origin_host,
            "profile": choice.charging.name,
            "configured": choice.configured,
            "recognised": choice.recognised.profile,
            "reason": choice.recognised.reason,
        }
        if choice.is_doubtful:
            _log.warning("client does not look like its profile", **words)
        else:
            _log.info("client recognised", **words)

    def _write_down(self, link: Link, host: str, choice: Choice) -> None:
        self._note(
            ClientNote(
                origin_host=host,
                peer=link.origin_host,
                relay=link.relay and host == link.origin_host,
                product_name=shown(link.product_name) if host == link.origin_host else "",
                profile=choice.charging.name,
                recognised=choice.recognised.profile,
                reason=choice.recognised.reason,
                met_ns=self._clock.now_ns(),
            )
        )


def check_sender(link: Link, origin_host: str) -> None:
    """Refuse what a peer says in the name of another: only an agent may do that.

    Raises RemoteProtocolError 5004 with the Origin-Host as its Failed-AVP.
    """
    if link.relay or identity_key(origin_host) == link.origin_host:
        return
    raise RemoteProtocolError(
        ResultCode.INVALID_AVP_VALUE,
        f"{link.origin_host[:HOST_MAX]} may not speak for other hosts; an operator can let it:"
        " ocs peer allow HOST --relay",
        encode_avp(_ORIGIN_HOST, origin_host.encode()),
    )


def count_profiles(links: Iterable[Link]) -> dict[str, int]:
    """Return how many clients of each profile have asked something on these connections."""
    return Counter(client.profile.name for link in links for client in link.clients.values())
