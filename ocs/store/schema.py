"""The tables: what is stored, in portable SQL. Used by sql, reports, provisioning's audit and
the migrations (whose comparison with this file is a test).

Conventions. Instants are nanoseconds UTC, money micro units, quantities base units, ids made by
``clock.IdSource`` (time-ordered). Primary keys of tables that grow with traffic begin with
``account_id``, and so do unique constraints, so that accounts can be spread over databases;
``identifier`` and ``session_directory`` are the two look-up tables that lead there. No sequences,
triggers or foreign keys: the account row is the lock of everything that belongs to it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.engine import Dialect

from ocs.charging.model.session import SessionState

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

RowId = BigInteger().with_variant(Integer, "sqlite")
"""A key that is one number: on SQLite the row's own address."""

# Rows that are updated in place leave room in their page for the next version (PostgreSQL HOT).
_UPDATED: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}
# Small rows live in their primary key's tree (SQLite); large ones are appended beside it.
_CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}


class _Unsigned64(TypeDecorator[int]):
    """A number of 64 bits, kept as the signed one with the same bits (CC-Sub-Session-Id)."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Return what is stored."""
        del dialect
        return value - (1 << 64) if value is not None and value >> 63 else value

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        """Return what was meant."""
        del dialect
        return value + (1 << 64) if value is not None and value < 0 else value


def _number(name: str) -> Column[int]:
    """A 64-bit column that always has a value."""
    return Column(name, BigInteger, nullable=False)


