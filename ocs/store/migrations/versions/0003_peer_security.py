"""What the connection of a peer must be like: secured, by a certificate with which names.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns; of the peers that are there nothing was asked so far."""
    if op.get_bind().dialect.name == "sqlite":
        rebuild_with_columns()
        return
    op.add_column(
        "peer", sa.Column("require_tls", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("peer", sa.Column("tls_names", sa.Text, nullable=False, server_default=""))
    op.alter_column("peer", "require_tls", server_default=None)
    op.alter_column("peer", "tls_names", server_default=None)


def rebuild_with_columns() -> None:
    """Make the table anew with the rows it had: SQLite cannot take a default away."""
    connection = op.get_bind()
    known = ("origin_host", "profile", "relay", "source_networks", "comment")
    before = sa.table("peer", *(sa.column(name) for name in known))
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
        sa.PrimaryKeyConstraint("origin_host", name="pk_peer"),
    )
    added = {"require_tls": False, "tls_names": ""}
    op.bulk_insert(peer, [{**row, "relay": bool(row["relay"]), **added} for row in rows])
