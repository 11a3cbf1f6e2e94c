"""Top-up, adjustment and refund: exactly once, never more than allowed, always recorded."""

from contextlib import closing
from dataclasses import replace

import pytest

from ocs.amounts import Unit
from ocs.charging.model.messages import (
    EventAction,
    Outcome,
    RequestKind,
    ServiceRequest,
    Units,
    UsedUnits,
)
from ocs.clock import IdSource
from ocs.errors import ConflictError, NotFoundError, RefusedError, UsageError
from ocs.ledger.account import AccountFlag
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import find_subscriber
from ocs.store.sql import SqlStore
from tests.support.desks import MB, NUMBER, SMS, wants


def found(office):
    return find_subscriber(office.desk, f"+{NUMBER}")


def balance(office, account_id):
    return accounts.show(office.desk, account_id)["balance_micro"]


def test_top_up_is_one_movement_one_record_one_action(office):
    account_id = office.open_account()
    posted = accounts.top_up(office.desk, found(office), "2.50")
    assert (posted.amount, posted.balance_micro) == (2_500_000, 12_500_000)
    line = accounts.find_entry(office.desk, posted.entry)
    assert (line.movement.amount, line.request.record.operator) == (2_500_000, "desk")
    action = office.desk.reports.actions(0, 10, account_id=account_id)[0]
    assert (action.action, action.operator, action.reason) == ("account topup", "desk", "test")
    office.must_be_clean()


@pytest.mark.rule("I-006")
def test_reference_makes_it_happen_once(office):
    account_id = office.open_account()
    first = accounts.top_up(office.desk, found(office), "5", reference="shop-1")
    accounts.top_up(office.desk, found(office), "1")
    again = accounts.top_up(office.desk, found(office), "5.00", reference="shop-1")
    assert again.repeated
    assert (again.entry, again.balance_micro) == (first.entry, first.balance_micro)
    assert balance(office, account_id) == 16_000_000
    assert len(office.desk.reports.actions(0, 10, account_id=account_id)) == 3


def test_reference_with_other_content_names_the_difference(office):
    account_id = office.open_account()
    accounts.top_up(office.desk, found(office), "5", reference="shop-1")
    with pytest.raises(ConflictError, match=r"amount was '5\.00', now '6\.00'"):
        accounts.top_up(office.desk, found(office), "6", reference="shop-1")
    with pytest.raises(ConflictError, match="command was 'account topup main'"):
        accounts.adjust(office.desk, found(office), "5", reference="shop-1")
    assert balance(office, account_id) == 15_000_000


@pytest.mark.parametrize("amount", ["0", "-1", "ten", "0.0000001", "1 GB", "nan", "1e3"])
def test_no_top_up_of_nonsense(office, amount):
    account_id = office.open_account()
    with pytest.raises(UsageError):
        accounts.top_up(office.desk, found(office), amount)
    assert balance(office, account_id) == 10_000_000
    office.must_be_clean()


def test_adjustment_stops_at_the_credit_limit_and_at_holds(office):
    account_id = office.open_account(credit_limit_micro=1_000_000)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    held = accounts.show(office.desk, account_id)["held_micro"]
    assert held > 0
    with pytest.raises(RefusedError, match="may not go below"):
        accounts.adjust(office.desk, found(office), "-10.60")
    posted = accounts.adjust(office.desk, found(office), "-10.50")
    assert posted.balance_micro == -500_000
    office.must_be_clean()


def test_unknown_bucket_names_those_there_are(office):
    office.open_account()
    with pytest.raises(NotFoundError, match="it has main"):
        accounts.top_up(office.desk, found(office), "1", bucket="bonus")


def test_top_up_ends_over_usage(office):
    account_id = office.open_account(balance=500_000)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    office.clock.advance(10)
    office.ask(account_id, RequestKind.UPDATE, 1, wants(100, 12 * MB))
    assert office.desk.reports.account(account_id).flags == AccountFlag.OVER_USAGE
    accounts.top_up(office.desk, found(office), "1")
    assert office.desk.reports.account(account_id).flags == 0
    office.must_be_clean()


def charge_entry(office, account_id):
    lines = accounts.ledger(office.desk, account_id, 100, 0)
    return next(line["entry"] for line in lines if line["side"] == "revenue")


@pytest.mark.rule("M-014")
def test_refunds_never_exceed_the_charge(office):
    account_id = office.open_account()
    office.data_session(account_id)
    entry = charge_entry(office, account_id)
    assert balance(office, account_id) == 9_600_000
    accounts.refund(office.desk, entry, "0.15")
    with pytest.raises(RefusedError, match=r"took 0\.40, of which 0\.25 can still"):
        accounts.refund(office.desk, entry, "0.26")
    rest = accounts.refund(office.desk, entry)
    assert rest.amount == 250_000
    with pytest.raises(RefusedError, match="refunded completely"):
        accounts.refund(office.desk, entry)
    assert balance(office, account_id) == 10_000_000
    office.must_be_clean()


