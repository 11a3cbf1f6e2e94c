"""Requests to clients in every store: written once, due in order, taken by one server, spread."""

import threading
from copy import copy
from functools import partial

import pytest

from ocs.charging.model.server_requests import (
    Command,
    RequestState,
    ServerRequest,
    Situation,
    Trigger,
    for_account,
    for_session,
    mark_sent,
    spread,
)
from ocs.charging.model.session import SessionState
from ocs.charging.model.working_set import WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.errors import StoreConflictError
from ocs.ledger.account import Account
from ocs.store import server_requests
from ocs.store.interface import Store
from ocs.store.memory import MemoryStore
from ocs.store.sql import SqlStore
from tests.support.ledger_rows import (
    NOW_NS,
    add_account,
    add_session,
    available,
    debit,
    key_of,
    make_session,
    new_ids,
)


def _insert(store: Store, *rows: ServerRequest) -> None:
    store.transact([], lambda working_set: working_set.server_requests.extend(rows))


def _claim(store: Store, row: ServerRequest, node: int, until_ns: int) -> bool:
    """Take a row for a server until an instant."""
    row.node, row.due_ns = node, until_ns
    return store.update_server_request(row)


def _due(store: Store, now_ns: int = NOW_NS) -> list[ServerRequest]:
    return store.due_server_requests(now_ns, 100)


def _whole(number: int, due_ns: int = NOW_NS) -> ServerRequest:
    """A row in which no field has its default."""
    return ServerRequest(
        number, 5, key_of(5).session_key, Command.ABORT_SESSION, Trigger.OPERATOR, NOW_NS - 7,
        due_ns, 100, 200, 2, 1, RequestState.SENT, 3002, 3, NOW_NS - 5, NOW_NS - 3, "pgw1;5;a",
        2**64 - 1, "pgw1.example", "dra.example", "a note", "mia", 9, bytes(range(16)), 77, 1, 6,
    )


def test_every_field_is_kept(store: Store) -> None:
    row = _whole(1)
    _insert(store, row)
    assert _due(store) == [row]
    changed = copy(row)
    changed.rating_group = changed.service_identifier = changed.pool = None
    changed.attempts, changed.agreed, changed.state = 3, 2, RequestState.ANSWERED
    changed.result_code, changed.node, changed.sent_ns, changed.finished_ns = 2002, -1, 8, 9
    changed.session_id, changed.sub_session_id, changed.origin_host = "x", None, "pgw2.example"
    changed.peer, changed.note, changed.operator = "pgw2.example", "other", "jo"
    changed.reached_account, changed.reached_session, changed.spread = 10, bytes(16), 78
    changed.due_ns = NOW_NS - 1
    assert store.update_server_request(changed)
    assert changed.version == 2
    assert _due(store) == [changed]


def test_rows_are_due_from_their_instant_on_in_pages_and_in_order(store: Store) -> None:
    rows = [_whole(number, NOW_NS + due) for number, due in ((1, 2), (2, 0), (3, 0), (4, 1))]
    _insert(store, *rows, _whole(5, 0))
    assert [row.server_request_id for row in _due(store, NOW_NS + 2)] == [2, 3, 4, 1]
    assert [row.server_request_id for row in _due(store, NOW_NS)] == [2, 3]
    assert _due(store, NOW_NS - 1) == []
    page = store.due_server_requests(NOW_NS + 2, 2)
    rest = store.due_server_requests(NOW_NS + 2, 9, (page[-1].due_ns, page[-1].server_request_id))
    assert [row.server_request_id for row in page + rest] == [2, 3, 4, 1]


def test_one_server_takes_a_row_and_it_comes_back_when_the_claim_is_over(store: Store) -> None:
    _insert(store, for_account(iter([1]).__next__, 5, Trigger.TOP_UP, NOW_NS))
    [mine], [theirs] = _due(store), _due(store)
    mark_sent(mine, NOW_NS)
    until_ns = NOW_NS + 10 * NS_PER_SECOND
    assert _claim(store, mine, 1, until_ns)
    assert not _claim(store, theirs, 2, until_ns)
    assert not store.update_server_request(theirs)
    assert _due(store) == []
    [again] = _due(store, until_ns)
    assert (again.node, again.state, again.attempts) == (1, RequestState.SENT, 1)
    assert _claim(store, again, 2, until_ns + 1)
    assert not store.update_server_request(mine), "its claim was over"


def test_several_rows_are_written_together_each_under_its_version(store: Store) -> None:
    _insert(store, *(_whole(number) for number in (1, 2, 3)))
    mine, theirs = _due(store), _due(store)
    for row in (*mine, *theirs):
        row.due_ns = NOW_NS + 5
    assert store.update_server_requests([]) == []
    assert store.update_server_requests([theirs[1]]) == [True]
    assert store.update_server_requests(mine[::-1]) == [True, False, True]
    assert [row.version for row in mine] == [2, 1, 2]
    assert store.update_server_requests(mine) == [True, False, True]


