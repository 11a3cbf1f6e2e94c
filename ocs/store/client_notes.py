"""The rows of what servers have found out about clients; for people only, nothing depends on them.

SQLAlchemy Core, the same on every engine. Called by sql.py inside its transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from ocs.store.interface import CLIENT_NOTES_MAX, ClientNote
from ocs.store.schema import client_note

_note = client_note.c
_COLUMNS = tuple(_note[name] for name in ClientNote.__dataclass_fields__)
SELECT_NOTES = select(*_COLUMNS).order_by(_note.origin_host, _note.peer)


def write(connection: Connection, notes: Sequence[ClientNote]) -> None:
    """Put notes over what was noted before; beyond the limit those met first go."""
    latest = {(one.origin_host, one.peer): one for one in notes}
    same = [and_(_note.origin_host == host, _note.peer == peer) for host, peer in latest]
    connection.execute(delete(client_note).where(or_(*same)))
    connection.execute(insert(client_note), [asdict(one) for one in latest.values()])
    surplus = connection.execute(select(func.count()).select_from(client_note)).scalar_one()
    surplus -= CLIENT_NOTES_MAX
    if surplus > 0:
        oldest = (
            select(_note.origin_host, _note.peer)
            .order_by(_note.met_ns, _note.origin_host, _note.peer)
            .limit(surplus)
        )
        for host, peer in connection.execute(oldest).all():
            connection.execute(
                delete(client_note).where(_note.origin_host == host, _note.peer == peer)
            )
