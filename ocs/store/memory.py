"""A complete Store in dictionaries: for tests, dry runs, and measuring the server without a disk.

Everything is copied in and out, so a decision that raises changes nothing. One lock makes all
calls follow each other, so no transaction ever has to be decided twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from itertools import chain
from typing import NamedTuple, TypeVar

from ocs.amounts import Unit
from ocs.charging.model.messages import Identity
from ocs.charging.model.server_requests import OpenSessions
from ocs.charging.model.session import FAMILY_OCTETS, Session, SessionState
from ocs.charging.model.working_set import (
    AccountState,
    NewRecord,
    RequestKey,
    ReviewItem,
    StoredAnswer,
    WorkingSet,
)
from ocs.clock import IdSource
from ocs.errors import ConflictError, IntegrityError, StoreConflictError
from ocs.ledger.account import Account, Bucket, Identifier, Movement, OperatorAction
from ocs.ledger.details import NOTHING, AccountDetails
from ocs.ledger.notification import Notification
from ocs.store import records
from ocs.store.interface import (
    CLIENT_NOTES_MAX,
    ClientNote,
    DueAccount,
    DueBucket,
    DueSession,
    Generations,
    PeerEntry,
)
from ocs.store.memory_catalogues import MemoryCatalogues
from ocs.store.memory_vouchers import MemoryVouchers

T = TypeVar("T")


class _SessionRow(NamedTuple):
    """A stored session."""

    account_id: int
    loaded: records.LoadedSession
    body: bytes

    def session(self, key: bytes) -> Session:
        """Return the session as a fresh value."""
        return records.decode_session(self.body, self.account_id, key)


class _RequestRow(NamedTuple):
    """A stored request."""

    request_id: int
    received_ns: int
    content_hash: int
    body: bytes


def fresh_account(account: Account) -> Account:
    """Return a copy that shares nothing with the account that may change."""
    fresh = copy(account)
    fresh.counters = records.copies(account.counters) if account.counters else []
    details = account.details
    fresh.details = AccountDetails() if details == NOTHING else records.copy_of(details)
    return fresh


class MemoryStore(MemoryCatalogues, MemoryVouchers):
    """Everything lives as long as this object does."""

    def __init__(self, ids: IdSource) -> None:
        super().__init__(threading.RLock())
        self._ids = ids
        self._accounts: dict[int, Account] = {}
        self._buckets: dict[int, dict[int, Bucket]] = {}
        self._sessions: dict[bytes, _SessionRow] = {}
        self._requests: dict[RequestKey, _RequestRow] = {}
        self._events: dict[bytes, int] = {}
        self._movements: list[Movement] = []
        self._identifiers: dict[Identity, Identifier] = {}
        self._reviews: dict[tuple[int, int], ReviewItem] = {}
        self._notifications: list[Notification] = []
        self._peers: dict[str, PeerEntry] = {}
        self._client_states: dict[str, int] = {}
        self._client_notes: dict[tuple[str, str], ClientNote] = {}
        self._identifier_generation = 0
        self._peer_generation = 0
        self._own_state_id = 0
        self._settings: dict[str, str] = {}
        self._open_vouchers()

    # ------------------------------------------------------------------------ transactions

    def transact(
        self, keys: Sequence[RequestKey], decide: Callable[[WorkingSet], T], description: str = ""
    ) -> T:
        """See interface.Store.transact."""
        del description
        with self._lock:
            working_set, loaded = self._load(keys)
            result = decide(working_set)
            exact = records.rearm_timers(keys, working_set, loaded)
            self._check(working_set)
            self._write(working_set, exact)
        return result

    def _load(
        self, keys: Sequence[RequestKey]
    ) -> tuple[WorkingSet, dict[bytes, records.LoadedSession]]:
        accounts: dict[int, AccountState] = {}
        sessions: dict[bytes, Session] = {}
        loaded: dict[bytes, records.LoadedSession] = {}
        answers: dict[RequestKey, StoredAnswer] = {}
        for key in keys:
            if key.account_id not in accounts and key.account_id in self._accounts:
                accounts[key.account_id] = self._account_state(key.account_id)
            row = self._sessions.get(key.session_key)
            if row and row.account_id == key.account_id and key.session_key not in sessions:
                sessions[key.session_key] = row.session(key.session_key)
                loaded[key.session_key] = row.loaded
            stored = self._requests.get(key)
            if stored:
                record = records.decode_record(stored.body, stored.request_id)
                answers[key] = StoredAnswer(stored.content_hash, record, stored.request_id)
        return WorkingSet(accounts, sessions, answers, self._ids.next_id), loaded

    def _account_state(self, account_id: int) -> AccountState:
        buckets = self._buckets.get(account_id, {})
        account = fresh_account(self._accounts[account_id])
        return AccountState(account, [copy(b) for b in buckets.values()])

    def _check(self, working_set: WorkingSet) -> None:
        """Raise what the constraints of a database would, before anything is written."""
        for account in working_set.new_accounts:
            if account.account_id in self._accounts:
                raise StoreConflictError(f"account {account.account_id} exists already")
        for bucket in chain(working_set.new_buckets, working_set.changed_buckets.values()):
            if bucket.held < 0 or (bucket.unit != Unit.MONEY and bucket.available < 0):
                raise IntegrityError(
                    f"bucket {bucket.bucket_id} of account {bucket.account_id} would have "
                    f"{bucket.available} available and {bucket.held} held"
                )
        for bucket in working_set.new_buckets:
            if bucket.bucket_id in self._buckets.get(bucket.account_id, {}):
                raise StoreConflictError(f"bucket {bucket.bucket_id} exists already")
        for key, session in working_set.new_sessions.items():
            if key in self._sessions:
                raise StoreConflictError(f"session {session.session_id} exists already")
        for key in working_set.new_entries:
            if key in self._events:
                raise StoreConflictError("this event was answered already")
        for record in working_set.records:
            if record.key in self._requests:
                raise StoreConflictError(f"request {record.key} is stored already")
        self._check_identifiers(working_set)
        self._check_vouchers(working_set)
        for item in working_set.resolved_reviews:
            stored = self._reviews.get((item.account_id, item.review_id))
            if stored is None or stored.state != "open":
                raise ConflictError(f"review {item.review_id} is not open any more")

    def _check_identifiers(self, working_set: WorkingSet) -> None:
        removed = set()
        for identifier in working_set.removed_identifiers:
            name = Identity(identifier.kind, identifier.value)
            stored = self._identifiers.get(name)
            if stored is None or stored.account_id != identifier.account_id:
                raise ConflictError(f"{name.kind} {name.value} was removed or moved meanwhile")
            removed.add(name)
        taken = self._identifiers.keys() - removed
        for identifier in working_set.new_identifiers:
            name = Identity(identifier.kind, identifier.value)
            if name in taken:
                raise ConflictError(f"{name.kind} {name.value} belongs to a subscriber already")
            taken.add(name)

    def _write(self, working_set: WorkingSet, exact: set[bytes]) -> None:
        changed = working_set.changed_counters | working_set.changed_accounts
        for account in chain(working_set.new_accounts, changed.values()):
            stored_account = fresh_account(account)
            stored_account.version += 1
            self._accounts[account.account_id] = stored_account
        for bucket in chain(working_set.new_buckets, working_set.changed_buckets.values()):
            stored_bucket = copy(bucket)
            stored_bucket.version += 1
            self._buckets.setdefault(bucket.account_id, {})[bucket.bucket_id] = stored_bucket
        for key, session in chain(
            working_set.new_sessions.items(), working_set.changed_sessions.items()
        ):
            self._write_session(key, session, key in exact)
        self._events |= working_set.new_entries
        for record in working_set.records:
            self._write_record(record)
        self._movements += (copy(movement) for movement in working_set.movements)
        for item in chain(working_set.reviews, working_set.resolved_reviews):
            self._reviews[item.account_id, item.review_id] = copy(item)
        for identifier in working_set.removed_identifiers:
            del self._identifiers[Identity(identifier.kind, identifier.value)]
        for identifier in working_set.new_identifiers:
            self._identifiers[Identity(identifier.kind, identifier.value)] = identifier
        if working_set.new_identifiers or working_set.removed_identifiers:
            self._identifier_generation += 1
        self._actions += (copy(action) for action in working_set.actions)
        self._add_server_requests(working_set.server_requests)
        self._notifications += (copy(one) for one in working_set.notifications)
        self._settings |= working_set.settings
        self._write_vouchers(working_set)

    def _write_session(self, key: bytes, session: Session, exact: bool) -> None:
        row = self._sessions.get(key)
        if row is None:
            version, due_ns = 1, session.deadline_ns
        else:
            version = row.loaded.version + 1
            due_ns = records.session_due_ns(session, row.loaded, exact)
        loaded = records.LoadedSession(version, session.state, due_ns, session.origin_host)
        body = records.encode_session(session)
        self._sessions[key] = _SessionRow(session.account_id, loaded, body)

    def _write_record(self, record: NewRecord) -> None:
        self._requests[record.key] = _RequestRow(
            record.request_id,
            record.received_ns,
            record.content_hash,
            records.encode_record(record.record),
        )

    # ---------------------------------------------------------------------------- look-ups

    def find(self, identities: Sequence[Identity]) -> dict[Identity, Identifier]:
        """See interface.Store.find."""
        with self._lock:
            known = self._identifiers
            return {name: known[name] for name in identities if name in known}

    def find_sessions(self, session_keys: Sequence[bytes]) -> dict[bytes, int]:
        """See interface.Store.find_sessions."""
        with self._lock:
            found = ((key, self._sessions.get(key)) for key in session_keys)
            accounts = {key: row.account_id for key, row in found if row}
            events = {key: self._events[key] for key in session_keys if key in self._events}
            return accounts | events

    def generations(self) -> Generations:
        """See interface.Store.generations."""
        with self._lock:
            return Generations(
                self._identifier_generation, self._catalogue_generation, self._peer_generation
            )

    def due_sessions(self, now_ns: int, limit: int) -> list[DueSession]:
        """See interface.Store.due_sessions."""
        with self._lock:
            due = sorted(
                (row.loaded.due_ns, row.account_id, key)
                for key, row in self._open_sessions()
                if row.loaded.due_ns <= now_ns
            )
        return [DueSession(account_id, key) for _, account_id, key in due[:limit]]

    def due_buckets(self, now_ns: int, limit: int) -> list[DueBucket]:
        """See interface.Store.due_buckets."""
        with self._lock:
            due = sorted(
                (records.bucket_due_ns(bucket), bucket.account_id, bucket.bucket_id)
                for buckets in self._buckets.values()
                for bucket in buckets.values()
                if 0 < records.bucket_due_ns(bucket) <= now_ns
            )
        return [DueBucket(account_id, bucket_id) for _, account_id, bucket_id in due[:limit]]

    def due_accounts(self, now_ns: int, limit: int) -> list[DueAccount]:
        """See interface.Store.due_accounts."""
        with self._lock:
            due = sorted(
                (account.due_ns, account.account_id)
                for account in self._accounts.values()
                if 0 < account.due_ns <= now_ns
            )
        return [DueAccount(account_id) for _, account_id in due[:limit]]

    def accounts_of_plans(self, plans: Sequence[str], after: int, limit: int) -> list[int]:
        """See interface.Store.accounts_of_plans."""
        with self._lock:
            found = (
                account_id for account_id, account in self._accounts.items()
                if account_id > after and account.plan in plans
            )  # fmt: skip
            return sorted(found)[:limit]

    def sessions_of_client(self, origin_host: str, limit: int) -> list[DueSession]:
        """See interface.Store.sessions_of_client."""
        with self._lock:
            found = sorted(
                (row.account_id, key)
                for key, row in self._open_sessions()
                if row.loaded.origin_host == origin_host
            )
        return [DueSession(account_id, key) for account_id, key in found[:limit]]

    def sessions_named(self, session_key: bytes, limit: int) -> list[DueSession]:
        """See interface.Store.sessions_named."""
        family = session_key[:FAMILY_OCTETS]
        with self._lock:
            found = sorted(
                (key, row.account_id)
                for key, row in self._sessions.items()
                if key.startswith(family)
            )
        return [DueSession(account_id, key) for key, account_id in found[:limit]]

    def _open_sessions(self) -> Iterator[tuple[bytes, _SessionRow]]:
        return (
            item for item in self._sessions.items() if item[1].loaded.state == SessionState.OPEN
        )

    def server_request_target(
        self, account_id: int, session_key: bytes
    ) -> tuple[Account, Session | None] | None:
        """See interface.Store.server_request_target."""
        with self._lock:
            account = self._accounts.get(account_id)
            row = self._sessions.get(session_key)
            if account is None:
                return None
            known = row is not None and row.account_id == account_id
            return fresh_account(account), row.session(session_key) if row and known else None

    def open_sessions_of(
        self, account_id: int, after: tuple[int, bytes], limit: int
    ) -> OpenSessions:
        """See interface.Store.open_sessions_of."""
        with self._lock:
            found = sorted(
                (row.account_id, key)
                for key, row in self._open_sessions()
                if account_id in (0, row.account_id) and (row.account_id, key) > after
            )
            page = found[:limit]
            sessions = [(key, self._sessions[key].session(key)) for _, key in page]
            return OpenSessions(sessions, page[-1] if page else after, len(found) <= limit)

    def has_answer(self, key: RequestKey) -> bool:
        """See interface.Store.has_answer."""
        with self._lock:
            return key in self._requests

    # ----------------------------------------------------------------- what operators provide

    def peers(self) -> list[PeerEntry]:
        """See interface.Store.peers."""
        with self._lock:
            return [self._peers[name] for name in sorted(self._peers)]

    def allow_peer(self, peer: PeerEntry, action: OperatorAction) -> None:
        """See interface.Store.allow_peer."""
        with self._lock:
            self._peers[peer.origin_host] = peer
            self._peer_generation += 1
            self._actions.append(copy(action))

    def remove_peer(self, origin_host: str, action: OperatorAction) -> bool:
        """See interface.Store.remove_peer."""
        with self._lock:
            if self._peers.pop(origin_host, None) is None:
                return False
            self._peer_generation += 1
            self._actions.append(copy(action))
            return True

    def note_clients(self, notes: Sequence[ClientNote]) -> None:
        """See interface.Store.note_clients."""
        with self._lock:
            known = self._client_notes | {(one.origin_host, one.peer): one for one in notes}
            latest = sorted(known.items(), key=lambda item: (item[1].met_ns, item[0]))
            self._client_notes = dict(latest[-CLIENT_NOTES_MAX:])

    def clients(self) -> list[ClientNote]:
        """See interface.Store.clients."""
        with self._lock:
            return [self._client_notes[key] for key in sorted(self._client_notes)]

    def record_action(self, action: OperatorAction) -> None:
        """See interface.Store.record_action."""
        with self._lock:
            self._actions.append(copy(action))

    # ----------------------------------------------------------------------------- the rest

    def client_state(self, origin_host: str, origin_state_id: int) -> int:
        """See interface.Store.client_state."""
        with self._lock:
            known = self._client_states.get(origin_host, 0)
            if origin_state_id:
                self._client_states[origin_host] = origin_state_id
            return known

    def setting(self, name: str) -> str:
        """See interface.Store.setting."""
        with self._lock:
            return self._settings.get(name, "")

    def own_state_id(self, now_s: int) -> int:
        """See interface.Store.own_state_id."""
        with self._lock:
            self._own_state_id = self._own_state_id or now_s
            return self._own_state_id

    def check(self) -> None:
        """See interface.Store.check; memory can always be used."""

    def close(self) -> None:
        """See interface.Store.close; there is nothing to give back."""

    # ------------------------------------------------------------------------- to look inside

    def account_state(self, account_id: int) -> AccountState | None:
        """Return a copy of an account with its buckets."""
        with self._lock:
            return self._account_state(account_id) if account_id in self._accounts else None

    def sessions_of(self, account_id: int) -> list[Session]:
        """Return copies of all sessions of an account, open and closed."""
        with self._lock:
            rows = [item for item in self._sessions.items() if item[1].account_id == account_id]
            return [row.session(key) for key, row in rows]

    def movements(self, account_id: int) -> list[Movement]:
        """Return copies of the ledger lines of an account, in the order they were written."""
        with self._lock:
            return [copy(line) for line in self._movements if line.account_id == account_id]

    def stored_records(self, account_id: int) -> list[NewRecord]:
        """Return the answered requests of an account, in the order they were written."""
        with self._lock:
            rows = [item for item in self._requests.items() if item[0].account_id == account_id]
            return [
                NewRecord(
                    key,
                    row.request_id,
                    row.received_ns,
                    row.content_hash,
                    records.decode_record(row.body, row.request_id),
                )
                for key, row in rows
            ]

    def reviews(self) -> list[ReviewItem]:
        """Return copies of everything that was ever parked for a person."""
        with self._lock:
            return [copy(item) for item in self._reviews.values()]

    def notifications(self) -> list[Notification]:
        """Return copies of all notifications in order of their ids."""
        with self._lock:
            return [copy(one) for one in self._notifications]

    def actions(self) -> list[OperatorAction]:
        """Return copies of all operator actions, oldest first."""
        with self._lock:
            return [copy(action) for action in self._actions]