def test_two_servers_at_once_never_both_take_a_row(sql_url: str, open_store) -> None:
    stores = [open_store(sql_url), open_store(sql_url)]
    numbers = range(1, 21)
    _insert(stores[0], *(_whole(number) for number in numbers))
    taken: list[tuple[int, int]] = []
    barrier = threading.Barrier(2)

    def take(node: int) -> None:
        rows = stores[node].due_server_requests(NOW_NS, 100)
        barrier.wait()
        taken.extend(
            (row.server_request_id, node)
            for row in rows
            if _claim(stores[node], row, node, NOW_NS + 1)
        )

    threads = [threading.Thread(target=take, args=(node,)) for node in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, _ in taken) == [*numbers]


@pytest.mark.rule("D17")
def test_a_row_is_durable_with_the_change_that_made_it_and_once_when_it_is_decided_again(
    store: Store,
) -> None:
    add_account(store, 5)
    key, ids, runs = key_of(5, 1), new_ids(), []

    def decide(working_set: WorkingSet) -> bool:
        runs.append(1)
        if not debit(working_set, key, 1):
            return False
        working_set.server_requests.append(for_account(ids.next_id, 5, Trigger.TOP_UP, NOW_NS))
        if len(runs) == 1 and not _decides_once(store):
            raise StoreConflictError("somebody else was first")
        return True

    assert store.transact([key], decide)
    assert not store.transact([key], decide), "a repeated request"
    assert available(store, 5) == 999_999
    assert len(_due(store)) == 1


def _decides_once(store: Store) -> bool:
    """The store in memory loses no races."""
    return isinstance(store, MemoryStore)


def test_a_change_that_is_refused_leaves_no_row(store: Store) -> None:
    def decide(working_set: WorkingSet) -> None:
        working_set.server_requests.append(
            for_account(new_ids().next_id, 5, Trigger.BLOCK, NOW_NS)
        )
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.transact([], decide)
    assert _due(store) == []


def test_the_account_and_session_of_a_row_are_read_as_they_are_now(store: Store) -> None:
    key = key_of(5).session_key
    assert store.server_request_target(5, key) is None
    add_account(store, 5)
    assert store.server_request_target(5, key) == (Account(5, "EUR", "basic", version=1), None)
    session = add_session(store, 5)
    found = store.server_request_target(5, key)
    assert found is not None
    assert found[1] == session
    add_account(store, 6)
    assert store.server_request_target(6, key) == (Account(6, "EUR", "basic", version=1), None)


def test_open_sessions_come_in_pages_of_one_account_or_of_all(store: Store) -> None:
    expected = []
    for account_id in (6, 5):
        add_account(store, account_id)
        for name in "abc":
            add_session(store, account_id, name)
            expected.append((account_id, key_of(account_id, name=name).session_key))
    closed = key_of(5, name="b")

    def close(working_set: WorkingSet) -> None:
        working_set.sessions[closed.session_key].state = SessionState.CLOSED
        working_set.mark_session(closed.session_key)

    store.transact([closed], close)
    expected.remove((5, closed.session_key))
    expected.sort()
    seen: list[tuple[int, bytes]] = []
    after = (0, b"")
    pages = 0
    while True:
        page = store.open_sessions_of(0, after, 2)
        seen += [(session.account_id, key) for key, session in page.sessions]
        after, pages = page.reached, pages + 1
        if page.last:
            break
    assert seen == expected
    assert pages == 3
    of_five = store.open_sessions_of(5, (0, b""), 10)
    assert [(5, key) for key, _ in of_five.sessions] == [
        name for name in expected if name[0] == 5
    ]
    assert store.open_sessions_of(5, (5, b"\xff" * 16), 10) == ([], (5, b"\xff" * 16), True)
    assert store.open_sessions_of(7, (0, b""), 10) == ([], (0, b""), True)


