"""Servers that start in a moment: one process has imported everything and forks them.

A server made here is a process like that of `ocs serve`, to be killed like any other; it only
saves the second that Python needs for its imports. The launcher is single-threaded and has no
event loop, so its children begin clean.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import IO, Any, Self

from tests.support.ocs_process import OcsProcess
from tests.support.sources import ROOT

MESSAGE_OCTETS = 1 << 16
_PR_SET_PDEATHSIG = 1


class Launcher:
    """The process that forks servers; ``with`` ends it, and them with it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.launcher", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.wait(30)

    def start(self, config: Path, clock_file: Path | None) -> "ForkedServer":
        """Start one server; its log is read from the result's ``stderr``."""
        reader, writer = os.pipe()
        order = {"config": str(config), "clock": str(clock_file) if clock_file else None}
        try:
            socket.send_fds(self._socket, [json.dumps(order).encode()], [writer])
        finally:
            os.close(writer)
        return ForkedServer(self, int(self._reply()), os.fdopen(reader, encoding="utf-8"))

    def wait(self, pid: int, timeout: float | None) -> int:
        """Return a server's exit code, or minus the signal that ended it."""
        self._socket.settimeout(timeout)
        try:
            self._socket.send(json.dumps({"wait": pid}).encode())
            return os.waitstatus_to_exitcode(int(self._reply()))
        finally:
            self._socket.settimeout(None)

    def _reply(self) -> bytes:
        reply = self._socket.recv(MESSAGE_OCTETS)
        assert reply, "the launcher has ended"
        return reply


class ForkedServer:
    """One server, with those members of subprocess.Popen that OcsProcess uses."""

    def __init__(self, launcher: Launcher, pid: int, stderr: IO[str]) -> None:
        self.pid = pid
        self.stderr = stderr
        self._launcher = launcher
        self._code: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal; the number stays this server's until ``wait`` has returned."""
        if self._code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return its exit code, None while nobody has waited for its end."""
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code when it has ended."""
        if self._code is None:
            self._code = self._launcher.wait(self.pid, timeout)
        return self._code


class ForkedOcs(OcsProcess):
    """An OcsProcess whose server comes out of a launcher."""

    def __init__(self, launcher: Launcher, directory: Path, url: str = "", **options: Any) -> None:
        super().__init__(directory, url, **options)
        self._launcher = launcher

    def close(self) -> None:
        """End it, for contextlib.closing: a test that starts it itself."""
        self.kill()

    def _spawn(self, config: Path) -> Any:
        return self._launcher.start(config, self.clock_file)


# ------------------------------------------------------------------- inside the launcher's process


def _serve(order: dict[str, Any], log: int) -> int:
    """Be a server, in the child; returns the exit code."""
    from ocs.app import run
    from ocs.errors import OcsError
    from ocs.settings import load_settings

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:  # Linux: no server outlives its test
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.dup2(log, 2)
    os.close(log)
    clock = Path(order["clock"]) if order["clock"] else None
    try:
        return run(load_settings(Path(order["config"]), {}), clock)
    except OcsError as error:
        sys.stderr.write(f"ocs: {error}\n")
        return 1


def _launch(control: socket.socket) -> None:
    """Fork servers until the other end closes."""
    import ocs.app
    import ocs.settings
    from ocs.store import migrations

    assert ocs.app
    assert ocs.settings
    migrations.known_versions()
    children: set[int] = set()
    while True:
        message, fds, _, _ = socket.recv_fds(control, MESSAGE_OCTETS, 1)
        if not message:
            break
        order = json.loads(message)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], 0)
            children.discard(pid)
            control.send(str(status).encode())
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            code = 70
            try:
                code = _serve(order, fds[0])
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(fds[0])
        children.add(pid)
        control.send(str(pid).encode())
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _launch(socket.socket(fileno=int(sys.argv[1])))
