"""Check, publish and look up catalogues. Called by the command line; prices and why use the index.

A catalogue is published whole, as the text that was checked; a mistake anywhere refuses it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocs import yamldoc
from ocs.catalog.exchange import purse_currency
from ocs.catalog.loading import doubts, number_plans
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Catalog
from ocs.catalog.versions import Schedule
from ocs.charging.model.server_requests import Trigger, for_account
from ocs.clock import Clock, SystemClock
from ocs.errors import NotFoundError, Problem, RefusedError, UsageError
from ocs.ledger.account import OperatorAction
from ocs.provisioning.catalogues import examples
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant
from ocs.provisioning.published import compiled
from ocs.provisioning.views import catalogue_view
from ocs.store.interface import PublishedCatalogue, Store


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing came to; ``published`` is False when this text was in force, or announced
    for this instant, already.
    """

    version: int
    published: bool
    catalog: Catalog
    warnings: tuple[Problem, ...] = ()
    """What is allowed and yet may not be meant."""


class Catalogues:
    """The published catalogues, compiled when they are first asked for."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._compiled: dict[int, CatalogIndex] = {}

    def current(self) -> CatalogIndex:
        """Return the version in force. Raises RefusedError when there is none yet."""
        return self.at(self._clock.now_ns())

    def at(self, instant_ns: int) -> CatalogIndex:
        """Return the version that is in force at an instant. Raises RefusedError."""
        version = self._store.catalogue_schedule().at(instant_ns)
        if not version:
            raise RefusedError(
                "no catalogue is published yet; `ocs catalog publish FILE` publishes one"
            )
        return self.version(version)

    def schedule(self) -> Schedule:
        """Return which version is in force when."""
        return self._store.catalogue_schedule()

    def in_force(self) -> CatalogIndex | None:
        """Return the version in force; None when there is none yet."""
        version = self._store.catalogue_schedule().at(self._clock.now_ns())
        return self.version(version) if version else None

    def version(self, version: int) -> CatalogIndex:
        """Return one version. Raises NotFoundError when it was never published."""
        index = self._compiled.get(version)
        if index is None:
            index = self._compiled[version] = self._compile(version)
        return index

    def _compile(self, version: int) -> CatalogIndex:
        return compiled(find_version(self._store, version))


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
    return check_closely(text, source_name)[0]


def check_closely(text: str, source_name: str) -> tuple[Catalog, list[Problem]]:
    """Return the same, and what is allowed and yet may not be meant."""
    document = yamldoc.parse(text, source_name)
    catalog = load_catalog(document, source_name)
    for example, message in examples.failures(CatalogIndex(catalog)):
        document.note(message, example.line, example.column)
    document.check()
    doubts.look(document, catalog)
    return catalog, sorted(document.warnings, key=lambda one: (one.line, one.column))


def publish(desk: Desk, text: str, source_name: str, effective_ns: int = 0) -> Publication:
    """Check a catalogue and put it in force: for every session that begins from then on, for open
    ones from their next report on, for which their clients are asked.

    That is at ``effective_ns``, else when the catalogue itself says, else now. Publishing what is
    in force or announced already changes nothing. Raises DocumentError, UsageError for an instant
    that is past, and RefusedError when accounts would lose their plan or their currency.
    """
    catalog, warnings = check_closely(text, source_name)
    now_ns = desk.clock.now_ns()
    if effective_ns and effective_ns <= now_ns:
        raise UsageError(
            f"{format_instant(effective_ns)} is past; what was charged since then stays as it was"
        )
    later_ns = effective_ns or (catalog.effective_ns if catalog.effective_ns > now_ns else 0)
    known = _published_already(desk.store, text, later_ns, now_ns)
    if known:
        return Publication(known, published=False, catalog=catalog, warnings=tuple(warnings))
    details = {"source": source_name, "plans": sorted(catalog.plans)}
    if later_ns:
        details["effective"] = format_instant(later_ns)
    action = desk.action("catalog publish", catalog.name, 0, **details)
    done = put_in_force(desk, catalog, text, action, later_ns, source_name)
    return replace(done, warnings=tuple(warnings))


def put_in_force(
    desk: Desk, catalog: Catalog, text: str, action: OperatorAction, later_ns: int = 0,
    source_name: str = "",
) -> Publication:  # fmt: skip
    """Store a checked catalogue as the next version, in force at once or ``later_ns``.

    Clients of open sessions are asked when it is. Raises RefusedError.
    """
    check_accounts(desk, catalog)
    check_purses(desk, catalog, text, source_name or catalog.name)
    asked = []
    if desk.store.catalogue_schedule().announced:
        from_ns = later_ns or desk.clock.now_ns()
        asked.append(for_account(desk.ids.next_id, 0, Trigger.CATALOGUE, from_ns, desk.operator))
    version = desk.store.publish_catalogue(text, catalog.name, action, asked, later_ns)
    return Publication(version, published=True, catalog=catalog)


def _published_already(store: Store, text: str, later_ns: int, now_ns: int) -> int:
    """Return the version that has this text in force, or announced for this instant; 0 if none."""
    schedule = store.catalogue_schedule()
    if not later_ns:
        same = [schedule.at(now_ns)]
    else:
        same = [one.version for one in schedule.announced if one.effective_ns == later_ns]
    for version in same:
        published = store.catalogue(version)
        if published is not None and published.source == text:
            return version
    return 0


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
        "units": [
            {"name": unit.name, "decimals": unit.decimals} for unit in catalog.units.values()
        ],
        "attributes": {name: list(values) for name, values in catalog.attributes.items()},
    }


def version_view(store: Store, published: PublishedCatalogue, now_ns: int) -> dict[str, Any]:
    """Return one published version without its text, and whether it is in force."""
    state = store.catalogue_schedule().state(published.version, now_ns)
    return {**catalogue_view(published), "state": state}


def publication_view(store: Store, publication: Publication, now_ns: int) -> dict[str, Any]:
    """Return what publishing came to."""
    return {
        **version_view(store, find_version(store, publication.version), now_ns),
        "changed": publication.published,
        "warnings": warnings_view(publication.warnings),
    }


def warnings_view(warnings: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return warnings for output: what, and where in which file."""
    return [
        {"message": one.message, "source": one.source, "line": one.line, "column": one.column}
        for one in warnings
    ]


def check_accounts(desk: Desk, catalog: Catalog) -> None:
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


def check_purses(desk: Desk, catalog: Catalog, text: str, source_name: str) -> None:
    """Refuse a catalogue without a rate for money that accounts keep in other currencies (K-331).

    Raises DocumentError with the place in ``text`` where the rates are, or should be.
    """
    root = yamldoc.parse(text, source_name).root
    place = root.keys.get("currencies", root)
    for measure, count in desk.reports.purses_in_use().items():
        currency = purse_currency(measure)
        if currency in catalog.currencies or currency in ("", catalog.currency):
            continue
        place.problem(
            f"money is kept in {currency} (purses: {count}), which has no rate here; give it one "
            f"under currencies, such as {{{currency}: 0.92}}"
        )
    root.document.check()
