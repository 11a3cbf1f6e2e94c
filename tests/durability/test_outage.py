"""The database goes away under load: clients are told in time, and nothing else is lost.

The gateways stop at the first fault, as a client with failure handling does, and repeat what has no
answer until it has one. Meanwhile no connection ends and the server is not restarted.
"""

import asyncio
import contextlib
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.books import create_database, open_books
from tests.support.campaign import Campaign
from tests.support.launcher import ForkedOcs
from tests.support.traffic import make_subscribers

HOSTS = ["pgw1.net.example", "pgw2.net.example", "pgw3.net.example"]
SLOTS = 6
TX_SECONDS = 5.0
"""How long a client waits for an answer before it gives up (Tx; the server's deadline is 2 s)."""
RECOVERY_SECONDS = 30.0
LOAD_ANSWERS = 300


class Outage:
    """A server under load whose database is taken away and given back."""

    def __init__(self, launcher, directory: Path, seed: int, url: str = "") -> None:
        self.campaign = Campaign(seed, make_subscribers(12), HOSTS, SLOTS)
        self.server = ForkedOcs(launcher, directory, url, diameter={"peers": self.campaign.peers})
        create_database(self.server.url, self.campaign.traffic.subscribers)

    def run(self, *outages: Callable[["Outage"], AsyncIterator[None]]) -> None:
        """Go through the outages: each takes the database away, yields, and gives it back."""
        with open_books(self.server.url) as books, self.server:
            asyncio.run(self._run(outages))
            self.campaign.check_end(books)
            assert self.server.stop() == 0

    async def _run(self, outages) -> None:
        campaign, memory = self.campaign, self.campaign.memory
        await campaign.connect(self.server)
        for outage in outages:
            load = campaign.start_workers()
            await memory.until_answers(memory.answers + LOAD_ANSWERS)
            faults = memory.faults
            memory.slowest_seconds = 0.0
            async with contextlib.asynccontextmanager(outage)(self):
                # Every worker meets a fault, in time, and nobody is disconnected.
                async with asyncio.timeout(2 * TX_SECONDS):
                    await asyncio.gather(*load)
                assert memory.faults >= faults + len(campaign.workers)
                assert memory.slowest_seconds < TX_SECONDS
                assert campaign.is_connected
            await campaign.repeat_until_answered(RECOVERY_SECONDS)
            await campaign.repeat_answered()
            assert memory.losses == 0
            assert campaign.is_connected
        await campaign.finish()
        await campaign.close()

    async def logged(self, event: str) -> dict[str, Any]:
        """Return the next line of the log with this event."""
        return await asyncio.to_thread(self.server.wait_for, event)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.rule("D25", "D20")
def test_postgresql_crashes_stops_and_hangs(launcher, tmp_path, seed, private_postgres):
    url = private_postgres.url(private_postgres.create_database())

    # Started on this thread: a cluster ends with the thread that started it.
    async def crash(outage):
        await asyncio.to_thread(private_postgres.stop, signal.SIGQUIT)
        yield
        private_postgres.start()

    async def stop(outage):
        await asyncio.to_thread(private_postgres.stop)
        yield
        said = await outage.logged("the store cannot be used; requests are answered TOO_BUSY")
        assert said["level"] == "error"
        private_postgres.start()

    async def hang(outage):
        with private_postgres.frozen():
            yield

    Outage(launcher, tmp_path, seed, url).run(crash, stop, hang, crash)


@pytest.mark.slow
@pytest.mark.rule("D25", "D20")
def test_sqlite_is_locked_by_another_process_for_longer_than_the_deadline(launcher, tmp_path, seed):
    async def lock(outage):
        other = sqlite3.connect(tmp_path / "ocs.db", isolation_level=None)
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            yield
            said = await outage.logged("the store cannot be used; requests are answered TOO_BUSY")
            assert "another process keeps the database locked" in said["error"]
            other.execute("ROLLBACK")

    outage = Outage(launcher, tmp_path, seed)
    outage.run(lock)
    assert "the store can be used again" in [line["event"] for line in outage.server.log]


@pytest.mark.slow
@pytest.mark.rule("D25")
def test_sqlite_cannot_write_to_its_disk(launcher, tmp_path, seed):
    async def fill(outage):
        # Nothing can be written beyond the first page of any file: not even the log can grow.
        pid = outage.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        yield
        said = await outage.logged("the store cannot be used; requests are answered TOO_BUSY")
        assert "the disk refuses to read or write the database" in said["error"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    Outage(launcher, tmp_path, seed).run(fill, fill)
