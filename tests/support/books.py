"""The stored truth beside a running server: audit, balances, sessions; and the operator's desk.

Another process's view of the database, as that of the command line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Select, func, select

from ocs.charging.model.messages import Identity
from ocs.charging.model.session import SessionState
from ocs.charging.model.working_set import WorkingSet
from ocs.clock import IdSource, SystemClock
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers.subscribers import NewSubscriber, open_account
from ocs.provisioning.desk import Desk
from ocs.provisioning.proof import audit
from ocs.store import dialects, schema
from ocs.store.reading import Reader
from ocs.store.sql import SqlStore
from tests.support.ocs_process import CATALOGUE
from tests.support.tables import make_tables
from tests.support.traffic import Subscriber

BOOKS_NODE = 203


@dataclass(frozen=True, slots=True)
class Money:
    """Money of one account in micro units."""

    balance: int
    held: int


class Books:
    """One database, opened beside the servers that use it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.catalogues = Catalogues(desk.store)

    def audited(self) -> audit.AuditResult:
        """Audit everything and insist that it adds up."""
        result = audit.run(self.desk, self.catalogues)
        assert result.violations == []
        return result

    def money(self) -> dict[int, Money]:
        """Return balance and held money of every account."""
        bucket = schema.bucket.c
        rows = self.desk.reader.rows(
            select(bucket.account_id, func.sum(bucket.available), func.sum(bucket.held))
            .where(bucket.unit == 0)
            .group_by(bucket.account_id)
        )
        return {row[0]: Money(int(row[1]) + int(row[2]), int(row[2])) for row in rows}

    def balances(self) -> dict[int, int]:
        """Return the balance of every account."""
        return {account_id: money.balance for account_id, money in self.money().items()}

    def open_sessions(self) -> int:
        """Return how many sessions are open."""
        is_open = schema.session.c.state == int(SessionState.OPEN)
        return self._count(select(func.count()).select_from(schema.session).where(is_open))

    def requests(self) -> int:
        """Return how many answered requests are stored, those of operators included."""
        return self._count(select(func.count()).select_from(schema.request))

    def _count(self, statement: Select[int]) -> int:
        return int(self.desk.reader.rows(statement)[0][0])

    def add(self, subscribers: list[Subscriber]) -> None:
        """Open accounts with money, as `ocs subscriber add` does."""
        index = self.catalogues.current()
        plan = index.catalog.plans["basic"]

        def decide(working_set: WorkingSet) -> None:
            for one in subscribers:
                new = NewSubscriber((Identity("msisdn", one.msisdn),), "basic", one.opening_micro)
                open_account(self.desk, working_set, one.account_id, new, plan, index)

        self.desk.store.transact([], decide)


@contextmanager
def open_books(url: str) -> Iterator[Books]:
    """Yield the books of a database."""
    clock = SystemClock()
    ids = IdSource(clock, BOOKS_NODE)
    store = SqlStore(url, ids)
    engine = dialects.open_engine(url, "plain", 4)
    try:
        yield Books(Desk(store, Reader(engine), clock, ids, "test", "durability"))
    finally:
        engine.dispose()
        store.close()


def create_database(url: str, subscribers: list[Subscriber]) -> None:
    """Make the tables, publish the black-box catalogue and open the accounts."""
    make_tables(url)
    with open_books(url) as books:
        catalogs.publish(books.desk, CATALOGUE.read_text(encoding="utf-8"), "black-box.yaml")
        books.add(subscribers)
