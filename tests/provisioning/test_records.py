"""The export: every record once, in order, whole files only."""

import csv
import io
import json
from typing import Any

import pytest

from ocs.errors import RefusedError, UsageError
from ocs.provisioning import records
from ocs.provisioning.records import Selection
from tests.support.desks import NOON_NS, NUMBER


@pytest.fixture
def busy(office):
    account_id = office.open_account()
    for number in range(3):
        office.data_session(account_id, f"pgw1;{number}")
        office.message(account_id, session=f"smsc;{number}")
    office.clock.advance(60)
    return office


def export(office, form="jsonl", **selection: Any):
    stream = io.StringIO()
    done = records.export(office.desk, Selection(**selection), form, stream)
    return done, stream.getvalue()


def test_json_lines_have_everything(busy):
    done, text = export(busy)
    rows = [json.loads(line) for line in text.splitlines()]
    assert done.records == len(rows) == 1 + 3 * 3
    ids = [int(row["request_id"]) for row in rows]
    assert ids == sorted(set(ids)) and ids[-1] == done.last_id
    end = rows[2]
    assert (end["kind"], end["session_id"], end["outcome"]) == (
        "termination", "pgw1;0", "success",
    )  # fmt: skip
    assert end["charged"][0]["charged"] == "0.40"
    assert end["asked"][0]["used"] == [{"octets": 7_300_000}]


def test_csv_has_a_line_for_each_service(busy):
    _, text = export(busy, "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == records.CSV_COLUMNS
    charged = sum(int(row["charged_micro"] or 0) for row in rows)
    assert charged == 3 * (400_000 + 70_000)
    assert {row["identity"] for row in rows} == {f"msisdn:{NUMBER}"}


def test_pages_by_cursor_give_each_record_once(busy, tmp_path):
    _, whole = export(busy)
    cursor = tmp_path / "cursor"
    parts = []
    for _ in range(10):
        after = records.read_cursor(cursor)
        done, text = export(busy, after_id=after, limit=4)
        parts.append(text)
        records.write_cursor(cursor, done.last_id)
        if not done.records:
            break
    assert "".join(parts) == whole
    assert len(parts) == 4


def test_times_select(busy):
    _, text = export(busy, since_ns=NOON_NS + 15 * 10**9, until_ns=NOON_NS + 25 * 10**9)
    starts = [json.loads(line)["at"] for line in text.splitlines()]
    assert starts and all("12:00:20" in at for at in starts)


def test_the_last_seconds_wait(office):
    account_id = office.open_account()
    office.message(account_id)
    assert export(office)[0].records == 0
    office.clock.advance(records.SETTLE_SECONDS + 1)
    assert export(office)[0].records == 2


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.csv"
    rows: list[Any] = ["half", None]
    with pytest.raises(TypeError), records.whole_file(path) as stream:
        stream.writelines(rows)
    assert list(tmp_path.iterdir()) == []
    with records.whole_file(path) as stream:
        stream.write("whole")
    assert path.read_text() == "whole"
    with pytest.raises(RefusedError, match="exists already"), records.whole_file(path):
        pass


def test_no_cell_is_a_formula(office):
    account_id = office.open_account()
    office.message(account_id, session="=cmd()")
    office.clock.advance(60)
    _, text = export(office, "csv")
    sessions = [row["session_id"] for row in csv.DictReader(io.StringIO(text))]
    assert sessions == ["", "'=cmd()"]


def test_wrong_cursor_and_format(office, tmp_path):
    cursor = tmp_path / "cursor"
    cursor.write_text("hello")
    with pytest.raises(RefusedError, match="is no cursor"):
        records.read_cursor(cursor)
    with pytest.raises(UsageError, match="no format"):
        export(office, "xml")
