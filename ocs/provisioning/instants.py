"""Instants as people write and read them. Used by every command with a time."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ocs.clock import NS_PER_SECOND
from ocs.errors import UsageError

_AGO = re.compile(r"([0-9]+)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 2200
"""As in a catalogue; what databases keep ends in 2262, and calendars must reach beyond it."""


def parse_instant(text: str, now_ns: int) -> int:
    """Return the instant (ns UTC) of an ISO 8601 text or an age such as ``90s``, ``2h``, ``7d``.

    A text without an offset is UTC. It is never 0, which stands for no instant. Raises UsageError,
    also for what is not between 1970 and 2200 (K-364).
    """
    stripped = text.strip()
    if stripped == "now":
        return now_ns
    age = _AGO.fullmatch(stripped)
    if age is not None:
        return max(1, now_ns - int(age[1]) * _SECONDS[age[2]] * NS_PER_SECOND)
    try:
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        raise UsageError(
            f"'{text}' is no time; write 2026-03-01, 2026-03-01T12:00:00Z, or an age such as "
            f"90s, 2h or 7d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    instant_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if instant_ns < 0 or moment.year > _LAST_YEAR:
        raise UsageError(f"'{text}' is not between 1970 and {_LAST_YEAR}")
    return max(1, instant_ns)


def format_instant(instant_ns: int) -> str:
    """Return an instant as ISO 8601 UTC with microseconds; empty for 0 (none)."""
    if instant_ns == 0:
        return ""
    moment = _EPOCH + timedelta(microseconds=instant_ns // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def format_local(instant_ns: int, time_zone: str) -> str:
    """Return an instant on the clock of a time zone with its offset; empty for 0 (none)."""
    if instant_ns == 0:
        return ""
    moment = _EPOCH + timedelta(microseconds=instant_ns // 1000)
    return moment.astimezone(ZoneInfo(time_zone)).isoformat(timespec="seconds")
