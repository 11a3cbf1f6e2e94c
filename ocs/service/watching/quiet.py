"""Keeps what somebody outside repeats from filling the log.

``Repeated`` says the same thing about the same peer once a minute; ``LineLimit`` bounds the lines
of each kind whoever caused them, as the first step of every line that is logged (``telemetry``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

from structlog import DropEvent

from ocs.clock import NS_PER_SECOND, Clock

PAUSE_NS = 60 * NS_PER_SECOND
"""Between two lines about the same, by the monotonic clock."""
REMEMBERED_MAX = 1000
"""Things of which it is remembered when they were said; when there are more, all are forgotten."""
LINES_PER_MINUTE = 300
KINDS_MAX = 200
"""Kinds of lines that are told apart; further ones share one limit."""
OTHER_KIND = "other"

_REST_OF_KIND = re.compile(r"[^A-Za-z ,'-].*", re.DOTALL)


class Repeated:
    """What was said, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[Hashable, tuple[int, int]] = {}
        """When the last line was, and how many it has saved since."""

    def left_out(self, thing: Hashable) -> tuple[bool, int]:
        """Tell whether to say a thing again, and how often it was not said since the last time."""
        now_ns = self._clock.monotonic_ns()
        last_ns, left_out = self._said.get(thing, (now_ns - PAUSE_NS, 0))
        due = now_ns - last_ns >= PAUSE_NS
        if len(self._said) >= REMEMBERED_MAX and thing not in self._said:
            self._said.clear()
        self._said[thing] = (now_ns, 0) if due else (last_ns, left_out + 1)
        return due, left_out


class LineLimit:
    """A structlog processor that lets so many lines of a kind through in a minute.

    The kind of a line is the beginning of its event, up to what may differ from line to line. The
    first line after some were left out says how many. Level debug is for who wants everything.
    """

    def __init__(self, per_minute: int, monotonic_ns: Callable[[], int]) -> None:
        self._per_minute = per_minute
        self._monotonic_ns = monotonic_ns
        self._minute_ns = monotonic_ns()
        self._said: dict[str, int] = {}
        self._left_out: dict[str, int] = {}
        self.total_left_out = 0

    def __call__(
        self, _logger: Any, method: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Pass a line on, or raise DropEvent."""
        if method == "debug":
            return event_dict
        now_ns = self._monotonic_ns()
        if now_ns - self._minute_ns >= PAUSE_NS:
            self._minute_ns = now_ns
            self._said.clear()
        kind = kind_of(str(event_dict.get("event", "")))
        if kind not in self._said and len(self._said) >= KINDS_MAX:
            kind = OTHER_KIND
        said = self._said.get(kind, 0)
        if said >= self._per_minute:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            self.total_left_out += 1
            raise DropEvent
        self._said[kind] = said + 1
        if kind in self._left_out:
            event_dict["lines_left_out"] = self._left_out.pop(kind)
        return event_dict


def kind_of(event: str) -> str:
    """Return what the lines of one kind have in common: the words before the first punctuation."""
    return _REST_OF_KIND.sub("", event)
