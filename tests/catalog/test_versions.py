"""Which version is in force when, whatever order they were published and announced in."""

import pytest

from ocs.catalog.versions import WITHDRAWN_NS, Announcement, Schedule

FIRST = Announcement(100, 1, at_once=True)
SPRING = Announcement(500, 2)
MENDED = Announcement(300, 3, at_once=True)


@pytest.mark.rule("K-350")
@pytest.mark.parametrize(
    ("now_ns", "at", "before", "upcoming"),
    [(100, 3, 1, 2), (300, 3, 1, 2), (499, 3, 1, 2), (500, 2, 3, 0), (10**18, 2, 3, 0)],
)
def test_what_was_announced_takes_its_turn_at_its_instant(now_ns, at, before, upcoming):
    schedule = Schedule([SPRING, MENDED, FIRST])
    assert (schedule.at(now_ns), schedule.before(now_ns)) == (at, before)
    coming = schedule.next(now_ns)
    assert (coming.version if coming else 0) == upcoming


@pytest.mark.rule("K-350")
def test_what_is_published_after_an_announced_version_came_holds_until_the_next():
    later = Announcement(600, 4, at_once=True)
    assert Schedule([SPRING, FIRST, later]).at(700) == 4
    assert Schedule([Announcement(600, 5), later]).at(600) == 5, "published later, for this instant"


@pytest.mark.rule("K-350")
def test_a_slow_clock_does_not_put_off_what_is_published_at_once():
    assert Schedule([FIRST]).at(99) == 1


def test_nothing_is_in_force_before_the_first():
    assert Schedule().at(10) == 0
    assert Schedule([SPRING]).at(499) == 0
    assert Schedule([SPRING]).before(600) == 0


@pytest.mark.rule("K-351")
def test_a_withdrawn_version_never_comes():
    schedule = Schedule([FIRST, Announcement(WITHDRAWN_NS, 2)])
    assert schedule.at(10**18) == 1
    assert schedule.next(0) is None


@pytest.mark.rule("K-350", "K-351")
def test_the_words_for_a_version():
    schedule = Schedule([FIRST, MENDED, SPRING, Announcement(WITHDRAWN_NS, 4)])
    said = [schedule.state(version, 400) for version in (1, 3, 2, 4)]
    assert said == ["past", "in force", "announced", "withdrawn"]
