"""The outbox of notifications for those who deliver them: read in order of ids, by who it is about.

Called by ocs.provisioning.events. Ids are in order of time, but a transaction may commit after a
younger one; see there.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, select

from ocs.ledger.notification import Notification
from ocs.store.reading import Reader, stream, values_of
from ocs.store.schema import notification


class Outbox:
    """What was written to be told."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def after(
        self, notification_id: int, *, account_id: int = 0, kinds: Sequence[str] = (),
        without: Sequence[int] = (), limit: int = 0,
    ) -> Iterator[Notification]:  # fmt: skip
        """Yield notifications of higher ids, in their order, in bounded memory.

        ``account_id`` 0 and no ``kinds`` mean all, ``without`` are ids that are left out.
        """
        statement = select(notification).where(notification.c.notification_id > notification_id)
        if account_id:
            statement = statement.where(notification.c.account_id == account_id)
        if kinds:
            statement = statement.where(notification.c.kind.in_(kinds))
        if without:
            statement = statement.where(notification.c.notification_id.not_in(without))
        statement = statement.order_by(notification.c.notification_id)
        with self._reader.snapshot() as connection:
            for row in stream(connection, statement.limit(limit) if limit else statement):
                yield _notification(row)


def _notification(row: Row[Any]) -> Notification:
    values = values_of(row)
    return Notification(**values | {"details": json.loads(values["details"])})
