"""Credit pools with random prices and members: nothing is lost, whatever order they report in.

Every member pays for its own usage at its own price, to the micro unit; what the pool holds is the
money of those that stay, and nothing is held behind the last. Which quota is drawn on first may
depend on the order, where others of the request are held anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.catalog.model import (
    Catalog,
    ChargeMode,
    Plan,
    Pool,
    Price,
    PriceRule,
    QuotaPolicy,
    Service,
    ServiceTerms,
)
from tests.support import slow_rating
from tests.support.charging import ACCOUNT, CLIENTS, Scenario
from tests.support.tariffs import PS

GROUPS = (1, 2, 3)
CLIENT = replace(CLIENTS["rfc"], bound_usage=False)


class Report(NamedTuple):
    """What one member says: what it used, whether it wants more, and whether it leaves."""

    used: int
    asks: bool
    leaves: bool

    def words(self, group: int) -> str:
        """Return it in the words of a scenario."""
        used = f" used={self.used}" if self.used else ""
        return f"{group}{used}{' rsu' if self.asks else ''}{' reason=FINAL' if self.leaves else ''}"


Requests = list[tuple[dict[int, Report], list[int]]]
"""What members report together, and another order in which they may be named."""


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    services, terms = {}, {}
    for group in GROUPS:
        code, slice_octets = f"m{group}", draw(st.integers(20, 200))
        price = Price(
            draw(st.integers(100, 30_000)), per=draw(st.sampled_from([1, 3, 7])),
            increment=draw(st.integers(1, 40)), minimum=draw(st.sampled_from([0, 0, 60])),
            setup_micro=draw(st.sampled_from([0, 0, 150_000])),
        )
        pool = "shared" if draw(st.integers(0, 7)) else ""
        services[code] = Service(
            code, (PS,), Unit.OCTETS, QuotaPolicy(slice_octets, slice_octets),
            frozenset({group}), pool=pool,
        )
        terms[code] = ServiceTerms(code, ChargeMode.PRICED, (PriceRule(code, price),))
    return Catalog(
        "pools", "EUR", "UTC", services, {"basic": Plan("basic", "Basic", terms)},
        pools={"shared": Pool("shared", 1, 1, draw(st.sampled_from([1, 10, 1000])))},
    )


def requests() -> st.SearchStrategy[Requests]:
    report = st.builds(
        Report, st.one_of(st.just(0), st.integers(1, 300)), st.booleans(),
        st.sampled_from([False, False, True]),
    )
    reports = st.dictionaries(st.sampled_from(GROUPS), report, min_size=1)
    return st.lists(
        reports.flatmap(lambda one: st.tuples(st.just(one), st.permutations(sorted(one)))),
        min_size=1, max_size=8,
    )


class Pooled:
    """A session of three services, and what each must have cost so far."""

    def __init__(self, catalog: Catalog, balance: str) -> None:
        self.engine = Scenario(catalog, balance)
        self.start_micro = self.engine.money()[0]
        rules = {group: catalog.plans["basic"].terms[f"m{group}"].rules[0] for group in GROUPS}
        self.prices = {group: rule.price for group, rule in rules.items()}
        self.used = dict.fromkeys(GROUPS, 0)
        self.number = 0
        self._send("I", "; ".join(f"{group} rsu" for group in GROUPS))

    def report(self, reports: dict[int, Report], order: list[int]) -> None:
        """Let members report in one request, and look at what they pay and hold."""
        before, cost_micro = self._pool(), self._cost_micro()
        flags = self.engine.load()[0].flags
        self._send("U", "; ".join(reports[group].words(group) for group in order))
        for group, one in reports.items():
            self.used[group] += one.used
        self.compare()
        if reports.keys() <= before.keys() and not any(one.asks for one in reports.values()):
            stay = before.keys() - {
                group for group, one in reports.items() if one.used or one.leaves
            }
            left = sum(before.values()) - (self._cost_micro() - cost_micro)
            assert sum(self._pool().values()) == (max(0, left) if stay else 0)
            if left >= 0:
                assert self.engine.load()[0].flags == flags, "that was no over-usage"

    def _pool(self) -> dict[int | None, int]:
        """Return what the members of the pool hold."""
        return {
            quota.rating_group: sum(one.amount for one in quota.holds)
            for session in self.engine.store.sessions_of(ACCOUNT)
            for quota in session.quotas if quota.pool
        }  # fmt: skip

    def _cost_micro(self) -> int:
        return sum(slow_rating.cost(self.prices[one], used) for one, used in self.used.items())

    def compare(self) -> None:
        """Assert that each has paid its own, and that the session's quotas hold what is held."""
        balance, held = self.engine.money()
        assert self.start_micro - balance == self._cost_micro()
        holds = [
            one.amount
            for session in self.engine.store.sessions_of(ACCOUNT)
            for quota in session.quotas for one in quota.holds
        ]  # fmt: skip
        assert all(amount > 0 for amount in holds)
        assert sum(holds) == held

    def end(self) -> None:
        """End the session: it leaves nothing held."""
        self._send("T", "")
        self.compare()
        assert self.engine.money()[1] == 0

    def _send(self, kind: str, words: str) -> None:
        request = self.engine.request(f"{kind} {self.number} profile=rfc {words}")
        request.profile = CLIENT
        self.number += 1
        reply = self.engine.send(request)
        self.engine.check(words)
        assert self.engine.send(request) == reply, "a repetition changes nothing"
        self.engine.check(words)


@pytest.mark.rule("C-071", "C-072", "M-002", "M-008")
@settings(max_examples=40, deadline=None)
@given(catalog=catalogs(), balance=st.sampled_from(["1", "5", "100000"]), life=requests())
def test_every_member_pays_its_own_in_any_order(
    catalog: Catalog, balance: str, life: Requests
) -> None:
    one, other = Pooled(catalog, balance), Pooled(catalog, balance)
    for reports, order in life:
        one.report(reports, sorted(reports))
        other.report(reports, order)
        assert one.engine.money()[0] == other.engine.money()[0]
    one.end()
    other.end()
