"""What operators change asks the clients of open sessions: one row with the change, once."""

import pytest

from ocs import yamldoc
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.server_requests import Command, ServerRequest, Trigger
from ocs.errors import NotFoundError, RefusedError
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, subscribers
from ocs.provisioning.desk import Found, find_subscriber
from tests.support.desks import CATALOGUE, NUMBER, Office


def found(office: Office) -> Found:
    return find_subscriber(office.desk, f"+{NUMBER}")


def rows(office: Office) -> list[ServerRequest]:
    """Everything to be asked of clients, newest first."""
    return office.desk.reports.server_requests(0, 100)


def triggers(office: Office) -> list[tuple[int, Trigger, Command]]:
    return [(row.account_id, Trigger(row.trigger), Command(row.command)) for row in rows(office)]


@pytest.mark.rule("D17", "C-048", "C-090", "C-095")
def test_every_credit_asks_once_also_when_it_is_repeated(office: Office) -> None:
    account_id = office.open_account()
    for _ in range(2):
        accounts.top_up(office.desk, found(office), "5", reference="shop-1")
    assert triggers(office) == [(account_id, Trigger.TOP_UP, Command.RE_AUTH)]
    [row] = rows(office)
    assert (row.session_key, row.operator) == (b"", "desk")
    assert row.created_ns == row.due_ns == office.clock.now_ns()
    accounts.adjust(office.desk, found(office), "1")
    office.data_session(account_id)
    charge = next(
        line["entry"]
        for line in accounts.ledger(office.desk, account_id, 10, 0)
        if line["side"] == "revenue"
    )
    accounts.refund(office.desk, charge)
    assert [trigger for _, trigger, _ in triggers(office)] == [Trigger.TOP_UP] * 3


@pytest.mark.rule("C-090")
def test_what_gives_nothing_asks_nothing(office: Office) -> None:
    office.open_account()
    accounts.adjust(office.desk, found(office), "-1")
    with pytest.raises(RefusedError):
        accounts.adjust(office.desk, found(office), "-100")
    subscribers.set_blocked(office.desk, found(office), blocked=False)
    assert rows(office) == []


@pytest.mark.rule("C-090", "M-014")
def test_a_refund_that_a_gateway_asks_for_is_a_credit_too(office: Office) -> None:
    account_id = office.open_account()
    debit = office.message(account_id)
    assert debit.refund_reference
    refund = office.ask(
        account_id,
        RequestKind.EVENT,
        1,
        session="smsc;1",
        context="32274@3gpp.org",
        action=1,
        reference=debit.refund_reference,
    )
    assert refund.outcome == 0
    assert triggers(office) == [(account_id, Trigger.TOP_UP, Command.RE_AUTH)]


@pytest.mark.rule("C-090", "D22")
def test_a_block_asks_the_sessions_to_end_once(office: Office) -> None:
    account_id = office.open_account()
    for _ in range(2):
        subscribers.set_blocked(office.desk, found(office), blocked=True)
    subscribers.set_blocked(office.desk, found(office), blocked=False)
    assert triggers(office) == [(account_id, Trigger.BLOCK, Command.ABORT_SESSION)]


@pytest.mark.rule("C-090", "C-091")
def test_a_new_plan_asks_the_sessions_to_report(office: Office) -> None:
    account_id = office.open_account()
    index = office.catalogues.current()
    for _ in range(2):
        shown = subscribers.change_plan(
            office.desk, found(office), "redirect", index, allowances=False
        )
    assert shown["plan"] == "redirect"
    assert triggers(office) == [(account_id, Trigger.PLAN_CHANGE, Command.RE_AUTH)]
    with pytest.raises(NotFoundError, match="no plan 'gold'"):
        subscribers.change_plan(office.desk, found(office), "gold", index, allowances=False)
    office.must_be_clean()


@pytest.mark.rule("C-090", "C-091")
def test_a_new_catalogue_asks_all_accounts_after_a_moment_of_grace(office: Office) -> None:
    text = yamldoc.read_text(CATALOGUE)
    catalogs.publish(office.desk, text, "black-box.yaml")
    assert rows(office) == [], "the first version concerns nobody, and it is in force already"
    assert catalogs.publish(office.desk, text + "\n", "again.yaml").version == 2
    assert triggers(office) == [(0, Trigger.CATALOGUE, Command.RE_AUTH)]
    [row] = rows(office)
    assert row.due_ns == office.clock.now_ns() + 2 * 10**9


def test_rows_are_listed_newest_first_by_account_session_and_state(office: Office) -> None:
    first, second = office.open_account(), office.open_account("4915112345679")
    for account_id in (first, second, first):
        accounts.top_up(office.desk, Found(account_id, 0, "x"), "1")
    reports = office.desk.reports
    everything = reports.server_requests(0, 10)
    assert [row.account_id for row in everything] == [first, second, first]
    assert reports.server_requests(0, 2) == everything[:2]
    assert reports.server_requests(everything[1].server_request_id, 10) == everything[2:]
    assert [row.account_id for row in reports.server_requests(0, 9, account_id=second)] == [second]
    assert reports.server_requests(0, 9, session_key=bytes(16)) == []
    done = everything[0]
    done.state, done.due_ns, done.spread = 4, 0, 1
    assert office.desk.store.update_server_request(done)
    assert reports.server_requests(0, 9, unfinished=True) == everything[1:]
