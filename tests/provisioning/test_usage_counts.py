"""Tiny prices of recorded usage add up exactly, however it was cut and whenever it comes."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocs.catalog.model import Price
from ocs.errors import RefusedError
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.usage import recording as usage
from ocs.provisioning.usage.recording import Usage
from tests.support import slow_rating
from tests.support.desks import NUMBER
from tests.support.metered import metered_office

TINY = """\
name: Tiny
currency: EUR
time_zone: Europe/Madrid
time_bands:
  night: {from: 22:00, to: 06:00}
units:
  call: {}
  GBh: {decimals: 6}
attributes:
  region: [eu, us]
services:
  api: {unit: call}
  storage: {unit: GBh}
  search: {unit: call}
plans:
  basic:
    services:
      api: {price: 0.0000002, counted: month}
      storage:
        prices:
          - {when: {region: us}, price: 0.00003, counted: month}
          - {time_band: night, price: 0.00001, counted: day}
          - {price: 0.00002, counted: day}
      search:
        stepped:
          - {up_to: 1000, price: 0.0000003}
          - {up_to: 100_000, price: 0.0000002}
          - {price: 0.00000015}
        counted: month
        setup: 0.50
        maximum: 0.60
"""
JANUARY = datetime(2025, 12, 31, 23, tzinfo=UTC)
"""When January begins in Madrid."""


@pytest.fixture
def office(tmp_path):
    with metered_office(f"sqlite:///{tmp_path}/ocs.db", TINY) as made:
        made.open_account(days_ago=100)
        yield made


def ns(moment):
    return int(moment.timestamp()) * 10**9


class Meter:
    """Records usage under keys of its own."""

    def __init__(self, office) -> None:
        self.office = office
        self.index = office.catalogues.current()
        self.keys = itertools.count()

    def record(self, service, quantity, moment=None, region="", into_debt=False):
        attributes = (("region", region),) if region else ()
        said = Usage(
            f"k{next(self.keys)}", service, str(quantity), ns(moment) if moment else 0,
            attributes=attributes,
        )  # fmt: skip
        done = usage.record(
            self.office.desk, self.office.catalogues, f"+{NUMBER}", said, into_debt=into_debt
        )
        return done.charged_micro


@pytest.mark.rule("K-320")
def test_so_small_a_price_is_not_free(office):
    meter = Meter(office)
    charges = [meter.record("api", 1) for _ in range(12)]
    assert sum(charges) == 2  # 12 at 0.0000002 are 0.0000024
    assert set(charges) == {0, 1}
    assert sum(meter.record("api", 7) for _ in range(50)) == 70  # 362 units are 0.0000724
    office.must_be_clean()


@pytest.mark.rule("K-320")
def test_counts_are_kept_for_each_account_service_price_and_period(office):
    other = "4915112345679"
    office.open_account(other, days_ago=100)
    meter = Meter(office)
    noon = datetime(2026, 1, 5, 11, tzinfo=UTC)
    assert meter.record("api", 2) == 0
    assert meter.record("search", 1) == 500_000
    assert meter.record("storage", "0.04") == 1
    assert meter.record("storage", "0.02") == 0
    assert meter.record("storage", "0.01", region="us") == 0
    assert meter.record("storage", "0.02", noon - timedelta(days=1)) == 0
    assert meter.record("storage", "0.02", noon.replace(hour=23) - timedelta(days=1)) == 0
    first = usage.record(office.desk, office.catalogues, f"+{other}", Usage("k", "api", "2"))
    assert first.charged_micro == 0
    state = accounts.show(office.desk, find_subscriber(office.desk, f"+{NUMBER}").account_id)
    assert state["balance_micro"] == 10_000_000 - 500_001
    office.must_be_clean()


@pytest.mark.rule("K-320")
@settings(max_examples=12, deadline=None)
@given(parts=st.lists(st.integers(0, 900), min_size=1, max_size=12))
def test_what_a_period_costs_does_not_depend_on_how_usage_was_cut(parts, tmp_path_factory):
    file = tmp_path_factory.mktemp("cut") / "ocs.db"
    with metered_office(f"sqlite:///{file}", TINY) as office:
        office.open_account()
        meter = Meter(office)
        for service in ("api", "search"):
            charged = sum(meter.record(service, units) for units in parts)
            price = meter.index.catalog.plans["basic"].terms[service].rules[0].price
            assert charged == slow_rating.cost(price, sum(parts))
        office.must_be_clean()


@pytest.mark.rule("K-320")
def test_a_month_with_steps_and_a_maximum_is_one_count(office):
    meter = Meter(office)
    assert meter.record("search", 1_500) == 500_400
    # 98 500 more in the second tier, 101 500 in the third.
    assert meter.record("search", 200_000) == 19_700 + 15_225
    assert meter.record("search", 10_000_000) == 600_000 - 535_325
    assert meter.record("search", 10_000_000) == 0


@pytest.mark.rule("K-321")
def test_usage_of_a_month_comes_in_any_order_until_the_next_is_over(office):
    meter = Meter(office)
    office.clock.advance(40 * 86_400)  # 14 February
    days = [JANUARY + timedelta(hours=hours) for hours in (0, 100, 743)]
    february = JANUARY + timedelta(hours=744)
    charged = 0
    for _ in range(10):
        charged += sum(meter.record("storage", "0.03", day, region="us") for day in days)
        charged += meter.record("api", 1, days[0])
        charged += meter.record("storage", "0.05", february, region="us")
        charged += meter.record("api", 1, february)
    tiny, us = Price(2, per=10), Price(30, per=1_000_000)
    assert charged == (
        slow_rating.cost(us, 900_000) + slow_rating.cost(us, 500_000)
        + 2 * slow_rating.cost(tiny, 10)
    )  # fmt: skip
    office.must_be_clean()


@pytest.mark.rule("K-321")
def test_usage_of_a_period_that_is_counted_no_more_is_refused(office):
    meter = Meter(office)
    assert meter.record("search", 1, JANUARY) == 500_000
    office.clock.advance(58 * 86_400)  # 4 March: February has ended, and January long ago
    for moment in (JANUARY, JANUARY - timedelta(days=60)):
        with pytest.raises(RefusedError, match=r"comes too late.*`ocs account adjust`"):
            meter.record("search", 1, moment)
    assert meter.record("search", 1, JANUARY + timedelta(days=40)) == 500_000
    with pytest.raises(RefusedError, match="comes too late"):
        meter.record("storage", 1, datetime(2026, 2, 27, 12, tzinfo=UTC))
    assert meter.record("storage", 1, datetime(2026, 3, 2, 12, tzinfo=UTC)) == 20


@pytest.mark.rule("K-313")
def test_counted_usage_that_happened_leads_into_debt_too(office):
    meter = Meter(office)
    with pytest.raises(RefusedError, match="cannot cover"):
        meter.record("api", 10**9)
    assert meter.record("api", 10**9, into_debt=True) == 200_000_000
    office.must_be_clean()
