"""The first tables.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
UPDATED: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}
CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}


def upgrade() -> None:
    """Make every table, and the one row of counters."""
    _account()
    _bucket()
    _session()
    _session_directory()
    _request()
    _movement()
    _identifier()
    _review()
    _operator_action()
    _catalogue()
    _peer()
    _client_state()
    _generation()
    _setting()
    op.execute(
        "INSERT INTO generation (generation_id, identifiers, catalogue, peers) VALUES (1, 0, 0, 0)"
    )


def _where(condition: str) -> dict[str, Any]:
    return {f"{name}_where": sa.text(condition) for name in ("postgresql", "sqlite")}


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("account_id", ROW_ID, nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("credit_limit_micro", sa.BigInteger, nullable=False),
        sa.Column("flags", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_account"),
        sa.CheckConstraint("credit_limit_micro >= 0", name=op.f("ck_account_credit_limit")),
        **UPDATED,
    )


def _bucket() -> None:
    op.create_table(
        "bucket",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("bucket_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.SmallInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("available", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("services", sa.Text, nullable=False),
        sa.Column("subscriber_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "bucket_id", name="pk_bucket"),
        sa.CheckConstraint("held >= 0", name=op.f("ck_bucket_held")),
        sa.CheckConstraint("unit = 0 OR available >= 0", name=op.f("ck_bucket_available")),
        **CLUSTERED,
        **UPDATED,
    )
    op.create_index("ix_bucket_due_ns", "bucket", ["due_ns"], **_where("due_ns > 0"))


def _session() -> None:
    op.create_table(
        "session",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("session_key", sa.LargeBinary(16), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("origin_host", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "session_key", name="pk_session"),
        **UPDATED,
    )
    op.create_index("ix_session_origin_host", "session", ["origin_host"], **_where("state = 1"))
    op.create_index("ix_session_state_due_ns", "session", ["state", "due_ns"])


def _session_directory() -> None:
    op.create_table(
        "session_directory",
        sa.Column("session_key", sa.LargeBinary(16), nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("session_key", name="pk_session_directory"),
        **CLUSTERED,
    )


def _request() -> None:
    op.create_table(
        "request",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("session_key", sa.LargeBinary(16), nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("request_id", sa.BigInteger, nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.Column("event_ns", sa.BigInteger, nullable=False),
        sa.Column("content_hash", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "session_key", "kind", "number", name="pk_request"),
    )
    op.create_index("ix_request_request_id", "request", ["request_id"])


def _movement() -> None:
    op.create_table(
        "movement",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("request_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("line", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("bucket_id", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.SmallInteger, nullable=False),
        sa.Column("contra", sa.SmallInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("event_ns", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("slot_ns", sa.BigInteger, nullable=False),
        sa.Column("units_before", sa.BigInteger, nullable=False),
        sa.Column("units_after", sa.BigInteger, nullable=False),
        sa.Column("catalogue_version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "request_id", "line", name="pk_movement"),
        **CLUSTERED,
    )


def _identifier() -> None:
    op.create_table(
        "identifier",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("subscriber_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "value", name="pk_identifier"),
        **CLUSTERED,
    )
    op.create_index("ix_identifier_account_id", "identifier", ["account_id"])


def _review() -> None:
    op.create_table(
        "review",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("review_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("request_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("unit", sa.SmallInteger, nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("slot_ns", sa.BigInteger, nullable=False),
        sa.Column("units_before", sa.BigInteger, nullable=False),
        sa.Column("catalogue_version", sa.BigInteger, nullable=False),
        sa.Column("event_ns", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "review_id", name="pk_review"),
    )
    op.create_index("ix_review_state", "review", ["state"])


def _operator_action() -> None:
    op.create_table(
        "operator_action",
        sa.Column("action_id", ROW_ID, nullable=False, autoincrement=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("action_id", name="pk_operator_action"),
    )
    op.create_index("ix_operator_action_account_id", "operator_action", ["account_id"])


def _catalogue() -> None:
    op.create_table(
        "catalogue",
        sa.Column("version", ROW_ID, nullable=False, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("published_ns", sa.BigInteger, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_catalogue"),
    )


def _peer() -> None:
    op.create_table(
        "peer",
        sa.Column("origin_host", sa.String(255), nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("relay", sa.Boolean, nullable=False),
        sa.Column("source_networks", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("origin_host", name="pk_peer"),
    )


def _client_state() -> None:
    op.create_table(
        "client_state",
        sa.Column("origin_host", sa.String(255), nullable=False),
        sa.Column("origin_state_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("origin_host", name="pk_client_state"),
    )


def _generation() -> None:
    op.create_table(
        "generation",
        sa.Column("generation_id", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("identifiers", sa.BigInteger, nullable=False),
        sa.Column("catalogue", sa.BigInteger, nullable=False),
        sa.Column("peers", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("generation_id", name="pk_generation"),
        sa.CheckConstraint("generation_id = 1", name=op.f("ck_generation_single_row")),
    )


def _setting() -> None:
    op.create_table(
        "setting",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
