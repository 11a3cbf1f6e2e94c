"""From when on each version of the catalogue holds.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is there holds since it was published."""
    if op.get_bind().dialect.name == "sqlite":
        rebuild()
        return
    column = sa.Column("effective_ns", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    op.add_column("catalogue", column)
    op.alter_column("catalogue", "effective_ns", server_default=None)
    op.execute("UPDATE catalogue SET effective_ns = published_ns")


def rebuild() -> None:
    """Make the table anew with the rows it had: SQLite cannot take a default away."""
    op.rename_table("catalogue", "catalogue_before")
    op.create_table(
        "catalogue",
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("published_ns", sa.BigInteger, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("effective_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_catalogue"),
    )
    columns = "version, name, published_ns, operator, reason, source"
    op.execute(
        f"INSERT INTO catalogue ({columns}, effective_ns) "
        f"SELECT {columns}, published_ns FROM catalogue_before"
    )
    op.drop_table("catalogue_before")
