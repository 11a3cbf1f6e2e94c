"""The CSV import: nothing is written before every row is good, and it goes on where it was cut."""

from typing import Any

import pytest

from ocs.errors import ConflictError, DocumentError
from ocs.provisioning.customers import accounts, subscriber_import
from ocs.provisioning.desk import find_subscriber

HEAD = "plan,msisdn,imsi,balance,credit_limit\n"


def load(office, tmp_path, text, **more: Any):
    file = tmp_path / "new.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    more.setdefault("pause", lambda _pause_ns: None)
    return subscriber_import.run(office.desk, office.catalogues.current(), file, **more)


def problems(office, tmp_path, text):
    with pytest.raises(DocumentError) as caught:
        load(office, tmp_path, text)
    assert office.must_be_clean().accounts == 0
    return [(one.line, one.column, one.path, one.message) for one in caught.value.problems]


def test_every_row_becomes_a_subscriber(office, tmp_path):
    rows = "".join(f"basic,+4915100{n},2620100000{n},{n}.50,\n" for n in range(10, 60))
    result = load(office, tmp_path, HEAD + rows)
    assert result.subscribers == 50
    found = find_subscriber(office.desk, "imsi:262010000033")
    assert accounts.show(office.desk, found.account_id)["balance_micro"] == 33_500_000
    clean = office.must_be_clean()
    assert (clean.accounts, clean.requests) == (50, 50)
    assert office.desk.reports.actions(0, 9)[0].action == "subscriber import"


def test_dry_run_changes_nothing(office, tmp_path):
    assert load(office, tmp_path, HEAD + "basic,49151,,1,\n", dry_run=True).subscribers == 1
    assert office.must_be_clean().accounts == 0


def test_columns_in_any_order_with_a_byte_order_mark_and_quotes(office, tmp_path):
    text = b'\xef\xbb\xbfBalance,MSISDN,Plan\r\n"2","+49 151-1","basic"\r\n\r\n'
    assert load(office, tmp_path, text).subscribers == 1
    assert find_subscriber(office.desk, "491511")


def test_every_mistake_is_listed(office, tmp_path):
    found = problems(
        office,
        tmp_path,
        HEAD
        + "basic,49151,,1,\n"
        + "gold,49152,,1,\n"
        + "basic,49x,12,-1,1.0000001\n"
        + "basic,,,1,\n"
        + "basic,49151,,,\n"
        + "basic,49153\n",
    )
    assert [(line, column) for line, column, _, _ in found] == [
        (3, 1), (4, 2), (4, 3), (4, 4), (4, 5), (5, 1), (6, 2), (7, 1),
    ]  # fmt: skip
    texts = " ".join(message for *_, message in found)
    for words in ("no plan 'gold'", "no MSISDN", "no IMSI", "must not be negative", "finer than",
                  "at least one identity", "is in line 2 too", "has 2 columns"):  # fmt: skip
        assert words in texts


@pytest.mark.parametrize(
    "text,words",
    [
        ("", "is empty"),
        ("plan,fax\n", "'fax' is no column"),
        ("plan,plan,msisdn\n", "named twice"),
        ("msisdn\n", "no column 'plan'"),
        ("plan\n", "there is none of msisdn"),
        (HEAD + 'basic,"49151\n', "is no CSV"),
        (HEAD.encode() + b"basic,\xff\xfe,,,\n", "is not UTF-8"),
        (HEAD + "basic,49\x00151,,,\n", ""),
    ],
)
def test_files_that_are_refused_whole(office, tmp_path, text, words):
    assert words in problems(office, tmp_path, text)[0][3]


def test_names_that_somebody_has_are_listed(office, tmp_path, monkeypatch):
    monkeypatch.setattr(subscriber_import, "LOOKUP_ROWS", 2)
    office.open_account("49153")
    with pytest.raises(DocumentError) as caught:
        load(office, tmp_path, HEAD + "".join(f"basic,4915{n},,,\n" for n in range(6)))
    assert [one.line for one in caught.value.problems] == [5]
    assert office.must_be_clean().accounts == 1


