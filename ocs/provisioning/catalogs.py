"""Check, publish and look up catalogues. Called by the command line; prices and why use the index.

A catalogue is published whole, as the text that was checked; a mistake anywhere refuses it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocs import yamldoc
from ocs.catalog import number_plans
from ocs.catalog.loader import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Catalog
from ocs.charging.server_requests import Trigger, for_account
from ocs.errors import NotFoundError, RefusedError
from ocs.provisioning import examples
from ocs.provisioning.desk import Desk
from ocs.provisioning.views import catalogue_view
from ocs.store.interface import PublishedCatalogue, Store


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing came to; ``published`` is False when this text was in force already."""

    version: int
    published: bool
    catalog: Catalog


class Catalogues:
    """The published catalogues, compiled when they are first asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiled: dict[int, CatalogIndex] = {}

    def current(self) -> CatalogIndex:
        """Return the version in force. Raises RefusedError when nothing was ever published."""
        version = self._store.generations().catalogue
        if not version:
            raise RefusedError(
                "no catalogue is published yet; `ocs catalog publish FILE` publishes one"
            )
        return self.version(version)

    def in_force(self) -> CatalogIndex | None:
        """Return the version in force; None when nothing was ever published."""
        return self.current() if self._store.generations().catalogue else None

    def version(self, version: int) -> CatalogIndex:
        """Return one version. Raises NotFoundError when it was never published."""
        index = self._compiled.get(version)
        if index is None:
            index = self._compiled[version] = self._compile(version)
        return index

    def _compile(self, version: int) -> CatalogIndex:
        published = find_version(self._store, version)
        catalog = load(published.source, f"catalogue version {version}")
        return CatalogIndex(replace(catalog, version=version, source=published.source))


def read(path: Path) -> str:
    """Return a catalogue file with the number plans it names, as one text. Raises DocumentError.

    A text that holds its number plans already, as a published one does, needs no other file.
    """
    text = yamldoc.read_text(path)
    held = number_plans.attached(text)
    missing = [
        name
        for name in number_plans.named_files(yamldoc.parse(text, str(path)))
        if name.text not in held and (path.parent / name.text).is_file()
    ]
    if held or not missing:
        return text
    files = {name.text: yamldoc.read_text(path.parent / name.text) for name in missing}
    return number_plans.attach(text, files)


def load(text: str, source_name: str) -> Catalog:
    """Return a catalogue that was checked before it was stored. Raises DocumentError.

    Its examples are not computed again: what is published stays in force whatever becomes of them.
    """
    return load_catalog(yamldoc.parse(text, source_name), source_name)


def check(text: str, source_name: str) -> Catalog:
    """Return the catalogue in ``text``. Raises DocumentError with every mistake in it, or, where
    there is none, with every example that costs something else than it says.
    """
    document = yamldoc.parse(text, source_name)
    catalog = load_catalog(document, source_name)
    for example, message in examples.failures(CatalogIndex(catalog)):
        document.note(message, example.line, example.column)
    document.check()
    return catalog


def publish(desk: Desk, text: str, source_name: str) -> Publication:
    """Check a catalogue and put it in force: for every session that begins from now on, for open
    ones from their next report on, for which their clients are asked.

    Publishing the text that is in force already changes nothing. Raises DocumentError, and
    RefusedError when accounts would lose their plan or their currency.
    """
    catalog = check(text, source_name)
    newest = desk.store.generations().catalogue
    in_force = desk.store.catalogue(newest) if newest else None
    if in_force is not None and in_force.source == text:
        return Publication(newest, published=False, catalog=catalog)
    _check_accounts(desk, catalog)
    action = desk.action(
        "catalog publish", catalog.name, source=source_name, plans=sorted(catalog.plans)
    )
    asked = []
    if in_force is not None:
        now_ns = desk.clock.now_ns()
        asked.append(for_account(desk.ids.next_id, 0, Trigger.CATALOGUE, now_ns, desk.operator))
    version = desk.store.publish_catalogue(text, catalog.name, action, asked)
    return Publication(version, published=True, catalog=catalog)


def find_version(store: Store, version: int) -> PublishedCatalogue:
    """Return one published version. Raises NotFoundError."""
    published = store.catalogue(version)
    if published is None:
        raise NotFoundError(
            f"there is no catalogue version {version}; `ocs catalog list` shows those there are"
        )
    return published


def catalog_view(catalog: Catalog) -> dict[str, Any]:
    """Return what a catalogue sells, in short."""
    return {
        "name": catalog.name,
        "currency": catalog.currency,
        "time_zone": catalog.time_zone,
        "services": [
            {
                "code": service.code,
                "unit": service.counted_in.label,
                "contexts": list(service.contexts),
                "rating_groups": sorted(service.rating_groups),
                "service_identifiers": sorted(service.service_identifiers),
            }
            for service in catalog.services.values()
        ],
        "plans": [
            {
                "code": plan.code,
                "name": plan.name,
                "services": sorted(plan.terms),
                "allowances": [allowance.code for allowance in plan.allowances],
            }
            for plan in catalog.plans.values()
        ],
        "zones": sorted(catalog.zones),
        "networks": sorted(catalog.networks),
        "locations": sorted(catalog.locations),
        "bands": [band.name for band in catalog.bands],
        "examples": len(catalog.examples),
    }


def publication_view(store: Store, publication: Publication) -> dict[str, Any]:
    """Return what publishing came to."""
    return {
        **catalogue_view(find_version(store, publication.version)),
        "changed": publication.published,
    }


def _check_accounts(desk: Desk, catalog: Catalog) -> None:
    """Refuse a catalogue under which accounts that exist could not be charged any more."""
    in_use = desk.reports.plans_in_use()
    problems = [
        f"{count} accounts have plan '{plan}', which it does not have"
        for (plan, _), count in in_use.items()
        if plan not in catalog.plans
    ] + [
        f"{count} accounts of plan '{plan}' are kept in {currency}, not {catalog.currency}"
        for (plan, currency), count in in_use.items()
        if currency != catalog.currency
    ]
    if problems:
        raise RefusedError(
            f"catalogue '{catalog.name}' was not published: " + "; ".join(problems)
        )
