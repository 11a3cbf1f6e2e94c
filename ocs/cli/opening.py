"""Settings and database of one command: read, opened, and made where that is harmless.

Called by command.Run when a command first asks for its settings or its desk.
"""

import secrets
from collections.abc import Callable
from pathlib import Path

import click

from ocs.app import open_store
from ocs.charging.model.decision import DecisionPolicy
from ocs.clock import NODE_MAX, IdSource, SystemClock
from ocs.errors import StoreUnusableError
from ocs.profiles import with_own
from ocs.provisioning.desk import Desk
from ocs.settings import load_settings
from ocs.settings.values import Settings
from ocs.store import dialects, migrations
from ocs.store.reading import Reader

FIRST_TOOL_NODE = 128
"""Commands make their ids as one of the nodes from here on, so that no server has the same."""


def read_settings(config: Path | None, database: str | None) -> Settings:
    """Return the settings of the file, else the defaults, with ``database`` on top.

    Raises DocumentError, UsageError.
    """
    settings = load_settings(config)
    if database:
        dialects.parse_url(database)
        settings = settings.with_database(database)
    return settings


def open_desk(
    settings: Settings, *, operator: str, reason: str, create: bool
) -> tuple[Desk, Callable[[], None]]:
    """Return a desk on the settings' database, and what closes it.

    ``create`` makes an SQLite database that is not there yet. Raises StoreUnusableError,
    StoreUnavailableError.
    """
    url = settings.database.url
    prepare(url, create=create)
    clock = SystemClock()
    node = FIRST_TOOL_NODE + secrets.randbelow(NODE_MAX + 1 - FIRST_TOOL_NODE)
    ids = IdSource(clock, node)
    store = open_store(settings.database, ids)
    engine = dialects.open_engine(url, "plain", 2)

    def close() -> None:
        engine.dispose()
        store.close()

    try:
        store.check()
    except BaseException:
        close()
        raise
    charging = settings.charging
    policy = DecisionPolicy(
        tcc_default_seconds=charging.tcc_default_seconds,
        tombstone_seconds=charging.tombstone_seconds,
        indeterminate_before=charging.straddling_usage_before,
        remaining_balance=charging.remaining_balance or 0,
    )
    own = with_own(settings.diameter.profiles)
    profiles = {name: profile.charging for name, profile in own.items()}
    desk = Desk(store, Reader(engine), clock, ids, operator, reason, policy, profiles)
    return desk, close


def prepare(url: str, *, create: bool) -> None:
    """Make the embedded database when it does not exist and may be made; else say what to do."""
    path = dialects.sqlite_path(dialects.parse_url(url))
    if path is None or path.exists():
        return
    if not create:
        raise StoreUnusableError(
            f"there is no database {path}; `ocs db upgrade` makes one, --database names another"
        )
    migrations.upgrade(url)
    click.echo(f"ocs: made the database {path}", err=True)
