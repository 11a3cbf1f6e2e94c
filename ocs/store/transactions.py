"""Transactions on an SQL database: run, run again after a lost race, or say what happened.

Used by sql.SqlStore for everything it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ocs.errors import OcsError, StoreConflictError, StoreUnavailableError, StoreUnusableError
from ocs.store import dialects
from ocs.store.failures import Again, Failure, classify, fault_of
from ocs.store.interface import RETRIES_MAX

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Transactions:
    """The engine of a database with what turns its errors into ours."""

    def __init__(self, url: str, connections: int) -> None:
        self.engine: Engine = dialects.open_engine(url, "hot", connections)
        """What transactions run on."""
        self.path = dialects.sqlite_path(dialects.parse_url(url))
        """The file of an SQLite database."""
        self.reader = self.engine
        """What single statements run on; beside the one writing connection of SQLite."""
        if self.path is not None:
            self.reader = dialects.open_engine(url, "look-up", connections)
        self._begin = dialects.begin_statement(self.engine)

    def run(self, work: Callable[[Connection, int], T], description: str) -> T:
        """Do the work in one transaction, and again as long as it loses races."""
        attempt = 0
        while True:
            try:
                return self._once(work, attempt, description)
            except Again as again:
                if attempt == RETRIES_MAX:
                    raise again.fault from again.__cause__
                attempt += 1
                logger.info("transaction is run again (%d): %s", attempt, again)

    def _once(self, work: Callable[[Connection, int], T], attempt: int, description: str) -> T:
        begun = committing = False
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql(self._begin)
                begun = True
                result = work(connection, attempt)
                committing = True
                connection.exec_driver_sql("COMMIT")
                committing = False
            return result
        except StoreConflictError as error:
            raise Again(error) from error
        except SQLAlchemyError as error:
            raise self._fault(error, description, committing, begun or attempt > 0) from error

    def _fault(
        self, error: SQLAlchemyError, description: str, committing: bool, begun: bool
    ) -> OcsError | Again:
        """Return what to raise for a driver's error."""
        if self.path is not None and not self.path.exists():
            return StoreUnusableError(
                f"there is no database {self.path}; to make it: ocs db upgrade"
            )
        fault = fault_of(error, description, committing)
        if not begun and classify(error) is Failure.LOST:
            # A pooled connection that an outage has cut: nothing was asked of it yet.
            return Again(StoreUnavailableError(str(fault)))
        return fault

    def read(self, work: Callable[[Connection], T], description: str) -> T:
        """Do work that reads in one statement."""
        for attempt in range(2):
            try:
                with self.reader.connect() as connection:
                    return work(connection)
            except SQLAlchemyError as error:
                fault = self._fault(error, description, False, attempt > 0)
                if not isinstance(fault, Again):
                    raise fault from error
                last = fault.fault
        raise last

    def close(self) -> None:
        """Give back every connection."""
        self.reader.dispose()
        self.engine.dispose()
