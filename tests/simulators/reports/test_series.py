"""Time series of runs: bounded, as exact as they say, and the same when several are added."""

import random

import pytest

from simulators.reports.series import FAULTS_MAX, POINTS_MAX, TimeSeries, bin_of, percentile


def filled(seed: int, seconds: int) -> TimeSeries:
    dice = random.Random(seed)
    made = TimeSeries()
    for second in range(seconds):
        for _ in range(dice.randrange(4)):
            point = made.at(second + dice.random())
            point.sent += 1
            point.record(dice.randrange(1_000_000), dice.choice([2001, 2001, 4012]))
    return made


@pytest.mark.rule("X-090")
def test_a_long_run_has_wider_points_and_loses_nothing():
    made = filled(1, 5 * POINTS_MAX)
    result = made.result()
    assert len(result.sent) <= POINTS_MAX
    assert result.seconds_per_point == 8
    again = filled(1, 5 * POINTS_MAX)
    assert sum(result.sent) == sum(point.sent for point in again.points)
    assert sum(result.answered) == sum(map(sum, result.codes.values())) == sum(result.sent)


@pytest.mark.rule("X-090")
def test_percentiles_of_a_point_are_within_two_per_cent():
    dice = random.Random(2)
    latencies = sorted(int(10 ** dice.uniform(1, 6)) for _ in range(5000))
    point = TimeSeries().at(0)
    for one in latencies:
        point.record(one, 2001)
    for wanted in (50, 90, 99):
        exact = latencies[len(latencies) * wanted // 100] / 1000
        assert percentile(point.bins, wanted) == pytest.approx(exact, rel=0.02)
    assert len(point.bins) < 32 * 20
    assert percentile({}, 50) == 0
    assert [bin_of(one) for one in (0, 63, 64, 65, 130)] == [0, 63, 64, 64, 128]


@pytest.mark.rule("X-090", "X-094")
def test_the_sum_of_series_is_the_series_of_all():
    first, second = filled(3, 50), filled(4, 80)
    together = TimeSeries()
    together.add(first.result(), 0)
    together.add(second.result(), 7)
    for index, point in enumerate(second.points):
        first.at(index + 7).add(point)
    assert together.result() == first.result()


def test_a_long_series_can_be_added_to_a_short_one():
    long = filled(5, 3 * POINTS_MAX).result()
    together = filled(6, 20)
    before = sum(together.result().sent)
    together.add(long, 0)
    assert sum(together.result().sent) == before + sum(long.sent)


@pytest.mark.rule("X-090")
def test_faults_are_marked_by_second_and_counted_beyond_a_limit():
    made = TimeSeries()
    for _ in range(3):
        made.fault(1.5, "answer lost", "first")
    for second in range(FAULTS_MAX + 10):
        made.fault(second, "cut", "gateway")
    result = made.result()
    assert len(result.faults) == FAULTS_MAX
    assert result.faults_by_kind == {"answer lost": 3, "cut": FAULTS_MAX + 10}
    [lost] = [one for one in result.faults if one.kind == "answer lost"]
    assert (lost.count, lost.seconds, lost.detail) == (3, 1.5, "first")
    again = TimeSeries()
    again.add(result, 0)
    assert again.result() == result
