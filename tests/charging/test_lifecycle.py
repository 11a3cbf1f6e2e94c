"""What time and operators do: lost sessions, tombstones, expiring buckets, releases, allowances."""

from __future__ import annotations

import pytest

from ocs.amounts import Unit
from ocs.catalog.model import Allowance
from ocs.charging import lifecycle
from ocs.charging.accounts.allowances import grant_allowances
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.session import SessionState, make_session_key
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.clock import NS_PER_SECOND
from ocs.ledger import entries
from ocs.ledger.account import Bucket, Contra
from tests.support.charging import ACCOUNT, NOON_NS, Scenario
from tests.support.tariffs import make_catalog

CATALOG = make_catalog()
KEY = make_session_key("pgw1.net.example;1;s1", None)


def play(text: str, **account: object) -> Scenario:
    scenario = Scenario(CATALOG, **account)  # type: ignore[arg-type]
    scenario.play(text)
    return scenario


def bucket(unit: Unit, amount: int, seconds: int, **more: object) -> Bucket:
    expires_ns = NOON_NS + seconds * NS_PER_SECOND if seconds else 0
    return Bucket(0, 0, unit, "extra", amount, expires_ns=expires_ns, **more)  # type: ignore[arg-type]


def states(scenario: Scenario) -> list[int]:
    return [session.state for session in scenario.store.sessions_of(ACCOUNT)]


@pytest.mark.rule("C-103", "D02", "G06", "T143")
def test_tcc_is_twice_the_longest_validity() -> None:
    scenario = play("""
        I 0  100 rsu  => 100 ok 10000000 vt=30 | B=10.00 R=0.50
        wait 59
    """)
    assert states(scenario) == [SessionState.OPEN]
    scenario.play("wait 2")
    assert states(scenario) == [SessionState.LOST]
    assert scenario.money() == (10_000_000, 0)
    record = scenario.store.stored_records(ACCOUNT)[-1].record
    assert (record.kind, record.note) == (RequestKind.TIMER, lifecycle.TCC_EXPIRED)


@pytest.mark.rule("C-103", "D02")
def test_tcc_default_without_a_validity() -> None:
    scenario = play("""
        I 0      => 2001
        wait 59
        U 1      => 2001
        wait 59
    """)
    assert states(scenario) == [SessionState.OPEN]
    scenario.play("wait 1")
    assert states(scenario) == [SessionState.LOST]


@pytest.mark.rule("C-005", "C-103", "S-05", "T143")
def test_every_accepted_update_restarts_tcc() -> None:
    scenario = play("""
        I 0  100 rsu          => 100 ok 10000000
        wait 50
        U 1  100 used=1 rsu   => 100 ok 10000000 | B=9.95 R=0.50
        wait 50
        U 2  200 rsu=1000000  => 200 ok 1000000  | B=9.95 R=0.70
        wait 50
        U 2  200 rsu=2000000  => 5012            | B=9.95 R=0.70
        wait 9
    """)
    assert states(scenario) == [SessionState.OPEN]
    scenario.play("wait 2")
    assert states(scenario) == [SessionState.LOST]
    assert scenario.money() == (9_950_000, 0)


@pytest.mark.rule("D11", "T179")
def test_late_usage_of_a_lost_session_waits_for_a_person() -> None:
    scenario = play("""
        I 0  100 rsu           => 100 ok 10000000
        wait 61
        U 1  100 used=1000000  => 5002 | B=10.00 R=0
        again
        T 2  100 used=2000000; 200 used=1 => 5002 | B=10.00 R=0
    """)
    kept = [(item.service, item.units, item.amount_micro) for item in scenario.store.reviews()]
    assert kept == [("data", 1_000_000, 50_000), ("data", 2_000_000, 100_000),
                    ("video", 1, 200_000)]


@pytest.mark.rule("D11")
@pytest.mark.parametrize(("seconds", "outcome"), [(19, "100 ok | B=9.90 R=0"),
                                                  (20, "5002 | B=9.95 R=0")])
def test_the_tombstone_ends(seconds: int, outcome: str) -> None:
    play(f"""
        I 0  100 rsu           => 100 ok 10000000
        T 2  100 used=1000000  => 100 ok | B=9.95 R=0
        wait {seconds}
        U 1  100 used=1000000  => {outcome}
    """)


@pytest.mark.rule("M-007", "I-002")
def test_expiry_of_one_session_leaves_another() -> None:
    play("""
        I 0     100 rsu       => 100 ok 10000000 | R=0.50
        wait 40
        I 0 @s2 100 rsu       => 100 ok 10000000 | R=1.00
        wait 25
        U 1 @s2 100 used=1    => 100 ok          | B=9.95 R=0
    """)


