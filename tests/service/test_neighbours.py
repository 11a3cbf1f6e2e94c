"""What one request may not do to those that are decided with it, on every kind of store."""

from collections.abc import Iterator
from typing import Any

import pytest

from ocs.charging.model.messages import ChargingRequest, Identity, Outcome, ServiceRequest, Units
from ocs.charging.model.session import make_session_key
from ocs.clock import IdSource, ManualClock
from ocs.store.memory import MemoryStore
from ocs.store.sql import SqlStore
from tests.support.service import MSISDN, NOON_NS, Harness, add_account, publish
from tests.support.tables import with_tables

OTHER = "15550002"
OPENED = Outcome.SUCCESS
STORES = ["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=STORES)
def decide(request, tmp_path) -> Iterator[Any]:
    """Decide requests in one batch; two accounts are known by MSISDN and OTHER."""
    clock = ManualClock(NOON_NS)
    ids = IdSource(clock, 1)
    store: Any = MemoryStore(ids)
    if request.param != "memory":
        store = SqlStore(with_tables(request.param, tmp_path, request.getfixturevalue), ids)
    publish(store, ids)
    add_account(store, ids, 1001)
    add_account(store, ids, 1002, identities=(("msisdn", OTHER),))
    decider = Harness(store=store).server.decider
    yield lambda *requests: [reply.outcome for reply in decider.decide(list(requests))]
    store.close()


def opening(session: str, msisdn: str = MSISDN, **changes: Any) -> ChargingRequest:
    """Return an initial request; ``content_hash`` tells two of one session apart."""
    said: dict[str, Any] = {
        "kind": 1,
        "service_context": "32251@3gpp.org",
        "content_hash": 7,
        "identities": (Identity("msisdn", msisdn),),
        "services": (ServiceRequest(100, requested=Units()),),
        "event_ns": NOON_NS,
    }
    return ChargingRequest(
        session, make_session_key(session, None), number=0, received_ns=NOON_NS,
        deadline_ns=1 << 62, **(said | changes),
    )  # fmt: skip


@pytest.mark.rule("D04", "I-006")
def test_a_session_id_that_another_account_has_is_refused_alone(decide):
    assert decide(opening("shared")) == [OPENED]
    stranger = opening("shared", OTHER, content_hash=8)
    assert decide(opening("a"), stranger, opening("b")) == [
        OPENED, Outcome.UNABLE_TO_COMPLY, OPENED,
    ]  # fmt: skip


@pytest.mark.rule("C-010", "I-006")
def test_a_repeated_opening_whose_number_has_moved_gets_the_stored_answer(decide):
    assert decide(opening("moved")) == [OPENED]
    assert decide(opening("a"), opening("moved", OTHER)) == [OPENED, OPENED]
    refused = opening("moved", OTHER, content_hash=8)
    assert decide(refused) == [Outcome.UNABLE_TO_COMPLY], "it is that of the first account"


def event(session: str, msisdn: str = MSISDN, **changes: Any) -> ChargingRequest:
    """Return a direct debit of one message."""
    message = (ServiceRequest(1, requested=Units(events=1)),)
    said: dict[str, Any] = {
        "kind": 4, "action": 0, "service_context": "32274@3gpp.org", "services": message
    }
    return opening(session, msisdn, **(said | changes))


@pytest.mark.rule("D21", "I-006")
@pytest.mark.parametrize("retransmitted", [True, False])
def test_a_repeated_event_whose_number_has_moved_is_charged_once(decide, retransmitted):
    assert decide(event("moved")) == [OPENED]
    repeated = event("moved", OTHER, retransmitted=retransmitted)
    assert decide(event("a"), repeated, event("b", OTHER)) == [OPENED] * 3
    assert repeated.account_id == 1001, "it was answered there"
    # Another event of the same name is another account's own business.
    other = event("moved", OTHER, content_hash=8)
    assert decide(other) == [OPENED]
    assert other.account_id == 1002


@pytest.mark.rule("D21", "I-006")
def test_copies_of_an_event_decided_side_by_side_are_charged_once(decide, monkeypatch):
    """The second copy is looked up before the first is committed, by a server beside this one."""
    assert decide(event("moved")) == [OPENED]
    monkeypatch.setattr(
        "ocs.service.batches.lookups.AccountLookup._fill_answered",
        lambda _self, events: list(events),
    )
    repeated = event("moved", OTHER)
    assert decide(repeated, event("b", OTHER)) == [OPENED, OPENED]
    assert repeated.account_id == 1001


@pytest.mark.rule("D25")
def test_a_value_that_no_index_holds_fails_alone(decide):
    # Too long to be compressed below what a page of an index takes.
    host = "".join(chr(33 + (i * i * 31 + i // 7) % 90) for i in range(60_000))
    assert decide(opening("a"), opening("b", origin_host=host), opening("c"))[::2] == [
        OPENED, OPENED,
    ]  # fmt: skip
