"""`python -m benchmarks.server SUBSCRIBERS CONFIG`: the server without any database.

Everything is as `ocs serve` has it but the store, which is the one in memory, filled here.
"""

import sys
from pathlib import Path

from benchmarks.databases import fill
from ocs.app import install_reactor
from ocs.clock import IdSource, SystemClock
from ocs.service.application import Application
from ocs.service.watching.telemetry import configure_logging
from ocs.settings import load_settings
from ocs.store.memory import MemoryStore


def main(subscribers: int, config: Path) -> None:
    """Serve until SIGTERM."""
    settings = load_settings(config, {})
    configure_logging(settings.logging.level, settings.logging.format)
    clock = SystemClock()
    ids = IdSource(clock, settings.process.node)
    store = MemoryStore(ids)
    fill(store, ids, subscribers)
    reactor = install_reactor()
    application = Application(settings, reactor, store, clock, ids)
    application.start()
    reactor.addSystemEventTrigger("before", "shutdown", application.stop)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
