"""How tests behave in CI and at home: skips, and the settings of Hypothesis.

In CI a skipped test is a failed test: a machine that cannot prove everything proves nothing, except
what its kernel has not got.
Outside CI a test may skip, saying which package would let it run.
"""

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

KERNEL_HAS_NO = "this kernel has no"
"""How the reason of a skip begins that CI forgives: nobody can install another kernel there."""


def running_in_ci() -> bool:
    """Whether the environment says CI=true (or 1, or yes)."""
    return os.environ.get("CI", "").strip().lower() in {"1", "true", "yes"}


# A slow or busy machine says nothing about the code under test: no deadline, no speed check.
# In CI the examples are the same in every run, so that a red build can be repeated at home.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "dev",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if running_in_ci() else "dev")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    return str(report.longrepr)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or KERNEL_HAS_NO in _reason(report):
        return
    if running_in_ci():
        report.outcome = "failed"
        report.longrepr = f"CI allows no skips. {_reason(report)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of one test into a failure."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure."""
    report = yield
    _fail_if_skipped(report)
    return report
