"""How many vouchers of a batch were in which state when they were pruned.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "voucher_pruned",
        sa.Column("batch_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("state", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "state", name="pk_voucher_pruned"),
        sqlite_with_rowid=False,
    )
