"""Servers and commands that start in a moment: one process has imported everything and forks them.

What is made here is a process like that of `ocs`, to be killed like any other; it only saves the
half second of processor time that Python needs for its imports. The launcher is single-threaded
and has no event loop, so its children begin clean.
"""

import atexit
import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

from tests.support.ocs_process import OcsProcess
from tests.support.sources import ROOT

MESSAGE_OCTETS = 1 << 17
_FDS_MAX = 3
_PR_SET_PDEATHSIG = 1


class Launcher:
    """The process that forks; ``with`` ends it, and all that came out of it."""

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
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; harmless when it has ended."""
        self._socket.close()
        self._process.wait(30)

    def start(self, config: Path, clock_file: Path | None) -> "ForkedServer":
        """Start one server; its log is read from the result's ``stderr``."""
        reader, writer = os.pipe()
        order = {"config": str(config), "clock": str(clock_file) if clock_file else None}
        try:
            pid, ended = self._fork(order, writer)
        finally:
            os.close(writer)
        return ForkedServer(self, pid, ended, os.fdopen(reader, encoding="utf-8"))

    def run(
        self,
        *arguments: object,
        cwd: Path = ROOT,
        environ: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> "subprocess.CompletedProcess[str]":
        """Call ``ocs`` with these arguments, as subprocess.run does with a Python of its own.

        It has nothing on its standard input, and this process's environment without the settings
        of ``ocs`` and with ``environ``. Raises TimeoutError.
        """
        typed = [str(one) for one in arguments]
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OCS_")}
        order = {"command": typed, "cwd": str(cwd), "environ": {**ours, **(environ or {})}}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = Forked(self, *self._fork(order, out.fileno(), err.fileno()))
            try:
                code = child.wait(timeout)
            except TimeoutError:
                child.kill()
                child.wait()
                raise TimeoutError(f"ocs {typed}: {_text_of(out)}{_text_of(err)}") from None
            return subprocess.CompletedProcess(typed, code, _text_of(out), _text_of(err))

    def send_signal(self, pid: int, number: int) -> None:
        """Send a signal to a child, if it is still there: nobody else gets it."""
        self._ask({"signal": number, "pid": pid})

    def _fork(self, order: dict[str, Any], *fds: int) -> tuple[int, int]:
        """Have a child forked that gets these; its number, and where its status will come."""
        reader, writer = os.pipe()
        try:
            return int(self._ask(order, writer, *fds)), reader
        finally:
            os.close(writer)

    def _ask(self, order: dict[str, Any], *fds: int) -> bytes:
        with self._turn:
            socket.send_fds(self._socket, [json.dumps(order).encode()], fds)
            reply = self._socket.recv(MESSAGE_OCTETS)
        assert reply, "the launcher has ended"
        return reply


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@cache
def shared_launcher() -> Launcher:
    """Return the launcher of this test process, which ends with it."""
    made = Launcher()
    atexit.register(made.close)
    return made


def run_ocs(*arguments: object, **how: Any) -> "subprocess.CompletedProcess[str]":
    """Call ``ocs`` in a process of its own; ``how`` is what ``Launcher.run`` takes."""
    return shared_launcher().run(*arguments, **how)


class Forked:
    """A process out of a launcher, with those members of subprocess.Popen that are used."""

    def __init__(self, launcher: Launcher, pid: int, ended: int) -> None:
        self.pid = pid
        self._launcher = launcher
        self._ended = os.fdopen(ended, "rb", buffering=0)
        self._code: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self._code is None:
            self._launcher.send_signal(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code, or minus the signal that ended it. Raises TimeoutError."""
        if self._code is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise TimeoutError
            status = self._ended.read(64)
            assert status, "the launcher has ended"
            self._ended.close()
            self._code = os.waitstatus_to_exitcode(int(status))
        return self._code


class ForkedServer(Forked):
    """One server."""

    def __init__(self, launcher: Launcher, pid: int, ended: int, stderr: IO[str]) -> None:
        super().__init__(launcher, pid, ended)
        self.stderr = stderr


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


def forked_ocs(directory: Path, url: str = "", **options: Any) -> ForkedOcs:
    """Return a server out of the launcher of this test process."""
    return ForkedOcs(shared_launcher(), directory, url, **options)


# ------------------------------------------------------------------- inside the launcher's process


def _serve(order: dict[str, Any], log: int) -> int:
    """Be a server, in the child; returns the exit code."""
    from ocs.app import run
    from ocs.errors import OcsError
    from ocs.settings import load_settings

    _becomes(log, 2)
    clock = Path(order["clock"]) if order["clock"] else None
    try:
        return run(load_settings(Path(order["config"]), {}), clock)
    except OcsError as error:
        sys.stderr.write(f"ocs: {error}\n")
        return 1


def _command(order: dict[str, Any], out: int, err: int) -> int:
    """Be the command, in the child; returns the exit code."""
    from ocs.cli.main import main

    _becomes(out, 1)
    _becomes(err, 2)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    sys.argv = ["ocs", *order["command"]]
    try:
        main(prog_name="ocs")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
            return 1
        return ended.code or 0
    return 0


def _becomes(fd: int, number: int) -> None:
    os.dup2(fd, number)
    os.close(fd)


def _be_child(order: dict[str, Any], fds: list[int]) -> None:
    """Do what was ordered and end; never returns."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl:  # Linux: no server outlives its test
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    code = 70
    try:
        code = (_command if "command" in order else _serve)(order, *fds)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _import_everything() -> None:
    """What servers and commands need, so that their children have it."""
    import ocs.app
    import ocs.cli.main
    import ocs.cli.simulate
    import ocs.settings
    import simulators.traffic.simulation
    from ocs.store import migrations

    assert all((ocs.app, ocs.cli.main, ocs.cli.simulate, ocs.settings))
    assert simulators.traffic.simulation
    migrations.known_versions()
    assert "twisted.internet.reactor" not in sys.modules, "each child has its own"


def _reap(children: dict[int, int]) -> None:
    """Tell those who wait for children how these have ended."""
    for pid, ended in list(children.items()):
        if (found := os.waitpid(pid, os.WNOHANG))[0]:
            os.write(ended, str(found[1]).encode())
            os.close(ended)
            del children[pid]


def _launch(control: socket.socket) -> None:
    """Fork what is ordered until the other end closes."""
    _import_everything()
    gc.freeze()  # children do not copy what they only read
    bell, ringing = socket.socketpair()
    bell.setblocking(False)
    ringing.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ringing.fileno(), warn_on_full_buffer=False)
    children: dict[int, int] = {}
    while True:
        ready = select.select([control, bell], [], [])[0]
        if bell in ready:
            bell.recv(4096)
            _reap(children)
        if control not in ready:
            continue
        message, fds, _, _ = socket.recv_fds(control, MESSAGE_OCTETS, _FDS_MAX)
        if not message:
            break
        order = json.loads(message)
        if "signal" in order:
            if order["pid"] in children:
                os.kill(order["pid"], order["signal"])
            control.send(b"done")
            continue
        ended, *given = fds
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for not_its_own in (control, bell, ringing):
                not_its_own.close()
            for status in (ended, *children.values()):
                os.close(status)
            _be_child(order, given)
        for fd in given:
            os.close(fd)
        children[pid] = ended
        control.send(str(pid).encode())
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _launch(socket.socket(fileno=int(sys.argv[1])))
