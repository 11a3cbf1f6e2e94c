"""Logging of the running server: structlog alone, with everybody else's events led into it.

``app`` calls ``configure_logging`` before anything else. Loggers are native (a method of a level
that is off costs next to nothing); Twisted's and the standard library's events come out in the
same form. Subscribers' identities are masked by whoever logs them at info or above (``masking``).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import Processor
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner

from ocs.clock import SystemClock
from ocs.service.watching.quiet import LINES_PER_MINUTE, LineLimit

FORMATS = ("console", "json")
LINE_VALUE_MAX = 1_000
"""Characters of one text in a line of the log."""
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_TWISTED_LEVELS = {
    LogLevel.debug: "debug",
    LogLevel.info: "debug",  # connections and ports, which this server logs itself
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "error",
}


class _State:
    """What this process logs through, since ``configure_logging``."""

    limit: LineLimit | None = None


_state = _State()


def lines_left_out() -> int:
    """Return how many lines were not written because there were too many of their kind."""
    return _state.limit.total_left_out if _state.limit is not None else 0


def configure_logging(
    level: str = "info",
    form: str = "console",
    out: TextIO | None = None,
    *,
    lines_per_minute: int = LINES_PER_MINUTE,
) -> None:
    """Send every log event of the process to ``out`` (standard error unless given).

    ``form`` is one of FORMATS, ``level`` one of LEVELS; of each kind of event ``lines_per_minute``
    are written at most. Tracebacks never show the values of variables, which are subscribers'
    identities and the database's password.
    """
    stream = out or sys.stderr
    limit = _state.limit = LineLimit(lines_per_minute, SystemClock().monotonic_ns)
    processors: list[Processor] = [
        limit,
        _in_one_line,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        processors += [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(sort_keys=False),
        ]
    else:
        colours = stream.isatty()
        processors += [
            structlog.dev.ConsoleRenderer(
                colors=colours, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _adopt_standard_library(LEVELS[level])


def _in_one_line(
    _logger: Any, _method: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Let no text from outside make a line of its own, colour the terminal or fill the disk."""
    for key, value in event_dict.items():
        if isinstance(value, str) and (len(value) > LINE_VALUE_MAX or not value.isprintable()):
            cut = value[:LINE_VALUE_MAX]
            event_dict[key] = "".join(
                one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut
            )
    return event_dict


def adopt_twisted() -> None:
    """Lead Twisted's own events into structlog; once per process, before the reactor runs."""
    observer = cast(ILogObserver, _twisted_event)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)


def _twisted_event(event: LogEvent) -> None:
    level = _TWISTED_LEVELS.get(event.get("log_level", LogLevel.info), "info")
    log = structlog.get_logger("twisted")
    fields: dict[str, Any] = {"source": event.get("log_namespace", "twisted")}
    failure = event.get("log_failure")
    if failure is not None:
        fields["exc_info"] = (failure.type, failure.value, failure.getTracebackObject())
    getattr(log, level)(formatEvent(event) or "event of the reactor", **fields)


class _Adopted(logging.Handler):
    """Passes records of the standard library's loggers on."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), source=record.name, exc_info=record.exc_info)


def _adopt_standard_library(level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_Adopted()]
    # Libraries are chatty at info; what matters of them is said as a warning.
    root.setLevel(max(level, logging.WARNING))
