"""Kill -9 of the server under load at random moments: no answer is lost, no money moves twice.

`make test` kills 20 times on SQLite and a few times on PostgreSQL, `make soak` a thousand times on
each. OCS_TEST_SEED repeats the random choices of a run that failed.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.books import Books, create_database, open_books
from tests.support.campaign import Campaign
from tests.support.launcher import ForkedOcs, Launcher
from tests.support.traffic import make_subscribers

HOSTS = [f"pgw{number}.net.example" for number in range(1, 5)]
SLOTS = 8
"""Sessions that each gateway has at once."""
ANSWERS_MAX = 300
"""A kill comes after at most so many answers."""
LEEWAY_SECONDS = 0.03
"""And so much later at most, so that it meets every phase of a batch."""
KILLS_PER_DATABASE = 25


def kill_many_times(
    launcher: Launcher, directory: Path, url: str, kills: int, seed: int
) -> Campaign:
    """Load, kill, restart, compare, again and again; then finish and do the sums."""
    directory.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(seed, make_subscribers(24, poor=4), HOSTS, SLOTS)
    server = ForkedOcs(launcher, directory, url, diameter={"peers": campaign.peers})
    create_database(server.url, campaign.traffic.subscribers)
    with open_books(server.url) as books, contextlib.closing(server):
        asyncio.run(_kill_many_times(server, books, campaign, kills))
    assert [line for line in server.log if line.get("level") in {"error", "critical"}] == []
    return campaign


async def _kill_many_times(server: ForkedOcs, books: Books, campaign: Campaign, kills: int) -> None:
    for _ in range(kills):
        server.start()
        books.audited()
        await campaign.connect(server)
        # Now and then the kill comes while the gateways still repeat what had no answer.
        if campaign.random.random() < 0.8:
            await campaign.repeat_unanswered()
            await campaign.repeat_answered()
            campaign.check(books)
        await _load_and_kill(server, campaign)
    server.start()
    books.audited()
    await campaign.connect(server)
    await campaign.repeat_unanswered()
    campaign.check(books)
    await campaign.finish()
    await campaign.repeat_answered()
    campaign.check_end(books)
    await campaign.close()


async def _load_and_kill(server: ForkedOcs, campaign: Campaign) -> None:
    chance, memory = campaign.random, campaign.memory
    moment = memory.answers + chance.randrange(ANSWERS_MAX)
    repeating = asyncio.create_task(campaign.repeat_unanswered())
    load = campaign.start_workers()
    await memory.until_answers(moment)
    await asyncio.sleep(chance.random() * LEEWAY_SECONDS)
    server.kill()
    await asyncio.gather(repeating, *load)
    for connection in campaign.connections.values():
        await connection.ended()


def must_have_met_the_load(campaign: Campaign, kills: int) -> None:
    """Insist that the test tested: requests were lost by kills, and answers compared."""
    resent = [one for one in campaign.memory.exchanges if one.sent > 1]
    assert campaign.repeated >= 20 * kills
    assert len(resent) > campaign.repeated / 10
    assert campaign.memory.losses >= kills


@pytest.mark.slow
@pytest.mark.rule("T187", "M-006")
def test_twenty_kills_on_sqlite_lose_no_answer_and_move_no_money_twice(launcher, tmp_path, seed):
    campaign = kill_many_times(launcher, tmp_path, "", 20, seed)
    must_have_met_the_load(campaign, 20)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.rule("T187", "M-006")
def test_kills_on_postgresql_lose_no_answer_and_move_no_money_twice(
    launcher, tmp_path, seed, postgres_url
):
    campaign = kill_many_times(launcher, tmp_path, postgres_url, 6, seed)
    must_have_met_the_load(campaign, 6)


@pytest.mark.soak
@pytest.mark.rule("T187", "M-006")
def test_a_thousand_kills_on_sqlite(launcher, tmp_path, seed, soak_kills):
    for number, kills in enumerate(_portions(soak_kills)):
        kill_many_times(launcher, tmp_path / str(number), "", kills, seed + number)


@pytest.mark.soak
@pytest.mark.postgres
@pytest.mark.rule("T187", "M-006")
def test_a_thousand_kills_on_postgresql(launcher, tmp_path, seed, soak_kills, postgres_server):
    for number, kills in enumerate(_portions(soak_kills)):
        name = postgres_server.create_database()
        url = postgres_server.url(name)
        kill_many_times(launcher, tmp_path / str(number), url, kills, seed + number)
        postgres_server.drop_database(name)


def _portions(kills: int) -> Iterator[int]:
    """Cut a number of kills into pieces for one database each, so that audits stay short."""
    while kills > 0:
        yield min(kills, KILLS_PER_DATABASE)
        kills -= KILLS_PER_DATABASE
