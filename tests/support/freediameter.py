"""A private freeDiameterd in the foreground, for interoperability tests.

Unless told otherwise it has no listeners, and so needs neither ports nor certificates: without its
access-list extension it talks to configured peers only, and those it calls itself.
"""

import queue
import re
import socket
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple, Self

from protocol.tls import TlsFiles

START_SECONDS = 30.0
STOP_SECONDS = 20.0
OPENED = re.compile(r"-> '?STATE_OPEN'?.*'(?P<peer>[^']+)'")
# Where it would listen if it did. The loopback address is not accepted here, and a machine without
# any other has to start it too.
ADDRESS = "192.0.2.10"


class Called(NamedTuple):
    """A peer that freeDiameter calls, and how long that may be silent before it is probed."""

    origin_host: str
    address: tuple[str, int]
    watchdog_seconds: int = 30
    way: str = "No_TLS; Prefer_TCP;"
    """How it is called: nothing means TLS, and SCTP where the kernel has it."""


class FreeDiameter:
    """One process; ``with`` starts it and ends it."""

    def __init__(
        self,
        program: Path,
        directory: Path,
        identity: str,
        realm: str,
        *peers: Called,
        tls: TlsFiles | None = None,
        sctp: bool = False,
        listen_on: tuple[str, int] = (ADDRESS, 0),
    ) -> None:
        self._listen_on = listen_on
        self._tls, self._sctp = tls, sctp
        self.program = program
        self.identity, self.realm, self.peers = identity, realm, peers
        self.file = directory / f"{identity}.conf"
        self.log: list[str] = []
        """Every line it has printed so far."""
        self._opened: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self.file.write_text(self._configuration(), encoding="utf-8")
        self.process = subprocess.Popen(
            [str(self.program), "-c", str(self.file), "-dd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.file.parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configuration(self) -> str:
        lines = [
            f'Identity = "{self.identity}";',
            f'Realm = "{self.realm}";',
            f"Port = {self._listen_on[1]};",
            "SecPort = 0;",
            f'ListenOn = "{self._listen_on[0]}";',
            "TcTimer = 1;",
        ]
        if not self._sctp:
            lines.append("No_SCTP;")
        if self._tls is not None:
            lines.append(f'TLS_Cred = "{self._tls.certificate}", "{self._tls.private_key}";')
            lines.append(f'TLS_CA = "{self._tls.trusted}";')
        for peer in self.peers:
            host, port = peer.address
            lines.append(
                f'ConnectPeer = "{peer.origin_host}" {{ ConnectTo = "{host}"; Port = {port}; '
                f"{peer.way} TwTimer = {peer.watchdog_seconds}; }};"
            )
        return "\n".join(lines) + "\n"

    def wait_open(self, *origin_hosts: str) -> None:
        """Return when the connections with these peers are open."""
        missing = set(origin_hosts)
        while missing:
            try:
                opened = self._opened.get(timeout=START_SECONDS)
            except queue.Empty:
                raise AssertionError(f"{missing} did not open:\n{self._said()}") from None
            if opened is None:
                raise AssertionError(f"it ended before {missing} opened:\n{self._said()}")
            missing.discard(opened)

    def stop(self) -> None:
        """End it with SIGTERM, so that it says goodbye to its peers; harmless when it is over."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _said(self) -> str:
        return "\n".join(self.log)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.rstrip())
            if match := OPENED.search(line):
                self._opened.put(match["peer"])
        self._opened.put(None)


def own_address() -> tuple[str, int]:
    """Return an address of this machine that freeDiameter can listen on, and a free port there.

    No loopback address is good enough for it; ("", 0) where the machine has no other.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect((ADDRESS, 9))  # nothing is sent
        except OSError:
            return "", 0
        host = route.getsockname()[0]
    with socket.create_server((host, 0)) as free:
        return str(host), int(free.getsockname()[1])


def free_listener() -> socket.socket:
    """Return a socket that listens on a loopback port, for freeDiameter to call."""
    return socket.create_server(("127.0.0.1", 0))
