"""Notifications for who delivers them: each once, in order, to be continued by a cursor.

Ids are made when a transaction decides and seen when it commits, so one may come in behind a
younger one. What is younger than SETTLE_SECONDS is therefore looked for again, and those of it
that were given already are remembered. Called by `ocs events`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocs.amounts import INT64_MAX, Unit, format_amount, format_quantity, measured
from ocs.charging.accounts.notices import KINDS
from ocs.clock import NS_PER_SECOND, first_id_at
from ocs.errors import RefusedError, UsageError
from ocs.ledger.account import Identifier
from ocs.ledger.notification import Notification
from ocs.provisioning.desk import Desk
from ocs.provisioning.instants import format_instant
from ocs.provisioning.records import whole_file
from ocs.store.outbox import Outbox

SETTLE_SECONDS = 10
"""When a notification is this old, none of a lower id is committed any more."""
PAGE = 200
_UNITS = {unit.label: unit for unit in Unit}
_IN_UNIT = ("full", "left", "limit", "used")
"""Facts of a notification that are in the unit that it names."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has come: everything up to an id, and these above it."""

    after_id: int = 0
    given: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which notifications; 0 and () mean all."""

    account_id: int = 0
    kinds: tuple[str, ...] = ()


class Tail:
    """Gives notifications that it has not given before; ``position`` is where it stands."""

    def __init__(self, desk: Desk, selection: Selection, position: Position) -> None:
        self._desk = desk
        self._outbox = Outbox(desk.reader)
        self._selection = selection
        self.position = position

    def next(self, limit: int = PAGE) -> list[Notification]:
        """Return the next ones in order of their ids, at most ``limit``; none when all are given.

        The position is behind them when this returns.
        """
        if limit < 1:
            return []
        settled = first_id_at(self._desk.clock.now_ns() - SETTLE_SECONDS * NS_PER_SECOND) - 1
        after, given = self.position.after_id, self.position.given
        found = [
            *self._outbox.after(
                after, account_id=self._selection.account_id, kinds=self._selection.kinds,
                without=sorted(given), limit=limit,
            )
        ]  # fmt: skip
        if len(found) == limit:
            settled = min(settled, found[-1].notification_id)
        after = max(after, settled)
        seen = {*given, *(one.notification_id for one in found)}
        self.position = Position(after, frozenset(one for one in seen if one > after))
        return found


def kinds_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return kinds as they were typed; UsageError for one that there is not."""
    for word in words:
        if word not in KINDS:
            raise UsageError(f"'{word}' is no kind of notification; there are {', '.join(KINDS)}")
    return tuple(words)


def views(desk: Desk, notifications: Sequence[Notification]) -> Iterator[dict[str, Any]]:
    """Yield notifications for output, each with the names of whom it is about."""
    names = desk.reports.identifiers(sorted({one.account_id for one in notifications}))
    for one in notifications:
        yield notification_view(one, names.get(one.account_id, ()))


def notification_view(
    notification: Notification, names: Sequence[Identifier] = ()
) -> dict[str, Any]:
    """Return a notification for output; ``names`` are those of its account.

    Of an account with several members it has the names of the one that it is about.
    """
    member = notification.subscriber_id
    return {
        "event_id": str(notification.notification_id),
        "at": format_instant(notification.at_ns),
        "kind": notification.kind,
        "account_id": str(notification.account_id),
        "subscriber_id": member,
        "identities": [
            f"{one.kind}:{one.value}" for one in names if member in (0, one.subscriber_id)
        ],
        "subject": notification.subject,
        "percent": notification.percent,
        "details": {name: _shown(name, one) for name, one in notification.details.items()},
    }


def _shown(name: str, value: int | str) -> int | str:
    """Return a fact for output: instants as text, large numbers as they are."""
    return format_instant(value) if name.endswith("_ns") and isinstance(value, int) else value


def words_of(view: dict[str, Any]) -> str:
    """Return what a notification says, for people."""
    words = [view["subject"]] if view["subject"] else []
    if view["percent"]:
        words.append(f"{view['percent']} %")
    details = view["details"]
    unit = _UNITS.get(str(details.get("unit", "")))
    for name, value in details.items():
        if value == "" or (unit is not None and name in ("unit", "measure")):
            continue
        if unit is not None and name in _IN_UNIT and isinstance(value, int):
            counted = measured(unit, str(details.get("measure", "")))
            shown = format_amount(value) if unit is Unit.MONEY else format_quantity(value, counted)
            words.append(f"{name} {shown}")
            continue
        if name.endswith("_micro") and isinstance(value, int):
            words.append(f"{name.removesuffix('_micro').replace('_', ' ')} {format_amount(value)}")
        else:
            words.append(f"{name.removesuffix('_ns').replace('_', ' ')} {value}")
    return ", ".join(words)


def read_cursor(path: Path) -> Position | None:
    """Return where the reading before ended; None when there is no cursor yet."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the cursor {path} cannot be read: {error}") from error
    try:
        stored = json.loads(text)
        ids: list[Any] = [stored["after"], *stored["given"]]
        if all(isinstance(one, int) and 0 <= one <= INT64_MAX for one in ids):
            return Position(ids[0], frozenset(ids[1:]))
    except (ValueError, TypeError, KeyError):
        pass
    raise RefusedError(f"{path} is no cursor of `ocs events tail`")


def write_cursor(path: Path, position: Position) -> None:
    """Remember how far was read, whole or not at all."""
    with whole_file(path, replace=True) as stream:
        json.dump({"after": position.after_id, "given": sorted(position.given)}, stream)
        stream.write("\n")
