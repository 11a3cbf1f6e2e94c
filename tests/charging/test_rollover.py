"""What is carried over of an allowance: shares, ceilings, order, how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.catalog.limits import Rollover
from ocs.charging.accounts.rollover import Carried, Left, carry_over


@pytest.mark.rule("K-212")
@pytest.mark.parametrize(
    ("rule", "left", "expected"),
    [
        (None, [Left(1, 40)], [Carried(1, 0, 40, 0)]),
        (Rollover(), [Left(1, 40)], [Carried(1, 40, 0, 1)]),
        (Rollover(), [Left(1, 40, periods=1)], [Carried(1, 0, 40, 2)]),
        (Rollover(2), [Left(1, 40, periods=1)], [Carried(1, 40, 0, 2)]),
        (Rollover(percent=50), [Left(1, 80)], [Carried(1, 50, 30, 1)]),
        (Rollover(percent=50), [Left(1, 60, 30)], [Carried(1, 20, 40, 1)]),
        (Rollover(percent=50), [Left(1, 20, 90)], [Carried(1, 0, 20, 1)]),
        (Rollover(3, maximum=100),
         [Left(1, 70, periods=1, since=1), Left(2, 80, since=2)],
         [Carried(2, 80, 0, 1), Carried(1, 20, 50, 2)]),
        (Rollover(3, maximum=100), [Left(1, 70, 60)], [Carried(1, 40, 30, 1)]),
        (Rollover(3, maximum=0), [Left(1, 70)], [Carried(1, 0, 70, 1)]),
    ],
)
def test_what_is_kept(
    rule: Rollover | None, left: list[Left], expected: list[Carried]
) -> None:
    assert carry_over(rule, 100, left) == expected


@pytest.mark.rule("K-212", "K-213")
@given(
    st.builds(
        Rollover, st.integers(1, 4), st.integers(1, 100), st.none() | st.integers(0, 300)
    ),
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 50), st.integers(0, 5)), max_size=5),
)
def test_nothing_is_lost_and_no_ceiling_is_passed(
    rule: Rollover, amount: int, buckets: list[tuple[int, int, int]]
) -> None:
    left = [Left(number, *one, since=number) for number, one in enumerate(buckets)]
    carried = {one.bucket_id: one for one in carry_over(rule, amount, left)}
    assert {*carried} == {one.bucket_id for one in left}
    for one in left:
        found = carried[one.bucket_id]
        assert found.kept >= 0
        assert found.expired >= 0
        assert found.kept + found.expired == one.available
        assert not found.kept or one.periods < rule.periods
    kept = sum(one.kept for one in carried.values())
    held = sum(one.held for one in left)
    assert rule.maximum is None or not kept or kept + held <= rule.maximum
    # Nothing newer is given up for something older.
    if rule.maximum is not None and kept and any(carried[one.bucket_id].expired for one in left):
        assert carry_over(rule, amount, reversed(left)) == carry_over(rule, amount, left)