def test_a_name_taken_between_the_passes_fails_the_whole(office, tmp_path):
    """Somebody adds the last name of the file while it is being checked."""
    rows = [f"basic,4915{n},,1,\n" for n in range(5)]

    with pytest.raises(ConflictError):
        load(office, tmp_path, HEAD + "".join(rows), progress=_after_check(office, len(rows)))
    assert office.must_be_clean().accounts == 1


def _after_check(office, rows):
    """Return a progress callback that adds a rival just after the last look-up of names."""
    store = office.desk.store
    find = store.find

    def find_then_add(names):
        found = find(names)
        store.find = find
        office.open_account("49154", 0)
        return found

    def progress(count):
        if count == rows:
            store.find = find_then_add

    return progress


def test_mistakes_beyond_the_limit_are_counted(office, tmp_path, monkeypatch):
    monkeypatch.setattr(subscriber_import, "PROBLEMS_MAX", 3)
    found = problems(office, tmp_path, HEAD + "gold,1x,,,\n" * 5)
    assert len(found) == 4
    assert "and 2 more mistakes" in found[-1][3]


def rows(count: int, first: int = 1000) -> str:
    return HEAD + "".join(f"basic,4915{n},,1,\n" for n in range(first, first + count))


class CutShortError(Exception):
    """The process ends here."""


def test_a_long_file_is_written_in_steps_with_pauses_for_the_server(office, tmp_path, monkeypatch):
    monkeypatch.setattr(subscriber_import, "STEP_ROWS", 4)
    pauses: list[int] = []
    result = load(office, tmp_path, rows(10), pause=pauses.append)
    assert (result.subscribers, result.resumed_after) == (10, 0)
    assert len(pauses) == 2
    assert all(5_000_000 <= pause <= 1_000_000_000 for pause in pauses)
    assert office.must_be_clean().accounts == 10
    actions = [one.action for one in office.desk.reports.actions(0, 9)]
    assert actions.count("subscriber import") == 1


def test_an_import_that_was_cut_short_goes_on_where_it_was(office, tmp_path, monkeypatch):
    monkeypatch.setattr(subscriber_import, "STEP_ROWS", 4)
    monkeypatch.setattr(subscriber_import, "LOOKUP_ROWS", 3)
    text = rows(10)

    def die(_pause_ns: int) -> None:
        raise CutShortError

    for accounts_there in (4, 8):
        with pytest.raises(CutShortError):
            load(office, tmp_path, text, pause=die)
        assert office.must_be_clean().accounts == accounts_there
    assert load(office, tmp_path, text, dry_run=True).view() == {
        "file": f"{tmp_path}/new.csv", "subscribers": 2, "dry_run": True, "resumed_after": 8,
    }  # fmt: skip
    result = load(office, tmp_path, text, pause=die)
    assert (result.subscribers, result.resumed_after) == (2, 8)
    assert office.must_be_clean().accounts == 10
    with pytest.raises(DocumentError, match="belongs to account"):
        load(office, tmp_path, text)
    assert office.must_be_clean().accounts == 10


def test_another_file_is_another_import(office, tmp_path, monkeypatch):
    monkeypatch.setattr(subscriber_import, "STEP_ROWS", 4)

    def die(_pause_ns: int) -> None:
        raise CutShortError

    with pytest.raises(CutShortError):
        load(office, tmp_path, rows(10), pause=die)
    with pytest.raises(DocumentError, match="belongs to account"):
        load(office, tmp_path, rows(11))
    assert load(office, tmp_path, rows(5, 2000)).resumed_after == 0


def test_a_name_taken_in_the_middle_says_how_far_it_came(office, tmp_path, monkeypatch):
    monkeypatch.setattr(subscriber_import, "STEP_ROWS", 4)

    def rival(_pause_ns: int) -> None:
        if office.must_be_clean().accounts == 4:
            office.open_account("49151006", 0)

    with pytest.raises(ConflictError, match="the first 4 rows are written"):
        load(office, tmp_path, rows(10), pause=rival)
    assert office.must_be_clean().accounts == 5
