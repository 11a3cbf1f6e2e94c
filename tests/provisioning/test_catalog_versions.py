"""Catalogues that are announced, withdrawn, and gone back to."""

import json

import pytest

from ocs.charging.model.messages import Identity
from ocs.charging.model.server_requests import Trigger
from ocs.errors import DocumentError, NotFoundError, RefusedError, UsageError
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalog_versions import roll_back, withdraw
from ocs.provisioning.customers.subscribers import NewSubscriber, add
from tests.support.desks import CATALOGUE, NOON_NS, Office

TEXT = CATALOGUE.read_text(encoding="utf-8")
DEARER = TEXT.replace("data: {price: 0.05, per: 1 MB", "data: {price: 0.08, per: 1 MB", 1)
HOUR_NS = 3_600 * 10**9


def price(office: Office) -> int:
    """Return what a megabyte costs by the catalogue in force, in micro units."""
    index = office.catalogues.current()
    return index.rule("basic", "data", "data").price.rate_micro


def state(office: Office, version: int) -> str:
    published = catalogs.find_version(office.desk.store, version)
    view = catalogs.version_view(office.desk.store, published, office.clock.now_ns())
    return str(view["state"])


@pytest.mark.rule("K-350")
def test_a_catalogue_takes_effect_at_its_instant(office):
    later_ns = NOON_NS + HOUR_NS
    published = catalogs.publish(office.desk, DEARER, "march.yaml", later_ns)
    assert (published.version, published.published) == (2, True)
    assert (price(office), state(office, 1), state(office, 2)) == (
        50_000, "in force", "announced",
    )  # fmt: skip
    office.clock.advance(3_599)
    assert price(office) == 50_000
    office.clock.advance(1)
    assert (price(office), state(office, 1), state(office, 2)) == (80_000, "past", "in force")
    assert office.catalogues.at(later_ns - 1).catalog.version == 1


@pytest.mark.rule("K-350")
def test_clients_are_asked_when_it_takes_effect(office):
    catalogs.publish(office.desk, DEARER, "march.yaml", NOON_NS + HOUR_NS)
    due = office.desk.store.due_server_requests(NOON_NS + 2 * HOUR_NS, 10)
    assert [(one.trigger, one.due_ns > NOON_NS + HOUR_NS) for one in due] == [
        (Trigger.CATALOGUE, True)
    ]
    assert office.desk.store.due_server_requests(NOON_NS + HOUR_NS, 10) == []


@pytest.mark.rule("K-350")
def test_the_file_may_say_when(office):
    march = DEARER.replace("currency: EUR", "currency: EUR\neffective: 2026-03-01T00:00", 1)
    published = catalogs.publish(office.desk, march, "march.yaml")
    view = catalogs.publication_view(office.desk.store, published, office.clock.now_ns())
    assert (view["effective"], view["state"]) == ("2026-03-01T00:00:00.000000Z", "announced")
    assert not catalogs.publish(office.desk, march, "march.yaml").published
    office.clock.advance(90 * 86_400)
    mended = march.replace("price: 0.08", "price: 0.09", 1)
    catalogs.publish(office.desk, mended, "march.yaml")
    assert price(office) == 90_000, "its instant is past, so it holds at once"


@pytest.mark.rule("K-350")
def test_what_is_published_at_once_holds_until_what_was_announced(office):
    catalogs.publish(office.desk, DEARER, "march.yaml", NOON_NS + HOUR_NS)
    mended = TEXT.replace("data: {price: 0.05, per: 1 MB", "data: {price: 0.06, per: 1 MB", 1)
    assert catalogs.publish(office.desk, mended, "mended.yaml").version == 3
    assert price(office) == 60_000
    office.clock.advance(3_600)
    assert price(office) == 80_000


@pytest.mark.rule("K-350")
def test_an_instant_that_is_past_or_none_is_refused(office):
    with pytest.raises(UsageError, match=r"2026-01-05T11:00:00\.000000Z is past"):
        catalogs.publish(office.desk, DEARER, "march.yaml", NOON_NS - HOUR_NS)
    never = DEARER.replace("currency: EUR", "currency: EUR\neffective: soon", 1)
    with pytest.raises(DocumentError) as error:
        catalogs.publish(office.desk, never, "march.yaml")
    assert "march.yaml:7:12: 'soon' is no time such as 2025-03-04T12:00" in str(error.value)
    twice = DEARER.replace(
        "currency: EUR", "currency: EUR\ntime_zone: Europe/Madrid\neffective: 2026-10-25T02:30", 1
    )
    with pytest.raises(DocumentError, match="happens twice or not at all in Europe/Madrid"):
        catalogs.publish(office.desk, twice, "march.yaml")
    assert len(office.desk.store.catalogues()) == 1


@pytest.mark.rule("K-351")
def test_an_announced_catalogue_can_be_withdrawn(office):
    catalogs.publish(office.desk, DEARER, "march.yaml", NOON_NS + HOUR_NS)
    withdraw(office.desk, 2)
    assert state(office, 2) == "withdrawn"
    office.clock.advance(7_200)
    assert price(office) == 50_000
    for version, words in ((1, "is in force; `ocs catalog rollback`"), (2, "was withdrawn")):
        with pytest.raises(RefusedError, match=words):
            withdraw(office.desk, version)
    with pytest.raises(NotFoundError):
        withdraw(office.desk, 7)


@pytest.mark.rule("K-352")
def test_going_back_publishes_the_older_text_again(office):
    office.open_account()
    catalogs.publish(office.desk, DEARER, "march.yaml")
    assert price(office) == 80_000
    back = roll_back(office.desk, None)
    assert (back.version, price(office)) == (3, 50_000)
    assert office.desk.store.catalogue(3).source == office.desk.store.catalogue(1).source
    assert roll_back(office.desk, 2).version == 4
    (action,) = office.desk.reports.actions(0, 1)
    details = json.loads(action.details)
    assert action.action == "catalog rollback"
    assert (details["from_version"], details["to_version"]) == (3, 2)


@pytest.mark.rule("K-352")
def test_there_must_be_something_else_to_go_back_to(office):
    with pytest.raises(RefusedError, match="no catalogue from before"):
        roll_back(office.desk, None)
    with pytest.raises(RefusedError, match="in force already, as version 1"):
        roll_back(office.desk, 1)
    with pytest.raises(NotFoundError):
        roll_back(office.desk, 9)


@pytest.mark.rule("K-352")
def test_nobody_loses_the_plan_by_going_back(office):
    more = TEXT.replace("  basic:\n", "  brand-new: {services: {data: free}}\n  basic:\n", 1)
    catalogs.publish(office.desk, more, "more.yaml")
    new = NewSubscriber((Identity("msisdn", "4915100000001"),), "brand-new", 0)
    add(office.desk, new, office.catalogues.current())
    with pytest.raises(RefusedError, match="1 accounts have plan 'brand-new'"):
        roll_back(office.desk, None)
    assert office.catalogues.current().catalog.version == 2
