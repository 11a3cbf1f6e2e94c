"""Vouchers by the hashes of their codes, their batches, and how often codes were tried.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables and their indexes."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "voucher_batch",
        sa.Column("batch_id", key, nullable=False, autoincrement=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_voucher_batch"),
    )
    op.create_table(
        "voucher",
        sa.Column("code_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("used_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name="pk_voucher"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_voucher_batch_id_serial", "voucher", ["batch_id", "serial"])
    op.create_table(
        "voucher_try",
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("window_ns", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_voucher_try"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_voucher_try_window_ns", "voucher_try", ["window_ns"])
