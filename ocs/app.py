"""Composition root: settings become a server here, and here alone a concrete store is named.

``ocs serve`` calls ``run``; the command line opens its database with ``open_store``, so what only
a server needs is imported when a server is built.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from ocs.clock import Clock, FileClock, IdSource, SystemClock
from ocs.errors import UsageError
from ocs.settings.values import DatabaseSettings, Settings
from ocs.store.interface import Store
from ocs.store.sql import SqlStore

if TYPE_CHECKING:
    from ocs.service.application import Application

_log = structlog.get_logger(__name__)


def open_store(database: DatabaseSettings, ids: IdSource) -> Store:
    """Open the database of the settings; nothing is connected before the first use."""
    return SqlStore(
        database.url, ids, allow_unsafe=database.allow_unsafe, connections=database.connections
    )


def install_reactor() -> Any:
    """Install Twisted's reactor on asyncio, once per process, and return it.

    Raises UsageError when another kind of reactor is installed already.
    """
    from twisted.internet import asyncioreactor  # noqa: PLC0415 -- importing it must be harmless

    if "twisted.internet.reactor" not in sys.modules:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)  # type: ignore[no-untyped-call]
    from twisted.internet import reactor  # noqa: PLC0415 -- importing it installs one

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        raise UsageError("another reactor than asyncio's is installed in this process")
    return reactor


def build(settings: Settings, reactor: Any = None, test_clock: Path | None = None) -> Application:
    """Make a server from its settings and check its database; nothing listens yet.

    Raises StoreUnavailableError or StoreUnusableError when the database cannot be used, and
    UsageError for a test clock where somebody else than this machine could connect.
    """
    from ocs.service.application import Application  # noqa: PLC0415 -- see the module's docstring

    clock = make_clock(settings, test_clock)
    # One source for all ids of this process: two of the same node would make the same ids.
    ids = IdSource(clock, settings.process.node)
    store = open_store(settings.database, ids)
    try:
        store.check()
        return Application(settings, reactor or install_reactor(), store, clock, ids)
    except BaseException:
        store.close()
        raise


def run(settings: Settings, test_clock: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises OcsError if it cannot start."""
    from ocs.service.watching.masking import set_masking  # noqa: PLC0415 -- see the module's docstring
    from ocs.service.watching.telemetry import adopt_twisted, configure_logging  # noqa: PLC0415

    logging = settings.logging
    configure_logging(logging.level, logging.format, lines_per_minute=logging.max_lines_per_minute)
    set_masking(settings.logging.mask_identities)
    reactor = install_reactor()
    application = build(settings, reactor, test_clock)
    try:
        application.start()
    except BaseException:
        application.store.close()
        raise
    adopt_twisted()
    certificates = application.certificates
    if certificates is not None:
        hang_up = partial(reactor.callFromThread, certificates.reload)
        signal.signal(signal.SIGHUP, lambda *_: hang_up())
    # Twisted's handlers of SIGTERM and SIGINT stop the reactor, which waits for this first.
    reactor.addSystemEventTrigger("before", "shutdown", application.stop)
    started = time.monotonic()
    reactor.run()
    _log.info("ended", uptime_seconds=round(time.monotonic() - started))
    return 0


def make_clock(settings: Settings, test_clock: Path | None) -> Clock:
    """Return the machine's clock, or one that a file shifts, for tests on loopback only."""
    if test_clock is None:
        return SystemClock()
    for host in sorted(settings.hosts):
        if not _is_loopback(host):
            raise UsageError(
                f"a test clock is refused because {host} can be reached from other machines;"
                " set diameter.listen to loopback addresses only"
            )
    return FileClock(test_clock)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
