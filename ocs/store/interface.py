"""The narrow waist: what the charging service and provisioning may ask of any store.

Implemented by memory.MemoryStore and sql.SqlStore; one contract suite runs against both, and
against SQLite and PostgreSQL for the latter. All methods may raise StoreUnavailableError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from ocs.catalog.versions import Schedule
from ocs.charging.model.messages import Identity
from ocs.charging.model.server_requests import OpenSessions, ServerRequest
from ocs.charging.model.session import Session
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.ledger.account import Account, Identifier, OperatorAction
from ocs.ledger.voucher import Voucher, VoucherBatch

T = TypeVar("T")

CLIENT_NOTES_MAX = 10_000
"""Notes about clients that are kept; a relay could stand for any number."""
RETRIES_MAX = 5
"""How often a transaction is run again after it lost a race, before it is given up."""


class Generations(NamedTuple):
    """Counters that rise with each change of what is cached outside the store."""

    identifiers: int
    catalogue: int
    """Rises when a catalogue is published or withdrawn; 0 = none yet."""
    peers: int


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """A Diameter peer that may connect."""

    origin_host: str
    """Lower case DiameterIdentity."""
    profile: str = "auto"
    """Name of a client profile, or that the server shall find it (ocs.profiles)."""
    relay: bool = False
    """An agent: its clients' restarts say nothing about it (D19)."""
    source_networks: tuple[str, ...] = ()
    """CIDR blocks it may come from; empty = any."""
    comment: str = ""
    require_tls: bool = False
    """Refused on a connection in clear."""
    tls_names: tuple[str, ...] = ()
    """DNS names of which its certificate must have one; empty = its Origin-Host."""
    connect: str = ""
    """HOST:PORT where this server calls it, with TLS if that is required; empty = it calls us."""


@dataclass(frozen=True, slots=True)
class ClientNote:
    """What a server has found out about a client, for operators to read."""

    origin_host: str
    """Lower case DiameterIdentity."""
    peer: str
    """Whose connection it was met on: its own, or that of a relay."""
    relay: bool
    product_name: str
    """What its CER called it; empty for a client behind a relay."""
    profile: str
    """The profile that its requests are treated by."""
    recognised: str
    """The profile whose signs it shows."""
    reason: str
    """By what it was recognised."""
    met_ns: int
    """When it connected, or when its first request on that connection came (ns UTC)."""


@dataclass(frozen=True, slots=True)
class PublishedCatalogue:
    """One version of the catalogue as it was published."""

    version: int
    name: str
    published_ns: int
    operator: str
    reason: str
    source: str
    effective_ns: int = 0
    """From when on it holds; catalog.versions.WITHDRAWN_NS when it was taken back."""


@dataclass(frozen=True, slots=True)
class DueSession:
    """A session whose supervision or tombstone time may be over."""

    account_id: int
    session_key: bytes


@dataclass(frozen=True, slots=True)
class DueBucket:
    """A bucket whose expiry is over and that still holds something available."""

    account_id: int
    bucket_id: int


@dataclass(frozen=True, slots=True)
class DueAccount:
    """An account for which something has to be done (Account.due_ns)."""

    account_id: int


class Tries(NamedTuple):
    """Why nothing may be tried any more: somebody has tried too often."""

    subject: str
    maximum: int
    until_ns: int
    """When it may try again."""