def test_a_page_passes_over_so_many_closed_sessions_at_most(
    sql_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_account(sql_store, 5)
    keys = sorted(key_of(5, name=str(number)).session_key for number in range(9))
    names = {key_of(5, name=str(number)).session_key: str(number) for number in range(9)}
    for key in keys:
        add_session(sql_store, 5, names[key])
        if key == keys[-1]:
            continue
        request = key_of(5, name=names[key])

        def close(working_set: WorkingSet, key: bytes = key) -> None:
            working_set.sessions[key].state = SessionState.CLOSED
            working_set.mark_session(key)

        sql_store.transact([request], close)
    statement = server_requests._SESSIONS.limit(4)
    monkeypatch.setattr(server_requests, "_SESSIONS", statement)
    monkeypatch.setattr(server_requests, "SCANNED_SESSIONS", 4)
    after = (0, b"")
    for reached in ((5, keys[3]), (5, keys[7])):
        page = sql_store.open_sessions_of(0, after, 10)
        assert (page.sessions, page.reached, page.last) == ([], reached, False)
        after = page.reached
    page = sql_store.open_sessions_of(0, after, 10)
    found = [key for key, _ in page.sessions]
    assert (found, page.last) == (keys[-1:], True)


def test_sessions_that_wait_for_a_request_are_known(store: Store) -> None:
    ids = new_ids()
    names = [(5, key_of(5, name=name).session_key) for name in "abc"]
    rows = [
        for_session(
            ids.next_id, key, make_session(5, name), command, Trigger.TOP_UP, NOW_NS
        )
        for (_, key), name, command in zip(
            names, "abc", (Command.RE_AUTH, Command.ABORT_SESSION, Command.RE_AUTH), strict=True
        )
    ]
    rows[2].state = RequestState.SENT
    slow = copy(rows[2])
    slow.server_request_id, slow.trigger = ids.next_id(), Trigger.CATALOGUE
    slow.state = RequestState.PENDING
    again = copy(rows[2])
    again.server_request_id, again.state = ids.next_id(), RequestState.PENDING
    again.attempts, again.sent_ns = 1, NOW_NS
    _insert(store, *rows, slow, again)
    assert store.waiting_server_requests(names) == {
        (names[0][1], Command.RE_AUTH), (names[1][1], Command.ABORT_SESSION),
    }
    assert store.waiting_server_requests(names[1:2]) == {(names[1][1], Command.ABORT_SESSION)}
    assert store.waiting_server_requests([(6, names[0][1])]) == set()
    assert store.waiting_server_requests([]) == set()


def _finals(store: Store, count: int) -> None:
    """Sessions of account 5, of which the odd ones are at the end of their money."""
    add_account(store, 5)
    for number in range(count):
        session = make_session(5, str(number))
        session.quotas[0].final = bool(number % 2)
        key = key_of(5, name=str(number)).session_key
        store.transact([], partial(WorkingSet.add_session, key=key, session=session))


@pytest.mark.rule("D17")
def test_a_row_is_spread_in_steps_and_each_step_happens_once(store: Store) -> None:
    _finals(store, 7)
    ids = new_ids()
    _insert(store, for_account(ids.next_id, 5, Trigger.TOP_UP, NOW_NS))
    [row] = _due(store)
    situation = Situation(NOW_NS)
    steps = 0
    while row.state == RequestState.PENDING:
        page = store.open_sessions_of(5, (row.reached_account, row.reached_session), 3)
        loser = copy(row)
        made = spread(row, page, set(), situation, ids.next_id)
        assert store.update_server_request(row, made)
        assert not store.update_server_request(loser, made), "two servers spread one step"
        steps += 1
    assert steps == 3
    sent = [found for found in _due(store) if found.session_key]
    assert sorted(found.session_id for found in sent) == [
        make_session(5, name).session_id for name in "135"
    ]
    assert row.spread == 3


def test_a_row_that_concerned_nobody_is_removed_when_it_is_finished(store: Store) -> None:
    _finals(store, 1)
    ids = new_ids()
    _insert(store, for_account(ids.next_id, 5, Trigger.TOP_UP, NOW_NS))
    [row] = _due(store)
    page = store.open_sessions_of(5, (0, b""), 3)
    assert spread(row, page, set(), Situation(NOW_NS), ids.next_id) == []
    stale = copy(row)
    assert store.update_server_request(row)
    assert _due(store) == []
    stale.state, stale.due_ns = RequestState.PENDING, NOW_NS
    assert not store.update_server_request(stale), "it is gone"


def test_what_waits_for_a_client_or_an_agent_is_due_when_it_comes_back(store: Store) -> None:
    later = NOW_NS + NS_PER_SECOND
    rows = [_whole(number, later) for number in range(1, 8)]
    for row in rows:
        row.state = RequestState.PENDING
    rows[1].origin_host = rows[2].peer = "pgw9.example"
    rows[2].origin_host = "pgw8.example"
    rows[3].origin_host = rows[3].peer = "pgw9.example"
    rows[4].origin_host, rows[4].state = "pgw9.example", RequestState.SENT
    rows[5].origin_host, rows[5].due_ns = "pgw9.example", 0
    rows[6].origin_host, rows[6].due_ns = "pgw9.example", NOW_NS - 1
    _insert(store, *rows)
    assert store.wake_server_requests("pgw9.example", NOW_NS, 2) == 2
    assert store.wake_server_requests("pgw9.example", NOW_NS, 2) == 1
    assert store.wake_server_requests("pgw9.example", NOW_NS, 2) == 0
    due = _due(store)
    assert [(row.server_request_id, row.due_ns) for row in due] == [
        (7, NOW_NS - 1), (2, NOW_NS), (3, NOW_NS), (4, NOW_NS),
    ]  # fmt: skip
    assert not store.update_server_request(rows[1])
    assert store.update_server_request(due[1])
