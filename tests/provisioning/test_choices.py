"""`ocs price` and `ocs why` say which price holds, why the others do not, and who paid."""

import pytest

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.catalog.matching import CatalogIndex
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import RequestKey
from ocs.ledger.account import Bucket
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.catalogues.prices import Question, quote
from ocs.provisioning.customers import accounts
from ocs.provisioning.proof import why
from tests.support.desks import CATALOGUE, NOON_NS, Office

TEXT = CATALOGUE.read_text(encoding="utf-8")
PRICES = """data:
        prices:
          - {when: {rat: nr}, price: 0.09, per: 1 MB, increment: 1 MB, code: fast}
          - {time_band: night, price: 0.01, per: 1 MB, increment: 1 MB, code: at-night}
          - {price: 0.05, per: 1 MB, increment: 1 MB, code: by-day}
"""
CHOICE = TEXT.replace(
    "data: {price: 0.05, per: 1 MB, increment: 1 MB}\n", PRICES, 1
).replace(
    "currency: EUR\n",
    "currency: EUR\ntime_zone: UTC\ntime_bands:\n  night: {from: 22:00, to: 06:00}\n", 1,
)  # fmt: skip


def index() -> CatalogIndex:
    return CatalogIndex(load_catalog(yamldoc.parse(CHOICE, "choice.yaml")))


@pytest.mark.rule("K-360")
def test_a_price_is_asked_for_with_its_rivals():
    question = Question("data", "basic", "1 MB", at_ns=NOON_NS, when=("rat=eutran",))
    shown = quote(index(), question)
    assert (shown["rule"], shown["rules_in_all"]) == ("by-day", 3)
    assert shown["rules"] == [
        {"rule": "by-day", "chosen": True, "reason": "no price that wants more holds"},
        {"rule": "fast", "chosen": False, "reason": "wants rat nr, and it is rat eutran"},
        {
            "rule": "at-night", "chosen": False,
            "reason": "holds in time band 'night', and it is none",
        },
    ]  # fmt: skip


@pytest.mark.rule("K-360")
def test_what_costs_nothing_has_no_rivals():
    shown = quote(index(), Question("free-data", "basic", "1 MB", at_ns=NOON_NS))
    assert (shown["rules"], shown["rules_in_all"]) == ([], 0)


@pytest.mark.rule("K-360")
def test_a_charge_is_explained_with_its_rivals_and_payers(office: Office):
    catalogs.publish(office.desk, CHOICE, "choice.yaml")
    account_id = office.open_account()
    bonus = Bucket(
        account_id, office.desk.ids.next_id(), Unit.MONEY, "bonus", available=120_000, priority=1
    )
    key = RequestKey(account_id, b"\0" * 16, RequestKind.OPERATOR, 1)
    office.desk.store.transact([key], lambda working_set: working_set.add_bucket(bonus))
    office.data_session(account_id)
    entry = next(
        line["entry"]
        for line in accounts.ledger(office.desk, account_id, 10, 0)
        if line["service"] == "data"
    )
    shown = why.explain(office.desk, office.catalogues, entry)
    assert shown["matches"]
    assert [(one["rule"], one["chosen"]) for one in shown["rules"]] == [
        ("by-day", True), ("fast", False), ("at-night", False),
    ]  # fmt: skip
    assert shown["rules"][1]["reason"] == "wants rat nr, which was not so"
    assert shown["rules"][2]["reason"] == "holds in time band 'night', and it is none"
    text = "\n".join(shown["steps"])
    assert "are spent: 0.12 from 'bonus', 0.28 from 'main'" in text
    assert "catalogue 'Black box' version 2, plan 'basic', service 'data'" in text
