"""What somebody outside repeats does not fill the log."""

from contextlib import suppress

import pytest
from structlog import DropEvent

from ocs.clock import NS_PER_SECOND, ManualClock
from ocs.service.watching.quiet import KINDS_MAX, REMEMBERED_MAX, LineLimit, Repeated, kind_of


def test_the_same_thing_is_said_once_a_minute_with_the_number_left_out():
    clock = ManualClock(0)
    repeated = Repeated(clock)
    assert [repeated.left_out("a") for _ in range(3)] == [(True, 0), (False, 0), (False, 1)]
    assert repeated.left_out("b") == (True, 0)
    clock.advance(60)
    assert repeated.left_out("a") == (True, 2)


def test_what_is_remembered_is_bounded():
    repeated = Repeated(ManualClock(0))
    for number in range(5 * REMEMBERED_MAX):
        repeated.left_out(number)
    assert len(repeated._said) <= REMEMBERED_MAX


class Log:
    """Lines through a limit, with a clock."""

    def __init__(self, per_minute: int) -> None:
        self.now_ns = 0
        self.limit = LineLimit(per_minute, lambda: self.now_ns)
        self.lines: list[dict[str, object]] = []

    def say(self, event: str, method: str = "warning") -> None:
        with suppress(DropEvent):
            self.lines.append(dict(self.limit(None, method, {"event": event})))


def test_a_kind_of_line_has_a_limit_and_others_are_said():
    log = Log(2)
    for number in range(5):
        log.say(f"request refused: AVP {number}")
    log.say("peer connected")
    assert len(log.lines) == 3
    assert log.limit.total_left_out == 3
    log.now_ns = 60 * NS_PER_SECOND
    log.say("request refused: again")
    assert log.lines[-1]["lines_left_out"] == 3
    log.say("request refused: again")
    assert "lines_left_out" not in log.lines[-1]


def test_level_debug_is_for_who_wants_everything():
    log = Log(1)
    for _ in range(5):
        log.say("the same", "debug")
    assert len(log.lines) == 5


def test_endless_kinds_share_one_limit():
    log = Log(1)
    for number in range(3 * KINDS_MAX):
        log.say("kind " + "x" * (number + 1))
    assert len(log.lines) <= KINDS_MAX + 1


@pytest.mark.parametrize(
    "event,kind",
    [
        ("unknown peer refused; to allow it: ocs peer allow x", "unknown peer refused"),
        ("request refused: AVP 415", "request refused"),
        ("peer can't be reached", "peer can't be reached"),
        ("", ""),
    ],
)
def test_a_kind_is_what_does_not_differ_from_line_to_line(event, kind):
    assert kind_of(event) == kind
