"""What was found out about clients, written to the store so that other processes can show it.

Fed by ``clients`` when somebody connects or sends a first request. What waits while the store is
busy or away is bounded, and the last that was found about a client counts.
"""

from __future__ import annotations

import structlog

from ocs.errors import StoreUnavailableError
from ocs.service.batches.worker import Loop, Worker
from ocs.store.interface import ClientNote, Store

WAITING_MAX = 1_000
STEP = 100
"""Notes written in one transaction."""
RETRY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class ClientNotes:
    """The notes that are still to be written; used on the reactor's thread."""

    def __init__(self, loop: Loop, worker: Worker, store: Store) -> None:
        self._loop = loop
        self._worker = worker
        self._store = store
        self._waiting: dict[tuple[str, str], ClientNote] = {}
        self._busy = False

    def add(self, note: ClientNote) -> None:
        """Write a note soon; beyond what may wait, a new client is not noted."""
        key = (note.origin_host, note.peer)
        if key in self._waiting or len(self._waiting) < WAITING_MAX:
            self._waiting[key] = note
            self._begin()

    def _begin(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        notes = [self._waiting[key] for key in list(self._waiting)[:STEP]]

        def done(_: None, error: BaseException | None) -> None:
            if isinstance(error, StoreUnavailableError):
                self._loop.callLater(RETRY_SECONDS, self._again)
                return
            if error is not None:
                _log.error("what was found about clients cannot be noted", exc_info=error)
            for note in notes:
                key = (note.origin_host, note.peer)
                if self._waiting.get(key) is note:
                    del self._waiting[key]
            self._again()

        self._worker.submit(lambda: self._store.note_clients(notes), done)

    def _again(self) -> None:
        self._busy = False
        self._begin()
