"""A run on a reactor of this process, which signals end early; of a scenario or of a replay."""

import signal
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from simulators.reports.report import Measurements, Report

CONNECT_SECONDS = 10.0
"""How long the server may take to accept every connection."""
SWEEP_SECONDS = 0.25
"""How often a run looks for what has waited too long."""
INTERRUPTED = "ended by a signal"
"""The problem of a report whose run was ended early."""

Progress = Callable[[Measurements, float], None]
"""Told four times a second what was measured in so many seconds."""


class Run(Protocol):
    """What can be run to its end."""

    measured: Measurements

    def start(self) -> "Deferred[Report]":
        """Begin; fires with the report and never fails."""

    def close(self) -> None:
        """End early, in good order."""

    def report(self) -> Report:
        """What was measured so far."""


def run_on_own_reactor(make: Callable[[Any], Run]) -> Report:
    """Run what `make` makes for a reactor to its end; a process can do so only once.

    SIGINT and SIGTERM end it early and in good order.
    """
    from twisted.internet import asyncioreactor  # noqa: PLC0415 - a process has one reactor

    asyncioreactor.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor as installed  # noqa: PLC0415

    reactor: Any = installed
    run = make(reactor)
    reports: list[Report] = []

    def finished(report: Report) -> None:
        reports.append(report)
        reactor.stop()

    def signalled(*_: Any) -> None:
        if INTERRUPTED not in run.measured.problems:
            run.measured.problems.append(INTERRUPTED)
        reactor.callFromThread(run.close)

    def begin() -> None:
        # Replaces what the reactor has installed when it began.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signalled)
        run.start().addCallback(finished)

    reactor.callWhenRunning(begin)
    reactor.run()
    return reports[0] if reports else run.report()
