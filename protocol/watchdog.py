"""The transport watchdog of RFC 3539 section 3.4.1 as a pure table, run by `peer` per connection.

The table keeps the state machine alone. Its owner sends the messages, keeps the timer (Tw with
jitter) and feeds the events; opening a new connection is left to whoever dials out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

MIN_TW_SECONDS = 6.0
"""Tw must not be set lower than this (RFC 3539 section 3.4.1)."""

JITTER_SECONDS = 2.0
"""Each time the timer is set, a fresh value between minus and plus this is added to Tw."""

REOPEN_ANSWERS = 3
"""Watchdog answers in a row that bring a reopened connection back to OKAY."""


class WatchdogState(Enum):
    """How far the connection is trusted (RFC 3539 section 3.4.1)."""

    INITIAL = auto()
    OKAY = auto()
    SUSPECT = auto()
    REOPEN = auto()
    DOWN = auto()


_OKAY = WatchdogState.OKAY  # asked for by every message: see peer_events


class WatchdogEvent(Enum):
    """What can happen to a connection."""

    CONNECTION_UP = auto()
    CONNECTION_DOWN = auto()
    RECEIVE_DWA = auto()
    RECEIVE_OTHER = auto()
    TIMER_EXPIRES = auto()


class WatchdogAction(Enum):
    """What the owner has to do, in the order given."""

    SEND_WATCHDOG = auto()
    SET_WATCHDOG = auto()
    FAILOVER = auto()
    FAILBACK = auto()
    CLOSE_CONNECTION = auto()


@dataclass(frozen=True, slots=True)
class _Row:
    state: WatchdogState
    event: WatchdogEvent
    guard: "Callable[[Watchdog], bool] | None"
    actions: tuple[WatchdogAction, ...]
    next_state: WatchdogState
    pending: bool | None = None
    answers: int | None = None
    count_answer: bool = False


def _pending(watchdog: "Watchdog") -> bool:
    return watchdog.pending


def _not_pending(watchdog: "Watchdog") -> bool:
    return not watchdog.pending


def _last_answer(watchdog: "Watchdog") -> bool:
    return watchdog.answers == REOPEN_ANSWERS - 1


def _missed_before(watchdog: "Watchdog") -> bool:
    return watchdog.pending and watchdog.answers < 0


_S, _E = WatchdogState, WatchdogEvent
_SEND, _SET = WatchdogAction.SEND_WATCHDOG, WatchdogAction.SET_WATCHDOG
_FAILOVER, _FAILBACK = WatchdogAction.FAILOVER, WatchdogAction.FAILBACK
_CLOSE = WatchdogAction.CLOSE_CONNECTION


# Each row is one row of the RFC's table, quoted above it. "Throwaway()" has no action here: the
# owner still answers requests in REOPEN, which the RFC would drop, as peers in the field do.
_TABLE = (
    # INITIAL | Connection up | SetWatchdog() | OKAY
    _Row(_S.INITIAL, _E.CONNECTION_UP, None, (_SET,), _S.OKAY, pending=False),
    # DOWN | Connection up | NumDWA = 0, SendWatchdog(), SetWatchdog(), Pending = TRUE | REOPEN
    _Row(_S.DOWN, _E.CONNECTION_UP, None, (_SEND, _SET), _S.REOPEN, pending=True, answers=0),
    # OKAY | Receive DWA | Pending = FALSE, SetWatchdog() | OKAY
    _Row(_S.OKAY, _E.RECEIVE_DWA, None, (_SET,), _S.OKAY, pending=False),
    # OKAY | Receive non-DWA | SetWatchdog() | OKAY
    _Row(_S.OKAY, _E.RECEIVE_OTHER, None, (_SET,), _S.OKAY),
    # OKAY | Timer expires & !Pending | SendWatchdog(), SetWatchdog(), Pending = TRUE | OKAY
    _Row(_S.OKAY, _E.TIMER_EXPIRES, _not_pending, (_SEND, _SET), _S.OKAY, pending=True),
    # OKAY | Timer expires & Pending | Failover(), SetWatchdog() | SUSPECT
    _Row(_S.OKAY, _E.TIMER_EXPIRES, _pending, (_FAILOVER, _SET), _S.SUSPECT),
    # OKAY | Connection down | CloseConnection(), Failover(), SetWatchdog() | DOWN
    _Row(_S.OKAY, _E.CONNECTION_DOWN, None, (_CLOSE, _FAILOVER), _S.DOWN),
    # SUSPECT | Receive DWA | Pending = FALSE, Failback(), SetWatchdog() | OKAY
    _Row(_S.SUSPECT, _E.RECEIVE_DWA, None, (_FAILBACK, _SET), _S.OKAY, pending=False),
    # SUSPECT | Receive non-DWA | Failback(), SetWatchdog() | OKAY
    _Row(_S.SUSPECT, _E.RECEIVE_OTHER, None, (_FAILBACK, _SET), _S.OKAY),
    # SUSPECT | Timer expires | CloseConnection(), SetWatchdog() | DOWN
    _Row(_S.SUSPECT, _E.TIMER_EXPIRES, None, (_CLOSE,), _S.DOWN),
    # SUSPECT | Connection down | CloseConnection(), SetWatchdog() | DOWN
    _Row(_S.SUSPECT, _E.CONNECTION_DOWN, None, (_CLOSE,), _S.DOWN),
    # REOPEN | Receive DWA & NumDWA == 2 | Pending = FALSE, NumDWA++, Failback() | OKAY
    _Row(_S.REOPEN, _E.RECEIVE_DWA, _last_answer, (_FAILBACK, _SET), _S.OKAY, pending=False),
    # REOPEN | Receive DWA & NumDWA < 2 | Pending = FALSE, NumDWA++ | REOPEN
    _Row(_S.REOPEN, _E.RECEIVE_DWA, None, (), _S.REOPEN, pending=False, count_answer=True),
    # REOPEN | Receive non-DWA | Throwaway() | REOPEN
    _Row(_S.REOPEN, _E.RECEIVE_OTHER, None, (), _S.REOPEN),
    # REOPEN | Timer expires & !Pending | SendWatchdog(), SetWatchdog(), Pending = TRUE | REOPEN
    _Row(_S.REOPEN, _E.TIMER_EXPIRES, _not_pending, (_SEND, _SET), _S.REOPEN, pending=True),
    # REOPEN | Timer expires & Pending & NumDWA < 0 | CloseConnection(), SetWatchdog() | DOWN
    _Row(_S.REOPEN, _E.TIMER_EXPIRES, _missed_before, (_CLOSE,), _S.DOWN),
    # REOPEN | Timer expires & Pending & NumDWA >= 0 | NumDWA = -1, SetWatchdog() | REOPEN
    _Row(_S.REOPEN, _E.TIMER_EXPIRES, _pending, (_SET,), _S.REOPEN, answers=-1),
    # REOPEN | Connection down | CloseConnection(), SetWatchdog() | DOWN
    _Row(_S.REOPEN, _E.CONNECTION_DOWN, None, (_CLOSE,), _S.DOWN),
)

_ROWS: dict[tuple[WatchdogState, WatchdogEvent], tuple[_Row, ...]] = {
    (state, event): tuple(row for row in _TABLE if row.state is state and row.event is event)
    for state in WatchdogState
    for event in WatchdogEvent
}


class Watchdog:
    """One connection's watchdog: its state, whether a DWR is unanswered, how many DWAs came in.

    `after_down` says that the peer's previous connection was given up by its watchdog; the new one
    must then prove itself with three watchdog answers (REOPEN).
    """

    __slots__ = ("answers", "pending", "state")

    def __init__(self, after_down: bool = False) -> None:
        self.state = WatchdogState.DOWN if after_down else WatchdogState.INITIAL
        self.pending = False
        self.answers = 0

    def on(self, event: WatchdogEvent) -> tuple[WatchdogAction, ...]:
        """Move by one event and say what to do; an event without a row changes nothing."""
        for row in _ROWS[self.state, event]:
            if row.guard is None or row.guard(self):
                self.state = row.next_state
                if row.pending is not None:
                    self.pending = row.pending
                if row.answers is not None:
                    self.answers = row.answers
                if row.count_answer:
                    self.answers += 1
                return row.actions
        return ()

    def probe(self) -> tuple[WatchdogAction, ...]:
        """Ask for a DWR now, without waiting for Tw; nothing when one is already unanswered.

        Used when another connection claims to be the same peer, so that a dead one is found out
        within 2 Tw.
        """
        if self.state is WatchdogState.OKAY and not self.pending:
            return self.on(WatchdogEvent.TIMER_EXPIRES)
        return ()


class WatchdogTimer:
    """The watchdog with its timer, Tw seconds with jitter; every method is told the time.

    A message does not move the timer when it comes, which would cost something per message:
    `expired` accounts for it when Tw runs out. What is visible outside is the same.
    """

    __slots__ = ("_jitter", "_last_heard", "_set_at", "_tw_seconds", "deadline", "watchdog")

    def __init__(
        self, tw_seconds: float, jitter: Callable[[], float], *, after_down: bool = False
    ) -> None:
        self.watchdog = Watchdog(after_down)
        self.deadline = 0.0
        self._tw_seconds = tw_seconds
        self._jitter = jitter
        self._set_at = self._last_heard = 0.0

    @property
    def is_okay(self) -> bool:
        """Whether requests may be sent on this connection."""
        return self.watchdog.state is WatchdogState.OKAY

    def on(self, event: WatchdogEvent, now: float) -> tuple[WatchdogAction, ...]:
        """Move by an event; SET_WATCHDOG is carried out here and not returned."""
        return self._carry_out(self.watchdog.on(event), now)

    def probe(self, now: float) -> tuple[WatchdogAction, ...]:
        """Ask for a DWR now, as `Watchdog.probe`."""
        return self._carry_out(self.watchdog.probe(), now)

    def heard(self, now: float) -> tuple[WatchdogAction, ...]:
        """Any message but a DWA came."""
        self._last_heard = now
        if self.watchdog.state is _OKAY:
            return ()
        return self.on(WatchdogEvent.RECEIVE_OTHER, now)

    def expired(self, now: float, *, excused: bool = False) -> tuple[WatchdogAction, ...]:
        """The deadline has passed; `excused` if we did not read, so could not hear."""
        if excused:
            self.set(now)
            return ()
        if self.is_okay and self._last_heard > self._set_at:
            self.set(self._last_heard)
            if now < self.deadline:
                return ()
        return self.on(WatchdogEvent.TIMER_EXPIRES, now)

    def set(self, start: float) -> None:
        """Let Tw, with fresh jitter, run from `start`."""
        self._set_at = start
        self.deadline = start + self._tw_seconds + self._jitter()

    def _carry_out(
        self, actions: tuple[WatchdogAction, ...], now: float
    ) -> tuple[WatchdogAction, ...]:
        if WatchdogAction.SET_WATCHDOG in actions:
            self.set(now)
        return tuple(a for a in actions if a is not WatchdogAction.SET_WATCHDOG)
