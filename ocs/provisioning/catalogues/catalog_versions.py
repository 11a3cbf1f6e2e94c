"""Go back to an older catalogue, or take back one that was announced. Called by `ocs catalog`.

Versions are never changed or removed: going back publishes the older text again as a new version,
so the ledger's version numbers mean what they meant.
"""

from ocs.errors import ConflictError, RefusedError
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalogs import Publication, find_version
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant


def roll_back(desk: Desk, version: int | None) -> Publication:
    """Put the text of an older version in force again, now; None: the one in force before.

    Raises NotFoundError, and RefusedError when it is in force, or accounts could not be charged.
    """
    now_ns = desk.clock.now_ns()
    schedule = desk.store.catalogue_schedule()
    current = schedule.at(now_ns)
    wanted = schedule.before(now_ns) if version is None else version
    if not wanted:
        raise RefusedError("there is no catalogue from before to go back to")
    published = find_version(desk.store, wanted)
    in_force = find_version(desk.store, current) if current else None
    if in_force is not None and in_force.source == published.source:
        raise RefusedError(
            f"what version {wanted} says is in force already, as version {current}"
        )
    catalog = catalogs.load(published.source, f"catalogue version {wanted}")
    action = desk.action(
        "catalog rollback", catalog.name, to_version=wanted, from_version=current,
        plans=sorted(catalog.plans),
    )  # fmt: skip
    return catalogs.put_in_force(desk, catalog, published.source, action)


def withdraw(desk: Desk, version: int) -> None:
    """Take back a version before it takes effect. Raises NotFoundError, RefusedError."""
    published = find_version(desk.store, version)
    action = desk.action(
        "catalog withdraw", published.name, version=version,
        effective=format_instant(max(0, published.effective_ns)),
    )  # fmt: skip
    state = desk.store.catalogue_schedule().state(version, desk.clock.now_ns())
    if state != "announced":
        words = {"in force": "is in force; `ocs catalog rollback` goes back to the one before",
                 "past": "was in force", "withdrawn": "was withdrawn before"}  # fmt: skip
        raise RefusedError(f"catalogue version {version} {words[state]}; nothing was changed")
    if not desk.store.withdraw_catalogue(version, action):
        raise ConflictError(f"catalogue version {version} took effect just now")
