"""Requests that the server makes of clients.

Revision ID: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPDATED: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


def upgrade() -> None:
    """Make the table of what the server has to ask, and the index of what is due."""
    op.create_table(
        "server_request",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("server_request_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("session_key", sa.LargeBinary(16), nullable=False),
        sa.Column("command", sa.SmallInteger, nullable=False),
        sa.Column("trigger", sa.SmallInteger, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("rating_group", sa.BigInteger),
        sa.Column("service_identifier", sa.BigInteger),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("agreed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("result_code", sa.Integer, nullable=False),
        sa.Column("node", sa.SmallInteger, nullable=False),
        sa.Column("sent_ns", sa.BigInteger, nullable=False),
        sa.Column("finished_ns", sa.BigInteger, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("sub_session_id", sa.BigInteger),
        sa.Column("origin_host", sa.Text, nullable=False),
        sa.Column("peer", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reached_account", sa.BigInteger, nullable=False),
        sa.Column("reached_session", sa.LargeBinary(16), nullable=False),
        sa.Column("spread", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "server_request_id", name="pk_server_request"),
        **UPDATED,
    )
    op.create_index(
        "ix_server_request_due_ns_server_request_id",
        "server_request",
        ["due_ns", "server_request_id"],
        postgresql_where=sa.text("due_ns > 0"),
        sqlite_where=sa.text("due_ns > 0"),
    )
