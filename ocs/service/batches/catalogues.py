"""The published catalogues in memory, by version: compiled when first needed, kept bounded.

Used by ``charging`` and ``supervisor`` on the store's thread. A session is rated with the version
it came to with its last complete report, so several are in use at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Catalog
from ocs.charging.adoption import same_terms
from ocs.charging.session import QuotaState, Session
from ocs.errors import IntegrityError
from ocs.store.interface import PublishedCatalogue, Store

VERSIONS_MAX = 200

_log = structlog.get_logger(__name__)


class MissingCatalogueError(KeyError):
    """A decision needs a version that is not loaded; loading is I/O, which no decision may do.

    The transaction is rolled back by it; load the version and run the transaction again.
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class CatalogueCache(dict[int, CatalogIndex]):
    """Catalogues by version; asking for one that is not loaded raises MissingCatalogueError.

    Version 0 is what is in force before anything was published: there is no such catalogue.
    """

    def __init__(self, store: Store, compile_source: Callable[[str, str], Catalog]) -> None:
        super().__init__()
        self._store = store
        self._compile = compile_source
        self.current_version = 0

    def __missing__(self, version: int) -> CatalogIndex:
        raise MissingCatalogueError(version)

    def get(self, version: int, default: Any = None) -> Any:
        """Return a version; one that is not loaded is never taken for one that does not exist."""
        return self[version] if version else default

    def refresh(self, newest: int) -> None:
        """Make the newest published version the current one; reads the store only if it rose."""
        if newest == self.current_version:
            return
        if newest not in self:
            self.load(newest)
        self.current_version = newest
        _log.info("catalogue in force", version=newest, name=self[newest].catalog.name)

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
        """Tell whether every service that a session uses costs in ``version`` what it costs now.

        On the store's thread; loads both versions.
        """
        try:
            for wanted in (session.catalogue_version, version):
                if wanted not in self:
                    self.load(wanted)
        except IntegrityError:
            return False
        old, new = self[session.catalogue_version], self[version]
        return all(
            same_terms(old, session.plan, new, session.plan, quota.service)
            and _meant(old, session, quota) == _meant(new, session, quota)
            for quota in session.quotas
        )

    def _compiled(self, published: PublishedCatalogue) -> CatalogIndex:
        name = f"catalogue version {published.version}"
        catalog = self._compile(published.source, name)
        return CatalogIndex(replace(catalog, version=published.version, source=published.source))


def _meant(index: CatalogIndex, session: Session, quota: QuotaState) -> tuple[str, str]:
    """Return the services that requests for a quota mean: the one, and the one together with it."""
    service = index.match_service(
        session.service_context, quota.rating_group, quota.service_identifiers
    )
    return (service.code, service.together_with) if service is not None else ("", "")
