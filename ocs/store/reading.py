"""Reading the database for people: one consistent snapshot per report, in bounded memory.

Used by the reports modules; a snapshot never blocks the server that writes meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Row
from sqlalchemy.exc import SQLAlchemyError

from ocs.store.failures import Again, fault_of

FETCH_ROWS = 500
"""Rows of a streamed result that are in memory at a time."""


class Reader:
    """A database as the reports see it: read only, every report from one snapshot."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def dialect(self) -> str:
        """The engine's name: ``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection whose statements all see the database as of the first of them.

        Raises StoreUnavailableError when the database cannot be read, StoreUnusableError when
        it is not ours.
        """
        try:
            with self.engine.connect() as connection:
                yield self._fixed(connection)
        except SQLAlchemyError as error:
            fault = fault_of(error, "reading the database", committing=False)
            raise (fault.fault if isinstance(fault, Again) else fault) from error

    def _fixed(self, connection: Connection) -> Connection:
        if self.dialect == "postgresql":
            return connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        return connection

    def rows(self, statement: Executable) -> list[Any]:
        """Return all rows of a statement that is known to give few."""
        with self.snapshot() as connection:
            return list(connection.execute(statement))


def stream(connection: Connection, statement: Executable) -> Iterator[Row[Any]]:
    """Yield the rows of a statement while holding FETCH_ROWS of them at most."""
    with connection.execute(
        statement, execution_options={"stream_results": True, "yield_per": FETCH_ROWS}
    ) as result:
        yield from result


def values_of(row: Row[Any]) -> dict[str, Any]:
    """Return a row as a dictionary by column name."""
    return dict(row._mapping)  # noqa: SLF001 - public in spite of its name
