"""Published catalogues in a list: the part of memory.MemoryStore that is about them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from ocs.catalog.versions import WITHDRAWN_NS, Announcement, Schedule
from ocs.charging.model.server_requests import ServerRequest
from ocs.ledger.account import OperatorAction
from ocs.store.interface import PublishedCatalogue
from ocs.store.memory_requests import MemoryServerRequests


class MemoryCatalogues(MemoryServerRequests):
    """Versions in their order, under the store's one lock; with the actions of operators."""

    def __init__(self, lock: threading.RLock) -> None:
        super().__init__(lock)
        self._actions: list[OperatorAction] = []
        self._catalogues: list[PublishedCatalogue] = []
        self._catalogue_generation = 0

    def publish_catalogue(
        self, source: str, name: str, action: OperatorAction,
        requests: Sequence[ServerRequest] = (), effective_ns: int = 0,
    ) -> int:
        """See interface.Store.publish_catalogue."""
        with self._lock:
            version = len(self._catalogues) + 1
            self._catalogues.append(
                PublishedCatalogue(
                    version, name, action.at_ns, action.operator, action.reason, source,
                    effective_ns or action.at_ns,
                )
            )
            self._catalogue_generation += 1
            self._actions.append(copy(action))
            self._add_server_requests(requests)
            return version

    def withdraw_catalogue(self, version: int, action: OperatorAction) -> bool:
        """See interface.Store.withdraw_catalogue."""
        with self._lock:
            one = self.catalogue(version)
            if one is None or one.effective_ns in (WITHDRAWN_NS, one.published_ns):
                return False
            if one.effective_ns <= action.at_ns:
                return False
            self._catalogues[version - 1] = replace(one, effective_ns=WITHDRAWN_NS)
            self._catalogue_generation += 1
            self._actions.append(copy(action))
            return True

    def catalogue_schedule(self) -> Schedule:
        """See interface.Store.catalogue_schedule."""
        with self._lock:
            return Schedule(
                Announcement(one.effective_ns, one.version, one.effective_ns == one.published_ns)
                for one in self._catalogues
            )

    def catalogue(self, version: int) -> PublishedCatalogue | None:
        """See interface.Store.catalogue."""
        with self._lock:
            return self._catalogues[version - 1] if 0 < version <= len(self._catalogues) else None

    def catalogues(self) -> list[PublishedCatalogue]:
        """See interface.Store.catalogues."""
        with self._lock:
            return self._catalogues[::-1]
