"""Copies of a whole database, made and put back while nothing half-done can be seen.

SQLite is copied by its own online backup into a new file that takes its name at the end;
PostgreSQL by pg_dump and pg_restore, which must be installed. Called by
provisioning.maintenance.
"""

import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, select

from ocs.errors import RefusedError, StoreUnavailableError
from ocs.store import dialects, migrations
from ocs.store.reading import Reader
from ocs.store.schema import account

_PAGES = 2048
_HEADER = b"SQLite format 3\x00"
_DEBIAN_HINT = "Debian, Ubuntu: apt install postgresql-client"


def backup(url_text: str, target: Path) -> int:
    """Copy the database into ``target``, which appears only when it is whole; return its octets.

    Raises RefusedError when ``target`` exists or a tool is missing, StoreUnavailableError when
    the copy fails.
    """
    if target.exists():
        raise RefusedError(f"{target} exists already; choose another name")
    url = dialects.parse_url(url_text)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        dialects.make_private(part)
        path = dialects.sqlite_path(url)
        if path is not None:
            _copy_sqlite(path, part)
        else:
            _dump_postgres(url, part)
        _sync(part)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    _sync(target.parent)
    return target.stat().st_size


def restore(url_text: str, source: Path) -> None:
    """Put a copy back over the database of the URL, all of it or nothing.

    The caller has checked that this is wanted. Raises RefusedError when ``source`` is no copy of
    this kind of database, or an SQLite database is in use.
    """
    url = dialects.parse_url(url_text)
    path = dialects.sqlite_path(url)
    if path is not None:
        _restore_sqlite(path, source)
    else:
        _restore_postgres(url, source)


def is_empty(url_text: str) -> bool:
    """Tell whether restoring over this database would lose nothing: it has no accounts."""
    path = dialects.sqlite_path(dialects.parse_url(url_text))
    if path is not None and not path.exists():
        return True
    if migrations.current_version(url_text) is None:
        return True
    engine = dialects.open_engine(url_text)
    try:
        return not Reader(engine).rows(select(account.c.account_id).limit(1))
    finally:
        engine.dispose()


def _copy_sqlite(path: Path, target: Path) -> None:
    if not path.exists():
        raise RefusedError(f"there is no database {path}")
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy, pages=_PAGES)
            # Without a log of its own a copy is one file, also after somebody has read it.
            copy.execute("PRAGMA journal_mode = DELETE")
            found = copy.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{path} cannot be copied to {target}: {error}") from error
    if found != "ok":
        raise StoreUnavailableError(f"{path} is damaged: {found}")


def _restore_sqlite(path: Path, source: Path) -> None:
    with source.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            raise RefusedError(f"{source} is no copy of an SQLite database")
    part = path.with_name(f"{path.name}.restoring")
    part.unlink(missing_ok=True)
    try:
        dialects.make_private(part)
        _copy_sqlite(source, part)
        migrations.require_head(migrations.current_version(f"sqlite:///{quote(str(part.absolute()))}"))
        with closing(sqlite3.connect(part)) as copy:
            copy.execute("PRAGMA journal_mode = WAL")
        _sync(part)
        if path.exists():
            _refuse_if_used(path)
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        part.replace(path)
    finally:
        for leftover in ("", "-wal", "-shm"):
            part.with_name(part.name + leftover).unlink(missing_ok=True)
    _sync(path.parent)


def _refuse_if_used(path: Path) -> None:
    """Take the write-ahead log off the old file, which SQLite does for its only user alone."""
    try:
        with closing(sqlite3.connect(path, timeout=1.0)) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            mode = "wal"
        else:
            return  # A damaged database is what restoring is for.
    if mode == "wal":
        raise RefusedError(f"{path} is in use; stop the server and try again")


def _dump_postgres(url: URL, target: Path) -> None:
    _run(
        "pg_dump", url,
        ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"],
    )  # fmt: skip


def _restore_postgres(url: URL, source: Path) -> None:
    _run(
        "pg_restore", url,
        ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--exit-on-error",
         "--single-transaction", str(source)],
    )  # fmt: skip


def _run(tool: str, url: URL, arguments: list[str]) -> None:
    program = shutil.which(tool)
    if program is None:
        raise RefusedError(f"{tool} is needed for PostgreSQL and was not found. {_DEBIAN_HINT}")
    # The URL may hold a password: it goes through the environment, not the process list.
    plain = url.set(drivername="postgresql")
    environment = {**os.environ}
    if plain.password is not None:
        environment["PGPASSWORD"] = str(plain.password)
    shown = plain.set(password=None).render_as_string(hide_password=False)
    done = subprocess.run(  # noqa: S603 - a program found on PATH, and no shell
        [program, f"--dbname={shown}", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise StoreUnavailableError(f"{tool} failed: {said}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
