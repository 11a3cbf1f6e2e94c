"""What an account counts and keeps beside its amounts, buckets of other measures, the outbox.

Revision ID: 0007
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPDATED: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


def upgrade() -> None:
    """Add the columns; the accounts and buckets that are there have nothing in them."""
    if op.get_bind().dialect.name == "sqlite":
        rebuild_account()
        rebuild_bucket()
    else:
        add_columns()
    op.create_index(
        "ix_account_due_ns",
        "account",
        ["due_ns"],
        postgresql_where=sa.text("due_ns > 0"),
        sqlite_where=sa.text("due_ns > 0"),
    )
    op.create_table(
        "notification",
        sa.Column("account_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("notification_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subscriber_id", sa.BigInteger, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("percent", sa.SmallInteger, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "notification_id", name="pk_notification"),
    )
    op.create_index("ix_notification_notification_id", "notification", ["notification_id"])


def add_columns() -> None:
    """Add them with a default for the rows that are there, which is then taken away."""
    empty = sa.text("''")
    for table, name, kind, default in (
        ("account", "due_ns", sa.BigInteger(), sa.text("0")),
        ("account", "counters", sa.LargeBinary(), empty),
        ("account", "details", sa.LargeBinary(), empty),
        ("bucket", "measure", sa.Text(), empty),
        ("bucket", "starts_ns", sa.BigInteger(), sa.text("0")),
    ):
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
        op.alter_column(table, name, server_default=None)


def rebuild_account() -> None:
    """Make the table anew with the rows it had: SQLite cannot take a default away."""
    op.rename_table("account", "account_before")
    op.create_table(
        "account",
        sa.Column("account_id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("credit_limit_micro", sa.BigInteger, nullable=False),
        sa.Column("flags", sa.BigInteger, nullable=False),
        sa.Column("due_ns", sa.BigInteger, nullable=False),
        sa.Column("counters", sa.LargeBinary, nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_account"),
        sa.CheckConstraint("credit_limit_micro >= 0", name=op.f("ck_account_credit_limit")),
    )
    columns = "account_id, version, currency, plan, status, credit_limit_micro, flags"
    op.execute(
        f"INSERT INTO account ({columns}, due_ns, counters, details) "
        f"SELECT {columns}, 0, x'', x'' FROM account_before"
    )
    op.drop_table("account_before")


def rebuild_bucket() -> None:
    """Make the table anew with the rows it had."""
    op.drop_index("ix_bucket_due_ns", "bucket")
    op.rename_table("bucket", "bucket_before")
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
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("starts_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "bucket_id", name="pk_bucket"),
        sa.CheckConstraint("held >= 0", name=op.f("ck_bucket_held")),
        sa.CheckConstraint("unit = 0 OR available >= 0", name=op.f("ck_bucket_available")),
        sqlite_with_rowid=False,
    )
    columns = (
        "account_id, bucket_id, version, unit, name, available, held, priority, expires_ns, "
        "due_ns, services, subscriber_id"
    )
    op.execute(
        f"INSERT INTO bucket ({columns}, measure, starts_ns) "
        f"SELECT {columns}, '', 0 FROM bucket_before"
    )
    op.drop_table("bucket_before")
    op.create_index(
        "ix_bucket_due_ns", "bucket", ["due_ns"], sqlite_where=sa.text("due_ns > 0")
    )
