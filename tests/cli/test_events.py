"""`ocs events tail`: for people, for programs, with a cursor, and until something comes."""

import json

import pytest


def test_people_read_sentences(cli, stocked):
    shown = cli("events", "tail", "--since", "2026-01-05").out
    assert "low-balance  msisdn:4915112345678  balance 4.00, currency EUR, level 5.00" in shown


@pytest.mark.rule("K-391")
def test_what_is_about_an_account_names_all_its_members(cli, stocked):
    join = ("subscriber", "add", "+4915100000001", "--account", stocked["account"])
    assert cli(*join).code == 0
    shown = cli("events", "tail", "--since", "2026-01-05").out
    assert "low-balance  msisdn:4915100000001 msisdn:4915112345678  balance" in shown
    for number in range(2, 12):
        assert cli(*join[:2], f"+49151000000{number:02}", *join[3:]).code == 0
    shown = cli("events", "tail", "--since", "2026-01-05").out
    assert shown.count("msisdn:") == 10
    assert "msisdn:4915100000010 and 2 more  balance" in shown


def test_without_since_it_is_the_last_day(cli, stocked):
    assert cli("events", "tail").out == ""


def test_a_cursor_gives_each_once(cli, stocked, tmp_path):
    cursor = tmp_path / "sms.cursor"
    first = cli("events", "tail", "--json", "--cursor", str(cursor))
    assert json.loads(first.out)["kind"] == "low-balance"
    assert cli("events", "tail", "--json", "--cursor", str(cursor)).out == ""


def test_it_ends_after_a_count_or_a_time(cli, stocked):
    followed = cli("events", "tail", "--since", "2026-01-05", "--follow", "--count", "1")
    assert followed.out.count("\n") == 1
    waited = cli("events", "tail", "--follow", "--timeout", "0")
    assert (waited.code, waited.out) == (0, "")


def test_a_selection_by_kind_and_subscriber(cli, stocked):
    since = ("--since", "2026-01-05")
    assert cli("events", "tail", *since, "--kind", "roaming").out == ""
    assert cli("events", "tail", *since, "--kind", "low-balance").out
    assert cli("events", "tail", *since, "--subscriber", stocked["account"]).out
    refused = cli("events", "tail", "--kind", "roming")
    assert refused.code == 2
    assert "no kind of notification" in refused.err


def test_a_file_that_is_no_cursor_is_refused(cli, stocked, tmp_path):
    file = tmp_path / "cursor"
    file.write_text("7")
    refused = cli("events", "tail", "--cursor", str(file))
    assert refused.code == 1
    assert "is no cursor" in refused.err
