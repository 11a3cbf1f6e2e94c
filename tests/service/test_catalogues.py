"""Which sessions a new catalogue concerns: those for which something costs otherwise."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ocs.catalog.matching import CatalogIndex
from ocs.catalog.model import Catalog
from ocs.charging.model.session import QuotaState, Session, SessionState
from ocs.clock import IdSource, ManualClock
from ocs.service.batches.catalogues import CatalogueCache
from ocs.store.interface import PublishedCatalogue
from ocs.store.memory import MemoryStore
from tests.support.ledger_rows import NOW_NS, make_action
from tests.support.tariffs import PS, make_catalog, make_dearer_catalog

CATALOG = make_catalog()


def _session(*services: tuple[str, int]) -> Session:
    quotas = [QuotaState(code, group, ()) for code, group in services]
    return Session(
        "s", None, 1, 1, "msisdn:49170", PS, "pgw", "realm", "pgw", 1, 0, "basic", 1,
        SessionState.OPEN, 0, 0, 0, [0, 0], quotas,
    )  # fmt: skip


def _sells_as_before(changed: Catalog, session: Session) -> bool:
    cache = CatalogueCache(MemoryStore(IdSource(ManualClock(0), 1)), lambda *_: CATALOG)
    cache[1], cache[2] = CatalogIndex(CATALOG), CatalogIndex(changed)
    return cache.sells_as_before(session, 2)


def _with_service(code: str, **changes: object) -> Catalog:
    service = replace(CATALOG.services[code], **changes)  # type: ignore[arg-type]
    return replace(CATALOG, services={**CATALOG.services, code: service})


@pytest.mark.rule("C-090")
@pytest.mark.parametrize(
    "changed",
    [
        lambda: replace(CATALOG, zones={"moon": ("999",)}, time_zone="Asia/Tokyo"),
        lambda: _with_service("data", quota=replace(CATALOG.services["data"].quota, slice=7)),
        lambda: _with_service("data", rating_groups=frozenset({100, 109})),
    ],
)
def test_sessions_are_not_asked_because_of_what_is_no_price(changed: Callable[[], Catalog]) -> None:
    assert _sells_as_before(changed(), _session(("data", 100)))


@pytest.mark.rule("C-090")
def test_sessions_are_asked_whose_price_is_another() -> None:
    assert not _sells_as_before(make_dearer_catalog(), _session(("video", 200), ("data", 100)))
    assert _sells_as_before(make_dearer_catalog(), _session(("video", 200)))


@pytest.mark.rule("C-090")
def test_sessions_are_asked_whose_rating_group_means_something_else() -> None:
    moved = _with_service("data", rating_groups=frozenset({199}))
    moved = replace(moved, services={
        **moved.services,
        "video": replace(moved.services["video"], rating_groups=frozenset({100, 200})),
    })  # fmt: skip
    assert not _sells_as_before(moved, _session(("data", 100)))
    assert _sells_as_before(moved, _session(("video", 200)))


@pytest.mark.rule("K-353")
def test_sessions_are_not_asked_whose_plan_keeps_them_to_their_version() -> None:
    basic = replace(CATALOG.plans["basic"], keeps_version=True)
    keeping = replace(CATALOG, plans={**CATALOG.plans, "basic": basic})
    cache = CatalogueCache(MemoryStore(IdSource(ManualClock(0), 1)), lambda *_: CATALOG)
    cache[1], cache[2] = CatalogIndex(keeping), CatalogIndex(make_dearer_catalog())
    assert cache.sells_as_before(_session(("data", 100)), 2)


class _Counted(MemoryStore):
    """A store that counts how often it is asked for a catalogue's text."""

    texts = 0

    def catalogue(self, version: int) -> PublishedCatalogue | None:
        self.texts += 1
        return super().catalogue(version)


@pytest.mark.rule("K-350")
def test_the_running_server_turns_at_the_instant_without_reading_anything() -> None:
    clock = ManualClock(NOW_NS)
    store = _Counted(IdSource(clock, 1))
    cache = CatalogueCache(store, lambda *_: CATALOG, clock)
    store.publish_catalogue("a: 1", "first", make_action(1))
    store.publish_catalogue("b: 1", "later", make_action(2), effective_ns=NOW_NS + 60 * 10**9)
    assert cache.version_in_force() == 1
    assert cache[1].catalog.effective_ns == NOW_NS
    clock.advance(59)
    assert cache.version_in_force() == 1
    texts = store.texts
    clock.advance(1)
    assert cache.version_in_force() == 2
    assert store.texts == texts, "it was loaded when it was announced"
    assert cache[2].catalog.effective_ns == NOW_NS + 60 * 10**9


@pytest.mark.rule("K-351")
def test_the_running_server_notices_a_withdrawal() -> None:
    clock = ManualClock(NOW_NS)
    store = MemoryStore(IdSource(clock, 1))
    cache = CatalogueCache(store, lambda *_: CATALOG, clock)
    assert cache.version_in_force() == 0
    store.publish_catalogue("a: 1", "first", make_action(1))
    store.publish_catalogue("b: 1", "later", make_action(2), effective_ns=NOW_NS + 60 * 10**9)
    assert cache.version_in_force() == 1
    store.withdraw_catalogue(2, make_action(3))
    cache.version_in_force()
    clock.advance(3_600)
    assert cache.version_in_force() == 1
