"""Fees and renewals with several servers on one database, after kill -9 and after downtime: each
period of each account is run once, whoever is there and whenever.
"""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from ocs.charging.model.messages import Identity
from ocs.charging.model.working_set import WorkingSet
from ocs.ledger.account import Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers.subscribers import NewSubscriber, open_account
from ocs.store import migrations, schema
from tests.support.books import Books, open_books
from tests.support.launcher import ForkedOcs, Launcher

DAY = 86_400
ACCOUNTS = 250
"""More than two steps of a supervisor."""
FEE_MICRO, OPENING_MICRO = 100_000, 2_000_000
WITHIN_SECONDS = 60.0
CATALOGUE = """
name: Passes
currency: EUR
services:
  web:
    contexts: 32251@3gpp.org
    default: true
    unit: octets
    quota: {slice: 1 MB}
plans:
  passes:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
    allowances: {day: {unit: octets, amount: 100 MB}}
    recurring:
      pass: {every: day, fee: 0.10, allowances: day, retry: 1 h}
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path) -> str:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ocs.db'}"
    return str(request.getfixturevalue("postgres_url"))


def make_servers(launcher: Launcher, directory: Path, url: str) -> list[ForkedOcs]:
    servers = []
    for node in (1, 2):
        home = directory / f"server{node}"
        home.mkdir()
        servers.append(
            ForkedOcs(launcher, home, url, test_clock=True, process={"node": node})
        )
    return servers


@contextlib.contextmanager
def open_accounts(url: str) -> Iterator[Books]:
    """Make a database with accounts whose first day was paid when they were opened."""
    migrations.upgrade(url)
    with open_books(url) as books:
        catalogs.publish(books.desk, CATALOGUE, "passes.yaml")
        index = books.catalogues.current()
        plan = index.catalog.plans["passes"]

        def decide(working_set: WorkingSet) -> None:
            for number in range(ACCOUNTS):
                names = (Identity("msisdn", f"4915100{number:05}"),)
                new = NewSubscriber(names, "passes", OPENING_MICRO)
                open_account(books.desk, working_set, 1 + number, new, plan, index)

        books.desk.store.transact([], decide)
        yield books


def fees(books: Books) -> Counter[int]:
    """How many fees every account has paid."""
    moved = schema.movement.c
    rows = books.desk.reader.rows(
        select(moved.account_id).where(moved.contra == int(Contra.FEE))
    )
    return Counter(row[0] for row in rows)


def wait_for(books: Books, days: int) -> None:
    """Return when every account has paid so many days; nobody ever pays more."""
    waiting, deadline = threading.Event(), time.monotonic() + WITHIN_SECONDS
    while (paid := fees(books)).total() < days * ACCOUNTS:
        assert max(paid.values()) <= days
        assert time.monotonic() < deadline, f"{paid.total()} of {days * ACCOUNTS} fees"
        waiting.wait(0.05)


def check(books: Books, days: int) -> None:
    """Every account has paid so many days, has one full allowance and adds up."""
    assert set(fees(books).values()) == {days}
    assert set(books.balances().values()) == {OPENING_MICRO - days * FEE_MICRO}
    bucket = schema.bucket.c
    rows = books.desk.reader.rows(select(bucket.available).where(bucket.name == "day"))
    assert [row[0] for row in rows] == [100_000_000] * ACCOUNTS
    books.audited()


@pytest.mark.slow
@pytest.mark.rule("K-260", "K-267")
def test_two_servers_run_every_period_of_every_account_once(launcher, tmp_path, url):
    servers = make_servers(launcher, tmp_path, url)
    with open_accounts(url) as books, servers[0], servers[1]:
        check(books, 1)
        for day in (1, 2, 5):
            for server in servers:
                server.set_clock(day * DAY + 5)
            wait_for(books, day + 1)
            check(books, day + 1)
        log = [line for server in servers for line in server.log]
        assert [line for line in log if line.get("level") in {"error", "critical"}] == []


@pytest.mark.slow
@pytest.mark.rule("K-260", "K-267")
def test_kills_in_the_midst_of_renewals_and_downtime_leave_none_out(
    launcher, tmp_path, url, seed
):
    chance = random.Random(seed)
    servers = make_servers(launcher, tmp_path, url)
    with open_accounts(url) as books, contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(contextlib.closing(server))
        day = 0
        for days in (1, 2, 1, 3):
            day += days
            victim = chance.choice(servers)
            enough = fees(books).total() + chance.randrange(ACCOUNTS)
            for server in servers:
                server.set_clock(day * DAY + 5)
                if server.process is None:
                    server.start()
            deadline = time.monotonic() + WITHIN_SECONDS
            while fees(books).total() < enough:
                assert time.monotonic() < deadline
            victim.kill()
            books.audited()
            if chance.random() < 0.5:
                wait_for(books, day + 1)
        for server in servers:
            if server.process is None:
                server.start()
        wait_for(books, day + 1)
        check(books, day + 1)