account = Table(
    "account",
    metadata,
    Column("account_id", RowId, primary_key=True, autoincrement=False),
    _number("version"),
    Column("currency", String(3), nullable=False),
    Column("plan", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    _number("credit_limit_micro"),
    _number("flags"),
    _number("due_ns"),
    Column("counters", LargeBinary, nullable=False),
    Column("details", LargeBinary, nullable=False),
    CheckConstraint("credit_limit_micro >= 0", name="credit_limit"),
    **_UPDATED,
)
"""One row of ledger.account.Account; ``counters`` and ``details`` are empty when nothing is known
(records.account_of)."""

Index(
    "ix_account_due_ns",
    account.c.due_ns,
    postgresql_where=account.c.due_ns > 0,
    sqlite_where=account.c.due_ns > 0,
)

bucket = Table(
    "bucket",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket_id", BigInteger, primary_key=True, autoincrement=False),
    _number("version"),
    Column("unit", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    _number("available"),
    _number("held"),
    _number("priority"),
    _number("expires_ns"),
    _number("due_ns"),
    Column("services", Text, nullable=False),
    _number("subscriber_id"),
    Column("measure", Text, nullable=False),
    _number("starts_ns"),
    CheckConstraint("held >= 0", name="held"),
    CheckConstraint("unit = 0 OR available >= 0", name="available"),
    **_CLUSTERED,
    **_UPDATED,
)
"""One row of ledger.account.Bucket. ``services``: codes joined by spaces, empty = all.
``due_ns``: what the expiry looks for, see records.bucket_due_ns; else 0."""

Index(
    "ix_bucket_due_ns",
    bucket.c.due_ns,
    postgresql_where=bucket.c.due_ns > 0,
    sqlite_where=bucket.c.due_ns > 0,
)

session = Table(
    "session",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("session_key", LargeBinary(16), primary_key=True),
    _number("version"),
    Column("state", SmallInteger, nullable=False),
    _number("due_ns"),
    Column("origin_host", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    **_UPDATED,
)
"""One charging.model.session.Session as ``body`` (records.decode_session). ``due_ns`` is a
lower bound of its ``deadline_ns``, so that most updates need not touch an index; exact when it
is closed."""

Index("ix_session_state_due_ns", session.c.state, session.c.due_ns)
_open = session.c.state == text(str(int(SessionState.OPEN)))
Index("ix_session_origin_host", session.c.origin_host, postgresql_where=_open, sqlite_where=_open)

session_directory = Table(
    "session_directory",
    metadata,
    Column("session_key", LargeBinary(16), primary_key=True),
    _number("account_id"),
    **_CLUSTERED,
)
"""Which account a session belongs to, or answered an event (session.make_event_key); written with
the session or the event's request, removed with it."""

request = Table(
    "request",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("session_key", LargeBinary(16), primary_key=True),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _number("request_id"),
    _number("received_ns"),
    _number("event_ns"),
    _number("content_hash"),
    Column("outcome", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""One answered request, ``body`` its charging.model.messages.ChargingRecord (by
records.decode_record); ``outcome`` is that of its reply. The primary key is what makes it
happen once."""

Index("ix_request_request_id", request.c.request_id)

movement = Table(
    "movement",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", BigInteger, primary_key=True, autoincrement=False),
    Column("line", SmallInteger, primary_key=True, autoincrement=False),
    _number("bucket_id"),
    Column("unit", SmallInteger, nullable=False),
    Column("contra", SmallInteger, nullable=False),
    _number("amount"),
    _number("event_ns"),
    Column("service", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("zone", Text, nullable=False),
    _number("slot_ns"),
    _number("units_before"),
    _number("units_after"),
    _number("catalogue_version"),
    **_CLUSTERED,
)
"""One ledger line, ledger.account.Movement; only ever inserted (and carried forward by pruning)."""

server_request = Table(
    "server_request",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("server_request_id", BigInteger, primary_key=True, autoincrement=False),
    _number("version"),
    Column("session_key", LargeBinary(16), nullable=False),
    Column("command", SmallInteger, nullable=False),
    Column("trigger", SmallInteger, nullable=False),
    _number("created_ns"),
    _number("due_ns"),
    Column("rating_group", BigInteger),
    Column("service_identifier", BigInteger),
    Column("pool", BigInteger),
    _number("attempts"),
    _number("agreed"),
    Column("state", SmallInteger, nullable=False),
    Column("result_code", Integer, nullable=False),
    Column("node", SmallInteger, nullable=False),
    _number("sent_ns"),
    _number("finished_ns"),
    Column("session_id", Text, nullable=False),
    Column("sub_session_id", _Unsigned64),
    Column("origin_host", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("operator", Text, nullable=False),
    _number("reached_account"),
    Column("reached_session", LargeBinary(16), nullable=False),
    _number("spread"),
    **_UPDATED,
)
"""What the server has to ask a client, charging.model.server_requests.ServerRequest.
``account_id`` 0 stands for all accounts, an empty ``session_key`` for all sessions; ``due_ns``
is 0 when it is finished."""

Index(
    "ix_server_request_due_ns_server_request_id",
    server_request.c.due_ns,
    server_request.c.server_request_id,
    postgresql_where=server_request.c.due_ns > 0,
    sqlite_where=server_request.c.due_ns > 0,
)
Index(
    "ix_server_request_finished_ns",
    server_request.c.finished_ns,
    postgresql_where=server_request.c.finished_ns > 0,
    sqlite_where=server_request.c.finished_ns > 0,
)
for _column in (server_request.c.origin_host, server_request.c.peer):
    Index(
        f"ix_server_request_{_column.name}",
        _column,
        postgresql_where=server_request.c.due_ns > 0,
        sqlite_where=server_request.c.due_ns > 0,
    )

identifier = Table(
    "identifier",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("value", String(255), primary_key=True),
    _number("account_id"),
    _number("subscriber_id"),
    **_CLUSTERED,
)
"""A name a subscriber is found by, ledger.account.Identifier."""

Index("ix_identifier_account_id", identifier.c.account_id)

review = Table(
    "review",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("review_id", BigInteger, primary_key=True, autoincrement=False),
    _number("request_id"),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("service", Text, nullable=False),
    _number("units"),
    Column("unit", SmallInteger, nullable=False),
    _number("amount_micro"),
    Column("reason", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("zone", Text, nullable=False),
    _number("slot_ns"),
    _number("units_before"),
    _number("catalogue_version"),
    _number("event_ns"),
    Column("session_id", Text, nullable=False),
)
"""Usage parked for a person, charging.model.working_set.ReviewItem."""

Index("ix_review_state", review.c.state)

operator_action = Table(
    "operator_action",
    metadata,
    Column("action_id", RowId, primary_key=True, autoincrement=False),
    _number("at_ns"),
    Column("operator", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("details", Text, nullable=False),
    _number("account_id"),
)
"""Who did what and why, ledger.account.OperatorAction."""

Index("ix_operator_action_account_id", operator_action.c.account_id)

notification = Table(
    "notification",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("notification_id", BigInteger, primary_key=True, autoincrement=False),
    _number("at_ns"),
    Column("kind", String(32), nullable=False),
    _number("subscriber_id"),
    Column("subject", Text, nullable=False),
    Column("percent", SmallInteger, nullable=False),
    Column("details", Text, nullable=False),
)
"""Something a customer is to be told, ledger.notification.Notification; ``details`` is JSON."""

Index("ix_notification_notification_id", notification.c.notification_id)

voucher_batch = Table(
    "voucher_batch",
    metadata,
    Column("batch_id", RowId, primary_key=True, autoincrement=False),
    _number("created_ns"),
    Column("currency", String(3), nullable=False),
    _number("amount_micro"),
    _number("count"),
    _number("expires_ns"),
    Column("operator", Text, nullable=False),
    Column("comment", Text, nullable=False),
)
"""Vouchers made together, ledger.voucher.VoucherBatch."""

voucher = Table(
    "voucher",
    metadata,
    Column("code_hash", LargeBinary(32), primary_key=True),
    _number("batch_id"),
    _number("serial"),
    Column("state", SmallInteger, nullable=False),
    _number("account_id"),
    _number("used_ns"),
    **_CLUSTERED,
)
"""One voucher, ledger.voucher.Voucher: its code is nowhere, only the hash of it."""

Index("ix_voucher_batch_id_serial", voucher.c.batch_id, voucher.c.serial)

voucher_pruned = Table(
    "voucher_pruned",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", SmallInteger, primary_key=True, autoincrement=False),
    _number("count"),
    **_CLUSTERED,
)
"""How many vouchers of a batch were pruned in this state: lists go on counting them."""

voucher_try = Table(
    "voucher_try",
    metadata,
    Column("subject", String(128), primary_key=True),
    _number("window_ns"),
    _number("tries"),
    **_CLUSTERED,
)
"""How often an account or a source has tried codes since ``window_ns``."""

Index("ix_voucher_try_window_ns", voucher_try.c.window_ns)

catalogue = Table(
    "catalogue",
    metadata,
    Column("version", RowId, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    _number("published_ns"),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    _number("effective_ns"),
)
"""One published version of the catalogue with its document as it was checked, and from when on it
holds (catalog.versions)."""

peer = Table(
    "peer",
    metadata,
    Column("origin_host", String(255), primary_key=True),
    Column("profile", Text, nullable=False),
    Column("relay", Boolean, nullable=False),
    Column("source_networks", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("require_tls", Boolean, nullable=False),
    Column("tls_names", Text, nullable=False),
    Column("connect", Text, nullable=False),
)
"""A Diameter peer that may connect. ``source_networks``: CIDR blocks joined by spaces;
``tls_names``: DNS names joined by spaces; ``connect``: where it is called, empty for nowhere."""

client_state = Table(
    "client_state",
    metadata,
    Column("origin_host", String(255), primary_key=True),
    _number("origin_state_id"),
)
"""The Origin-State-Id each client had last (RFC 6733 8.16)."""

client_note = Table(
    "client_note",
    metadata,
    Column("origin_host", String(255), primary_key=True),
    Column("peer", String(255), primary_key=True),
    Column("relay", Boolean, nullable=False),
    Column("product_name", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("recognised", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _number("met_ns"),
)
"""What a server has found out about a client, store.interface.ClientNote."""

generation = Table(
    "generation",
    metadata,
    Column("generation_id", SmallInteger, primary_key=True, autoincrement=False),
    _number("identifiers"),
    _number("catalogue"),
    _number("peers"),
    CheckConstraint("generation_id = 1", name="single_row"),
)
"""The one row of counters that rise with each change of what is cached outside the store."""

setting = Table(
    "setting",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the database as a whole, by name; the names are below."""

SETTING_OWN_STATE_ID = "own_origin_state_id"
"""Our Origin-State-Id, seconds since 1970 when the database first served."""
SETTING_VOUCHER_SALT = "voucher_salt"
"""What is mixed into the hashes of voucher codes."""
SETTING_IMPORTED = "imported:{}"
"""How many rows were written of the file of this digest, while its import is not finished."""
SETTING_PRUNED_BEFORE = "pruned_before_ns"
"""Records and movements of requests received before this instant were pruned."""
