"""What every store promises (interface.Store), on memory, SQLite and PostgreSQL alike."""

import pytest

from ocs.charging.model.messages import Identity, RequestKind
from ocs.charging.model.session import SessionState, make_event_key
from ocs.charging.model.working_set import RequestKey, ReviewItem, WorkingSet
from ocs.errors import ConflictError, IntegrityError, StoreConflictError
from ocs.ledger.account import Account, Bucket, Identifier
from ocs.store.interface import Generations, PeerEntry, Store
from tests.support.ledger_rows import (
    MAIN,
    NOW_NS,
    add_account,
    add_session,
    available,
    charge,
    debit,
    key_of,
    make_action,
    make_session,
    read_session,
)


def test_unknown_accounts_and_sessions_are_not_in_the_working_set(store: Store) -> None:
    add_account(store, 5)
    keys = [RequestKey(0, bytes(16), RequestKind.INITIAL, 0), key_of(6), key_of(5)]

    def decide(working_set: WorkingSet) -> tuple[list[int], int, int]:
        return [*working_set.accounts], len(working_set.sessions), len(working_set.answers)

    assert store.transact(keys, decide) == ([5], 0, 0)


def test_what_was_added_is_loaded_again(store: Store) -> None:
    whole = Bucket(
        5, 9, 1, "night data", 10**15, 7, 50, NOW_NS, ("data", "video"), subscriber_id=12
    )

    def add(working_set: WorkingSet) -> None:
        working_set.add_account(Account(5, "EUR", "gold", 1, 10**12, 3))
        working_set.add_bucket(whole)
        working_set.add_bucket(Bucket(5, MAIN, 0, "main", -10, 0))

    store.transact([], add)
    state = store.transact([key_of(5)], lambda working_set: working_set.accounts[5])
    assert state.account == Account(5, "EUR", "gold", 1, 10**12, 3, version=1)
    found = {bucket.bucket_id: bucket for bucket in state.buckets}
    whole.version = 1
    assert found == {9: whole, MAIN: Bucket(5, MAIN, 0, "main", -10, 0, version=1)}


