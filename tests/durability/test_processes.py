"""Several server processes and the operator's desk on one database: everything happens once.

PostgreSQL and SQLite alike. P1 is connected to one server, the agent P2 to the other.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import Found
from tests.support.books import Books, create_database, open_books
from tests.support.campaign import Campaign
from tests.support.launcher import ForkedOcs, run_ocs
from tests.support.load_client import SUCCESS, Exchange, LoadConnection, Memory
from tests.support.traffic import MB, Subscriber, Traffic, make_subscribers

P1, P2 = "pgw1.net.example", "dra1.net.example"
PEERS = [{"origin_host": P1}, {"origin_host": P2, "relay": True}]
PATIENT = {"answer_within_ms": 10_000}
"""Nobody is told TOO_BUSY because the other server had the lock for a while."""
TIMES = 50
TOPUP, TOPUP_MICRO = "0.10", 100_000


class Pair:
    """Two servers on one database, a gateway at each of them, and what was said to both."""

    def __init__(self, launcher, directory: Path, url: str, subscribers: list[Subscriber]) -> None:
        self.memory = Memory()
        self.traffic = Traffic(1, self.memory, subscribers)
        self.servers = []
        for node in (1, 2):
            home = directory / f"server{node}"
            home.mkdir()
            server = ForkedOcs(
                launcher,
                home,
                url,
                diameter={"peers": PEERS},
                charging=PATIENT,
                process={"node": node},
            )
            self.servers.append(server)
        self.links = [LoadConnection(self.memory, host) for host in (P1, P2)]

    async def connect(self) -> None:
        """Connect P1 to the first server, P2 to the second."""
        for link, server in zip(self.links, self.servers, strict=True):
            await link.connect(server.addresses[0])

    async def close(self) -> None:
        """Close both connections."""
        for link in self.links:
            await link.close()

    async def ask_both(self, *exchanges: Exchange) -> None:
        """Send the same requests to both servers at once; both must answer, and alike."""
        results = await asyncio.gather(
            self.links[0].ask(*exchanges), self.links[1].ask(*exchanges, retransmitted=True)
        )
        assert {result for both in results for result in both} == {SUCCESS}

    async def ask(self, index: int, *exchanges: Exchange) -> None:
        """Send requests to one server; all must succeed."""
        assert set(await self.links[index].ask(*exchanges)) <= {SUCCESS}

    def check(self, books: Books, topped_up: int = 0, operators: int = 0) -> None:
        """Everything sent was decided once; accounts got ``topped_up`` besides."""
        assert self.memory.unanswered() == []
        assert self.memory.differences == []
        model = self.traffic.balances()
        first = self.traffic.subscribers[0].account_id
        model[first] += topped_up
        assert books.balances() == model
        assert books.open_sessions() == self.traffic.open_sessions()
        stored = len(self.memory.exchanges) + len(self.traffic.subscribers) + operators
        assert books.requests() == stored
        books.audited()

    def errors(self) -> list[dict[str, str]]:
        """Return what the servers' logs have of errors."""
        lines = [line for server in self.servers for line in server.log]
        return [line for line in lines if line.get("level") in {"error", "critical"}]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request, tmp_path) -> str:
    """A fresh database on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ocs.db'}"
    return str(request.getfixturevalue("postgres_url"))


@contextlib.contextmanager
def running_pair(
    launcher, directory: Path, url: str, count: int = 4
) -> Iterator[tuple[Pair, Books]]:
    """Two running servers on a new database, and its books."""
    pair = Pair(launcher, directory, url, make_subscribers(count))
    create_database(url, pair.traffic.subscribers)
    with open_books(url) as books, pair.servers[0], pair.servers[1]:
        yield pair, books
        assert pair.errors() == []


@contextlib.contextmanager
def locked(url: str, account_id: int) -> Iterator[None]:
    """Keep an account from being charged, as a transaction of somebody else does."""
    if url.startswith("sqlite"):
        with contextlib.closing(
            sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            connection.execute(
                "SELECT 1 FROM account WHERE account_id = %s FOR UPDATE", (account_id,)
            )
            yield


@pytest.mark.slow
@pytest.mark.rule("C-182", "M-006", "T172", "T173")
def test_the_same_requests_at_both_servers_at_once_are_decided_once(launcher, tmp_path, url):
    async def run(pair: Pair) -> None:
        await pair.connect()

        async def twins() -> None:
            for _ in range(12):
                for burst in pair.traffic.next(P1):
                    await pair.ask_both(*burst)

        await asyncio.gather(*(twins() for _ in range(5)))
        await pair.close()

    with running_pair(launcher, tmp_path, url) as (pair, books):
        asyncio.run(run(pair))
        pair.check(books)
        assert pair.memory.answers == 2 * len(pair.memory.exchanges)


@pytest.mark.slow
@pytest.mark.rule("B-145", "T173")
def test_a_copy_at_the_other_server_while_the_first_is_in_work(launcher, tmp_path, url):
    async def run(pair: Pair) -> None:
        await pair.connect()
        subscriber = pair.traffic.subscribers[0]
        requests = pair.traffic.session(P1, subscriber, (100, 200), [3 * MB, 1, MB])
        for request in requests:
            with locked(url, subscriber.account_id):
                copies = [link.send(request) for link in pair.links]
                # Both are in work when the lock is released: neither can have been decided.
                done, _ = await asyncio.wait(copies, timeout=0.1)
                assert done == set()
            assert [await copy for copy in copies] == [SUCCESS, SUCCESS]
        await pair.close()

    with running_pair(launcher, tmp_path, url) as (pair, books):
        asyncio.run(run(pair))
        pair.check(books)


@pytest.mark.slow
@pytest.mark.rule("T185", "C-005")
def test_an_update_and_the_end_of_its_session_sent_together_to_both(launcher, tmp_path, url):
    async def run(pair: Pair) -> None:
        await pair.connect()
        for turn in range(20):
            subscriber = pair.traffic.subscribers[turn % 2]
            initial, update, end = pair.traffic.session(P1, subscriber, (100,), [3 * MB, MB + 1])
            await pair.ask(turn % 2, initial)
            await asyncio.gather(pair.ask(0, update), pair.ask(1, end))
        await pair.close()

    with running_pair(launcher, tmp_path, url) as (pair, books):
        asyncio.run(run(pair))
        pair.check(books)
        assert {money.held for money in books.money().values()} == {0}


@pytest.mark.slow
@pytest.mark.rule("T184")
def test_parallel_debits_and_top_ups_of_one_account(launcher, tmp_path, url):
    async def run(pair: Pair, books: Books) -> None:
        await pair.connect()
        subscriber = pair.traffic.subscribers[0]
        found = Found(subscriber.account_id, 0, f"msisdn:{subscriber.msisdn}")
        sessions = [
            pair.traffic.session(P1, subscriber, (100,), [MB + number, number])
            for number in range(TIMES)
        ]
        await pair.ask(0, *(initial for initial, _, _ in sessions))

        def top_up(number: int) -> None:
            accounts.top_up(books.desk, found, TOPUP, reference=f"voucher {number}")

        command = asyncio.create_task(asyncio.to_thread(top_up_by_command, url, subscriber))
        debits = [pair.ask(number % 2, update) for number, (_, update, _) in enumerate(sessions)]
        top_ups = [asyncio.to_thread(top_up, number % TIMES) for number in range(TIMES + 5)]
        await asyncio.gather(command, *debits, *top_ups)
        await pair.ask(1, *(end for _, _, end in sessions))
        await pair.close()

    with running_pair(launcher, tmp_path, url) as (pair, books):
        asyncio.run(run(pair, books))
        # The command's one and the fifty; five came twice under the same reference.
        pair.check(books, (TIMES + 1) * TOPUP_MICRO, TIMES + 1)


def top_up_by_command(url: str, subscriber: Subscriber) -> None:
    """`ocs account topup`, while the servers run."""
    command = ["account", "topup", subscriber.msisdn, TOPUP, "--reason", "test"]
    run_ocs(*command, environ={"OCS_DATABASE_URL": url}).check_returncode()


@pytest.mark.slow
@pytest.mark.rule("T187")
def test_killed_before_the_commit_a_request_is_processed_when_it_is_sent_again(
    launcher, tmp_path, url
):
    async def run(pair: Pair, books: Books) -> None:
        await pair.connect()
        subscriber = pair.traffic.subscribers[0]
        initial, update, end = pair.traffic.session(P1, subscriber, (100,), [3 * MB, 5 * MB])
        await pair.ask(0, initial)
        stored = books.requests()
        with locked(url, subscriber.account_id):
            copy = pair.links[0].send(update)
            done, _ = await asyncio.wait([copy], timeout=0.1)
            assert done == set()
            pair.servers[0].kill()
            assert await copy == 0
        assert books.requests() == stored
        books.audited()
        # The other server takes over, as the client's failover would have it, then the first.
        await pair.links[1].ask(update, retransmitted=True)
        pair.servers[0].start()
        await pair.links[0].connect(pair.servers[0].addresses[0])
        await pair.links[0].ask(update, retransmitted=True)
        await pair.ask(0, end)
        await pair.close()

    with running_pair(launcher, tmp_path, url) as (pair, books):
        asyncio.run(run(pair, books))
        pair.check(books)


@pytest.mark.slow
@pytest.mark.rule("C-102", "T188")
def test_a_thousand_open_sessions_outlive_a_restart(launcher, tmp_path, url):
    count = 1000

    async def ask_all(campaign: Campaign, number: int) -> None:
        await campaign.connect(server)
        requests = [session[number] for session in sessions]
        for start in range(0, count, 250):
            (link,) = campaign.connections.values()
            results = await link.ask(*requests[start : start + 250])
            assert set(results) == {SUCCESS}
        await campaign.close()

    campaign = Campaign(1, make_subscribers(40), [P1], 1)
    server = ForkedOcs(launcher, tmp_path, url, diameter={"peers": PEERS}, charging=PATIENT)
    create_database(url, campaign.traffic.subscribers)
    sessions = [
        campaign.traffic.session(P1, subscriber, (100, 200), [MB * (number % 7), number])
        for number in range(count)
        for subscriber in [campaign.traffic.subscribers[number % 40]]
    ]
    with open_books(url) as books, server:
        asyncio.run(ask_all(campaign, 0))
        server.kill()
        held = books.money()
        server.start()
        assert books.money() == held
        assert books.open_sessions() == count
        asyncio.run(ask_all(campaign, 1))
        campaign.check(books)
        assert server.stop() == 0
        server.start()
        asyncio.run(ask_all(campaign, 2))
        campaign.check_end(books)
