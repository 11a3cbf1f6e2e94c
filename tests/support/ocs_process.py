"""A real server in a process of its own, for tests that see it from outside.

It listens on loopback ports that the system chooses and says in its log when it serves; nothing
here waits by sleeping.
"""

import json
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import yaml

from ocs.clock import IdSource, SystemClock
from ocs.ledger.account import OperatorAction
from ocs.store.interface import PeerEntry
from ocs.store.sql import SqlStore
from tests.support.diameter_client import DiameterClient
from tests.support.service import add_account
from tests.support.sources import ROOT
from tests.support.tables import make_tables

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SEED_NODE = 201
CATALOGUE = ROOT / "config" / "catalogues" / "black-box.yaml"
# The same as `ocs serve --config FILE [--test-clock FILE]`.
SERVE = """
import sys
from pathlib import Path
from ocs.app import run
from ocs.settings import load_settings
clock = Path(sys.argv[2]) if len(sys.argv) > 2 else None
sys.exit(run(load_settings(Path(sys.argv[1]), {}), clock))
"""
PEERS = [
    {"origin_host": "pgw1.net.example"},
    {"origin_host": "dra1.net.example", "relay": True},
]


class OcsProcess:
    """One server; ``with`` starts it and ends it. ``sections`` go over the settings file."""

    def __init__(
        self,
        directory: Path,
        url: str = "",
        *,
        test_clock: bool = False,
        **sections: dict[str, Any],
    ) -> None:
        self.directory = directory
        self.url = url or f"sqlite:///{directory / 'ocs.db'}"
        self.clock_file = directory / "clock" if test_clock else None
        self.settings: dict[str, Any] = {
            "diameter": {
                "listen": ["127.0.0.1:0", "[::1]:0"],
                "origin_host": "ocs1.ocs.example",
                "origin_realm": "ocs.example",
                "watchdog_seconds": 6,
                "cer_timeout_seconds": 5,
                "max_message_octets": 262_144,
                "peers": PEERS,
            },
            "database": {"url": self.url},
            "charging": {"tcc_default_seconds": 60, "tombstone_seconds": 20},
            "logging": {"format": "json", "level": "info"},
        }
        for name, section in sections.items():
            self.settings.setdefault(name, {}).update(section)
        self.process: subprocess.Popen[str] | None = None
        self.log: list[dict[str, Any]] = []
        """Every line of the log so far."""
        self._lines: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self.addresses: list[tuple[str, int]] = []
        self.tls_addresses: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # ------------------------------------------------------------------------- the process

    def start(self) -> None:
        """Start the server and return when it serves. Raises AssertionError with its log."""
        config = self.directory / "ocs.yaml"
        config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        if self.clock_file is not None:
            self.clock_file.touch()
        self.process = self._spawn(config)
        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=self._read, args=(self.process.stderr, self._lines), daemon=True
        )
        self._reader.start()
        try:
            serving = self.wait_for("serving", START_SECONDS)
        except BaseException:
            self.kill()
            raise
        self.addresses = [_address(text) for text in serving["listen"]]
        self.tls_addresses = [_address(text) for text in serving["tls"]]

    def _spawn(self, config: Path) -> subprocess.Popen[str]:
        """Start the process; its log comes through ``stderr``."""
        command = [sys.executable, "-c", SERVE, str(config)]
        if self.clock_file is not None:
            command.append(str(self.clock_file))
        return subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )

    def wait_for(self, event: str, timeout: float = STOP_SECONDS) -> dict[str, Any]:
        """Return the next log line of this event."""
        while True:
            try:
                line = self._lines.get(timeout=timeout)
            except queue.Empty:
                raise AssertionError(f"no {event!r} in the log: {self.log}") from None
            if line is None:
                raise AssertionError(f"the server ended before {event!r}: {self.log}")
            if line.get("event") == event:
                return line

    def stop(self) -> int:
        """End it with SIGTERM and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def hang_up(self) -> None:
        """Send SIGHUP."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it at once, as a power cut would end it; harmless when it has ended."""
        if self.process is not None:
            self.process.kill()
            self._wait()

    def set_clock(self, seconds: int) -> None:
        """Shift the server's clock; it looks at the file at most 50 ms later."""
        assert self.clock_file is not None
        fresh = self.clock_file.with_suffix(".new")
        fresh.write_text(str(seconds), encoding="ascii")
        fresh.replace(self.clock_file)

    def _wait(self) -> int:
        assert self.process is not None
        assert self._reader is not None
        code = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process = None
        return code

    def _read(self, stream, lines) -> None:
        for text in stream:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text.rstrip()}
            self.log.append(line)
            lines.put(line)
        lines.put(None)

    # ------------------------------------------------------------------------- what is in it

    def client(self, index: int = 0, **kwargs: Any) -> DiameterClient:
        """Connect to the listener of this index."""
        return DiameterClient(self.addresses[index], **kwargs)

    def peer(self, **kwargs: Any) -> DiameterClient:
        """Connect as P1 and exchange capabilities."""
        client = self.client(**kwargs)
        assert client.open().result_code == 2001
        return client

    def open_store(self) -> SqlStore:
        """Return the database as another process sees it; to be closed by the caller."""
        return SqlStore(self.url, IdSource(SystemClock(), SEED_NODE))

    def create_database(self) -> None:
        """Make the tables, publish the black-box catalogue, open one account with 10.00."""
        make_tables(self.url)
        ids = IdSource(SystemClock(), SEED_NODE)
        store = SqlStore(self.url, ids)
        action = OperatorAction(ids.next_id(), 1, "test", "catalog publish", "black-box", "test")
        store.publish_catalogue(CATALOGUE.read_text(encoding="utf-8"), "black-box", action)
        add_account(store, ids, 1001, plan="basic")
        store.close()

    def allow_peer(self, origin_host: str, **kwargs: Any) -> None:
        """What `ocs peer allow` does."""
        store = self.open_store()
        ids = IdSource(SystemClock(), SEED_NODE)
        action = OperatorAction(ids.next_id(), 1, "test", "peer allow", origin_host, "test")
        store.allow_peer(PeerEntry(origin_host, **kwargs), action)
        store.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
