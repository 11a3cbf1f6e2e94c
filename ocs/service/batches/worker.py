"""One thread that does everything that waits for the database, in the order it was asked for.

The reactor hands it whole batches (batcher), timers' work (supervisor) and look-ups (peers). One
thread, because several only fight over the interpreter; own queue, because handing over is paid
once per batch and must stay cheap.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import structlog

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class DelayedCall(Protocol):
    """A timer that may be cancelled while it is active."""

    def active(self) -> bool:
        """Tell whether it is still to be called."""

    def cancel(self) -> None:
        """Do not call it any more."""


class Loop(Protocol):
    """What this package needs of the reactor; tests give a clock that stands still."""

    def callLater(  # noqa: N802 -- Twisted's name
        self, delay: float, callable: Callable[..., Any], *args: Any
    ) -> DelayedCall:
        """Call on the reactor's thread after ``delay`` seconds."""

    def callFromThread(  # noqa: N802 -- Twisted's name
        self, callable: Callable[..., Any], *args: Any
    ) -> None:
        """Call on the reactor's thread, from any thread."""


class Worker(Protocol):
    """Runs functions one after the other away from the reactor's thread."""

    def submit(
        self, function: Callable[[], T], done: Callable[[T | None, BaseException | None], None]
    ) -> None:
        """Run ``function`` later; ``done(result, error)`` is called on the reactor's thread."""


class StoreWorker:
    """The Worker of a running server."""

    def __init__(self, loop: Loop, name: str = "ocs-store") -> None:
        self._loop = loop
        self._queue: SimpleQueue[tuple[Callable[[], Any], Callable[..., None]] | None] = (
            SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(
        self, function: Callable[[], T], done: Callable[[T | None, BaseException | None], None]
    ) -> None:
        """Run ``function`` after everything submitted before it."""
        self._queue.put((function, done))

    def stop(self, timeout_seconds: float) -> bool:
        """End the thread after what it was given; False if that takes longer than allowed."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            function, done = job
            result = None
            error: BaseException | None = None
            try:
                result = function()
            except BaseException as raised:  # noqa: BLE001 -- it is handed to the reactor's side
                error = raised
            try:
                self._loop.callFromThread(done, result, error)
            except RuntimeError:
                _log.warning("the event loop is gone; a result was dropped")
            del job, function, done, result, error
