"""Random sessions of clients that know everything: pools, second quotas, time beside volume.

Denser than the random lives of an account: nothing happens here but requests, time and top-ups.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.amounts import Unit
from ocs.charging.model.messages import Outcome, RequestKind, TariffSide, Units, UsedUnits
from ocs.charging.model.session import SessionState
from ocs.ledger import entries
from ocs.ledger.account import AccountFlag, Bucket
from tests.support import lives
from tests.support.charging import ACCOUNT, Scenario

CLIENTS = ("rfc", "rfc", "generic", "magma")
GROUPS = (100, 101, 102, 102, 700, 500)
USED = ("none", "none", "half", "all", "all", "more", "zero")
STEPS = st.tuples(
    st.integers(0, 2), st.lists(st.sampled_from(GROUPS), min_size=1, max_size=4),
    st.sampled_from(USED), st.booleans(), st.sampled_from(["", "", "", "", "reason=FINAL"]),
    st.sampled_from([0, 0, 5, 25, 70]), st.sampled_from([0, 0, 0, 500_000]),
)
"""Session, rating groups, how much of the grant was used, whether more is asked for, reason,
seconds that pass before, top-up before."""


class Mix:
    """Up to three sessions of one account."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.numbers: dict[int, int] = {}
        self.granted: dict[tuple[int, int, int], int] = {}

    def step(
        self, session: int, groups: list[int], used: str, *, asks: bool, reason: str
    ) -> None:
        """Send one request of a session, the first if it is not open."""
        kind = "U" if session in self.numbers else "I"
        number = self.numbers[session] = self.numbers.get(session, -1) + 1
        words = [f"{group} {'rsu' if asks else ''} {reason}" for group in groups]
        request = self.scenario.request(
            f"{kind} {number} @s{session} profile={CLIENTS[session]} {'; '.join(words)}"
        )
        request.profile = lives.CLIENTS[CLIENTS[session]]
        if kind == "U":
            for service in request.services:
                service.used = self._usage(session, service.rating_group or 0, used)
        reply = self.scenario.send(request)
        if reply.outcome != Outcome.SUCCESS:
            assert reply.outcome == Outcome.UNKNOWN_SESSION
            del self.numbers[session]
        for answer in reply.services:
            if answer.granted is not None:
                units = answer.granted.octets or answer.granted.seconds or 0
                side = max(answer.tariff_side, 0)
                self.granted[session, answer.rating_group or 0, side] = units
        self._check()

    def _usage(self, session: int, group: int, used: str) -> tuple[UsedUnits, ...]:
        if used == "none":
            return ()
        reports = []
        for side in (TariffSide.BEFORE, TariffSide.AFTER):
            held = self.granted.pop((session, group, side), 0)
            amount = {
                "zero": 0, "half": held // 2, "all": held, "more": held + 700_000 * (1 - side)
            }[used]
            reports.append(UsedUnits(lives.units_of(group, amount), side, side_given=True))
        return tuple(reports)

    def _check(self) -> None:
        scenario = self.scenario
        scenario.check()
        account, buckets, sessions = scenario.load()
        main = next(one for one in buckets if one.name == entries.MAIN_BUCKET)
        if main.available + account.credit_limit_micro < 0:
            assert account.flags & AccountFlag.OVER_USAGE
        record = scenario.store.stored_records(ACCOUNT)[-1].record
        if any(line.reserved_micro for line in record.charged):
            state = scenario.store.account_state(ACCOUNT)
            assert state is not None
            money = entries.spendable(state, Unit.MONEY, "data", 0, scenario.clock.now_ns())
            assert entries.available_micro(state, money) >= 0
        for session in sessions:
            for quota in session.quotas:
                assert not quota.pool or quota.granted
                assert session.state == SessionState.OPEN or not quota.granted

    def finish(self) -> None:
        """End every session; then nothing is held."""
        for session, number in self.numbers.items():
            request = self.scenario.request(f"T {number + 1} @s{session}")
            assert request.kind == RequestKind.TERMINATION
            self.scenario.send(request)
        self.scenario.check()
        assert [bucket.held for bucket in self.scenario.load()[1]] == [0] * len(
            self.scenario.load()[1]
        )


@pytest.mark.slow
@pytest.mark.rule("I-001", "I-002", "I-003", "I-004", "I-007", "C-063", "C-071", "C-072", "M-015")
@settings(max_examples=120, deadline=None)
@given(
    st.lists(STEPS, min_size=4, max_size=16), st.sampled_from(["0.40", "2.00", "8.00", "50.00"]),
    st.sampled_from(lives.CATALOGS), st.sampled_from([0, 1_500_000]),
)
def test_the_rules_of_money_hold(
    steps: list[tuple[int, list[int], str, bool, str, int, int]], balance: str,
    catalog: object, free: int,
) -> None:
    buckets = [Bucket(0, 0, Unit.OCTETS, "free", available=free)] if free else []
    mix = Mix(Scenario(catalog, balance, buckets=buckets))  # type: ignore[arg-type]
    for session, groups, used, asks, reason, seconds, amount in steps:
        mix.scenario.clock.advance(seconds)
        if amount:
            mix.scenario.top_up(amount)
        mix.step(session, groups, used, asks=asks, reason=reason)
    mix.finish()


@pytest.mark.rule("C-063", "C-070", "G-001")
def test_the_mix_meets_what_it_is_about() -> None:
    """The random steps can meet a pool, a second quota and a quota of two units."""
    mix = Mix(Scenario(lives.CATALOGS[1], "50.00"))
    mix.step(0, [100, 101, 102, 700], "none", asks=True, reason="")
    sides = {reply.tariff_side for reply in mix.scenario.reply.services}
    assert {TariffSide.BEFORE, TariffSide.AFTER} <= sides
    assert sum(1 for reply in mix.scenario.reply.services if reply.pools) == 2
    film = mix.scenario.reply.services[-1].granted
    assert film is not None
    assert film == Units(seconds=600, octets=3_000_000)
    mix.step(0, [101, 102], "more", asks=True, reason="")
    mix.finish()
