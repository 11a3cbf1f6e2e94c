"""A published catalogue made ready for look-ups, and those that were in force before.

Called by catalogues.catalogs, by overdue, and where recorded usage is charged.
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

from ocs import yamldoc
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.versions import Schedule
from ocs.errors import IntegrityError
from ocs.store.interface import PublishedCatalogue, Store


def compiled(published: PublishedCatalogue) -> CatalogIndex:
    """Return a version that was checked before it was stored. Raises DocumentError."""
    name = f"catalogue version {published.version}"
    catalog = load_catalog(yamldoc.parse(published.source, name), name)
    return CatalogIndex(
        replace(
            catalog, version=published.version, source=published.source,
            effective_ns=published.effective_ns,
        )
    )  # fmt: skip


class History(dict[int, CatalogIndex]):
    """The published catalogues by version; those of before are loaded when they are asked for."""

    def __init__(self, store: Store, current: CatalogIndex) -> None:
        super().__init__({current.catalog.version: current})
        self._store = store

    def __missing__(self, version: int) -> CatalogIndex:
        published = self._store.catalogue(version)
        if published is None:
            raise IntegrityError(f"catalogue version {version} is referred to but not stored")
        self[version] = index = compiled(published)
        return index

    def get(self, version: int, default: Any = None) -> Any:
        """Return a version; one that is not loaded is never taken for one that does not exist."""
        return self[version] if version else default

    def version_at(self, instant_ns: int) -> int:
        """Return the version that was in force at an instant of the past; 0 when none was yet."""
        return self._schedule.then(instant_ns)

    @cached_property
    def _schedule(self) -> Schedule:
        return self._store.catalogue_schedule()
