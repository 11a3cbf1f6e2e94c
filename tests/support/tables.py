"""Databases with the tables of this program, for tests that are about something else.

Migrations make the tables once in each test process, with fsync and all; every further database is
a copy. That the migrations are right is proven by tests/store/test_migrations.py.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ocs.store import dialects, migrations


@cache
def _sqlite_file() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "tables.db"
        migrations.upgrade(f"sqlite:///{file}")
        assert [*file.parent.iterdir()] == [file], "nothing is left in a log beside it"
        return file.read_bytes()


def make_tables(url: str) -> None:
    """Make the tables in a new database; in one that has them, bring them up to date."""
    file = dialects.sqlite_path(dialects.parse_url(url))
    if file is not None and not Path(file).exists():
        Path(file).touch(0o600)
        Path(file).write_bytes(_sqlite_file())
    else:
        migrations.upgrade(url)


def with_tables(engine: str, directory: Path, fixture: Callable[[str], str]) -> str:
    """Return the URL of a new database on ``sqlite`` or ``postgresql`` that has its tables.

    ``fixture`` is request.getfixturevalue.
    """
    if engine == "postgresql":
        return fixture("postgres_tables_url")
    url = f"sqlite:///{directory / 'ocs.db'}"
    make_tables(url)
    return url