@pytest.mark.rule("M-007")
def test_release_by_an_operator_moves_no_money() -> None:
    scenario = play("I 0  100 rsu; 200 rsu=1000000 => 100 ok 10000000; 200 ok 1000000 | R=0.70")

    def release(working_set: WorkingSet) -> bool:
        return lifecycle.release_session(
            working_set, KEY, scenario.context(), SessionState.CLOSED, "fraud", "desk"
        )

    key = RequestKey(ACCOUNT, KEY, RequestKind.OPERATOR, 0)
    assert scenario.store.transact([key], release)
    assert scenario.money() == (10_000_000, 0)
    record = scenario.store.stored_records(ACCOUNT)[-1].record
    assert (record.note, record.operator, record.held_micro) == ("fraud", "desk", 0)
    assert not scenario.store.transact([key], release)
    scenario.check()
    # The client's last report is still in time (D11).
    scenario.play("U 1  100 used=1 => 100 ok | B=9.95 R=0")


@pytest.mark.rule("C-010")
def test_a_session_can_be_given_more_time() -> None:
    scenario = play("I 0  100 rsu => 100 ok 10000000")
    key = RequestKey(ACCOUNT, KEY, RequestKind.TIMER, 0)
    scenario.clock.advance(100)

    def extend(working_set: WorkingSet) -> bool:
        return lifecycle.extend_session(working_set, KEY, 30, scenario.context())

    assert scenario.store.transact([key], extend)
    scenario.run_timers()
    assert scenario.money() == (10_000_000, 500_000)
    scenario.play("wait 29")
    assert scenario.money() == (10_000_000, 500_000)
    scenario.play("wait 2")
    assert scenario.money() == (10_000_000, 0)


@pytest.mark.rule("C-181", "M-012")
def test_an_expiring_bucket_bounds_the_validity() -> None:
    play(
        """
        I 0  100 rsu                => 100 ok 9000000 fui=terminate vt=12 | B=0.23 R=0.20
        wait 12
        U 1  100 used=4000000 rsu   => 100 ok 4000000 fui=terminate vt=30 | B=0.23 R=0.20
        """,
        balance="0.23", buckets=[bucket(Unit.OCTETS, 5_000_000, 12)],
    )
    play(
        """
        I 0  100 rsu=1000000 => 100 ok 1000000 vt=12 | B=1.50 R=0.05
        U 1  100 used=1      => 100 ok               | B=1.45 R=0
        """,
        balance="1.00", buckets=[bucket(Unit.MONEY, 500_000, 12)],
    )
    play(
        "I 0  100 money=0.30 => 100 ok 300000micro vt=12 | B=1.50 R=0.30",
        balance="1.00", buckets=[bucket(Unit.MONEY, 500_000, 12)],
    )


@pytest.mark.rule("M-012", "I-001")
def test_what_is_left_of_an_expired_bucket_is_taken_away() -> None:
    scenario = play(
        """
        wait 60
        I 0  100 rsu => 100 ok 10000000 | B=10.00 R=0.50
        """,
        buckets=[bucket(Unit.OCTETS, 5_000_000, 60)],
    )
    line = scenario.store.movements(ACCOUNT)[-1]
    assert (line.contra, line.amount, line.event_ns) == (
        Contra.EXPIRY, -5_000_000, NOON_NS + 60 * NS_PER_SECOND
    )


@pytest.mark.rule("M-012", "I-003")
def test_what_a_session_holds_of_an_expired_bucket_is_still_spent() -> None:
    scenario = play(
        """
        I 0  100 rsu               => 100 ok 5000000 fui=terminate vt=12  | B=0 R=0
        wait 13
        U 1  100 used=3000000      => 100 ok                              | B=0 R=0
        wait 1
        T 2  100 used=1000000      => 100 ok                              | B=-0.05 R=0
        """,
        balance="0", buckets=[bucket(Unit.OCTETS, 5_000_000, 12)],
    )
    expired = [line.amount for line in scenario.store.movements(ACCOUNT)
               if line.contra == Contra.EXPIRY]
    assert expired == [-2_000_000]


@pytest.mark.rule("M-012", "I-003")
def test_bonus_money_that_expires_while_it_is_held_is_still_spent() -> None:
    scenario = play(
        """
        I 0  100 rsu               => 100 ok 10000000 fui=terminate vt=12 | B=0.50 R=0.50
        wait 13
        T 1  100 used=10000000     => 100 ok                              | B=0 R=0
        """,
        balance="0", buckets=[bucket(Unit.MONEY, 500_000, 12)],
    )
    assert scenario.load()[0].flags == 0


