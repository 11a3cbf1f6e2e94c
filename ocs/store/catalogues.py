"""Published catalogues in the database: publish, withdraw, look up. Called by sql.SqlStore."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select, update

from ocs.catalog.versions import WITHDRAWN_NS, Announcement, Schedule
from ocs.charging.model.server_requests import ServerRequest
from ocs.ledger.account import OperatorAction
from ocs.store import cold, schema, server_requests
from ocs.store.interface import PublishedCatalogue

_catalogue = schema.catalogue.c
_PUBLISHED = select(
    _catalogue.version,
    _catalogue.name,
    _catalogue.published_ns,
    _catalogue.operator,
    _catalogue.reason,
    _catalogue.source,
    _catalogue.effective_ns,
).order_by(_catalogue.version.desc())


def publish(
    connection: Connection, source: str, name: str, action: OperatorAction,
    requests: Sequence[ServerRequest], effective_ns: int,
) -> int:
    """Insert the next version, which holds from ``effective_ns`` on, 0 = at once."""
    # The counter's row is the lock under which versions are numbered.
    cold.raise_generation(connection, "catalogue")
    newest = connection.execute(select(func.max(_catalogue.version))).scalar_one()
    version = int(newest or 0) + 1
    connection.execute(
        insert(schema.catalogue).values(
            version=version,
            name=name,
            published_ns=action.at_ns,
            operator=action.operator,
            reason=action.reason,
            source=source,
            effective_ns=effective_ns or action.at_ns,
        )
    )
    cold.write_actions(connection, [action])
    server_requests.insert_all(connection, requests)
    return version


def withdraw(connection: Connection, version: int, action: OperatorAction) -> bool:
    """Take back a version that takes effect later than the action."""
    cold.raise_generation(connection, "catalogue")
    statement = (
        update(schema.catalogue)
        .where(
            _catalogue.version == version,
            _catalogue.effective_ns > action.at_ns,
            _catalogue.effective_ns != _catalogue.published_ns,
        )
        .values(effective_ns=WITHDRAWN_NS)
    )
    if connection.execute(statement).rowcount != 1:
        return False
    cold.write_actions(connection, [action])
    return True


def schedule(connection: Connection) -> Schedule:
    """Return when the versions take effect."""
    rows = connection.execute(
        select(_catalogue.effective_ns, _catalogue.version, _catalogue.published_ns)
    )
    return Schedule(Announcement(row[0], row[1], row[0] == row[2]) for row in rows)


def published(connection: Connection, version: int | None = None) -> list[PublishedCatalogue]:
    """Return one version, or all of them, the newest first."""
    statement = _PUBLISHED
    if version is not None:
        statement = statement.where(_catalogue.version == version)
    return [PublishedCatalogue(*row) for row in connection.execute(statement)]
