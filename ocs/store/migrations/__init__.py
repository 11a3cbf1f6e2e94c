"""The schema's history: which version a database has, and how it becomes this program's.

``ocs db upgrade`` calls ``upgrade``; SqlStore.check and the tools ask for the version. The steps
are Alembic revisions in versions/; each describes the tables as they were then.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from ocs.errors import FaultError, StoreUnusableError
from ocs.store import dialects
from ocs.store.failures import Again, fault_of

VERSION_TABLE = "schema_version"
_LOCK = 0x6F6373
"""Advisory lock that keeps two upgrades of one PostgreSQL database apart."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


@cache
def known_versions() -> tuple[str, ...]:
    """Return every version this program knows, newest first."""
    script = ScriptDirectory.from_config(_config())
    return tuple(step.revision for step in script.walk_revisions())


def stored_version(connection: Connection) -> str | None:
    """Return the version a database has; None when it has no tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(
        text(f"SELECT version_num FROM {VERSION_TABLE}")
    ).scalar_one_or_none()
    return found


def current_version(url: str) -> str | None:
    """Return the version of the database at a URL; StoreUnavailableError if it is not there."""
    engine = dialects.open_engine(url)
    try:
        with engine.connect() as connection:
            return stored_version(connection)
    except SQLAlchemyError as error:
        raise _fault(error, url) from error
    finally:
        engine.dispose()


def require_head(version: str | None) -> None:
    """Raise StoreUnusableError, saying what to run, unless the version is this program's."""
    known = known_versions()
    if version is None:
        raise StoreUnusableError("the database has no tables yet; to make them: ocs db upgrade")
    if version not in known:
        raise StoreUnusableError(
            f"the database has version {version}, which is newer than this program "
            f"(it knows {known[0]}); install the newer program"
        )
    if version != known[0]:
        raise StoreUnusableError(
            f"the database has version {version}, older than {known[0]}; "
            "to bring it up to date: ocs db upgrade"
        )


def upgrade(url: str) -> str:
    """Make or bring up to date the tables of a database in one transaction; return the version.

    An SQLite file is created if need be. Raises StoreUnusableError for a database of a newer
    program and StoreUnavailableError when it cannot be reached; nothing is changed then.
    """
    engine = dialects.open_engine(url, "create")
    try:
        return _upgrade(engine)
    except SQLAlchemyError as error:
        raise _fault(error, url) from error
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> str:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        version = stored_version(connection)
        if version is not None and version not in known_versions():
            require_head(version)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return known_versions()[0]


def _fault(error: SQLAlchemyError, url: str) -> FaultError:
    """Return what to raise for a driver's error; it names the file of an SQLite database."""
    path = dialects.sqlite_path(dialects.parse_url(url))
    fault = fault_of(error, str(path) if path else "", committing=False)
    return fault.fault if isinstance(fault, Again) else fault