@pytest.mark.rule("M-012")
def test_bonus_money_goes_before_the_main_bucket_and_only_for_its_services() -> None:
    scenario = play(
        """
        I 0  200 rsu=1000000; 100 rsu => 200 ok 1000000; 100 ok 10000000 | B=1.30 R=0.70
        T 1  200 used=1; 100 used=7000000 => 200 ok; 100 ok              | B=0.75 R=0
        """,
        balance="1.00", buckets=[bucket(Unit.MONEY, 300_000, 0, services=("data",))],
    )
    taken = [(line.service, line.amount) for line in scenario.store.movements(ACCOUNT)[2:]]
    assert taken == [("video", -200_000), ("data", -300_000), ("data", -50_000)]


@pytest.mark.rule("M-016")
def test_each_thing_that_a_request_moves_is_a_line_of_its_own() -> None:
    """Two services, free units, a bonus and the main bucket: one request, lines from 0 on."""
    scenario = play(
        """
        I 0  200 rsu=1000000; 100 rsu             => 200 ok 1000000; 100 ok 10000000 | R=0.65
        T 1  200 used=1000000; 100 used=7000000   => 200 ok; 100 ok                  | R=0
        """,
        buckets=[bucket(Unit.MONEY, 150_000, 0, services=("data",)),
                 bucket(Unit.OCTETS, 1_000_000, 0, services=("data",))],
    )
    movements = scenario.store.movements(ACCOUNT)
    last = max(line.request_id for line in movements)
    lines = [line for line in movements if line.request_id == last]
    assert [line.line for line in lines] == list(range(len(lines)))
    moved = sorted((line.service, line.unit == Unit.MONEY, line.amount) for line in lines)
    assert moved == [
        ("data", False, -1_000_000), ("data", True, -150_000), ("data", True, -150_000),
        ("video", True, -200_000),
    ]
    assert len({line.bucket_id for line in lines}) == 3


@pytest.mark.rule("M-012")
def test_free_units_are_spent_by_priority_then_by_expiry() -> None:
    def named(name: str, priority: int, seconds: int) -> Bucket:
        extra = bucket(Unit.OCTETS, 1_000_000, seconds, priority=priority)
        extra.name = name
        return extra

    scenario = play(
        """
        I 0  100 rsu=4000000  => 100 ok 4000000 | R=0
        T 1  100 used=3500000 => 100 ok         | R=0
        """,
        buckets=[named("last", 20, 100), named("third", 10, 0), named("second", 10, 900),
                 named("first", 10, 300)],
    )
    left = {one.name: one.available for one in scenario.load()[1]}
    assert (left["first"], left["second"], left["third"], left["last"]) == (0, 0, 0, 500_000)


@pytest.mark.rule("M-012")
def test_personal_buckets_are_for_their_member_only() -> None:
    play(
        "I 0  100 rsu => 100 4012 | R=0", balance="0",
        buckets=[bucket(Unit.OCTETS, 5_000_000, 0, subscriber_id=7)],
    )


@pytest.mark.rule("M-012")
def test_allowances_of_a_plan() -> None:
    scenario = Scenario(CATALOG, "0")
    allowances = (
        Allowance("gift", Unit.OCTETS, 2_000_000, ("data",), 5, 3600),
        Allowance("start", Unit.MONEY, 250_000),
    )

    def give(working_set: WorkingSet) -> None:
        now_ns = scenario.clock.now_ns()
        posting = entries.Posting(scenario.ids.next_id(), now_ns, now_ns)
        grant_allowances(
            working_set, ACCOUNT, allowances, posting, scenario.ids.next_id
        )

    scenario.store.transact([RequestKey(ACCOUNT, b"\1" * 16, RequestKind.OPERATOR, 0)], give)
    scenario.play("""
        I 0  100 rsu           => 100 ok 7000000 fui=terminate vt=30 | B=0.25 R=0.25
        T 1  100 used=2500000  => 100 ok                             | B=0.20 R=0
        wait 3600
    """)
    lines = scenario.store.movements(ACCOUNT)
    assert [line.contra for line in lines[:2]] == [Contra.ALLOWANCE, Contra.ALLOWANCE]
    gift = next(one for one in scenario.load()[1] if one.name == "gift")
    assert (gift.priority, gift.expires_ns) == (5, NOON_NS + 3600 * NS_PER_SECOND)