def test_every_field_of_account_bucket_and_session_can_change(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    key = key_of(5)

    def change(working_set: WorkingSet) -> None:
        state = working_set.accounts[5]
        account, bucket = state.account, state.buckets[0]
        account.plan, account.status, account.credit_limit_micro, account.flags = "b", 2, 8, 1
        working_set.mark_account(account)
        bucket.name, bucket.available, bucket.held, bucket.priority = "other", -3, 4, 9
        bucket.expires_ns, bucket.services, bucket.subscriber_id = NOW_NS, ("sms",), 77
        working_set.mark_bucket(bucket)
        session = working_set.sessions[key.session_key]
        session.origin_host, session.state = "pgw2.example", SessionState.CLOSED
        session.close_reason = "test"
        working_set.mark_session(key.session_key)

    store.transact([key], change)
    state = store.transact([key], lambda working_set: working_set.accounts[5])
    assert state.account == Account(5, "EUR", "b", 2, 8, 1, version=2)
    assert state.buckets == [Bucket(5, MAIN, 0, "other", -3, 4, 9, NOW_NS, ("sms",), 77, 2)]
    session = read_session(store, key)
    assert session is not None
    expected = make_session(5)
    expected.origin_host, expected.state = "pgw2.example", SessionState.CLOSED
    expected.close_reason = "test"
    assert session == expected


def test_transact_returns_what_was_decided(store: Store) -> None:
    assert store.transact([], lambda _: "decided", "a description") == "decided"


@pytest.mark.rule("I-006")
def test_an_exception_in_the_decision_changes_nothing(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    key = key_of(5, 1)

    def fail(working_set: WorkingSet) -> None:
        debit(working_set, key, 100)
        working_set.add_session(bytes(16), make_session(5, "b"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact([key], fail)
    assert available(store, 5) == 1_000_000
    assert not store.has_answer(key)
    assert store.find_sessions([bytes(16)]) == {}
    session = read_session(store, key)
    assert session is not None
    assert not session.has_seen(1)


def test_only_what_is_marked_is_written(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    key = key_of(5)

    def change_without_marking(working_set: WorkingSet) -> None:
        working_set.accounts[5].account.plan = "changed"
        working_set.accounts[5].buckets[0].available = 1
        working_set.sessions[key.session_key].charged_micro = 99

    store.transact([key], change_without_marking)
    session = read_session(store, key)
    assert session is not None
    assert session.charged_micro == 0
    state = store.transact([key], lambda working_set: working_set.accounts[5])
    assert (state.account.plan, state.buckets[0].available) == ("basic", 1_000_000)


@pytest.mark.rule("B-144", "I-006")
def test_a_stored_answer_is_loaded_for_its_duplicate(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    key = key_of(5, 1)
    assert charge(store, key, 100)
    assert not charge(store, key, 100)
    answer = store.transact([key], lambda working_set: working_set.answers[key])
    assert answer.content_hash == 1
    assert answer.request_id > 0
    assert answer.record.reply.services[0].granted is not None
    assert available(store, 5) == 999_900
    assert store.has_answer(key)
    assert not store.has_answer(key_of(5, 2))


@pytest.mark.parametrize("kind", [RequestKind.EVENT, RequestKind.OPERATOR, RequestKind.TIMER])
def test_answers_without_a_session_are_found(store: Store, kind: RequestKind) -> None:
    add_account(store, 5)
    key = key_of(5, 3, kind)
    assert charge(store, key, 100)
    assert not charge(store, key, 100)
    assert available(store, 5) == 999_900


@pytest.mark.rule("I-006")
def test_answers_are_found_beside_a_session_that_does_not_know_their_number(store: Store) -> None:
    add_account(store, 5)
    keys = [key_of(5, 8, kind) for kind in RequestKind if kind != RequestKind.UPDATE]
    for key in keys:
        assert charge(store, key, 100)
    add_session(store, 5)
    again = store.transact(keys, lambda working_set: [debit(working_set, k, 1) for k in keys])
    assert again == [False] * len(keys)


@pytest.mark.rule("I-006")
def test_twins_in_one_batch_are_charged_once(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    key = key_of(5, 1)
    result = store.transact(
        [key, key],
        lambda working_set: [debit(working_set, key, 100), debit(working_set, key, 100)],
    )
    assert result == [True, False]
    assert available(store, 5) == 999_900


def test_requests_of_one_session_in_one_batch_see_each_other(store: Store) -> None:
    add_account(store, 5)
    add_session(store, 5)
    keys = [key_of(5, number) for number in range(1, 40)]
    store.transact(keys, lambda working_set: [debit(working_set, key, 10) for key in keys])
    assert available(store, 5) == 1_000_000 - 390
    session = read_session(store, keys[0])
    assert session is not None
    assert session.seen == [0, 39]
    assert all(store.has_answer(key) for key in keys)


def test_a_batch_over_many_accounts(store: Store) -> None:
    keys = [key_of(number, 1) for number in range(600, 0, -1)]

    def add(working_set: WorkingSet) -> None:
        for key in keys:
            working_set.add_account(Account(key.account_id, "EUR", "basic"))
            working_set.add_bucket(Bucket(key.account_id, MAIN, 0, "main", 1_000_000))
            working_set.add_session(key.session_key, make_session(key.account_id))

    store.transact(keys, add)
    store.transact(keys, lambda working_set: [debit(working_set, key, 7) for key in keys])
    left = store.transact(
        keys,
        lambda working_set: {s.buckets[0].available for s in working_set.accounts.values()},
    )
    assert left == {999_993}


def test_what_is_made_and_changed_in_one_batch_is_written_once(store: Store) -> None:
    key = key_of(5, 0, RequestKind.INITIAL)

    def decide(working_set: WorkingSet) -> None:
        state = working_set.add_account(Account(5, "EUR", "basic"))
        working_set.add_bucket(Bucket(5, MAIN, 0, "main", 50))
        working_set.add_session(key.session_key, make_session(5))
        working_set.sessions[key.session_key].charged_micro = 42
        working_set.mark_session(key.session_key)
        state.account.flags = 1
        working_set.mark_account(state.account)
        debit(working_set, key, 20)

    store.transact([key], decide)
    session = read_session(store, key)
    assert session is not None
    assert session.charged_micro == 42
    state = store.transact([key], lambda working_set: working_set.accounts[5])
    assert (state.account.flags, state.account.version) == (1, 1)
    assert (state.buckets[0].available, state.buckets[0].version) == (30, 1)


def test_sessions_are_found_by_their_key(store: Store) -> None:
    for account_id in (5, 6):
        add_account(store, account_id)
        add_session(store, account_id)
    keys = [key_of(5).session_key, key_of(6).session_key]
    assert store.find_sessions([*keys, keys[0], bytes(16)]) == {keys[0]: 5, keys[1]: 6}
    assert store.find_sessions([]) == {}


def test_a_session_of_another_account_is_not_loaded(store: Store) -> None:
    add_account(store, 5)
    add_account(store, 6)
    add_session(store, 5)
    stranger = RequestKey(6, key_of(5).session_key, RequestKind.UPDATE, 1)
    assert read_session(store, stranger) is None
    assert len(store.transact([stranger], lambda working_set: working_set.accounts)) == 1


def test_one_session_key_cannot_belong_to_two_accounts(store: Store) -> None:
    add_account(store, 5)
    add_account(store, 6)
    add_session(store, 5)
    key = RequestKey(6, key_of(5).session_key, RequestKind.INITIAL, 0)
    with pytest.raises(StoreConflictError):
        store.transact(
            [key], lambda working_set: working_set.add_session(key.session_key, make_session(6))
        )
    assert store.find_sessions([key.session_key]) == {key.session_key: 5}


def test_an_answered_event_leads_to_its_account(store: Store) -> None:
    add_account(store, 5)
    add_account(store, 6)
    entry = make_event_key(bytes(16), 3, 7)

    def answer(account_id: int) -> None:
        key = RequestKey(account_id, bytes(16), RequestKind.EVENT, 3)
        store.transact(
            [key], lambda working_set: working_set.new_entries.update({entry: account_id})
        )

    answer(5)
    assert store.find_sessions([entry]) == {entry: 5}
    with pytest.raises(StoreConflictError):
        answer(6)
    assert store.find_sessions([entry, make_event_key(bytes(16), 3, 8)]) == {entry: 5}


@pytest.mark.parametrize(
    "bucket",
    [
        Bucket(5, 9, 0, "money", available=0, held=-1),
        Bucket(5, 9, 1, "data", available=-1),
        Bucket(5, 9, 2, "time", available=-1),
    ],
)
@pytest.mark.rule("I-004")
def test_impossible_buckets_are_refused(store: Store, bucket: Bucket) -> None:
    add_account(store, 5)
    with pytest.raises(IntegrityError):
        store.transact([key_of(5)], lambda working_set: working_set.add_bucket(bucket))
    state = store.transact([key_of(5)], lambda working_set: working_set.accounts[5])
    assert len(state.buckets) == 1


# -------------------------------------------------------------------------------- identifiers

ANNA = Identifier("msisdn", "491701", 5, 50)


def _name(store: Store, *identifiers: Identifier) -> None:
    store.transact([], lambda working_set: working_set.new_identifiers.extend(identifiers))


def test_identifiers_are_found_by_kind_and_value(store: Store) -> None:
    imsi = Identifier("imsi", "491701", 6, 60)
    _name(store, ANNA, imsi)
    asked = [
        Identity("msisdn", "491701"),
        Identity("imsi", "491701"),
        Identity("sip", "491701"),
        Identity("msisdn", "nobody\0"),
        Identity("msisdn", "491701"),
    ]
    assert store.find(asked) == {asked[0]: ANNA, asked[1]: imsi}
    assert store.find([]) == {}


def test_a_taken_identifier_is_refused_by_name(store: Store) -> None:
    _name(store, ANNA)
    before = store.generations()
    with pytest.raises(ConflictError, match=r"msisdn 491701 "):
        _name(store, Identifier("imsi", "1", 6), Identifier("msisdn", "491701", 6))
    assert store.find([Identity("imsi", "1"), Identity("msisdn", "491701")]) == {
        Identity("msisdn", "491701"): ANNA
    }
    assert store.generations() == before


def test_an_identifier_given_twice_at_once_is_refused(store: Store) -> None:
    with pytest.raises(ConflictError, match=r"msisdn 491701 "):
        _name(store, ANNA, ANNA)
    assert store.find([Identity("msisdn", "491701")]) == {}


def test_an_identifier_can_move_to_another_account(store: Store) -> None:
    _name(store, ANNA)
    moved = Identifier("msisdn", "491701", 6, 60)

    def move(working_set: WorkingSet) -> None:
        working_set.removed_identifiers.append(ANNA)
        working_set.new_identifiers.append(moved)

    store.transact([], move)
    assert store.find([Identity("msisdn", "491701")]) == {Identity("msisdn", "491701"): moved}
    with pytest.raises(ConflictError, match=r"msisdn 491701 "):
        store.transact([], lambda working_set: working_set.removed_identifiers.append(ANNA))


# -------------------------------------------------------------- catalogues, peers, generations


def test_catalogues_get_rising_versions_and_keep_their_text(store: Store) -> None:
    assert store.generations() == Generations(0, 0, 0)
    assert store.catalogue(1) is None
    assert store.publish_catalogue("a: ü\n", "first", make_action(1)) == 1
    assert store.publish_catalogue("b: 1\n", "second", make_action(2)) == 2
    assert [one.version for one in store.catalogues()] == [2, 1]
    first = store.catalogue(1)
    assert first is not None
    assert (first.source, first.name, first.operator) == ("a: ü\n", "first", "mia")
    assert (first.published_ns, first.reason) == (NOW_NS, "a test")
    assert store.catalogue(3) is None
    assert store.generations() == Generations(0, 2, 0)


def test_peers_are_added_replaced_and_removed(store: Store) -> None:
    first = PeerEntry("pgw2.example", "open5gs", True, ("10.0.0.0/8", "::1/128"), "lab")
    store.allow_peer(first, make_action(1))
    store.allow_peer(PeerEntry("pgw1.example"), make_action(2))
    assert store.peers() == [PeerEntry("pgw1.example"), first]
    second = PeerEntry(
        "pgw2.example", comment="new", require_tls=True, tls_names=("a.example", "b.example"),
        connect="[2001:db8::9]:5868",
    )  # fmt: skip
    store.allow_peer(second, make_action(3))
    assert store.peers() == [PeerEntry("pgw1.example"), second]
    assert store.generations().peers == 3
    assert store.remove_peer("pgw2.example", make_action(4))
    assert not store.remove_peer("pgw2.example", make_action(5))
    assert store.peers() == [PeerEntry("pgw1.example")]
    assert store.generations().peers == 4
    store.record_action(make_action(6))


def test_generations_rise_with_identifiers_only(store: Store) -> None:
    add_account(store, 5)
    assert store.generations() == Generations(0, 0, 0)
    _name(store, ANNA)
    assert store.generations() == Generations(1, 0, 0)
    store.transact([], lambda working_set: working_set.removed_identifiers.append(ANNA))
    assert store.generations() == Generations(2, 0, 0)


# ------------------------------------------------------------------------------------- reviews


def test_a_review_is_resolved_once(store: Store) -> None:
    add_account(store, 5)
    item = ReviewItem(1, 5, 2, "parked-usage", "data", 100, 1, 7, "too fast", "data", "z1")
    store.transact([key_of(5)], lambda working_set: working_set.reviews.append(item))
    item.state = "accepted"
    store.transact([key_of(5)], lambda working_set: working_set.resolved_reviews.append(item))
    with pytest.raises(ConflictError, match="review 1 "):
        store.transact([key_of(5)], lambda working_set: working_set.resolved_reviews.append(item))


# -------------------------------------------------------------------------------- state numbers


@pytest.mark.rule("B-049")
def test_the_state_of_a_client_is_remembered(store: Store) -> None:
    assert store.client_state("pgw1.example", 100) == 0
    assert store.client_state("pgw1.example", 101) == 100
    assert store.client_state("pgw1.example", 0) == 101
    assert store.client_state("pgw1.example", 101) == 101
    assert store.client_state("pgw2.example", 5) == 0


@pytest.mark.rule("B-049")
def test_our_own_state_number_is_made_once(store: Store) -> None:
    assert store.own_state_id(1000) == 1000
    assert store.own_state_id(2000) == 1000


def test_a_fresh_store_can_be_used(store: Store) -> None:
    store.check()


def test_facts_about_the_database_are_kept_with_their_transaction(store: Store) -> None:
    assert store.setting("imported:1") == ""
    for value in ("500", "1000", "", "7"):

        def set_fact(loaded: WorkingSet, value: str = value) -> None:
            loaded.settings["imported:1"] = value

        store.transact([], set_fact)
        assert store.setting("imported:1") == value
        assert store.setting("imported:2") == ""

    def fail(working_set: WorkingSet) -> None:
        working_set.settings["imported:1"] = "8"
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.transact([], fail)
    assert store.setting("imported:1") == "7"
