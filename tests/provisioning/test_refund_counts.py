"""What operators give back counts no longer towards limits, caps and bounds of buckets (K-218)."""

import pytest

from ocs.charging.model.messages import Identity
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, caps, subscribers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.usage import recording as usage
from tests.support.desks import NUMBER, Office

TEXT = """
name: Counted
currency: EUR
taxes: {vat: {rate: 25 %}}
services:
  api: {unit: events, tax: vat}
plans:
  basic:
    limits:
      calls: {unit: events, amount: 100, every: day}
      each: {unit: events, amount: 100, every: day, for: member}
      spent: {unit: money, amount: 50.00, every: month}
    allowances:
      free: {unit: events, amount: 10, at_most: {amount: 4, every: day}}
    services: {api: {price: 0.05}}
"""


@pytest.fixture
def account_id(office: Office) -> int:
    catalogs.publish(office.desk, TEXT, "counted.yaml")
    new = NewSubscriber((Identity("msisdn", NUMBER),), "basic", 10_000_000)
    found = int(subscribers.add(office.desk, new, office.catalogues.current())["account_id"])
    name = f"+{NUMBER}"
    current = office.catalogues.current()
    caps.set_cap(office.desk, find_subscriber(office.desk, name), "mine", "20", "day", (), current)
    usage.record(office.desk, office.catalogues, name, usage.Usage("a", "api", "10"))
    return found


def counts(office: Office, account_id: int) -> dict[str, tuple[int, int]]:
    found = caps.counts(office.desk, account_id, office.catalogues.current())
    return {one["name"]: (one["units"], one["charged_micro"]) for one in found}


def refund(office: Office, account_id: int, side: str, unit: str, amount: str = "") -> None:
    (entry,) = [
        str(one["entry"]) for one in accounts.ledger(office.desk, account_id, 100, 0)
        if (one["side"], one["unit"]) == (side, unit)
    ]  # fmt: skip
    accounts.refund(office.desk, entry, amount, catalogue=office.catalogues.current())


@pytest.mark.rule("K-217", "K-218")
def test_units_that_go_back_are_not_used(office: Office, account_id: int) -> None:
    assert counts(office, account_id) == {
        "calls": (10, 300_000), "each": (10, 300_000), "spent": (0, 300_000),
        "mine": (0, 300_000), "free": (4, 0),
    }  # fmt: skip
    refund(office, account_id, "revenue", "events", "3")
    assert counts(office, account_id) == {
        "calls": (7, 300_000), "each": (7, 300_000), "spent": (0, 300_000),
        "mine": (0, 300_000), "free": (1, 0),
    }  # fmt: skip
    office.must_be_clean()


@pytest.mark.rule("K-218")
def test_money_that_goes_back_stands_for_its_share_of_the_units(
    office: Office, account_id: int
) -> None:
    refund(office, account_id, "revenue", "money", "0.10")
    assert counts(office, account_id) == {
        "calls": (8, 200_000), "each": (8, 200_000), "spent": (0, 200_000),
        "mine": (0, 200_000), "free": (4, 0),
    }  # fmt: skip
    refund(office, account_id, "revenue", "money")
    refund(office, account_id, "tax", "money")
    found = counts(office, account_id)
    assert (found["spent"], found["mine"], found["calls"][1]) == ((0, 0), (0, 0), 0)
    assert found["calls"][0] in (4, 5)
    office.must_be_clean()
