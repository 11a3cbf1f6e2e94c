"""A reactor whose sockets are real and whose time is moved by the test."""

from typing import Any

from twisted.internet.task import Clock
from zope.interface import directlyProvides, providedBy  # type: ignore[import-untyped]


class HandDriven:
    """Everything of a running reactor but its clock: timers wait for `advance`.

    What is due at once (a delay of 0) is done by the running reactor, as it belongs to the sockets'
    turns and not to the passing of time.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.clock = Clock()
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        return self.clock.seconds()

    def callLater(self, delay: float, function: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        if delay == 0:
            return self._reactor.callLater(0, function, *args, **kwargs)
        return self.clock.callLater(delay, function, *args, **kwargs)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
