"""What customers are told of money and buckets that operators move (K-382, K-383)."""

import pytest
from sqlalchemy import select

from ocs.charging.model.messages import Identity
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, subscribers, transfers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.desk import Found, find_subscriber
from ocs.store.schema import notification
from tests.support.desks import NUMBER, Office

TEXT = """
name: Told
currency: EUR
notify: {low_balance: [2.00], expiry: [1 day]}
services: {api: {unit: events}}
plans:
  basic:
    transfers: {minimum: 0.01}
    top_up_bonus: {gift: {amount: 1.00, from: 5.00, expires_after: 3 days}}
    services: {api: {price: 0.05}}
"""
OTHER = "4915199999999"


@pytest.fixture
def found(office: Office) -> Found:
    catalogs.publish(office.desk, TEXT, "told.yaml")
    for number in (NUMBER, OTHER):
        new = NewSubscriber((Identity("msisdn", number),), "basic", 3_000_000)
        subscribers.add(office.desk, new, office.catalogues.current())
    return find_subscriber(office.desk, f"+{NUMBER}")


def told(office: Office, found: Found) -> list[str]:
    with office.desk.reader.engine.connect() as connection:
        return list(connection.execute(
            select(notification.c.kind).where(notification.c.account_id == found.account_id)
        ).scalars())  # fmt: skip


@pytest.mark.rule("K-382")
def test_a_low_balance_is_told_of_adjustments(office: Office, found: Found) -> None:
    current = office.catalogues.current()
    accounts.adjust(office.desk, found, "-0.50", catalogue=current)
    assert told(office, found) == []
    accounts.adjust(office.desk, found, "-0.60", catalogue=current)
    assert told(office, found) == ["low-balance"]
    accounts.adjust(office.desk, found, "-0.10", catalogue=current)
    assert told(office, found) == ["low-balance"]


@pytest.mark.rule("K-382")
def test_a_low_balance_is_told_to_who_gives(office: Office, found: Found) -> None:
    taker = find_subscriber(office.desk, f"+{OTHER}")
    transfers.transfer(office.desk, found, taker, "1.50", office.catalogues.current())
    assert told(office, found) == ["low-balance"]
    assert told(office, taker) == []


@pytest.mark.rule("K-383")
def test_the_end_of_a_bonus_is_scheduled_with_it(office: Office, found: Found) -> None:
    before = office.desk.reports.account(found.account_id)
    assert before is not None
    assert before.due_ns == 0
    accounts.top_up(office.desk, found, "5", catalogue=office.catalogues.current())
    after = office.desk.reports.account(found.account_id)
    assert after is not None
    assert after.due_ns == office.clock.now_ns() + 2 * 86_400 * 10**9
