"""Renewals by the supervisor: who learns of them, and that a request never comes before them."""

import pytest

from ocs import yamldoc
from ocs.catalog.loading.document import load_catalog
from ocs.charging.accounts import recurring
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import make_session_key
from ocs.charging.model.working_set import RequestKey
from ocs.ledger.account import Contra, OperatorAction
from ocs.service.timers import adopting
from ocs.service.timers.adopting import SETTING
from tests.support import service
from tests.support.service import NOON_NS, Harness, add_account, ccr, mscc, publish

DAY = 86_400
PLAIN = """
name: Passes
currency: EUR
services:
  web:
    contexts: 32251@3gpp.org
    rating_groups: [100]
    default: true
    unit: octets
    quota: {slice: 1 MB}
plans:
  basic:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
  other:
    services: {web: {price: 0.10, per: 1 MB, increment: 1 MB}}
"""
PASSES = PLAIN.replace("  other:", """    allowances: {day: {unit: octets, amount: 100 MB}}
    recurring:
      pass: {every: day, fee: 0.25, allowances: day}
  other:""")


@pytest.fixture(autouse=True)
def catalogues(monkeypatch):
    dearer = PASSES.replace("fee: 0.25", "fee: 0.50")
    for name, text in (("plain", PLAIN), ("passes", PASSES), ("dearer", dearer)):
        catalog = load_catalog(yamldoc.parse(text, name))
        monkeypatch.setitem(service.CATALOGUES, name, lambda made=catalog: made)


def fees(harness, account_id=1001):
    return [
        (line.event_ns - NOON_NS) // 10**9 // DAY
        for line in harness.store.movements(account_id) if line.contra == Contra.FEE
    ]  # fmt: skip


def many(count=2 * adopting.STEP + 7):
    harness = Harness()
    for number in range(count):
        add_account(harness.store, harness.ids, 2000 + number, identities=())
    return harness


@pytest.mark.rule("K-270")
def test_every_account_of_a_plan_learns_what_newly_recurs_page_by_page():
    harness = many()
    add_account(harness.store, harness.ids, 9000, plan="other", identities=())
    harness.server.supervisor.start()
    harness.pass_time(1)
    publish(harness.store, harness.ids, "passes")
    harness.pass_time(5)
    ids = [1001, *range(2000, 2000 + 2 * adopting.STEP + 7)]
    for account_id in ids:
        account = harness.store.account_state(account_id).account
        assert [one.code for one in account.details.recurring] == ["pass"]
        assert fees(harness, account_id) == []
    assert harness.store.account_state(9000).account.due_ns == 0
    assert harness.store.setting(SETTING) == "2"
    versions = [harness.store.account_state(account_id).account.version for account_id in ids]
    again = Harness(store=harness.store)
    again.server.supervisor.work()
    publish(harness.store, harness.ids, "passes")
    again.server.supervisor.work()
    assert harness.store.setting(SETTING) == "3"
    after = [harness.store.account_state(account_id).account.version for account_id in ids]
    assert after == versions, "nobody was told what it knew"


@pytest.mark.rule("K-270")
def test_a_server_that_stopped_in_the_midst_goes_on_where_it_was():
    harness = many()
    publish(harness.store, harness.ids, "passes")
    harness.server.prepare()
    assert harness.server.supervisor.work().more
    known, newer, last = harness.store.setting(SETTING).split()
    assert (known, newer) == ("0", "2")
    later = Harness(store=harness.store)
    later.server.prepare()
    while later.server.supervisor.work().more:
        assert later.store.setting(SETTING) > f"0 2 {last}"
    assert later.store.setting(SETTING) == "2"


def with_pass(harness):
    """Publish, and let the account have the pass from now on."""
    publish(harness.store, harness.ids, "passes")
    harness.server.prepare()
    context = harness.server.decider.context()
    index = context.catalogues[context.current_version]
    key = RequestKey(1001, make_session_key("agenda", None), RequestKind.TIMER, 0)
    harness.store.transact(
        [key],
        lambda ws: recurring.begin(ws, ws.accounts[1001], index, harness.clock.now_ns()),
    )


@pytest.mark.rule("K-267")
def test_the_supervisor_runs_what_is_due():
    harness = Harness()
    with_pass(harness)
    harness.server.supervisor.start()
    harness.pass_time(10)
    assert fees(harness) == [0]
    harness.set_clock(DAY)
    harness.loop.pump([1.0])
    assert fees(harness) == [0, 1]
    assert harness.server.metrics.duties_done == 1


@pytest.mark.rule("K-271")
@pytest.mark.parametrize("first", ["supervisor", "request"])
def test_a_server_that_was_away_charges_each_period_by_the_catalogue_of_its_time(first):
    before = Harness()
    with_pass(before)
    at_ns = NOON_NS + 2 * DAY * 10**9 + 1
    action = OperatorAction(before.ids.next_id(), at_ns, "test", "catalog publish", "", "")
    before.store.publish_catalogue("dearer", "dearer", action)
    before.set_clock(3 * DAY)
    later = Harness(store=before.store, beside=before)
    if first == "supervisor":
        later.server.supervisor.start()
        later.loop.pump([1.0])
        assert later.server.metrics.duties_done == 3
    else:
        later.open().ccr(ccr(1, 0, mscc()))
    paid = [-line.amount for line in later.store.movements(1001) if line.contra == Contra.FEE]
    assert paid == [250_000, 250_000, 250_000, 500_000]
    assert fees(later) == [0, 1, 2, 3]


@pytest.mark.rule("K-267")
def test_a_request_is_decided_after_what_was_due_before_it():
    harness = Harness()
    with_pass(harness)
    wire = harness.open()
    harness.set_clock(3 * DAY)
    wire.ccr(ccr(1, 0, mscc()))
    assert fees(harness) == [0, 1, 2, 3]
    state = harness.store.account_state(1001)
    assert state is not None
    held = {bucket.name: bucket.held for bucket in state.buckets}
    assert held["day"] > 0, "it is granted out of today's allowance"
    assert held["main"] == 0
