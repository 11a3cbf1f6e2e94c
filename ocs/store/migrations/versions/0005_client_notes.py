"""What servers have found out about their clients.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of notes about clients."""
    op.create_table(
        "client_note",
        sa.Column("origin_host", sa.String(255), nullable=False),
        sa.Column("peer", sa.String(255), nullable=False),
        sa.Column("relay", sa.Boolean, nullable=False),
        sa.Column("product_name", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("recognised", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("met_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("origin_host", "peer", name="pk_client_note"),
    )
