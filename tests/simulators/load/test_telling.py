"""What a process of a shared run tells of itself, and what is known when it dies."""

import pytest

from simulators.load.telling import Teller, Word, heard
from simulators.reports.report import Measurements


@pytest.mark.rule("X-095")
@pytest.mark.parametrize("silent_seconds", [1, 59, 60, 61, 200, 700])
def test_nothing_of_the_series_is_missing_however_long_a_process_was_silent(silent_seconds):
    measured, teller = Measurements(), Teller()
    word: Word | None = None
    begins = 0
    for seconds in (0, 1, 90, 90 + silent_seconds, 91 + silent_seconds):
        for second in range(begins, seconds + 1):
            measured.series.at(second).sent += second
        begins = seconds + 1
        word = heard(word, teller.told(seconds, measured, []))
    assert word is not None
    told, whole = word.measured.series, measured.series
    assert told.width_seconds == whole.width_seconds
    assert [one.sent for one in told.points] == [one.sent for one in whole.points]


@pytest.mark.rule("X-095")
def test_what_does_not_change_any_more_is_not_told_again():
    measured, teller = Measurements(), Teller()
    measured.series.at(299).sent += 1
    teller.told(299, measured, [])
    measured.series.at(300).sent += 1
    told = teller.told(300, measured, [])
    assert told.measured is not None
    assert told.first_point + len(told.measured.series.points) == 301
    assert len(told.measured.series.points) < 100
