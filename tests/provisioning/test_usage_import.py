"""Usage from files: each row once, refused rows alone, the same file again changes nothing."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from ocs.clock import IdSource
from ocs.errors import DocumentError, StoreUnavailableError
from ocs.provisioning.catalogues.catalogs import Catalogues
from ocs.provisioning.customers import accounts
from ocs.provisioning.desk import find_subscriber
from ocs.provisioning.usage import usage_import
from ocs.store.sql import SqlStore
from tests.support.desks import NUMBER
from tests.support.metered import metered_office

OTHER = "key 'a' was used before with other content"
HEAD = "key,subscriber,service,quantity,at,meter\n"


@pytest.fixture
def office(tmp_path):
    with metered_office(f"sqlite:///{tmp_path}/ocs.db") as made:
        yield made


def run(office, path, text, **more: Any):
    path.write_text(text, encoding="utf-8")
    more.setdefault("pause", lambda _ns: None)
    return usage_import.run(office.desk, office.catalogues, path, **more)


def balance(office, account_id):
    return accounts.show(office.desk, account_id)["balance_micro"]


@pytest.mark.rule("K-317")
def test_every_good_row_is_charged_and_every_other_is_refused_alone(office, tmp_path):
    account_id = office.open_account(days_ago=1)
    rows = [
        f"a,{NUMBER},ticket,1,2026-01-05T10:00:00Z,",
        f"b,+{NUMBER},energy,5 kWh,,car",
        f"c,{NUMBER},ticket,one,,",
        "d,4999,ticket,1,,",
        f"a,{NUMBER},ticket,1,2026-01-05T10:00:00Z,",
        f"a,{NUMBER},ticket,2,2026-01-05T10:00:00Z,",
        f"e,{NUMBER},ticket,2,,",
        f"f,{NUMBER},ticket",
        f",{NUMBER},ticket,1,,",
        f"g,{NUMBER},steam,0.5,,",
    ]
    refused = io.StringIO()
    result = run(office, tmp_path / "march.csv", HEAD + "\n".join(rows), refused=refused)
    assert (result.charged, result.repeated, result.refused) == (3, 1, 6)
    assert [(one["line"], one["key"], one["reason"]) for one in result.listed] == [
        (4, "c", "'one' is not a quantity of events"),
        (5, "d", "there is no subscriber msisdn:4999; `ocs subscriber list` shows those there are"),
        (7, "a", f"{OTHER}: quantity was '1 events', now '2 events'"),
        (8, "e", "the account cannot cover the whole event"),
        (9, "f", "it has 3 columns, the first line names 6"),
        (10, "", "key is empty"),
    ]  # fmt: skip
    assert result.charged_micro == 4_700_000
    assert balance(office, account_id) == 5_300_000
    lines = refused.getvalue().splitlines()
    assert lines[0] == "key,subscriber,service,quantity,at,meter,line,reason"
    assert lines[4] == f"e,{NUMBER},ticket,2,,,8,the account cannot cover the whole event"
    office.must_be_clean()


@pytest.mark.rule("K-312", "K-317")
def test_refused_rows_are_imported_as_they_were_written(office, tmp_path):
    account_id = office.open_account(balance=1_000_000)
    refused = io.StringIO()
    run(office, tmp_path / "one.csv", f"{HEAD}a,{NUMBER},ticket,1,,\n", refused=refused)
    accounts.top_up(office.desk, find_subscriber(office.desk, NUMBER), "5")
    result = run(office, tmp_path / "two.csv", refused.getvalue())
    assert (result.charged, result.refused) == (1, 0)
    assert balance(office, account_id) == 2_000_000


@pytest.mark.rule("K-318")
def test_an_import_that_was_cut_short_goes_on_with_the_same_file(office, tmp_path):
    account_id = office.open_account()
    text = HEAD + "".join(f"k{number},{NUMBER},steam,0.001,,\n" for number in range(600))

    def stop(_ns):
        raise StoreUnavailableError("gone")

    with pytest.raises(StoreUnavailableError):
        run(office, tmp_path / "long.csv", text, pause=stop)
    assert balance(office, account_id) == 10_000_000 - 250 * 1_000
    seen: list[int] = []
    again = run(office, tmp_path / "long.csv", text, progress=seen.append)
    assert (again.charged, again.repeated, again.refused) == (350, 250, 0)
    assert seen == list(range(1, 601))
    assert balance(office, account_id) == 10_000_000 - 600 * 1_000
    third = run(office, tmp_path / "long.csv", text)
    assert (third.charged, third.repeated, third.charged_micro) == (0, 600, 0)
    imports = [
        one for one in office.desk.reports.actions(0, 100) if one.action == "usage import"
    ]
    assert len(imports) == 2
    office.must_be_clean()


@pytest.mark.rule("K-319")
def test_a_dry_run_decides_everything_and_keeps_nothing(office, tmp_path):
    account_id = office.open_account()
    text = HEAD + f"a,{NUMBER},ticket,1,,\nb,{NUMBER},ticket,2,,\n"
    result = run(office, tmp_path / "dry.csv", text, dry_run=True)
    assert (result.charged, result.refused, result.charged_micro) == (1, 1, 4_000_000)
    assert balance(office, account_id) == 10_000_000
    assert not any(one.action == "usage import" for one in office.desk.reports.actions(0, 100))
    assert run(office, tmp_path / "dry.csv", text).charged == 1


@pytest.mark.rule("K-317")
def test_json_lines_are_rows_too(office, tmp_path):
    office.open_account()
    rows = [
        {"key": "a", "subscriber": NUMBER, "service": "steam", "quantity": 0.1},
        {"key": "b", "subscriber": NUMBER, "service": "energy", "quantity": "5", "meter": "car"},
        {"key": "c", "subscriber": NUMBER, "service": "steam", "quantity": [1]},
        {"key": "d", "subscriber": NUMBER, "service": "steam", "quantity": 1, "meters": 2},
    ]
    text = "\n".join([*(json.dumps(row) for row in rows), "[1]", "{", ""])
    result = run(office, tmp_path / "meters.jsonl", text)
    assert (result.charged, result.charged_micro) == (2, 300_000)
    reasons = [one["reason"] for one in result.listed]
    assert reasons[0] == "'quantity' is neither a text nor a number"
    assert reasons[1].startswith("'meters' is no key; there are key, subscriber")
    assert reasons[2] == "it is no JSON object"
    assert reasons[3].startswith("it is no JSON: ")


@pytest.mark.rule("K-317")
@pytest.mark.parametrize(
    "text,message",
    [
        ("", "is empty; its first line must name the columns, or be a JSON object"),
        ("key,subscriber,service\n", "there is no column 'quantity'"),
        (HEAD.replace("meter", "metre"), "'metre' is no column; there are key, subscriber"),
        (HEAD.replace("meter", "at"), "a column is named twice"),
        (f'{HEAD}a,"{NUMBER},ticket,1,,', "is no CSV: unexpected end of data"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(office, tmp_path, text, message):
    office.open_account()
    with pytest.raises(DocumentError) as refusal:
        run(office, tmp_path / "bad.csv", text)
    assert any(one.message.startswith(message) for one in refusal.value.problems)


@pytest.mark.rule("K-311", "K-318")
def test_two_imports_at_once_charge_each_row_once(office, tmp_path):
    account_id = office.open_account()
    file = tmp_path / "both.csv"
    file.write_text(
        HEAD + "".join(f"k{number},{NUMBER},steam,0.001,,\n" for number in range(700))
    )
    ids = IdSource(office.clock, 2)
    with closing(SqlStore(office.url, ids, allow_unsafe=True)) as store:
        desks = (office.desk, replace(office.desk, store=store, ids=ids))
        with ThreadPoolExecutor(2) as pool:
            results = list(
                pool.map(
                    lambda desk: usage_import.run(
                        desk, Catalogues(desk.store), file, pause=lambda _ns: None
                    ),
                    desks,
                )
            )
    assert sum(one.charged for one in results) == 700
    assert sum(one.repeated for one in results) == 700
    assert balance(office, account_id) == 10_000_000 - 700 * 1_000
    office.must_be_clean()
