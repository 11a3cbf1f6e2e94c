"""Where a server calls a peer, instead of being called.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of the peers that are there none is called."""
    if op.get_bind().dialect.name == "sqlite":
        rebuild_with_column()
        return
    op.add_column("peer", sa.Column("connect", sa.Text, nullable=False, server_default=""))
    op.alter_column("peer", "connect", server_default=None)


def rebuild_with_column() -> None:
    """Make the table anew with the rows it had: SQLite cannot take a default away."""
    connection = op.get_bind()
    texts = ("origin_host", "profile", "source_networks", "comment", "tls_names")
    flags = ("relay", "require_tls")
    before = sa.table(
        "peer",
        *(sa.column(name, sa.Text) for name in texts),
        *(sa.column(name, sa.Boolean) for name in flags),
    )
    rows = [row._asdict() for row in connection.execute(sa.select(before))]
    op.drop_table("peer")
    peer = op.create_table(
        "peer",
        sa.Column("origin_host", sa.String(255), nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("relay", sa.Boolean, nullable=False),
        sa.Column("source_networks", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("require_tls", sa.Boolean, nullable=False),
        sa.Column("tls_names", sa.Text, nullable=False),
        sa.Column("connect", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("origin_host", name="pk_peer"),
    )
    op.bulk_insert(peer, [{**row, "connect": ""} for row in rows])
