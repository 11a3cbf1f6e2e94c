"""The benchmarks' arithmetic: medians, ratios inside a round, and the document made of them."""

from typing import Any

import pytest

from benchmarks.cases import (
    ANSWERER,
    FULL,
    HALF,
    NO_STORE,
    POSTGRES,
    SQLITE,
    Ratio,
    Result,
    Setup,
    median,
    ratios,
    setups,
)
from benchmarks.report import document


def result(engine, turn, rate, *, load=FULL, p99=1.0, **setup: Any):
    return Result(Setup(engine, **setup), load, turn, rate, 0.5, 0.8, p99, 50.0, 5.0, 7.0)


@pytest.mark.parametrize(
    ("values", "middle"), [([], 0), ([3], 3), ([5, 1], 3), ([9, 1, 2], 2), ([4, 1, 9, 2], 3)]
)
def test_median(values, middle):
    assert median(values) == middle


def test_ratios_compare_measurements_of_one_round_only():
    # The machine was twice as fast in the second round; the ratios do not see it.
    results = [
        result(ANSWERER, 1, 50_000),
        result(NO_STORE, 1, 10_000),
        result(SQLITE, 1, 6_000),
        result(SQLITE, 1, 1_500, batch=1),
        result(SQLITE, 1, 4_800, subscribers=100_000),
        result(NO_STORE, 2, 20_000),
        result(SQLITE, 2, 12_000),
        result(SQLITE, 2, 3_000, batch=1),
        result(SQLITE, 2, 9_600, subscribers=100_000),
        result(SQLITE, 2, 6_000, load=HALF, p99=80.0),
    ]
    found = {one.name: one for one in ratios(results)}
    assert found["sqlite: batching / batch size 1"].values == (4.0, 4.0)
    assert found["simulator alone / no store"].values == (5.0,)
    assert found["sqlite / no store"].values == (0.6, 0.6)
    assert found["sqlite: 100,000 / 1,000 subscribers"].value == pytest.approx(0.8)
    assert not found["sqlite: 100,000 / 1,000 subscribers"].reached
    late = found["sqlite: p99 at half load"]
    assert (late.value, late.reached) == (80.0, False)
    assert not [name for name in found if name.startswith(POSTGRES)]


def test_an_aim_has_a_good_side():
    assert Ratio("a", 8, (9.0,)).reached
    assert not Ratio("a", 8, (7.0,)).reached
    assert Ratio("a", 50, (7.0,), at_least=False).reached


def test_the_document_holds_medians_ratios_and_every_measurement():
    results = [result(SQLITE, turn, rate) for turn, rate in [(1, 100), (2, 300), (3, 200)]]
    results[0].problems.append("the audit is not clean")
    made = document(results, full=False, seconds=3.0)
    assert made["medians"][0]["per_second"] == 200
    assert len(made["measurements"]) == 3
    assert not made["clean"]


@pytest.mark.parametrize("full", [False, True])
def test_every_setup_has_a_name_of_its_own_and_what_ratios_need(full):
    all_setups = setups(full=full)
    names = [one.name for one in all_setups]
    assert len(set(names)) == len(names)
    assert all(FULL in one.loads for one in all_setups)
    for one in all_setups:
        order = [load.name for load in one.loads]
        assert all(load.half_of in order[: order.index(load.name)] for load in one.loads
                   if load.half_of)  # fmt: skip
