"""Transfers: two sides of one transaction, once per reference, as the giver's plan allows."""

import threading
from functools import partial

import pytest
from sqlalchemy import update

from ocs.errors import ConflictError, RefusedError, UsageError
from ocs.ledger.account import AccountStatus, Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, states, transfers
from ocs.provisioning.customers.subscribers import set_blocked
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.proof.why import explain
from ocs.store.schema import bucket, movement
from tests.support.desks import NUMBER, open_office, wants
from tests.support.offers import OTHER, TERMS, allowing, at_once, desks


def publish(office, terms=TERMS):
    catalogs.publish(office.desk, allowing(terms), "transfers.yaml")


@pytest.fixture
def bank(office):
    publish(office)
    office.open_account()
    office.open_account(OTHER)
    return office


def balance(office, number=NUMBER):
    found = find_subscriber(office.desk, f"+{number}")
    return accounts.show(office.desk, found.account_id)["balance_micro"]


def give(office, amount, reference="", giver=NUMBER, taker=OTHER):
    return transfers.transfer(
        office.desk, find_subscriber(office.desk, f"+{giver}"),
        find_subscriber(office.desk, f"+{taker}"), amount, office.catalogues.current(),
        reference=reference,
    )  # fmt: skip


@pytest.mark.rule("K-251", "K-252")
def test_what_leaves_one_account_enters_the_other(bank):
    done = give(bank, "2.50")
    assert (done.amount_micro, done.fee_micro) == (2_500_000, 100_000)
    assert done.balance_micro == 7_400_000
    assert (balance(bank), balance(bank, OTHER)) == (7_400_000, 12_500_000)
    request_id = int(done.entry.partition(".")[0])
    given = bank.desk.ledger.lines_of(done.giver_id, request_id)
    assert [(line.contra, line.amount, line.rule) for line in given] == [
        (Contra.TRANSFER, -2_500_000, f"account:{done.taker_id}"),
        (Contra.REVENUE, -100_000, "transfer-fee"),
    ]
    taken = bank.desk.ledger.ledger(done.taker_id, 1)[0].movement
    assert (taken.contra, taken.amount, taken.rule) == (
        Contra.TRANSFER, 2_500_000, f"account:{done.giver_id}"
    )  # fmt: skip
    sides = bank.must_be_clean().totals["EUR"].sides
    assert sides == {"top-up": 20_000_000, "transfer": 0, "revenue": -100_000}


@pytest.mark.rule("K-251")
def test_a_reference_makes_it_happen_once(bank):
    first = give(bank, "2", "app-1")
    again = give(bank, "2.00", "app-1")
    assert again.repeated
    assert (again.entry, again.balance_micro, again.fee_micro) == (
        first.entry, first.balance_micro, 100_000
    )  # fmt: skip
    assert balance(bank) == 7_900_000
    with pytest.raises(ConflictError, match="'app-1' was used before"):
        give(bank, "3", "app-1")
    with pytest.raises(ConflictError, match="'app-1' was used before"):
        accounts.top_up(
            bank.desk, find_subscriber(bank.desk, f"+{NUMBER}"), "2", reference="app-1"
        )
    # The other side has references of its own.
    assert not give(bank, "2", "app-1", OTHER, NUMBER).repeated
    bank.must_be_clean()


@pytest.mark.rule("K-251", "I-001")
def test_the_audit_misses_the_other_side_of_a_transfer(bank):
    done = give(bank, "2")
    with bank.desk.reader.engine.begin() as connection:
        # Line and balance of the taker fit together, but not to what was given.
        mine = movement.c.account_id == done.taker_id
        connection.execute(
            update(movement).where(mine, movement.c.contra == Contra.TRANSFER)
            .values(amount=movement.c.amount + 1)
        )  # fmt: skip
        connection.execute(
            update(bucket)
            .where(bucket.c.account_id == done.taker_id)
            .values(available=bucket.c.available + 1)
        )
    (violation,) = bank.audited().violations
    assert violation.message == "EUR: what accounts gave each other differs by 1"


@pytest.mark.rule("K-252")
@pytest.mark.parametrize(
    "amount,words",
    [("0.99", "1.00 at least"), ("5.01", "5.00 at most"), ("0", "at least"), ("-1", "at least")],
)
def test_bounds_of_one_transfer(bank, amount, words):
    with pytest.raises(RefusedError, match=words):
        give(bank, amount)
    assert balance(bank) == 10_000_000


