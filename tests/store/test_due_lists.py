"""What a store says is due, or was last heard from a client: never too little (interface.Store)."""

import pytest

from ocs.charging.accounts import agenda
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import FAMILY_OCTETS, SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.ledger.account import Bucket
from ocs.store.interface import DueAccount, DueBucket, DueSession, Store
from tests.support.ledger_rows import (
    HOST,
    NOW_NS,
    add_account,
    add_session,
    key_of,
    make_session,
    session_id,
)


def test_open_sessions_are_due_from_their_deadline_on_earliest_first(store: Store) -> None:
    add_account(store, 5)
    for index, name in enumerate("cab"):
        add_session(store, 5, name, NOW_NS + index)
    add_session(store, 5, "later", NOW_NS + 100)
    keys = [key_of(5, name=name).session_key for name in "cab"]
    due = [DueSession(5, key) for key in keys]
    assert store.due_sessions(NOW_NS - 1, 10) == []
    assert store.due_sessions(NOW_NS, 10) == due[:1]
    assert store.due_sessions(NOW_NS + 2, 10) == due
    assert store.due_sessions(NOW_NS + 2, 2) == due[:2]


def test_a_closed_session_is_not_due(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    key = key_of(5)

    def close(working_set: WorkingSet) -> None:
        working_set.sessions[key.session_key].state = SessionState.CLOSED
        working_set.mark_session(key.session_key)

    store.transact([key], close)
    assert store.due_sessions(NOW_NS + 10**18, 10) == []


def _extend(store: Store, key: RequestKey, deadline_ns: int, at_ns: int) -> None:
    def decide(working_set: WorkingSet) -> None:
        session = working_set.sessions[key.session_key]
        session.deadline_ns = deadline_ns
        session.last_request_ns = at_ns
        working_set.mark_session(key.session_key)

    store.transact([key], decide)


def test_no_session_past_its_deadline_is_missing_from_the_due_list(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5, deadline_ns=NOW_NS + 1000)
    key = key_of(5)
    for deadline_ns in (NOW_NS + 5000, NOW_NS + 300, NOW_NS + 9000):
        _extend(store, key, deadline_ns, NOW_NS)
        assert store.due_sessions(deadline_ns, 10) == [DueSession(5, key.session_key)]
        assert store.due_sessions(NOW_NS + 299, 10) == []


def test_a_session_whose_deadline_moved_leaves_the_due_list_once_a_timer_has_looked(
    store: Store,
) -> None:
    add_account(store, 5)
    add_session(store, 5, deadline_ns=NOW_NS + 1000)
    _extend(store, key_of(5), NOW_NS + 5000, NOW_NS)
    timer = key_of(5, 1, RequestKind.TIMER)
    store.transact([timer], lambda _: None)
    assert store.due_sessions(NOW_NS + 4999, 10) == []
    assert store.due_sessions(NOW_NS + 5000, 10) == [DueSession(5, timer.session_key)]


def test_an_update_of_a_due_session_takes_it_from_the_due_list(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5, deadline_ns=NOW_NS)
    _extend(store, key_of(5), NOW_NS + 5000, NOW_NS + 10)
    assert store.due_sessions(NOW_NS + 4999, 10) == []


def test_buckets_are_due_while_they_hold_something(store: Store) -> None:
    add_account(store, 5)

    def add(working_set: WorkingSet) -> None:
        for bucket_id, available_units, held, expires_ns in (
            (10, 5, 0, NOW_NS + 2),
            (11, 5, 1, NOW_NS + 1),
            (12, 0, 0, NOW_NS),
            (13, 0, 5, NOW_NS),
            (14, 5, 0, 0),
        ):
            working_set.add_bucket(
                Bucket(5, bucket_id, 1, "data", available_units, held, 1, expires_ns)
            )

    store.transact([key_of(5)], add)
    assert store.due_buckets(NOW_NS - 1, 10) == []
    assert store.due_buckets(NOW_NS, 10) == [DueBucket(5, 13)]
    everything = [DueBucket(5, 13), DueBucket(5, 11), DueBucket(5, 10)]
    assert store.due_buckets(NOW_NS + 2, 10) == everything
    assert store.due_buckets(NOW_NS + 2, 2) == everything[:2]

    def spend_and_release(working_set: WorkingSet) -> None:
        for bucket in working_set.accounts[5].buckets:
            if bucket.bucket_id == 10:
                bucket.available = 0
                working_set.mark_bucket(bucket)
            if bucket.bucket_id == 13:
                bucket.available, bucket.held = 5, 0
                working_set.mark_bucket(bucket)

    store.transact([key_of(5)], spend_and_release)
    assert store.due_buckets(NOW_NS + 2, 10) == [DueBucket(5, 13), DueBucket(5, 11)]


def test_open_sessions_of_a_client(store: Store) -> None:
    add_account(store, 5)
    add_account(store, 6)
    for account_id in (6, 5):
        add_session(store, account_id)
    moved, closed = key_of(6, name="moved"), key_of(6, name="closed")
    add_session(store, 6, "moved")
    add_session(store, 6, "closed")

    def change(working_set: WorkingSet) -> None:
        working_set.sessions[moved.session_key].origin_host = "pgw2.example"
        working_set.mark_session(moved.session_key)
        working_set.sessions[closed.session_key].state = SessionState.CLOSED
        working_set.mark_session(closed.session_key)

    store.transact([moved, closed], change)
    here = [DueSession(5, key_of(5).session_key), DueSession(6, key_of(6).session_key)]
    assert store.sessions_of_client(HOST, 10) == here
    assert store.sessions_of_client(HOST, 1) == here[:1]
    assert store.sessions_of_client("pgw2.example", 10) == [DueSession(6, moved.session_key)]
    assert store.sessions_of_client("nobody", 10) == []


def test_sessions_of_one_session_id_are_found_by_the_key_of_any_of_them(store: Store) -> None:
    for account_id in (5, 6):
        add_account(store, account_id)
    add_session(store, 5, "other")
    name = session_id(5)
    keys = [make_session_key(name, sub) for sub in (1, 2, 3)]

    def open_subs(working_set: WorkingSet) -> None:
        for key, account_id, sub in zip(keys, (5, 5, 6), (1, 2, 3), strict=True):
            session = make_session(account_id)
            session.session_id, session.sub_session_id = name, sub
            session.state = SessionState.CLOSED if sub == 2 else SessionState.OPEN
            working_set.add_session(key, session)

    store.transact([key_of(5), key_of(6)], open_subs)
    found = sorted(
        (DueSession(account_id, key) for key, account_id in zip(keys, (5, 5, 6), strict=True)),
        key=lambda item: item.session_key,
    )
    main = make_session_key(name, None)
    assert store.sessions_named(main, 10) == found
    assert store.sessions_named(keys[1], 10) == found
    assert store.sessions_named(main, 2) == found[:2]
    assert store.sessions_named(bytes(FAMILY_OCTETS) + main[FAMILY_OCTETS:], 10) == []


def test_a_bucket_that_is_only_held_is_due_until_its_clients_were_asked(store: Store) -> None:
    def change(available_units: int, held: int, *, asked: bool) -> list[DueBucket]:
        """Write that; return what is due, after the bucket was seen to be what was written."""

        def write(working_set: WorkingSet) -> None:
            (bucket,) = [one for one in working_set.accounts[5].buckets if one.bucket_id == 20]
            bucket.available, bucket.held, bucket.asked = available_units, held, asked
            working_set.mark_bucket(bucket)

        store.transact([key_of(5)], write)
        (stored,) = [
            one for one in store.transact([key_of(5)], lambda ws: ws.accounts[5].buckets)
            if one.bucket_id == 20
        ]  # fmt: skip
        assert (stored.available, stored.held) == (available_units, held)
        assert stored.asked == asked
        return store.due_buckets(NOW_NS + 10, 10)

    add_account(store, 5)
    bucket = Bucket(5, 20, 1, "data", 5, 0, 1, NOW_NS)
    store.transact([key_of(5)], lambda working_set: working_set.add_bucket(bucket))
    due = [DueBucket(5, 20)]
    assert change(0, 5, asked=False) == due
    assert change(0, 5, asked=True) == []
    assert change(2, 3, asked=True) == due
    assert change(0, 3, asked=True) == []
    assert change(3, 0, asked=True) == due


@pytest.mark.rule("K-260")
def test_accounts_are_due_from_the_earliest_of_what_they_wait_for(store: Store) -> None:
    def wait(account_id: int, kind: str, at_ns: int) -> None:
        def decide(working_set: WorkingSet) -> None:
            agenda.enter(working_set, working_set.accounts[account_id].account, kind, at_ns)

        store.transact([key_of(account_id)], decide)

    for account_id in (5, 6, 7, 8):
        add_account(store, account_id)
    wait(5, "recurring", NOW_NS + 2)
    wait(6, "recurring", NOW_NS + 9)
    wait(6, "life", NOW_NS)
    wait(7, "life", NOW_NS + 3)
    due = [DueAccount(6), DueAccount(5), DueAccount(7)]
    assert store.due_accounts(NOW_NS - 1, 10) == []
    assert store.due_accounts(NOW_NS + 2, 10) == due[:2]
    assert store.due_accounts(NOW_NS + 3, 10) == due
    assert store.due_accounts(NOW_NS + 3, 1) == due[:1]
    wait(6, "life", 0)
    assert store.due_accounts(NOW_NS + 8, 10) == due[1:]


@pytest.mark.rule("K-270")
def test_accounts_of_plans_come_in_pages_by_their_ids(store: Store) -> None:
    for account_id in (8, 5, 7, 6):
        add_account(store, account_id)

    def change(working_set: WorkingSet) -> None:
        for account_id, plan in ((6, "other"), (7, "third")):
            account = working_set.accounts[account_id].account
            account.plan = plan
            working_set.mark_account(account)

    store.transact([key_of(6), key_of(7)], change)
    assert store.accounts_of_plans(["basic"], 0, 10) == [5, 8]
    assert store.accounts_of_plans(["basic", "other"], 0, 2) == [5, 6]
    assert store.accounts_of_plans(["basic", "other"], 6, 2) == [8]
    assert store.accounts_of_plans(["none"], 0, 2) == []
