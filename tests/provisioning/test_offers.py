"""What plans promise: first use, validity, bonuses and promotions, through the desk."""

import pytest

from ocs.errors import RefusedError, UsageError
from ocs.ledger.account import Contra
from ocs.provisioning.catalogues import catalogs
from ocs.provisioning.customers import accounts, states, subscribers
from ocs.provisioning.desk import find_subscriber
from tests.support.desks import NUMBER
from tests.support.offers import offers

DAY = 86_400
@pytest.fixture
def shop(office):
    catalogs.publish(office.desk, offers(), "offers.yaml")
    office.open_account(balance=0)
    return office


def top_up(office, amount, reference=""):
    found = find_subscriber(office.desk, f"+{NUMBER}")
    return accounts.top_up(
        office.desk, found, amount, reference=reference, catalogue=office.catalogues.current()
    )


def shown(office):
    found = find_subscriber(office.desk, f"+{NUMBER}")
    document = accounts.show(office.desk, found.account_id)
    return document, {bucket["name"]: bucket["balance"] for bucket in document["buckets"]}


@pytest.mark.rule("K-220")
@pytest.mark.parametrize(
    "amount,given",
    [
        ("9.99", {}),
        ("10", {"extra": 1_000_000, "data": 5_000_000}),
        ("14.55", {"extra": 1_455_000, "data": 5_000_000}),
        ("20", {"extra": 1_500_000, "data": 5_000_000}),
        ("20.01", {"extra": 1_500_000}),
    ],
)
def test_a_top_up_brings_its_bonuses(shop, amount, given):
    posted = top_up(shop, amount)
    buckets = shown(shop)[1]
    assert buckets.pop("main") == posted.amount
    assert buckets == given
    request_id = int(posted.entry.partition(".")[0])
    lines = shop.desk.ledger.lines_of(posted.account_id, request_id)
    assert [(line.contra, line.rule) for line in lines] == [
        (Contra.TOP_UP, ""), *((Contra.BONUS, code) for code in given)
    ]  # fmt: skip
    shop.must_be_clean()


@pytest.mark.rule("K-220")
def test_a_repeated_top_up_brings_nothing_more(shop):
    top_up(shop, "10", "shop-1")
    before = shown(shop)
    assert top_up(shop, "10", "shop-1").repeated
    assert shown(shop) == before


@pytest.mark.rule("K-221")
def test_a_promotion_has_a_window_and_a_number_of_times(shop):
    had = []
    for _ in range(5):
        top_up(shop, "1")
        document = shown(shop)[0]
        had.append(sum(one["name"] == "gift" for one in document["buckets"]))
        shop.clock.advance(DAY // 2)
    # It begins after the first midnight and ends with the third; an account has it twice.
    assert had == [0, 1, 2, 2, 2]
    shop.must_be_clean()


@pytest.mark.rule("K-242", "K-243")
def test_life_begins_with_the_first_use(shop):
    document, buckets = shown(shop)
    assert (document["status"], document["activated"], buckets) == ("pre-active", "", {"main": 0})
    top_up(shop, "9")
    assert shown(shop)[0]["state_until"] == ""
    shop.clock.advance(100 * DAY)
    shop.data_session(int(document["account_id"]), used=(900_000,))
    document, buckets = shown(shop)
    assert document["status"] == "active"
    assert document["activated"] == document["state_since"] == "2026-04-15T12:00:00.000000Z"
    assert document["state_until"] == "2026-05-15T12:00:00.000000Z"
    assert buckets == {"main": 9_000_000, "start": 100_000}
    shop.clock.advance(5 * DAY)
    top_up(shop, "9")
    assert shown(shop)[0]["state_until"] == "2026-05-20T12:00:10.000000Z"
    shop.must_be_clean()


@pytest.mark.rule("K-245")
def test_states_by_hand(shop):
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    catalogue = shop.catalogues.current()
    document = states.set_state(shop.desk, found, "active", catalogue)
    assert (document["status"], document["state_until"]) == (
        "active", "2026-02-04T12:00:00.000000Z"
    )  # fmt: skip
    assert {bucket["name"] for bucket in document["buckets"]} == {"start", "main"}
    now_ns = shop.clock.now_ns()
    document = states.set_state(
        shop.desk, found, "active", catalogue, until_ns=now_ns + 3 * DAY * 10**9
    )
    assert document["state_until"] == "2026-01-08T12:00:00.000000Z"
    document = states.set_state(shop.desk, found, "barred", catalogue)
    assert (document["status"], document["state_until"][:10]) == ("barred", "2026-01-25")
    document = states.set_state(shop.desk, found, "closed", catalogue)
    assert (document["status"], document["state_until"]) == ("closed", "")
    with pytest.raises(RefusedError, match="it is closed"):
        top_up(shop, "10")
    with pytest.raises(RefusedError, match="nothing to block"):
        subscribers.set_blocked(shop.desk, found, blocked=True)
    with pytest.raises(UsageError, match="stays closed"):
        states.set_state(shop.desk, found, "closed", catalogue, until_ns=now_ns + 1)
    with pytest.raises(UsageError, match="in the future"):
        states.set_state(shop.desk, found, "active", catalogue, until_ns=1)
    assert states.set_state(shop.desk, found, "active", catalogue)["status"] == "active"
    actions = shop.desk.reports.actions(0, 10, account_id=found.account_id)
    assert [one.action for one in actions].count("subscriber state") == 5
    shop.must_be_clean()


@pytest.mark.rule("K-244", "K-245")
def test_an_account_closed_by_hand_forfeits_what_its_plan_says(shop):
    expiring = offers().replace("barred: 20 d\n", "barred: 20 d\n      at_close: expire\n")
    catalogs.publish(shop.desk, expiring, "expiring.yaml")
    top_up(shop, "9")
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    catalogue = shop.catalogues.current()
    states.set_state(shop.desk, found, "active", catalogue)
    states.set_state(shop.desk, found, "closed", catalogue)
    assert set(shown(shop)[1].values()) == {0}
    assert states.set_state(shop.desk, found, "closed", catalogue)["status"] == "closed"
    shop.must_be_clean()


@pytest.mark.rule("K-245")
def test_a_blocked_account_is_unblocked_first(shop):
    found = find_subscriber(shop.desk, f"+{NUMBER}")
    assert subscribers.set_blocked(shop.desk, found, blocked=True)["status"] == "blocked"
    with pytest.raises(RefusedError, match="unblock"):
        states.set_state(shop.desk, found, "active", shop.catalogues.current())
    assert subscribers.set_blocked(shop.desk, found, blocked=False)["status"] == "pre-active"
