"""What keeps a server from starting is said in one sentence with what to do, exit code 1; and a
server that is told to stop under load leaves nothing half-done.
"""

import asyncio
import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ocs.store import migrations
from tests.support.books import create_database, open_books
from tests.support.campaign import Campaign
from tests.support.launcher import ForkedOcs
from tests.support.postgres import running_postgres
from tests.support.sources import ROOT
from tests.support.traffic import make_subscribers

SERVE_SECONDS = 60.0


def serve(directory: Path, url: str, listen: str = "127.0.0.1:0") -> str:
    """Run `ocs serve`, insist that it refuses to start, and return what it says."""
    config = directory / "ocs.yaml"
    sections = {"diameter": {"listen": [listen]}, "database": {"url": url}}
    config.write_text(yaml.safe_dump(sections), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "ocs.cli.main", "serve", "--config", str(config)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SERVE_SECONDS,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("ocs: ")]
    assert "Traceback" not in ran.stderr
    return lines[-1]


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_a_port_in_use(tmp_path):
    url = sqlite_url(tmp_path / "ocs.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = serve(tmp_path, url, f"127.0.0.1:{port}")
    assert said == (
        f"ocs: cannot listen on 127.0.0.1:{port}: another program uses it: stop that one, or "
        "choose another port in diameter.listen"
    )
    # What it made before that is whole: the next start uses it.
    assert migrations.current_version(url) == migrations.known_versions()[0]


@pytest.mark.parametrize(
    "url",
    ["postgresql://ocs@127.0.0.1:1/ocs", "postgresql://ocs@/ocs?host=/nowhere"],
    ids=["address", "socket"],
)
def test_a_database_server_that_is_not_there(tmp_path, url):
    said = serve(tmp_path, url)
    assert "the database cannot be reached; start its server, or correct" in said


def test_a_directory_that_cannot_be_written(tmp_path):
    # Nobody can make a file there, root included.
    said = serve(tmp_path, "sqlite:////proc/ocs.db")
    assert said.startswith("ocs: /proc/ocs.db: the database file cannot be opened or written; ")
    assert "check its directory and owner" in said


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("this is no database, whatever its name says\n" * 50, encoding="utf-8")
    before = path.read_bytes()
    assert "damaged or is no database" in serve(tmp_path, sqlite_url(path))
    assert path.read_bytes() == before


def test_a_database_of_a_newer_program(tmp_path):
    path = tmp_path / "ocs.db"
    create_database(sqlite_url(path), make_subscribers(1))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'")
    said = serve(tmp_path, sqlite_url(path))
    assert "version 9999, which is newer than this program" in said
    assert "install the newer program" in said
    assert migrations.current_version(sqlite_url(path)) == "9999"


@pytest.mark.postgres
def test_a_postgresql_without_tables(tmp_path, postgres_url):
    assert serve(tmp_path, postgres_url).endswith("to make them: ocs db upgrade")
    assert migrations.current_version(postgres_url) is None


@pytest.mark.postgres
def test_a_postgresql_that_commits_before_it_is_safe(tmp_path, postgres_server):
    name = postgres_server.create_database()
    url = postgres_server.url(name)
    create_database(url, make_subscribers(1))
    postgres_server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    said = serve(tmp_path, url)
    assert "answers would be sent before they are safe: synchronous_commit is off" in said
    assert "switch it on in the database server" in said
    postgres_server.drop_database(name)


@pytest.mark.postgres
def test_a_postgresql_that_may_lose_what_it_committed(launcher, tmp_path):
    with running_postgres(fsync="off") as postgres:
        url = postgres.url(postgres.create_database())
        create_database(url, make_subscribers(1))
        assert "safe: fsync is off" in serve(tmp_path, url)
        # A test may say that it does not mind.
        with ForkedOcs(launcher, tmp_path, url, database={"allow_unsafe": True}) as server:
            assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.rule("B-128", "B-132", "D25")
def test_sigterm_under_load_answers_what_it_took_says_goodbye_and_leaves_nothing_half_done(
    launcher, tmp_path, seed
):
    hosts = ["pgw1.net.example", "pgw2.net.example"]
    campaign = Campaign(seed, make_subscribers(12, poor=2), hosts, 12)
    server = ForkedOcs(launcher, tmp_path, diameter={"peers": campaign.peers})
    create_database(server.url, campaign.traffic.subscribers)

    async def stop_under_load() -> int:
        await campaign.connect(server)
        await campaign.repeat_unanswered()
        load = campaign.start_workers()
        await campaign.memory.until_answers(campaign.memory.answers + 300)
        code = await asyncio.to_thread(server.stop)
        await asyncio.gather(*load)
        assert [one.goodbyes for one in campaign.connections.values()] == [1, 1]
        await campaign.close()
        return code

    async def go_on() -> None:
        await campaign.connect(server)
        await campaign.repeat_unanswered()
        await campaign.repeat_answered()
        await campaign.finish()
        await campaign.close()

    with open_books(server.url) as books, contextlib.closing(server):
        for _ in range(3):
            server.start()
            assert asyncio.run(stop_under_load()) == 0
            # Nothing that was sent before the goodbye stayed without an answer, and what is
            # stored is what was answered.
            assert campaign.memory.losses == 0
            answered = sum(1 for one in campaign.memory.exchanges if one.answer is not None)
            assert books.requests() == answered + len(campaign.traffic.subscribers)
            books.audited()
        server.start()
        asyncio.run(go_on())
        campaign.check_end(books)
    events = [line["event"] for line in server.log]
    assert events.count("ended") == 3
    assert not any(re.search("did not|refused", event) for event in events)
