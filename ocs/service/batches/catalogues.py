"""The published catalogues in memory, by version: compiled when first needed, kept bounded.

Used by ``charging`` and ``supervisor`` on the store's thread. A session is rated with the version
it came to with its last complete report, so several are in use at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Catalog
from ocs.catalog.versions import Schedule
from ocs.charging.adoption import same_terms
from ocs.charging.model.session import QuotaState, Session
from ocs.clock import Clock, SystemClock
from ocs.errors import IntegrityError
from ocs.store.interface import PublishedCatalogue, Store

VERSIONS_MAX = 200
MISSING_CATALOGUES_MAX = 64
"""How many old catalogue versions one batch may need that are not loaded yet."""

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class MissingCatalogueError(KeyError):
    """A decision needs a version that is not loaded; loading is I/O, which no decision may do.

    The transaction is rolled back by it; load the version and run the transaction again.
    """

    def __init__(self, version: int, load: Callable[[int], None]) -> None:
        super().__init__(version)
        self.version = version
        self._load = load

    def load(self) -> None:
        """Load it. Raises IntegrityError when it was never published."""
        self._load(self.version)


def loading_missing(act: Callable[[], T]) -> T:
    """Do what runs a transaction, again after each version that it turns out to need."""
    for _ in range(MISSING_CATALOGUES_MAX):
        try:
            return act()
        except MissingCatalogueError as error:
            error.load()
    return act()


class CatalogueCache(dict[int, CatalogIndex]):
    """Catalogues by version; asking for one that is not loaded raises MissingCatalogueError.

    Version 0 is what is in force before anything was published: there is no such catalogue.
    """

    def __init__(
        self, store: Store, compile_source: Callable[[str, str], Catalog],
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._store = store
        self._compile = compile_source
        self._now_ns = (clock or SystemClock()).now_ns
        self._generation = 0
        self._schedule = Schedule()
        self._next_ns = 0
        """When the next version takes effect; 0 = none is announced."""
        self.current_version = 0

    def __missing__(self, version: int) -> CatalogIndex:
        raise MissingCatalogueError(version, self.load)

    def get(self, version: int, default: Any = None) -> Any:
        """Return a version; one that is not loaded is never taken for one that does not exist."""
        return self[version] if version else default

    def refresh(self, generation: int) -> None:
        """Make the version that is in force now the current one.

        ``generation`` is the store's counter: only when it has changed is the store read. What
        takes effect next is loaded in advance, so that nothing waits for it then.
        """
        if generation != self._generation:
            self._schedule = self._store.catalogue_schedule()
            self._generation = generation
        elif not self._next_ns or self._now_ns() < self._next_ns:
            return
        now_ns = self._now_ns()
        coming = self._schedule.next(now_ns)
        for version in (self._schedule.at(now_ns), coming.version if coming else 0):
            if version and version not in self:
                self.load(version)
        current = self._schedule.at(now_ns)
        if current != self.current_version:
            self.current_version = current
            _log.info("catalogue in force", version=current, name=self[current].catalog.name)
        self._next_ns = coming.effective_ns if coming else 0

    def version_at(self, instant_ns: int) -> int:
        """Return the version that was in force at an instant of the past; 0 when none was yet."""
        return self._schedule.then(instant_ns)

    def version_in_force(self) -> int:
        """Return the version that is in force now; 0 when there is none. On the store's thread."""
        self.refresh(self._store.generations().catalogue)
        return self.current_version

    def version(self, version: int) -> CatalogIndex:
        """Return a published version, which is loaded if need be. On the store's thread."""
        if version not in self:
            self.load(version)
        return self[version]

    def load(self, version: int) -> None:
        """Load and compile one version. Raises IntegrityError when it was never published."""
        published = self._store.catalogue(version)
        if published is None:
            raise IntegrityError(f"catalogue version {version} is referred to but not stored")
        self[version] = self._compiled(published)
        if len(self) > VERSIONS_MAX:
            oldest = min(key for key in self if key not in {version, self.current_version})
            del self[oldest]

    def sells_as_before(self, session: Session, version: int) -> bool:
        """Tell whether every service that a session uses costs in ``version`` what it costs now,
        or the session's plan keeps it to the version it has.

        On the store's thread; loads both versions.
        """
        try:
            for wanted in (session.catalogue_version, version):
                if wanted not in self:
                    self.load(wanted)
        except IntegrityError:
            return False
        old, new = self[session.catalogue_version], self[version]
        plan = old.catalog.plans.get(session.plan)
        if plan is not None and plan.keeps_version:
            return True
        return all(
            same_terms(old, session.plan, new, session.plan, quota.service)
            and _meant(old, session, quota) == _meant(new, session, quota)
            for quota in session.quotas
        )

    def _compiled(self, published: PublishedCatalogue) -> CatalogIndex:
        name = f"catalogue version {published.version}"
        catalog = self._compile(published.source, name)
        return CatalogIndex(
            replace(
                catalog, version=published.version, source=published.source,
                effective_ns=published.effective_ns,
            )
        )  # fmt: skip


def _meant(index: CatalogIndex, session: Session, quota: QuotaState) -> tuple[str, str]:
    """Return the services that requests for a quota mean: the one, and the one together with it."""
    service = index.match_service(
        session.service_context, quota.rating_group, quota.service_identifiers
    )
    return (service.code, service.together_with) if service is not None else ("", "")
