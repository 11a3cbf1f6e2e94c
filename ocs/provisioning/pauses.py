"""Turns between the transactions of an import and those of a server on the same database.

Called by the imports of subscribers and of usage.
"""

import time
from collections.abc import Callable

from ocs.clock import NS_PER_MILLISECOND, NS_PER_SECOND, Clock

PAUSE_MIN_NS = 5 * NS_PER_MILLISECOND
PAUSE_MAX_NS = NS_PER_SECOND

Pause = Callable[[int], None]
"""Waits for so many nanoseconds."""


def sleep(pause_ns: int) -> None:
    """Wait; what imports do unless they are told otherwise."""
    time.sleep(pause_ns / NS_PER_SECOND)


def give_turn(clock: Clock, began_ns: int, pause: Pause) -> None:
    """Pause for as long as a transaction took that ``began_ns`` (monotonic) and has just ended, so
    that a server gets every other turn.
    """
    took_ns = clock.monotonic_ns() - began_ns
    pause(min(max(took_ns, PAUSE_MIN_NS), PAUSE_MAX_NS))
