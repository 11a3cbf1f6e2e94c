"""The agenda of an account: what is due first is done first, once, and then no more."""

from collections.abc import Callable

import pytest

from ocs.charging.accounts import agenda, duties
from ocs.charging.model.decision import DecisionContext, DecisionPolicy
from ocs.charging.model.working_set import AccountState, WorkingSet
from ocs.errors import IntegrityError
from ocs.ledger.account import REMOVED, Account

NOW = 1_000


def _set_of(account: Account) -> WorkingSet:
    return WorkingSet({1: AccountState(account, [])}, {}, {}, lambda: 1)


def _context(now_ns: int = NOW) -> DecisionContext:
    return DecisionContext(now_ns, 1, {}, 0, DecisionPolicy())


def _account(**waits: int) -> tuple[Account, WorkingSet]:
    account = Account(1, "EUR", "basic")
    working_set = _set_of(account)
    for kind, at_ns in waits.items():
        agenda.enter(working_set, account, kind, at_ns)
    return account, working_set


def _noting(
    done: list[tuple[str, int]], again: Callable[[int], int] = lambda _: 0
) -> dict[str, duties.Handler]:
    def handler(kind: str) -> duties.Handler:
        def act(
            working_set: WorkingSet, state: AccountState, at_ns: int, _: DecisionContext
        ) -> None:
            done.append((kind, at_ns))
            agenda.enter(working_set, state.account, kind, again(at_ns))

        return act

    return {kind: handler(kind) for kind in ("life", "recurring")}


@pytest.mark.rule("K-260")
def test_the_earliest_is_done_first_and_of_two_at_once_the_first_by_name():
    account, working_set = _account(recurring=300, life=300)
    assert account.due_ns == 300
    done: list[tuple[str, int]] = []
    assert duties.advance(working_set, 1, _context(), _noting(done)) == 2
    assert done == [("life", 300), ("recurring", 300)]
    assert account.due_ns == 0
    assert working_set.changed_accounts == {1: account}
    assert duties.advance(working_set, 1, _context(), _noting(done)) == 0


@pytest.mark.rule("K-260")
def test_what_comes_later_waits():
    account, working_set = _account(recurring=NOW + 1, life=NOW)
    done: list[tuple[str, int]] = []
    assert duties.advance(working_set, 1, _context(), _noting(done)) == 1
    assert (done, account.due_ns) == ([("life", NOW)], NOW + 1)


@pytest.mark.rule("K-260")
def test_everything_that_was_missed_is_done_in_its_order_but_not_all_at_once():
    account, working_set = _account(recurring=1, life=15)
    done: list[tuple[str, int]] = []
    handlers = _noting(done, lambda at_ns: at_ns + 10)
    assert duties.advance(working_set, 1, _context(), handlers) == duties.DUTIES_MAX
    assert done[:4] == [("recurring", 1), ("recurring", 11), ("life", 15), ("recurring", 21)]
    while duties.advance(working_set, 1, _context(), handlers):
        pass
    assert done == sorted(done, key=lambda one: one[1])
    assert [at for kind, at in done if kind == "recurring"] == [*range(1, NOW + 1, 10)]
    assert account.due_ns == 1001


def test_an_account_that_is_not_loaded_has_nothing_to_do():
    assert duties.advance(WorkingSet({}, {}, {}, lambda: 1), 1, _context()) == 0


def test_a_removed_account_waits_for_nothing_any_more():
    account, working_set = _account(recurring=1, life=5)
    account.status = REMOVED
    done: list[tuple[str, int]] = []
    duties.advance(working_set, 1, _context(), _noting(done))
    assert (done, account.due_ns, account.details.agenda) == ([], 0, {})


def test_a_kind_that_nobody_does_is_a_contradiction():
    _, working_set = _account(other=1)
    with pytest.raises(IntegrityError, match="'other', which nobody does"):
        duties.advance(working_set, 1, _context())


def test_a_duty_that_stays_where_it_is_is_a_contradiction():
    _, working_set = _account(recurring=1)
    with pytest.raises(IntegrityError, match="stays due for ever"):
        duties.advance(working_set, 1, _context(), {"recurring": lambda *_: None})


def test_what_is_entered_as_it_was_changes_nothing():
    account, working_set = _account(recurring=5)
    fresh = _set_of(account)
    agenda.enter(fresh, account, "recurring", 5)
    agenda.enter(fresh, account, "life", 0)
    assert (fresh.changed_accounts, account.due_ns) == ({}, 5)
    agenda.enter(working_set, account, "recurring", 9)
    assert account.due_ns == 9
