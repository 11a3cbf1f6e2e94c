"""Sponsored charges seen from the desk: explained, audited, refused to be refunded, added up."""

import pytest
from sqlalchemy import update

from ocs.charging.model.messages import Identity
from ocs.errors import RefusedError
from ocs.ledger.account import Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.catalog_diff import differences
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.proof import audit
from ocs.provisioning.proof.why import explain
from ocs.provisioning.usage import recording as usage
from ocs.store.schema import movement
from tests.support.desks import NUMBER, Office

TEXT = """
name: Sponsored
currency: EUR
taxes: {vat: {rate: 25 %}}
services:
  api: {unit: events, tax: vat}
plans:
  basic: {services: {api: {price: 0.05, sponsor: mall}}}
"""


@pytest.fixture
def account_id(office: Office) -> int:
    catalogs.publish(office.desk, TEXT, "sponsored.yaml")
    new = NewSubscriber((Identity("msisdn", NUMBER),), "basic", 0)
    found = int(subscribers.add(office.desk, new, office.catalogues.current())["account_id"])
    for key, quantity in (("a", "3"), ("b", "1")):
        usage.record(
            office.desk, office.catalogues, f"+{NUMBER}", usage.Usage(key, "api", quantity)
        )
    return found


@pytest.mark.rule("K-216")
def test_what_sponsors_owe_is_the_sum_of_their_lines(office: Office, account_id: int) -> None:
    assert accounts.sponsored(office.desk, "", "") == [
        {"sponsor": "mall", "service": "api", "currency": "EUR", "amount": "0.20",
         "amount_micro": 200_000, "lines": 2},
    ]  # fmt: skip
    assert accounts.sponsored(office.desk, "2199-01-01", "2199-02-01") == []
    shown = accounts.show(office.desk, account_id)
    assert shown["balance_micro"] == 0
    office.must_be_clean()


@pytest.mark.rule("K-216")
def test_each_line_is_explained_and_none_is_refunded_to_the_account(
    office: Office, account_id: int
) -> None:
    found = accounts.ledger(office.desk, account_id, 100, 0)[:3]
    assert [(one["side"], one["amount"]) for one in found] == [
        ("sponsor", 150_000), ("revenue", -120_000), ("tax", -30_000)
    ]  # fmt: skip
    said = [explain(office.desk, office.catalogues, str(one["entry"])) for one in found]
    assert all(one["matches"] for one in said)
    assert "paid by sponsor 'mall' for the charge in the next line" in said[0]["steps"][0]
    assert "paid by sponsor 'mall': the account pays nothing" in said[1]["steps"]
    with pytest.raises(RefusedError, match="was paid by sponsor 'mall'"):
        accounts.refund(office.desk, str(found[1]["entry"]))


@pytest.mark.rule("K-216")
@pytest.mark.parametrize("changed", [{"amount": 100_000}, {"rule": "other"}])
def test_the_audit_finds_a_sponsor_who_paid_something_else(
    office: Office, account_id: int, changed: dict[str, object]
) -> None:
    assert audit.run(office.desk, office.catalogues).clean
    statement = update(movement).where(
        movement.c.account_id == account_id, movement.c.contra == Contra.SPONSOR,
        movement.c.amount == 150_000,
    )  # fmt: skip
    with office.desk.reader.engine.begin() as connection:
        connection.execute(statement.values(**changed))
    found = [one.message for one in audit.run(office.desk, office.catalogues).violations]
    assert any("they owe 150000" in one for one in found)


def test_the_difference_of_catalogues_names_the_sponsor(office: Office) -> None:
    old, new = (
        catalogs.check(TEXT.replace("mall", sponsor), "a.yaml") for sponsor in ("mall", "shop")
    )
    (change,) = differences(old, new)
    assert (change.path[-1], change.before, change.after) == ("sponsor", "mall", "shop")
