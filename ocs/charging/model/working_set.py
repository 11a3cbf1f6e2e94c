"""The accounts, sessions and stored answers that one transaction may read and change.

The store fills it (locked where the engine can), pure decisions change it, the store writes what
is marked as changed. It may be filled and decided again after a conflict, so nothing outside it
is touched by a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from ocs.catalog.exchange import Rate
from ocs.charging.model.messages import ChargingRecord
from ocs.charging.model.server_requests import ServerRequest, Trigger, for_account
from ocs.charging.model.session import Session, make_event_key
from ocs.errors import IntegrityError
from ocs.ledger.account import Account, Bucket, Identifier, Movement, OperatorAction
from ocs.ledger.notification import Notification
from ocs.ledger.voucher import Voucher

NO_RATES: Mapping[str, Rate] = MappingProxyType({})
"""Of an account that keeps no money in other currencies."""


class RequestKey(NamedTuple):
    """What a request is known by: the unit of exactly-once (invariant 6)."""

    account_id: int
    session_key: bytes
    kind: int
    number: int


class StoredAnswer(msgspec.Struct):
    """An answered request as the store remembers it."""

    content_hash: int
    record: ChargingRecord
    request_id: int = 0


class NewRecord(msgspec.Struct):
    """A request answered in this transaction, to be stored with its movements."""

    key: RequestKey
    request_id: int
    received_ns: int
    content_hash: int
    record: ChargingRecord


class ReviewItem(msgspec.Struct):
    """Something parked for a person: usage that cannot be true, orphan usage (D05, D11)."""

    review_id: int
    account_id: int
    request_id: int
    kind: str
    """``parked-usage``, ``orphan-usage`` or ``unrated-usage``: see parking."""
    service: str
    units: int
    unit: int
    amount_micro: int
    """What it would cost if it is accepted."""
    reason: str
    rule: str = ""
    zone: str = ""
    slot_ns: int = 0
    units_before: int = 0
    catalogue_version: int = 0
    state: str = "open"
    event_ns: int = 0
    session_id: str = ""


class AccountState(msgspec.Struct):
    """One account with its buckets, in spending order as stored (unordered)."""

    account: Account
    buckets: list[Bucket]
    rates: Mapping[str, Rate] = NO_RATES
    """At which the account's purses are exchanged when that is needed (K-329)."""
    purses_micro: int = 0
    """What its purses can bring in, as it was looked at last (charging.accounts.exchange)."""


class WorkingSet:
    """State and changes of one transaction. Only what is marked here is written.

    ``account_id`` 0 holds no account: look-ups of unknown ids return None.
    """

    __slots__ = (
        "accounts", "actions", "answers", "changed_accounts", "changed_buckets",
        "changed_counters", "changed_sessions", "movements", "new_accounts", "new_buckets",
        "new_entries", "new_identifiers", "new_request_id", "new_sessions", "notifications",
        "records", "removed_identifiers", "resolved_reviews", "reviews",
        "server_requests", "sessions", "settings",
        "vouchers",
    )

    def __init__(
        self,
        accounts: dict[int, AccountState],
        sessions: dict[bytes, Session],
        answers: dict[RequestKey, StoredAnswer],
        new_request_id: Callable[[], int],
    ) -> None:
        self.accounts = accounts
        self.sessions = sessions
        self.answers = answers
        self.new_request_id = new_request_id
        self.changed_accounts: dict[int, Account] = {}
        self.changed_counters: dict[int, Account] = {}
        """Accounts of which nothing else was changed are written with less."""
        self.changed_buckets: dict[tuple[int, int], Bucket] = {}
        self.changed_sessions: dict[bytes, Session] = {}
        self.new_sessions: dict[bytes, Session] = {}
        self.new_entries: dict[bytes, int] = {}
        """Account by the key of an event answered now (session.make_event_key)."""
        self.new_accounts: list[Account] = []
        self.new_buckets: list[Bucket] = []
        self.records: list[NewRecord] = []
        self.movements: list[Movement] = []
        self.reviews: list[ReviewItem] = []
        self.resolved_reviews: list[ReviewItem] = []
        self.new_identifiers: list[Identifier] = []
        self.removed_identifiers: list[Identifier] = []
        self.actions: list[OperatorAction] = []
        self.server_requests: list[ServerRequest] = []
        """New rows of what the server has to ask clients, durable with what made them."""
        self.notifications: list[Notification] = []
        """What customers are to be told, durable with what made it happen."""
        self.vouchers: list[Voucher] = []
        """Vouchers redeemed now, as they are to be stored."""
        self.settings: dict[str, str] = {}
        """Facts about the database as a whole, by name; an empty one is forgotten."""

    def add_session(self, key: bytes, session: Session) -> None:
        """Put a new session into the set; it is written with its directory entry."""
        if key in self.sessions:
            raise IntegrityError(f"session {session.session_id} exists already")
        self.sessions[key] = session
        self.new_sessions[key] = session

    def mark_session(self, key: bytes) -> None:
        """Say that the session of this key was changed."""
        if key not in self.new_sessions:
            self.changed_sessions[key] = self.sessions[key]

    def mark_account(self, account: Account) -> None:
        """Say that the account row was changed."""
        self.changed_accounts[account.account_id] = account

    def mark_counters(self, account: Account) -> None:
        """Say that an account's counters were changed."""
        self.changed_counters[account.account_id] = account

    def mark_bucket(self, bucket: Bucket) -> None:
        """Say that the bucket was changed."""
        self.changed_buckets[bucket.account_id, bucket.bucket_id] = bucket

    def add_account(self, account: Account) -> AccountState:
        """Put a new account into the set."""
        state = AccountState(account, [])
        self.accounts[account.account_id] = state
        self.new_accounts.append(account)
        return state

    def add_bucket(self, bucket: Bucket) -> None:
        """Put a new bucket into its account."""
        self.accounts[bucket.account_id].buckets.append(bucket)
        self.new_buckets.append(bucket)

    def ask_sessions(
        self, account_id: int, trigger: Trigger, now_ns: int, operator: str = ""
    ) -> None:
        """Have the clients of an account's open sessions asked whatever ``trigger`` asks them."""
        self.server_requests.append(
            for_account(self.new_request_id, account_id, trigger, now_ns, operator)
        )

    def forget(self, key: RequestKey) -> None:
        """Keep nothing of an event that was decided in this transaction and moved nothing."""
        answer = self.answers.pop(key)
        entry = make_event_key(key.session_key, key.number, answer.content_hash)
        self.new_entries.pop(entry, None)
        self.records = [one for one in self.records if one.request_id != answer.request_id]

    def add_record(self, record: NewRecord) -> None:
        """Store a decided request; a later duplicate in this transaction finds it."""
        self.records.append(record)
        self.answers[record.key] = StoredAnswer(
            record.content_hash, record.record, record.request_id
        )
