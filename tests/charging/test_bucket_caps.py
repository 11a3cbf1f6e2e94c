"""Allowances of which no more than so much is used in a period (K-217)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.errors import DocumentError
from ocs.ledger.account import Bucket
from ocs.provisioning.catalogues.catalog_diff import differences
from tests.support.charging import ACCOUNT, Scenario

TEXT = """
name: Bounded
currency: EUR
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [100], unit: octets,
        quota: {slice: 1 kB, maximum: 1 MB, minimum_useful: 1 B}}
  sms: {contexts: 32274@3gpp.org, default: true, unit: events, quota: {slice: 1}}
plans:
  basic:
    allowances:
      surf: {unit: octets, amount: 1 MB, at_most: {amount: 300 B, every: day}}
      texts: {unit: events, amount: 10, at_most: {amount: 2, every: week}}
    services:
      web: {price: 0.01, per: 1 B, increment: 1 B}
      sms: {price: 0.05}
"""
CATALOG = load_catalog(yamldoc.parse(TEXT, "bounded.yaml"))
DAY = 86_400


def scenario(balance: str, unit: Unit = Unit.OCTETS, more: int = 0) -> Scenario:
    buckets = [
        Bucket(ACCOUNT, 7, Unit.OCTETS, "surf", 1_000, priority=1),
        Bucket(ACCOUNT, 8, Unit.OCTETS, "other", more, priority=2),
        Bucket(ACCOUNT, 9, Unit.EVENTS, "texts", 10, priority=1),
    ]
    return Scenario(CATALOG, balance, buckets=buckets, unit=unit)


def left(played: Scenario) -> dict[str, int]:
    return {one.name: one.available for one in played.load()[1] if one.unit != Unit.MONEY}


def counted(played: Scenario) -> list[tuple[int, int]]:
    counters = played.load()[0].counters
    return [(one.units, one.granted) for one in counters if one.code.startswith("bucket:")]


@pytest.mark.rule("K-217")
def test_a_grant_of_one_bucket_opens_no_earlier_period_of_another():
    """What is granted of the one counts in a month, what the other may pay in a day."""
    catalog = load_catalog(yamldoc.parse(TEXT.replace(
        "      texts: {", "      monthly: {unit: octets, amount: 1 MB, "
        "at_most: {amount: 50 B, every: month}}\n      texts: {"
    ), "bounded.yaml"))  # fmt: skip
    buckets = [
        Bucket(ACCOUNT, 7, Unit.OCTETS, "surf", 1_000, priority=1),
        Bucket(ACCOUNT, 8, Unit.OCTETS, "monthly", 1_000, priority=2),
    ]
    played = Scenario(catalog, "10.00", buckets=buckets)
    played.clock.advance(28 * DAY)  # the second of February
    played.play("""
        I 0 @a 100 rsu=300  => 100 ok 300 thr=60 | B=10.00 R=0
        T 1 @a 100 used=300 => 2001              | B=10.00 R=0
        I 0 @b 100 rsu=20   => 100 ok 20 thr=4   | B=10.00 R=0
        T 1 @b 100 used=60  => 2001              | B=9.90 R=0
    """)
    assert left(played) == {"monthly": 950, "surf": 700}


@pytest.mark.rule("K-217")
def test_beyond_it_the_next_bucket_pays_and_then_money():
    played = scenario("10.00", more=100)
    played.play("""
        I 0  100 rsu=500            => 100 ok 500 thr=100 | B=10.00 R=1.00
        U 1  100 used=500 rsu=100   => 100 ok 100 thr=20  | B=9.00 R=1.00
    """)
    assert left(played) == {"surf": 700, "other": 0, "texts": 10}
    assert counted(played) == [(300, 0)]
    played.play("T 2  100 used=50  => 2001 | B=8.50 R=0")
    played.play(f"wait {DAY}")
    played.play("""
        I 0  100 rsu=200 @next      => 100 ok 200 thr=40 | B=8.50 R=0
        T 1  100 used=200 @next     => 2001 | B=8.50 R=0
    """)
    assert left(played)["surf"] == 500


@pytest.mark.rule("K-217")
def test_sessions_at_a_time_share_it_and_give_back_what_they_do_not_use():
    played = scenario("0.00")
    played.play("I 0  100 rsu=200  => 100 ok 200 thr=40 | B=0 R=0")
    played.play("I 0  100 rsu=200 @two => 100 ok 100 | B=0 R=0")
    assert counted(played) == [(0, 300)]
    played.play("""
        T 1  100 used=20       => 2001 | B=0 R=0
        U 1  100 used=100 rsu=200 @two => 100 ok 180 fui=terminate | B=0 R=0
        U 2  100 used=180 rsu=200 @two => 100 4012 | B=0 R=0
    """)
    assert counted(played) == [(300, 0)]
    assert left(played)["surf"] == 700


@pytest.mark.rule("K-217")
def test_events_are_bounded_and_a_refund_takes_them_out_of_the_count():
    played = scenario("1.00", Unit.EVENTS)
    played.play("E 0  - rsu=3 action=0 context=32274@3gpp.org => - ok 3 | B=0.95 R=0")
    reference = played.reply.refund_reference
    assert (left(played)["texts"], counted(played)) == (8, [(2, 0)])
    played.play(
        f"E 1  - action=1 context=32274@3gpp.org refund={reference} => 2001 | B=1.00 R=0"
    )
    assert (left(played)["texts"], counted(played)) == (10, [(0, 0)])
    played.play("E 2  - rsu=40 action=0 context=32274@3gpp.org => 4012 | B=1.00 R=0")
    assert (left(played)["texts"], counted(played)) == (10, [(0, 0)])


@pytest.mark.rule("K-217")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200)), min_size=1, max_size=10))
def test_no_day_sees_more_of_it_whatever_is_reported_late(steps):
    played = scenario("1000.00")
    numbers = [0, 0, 0]
    for which in range(3):
        played.play(f"I 0  100 rsu=150 @s{which}")
    for which, units in steps:
        numbers[which] += 1
        played.play(f"U {numbers[which]}  100 used={units} rsu=150 @s{which}")
        paid = 1_000 - sum(one.balance for one in played.load()[1] if one.name == "surf")
        assert paid == sum(units for units, _ in counted(played)) <= 300
    for which in range(3):
        played.play(f"T {numbers[which] + 1}  100 used=0 @s{which}")
    ((paid, granted),) = counted(played)
    assert (left(played)["surf"], granted) == (1_000 - paid, 0)


@pytest.mark.rule("K-217")
@pytest.mark.parametrize(
    "old,new,said",
    [
        ("{amount: 300 B, every: day}", "{amount: 300 B}", "every"),
        ("{amount: 300 B, every: day}", "{amount: 0 B, every: day}", "0 B"),
        ("{amount: 300 B, every: day}", "{amount: 300 B, every: year}", "year"),
        ("unit: octets, amount: 1 MB, at_most: {amount: 300 B",
         "unit: money, amount: 1.00, at_most: {amount: 0.30", "is for allowances of units"),
    ],
)  # fmt: skip
def test_a_mistake_about_it_is_told(old, new, said):
    assert old in TEXT
    with pytest.raises(DocumentError, match=r"bounded.yaml:\d+:\d+.*" + said):
        load_catalog(yamldoc.parse(TEXT.replace(old, new, 1), "bounded.yaml"))


def test_the_difference_of_catalogues_names_it():
    new = load_catalog(yamldoc.parse(TEXT.replace("300 B", "400 B"), "bounded.yaml"))
    (change,) = differences(CATALOG, new)
    assert change.path[-3:] == ("surf", "at_most", "amount")
    assert (change.before, change.after) == ("300 octets", "400 octets")
