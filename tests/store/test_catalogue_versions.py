"""Announced and withdrawn catalogues, in every store."""

from dataclasses import replace

import pytest

from ocs.store.interface import Generations, Store
from tests.support.ledger_rows import NOW_NS, make_action


@pytest.mark.rule("K-350")
def test_a_version_keeps_from_when_on_it_holds(store: Store) -> None:
    assert store.catalogue_schedule().announced == []
    assert store.publish_catalogue("a: 1\n", "first", make_action(1)) == 1
    later_ns = NOW_NS + 1_000
    assert store.publish_catalogue("b: 1\n", "later", make_action(2), effective_ns=later_ns) == 2
    schedule = store.catalogue_schedule()
    assert (schedule.at(NOW_NS), schedule.at(later_ns - 1), schedule.at(later_ns)) == (1, 1, 2)
    assert [one.effective_ns for one in store.catalogues()] == [later_ns, NOW_NS]


@pytest.mark.rule("K-351")
def test_only_what_has_not_taken_effect_is_withdrawn(store: Store) -> None:
    store.publish_catalogue("a: 1\n", "first", make_action(1))
    store.publish_catalogue("b: 1\n", "later", make_action(2), effective_ns=NOW_NS + 1_000)
    assert not store.withdraw_catalogue(1, make_action(3))
    late = make_action(4)
    late.at_ns = NOW_NS + 1_000
    assert not store.withdraw_catalogue(2, late)
    assert store.withdraw_catalogue(2, make_action(5))
    assert not store.withdraw_catalogue(2, make_action(6))
    assert not store.withdraw_catalogue(9, make_action(7))
    assert store.catalogue_schedule().at(NOW_NS + 10**12) == 1
    assert store.publish_catalogue("c: 1\n", "next", make_action(8)) == 3


@pytest.mark.rule("K-350", "K-351")
def test_every_change_is_noticed_by_the_counter(store: Store) -> None:
    store.publish_catalogue("a: 1\n", "first", make_action(1))
    store.publish_catalogue("b: 1\n", "later", make_action(2), effective_ns=NOW_NS + 1_000)
    before = store.generations().catalogue
    assert store.withdraw_catalogue(2, make_action(3))
    assert store.generations() > Generations(0, before, 0)
    second = store.catalogue(2)
    assert second is not None
    assert replace(second, effective_ns=0).source == "b: 1\n"
