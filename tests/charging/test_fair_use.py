"""Usage that passes a fair-use limit: at which price it goes on, across bands and periods."""

from __future__ import annotations

import pytest

from ocs import yamldoc
from ocs.amounts import Unit
from ocs.catalog.loading.document import load_catalog
from ocs.charging.model.messages import RequestKind
from ocs.charging.model.working_set import RequestKey, WorkingSet
from ocs.ledger.account import Bucket
from tests.support.charging import ACCOUNT, Scenario

TEXT = """
name: Fair
currency: EUR
time_zone: UTC
time_bands:
  late: {from: 12:02, to: 13:00}
  day: {from: 08:00, to: 20:00}
services:
  web: {contexts: 32251@3gpp.org, rating_groups: [100], unit: octets,
        quota: {slice: 100 B, maximum: 1 kB, minimum_useful: 1 B}}
  call: {contexts: 32260@3gpp.org, rating_groups: [1], unit: seconds,
         quota: {slice: 60 s, maximum: 1 h}}
  news: {contexts: 32274@3gpp.org, rating_groups: [2], unit: events, quota: {slice: 1}}
plans:
  basic:
    limits:
      fair: {unit: octets, amount: 100 B, every: day, services: web, then: price}
      talk: {unit: seconds, amount: 60 s, every: day, services: call, then: price}
      read: {unit: events, amount: 3, every: day}
    services:
      web:
        prices:
          - {price: 0.01, per: 1 B, increment: 1 B}
          - {when: {limit: fair}, time_band: day, price: 0.02, per: 1 B, increment: 1 B}
          - {when: {limit: fair}, price: 0.05, per: 1 B, increment: 1 B}
      call:
        prices:
          - {price: 0.01, per: 1 s, increment: 1 s}
          - {time_band: late, price: 0.02, per: 1 s, increment: 1 s}
          - {when: {limit: talk}, price: 0.10, per: 1 s, increment: 1 s}
          - {when: {limit: talk}, time_band: late, price: 0.30, per: 1 s, increment: 1 s}
      news: free
"""
CATALOG = load_catalog(yamldoc.parse(TEXT, "fair.yaml"))
COUNTED = load_catalog(yamldoc.parse(
    TEXT.replace("0.01, per: 1 B, increment: 1 B", "0.01, per: 1 B, increment: 1 B, counted: day"),
    "fair.yaml",
))  # fmt: skip
CALL = "context=32260@3gpp.org"


@pytest.mark.rule("K-208")
@pytest.mark.parametrize("catalog", [CATALOG, COUNTED], ids=["session", "day"])
def test_the_price_behind_a_limit_is_that_of_when_it_was_granted(catalog):
    """Not that of when it is reported, nor of when the price before began to hold."""
    played = Scenario(catalog)
    played.play("I 0 100 rsu=100 => 100 ok 100 | B=10.00 R=1.00")
    played.clock.advance(9 * 3600)
    played.play("T 1 100 used=110 => 2001 | B=8.80 R=0")


@pytest.mark.rule("K-208")
def test_a_limit_that_is_passed_by_what_is_reported_in_the_next_period_was_passed():
    played = Scenario(CATALOG)
    played.clock.advance(12 * 3600 - 60)
    played.play("I 0 100 rsu=100 => 100 ok 100 | B=10.00 R=1.00")
    played.clock.advance(120)
    played.play("T 1 100 used=110 => 2001 | B=8.50 R=0")


@pytest.mark.rule("K-208", "M-011")
def test_seconds_before_a_limit_cost_what_held_when_they_ran():
    """The call began at 12:01:00, and passed the limit at 12:02:00."""
    played = Scenario(CATALOG, unit=Unit.SECONDS, balance="100.00")
    played.play(f"I 0 {CALL} 1 rsu=60 => 1 ok 60 | B=100.00 R=0.60")
    played.clock.advance(180)
    played.play(f"T 1 {CALL} 1 used=120 => 2001 | B=81.40 R=0")


@pytest.mark.rule("M-011", "M-012")
def test_free_seconds_at_a_new_price_move_the_paid_ones_behind_them():
    played = Scenario(CATALOG, unit=Unit.SECONDS, balance="100.00")
    played.play(f"I 0 {CALL} 1 rsu=60 => 1 ok 60 | B=100.00 R=0.60")
    played.clock.advance(60)
    played.play(f"U 1 {CALL} 1 used=60 rsu=120 => 1 ok 120 | B=99.40 R=24.00")

    def give(working_set: WorkingSet) -> None:
        bucket = Bucket(ACCOUNT, 99, Unit.SECONDS, "free", 60)
        working_set.add_bucket(bucket)

    played.store.transact([RequestKey(ACCOUNT, b"\0" * 16, RequestKind.OPERATOR, 0)], give)
    played.clock.advance(120)
    # A minute until 12:02 is free; the next one is of the late band.
    played.send(played.request(f"T 2 {CALL} 1 used=120"))
    assert played.money() == (81_400_000, 0)


@pytest.mark.rule("K-207")
def test_events_that_are_free_are_counted_and_limited():
    played = Scenario(CATALOG, unit=Unit.EVENTS)
    event = "context=32274@3gpp.org action=0 2"
    played.play(f"""
        E 0 @a {event} rsu=2 => 2 ok 2
        E 0 @b {event} rsu=2 => 4012
        E 0 @c {event} rsu=1 => 2 ok 1
    """)