class Store(Protocol):
    """Everything the running server needs of a database."""

    def transact(
        self, keys: Sequence[RequestKey], decide: Callable[[WorkingSet], T], description: str = ""
    ) -> T:
        """Load the state the keys name, let ``decide`` change it, write it, commit.

        Loads, for each key, the account with all its buckets (locked until the end where the
        engine can), the session of ``session_key`` (if there is one) and the stored answer of the
        key, unless its session was loaded and has not seen the number. ``decide`` may be called
        several times: on StoreConflictError or a serialisation failure everything is loaded
        anew, at most ``RETRIES_MAX`` times. An exception out of ``decide`` rolls back and is
        raised. Returns what ``decide`` returned, after the commit is durable.

        Raises StoreUnavailableError when the database cannot be reached, and
        UnknownCommitError when the connection was lost while committing.
        """

    def find(self, identities: Sequence[Identity]) -> dict[Identity, Identifier]:
        """Return the identifiers that exist among ``identities``; not cached here."""

    def find_sessions(self, session_keys: Sequence[bytes]) -> dict[bytes, int]:
        """Return the account id of each session that exists (the session directory).

        Answered events are in it by session.make_event_key.
        """

    def generations(self) -> Generations:
        """Return the change counters, read in one cheap statement."""

    def due_sessions(self, now_ns: int, limit: int) -> list[DueSession]:
        """Return open sessions that may have passed their deadline, earliest first."""

    def due_buckets(self, now_ns: int, limit: int) -> list[DueBucket]:
        """Return expired buckets that have something left or clients to be asked, earliest first.

        Clients are to be asked once of what they hold; see ledger.account.Bucket.asked.
        """

    def due_accounts(self, now_ns: int, limit: int) -> list[DueAccount]:
        """Return accounts for which something has to be done by now, earliest first."""

    def accounts_of_plans(self, plans: Sequence[str], after: int, limit: int) -> list[int]:
        """Return the ids of accounts of these plans beyond ``after``, in their order."""

    def sessions_of_client(self, origin_host: str, limit: int) -> list[DueSession]:
        """Return open sessions last heard from this client (for D19)."""

    def sessions_named(self, session_key: bytes, limit: int) -> list[DueSession]:
        """Return the sessions, open or closed, of the Session-Id that a key belongs to.

        The main session and its sub-sessions; by chance others too, whose keys begin alike.
        """

    def due_server_requests(
        self, now_ns: int, limit: int, after: tuple[int, int] = (0, 0)
    ) -> list[ServerRequest]:
        """Return requests to clients that are due, in order of (due_ns, server_request_id).

        ``after`` is the last one of the page before; new ones come into being in transactions
        (WorkingSet.server_requests) and in ``update_server_request``.
        """

    def update_server_request(
        self, request: ServerRequest, spread: Sequence[ServerRequest] = ()
    ) -> bool:
        """Write a request that was changed, and the new ones that it was spread into, together.

        Compared by version, which is raised in ``request``; False, and nothing is written, when
        somebody else has changed it since it was read. One that was spread over no session at
        all is removed when it is finished.
        """

    def update_server_requests(self, requests: Sequence[ServerRequest]) -> list[bool]:
        """The same for several requests in one transaction; tell of each whether it was written."""

    def server_request_target(
        self, account_id: int, session_key: bytes
    ) -> tuple[Account, Session | None] | None:
        """Return the account and the session that a request is about, as they are now."""

    def open_sessions_of(
        self, account_id: int, after: tuple[int, bytes], limit: int
    ) -> OpenSessions:
        """Return the next open sessions by (account, key), at most ``limit``.

        ``account_id`` 0 means those of all accounts. A page may be short, or empty, without being
        the last: so many closed sessions were passed over.
        """

    def waiting_server_requests(
        self, names: Sequence[tuple[int, bytes]]
    ) -> set[tuple[bytes, int]]:
        """Return (session key, command) of requests never sent to these (account, session key).

        One that was sent does not serve for what happens later: a report that came since ends it,
        although the client may have made it before. Those of a new catalogue are left out: they
        may wait long, since they go out slowly.
        """

    def wake_server_requests(self, host: str, now_ns: int, limit: int) -> int:
        """Make due at once what is put off of the pending requests to this client or by this peer.

        Returns how many were, at most ``limit``.
        """

    def has_answer(self, key: RequestKey) -> bool:
        """Tell whether the request of this key is stored (after an unknown commit)."""

    def publish_catalogue(
        self, source: str, name: str, action: OperatorAction,
        requests: Sequence[ServerRequest] = (), effective_ns: int = 0,
    ) -> int:
        """Store a checked document as the newest version and return its number.

        ``requests`` are what clients are to be asked because of it. It holds from
        ``effective_ns`` on; 0 = at once.
        """

    def withdraw_catalogue(self, version: int, action: OperatorAction) -> bool:
        """Take a version back that takes effect later than the action; False when it is none."""

    def catalogue_schedule(self) -> Schedule:
        """Return which versions there are and when they take effect."""

    def catalogue(self, version: int) -> PublishedCatalogue | None:
        """Return one published version."""

    def catalogues(self) -> list[PublishedCatalogue]:
        """Return all published versions, newest first."""

    def peers(self) -> list[PeerEntry]:
        """Return the peers that may connect, by Origin-Host."""

    def allow_peer(self, peer: PeerEntry, action: OperatorAction) -> None:
        """Add a peer or replace its entry."""

    def remove_peer(self, origin_host: str, action: OperatorAction) -> bool:
        """Remove a peer; False when there is none of this name."""

    def note_clients(self, notes: Sequence[ClientNote]) -> None:
        """Write down what was found out about clients, each over what was noted of it before.

        At most CLIENT_NOTES_MAX are kept, those met last.
        """

    def clients(self) -> list[ClientNote]:
        """Return the notes about clients, by Origin-Host and peer."""

    def record_action(self, action: OperatorAction) -> None:
        """Record an operator's action that changed nothing else in the store."""

    def voucher_salt(self, fresh: str) -> str:
        """Return what this database mixes into hashes of voucher codes; ``fresh`` at the first
        call ever.
        """

    def add_vouchers(
        self, batch: VoucherBatch, hashes: Sequence[bytes], action: OperatorAction
    ) -> None:
        """Store a batch whole: the voucher of ``hashes[n]`` has the serial number n + 1."""

    def find_voucher(self, code_hash: bytes) -> tuple[Voucher, VoucherBatch] | None:
        """Return the voucher of a code with its batch.

        It is redeemed through WorkingSet.vouchers, where ConflictError says that somebody else
        was first.
        """

    def void_vouchers(
        self, batch_id: int, serials: Sequence[int], action: OperatorAction
    ) -> int:
        """Make unused vouchers of a batch void, all or those of these serials; tell how many."""

    def prune_vouchers(
        self, batch_id: int, after: int, before_ns: int, limit: int
    ) -> tuple[int, int]:
        """Remove the next vouchers of a batch behind a serial number that were redeemed or made
        void, or are unused and expired, before an instant; at most ``limit`` in one transaction.

        They stay in the counts of their batch. Returns how many went, and the last serial.
        """

    def take_tries(
        self, maxima: Mapping[str, int], now_ns: int, window_ns: int
    ) -> Tries | None:
        """Count one try for each subject, unless one of them has had its maximum of a window.

        All are counted or none; returns who has to wait. The count is exact for all servers.
        """

    def give_back_tries(self, subjects: Sequence[str]) -> None:
        """Take back one try of each subject: it was no wrong one."""

    def voucher_batches(self) -> list[tuple[VoucherBatch, dict[int, int]]]:
        """Return all batches, newest first, with how many vouchers are in each state, or were
        when they were pruned.
        """

    def vouchers_of(self, batch_id: int, after: int, limit: int) -> list[Voucher]:
        """Return the next vouchers of a batch behind a serial number."""

    def client_state(self, origin_host: str, origin_state_id: int) -> int:
        """Remember a client's Origin-State-Id and return the one known before (0 = none)."""

    def setting(self, name: str) -> str:
        """Return a fact about the database as a whole (WorkingSet.settings); empty = not known."""

    def own_state_id(self, now_s: int) -> int:
        """Return our persisted Origin-State-Id, made from ``now_s`` at the first call ever."""

    def check(self) -> None:
        """Raise StoreUnavailableError or StoreUnusableError unless the store can be used."""

    def close(self) -> None:
        """Give back every connection."""