def test_refund_by_reference_is_repeated_not_doubled(office):
    account_id = office.open_account()
    office.data_session(account_id)
    entry = charge_entry(office, account_id)
    first = accounts.refund(office.desk, entry, reference="complaint-1")
    again = accounts.refund(office.desk, entry, reference="complaint-1")
    assert (again.repeated, again.amount, again.entry) == (True, first.amount, first.entry)
    assert balance(office, account_id) == 10_000_000


@pytest.mark.rule("M-014")
def test_operator_and_gateway_cannot_both_refund_an_event(office):
    account_id = office.open_account()
    by_operator = office.message(account_id, session="smsc;1")
    by_gateway = office.message(account_id, session="smsc;2")
    lines = [
        line["entry"]
        for line in accounts.ledger(office.desk, account_id, 100, 0)
        if line["side"] == "revenue"
    ]

    def gateway_refund(reference, session):
        asked = ServiceRequest(1, (), requested=Units(events=1))
        return office.ask(
            account_id, RequestKind.EVENT, 1, asked, session=session, context=SMS,
            action=EventAction.REFUND_ACCOUNT, reference=reference,
        ).outcome  # fmt: skip

    accounts.refund(office.desk, lines[0])
    assert gateway_refund(by_operator.refund_reference, "smsc;3") == Outcome.UNABLE_TO_COMPLY
    assert gateway_refund(by_gateway.refund_reference, "smsc;4") == Outcome.SUCCESS
    with pytest.raises(RefusedError, match="refunded by its gateway"):
        accounts.refund(office.desk, lines[1])
    assert balance(office, account_id) == 10_000_000
    office.must_be_clean()


@pytest.mark.rule("M-014")
@pytest.mark.parametrize("operator_first", [True, False])
def test_operator_and_gateway_cannot_both_refund_a_session_of_events(office, operator_first):
    account_id = office.open_account()
    wanted = ServiceRequest(1, (), requested=Units(events=3))
    office.ask(account_id, RequestKind.INITIAL, 0, wanted, context=SMS)
    used = ServiceRequest(1, (), used=(UsedUnits(Units(events=3)),))
    token = office.ask(account_id, RequestKind.TERMINATION, 1, used, context=SMS).refund_reference
    entry = charge_entry(office, account_id)

    def gateway_refund():
        asked = ServiceRequest(1, (), requested=Units(events=1))
        return office.ask(
            account_id, RequestKind.EVENT, 0, asked, session="smsc;refund", context=SMS,
            action=EventAction.REFUND_ACCOUNT, reference=token,
        ).outcome  # fmt: skip

    if operator_first:
        accounts.refund(office.desk, entry, "0.07")
        assert gateway_refund() == Outcome.UNABLE_TO_COMPLY
    else:
        assert gateway_refund() == Outcome.SUCCESS
        with pytest.raises(RefusedError, match="refunded by its gateway"):
            accounts.refund(office.desk, entry)
    assert balance(office, account_id) == 10_000_000 - 140_000
    office.must_be_clean()


@pytest.mark.parametrize("entry", ["", "17", "x.y", "1.2.3", "99999999999999999999.0", "-1.0"])
def test_what_is_no_entry(office, entry):
    with pytest.raises(UsageError):
        accounts.refund(office.desk, entry)


def test_only_charges_are_refunded(office):
    account_id = office.open_account()
    top_up = accounts.ledger(office.desk, account_id, 1, 0)[0]["entry"]
    with pytest.raises(RefusedError, match="is no charge"):
        accounts.refund(office.desk, top_up)
    with pytest.raises(NotFoundError):
        accounts.refund(office.desk, "17.0")


def test_account_shows_money_and_units_apart(office):
    account_id = office.open_account()
    shown = accounts.show(office.desk, account_id)
    assert [bucket["unit"] for bucket in shown["buckets"]] == [Unit.MONEY.label]
    with pytest.raises(NotFoundError):
        accounts.show(office.desk, 17)


def test_an_entry_that_two_accounts_have_is_not_refunded(office):
    one, other = office.open_account("491511"), office.open_account("491522")
    office.clock.advance(1)
    # Two servers of the same node give two requests of one millisecond the same id.
    for account_id in (one, other):
        with closing(SqlStore(office.url, IdSource(office.clock, 3))) as store:
            desk = replace(office.desk, store=store)
            replace(office, desk=desk).message(account_id, session=f"smsc;{account_id}")
    entries = {accounts.ledger(office.desk, each, 1, 0)[0]["entry"] for each in (one, other)}
    (entry,) = entries
    with pytest.raises(ConflictError, match=r"process\.node"):
        accounts.refund(office.desk, entry)
    office.must_be_clean()


@pytest.mark.parametrize("entry", ["1." + "9" * 30, "1." + "9" * 5000, "9" * 30 + ".0"])
def test_numbers_that_are_too_large_name_no_entry(office, entry):
    with pytest.raises(UsageError, match="no ledger entry"):
        accounts.find_entry(office.desk, entry)


@pytest.mark.parametrize("text", ["9" * 19, "9" * 30, "9" * 5000])
def test_numbers_that_are_too_large_name_no_account(office, text):
    with pytest.raises(UsageError, match="no account"):
        find_subscriber(office.desk, f"account:{text}")
    with pytest.raises(NotFoundError, match="there is no account"):
        find_subscriber(office.desk, f"account:{2**63 - 1}")
