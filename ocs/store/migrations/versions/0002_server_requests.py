"""Requests that the server makes of clients; sub-sessions that are found beside their session.

Revision ID: 0002
"""

from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPDATED: dict[str, Any] = {"postgresql_with": {"fillfactor": 70}}


WITH_NAMES = ("session", "request")
KEYED = ("session", "session_directory", "request")


def upgrade() -> None:
    """Make the table of what the server has to ask with its indexes; name sub-sessions anew."""
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
        sa.Column("pool", sa.BigInteger),
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
    op.create_index(
        "ix_server_request_finished_ns",
        "server_request",
        ["finished_ns"],
        postgresql_where=sa.text("finished_ns > 0"),
        sqlite_where=sa.text("finished_ns > 0"),
    )
    for column in ("origin_host", "peer"):
        op.create_index(
            f"ix_server_request_{column}",
            "server_request",
            [column],
            postgresql_where=sa.text("due_ns > 0"),
            sqlite_where=sa.text("due_ns > 0"),
        )
    name_sub_sessions()


class Named(msgspec.Struct, array_like=True):
    """How the blobs of a session and of a request begin, behind one octet of format."""

    session_id: str
    sub_session_id: int | None

    def old_key(self) -> bytes:
        """Return the key that shows nothing of the Session-Id alone."""
        return blake2b(self._text(), digest_size=16).digest()

    def new_key(self) -> bytes:
        """Return the key that begins like that of the main session."""
        main = blake2b(self.session_id.encode(), digest_size=16).digest()
        return main[:8] + blake2b(self._text(), digest_size=8).digest()

    def _text(self) -> bytes:
        return f"{self.session_id}\x00{self.sub_session_id}".encode()


def name_sub_sessions() -> None:
    """Give sub-sessions keys that begin like that of their main session.

    All answered requests are looked at, not only those of stored sessions: events and what is left
    of sessions that are gone must be known when they are repeated.
    """
    connection = op.get_bind()
    decode = msgspec.msgpack.Decoder(Named).decode
    renamed: dict[tuple[int, bytes], bytes] = {}
    for name in WITH_NAMES:
        table = sa.table(
            name, sa.column("account_id"), sa.column("session_key"), sa.column("body")
        )
        rows = connection.execute(sa.select(table), execution_options={"yield_per": 1000})
        for account_id, key, body in rows:
            named = decode(memoryview(body)[1:])
            if named.sub_session_id is not None and bytes(key) == named.old_key():
                renamed[account_id, bytes(key)] = named.new_key()
    for name in KEYED:
        table = sa.table(name, sa.column("account_id"), sa.column("session_key"))
        for (account_id, old), new in renamed.items():
            connection.execute(
                sa.update(table)
                .where(table.c.account_id == account_id, table.c.session_key == old)
                .values(session_key=new)
            )
