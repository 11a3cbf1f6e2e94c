"""A server in a process of its own, for the demo and the benchmarks: started, found, stopped.

It runs `ocs serve` with a configuration file and says in its log where it listens.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ocs.errors import FaultError
from ocs.settings import DATABASE_URL_VARIABLE

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_TAIL_LINES = 10


class ServerProcess:
    """`ocs serve --config FILE` while used in a ``with`` statement.

    The configuration must log JSON of level info; the log goes to `log`. `module` and `arguments`
    start another program that behaves the same. Raises FaultError when the server does not come
    up, with the end of its log. `directory` is where it is started; a checkout there is what runs.
    """

    def __init__(
        self,
        config: Path,
        log: Path,
        module: str = "ocs.cli.main",
        arguments: Sequence[str] = ("serve", "--config"),
        directory: Path | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", module, *arguments, str(config)]
        self.log = log
        self._directory = directory
        self.host = ""
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process while it runs."""
        if self._process is None:
            raise FaultError("the server is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        # Not the database of the caller's environment, but the one in the configuration.
        environment = {k: v for k, v in os.environ.items() if k != DATABASE_URL_VARIABLE}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._directory,
                start_new_session=True,  # Ctrl-C is for the caller, who then stops the server
            )
        try:
            self._wait_until_serving(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that does not help; returns the exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _wait_until_serving(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
                if '"serving"' in line:
                    self._remember_address(line)
                    return
            if ended:
                raise FaultError(f"the server ended before it served:\n{self.tail()}")
            time.sleep(_LOOK_SECONDS)
        raise FaultError(f"the server did not serve within {START_SECONDS:.0f} s:\n{self.tail()}")

    def _remember_address(self, line: str) -> None:
        host, _, port = json.loads(line)["listen"][0].rpartition(":")
        self.host, self.port = host.strip("[]"), int(port)

    def tail(self) -> str:
        """The last lines of the server's log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
