"""The watchdog table of RFC 3539 row by row, and its timer."""

import pytest

from protocol.watchdog import (
    Watchdog,
    WatchdogAction,
    WatchdogEvent,
    WatchdogState,
    WatchdogTimer,
)

SEND, SET = WatchdogAction.SEND_WATCHDOG, WatchdogAction.SET_WATCHDOG
FAILOVER, FAILBACK = WatchdogAction.FAILOVER, WatchdogAction.FAILBACK
CLOSE = WatchdogAction.CLOSE_CONNECTION
UP, DOWN = WatchdogEvent.CONNECTION_UP, WatchdogEvent.CONNECTION_DOWN
DWA, OTHER = WatchdogEvent.RECEIVE_DWA, WatchdogEvent.RECEIVE_OTHER
EXPIRES = WatchdogEvent.TIMER_EXPIRES

OKAY, SUSPECT, REOPEN = WatchdogState.OKAY, WatchdogState.SUSPECT, WatchdogState.REOPEN

# Events from a fresh watchdog; what the last one makes it do; the state then.
FIRST_CONNECTION = [
    ([UP], (SET,), OKAY),
    ([UP, OTHER], (SET,), OKAY),
    ([UP, DWA], (SET,), OKAY),
    ([UP, EXPIRES], (SEND, SET), OKAY),
    ([UP, EXPIRES, DWA], (SET,), OKAY),
    ([UP, EXPIRES, DWA, EXPIRES], (SEND, SET), OKAY),
    ([UP, EXPIRES, OTHER, EXPIRES], (FAILOVER, SET), SUSPECT),
    ([UP, EXPIRES, EXPIRES], (FAILOVER, SET), SUSPECT),
    ([UP, EXPIRES, EXPIRES, DWA], (FAILBACK, SET), OKAY),
    ([UP, EXPIRES, EXPIRES, OTHER], (FAILBACK, SET), OKAY),
    ([UP, EXPIRES, EXPIRES, EXPIRES], (CLOSE,), WatchdogState.DOWN),
    ([UP, DOWN], (CLOSE, FAILOVER), WatchdogState.DOWN),
    ([UP, EXPIRES, EXPIRES, DOWN], (CLOSE,), WatchdogState.DOWN),
    ([OTHER], (), WatchdogState.INITIAL),
    ([DWA], (), WatchdogState.INITIAL),
    ([UP, DOWN, OTHER], (), WatchdogState.DOWN),
]

AFTER_DOWN = [
    ([UP], (SEND, SET), REOPEN),
    ([UP, OTHER], (), REOPEN),
    ([UP, DWA], (), REOPEN),
    ([UP, DWA, EXPIRES], (SEND, SET), REOPEN),
    ([UP, DWA, EXPIRES, DWA, EXPIRES, DWA], (FAILBACK, SET), OKAY),
    ([UP, EXPIRES], (SET,), REOPEN),
    ([UP, EXPIRES, EXPIRES], (CLOSE,), WatchdogState.DOWN),
    ([UP, DOWN], (CLOSE,), WatchdogState.DOWN),
]


def run(watchdog, events):
    actions = ()
    for event in events:
        actions = watchdog.on(event)
    return actions


@pytest.mark.rule("B-061")
@pytest.mark.parametrize("events,actions,state", FIRST_CONNECTION)
def test_a_first_connection_follows_the_table(events, actions, state):
    watchdog = Watchdog()
    assert run(watchdog, events) == actions
    assert watchdog.state is state


@pytest.mark.rule("B-062")
@pytest.mark.parametrize("events,actions,state", AFTER_DOWN)
def test_a_connection_after_a_failure_has_to_prove_itself(events, actions, state):
    watchdog = Watchdog(after_down=True)
    assert run(watchdog, events) == actions
    assert watchdog.state is state


@pytest.mark.rule("B-062")
def test_a_missed_answer_in_reopen_starts_the_count_below_zero():
    watchdog = Watchdog(after_down=True)
    run(watchdog, [UP, DWA, EXPIRES, EXPIRES])
    assert watchdog.answers == -1
    run(watchdog, [DWA, EXPIRES, DWA, EXPIRES, DWA])
    assert watchdog.state is REOPEN
    run(watchdog, [EXPIRES, DWA])
    assert watchdog.state is OKAY


@pytest.mark.rule("B-047")
def test_a_probe_sends_one_request_and_no_second_while_it_is_unanswered():
    watchdog = Watchdog()
    run(watchdog, [UP])
    assert watchdog.probe() == (SEND, SET)
    assert watchdog.probe() == ()
    assert watchdog.on(EXPIRES) == (FAILOVER, SET)


@pytest.mark.rule("B-060")
def test_any_message_restarts_the_timer_with_fresh_jitter():
    jitter = iter([1.5, -2.0, 2.0])
    timer = WatchdogTimer(30.0, lambda: next(jitter))
    timer.on(UP, 100.0)
    assert timer.deadline == 131.5
    timer.heard(120.0)
    assert timer.expired(131.5) == ()
    assert timer.deadline == 120.0 + 30.0 - 2.0
    assert timer.expired(148.0) == (SEND,)
    assert timer.deadline == 148.0 + 30.0 + 2.0


@pytest.mark.rule("B-061")
def test_hearing_anything_in_suspect_fails_back_at_once():
    timer = WatchdogTimer(6.0, lambda: 0.0)
    timer.on(UP, 0.0)
    assert timer.expired(6.0) == (SEND,)
    assert timer.expired(12.0) == (FAILOVER,)
    assert timer.watchdog.state is SUSPECT
    assert timer.heard(13.0) == (FAILBACK,)
    assert timer.is_okay
    assert timer.deadline == 19.0


@pytest.mark.rule("B-009")
def test_silence_is_excused_while_we_do_not_read():
    timer = WatchdogTimer(6.0, lambda: 0.0)
    timer.on(UP, 0.0)
    assert timer.expired(6.0, excused=True) == ()
    assert timer.deadline == 12.0
    assert timer.expired(12.0) == (SEND,)
