"""Taxes seen from the desk: explained, audited, refunded, in records and in prices."""

import io
import json

import pytest
from sqlalchemy import update

from ocs.charging.model.messages import Identity
from ocs.provisioning import records
from ocs.provisioning.catalogues import catalogs, prices
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.customers.subscribers import NewSubscriber
from ocs.provisioning.proof import audit
from ocs.provisioning.proof.why import explain
from ocs.provisioning.usage import recording as usage
from ocs.store.schema import movement
from tests.support.desks import NUMBER, Office

TEXT = """
name: Taxed
currency: EUR
taxes:
  vat: {rate: 21 %}
services:
  api: {unit: events, tax: vat}
  calls: {unit: events, tax: vat}
plans:
  basic:
    services:
      api: {price: 0.07}
      calls: {price: 0.0000002, counted: month}
    recurring:
      line: {every: month, fee: 12.10, tax: vat}
"""


@pytest.fixture
def account_id(office: Office) -> int:
    catalogs.publish(office.desk, TEXT, "taxed.yaml")
    new = NewSubscriber((Identity("msisdn", NUMBER),), "basic", 50_000_000)
    return int(subscribers.add(office.desk, new, office.catalogues.current())["account_id"])


def use(office: Office, service: str, quantity: str, key: str) -> None:
    usage.record(
        office.desk, office.catalogues, f"+{NUMBER}", usage.Usage(key, service, quantity)
    )


def lines(office: Office, account_id: int, *sides: str) -> list[dict[str, object]]:
    found = accounts.ledger(office.desk, account_id, 1000, 0)
    return [line for line in found if line["side"] in sides]


@pytest.mark.rule("K-280")
def test_a_fee_has_its_tax_beside_it(office: Office, account_id: int) -> None:
    found = lines(office, account_id, "fee", "tax")
    assert [(line["side"], line["amount"]) for line in found] == [
        ("fee", -10_000_000), ("tax", -2_100_000)
    ]  # fmt: skip
    for line in found:
        why = explain(office.desk, office.catalogues, str(line["entry"]))
        assert why["matches"]
        assert why["recomputed_micro"] == 12_100_000
        assert "of it 2.10 is tax: vat 21 %" in why["steps"]
    office.must_be_clean()


@pytest.mark.rule("K-280", "K-281")
def test_both_lines_of_a_charge_are_explained_together(office: Office, account_id: int) -> None:
    use(office, "api", "3", "a")
    revenue, tax = lines(office, account_id, "revenue", "tax")[-2:]
    assert (revenue["amount"], tax["amount"]) == (-173_554, -36_446)
    for line in (revenue, tax):
        why = explain(office.desk, office.catalogues, str(line["entry"]))
        assert why["matches"]
        assert why["recomputed_micro"] == 210_000
        assert any("0.036446 is tax, vat 21 %" in step for step in why["steps"])
    office.must_be_clean()


@pytest.mark.rule("K-281")
def test_tiny_charges_of_a_month_add_up_to_the_tax_of_the_whole(
    office: Office, account_id: int
) -> None:
    before = sum(int(str(line["amount"])) for line in lines(office, account_id, "tax"))
    for number, quantity in enumerate(("7", "13", "1", "100", "9999", "40000", "3")):
        use(office, "calls", quantity, f"c{number}")
    charged = -sum(
        int(str(line["amount"])) for line in lines(office, account_id, "revenue", "tax")
        if line["service"] == "calls"
    )  # fmt: skip
    after = sum(int(str(line["amount"])) for line in lines(office, account_id, "tax"))
    assert charged == 10_025, "50123 calls"
    assert before - after == 1_740, "10025 * 21 / 121, rounded"
    office.must_be_clean()


@pytest.mark.rule("K-280")
def test_the_tax_is_in_records_and_in_what_a_price_comes_to(
    office: Office, account_id: int
) -> None:
    use(office, "api", "3", "a")
    office.clock.advance(120)
    written = io.StringIO()
    records.export(office.desk, records.Selection(account_id=account_id), "jsonl", written)
    views = [json.loads(text) for text in written.getvalue().splitlines()]
    charged = [one for view in views for one in view["charged"]]
    assert [(one["charged_micro"], one["tax_micro"], one["tax"]) for one in charged] == [
        (210_000, 36_446, "0.036446")
    ]
    question = prices.Question("api", "basic", "3")
    answer = prices.quote(office.catalogues.current(), question)
    assert answer["cost_micro"] == 210_000
    assert "0.036446 of it is tax: vat 21 %" in answer["steps"]


def test_each_line_can_be_refunded_by_itself(office: Office, account_id: int) -> None:
    use(office, "api", "3", "a")
    revenue, tax = lines(office, account_id, "revenue", "tax")[-2:]
    for line in (revenue, tax):
        accounts.refund(office.desk, str(line["entry"]))
    office.must_be_clean()
    shown = accounts.show(office.desk, account_id)
    assert shown["balance_micro"] == 50_000_000 - 12_100_000


def test_the_audit_finds_a_tax_that_is_not_the_catalogues(
    office: Office, account_id: int
) -> None:
    use(office, "api", "3", "a")
    catalogs.publish(office.desk, TEXT.replace("21 %", "10 %"), "taxed.yaml")
    with office.desk.reader.engine.begin() as connection:
        connection.execute(update(movement).values(catalogue_version=3))
    found = [one.message for one in audit.run(office.desk, office.catalogues).violations]
    assert any("has 36446 of tax, its price has 19091" in text for text in found)
    assert any("12100000 with 2100000 of tax, the fee is 12100000 with 1100000" in text
               for text in found)  # fmt: skip
