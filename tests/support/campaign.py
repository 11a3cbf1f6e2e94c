"""A server under load that is interrupted and goes on: gateways, their traffic, and what must hold.

Used by the tests of tests/durability; one Campaign is one database with everything ever sent to it.
"""

import asyncio
import random

from tests.support.books import Books
from tests.support.load_client import FAULTS, SUCCESS, Exchange, LoadConnection, Memory
from tests.support.ocs_process import OcsProcess
from tests.support.traffic import Subscriber, Traffic

LATEST = 48
"""How many of the youngest answers are asked for again after each interruption."""
OLDER = 24
"""How many of all the others."""

RETRY_SECONDS = 0.05
"""Pause between attempts while the server answers faults."""


class Worker:
    """Sends one session after the other on its connection; an interrupted one goes on later."""

    def __init__(self, connection: LoadConnection, traffic: Traffic) -> None:
        self.connection = connection
        self._traffic = traffic
        self._bursts: list[list[Exchange]] = []

    async def run(self, *, until_session_ends: bool = False) -> None:
        """Work until the connection is lost or says goodbye, or a fault is answered.

        With ``until_session_ends`` stop when the session at hand is over.
        """
        while self.connection.is_open and not self.connection.goodbyes:
            if not self._bursts:
                if until_session_ends:
                    return
                self._bursts = self._traffic.next(self.connection.origin_host)
            results = await self.connection.ask(*self._bursts.pop(0))
            if any(result in FAULTS for result in results):
                return


class Campaign:
    """Gateways with workers against one server or several on one database."""

    def __init__(
        self, seed: int, subscribers: list[Subscriber], hosts: list[str], slots: int
    ) -> None:
        self.random = random.Random(seed)
        self.memory = Memory()
        self.traffic = Traffic(seed, self.memory, subscribers)
        self.connections = {host: LoadConnection(self.memory, host) for host in hosts}
        self.workers = [
            Worker(connection, self.traffic)
            for connection in self.connections.values()
            for _ in range(slots)
        ]
        self.repeated = 0
        """Answered requests that were sent again."""

    @property
    def peers(self) -> list[dict[str, str]]:
        """The peers of the settings file."""
        return [{"origin_host": host} for host in self.connections]

    @property
    def is_connected(self) -> bool:
        """Whether every gateway has its connection."""
        return all(one.is_open and not one.goodbyes for one in self.connections.values())

    async def connect(self, *servers: OcsProcess) -> None:
        """Connect every gateway; they take turns with the servers."""
        for index, connection in enumerate(self.connections.values()):
            await connection.connect(servers[index % len(servers)].addresses[0])

    async def close(self) -> None:
        """Close every connection."""
        for connection in self.connections.values():
            await connection.close()

    def start_workers(self) -> list[asyncio.Task[None]]:
        """Begin the load."""
        return [asyncio.create_task(worker.run()) for worker in self.workers]

    async def finish(self) -> None:
        """Bring every session to its end."""
        await asyncio.gather(*(one.run(until_session_ends=True) for one in self.workers))

    async def repeat_unanswered(self) -> None:
        """Send everything that has no answer again, with the T flag."""
        await self._send_again(self.memory.unanswered())

    async def repeat_answered(self) -> None:
        """Send answered requests again: the youngest, and some of all. Memory compares."""
        answered = [one for one in self.memory.exchanges if one.answer is not None]
        older = answered[:-LATEST]
        chosen = self.random.sample(older, min(OLDER, len(older))) + answered[-LATEST:]
        self.repeated += len(chosen)
        await self._send_again(chosen)

    async def repeat_until_answered(self, seconds: float) -> None:
        """Send what has no answer again and again until it has one."""
        async with asyncio.timeout(seconds):
            while self.memory.unanswered():
                await self.repeat_unanswered()
                await asyncio.sleep(RETRY_SECONDS)

    async def _send_again(self, exchanges: list[Exchange]) -> None:
        futures = [
            self.connections[one.request.origin_host].send(one, retransmitted=True)
            for one in exchanges
        ]
        if futures:
            await asyncio.wait(futures)

    # -------------------------------------------------------------------- what must hold

    def check(self, books: Books, others: int = 0) -> None:
        """Everything sent is decided: money, sessions and stored answers are exactly that.

        ``others`` are stored requests that are not ours.
        """
        memory = self.memory
        assert memory.unanswered() == []
        assert memory.differences == []
        assert set(memory.results) <= {SUCCESS, *FAULTS}, memory.results
        assert books.balances() == self.traffic.balances()
        assert books.open_sessions() == self.traffic.open_sessions()
        sent = sum(1 for one in memory.exchanges if one.sent)
        assert books.requests() == sent + len(self.traffic.subscribers) + others

    def check_end(self, books: Books, others: int = 0) -> None:
        """Every session has ended too, so nothing is held any more; the audit agrees."""
        self.check(books, others)
        assert self.traffic.open_sessions() == 0
        assert {money.held for money in books.money().values()} == {0}
        books.audited()