@pytest.mark.rule("K-252")
def test_bounds_of_a_local_day(bank):
    give(bank, "5")
    with pytest.raises(RefusedError, match=r"a day may see 7\.00"):
        give(bank, "2.01")
    give(bank, "1")
    give(bank, "1")
    with pytest.raises(RefusedError, match="3 transfers were made today"):
        give(bank, "1")
    bank.clock.advance(86_400)
    give(bank, "1")
    bank.must_be_clean()


@pytest.mark.rule("K-252")
def test_something_must_be_left_and_credit_is_not_given(bank):
    office = bank
    office.open_account("491510001", 2_600_000, credit_limit_micro=50_000_000)
    with pytest.raises(RefusedError, match=r"0\.49 left"):
        give(office, "2.01", giver="491510001")
    assert give(office, "2", giver="491510001").balance_micro == 500_000


@pytest.mark.rule("K-252")
def test_what_sessions_hold_is_not_given(bank):
    found = find_subscriber(bank.desk, f"+{NUMBER}")
    bank.ask(found.account_id, 1, 0, wants(100))
    held = accounts.show(bank.desk, found.account_id)["held_micro"]
    assert held > 0
    publish(bank, "{minimum: 0.01}")
    with pytest.raises(RefusedError, match="left"):
        give(bank, "10")
    give(bank, str((10_000_000 - held) / 1e6))
    assert balance(bank) == held
    bank.must_be_clean()


@pytest.mark.rule("K-252")
def test_a_plan_without_transfers_allows_none(office):
    office.open_account()
    office.open_account(OTHER)
    with pytest.raises(RefusedError, match="allows no transfers"):
        give(office, "1")
    with pytest.raises(UsageError, match="the same account"):
        give(office, "1", taker=NUMBER)


@pytest.mark.rule("K-253")
def test_states_of_both_sides(bank):
    taker = find_subscriber(bank.desk, f"+{OTHER}")
    set_blocked(bank.desk, taker, blocked=True)
    give(bank, "1")
    with pytest.raises(RefusedError, match="can give nothing: the account is blocked"):
        give(bank, "1", giver=OTHER, taker=NUMBER)
    set_blocked(bank.desk, taker, blocked=False)
    states.set_state(bank.desk, taker, "closed", bank.catalogues.current())
    with pytest.raises(RefusedError, match="can be given nothing: it is closed"):
        give(bank, "1")
    assert accounts.show(bank.desk, taker.account_id)["status"] == AccountStatus.CLOSED.name.lower()


@pytest.mark.rule("K-265")
def test_what_is_given_pays_a_fee_that_was_unpaid(office):
    publish(office, TERMS + "\n    recurring: {line: {every: month, fee: 12, unpaid: bar}}")
    office.open_account(balance=20_000_000)
    account_id = office.open_account(OTHER)
    assert accounts.show(office.desk, account_id)["flags"]
    give(office, "2")
    due = office.desk.store.due_accounts(office.clock.now_ns(), 10)
    assert [one.account_id for one in due] == [account_id]
    # The next that happens to it finds the fee paid.
    with pytest.raises(RefusedError, match="left after"):
        give(office, "1", giver=OTHER, taker=NUMBER)
    office.must_be_clean()


@pytest.mark.rule("K-251")
def test_both_sides_are_explained(bank):
    done = give(bank, "1")
    giver, fee = (
        explain(bank.desk, bank.catalogues, f"{done.entry[:-1]}{line}") for line in (0, 1)
    )
    assert f"transfer of 1.00 to account:{done.taker_id}" in " ".join(giver["steps"])
    assert "fee of a transfer by plan 'basic': 0.10" in " ".join(fee["steps"])


def both_ways(url, office, rounds):
    """Give in both directions at once; the accounts' order must not matter."""
    publish(office, "{minimum: 0.01}")
    start = threading.Barrier(2)

    def run(mine, giver, taker):
        for number in range(rounds):
            start.wait(60)
            give(mine, "0.01", f"r{number}", giver, taker)
            assert give(mine, "0.01", f"r{number}", giver, taker).repeated

    with desks(url, office.clock, 2) as (one, two):
        at_once([partial(run, one, NUMBER, OTHER), partial(run, two, OTHER, NUMBER)])
    assert (balance(office), balance(office, OTHER)) == (10_000_000, 10_000_000)
    office.must_be_clean()


@pytest.mark.postgres
@pytest.mark.rule("K-251")
def test_both_ways_at_once_on_postgresql(postgres_url):
    with open_office(postgres_url) as office:
        office.open_account()
        office.open_account(OTHER)
        both_ways(postgres_url, office, 30)


@pytest.mark.rule("K-251")
def test_both_ways_at_once(office):
    office.open_account()
    office.open_account(OTHER)
    both_ways(office.url, office, 5)
