"""The credit limit: raised and lowered while money is held and owed."""

import pytest

from ocs.charging.model.messages import Outcome, RequestKind
from ocs.charging.model.server_requests import Trigger
from ocs.errors import RefusedError, UsageError
from ocs.provisioning.customers import accounts, credit_limits
from ocs.provisioning.desk import find_subscriber
from tests.support.desks import NUMBER, wants


def limit(office, amount):
    found = find_subscriber(office.desk, f"+{NUMBER}")
    return credit_limits.set_limit(office.desk, found, amount)


@pytest.mark.rule("K-254")
def test_who_has_a_limit_pays_afterwards(office):
    account_id = office.open_account(balance=0)
    refused = office.ask(account_id, RequestKind.INITIAL, 0, wants(100), session="a")
    assert refused.services[0].outcome == Outcome.CREDIT_LIMIT_REACHED
    assert limit(office, "5")["credit_limit_micro"] == 5_000_000
    office.data_session(account_id, "b", used=(7_300_000,))
    shown = accounts.show(office.desk, account_id)
    assert shown["balance_micro"] < 0
    owed = -shown["balance_micro"]
    with pytest.raises(RefusedError, match="its limit cannot be less"):
        limit(office, "0")
    assert limit(office, str(owed / 1e6))["credit_limit_micro"] == owed
    found = find_subscriber(office.desk, f"+{NUMBER}")
    accounts.top_up(office.desk, found, str(owed / 1e6))
    assert limit(office, "0")["credit_limit_micro"] == 0
    office.must_be_clean()


@pytest.mark.rule("K-254")
def test_what_sessions_hold_of_the_credit_is_promised(office):
    account_id = office.open_account(balance=0, credit_limit_micro=5_000_000)
    office.ask(account_id, RequestKind.INITIAL, 0, wants(100))
    assert accounts.show(office.desk, account_id)["held_micro"] > 0
    with pytest.raises(RefusedError, match="used or promised"):
        limit(office, "0")
    limit(office, "6")
    rows = office.desk.store.due_server_requests(office.clock.now_ns(), 10)
    assert [row.trigger for row in rows] == [Trigger.TOP_UP]
    actions = office.desk.reports.actions(0, 10, account_id=account_id)
    assert actions[0].action == "account limit"
    limit(office, "6")
    assert len(office.desk.reports.actions(0, 10, account_id=account_id)) == len(actions)
    office.must_be_clean()


@pytest.mark.rule("K-254")
def test_limits_that_cannot_be(office):
    office.open_account()
    for amount in ("-1", "x", "1000000000000"):
        with pytest.raises(UsageError):
            limit(office, amount)
