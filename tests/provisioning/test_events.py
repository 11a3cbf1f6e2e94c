"""The outbox read by a cursor: every notification once, late ones too, whoever reads how much."""

from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocs.clock import first_id_at
from ocs.errors import RefusedError, UsageError
from ocs.ledger.account import Identifier
from ocs.ledger.notification import Notification
from ocs.provisioning import events
from ocs.provisioning.events import Position, Selection, Tail
from tests.support.desks import NUMBER


def write(office, account_id: int = 1, kind: str = "renewed", event_id: int = 0) -> int:
    """Commit a notification whose id may have been made long before."""
    event_id = event_id or office.desk.ids.next_id()
    row = Notification(account_id, event_id, office.clock.now_ns(), kind)
    office.desk.store.transact([], lambda loaded: loaded.notifications.append(row))
    return event_id


def drain(tail: Tail, limit: int = 100) -> list[int]:
    found = []
    while page := tail.next(limit):
        found += [one.notification_id for one in page]
    return found


@pytest.mark.rule("K-389")
def test_every_notification_is_given_once(office):
    tail = Tail(office.desk, Selection(), Position())
    first = [write(office), write(office)]
    assert drain(tail) == first
    assert drain(tail) == []
    third = write(office)
    office.clock.advance(60)
    assert drain(tail) == [third]
    assert tail.position.given == frozenset()
    assert drain(Tail(office.desk, Selection(), tail.position)) == []


@pytest.mark.rule("K-389")
def test_what_is_committed_late_is_not_missed(office, tmp_path):
    late = office.desk.ids.next_id()
    young = write(office)
    cursor = tmp_path / "cursor"
    tail = Tail(office.desk, Selection(), Position())
    assert drain(tail) == [young]
    events.write_cursor(cursor, tail.position)
    write(office, event_id=late)
    again = events.read_cursor(cursor)
    assert again is not None
    assert drain(Tail(office.desk, Selection(), again)) == [late]


@pytest.mark.rule("K-389")
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(1, 3)),
            st.tuples(st.just("commit"), st.integers(0, 9)),
            st.tuples(st.just("wait"), st.integers(1, 5)),
            st.tuples(st.just("read"), st.integers(1, 4)),
        ),
        max_size=40,
    )
)
def test_in_whatever_order_they_are_committed_and_read(office, steps):
    """Ids are taken, and committed in any order within the time that settles them."""
    numbers = count()
    pending: list[tuple[int, int]] = []
    written: set[int] = set()
    position = Position(first_id_at(office.clock.now_ns()) - 1)
    given: list[int] = []
    for what, amount in steps:
        if what == "take":
            for _ in range(amount):
                pending.append((office.desk.ids.next_id(), office.clock.now_ns()))
                next(numbers)
        elif what == "commit" and pending:
            event_id, _ = pending.pop(amount % len(pending))
            written.add(write(office, event_id=event_id))
        elif what == "wait":
            office.clock.advance(amount)
            limit_ns = office.clock.now_ns() - 9 * 10**9
            for event_id, _ in [one for one in pending if one[1] <= limit_ns]:
                written.add(write(office, event_id=event_id))
            pending = [one for one in pending if one[1] > limit_ns]
        else:
            tail = Tail(office.desk, Selection(), position)
            given += [one.notification_id for one in tail.next(amount)]
            position = tail.position
    for event_id, _ in pending:
        written.add(write(office, event_id=event_id))
    given += drain(Tail(office.desk, Selection(), position), 3)
    office.clock.advance(60)
    assert len(given) == len(set(given))
    assert set(given) == written


@pytest.mark.rule("K-389")
def test_a_reader_may_choose(office):
    one, other = office.open_account(), office.open_account("491799999999")
    first = write(office, one, "roaming")
    write(office, other, "roaming")
    third = write(office, one, "low-balance")
    assert drain(Tail(office.desk, Selection(one), Position()), 1) == [first, third]
    assert drain(Tail(office.desk, Selection(0, ("low-balance",)), Position())) == [third]
    assert events.kinds_of(["roaming"]) == ("roaming",)
    with pytest.raises(UsageError, match="no kind of notification"):
        events.kinds_of(["raoming"])


def test_a_notification_names_whom_it_is_about(office):
    account_id = office.open_account()
    write(office, account_id)
    [view] = events.views(office.desk, Tail(office.desk, Selection(), Position()).next())
    assert view["identities"] == [f"msisdn:{NUMBER}"]
    names = (Identifier("msisdn", "1", 5, 11), Identifier("msisdn", "2", 5, 12))
    told = Notification(
        5, 9, 10**18, "bucket-used", 12, "bundle", 80,
        {"left": 20, "level_micro": 1_500_000, "expires_ns": 2 * 10**18, "measure": ""},
    )
    view = events.notification_view(told, names)
    assert view["identities"] == ["msisdn:2"]
    assert view["details"]["expires_ns"] == "2033-05-18T03:33:20.000000Z"
    assert events.words_of(view) == (
        "bundle, 80 %, left 20, level 1.50, expires 2033-05-18T03:33:20.000000Z"
    )


def test_amounts_are_told_in_their_unit():
    def words(kind, **details: int | str):
        return events.words_of(
            events.notification_view(Notification(5, 9, 10**18, kind, 0, "x", 80, details))
        )

    assert words("cap-reached", limit=3_000_000, unit="money", used=2_970_000) == (
        "x, 80 %, limit 3.00, used 2.97"
    )
    assert words("bucket-used", left=0, full=120_500, unit="events", measure="kWh/3") == (
        "x, 80 %, left 0 kWh, full 120.5 kWh"
    )
    assert words("bucket-used", left=5, unit="octets", measure="") == "x, 80 %, left 5 octets"


def test_a_cursor_is_whole_or_refused(tmp_path: Path):
    cursor = tmp_path / "cursor"
    assert events.read_cursor(cursor) is None
    events.write_cursor(cursor, Position(5, frozenset({9, 7})))
    assert events.read_cursor(cursor) == Position(5, frozenset({7, 9}))
    for text in ("", "17", "[]", '{"after": -1, "given": []}', '{"after": 1, "given": ["x"]}'):
        cursor.write_text(text)
        with pytest.raises(RefusedError, match="no cursor of"):
            events.read_cursor(cursor)
