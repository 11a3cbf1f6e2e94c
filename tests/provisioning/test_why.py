"""The explanation of a ledger line: recomputed, in steps, and honest when it does not match."""

import pytest
from sqlalchemy import update

from ocs.charging.model.messages import RequestKind, ServiceRequest, Units, UsedUnits
from ocs.errors import NotFoundError
from ocs.provisioning import maintenance
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof import why
from ocs.store.schema import movement
from tests.support.desks import NUMBER


def entries(office, account_id):
    return [line["entry"] for line in accounts.ledger(office.desk, account_id, 100, 0)]


def explain(office, entry):
    return why.explain(office.desk, office.catalogues, entry)


@pytest.mark.rule("G01", "M-002")
def test_a_data_charge(office):
    account_id = office.open_account()
    office.data_session(account_id)
    shown = explain(office, entries(office, account_id)[-1])
    assert (shown["recomputed"], shown["matches"], shown["plan"]) == ("0.40", True, "basic")
    text = "\n".join(shown["steps"])
    for words in ("termination request number 1 of session pgw1;1;1", "0.05 EUR per 1000000",
                  "7300000 octets used", "8000000 billed", "0.40"):  # fmt: skip
        assert words in text


@pytest.mark.rule("G02")
def test_the_second_report_of_a_session(office):
    account_id = office.open_account()
    office.data_session(account_id, used=(1_400_000, 1_400_000))
    shown = [explain(office, entry) for entry in entries(office, account_id)[1:]]
    assert [one["recomputed"] for one in shown] == ["0.10", "0.05"]
    assert (shown[1]["units_before"], shown[1]["units_after"]) == (1_400_000, 2_800_000)
    assert all(one["matches"] for one in shown)


def test_a_call_by_the_clock(office):
    account_id = office.open_account()
    used = (UsedUnits(Units(seconds=61)),)
    context = "32260@3gpp.org"
    asked = ServiceRequest(11, (), requested=Units())
    office.ask(account_id, RequestKind.INITIAL, 0, asked, context=context)
    office.clock.advance(61)
    end = ServiceRequest(11, (), used=used)
    office.ask(account_id, RequestKind.TERMINATION, 1, end, context=context)
    shown = explain(office, entries(office, account_id)[-1])
    assert (shown["recomputed"], shown["matches"]) == ("0.24", True)
    assert any("seconds are counted from 2026-01-05T12:00" in step for step in shown["steps"])


def test_an_event(office):
    account_id = office.open_account()
    office.message(account_id, 3)
    shown = explain(office, entries(office, account_id)[-1])
    assert (shown["recomputed"], shown["matches"], shown["kind"]) == ("0.21", True, "event")


def test_a_charge_that_was_changed_does_not_match(office):
    account_id = office.open_account()
    office.message(account_id, 3)
    with office.desk.reader.engine.begin() as connection:
        connection.execute(
            update(movement).where(movement.c.service == "message").values(amount=-1)
        )
    shown = explain(office, entries(office, account_id)[-1])
    assert (shown["recomputed_micro"], shown["matches"]) == (210_000, False)


def test_what_operators_and_pruning_did(office):
    account_id = office.open_account()
    office.data_session(account_id)
    found = find_subscriber(office.desk, f"+{NUMBER}")
    accounts.refund(office.desk, entries(office, account_id)[-1], "0.10")
    accounts.adjust(office.desk, found, "-1")
    words = [explain(office, entry)["steps"] for entry in entries(office, account_id)]
    assert "top-up of 10.00" in words[0][0]
    assert "refund of 0.10" in words[2][0] and "it gives back entry" in words[2][1]
    assert words[3][0] == "adjustment of bucket 'main' by -1.00"
    assert "by desk" in words[3][1] and "because: test" in words[3][1]
    office.clock.advance(maintenance.REPEATABLE_NS // 10**9 + 1)
    maintenance.prune(office.desk, 0, 0)
    carried = explain(office, entries(office, account_id)[0])
    assert "that were pruned" in carried["steps"][0]
    assert carried["matches"]


def test_no_such_entry(office):
    with pytest.raises(NotFoundError, match="may have been pruned"):
        explain(office, "17.0")
