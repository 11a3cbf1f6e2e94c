"""Requests to clients in dictionaries: the part of memory.MemoryStore that is about them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from copy import copy

from ocs.charging.model.server_requests import FINISHED, RequestState, ServerRequest, Trigger


class MemoryServerRequests:
    """Rows by id, copied in and out under the store's one lock."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._server_requests: dict[int, ServerRequest] = {}

    def _add_server_requests(self, requests: Iterable[ServerRequest]) -> None:
        for request in requests:
            self._server_requests[request.server_request_id] = copy(request)

    def due_server_requests(
        self, now_ns: int, limit: int, after: tuple[int, int] = (0, 0)
    ) -> list[ServerRequest]:
        """See interface.Store.due_server_requests."""
        with self._lock:
            due = sorted(
                (request.due_ns, request.server_request_id)
                for request in self._server_requests.values()
                if 0 < request.due_ns <= now_ns
            )
            wanted = [name for name in due if name > after][:limit]
            return [copy(self._server_requests[number]) for _, number in wanted]

    def update_server_request(
        self, request: ServerRequest, spread: Sequence[ServerRequest] = ()
    ) -> bool:
        """See interface.Store.update_server_request."""
        with self._lock:
            stored = self._server_requests.get(request.server_request_id)
            if stored is None or stored.version != request.version:
                return False
            request.version += 1
            for row in (request, *spread):
                self._server_requests[row.server_request_id] = copy(row)
            if request.state in FINISHED and not request.session_key and not request.spread:
                del self._server_requests[request.server_request_id]
            return True

    def update_server_requests(self, requests: Sequence[ServerRequest]) -> list[bool]:
        """See interface.Store.update_server_requests."""
        with self._lock:
            return [self.update_server_request(request) for request in requests]

    def waiting_server_requests(
        self, names: Sequence[tuple[int, bytes]]
    ) -> set[tuple[bytes, int]]:
        """See interface.Store.waiting_server_requests."""
        wanted = set(names)
        with self._lock:
            return {
                (request.session_key, request.command)
                for request in self._server_requests.values()
                if (request.account_id, request.session_key) in wanted
                and request.state == RequestState.PENDING
                and not request.sent_ns
                and request.trigger != Trigger.CATALOGUE
            }

    def wake_server_requests(self, host: str, now_ns: int, limit: int) -> int:
        """See interface.Store.wake_server_requests."""
        with self._lock:
            waiting = [
                request
                for request in self._server_requests.values()
                if request.due_ns > now_ns
                and request.state == RequestState.PENDING
                and host in (request.origin_host, request.peer)
            ][:limit]
            for request in waiting:
                request.due_ns = now_ns
                request.version += 1
            return len(waiting)

    def server_requests(self) -> list[ServerRequest]:
        """Return copies of all requests to clients, oldest first."""
        with self._lock:
            rows = self._server_requests
            return [copy(rows[number]) for number in sorted(rows)]
